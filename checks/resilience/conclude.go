package resilience

import (
	"cmp"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// everything is the target of what is said of all nodes.
const everything = "platform"

// conclude says what has stopped, and for each node what stops with it. A
// service that stops with a node of a platform on which all is well does so by
// its design: that is said, and is no fault. One that a healthy platform keeps is
// at risk because something is down already. Where a cluster that a node carries
// was not seen whole, nothing is known of the loss of that node.
func conclude(scope checks.Scope, findings []checks.Finding, clusters []checks.Cluster) []checks.Finding {
	clusters = append(slices.Clone(clusters), unheard(scope, findings, clusters)...)
	clusters = slices.DeleteFunc(clusters, func(c checks.Cluster) bool { return len(c.Members) == 0 }) // of nobody nothing is known
	if len(clusters) == 0 {
		return nil
	}
	slices.SortStableFunc(clusters, func(a, b checks.Cluster) int {
		return cmp.Or(cmp.Compare(a.Check.ID, b.Check.ID), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Vantage, b.Vantage))
	})
	all := merge(clusters)
	r := report{services: all, stopped: all.optimistic().lose(), findings: findings, vantage: clusters[0].Vantage}
	for _, c := range clusters {
		if c.Vantage != r.vantage {
			r.vantage = "" // seen together, from several nodes
		}
	}
	out := []checks.Finding{r.summary(clusters)}
	for _, node := range all.nodes() {
		out = append(out, r.node(node))
	}
	return out
}

// unheard are the clusters that could not be seen at all: every
// node that may carry one is an unseen member.
func unheard(scope checks.Scope, findings []checks.Finding, clusters []checks.Cluster) []checks.Cluster {
	var out []checks.Cluster
	for _, f := range findings {
		is := func(c checks.Cluster) bool { return c.Check == f.Check }
		if f.Check.Clusters && f.Status == checks.Unknown && !slices.ContainsFunc(clusters, is) && !slices.ContainsFunc(out, is) {
			carriers := scope.Topology.Nodes
			if len(f.Check.Components) > 0 {
				carriers = scope.Topology.With(f.Check.Components...)
			}
			var nodes []string
			for _, n := range carriers {
				nodes = append(nodes, n.Name)
			}
			out = append(out, checks.Cluster{Check: f.Check, Vantage: f.Vantage, Service: subject(f.Check), Members: nodes, Unseen: nodes, Needs: 1})
		}
	}
	return out
}

// A report is the clusters and what of them has stopped already.
type report struct {
	services
	stopped  stop
	findings []checks.Finding // of the clusters' own subjects
	vantage  string
}

// basis is what a conclusion rests on: the clusters were seen by their subjects.
func (r report) basis() checks.Proof { return checks.Concluded(r.vantage) }

// summary says what has stopped already, and how much each service can lose.
func (r report) summary(clusters []checks.Cluster) checks.Finding {
	var f checks.Finding
	unseen := r.unseen()
	switch {
	case !r.stopped.none():
		f = r.halted(clusters)
	case len(unseen) > 0:
		f = r.because(tolerance.Unknown(r.basis(), everything, "whether a cluster has stopped is unknown: not every member was seen"), clusters)
	default:
		f = tolerance.Pass(r.basis(), everything, "no cluster has stopped")
	}
	if down := r.down(); len(down) > 0 {
		f = f.With("down", strings.Join(down, "\n"))
	}
	if len(unseen) > 0 {
		f = f.With("not seen", strings.Join(unseen, "\n"))
	}
	return f.Saw(strings.Join(r.margins(), "\n"))
}

// because names the findings of a cluster's own subject that explain why it was
// not seen whole.
func (r report) because(f checks.Finding, clusters []checks.Cluster) checks.Finding {
	for _, c := range clusters {
		if len(c.Unseen) == 0 {
			continue
		}
		for _, own := range r.findings {
			if own.Check == c.Check && own.Status != checks.Pass || subject(own.Check) == subject(c.Check) && own.Status == checks.Fail {
				f = f.Needing(own.Check.On(own.Target))
			}
		}
	}
	return f
}

// halted is the finding that something has stopped. A service that has says so
// itself, and better: this is a consequence of whatever its own subject found,
// and no worse than that. What stops because of another one is said only here.
func (r report) halted(clusters []checks.Cluster) checks.Finding {
	f := tolerance.Fail(r.basis(), everything, "stopped: %s", r.stopped)
	warned := false
	for _, c := range clusters {
		if !slices.Contains(r.stopped.itself, c.Service) {
			continue
		}
		for _, own := range r.findings {
			if subject(own.Check) != subject(c.Check) || own.Vantage != c.Vantage {
				continue
			}
			switch own.Status {
			case checks.Fail:
				f = f.Needing(own.Check.On(own.Target))
				f.Vantage = own.Vantage
			case checks.Warn:
				warned = true
			}
		}
	}
	switch {
	case warned && len(f.Needs) == 0 && len(r.stopped.therefore) == 0:
		f.Status = checks.Warn
	case len(r.stopped.therefore) > 0:
		f = f.Stops()
	}
	return f
}

// subject is the first part of the ID of a check.
func subject(c *checks.Check) string {
	name, _, _ := strings.Cut(c.ID, ".")
	return name
}

// node says what stops with one node more.
func (r report) node(name string) checks.Finding {
	sure := r.optimistic().lose(name).without(r.stopped)
	design := r.healthy().lose(name)
	as, well := "", ""
	if len(r.down()) > 0 {
		as, well = " as well", ", as on a healthy platform"
	}
	unseen := r.carriedUnseen(name)
	switch {
	case !sure.without(design).none():
		return r.risk(name, as, sure, design)
	case len(unseen) > 0:
		return tolerance.Unknown(r.basis(), name, "what the loss of %s stops is unknown: not every member of %s was seen", name, strings.Join(unseen, ", ")).
			With("not seen", strings.Join(r.unseen(), "\n")).Needing(tolerance.On(everything))
	case sure.none():
		return tolerance.Pass(r.basis(), name, "losing %s%s stops no cluster", name, as)
	}
	return tolerance.Pass(r.basis(), name, "losing %s%s stops only what is not redundant by design%s: %s", name, as, well, sure).
		With("by design", sure.String())
}

// risk is the finding that a node's loss stops more than it would by design.
func (r report) risk(name, as string, more, design stop) checks.Finding {
	f := tolerance.Warn(r.basis(), name, "losing %s%s stops: %s", name, as, more).
		Saw("stops " + more.String()).
		Wanted("stops " + cmp.Or(design.String(), "nothing") + ", as on a healthy platform")
	down := r.down()
	if len(down) == 0 {
		return f
	}
	f = f.With("down", strings.Join(down, "\n"))
	others := slices.DeleteFunc(down, func(member string) bool { return strings.HasPrefix(member, name+" (") })
	if len(others) == 0 {
		return f.Fix("before anything is done on " + name + ", repair what is broken on it")
	}
	return f.Fix("bring back first, before anything is done on " + name + ":\n" + strings.Join(others, "\n"))
}
