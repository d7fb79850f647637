package report

import (
	"fmt"
	"io"
	"testing"

	"carbonio-check/checks"
	"carbonio-check/terminal"
)

// BenchmarkRender draws platforms of 10,000 and 100,000 findings; the time for
// one finding is the same.
func BenchmarkRender(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		s := scenario{run: run("svc1")}
		for i := range n {
			status := []checks.Status{checks.Pass, checks.Pass, checks.Pass, checks.Fail, checks.Warn, checks.Unknown}[i%6]
			target := fmt.Sprintf("mbox%d.example.com:%d/tcp", i/10, 8000+i%10)
			s.add(seen(status, fmt.Sprintf("network.port%d", i%10), target, target+" does not answer").
				Saw("no response within 1 s").Wanted("open").Fix("nft list ruleset    # on " + target))
		}
		r := s.report(Options{})
		for _, c := range []struct {
			name   string
			render func(io.Writer, Report) error
		}{{"json", JSON}, {"junit", JUnit}, {"tty", tty(terminal.Terminal{Color: true})}} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) { perFinding(b, n, func() { _ = c.render(io.Discard, r) }) })
		}
		b.Run(fmt.Sprintf("new/%d", n), func(b *testing.B) { perFinding(b, n, func() { s.report(Options{}) }) })
	}
}

func perFinding(b *testing.B, n int, f func()) {
	b.ReportAllocs()
	for b.Loop() {
		f()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/finding")
}
