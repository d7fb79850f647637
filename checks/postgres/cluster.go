package postgres

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
)

// A cluster is what one vantage saw of all database nodes. The findings on the
// cluster as a whole are made from its observation.
type cluster struct {
	checks.Observation
	scope   checks.Scope
	members []member // in the order of the targets
}

// A member is what was seen of one database node.
type member struct {
	checks.Observation
	answer
	node string
	name string  // what Patroni calls it
	sql  *server // nil: not asked, or no answer
}

// gather collects what a vantage saw; it has no members when it did not look.
func gather(scope checks.Scope, vantage string, seen []checks.Observation) cluster {
	c := cluster{Observation: checks.Observation{Vantage: vantage}, scope: scope}
	sql := map[string]*server{}
	for o, s := range checks.Of[server](seen, kindSQL) {
		if o.Vantage == vantage && o.Error == "" {
			sql[o.Target.Node] = &s
		}
	}
	for o, a := range checks.Of[answer](seen, kindMember) {
		if o.Vantage != vantage {
			continue
		}
		c.members = append(c.members, member{o, a, o.Target.Node, a.name(o.Target), sql[o.Target.Node]})
		if o.At.After(c.At) {
			c.At = o.At
		}
		c.Took = max(c.Took, o.Took)
	}
	rank := func(m member) int {
		return slices.IndexFunc(scope.Topology.Nodes, func(n node) bool { return same(n.Name, m.node) })
	}
	slices.SortStableFunc(c.members, func(a, b member) int { return rank(a) - rank(b) })
	c.nameSilent()
	return c
}

// nameSilent takes the names of members that told none from what others tell.
func (c cluster) nameSilent() {
	for i := range c.members {
		m := &c.members[i]
		for _, other := range c.members {
			if e, ok := other.entry(m.Target); ok && m.Cluster == nil && same(m.name, m.node) {
				m.name = e.Name
			}
		}
	}
}

// silent says whether the member said nothing of itself.
func (m member) silent() bool { return m.Status == nil }

// leads says whether the member takes writes, by Patroni's or by its own word.
func (m member) leads() bool {
	return m.Status != nil && m.Status.leads() || m.sql != nil && !m.sql.Recovery
}

// last is the latest status of a member that gave one.
func (m member) last() status { return *cmp.Or(m.Later, m.Status) }

// those are the members for which it holds.
func (c cluster) those(holds func(member) bool) []member {
	var out []member
	for _, m := range c.members {
		if holds(m) {
			out = append(out, m)
		}
	}
	return out
}

// leader is the one that leads; false when none does, or several.
func (c cluster) leader() (member, bool) {
	leading := c.those(member.leads)
	if len(leading) != 1 {
		return member{}, false
	}
	return leading[0], true
}

// named says whether any view names the member.
func (c cluster) named(m member) bool {
	return slices.ContainsFunc(c.members, func(other member) bool {
		return other.Cluster != nil && slices.ContainsFunc(other.Cluster.Members, func(e entry) bool { return same(e.Name, m.name) })
	})
}

// vouched says whether a silent member works by the word of others: one streams
// to it, and its Patroni has signed on in the store of late. It may well be that
// only we do not reach it.
func (c cluster) vouched(m member) bool { return m.silent() && c.named(m) && c.streams(m) == streaming }

// holder is who holds the leader lock, by the first view that names one.
func (c cluster) holder() string {
	for _, m := range c.members {
		if name := m.holder(); name != "" {
			return name
		}
	}
	return ""
}

func (m member) holder() string {
	if m.Cluster == nil {
		return ""
	}
	for _, e := range m.Cluster.Members {
		if e.leads() {
			return e.Name
		}
	}
	return ""
}

// blind is a finding that the silence of members explains, wherever that
// silence is a finding of its own.
func (c cluster) blind(f checks.Finding) checks.Finding {
	for _, m := range c.those(member.silent) {
		f = f.Needing(agreementID, m.node)
	}
	return f
}

// storeAge is how long the member had not seen the store when it answered, by
// its own clock alone; false when it does not say.
func (m member) storeAge() (time.Duration, bool) {
	if m.Status.DCSLastSeen <= 0 || m.Date.IsZero() {
		return 0, false
	}
	return max(0, m.Date.Sub(time.Unix(m.Status.DCSLastSeen, 0))), true
}

// lost says whether the member has lost the store.
func (m member) lost() bool {
	if m.silent() {
		return false
	}
	age, _ := m.storeAge()
	return m.Status.Failsafe || age > ttl || m.Status.Unlocked && m.Cluster == nil
}

// storeless is a finding that the loss of the store explains.
func (c cluster) storeless(f checks.Finding) checks.Finding {
	for _, m := range c.those(member.lost) {
		f = f.Needing(unlockedID, m.node)
	}
	return f
}

// unheard says how many members a verdict was made without: "" or "; svc2 is silent".
func (c cluster) unheard() string {
	silent := c.those(member.silent)
	switch len(silent) {
	case 0:
		return ""
	case 1:
		return "; " + silent[0].node + " is silent"
	}
	return "; " + nodes(silent) + " are silent"
}

// nodes lists members: "svc1.example.com, svc2.example.com".
func nodes(all []member) string {
	names := make([]string, len(all))
	for i, m := range all {
		names[i] = m.node
	}
	return list(names)
}

// most is how many names a message repeats of what servers said.
const most = 6

func list(names []string) string {
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}
