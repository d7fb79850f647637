package postgres

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

// scopeOf is a platform of two database nodes, seen from one of its nodes.
func scopeOf(self string, inventory bool) checks.Scope {
	s := checkstest.Scope(
		checkstest.Node("svc1.example.com", "10.0.0.1", platform.Database, platform.Directory),
		checkstest.Node("svc2.example.com", "10.0.0.2", platform.Database, platform.Directory),
		checkstest.Node("mbox1.example.com", "", platform.DBConnector, platform.Mailstore),
		checkstest.Node("mta1.example.com", "", platform.MTA),
	)
	s.Vantages[0].Node = self
	if inventory {
		s.Topology.Inventory = &platform.Inventory{}
	}
	return s
}

// seenOf is a record of one look.
func seenOf(t *testing.T, vantage, kind, node string, data any) checks.Record {
	t.Helper()
	raw, err := json.Marshal(data)
	require.NoError(t, err)
	return checks.NewRecord([]checks.Observation{{
		Subject: Module.Name, Kind: kind, Vantage: vantage, Data: raw,
		Target: checks.Target[json.RawMessage]{Name: node, Node: node},
	}})
}

func TestTargets(t *testing.T) {
	members := []string{"member svc1.example.com 10.0.0.1:8008", "member svc2.example.com 10.0.0.2:8008"}
	withSecret := checks.Host{Secret: func(platform.SecretRef) (string, error) { return "", nil }}
	withLogin := scopeOf("svc1.example.com", true)
	login.Set(withLogin.Settings, platform.Login{User: "carbonio_adm", Password: platform.SecretRef{File: "/root/pg"}})
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
		"a login, and no secrets": {withLogin, checks.Host{}, append(members, "service svc1.example.com ")},
		"a login": {withLogin, withSecret, append(members,
			"sql svc1.example.com 10.0.0.1:5432", "sql svc2.example.com 10.0.0.2:5432", "service svc1.example.com ")},
	} {
		var got []string
		for _, look := range Module.Looks() {
			plan, err := look.Plan(c.scope, c.host)
			require.NoError(t, err)
			for _, p := range plan {
				got = append(got, p.Kind+" "+p.Target.Name+" "+p.Target.Address)
				require.NotContains(t, string(p.Target.Ask), `"password":""`)
			}
		}
		require.Equal(t, c.want, got, name)
	}
	require.Equal(t, []int{389, 7000}, balanced(scopeOf("mta1.example.com", true), "mta1.example.com"))
}

func TestLoginSetting(t *testing.T) {
	require.Empty(t, login.In(scopeOf("svc1.example.com", true)))
	for text, wrong := range map[string]string{
		`{"user": "carbonio_adm", "password": {"file": "/root/pg"}}`: "",
		`{}`:                            "",
		`{"user": "carbonio_adm"}`:      "logins.postgres: password: want one of env",
		`{"password": {"env": "PG"}}`:   "logins.postgres: user is missing",
		`{"user": "x", "pass": "word"}`: "unknown field",
	} {
		_, err := login.Decode(checkstest.Strict([]byte(text)))
		if wrong == "" {
			require.NoError(t, err, text)
			continue
		}
		require.ErrorContains(t, err, wrong, text)
	}
}

func TestOneDatabaseNode(t *testing.T) {
	scope := scopeOf("svc1.example.com", true)
	scope.Topology.Nodes = scope.Topology.Nodes[:1]
	findings, clusters := judge(scope, checks.NewRecord(nil))
	require.Empty(t, clusters)
	said := map[*checks.Check]checks.Status{}
	for _, f := range findings {
		said[f.Check] = f.Status
	}
	for _, c := range catalogue {
		if c != version && c != databases { // these are for who logs in
			require.Equal(t, checks.Skip, said[c], c.ID)
		}
	}
	findings, _ = judge(scope, seenOf(t, "svc1.example.com", "sql", "svc1.example.com", server{Version: 160004}))
	i := slices.IndexFunc(findings, func(f checks.Finding) bool { return f.Check == version })
	require.Equal(t, checks.Pass, findings[i].Status)
}

func TestClusters(t *testing.T) {
	two := []string{"svc1.example.com", "svc2.example.com"}
	three := append(two, "svc3.example.com")
	for name, c := range map[string]struct{ members, able, unseen []string }{
		"well-patroni-4":           {two, two, nil},
		"replica-not-streaming":    {two, two[:1], nil},
		"two-vantages-one-cut-off": {two, two, nil}, // the leader streams to the one that is silent
		"real-replica-killed":      {three, two, nil},
		"no-leader":                {two, nil, two},
		"nobody-responds":          {two, nil, two},
		"two-leaders":              {two, nil, two},
		"leader-silent":            {two, nil, two},
		"old-leader-hangs":         {three, nil, three},
		"replica-gone-of-two":      {two, two[:1], nil},
	} {
		read := checkstest.ReadCase(t, Module, name)
		_, clusters := judge(read.Scope, checks.NewRecord(read.Seen))
		require.Len(t, clusters, 2*len(read.Scope.Vantages), name)
		for i, got := range clusters {
			want := checks.Cluster{
				Check: tolerance, Vantage: read.Scope.Vantages[i/2].Node, Service: "PostgreSQL",
				Members: c.members, Able: c.able, Unseen: c.unseen, Needs: 1,
			}
			if i%2 == 1 {
				want.Service, want.Rests = "PostgreSQL failover", []string{"mesh"}
			}
			require.Equal(t, want.Members, got.Members, name)
			require.ElementsMatch(t, want.Able, got.Able, name)
			require.ElementsMatch(t, want.Unseen, got.Unseen, name)
			got.Able, got.Unseen, want.Able, want.Unseen = nil, nil, nil, nil
			require.Equal(t, want, got, name)
		}
	}
}

// TestSeenThroughTheLeader: a member that does not respond to us is able to take over
// only where the leader lists it as close behind, and as allowed to.
func TestSeenThroughTheLeader(t *testing.T) {
	const silent = `{"contact":{"state":"silent"}}`
	for name, c := range map[string]struct {
		lag, contact string
		able         bool
	}{
		"close behind":     {`"lag": 0`, silent, true},
		"unplanned":        {`"lag": 0, "tags": {"clonefrom": true, "nofailover": false}`, silent, true},
		"far behind":       {`"lag": 2097152`, silent, false},
		"lag unknown":      {`"lag": "unknown"`, silent, false},
		"nofailover":       {`"lag": 0, "tags": {"nofailover": true}`, silent, false},
		"nosync":           {`"lag": 0, "tags": {"nosync": "yes"}`, silent, false},
		"priority 0":       {`"lag": 0, "tags": {"failover_priority": 0}`, silent, false},
		"Patroni is stuck": {`"lag": 0`, `{"contact":{"state":"mute"}}`, false},
	} {
		read := checkstest.ReadCase(t, Module, "two-vantages-one-cut-off")
		for i, o := range read.Seen {
			read.Seen[i].Data = bytes.ReplaceAll(o.Data, []byte(`"lag": 0`), []byte(c.lag))
			if bytes.Contains(o.Data, []byte("silent")) {
				read.Seen[i].Data = []byte(c.contact)
			}
		}
		findings, clusters := judge(read.Scope, checks.NewRecord(read.Seen))
		i := slices.IndexFunc(findings, func(f checks.Finding) bool { return f.Check == tolerance && f.Vantage == "mbox2.example.com" })
		if c.able {
			require.Equal(t, checks.Pass, findings[i].Status, name)
			continue
		}
		require.Equal(t, checks.Unknown, findings[i].Status, name)
		require.Equal(t, []string{"svc2.example.com"}, clusters[2].Unseen, name)
	}
}

// What another node sees at work has not stopped.
func TestNoLeaderFromHereOnly(t *testing.T) {
	c := checkstest.ReadCase(t, Module, "two-vantages-one-cut-off")
	c.Seen = slices.DeleteFunc(c.Seen, func(o checks.Observation) bool { return o.Vantage == "mbox2.example.com" })
	for _, o := range checkstest.ReadCase(t, Module, "no-leader").Seen {
		o.Vantage = "mbox2.example.com"
		c.Seen = append(c.Seen, o)
	}
	findings, _ := judge(c.Scope, checks.NewRecord(c.Seen))
	said := map[string]checks.Finding{}
	for _, f := range findings {
		if f.Check == leader {
			said[f.Vantage] = f
		}
	}
	require.Equal(t, checks.Pass, said["mbox1.example.com"].Status)
	require.Equal(t, checks.Fail, said["mbox2.example.com"].Status)
	require.False(t, said["mbox2.example.com"].Stopped)
}

// Without an inventory the leader may be a node that nobody knows.
func TestPartOfACluster(t *testing.T) {
	for name, want := range map[string]*checks.Check{"no-leader": leader, "a-stranger": agreement} {
		c := checkstest.ReadCase(t, Module, name)
		c.Scope.Topology.Inventory = nil
		findings, _ := judge(c.Scope, checks.NewRecord(c.Seen))
		i := slices.IndexFunc(findings, func(f checks.Finding) bool { return f.Check == want && f.Target == subject })
		require.Equal(t, checks.Unknown, findings[i].Status, name)
		require.NotContains(t, findings[i].Message, "not in the inventory")
	}
}

// Nothing passes on the whole cluster by a look that was broken off.
func TestBrokenOff(t *testing.T) {
	c := checkstest.ReadCase(t, Module, "well-patroni-4")
	for i, o := range c.Seen {
		if o.Kind == members.Kind {
			c.Seen[i].Unseen = &checks.Unseen{Code: checks.Interrupted}
		}
	}
	findings, _ := judge(c.Scope, checks.NewRecord(c.Seen))
	for _, f := range findings {
		if f.Target == subject && f.Check != databases {
			require.Equal(t, checks.Unknown, f.Status, f.Check.ID)
		}
	}
}
