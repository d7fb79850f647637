package runner

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

func TestObserveKeepsTheOrderOfThePlan(t *testing.T) {
	// Each look waits for the next one: they finish in reverse.
	gates := make([]chan struct{}, 51)
	for i := range gates {
		gates[i] = make(chan struct{})
	}
	close(gates[50])
	seen := run(t.Context(), t, looking(50, func(_ context.Context, target lookTarget) (any, error) {
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
		run(t.Context(), t, at(100, func(i int) string { return fmt.Sprintf("10.0.0.%d:1", i%10) }, func(_ context.Context, target lookTarget) (any, error) {
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
		}), Options{Parallel: 12, PerHost: 2})
	})
	assert.Equal(t, 12, most, "in flight")
	assert.Equal(t, 2, mostPerHost, "in flight at one host")
}

func TestALookThatIgnoresItsContextIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		seen := run(t.Context(), t, looking(1, func(context.Context, lookTarget) (any, error) {
			<-release
			return 1, nil
		}), Options{Timeout: time.Second})
		assert.Equal(t, "no response within 1s", seen[0].Unseen.String())
		assert.Equal(t, time.Second+grace, seen[0].Took)
		assert.Empty(t, seen[0].Data)
		close(release)
	})
}

func TestWhatWasSeenBeforeTheDeadlineIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		seen := run(t.Context(), t, looking(1, func(ctx context.Context, _ lookTarget) (any, error) {
			<-ctx.Done()
			return "half", ctx.Err()
		}), Options{Timeout: time.Second})
		assert.Equal(t, checks.Unseen{Code: checks.TimedOut, Words: "1s"}, *seen[0].Unseen)
		assert.JSONEq(t, `"half"`, string(seen[0].Data))
	})
}

func TestALookMayHaveADeadlineOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := looking(1, func(ctx context.Context, _ lookTarget) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		l.Timeout = 9 * time.Second
		assert.Equal(t, "no response within 9s", run(t.Context(), t, l, Options{Timeout: time.Second})[0].Unseen.String())
	})
}

func TestAPanicIsOneUnknown(t *testing.T) {
	l := looking(2, func(_ context.Context, target lookTarget) (any, error) {
		if target.Name == "t0" {
			panic("boom")
		}
		return 1, nil
	})
	seen := run(t.Context(), t, l, Options{})
	assert.Equal(t, checks.Defective, seen[0].Unseen.Code)
	assert.Contains(t, seen[0].Unseen.String(), "panic: boom")
	assert.Nil(t, seen[1].Unseen)

	findings := judged(t, module(func(checks.Scope, checks.Record) []checks.Finding { panic("judge") }, check("m.a", l)), scope, seen...)
	require.Len(t, findings, 1)
	assert.Equal(t, checks.Unknown, findings[0].Status)
	assert.True(t, findings[0].Defect)
	assert.Contains(t, findings[0].Message, "panic: judge")

	l.Targets = func(checks.Scope, checks.Host) ([]lookTarget, error) { panic("targets") }
	findings = judged(t, module(nil, check("m.a", l)), scope, run(t.Context(), t, l, Options{})...)
	require.Len(t, findings, 1)
	assert.Equal(t, checks.Unknown, findings[0].Status)
	assert.Contains(t, findings[0].Message, "panic: targets")
}

func TestTargetsThatCannotBeListedAreUnknown(t *testing.T) {
	l := looking(0, nil)
	l.Targets = func(checks.Scope, checks.Host) ([]lookTarget, error) { return nil, errors.New("no list") }
	seen := run(t.Context(), t, l, Options{})
	require.Len(t, seen, 1)
	assert.Equal(t, checks.Unplanned, seen[0].Unseen.Code)
	findings := judged(t, module(nil, check("m.a", l)), scope, seen...)
	assert.Equal(t, checks.Unknown, findings[0].Status)
	assert.Equal(t, "could not be seen: no list", findings[0].Message)
}

func TestDataThatIsNoJSONIsUnseen(t *testing.T) {
	seen := run(t.Context(), t, looking(1, func(context.Context, lookTarget) (any, error) {
		return make(chan int), nil
	}), Options{})
	assert.Contains(t, seen[0].Unseen.String(), "unsupported type")
}

func TestWhatIsTooLargeForAFileIsUnseenAtOnce(t *testing.T) {
	seen := run(t.Context(), t, looking(1, func(context.Context, lookTarget) (any, error) {
		return strings.Repeat("x", MaxObservation), nil
	}), Options{})
	assert.Equal(t, checks.TooLarge, seen[0].Unseen.Code)
	assert.Empty(t, seen[0].Data)
}

func TestADeadHostCostsOneTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := at(40, func(int) string { return "10.0.0.1:1" }, func(ctx context.Context, _ lookTarget) (any, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		start := time.Now()
		seen := run(t.Context(), t, l, Options{Timeout: time.Second})
		assert.Equal(t, time.Second, time.Since(start))
		skipped := 0
		for _, o := range seen {
			require.NotNil(t, o.Unseen)
			if o.Unseen.Code == checks.HostSilent {
				skipped++
			}
		}
		assert.Equal(t, 40-DefaultPerHost, skipped)
	})
}

func TestAHostThatAnswersSomethingIsAskedEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int32
		run(t.Context(), t, at(40, func(int) string { return "10.0.0.1:1" }, func(ctx context.Context, target lookTarget) (any, error) {
			asked.Add(1)
			if target.Name == "t0" {
				return 1, nil
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}), Options{Timeout: time.Second, PerHost: 40})
		assert.EqualValues(t, 40, asked.Load())
	})
}

func TestAnInterruptedRunTellsWhatItDidNotSee(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		seen := run(ctx, t, looking(3, func(ctx context.Context, target lookTarget) (any, error) {
			if target.Name == "t0" {
				return "seen", nil
			}
			cancel()
			<-ctx.Done()
			return nil, ctx.Err()
		}), Options{Parallel: 1})
		require.Len(t, seen, 3)
		var told int
		for _, o := range seen {
			if o.Unseen != nil {
				told++
				assert.Equal(t, checks.Interrupted, o.Unseen.Code)
			}
		}
		assert.GreaterOrEqual(t, told, 2)
	})
}

// Of whoever is slow when the run ends nothing is known: they may have answered
// the moment after.
func TestTheEndOfTheRunIsNobodysTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		seen := run(ctx, t, looking(1, func(ctx context.Context, _ lookTarget) (any, error) {
			<-ctx.Done()
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return "no response", nil
			}
			return nil, ctx.Err()
		}), Options{Timeout: 3 * time.Second})
		require.NotNil(t, seen[0].Unseen)
		assert.Equal(t, checks.RunOver, seen[0].Unseen.Code)
	})
}

func TestOnlyWhatIsAskedForIsLookedAt(t *testing.T) {
	other := looking(0, nothing)
	other.Kind = "other"
	suite := suiteOf(t, module(nil, check("m.a", looking(1, nothing)), check("m.b", other)))
	sel, err := Select(suite, []string{"m.b"})
	require.NoError(t, err)
	assert.Zero(t, NewPlan(t.Context(), suite, sel, scope, checks.Host{}, time.Second).Len())
}

func TestWhatDoesNotApplyIsSkippedAndNotLookedAt(t *testing.T) {
	for why, c := range map[string]*checks.Check{
		"only once Carbonio is installed":                 {Phases: []checks.Phase{checks.Health}},
		"no Mailstore & Provisioning, Kafka on this node": {Components: []platform.Component{platform.Mailstore, platform.Kafka}},
	} {
		full := check("m.a", looking(1, func(context.Context, lookTarget) (any, error) { panic("looked at") }))
		full.Phases, full.Components = c.Phases, c.Components
		m := module(nil, full)
		scope := scope
		scope.Topology = platform.Topology{Nodes: []platform.Node{{Name: "n1", Components: []platform.Component{platform.MTA}}}}
		assert.Zero(t, NewPlan(t.Context(), suiteOf(t, m), Selection{}, scope, checks.Host{}, time.Second).Len())
		findings := judged(t, m, scope)
		require.Len(t, findings, 1)
		assert.Equal(t, checks.Skip, findings[0].Status)
		assert.Equal(t, why, findings[0].Message)
	}
}

func TestParallelismIsNotTiedToTheNumberOfCPUs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		run(t.Context(), t, looking(min(DefaultParallel, Affordable(DefaultParallel)), func(context.Context, lookTarget) (any, error) {
			time.Sleep(time.Second)
			return 1, nil
		}), Options{})
		assert.Equal(t, time.Second, time.Since(start), "with %d CPUs", runtime.NumCPU())
	})
}

// What a look changed it may put back, also when its time is over.
func TestALookThatWritesHasTimeToCleanUp(t *testing.T) {
	for grace, want := range map[time.Duration]string{0: "", 15 * time.Second: `"clean"`} {
		synctest.Test(t, func(t *testing.T) {
			l := looking(1, func(ctx context.Context, _ lookTarget) (any, error) {
				<-ctx.Done()
				time.Sleep(10 * time.Second)
				return "clean", ctx.Err()
			})
			l.Grace = grace
			assert.Equal(t, want, string(run(t.Context(), t, l, Options{Timeout: time.Second})[0].Data))
			time.Sleep(time.Minute) // what was left behind ends
		})
	}
}

// A look that loads the machine spoils nothing that others measure.
func TestALookThatWantsToBeAloneIs(t *testing.T) {
	var mu sync.Mutex
	var order []string
	now := 0
	observe := func(alone bool) lookFunc {
		return func(_ context.Context, target lookTarget) (any, error) {
			mu.Lock()
			now++
			order = append(order, target.Name)
			assert.False(t, alone && now > 1, "%s is not alone", target.Name)
			mu.Unlock()
			time.Sleep(time.Millisecond)
			mu.Lock()
			now--
			mu.Unlock()
			return 1, nil
		}
	}
	loud := lookingAt([]lookTarget{{Name: "a0"}, {Name: "a1"}}, observe(true))
	loud.Kind, loud.Alone = "loud", true
	synctest.Test(t, func(t *testing.T) {
		suite := suiteOf(t, module(nil, check("m.a", loud), check("m.b", looking(4, observe(false)))))
		Observe(t.Context(), NewPlan(t.Context(), suite, Selection{}, scope, checks.Host{}, time.Second), checks.Host{}, "n1", Options{})
	})
	assert.ElementsMatch(t, []string{"a0", "a1"}, order[4:], "%v", order)
}

// What came to nothing for want of our own descriptors is looked at again, once
// there are some; what does so again is unknown, and nobody's fault.
func TestOurOwnWantIsLookedAtAgain(t *testing.T) {
	for name, healed := range map[string]bool{"healed": true, "not healed": false} {
		t.Run(name, func(t *testing.T) {
			var times atomic.Int32
			seen := run(t.Context(), t, looking(1, func(context.Context, lookTarget) (any, error) {
				if times.Add(1) == 1 || !healed {
					return nil, fmt.Errorf("dial: %w", syscall.EMFILE)
				}
				return "seen", nil
			}), Options{})
			assert.EqualValues(t, 2, times.Load())
			if healed {
				assert.Nil(t, seen[0].Unseen)
				return
			}
			assert.Equal(t, checks.Starved, seen[0].Unseen.Code)
		})
	}
}

// A look that writes is not made twice.
func TestALookThatWritesIsNotRepeated(t *testing.T) {
	var times atomic.Int32
	l := looking(1, func(context.Context, lookTarget) (any, error) {
		times.Add(1)
		return nil, syscall.EMFILE
	})
	l.Grace = time.Second
	run(t.Context(), t, l, Options{})
	assert.EqualValues(t, 1, times.Load())
}

func TestNoMoreLooksThanThereAreDescriptorsFor(t *testing.T) {
	assert.Equal(t, 252, within(256, 1024))
	assert.Equal(t, 12, within(256, 64))
	assert.Equal(t, 4, within(256, 32))
	assert.Equal(t, 1, within(256, 3))
	assert.Equal(t, 8, within(8, 1024))
	assert.Positive(t, Affordable(1))
}

func TestLateness(t *testing.T) {
	l := &lateness{}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	after := func(d time.Duration) time.Time { return start.Add(d) }
	l.woken(after(time.Second), after(time.Second+beat/2)) // as good as on time
	l.woken(after(2*time.Second), after(3*time.Second))
	l.woken(after(4*time.Second), after(4500*time.Millisecond))
	assert.Zero(t, l.worst(start, after(1900*time.Millisecond)))
	assert.Equal(t, time.Second, l.worst(start, after(5*time.Second)))
	assert.Equal(t, 500*time.Millisecond, l.worst(after(3500*time.Millisecond), after(4100*time.Millisecond)))
}

// What waited for its whole time while our own timers were late is looked at
// again: the first look says nothing.
func TestATimeoutWhileWeWereLateIsLookedAtAgain(t *testing.T) {
	ob := observer{opts: Options{}.withDefaults(), late: &lateness{}}
	l := look{subject: "m", Planned: checks.Planned{Kind: "look"}}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := checks.Observation{At: begin, Took: DefaultTimeout * 9 / 10}
	assert.False(t, ob.starved(l, o), "nobody was late")
	ob.late.woken(begin.Add(time.Second), begin.Add(1200*time.Millisecond))
	assert.False(t, ob.starved(l, o), "a little late")
	ob.late.woken(begin.Add(time.Second), begin.Add(3*time.Second))
	assert.True(t, ob.starved(l, o))
	o.Took = time.Millisecond
	assert.False(t, ob.starved(l, o), "answered before")
	o.Took = DefaultTimeout
	o.At = begin.Add(time.Minute)
	assert.False(t, ob.starved(l, o), "at another time")
}

// What cannot be looked at again, and was seen while we were late, is unknown.
func TestWhatIsNotRepeatedIsDoubted(t *testing.T) {
	over, end := context.WithCancel(t.Context())
	end()
	for name, tt := range map[string]struct {
		ctx   context.Context
		grace time.Duration
	}{"a look that writes": {t.Context(), time.Second}, "the run is over": {over, 0}} {
		begin := time.Now()
		ob := observer{opts: Options{}.withDefaults(), late: &lateness{}}
		ob.late.woken(begin.Add(time.Second), begin.Add(3*time.Second))
		l := look{subject: "m", Planned: checks.Planned{Kind: "look", Grace: tt.grace}}
		seen := []checks.Observation{{At: begin, Took: DefaultTimeout, Data: []byte(`"no response"`)}}
		ob.again(tt.ctx, Plan{looks: []look{l}}, seen)
		require.NotNil(t, seen[0].Unseen, name)
		assert.Equal(t, checks.Starved, seen[0].Unseen.Code, name)
		assert.Empty(t, seen[0].Data, name)
	}
}

func TestTheWatchNoticesThatWeAreOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := watchLateness()
		start := time.Now()
		time.Sleep(time.Second)
		l.stop()
		assert.Zero(t, l.worst(start, time.Now()))
	})
}

func BenchmarkObserve10000(b *testing.B) {
	suite := suiteOf(b, module(nil, check("m.a", looking(10000, func(context.Context, lookTarget) (any, error) { return struct{}{}, nil }))))
	plan := NewPlan(b.Context(), suite, Selection{}, scope, checks.Host{}, time.Second)
	for b.Loop() {
		Observe(b.Context(), plan, checks.Host{}, "n1", Options{})
	}
}

// 14 nodes, 10 looks each, all behind a firewall that drops.
func BenchmarkBlackHole140(b *testing.B) {
	l := at(140, func(i int) string { return fmt.Sprintf("10.0.0.%d:1", i/10) }, func(ctx context.Context, _ lookTarget) (any, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	plan := NewPlan(b.Context(), suiteOf(b, module(nil, check("m.a", l))), Selection{}, scope, checks.Host{}, time.Second)
	for b.Loop() {
		Observe(b.Context(), plan, checks.Host{}, "n1", Options{Timeout: time.Second})
	}
}
