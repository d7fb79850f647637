package s3

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

const uuid = "58fa4ca2-31dd-4209-aa23-48b33b116090"

// The text is the manual's; the JSON has what Carbonio's JSON always has
// (a "response"), and the rest in the shapes that its other commands use.
const documented = `bucketName                                hsm
protocol                                  HTTPS
storeType                                 S3
accessKey                                 xxxxx
region                                    EU_WEST_1
uuid                                      58fa4ca2-31dd-4209-aa23-48b33b116090
usage in powerstore volumes
                server: srv1                    volume: centralized-s3
                server: srv2                    volume: centralized-s3
usage in external backup                  unused

bucketName                                backup
storeType                                 MinIO
accessKey                                 AKIDLEAKED
uuid                                      11111111-2222-3333-4444-555555555555
usage in powerstore volumes               unused
usage in external backup
                server: srv1                    volume: backup
`

func TestParseBuckets(t *testing.T) {
	hsm := known{UUID: uuid, Name: "hsm", Uses: []use{{"srv1", "centralized-s3"}, {"srv2", "centralized-s3"}}}
	for name, c := range map[string]struct {
		text    string
		want    []known
		secrets []string
	}{
		"documented": {
			documented,
			[]known{hsm, {UUID: "11111111-2222-3333-4444-555555555555", Name: "backup"}},
			[]string{"AKIDLEAKED"},
		},
		"coloured": {"\x1b[1mbucketName\x1b[0m hsm\nuuid " + uuid + "\n", []known{{UUID: uuid, Name: "hsm"}}, nil},
		"list": {
			`{"ok":true,"response":{"buckets":[{"bucketName":"hsm","storeType":"S3","uuid":"` + uuid + `","secret":"hunter22",
			"usage in powerstore volumes":[{"server":"srv1","volume":"centralized-s3"},{"server":"srv2","volume":"centralized-s3"}],
			"usage in external backup":[{"server":"srv9","volume":"backup"}]}]}}`,
			[]known{hsm},
			[]string{"hunter22"},
		},
		"map by ID": {
			`{"response":{"` + uuid + `":{"uuid":"` + uuid + `","bucketName":"hsm","usage in powerstore volumes":"unused"}}}`,
			[]known{{UUID: uuid, Name: "hsm"}},
			nil,
		},
		"words before":                  {"Loading…\n" + `{"response":[{"uuid":"` + uuid + `","bucketName":"hsm"}]}`, []known{{UUID: uuid, Name: "hsm"}}, nil},
		"none":                          {`{"response":{"buckets":[]},"ok":true}`, nil, nil},
		"nothing":                       {"", nil, nil},
		"words that are no listing":     {"Unable to connect\n", nil, nil},
		"an error in JSON":              {`{"ok":false,"response":{},"error":"not initialised"}`, nil, nil},
		"a command for a UUID, in JSON": {`{"response":[{"uuid":"$(reboot)","bucketName":"hsm"}]}`, nil, nil},
		"a command for a UUID":          {"bucketName hsm\nuuid $(reboot)\n", nil, nil},
	} {
		got, secrets, err := parseBuckets(c.text)
		require.Equal(t, c.want, got, name)
		require.Equal(t, c.secrets, secrets, name)
		bad := strings.HasPrefix(name, "a command") || strings.Contains(name, "error") || strings.HasPrefix(name, "words that")
		require.Equal(t, bad, err != nil, name)
	}
}

func TestParseVolumes(t *testing.T) {
	yes, no := true, false
	got, err := parseVolumes(`{"response":{"primaries":[
		{"id":1,"name":"message1","isCurrent":false,"centralized":false,"storeType":"Local"},
		{"id":4,"name":"centralized-ha","isCurrent":"true","centralized":true,"storeType":"MinIO"}],
		"secondaries":[{"name":"hsm"}],"indexes":[{"name":"index1"}]}}`)
	require.NoError(t, err)
	require.Equal(t, []volume{
		{Name: "message1", Current: &no, Centralized: &no, Store: "Local"},
		{Name: "centralized-ha", Current: &yes, Centralized: &yes, Store: "MinIO"},
	}, got)
	for _, text := range []string{"", "primaries\n  name message1", `{"response":{}}`, `{"response":{"secondaries":[{"name":"hsm"}]}}`} {
		_, err := parseVolumes(text)
		require.Error(t, err, text)
	}
}

func FuzzParseCarbonio(f *testing.F) {
	f.Add(documented)
	f.Add(`{"response":{"buckets":[{"bucketName":"hsm","uuid":"` + uuid + `","usage in powerstore volumes":[{"server":"a"}]}]}}`)
	f.Add(`[[[[{"primaries":{"name":{}}}]]]]`)
	f.Fuzz(func(t *testing.T, text string) {
		buckets, _, _ := parseBuckets(text)
		for _, b := range buckets {
			require.Regexp(t, uuidForm, b.UUID, "it goes into a command line")
		}
		_, _ = parseVolumes(text)
	})
}

// withCarbonio answers the commands of zextras, given to su as they are typed.
func withCarbonio(uid int, outputs map[string]string, failures map[string]*checks.ExitError) checks.Host {
	return checks.Host{
		Machine: checkstest.Machine{User: uid},
		Run: func(_ context.Context, name string, args ...string) (string, error) {
			line := strings.TrimPrefix(args[len(args)-1], "TERM=xterm-256color PATH=/opt/zextras/bin:$PATH ")
			if name != "su" || line == args[len(args)-1] {
				return "", fmt.Errorf("%s: %w", name, os.ErrNotExist)
			}
			if err := failures[line]; err != nil {
				return outputs[line], err
			}
			out, ok := outputs[line]
			if !ok {
				return "", &checks.ExitError{Name: "su", Code: 127, Stderr: "command not found"}
			}
			return out, nil
		},
	}
}

func TestObserveCarbonio(t *testing.T) {
	const (
		list = "carbonio --json core listBuckets all"
		test = "carbonio core testS3Connection " + uuid
		vols = "carbonio --json powerstore getAllVolumes"
	)
	listing := `{"response":[{"uuid":"` + uuid + `","bucketName":"hsm","accessKey":"AKIDLEAKED"}]}`
	volumes := `{"response":{"primaries":[{"name":"centralized-ha","centralized":true}]}}`
	for name, c := range map[string]struct {
		host  checks.Host
		want  string // of the data, as JSON
		error string
	}{
		"healthy": {
			host: withCarbonio(0, map[string]string{list: listing, test: "\x1b[32mconnection ok\x1b[0m\n", vols: volumes}, nil),
			want: `{"buckets":[{"uuid":"` + uuid + `","name":"hsm","test":{"ok":true,"exit":0,"output":"connection ok"}}],"primaries":[{"name":"centralized-ha","centralized":true}]}`,
		},
		"a refusal, with the key in it": {
			host: withCarbonio(0, map[string]string{list: listing, test: "no connection okay for AKIDLEAKED\n", vols: volumes},
				map[string]*checks.ExitError{test: {Name: "su", Code: 1, Stderr: "403 for AKIDLEAKED"}}),
			want: `{"buckets":[{"uuid":"` + uuid + `","name":"hsm","test":{"ok":false,"exit":1,"output":"no connection okay for [redacted]\n403 for [redacted]"}}],"primaries":[{"name":"centralized-ha","centralized":true}]}`,
		},
		"the phrase, and another exit status": {
			host: withCarbonio(0, map[string]string{list: listing, test: "connection ok\n", vols: "?"}, map[string]*checks.ExitError{test: {Name: "su", Code: 3}}),
			want: `{"buckets":[{"uuid":"` + uuid + `","name":"hsm","test":{"ok":false,"exit":3,"output":"connection ok"}}],"unread":"getAllVolumes printed no JSON"}`,
		},
		"not the phrase": {
			host: withCarbonio(0, map[string]string{list: listing, test: "connection ok?\n", vols: volumes}, nil),
			want: `{"buckets":[{"uuid":"` + uuid + `","name":"hsm","test":{"ok":false,"exit":0,"output":"connection ok?"}}],"primaries":[{"name":"centralized-ha","centralized":true}]}`,
		},
		"the service is down": {
			host: withCarbonio(0, map[string]string{}, map[string]*checks.ExitError{list: {Name: "su", Code: 1, Stderr: "Unable to connect"}}),
			want: `{"unlisted":"su exited with status 1: Unable to connect"}`,
		},
		"no carbonio command": {host: withCarbonio(0, nil, nil), want: "{}", error: "carbonio-advanced is not installed"},
		"not root":            {host: withCarbonio(1000, nil, nil), want: "{}", error: "run carbonio-check as root"},
	} {
		data, err := observeCarbonio(t.Context(), c.host, checks.Target[checks.Nothing]{})
		if c.error == "" {
			require.NoError(t, err, name)
		} else {
			require.ErrorContains(t, err, c.error, name)
		}
		got, err := json.Marshal(data)
		require.NoError(t, err)
		require.JSONEq(t, c.want, string(got), name)
	}
}
