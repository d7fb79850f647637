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
	// fetchSilence is how long a voter may go without a fetch. It fetches twice a
	// second, and starts an election after two seconds without an answer (Kafka's
	// controller.quorum.fetch.timeout.ms); ours, to tolerate a pause.
	fetchSilence = 6 * time.Second
	// fetchLag is how long it may be behind (ours).
	fetchLag = 30 * time.Second
	// fetchRecords is how far it may be behind where times are not reported; two
	// records are written every second even when nothing happens (ours).
	fetchRecords = 2 * 30

	withKRaft = "KRaft"  // the mode of a cluster without ZooKeeper
	nobody    = "nobody" // what a broker reports that knows there is no controller
)

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	var clusters []checks.Cluster
	works := false // according to some node
	for _, v := range views(scope, seen) {
		for _, m := range v.Members {
			f := v.judgeBroker(m)
			if v.mode != withKRaft { // it only knows the ZooKeeper of its own node
				f = f.Needing(checks.ZooKeeperOf(m.Node()))
			}
			out = append(out, f, v.judgeAdvertised(m))
		}
		if len(v.responding) > 0 {
			out = append(out, v.judgeUnexpected()...)
			out = append(out, v.judgeController(), v.judgeQuorum(), v.judgePartitions(), v.judgeReplication(), v.judgeTransactions())
		} else {
			for _, c := range []*checks.Check{controller, quorum, partitions, replication, transactions} {
				out = append(out, cluster.Because(c.Unknown(v, all, "no broker responds"), brokers, v.Members))
			}
		}
		services := v.clusters()
		out = append(out, v.judgeTolerance(services))
		if v.inventory() {
			clusters = append(clusters, services...)
			least, _ := cluster.Spare(services[0])
			works = works || least >= 0
		}
	}
	return atWork(out, works), clusters
}

// atWork takes back that something has stopped which another node sees at work: a
// check that passes there, or Kafka with as many brokers as it needs.
func atWork(out []checks.Finding, works bool) []checks.Finding {
	for i, f := range out {
		passes := slices.ContainsFunc(out, func(o checks.Finding) bool {
			return o.Check == f.Check && o.Target == f.Target && o.Status == checks.Pass
		})
		if passes || f.Check == tolerance && works {
			out[i].Stopped = false
		}
	}
	return out
}

// A view is the cluster as one vantage sees it.
type view struct {
	cluster.View[member]
	scope      checks.Scope
	responding []member         // those that responded
	mode       string           // KRaft or ZooKeeper
	latest     *metadataQuorum  // of the highest epoch; nil where none was seen
	quorumLost bool             // a broker got no response from the controllers
	names      map[int32]string // the nodes of the ids
	lost       []member         // those that do not work, as far as is known
	placed     []placement      // every partition that was shown, by topic and number
}

// A member is a broker of the platform, and what was seen of it.
type member struct {
	checks.Sight[expected, broker]
	broker
}

// Node is the node that the broker runs on.
func (m member) Node() string { return m.Target.Node }

// responded says whether the broker described itself, down whether it was seen not to.
func (m member) responded() bool { return m.Cluster != "" }
func (m member) down() bool      { return m.Contact != checks.Contact{} }

// views groups what was seen by vantage.
func views(scope checks.Scope, seen checks.Record) []view {
	var out []view
	for _, of := range cluster.Views(seen, eachBroker, func(s checks.Sight[expected, broker]) member {
		said, _ := s.Got()
		return member{s, said}
	}) {
		v := view{View: of, scope: scope, responding: cluster.Those(of.Members, member.responded)}
		for _, m := range v.responding {
			v.mode = cmp.Or(v.mode, m.mode())
			v.quorumLost = v.quorumLost || m.Lost
			if q := m.Quorum; q != nil && (v.latest == nil || q.Epoch > v.latest.Epoch) {
				v.latest = q
			}
		}
		if v.mode == "" && !scope.Release.Before(platform.R25_9) { // no broker reports it
			v.mode = withKRaft
		}
		v.names = v.named()
		v.lost = cluster.Those(v.Members, func(m member) bool { return v.present(m) == cluster.No || m.down() && v.latest == nil })
		v.placed = v.placements()
		out = append(out, v)
	}
	return out
}

// Proof makes a view a basis: that of a verdict on the whole cluster, which those
// that responded are enough for, and of these the ones that were seen whole.
func (v view) Proof() checks.Proof {
	for _, some := range [][]member{cluster.Those(v.responding, member.whole), v.responding, v.Members} {
		if len(some) > 0 {
			return checks.Together(some...)
		}
	}
	return checks.Proof{}
}

func (m member) whole() bool { return m.Proof().Whole() }

// inventory says whether there is one. Without it the members are those that happen
// to be known, as a rule one: they are not the cluster.
func (v view) inventory() bool { return v.scope.Topology.Inventory != nil }

// unlisted is the finding where what is known may be a part of the cluster.
func (v view) unlisted(c *checks.Check) checks.Finding {
	return c.Unknown(v, all, "without an inventory it is unknown which nodes run Kafka")
}

// present says whether the member responds, and the others list it as alive. One
// that is unreachable from here may still work: that it does not is known only
// where controllers respond, and the others do not list it.
func (v view) present(m member) cluster.Answer {
	others := cluster.Those(v.responding, func(o member) bool { return o.Node() != m.Node() && (o.Cluster == m.Cluster || m.down()) })
	listed := slices.ContainsFunc(others, func(o member) bool {
		return slices.ContainsFunc(o.Brokers, func(l listed) bool {
			return l.ID == m.ID && m.responded() || v.node(l.ID) == m.Node() && m.down()
		})
	})
	switch {
	case m.down() && m.Contact.Reached(), m.down() && v.latest != nil && !listed:
		return cluster.No
	case !m.responded(), m.ID < 0, !m.whole():
		return cluster.Unseen
	}
	return cluster.Is(listed || len(others) == 0)
}

// stops marks a failure as one of what has stopped, unless it rests on a broker
// that is perhaps only unreachable from here.
func (v view) stops(f checks.Finding) checks.Finding {
	if slices.ContainsFunc(v.lost, func(m member) bool { return v.present(m) == cluster.Unseen }) {
		return f
	}
	return f.Stops()
}

// works says whether the member is present, and with KRaft is a voter that keeps
// up with the leader.
func (v view) works(m member) cluster.Answer {
	q, present := v.latest, v.present(m)
	follows := func(r voter) bool { return v.node(r.ID) == m.Node() && q.behind(r) == "" }
	switch {
	case present == cluster.No, v.mode != withKRaft:
		return present
	case q == nil && !v.quorumLost:
		return cluster.Unseen
	case q == nil, q.Leader < 0, !slices.ContainsFunc(q.Voters, follows):
		return cluster.No
	}
	return present
}

// complete says whether a broker was seen to list every topic. One that denies us
// its settings or its quorum may leave topics out as well, without an error.
func (v view) complete() bool {
	denied := func(u *checks.Unseen) bool { return u != nil && u.Code == checks.Denied }
	return slices.ContainsFunc(v.responding, func(m member) bool { return !denied(m.ConfigUnseen) && !denied(m.QuorumUnseen) })
}

// mode is KRaft or ZooKeeper; empty where it is unknown.
func (m member) mode() string {
	switch {
	case m.kraft():
		return withKRaft
	case m.ID < 0:
		return ""
	}
	return "ZooKeeper"
}

// named are the nodes of the ids: as reported by the brokers themselves, else by
// the inventory, else by the cluster.
func (v view) named() map[int32]string {
	names := map[int32]string{}
	for _, m := range v.responding {
		for _, l := range m.Brokers {
			names[l.ID] = l.Host
		}
	}
	for _, m := range v.Members {
		if id, err := strconv.ParseInt(m.Target.Ask.ID, 10, 32); err == nil {
			names[int32(id)] = m.Node()
		}
	}
	for _, m := range slices.Backward(v.responding) {
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

// of gives "2 of 3 brokers".
func (v view) of(n int) string { return fmt.Sprintf("%d of %d brokers", n, len(v.Members)) }

// judgeBroker judges whether a broker responds, and with the right id.
func (v view) judgeBroker(m member) checks.Finding {
	name, want := m.Node(), m.Target.Ask.ID
	id := strconv.Itoa(int(m.ID))
	twins := cluster.Those(v.responding, func(o member) bool { return o.ID == m.ID && o.Node() != name })
	switch {
	case m.Target.Address == "":
		return brokers.WithoutAddress(m, name, name)
	case m.down():
		return brokers.Fail(m, name, "the broker on %s %s", name, m.problem()).Wanted("a response on port 9092, without TLS or a login").
			Fix(checks.On(name)+restart+"; journalctl -u carbonio-kafka.service -n 50").
			Needing(checks.PingOf(name), checks.PortOf(name, port, "tcp"))
	case !m.responded():
		return brokers.Unseen(m, name)
	case m.ID < 0:
		return brokers.Unknown(m, name, "%s responds, but does not report its ID: %s", name, m.ConfigUnseen)
	case want != "" && id != want:
		return brokers.Fail(m, name, "%s responds as broker %s", name, id).Saw(id).Wanted(want + " (broker_id in the inventory)").
			Fix(checks.On(name) + "grep -E '^(node|broker).id' " + properties + "   # must be " + want)
	case len(twins) > 0:
		return brokers.Fail(m, name, "%s responds as broker %s, and so does %s", name, id, twins[0].Node()).Saw(id)
	case v.present(m) == cluster.No:
		return brokers.Fail(m, name, "%s responds, but the other brokers do not list it as alive", name).
			Saw("not listed by the others").Wanted("listed by every broker")
	}
	return brokers.Pass(m, name, "%s responds as broker %s", name, id)
}

// problem is why a broker did not describe itself, in words.
func (m member) problem() string {
	return cmp.Or(m.Contact.String(), "responds, but does not describe its cluster: "+m.Contact.Words)
}

// judgeUnexpected finds brokers that the cluster lists and the inventory does not.
func (v view) judgeUnexpected() []checks.Finding {
	if !v.inventory() {
		return nil
	}
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
	return []checks.Finding{brokers.Warn(v, all, "the cluster contains brokers that the inventory does not name").
		Saw(strings.Join(names, ", ")).Wanted("the hosts of [kafka]").
		Fix("# add them to [kafka] in the inventory, or stop them")}
}

// judgeAdvertised judges the name that clients are sent to.
func (v view) judgeAdvertised(m member) checks.Finding {
	name := m.Node()
	self := m.self(m.Target)
	switch {
	case m.down():
		return advertised.Unknown(m, name, "could not be seen: the broker %s", m.problem())
	case !m.responded():
		return advertised.Unseen(m, name)
	case self == nil:
		return advertised.Unknown(m, name, "%s does not list itself among the brokers", name)
	}
	fix := checks.On(name) + fmt.Sprintf("sed -i '/^advertised.listeners=/s#PLAINTEXT://[^,]*#PLAINTEXT://%s:%d#' %s\n%s", name, port, properties, restart)
	if strings.EqualFold(self.Host, name) && self.Port == port { // then it is here that the name goes wrong
		fix = checks.On(m.Vantage) + "getent ahosts " + name + "   # must show the address of the broker"
	}
	wrong := func(f checks.Finding) checks.Finding {
		return f.Saw(fmt.Sprintf("%s:%d", self.Host, self.Port)).Wanted(fmt.Sprintf("%s:%d", name, port)).Fix(fix)
	}
	literal, notName := netip.ParseAddr(self.Host)
	other, of := v.scope.Topology.Node(self.Host)
	switch {
	case strings.EqualFold(self.Host, "localhost"), notName == nil && (literal.IsLoopback() || literal.IsUnspecified()):
		return wrong(advertised.Fail(m, name, "%s sends clients to %s, which is the client itself", name, self.Host))
	case of && !strings.EqualFold(other.Name, name):
		return wrong(advertised.Fail(m, name, "%s sends clients to %s, which is another node", name, other.Name))
	case self.Port != port:
		return wrong(advertised.Fail(m, name, "%s sends clients to port %d, which firewalls do not open", name, self.Port))
	case m.Unresolved != nil && m.Unresolved.Code != checks.Failed:
		return advertised.Unknown(m, name, "whether %s resolves here could not be seen: %s", self.Host, m.Unresolved)
	case m.Unresolved != nil:
		return wrong(advertised.Fail(m, name, "%s sends clients to %s, which does not resolve here: %s", name, self.Host, m.Unresolved)).
			Needing(checks.NameOf(name), checks.LineOf(name))
	case !strings.EqualFold(m.Vantage, name) && v.resolvesToSelf(m):
		return wrong(advertised.Fail(m, name, "%s sends clients to %s, which resolves here to this node itself", name, self.Host)).
			With("resolves to", strings.Join(m.Resolved, ", ")).Needing(checks.NameOf(name), checks.LineOf(name))
	case notName == nil, !strings.EqualFold(strings.TrimSuffix(self.Host, "."), name):
		return wrong(advertised.Warn(m, name, "%s sends clients to %s, not to its full name", name, self.Host))
	}
	return advertised.Pass(m, name, "%s advertises its own name, which resolves here to %s", name, strings.Join(m.Resolved, ", "))
}

// resolvesToSelf says whether the advertised name resolves to the node that looks, and
// not to the broker.
func (v view) resolvesToSelf(m member) bool {
	at := v.scope.Node(m.Node()).Address
	return len(m.Resolved) > 0 && !slices.ContainsFunc(m.Resolved, func(address string) bool {
		a, err := netip.ParseAddr(address)
		return err == nil && (!a.IsLoopback() || a == at)
	})
}

// reported collects what the brokers that responded report, and which reports what.
func (v view) reported(what func(member) string) (values, lines []string) {
	for _, m := range v.responding {
		if s := what(m); s != "" {
			values = append(values, s)
			lines = append(lines, m.Node()+": "+s)
		}
	}
	slices.Sort(values)
	return slices.Compact(values), lines
}

// judgeController compares which controller of which cluster the brokers report.
// One that is down, or that no controller responds to, reports none.
func (v view) judgeController() checks.Finding {
	clusters, ids := v.reported(func(m member) string { return m.Cluster })
	modes, modeOf := v.reported(member.mode)
	names, lines := v.reported(v.controller)
	silent := cluster.Those(v.Members, func(m member) bool {
		return v.present(m) != cluster.No && !m.Lost && v.controller(m) == ""
	})
	switch {
	case len(clusters) > 1:
		return controller.Fail(v, all, "the brokers belong to %d clusters", len(clusters)).
			Saw(strings.Join(ids, "; ")).Wanted("one cluster ID")
	case len(modes) > 1:
		return controller.Fail(v, all, "some brokers run with KRaft and some with ZooKeeper").
			Saw(strings.Join(modeOf, "; ")).Wanted("the same on every broker")
	case len(names) > 1:
		return controller.Fail(v, all, "the brokers report %d controllers", len(names)).
			Saw(strings.Join(lines, "; ")).Wanted("one controller")
	case len(names) == 0:
		return controller.Unknown(v, all, "no broker reports a controller")
	case !v.inventory():
		return v.unlisted(controller)
	case names[0] == nobody:
		return controller.Fail(v, all, "there is no controller").Saw(strings.Join(lines, "; ")).Wanted("one controller").Stops()
	case len(silent) > 0:
		f := controller.Unknown(v, all, "%s report %s as the controller; what %s reports is unknown",
			v.of(len(lines)), names[0], strings.Join(cluster.Nodes(silent), ", "))
		return cluster.Because(f, brokers, silent)
	}
	return controller.Pass(v, all, "%s report %s as the controller of one cluster", v.of(len(lines)), names[0]).With("cluster", v.responding[0].Cluster)
}

// controller is the node that a member reports as the controller; empty where
// that is unknown.
func (v view) controller(m member) string {
	id := m.Controller
	switch {
	case !m.responded(), m.kraft() && m.Quorum == nil, m.mode() == "":
		return ""
	case m.kraft():
		id = m.Quorum.Leader
	}
	if id < 0 {
		return nobody
	}
	return v.node(id)
}

// judgeQuorum judges the voters on the metadata, as their leader sees them.
func (v view) judgeQuorum() checks.Finding {
	kraft := cluster.Those(v.responding, member.kraft)
	q := v.latest
	switch {
	case len(kraft) == 0:
		return v.judgeZooKeeper()
	case q == nil && v.quorumLost && v.inventory():
		f := quorum.Fail(v, all, "the quorum is lost: no controller responds to the brokers, and no metadata can be changed").
			Saw(v.of(len(v.responding)) + " respond, and none reaches a controller").Wanted("a majority of controllers").Stops()
		// Together with the majority; or with the controller alone, which the others
		// keep asking for most of a minute when it stops responding.
		return cluster.Because(f, brokers, cluster.Those(v.Members, member.down))
	case q == nil:
		return quorum.Unknown(v, all, "could not be seen: %s", kraft[0].QuorumUnseen)
	case q.Leader < 0 && !v.inventory():
		return v.unlisted(quorum)
	case q.Leader < 0:
		return quorum.Fail(v, all, "the quorum has no leader in epoch %d", q.Epoch).Stops()
	}
	var ids []int32
	for _, r := range q.Voters {
		ids = append(ids, r.ID)
	}
	if voters, want := v.nodes(ids), cluster.Nodes(v.Members); v.inventory() && !slices.Equal(voters, want) {
		f := quorum.Fail(v, all, "the voters are not the brokers of the inventory").
			Saw(strings.Join(voters, ", ")).Wanted(strings.Join(want, ", ")).
			Fix("grep -E '^(controller.quorum.voters|node.id)' " + properties + "   # on every broker: the IDs must be those of broker_id in the inventory")
		return cluster.Because(f, brokers, v.Members) // a broker with another's id
	}
	return v.judgeVoters(q)
}

// judgeZooKeeper judges brokers without KRaft. Kafka is not a package: an upgrade
// of Carbonio leaves the old one running, and it works.
func (v view) judgeZooKeeper() checks.Finding {
	modes, _ := v.reported(member.mode)
	switch {
	case len(modes) == 0:
		return quorum.Unknown(v, all, "whether the brokers run with KRaft is unknown: %s", v.responding[0].ConfigUnseen)
	case v.scope.Release.Before(platform.R25_9):
		return quorum.Skip(v, all, "the brokers leave elections to ZooKeeper, as before 25.9")
	}
	return quorum.Warn(v, all, "Kafka still runs with ZooKeeper; Carbonio %s installs it with KRaft", v.scope.Release).
		Saw("ZooKeeper").Wanted("KRaft, since 25.9").Fix("# plan the migration with Zextras, because the playbook creates a new cluster; until then keep ZooKeeper running:\nsystemctl status carbonio-zookeeper.service")
}

// judgeVoters judges whether they keep up with their leader.
func (v view) judgeVoters(q *metadataQuorum) checks.Finding {
	leader := v.node(q.Leader)
	var late, words []string
	for _, r := range q.Voters {
		if why := q.behind(r); why != "" {
			late = append(late, v.node(r.ID))
			words = append(words, v.node(r.ID)+" "+why)
		}
	}
	switch {
	case len(late) > 0:
		f := quorum.Fail(v, all, "only %d of %d voters keep up with the leader, %s", len(q.Voters)-len(late), len(q.Voters), leader).
			Saw(strings.Join(words, "; ")).Wanted(fmt.Sprintf("a fetch within %v", fetchSilence))
		lost := cluster.Those(v.lost, func(m member) bool { return slices.Contains(late, m.Node()) })
		if len(lost) == len(late) {
			f = cluster.Because(f, brokers, lost)
		}
		return f
	case v.scope.Release.Before(platform.R25_9):
		return quorum.Warn(v, all, "Kafka runs with KRaft; Carbonio %s still uses ZooKeeper", v.scope.Release).
			Saw("KRaft").Wanted("ZooKeeper, before 25.9").Fix("# check the release (--release), and which playbook installed Kafka")
	}
	if !v.inventory() {
		return v.unlisted(quorum)
	}
	return quorum.Pass(v, all, "%s leads in epoch %d, and all %d voters keep up", leader, q.Epoch, len(q.Voters))
}

// behind says how a voter fails to keep up with the leader; empty when it does.
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
		return "has fetched nothing"
	case now <= 0 && end-r.End > fetchRecords: // an old Kafka reports no times
		return fmt.Sprintf("is %d records behind", end-r.End)
	case now <= 0:
		return ""
	case age(r.Fetched) > fetchSilence:
		return fmt.Sprintf("last fetched %v ago", age(r.Fetched).Round(time.Second))
	case age(r.CaughtUp) > fetchLag:
		return fmt.Sprintf("has been behind for %v", age(r.CaughtUp).Round(time.Second))
	}
	return ""
}
