package postgres

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

type node = platform.Node

const (
	// ttl is how long a leader keeps the lock without renewing it (HAA
	// patroni.config.yaml).
	ttl = 30 * time.Second
	// wanted is the version that Carbonio is made for (CL-25.6.0; HA25-conf).
	wanted = 16
)

// Judge decides for each vantage by itself: each may see another half of a
// cluster that a firewall has cut.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	for _, v := range scope.Vantages {
		c := gather(scope, v.Node, seen)
		switch {
		case len(c.members) > 0:
			out = append(out, c.judge()...)
		case !clustered(scope):
			out = append(out, lone(scope, v, seen)...)
		}
		out = append(out, judgeLogin(scope, v, seen)...)
		out = append(out, judgeHere(c, v, seen)...)
	}
	return out
}

// judge is the verdict on a cluster.
func (c cluster) judge() []checks.Finding {
	out := []checks.Finding{c.sameCluster(), c.oneLeader(), c.paused(), c.timeline()}
	var alive []string
	for _, m := range c.members {
		out = append(out, c.member(m), unlocked(m), c.version(m))
		works := m.leads()
		if !works {
			f := c.replica(m)
			out = append(out, f)
			works = f.Status == checks.Pass || f.Status == checks.Warn || c.vouched(m)
		}
		if works {
			alive = append(alive, m.node)
		}
	}
	return append(out, c.tolerance(alive))
}

// lone is for a platform without Patroni.
func lone(scope checks.Scope, v checks.Vantage, seen []checks.Observation) []checks.Finding {
	o := checks.Observation{Vantage: v.Node}
	var out []checks.Finding
	for _, id := range []string{agreementID, unlockedID, leaderID, replicasID, pausedID, timelineID, serviceID, haproxyID, toleranceID} {
		out = append(out, o.Skip(id, "", "no two database nodes are known: PostgreSQL runs without Patroni"))
	}
	for o, s := range checks.Of[server](seen, kindSQL) {
		if o.Vantage == v.Node && o.Error == "" {
			out = append(out, major(scope, o, o.Target.Node, s.Version))
		}
	}
	return out
}

// member says whether a node is there, and in this cluster.
func (c cluster) member(m member) checks.Finding {
	switch reference, others := c.reference(m); {
	case m.Target.Address == "":
		return m.Unknown(agreementID, m.node, "%s has no address: neither the inventory, /etc/hosts nor DNS names one", m.node).
			Needing("hosts.nodes", m.node).Needing("dns.forward", m.node)
	case m.Silent != "":
		return m.Fail(agreementID, m.node, "Patroni of %s does not answer: %s", m.node, m.Silent).
			Saw(m.Silent).Wanted(fmt.Sprintf("an answer at port %d", portPatroni)).
			Fix("systemctl status patroni; journalctl -u patroni -n 50     # on "+m.node).
			Needing("network.ping", m.node).Needing("network.port", at(m.node, portPatroni)+"/tcp")
	case m.silent():
		return m.Unseen(m.node, agreementID)[0]
	case reference.System != "" && m.Status.System != "" && m.Status.System != reference.System:
		return m.Fail(agreementID, m.node, "%s holds another database than the others", m.node).
			Saw("system identifier " + m.Status.System).Wanted(reference.System)
	case m.Status.Patroni.Scope != reference.Patroni.Scope:
		return m.Fail(agreementID, m.node, "%s is a member of another cluster", m.node).
			Saw("scope " + m.Status.Patroni.Scope).Wanted("scope " + reference.Patroni.Scope)
	case others && !c.named(m):
		return m.Fail(agreementID, m.node, "the cluster does not know %s, though its Patroni answers", m.node).
			Saw("not among the members").Wanted("a member " + m.name)
	case m.Cluster == nil:
		return m.Unknown(agreementID, m.node, "%s does not tell the cluster: %s", m.node, m.Error).Needing(unlockedID, m.node)
	}
	return m.Pass(agreementID, m.node, "%s answers, as a member of %s", m.node, m.Status.Patroni.Scope).
		With("version", "Patroni "+m.Status.Patroni.Version)
}

// reference is the status that the others are held against: the leader's, else
// the first; and whether any view was given that could name a member.
func (c cluster) reference(m member) (status, bool) {
	of := *cmp.Or(m.Status, &status{})
	if first := c.those(func(m member) bool { return m.Status != nil }); len(first) > 0 {
		of = *first[0].Status
	}
	if l, ok := c.leader(); ok && l.Status != nil {
		of = *l.Status
	}
	return of, slices.ContainsFunc(c.members, func(m member) bool { return m.Cluster != nil })
}

// sameCluster compares what the members tell of each other. How far each is
// moves all the time, so only who is there and who leads is compared.
func (c cluster) sameCluster() checks.Finding {
	tellers := c.those(func(m member) bool { return m.Cluster != nil })
	if len(tellers) == 0 {
		return c.storeless(c.blind(c.Unknown(agreementID, subject, "no member tells the cluster")))
	}
	told := map[string]bool{}
	var lines []string
	for _, m := range tellers {
		names := m.Cluster.names()
		told[strings.ToLower(strings.Join(names, "\n")+"\n"+m.holder())] = true
		lines = append(lines, fmt.Sprintf("%s: %s, led by %s", m.node, list(names), cmp.Or(m.holder(), "nobody")))
	}
	saw, names := strings.Join(lines, "\n"), tellers[0].Cluster.names()
	switch strangers, twice := c.strangers(names), repeated(names); {
	case len(told) > 1:
		f := c.Fail(agreementID, subject, "the members tell different clusters").Saw(saw).Wanted("the same from each")
		if len(c.those(member.leads)) > 1 {
			f = f.Needing(leaderID, subject)
		}
		return f
	case len(twice) > 0:
		return c.Fail(agreementID, subject, "the cluster names %s twice", list(twice)).Saw(saw).Wanted("every member once")
	case len(strangers) > 0:
		return c.Warn(agreementID, subject, "the cluster has a member that the inventory does not name: %s", list(strangers)).
			Saw(saw).Wanted("members of the inventory").
			Fix("patronictl -c /etc/patroni/config.yml list     # add the node to postgresServers, or stop Patroni there")
	}
	return c.Pass(agreementID, subject, "every member tells the same cluster: %s%s", list(names), c.unheard())
}

// strangers are the names that are no node's.
func (c cluster) strangers(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(c.members, func(m member) bool { return same(m.name, name) })
	})
}

// repeated are the names that stand more than once in a sorted list, once each.
func repeated(names []string) []string {
	var out []string
	for i, name := range names {
		if i > 0 && name == names[i-1] {
			out = append(out, name)
		}
	}
	return slices.Compact(out)
}

func (v view) names() []string {
	names := make([]string, len(v.Members))
	for i, e := range v.Members {
		names[i] = e.Name
	}
	slices.Sort(names)
	return names
}

// oneLeader is the headline. What members say of themselves counts: the lock in
// the store may be a dead member's until it runs out.
func (c cluster) oneLeader() checks.Finding {
	leading, holder := c.those(member.leads), c.holder()
	absent := c.those(func(m member) bool { return m.silent() && holder != "" && same(m.name, holder) })
	switch {
	case len(leading) > 1:
		return c.Fail(leaderID, subject, "%s each take writes: the databases drift apart", nodes(leading)).
			Saw(c.roles()).Wanted("one leader").
			Fix("patronictl -c /etc/patroni/config.yml list\nsystemctl stop patroni     # at once, on the one that should not lead: ask before you throw away its writes")
	case len(leading) == 1 && leading[0].standby():
		return c.Fail(leaderID, subject, "%s leads a standby cluster: nobody takes writes", leading[0].node).
			Saw(c.roles()).Wanted("a leader that takes writes").
			Fix("patronictl -c /etc/patroni/config.yml edit-config     # remove standby_cluster")
	case len(leading) == 1:
		return c.Pass(leaderID, subject, "%s leads%s", leading[0].node, c.unheard()).Saw(c.roles())
	case len(absent) > 0:
		return c.blind(c.Unknown(leaderID, subject, "%s holds the leader lock, and does not answer itself", holder))
	case len(c.those(member.silent)) == len(c.members):
		return c.blind(c.Unknown(leaderID, subject, "no member says who leads"))
	}
	return c.storeless(c.Fail(leaderID, subject, "no database node leads%s", c.unheard()).Saw(c.roles()).Wanted("one leader"))
}

func (m member) standby() bool { return m.Status != nil && m.Status.Role == "standby_leader" }

// roles says of each member what it says it is.
func (c cluster) roles() string {
	lines := make([]string, len(c.members))
	for i, m := range c.members {
		switch {
		case m.Status != nil:
			lines[i] = fmt.Sprintf("%s: %s, %s, timeline %d", m.node, m.Status.Role, m.Status.State, m.Status.Timeline)
		case m.sql != nil:
			lines[i] = fmt.Sprintf("%s: Patroni is silent, PostgreSQL in recovery: %t", m.node, m.sql.Recovery)
		default:
			lines[i] = m.node + ": silent"
		}
	}
	return strings.Join(lines, "\n")
}

func (c cluster) paused() checks.Finding {
	heard := c.those(func(m member) bool { return m.Status != nil || m.Cluster != nil })
	paused := c.those(func(m member) bool {
		return m.Status != nil && m.Status.Pause || m.Cluster != nil && m.Cluster.Pause
	})
	switch {
	case len(paused) > 0:
		return c.Warn(pausedID, subject, "automatic failover is paused, says %s", nodes(paused)).
			Saw("maintenance mode").Wanted("automatic failover")
	case len(heard) == 0:
		return c.blind(c.Unknown(pausedID, subject, "no member says whether failover is paused"))
	}
	return c.Pass(pausedID, subject, "automatic failover is on%s", c.unheard())
}

// unlocked judges a member's sight of the store. A free lock in a store that is
// well is another matter: nobody leads.
func unlocked(m member) checks.Finding {
	if m.silent() {
		return m.Unknown(unlockedID, m.node, "%s says nothing of the store", m.node).Needing(agreementID, m.node)
	}
	age, known := m.storeAge()
	saw := fmt.Sprintf("store last seen %v before the answer", age)
	if !known {
		saw = "this Patroni does not say when it saw the store"
	}
	want := fmt.Sprintf("seen within %v, and the lock held", ttl)
	free := m.Status.Unlocked || m.Cluster != nil && m.holder() == ""
	switch {
	case m.lost() && m.Status.Failsafe:
		return m.Fail(unlockedID, m.node, "%s has lost the store of the leader lock; the members go on by each other's consent", m.node).
			Saw(saw).Wanted(want).Needing("mesh.leader", "mesh")
	case m.lost():
		return m.Fail(unlockedID, m.node, "%s has lost the store of the leader lock", m.node).
			Saw(saw).Wanted(want).Needing("mesh.leader", "mesh")
	case free:
		return m.Fail(unlockedID, m.node, "nobody holds the leader lock, says %s", m.node).
			Saw(saw).Wanted(want).Needing(leaderID, subject)
	}
	return m.Pass(unlockedID, m.node, "%s sees the store, and who holds the lock", m.node).Saw(saw)
}

// version judges what a member runs, and whether another runs a newer patch.
func (c cluster) version(m member) checks.Finding {
	of := func(m member) int {
		switch {
		case m.Status != nil && m.Status.ServerVersion > 0:
			return m.Status.ServerVersion
		case m.sql != nil:
			return m.sql.Version
		}
		return 0
	}
	own := of(m)
	newest := own
	for _, other := range c.members {
		newest = max(newest, of(other))
	}
	if own == 0 {
		return m.Unknown(versionID, m.node, "%s does not say which PostgreSQL it runs", m.node).
			Needing(agreementID, m.node).Needing(replicasID, m.node).Needing(leaderID, subject)
	}
	f := major(c.scope, m.Observation, m.node, own)
	if f.Status == checks.Pass && newest > own {
		return m.Warn(versionID, m.node, "%s runs PostgreSQL %s, another node %s", m.node, number(own), number(newest)).
			Saw(number(own)).Wanted(number(newest))
	}
	return f
}

// major judges the version of one PostgreSQL; patches do not count.
func major(scope checks.Scope, o checks.Observation, node string, version int) checks.Finding {
	runs := fmt.Sprintf("%s runs PostgreSQL %s", node, number(version))
	switch {
	case version/10000 < wanted && !scope.Release.Before(platform.R25_6):
		return o.Fail(versionID, node, "%s: Carbonio %s needs %d", runs, scope.Release, wanted).
			Saw(number(version)).Wanted(fmt.Sprint(wanted)).
			Fix("pg_upgradecluster or pg_upgrade to 16, as the release notes say")
	case version/10000 > wanted:
		return o.Warn(versionID, node, "%s, newer than any that Carbonio is made for", runs).
			Saw(number(version)).Wanted(fmt.Sprint(wanted))
	}
	return o.Pass(versionID, node, "%s", runs)
}

// number words 160004 as 16.4.
func number(version int) string { return fmt.Sprintf("%d.%d", version/10000, version%10000) }

// tolerance counts what is left. That the lock is in the mesh takes failover
// away when the mesh goes, however many database nodes live.
func (c cluster) tolerance(alive []string) checks.Finding {
	var all []string
	for _, m := range c.members {
		all = append(all, m.node)
	}
	heard := len(c.those(member.silent)) < len(c.members)
	unseen := c.those(func(m member) bool { return m.silent() && m.Silent == "" && !m.leads() })
	_, led := c.leader()
	var f checks.Finding
	switch {
	case !heard:
		return c.blind(c.Unknown(toleranceID, subject, "no database node was heard"))
	case !led:
		return c.blind(c.Unknown(toleranceID, subject, "without one leader nobody knows what can be lost")).Needing(leaderID, subject)
	case len(alive) > 1:
		f = c.Pass(toleranceID, subject, "%d of %d database nodes work: %d more may be lost", len(alive), len(all), len(alive)-1)
	case len(unseen) > 0:
		f = c.blind(c.Unknown(toleranceID, subject, "only %s was seen to work%s", list(alive), c.unheard()))
	default:
		f = c.Fail(toleranceID, subject, "the loss of %s as well stops PostgreSQL", list(alive)).
			Saw(fmt.Sprintf("%d of %d database nodes work", len(alive), len(all))).Wanted("two that work")
		for _, m := range c.members {
			f = f.Needing(agreementID, m.node).Needing(replicasID, m.node)
		}
	}
	f.Tolerance = []checks.Tolerance{
		{Service: "PostgreSQL", Members: all, Alive: alive, Needs: 1},
		{Service: "PostgreSQL failover", Members: all, Alive: alive, Needs: 1, Rests: []string{"mesh"}},
	}
	return f
}
