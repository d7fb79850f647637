package system

import (
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/checks/machine"
)

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module{}) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module{}) }

// Every check of the catalogue speaks of every machine, whatever it is.
func TestThisMachine(t *testing.T) {
	host, err := machine.Local("/")
	require.NoError(t, err)
	os, err := machine.ReadOS(host)
	require.NoError(t, err)
	scope := checks.Scope{Vantages: []checks.Vantage{{Node: "self", Phase: checks.Preinstall, OS: os}}}
	require.Empty(t, silent(Module{}.Judge(scope, checkstest.Observe(t, Module{}, scope, host))))
}

// Nor does it pass what a foreign root does not show.
func TestForeignRoot(t *testing.T) {
	host, err := machine.Local(t.TempDir())
	require.NoError(t, err)
	rhel := checks.OS{ID: "rhel", Version: "9.4"}
	scope := checks.Scope{Vantages: []checks.Vantage{{Node: "mbox1.example.com", Phase: checks.Preinstall, OS: rhel}}}
	findings := Module{}.Judge(scope, checkstest.Observe(t, Module{}, scope, host))
	require.Empty(t, silent(findings))
	for _, f := range findings {
		if f.Check != checkOS {
			require.NotEqual(t, checks.Pass, f.Status, "%s: %s", f.Check, f.Message)
		}
	}
}

// silent lists the checks without a finding.
func silent(findings []checks.Finding) []string {
	spoken := map[string]bool{}
	for _, f := range findings {
		spoken[f.Check] = true
	}
	var out []string
	for _, c := range (Module{}).Checks() {
		if !spoken[c.ID] {
			out = append(out, c.ID)
		}
	}
	return out
}
