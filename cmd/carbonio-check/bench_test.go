package main

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/runner"
)

// binary builds the program as it is shipped: static and stripped.
func binary(b *testing.B) string {
	b.Helper()
	path := filepath.Join(b.TempDir(), "carbonio-check")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	output, err := build.CombinedOutput()
	require.NoError(b, err, string(output))
	return path
}

// Cold start: at most 20 ms. The size of the binary, at most 20 MB, beside it.
func BenchmarkVersion(b *testing.B) {
	path := binary(b)
	info, err := os.Stat(path)
	require.NoError(b, err)
	for b.Loop() {
		require.NoError(b, exec.Command(path, "version").Run())
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
}

// The whole of `all` on this machine: what it costs beyond its slowest single
// observation, at most 100 ms.
func BenchmarkAll(b *testing.B) {
	path := binary(b)
	var over time.Duration
	for b.Loop() {
		started := time.Now()
		// The observations go to a pipe; the names of a private domain without
		// resolver make nothing wait but the looks themselves.
		text, _ := exec.Command(path, "observe", "all", "--as", "srv1.example.com").Output()
		wall := time.Since(started)
		records, err := runner.Read("observe", bytes.NewReader(text))
		require.NoError(b, err)
		var slowest time.Duration
		for _, o := range records[0].Observations {
			slowest = max(slowest, o.Took)
		}
		over += wall - slowest
	}
	b.ReportMetric(float64(over.Milliseconds())/float64(b.N), "ms-over-slowest")
}

// 14 nodes of 10 ports each, all of them dropped, in a network namespace of its
// own: at --timeout 1s at most 1.3 s.
func BenchmarkBlackHoledPorts(b *testing.B) {
	if os.Getuid() != 0 {
		b.Skip("needs root: it makes a network namespace")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		b.Skip("needs ip of iproute2")
	}
	path := binary(b)
	dir := b.TempDir()
	inventory := filepath.Join(dir, "inventory")
	script := filepath.Join(dir, "run.sh")
	var text, setup strings.Builder
	text.WriteString("[applicationServers]\nmbox0.example.com ansible_host=10.99.0.1\n")
	setup.WriteString("set -e\nip link set lo up\nip link add v0 type veth peer name v1\n" +
		"ip addr add 10.99.0.1/24 dev v0\nip link set v0 up\nip link set v1 up\n")
	for i := range 14 {
		a := netip.AddrFrom4([4]byte{10, 99, 0, byte(i + 2)})
		fmt.Fprintf(&text, "mbox%d.example.com ansible_host=%s\n", i+1, a)
		// A neighbour that is known and not there: what is sent to it is lost.
		fmt.Fprintf(&setup, "ip neigh add %s lladdr 02:00:00:00:00:%02x dev v0 nud permanent\n", a, i+2)
	}
	fmt.Fprintf(&setup, "time -p %s observe network.port -i %s --as mbox0.example.com --timeout 1s > %s/seen\n", path, inventory, dir)
	require.NoError(b, os.WriteFile(inventory, []byte(text.String()), 0o600))
	require.NoError(b, os.WriteFile(script, []byte(setup.String()), 0o700))
	var ports int
	var wall float64
	for b.Loop() {
		output, err := exec.Command("unshare", "-n", "bash", script).CombinedOutput()
		require.NoError(b, err, string(output))
		_, rest, _ := strings.Cut(string(output), "real ")
		var real float64
		_, err = fmt.Sscanf(rest, "%f", &real)
		require.NoError(b, err, string(output))
		wall += real
		seen, err := os.ReadFile(filepath.Join(dir, "seen"))
		require.NoError(b, err)
		ports = bytes.Count(seen, []byte("\n")) - 1
	}
	b.ReportMetric(float64(ports), "ports")
	b.ReportMetric(wall/float64(b.N), "s-wall")
}
