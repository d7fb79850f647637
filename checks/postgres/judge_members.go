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
	// proof is what a verdict on the whole cluster rests on: all that was seen.
	proof checks.Proof
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
		return member{Sight: s, answer: said, sql: sql, login: login.Proof()}
	}) {
		v := view{View: c, scope: scope}
		var seen []checks.Proof
		for i, m := range v.Members {
			v.Members[i].name = v.called(m)
			if _, got := m.Got(); got {
				seen = append(seen, m.Proof())
			}
			if m.told() {
				seen = append(seen, m.login)
			}
		}
		if v.proof = checks.Together(seen...); len(seen) == 0 {
			v.proof = checks.Together(v.Members...)
		}
		out[c.Vantage] = v
	}
	return out
}

// called is what Patroni calls the member: by its own word, or by that of others.
func (v view) called(m member) string {
	if m.Status != nil && m.Status.Patroni.Name != "" {
		return m.Status.Patroni.Name
	}
	for _, by := range append([]member{m}, v.Members...) {
		if name := by.entry(m.Target).Name; name != "" {
			return name
		}
	}
	return m.Node()
}

func (v view) those(holds func(member) bool) []member { return cluster.Those(v.Members, holds) }

// silent: Patroni reported no status; told: PostgreSQL reported something.
func (m member) silent() bool { return m.Status == nil }
func (m member) told() bool   { return m.sql.Version > 0 }

// last is the latest status that a member reported; empty when it did not.
func (m member) last() status { return *cmp.Or(m.Later, m.Status, &status{}) }

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

// writable says whether the view has a leader that accepts writes.
func (v view) writable() bool {
	l, led := v.leader()
	return led && l.last().Role != standbyLeader
}

func (v view) named(m member) bool {
	return slices.ContainsFunc(v.reporting(), func(other member) bool {
		return slices.ContainsFunc(other.Cluster.Members, func(e entry) bool { return strings.EqualFold(e.Name, m.name) })
	})
}

// streams is the state of the member's replication, according to whoever it
// replicates from; empty when nobody streams to it.
func (v view) streams(m member) string {
	state := ""
	for _, other := range v.Members {
		for _, s := range other.last().Replication {
			if strings.EqualFold(s.Name, application(m.name)) && state != streaming {
				state = s.State
			}
		}
	}
	return state
}

// storeAge is how long the member had not seen the store when it responded, by its
// own clock alone; false when it does not report that.
func (m member) storeAge() (time.Duration, bool) {
	if m.silent() || m.Status.DCSLastSeen <= 0 || m.Date.IsZero() {
		return 0, false
	}
	return max(0, m.Date.Sub(time.Unix(m.Status.DCSLastSeen, 0))), true
}

func (m member) lost() bool {
	age, _ := m.storeAge()
	return !m.silent() && (m.Status.Failsafe || age > ttl || m.Status.Unlocked && m.Cluster == nil)
}

// Unknown says that something of the whole cluster could not be seen, which the
// members that are silent would explain. It is named as a Check's method, by which
// the list of all messages finds them.
func (v view) Unknown(c *checks.Check, format string, args ...any) checks.Finding {
	return cluster.Because(c.Unknown(v.proof, subject, format, args...), agreement, v.those(member.silent))
}

// becauseStoreless explains a finding by the members that lost the store.
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
