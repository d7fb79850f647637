package inventory

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

// scopeOf reads an inventory; its first line says the release and the phase.
func scopeOf(t *testing.T, file string) checks.Scope {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(b), "\n")
	words := strings.Fields(first)
	require.Len(t, words, 3, "%s: want # release=R phase=P", file)
	release, err := platform.ParseRelease(strings.TrimPrefix(words[1], "release="))
	require.NoError(t, err)
	inv, err := platform.ParseInventory("carbonio-inventory", strings.NewReader(string(b)))
	require.NoError(t, err)
	inv.Path = "/srv/carbonio-inventory"
	phase := checks.Phase(strings.TrimPrefix(words[2], "phase="))
	return checks.Scope{
		Topology: inv.Topology(),
		Release:  release,
		Vantages: []checks.Vantage{{Node: "control.example.com", Phase: phase}},
	}
}

// host is a machine with the inventory, and the secret files of these suffixes.
func host(secrets ...string) checks.Host {
	files := fstest.MapFS{"srv/carbonio-inventory": {Mode: 0o644}}
	for _, s := range secrets {
		files["srv/carbonio-inventory"+s] = &fstest.MapFile{Data: []byte("x"), Mode: 0o600}
	}
	return checks.Host{Files: files}
}

// Every testdata/NAME.ini is judged as its first line says.
func TestJudge(t *testing.T) {
	files, err := filepath.Glob("testdata/*.ini")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".ini"), func(t *testing.T) {
			scope := scopeOf(t, file)
			findings := checkstest.Findings(t, Module, scope, host(secretSuffixes...))
			unique(t, findings)
			checkstest.Golden(t, strings.TrimSuffix(file, ".ini")+".golden", checkstest.Render(findings))
		})
	}
}

func unique(t *testing.T, findings []checks.Finding) {
	t.Helper()
	type key struct{ check, target, vantage string }
	seen := map[key]bool{}
	for _, f := range findings {
		k := key{f.Check.ID, f.Target, f.Vantage}
		require.False(t, seen[k], "%v is there twice", k)
		seen[k] = true
	}
}

func TestHealthyIsQuiet(t *testing.T) {
	for _, name := range []string{"healthy-ha-25.6", "healthy-rur-26.6", "standard-single-26.6"} {
		scope := scopeOf(t, "testdata/"+name+".ini")
		for _, phase := range []checks.Phase{checks.Preinstall, checks.Health} {
			scope.Vantages[0].Phase = phase
			for _, f := range checkstest.Findings(t, Module, scope, host(secretSuffixes...)) {
				require.Contains(t, []checks.Status{checks.Pass, checks.Skip}, f.Status, "%s %s: %+v", name, phase, f)
			}
		}
	}
}

func TestWithoutInventory(t *testing.T) {
	var scope checks.Scope
	require.Empty(t, checkstest.Observe(t, Module, scope, checks.Host{}))
	findings := checkstest.Findings(t, Module, scope, checks.Host{})
	require.Len(t, findings, len(catalogue))
	for _, f := range findings {
		require.Equal(t, checks.Skip, f.Status)
		require.Equal(t, "no inventory given: -i FILE", f.Message)
	}
}

// One finding for the platform, however many looked; the files per vantage.
func TestJudgeOfTheFleet(t *testing.T) {
	scope := scopeOf(t, "testdata/healthy-ha-25.6.ini")
	find := func(seen ...checks.Observation) []checks.Finding {
		findings, _ := judge(scope, checks.NewRecord(seen))
		unique(t, findings)
		return findings
	}
	one := checkstest.Observe(t, Module, scope, host(secretSuffixes...))[0]
	alone := find(one)
	scope.Vantages = append(scope.Vantages, checks.Vantage{Node: "mbox1.example.com", Phase: checks.Health})
	other := checkstest.Observe(t, Module, scope, host())[0]
	other.Vantage = "mbox1.example.com"
	both := find(other, one)
	require.ElementsMatch(t, both, find(one, other))
	require.Len(t, both, len(alone)+1)
	for _, f := range both {
		require.Equal(t, f.Check == secrets, f.Vantage != "", "%+v", f)
	}

	// Whoever did not come to look takes nothing from what the other saw.
	other.Data, other.Unseen = nil, &checks.Unseen{Code: checks.Interrupted}
	halves := find(other, one)
	require.Len(t, halves, len(both))
	for _, f := range halves {
		require.Equal(t, f.Check == secrets && f.Vantage == "mbox1.example.com", f.Status == checks.Unknown, "%+v", f)
	}
	require.Empty(t, find(other), "the runner says why")
}

func TestSecrets(t *testing.T) {
	all := secretSuffixes
	with := func(h checks.Host, suffix string, mode fs.FileMode, data string) checks.Host {
		h.Files.(fstest.MapFS)["srv/carbonio-inventory"+suffix] = &fstest.MapFile{Data: []byte(data), Mode: mode}
		return h
	}
	for name, c := range map[string]struct {
		inventory string
		vantage   string
		phase     checks.Phase
		host      checks.Host
		want      []string
	}{
		"all there":                   {"healthy-rur-26.6", "control", checks.Health, host(all...), []string{"pass _consulpassword", "pass _ldap_password", "pass _postgrespassword", "pass _postgresreplicapassword"}},
		"none before the install":     {"standard-single-26.6", "control", checks.Preinstall, host(), []string{"skip "}},
		"none, redundant, before":     {"healthy-rur-26.6", "control", checks.Preinstall, host(), []string{"skip "}},
		"none on a node":              {"healthy-rur-26.6", "srv1.example.com", checks.Health, host(), []string{"skip "}},
		"none where playbooks run":    {"standard-single-26.6", "control", checks.Health, host(), []string{"fail _consulpassword", "fail _ldap_password", "fail _postgrespassword"}},
		"one missing, health":         {"standard-single-26.6", "control", checks.Health, host(all[:2]...), []string{"fail _consulpassword", "pass _ldap_password", "pass _postgrespassword"}},
		"one missing, HA additions":   {"healthy-rur-26.6", "control", checks.Preinstall, host(all[:2]...), []string{"fail _consulpassword", "pass _ldap_password", "pass _postgrespassword"}},
		"one missing, first run":      {"standard-single-26.6", "control", checks.Preinstall, host(all[:2]...), []string{"pass _ldap_password", "pass _postgrespassword"}},
		"no replica password, health": {"healthy-rur-26.6", "control", checks.Health, host(all[:3]...), []string{"pass _consulpassword", "pass _ldap_password", "pass _postgrespassword", "warn _postgresreplicapassword"}},
		"world-readable":              {"standard-single-26.6", "control", checks.Health, with(host(all[:3]...), all[0], 0o644, "x"), []string{"fail _postgrespassword", "pass _consulpassword", "pass _ldap_password"}},
		"group-readable":              {"standard-single-26.6", "control", checks.Preinstall, with(host(), all[0], 0o640, "x"), []string{"warn _postgrespassword"}},
		"empty":                       {"standard-single-26.6", "control", checks.Preinstall, with(host(), all[0], 0o600, ""), []string{"fail _postgrespassword"}},
		"inventory elsewhere":         {"standard-single-26.6", "control", checks.Health, checks.Host{Files: fstest.MapFS{}}, []string{"skip "}},
		"unreadable":                  {"standard-single-26.6", "control", checks.Health, checks.Host{Files: locked{}}, []string{"unknown "}},
	} {
		t.Run(name, func(t *testing.T) {
			scope := scopeOf(t, "testdata/"+c.inventory+".ini")
			scope.Vantages = []checks.Vantage{{Node: c.vantage, Phase: c.phase}}
			var got []string
			for _, f := range checkstest.Findings(t, Module, scope, c.host) {
				if f.Check == secrets {
					require.Equal(t, c.vantage, f.Vantage)
					got = append(got, string(f.Status)+" "+strings.TrimPrefix(f.Target, "carbonio-inventory"))
				}
			}
			slices.Sort(got)
			require.Equal(t, c.want, got)
		})
	}
}

// locked is a file system whose folders may not be entered.
type locked struct{}

func (locked) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestBOM(t *testing.T) {
	scope := scopeOf(t, "testdata/healthy-ha-25.6.ini")
	scope.Topology.Inventory.BOM = true
	findings := checkstest.Findings(t, Module, scope, host())
	i := slices.IndexFunc(findings, func(f checks.Finding) bool { return f.Status == checks.Fail })
	require.Equal(t, groups, findings[i].Check)
	require.Contains(t, findings[i].Message, "byte order mark")
}

func TestTypo(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"example.con", "example.com", true},
		{"exmaple.com", "example.com", true},
		{"example.org", "example.com", false},
		{"dmz.example.com", "example.com", false},
		{"dc2.example.com", "dc1.example.com", false},
		{"exmaple.con", "example.com", false},
	} {
		require.Equal(t, c.want, typo(c.a, c.b), "%s %s", c.a, c.b)
	}
}
