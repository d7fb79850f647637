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

// A view is the cluster as one vantage sees it.
type view struct {
	cluster.View[member]
	scope checks.Scope
	// proof is what a verdict on the whole cluster rests on: those that were seen.
	proof checks.Proof
	at    time.Time // when the last member was looked at
}

// A member is what was seen of one database node.
type member struct {
	checks.Sight[checks.Nothing, answer]
	answer
	name  string       // what Patroni calls it
	sql   server       // what PostgreSQL says itself; empty: not asked, or no answer
	login checks.Proof // that it does
}

// Node is the name of the node.
func (m member) Node() string { return m.Target.Node }

// views are the clusters by who saw them: each vantage may see another half of
// one that a firewall has cut.
func views(scope checks.Scope, seen checks.Record) map[string]view {
	type key struct{ vantage, node string }
	asked := map[key]checks.Sight[platform.Login, server]{}
	proofs := map[string][]checks.Proof{}
	for s := range logins.In(seen) {
		asked[key{s.Vantage, s.Target.Node}] = s
		proofs[s.Vantage] = append(proofs[s.Vantage], s.Proof())
	}
	out := map[string]view{}
	for _, c := range cluster.Views(seen, members, func(s checks.Sight[checks.Nothing, answer]) member {
		said, _ := s.Got()
		m := member{Sight: s, answer: said, name: said.called(s.Target)}
		if login, ok := asked[key{s.Vantage, s.Target.Node}]; ok {
			m.sql, _ = login.Got()
			m.login = login.Proof()
		}
		return m
	}) {
		v := view{View: c, scope: scope}
		for _, m := range v.Members {
			proofs[c.Vantage] = append(proofs[c.Vantage], m.Proof())
			if m.At.After(v.at) {
				v.at = m.At
			}
		}
		v.proof = checks.Together(proofs[c.Vantage]...).Part()
		v.nameSilent()
		out[c.Vantage] = v
	}
	return out
}

// nameSilent takes the names of members that told none from what others tell.
func (v view) nameSilent() {
	for i := range v.Members {
		m := &v.Members[i]
		for _, other := range v.Members {
			if e, ok := other.entry(m.Target); ok && m.Cluster == nil && same(m.name, m.Node()) {
				m.name = e.Name
			}
		}
	}
}

// those are the members for which it holds.
func (v view) those(holds func(member) bool) []member { return cluster.Those(v.Members, holds) }

// silent says whether the member said nothing of itself.
func (m member) silent() bool { return m.Status == nil }

// told says whether PostgreSQL of the member said something itself.
func (m member) told() bool { return m.sql.Version > 0 }

// last is the latest status of a member that gave one.
func (m member) last() status { return *cmp.Or(m.Later, m.Status) }

func (m member) standby() bool { return m.Status != nil && m.Status.Role == "standby_leader" }

// leads says whether the member takes writes, by Patroni's or by its own word.
// A member of which Patroni is silent may still do so, unless its PostgreSQL says
// otherwise, does not run, or receives what another one writes.
func (v view) leads(m member) cluster.Answer {
	switch {
	case m.Status != nil && m.Status.leads(), m.told() && !m.sql.Recovery:
		return cluster.Yes
	case m.Status != nil, m.told(), m.sql.Contact.State == checks.Refused, v.streams(m) == streaming:
		return cluster.No
	}
	return cluster.Unseen
}

// leading counts those that take writes.
func (v view) leading() cluster.Count[member] { return cluster.Ask(v.Members, v.leads) }

// leader is the one that was seen to lead; false when none was, or several.
func (v view) leader() (member, bool) {
	leading := v.leading().Yes
	if len(leading) != 1 {
		return member{}, false
	}
	return leading[0], true
}

// named says whether any topology names the member.
func (v view) named(m member) bool {
	return slices.ContainsFunc(v.Members, func(other member) bool {
		return other.Cluster != nil && slices.ContainsFunc(other.Cluster.Members, func(e entry) bool { return same(e.Name, m.name) })
	})
}

// vouched says whether a silent member works by the word of others: one streams
// to it, and its Patroni has signed on in the store of late. It may well be that
// only we do not reach it.
func (v view) vouched(m member) bool { return m.silent() && v.named(m) && v.streams(m) == streaming }

// streaming is the state of a replica that keeps its connection to the leader.
const streaming = "streaming"

// streams is the state of the member's replication, in the words of whoever it
// replicates from; empty when nobody knows it.
func (v view) streams(m member) string {
	state := ""
	for _, other := range v.Members {
		if other.Status == nil {
			continue
		}
		for _, s := range other.last().Replication {
			if same(s.Name, application(m.name)) && state != streaming {
				state = s.State
			}
		}
	}
	return state
}

// application is the name of a replica as PostgreSQL shows it: cut to the length
// of its identifiers.
func application(name string) string { return name[:min(len(name), 63)] }

// holder is who holds the leader lock, by the first topology that names one.
func (v view) holder() string {
	for _, m := range v.Members {
		if name := m.holder(); name != "" {
			return name
		}
	}
	return ""
}

func (m member) holder() string {
	if m.Cluster == nil {
		return ""
	}
	for _, e := range m.Cluster.Members {
		if e.leads() {
			return e.Name
		}
	}
	return ""
}

// storeAge is how long the member had not seen the store when it answered, by
// its own clock alone; false when it does not say.
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

// blind is a finding that the silence of members explains, wherever that
// silence is a finding of its own.
func (v view) blind(f checks.Finding) checks.Finding {
	return cluster.Because(f, agreement, v.those(member.silent))
}

// storeless is a finding that the loss of the store explains.
func (v view) storeless(f checks.Finding) checks.Finding {
	return cluster.Because(f, unlocked, v.those(member.lost))
}

// unheard says how many members a verdict was made without: "" or "; svc2 is silent".
func (v view) unheard() string {
	silent := v.those(member.silent)
	switch len(silent) {
	case 0:
		return ""
	case 1:
		return "; " + silent[0].Node() + " is silent"
	}
	return "; " + nodes(silent) + " are silent"
}

// nodes lists members: "svc1.example.com, svc2.example.com".
func nodes(all []member) string { return list(cluster.Nodes(all)) }

// most is how many names a message repeats of what servers said.
const most = 6

func list(names []string) string {
	if len(names) > most {
		names = append(slices.Clone(names[:most]), "…")
	}
	return strings.Join(names, ", ")
}
