package postgres

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

const (
	// ttl is how long a leader keeps the lock without renewing it
	// (patroni.config.yaml).
	ttl = 30 * time.Second
	// wanted is the version that Carbonio is made for.
	wanted = 16
)

// judge decides for each vantage by itself.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	var clusters []checks.Cluster
	all := views(scope, seen)
	for _, vantage := range scope.Vantages {
		v, looked := all[vantage.Node]
		switch {
		case looked:
			findings, found := v.judge()
			out, clusters = append(out, findings...), append(clusters, found...)
		case !clustered(scope):
			out = append(out, lone(scope, vantage.Node, seen)...)
		}
		v.scope, v.Vantage = scope, vantage.Node
		out = append(out, judgeDatabases(vantage.Node, seen)...)
		out = append(out, v.judgeLocal(seen)...)
	}
	return out, clusters
}

// judge is the verdict on a cluster.
func (v view) judge() ([]checks.Finding, []checks.Cluster) {
	out := []checks.Finding{v.judgeAgreement(), v.judgeLeader(), v.judgePaused(), v.judgeTimeline()}
	able := map[string]cluster.Answer{}
	for _, m := range v.Members {
		out = append(out, v.judgeMember(m), judgeUnlocked(m), v.judgeVersion(m))
		able[m.Node()] = cluster.Yes
		if v.leads(m) != cluster.Yes {
			f := v.judgeReplica(m)
			out = append(out, f)
			able[m.Node()] = v.able(m, f)
		}
	}
	clusters := v.clusters(cluster.Ask(v.Members, func(m member) cluster.Answer { return able[m.Node()] }))
	return append(out, v.judgeTolerance(clusters[0])), clusters
}

// lone is for a platform without Patroni.
func lone(scope checks.Scope, vantage string, seen checks.Record) []checks.Finding {
	var out []checks.Finding
	for _, c := range catalogue {
		if c != databases && c != version {
			out = append(out, c.Skip(checks.From(vantage), "", "no two database nodes are known: PostgreSQL runs without Patroni"))
		}
	}
	for s := range logins.In(seen) {
		if said, _ := s.Got(); s.Vantage == vantage && said.Version > 0 {
			out = append(out, major(scope, s, s.Target.Node, said.Version))
		}
	}
	return out
}

// judgeMember says whether a node is there, and in this cluster.
func (v view) judgeMember(m member) checks.Finding {
	name := m.Node()
	switch reference, others := v.reference(m); {
	case m.Target.Address == "":
		return agreement.WithoutAddress(m, name, name)
	case m.silent() && m.Contact.State != "":
		return agreement.Fail(m, name, "Patroni of %s %s", name, m.Contact).
			Saw(m.Contact.String()).Wanted(fmt.Sprintf("an answer at port %d", portPatroni)).
			Fix("systemctl status patroni; journalctl -u patroni -n 50     # on "+name).
			Needing(checks.PingOf(name), checks.PortOf(name, portPatroni, "tcp"))
	case m.silent():
		return agreement.Unseen(m, name)
	case reference.System != "" && m.Status.System != "" && m.Status.System != reference.System:
		return agreement.Fail(m, name, "%s holds another database than the others", name).
			Saw("system identifier " + m.Status.System).Wanted(reference.System)
	case m.Status.Patroni.Scope != reference.Patroni.Scope:
		return agreement.Fail(m, name, "%s is a member of another cluster", name).
			Saw("scope " + m.Status.Patroni.Scope).Wanted("scope " + reference.Patroni.Scope)
	case others && !v.named(m):
		return agreement.Fail(m, name, "the cluster does not know %s, though its Patroni answers", name).
			Saw("not among the members").Wanted("a member " + m.name)
	case m.Cluster == nil:
		return agreement.Unknown(m, name, "%s does not tell the cluster: %s", name, cmp.Or(m.ClusterUnseen, &checks.Unseen{Code: checks.Failed})).
			Needing(unlocked.On(name))
	}
	return agreement.Pass(m, name, "%s answers, as a member of %s", name, m.Status.Patroni.Scope).
		With("version", "Patroni "+m.Status.Patroni.Version)
}

// reference is the status that the others are held against: the leader's, else
// the first; and whether any topology was given that could name a member.
func (v view) reference(m member) (status, bool) {
	of := *cmp.Or(m.Status, &status{})
	if first := v.those(func(m member) bool { return m.Status != nil }); len(first) > 0 {
		of = *first[0].Status
	}
	if l, ok := v.leader(); ok && l.Status != nil {
		of = *l.Status
	}
	return of, slices.ContainsFunc(v.Members, func(m member) bool { return m.Cluster != nil })
}

// judgeAgreement compares what the members tell of each other. How far each is
// moves all the time, so only who is there and who leads is compared.
func (v view) judgeAgreement() checks.Finding {
	tellers := v.those(func(m member) bool { return m.Cluster != nil })
	if len(tellers) == 0 {
		return v.storeless(v.blind(agreement.Unknown(v.proof, subject, "no member tells the cluster")))
	}
	told := map[string]bool{}
	var lines []string
	for _, m := range tellers {
		names := m.Cluster.names()
		told[strings.ToLower(strings.Join(names, "\n")+"\n"+m.holder())] = true
		lines = append(lines, fmt.Sprintf("%s: %s, led by %s", m.Node(), list(names), cmp.Or(m.holder(), "nobody")))
	}
	saw, names := strings.Join(lines, "\n"), tellers[0].Cluster.names()
	switch strangers, twice := v.strangers(names), repeated(names); {
	case len(told) > 1:
		f := agreement.Fail(v.proof, subject, "the members tell different clusters").Saw(saw).Wanted("the same from each")
		if len(v.leading().Yes) > 1 {
			f = f.Needing(leader.On(subject))
		}
		return f
	case len(twice) > 0:
		return agreement.Fail(v.proof, subject, "the cluster names %s twice", list(twice)).Saw(saw).Wanted("every member once")
	case len(strangers) > 0:
		return agreement.Warn(v.proof, subject, "the cluster has a member that the inventory does not name: %s", list(strangers)).
			Saw(saw).Wanted("members of the inventory").
			Fix("patronictl -c /etc/patroni/config.yml list     # add the node to postgresServers, or stop Patroni there")
	case len(tellers) < len(v.Members):
		return v.storeless(v.blind(agreement.Unknown(v.proof, subject, "not every member tells the cluster%s", v.unheard()).Saw(saw)))
	}
	return agreement.Pass(v.proof, subject, "every member tells the same cluster: %s%s", list(names), v.unheard())
}

// strangers are the names that are no node's.
func (v view) strangers(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		return slices.ContainsFunc(v.Members, func(m member) bool { return same(m.name, name) })
	})
}

// repeated are the names that stand more than once in a sorted list, once each.
func repeated(names []string) []string {
	var out []string
	for i, name := range names {
		if i > 0 && name == names[i-1] {
			out = append(out, name)
		}
	}
	return slices.Compact(out)
}

func (t topology) names() []string {
	names := make([]string, len(t.Members))
	for i, e := range t.Members {
		names[i] = e.Name
	}
	slices.Sort(names)
	return names
}

// judgeLeader is the headline. What members say of themselves counts: the lock in
// the store may be a dead member's until it runs out.
func (v view) judgeLeader() checks.Finding {
	leading, holder := v.leading(), v.holder()
	names := nodes(leading.Yes)
	absent := v.those(func(m member) bool { return m.silent() && holder != "" && same(m.name, holder) })
	switch answer := leading.ExactlyOne(); {
	case len(leading.Yes) > 1:
		return leader.Fail(v.proof, subject, "%s each take writes: the databases drift apart", names).
			Saw(v.roles()).Wanted("one leader").
			Fix("patronictl -c /etc/patroni/config.yml list\nsystemctl stop patroni     # at once, on the one that should not lead: ask before you throw away its writes")
	case len(leading.Yes) == 1 && leading.Yes[0].standby():
		return leader.Fail(v.proof, subject, "%s leads a standby cluster: nobody takes writes", names).
			Saw(v.roles()).Wanted("a leader that takes writes").
			Fix("patronictl -c /etc/patroni/config.yml edit-config     # remove standby_cluster").Stops()
	case answer == cluster.Yes:
		return leader.Pass(v.proof, subject, "%s leads%s", names, v.unheard()).Saw(v.roles())
	case len(leading.Yes) == 1:
		return v.blind(leader.Unknown(v.proof, subject, "%s leads; %s may lead as well", names, nodes(leading.Unseen)).Saw(v.roles()))
	case len(absent) > 0:
		return v.blind(leader.Unknown(v.proof, subject, "%s holds the leader lock, and does not answer itself", holder))
	case len(leading.Unseen) == len(v.Members):
		return v.blind(leader.Unknown(v.proof, subject, "no member says who leads"))
	case answer == cluster.Unseen:
		return v.storeless(v.blind(leader.Unknown(v.proof, subject, "no database node is seen to lead%s", v.unheard()).Saw(v.roles())))
	}
	return v.storeless(leader.Fail(v.proof, subject, "no database node leads%s", v.unheard()).
		Saw(v.roles()).Wanted("one leader")).Stops()
}

// roles says of each member what it says it is.
func (v view) roles() string {
	lines := make([]string, len(v.Members))
	for i, m := range v.Members {
		switch {
		case m.Status != nil:
			lines[i] = fmt.Sprintf("%s: %s, %s, timeline %d", m.Node(), m.Status.Role, m.Status.State, m.Status.Timeline)
		case m.told():
			lines[i] = fmt.Sprintf("%s: Patroni is silent, PostgreSQL in recovery: %t", m.Node(), m.sql.Recovery)
		default:
			lines[i] = m.Node() + ": silent"
		}
	}
	return strings.Join(lines, "\n")
}

// judgePaused takes any member's word: the pause is the whole cluster's.
func (v view) judgePaused() checks.Finding {
	heard := v.those(func(m member) bool { return m.Status != nil || m.Cluster != nil })
	resting := v.those(func(m member) bool {
		return m.Status != nil && m.Status.Pause || m.Cluster != nil && m.Cluster.Pause
	})
	switch {
	case len(resting) > 0:
		return paused.Warn(v.proof, subject, "automatic failover is paused, says %s", nodes(resting)).
			Saw("maintenance mode").Wanted("automatic failover")
	case len(heard) == 0:
		return v.blind(paused.Unknown(v.proof, subject, "no member says whether failover is paused"))
	}
	return paused.Pass(v.proof, subject, "automatic failover is on%s", v.unheard())
}

// judgeUnlocked judges a member's sight of the store. A free lock in a store that
// is well is another matter: nobody leads.
func judgeUnlocked(m member) checks.Finding {
	name := m.Node()
	if m.silent() {
		return unlocked.Unknown(m, name, "%s says nothing of the store", name).Needing(agreement.On(name))
	}
	age, known := m.storeAge()
	saw := fmt.Sprintf("store last seen %v before the answer", age)
	if !known {
		saw = "this Patroni does not say when it saw the store"
	}
	want := fmt.Sprintf("seen within %v, and the lock held", ttl)
	free := m.Status.Unlocked || m.Cluster != nil && m.holder() == ""
	switch {
	case m.lost() && m.Status.Failsafe:
		return unlocked.Fail(m, name, "%s has lost the store of the leader lock; the members go on by each other's consent", name).
			Saw(saw).Wanted(want).Needing(checks.LeaderOf("mesh"))
	case m.lost():
		return unlocked.Fail(m, name, "%s has lost the store of the leader lock", name).
			Saw(saw).Wanted(want).Needing(checks.LeaderOf("mesh"))
	case free:
		return unlocked.Fail(m, name, "nobody holds the leader lock, says %s", name).
			Saw(saw).Wanted(want).Needing(leader.On(subject))
	}
	return unlocked.Pass(m, name, "%s sees the store, and who holds the lock", name).Saw(saw)
}

// version is that of the member's PostgreSQL, and who says so; zero when nobody does.
func (m member) version() (int, checks.Proof) {
	if m.Status != nil && m.Status.ServerVersion > 0 {
		return m.Status.ServerVersion, m.Proof()
	}
	return m.sql.Version, m.login
}

// judgeVersion judges what a member runs, and whether another runs a newer patch.
func (v view) judgeVersion(m member) checks.Finding {
	name := m.Node()
	own, proof := m.version()
	newest := own
	for _, other := range v.Members {
		runs, _ := other.version()
		newest = max(newest, runs)
	}
	if own <= 0 {
		return version.Unknown(m, name, "%s does not say which PostgreSQL it runs", name).
			Needing(agreement.On(name), replicas.On(name), leader.On(subject))
	}
	f := major(v.scope, proof, name, own)
	if f.Status == checks.Pass && newest > own {
		return version.Warn(proof, name, "%s runs PostgreSQL %s, another node %s", name, number(own), number(newest)).
			Saw(number(own)).Wanted(number(newest))
	}
	return f
}

// major judges the version of one PostgreSQL; patches do not count.
func major(scope checks.Scope, b checks.Basis, node string, runs int) checks.Finding {
	release := scope.Vantage(node).Release
	says := fmt.Sprintf("%s runs PostgreSQL %s", node, number(runs))
	switch {
	case runs/10000 < wanted && !release.Before(platform.R25_6):
		return version.Fail(b, node, "%s: Carbonio %s needs %d", says, release, wanted).
			Saw(number(runs)).Wanted(fmt.Sprint(wanted)).
			Fix("pg_upgradecluster or pg_upgrade to 16, as the release notes say")
	case runs/10000 > wanted:
		return version.Warn(b, node, "%s, newer than any that Carbonio is made for", says).
			Saw(number(runs)).Wanted(fmt.Sprint(wanted))
	}
	return version.Pass(b, node, "%s", says)
}

// number words 160004 as 16.4.
func number(version int) string { return fmt.Sprintf("%d.%d", version/10000, version%10000) }

// able says whether a member that was not seen to lead could take over, by what
// was found of its replication.
func (v view) able(m member, replication checks.Finding) cluster.Answer {
	switch {
	case replication.Status == checks.Pass, replication.Status == checks.Warn, v.vouched(m):
		return cluster.Yes
	case replication.Status == checks.Fail, m.silent() && m.Contact.State != "":
		return cluster.No
	}
	return cluster.Unseen
}

// clusters are those that others conclude from. That the lock is in the mesh takes
// failover away when the mesh goes, however many database nodes live. Where it is
// not known who leads, nobody knows who could take over.
func (v view) clusters(able cluster.Count[member]) []checks.Cluster {
	c := checks.Cluster{
		Check: tolerance, Vantage: v.Vantage, Service: "PostgreSQL", Needs: 1,
		Members: cluster.Nodes(v.Members), Able: cluster.Nodes(able.Yes), Unseen: cluster.Nodes(able.Unseen),
	}
	leading := v.leading()
	if len(leading.Yes) != 1 || leading.ExactlyOne() != cluster.Yes && cluster.Survives(c, 1) == cluster.Yes {
		c.Able, c.Unseen = nil, c.Members
	}
	failover := c
	failover.Service, failover.Rests = "PostgreSQL failover", []string{"mesh"}
	return []checks.Cluster{c, failover}
}

// judgeTolerance counts what is left.
func (v view) judgeTolerance(c checks.Cluster) checks.Finding {
	leading := v.leading()
	spare, _ := cluster.Spare(c)
	switch answer := cluster.Survives(c, 1); {
	case len(v.those(member.silent)) == len(v.Members):
		return v.blind(tolerance.Unknown(v.proof, subject, "no database node was heard"))
	case len(leading.Yes) != 1:
		return v.blind(tolerance.Unknown(v.proof, subject, "without one leader nobody knows what can be lost")).Needing(leader.On(subject))
	case answer == cluster.Yes:
		return tolerance.Pass(v.proof, subject, "%d of %d database nodes work: %d more may be lost", len(c.Able), len(c.Members), spare)
	case answer == cluster.Unseen && len(c.Able) == 0:
		return v.blind(tolerance.Unknown(v.proof, subject, "%s may lead as well: nobody knows what can be lost", nodes(leading.Unseen))).Needing(leader.On(subject))
	case answer == cluster.Unseen:
		return v.blind(tolerance.Unknown(v.proof, subject, "only %s was seen to work%s", list(c.Able), v.unheard()))
	}
	f := tolerance.Fail(v.proof, subject, "the loss of %s as well stops PostgreSQL", list(c.Able)).
		Saw(fmt.Sprintf("%d of %d database nodes work", len(c.Able), len(c.Members))).Wanted("two that work")
	for _, m := range v.Members {
		f = f.Needing(agreement.On(m.Node()), replicas.On(m.Node()))
	}
	return f
}
