package kafka

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// transactionLog is the topic that holds the state of transactions.
const transactionLog = "__transaction_state"

// copies is how many of each topic Carbonio keeps (HAA: default.replication.factor=2).
const copies = 2

// A placement is where the copies of one partition are, and which of them
// work. Nodes that are known to be silent work no more, whatever a broker last
// heard of them: without a controller it hears nothing.
type placement struct {
	topic    string
	number   int32
	minISR   int // 0: not known
	leader   string
	replicas []string
	sync     []string
	// lost are the nodes whose loss explains what is missing; none where
	// something else does.
	lost []string
}

// The states of a partition, from well to worst.
const (
	whole      = iota
	lacking    // copies
	unwritable // with the copies it has
	leaderless
)

func (p placement) state() int {
	switch {
	case p.leader == "":
		return leaderless
	case len(p.sync) < p.minISR:
		return unwritable
	case len(p.sync) < len(p.replicas):
		return lacking
	}
	return whole
}

// placements are all partitions. Where brokers differ the worst counts: the
// one that is cut off still tells of better days.
func (v view) placements() []placement {
	type key struct {
		topic  string
		number int32
	}
	worst := map[key]placement{}
	for _, m := range v.answering() {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				k, now := key{t.Name, p.ID}, v.placement(t, p)
				if before, ok := worst[k]; !ok || before.state() < now.state() {
					worst[k] = now
				}
			}
		}
	}
	var out []placement
	for _, p := range worst {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b placement) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.number, b.number))
	})
	return out
}

func (v view) placement(t topic, p partition) placement {
	out := placement{topic: t.Name, number: p.ID, minISR: t.MinISR, replicas: v.nodes(p.Replicas)}
	for _, node := range v.nodes(p.ISR) {
		if !v.isDown(node) {
			out.sync = append(out.sync, node)
		}
	}
	if leader := v.node(p.Leader); p.Leader >= 0 && !v.isDown(leader) {
		out.leader = leader
	}
	var missing []string
	for _, node := range out.replicas {
		if !slices.Contains(out.sync, node) {
			missing = append(missing, node)
		}
	}
	alive := func(node string) bool { return !v.isLost(node) }
	if !slices.ContainsFunc(missing, alive) || len(out.sync) == 0 {
		out.lost = slices.DeleteFunc(missing, alive)
	}
	return out
}

// explained adds the lost members to a finding that they explain in full.
func (v view) explained(f checks.Finding, broken []placement) checks.Finding {
	var lost []string
	for _, p := range broken {
		if len(p.lost) == 0 {
			return f
		}
		lost = append(lost, p.lost...)
	}
	return v.becauseOf(f, v.those(func(m member) bool { return slices.Contains(lost, m.node()) }))
}

// partitions judges whether everything can be read and written.
func (v view) partitions() checks.Finding {
	o := v.about()
	if len(v.answering()) == 0 {
		return v.silence(partitionsID)
	}
	broken := slices.DeleteFunc(slices.Clone(v.placed), func(p placement) bool { return p.state() == whole })
	count := map[int]int{}
	for _, p := range broken {
		count[p.state()]++
	}
	all := len(v.placed)
	switch {
	case all == 0:
		return o.Pass(partitionsID, cluster, "there are no partitions yet")
	case len(broken) == 0:
		return o.Pass(partitionsID, cluster, "all %d partitions have a leader and all of their replicas in sync", all)
	}
	var said []string
	for _, s := range []struct {
		state int
		words string
	}{
		{leaderless, "%d without a leader, which can be neither read nor written"},
		{unwritable, "%d with too few replicas in sync to be written"},
		{lacking, "%d that lack replicas in sync"},
	} {
		if n := count[s.state]; n > 0 {
			said = append(said, fmt.Sprintf(s.words, n))
		}
	}
	f := o.Fail(partitionsID, cluster, "not all of %d partitions are well: %s", all, strings.Join(said, ", "))
	return v.explained(f.Saw(byTopic(broken)).Wanted("every replica in sync"), broken)
}

// byTopic names the topics of partitions, and how many of each: "mail (3)".
func byTopic(placed []placement) string {
	const most = 5
	count := map[string]int{}
	var topics []string
	for _, p := range placed {
		if count[p.topic] == 0 {
			topics = append(topics, p.topic)
		}
		count[p.topic]++
	}
	var out []string
	for _, t := range topics[:min(most, len(topics))] {
		out = append(out, fmt.Sprintf("%s (%d)", t, count[t]))
	}
	if len(topics) > most {
		out = append(out, fmt.Sprintf("and %d topics more", len(topics)-most))
	}
	return strings.Join(out, ", ")
}

// replication judges how many copies there are, living or not.
func (v view) replication() checks.Finding {
	o, answering := v.about(), v.answering()
	switch {
	case len(answering) == 0:
		return v.silence(replicationID)
	case len(v.members) == 1:
		return o.Skip(replicationID, cluster, "a single broker has no other to copy to")
	}
	single := slices.DeleteFunc(slices.Clone(v.placed), func(p placement) bool { return len(p.replicas) >= copies })
	if len(single) > 0 {
		return o.Fail(replicationID, cluster, "%d of %d partitions have one copy only", len(single), len(v.placed)).
			Saw(byTopic(single)).Wanted(fmt.Sprintf("%d copies", copies))
	}
	for _, m := range answering {
		for _, setting := range []string{defaultRF, txnRF} {
			if n, err := strconv.Atoi(m.Defaults[setting]); err == nil && n < copies {
				return o.Warn(replicationID, cluster, "topics made from now on will have one copy only").
					Saw(fmt.Sprintf("%s=%d on %s", setting, n, m.node())).Wanted(fmt.Sprintf("%s=%d", setting, copies)).
					Fix(fmt.Sprintf("set %s=%d in /opt/kafka/config/server.properties on %s, then: systemctl restart carbonio-kafka.service", setting, copies, m.node()))
			}
		}
	}
	return o.Pass(replicationID, cluster, "every one of %d partitions has at least %d copies", len(v.placed), copies)
}

// transactions judges whether they can be committed, and says how soon they cannot.
func (v view) transactions() checks.Finding {
	if len(v.answering()) == 0 {
		return v.silence(transactionsID)
	}
	o, log := v.about(), v.log()
	if len(log) == 0 {
		return o.Pass(transactionsID, cluster, "no transaction was made yet")
	}
	var broken []placement
	spare := len(v.members)
	for _, p := range log {
		if p.minISR == 0 {
			return o.Unknown(transactionsID, cluster, "how many copies in sync the log of transactions wants is not told")
		}
		spare = min(spare, len(p.sync)-p.minISR)
		if p.state() == leaderless || p.state() == unwritable {
			broken = append(broken, p)
		}
	}
	if len(broken) > 0 {
		f := o.Fail(transactionsID, cluster, "transactions have stopped in %d of %d parts of their log", len(broken), len(log)).
			Saw(fmt.Sprintf("fewer than %d replicas in sync", log[0].minISR)).Wanted(fmt.Sprintf("%d in sync", log[0].minISR))
		return v.explained(f, broken)
	}
	if spare == 0 {
		return o.Pass(transactionsID, cluster, "transactions can be committed; the loss of any broker will stop some, because %d of %d copies have to be in sync", log[0].minISR, len(log[0].replicas))
	}
	return o.Pass(transactionsID, cluster, "transactions can be committed, also with %d brokers less", spare)
}

// log is the log of transactions.
func (v view) log() []placement {
	return slices.DeleteFunc(slices.Clone(v.placed), func(p placement) bool { return p.topic != transactionLog })
}

// The services that the tolerance is told of.
const (
	serviceKafka        = "Kafka"
	serviceTransactions = "Kafka transactions"
	serviceZooKeeper    = "ZooKeeper"
)

// tolerance judges how many more brokers can go.
func (v view) tolerance() checks.Finding {
	o, all := v.about(), v.tolerances()
	switch {
	case len(v.those(member.seen)) < len(v.members):
		return v.becauseOf(o.Unknown(toleranceID, cluster, "not every broker could be looked at"), v.members)
	case v.kraft() && len(v.answering()) > 0 && !v.hasQuorum() && !v.hasLostQuorum():
		return o.Unknown(toleranceID, cluster, "the quorum could not be seen")
	}
	var words []string
	for _, t := range all {
		words = append(words, t.Service+" "+spared(t))
	}
	said := strings.Join(words, "; ")
	var f checks.Finding
	switch kafka := all[0]; {
	case len(v.members) == 1:
		f = o.Skip(toleranceID, cluster, "there is a single broker: none to lose")
	case kafka.Spare() >= 1:
		f = o.Pass(toleranceID, cluster, "%s", said)
	default:
		f = o.Fail(toleranceID, cluster, "Kafka %s", spared(kafka)).Saw(said).Wanted("one more broker to lose")
		f = v.becauseOf(f, v.lost())
		for _, check := range []string{controllerID, quorumID, partitionsID, replicationID} {
			f = f.Needing(check, cluster)
		}
	}
	f.Tolerance = all
	return f
}

// tolerances are what Kafka needs to go on, itself first, then the
// transactions, then topics that want more than one copy in sync.
func (v view) tolerances() []checks.Tolerance {
	var members, alive []string
	for _, m := range v.members {
		members = append(members, m.node())
		if m.answered() && !v.fenced(m) && v.follows(m) {
			alive = append(alive, m.node())
		}
	}
	kafka := checks.Tolerance{Service: serviceKafka, Members: members, Alive: alive, Needs: 1, Least: 1}
	if v.kraft() {
		kafka.Needs = len(members)/2 + 1
	} else {
		kafka.Rests = []string{serviceZooKeeper}
	}
	out := []checks.Tolerance{kafka}
	for _, p := range v.placed {
		service, least := serviceKafka, max(p.minISR, 1)
		switch {
		case p.topic == transactionLog:
			service = serviceTransactions
		case least > 1:
			service = fmt.Sprintf("Kafka topics with %s=%d", minISR, least)
		}
		i := slices.IndexFunc(out, func(t checks.Tolerance) bool { return t.Service == service })
		if i < 0 {
			i = len(out)
			out = append(out, checks.Tolerance{Service: service, Members: members, Alive: alive, Needs: 1, Least: least, Rests: []string{serviceKafka}})
		}
		if !slices.ContainsFunc(out[i].Together, func(set []string) bool { return slices.Equal(set, p.sync) }) {
			out[i].Together = append(out[i].Together, p.sync)
		}
	}
	slices.SortFunc(out[1:], func(a, b checks.Tolerance) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Service, b.Service))
	})
	return out
}

func rank(t checks.Tolerance) int {
	if t.Service == serviceTransactions {
		return 0
	}
	return 1
}

// kraft says whether the cluster runs with KRaft; where nobody tells, whether
// the release does.
func (v view) kraft() bool {
	if answering := v.answering(); len(answering) > 0 && answering[0].mode() != "" {
		return answering[0].KRaft
	}
	return !v.scope.Release.Before(platform.R25_9)
}

// follows says whether the member has a working vote, where there are votes.
func (v view) follows(m member) bool {
	if !m.KRaft {
		return true
	}
	for _, o := range v.answering() {
		if o.Quorum == nil {
			continue
		}
		for _, r := range o.Quorum.Voters {
			if v.node(r.ID) == m.node() {
				return o.Quorum.behind(r) == ""
			}
		}
	}
	return false
}

func spared(t checks.Tolerance) string {
	switch n := t.Spare(); {
	case n < 0:
		return "stopped already, at least in part"
	case n == 0:
		return "would stop, at least in part, with one broker less"
	case n == 1:
		return "can lose any one more broker"
	default:
		return fmt.Sprintf("can lose any %d more brokers", n)
	}
}
