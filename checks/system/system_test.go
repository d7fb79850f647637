package system

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/machine"
)

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

func TestTimeouts(t *testing.T) {
	for _, l := range Module.Looks() {
		plan, err := l.Plan(checkstest.Scope(checkstest.Node("mbox1.example.com", "")), checks.Host{})
		require.NoError(t, err)
		want := time.Duration(0)
		if l.Name() == "repositories" { // dnf
			want = 20 * time.Second
		}
		require.Equal(t, want, plan[0].Timeout, l.Name())
	}
}

// Every check of the catalogue speaks of every machine, whatever it is.
func TestThisMachine(t *testing.T) {
	host, err := machine.Local("/")
	require.NoError(t, err)
	os, err := machine.ReadOS(host)
	require.NoError(t, err)
	scope := checks.Scope{Vantages: []checks.Vantage{{Node: "self", Phase: checks.Preinstall, OS: os}}}
	require.Equal(t, []string{"system.release"}, silent(checkstest.Findings(t, Module, scope, host)))
	scope.Vantages[0].Phase = checks.Health
	require.Empty(t, silent(checkstest.Findings(t, Module, scope, host)))
}

// Nor does it pass what a foreign root does not show.
func TestForeignRoot(t *testing.T) {
	host, err := machine.Local(t.TempDir())
	require.NoError(t, err)
	rhel := checks.OS{ID: "rhel", Version: "9.4"}
	scope := checks.Scope{Vantages: []checks.Vantage{{Node: "mbox1.example.com", Phase: checks.Preinstall, OS: rhel}}}
	findings := checkstest.Findings(t, Module, scope, host)
	require.Equal(t, []string{"system.release"}, silent(findings), "it is for nodes with Carbonio")
	for _, f := range findings {
		if f.Check != distribution {
			require.NotEqual(t, checks.Pass, f.Status, "%s: %s", f.Check.ID, f.Message)
		}
	}
}

// silent lists the checks without a finding.
func silent(findings []checks.Finding) []string {
	spoken := map[*checks.Check]bool{}
	for _, f := range findings {
		spoken[f.Check] = true
	}
	var out []string
	for _, c := range catalogue {
		if !spoken[c] {
			out = append(out, c.ID)
		}
	}
	return out
}
