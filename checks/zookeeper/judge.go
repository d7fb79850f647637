package zookeeper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// maxDistance is how many changes a follower may be behind its leader (ours:
// they are not read at the same instant).
const maxDistance = 1000

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	var clusters []checks.Cluster
	for _, v := range views(scope, seen) {
		for _, m := range v.Members {
			out = append(out, v.judgeMode(m))
		}
		c := v.cluster()
		out = append(out, v.judgeLeader(), v.judgeAgreement(), v.judgeBrokers(), v.judgeTolerance(c))
		clusters = append(clusters, c)
	}
	return append(out, without(scope)...), clusters
}

// without is what is said from nodes whose release has no ZooKeeper.
func without(scope checks.Scope) []checks.Finding {
	var out []checks.Finding
	for _, vantage := range scope.Vantages {
		if vantage.Release.Before(platform.R25_9) {
			continue
		}
		for _, c := range catalogue {
			out = append(out, c.Skip(checks.From(vantage.Node), "", "Carbonio %s has no ZooKeeper: since 25.9 Kafka votes by itself", vantage.Release))
		}
	}
	return out
}

// A view is the ensemble as one vantage sees it.
type view struct {
	cluster.View[member]
	scope checks.Scope
}

// A member is a server of the platform, and what it said.
type member struct {
	checks.Sight[checks.Nothing, server]
	server
}

// Node is the node that the server stands on.
func (m member) Node() string { return m.Target.Node }

// works says whether the server is part of a working ensemble. The client's port
// is for the node itself: that it is silent from afar says nothing.
func (m member) works() cluster.Answer {
	c := m.Contact
	switch _, got := m.Got(); {
	case m.Mode != "":
		return cluster.Is(m.Mode != standalone)
	case m.Idle:
		return cluster.No
	case got && c != checks.Contact{} && (c.Reached() || m.Vantage == m.Node()):
		return cluster.No
	}
	return cluster.Unseen
}

// views groups what was seen by who saw it. What a server is silent about from
// afar, its own node may have seen.
func views(scope checks.Scope, seen checks.Record) []view {
	all := cluster.Views(seen, servers, func(s checks.Sight[checks.Nothing, server]) member {
		said, _ := s.Got()
		return member{s, said}
	})
	own := map[string]member{}
	for _, v := range all {
		for _, m := range v.Members {
			if m.Node() == v.Vantage {
				own[v.Vantage] = m
			}
		}
	}
	out := make([]view, len(all))
	for i, v := range all {
		for j, m := range v.Members {
			if at, ok := own[m.Node()]; ok && m.works() == cluster.Unseen {
				v.Members[j].server = at.server
			}
		}
		out[i] = view{v, scope}
	}
	return out
}

// proof is what a verdict on the whole ensemble rests on: those that were seen.
func (v view) proof() checks.Proof { return checks.Together(v.Members...).Part() }

// working counts the servers that are part of a working ensemble.
func (v view) working() cluster.Count[member] { return cluster.Ask(v.Members, member.works) }

// judgeMode judges what a server is.
func (v view) judgeMode(m member) checks.Finding {
	name := m.Node()
	switch {
	case m.Target.Address == "":
		return mode.WithoutAddress(m, name, name)
	case m.Contact != checks.Contact{} && m.works() == cluster.Unseen:
		return mode.Unknown(m, name, "ZooKeeper on %s %s; its port is for the node itself: look from there as well", name, m.Contact).
			Needing(checks.PingOf(name))
	case m.Contact != checks.Contact{}:
		return mode.Fail(m, name, "ZooKeeper on %s %s", name, m.Contact).Wanted("leader or follower").
			Needing(checks.PingOf(name))
	case m.Idle:
		return v.judgeIdle(m)
	case m.Mode == standalone && len(v.Members) > 1:
		return mode.Fail(m, name, "ZooKeeper on %s runs standalone, beside %d others", name, len(v.Members)-1).
			Saw(standalone).Wanted("leader or follower").
			Fix(fmt.Sprintf("grep ^server /opt/zookeeper/conf/zoo.cfg; cat /var/lib/queue/zookeeper/myid   # on %s: one line for each server, and its own number", name))
	case m.Mode != "":
		return mode.Pass(v.proof(), name, "%s works as %s", name, m.Mode)
	case m.Withheld:
		return mode.Unknown(m, name, "ZooKeeper on %s runs, but srvr is not in its whitelist (4lw.commands.whitelist)", name)
	}
	return mode.Unseen(m, name)
}

// judgeIdle judges a server that has no leader: where that is so for want of a
// majority, those that are gone explain it.
func (v view) judgeIdle(m member) checks.Finding {
	f := mode.Fail(m, m.Node(), "ZooKeeper on %s runs but serves nobody: it has no leader", m.Node()).
		Saw("not currently serving requests").Wanted("leader or follower")
	gone := cluster.Those(v.Members, func(o member) bool { return o.works() == cluster.No && !o.Idle && o.Mode == "" })
	if 2*len(gone) >= len(v.Members) {
		f = cluster.Because(f, mode, gone)
	}
	return f
}

func (v view) heads() []member {
	return cluster.Those(v.Members, func(m member) bool { return m.Mode == leader })
}

// single says whether the server is alone, and well so.
func (v view) single() bool { return len(v.Members) == 1 && v.Members[0].Mode == standalone }

// judgeLeader judges whether there is exactly one.
func (v view) judgeLeader() checks.Finding {
	heads := cluster.Ask(v.Members, func(m member) cluster.Answer {
		if m.works() == cluster.Unseen {
			return cluster.Unseen
		}
		return cluster.Is(m.Mode == leader)
	})
	names := strings.Join(cluster.Nodes(heads.Yes), ", ")
	switch answer := heads.ExactlyOne(); {
	case v.single():
		return mode.Pass(v.proof(), ensemble, "a single server needs no leader")
	case len(heads.Yes) == 1: // it has a majority behind it: whoever was not seen has none
		return mode.Pass(v.proof(), ensemble, "%s leads", names)
	case len(heads.Yes) > 1:
		return mode.Fail(v.proof(), ensemble, "%d servers claim to be the leader", len(heads.Yes)).
			Saw(names).Wanted("one leader")
	case answer == cluster.Unseen:
		return cluster.Because(mode.Unknown(v.proof(), ensemble, "no leader was seen, and %d of %d servers could not be asked", len(heads.Unseen), len(v.Members)), mode, v.Members)
	}
	return cluster.Because(mode.Fail(v.proof(), ensemble, "no server leads").Wanted("one leader"), mode, v.Members).Stops()
}

// headless is the finding where the word of one leader is needed.
func (v view) headless(c *checks.Check) checks.Finding {
	return cluster.Because(c.Unknown(v.proof(), ensemble, "there is no single leader to ask"), mode, v.Members).Needing(mode.On(ensemble))
}

// epoch is the term of the leader under which the server's last change was
// made, number its place in it.
func (s server) epoch() uint64  { return s.Zxid >> 32 }
func (s server) number() uint64 { return s.Zxid & 0xffffffff }

// judgeAgreement compares how far the history of each goes with the leader's. While
// a new leader has changed nothing its followers still stand where the old one
// left them, or at nothing.
func (v view) judgeAgreement() checks.Finding {
	heads := v.heads()
	switch {
	case v.single():
		return agreement.Skip(v.proof(), ensemble, "a single server has nobody to agree with")
	case len(heads) != 1:
		return v.headless(agreement)
	case !heads[0].HasZxid:
		return agreement.Unknown(v.proof(), ensemble, "%s does not report how far its history goes", heads[0].Node())
	}
	head := heads[0]
	var all, apart []string
	for _, m := range cluster.Those(v.Members, func(m member) bool { return m.works() == cluster.Yes && m.HasZxid }) {
		all = append(all, fmt.Sprintf("%s: %#x", m.Node(), m.Zxid))
		switch {
		case m.epoch() > head.epoch():
			apart = append(apart, m.Node()+" is ahead of its leader")
		case m.epoch() < head.epoch() && head.number() > maxDistance:
			apart = append(apart, fmt.Sprintf("%s is at least %d changes behind", m.Node(), head.number()))
		case m.epoch() == head.epoch() && m.number()+maxDistance < head.number():
			apart = append(apart, fmt.Sprintf("%s is %d changes behind", m.Node(), head.number()-m.number()))
		}
	}
	saw := strings.Join(all, ", ")
	switch {
	case len(apart) > 0:
		return agreement.Fail(v.proof(), ensemble, "%s", strings.Join(apart, "; ")).Saw(saw).
			Wanted(fmt.Sprintf("within %d changes of %s (policy)", maxDistance, head.Node()))
	case len(all) == 1:
		return cluster.Because(agreement.Unknown(v.proof(), ensemble, "no follower reports how far its history goes"), mode, v.failing())
	}
	return agreement.Pass(v.proof(), ensemble, "%d of %d servers agree", len(all), len(v.Members)).Saw(saw)
}

// judgeBrokers compares what Kafka registered with the inventory.
func (v view) judgeBrokers() checks.Finding {
	want := map[string]string{}
	if inv := v.scope.Topology.Inventory; inv != nil {
		for node, id := range inv.HostVars("broker_id") {
			want[id] = node
		}
	}
	if len(want) == 0 {
		return brokers.Skip(v.proof(), ensemble, "the inventory names no broker_id")
	}
	heads := v.heads()
	if v.single() {
		heads = v.Members
	}
	if len(heads) != 1 {
		return v.headless(brokers)
	}
	head := heads[0]
	if head.NoBrokers != "" {
		return brokers.Unknown(v.proof(), ensemble, "the AdminServer of %s does not list them (port %d): %s", head.Node(), adminPort, head.NoBrokers)
	}
	var missing, strange []string
	for id, node := range want {
		if !slices.Contains(head.Brokers, id) {
			missing = append(missing, node)
		}
	}
	for _, id := range head.Brokers {
		if want[id] == "" {
			strange = append(strange, id)
		}
	}
	slices.Sort(missing)
	saw := "brokers " + cmp.Or(strings.Join(head.Brokers, ", "), "none")
	switch {
	case len(missing) > 0:
		f := brokers.Fail(v.proof(), ensemble, "not registered: %s", strings.Join(missing, ", ")).Saw(saw).Wanted(fmt.Sprintf("%d brokers", len(want)))
		for _, node := range missing {
			f = f.Needing(checks.BrokerOf(node), mode.On(node)) // which it registers with
		}
		return f
	case len(strange) > 0:
		return brokers.Warn(v.proof(), ensemble, "a broker is registered that the inventory does not name: %s", strings.Join(strange, ", ")).Saw(saw).
			Fix("add it to [kafka] in the inventory, or stop it")
	}
	return brokers.Pass(v.proof(), ensemble, "every broker of the inventory is registered").Saw(saw)
}

// failing are the servers that were seen not to work.
func (v view) failing() []member {
	count := v.working()
	return append(count.No, count.Unseen...)
}

// cluster is the ensemble as those need it who conclude.
func (v view) cluster() checks.Cluster {
	count := v.working()
	c := checks.Cluster{
		Check: tolerance, Vantage: v.Vantage, Service: "ZooKeeper", Needs: len(v.Members)/2 + 1,
		Members: cluster.Nodes(v.Members), Able: cluster.Nodes(count.Yes), Unseen: cluster.Nodes(count.Unseen),
	}
	if v.single() {
		c.Able = c.Members
	}
	return c
}

// judgeTolerance judges how many more servers it can lose.
func (v view) judgeTolerance(c checks.Cluster) checks.Finding {
	count := v.working()
	if len(v.Members) == 1 && len(count.Unseen) == 0 {
		return tolerance.Skip(v.proof(), ensemble, "there is a single server: none to lose")
	}
	if len(count.Unseen) > 0 {
		return cluster.Because(tolerance.Unknown(v.proof(), ensemble, "not every server could be looked at"), mode, count.Unseen)
	}
	var f checks.Finding
	switch spare, _ := cluster.Spare(c); {
	case spare > 0 && len(v.heads()) == 1:
		return tolerance.Pass(v.proof(), ensemble, "ZooKeeper can lose any %d more of its %d servers", spare, len(c.Members))
	case spare < 0:
		f = tolerance.Fail(v.proof(), ensemble, "ZooKeeper has lost its majority").Stops()
	case spare == 0:
		f = tolerance.Fail(v.proof(), ensemble, "ZooKeeper stops with the loss of one more server")
	default:
		f = tolerance.Fail(v.proof(), ensemble, "ZooKeeper does not have exactly one leader").Stops()
	}
	f = f.Saw(fmt.Sprintf("%d of %d servers work", len(c.Able), len(c.Members))).Wanted(fmt.Sprintf("more than %d", c.Needs))
	return cluster.Because(f, mode, v.failing()).Needing(mode.On(ensemble))
}
