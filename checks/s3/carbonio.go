package s3

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// maxBuckets bounds how many of Carbonio's buckets are tested: each test starts
// a JVM. A platform has one or two.
const maxBuckets = 8

// maxWords bounds what is kept of an output that is shown as it is.
const maxWords = 2000

// said is what the installed Carbonio says of its storage.
type said struct {
	Buckets   []known  `json:"buckets,omitempty"`
	Untested  int      `json:"untested,omitzero"`  // buckets beyond maxBuckets
	Unlisted  string   `json:"unlisted,omitempty"` // why the buckets could not be listed
	Primaries []volume `json:"primaries,omitempty"`
	Unread    string   `json:"unread,omitempty"` // why the volumes could not be
}

// known is a bucket that Carbonio has.
type known struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
	Type string `json:"type,omitempty"` // "MinIO", "S3"
	Uses []use  `json:"uses,omitempty"` // "usage in powerstore volumes"
	Test *test  `json:"test,omitempty"` // testS3Connection
}

// use is a volume that lies in a bucket.
type use struct {
	Server string `json:"server"`
	Volume string `json:"volume"`
}

// test is what testS3Connection did.
type test struct {
	OK     bool   `json:"ok"`
	Exit   int    `json:"exit"`
	Output string `json:"output,omitempty"` // as it is
	Unseen string `json:"unseen,omitempty"` // why it did not run
}

// volume is a primary volume of this mailstore.
type volume struct {
	Name        string `json:"name"`
	Current     *bool  `json:"current,omitempty"`
	Centralized *bool  `json:"centralized,omitempty"`
	Store       string `json:"store,omitempty"` // "Local", "MinIO"
}

func observeCarbonio(ctx context.Context, host checks.Host) (any, error) {
	run, err := carbonioShell(ctx, host)
	if err != nil {
		return nil, err
	}
	var out said
	text, err := run(ctx, "carbonio --json core listBuckets all")
	var exit *checks.ExitError
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &exit) && exit.Code == 127:
		return nil, errors.New("the carbonio command is not there: carbonio-advanced is not installed")
	case err != nil:
		out.Unlisted = err.Error()
		return out, nil
	}
	buckets, secrets, err := parseBuckets(text)
	if err != nil {
		out.Unlisted = err.Error()
	}
	out.Untested = max(0, len(buckets)-maxBuckets)
	out.Buckets = buckets
	for i := range buckets[:len(buckets)-out.Untested] {
		buckets[i].Test = testConnection(ctx, run, buckets[i].UUID, secrets)
	}
	text, err = run(ctx, "carbonio --json powerstore getAllVolumes")
	if err == nil {
		out.Primaries, err = parseVolumes(text)
	}
	if err != nil {
		out.Unread = scrub(err.Error(), secrets)
	}
	return out, ctx.Err()
}

// carbonioShell is how to run the commands of Carbonio. They draw a progress line
// unless the terminal is a known one (HABEAT).
func carbonioShell(ctx context.Context, host checks.Host) (checks.Shell, error) {
	run, err := host.Zextras(ctx)
	return func(ctx context.Context, line string) (string, error) {
		return run(ctx, "TERM=xterm-256color PATH=/opt/zextras/bin:$PATH "+line)
	}, err
}

// uuidForm keeps a listing from putting words of its own into a command line.
var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// testConnection is healthy with the phrase "connection ok" and exit status 0;
// no other output is documented, so it is kept as it is (CORE).
func testConnection(ctx context.Context, run checks.Shell, uuid string, secrets []string) *test {
	text, err := run(ctx, "carbonio core testS3Connection "+uuid)
	text = scrub(stripped(text), secrets)
	var exit *checks.ExitError
	switch {
	case errors.As(err, &exit):
		return &test{Exit: exit.Code, Output: strings.TrimSpace(text + "\n" + scrub(exit.Stderr, secrets))}
	case err != nil:
		return &test{Unseen: scrub(err.Error(), secrets)}
	}
	return &test{OK: phrase.MatchString(text), Output: text}
}

var (
	phrase  = regexp.MustCompile(`(?m)(^|\s)connection ok\s*$`)
	escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]")
)

// stripped is an output without its colours, cut to what a report can show.
func stripped(text string) string {
	text = strings.TrimSpace(escapes.ReplaceAllString(text, ""))
	return strings.ToValidUTF8(text[:min(len(text), maxWords)], "")
}

// scrub takes known secrets out of an output.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "[redacted]")
	}
	return text
}

// parseBuckets reads listBuckets: JSON with its payload under "response", whose
// shape is not documented, or the documented text. Besides the buckets it gives
// the credentials that stand in it.
func parseBuckets(text string) (buckets []known, secrets []string, err error) {
	if tree, ok := payload(text); ok {
		buckets, secrets = treeBuckets(tree)
	} else {
		buckets, secrets = textBuckets(text)
	}
	if len(buckets) == 0 && strings.TrimSpace(text) != "" && strings.Contains(text, "bucketName") {
		return nil, secrets, errors.New("the output of listBuckets has another form than the known ones")
	}
	return buckets, secrets, nil
}

// payload is what stands under "response" of a JSON output.
func payload(text string) (any, bool) {
	start := strings.IndexAny(text, "{[")
	if start < 0 {
		return nil, false
	}
	var tree any
	if err := json.NewDecoder(strings.NewReader(text[start:])).Decode(&tree); err != nil {
		return nil, false
	}
	if object, ok := tree.(map[string]any); ok && object["response"] != nil {
		return object["response"], true
	}
	return tree, true
}

// walkTree visits every object of a JSON tree, in the order of its keys; path
// are the keys that lead there.
func walkTree(tree any, path string, visit func(path string, object map[string]any)) {
	switch t := tree.(type) {
	case map[string]any:
		visit(path, t)
		for _, k := range slices.Sorted(maps.Keys(t)) {
			walkTree(t[k], path+"/"+strings.ToLower(k), visit)
		}
	case []any:
		for _, e := range t {
			walkTree(e, path, visit)
		}
	}
}

// field is the first string of an object under one of the keys, whatever their case.
func field(object map[string]any, keys ...string) string {
	for _, key := range keys {
		for _, k := range slices.Sorted(maps.Keys(object)) {
			if s, ok := object[k].(string); ok && strings.EqualFold(k, key) {
				return s
			}
		}
	}
	return ""
}

var secretKey = regexp.MustCompile(`(?i)^(secret|secret_?key|access_?key|password)$`)

func treeBuckets(tree any) (buckets []known, secrets []string) {
	walkTree(tree, "", func(_ string, object map[string]any) {
		for k, v := range object {
			if s, ok := v.(string); ok && secretKey.MatchString(k) {
				secrets = addSecret(secrets, s)
			}
		}
		b := known{UUID: field(object, "uuid", "bucketConfigurationId", "id"), Name: field(object, "bucketName", "bucket_name"), Type: field(object, "storeType")}
		if !uuidForm.MatchString(b.UUID) || b.Name == "" {
			return
		}
		walkTree(object, "", func(path string, o map[string]any) {
			u := use{field(o, "server"), field(o, "volume")}
			if strings.Contains(path, "powerstore") && u.Server != "" {
				b.Uses = append(b.Uses, u)
			}
		})
		buckets = append(buckets, b)
	})
	return buckets, secrets
}

func addSecret(secrets []string, s string) []string {
	// "xxxxx" stands for a secret in the manual's own example, and a very short
	// one would redact half of every text.
	if len(s) < 4 || strings.Trim(s, "x*") == "" {
		return secrets
	}
	return append(secrets, s)
}

var useForm = regexp.MustCompile(`^server:\s*(\S+)\s+volume:\s*(\S.*?)\s*$`)

// textBuckets reads the documented text (CORE): a key and its value on each
// line, and below "usage in powerstore volumes" a line for each volume.
func textBuckets(text string) (buckets []known, secrets []string) {
	var b known
	powerstore := false
	flush := func() {
		if uuidForm.MatchString(b.UUID) && b.Name != "" {
			buckets = append(buckets, b)
		}
		b, powerstore = known{}, false
	}
	for line := range strings.Lines(stripLines(text)) {
		line = strings.TrimSpace(line)
		if m := useForm.FindStringSubmatch(line); m != nil {
			if powerstore {
				b.Uses = append(b.Uses, use{m[1], m[2]})
			}
			continue
		}
		key, value, _ := strings.Cut(line, " ")
		value = strings.TrimSpace(value)
		powerstore = strings.HasPrefix(line, "usage in powerstore")
		switch {
		case key == "bucketName":
			flush()
			b.Name = value
		case key == "uuid":
			b.UUID = value
		case key == "storeType":
			b.Type = value
		case secretKey.MatchString(key):
			secrets = addSecret(secrets, value)
		}
	}
	flush()
	return buckets, secrets
}

func stripLines(text string) string { return escapes.ReplaceAllString(text, "") }

// parseVolumes reads the primary volumes of getAllVolumes. Only its JSON is
// read, and what it does not say stays unknown.
func parseVolumes(text string) ([]volume, error) {
	tree, ok := payload(text)
	if !ok {
		return nil, errors.New("getAllVolumes printed no JSON")
	}
	var out []volume
	walkTree(tree, "", func(path string, o map[string]any) {
		name := field(o, "name", "volumeName")
		primary := strings.Contains(path, "primar") || strings.HasPrefix(strings.ToLower(field(o, "type", "volumeType")), "primary")
		if name == "" || !primary {
			return
		}
		out = append(out, volume{
			Name: name, Store: field(o, "storeType", "store_type"),
			Current: flag(o, "isCurrent", "current", "current_volume"), Centralized: flag(o, "centralized", "isCentralized"),
		})
	})
	if len(out) == 0 {
		return nil, fmt.Errorf("getAllVolumes names no primary volume that can be read")
	}
	return out, nil
}

// flag is a boolean of an object, written as one or as a word; nil without one.
func flag(object map[string]any, keys ...string) *bool {
	for _, key := range keys {
		for _, k := range slices.Sorted(maps.Keys(object)) {
			if !strings.EqualFold(k, key) {
				continue
			}
			switch v := object[k].(type) {
			case bool:
				return &v
			case string:
				b := strings.EqualFold(v, "true")
				return &b
			}
		}
	}
	return nil
}
