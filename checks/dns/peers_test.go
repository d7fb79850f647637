package dns

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"carbonio-check/fixtures/fakedns"
)

// The tools that an administrator would use instead, with the same server and
// the same names as BenchmarkDNS56. A tool that is not there is skipped.

func BenchmarkDNS56PeerDig(b *testing.B) { peer(b, "dig", true) }

func BenchmarkDNS56PeerMdig(b *testing.B) { peer(b, "mdig", false) }

func peer(b *testing.B, name string, fromFile bool) {
	program, err := exec.LookPath(name)
	if err != nil {
		b.Skip(err)
	}
	server := serve(b, fakedns.Zone{"*": {Records: []string{"A 10.0.0.1"}, Delay: 20 * time.Millisecond}})
	at := netip.MustParseAddrPort(server)
	args := []string{"@" + at.Addr().String(), "-p", fmt.Sprint(at.Port())}
	var names []string
	for i := range 56 {
		names = append(names, fmt.Sprintf("n%d.example.com", i))
	}
	if fromFile {
		file := filepath.Join(b.TempDir(), "names")
		if err := os.WriteFile(file, []byte(strings.Join(names, "\n")), 0o600); err != nil {
			b.Fatal(err)
		}
		args = append(args, "-f", file)
	} else {
		args = append(args, names...)
	}
	for b.Loop() {
		out, err := exec.Command(program, append(args, "+short")...).CombinedOutput()
		if got := strings.Count(string(out), "10.0.0.1"); err != nil || got != len(names) && fromFile {
			b.Fatalf("%v: %d answers", err, got)
		}
	}
}
