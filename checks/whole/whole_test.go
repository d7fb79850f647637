package whole

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module{}) }

var _ checks.Concluder = Module{}

// The nodes of the manual's platform that carry clusters.
const svc1, svc2, svc3 = "svc1.example.com", "svc2.example.com", "svc3.example.com"

// manual is what the clusters of the manual's platform say of themselves while
// these nodes are down: three brokers, two replicas of each partition and min.isr
// 2 for transactions, two databases led through the mesh, two directory masters,
// three mesh servers (SEED-HA, HAA).
func manual(down ...string) []checks.Finding {
	of := func(check string, status checks.Status, tolerance ...checks.Tolerance) checks.Finding {
		return checks.Finding{
			Check: check + ".tolerance", Target: check, Vantage: "mbox1.example.com",
			Status: status, Tolerance: tolerance,
		}
	}
	up := func(members ...string) []string {
		return slices.DeleteFunc(members, func(m string) bool { return slices.Contains(down, m) })
	}
	three, two := []string{svc1, svc2, svc3}, []string{svc1, svc2}
	inSync := [][]string{up(svc1, svc2), up(svc2, svc3), up(svc1, svc3)}
	alive := up(svc1, svc2, svc3)
	status := checks.Pass
	if len(alive) < 3 {
		status = checks.Fail
	}
	return []checks.Finding{
		of("kafka", status,
			checks.Tolerance{Service: "Kafka", Members: three, Alive: alive, Needs: 2, Together: inSync, Least: 1},
			checks.Tolerance{Service: "Kafka transactions", Members: three, Alive: alive, Needs: 1, Together: inSync, Least: 2, Rests: []string{"Kafka"}},
		),
		of("postgres", checks.Pass,
			checks.Tolerance{Service: "PostgreSQL", Members: two, Alive: up(svc1, svc2), Needs: 1},
			checks.Tolerance{Service: "PostgreSQL failover", Members: two, Alive: up(svc1, svc2), Needs: 1, Rests: []string{"mesh"}},
		),
		of("directory", checks.Pass, checks.Tolerance{Service: "directory", Members: two, Alive: up(svc1, svc2), Needs: 1}),
		of("mesh", checks.Pass, checks.Tolerance{Service: "mesh", Members: three, Alive: alive, Needs: 2}),
	}
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
		{[]string{svc1}, svc3, "Kafka, mesh, therefore PostgreSQL failover"},
		{[]string{svc3}, svc1, "Kafka, mesh, therefore PostgreSQL failover"},
		{[]string{svc2, svc3}, svc1, "PostgreSQL, directory"}, // all else has stopped before
	} {
		p := merge(manual(c.down...))
		assert.Equal(t, c.want, p.lose(c.lose).without(p.lose()).String(), "%v down, %s lost", c.down, c.lose)
	}
}

// What rests on what rests on what has stopped stops too, whatever the order; a
// ring, and a service that nobody knows, end it.
func TestRests(t *testing.T) {
	p := merge([]checks.Finding{{Tolerance: []checks.Tolerance{
		{Service: "c", Members: []string{"n3"}, Alive: []string{"n3"}, Needs: 1, Rests: []string{"b"}},
		{Service: "b", Members: []string{"n2"}, Alive: []string{"n2"}, Needs: 1, Rests: []string{"a", "c"}},
		{Service: "a", Members: []string{"n1"}, Alive: []string{"n1"}, Needs: 1, Rests: []string{"nobody"}},
	}}})
	assert.Equal(t, "a, therefore b, c", p.lose("n1").String())
	assert.Equal(t, "c, therefore b", p.lose("n3").String())
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

// Each state of the platform, as it is told.
func TestConclude(t *testing.T) {
	seenTwice := manual(svc3)
	for _, f := range manual() { // svc2 still sees svc3
		f.Vantage = svc2
		seenTwice = append(seenTwice, f)
	}
	blind := manual()
	blind[3] = checks.Finding{Check: "mesh.tolerance", Target: "mesh", Vantage: "mbox1.example.com", Status: checks.Unknown}
	half := manual(svc2)
	half[1].Status = checks.Unknown // seen in part
	single := []checks.Finding{{Check: "mesh.tolerance", Target: "mesh", Vantage: svc1, Status: checks.Skip, Tolerance: []checks.Tolerance{
		{Service: "mesh", Members: []string{svc1}, Alive: []string{svc1}, Needs: 1},
	}}}
	for name, findings := range map[string][]checks.Finding{
		"healthy":             manual(),
		"one-down":            manual(svc1),
		"two-down":            manual(svc2, svc3),
		"seen-by-another":     seenTwice,
		"mesh-unseen":         blind,
		"postgres-in-part":    half,
		"single-server":       single,
		"one-replica-in-sync": lagging(),
		"stopped-on-its-own":  stoppedAlone(checks.Warn),
	} {
		t.Run(name, func(t *testing.T) {
			got := Module{}.Conclude(checks.Scope{}, findings)
			checkstest.Golden(t, "testdata/"+name+".golden", checkstest.Render(got))
			backwards := slices.Clone(findings)
			slices.Reverse(backwards)
			for i, f := range (Module{}).Conclude(checks.Scope{}, backwards) {
				assert.Equal(t, got[i].Status, f.Status)
				assert.Equal(t, got[i].Message, f.Message)
			}
		})
	}
}

// lagging is Kafka with all brokers alive, and one of them behind.
func lagging() []checks.Finding {
	findings := manual()
	for i := range findings[0].Tolerance {
		findings[0].Tolerance[i].Together = [][]string{{svc2}, {svc2, svc3}, {svc1, svc3}}
	}
	return append(findings, checks.Finding{Check: "kafka.partitions", Target: "kafka", Vantage: "mbox1.example.com", Status: checks.Fail})
}

// stoppedAlone is a service that has stopped and, itself, only warns.
func stoppedAlone(status checks.Status) []checks.Finding {
	return []checks.Finding{{Check: "kafka.tolerance", Target: "kafka", Vantage: svc1, Status: status, Tolerance: []checks.Tolerance{
		{Service: "Kafka transactions", Members: []string{svc1, svc2}, Alive: []string{svc1}, Needs: 2},
	}}}
}

// That something has stopped is said as loudly as its own subject says it, but
// never passed over.
func TestStoppedStatus(t *testing.T) {
	for own, want := range map[checks.Status]checks.Status{
		checks.Pass: checks.Fail, checks.Warn: checks.Warn, checks.Fail: checks.Fail,
	} {
		got := Module{}.Conclude(checks.Scope{}, stoppedAlone(own))
		assert.Equal(t, want, got[0].Status, "when it says %s itself", own)
	}
}

// Without anything to conclude from nothing is concluded.
func TestNothing(t *testing.T) {
	require.Empty(t, Module{}.Conclude(checks.Scope{}, nil))
	require.Empty(t, Module{}.Conclude(checks.Scope{}, []checks.Finding{{Check: "hosts.self", Status: checks.Fail}}))
	targets, err := Module{}.Targets(checks.Scope{}, checks.Host{})
	require.NoError(t, err)
	require.Empty(t, targets)
}

// Whatever the clusters say, the arithmetic ends, and losing more never stops less.
func FuzzLose(f *testing.F) {
	f.Add("abc", "ab", 2, "b", "")
	f.Add("ab", "", -1, "", "s0")
	f.Fuzz(func(t *testing.T, members, alive string, needs int, together, rests string) {
		p := merge([]checks.Finding{{Tolerance: []checks.Tolerance{
			{Service: "s0", Members: strings.Split(members, ""), Alive: strings.Split(alive, ""), Needs: needs, Rests: []string{"s1"}},
			{Service: "s1", Members: strings.Split(members, ""), Together: [][]string{strings.Split(together, "")}, Least: needs, Rests: strings.Split(rests, ",")},
		}}})
		now := p.lose()
		for _, n := range p.nodes() {
			more := p.lose(n)
			require.True(t, now.without(more).none(), "losing %q starts something", n)
		}
		require.Len(t, p.margins(), 2)
	})
}
