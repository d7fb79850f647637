package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/fixtures/fakes3"
	"carbonio-check/s3bench"
)

// The benchmark's command line, each script on an object store of its own:
// $S3 is a healthy one, $LOCKED has object lock, $NODELETE lets nobody delete.
func TestS3benchScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/s3bench",
		RequireExplicitExec: true,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "keys": keys, "put": put,
		},
		Setup: func(env *testscript.Env) error {
			for _, v := range []string{"COLUMNS", "NO_COLOR", "LC_CTYPE", "LANG"} {
				env.Setenv(v, "")
			}
			env.Setenv("LC_ALL", "C.UTF-8")
			env.Setenv("AWS_ACCESS_KEY_ID", fakes3.AccessKey)
			env.Setenv("AWS_SECRET_ACCESS_KEY", fakes3.SecretKey)
			env.Setenv("BUCKET", fakes3.Bucket)
			for name, o := range map[string]fakes3.Options{
				"S3": {}, "TLS": {TLS: true}, "LOCKED": {ObjectLock: true},
				"NODELETE": {Deny: func(a string) bool { return a == "s3:DeleteObject" }},
			} {
				server, err := fakes3.Start(o)
				if err != nil {
					return err
				}
				env.Defer(func() { server.Close() })
				env.Setenv(name, server.URL())
				env.Values[name] = server
				if name == "TLS" {
					if err := os.WriteFile(filepath.Join(env.WorkDir, "ca.pem"), server.CAPEM(), 0o600); err != nil {
						return err
					}
				}
			}
			return nil
		},
	})
}

// keys SERVER KEY… : exactly these are in the bucket.
func keys(ts *testscript.TestScript, neg bool, args []string) {
	server := ts.Value(args[0]).(*fakes3.Server)
	got := strings.Join(server.Keys(), " ")
	if want := strings.Join(args[1:], " "); (got == want) == neg {
		ts.Fatalf("keys in the bucket: %q", got)
	}
}

// put SERVER KEY… : somebody else writes these.
func put(ts *testscript.TestScript, _ bool, args []string) {
	for _, key := range args[1:] {
		ts.Value(args[0]).(*fakes3.Server).Put(key, []byte("foreign"))
	}
}

// A signal in the middle: what was measured is written, the bucket is as it was,
// and no secret went anywhere: not even to the process's command line.
func TestS3benchInterrupted(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			var requests atomic.Int64
			busy := make(chan struct{})
			server, err := fakes3.Start(fakes3.Options{Versioning: true, Intercept: func(http.ResponseWriter, *http.Request) bool {
				if requests.Add(1) == 100 {
					close(busy)
				}
				return false
			}})
			require.NoError(t, err)
			defer server.Close()
			foreign := []string{"carbonio-check/ffeeddccbbaa9988/1000/1", "carbonio-check/readme", "mail"}
			for _, key := range foreign {
				server.Put(key, []byte("foreign"))
			}
			dir := t.TempDir()
			cmd := exec.Command("carbonio-check", "s3bench", "--endpoint", server.URL(), "--bucket", fakes3.Bucket, "--sizes", "1000", "--duration", "1m", "--objects", "1000000", "-o", "json=bench.json", "-o", "tty")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+fakes3.AccessKey, "AWS_SECRET_ACCESS_KEY="+fakes3.SecretKey)
			var output bytes.Buffer
			cmd.Stdout, cmd.Stderr = &output, &output
			require.NoError(t, cmd.Start())
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			select {
			case <-busy:
			case <-time.After(time.Minute):
				t.Fatal("nothing happened")
			}
			title, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(cmd.Process.Pid), "cmdline"))
			if err == nil {
				assert.NotContains(t, string(title), fakes3.SecretKey)
			}
			require.NoError(t, cmd.Process.Signal(signal))
			require.Equal(t, exitInterrupted, exitCode(cmd.Wait()), output.String())

			assert.ElementsMatch(t, foreign, server.Keys())
			assert.Len(t, server.Versions(), len(foreign))
			b, err := os.ReadFile(filepath.Join(dir, "bench.json"))
			require.NoError(t, err)
			var r s3bench.Result
			require.NoError(t, json.Unmarshal(b, &r))
			assert.True(t, r.Interrupted)
			require.NotEmpty(t, r.Steps)
			for _, m := range server.Mutations() {
				require.True(t, strings.HasPrefix(m.Key, "carbonio-check/"+r.ID+"/"), m.Key)
			}
			said := output.String() + string(b)
			assert.Contains(t, said, "INTERRUPTED")
			assert.NotContains(t, said, fakes3.SecretKey)
			assert.NotContains(t, said, fakes3.AccessKey)
		})
	}
}
