package zookeeper

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// maxDistance is how many changes a follower may be behind its leader (ours:
// they are not read at the same instant).
const maxDistance = 1000

// Judge decides.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	for _, v := range views(scope, seen) {
		for _, m := range v.members {
			out = append(out, v.mode(m))
		}
		out = append(out, v.leaders(), v.agreement(), v.brokers(), v.tolerance())
	}
	if !scope.Release.Before(platform.R25_9) && len(out) == 0 {
		for _, vantage := range scope.Vantages {
			o := checks.Observation{Vantage: vantage.Node}
			for _, id := range []string{modeID, agreementID, brokersID, toleranceID} {
				out = append(out, o.Skip(id, "", "Carbonio %s has no ZooKeeper: since 25.9 Kafka votes by itself", scope.Release))
			}
		}
	}
	return out
}

// A view is the ensemble as one vantage sees it.
type view struct {
	scope   checks.Scope
	members []member // every server of the ensemble, by name
}

// A member is a server of the platform, and what it said.
type member struct {
	checks.Observation
	server
}

func (m member) node() string { return m.Target.Node }

// works says whether the server is part of a working ensemble, and known
// whether it was seen to be, or not to be.
func (m member) works() bool { return m.Mode != "" && m.Mode != standalone }

func (m member) known() bool {
	return m.Mode != "" || m.Idle || m.Down != "" && (!m.Silent || m.Vantage == m.node())
}

// views groups what was seen by who saw it. The ports are for the node itself:
// what a server is silent about from afar, its own node may have seen.
func views(scope checks.Scope, seen []checks.Observation) []view {
	byVantage, own := map[string][]member{}, map[string]member{}
	var vantages []string
	for o, s := range checks.Of[server](seen, kindServer) {
		if byVantage[o.Vantage] == nil {
			vantages = append(vantages, o.Vantage)
		}
		byVantage[o.Vantage] = append(byVantage[o.Vantage], member{o, s})
		if o.Vantage == o.Target.Node {
			own[o.Vantage] = member{o, s}
		}
	}
	var out []view
	for _, name := range vantages {
		v := view{scope, byVantage[name]}
		for i, m := range v.members {
			if at, ok := own[m.node()]; ok && !m.known() {
				v.members[i].server = at.server
				v.members[i].Error = at.Error
			}
		}
		slices.SortFunc(v.members, func(a, b member) int { return cmp.Compare(a.node(), b.node()) })
		out = append(out, v)
	}
	return out
}

func (v view) about() checks.Observation { return v.members[0].Observation }

func (v view) those(holds func(member) bool) []member {
	var out []member
	for _, m := range v.members {
		if holds(m) {
			out = append(out, m)
		}
	}
	return out
}

// because says that the state of other servers would explain a finding.
func because(f checks.Finding, members []member) checks.Finding {
	for _, m := range members {
		f = f.Needing(modeID, m.node())
	}
	return f
}

// mode judges what a server is.
func (v view) mode(m member) checks.Finding {
	name := m.node()
	switch {
	case m.Target.Address == "":
		return m.Unknown(modeID, name, "%s has no address: neither the inventory, /etc/hosts nor DNS names one", name).
			Needing("hosts.nodes", name).Needing("dns.forward", name)
	case m.Down != "" && !m.known():
		return m.Unknown(modeID, name, "ZooKeeper on %s: %s, which is for the node itself: look from there as well", name, m.Down).
			Needing("network.ping", name)
	case m.Down != "":
		return m.Fail(modeID, name, "ZooKeeper on %s cannot be talked to: %s", name, m.Down).Wanted("leader or follower").
			Needing("network.ping", name)
	case m.Idle:
		f := m.Fail(modeID, name, "ZooKeeper on %s runs and serves nobody: it has no leader", name).
			Saw("not currently serving requests").Wanted("leader or follower")
		if gone := v.those(func(o member) bool { return o.Down != "" && o.known() }); 2*len(gone) >= len(v.members) {
			f = because(f, gone)
		}
		return f
	case m.Mode == standalone && len(v.members) > 1:
		return m.Fail(modeID, name, "ZooKeeper on %s stands alone, beside %d others", name, len(v.members)-1).
			Saw(standalone).Wanted("leader or follower").
			Fix(fmt.Sprintf("grep ^server /opt/zookeeper/conf/zoo.cfg; cat /var/lib/queue/zookeeper/myid   # on %s: one line for each server, and its own number", name))
	case m.Mode != "":
		return m.Pass(modeID, name, "%s works as %s", name, m.Mode)
	case m.Mute != "":
		return m.Unknown(modeID, name, "ZooKeeper on %s lives, and does not tell its state: %s", name, m.Mute)
	}
	return m.Unseen(name, modeID)[0]
}

func (v view) heads() []member {
	return v.those(func(m member) bool { return m.Mode == leader })
}

// single says whether the server is alone, and well so.
func (v view) single() bool { return len(v.members) == 1 && v.members[0].Mode == standalone }

// leaders judges whether there is exactly one.
func (v view) leaders() checks.Finding {
	o := v.about()
	var names []string
	for _, m := range v.heads() {
		names = append(names, m.node())
	}
	unknown := v.those(func(m member) bool { return !m.known() })
	switch {
	case v.single():
		return o.Pass(modeID, ensemble, "a single server needs no leader")
	case len(names) == 1:
		return o.Pass(modeID, ensemble, "%s leads", names[0])
	case len(names) > 1:
		return o.Fail(modeID, ensemble, "%d servers take themselves for the leader", len(names)).
			Saw(strings.Join(names, ", ")).Wanted("one leader")
	case len(unknown) > 0:
		return because(o.Unknown(modeID, ensemble, "no leader was seen, and %d of %d servers could not be asked", len(unknown), len(v.members)), v.members)
	}
	return because(o.Fail(modeID, ensemble, "no server leads").Wanted("one leader"), v.members)
}

// headless is the finding where the word of one leader is needed.
func (v view) headless(check string) checks.Finding {
	return because(v.about().Unknown(check, ensemble, "there is not one leader to ask"), v.members).Needing(modeID, ensemble)
}

// epoch is the term of the leader under which the server's last change was
// made, number its place in it.
func (s server) epoch() uint64  { return s.Zxid >> 32 }
func (s server) number() uint64 { return s.Zxid & 0xffffffff }

// agreement compares how far the history of each goes with the leader's. While
// a new leader has changed nothing its followers still stand where the old one
// left them, or at nothing.
func (v view) agreement() checks.Finding {
	o, heads := v.about(), v.heads()
	switch {
	case v.single():
		return o.Skip(agreementID, ensemble, "a single server has nobody to agree with")
	case len(heads) != 1:
		return v.headless(agreementID)
	case !heads[0].HasZxid:
		return o.Unknown(agreementID, ensemble, "%s does not tell how far its history goes", heads[0].node())
	}
	head := heads[0]
	var all, apart []string
	for _, m := range v.those(func(m member) bool { return m.works() && m.HasZxid }) {
		all = append(all, fmt.Sprintf("%s: %#x", m.node(), m.Zxid))
		switch {
		case m.epoch() > head.epoch():
			apart = append(apart, m.node()+" is ahead of its leader")
		case m.epoch() < head.epoch() && head.number() > maxDistance:
			apart = append(apart, fmt.Sprintf("%s is at least %d changes behind", m.node(), head.number()))
		case m.epoch() == head.epoch() && m.number()+maxDistance < head.number():
			apart = append(apart, fmt.Sprintf("%s is %d changes behind", m.node(), head.number()-m.number()))
		}
	}
	saw := strings.Join(all, ", ")
	switch {
	case len(apart) > 0:
		return o.Fail(agreementID, ensemble, "%s", strings.Join(apart, "; ")).Saw(saw).
			Wanted(fmt.Sprintf("within %d changes of %s (policy)", maxDistance, head.node()))
	case len(all) == 1:
		return because(o.Unknown(agreementID, ensemble, "no follower tells how far its history goes"), v.those(func(m member) bool { return !m.works() }))
	}
	return o.Pass(agreementID, ensemble, "%d of %d servers agree", len(all), len(v.members)).Saw(saw)
}

// brokers compares what Kafka registered with the inventory.
func (v view) brokers() checks.Finding {
	o, want := v.about(), map[string]string{}
	if inv := v.scope.Topology.Inventory; inv != nil {
		for node, id := range inv.HostVars("broker_id") {
			want[id] = node
		}
	}
	if len(want) == 0 {
		return o.Skip(brokersID, ensemble, "the inventory names no broker_id")
	}
	heads := v.heads()
	if v.single() {
		heads = v.members
	}
	if len(heads) != 1 {
		return v.headless(brokersID)
	}
	head := heads[0]
	if head.NoBrokers != "" {
		return o.Unknown(brokersID, ensemble, "the AdminServer of %s does not tell (port %d): %s", head.node(), adminPort, head.NoBrokers)
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
		f := o.Fail(brokersID, ensemble, "not registered: %s", strings.Join(missing, ", ")).Saw(saw).Wanted(fmt.Sprintf("%d brokers", len(want)))
		for _, node := range missing {
			f = f.Needing("kafka.brokers", node).Needing(modeID, node) // which it registers with
		}
		return f
	case len(strange) > 0:
		return o.Warn(brokersID, ensemble, "a broker is registered that the inventory does not name: %s", strings.Join(strange, ", ")).Saw(saw).
			Fix("add it to [kafka] in the inventory, or stop it")
	}
	return o.Pass(brokersID, ensemble, "every broker of the inventory is registered").Saw(saw)
}

// tolerance judges how many more servers can go.
func (v view) tolerance() checks.Finding {
	o := v.about()
	t := checks.Tolerance{Service: "ZooKeeper", Needs: len(v.members)/2 + 1}
	for _, m := range v.members {
		t.Members = append(t.Members, m.node())
		if m.works() || len(v.members) == 1 && m.Mode == standalone {
			t.Alive = append(t.Alive, m.node())
		}
	}
	if unknown := v.those(func(m member) bool { return !m.known() }); len(unknown) > 0 {
		return because(o.Unknown(toleranceID, ensemble, "not every server could be looked at"), unknown)
	}
	var f checks.Finding
	switch spare := len(t.Alive) - t.Needs; {
	case len(v.members) == 1:
		return withTolerance(o.Skip(toleranceID, ensemble, "there is a single server: none to lose"), t)
	case spare > 0 && len(v.heads()) == 1:
		return withTolerance(o.Pass(toleranceID, ensemble, "ZooKeeper can lose any %d more of its %d servers", spare, len(t.Members)), t)
	case spare < 0:
		f = o.Fail(toleranceID, ensemble, "ZooKeeper has lost its majority")
	case spare == 0:
		f = o.Fail(toleranceID, ensemble, "ZooKeeper stops with the loss of one more server")
	default:
		f = o.Fail(toleranceID, ensemble, "ZooKeeper has not one leader")
	}
	f = f.Saw(fmt.Sprintf("%d of %d servers work", len(t.Alive), len(t.Members))).Wanted(fmt.Sprintf("more than %d", t.Needs))
	f = because(f, v.those(func(m member) bool { return !m.works() })).Needing(modeID, ensemble)
	return withTolerance(f, t)
}

func withTolerance(f checks.Finding, t checks.Tolerance) checks.Finding {
	f.Tolerance = []checks.Tolerance{t}
	return f
}
