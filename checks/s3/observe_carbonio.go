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

// maxWords bounds what is kept of an output, in bytes.
const maxWords = 2000

// installation is what the installed Carbonio says about its storage.
type installation struct {
	Buckets   []known  `json:"buckets,omitempty"`
	Unlisted  string   `json:"unlisted,omitempty"` // why the buckets could not be listed
	Primaries []volume `json:"primaries,omitempty"`
	Unread    string   `json:"unread,omitempty"` // why the volumes could not be read
}

// known is a bucket that Carbonio has.
type known struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
	Uses []use  `json:"uses,omitempty"` // "usage in powerstore volumes"
	Test *test  `json:"test,omitempty"` // testS3Connection
}

// use is a volume in a bucket.
type use struct {
	Server string `json:"server"`
	Volume string `json:"volume"`
}

// test is what testS3Connection did.
type test struct {
	OK     bool   `json:"ok"`
	Exit   int    `json:"exit"`
	Output string `json:"output,omitempty"` // verbatim
	Unseen string `json:"unseen,omitempty"` // why it did not run
}

// volume is a primary volume of this mailstore.
type volume struct {
	Name        string `json:"name"`
	Current     *bool  `json:"current,omitempty"`
	Centralized *bool  `json:"centralized,omitempty"`
	Store       string `json:"store,omitempty"` // "Local", "MinIO"
}

func observeCarbonio(ctx context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (installation, error) {
	var out installation
	run, err := carbonioShell(ctx, host)
	if err != nil {
		return out, err
	}
	text, err := run(ctx, "carbonio --json core listBuckets all")
	exit, exited := errors.AsType[*checks.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return out, ctx.Err()
	case errors.Is(err, fs.ErrNotExist), exited && exit.Code == 127:
		return out, errors.New("the carbonio command is missing: carbonio-advanced is not installed")
	case err != nil:
		out.Unlisted = err.Error()
		return out, nil
	}
	buckets, secrets, err := parseBuckets(text)
	if err != nil {
		out.Unlisted = err.Error()
	}
	out.Buckets = buckets
	for i := range buckets[:min(len(buckets), maxBuckets)] {
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

// carbonioShell runs the commands of Carbonio, which draw a progress line unless
// they know the terminal.
func carbonioShell(ctx context.Context, host checks.Host) (checks.Shell, error) {
	run, err := host.Zextras(ctx)
	return func(ctx context.Context, line string) (string, error) {
		return run(ctx, "TERM=xterm-256color PATH=/opt/zextras/bin:$PATH "+line)
	}, err
}

// uuidForm keeps the text of a listing out of our command lines.
var uuidForm = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// testConnection succeeds with the phrase "connection ok" and exit status 0. No
// other output is documented in the manual, so it is kept verbatim.
func testConnection(ctx context.Context, run checks.Shell, uuid string, secrets []string) *test {
	text, err := run(ctx, "carbonio core testS3Connection "+uuid)
	text = scrub(stripped(text), secrets)
	if exit, exited := errors.AsType[*checks.ExitError](err); exited {
		return &test{Exit: exit.Code, Output: strings.TrimSpace(text + "\n" + scrub(exit.Stderr, secrets))}
	} else if err != nil {
		return &test{Unseen: scrub(err.Error(), secrets)}
	}
	return &test{OK: phrase.MatchString(text), Output: text}
}

var (
	phrase  = regexp.MustCompile(`(?m)(^|\s)connection ok\s*$`)
	escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[a-zA-Z]")
)

// stripped is an output without colours, cut to what a report can show.
func stripped(text string) string {
	text = strings.TrimSpace(escapes.ReplaceAllString(text, ""))
	return strings.ToValidUTF8(text[:min(len(text), maxWords)], "")
}

// scrub removes known secrets from an output.
func scrub(text string, secrets []string) string {
	for _, s := range secrets {
		text = strings.ReplaceAll(text, s, "[redacted]")
	}
	return text
}

// parseBuckets reads listBuckets: JSON with its payload under "response", whose
// shape is not documented, or the documented text. It also returns the
// credentials found there.
func parseBuckets(text string) (buckets []known, secrets []string, err error) {
	tree, ok := payload(text)
	if !ok {
		tree = textTree(text)
	}
	walkTree(tree, "", func(_ string, object map[string]any) {
		for k, v := range object {
			if s, ok := v.(string); ok && secretKey.MatchString(k) && isSecret(s) {
				secrets = append(secrets, s)
			}
		}
		b := known{UUID: field(object, "uuid", "bucketConfigurationId", "id"), Name: field(object, "bucketName", "bucket_name")}
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
	if len(buckets) == 0 && (strings.Contains(text, "bucketName") || !ok && strings.TrimSpace(text) != "") {
		return nil, secrets, errors.New("the output of listBuckets has an unknown form")
	}
	return buckets, secrets, nil
}

var secretKey = regexp.MustCompile(`(?i)^(secret|secret_?key|access_?key|password)$`)

// isSecret: "xxxxx" is how the manual masks a secret, and a very short one would
// redact half of every text.
func isSecret(s string) bool { return len(s) >= 4 && strings.Trim(s, "x*") != "" }

var useForm = regexp.MustCompile(`^server:\s*(\S+)\s+volume:\s*(\S.*?)\s*$`)

// textTree reads the documented text as if it were JSON: a key and its value on
// each line, and below "usage in powerstore volumes" a line for each volume.
func textTree(text string) any {
	bucket, usage := map[string]any{}, ""
	buckets := []any{bucket}
	for line := range strings.Lines(escapes.ReplaceAllString(text, "")) {
		line = strings.TrimSpace(line)
		key, value, _ := strings.Cut(line, " ")
		if key == "bucketName" {
			bucket = map[string]any{}
			buckets = append(buckets, bucket)
		}
		if m := useForm.FindStringSubmatch(line); m != nil {
			uses, _ := bucket[usage].([]any)
			bucket[usage] = append(uses, map[string]any{"server": m[1], "volume": m[2]})
			continue
		}
		usage = line
		bucket[key] = strings.TrimSpace(value)
	}
	return buckets
}

// payload is the "response" of a JSON output, unless that reports an error.
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
		return object["response"], object["ok"] != false
	}
	return tree, true
}

// walkTree visits every object of a JSON tree, in the order of its keys; path
// joins the keys that lead to it.
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

// field is the first value that an object has under one of the keys, whatever
// their case: text, or "true" and "false" of a boolean.
func field(object map[string]any, keys ...string) string {
	for _, key := range keys {
		for _, k := range slices.Sorted(maps.Keys(object)) {
			switch v := object[k].(type) {
			case string, bool:
				if strings.EqualFold(k, key) {
					return fmt.Sprint(v)
				}
			}
		}
	}
	return ""
}

// flag is a boolean, written as such or as a word; nil if there is none.
func flag(object map[string]any, keys ...string) *bool {
	word := field(object, keys...)
	if word == "" {
		return nil
	}
	return new(strings.EqualFold(word, "true"))
}

// parseVolumes reads the primary volumes from the JSON of getAllVolumes; what it
// does not say stays unknown.
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
		return nil, errors.New("getAllVolumes lists no primary volume in a known form")
	}
	return out, nil
}
