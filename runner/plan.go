// Package runner carries a run from the catalogue to the findings: it selects,
// plans, looks at everything side by side within bounds and deadlines, has the
// modules judge, and turns consequences into skips. It knows no subject.
package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// A Selection is the set of checks that a run is about. The zero value is all.
type Selection struct{ ids []string }

// All is the word for every subject.
const All = "all"

// Select reads words such as "all", "dns" or "dns.forward". What concludes from
// other checks brings them along. The error for an unknown word names the
// nearest known one.
func Select(modules []checks.Module, words []string) (Selection, error) {
	var known, ids []string
	for _, m := range modules {
		known = append(known, m.Name())
		for _, c := range m.Checks() {
			known = append(known, c.ID)
		}
	}
	for _, w := range words {
		switch {
		case w == All:
			return Selection{}, nil
		case !slices.Contains(known, w):
			return Selection{}, unknownWord(w, known)
		default:
			ids = append(ids, w)
		}
	}
	sel := Selection{ids}
	for _, m := range modules {
		c, concludes := m.(checks.Concluder)
		if concludes && len(ids) > 0 && slices.ContainsFunc(m.Checks(), func(c checks.Check) bool { return sel.Has(c.ID) }) {
			sel.ids = append(sel.ids, c.From()...)
		}
	}
	return sel, nil
}

func unknownWord(w string, known []string) error {
	what := "subject"
	if strings.Contains(w, ".") {
		what = "check"
	}
	if n := platform.Nearest(w, append(known, All)); n != "" {
		return fmt.Errorf("unknown %s %q: did you mean %s?", what, w, n)
	}
	return fmt.Errorf("unknown %s %q: see carbonio-check list", what, w)
}

// Words gives back what was selected; none means everything.
func (s Selection) Words() []string { return s.ids }

// Only says whether nothing but the subject is selected.
func (s Selection) Only(subject string) bool {
	return len(s.ids) > 0 && !slices.ContainsFunc(s.ids, func(id string) bool {
		return id != subject && !strings.HasPrefix(id, subject+".")
	})
}

// Has says whether the check is selected.
func (s Selection) Has(checkID string) bool {
	subject, _, _ := strings.Cut(checkID, ".")
	return len(s.ids) == 0 || slices.Contains(s.ids, checkID) || slices.Contains(s.ids, subject)
}

// A Plan is what to look at, in the order of the modules and of their targets.
type Plan struct {
	looks  []look
	failed []checks.Observation // subjects whose targets could not be listed
}

type look struct {
	module checks.Module
	target checks.Target
}

// Len is the number of looks.
func (p Plan) Len() int { return len(p.looks) }

// KindPlan is the kind of the observation that stands for a subject whose
// targets could not even be listed.
const KindPlan = "plan"

// NewPlan asks every module, side by side, for its targets, and keeps those
// that a selected check which applies to this node is judged from.
func NewPlan(ctx context.Context, modules []checks.Module, sel Selection, scope checks.Scope, host checks.Host, timeout time.Duration) Plan {
	self := scope.Self()
	targets := make([][]checks.Target, len(modules))
	errs := make([]error, len(modules))
	var wg sync.WaitGroup
	for i, m := range modules {
		kinds := wanted(m, sel, scope, self)
		if len(kinds) == 0 {
			continue
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			var all []checks.Target
			all, errs[i] = guard(ctx, grace, func() ([]checks.Target, error) { return m.Targets(scope, host) })
			for _, t := range all {
				if slices.Contains(kinds, t.Kind) {
					targets[i] = append(targets[i], t)
				}
			}
		})
	}
	wg.Wait()

	var p Plan
	for i, m := range modules {
		if errs[i] != nil {
			p.failed = append(p.failed, checks.Observation{
				Subject: m.Name(), Vantage: self.Node,
				Target: checks.Target{Kind: KindPlan, Name: m.Name()},
				Error:  reason(errs[i], timeout),
			})
		}
		for _, t := range targets[i] {
			p.looks = append(p.looks, look{m, t})
		}
	}
	return p
}

// wanted are the kinds of target that the module's selected and applicable
// checks are judged from.
func wanted(m checks.Module, sel Selection, scope checks.Scope, v checks.Vantage) []string {
	var kinds []string
	for _, c := range m.Checks() {
		if sel.Has(c.ID) && notApplicable(c, scope, v) == "" {
			kinds = append(kinds, c.Looks...)
		}
	}
	return kinds
}

// notApplicable is why a check makes no sense from a vantage; empty when it does.
func notApplicable(c checks.Check, scope checks.Scope, v checks.Vantage) string {
	if len(c.Phases) > 0 && !slices.Contains(c.Phases, v.Phase) {
		if v.Phase == checks.Health {
			return "only before the installation"
		}
		return "only once Carbonio is installed"
	}
	node := scope.Node(v.Node)
	if len(c.Components) == 0 || node.Has(c.Components...) {
		return ""
	}
	if len(node.Components) == 0 && scope.Topology.Inventory == nil {
		return "the components of this node are not known without an inventory (-i)"
	}
	names := make([]string, len(c.Components))
	for i, component := range c.Components {
		names[i] = component.Title()
	}
	return "no " + strings.Join(names, ", ") + " on this node"
}
