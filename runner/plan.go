// Package runner carries a run from the catalogue to the findings: it selects,
// plans, looks at everything in parallel within bounds and deadlines, has the
// modules judge, and names what explains what. It knows no subject.
package runner

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"carbonio-check/checks"
)

// A Plan is what to look at, in the order of the modules and of their targets.
type Plan struct {
	kinds  []string // "subject.kind" of each look that was asked for its targets
	looks  []look
	failed []checks.Observation // looks whose targets could not be listed
}

type look struct {
	subject string
	checks.Planned
}

// Len is the number of looks.
func (p Plan) Len() int { return len(p.looks) }

// KindPlan is the kind of the observation that replaces a look whose targets
// could not even be listed; its target is named after the look.
const KindPlan = "plan"

// Planned are the targets of a plan by "subject.kind", without what is asked of
// them: what an observations file must hold to be whole. A look that had nothing
// to look at has an empty list; one without a list was not planned.
type Planned map[string][]Target

// A Target is one planned look in the header of an observations file.
type Target struct {
	Name    string `json:"name"`
	Node    string `json:"node,omitempty"`
	Address string `json:"address,omitempty"`
}

// Planned lists the targets of the plan.
func (p Plan) Planned() Planned {
	out := Planned{}
	for _, kind := range p.kinds {
		out[kind] = []Target{}
	}
	for _, o := range p.failed {
		key := o.Subject + "." + KindPlan
		out[key] = append(out[key], Target{Name: o.Target.Name})
	}
	for _, l := range p.looks {
		key := l.subject + "." + l.Kind
		out[key] = append(out[key], Target{l.Target.Name, l.Target.Node, l.Target.Address})
	}
	return out
}

// NewPlan asks every module, in parallel, for its targets: those of the looks
// that a selected check which applies to this node is judged from.
func NewPlan(ctx context.Context, suite checks.Suite, sel Selection, scope checks.Scope, host checks.Host, timeout time.Duration) Plan {
	type listed struct {
		subject string
		look    checks.AnyLook
		targets []checks.Planned
		err     error
	}
	var all []*listed
	var wg sync.WaitGroup
	for _, m := range suite.Modules() {
		for _, l := range wanted(m, sel, scope, scope.Self()) {
			one := &listed{subject: m.Name, look: l}
			all = append(all, one)
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(ctx, timeout)
				defer cancel()
				one.targets, one.err = guard(ctx, grace, func() ([]checks.Planned, error) { return l.Plan(scope, host) })
			})
		}
	}
	wg.Wait()

	var p Plan
	for _, one := range all {
		p.kinds = append(p.kinds, one.subject+"."+one.look.Name())
		if one.err != nil {
			why := unseen(one.err, timeout)
			if why.Code != checks.Defective {
				why.Code = checks.Unplanned
			}
			p.failed = append(p.failed, checks.Observation{
				Subject: one.subject, Kind: KindPlan, Vantage: scope.Self().Node,
				Target: target(one.look.Name()), Unseen: &why,
			})
		}
		for _, t := range one.targets {
			p.looks = append(p.looks, look{one.subject, t})
		}
	}
	return p
}

// wanted are the looks that the module's selected and applicable checks are
// judged from.
func wanted(m *checks.Module, sel Selection, scope checks.Scope, v checks.Vantage) []checks.AnyLook {
	var out []checks.AnyLook
	for _, c := range m.Checks {
		if !sel.Has(c.ID) || NotApplicable(c, sel, scope, v) != "" {
			continue
		}
		for _, l := range c.Looks {
			if !slices.Contains(out, l) {
				out = append(out, l)
			}
		}
	}
	return out
}

// NotApplicable is why a check makes no sense from a vantage; empty when it does.
// What the user names and configures is looked at by whoever is asked to.
func NotApplicable(c *checks.Check, sel Selection, scope checks.Scope, v checks.Vantage) string {
	if len(c.Phases) > 0 && !slices.Contains(c.Phases, v.Phase) {
		if v.Phase == checks.Health {
			return "only before the installation"
		}
		return "only once Carbonio is installed"
	}
	node := scope.Node(v.Node)
	switch {
	case len(c.Components) == 0, node.Has(c.Components...):
		return ""
	case c.Wants != nil && sel.Named(c.ID) && c.Wants.Given(scope):
		return ""
	case len(node.Components) == 0 && scope.Topology.Inventory == nil:
		return "the components of this node are unknown without an inventory (-i)"
	}
	names := make([]string, len(c.Components))
	for i, component := range c.Components {
		names[i] = component.Title()
	}
	return "no " + strings.Join(names, ", ") + " on this node"
}
