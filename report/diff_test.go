package report

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

func TestDiff(t *testing.T) {
	before, after := scenario{run: run("svc1")}, scenario{run: run("svc1")}
	before.add(
		seen(checks.Fail, "hosts.syntax", "/etc/hosts:4", "reversed"),
		seen(checks.Warn, "clock.offset", "svc1", "off by 0.6 s"),
		seen(checks.Pass, "dns.resolvers", "10.0.0.53", "responds"))
	after.add(
		seen(checks.Pass, "hosts.syntax", "/etc/hosts:4", "good"),
		seen(checks.Fail, "clock.offset", "svc1", "off by 6 s"),
		seen(checks.Unknown, "dns.resolvers", "10.0.0.53", "could not be seen"),
		blocked("dns.forward", "svc2", "dns.resolvers", "10.0.0.53"))
	older, newer := render(t, JSON, before.report(Options{})), render(t, JSON, after.report(Options{}))
	var b bytes.Buffer
	worse, err := Diff(&b, [2]string{"old", "new"}, []byte(older), []byte(newer))
	require.NoError(t, err)
	require.True(t, worse)
	require.Equal(t, `new: 1
  unknown dns.resolvers 10.0.0.53 svc1.example.com: could not be seen
fixed: 1
  fail    hosts.syntax /etc/hosts:4 svc1.example.com: reversed
still: 1
  fail    clock.offset svc1 svc1.example.com: off by 6 s
`, b.String())
	worse, err = Diff(&b, [2]string{"new", "new"}, []byte(newer), []byte(newer))
	require.NoError(t, err)
	require.False(t, worse)
	for _, texts := range [][2]string{{"x", newer}, {newer, "x"}} {
		_, err = Diff(&b, [2]string{"old", "new"}, []byte(texts[0]), []byte(texts[1]))
		require.Error(t, err)
	}
}
