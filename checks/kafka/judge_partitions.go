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

// A placement is where the copies of one partition are, and which of them are in
// sync. Those of a lost broker are not, whatever a broker reports: without a
// controller it reports what it last heard.
type placement struct {
	topic    string
	number   int32
	minISR   int // 0: unknown
	led      bool
	replicas []string
	reported []string // to be in sync
	sync     []string // of these, the ones that are not lost
}

// The states of a partition, from best to worst.
const (
	healthy         = iota
	underReplicated // copies
	unwritable      // too few replicas in sync
	leaderless
)

var states = []string{
	underReplicated: "%d with replicas out of sync",
	unwritable:      "%d with too few in-sync replicas to be written",
	leaderless:      "%d without a leader, which can be neither read nor written",
}

func (p placement) state() int {
	switch {
	case !p.led:
		return leaderless
	case len(p.sync) < p.minISR:
		return unwritable
	case len(p.sync) < len(p.replicas):
		return underReplicated
	}
	return healthy
}

// placements are all partitions. Where brokers differ the worst counts: one that
// is cut off reports an old state.
func (v view) placements() []placement {
	gone := cluster.Nodes(cluster.Those(v.lost, member.down))
	isGone := func(node string) bool { return slices.Contains(gone, node) }
	var out []placement
	for _, m := range v.responding {
		for _, t := range m.Topics {
			for _, p := range t.Partitions {
				out = append(out, placement{
					topic: t.Name, number: p.ID, minISR: t.MinISR, replicas: v.nodes(p.Replicas), reported: v.nodes(p.ISR),
					sync: slices.DeleteFunc(v.nodes(p.ISR), isGone),
					led:  p.Leader >= 0 && !isGone(v.node(p.Leader)),
				})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b placement) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.number, b.number), cmp.Compare(b.state(), a.state()), cmp.Compare(b.minISR, a.minISR))
	})
	return slices.CompactFunc(out, func(a, b placement) bool { return a.topic == b.topic && a.number == b.number })
}

// explained names the lost members where they explain every broken partition.
func (v view) explained(f checks.Finding, broken []placement) checks.Finding {
	lost := cluster.Nodes(v.lost)
	var missing []string
	for _, p := range broken {
		away := cluster.Those(p.replicas, func(node string) bool { return !slices.Contains(p.sync, node) })
		gone := cluster.Those(away, func(node string) bool { return slices.Contains(lost, node) })
		if len(gone) == 0 || len(gone) < len(away) && len(p.sync) > 0 {
			return f
		}
		missing = append(missing, gone...)
	}
	return cluster.Because(f, brokers, cluster.Those(v.lost, func(m member) bool { return slices.Contains(missing, m.Node()) }))
}

// hidden is the finding where the brokers may have left topics out.
func (v view) hidden(c *checks.Check) checks.Finding {
	return c.Unknown(v, all, "the brokers list %d partitions, and may hide others from this client", len(v.placed))
}

// judgePartitions judges whether all partitions can be read and written.
func (v view) judgePartitions() checks.Finding {
	broken := cluster.Those(v.placed, func(p placement) bool { return p.state() != healthy })
	switch {
	case len(broken) == 0 && !v.complete():
		return v.hidden(partitions)
	case len(v.placed) == 0:
		return partitions.Pass(v, all, "there are no partitions yet")
	case len(broken) == 0:
		return partitions.Pass(v, all, "all %d partitions have a leader and all replicas in sync", len(v.placed))
	}
	var said []string
	for state := leaderless; state > healthy; state-- {
		if these := cluster.Those(broken, func(p placement) bool { return p.state() == state }); len(these) > 0 {
			said = append(said, fmt.Sprintf(states[state], len(these)))
		}
	}
	stopped := slices.ContainsFunc(broken, func(p placement) bool {
		return p.state() == leaderless || p.state() == unwritable && p.topic != transactionLog
	})
	f := partitions.Fail(v, all, "not all of %d partitions are healthy: %s", len(v.placed), strings.Join(said, ", ")).
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
		out = append(out[:most], fmt.Sprintf("and %d more topics", len(out)-most))
	}
	return strings.Join(out, ", ")
}

// judgeReplication judges how many copies there are, in sync or not.
func (v view) judgeReplication() checks.Finding {
	switch {
	case !v.inventory() && len(v.names) == 1:
		return v.unlisted(replication)
	case v.inventory() && len(v.Members) == 1:
		return replication.Skip(v, all, "there is only one broker: nothing can be replicated")
	}
	if single := cluster.Those(v.placed, func(p placement) bool { return len(p.replicas) < copies }); len(single) > 0 {
		return replication.Fail(v, all, "%d of %d partitions have only one copy", len(single), len(v.placed)).
			Saw(byTopic(single)).Wanted(fmt.Sprintf("%d copies", copies))
	}
	for _, m := range v.responding {
		for _, setting := range []string{defaultRF, txnRF} {
			if n, err := strconv.Atoi(m.Defaults[setting]); err == nil && n < copies {
				return replication.Warn(v, all, "new topics will have only one copy").
					Saw(fmt.Sprintf("%s=%d on %s", setting, n, m.Node())).Wanted(fmt.Sprintf("%s=%d", setting, copies)).
					Fix(checks.On(m.Node()) + fmt.Sprintf("sed -i '/^%s=/d' %s; echo %[1]s=%[3]d >> %[2]s\n%[4]s", setting, properties, copies, restart))
			}
		}
	}
	if !v.complete() {
		return v.hidden(replication)
	}
	return replication.Pass(v, all, "all %d partitions have at least %d copies", len(v.placed), copies)
}

// judgeTransactions judges whether they can be committed, and how many more brokers
// that can lose.
func (v view) judgeTransactions() checks.Finding {
	log := cluster.Those(v.placed, func(p placement) bool { return p.topic == transactionLog })
	switch {
	case len(log) == 0 && !v.complete():
		return v.hidden(transactions)
	case len(log) == 0:
		return transactions.Pass(v, all, "there have been no transactions yet")
	case log[0].minISR == 0:
		return transactions.Unknown(v, all, "how many in-sync copies the transaction log requires is unknown")
	}
	want := log[0].minISR
	if broken := cluster.Those(log, func(p placement) bool { return p.state() >= unwritable }); len(broken) > 0 {
		f := transactions.Fail(v, all, "transactions have stopped in %d of %d partitions of their log", len(broken), len(log)).
			Saw(fmt.Sprintf("fewer than %d replicas in sync", want)).Wanted(fmt.Sprintf("%d in sync", want))
		return v.explained(v.stops(f), broken)
	}
	weakest := slices.MinFunc(log, func(a, b placement) int { return cmp.Compare(len(a.sync), len(b.sync)) })
	spare := len(weakest.sync) - want
	if spare == 0 {
		return transactions.Pass(v, all, "transactions can be committed; losing any broker stops some, because %d of %d copies must be in sync", want, len(log[0].replicas))
	}
	return transactions.Pass(v, all, "transactions can be committed, even with %d fewer brokers", spare)
}

// minISRUnseen says whether it is unknown of some topic how many copies must be in sync.
func (v view) minISRUnseen() bool {
	return slices.ContainsFunc(v.placed, func(p placement) bool { return p.minISR == 0 })
}

// service is the service that a partition is part of.
func (p placement) service() string {
	switch {
	case p.topic == transactionLog:
		return "Kafka transactions"
	case p.minISR > 1:
		return fmt.Sprintf("Kafka topics with %s=%d", minISR, p.minISR)
	}
	return "Kafka"
}

// clusters are what Kafka needs to keep working: Kafka first, then the services
// that require more than one copy in sync.
func (v view) clusters() []checks.Cluster {
	count := cluster.Ask(v.Members, v.works)
	needs, rests := 1, []string{"ZooKeeper"}
	if v.mode == withKRaft {
		needs, rests = len(v.Members)/2+1, nil
	}
	placed := append([]placement{{}}, v.placed...) // Kafka, even without partitions
	if !v.complete() || v.minISRUnseen() {         // any broker may hold what is hidden, transactions among it
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
		// As reported: which of them are able, and which unseen, is said beside it.
		if p.replicas != nil && !slices.ContainsFunc(out[i].Together, func(set []string) bool { return slices.Equal(set, p.reported) }) {
			out[i].Together = append(out[i].Together, p.reported)
		}
	}
	return out
}

// judgeTolerance judges how many more brokers can be lost.
func (v view) judgeTolerance(services []checks.Cluster) checks.Finding {
	var words []string
	for _, c := range services {
		words = append(words, c.Service+" "+spared(c))
	}
	said := strings.Join(words, "; ")
	if !v.inventory() {
		return v.unlisted(tolerance)
	}
	kafka := services[0]
	unseen := cluster.Those(v.Members, func(m member) bool { return v.present(m) == cluster.Unseen })
	switch survives := cluster.Survives(kafka, 1); {
	case survives == cluster.Yes:
		return tolerance.Pass(v, all, "%s", said)
	case survives == cluster.No && len(v.Members) > 1:
		f := tolerance.Fail(v, all, "Kafka %s", spared(kafka)).Saw(said).Wanted("able to lose one more broker")
		if _, most := cluster.Spare(kafka); most < 0 {
			f = v.stops(f)
		}
		f = cluster.Because(f, brokers, v.lost)
		return f.Needing(controller.On(all), quorum.On(all), partitions.On(all), replication.On(all))
	case len(unseen) > 0:
		return cluster.Because(tolerance.Unknown(v, all, "not every broker could be checked"), brokers, unseen)
	case survives == cluster.No:
		return tolerance.Skip(v, all, "there is only one broker: none can be lost")
	case v.minISRUnseen():
		return tolerance.Unknown(v, all, "how many in-sync copies each topic requires is unknown")
	case v.mode == withKRaft && v.latest == nil:
		return tolerance.Unknown(v, all, "the quorum could not be seen").Needing(quorum.On(all))
	}
	return v.hidden(tolerance)
}

// spared says how many more brokers a service can lose.
func spared(c checks.Cluster) string {
	least, most := cluster.Spare(c)
	switch survives := cluster.Survives(c, 1); {
	case most < 0:
		return "stopped working, at least in part"
	case survives == cluster.No:
		return "will stop, at least in part, if one more broker is lost"
	case survives == cluster.Unseen:
		return "may stop if one more broker is lost: not all of it was seen"
	case least == 1:
		return "can lose any one more broker"
	}
	return fmt.Sprintf("can lose any %d more brokers", least)
}
