package zookeeper

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// maxDistance is how many changes a follower may be behind its leader (ours:
// they are not read at the same instant).
const maxDistance = 1000

// journal says why there is no leader. A server that is electing is not to be
// restarted: the election begins anew.
const journal = "journalctl -u carbonio-zookeeper.service -n 50"

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	var clusters []checks.Cluster
	all := views(scope, seen)
	led := slices.ContainsFunc(all, func(v view) bool { return len(v.leaders) == 1 })
	for _, v := range all {
		c := v.cluster()
		for _, f := range v.judge(c) {
			f.Vantage = v.Vantage         // also where it rests on another's sight
			f.Stopped = f.Stopped && !led // what another node sees at work has not stopped
			out = append(out, f)
		}
		if v.inventory() {
			clusters = append(clusters, c)
		}
	}
	return append(out, without(scope)...), clusters
}

func (v view) judge(c checks.Cluster) []checks.Finding {
	var out []checks.Finding
	for _, m := range v.Members {
		out = append(out, v.judgeMode(m))
	}
	return append(out, v.judgeLeader(), v.judgeAgreement(), v.judgeBrokers(), v.judgeTolerance(c))
}

// without is what is said from nodes whose release has no ZooKeeper.
func without(scope checks.Scope) []checks.Finding {
	var out []checks.Finding
	for _, at := range scope.Vantages {
		for _, c := range catalogue {
			if !at.Release.Before(platform.R25_9) {
				out = append(out, c.Skip(checks.From(at.Node), "", "Carbonio %s has no ZooKeeper: since 25.9 Kafka runs with KRaft", at.Release))
			}
		}
	}
	return out
}

// A view is the ensemble as one vantage sees it.
type view struct {
	cluster.View[member]
	scope   checks.Scope
	working cluster.Count[member] // those that are part of a working ensemble
	leaders []member              // those that claim to lead it
}

// A member is a server of the platform, and what it said.
type member struct {
	checks.Sight[checks.Nothing, server]
	server
}

// Node is the node that the server runs on.
func (m member) Node() string { return m.Target.Node }

// works says whether the server is part of a working ensemble. The client's port
// is for the node itself: that it is silent from afar says nothing.
func (m member) works() cluster.Answer {
	c := m.Contact
	switch {
	case !m.Proof().Whole():
		return cluster.Unseen
	case m.Mode != "":
		return cluster.Is(m.Mode != standalone)
	case m.Idle:
		return cluster.No
	case c != checks.Contact{} && (c.Reached() || m.Vantage == m.Node()):
		return cluster.No
	}
	return cluster.Unseen
}

// views groups what was seen by who saw it. Where a server is silent from afar, or
// its own node sees it work, what its own node saw counts: the whole sight, and its proof.
func views(scope checks.Scope, seen checks.Record) []view {
	own := map[string]member{}
	for s := range servers.In(seen) {
		if s.Target.Node == s.Vantage {
			own[s.Vantage] = newMember(s)
		}
	}
	var out []view
	for _, v := range cluster.Views(seen, servers, func(s checks.Sight[checks.Nothing, server]) member {
		m := newMember(s)
		if at, ok := own[m.Node()]; ok && (m.works() == cluster.Unseen || at.works() == cluster.Yes) {
			return at
		}
		return m
	}) {
		leaders := cluster.Those(v.Members, func(m member) bool { return m.Mode == leader })
		out = append(out, view{v, scope, cluster.Ask(v.Members, member.works), leaders})
	}
	return out
}

func newMember(s checks.Sight[checks.Nothing, server]) member {
	said, _ := s.Got()
	return member{s, said}
}

// Proof makes a view a basis: that of a verdict on the whole ensemble, which those
// that were seen are enough for, as long as they were seen whole.
func (v view) Proof() checks.Proof {
	got := cluster.Those(v.Members, func(m member) bool { _, got := m.Got(); return got })
	if len(got) == 0 {
		got = v.Members
	}
	return checks.Together(got...)
}

// inventory says whether there is one. Without it the members are those that happen
// to be known, as a rule one: they are not the ensemble.
func (v view) inventory() bool { return v.scope.Topology.Inventory != nil }

// unlisted is the finding where what is known may be a part of the ensemble.
func (v view) unlisted(c *checks.Check) checks.Finding {
	return c.Unknown(v, ensemble, "without an inventory it is unknown which nodes run ZooKeeper")
}

// single says whether there is one server, and it runs as such.
func (v view) single() bool {
	return v.inventory() && len(v.Members) == 1 && v.Members[0].Mode == standalone
}

// judgeMode judges what a server is.
func (v view) judgeMode(m member) checks.Finding {
	name := m.Node()
	switch {
	case m.Target.Address == "":
		return mode.WithoutAddress(m, name, name)
	case m.Contact != checks.Contact{} && m.works() == cluster.Unseen:
		return mode.Unknown(m, name, "ZooKeeper on %s %s; its port is meant for the node itself: run carbonio-check there as well", name, m.Contact).
			Needing(checks.PingOf(name))
	case m.Contact != checks.Contact{}:
		return mode.Fail(m, name, "ZooKeeper on %s %s", name, m.Contact).Wanted("leader or follower").
			Fix(restart("carbonio-zookeeper.service", name)).Needing(checks.PingOf(name))
	case m.Idle:
		return v.judgeIdle(m)
	case m.Mode == standalone && len(v.Members) > 1:
		return mode.Fail(m, name, "ZooKeeper on %s runs standalone, although there are %d others", name, len(v.Members)-1).
			Saw(standalone).Wanted("leader or follower").
			Fix(checks.On(name) + "grep ^server /opt/zookeeper/conf/zoo.cfg; cat /var/lib/queue/zookeeper/myid   # one line for each server, and its own number")
	case m.Mode != "":
		return mode.Pass(m, name, "%s runs in %s mode", name, m.Mode)
	case m.Withheld:
		return mode.Unknown(m, name, "ZooKeeper on %s is running, but its whitelist (4lw.commands.whitelist) does not allow srvr", name)
	}
	return mode.Unseen(m, name)
}

// judgeIdle judges a server that has no leader: where that is so for want of a
// majority, those that are gone explain it.
func (v view) judgeIdle(m member) checks.Finding {
	f := mode.Fail(m, m.Node(), "ZooKeeper on %s is running but serves no requests: it has no leader", m.Node()).
		Saw("not currently serving requests").Wanted("leader or follower").Fix(checks.On(m.Node()) + journal)
	gone := cluster.Those(v.Members, func(o member) bool { return o.works() == cluster.No && !o.Idle && o.Mode == "" })
	if 2*len(gone) >= len(v.Members) {
		f = cluster.Because(f, mode, gone)
	}
	return f
}

// judgeLeader judges whether there is exactly one.
func (v view) judgeLeader() checks.Finding {
	names := strings.Join(cluster.Nodes(v.leaders), ", ")
	switch {
	case len(v.leaders) > 1:
		return mode.Fail(v, ensemble, "%d servers claim to be the leader", len(v.leaders)).Saw(names).Wanted("one leader")
	case !v.inventory():
		return v.unlisted(mode)
	case v.single():
		return mode.Pass(v, ensemble, "a single server needs no leader")
	case len(v.leaders) == 1: // it has a majority behind it: whoever was not seen has none
		return mode.Pass(v, ensemble, "%s is the leader", names)
	case len(v.working.Unseen) > 0:
		f := mode.Unknown(v, ensemble, "no leader was seen, and %d of %d servers could not be checked", len(v.working.Unseen), len(v.Members))
		return cluster.Because(f, mode, v.Members)
	}
	f := mode.Fail(v, ensemble, "no server is the leader").Wanted("one leader").Fix(journal + "   # on every server").Stops()
	return cluster.Because(f, mode, v.Members)
}

// leaderless is the finding where one leader would have to be asked.
func (v view) leaderless(c *checks.Check) checks.Finding {
	return cluster.Because(c.Unknown(v, ensemble, "there is no single leader to ask"), mode, v.Members).Needing(mode.On(ensemble))
}

// epoch is the term of the leader under which the server's last change was
// made, number its place in it.
func (s server) epoch() uint64  { return s.Zxid >> 32 }
func (s server) number() uint64 { return s.Zxid & 0xffffffff }

// judgeAgreement compares how far the history of each goes with the leader's. While
// a new leader has changed nothing its followers are still where the old one
// left them, or at nothing.
func (v view) judgeAgreement() checks.Finding {
	switch {
	case v.single():
		return agreement.Skip(v, ensemble, "there is only one server: nothing to compare")
	case len(v.leaders) != 1:
		return v.leaderless(agreement)
	case !v.leaders[0].HasZxid:
		return agreement.Unknown(v, ensemble, "%s does not report its last transaction (zxid)", v.leaders[0].Node())
	}
	first := v.leaders[0]
	var all, apart []string
	reporting := cluster.Ask(v.Members, func(m member) cluster.Answer {
		if m.works() == cluster.Yes && !m.HasZxid {
			return cluster.Unseen
		}
		return m.works()
	})
	for _, m := range reporting.Yes {
		all = append(all, fmt.Sprintf("%s: %#x", m.Node(), m.Zxid))
		switch {
		case m.epoch() > first.epoch():
			apart = append(apart, m.Node()+" is ahead of its leader")
		case m.epoch() < first.epoch() && first.number() > maxDistance:
			apart = append(apart, fmt.Sprintf("%s is at least %d changes behind", m.Node(), first.number()))
		case m.epoch() == first.epoch() && m.number()+maxDistance < first.number():
			apart = append(apart, fmt.Sprintf("%s is %d changes behind", m.Node(), first.number()-m.number()))
		}
	}
	saw := strings.Join(all, ", ")
	switch {
	case len(apart) > 0:
		return agreement.Fail(v, ensemble, "%s", strings.Join(apart, "; ")).Saw(saw).
			Wanted(fmt.Sprintf("within %d changes of %s (policy)", maxDistance, first.Node()))
	case !v.inventory():
		return v.unlisted(agreement)
	case len(all) == 1:
		f := agreement.Unknown(v, ensemble, "no follower reports its last transaction (zxid)")
		return cluster.Because(f, mode, slices.Concat(v.working.No, v.working.Unseen))
	case len(reporting.Unseen) > 0:
		f := agreement.Unknown(v, ensemble, "%d of %d servers agree; the last transaction (zxid) of %s is unknown",
			len(all), len(v.Members), strings.Join(cluster.Nodes(reporting.Unseen), ", ")).Saw(saw)
		return cluster.Because(f, mode, reporting.Unseen)
	}
	return agreement.Pass(v, ensemble, "%d of %d servers agree", len(all), len(v.Members)).Saw(saw)
}

// judgeBrokers compares what Kafka registered with the inventory.
func (v view) judgeBrokers() checks.Finding {
	if !v.inventory() {
		return v.unlisted(brokers)
	}
	ids := v.scope.Topology.Inventory.HostVars("broker_id")
	leaders := v.leaders
	if v.single() {
		leaders = v.Members
	}
	switch {
	case len(ids) == 0:
		return brokers.Skip(v, ensemble, "the inventory names no broker_id")
	case len(leaders) != 1:
		return v.leaderless(brokers)
	case leaders[0].NoBrokers != "":
		return brokers.Unknown(v, ensemble, "the AdminServer of %s does not list the brokers (port %d): %s", leaders[0].Node(), adminPort, leaders[0].NoBrokers)
	}
	registered := leaders[0].Brokers
	missing := cluster.Those(slices.Sorted(maps.Keys(ids)), func(node string) bool { return !slices.Contains(registered, ids[node]) })
	expected := slices.Collect(maps.Values(ids))
	strange := cluster.Those(registered, func(id string) bool { return !slices.Contains(expected, id) })
	saw := "brokers " + cmp.Or(strings.Join(registered, ", "), "none")
	switch {
	case len(missing) > 0:
		f := brokers.Fail(v, ensemble, "not registered: %s", strings.Join(missing, ", ")).
			Saw(saw).Wanted(fmt.Sprintf("%d brokers", len(ids))).Fix(restart("carbonio-kafka.service", missing...))
		for _, node := range missing {
			f = f.Needing(checks.BrokerOf(node), mode.On(node)) // which it registers with
		}
		return f
	case len(strange) > 0:
		return brokers.Warn(v, ensemble, "registered, but not in the inventory: %s", strings.Join(strange, ", ")).Saw(saw).
			Fix("# add them to [kafka] in the inventory, or stop them")
	}
	return brokers.Pass(v, ensemble, "every broker of the inventory is registered").Saw(saw)
}

// restart is the remedy for a service on nodes.
func restart(service string, nodes ...string) string {
	var lines []string
	for _, node := range nodes {
		lines = append(lines, checks.On(node)+"systemctl restart "+service+"; journalctl -u "+service+" -n 50")
	}
	return strings.Join(lines, "\n")
}

// cluster is the ensemble as those need it who conclude.
func (v view) cluster() checks.Cluster {
	c := checks.Cluster{
		Check: tolerance, Vantage: v.Vantage, Service: "ZooKeeper", Needs: len(v.Members)/2 + 1,
		Members: cluster.Nodes(v.Members), Able: cluster.Nodes(v.working.Yes), Unseen: cluster.Nodes(v.working.Unseen),
	}
	if v.single() {
		c.Able = c.Members
	}
	return c
}

// judgeTolerance judges how many more servers it can lose.
func (v view) judgeTolerance(c checks.Cluster) checks.Finding {
	switch {
	case !v.inventory():
		return v.unlisted(tolerance)
	case len(v.working.Unseen) > 0:
		return cluster.Because(tolerance.Unknown(v, ensemble, "not every server could be checked"), mode, v.working.Unseen)
	case len(v.Members) == 1:
		return tolerance.Skip(v, ensemble, "there is only one server: none can be lost")
	}
	var f checks.Finding
	switch spare, _ := cluster.Spare(c); {
	case spare > 0 && len(v.leaders) == 1:
		return tolerance.Pass(v, ensemble, "ZooKeeper can lose any %d more of its %d servers", spare, len(c.Members))
	case spare < 0:
		f = tolerance.Fail(v, ensemble, "ZooKeeper has lost its majority").Stops()
	case spare == 0:
		f = tolerance.Fail(v, ensemble, "ZooKeeper will stop if one more server is lost")
	default:
		f = tolerance.Fail(v, ensemble, "ZooKeeper does not have exactly one leader").Stops()
	}
	f = f.Saw(fmt.Sprintf("%d of %d servers work", len(c.Able), len(c.Members))).Wanted(fmt.Sprintf("more than %d", c.Needs))
	return cluster.Because(f, mode, v.working.No).Needing(mode.On(ensemble))
}
