package machine

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

func TestRunKeepsTheEnvironmentToItself(t *testing.T) {
	t.Setenv("S3_SECRET_KEY", "hush")
	t.Setenv("LANG", "it_IT.UTF-8")
	out, err := run(t.Context(), "env")
	require.NoError(t, err)
	require.Contains(t, out, "LC_ALL=C\n")
	require.NotContains(t, out, "hush")
	require.NotContains(t, out, "it_IT")
}

func TestRunFindsPrograms(t *testing.T) {
	dir, here := t.TempDir(), t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "tool"), []byte("#!/bin/sh\necho mine \"$@\"\n"), 0o755))
	require.NoError(t, os.Mkdir(filepath.Join(here, "bin"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(here, "bin", "tool"), []byte("#!/bin/sh\necho a trap\n"), 0o755))
	t.Chdir(here)
	t.Setenv("PATH", "bin:.:"+dir)
	out, err := run(t.Context(), "tool", "a b", "$(id)")
	require.NoError(t, err)
	require.Equal(t, "mine a b $(id)\n", out, "no shell sees the arguments")

	out, err = run(t.Context(), "sh", "-c", "echo found beside PATH")
	require.NoError(t, err)
	require.Equal(t, "found beside PATH\n", out)

	for _, name := range []string{"no-such-tool", "/no/such/tool"} {
		_, err = run(t.Context(), name)
		require.ErrorIs(t, err, fs.ErrNotExist)
	}
}

func TestRunReportsFailures(t *testing.T) {
	out, err := run(t.Context(), "sh", "-c", `echo seen; echo first >&2; printf 'last words \n\n' >&2; exit 3`)
	require.Equal(t, "seen\n", out)
	require.Equal(t, &checks.ExitError{Name: "sh", Code: 3, Stderr: "last words"}, err)

	_, err = run(t.Context(), "sh", "-c", `head -c 100000 /dev/zero | tr '\0' x >&2; exit 1`)
	var exit *checks.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, strings.Repeat("x", 300), exit.Stderr)

	_, err = run(t.Context(), "sh", "-c", `kill -TERM $$`)
	require.EqualError(t, err, "sh: signal: terminated")
}

func TestRunBoundsOutput(t *testing.T) {
	out, err := run(t.Context(), "yes")
	require.ErrorContains(t, err, "yes: output larger than 1048576 bytes")
	require.Len(t, out, maxOutput)
	out, err = run(t.Context(), "head", "-c", "1048576", "/dev/zero")
	require.NoError(t, err)
	require.Len(t, out, maxOutput)
}

func TestRunDoesNotWaitForGrandchildren(t *testing.T) {
	start := time.Now()
	out, err := run(t.Context(), "sh", "-c", "sleep 60 & echo $!")
	require.NoError(t, err)
	require.Less(t, time.Since(start), 30*time.Second)
	pid := number(t, out)
	require.NoError(t, syscall.Kill(pid, syscall.SIGKILL), "the grandchild was not there at all")
}

func TestRunKillsTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := run(ctx, "sh", "-c", "sleep 60 & echo $! >"+file+"; wait")
		ended <- err
	}()
	var pid int
	require.Eventually(t, func() bool {
		b, _ := os.ReadFile(file)
		if !strings.HasSuffix(string(b), "\n") {
			return false
		}
		pid = number(t, string(b))
		return true
	}, 10*time.Second, time.Millisecond)
	cancel()
	err := <-ended
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "sh did not finish in time")
	require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, time.Millisecond)
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(strings.TrimSpace(s))
	require.NoError(t, err)
	require.NotZero(t, n)
	return n
}

// gone: without an init that reaps it, a dead process stays as a zombie.
func gone(pid int) bool {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	return err != nil || strings.Contains(string(b), ") Z ")
}
