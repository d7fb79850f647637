package runner

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// A target of the tests' looks asks nothing.
type lookTarget = checks.Target[checks.Nothing]

type lookFunc func(context.Context, lookTarget) (any, error)

// looking is a look of kind "look" with n targets that all do observe.
func looking(n int, observe lookFunc) *checks.Look[checks.Nothing, any] {
	targets := make([]lookTarget, n)
	for i := range targets {
		targets[i] = lookTarget{Name: fmt.Sprintf("t%d", i)}
	}
	return lookingAt(targets, observe)
}

func lookingAt(targets []lookTarget, observe lookFunc) *checks.Look[checks.Nothing, any] {
	return &checks.Look[checks.Nothing, any]{
		Kind:    "look",
		Targets: func(checks.Scope, checks.Host) ([]lookTarget, error) { return targets, nil },
		Observe: func(ctx context.Context, _ checks.Host, t lookTarget) (any, error) { return observe(ctx, t) },
	}
}

// at gives all targets one address, or as many as there are.
func at(n int, address func(i int) string, observe lookFunc) *checks.Look[checks.Nothing, any] {
	targets := make([]lookTarget, n)
	for i := range targets {
		targets[i] = lookTarget{Name: fmt.Sprintf("t%d", i), Address: address(i)}
	}
	return lookingAt(targets, observe)
}

func nothing(context.Context, lookTarget) (any, error) { return 1, nil }

var source = platform.Source{Title: "the source", Address: "https://example.com"}

// check is an entry of the catalogue.
func check(id string, look checks.AnyLook, needs ...*checks.Check) *checks.Check {
	return &checks.Check{
		ID: id, Title: "t", Why: "w", Manual: "m", Remedy: "the remedy", Sources: []platform.Source{source},
		Looks: []checks.AnyLook{look}, Needs: needs,
	}
}

// module makes one of a judge; nil judges nothing.
func module(judge func(checks.Scope, checks.Record) []checks.Finding, all ...*checks.Check) *checks.Module {
	return &checks.Module{Name: "m", Checks: all, Judge: func(s checks.Scope, r checks.Record) ([]checks.Finding, []checks.Cluster) {
		if judge == nil {
			return nil, nil
		}
		return judge(s, r), nil
	}}
}

// said is a judge that always says the same.
func said(findings ...checks.Finding) func(checks.Scope, checks.Record) []checks.Finding {
	return func(checks.Scope, checks.Record) []checks.Finding { return findings }
}

func suiteOf(t testing.TB, modules ...*checks.Module) checks.Suite {
	t.Helper()
	s, err := checks.Assemble(modules...)
	require.NoError(t, err)
	return s
}

var scope = checks.Scope{Vantages: []checks.Vantage{{Node: "n1", Phase: checks.Preinstall}}}

// run looks at all targets of a look.
func run(ctx context.Context, t testing.TB, l checks.AnyLook, opts Options) []checks.Observation {
	t.Helper()
	suite := suiteOf(t, module(nil, check("m.a", l)))
	plan := NewPlan(ctx, suite, Selection{}, scope, checks.Host{}, time.Second)
	return Observe(ctx, plan, checks.Host{}, "n1", opts)
}

// judged are the findings of one module from observations.
func judged(t testing.TB, m *checks.Module, scope checks.Scope, seen ...checks.Observation) []checks.Finding {
	t.Helper()
	suite := suiteOf(t, m)
	return Judge(suite, recorded(suite, Record{Scope: scope, Observations: seen})).Findings
}

// recorded is a record of nodes that asked every look what there is to look at.
func recorded(suite checks.Suite, r Record) Record {
	planned := Planned{}
	for _, m := range suite.Modules() {
		for _, l := range m.Looks() {
			planned[m.Name+"."+l.Name()] = nil
		}
	}
	r.nodes = map[string]Node{}
	for _, v := range r.Scope.Vantages {
		r.nodes[v.Node] = Node{Asked: r.Asked, Planned: planned}
	}
	return r
}

// from is the basis of a finding that a node saw.
func from(node string) checks.Proof { return checks.Concluded(node) }
