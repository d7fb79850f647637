package postgres

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module{}) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module{}) }

// scopeOf is a platform of two database nodes, seen from one of its nodes.
func scopeOf(self string, inventory bool) checks.Scope {
	s := checks.Scope{
		Release:  platform.R26_6,
		Vantages: []checks.Vantage{{Node: self, Phase: checks.Health}},
		Topology: platform.Topology{Nodes: []platform.Node{
			{Name: "svc1.example.com", Components: []platform.Component{platform.Database, platform.Directory}, Address: netip.MustParseAddr("10.0.0.1")},
			{Name: "svc2.example.com", Components: []platform.Component{platform.Database, platform.Directory}, Address: netip.MustParseAddr("10.0.0.2")},
			{Name: "mbox1.example.com", Components: []platform.Component{platform.DBConnector, platform.Mailstore}},
			{Name: "mta1.example.com", Components: []platform.Component{platform.MTA}},
		}},
	}
	if inventory {
		s.Topology.Inventory = &platform.Inventory{}
	}
	return s
}

func names(targets []checks.Target) []string {
	var out []string
	for _, t := range targets {
		out = append(out, t.Kind+" "+t.Name+" "+t.Address)
	}
	return out
}

func TestTargets(t *testing.T) {
	members := []string{"member svc1.example.com 10.0.0.1:8008", "member svc2.example.com 10.0.0.2:8008"}
	withSecret := checks.Host{Secret: func(platform.SecretRef) (string, error) { return "", nil }}
	login := scopeOf("svc1.example.com", true)
	login.Logins.Postgres = platform.Login{User: "carbonio_adm", Password: platform.SecretRef{File: "/root/pg"}}
	one := scopeOf("svc1.example.com", true)
	one.Topology.Nodes = one.Topology.Nodes[:1]
	for name, c := range map[string]struct {
		scope checks.Scope
		host  checks.Host
		want  []string
	}{
		"database node":           {scopeOf("svc1.example.com", true), checks.Host{}, append(members, "service svc1.example.com ")},
		"connector":               {scopeOf("mbox1.example.com", true), checks.Host{}, append(members, "haproxy mbox1.example.com ")},
		"neither":                 {scopeOf("mta1.example.com", true), checks.Host{}, append(members, "haproxy mta1.example.com ")},
		"no inventory":            {scopeOf("mbox1.example.com", false), checks.Host{}, members},
		"one database node":       {one, checks.Host{}, nil},
		"a login, and no secrets": {login, checks.Host{}, append(members, "service svc1.example.com ")},
		"a login": {login, withSecret, []string{
			members[0], "sql svc1.example.com 10.0.0.1:5432", members[1], "sql svc2.example.com 10.0.0.2:5432", "service svc1.example.com ",
		}},
	} {
		targets, err := Module{}.Targets(c.scope, c.host)
		require.NoError(t, err)
		require.Equal(t, c.want, names(targets), name)
	}
	require.Equal(t, []int{389, 7000}, balanced(scopeOf("mta1.example.com", true), platform.Node{Components: []platform.Component{platform.MTA}}))
}

func TestOneDatabaseNode(t *testing.T) {
	scope := scopeOf("svc1.example.com", true)
	scope.Topology.Nodes = scope.Topology.Nodes[:1]
	said := map[string]checks.Status{}
	for _, f := range (Module{}).Judge(scope, nil) {
		said[f.Check] = f.Status
	}
	for _, c := range (Module{}).Checks() {
		if c.ID != versionID {
			require.Equal(t, checks.Skip, said[c.ID], c.ID)
		}
	}
}

func TestTolerance(t *testing.T) {
	for file, alive := range map[string][]string{
		"well-patroni-4":           {"svc1.example.com", "svc2.example.com"},
		"replica-not-streaming":    {"svc1.example.com"},
		"two-vantages-one-cut-off": {"svc1.example.com", "svc2.example.com"}, // the leader streams to the one that is silent
		"no-leader":                nil,
	} {
		scope, seen := checkstest.Read(t, "testdata/"+file+".jsonl")
		found := 0
		for _, f := range (Module{}).Judge(scope, seen) {
			if f.Check != toleranceID {
				continue
			}
			found++
			if alive == nil {
				require.Empty(t, f.Tolerance, file)
				continue
			}
			all := []string{"svc1.example.com", "svc2.example.com"}
			require.Equal(t, []checks.Tolerance{
				{Service: "PostgreSQL", Members: all, Alive: alive, Needs: 1},
				{Service: "PostgreSQL failover", Members: all, Alive: alive, Needs: 1, Rests: []string{"mesh"}},
			}, f.Tolerance, file)
		}
		require.Equal(t, len(scope.Vantages), found, file)
	}
}
