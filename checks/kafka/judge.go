package kafka

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

const (
	// fetchSilence is how long a voter may go without asking for news. It asks
	// twice a second, and stands for election itself after two (Kafka's
	// controller.quorum.fetch.timeout.ms); ours, to let a pause pass.
	fetchSilence = 6 * time.Second
	// fetchLag is how long it may go without having everything (ours).
	fetchLag = 30 * time.Second
	// fetchRecords stands in where the times are not told; two are written
	// every second even when nothing happens (ours).
	fetchRecords = 2 * 30
)

// Judge decides.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	for _, v := range views(scope, seen) {
		for _, m := range v.members {
			out = append(out, v.alive(m), v.advertised(m))
		}
		out = append(out, v.strangers()...)
		out = append(out, v.controller(), v.quorum(), v.partitions(), v.replication(), v.transactions(), v.tolerance())
	}
	return out
}

// A view is the cluster as one vantage sees it.
type view struct {
	scope   checks.Scope
	members []member    // every broker of the platform, by name
	placed  []placement // every partition, by topic and number
}

// A member is a broker of the platform, and what it said.
type member struct {
	checks.Observation
	broker
}

func (m member) node() string { return m.Target.Node }

// answered says whether the broker said something, seen whether it is known
// that it did or did not.
func (m member) answered() bool { return m.Cluster != "" }
func (m member) seen() bool     { return m.answered() || m.Down != "" }

func views(scope checks.Scope, seen []checks.Observation) []view {
	byVantage := map[string][]member{}
	var vantages []string
	for o, b := range checks.Of[broker](seen, kindBroker) {
		if byVantage[o.Vantage] == nil {
			vantages = append(vantages, o.Vantage)
		}
		byVantage[o.Vantage] = append(byVantage[o.Vantage], member{o, b})
	}
	var out []view
	for _, name := range vantages {
		v := view{scope: scope, members: byVantage[name]}
		slices.SortFunc(v.members, func(a, b member) int { return cmp.Compare(a.node(), b.node()) })
		v.placed = v.placements()
		out = append(out, v)
	}
	return out
}

// about is the observation that a finding on the whole cluster is drawn from.
func (v view) about() checks.Observation {
	for _, m := range v.members {
		if m.answered() {
			return m.Observation
		}
	}
	return v.members[0].Observation
}

// those are the members for which something holds.
func (v view) those(holds func(member) bool) []member {
	var out []member
	for _, m := range v.members {
		if holds(m) {
			out = append(out, m)
		}
	}
	return out
}

func (v view) answering() []member { return v.those(member.answered) }
func (v view) down() []member      { return v.those(func(m member) bool { return m.Down != "" }) }

// lost are the members that are of no use to the others.
func (v view) lost() []member {
	return v.those(func(m member) bool { return m.Down != "" || m.answered() && v.fenced(m) })
}

func (v view) isDown(node string) bool { return has(v.down(), node) }
func (v view) isLost(node string) bool { return has(v.lost(), node) }

func has(members []member, node string) bool {
	return slices.ContainsFunc(members, func(m member) bool { return m.node() == node })
}

func (v view) hasQuorum() bool {
	return slices.ContainsFunc(v.members, func(m member) bool { return m.Quorum != nil })
}

// hasLostQuorum says whether a broker got no word from the controllers.
func (v view) hasLostQuorum() bool {
	return slices.ContainsFunc(v.members, func(m member) bool { return m.Lost })
}

// node is the node that a broker's id stands for: as it says itself, else as the
// inventory or the cluster says.
func (v view) node(id int32) string {
	name := strconv.Itoa(int(id))
	for _, is := range []func(member) bool{
		func(m member) bool { return m.answered() && m.ID == id },
		func(m member) bool { return arg(m.Target, argID) == name },
	} {
		if found := v.those(is); len(found) > 0 {
			return found[0].node()
		}
	}
	for _, m := range v.members {
		for _, l := range m.Brokers {
			if l.ID == id {
				return l.Host
			}
		}
	}
	return "broker " + name
}

func (v view) nodes(ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = v.node(id)
	}
	slices.Sort(out)
	return out
}

// silence is the finding for a question that no broker answered.
func (v view) silence(check string) checks.Finding {
	return v.becauseOf(v.about().Unknown(check, cluster, "no broker answers"), v.members)
}

// becauseOf says that the silence of some members would explain a finding.
func (v view) becauseOf(f checks.Finding, silent []member) checks.Finding {
	for _, m := range silent {
		f = f.Needing(brokersID, m.node())
	}
	return f
}

// of counts the answers a verdict rests on: "2 of 3 brokers".
func (v view) of(n int) string { return fmt.Sprintf("%d of %d brokers", n, len(v.members)) }

// alive judges whether a broker works. Without KRaft it works while the
// ZooKeeper of its own node does: it knows of no other (HAA-zk:
// zookeeper.connect=localhost:2181).
func (v view) alive(m member) checks.Finding {
	f := v.present(m)
	if !v.kraft() {
		f = f.Needing("zookeeper.mode", m.node())
	}
	return f
}

// present judges whether a broker answers, and is the one it should be.
func (v view) present(m member) checks.Finding {
	name, want := m.node(), arg(m.Target, argID)
	id := strconv.Itoa(int(m.ID))
	twins := v.those(func(o member) bool { return o.answered() && o.ID == m.ID && o.node() != name })
	switch {
	case m.Target.Address == "":
		return m.Unknown(brokersID, name, "%s has no address: neither the inventory, /etc/hosts nor DNS names one", name).
			Needing("hosts.nodes", name).Needing("dns.forward", name)
	case m.Down != "":
		return m.Fail(brokersID, name, "the broker of %s cannot be talked to: %s", name, m.Down).Wanted("an answer on port 9092").
			Needing("network.ping", name).Needing("network.port", fmt.Sprintf("%s:%d/tcp", name, port))
	case !m.answered():
		return m.Unseen(name, brokersID)[0]
	case m.ID < 0:
		return m.Unknown(brokersID, name, "%s answers, and does not tell its id: %s", name, cmp.Or(m.NoConfig, "it is none that the cluster lists"))
	case want != "" && id != want:
		return m.Fail(brokersID, name, "%s answers as broker %s", name, id).Saw(id).Wanted(want + " (broker_id in the inventory)").
			Fix(fmt.Sprintf("grep -E '^(node|broker).id' /opt/kafka/config/server.properties   # on %s: it has to be %s", name, want))
	case len(twins) > 0:
		return m.Fail(brokersID, name, "%s answers as broker %s, and so does %s", name, id, twins[0].node()).Saw(id)
	case v.fenced(m):
		return m.Fail(brokersID, name, "%s answers, but the other brokers do not count it among the living", name).
			Saw("not listed by the others").Wanted("listed by every broker")
	}
	return m.Pass(brokersID, name, "%s answers as broker %s", name, id)
}

// fenced says whether no other broker of the cluster lists the member.
func (v view) fenced(m member) bool {
	others := v.those(func(o member) bool { return o.Cluster == m.Cluster && o.node() != m.node() })
	return len(others) > 0 && !slices.ContainsFunc(others, func(o member) bool { return o.lists(m.ID) })
}

func (b broker) lists(id int32) bool {
	return slices.ContainsFunc(b.Brokers, func(l listed) bool { return l.ID == id })
}

// strangers finds brokers that the cluster lists and the platform does not know.
func (v view) strangers() []checks.Finding {
	var names []string
	for _, m := range v.answering() {
		for _, l := range m.Brokers {
			known := v.those(func(o member) bool {
				return o.answered() && o.ID == l.ID || arg(o.Target, argID) == strconv.Itoa(int(l.ID)) || strings.EqualFold(o.node(), l.Host)
			})
			if len(known) == 0 {
				names = append(names, fmt.Sprintf("broker %d at %s:%d", l.ID, l.Host, l.Port))
			}
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	all := strings.Join(slices.Compact(names), ", ")
	return []checks.Finding{v.about().Warn(brokersID, cluster, "the cluster holds brokers that the inventory does not name").
		Saw(all).Wanted("the hosts of [kafka]").Fix("add them to [kafka] in the inventory, or stop them")}
}

// advertised judges the name that clients are sent to.
func (v view) advertised(m member) checks.Finding {
	name := m.node()
	self, ok := m.self(m.Target)
	switch {
	case !m.answered():
		return m.Unknown(advertisedID, name, "could not be seen: %s", cmp.Or(m.Down, m.Error))
	case !ok:
		return m.Unknown(advertisedID, name, "%s does not list itself among the brokers", name)
	}
	saw := fmt.Sprintf("%s:%d", self.Host, self.Port)
	fail := func(format string, args ...any) checks.Finding {
		return m.Fail(advertisedID, name, format, args...).Saw(saw).Wanted(fmt.Sprintf("%s:%d", name, port))
	}
	literal, notName := netip.ParseAddr(self.Host)
	other, of := v.scope.Topology.Node(self.Host)
	switch {
	case strings.EqualFold(self.Host, "localhost"), notName == nil && (literal.IsLoopback() || literal.IsUnspecified()):
		return fail("%s sends its clients to %s, that is to themselves", name, self.Host)
	case of && !strings.EqualFold(other.Name, name):
		return fail("%s sends its clients to %s, which is another node", name, other.Name)
	case self.Port != port:
		return fail("%s sends its clients to port %d, which no firewall opens", name, self.Port)
	case m.Unresolved != "":
		return fail("%s sends its clients to %s, which does not resolve here: %s", name, self.Host, m.Unresolved).
			Needing("dns.forward", name).Needing("hosts.nodes", name)
	case !strings.EqualFold(m.Vantage, name) && v.astray(m):
		return fail("%s sends its clients to %s, which this node resolves to itself", name, self.Host).
			With("resolves to", strings.Join(m.Resolved, ", ")).Needing("dns.forward", name).Needing("hosts.nodes", name)
	case notName == nil, !strings.EqualFold(strings.TrimSuffix(self.Host, "."), name):
		f := fail("%s sends its clients to %s, not to its full name", name, self.Host)
		f.Status = checks.Warn
		return f
	}
	return m.Pass(advertisedID, name, "%s advertises its own name, which resolves here to %s", name, strings.Join(m.Resolved, ", "))
}

// astray says whether the advertised name leads back to the node that looks, by
// an address that is not the broker's.
func (v view) astray(m member) bool {
	at := v.scope.Node(m.node()).Address
	return len(m.Resolved) > 0 && !slices.ContainsFunc(m.Resolved, func(address string) bool {
		a, err := netip.ParseAddr(address)
		return err == nil && (!a.IsLoopback() || a == at)
	})
}

// controller compares who the brokers take for the head of which cluster.
func (v view) controller() checks.Finding {
	answering, o := v.answering(), v.about()
	if len(answering) == 0 {
		return v.silence(controllerID)
	}
	said := func(what func(member) string) (values []string, all string) {
		var lines []string
		for _, m := range answering {
			if s := what(m); s != "" {
				values = append(values, s)
				lines = append(lines, m.node()+": "+s)
			}
		}
		slices.Sort(values)
		return slices.Compact(values), strings.Join(lines, "; ")
	}
	if clusters, all := said(func(m member) string { return m.Cluster }); len(clusters) > 1 {
		return o.Fail(controllerID, cluster, "the brokers belong to %d clusters", len(clusters)).Saw(all).Wanted("one cluster id")
	}
	if modes, all := said(member.mode); len(modes) > 1 {
		return o.Fail(controllerID, cluster, "some brokers run with KRaft and some with ZooKeeper").Saw(all).Wanted("one and the same")
	}
	switch names, all := said(v.head); {
	case len(names) > 1:
		return o.Fail(controllerID, cluster, "the brokers name %d controllers", len(names)).Saw(all).Wanted("one controller")
	case len(names) == 0:
		return o.Unknown(controllerID, cluster, "no broker names the controller")
	case names[0] == nobody:
		return o.Fail(controllerID, cluster, "there is no controller").Saw(all).Wanted("one controller")
	default:
		return o.Pass(controllerID, cluster, "%s name %s as the controller of one cluster", v.of(len(answering)), names[0]).With("cluster", answering[0].Cluster)
	}
}

// nobody stands for the controller that a broker knows there is none of.
const nobody = "nobody"

func (m member) mode() string {
	switch {
	case m.KRaft:
		return "KRaft"
	case m.NoConfig != "" && m.ID < 0:
		return "" // not known
	}
	return "ZooKeeper"
}

// head is the node that a member takes for the controller; empty where it does
// not know.
func (v view) head(m member) string {
	id := m.Controller
	switch {
	case m.KRaft && m.Quorum == nil, m.mode() == "":
		return ""
	case m.KRaft:
		id = m.Quorum.Leader
	}
	if id < 0 {
		return nobody
	}
	return v.node(id)
}

// quorum judges those who vote on the metadata, as their leader sees them.
func (v view) quorum() checks.Finding {
	o, kraft := v.about(), v.those(func(m member) bool { return m.KRaft })
	asked := v.those(func(m member) bool { return m.Quorum != nil })
	switch {
	case len(v.answering()) == 0:
		return v.silence(quorumID)
	case len(kraft) == 0:
		return v.withoutKRaft(o)
	case len(asked) == 0:
		return v.quorumLost(o, kraft)
	}
	q := *slices.MaxFunc(asked, func(a, b member) int {
		return cmp.Or(cmp.Compare(a.Quorum.Epoch, b.Quorum.Epoch), cmp.Compare(b.node(), a.node()))
	}).Quorum
	if q.Leader < 0 {
		return o.Fail(quorumID, cluster, "the quorum has no leader in epoch %d", q.Epoch)
	}
	if f := v.strayVotes(o, q); f != nil {
		return *f
	}
	if f := v.laggards(o, q); f != nil {
		return *f
	}
	if v.scope.Release.Before(platform.R25_9) {
		return o.Warn(quorumID, cluster, "Kafka runs with KRaft, and Carbonio %s still with ZooKeeper", v.scope.Release).
			Saw("KRaft").Wanted("ZooKeeper, before 25.9").Fix("check the release (--release) and which playbook installed Kafka")
	}
	return o.Pass(quorumID, cluster, "%s leads in epoch %d, and all %d voters keep up", v.node(q.Leader), q.Epoch, len(q.Voters))
}

// withoutKRaft judges brokers that do not vote. Kafka is no package: an upgrade
// of Carbonio leaves the old one running, and it works.
func (v view) withoutKRaft(o checks.Observation) checks.Finding {
	switch {
	case v.answering()[0].mode() == "":
		return o.Unknown(quorumID, cluster, "the brokers do not tell how they run: %s", v.answering()[0].NoConfig)
	case v.scope.Release.Before(platform.R25_9):
		return o.Skip(quorumID, cluster, "the brokers leave the vote to ZooKeeper, as they do before 25.9")
	}
	return o.Warn(quorumID, cluster, "Kafka still runs with ZooKeeper, and Carbonio %s installs it with KRaft", v.scope.Release).
		Saw("ZooKeeper").Wanted("KRaft, since 25.9").Fix("plan the change with Zextras, because the playbook makes a new cluster; until then keep ZooKeeper running: systemctl status carbonio-zookeeper.service")
}

// quorumLost judges brokers that run with KRaft while none got word of the quorum.
func (v view) quorumLost(o checks.Observation, kraft []member) checks.Finding {
	if !v.hasLostQuorum() {
		return o.Unknown(quorumID, cluster, "could not be seen: %s", cmp.Or(kraft[0].NoQuorum, kraft[0].Error, "the answer is empty"))
	}
	f := o.Fail(quorumID, cluster, "the quorum is lost: no controller answers the brokers, and nothing can change any more").
		Saw(fmt.Sprintf("%s answer, and none reaches a controller", v.of(len(v.answering())))).Wanted("a majority of controllers")
	// With the majority; or with the controller, whom the others go on asking for
	// most of a minute when it falls silent without a word.
	return v.becauseOf(f, v.down())
}

// strayVotes compares those who vote with the brokers of the platform.
func (v view) strayVotes(o checks.Observation, q quorum) *checks.Finding {
	var ids []int32
	for _, r := range q.Voters {
		ids = append(ids, r.ID)
	}
	var want []string
	for _, m := range v.members {
		want = append(want, m.node())
	}
	voters := v.nodes(ids)
	if slices.Equal(voters, want) {
		return nil
	}
	f := o.Fail(quorumID, cluster, "those who vote are not the brokers of the inventory").
		Saw(strings.Join(voters, ", ")).Wanted(strings.Join(want, ", ")).
		Fix("compare controller.quorum.voters in /opt/kafka/config/server.properties on every broker with broker_id in the inventory")
	f = v.becauseOf(f, v.members) // one under another's id
	return &f
}

// laggards names the voters that do not keep up.
func (v view) laggards(o checks.Observation, q quorum) *checks.Finding {
	var lost []member
	var saw []string
	for _, r := range q.Voters {
		why := q.behind(r)
		if why == "" {
			continue
		}
		node := v.node(r.ID)
		saw = append(saw, node+" "+why)
		if v.isLost(node) {
			lost = append(lost, v.those(func(m member) bool { return m.node() == node })...)
		}
	}
	if len(saw) == 0 {
		return nil
	}
	f := o.Fail(quorumID, cluster, "only %d of %d voters keep up, %s leading", len(q.Voters)-len(saw), len(q.Voters), v.node(q.Leader)).
		Saw(strings.Join(saw, "; ")).Wanted(fmt.Sprintf("news fetched within %v", fetchSilence))
	if len(lost) == len(saw) {
		f = v.becauseOf(f, lost)
	}
	return &f
}

// behind says in what a voter does not keep up with the leader; empty: in nothing.
func (q quorum) behind(r voter) string {
	var now, end int64
	for _, l := range q.Voters {
		now = max(now, l.Fetched)
		if l.ID == q.Leader {
			end = l.End
		}
	}
	age := func(then int64) time.Duration { return time.Duration(now-then) * time.Millisecond }
	switch {
	case r.ID == q.Leader:
		return ""
	case r.End < 0:
		return "has fetched nothing from it"
	case now <= 0 && end-r.End > fetchRecords: // an old Kafka tells no times
		return fmt.Sprintf("is %d records behind", end-r.End)
	case now <= 0:
		return ""
	case age(r.Fetched) > fetchSilence:
		return fmt.Sprintf("asked for news %v ago", age(r.Fetched).Round(time.Second))
	case age(r.CaughtUp) > fetchLag:
		return fmt.Sprintf("has been behind for %v", age(r.CaughtUp).Round(time.Second))
	}
	return ""
}
