package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/fixtures/fakes3"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"carbonio-check": main})
}

// The command line, as a user meets it: testdata/script. In a script,
// "exits 2 carbonio-check …" runs a command that must end with that status.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"exits": exits},
		Setup: func(env *testscript.Env) error {
			// Nothing of the machine that runs the tests shows through.
			for _, v := range []string{"COLUMNS", "NO_COLOR", "LC_CTYPE", "LANG"} {
				env.Setenv(v, "")
			}
			env.Setenv("LC_ALL", "C.UTF-8")
			return nil
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// A run that hangs in a benchmark is interrupted: it writes the report of what it
// saw, says so, and leaves neither a temporary file nor an object behind. The
// benchmark is made after everything else, so all else was seen by then.
func TestInterruptStillWritesTheReport(t *testing.T) {
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		t.Run(signal.String(), func(t *testing.T) {
			const others = 200 // what the other looks at a bucket never come to
			var requests atomic.Int64
			benchmark := make(chan struct{})
			server, err := fakes3.Start(fakes3.Options{Intercept: func(_ http.ResponseWriter, r *http.Request) bool {
				n := requests.Add(1)
				if n == others {
					close(benchmark)
				}
				if n >= others && r.Method == http.MethodGet && r.URL.RawQuery == "" {
					<-r.Context().Done() // an object is never read
					return true
				}
				return false
			}})
			require.NoError(t, err)
			defer server.Close()
			config := filepath.Join(t.TempDir(), "config.yaml")
			require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "s3: [{endpoint: %q, bucket: %s, path_style: true, access_key: {env: A}, secret_key: {env: B}}]\n",
				server.URL(), fakes3.Bucket), 0o600))
			t.Setenv("A", fakes3.AccessKey)
			t.Setenv("B", fakes3.SecretKey)
			dir, cmd := started(t, "", "-o", "json=report.json", "-c", config, "--benchmark", "s3.throughput", "clock.timezone")
			<-benchmark
			require.NoError(t, cmd.Process.Signal(signal))
			err = cmd.Wait()
			require.Equal(t, exitInterrupted, exitCode(err), "%v", err)
			assert.Empty(t, server.Keys())

			var r struct {
				Run      struct{ Interrupted bool }
				Verdict  string
				Findings []struct{ Check, Status, Message string }
			}
			b, err := os.ReadFile(filepath.Join(dir, "report.json"))
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(b, &r))
			assert.True(t, r.Run.Interrupted)
			assert.NotEqual(t, "ready", r.Verdict)
			statuses := map[string]string{}
			for _, f := range r.Findings {
				statuses[f.Check] = f.Status
			}
			assert.Equal(t, "unknown", statuses["s3.throughput"])
			assert.Equal(t, "pass", statuses["clock.timezone"])
			left, err := filepath.Glob(filepath.Join(dir, ".report*"))
			require.NoError(t, err)
			assert.Empty(t, left)
		})
	}
}

// The deadline of the run ends it like an interrupt, but it is not one: what
// was not seen is unknown, and the exit status says so.
func TestDeadlineStillWritesTheReport(t *testing.T) {
	_, cmd := hanging(t, "-o", "json", "--timeout", "1m", "--deadline", "300ms", "clock.offset")
	assert.Equal(t, 3, exitCode(cmd.Wait()))
}

// A pipe that nobody writes to does not hold judge when the user has enough.
func TestInterruptEndsReading(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	cmd := exec.Command("carbonio-check", "judge", pipe, "-")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0) // returns once judge has opened it to read
	require.NoError(t, err)
	defer w.Close()
	defer stdin.Close()
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	assert.Equal(t, exitInterrupted, exitCode(cmd.Wait()))
}

// hanging starts carbonio-check on a root whose only time server never answers,
// and returns once it has been asked.
func hanging(t *testing.T, args ...string) (dir string, cmd *exec.Cmd) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { server.Close() })
	port := server.LocalAddr().(*net.UDPAddr).Port
	dir, cmd = started(t, fmt.Sprintf("server 127.0.0.1 port %d iburst\n", port), args...)
	_, _, err = server.ReadFrom(make([]byte, 512))
	require.NoError(t, err)
	return dir, cmd
}

// started starts carbonio-check on a root with that configuration of chrony.
func started(t *testing.T, chrony string, args ...string) (dir string, cmd *exec.Cmd) {
	t.Helper()
	dir = t.TempDir()
	root := filepath.Join(dir, "root")
	for name, text := range map[string]string{
		"etc/chrony/chrony.conf": chrony,
		"etc/timezone":           "Etc/UTC\n",
		"etc/hostname":           "srv1.example.com\n",
		"etc/os-release":         "ID=ubuntu\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(root, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(text), 0o644))
	}
	require.NoError(t, os.Symlink("/usr/share/zoneinfo/Etc/UTC", filepath.Join(root, "etc/localtime")))

	cmd = exec.Command("carbonio-check", append([]string{"--root", root, "--phase", "preinstall"}, args...)...)
	cmd.Dir = dir
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return dir, cmd
}

func exitCode(err error) int {
	if e, ok := errors.AsType[*exec.ExitError](err); ok {
		return e.ExitCode()
	}
	return 0
}
