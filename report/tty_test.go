package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

// checkTTY looks at every line: nothing but commands may be wider than the
// terminal, and without colours nothing but text is in it.
func checkTTY(t *testing.T, r Report, terminal Terminal) string {
	t.Helper()
	page := draw(t, tty(terminal), r)
	width := newCanvas(terminal).width
	command := false
	for l := range strings.Lines(page) {
		l = strings.TrimSuffix(l, "\n")
		if strings.ContainsFunc(l, func(c rune) bool {
			return c < ' ' || c >= 0x7f && c < 0xa0 || terminal.ASCII && c > '~'
		}) {
			t.Fatalf("%q holds what is not text", l)
		}
		switch label := strings.TrimSpace(l[:min(len(l), 12)]); {
		case strings.HasPrefix(label, "fix"), strings.HasPrefix(label, "more"):
			command = true
		case strings.HasPrefix(l, "       ") && command: // the next line of one
		default:
			command = false
		}
		if !command && ansi.StringWidth(l) > width {
			t.Fatalf("%q is wider than %d", l, width)
		}
	}
	return page
}

func TestTTYWidths(t *testing.T) {
	for _, s := range scenarios() {
		for width := range 130 {
			checkTTY(t, s.report(Options{}), Terminal{Width: width})
			checkTTY(t, s.report(Options{}), Terminal{Width: width, ASCII: true})
		}
	}
}

// TestTTYColor holds that colours are all that they add.
func TestTTYColor(t *testing.T) {
	for name, s := range scenarios() {
		r := s.report(Options{})
		colored := draw(t, tty(Terminal{Color: true}), r)
		require.Contains(t, colored, "\x1b[1m", name)
		require.Equal(t, draw(t, tty(Terminal{}), r), ansi.Strip(colored), name)
	}
}

func TestTTYVerdict(t *testing.T) {
	of := func(statuses string, options Options, cut bool) string {
		s := scenario{run: run("svc1")}
		s.run.Interrupted = cut
		for status := range strings.FieldsSeq(statuses) {
			s.add(seen(checks.Status(status), "a.b", "", "said"))
		}
		lines := strings.Split(strings.TrimSpace(draw(t, tty(Terminal{}), s.report(options))), "\n")
		return lines[len(lines)-1]
	}
	require.Equal(t, "NOT READY — 3 to fix, 2 warnings, 4 passed (2.1 s)", of("fail fail fail warn warn pass pass pass pass skip", Options{}, false))
	require.Equal(t, "READY — 1 warning, 1 passed (2.1 s)", of("pass warn", Options{}, false))
	require.Equal(t, "READY — 1 warning (--fail-on warn), 1 passed (2.1 s)", of("pass warn", Options{FailOnWarn: true}, false))
	require.Equal(t, "READY — 1 passed (2.1 s)", of("pass", Options{}, false))
	require.Equal(t, "UNDETERMINED — 1 could not be seen, 1 passed (2.1 s)", of("pass unknown", Options{}, false))
	require.Equal(t, "UNDETERMINED — 1 passed (2.1 s, interrupted)", of("pass", Options{}, true))
	require.Equal(t, "UNDETERMINED — nothing was checked (2.1 s)", of("", Options{}, false))
}

// page80 draws findings on 80 columns, without header, overview and verdict.
func page80(t *testing.T, r Run, findings ...checks.Finding) string {
	t.Helper()
	blocks := strings.SplitN(draw(t, tty(Terminal{}), New(r, findings, Options{})), "\n\n", 3)
	body := blocks[2]
	return body[:strings.LastIndex(body, "\n\n")] + "\n"
}

func TestTTYGroupsByRemedy(t *testing.T) {
	var findings []checks.Finding
	for i := range 40 {
		findings = append(findings, seen(checks.Fail, "system.ports", fmt.Sprintf("%d/tcp", 1000+i), fmt.Sprintf("port %d is held by program%d", 1000+i, i)).
			Fix("systemctl disable --now everything"))
	}
	got := page80(t, run("svc1"), findings...)
	require.Equal(t, 1, strings.Count(got, "✗ system.ports  ×40"), got)
	require.Equal(t, 1, strings.Count(got, "systemctl disable"), got)
	require.Contains(t, got, "1015/tcp: port 1015 is held by program15\n      and 24 more; -o json has them all\n")
}

func TestTTYKeepsRemediesOfEachTarget(t *testing.T) {
	var findings []checks.Finding
	for i := range 40 {
		name := fmt.Sprintf("mbox%d.example.com", i)
		findings = append(findings, seen(checks.Fail, "hosts.nodes", name, name+" is not in /etc/hosts").Fix("echo "+name))
	}
	got := page80(t, run("svc1"), findings...)
	require.Contains(t, got, "✗ hosts.nodes  ×40  … is not in /etc/hosts: mbox0, mbox1,")
	require.Contains(t, got, "mbox15 and 24 more (.example.com)\n      fix    echo mbox0.example.com\n")
	require.Contains(t, got, "echo mbox15.example.com\n             and 24 more; -o json has them all\n")
}

func TestTTYShowsEvidenceOfAFew(t *testing.T) {
	got := page80(t, run("svc1"),
		seen(checks.Fail, "hosts.syntax", "/etc/hosts:4", "reversed").Saw("a 1").Wanted("1 a").Fix("edit"),
		seen(checks.Fail, "hosts.syntax", "/etc/hosts:5", "reversed").Saw("b 2").Wanted("2 b").Fix("edit"))
	require.Equal(t, `TO FIX
  ✗ hosts.syntax  ×2
      /etc/hosts:4: reversed
        seen   a 1
        want   1 a
      /etc/hosts:5: reversed
        seen   b 2
        want   2 b
      fix    edit
      more   carbonio-check explain hosts.syntax
`, got)
}

// TestTTYFactsOfAll holds that no node's evidence stands for another's.
func TestTTYFactsOfAll(t *testing.T) {
	f := seen(checks.Fail, "dns.forward", "a.example.com", "a.example.com has no address").With("resolver", "10.0.0.53")
	got := page80(t, run("svc1", "svc2"), f.Saw("NXDOMAIN"), from("svc2", f.Saw("SERVFAIL")))
	require.NotContains(t, got, "NXDOMAIN")
	require.Contains(t, got, "resolver   10.0.0.53")
	require.Contains(t, got, "from       all 2 nodes")
}

func TestTTYCauses(t *testing.T) {
	got := page80(t, run("svc1", "svc2"),
		seen(checks.Fail, "clock.service", "", "chrony does not run"),
		seen(checks.Fail, "network.ping", "b", "b does not answer"),
		from("svc2", seen(checks.Pass, "network.ping", "b", "b answers")),
		blocked("network.port", "b:1", "network.ping", "b"),
		from("svc2", blocked("network.port", "b:1", "network.ping", "b")), // not from there: no cause of it failed
		blocked("network.mtu", "b", "nothing.there", ""))
	require.Less(t, strings.Index(got, "network.ping"), strings.Index(got, "clock.service"), "the cause comes first")
	require.Contains(t, got, "–      1 check waits for it: network.port\n")
	require.Equal(t, 1, strings.Count(got, "wait"), got)
}

// TestTTYCauseOnPlatform: a finding on the platform explains one of a node.
func TestTTYCauseOnPlatform(t *testing.T) {
	got := page80(t, run("svc1"),
		from("", seen(checks.Fail, "inventory.groups", "", "no group")),
		blocked("dns.mx", "a", "inventory.groups", ""), blocked("dns.spf", "a", "inventory.groups", ""), blocked("dns.spf", "b", "inventory.groups", ""))
	require.Contains(t, got, "–      3 checks wait for it: 2 dns.spf, dns.mx\n")
}

// TestTTYCommandsStayWhole holds that what is to be pasted can be, while a
// sentence is broken like any other.
func TestTTYCommandsStayWhole(t *testing.T) {
	command := "sed -i 's/one thing, and: another/" + strings.Repeat("x", 60) + "/' /etc/hosts   # here, too"
	got := page80(t, run("svc1"),
		seen(checks.Fail, "a.b", "", "said").Fix(command),
		seen(checks.Fail, "a.d", "", "said").Fix("open 443/tcp to this host in the outbound firewall, or set: echo 'proxy' | sudo tee /etc/apt/apt.conf.d/95proxy"),
		seen(checks.Fail, "a.c", "", "said").Fix("change the line that stands there, and then, after that, change all of the others"))
	require.Contains(t, got, "fix    "+command+"\n")
	require.Contains(t, got, "echo 'proxy' | sudo tee /etc/apt/apt.conf.d/95proxy\n", "a command within a sentence is not broken either")
	require.Contains(t, got, "fix    change the line that stands there, and then, after that, change all\n             of the others\n")
}

func TestTTYInventedNamesAreNotShort(t *testing.T) {
	r := run("svc1", "svc2", "svc3", "mbox1")
	r.Vantages[3].Node = "svc1.example.org"
	f := seen(checks.Fail, "a.b", "", "said")
	g := f
	g.Vantage = "svc1.example.org"
	require.Contains(t, page80(t, r, f, g), "from   svc1.example.com and svc1.example.org\n")
}
