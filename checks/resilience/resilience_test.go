package resilience

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

// The nodes of the manual's platform that carry clusters.
const svc1, svc2, svc3 = "svc1.example.com", "svc2.example.com", "svc3.example.com"

// The checks that the clusters of the tests hand up.
var (
	kafka     = &checks.Check{ID: "kafka.tolerance", Clusters: true, Components: []platform.Component{platform.Kafka}}
	postgres  = &checks.Check{ID: "postgres.tolerance", Clusters: true}
	directory = &checks.Check{ID: "directory.tolerance", Clusters: true}
	mesh      = &checks.Check{ID: "mesh.tolerance", Clusters: true}
)

const mbox1 = "mbox1.example.com"

// manual is what the clusters of the manual's platform hand up while these nodes
// are down: three brokers, two replicas of each partition and min.isr 2 for
// transactions, two databases led through the mesh, two directory masters, three
// mesh servers.
func manual(down ...string) []checks.Cluster {
	up := func(members ...string) []string { return minus(members, down) }
	three, two := []string{svc1, svc2, svc3}, []string{svc1, svc2}
	inSync := [][]string{up(svc1, svc2), up(svc2, svc3), up(svc1, svc3)}
	return []checks.Cluster{
		{Check: kafka, Vantage: mbox1, Service: "Kafka", Members: three, Able: up(three...), Needs: 2, Together: inSync, Least: 1},
		{Check: kafka, Vantage: mbox1, Service: "Kafka transactions", Members: three, Able: up(three...), Needs: 1, Together: inSync, Least: 2, Rests: []string{"Kafka"}},
		{Check: postgres, Vantage: mbox1, Service: "PostgreSQL", Members: two, Able: up(two...), Needs: 1},
		{Check: postgres, Vantage: mbox1, Service: "PostgreSQL failover", Members: two, Able: up(two...), Needs: 1, Rests: []string{"mesh"}},
		{Check: directory, Vantage: mbox1, Service: "directory", Members: two, Able: up(two...), Needs: 1},
		{Check: mesh, Vantage: mbox1, Service: "mesh", Members: three, Able: up(three...), Needs: 2},
	}
}

// failing are the findings of the subjects themselves while something is down.
func failing(checked *checks.Check, s checks.Status) []checks.Finding {
	return []checks.Finding{{Check: checked, Target: subject(checked), Vantage: mbox1, Status: s}}
}

// Which losses stop what on the manual's platform.
func TestLosses(t *testing.T) {
	for _, c := range []struct {
		down []string
		lose string
		want string
	}{
		{nil, svc1, "Kafka transactions"},
		{nil, svc2, "Kafka transactions"},
		{nil, svc3, "Kafka transactions"},
		{nil, "mbox1.example.com", ""},
		{[]string{svc1}, svc2, "Kafka, PostgreSQL, PostgreSQL failover, directory, mesh"},
		{[]string{svc1}, svc3, "Kafka, mesh, and therefore PostgreSQL failover"},
		{[]string{svc3}, svc1, "Kafka, mesh, and therefore PostgreSQL failover"},
		{[]string{svc2, svc3}, svc1, "PostgreSQL, directory"}, // all else has stopped before
	} {
		p := merge(manual(c.down...))
		assert.Equal(t, c.want, p.lose(c.lose).without(p.lose()).String(), "%v down, %s lost", c.down, c.lose)
	}
}

// What rests on what rests on what has stopped stops too, whatever the order; a
// ring, and a service that nobody knows, end it.
func TestRests(t *testing.T) {
	p := merge([]checks.Cluster{
		{Service: "c", Members: []string{"n3"}, Able: []string{"n3"}, Needs: 1, Rests: []string{"b"}},
		{Service: "b", Members: []string{"n2"}, Able: []string{"n2"}, Needs: 1, Rests: []string{"a", "c"}},
		{Service: "a", Members: []string{"n1"}, Able: []string{"n1"}, Needs: 1, Rests: []string{"nobody"}},
	})
	assert.Equal(t, "a, and therefore b, c", p.lose("n1").String())
	assert.Equal(t, "c, and therefore b", p.lose("n3").String())
	assert.True(t, p.lose().none())
}

func TestMargins(t *testing.T) {
	assert.Equal(t, []string{
		"Kafka can lose 1 more",
		"Kafka transactions can lose no more, and stops with Kafka",
		"PostgreSQL can lose 1 more",
		"PostgreSQL failover can lose 1 more, and stops with mesh",
		"directory can lose 1 more",
		"mesh can lose 1 more",
	}, merge(manual()).margins())
	assert.Contains(t, merge(manual(svc3)).margins(), "PostgreSQL failover can lose no more, and stops with mesh")
	assert.Contains(t, merge(manual(svc2, svc3)).margins(), "PostgreSQL failover has stopped, and stops with mesh")
}

// blind is the manual's platform on which nobody saw a service's members.
func blind(service string) []checks.Cluster {
	all := manual()
	for i, c := range all {
		if c.Service == service {
			all[i].Able, all[i].Unseen = nil, c.Members
		}
	}
	return all
}

// Each state of the platform, as it is told.
func TestConclude(t *testing.T) {
	seenTwice := manual(svc3)
	for _, c := range manual() { // svc2 still sees svc3
		c.Vantage = svc2
		seenTwice = append(seenTwice, c)
	}
	half := blind("PostgreSQL")
	half[2].Able, half[2].Unseen = []string{svc1}, []string{svc2}
	single := []checks.Cluster{{Check: mesh, Vantage: svc1, Service: "mesh", Members: []string{svc1}, Able: []string{svc1}, Needs: 1}}
	lagging := manual()
	for i := range lagging[:2] {
		lagging[i].Together = [][]string{{svc2}, {svc2, svc3}, {svc1, svc3}}
	}
	unheard := []checks.Finding{{Check: kafka, Target: "kafka", Vantage: svc1, Status: checks.Unknown, Defect: true}}
	for name, c := range map[string]struct {
		clusters []checks.Cluster
		findings []checks.Finding
	}{
		"healthy":                    {manual(), nil},
		"one-down":                   {manual(svc1), failing(kafka, checks.Fail)},
		"two-down":                   {manual(svc2, svc3), slices.Concat(failing(kafka, checks.Fail), failing(mesh, checks.Fail))},
		"seen-by-another":            {seenTwice, nil},
		"mesh-unseen":                {blind("mesh"), failing(mesh, checks.Unknown)},
		"mesh-unseen-elsewhere-down": {append(blind("mesh"), manual(svc3)[:5]...), failing(mesh, checks.Unknown)},
		"postgres-in-part":           {half, failing(postgres, checks.Unknown)},
		"single-server":              {single, nil},
		"one-replica-in-sync":        {lagging, failing(kafka, checks.Fail)},
		"stopped-on-its-own":         {stoppedAlone(), failing(kafka, checks.Warn)},
		"judge-broken":               {manual()[2:], unheard},
	} {
		t.Run(name, func(t *testing.T) {
			scope := checks.Scope{Topology: platform.Topology{Nodes: []platform.Node{
				checkstest.Node(svc1, "", platform.Kafka), checkstest.Node(svc2, "", platform.Kafka), checkstest.Node(svc3, "", platform.Kafka),
			}}}
			got := conclude(scope, c.findings, c.clusters)
			checkstest.Honest(t, Module, got, nil)
			checkstest.Golden(t, "testdata/"+name+".golden", checkstest.Render(got))
			backwards := slices.Clone(c.clusters)
			slices.Reverse(backwards)
			for i, f := range conclude(scope, c.findings, backwards) {
				assert.Equal(t, got[i].Status, f.Status)
				assert.Equal(t, got[i].Message, f.Message)
			}
		})
	}
}

// A node that carries what was not seen is unknown, whatever the other clusters
// say, unless its loss stops something for certain.
func TestUnseenIsNotHealthy(t *testing.T) {
	for _, service := range []string{"Kafka", "PostgreSQL", "directory", "mesh"} {
		for _, f := range conclude(checks.Scope{}, nil, blind(service)) {
			if f.Target != mbox1 && f.Target != svc3 || service == "Kafka" || service == "mesh" {
				assert.Equal(t, checks.Unknown, f.Status, "%s unseen: %s %s", service, f.Target, f.Message)
			}
		}
	}
}

// stoppedAlone is a service that has stopped and, itself, only warns.
func stoppedAlone() []checks.Cluster {
	return []checks.Cluster{{Check: kafka, Vantage: mbox1, Service: "Kafka transactions", Members: []string{svc1, svc2}, Able: []string{svc1}, Needs: 2}}
}

// That something has stopped is said as loudly as its own subject says it, but
// never passed over.
func TestStoppedStatus(t *testing.T) {
	for own, want := range map[checks.Status]checks.Status{
		checks.Pass: checks.Fail, checks.Warn: checks.Warn, checks.Fail: checks.Fail,
	} {
		got := conclude(checks.Scope{}, failing(kafka, own), stoppedAlone())
		assert.Equal(t, want, got[0].Status, "when it says %s itself", own)
	}
}

// A cluster of nobody, or of which its subject said nothing, has not stopped.
func TestAClusterWithoutMembersHasNotStopped(t *testing.T) {
	require.Empty(t, conclude(checks.Scope{}, nil, []checks.Cluster{{Check: mesh, Service: "mesh", Needs: 1}}))
	scope := checks.Scope{Topology: platform.Topology{Nodes: []platform.Node{checkstest.Node(mbox1, "", platform.Mailstore)}}}
	for _, f := range conclude(scope, failing(mesh, checks.Unknown), nil) {
		require.Equal(t, checks.Unknown, f.Status, f.Message)
	}
}

// Without anything to conclude from nothing is concluded.
func TestNothing(t *testing.T) {
	require.Empty(t, conclude(checks.Scope{}, nil, nil))
	require.Empty(t, conclude(checks.Scope{}, []checks.Finding{{Check: &checks.Check{ID: "hosts.self"}, Status: checks.Fail}}, nil))
}

// Whatever the clusters say, the arithmetic ends, and losing more never stops less.
func FuzzLose(f *testing.F) {
	f.Add("abc", "ab", 2, "b", "")
	f.Add("ab", "", -1, "", "s0")
	f.Fuzz(func(t *testing.T, members, alive string, needs int, together, rests string) {
		p := merge([]checks.Cluster{
			{Service: "s0", Members: strings.Split(members, ""), Able: strings.Split(alive, ""), Needs: needs, Rests: []string{"s1"}},
			{Service: "s1", Members: strings.Split(members, ""), Together: [][]string{strings.Split(together, "")}, Least: needs, Rests: strings.Split(rests, ",")},
		})
		now := p.lose()
		for _, n := range p.nodes() {
			more := p.lose(n)
			require.True(t, now.without(more).none(), "losing %q starts something", n)
		}
		require.Len(t, p.margins(), 2)
	})
}
