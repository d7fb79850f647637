package path_test

import (
	"os/exec"
	"testing"
	"time"

	"carbonio-check/fixtures/netsim"
)

// The tools that an administrator would use instead, on the same network as
// BenchmarkPathAlive and BenchmarkPathDead. A tool that is not there is skipped.

func BenchmarkPathAlivePeerTracerouteICMP(b *testing.B) {
	peer(b, "traceroute", "-n", "-I", host.String())
}

func BenchmarkPathAlivePeerTracerouteWide(b *testing.B) {
	peer(b, "traceroute", "-n", "-N", "32", "-q", "1", host.String())
}

func BenchmarkPathAlivePeerTracepath(b *testing.B) {
	peer(b, "tracepath", "-n", host.String())
}

func BenchmarkPathAlivePeerMTR(b *testing.B) {
	peer(b, "mtr", "-n", "-r", "-c", "1", host.String())
}

func BenchmarkPathDeadPeerTracerouteWide(b *testing.B) {
	peer(b, "traceroute", "-n", "-w", "1", "-N", "64", dead.String())
}

func peer(b *testing.B, name string, args ...string) {
	program, err := exec.LookPath(name)
	if err != nil {
		b.Skip(err)
	}
	netsim.Start(b, netsim.Network{Hops: 8, RTT: 5 * time.Millisecond})
	for b.Loop() {
		if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}
