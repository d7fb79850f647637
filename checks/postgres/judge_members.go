package postgres

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// A view is the cluster as one vantage sees it: a firewall may hide another part
// of it from each.
type view struct {
	cluster.View[member]
	scope checks.Scope
	// proof is what a verdict on the whole cluster rests on: those that were seen.
	proof checks.Proof
	at    time.Time // of the last look at a member
}

// A member is what was seen of one database node.
type member struct {
	checks.Sight[checks.Nothing, answer]
	answer
	name  string       // what Patroni calls it
	sql   server       // what PostgreSQL reports itself; empty: not asked, or no response
	login checks.Proof // of sql
}

func (m member) Node() string { return m.Target.Node }

// views are the clusters by the vantage that sees them.
func views(scope checks.Scope, seen checks.Record) map[string]view {
	type key struct{ vantage, node string }
	asked := map[key]checks.Sight[platform.Login, server]{}
	for s := range logins.In(seen) {
		asked[key{s.Vantage, s.Target.Node}] = s
	}
	out := map[string]view{}
	for _, c := range cluster.Views(seen, members, func(s checks.Sight[checks.Nothing, answer]) member {
		said, _ := s.Got()
		login := asked[key{s.Vantage, s.Target.Node}]
		sql, _ := login.Got()
		return member{s, said, said.called(s.Target), sql, login.Proof()}
	}) {
		v := view{View: c, scope: scope}
		var proofs []checks.Proof
		for i := range v.Members {
			m := &v.Members[i]
			m.name = v.called(*m)
			if proofs = append(proofs, m.Proof()); m.login != (checks.Proof{}) {
				proofs = append(proofs, m.login)
			}
			if m.At.After(v.at) {
				v.at = m.At
			}
		}
		v.proof = checks.Together(proofs...).Part()
		out[c.Vantage] = v
	}
	return out
}

// called is what Patroni calls the member: by its own word, or by that of others.
func (v view) called(m member) string {
	for _, other := range v.Members {
		if e, ok := other.entry(m.Target); ok && m.Cluster == nil && same(m.name, m.Node()) {
			return e.Name
		}
	}
	return m.name
}

func (v view) those(holds func(member) bool) []member { return cluster.Those(v.Members, holds) }

// silent: Patroni reported no status; told: PostgreSQL reported something.
func (m member) silent() bool { return m.Status == nil }
func (m member) told() bool   { return m.sql.Version > 0 }

// last is the latest status of a member that reported one.
func (m member) last() status { return *cmp.Or(m.Later, m.Status) }

// version is that of PostgreSQL, and the proof of it; zero when it is not reported.
func (m member) version() (int, checks.Proof) {
	if m.Status != nil && m.Status.ServerVersion > 0 {
		return m.Status.ServerVersion, m.Proof()
	}
	return m.sql.Version, m.login
}

// leads says whether the member accepts writes, according to Patroni or to
// PostgreSQL. While Patroni is silent it may still do so, unless its PostgreSQL
// denies it, does not run, or receives what another member writes.
func (v view) leads(m member) cluster.Answer {
	switch {
	case m.Status != nil && m.Status.leads(), m.told() && !m.sql.Recovery:
		return cluster.Yes
	case m.Status != nil, m.told(), m.sql.Contact.State == checks.Refused, v.streams(m) == streaming:
		return cluster.No
	}
	return cluster.Unseen
}

func (v view) leading() cluster.Count[member] { return cluster.Ask(v.Members, v.leads) }

// leader is the one that was seen to lead; false when none was, or several.
func (v view) leader() (member, bool) {
	leading := v.leading().Yes
	if len(leading) != 1 {
		return member{}, false
	}
	return leading[0], true
}

// holder is who holds the leader lock, according to the first that reports one.
func (v view) holder() string {
	for _, m := range v.reporting() {
		if name := m.Cluster.leader(); name != "" {
			return name
		}
	}
	return ""
}

func (v view) named(m member) bool {
	return slices.ContainsFunc(v.reporting(), func(other member) bool {
		return slices.ContainsFunc(other.Cluster.Members, func(e entry) bool { return same(e.Name, m.name) })
	})
}

// confirmed says whether a silent member works according to others: one streams to
// it, and its Patroni has registered in the store recently. It may be that only we
// cannot reach it.
func (v view) confirmed(m member) bool { return m.silent() && v.named(m) && v.streams(m) == streaming }

// streams is the state of the member's replication, according to whoever it
// replicates from; empty when nobody streams to it.
func (v view) streams(m member) string {
	state := ""
	for _, other := range v.those(func(m member) bool { return !m.silent() }) {
		for _, s := range other.last().Replication {
			if same(s.Name, application(m.name)) && state != streaming {
				state = s.State
			}
		}
	}
	return state
}

// storeAge is how long the member had not seen the store when it responded, by its
// own clock alone; false when it does not report that.
func (m member) storeAge() (time.Duration, bool) {
	if m.Status.DCSLastSeen <= 0 || m.Date.IsZero() {
		return 0, false
	}
	return max(0, m.Date.Sub(time.Unix(m.Status.DCSLastSeen, 0))), true
}

// lost says whether the member has lost the store.
func (m member) lost() bool {
	if m.silent() {
		return false
	}
	age, _ := m.storeAge()
	return m.Status.Failsafe || age > ttl || m.Status.Unlocked && m.Cluster == nil
}

// becauseSilent and becauseStoreless give a finding an explanation: the members that
// are silent, or that lost the store.
func (v view) becauseSilent(f checks.Finding) checks.Finding {
	return cluster.Because(f, agreement, v.those(member.silent))
}

func (v view) becauseStoreless(f checks.Finding) checks.Finding {
	return cluster.Because(f, unlocked, v.those(member.lost))
}

// missing names the members that a verdict was made without: "; no status from svc2".
func (v view) missing() string {
	if silent := v.those(member.silent); len(silent) > 0 {
		return "; no status from " + list(cluster.Nodes(silent))
	}
	return ""
}

// most is how many names a message repeats of what servers reported.
const most = 6

func list(names []string) string {
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}
