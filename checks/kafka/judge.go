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
	"carbonio-check/checks/cluster"
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

	withKRaft = "KRaft"  // how a cluster runs that does without ZooKeeper
	nobody    = "nobody" // the controller that a broker knows there is none of
)

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	var clusters []checks.Cluster
	for _, v := range views(scope, seen) {
		for _, m := range v.Members {
			f := v.judgeBroker(m)
			if v.mode != withKRaft { // it knows of no other ZooKeeper than its own node's
				f = f.Needing(checks.ZooKeeperOf(m.Node()))
			}
			out = append(out, f, v.judgeAdvertised(m))
		}
		if len(v.told) > 0 {
			out = append(out, v.judgeStrangers()...)
			out = append(out, v.judgeController(), v.judgeQuorum(), v.judgePartitions(), v.judgeReplication(), v.judgeTransactions())
		} else {
			for _, c := range []*checks.Check{controller, quorum, partitions, replication, transactions} {
				out = append(out, cluster.Because(c.Unknown(v.proof(), all, "no broker answers"), brokers, v.Members))
			}
		}
		services := v.clusters()
		out = append(out, v.judgeTolerance(services))
		clusters = append(clusters, services...)
	}
	return out, clusters
}

// A view is the cluster as one vantage sees it.
type view struct {
	cluster.View[member]
	scope   checks.Scope
	told    []member         // those that told something
	mode    string           // how they run
	elected *metadataQuorum  // as the last leader elected sees it; nil where none told
	lost    bool             // a broker got no word from the controllers
	names   map[int32]string // the nodes that ids stand for
	placed  []placement      // every partition that was shown, by topic and number
}

// A member is a broker of the platform, and what it said.
type member struct {
	checks.Sight[expected, broker]
	broker
}

// Node is the node that the broker stands on.
func (m member) Node() string { return m.Target.Node }

// answered says whether the broker told something, down whether it was seen not to.
func (m member) answered() bool { return m.Cluster != "" }
func (m member) down() bool     { return m.Contact != checks.Contact{} }

// views groups what was seen by who saw it.
func views(scope checks.Scope, seen checks.Record) []view {
	var out []view
	for _, of := range cluster.Views(seen, every, func(s checks.Sight[expected, broker]) member {
		said, _ := s.Got()
		return member{s, said}
	}) {
		v := view{View: of, scope: scope, told: cluster.Those(of.Members, member.answered)}
		for _, m := range v.told {
			v.mode = cmp.Or(v.mode, m.mode())
			v.lost = v.lost || m.Lost
			if q := m.Quorum; q != nil && (v.elected == nil || q.Epoch > v.elected.Epoch) {
				v.elected = q
			}
		}
		if v.mode == "" && !scope.Release.Before(platform.R25_9) { // nobody tells
			v.mode = withKRaft
		}
		v.names = v.named()
		v.placed = v.placements()
		out = append(out, v)
	}
	return out
}

// proof is what a verdict on the whole cluster rests on: those that were seen.
func (v view) proof() checks.Proof { return checks.Together(v.Members...).Part() }

// stands says whether the member is there for the others: it answers, and they
// list it. One that is merely out of reach from here may do so: that is known of
// it only while the controllers answer, and then it is fenced.
func (v view) stands(m member) cluster.Answer {
	others := cluster.Those(v.told, func(o member) bool { return o.Node() != m.Node() && (o.Cluster == m.Cluster || m.down()) })
	listed := slices.ContainsFunc(others, func(o member) bool {
		return slices.ContainsFunc(o.Brokers, func(l listed) bool {
			return l.ID == m.ID && m.answered() || v.node(l.ID) == m.Node() && m.down()
		})
	})
	switch {
	case m.down() && m.Contact.Reached(), m.down() && v.elected != nil && !listed:
		return cluster.No
	case !m.answered(), m.ID < 0:
		return cluster.Unseen
	}
	return cluster.Is(listed || len(others) == 0)
}

// isLost says whether the member is of no use to the others, as far as is known.
func (v view) isLost(m member) bool {
	return v.stands(m) == cluster.No || m.down() && v.elected == nil
}

// stops marks a failure as one of what has stopped, unless that rests on a
// broker that may be merely out of reach from here.
func (v view) stops(f checks.Finding) checks.Finding {
	if slices.ContainsFunc(v.Members, func(m member) bool { return v.isLost(m) && v.stands(m) == cluster.Unseen }) {
		return f
	}
	return f.Stops()
}

// works says whether the member stands, and where there are votes has one, and
// keeps up with the leader.
func (v view) works(m member) cluster.Answer {
	q, stands := v.elected, v.stands(m)
	follows := func(r voter) bool { return v.node(r.ID) == m.Node() && q.behind(r) == "" }
	switch {
	case stands == cluster.No, v.mode != withKRaft:
		return stands
	case q == nil && !v.lost:
		return cluster.Unseen
	case q == nil, q.Leader < 0, !slices.ContainsFunc(q.Voters, follows):
		return cluster.No
	}
	return stands
}

// complete says whether some broker was seen to show all that there is. One
// that refuses to tell its settings or its quorum may hide topics as well: it
// leaves them out without a word.
func (v view) complete() bool {
	denied := func(u *checks.Unseen) bool { return u != nil && u.Code == checks.Denied }
	return slices.ContainsFunc(v.told, func(m member) bool { return !denied(m.ConfigUnseen) && !denied(m.QuorumUnseen) })
}

// mode is how the member runs; empty where it is not known.
func (m member) mode() string {
	switch {
	case m.kraft():
		return withKRaft
	case m.ID < 0:
		return ""
	}
	return "ZooKeeper"
}

// named are the nodes that ids stand for: as the brokers say themselves, else as
// the inventory or the cluster says.
func (v view) named() map[int32]string {
	names := map[int32]string{}
	for _, m := range v.told {
		for _, l := range m.Brokers {
			names[l.ID] = l.Host
		}
	}
	for _, m := range v.Members {
		if id, err := strconv.ParseInt(m.Target.Ask.ID, 10, 32); err == nil {
			names[int32(id)] = m.Node()
		}
	}
	for _, m := range slices.Backward(v.told) {
		names[m.ID] = m.Node()
	}
	return names
}

func (v view) node(id int32) string {
	return cmp.Or(v.names[id], fmt.Sprintf("broker %d", id))
}

func (v view) nodes(ids []int32) []string {
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = v.node(id)
	}
	slices.Sort(out)
	return out
}

// of counts the answers a verdict rests on: "2 of 3 brokers".
func (v view) of(n int) string { return fmt.Sprintf("%d of %d brokers", n, len(v.Members)) }

// judgeBroker judges whether a broker answers, and is the one it should be.
func (v view) judgeBroker(m member) checks.Finding {
	name, want := m.Node(), m.Target.Ask.ID
	id := strconv.Itoa(int(m.ID))
	twins := cluster.Those(v.told, func(o member) bool { return o.ID == m.ID && o.Node() != name })
	switch {
	case m.Target.Address == "":
		return brokers.WithoutAddress(m, name, name)
	case m.down():
		return brokers.Fail(m, name, "the broker of %s %s", name, m.trouble()).Wanted("an answer on port 9092, without TLS or a login").
			Needing(checks.PingOf(name), checks.PortOf(name, port, "tcp"))
	case !m.answered():
		return brokers.Unseen(m, name)
	case m.ID < 0:
		return brokers.Unknown(m, name, "%s answers, and does not tell its id: %s", name, m.ConfigUnseen)
	case want != "" && id != want:
		return brokers.Fail(m, name, "%s answers as broker %s", name, id).Saw(id).Wanted(want + " (broker_id in the inventory)").
			Fix(fmt.Sprintf("grep -E '^(node|broker).id' /opt/kafka/config/server.properties   # on %s: it has to be %s", name, want))
	case len(twins) > 0:
		return brokers.Fail(m, name, "%s answers as broker %s, and so does %s", name, id, twins[0].Node()).Saw(id)
	case v.stands(m) == cluster.No:
		return brokers.Fail(m, name, "%s answers, but the other brokers do not count it among the living", name).
			Saw("not listed by the others").Wanted("listed by every broker")
	}
	return brokers.Pass(m, name, "%s answers as broker %s", name, id)
}

// trouble is why a broker told nothing, as what is said of it.
func (m member) trouble() string {
	return cmp.Or(m.Contact.String(), "responds, and tells nothing of its cluster: "+m.Contact.Words)
}

// judgeStrangers finds brokers that the cluster lists and the platform does not know.
func (v view) judgeStrangers() []checks.Finding {
	var names []string
	for id, node := range v.names {
		if !slices.ContainsFunc(v.Members, func(m member) bool { return strings.EqualFold(m.Node(), node) }) {
			names = append(names, fmt.Sprintf("broker %d at %s", id, node))
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return []checks.Finding{brokers.Warn(v.proof(), all, "the cluster holds brokers that the inventory does not name").
		Saw(strings.Join(names, ", ")).Wanted("the hosts of [kafka]").
		Fix("add them to [kafka] in the inventory, or stop them")}
}

// judgeAdvertised judges the name that clients are sent to.
func (v view) judgeAdvertised(m member) checks.Finding {
	name := m.Node()
	self, ok := m.self(m.Target)
	switch {
	case m.down():
		return advertised.Unknown(m, name, "could not be seen: the broker %s", m.trouble())
	case !m.answered():
		return advertised.Unseen(m, name)
	case !ok:
		return advertised.Unknown(m, name, "%s does not list itself among the brokers", name)
	}
	wrong := func(f checks.Finding) checks.Finding {
		return f.Saw(fmt.Sprintf("%s:%d", self.Host, self.Port)).Wanted(fmt.Sprintf("%s:%d", name, port))
	}
	literal, notName := netip.ParseAddr(self.Host)
	other, of := v.scope.Topology.Node(self.Host)
	switch {
	case strings.EqualFold(self.Host, "localhost"), notName == nil && (literal.IsLoopback() || literal.IsUnspecified()):
		return wrong(advertised.Fail(m, name, "%s sends its clients to %s, that is to themselves", name, self.Host))
	case of && !strings.EqualFold(other.Name, name):
		return wrong(advertised.Fail(m, name, "%s sends its clients to %s, which is another node", name, other.Name))
	case self.Port != port:
		return wrong(advertised.Fail(m, name, "%s sends its clients to port %d, which no firewall opens", name, self.Port))
	case m.Unresolved != nil && m.Unresolved.Code != checks.Failed:
		return advertised.Unknown(m, name, "whether %s resolves here could not be seen: %s", self.Host, m.Unresolved)
	case m.Unresolved != nil:
		return wrong(advertised.Fail(m, name, "%s sends its clients to %s, which does not resolve here: %s", name, self.Host, m.Unresolved)).
			Needing(checks.NameOf(name), checks.LineOf(name))
	case !strings.EqualFold(m.Vantage, name) && v.astray(m):
		return wrong(advertised.Fail(m, name, "%s sends its clients to %s, which this node resolves to itself", name, self.Host)).
			With("resolves to", strings.Join(m.Resolved, ", ")).Needing(checks.NameOf(name), checks.LineOf(name))
	case notName == nil, !strings.EqualFold(strings.TrimSuffix(self.Host, "."), name):
		return wrong(advertised.Warn(m, name, "%s sends its clients to %s, not to its full name", name, self.Host))
	}
	return advertised.Pass(m, name, "%s advertises its own name, which resolves here to %s", name, strings.Join(m.Resolved, ", "))
}

// astray says whether the advertised name leads back to the node that looks, by
// an address that is not the broker's.
func (v view) astray(m member) bool {
	at := v.scope.Node(m.Node()).Address
	return len(m.Resolved) > 0 && !slices.ContainsFunc(m.Resolved, func(address string) bool {
		a, err := netip.ParseAddr(address)
		return err == nil && (!a.IsLoopback() || a == at)
	})
}

// said collects what those that told something say, and who says it.
func (v view) said(what func(member) string) (values, lines []string) {
	for _, m := range v.told {
		if s := what(m); s != "" {
			values = append(values, s)
			lines = append(lines, m.Node()+": "+s)
		}
	}
	slices.Sort(values)
	return slices.Compact(values), lines
}

// judgeController compares who the brokers take for the controller of which
// cluster. One that is gone, or that the controllers do not answer, takes nobody.
func (v view) judgeController() checks.Finding {
	if ids, lines := v.said(func(m member) string { return m.Cluster }); len(ids) > 1 {
		return controller.Fail(v.proof(), all, "the brokers belong to %d clusters", len(ids)).
			Saw(strings.Join(lines, "; ")).Wanted("one cluster id")
	}
	if modes, lines := v.said(member.mode); len(modes) > 1 {
		return controller.Fail(v.proof(), all, "some brokers run with KRaft and some with ZooKeeper").
			Saw(strings.Join(lines, "; ")).Wanted("one and the same")
	}
	names, lines := v.said(v.controller)
	silent := cluster.Those(v.Members, func(m member) bool {
		return v.stands(m) != cluster.No && !m.Lost && v.controller(m) == ""
	})
	switch {
	case len(names) > 1:
		return controller.Fail(v.proof(), all, "the brokers name %d controllers", len(names)).
			Saw(strings.Join(lines, "; ")).Wanted("one controller")
	case len(names) == 0:
		return controller.Unknown(v.proof(), all, "no broker names the controller")
	case names[0] == nobody:
		return controller.Fail(v.proof(), all, "there is no controller").Saw(strings.Join(lines, "; ")).Wanted("one controller").Stops()
	case len(silent) > 0:
		return cluster.Because(controller.Unknown(v.proof(), all, "%s name %s as the controller; whom %s could not be seen", v.of(len(lines)), names[0],
			strings.Join(cluster.Nodes(silent), ", ")), brokers, silent)
	}
	return controller.Pass(v.proof(), all, "%s name %s as the controller of one cluster", v.of(len(lines)), names[0]).With("cluster", v.told[0].Cluster)
}

// controller is the node that a member takes for the controller; empty where it
// does not know.
func (v view) controller(m member) string {
	id := m.Controller
	switch {
	case !m.answered(), m.kraft() && m.Quorum == nil, m.mode() == "":
		return ""
	case m.kraft():
		id = m.Quorum.Leader
	}
	if id < 0 {
		return nobody
	}
	return v.node(id)
}

// judgeQuorum judges those who vote on the metadata, as their leader sees them.
func (v view) judgeQuorum() checks.Finding {
	kraft := cluster.Those(v.told, func(m member) bool { return m.kraft() })
	q := v.elected
	switch {
	case len(kraft) == 0:
		return v.judgeZooKeeper()
	case q == nil && v.lost:
		f := quorum.Fail(v.proof(), all, "the quorum is lost: no controller answers the brokers, and nothing can change any more").
			Saw(v.of(len(v.told)) + " answer, and none reaches a controller").Wanted("a majority of controllers").Stops()
		// With the majority; or with the controller, whom the others go on asking for
		// most of a minute when it falls silent without a word.
		return cluster.Because(f, brokers, cluster.Those(v.Members, member.down))
	case q == nil:
		return quorum.Unknown(v.proof(), all, "could not be seen: %s", kraft[0].QuorumUnseen)
	case q.Leader < 0:
		return quorum.Fail(v.proof(), all, "the quorum has no leader in epoch %d", q.Epoch).Stops()
	}
	var ids []int32
	for _, r := range q.Voters {
		ids = append(ids, r.ID)
	}
	if voters, want := v.nodes(ids), cluster.Nodes(v.Members); !slices.Equal(voters, want) {
		f := quorum.Fail(v.proof(), all, "those who vote are not the brokers of the inventory").
			Saw(strings.Join(voters, ", ")).Wanted(strings.Join(want, ", ")).
			Fix("compare controller.quorum.voters in /opt/kafka/config/server.properties on every broker with broker_id in the inventory")
		return cluster.Because(f, brokers, v.Members) // one under another's id
	}
	return v.judgeVoters(q)
}

// judgeZooKeeper judges brokers that do not vote. Kafka is no package: an upgrade
// of Carbonio leaves the old one running, and it works.
func (v view) judgeZooKeeper() checks.Finding {
	modes, _ := v.said(member.mode)
	switch {
	case len(modes) == 0:
		return quorum.Unknown(v.proof(), all, "the brokers do not tell how they run: %s", v.told[0].ConfigUnseen)
	case v.scope.Release.Before(platform.R25_9):
		return quorum.Skip(v.proof(), all, "the brokers leave the vote to ZooKeeper, as they do before 25.9")
	}
	return quorum.Warn(v.proof(), all, "Kafka still runs with ZooKeeper, and Carbonio %s installs it with KRaft", v.scope.Release).
		Saw("ZooKeeper").Wanted("KRaft, since 25.9").Fix("plan the change with Zextras, because the playbook makes a new cluster; until then keep ZooKeeper running: systemctl status carbonio-zookeeper.service")
}

// judgeVoters judges whether they keep up with their leader.
func (v view) judgeVoters(q *metadataQuorum) checks.Finding {
	leader := v.node(q.Leader)
	var explained []member
	var late []string
	for _, r := range q.Voters {
		if why := q.behind(r); why != "" {
			node := v.node(r.ID)
			late = append(late, node+" "+why)
			explained = append(explained, cluster.Those(v.Members, func(m member) bool { return m.Node() == node && v.isLost(m) })...)
		}
	}
	switch {
	case len(late) > 0:
		f := quorum.Fail(v.proof(), all, "only %d of %d voters keep up, %s leading", len(q.Voters)-len(late), len(q.Voters), leader).
			Saw(strings.Join(late, "; ")).Wanted(fmt.Sprintf("news fetched within %v", fetchSilence))
		if len(explained) == len(late) {
			f = cluster.Because(f, brokers, explained)
		}
		return f
	case v.scope.Release.Before(platform.R25_9):
		return quorum.Warn(v.proof(), all, "Kafka runs with KRaft, and Carbonio %s still with ZooKeeper", v.scope.Release).
			Saw("KRaft").Wanted("ZooKeeper, before 25.9").Fix("check the release (--release) and which playbook installed Kafka")
	}
	return quorum.Pass(v.proof(), all, "%s leads in epoch %d, and all %d voters keep up", leader, q.Epoch, len(q.Voters))
}

// behind says in what a voter does not keep up with the leader; empty: in nothing.
func (q *metadataQuorum) behind(r voter) string {
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
