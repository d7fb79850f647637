package whole

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// everything is the target of what is said of all nodes.
const everything = "platform"

// Conclude says what has stopped, and for each node what stops with it. A
// service that stops with a node of a platform on which all is well does so by
// its design: that is said, and is no fault. One that a whole platform keeps is
// at risk because something is down already.
func (Module) Conclude(_ checks.Scope, findings []checks.Finding) []checks.Finding {
	carriers, unseen := tolerances(findings)
	if len(carriers) == 0 {
		return nil
	}
	p := merge(carriers)
	vantage := carriers[0].Vantage
	for _, c := range carriers {
		if c.Vantage != vantage {
			vantage = "" // seen together, from several nodes
		}
	}
	report := report{platform: p, stopped: p.lose(), unseen: unseen, vantage: vantage}
	out := []checks.Finding{report.summary(carriers, findings)}
	for _, node := range p.nodes() {
		out = append(out, report.node(node))
	}
	return out
}

// tolerances are the findings that say how much a cluster can lose, and the
// checks that should have said it and could not see it. Of what was seen in part
// nothing is concluded: a member that was not seen may well work.
func tolerances(findings []checks.Finding) (carriers []checks.Finding, unseen []string) {
	for _, f := range findings {
		switch {
		case f.Status == checks.Unknown && strings.HasSuffix(f.Check, ".tolerance"):
			unseen = append(unseen, f.Check)
		case len(f.Tolerance) > 0:
			carriers = append(carriers, f)
		}
	}
	// What one node could not see, another one may have.
	unseen = slices.DeleteFunc(unseen, func(id string) bool {
		return slices.ContainsFunc(carriers, func(c checks.Finding) bool { return c.Check == id })
	})
	slices.SortStableFunc(carriers, func(a, b checks.Finding) int {
		return cmp.Or(cmp.Compare(a.Check, b.Check), cmp.Compare(a.Target, b.Target), cmp.Compare(a.Vantage, b.Vantage))
	})
	return carriers, union(unseen, nil)
}

// A report is the platform and what of it has stopped already.
type report struct {
	platform
	stopped stop
	unseen  []string
	vantage string
}

func (r report) finding(s checks.Status, target, format string, args ...any) checks.Finding {
	return checks.Finding{Check: toleranceID, Target: target, Vantage: r.vantage, Status: s, Message: fmt.Sprintf(format, args...)}
}

// summary says what has stopped already, and how much each service can lose.
func (r report) summary(carriers, findings []checks.Finding) checks.Finding {
	f := r.finding(checks.Pass, everything, "no cluster has stopped")
	if !r.stopped.none() {
		f = r.halted(carriers, findings)
	}
	if down := r.down(); len(down) > 0 {
		f = f.With("down", strings.Join(down, "\n"))
	}
	if len(r.unseen) > 0 {
		f = f.With("not counted", strings.Join(r.unseen, ", ")+" could not be seen")
	}
	return f.Saw(strings.Join(r.margins(), "\n"))
}

// halted is the finding that something has stopped. A service that has says so
// itself, and better: this is a consequence of whatever its own subject found,
// and no worse than that. What stops because of another one is said only here.
func (r report) halted(carriers, findings []checks.Finding) checks.Finding {
	f := r.finding(checks.Fail, everything, "stopped: %s", r.stopped)
	warned := false
	for _, c := range carriers {
		if !slices.ContainsFunc(c.Tolerance, func(t checks.Tolerance) bool { return slices.Contains(r.stopped.itself, t.Service) }) {
			continue
		}
		for _, own := range findings {
			if subject(own) != subject(c) || own.Vantage != c.Vantage {
				continue
			}
			switch own.Status {
			case checks.Fail:
				f = f.Needing(own.Check, own.Target)
				f.Vantage = own.Vantage
			case checks.Warn:
				warned = true
			}
		}
	}
	if warned && len(f.Needs) == 0 && len(r.stopped.therefore) == 0 {
		f.Status = checks.Warn
	}
	return f
}

// subject is the first part of the ID of a check.
func subject(f checks.Finding) string {
	name, _, _ := strings.Cut(f.Check, ".")
	return name
}

// node says what stops with one node more.
func (r report) node(name string) checks.Finding {
	more := r.lose(name).without(r.stopped)
	design := r.whole().lose(name)
	as, well := "", ""
	if len(r.down()) > 0 {
		as, well = " as well", ", as on a whole platform"
	}
	switch {
	case more.none():
		return r.finding(checks.Pass, name, "losing %s%s stops no cluster", name, as)
	case more.without(design).none():
		return r.finding(checks.Pass, name, "losing %s%s stops only what has no spare by its design%s: %s", name, as, well, more).
			With("by design", more.String())
	}
	f := r.finding(checks.Warn, name, "losing %s%s stops: %s", name, as, more).
		Saw("stops " + more.String()).
		Wanted("stops " + cmp.Or(design.String(), "nothing") + ", as on a whole platform")
	if down := r.down(); len(down) > 0 {
		f = f.With("down", strings.Join(down, "\n"))
		others := slices.DeleteFunc(down, func(member string) bool { return strings.HasPrefix(member, name+" (") })
		f = f.Fix("before anything is done on " + name + ", mend what is broken on it")
		if len(others) > 0 {
			f = f.Fix("bring back first, before anything is done on " + name + ":\n" + strings.Join(others, "\n"))
		}
	}
	return f
}
