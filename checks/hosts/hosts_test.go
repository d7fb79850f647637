package hosts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

func scope() checks.Scope {
	return checks.Scope{
		Topology: platform.Topology{Nodes: []platform.Node{
			{Name: "core.example.com"}, {Name: "mbox1.example.com", Components: []platform.Component{platform.Mailstore}},
		}},
		Release:  platform.R26_6,
		Vantages: []checks.Vantage{{Node: "core.example.com", Phase: checks.Preinstall}},
	}
}

func machine() checkstest.Machine {
	return checkstest.Machine{Name: "core.example.com", Links: []checks.Interface{
		{Name: "lo", Loopback: true, Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("10.9.9.9/32")}},
		{Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24")}},
	}}
}

// What other subjects need of this one is what they call it.
func TestNeeds(t *testing.T) {
	require.Equal(t, checks.LineOf("core.example.com"), nodes.On("core.example.com"))
	require.Equal(t, checks.SelfOf("core.example.com"), self.On("core.example.com"))
}

func TestNothingSeen(t *testing.T) { require.Empty(t, judged(t, nil)) }

func TestObserve(t *testing.T) {
	const text = "127.0.0.1 localhost\n10.0.0.1 core.example.com core\n10.0.0.2 mbox1.example.com mbox1\n"
	host := checks.Host{Files: checkstest.Files(map[string]string{"etc/hosts": text}), Machine: machine()}
	seen := checkstest.Observe(t, Module, scope(), host)
	require.Len(t, seen, 1)
	require.Nil(t, seen[0].Unseen)
	require.JSONEq(t, `{"text":"127.0.0.1 localhost\n10.0.0.1 core.example.com core\n10.0.0.2 mbox1.example.com mbox1\n",
		"hostname":"core.example.com","addresses":["10.0.0.1"]}`, string(seen[0].Data), "addresses of loopback do not count")
	for _, f := range judged(t, seen) {
		require.Contains(t, []checks.Status{checks.Pass, checks.Skip}, f.Status, "%+v", f)
	}
}

func TestObserveWhatCannotBeRead(t *testing.T) {
	blind := checkstest.Machine{Err: errors.New("no such luck")}
	for name, c := range map[string]struct {
		host       checks.Host
		errorLike  string
		syntaxSays checks.Status
	}{
		"no file":       {checks.Host{Files: fstest.MapFS{}, Machine: machine()}, "", checks.Fail},
		"a directory":   {checks.Host{Files: fstest.MapFS{"etc/hosts": {Mode: fs.ModeDir}}, Machine: machine()}, "not a regular file", checks.Unknown},
		"a pipe":        {checks.Host{Files: fstest.MapFS{"etc/hosts": {Mode: fs.ModeNamedPipe}}, Machine: machine()}, "not a regular file", checks.Unknown},
		"no interfaces": {checks.Host{Files: checkstest.Files(map[string]string{"etc/hosts": "10.0.0.1 core.example.com"}), Machine: blind}, "no such luck", checks.Pass},
	} {
		t.Run(name, func(t *testing.T) {
			seen := checkstest.Observe(t, Module, scope(), c.host)
			require.Contains(t, words(t, seen[0]), c.errorLike)
			for _, f := range judged(t, seen) {
				if f.Check == syntax {
					require.Equal(t, c.syntaxSays, f.Status)
				}
				if f.Check == self {
					require.NotEqual(t, checks.Pass, f.Status, "the node's addresses were not seen")
				}
			}
		})
	}
}

func TestLine(t *testing.T) {
	a := netip.MustParseAddr("10.0.0.1")
	for want, names := range map[string][]string{
		"10.0.0.1 core.example.com core":      {"core.example.com"},
		"10.0.0.1 core.example.com core mail": {"core", "mail", "core.example.com"},
		"10.0.0.1 core":                       {"core"},
	} {
		require.Equal(t, want, line(a, names...))
	}
	require.Equal(t, "ADDRESS core.example.com core", line(netip.Addr{}, "core.example.com"))
}

// Remedies are pasted into a root shell: what they do must be what they say,
// and a hostile file must not put words into them.
func TestRemediesRepairTheFile(t *testing.T) {
	sed, err := exec.LookPath("sed")
	if err != nil {
		t.Skip("no sed")
	}
	const broken = "::1 localhost ip6-localhost\n127.0.1.1 localhost core.example.com core\nmbox1.example.com 10.0.0.2\n127.0.0.2 localhost\n"
	file := t.TempDir() + "/hosts"
	write(t, file, broken)
	repaired := map[string]bool{}
	for range 5 { // a consequence shows when its cause is gone
		seen := view1(t, read(t, file))
		for _, f := range judged(t, seen) {
			if f.Status != checks.Fail || f.Remedy == "" || repaired[f.Message] || len(f.Needs) > 0 && f.Check != self {
				continue
			}
			repaired[f.Message] = true
			require.Regexp(t, `^# on core.example.com\n(sed|printf) `, f.Remedy)
			command := exec.Command("sh", "-c", strings.ReplaceAll(f.Remedy, "/etc/hosts", file))
			out, err := command.CombinedOutput()
			require.NoError(t, err, "%s (%s): %s", f.Remedy, sed, out)
			break
		}
	}
	for _, f := range judged(t, view1(t, read(t, file))) {
		require.NotEqual(t, checks.Fail, f.Status, "%s\n%s", checkstest.Render([]checks.Finding{f}), read(t, file))
	}
}

func TestHostileNamesStayOutOfCommands(t *testing.T) {
	const text = "x';reboot;' 10.0.0.2\ncore.example.com$(reboot) 10.0.0.1\n10.0.0.1 `reboot` core.example.com\n127.0.0.1 core.example.com $(reboot) localhost\n"
	for _, f := range judged(t, view1(t, text)) {
		require.NotContains(t, f.Remedy, "reboot")
	}
}

func TestABrokenFileIsOneMistake(t *testing.T) {
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "what%d\nlocalhost localhost\n10.0.0.%d name\nfe80::%x name\n", i, i%256, i%65536)
	}
	fmt.Fprintln(&b, "core.example.com 10.0.0.1")
	b.WriteString("10.0.0.1 x")
	for i := range 100_000 {
		fmt.Fprintf(&b, " n%d", i)
	}
	b.WriteString(" core.example.com mbox1.example.com\n")
	findings := judged(t, view1(t, b.String()))
	require.Less(t, len(findings), 4*most+10)
	for _, f := range findings {
		require.Less(t, len(checkstest.Render([]checks.Finding{f})), 4096)
		if f.Check == syntax && f.Status == checks.Fail {
			return
		}
	}
	t.Fatal("the line that matters is lost among those that do not")
}

// The pattern of the playbook, as grep -P understands it.
func TestLocalhostIsCountedAsThePlaybookDoes(t *testing.T) {
	for text, lines := range map[string]int{
		"127.0.0.1 localhost":                                   1,
		"127.0.0.1\tlocalhost\n::1 ip6-localhost":               1,
		"127.0.0.1 localhost\n#::1 localhost":                   1,
		"127.0.0.1 localhost\n  # localhost":                    1,
		"127.0.0.1 localhost\n10.0.0.1 core # not localhost":    2,
		"127.0.0.1 localhost.localdomain localhost4":            0,
		"127.0.0.1 localhost\n::1 localhost6 localhost":         2,
		"127.0.0.1 localhost\r\n127.0.1.1 core localhost core2": 2,
	} {
		n := 0
		for _, l := range platform.ParseHosts(text) {
			if localhostWord.MatchString(l.Raw) {
				n++
			}
		}
		require.Equal(t, lines, n, "%q", text)
	}
}

func FuzzJudge(f *testing.F) {
	for _, s := range []string{
		"127.0.0.1 localhost\n10.0.0.1 core.example.com core\n", "core.example.com 10.0.0.1", "\ufeff::1 localhost # x\r\n",
		"127.0.1.1 core.example.com", "10.0.0.1", "fe80::1%eth0 core.example.com", "0.0.0.0 a\n0.0.0.0 b", "10.0.0.1 core.example.com mbox1.example.com",
	} {
		f.Add(s)
	}
	safe := regexp.MustCompile(`^[A-Za-z0-9.:_ /'%\\$+>()^|,#*-]*$`)
	f.Fuzz(func(t *testing.T, text string) {
		targets := map[string]bool{}
		for _, found := range judged(t, view1(t, text)) {
			key := found.Check.ID + " " + found.Target + " " + found.Vantage
			require.False(t, targets[key], "%s is listed twice", key)
			targets[key] = true
			for l := range strings.SplitSeq(found.Remedy, "\n") {
				require.Regexp(t, safe, l)
			}
		}
	})
}

// judged is what is found of what was seen.
func judged(t *testing.T, seen []checks.Observation) []checks.Finding {
	t.Helper()
	findings, clusters := judge(scope(), checks.NewRecord(seen))
	checkstest.Honest(t, Module, findings, clusters)
	return findings
}

// words are why something was not seen.
func words(t *testing.T, o checks.Observation) string {
	t.Helper()
	var f file
	switch {
	case o.Unseen != nil:
		return o.Unseen.String()
	case json.Unmarshal(o.Data, &f) == nil && f.MachineUnseen.Code != "":
		return f.MachineUnseen.String()
	}
	return ""
}

func view1(t *testing.T, text string) []checks.Observation {
	t.Helper()
	data, err := json.Marshal(file{Text: text, Hostname: "core.example.com", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}})
	require.NoError(t, err)
	return []checks.Observation{{
		Subject: "hosts", Kind: "file", Target: checks.Target[json.RawMessage]{Name: hostsFile}, Vantage: "core.example.com", Data: data,
	}}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	return string(b)
}
