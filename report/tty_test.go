package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/platform"
	"carbonio-check/runner"
	"carbonio-check/terminal"
)

// checkTTY looks at every line: nothing but commands may be wider than the
// terminal, and without colours nothing but text is in it.
func checkTTY(t *testing.T, r Report, on terminal.Terminal) string {
	t.Helper()
	page := render(t, tty(on), r)
	width := terminal.NewCanvas(on).Width()
	command := false
	for l := range strings.Lines(page) {
		l = strings.TrimSuffix(l, "\n")
		if strings.ContainsFunc(l, func(c rune) bool {
			return c < ' ' || c >= 0x7f && c < 0xa0 || on.ASCII && c > '~'
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
			checkTTY(t, s.report(Options{}), terminal.Terminal{Width: width})
			checkTTY(t, s.report(Options{}), terminal.Terminal{Width: width, ASCII: true})
		}
	}
}

// TestTTYColor holds that colours are all that they add.
func TestTTYColor(t *testing.T) {
	for name, s := range scenarios() {
		r := s.report(Options{})
		colored := render(t, tty(terminal.Terminal{Color: true}), r)
		require.Contains(t, colored, "\x1b[1m", name)
		require.Equal(t, render(t, tty(terminal.Terminal{}), r), ansi.Strip(colored), name)
	}
}

func TestTTYVerdict(t *testing.T) {
	of := func(verdict runner.Verdict, statuses string, options Options, cut bool) string {
		s := scenario{run: run("svc1"), verdict: verdict}
		s.run.Interrupted = cut
		for i, status := range strings.Fields(statuses) {
			s.add(seen(checks.Status(status), "a.b", fmt.Sprint(i), "said"))
		}
		return strings.Split(render(t, tty(terminal.Terminal{Width: 120}), s.report(options)), "\n")[2]
	}
	require.Equal(t, "NOT READY: 3 causes, 2 warnings, 4 passed   2.1 s", of(runner.NotReady, "fail fail fail warn warn pass pass pass pass skip", Options{}, false))
	require.Equal(t, "READY: 1 warning, 1 passed   2.1 s", of(runner.Ready, "pass warn", Options{}, false))
	require.Equal(t, "READY: 1 warning (--fail-on warn), 1 passed   2.1 s", of(runner.Ready, "pass warn", Options{FailOnWarn: true}, false))
	require.Equal(t, "UNDETERMINED: 1 unknown, 1 passed   2.1 s", of(runner.Undetermined, "pass unknown", Options{}, false))
	require.Equal(t, "UNDETERMINED: 1 passed   2.1 s, interrupted", of(runner.Undetermined, "pass", Options{}, true))
	require.Equal(t, "NOTHING CHECKED: nothing was requested   2.1 s", of(runner.NothingChecked, "", Options{}, false))
}

// READY of some of the nodes says of how many.
func TestTTYReadyOfSomeNodes(t *testing.T) {
	s := scenario{run: run("svc1", "svc2", "svc3")}
	s.pass("hosts.syntax", 3)
	require.Contains(t, render(t, tty(terminal.Terminal{}), s.report(Options{})), "READY (3 of 15 nodes): 3 passed")
}

// Whatever is wrong, the report fits on a screen, unless it is asked to be verbose.
func TestTTYFitsOnAScreen(t *testing.T) {
	s := scenario{run: run("svc1", "svc2")}
	for i := range 60 {
		s.run.Notes = append(s.run.Notes, fmt.Sprintf("file %d is like no other file", i))
	}
	for _, status := range []checks.Status{checks.Fail, checks.Warn, checks.Unknown} {
		for i := range 60 {
			f := seen(status, fmt.Sprintf("subject%d.check%d", i%12, i), fqdn("svc2"), fmt.Sprintf("%s is wrong in way %d of many, and it takes a while to say so in words", fqdn("svc2"), i)).
				Saw("this").Wanted("that").Fix(fmt.Sprintf("# on %s\ncommand %d\nanother\nand another\nand more", fqdn("svc2"), i))
			s.add(f)
		}
	}
	r := s.report(Options{})
	page := render(t, tty(terminal.Terminal{Width: 80}), r)
	require.LessOrEqual(t, strings.Count(page, "\n"), 60)
	require.Contains(t, page, "file 1 is like no other file\n  note: and 58 more notes")
	whole := render(t, tty(terminal.Terminal{Width: 80, Verbose: true}), r)
	for i := range 60 {
		require.Contains(t, whole, fmt.Sprintf("command %d\n", i))
	}
	for name, s := range scenarios() {
		require.LessOrEqual(t, strings.Count(render(t, tty(terminal.Terminal{Width: 80}), s.report(Options{})), "\n"), 60, name)
	}
}

// page80 draws findings on 80 columns, without header, verdict, overview and footer.
func page80(t *testing.T, r Run, findings ...checks.Finding) string {
	t.Helper()
	page := render(t, tty(terminal.Terminal{Verbose: true}), scenario{run: r, findings: findings}.report(Options{}))
	blocks := strings.SplitN(page, "\n\n", 4)
	body := blocks[3]
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
	require.Contains(t, got, "1015/tcp: port 1015 is held by program15\n      and 24 more\n")
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
	require.Contains(t, got, "echo mbox15.example.com\n             and 24 more lines\n")
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
	require.Contains(t, got, "also blocks 1 check: network.port\n")
	require.Equal(t, 1, strings.Count(got, "also blocks"), got)
}

// TestTTYCauseOnPlatform: a finding on the platform explains one of a node.
func TestTTYCauseOnPlatform(t *testing.T) {
	got := page80(t, run("svc1"),
		from("", seen(checks.Fail, "inventory.groups", "", "no group")),
		blocked("dns.mx", "a", "inventory.groups", ""), blocked("dns.spf", "a", "inventory.groups", ""), blocked("dns.spf", "b", "inventory.groups", ""))
	require.Contains(t, got, "also blocks 3 checks: 2 dns.spf, dns.mx\n")
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

// The header says of how many nodes it speaks, and from where it knows.
func TestTheHeaderSaysWhichNodesItMeans(t *testing.T) {
	node := func(phase checks.Phase, release platform.Release, from string) checks.Vantage {
		return checks.Vantage{Node: "n", Phase: phase, Release: release, ReleaseFrom: from}
	}
	old, young := node(checks.Health, platform.R25_6, "a file"), node(checks.Preinstall, platform.R26_6, "--release")
	flagged := node(checks.Health, platform.R25_6, "--release")
	for want, vantages := range map[string][]checks.Vantage{
		"installed (a file)":            {old, old},
		"installed":                     {old, flagged},
		"installed on 1 of 2 on 1 of 2": {old, young},
		"before installation on 0 of 1": {young},
	} {
		require.Equal(t, want, phase(vantages)+sign(Run{Release: "25.6", Vantages: vantages}))
	}
}

// Of why nothing was checked, the most frequent reasons come first.
func TestWhyNothingWasChecked(t *testing.T) {
	require.Equal(t, "b; a", why(map[string]int{"a": 2, "b": 3, "c": 2}))
}
