package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// fake is a module made of functions.
type fake struct {
	name    string
	checks  []checks.Check
	targets func() ([]checks.Target, error)
	observe func(context.Context, checks.Target) (any, error)
	judge   func(checks.Scope, []checks.Observation) []checks.Finding
}

func (f fake) Name() string           { return f.name }
func (f fake) Checks() []checks.Check { return f.checks }
func (f fake) Targets(checks.Scope, checks.Host) ([]checks.Target, error) {
	return f.targets()
}

func (f fake) Observe(ctx context.Context, _ checks.Host, t checks.Target) (any, error) {
	return f.observe(ctx, t)
}

func (f fake) Judge(s checks.Scope, seen []checks.Observation) []checks.Finding {
	if f.judge == nil {
		return nil
	}
	return f.judge(s, seen)
}

func check(id string, needs ...string) checks.Check {
	return checks.Check{ID: id, Looks: []string{"look"}, Needs: needs, Remedy: "the remedy", Source: "the source"}
}

// looking is a module "m" with n targets that all do observe.
func looking(n int, observe func(context.Context, checks.Target) (any, error)) fake {
	return fake{
		name: "m", checks: []checks.Check{check("m.a")}, observe: observe,
		targets: func() ([]checks.Target, error) {
			out := make([]checks.Target, n)
			for i := range out {
				out[i] = checks.Target{Kind: "look", Name: fmt.Sprintf("t%d", i)}
			}
			return out, nil
		},
	}
}

var scope = checks.Scope{Vantages: []checks.Vantage{{Node: "n1", Phase: checks.Preinstall}}}

func run(ctx context.Context, m checks.Module, opts Options) []checks.Observation {
	plan := NewPlan(ctx, []checks.Module{m}, Selection{}, scope, checks.Host{}, time.Second)
	return Observe(ctx, plan, checks.Host{}, "n1", opts)
}

func TestObserveKeepsTheOrderOfThePlan(t *testing.T) {
	// Each look waits for the next one: they finish in reverse.
	gates := make([]chan struct{}, 51)
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	close(gates[50])
	seen := run(t.Context(), looking(50, func(_ context.Context, target checks.Target) (any, error) {
		var i int
		fmt.Sscanf(target.Name, "t%d", &i)
		<-gates[i+1]
		close(gates[i])
		return i, nil
	}), Options{})
	require.Len(t, seen, 50)
	for i, o := range seen {
		assert.Equal(t, fmt.Sprintf("t%d", i), o.Target.Name)
		assert.Equal(t, fmt.Sprint(i), string(o.Data))
	}
}

func TestObserveBoundsWhatIsInFlight(t *testing.T) {
	var mu sync.Mutex
	var now, most int
	perHost, mostPerHost := map[string]int{}, 0
	synctest.Test(t, func(t *testing.T) {
		m := looking(100, func(_ context.Context, target checks.Target) (any, error) {
			mu.Lock()
			now++
			perHost[target.Address]++
			most, mostPerHost = max(most, now), max(mostPerHost, perHost[target.Address])
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			now--
			perHost[target.Address]--
			mu.Unlock()
			return 1, nil
		})
		targets, _ := m.targets()
		for i := range targets {
			targets[i].Address = fmt.Sprintf("10.0.0.%d:1", i%10)
		}
		m.targets = func() ([]checks.Target, error) { return targets, nil }
		run(t.Context(), m, Options{Parallel: 12, PerHost: 2})
	})
	assert.Equal(t, 12, most, "in flight")
	assert.Equal(t, 2, mostPerHost, "in flight at one host")
}

func TestALookThatIgnoresItsContextIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		seen := run(t.Context(), looking(1, func(context.Context, checks.Target) (any, error) {
			<-release
			return 1, nil
		}), Options{Timeout: time.Second})
		assert.Equal(t, "no answer within 1s", seen[0].Error)
		assert.Equal(t, time.Second+grace, seen[0].Took)
		assert.Empty(t, seen[0].Data)
		close(release)
	})
}

func TestWhatWasSeenBeforeTheDeadlineIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := run(t.Context(), looking(1, func(ctx context.Context, _ checks.Target) (any, error) {
			<-ctx.Done()
			return "half", ctx.Err()
		}), Options{Timeout: time.Second})
		assert.Equal(t, "no answer within 1s", seen[0].Error)
		assert.JSONEq(t, `"half"`, string(seen[0].Data))
	})
}

func TestATargetMayHaveADeadlineOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := looking(1, func(ctx context.Context, _ checks.Target) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		m.targets = func() ([]checks.Target, error) {
			return []checks.Target{{Kind: "look", Timeout: 9 * time.Second}}, nil
		}
		assert.Equal(t, "no answer within 9s", run(t.Context(), m, Options{Timeout: time.Second})[0].Error)
	})
}

func TestAPanicIsOneUnknown(t *testing.T) {
	m := looking(2, func(_ context.Context, target checks.Target) (any, error) {
		if target.Name == "t0" {
			panic("boom")
		}
		return 1, nil
	})
	seen := run(t.Context(), m, Options{})
	assert.Contains(t, seen[0].Error, "panic: boom")
	assert.Empty(t, seen[1].Error)

	m.judge = func(checks.Scope, []checks.Observation) []checks.Finding { panic("judge") }
	findings := Judge([]checks.Module{m}, Selection{}, scope, seen)
	require.Len(t, findings, 1)
	assert.Equal(t, checks.Unknown, findings[0].Status)
	assert.Contains(t, findings[0].Message, "panic: judge")

	m.targets = func() ([]checks.Target, error) { panic("targets") }
	m.judge = nil
	findings = Judge([]checks.Module{m}, Selection{}, scope, run(t.Context(), m, Options{}))
	require.Len(t, findings, 1)
	assert.Equal(t, checks.Unknown, findings[0].Status)
	assert.Contains(t, findings[0].Message, "panic: targets")
}

func TestDataThatIsNoJSONIsAnError(t *testing.T) {
	seen := run(t.Context(), looking(1, func(context.Context, checks.Target) (any, error) {
		return make(chan int), nil
	}), Options{})
	assert.Contains(t, seen[0].Error, "unsupported type")
}

func TestADeadHostCostsOneTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := looking(40, func(ctx context.Context, _ checks.Target) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		targets, _ := m.targets()
		for i := range targets {
			targets[i].Address = "10.0.0.1:1"
		}
		m.targets = func() ([]checks.Target, error) { return targets, nil }
		start := time.Now()
		seen := run(t.Context(), m, Options{Timeout: time.Second})
		assert.Equal(t, time.Second, time.Since(start))
		for _, o := range seen {
			assert.NotEmpty(t, o.Error)
		}
	})
}

func TestAHostThatAnswersSomethingIsAskedEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		m := looking(40, func(ctx context.Context, target checks.Target) (any, error) {
			asked.Add(1)
			if target.Name == "t0" {
				return 1, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
		targets, _ := m.targets()
		for i := range targets {
			targets[i].Address = "10.0.0.1:1"
		}
		m.targets = func() ([]checks.Target, error) { return targets, nil }
		run(t.Context(), m, Options{Timeout: time.Second, PerHost: 40})
		assert.EqualValues(t, 40, asked.Load())
	})
}

func TestAnInterruptedRunTellsWhatItDidNotSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		m := looking(3, func(ctx context.Context, target checks.Target) (any, error) {
			if target.Name == "t0" {
				return "seen", nil
			}
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		})
		seen := run(ctx, m, Options{Parallel: 1})
		require.Len(t, seen, 3)
		var told int
		for _, o := range seen {
			if o.Error != "" {
				told++
				assert.Contains(t, o.Error, "the run was interrupted")
			}
		}
		assert.GreaterOrEqual(t, told, 2)
	})
}

func TestSelect(t *testing.T) {
	modules := []checks.Module{fake{name: "dns", checks: []checks.Check{check("dns.forward"), check("dns.mx")}}}
	for _, tt := range []struct{ word, err string }{
		{"dns", ""},
		{"dns.mx", ""},
		{"all", ""},
		{"dsn", `unknown subject "dsn": did you mean dns?`},
		{"dns.foward", `unknown check "dns.foward": did you mean dns.forward?`},
		{"quetzalcoatl", `unknown subject "quetzalcoatl": see carbonio-check list`},
	} {
		_, err := Select(modules, []string{tt.word})
		if tt.err == "" {
			assert.NoError(t, err, tt.word)
		} else {
			assert.EqualError(t, err, tt.err)
		}
	}
	sel, err := Select(modules, []string{"dns.mx"})
	require.NoError(t, err)
	assert.True(t, sel.Has("dns.mx"))
	assert.False(t, sel.Has("dns.forward"))
	assert.True(t, sel.Only("dns"))
}

func TestOnlyWhatIsAskedForIsLookedAt(t *testing.T) {
	m := looking(1, func(context.Context, checks.Target) (any, error) { return 1, nil })
	m.checks = append(m.checks, checks.Check{ID: "m.b", Looks: []string{"other"}})
	sel, err := Select([]checks.Module{m}, []string{"m.b"})
	require.NoError(t, err)
	plan := NewPlan(t.Context(), []checks.Module{m}, sel, scope, checks.Host{}, time.Second)
	assert.Zero(t, plan.Len())
}

func TestWhatDoesNotApplyIsSkippedAndNotLookedAt(t *testing.T) {
	for why, c := range map[string]checks.Check{
		"only once Carbonio is installed":                 {Phases: []checks.Phase{checks.Health}},
		"no Mailstore & Provisioning, Kafka on this node": {Components: []platform.Component{platform.Mailstore, platform.Kafka}},
	} {
		c.ID, c.Looks = "m.a", []string{"look"}
		m := looking(1, func(context.Context, checks.Target) (any, error) { panic("looked at") })
		m.checks = []checks.Check{c}
		scope := scope
		scope.Topology = platform.Topology{Nodes: []platform.Node{{Name: "n1", Components: []platform.Component{platform.MTA}}}}
		plan := NewPlan(t.Context(), []checks.Module{m}, Selection{}, scope, checks.Host{}, time.Second)
		assert.Zero(t, plan.Len())
		findings := Judge([]checks.Module{m}, Selection{}, scope, nil)
		require.Len(t, findings, 1)
		assert.Equal(t, checks.Skip, findings[0].Status)
		assert.Equal(t, why, findings[0].Message)
	}
}

func TestSilenceIsNeverSuccess(t *testing.T) {
	m := looking(1, nil)
	o := checks.Observation{Subject: "m", Vantage: "n1", Target: checks.Target{Kind: "look"}}
	for _, tt := range []struct {
		seen    []checks.Observation
		status  checks.Status
		message string
	}{
		{nil, checks.Skip, "nothing to look at"},
		{[]checks.Observation{o}, checks.Unknown, "looked at, but nothing was concluded from it"},
		{[]checks.Observation{{Subject: "m", Vantage: "n1", Target: o.Target, Error: "eof"}}, checks.Unknown, "could not be seen: eof"},
		{[]checks.Observation{{Subject: "m", Vantage: "n1", Target: checks.Target{Kind: KindPlan}, Error: "no list"}}, checks.Unknown, "could not be seen: no list"},
	} {
		f := Judge([]checks.Module{m}, Selection{}, scope, tt.seen)
		require.Len(t, f, 1)
		assert.Equal(t, tt.status, f[0].Status)
		assert.Equal(t, tt.message, f[0].Message)
	}
}

func TestConsequencesNameTheRootCause(t *testing.T) {
	o := checks.Observation{Vantage: "n1"}
	other := checks.Observation{Vantage: "n2"}
	m := fake{
		name:   "m",
		checks: []checks.Check{check("m.name"), check("m.ping", "m.name"), check("m.port", "m.ping"), check("m.cluster")},
		judge: func(checks.Scope, []checks.Observation) []checks.Finding {
			return []checks.Finding{
				o.Fail("m.name", "mbox1", "no name"),
				o.Fail("m.ping", "mbox1", "no answer"),
				o.Unknown("m.port", "mbox1", "not tried"),
				o.Pass("m.port", "mbox2", "open"),
				o.Fail("m.port", "mbox3", "closed"),
				o.Fail("m.cluster", "kafka", "no leader").Needing("m.port", "mbox3"),
				other.Fail("m.port", "mbox1", "closed from here too"),
				checks.Observation{}.Fail("m.cluster", "all", "stopped").Needing("m.port", "mbox1"),
				other.Fail("m.name", "n2", "it says so itself"),
				o.Fail("m.ping", "n2", "no answer"),
			}
		},
	}
	scope := checks.Scope{Vantages: []checks.Vantage{{Node: "n1"}, {Node: "n2"}}}
	got := map[string]string{}
	for _, f := range Judge([]checks.Module{m}, Selection{}, scope, nil) {
		if f.Target != "" {
			got[f.Check+" "+f.Target+" "+f.Vantage] = string(f.Status) + ": " + f.Message
		}
	}
	assert.Equal(t, map[string]string{
		"m.name mbox1 n1":    "fail: no name",
		"m.ping mbox1 n1":    "skip: blocked by m.name mbox1",
		"m.port mbox1 n1":    "skip: blocked by m.name mbox1",
		"m.port mbox2 n1":    "pass: open",
		"m.port mbox3 n1":    "fail: closed",
		"m.cluster kafka n1": "skip: blocked by m.port mbox3",
		"m.port mbox1 n2":    "fail: closed from here too",
		"m.cluster all ":     "skip: blocked by m.port mbox1",
		"m.name n2 n2":       "fail: it says so itself",
		"m.ping n2 n1":       "skip: blocked by m.name n2",
	}, got)
}

func TestARingOfNeedsHidesNothing(t *testing.T) {
	o := checks.Observation{Vantage: "n1"}
	m := fake{
		name: "m", checks: []checks.Check{check("m.a", "m.b"), check("m.b", "m.a")},
		judge: func(checks.Scope, []checks.Observation) []checks.Finding {
			return []checks.Finding{o.Fail("m.a", "x", "a"), o.Fail("m.b", "x", "b")}
		},
	}
	var failed int
	for _, f := range Judge([]checks.Module{m}, Selection{}, scope, nil) {
		if f.Status == checks.Fail {
			failed++
		}
	}
	assert.Positive(t, failed)
}

func TestFindingsAreCompletedFromTheCatalogueAndSorted(t *testing.T) {
	o := checks.Observation{Vantage: "n1"}
	m := fake{
		name: "m", checks: []checks.Check{check("m.a"), check("m.b")},
		judge: func(checks.Scope, []checks.Observation) []checks.Finding {
			return []checks.Finding{
				o.Pass("m.b", "mbox10", ""), o.Fail("m.b", "mbox9", "").Fix("its own"),
				o.Warn("m.a", "z", ""), o.Pass("m.a", "y", ""),
			}
		},
	}
	var got []string
	for _, f := range Judge([]checks.Module{m}, Selection{}, scope, nil) {
		got = append(got, strings.Join([]string{f.Check, f.Target, f.Remedy, f.Source}, "|"))
	}
	assert.Equal(t, []string{"m.a|y||", "m.a|z|the remedy|the source", "m.b|mbox9|its own|the source", "m.b|mbox10||"}, got)
}

func TestAnObservationsFileComesBackAsItWas(t *testing.T) {
	r := Record{
		Run:       Run{ID: "r1", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: time.Second},
		Selection: Selection{[]string{"m"}},
		Scope:     scope,
		Observations: []checks.Observation{
			{Subject: "m", Vantage: "n1", Target: checks.Target{Kind: "look"}, Data: json.RawMessage(`{"a":1}`)},
		},
	}
	var b bytes.Buffer
	require.NoError(t, Write(&b, r))
	got, err := Read("f", &b)
	require.NoError(t, err)
	require.Len(t, got, 1)
	assert.Equal(t, r.Observations, got[0].Observations)
	assert.Equal(t, r.Run, got[0].Run)
	assert.Equal(t, r.Selection, got[0].Selection)
}

func TestReadRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, err string }{
		"empty":       {"", "f: no observations in it"},
		"no header":   {"{}\n", "f:1: not an observations file"},
		"schema":      {`{"schema":"x/v9"}`, `f:1: schema "x/v9"`},
		"garbage":     {header("n1") + "\n\x00\x01", "f:2: not an observation"},
		"other node":  {header("n1") + "\n" + `{"subject":"m","vantage":"n2"}`, `f:2: an observation of "n2" among those of "n1"`},
		"no vantages": {`{"schema":"` + Schema + `","node":"n1","scope":{}}`, "f:1: unreadable header"},
	} {
		_, err := Read("f", strings.NewReader(tt.text))
		assert.ErrorContains(t, err, tt.err, name)
	}
}

func header(node string) string {
	return fmt.Sprintf(`{"schema":%q,"node":%q,"scope":{"topology":{"nodes":null},"release":"26.6","policy":{},"vantages":[{"node":%q}]}}`, Schema, node, node)
}

func TestMerge(t *testing.T) {
	records, err := Read("f", strings.NewReader(header("n2")+"\n"+header("n1")+"\n"))
	require.NoError(t, err)
	got, err := Merge(records)
	require.NoError(t, err)
	assert.Equal(t, []checks.Vantage{{Node: "n1"}, {Node: "n2"}}, got.Scope.Vantages)

	records, err = Read("f", strings.NewReader(header("n1")+"\n"+header("n1")+"\n"))
	require.NoError(t, err)
	_, err = Merge(records)
	assert.ErrorContains(t, err, "n1 stands twice")

	a, b := platform.Inventory{Groups: []platform.Group{{Name: "kafka"}}}, platform.Inventory{}
	records[0].Scope.Topology.Inventory, records[1].Scope.Topology.Inventory = &a, &b
	records[1].Scope.Vantages = []checks.Vantage{{Node: "n2"}}
	_, err = Merge(records)
	assert.ErrorContains(t, err, "different inventories")
}

func FuzzRead(f *testing.F) {
	f.Add(header("n1") + "\n" + `{"subject":"m","vantage":"n1","target":{"kind":"look"},"data":{}}`)
	f.Fuzz(func(t *testing.T, text string) {
		records, err := Read("f", strings.NewReader(text))
		if err == nil {
			_, _ = Merge(records)
		}
	})
}

func TestParallelismIsNotTiedToTheNumberOfCPUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		run(t.Context(), looking(DefaultParallel, func(context.Context, checks.Target) (any, error) {
			time.Sleep(time.Second)
			return 1, nil
		}), Options{})
		assert.Equal(t, time.Second, time.Since(start), "with %d CPUs", runtime.NumCPU())
	})
}

func TestReasonNamesTheDeadline(t *testing.T) {
	assert.Equal(t, "no answer within 2s", reason(fmt.Errorf("read: %w", context.DeadlineExceeded), 2*time.Second))
	assert.Equal(t, "eof", reason(errors.New("eof"), time.Second))
}

func BenchmarkObserve10000(b *testing.B) {
	m := looking(10000, func(context.Context, checks.Target) (any, error) { return struct{}{}, nil })
	plan := NewPlan(b.Context(), []checks.Module{m}, Selection{}, scope, checks.Host{}, time.Second)
	for b.Loop() {
		Observe(b.Context(), plan, checks.Host{}, "n1", Options{})
	}
}

// 14 nodes, 10 ports each, all behind a firewall that drops.
func BenchmarkBlackHole140(b *testing.B) {
	m := looking(140, func(ctx context.Context, _ checks.Target) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	targets, _ := m.targets()
	for i := range targets {
		targets[i].Address = fmt.Sprintf("10.0.0.%d:1", i/10)
	}
	m.targets = func() ([]checks.Target, error) { return targets, nil }
	plan := NewPlan(b.Context(), []checks.Module{m}, Selection{}, scope, checks.Host{}, time.Second)
	for b.Loop() {
		Observe(b.Context(), plan, checks.Host{}, "n1", Options{Timeout: time.Second})
	}
}

// What a look changed it may put back, also when its time is over.
func TestALookThatWritesHasTimeToCleanUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := looking(2, func(ctx context.Context, _ checks.Target) (any, error) {
			<-ctx.Done()
			time.Sleep(10 * time.Second)
			return "clean", ctx.Err()
		})
		targets, _ := m.targets()
		targets[1].Grace = 15 * time.Second
		m.targets = func() ([]checks.Target, error) { return targets, nil }
		seen := run(t.Context(), m, Options{Timeout: time.Second})
		assert.Empty(t, seen[0].Data, "without grace it is left behind")
		assert.Equal(t, `"clean"`, string(seen[1].Data))
		time.Sleep(time.Minute) // what was left behind ends
	})
}

// A look that loads the machine spoils nothing that others measure.
func TestALookThatWantsToBeAloneIs(t *testing.T) {
	var mu sync.Mutex
	var order []string
	now := 0
	m := looking(6, func(_ context.Context, target checks.Target) (any, error) {
		mu.Lock()
		now++
		order = append(order, target.Name)
		assert.False(t, target.Alone && now > 1, "%s is not alone", target.Name)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		now--
		mu.Unlock()
		return 1, nil
	})
	targets, _ := m.targets()
	targets[0].Alone, targets[3].Alone = true, true
	m.targets = func() ([]checks.Target, error) { return targets, nil }
	synctest.Test(t, func(t *testing.T) { run(t.Context(), m, Options{}) })
	assert.ElementsMatch(t, []string{"t0", "t3"}, order[4:], "%v", order)
}

// concluding is a module that judges from what the others found.
type concluding struct {
	fake
	conclude func([]checks.Finding) []checks.Finding
}

func (concluding) From() []string { return []string{"m.a"} }

func (c concluding) Conclude(_ checks.Scope, findings []checks.Finding) []checks.Finding {
	return c.conclude(findings)
}

func TestAConcluderSeesWhatTheOthersFound(t *testing.T) {
	o := checks.Observation{Vantage: "n1"}
	m := looking(0, nil)
	m.judge = func(checks.Scope, []checks.Observation) []checks.Finding {
		return []checks.Finding{o.Fail("m.a", "x", "wrong")}
	}
	c := concluding{fake: fake{name: "c", checks: []checks.Check{check("c.all")}}}
	c.fake.judge = func(checks.Scope, []checks.Observation) []checks.Finding { panic("its judge was called") }
	c.conclude = func(before []checks.Finding) []checks.Finding {
		return []checks.Finding{o.Warn("c.all", "", "%d findings, the first of %s", len(before), before[0].Check)}
	}
	got := Judge([]checks.Module{m, c}, Selection{}, scope, nil)
	require.Len(t, got, 2)
	assert.Equal(t, "1 findings, the first of m.a", got[1].Message)
	assert.Equal(t, "the remedy", got[1].Remedy, "completed like any other")

	for word, brings := range map[string]bool{"c": true, "c.all": true, "m.b": false} {
		m.checks = []checks.Check{check("m.a"), check("m.b")}
		sel, err := Select([]checks.Module{m, c}, []string{word})
		require.NoError(t, err)
		assert.Equal(t, brings, sel.Has("m.a"), word)
	}
	sel, err := Select([]checks.Module{m, c}, nil)
	require.NoError(t, err)
	assert.True(t, sel.Has("m.b"), "nothing selected is everything")
}
