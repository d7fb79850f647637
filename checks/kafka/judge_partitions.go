package kafka

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// A placement is where the copies of one partition are, and which of them
// work. Nodes that are gone work no more, whatever a broker last heard of them:
// without a controller it hears nothing.
type placement struct {
	topic    string
	number   int32
	minISR   int // 0: not known
	led      bool
	replicas []string
	sync     []string
}

// The states of a partition, from well to worst, and what is said of them.
const (
	whole      = iota
	lacking    // copies
	unwritable // with the copies it has
	leaderless
)

var states = []string{
	lacking:    "%d that lack replicas in sync",
	unwritable: "%d with too few replicas in sync to be written",
	leaderless: "%d without a leader, which can be neither read nor written",
}

func (p placement) state() int {
	switch {
	case !p.led:
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
	gone := cluster.Nodes(cluster.Those(v.Members, func(m member) bool { return m.down() && v.isLost(m) }))
	isGone := func(node string) bool { return slices.Contains(gone, node) }
	var out []placement
	for _, m := range v.told {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				out = append(out, placement{
					topic: t.Name, number: p.ID, minISR: t.MinISR, replicas: v.nodes(p.Replicas),
					sync: slices.DeleteFunc(v.nodes(p.ISR), isGone),
					led:  p.Leader >= 0 && !isGone(v.node(p.Leader)),
				})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b placement) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.number, b.number), cmp.Compare(b.state(), a.state()))
	})
	return slices.CompactFunc(out, func(a, b placement) bool { return a.topic == b.topic && a.number == b.number })
}

// explained names the lost members where they explain each partition in full.
func (v view) explained(f checks.Finding, broken []placement) checks.Finding {
	lost := cluster.Nodes(cluster.Those(v.Members, v.isLost))
	var missing []string
	for _, p := range broken {
		away := slices.DeleteFunc(slices.Clone(p.replicas), func(node string) bool { return slices.Contains(p.sync, node) })
		gone := slices.DeleteFunc(slices.Clone(away), func(node string) bool { return !slices.Contains(lost, node) })
		if len(gone) == 0 || len(gone) < len(away) && len(p.sync) > 0 {
			return f
		}
		missing = append(missing, gone...)
	}
	return cluster.Because(f, brokers, cluster.Those(v.Members, func(m member) bool { return slices.Contains(missing, m.Node()) }))
}

// hidden is the finding where what is shown may not be all that there is.
func (v view) hidden(c *checks.Check) checks.Finding {
	return c.Unknown(v.proof(), all, "%d partitions are shown, and others may be hidden: the brokers do not tell everything to everybody", len(v.placed))
}

// judgePartitions judges whether everything can be read and written.
func (v view) judgePartitions() checks.Finding {
	broken := cluster.Those(v.placed, func(p placement) bool { return p.state() != whole })
	count := map[int]int{}
	stopped := false
	for _, p := range broken {
		count[p.state()]++
		stopped = stopped || p.state() == leaderless || p.state() == unwritable && p.topic != transactionLog
	}
	switch {
	case len(broken) == 0 && !v.complete():
		return v.hidden(partitions)
	case len(v.placed) == 0:
		return partitions.Pass(v.proof(), all, "there are no partitions yet")
	case len(broken) == 0:
		return partitions.Pass(v.proof(), all, "all %d partitions have a leader and all of their replicas in sync", len(v.placed))
	}
	var said []string
	for state := leaderless; state > whole; state-- {
		if n := count[state]; n > 0 {
			said = append(said, fmt.Sprintf(states[state], n))
		}
	}
	f := partitions.Fail(v.proof(), all, "not all of %d partitions are well: %s", len(v.placed), strings.Join(said, ", ")).
		Saw(byTopic(broken)).Wanted("every replica in sync")
	if stopped {
		f = v.stops(f)
	}
	return v.explained(f, broken)
}

// byTopic names the topics of partitions, and how many of each: "mail (3)".
func byTopic(placed []placement) string {
	const most = 5
	var out []string
	for len(placed) > 0 {
		others := cluster.Those(placed, func(p placement) bool { return p.topic != placed[0].topic })
		out = append(out, fmt.Sprintf("%s (%d)", placed[0].topic, len(placed)-len(others)))
		placed = others
	}
	if len(out) > most {
		out = append(out[:most], fmt.Sprintf("and %d topics more", len(out)-most))
	}
	return strings.Join(out, ", ")
}

// judgeReplication judges how many copies there are, living or not.
func (v view) judgeReplication() checks.Finding {
	if len(v.Members) == 1 {
		return replication.Skip(v.proof(), all, "a single broker has no other to copy to")
	}
	if single := cluster.Those(v.placed, func(p placement) bool { return len(p.replicas) < copies }); len(single) > 0 {
		return replication.Fail(v.proof(), all, "%d of %d partitions have one copy only", len(single), len(v.placed)).
			Saw(byTopic(single)).Wanted(fmt.Sprintf("%d copies", copies))
	}
	for _, m := range v.told {
		for _, setting := range []string{defaultRF, txnRF} {
			if n, err := strconv.Atoi(m.Defaults[setting]); err == nil && n < copies {
				return replication.Warn(v.proof(), all, "topics made from now on will have one copy only").
					Saw(fmt.Sprintf("%s=%d on %s", setting, n, m.Node())).Wanted(fmt.Sprintf("%s=%d", setting, copies)).
					Fix(fmt.Sprintf("set %s=%d in /opt/kafka/config/server.properties on %s, then: systemctl restart carbonio-kafka.service", setting, copies, m.Node()))
			}
		}
	}
	if !v.complete() {
		return v.hidden(replication)
	}
	return replication.Pass(v.proof(), all, "every one of %d partitions has at least %d copies", len(v.placed), copies)
}

// judgeTransactions judges whether they can be committed, and says how soon they cannot.
func (v view) judgeTransactions() checks.Finding {
	log := cluster.Those(v.placed, func(p placement) bool { return p.topic == transactionLog })
	switch {
	case len(log) == 0 && !v.complete():
		return v.hidden(transactions)
	case len(log) == 0:
		return transactions.Pass(v.proof(), all, "no transaction was made yet")
	case log[0].minISR == 0:
		return transactions.Unknown(v.proof(), all, "how many copies in sync the log of transactions wants is not told")
	}
	want := log[0].minISR
	if broken := cluster.Those(log, func(p placement) bool { return p.state() >= unwritable }); len(broken) > 0 {
		f := transactions.Fail(v.proof(), all, "transactions have stopped in %d of %d parts of their log", len(broken), len(log)).
			Saw(fmt.Sprintf("fewer than %d replicas in sync", want)).Wanted(fmt.Sprintf("%d in sync", want))
		return v.explained(v.stops(f), broken)
	}
	weakest := slices.MinFunc(log, func(a, b placement) int { return cmp.Compare(len(a.sync), len(b.sync)) })
	spare := len(weakest.sync) - want
	if spare == 0 {
		return transactions.Pass(v.proof(), all, "transactions can be committed; the loss of any broker will stop some, because %d of %d copies have to be in sync", want, len(log[0].replicas))
	}
	return transactions.Pass(v.proof(), all, "transactions can be committed, also with %d brokers less", spare)
}

// service is what a partition carries, as it is handed up.
func (p placement) service() string {
	switch {
	case p.topic == transactionLog:
		return "Kafka transactions"
	case p.minISR > 1:
		return fmt.Sprintf("Kafka topics with %s=%d", minISR, p.minISR)
	}
	return "Kafka"
}

// clusters are what Kafka needs to go on: itself first, and what wants more than
// one copy in sync.
func (v view) clusters() []checks.Cluster {
	count := cluster.Ask(v.Members, v.works)
	needs, rests := 1, []string{"ZooKeeper"}
	if v.mode == withKRaft {
		needs, rests = len(v.Members)/2+1, nil
	}
	placed := append([]placement{{}}, v.placed...) // Kafka, also without partitions
	if !v.complete() {                             // others may stop with any broker, the transactions among them
		count.Yes, count.Unseen = nil, append(count.Unseen, count.Yes...)
		placed = append(placed, placement{topic: transactionLog})
	}
	var out []checks.Cluster
	for _, p := range placed {
		i := slices.IndexFunc(out, func(c checks.Cluster) bool { return c.Service == p.service() })
		if i < 0 {
			i = len(out)
			out = append(out, checks.Cluster{
				Check: tolerance, Vantage: v.Vantage, Service: p.service(), Needs: needs, Rests: rests,
				Members: cluster.Nodes(v.Members), Able: cluster.Nodes(count.Yes), Unseen: cluster.Nodes(count.Unseen),
			})
			needs, rests = 1, []string{"Kafka"}
		}
		out[i].Least = max(out[i].Least, p.minISR, 1)
		if p.replicas != nil && !slices.ContainsFunc(out[i].Together, func(set []string) bool { return slices.Equal(set, p.sync) }) {
			out[i].Together = append(out[i].Together, p.sync)
		}
	}
	return out
}

// judgeTolerance judges how many more brokers can go.
func (v view) judgeTolerance(services []checks.Cluster) checks.Finding {
	var words []string
	for _, c := range services {
		words = append(words, c.Service+" "+spared(c))
	}
	said := strings.Join(words, "; ")
	kafka := services[0]
	unseen := cluster.Those(v.Members, func(m member) bool { return v.stands(m) == cluster.Unseen })
	switch survives := cluster.Survives(kafka, 1); {
	case survives == cluster.Yes:
		return tolerance.Pass(v.proof(), all, "%s", said)
	case survives == cluster.No && len(v.Members) > 1:
		f := tolerance.Fail(v.proof(), all, "Kafka %s", spared(kafka)).Saw(said).Wanted("one more broker to lose")
		if _, most := cluster.Spare(kafka); most < 0 {
			f = v.stops(f)
		}
		f = cluster.Because(f, brokers, cluster.Those(v.Members, v.isLost))
		return f.Needing(controller.On(all), quorum.On(all), partitions.On(all), replication.On(all))
	case len(unseen) > 0:
		return cluster.Because(tolerance.Unknown(v.proof(), all, "not every broker could be looked at"), brokers, unseen)
	case survives == cluster.No:
		return tolerance.Skip(v.proof(), all, "there is a single broker: none to lose")
	case v.mode == withKRaft && v.elected == nil:
		return tolerance.Unknown(v.proof(), all, "the quorum could not be seen").Needing(quorum.On(all))
	}
	return v.hidden(tolerance)
}

// spared says how many more brokers a service can lose.
func spared(c checks.Cluster) string {
	least, most := cluster.Spare(c)
	switch survives := cluster.Survives(c, 1); {
	case most < 0:
		return "stopped already, at least in part"
	case survives == cluster.No:
		return "would stop, at least in part, with one broker less"
	case survives == cluster.Unseen:
		return "may stop with one broker less: not all of it was seen"
	case least == 1:
		return "can lose any one more broker"
	}
	return fmt.Sprintf("can lose any %d more brokers", least)
}
