package postgres

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
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
	// wanted is the version that Carbonio supports.
	wanted = 16
)

// judge decides for each vantage separately.
func judge(scope checks.Scope, seen checks.Record) (out []checks.Finding, clusters []checks.Cluster) {
	all := views(scope, seen)
	writable := false // according to some node
	for _, v := range all {
		writable = writable || v.writable()
	}
	for _, vantage := range scope.Vantages {
		if v, looked := all[vantage.Node]; looked {
			findings, found := v.judge()
			for i, f := range findings { // what another node sees at work has not stopped
				findings[i].Stopped = f.Stopped && !writable
			}
			out, clusters = append(out, findings...), append(clusters, found...)
		} else if !clustered(scope) {
			out = append(out, judgeSingle(scope, vantage.Node, seen)...)
		}
		out = append(out, judgeDatabases(vantage.Node, seen)...)
		if clustered(scope) && len(balanced(scope, vantage.Node)) == 0 {
			out = append(out, skipHAProxy(scope, vantage.Node))
		}
	}
	for s := range services.In(seen) {
		out = append(out, judgeService(s))
	}
	for s := range balancers.In(seen) {
		v := all[s.Vantage]
		v.scope = scope // also where no member was looked at
		for _, port := range balanced(scope, s.Target.Name) {
			out = append(out, v.judgeHAProxy(s, port))
		}
	}
	return out, clusters
}

func (v view) judge() ([]checks.Finding, []checks.Cluster) {
	out := []checks.Finding{v.judgeAgreement(), v.judgeLeader(), v.judgePaused(), v.judgeTimeline()}
	able := cluster.Ask(v.Members, func(m member) cluster.Answer {
		out = append(out, v.judgeMember(m), judgeUnlocked(m), v.judgeVersion(m))
		if v.leads(m) == cluster.Yes {
			return cluster.Yes
		}
		f := v.judgeReplica(m)
		out = append(out, f)
		return v.able(m, f)
	})
	clusters := v.clusters(able)
	return append(out, v.judgeTolerance(clusters[0])), clusters
}

// judgeSingle judges a platform without Patroni.
func judgeSingle(scope checks.Scope, vantage string, seen checks.Record) []checks.Finding {
	var out []checks.Finding
	for _, c := range catalogue {
		if c != databases && c != version {
			out = append(out, c.Skip(checks.From(vantage), "", "fewer than two database nodes are known: PostgreSQL runs without Patroni"))
		}
	}
	for s := range logins.In(seen) {
		if said, _ := s.Got(); s.Vantage == vantage && said.Version > 0 {
			out = append(out, judgeServer(scope, s, s.Target.Node, said.Version, 0))
		}
	}
	return out
}

// judgeMember judges whether a node responds and belongs to this cluster.
func (v view) judgeMember(m member) checks.Finding {
	name := m.Node()
	switch reference := v.reference(); {
	case m.Target.Address == "":
		return agreement.WithoutAddress(m, name, name)
	case m.silent() && m.Contact.State != "":
		return agreement.Fail(m, name, "Patroni on %s %s", name, m.Contact).
			Saw(m.Contact.String()).Wanted(fmt.Sprintf("a response on port %d", portPatroni)).
			Fix(checks.On(name)+"systemctl status patroni; journalctl -u patroni -n 50").
			Needing(checks.PingOf(name), checks.PortOf(name, portPatroni, "tcp"))
	case m.silent():
		return agreement.Unseen(m, name)
	case reference.System != "" && m.Status.System != "" && m.Status.System != reference.System:
		return agreement.Fail(m, name, "%s holds a different database from the other nodes", name).
			Saw("system identifier " + m.Status.System).Wanted(reference.System)
	case m.Status.Patroni.Scope != reference.Patroni.Scope:
		return agreement.Fail(m, name, "%s belongs to another cluster", name).
			Saw("scope " + m.Status.Patroni.Scope).Wanted("scope " + reference.Patroni.Scope)
	case len(v.reporting()) > 0 && !v.named(m):
		return agreement.Fail(m, name, "Patroni on %s responds, but the cluster does not list it", name).
			Saw("not among the members").Wanted("a member " + m.name)
	case m.Cluster == nil:
		return agreement.Unknown(m, name, "%s does not report the cluster: %s", name, m.ClusterUnseen).
			Needing(unlocked.On(name))
	}
	return agreement.Pass(m, name, "%s responds as a member of %s", name, m.Status.Patroni.Scope).With("version", "Patroni "+m.Status.Patroni.Version)
}

// reference is the status that the others are compared with: the leader's, or else
// the first.
func (v view) reference() status {
	l, _ := v.leader()
	for _, m := range append([]member{l}, v.Members...) {
		if m.Status != nil {
			return *m.Status
		}
	}
	return status{}
}

func (v view) reporting() []member { return v.those(func(m member) bool { return m.Cluster != nil }) }

// judgeAgreement compares what the members report of each other: who is there and
// who leads. Their positions change all the time.
func (v view) judgeAgreement() checks.Finding {
	reporting := v.reporting()
	if len(reporting) == 0 {
		return v.becauseStoreless(v.Unknown(agreement, "no member reports the cluster"))
	}
	reports := map[string]bool{}
	var lines []string
	for _, m := range reporting {
		names := m.Cluster.names()
		reports[strings.ToLower(strings.Join(names, "\n")+"\n"+m.Cluster.leader())] = true
		lines = append(lines, fmt.Sprintf("%s: %s; leader: %s", m.Node(), list(names), cmp.Or(m.Cluster.leader(), "none")))
	}
	saw, names := strings.Join(lines, "\n"), reporting[0].Cluster.names()
	twice := slices.Compact(cluster.Those(names, func(name string) bool {
		first, _ := slices.BinarySearch(names, name)
		return slices.Contains(names[first+1:], name)
	}))
	strangers := cluster.Those(names, func(name string) bool {
		return !slices.ContainsFunc(v.Members, func(m member) bool { return strings.EqualFold(m.name, name) })
	})
	switch {
	case len(reports) > 1:
		f := agreement.Fail(v.proof, subject, "the members report different clusters").Saw(saw).Wanted("the same from every member")
		if len(v.leading().Yes) > 1 {
			f = f.Needing(leader.On(subject))
		}
		return f
	case len(twice) > 0:
		return agreement.Fail(v.proof, subject, "the cluster lists %s twice", list(twice)).Saw(saw).Wanted("every member once")
	case len(strangers) > 0 && v.scope.Topology.Inventory == nil:
		return v.Unknown(agreement, "without an inventory only a part of the cluster was asked, which also lists %s", list(strangers)).Saw(saw)
	case len(strangers) > 0:
		return agreement.Warn(v.proof, subject, "the cluster has a member that is not in the inventory: %s", list(strangers)).
			Saw(saw).Wanted("only members that are in the inventory").
			Fix(patronictl + "list   # add the node to postgresServers, or stop Patroni there")
	case len(reporting) < len(v.Members):
		return v.becauseStoreless(v.Unknown(agreement, "not every member reports the cluster%s", v.missing()).Saw(saw))
	}
	return agreement.Pass(v.proof, subject, "every member reports the same cluster: %s", list(names))
}

// judgeLeader counts leaders by what members report of themselves: the lock in the
// store may be a dead member's until it expires.
func (v view) judgeLeader() checks.Finding {
	leading, holder := v.leading(), ""
	for _, m := range v.reporting() {
		holder = cmp.Or(holder, m.Cluster.leader())
	}
	names := list(cluster.Nodes(leading.Yes))
	absent := v.those(func(m member) bool { return m.silent() && holder != "" && strings.EqualFold(m.name, holder) })
	switch answer := leading.ExactlyOne(); {
	case len(leading.Yes) > 1:
		return leader.Fail(v.proof, subject, "%s accept writes at the same time: their databases diverge", names).
			Saw(v.roles()).Wanted("one leader").
			Fix(patronictl + "list\nsystemctl stop patroni   # at once, only on the node that should not lead; its own writes are lost if its data is discarded")
	case len(leading.Yes) == 1 && leading.Yes[0].Status != nil && leading.Yes[0].Status.Role == standbyLeader:
		return leader.Fail(v.proof, subject, "%s leads a standby cluster: no node accepts writes", names).
			Saw(v.roles()).Wanted("a leader that accepts writes").
			Fix(checks.On(names) + patronictl + "edit-config   # remove standby_cluster").Stops()
	case answer == cluster.Yes:
		return leader.Pass(v.proof, subject, "%s is the leader%s", names, v.missing()).Saw(v.roles())
	case len(leading.Yes) == 1:
		return v.Unknown(leader, "%s is a leader, but %s may be one as well", names, list(cluster.Nodes(leading.Unseen))).Saw(v.roles())
	case len(absent) > 0:
		return v.Unknown(leader, "%s holds the leader lock but does not respond", holder)
	case len(leading.Unseen) == len(v.Members):
		return v.Unknown(leader, "no member reports whether it is the leader")
	case answer == cluster.Unseen, v.scope.Topology.Inventory == nil: // without which there may be more nodes
		return v.becauseStoreless(v.Unknown(leader, "no database node was seen to be the leader%s", v.missing()).Saw(v.roles()))
	}
	return v.becauseStoreless(leader.Fail(v.proof, subject, "no database node is the leader%s", v.missing()).Saw(v.roles()).Wanted("one leader")).Stops()
}

// roles shows what each member reports of itself.
func (v view) roles() string {
	var lines []string
	for _, m := range v.Members {
		role := "no status"
		switch {
		case m.Status != nil:
			role = fmt.Sprintf("%s, %s, timeline %d", m.Status.Role, m.Status.State, m.Status.Timeline)
		case m.told():
			role = fmt.Sprintf("no status from Patroni, PostgreSQL in recovery: %t", m.sql.Recovery)
		}
		lines = append(lines, m.Node()+": "+role)
	}
	return strings.Join(lines, "\n")
}

// judgePaused trusts any one member: a pause is the whole cluster's.
func (v view) judgePaused() checks.Finding {
	reporting := v.those(func(m member) bool { return m.Status != nil || m.Cluster != nil })
	pausing := cluster.Those(reporting, func(m member) bool { return m.last().Pause || m.Cluster != nil && m.Cluster.Pause })
	switch {
	case len(pausing) > 0:
		return paused.Warn(v.proof, subject, "automatic failover is paused, according to %s", list(cluster.Nodes(pausing))).
			Saw("maintenance mode").Wanted("automatic failover")
	case len(reporting) == 0:
		return v.Unknown(paused, "no member reports whether automatic failover is paused")
	}
	return paused.Pass(v.proof, subject, "automatic failover is enabled%s", v.missing())
}

// judgeUnlocked judges whether a member can reach the store. A free lock in a
// healthy store is a different matter: there is no leader.
func judgeUnlocked(m member) checks.Finding {
	name := m.Node()
	if m.silent() {
		return unlocked.Unknown(m, name, "%s reports nothing about the store", name).Needing(agreement.On(name))
	}
	saw := "this version of Patroni does not report when it last saw the store"
	if age, known := m.storeAge(); known {
		saw = fmt.Sprintf("store last seen %v before the response", age)
	}
	failing := func(format string) checks.Finding {
		return unlocked.Fail(m, name, format, name).Saw(saw).Wanted(fmt.Sprintf("seen within %v, and the lock held", ttl))
	}
	switch {
	case m.lost() && m.Status.Failsafe:
		return failing("%s has lost the store of the leader lock; the members continue in failsafe mode").Needing(checks.LeaderOf("mesh"))
	case m.lost():
		return failing("%s has lost the store of the leader lock").Needing(checks.LeaderOf("mesh"))
	case m.Status.Unlocked, m.Cluster != nil && m.Cluster.leader() == "":
		return failing("no member holds the leader lock, according to %s").Needing(leader.On(subject))
	}
	return unlocked.Pass(m, name, "%s can reach the store and knows who holds the leader lock", name).Saw(saw)
}

// judgeVersion compares with the newest version that another node runs.
func (v view) judgeVersion(m member) checks.Finding {
	name := m.Node()
	own, proof := m.version()
	newest := 0
	for _, other := range v.Members {
		runs, _ := other.version()
		newest = max(newest, runs)
	}
	if own <= 0 {
		return version.Unknown(m, name, "%s does not report its version of PostgreSQL", name).
			Needing(agreement.On(name), replicas.On(name), leader.On(subject))
	}
	return judgeServer(v.scope, proof, name, own, newest)
}

func judgeServer(scope checks.Scope, b checks.Basis, node string, runs, newest int) checks.Finding {
	release := scope.Vantage(node).Release
	saw, want := number(runs), strconv.Itoa(wanted)
	switch {
	case runs/10000 < wanted && !release.Before(platform.R25_6):
		return version.Fail(b, node, "%s runs PostgreSQL %s, but Carbonio %s needs %s", node, saw, release, want).Saw(saw).Wanted(want).
			Fix(checks.On(node) + "pg_lsclusters   # pg_upgradecluster or pg_upgrade to 16, as the release notes describe")
	case runs/10000 > wanted:
		return version.Warn(b, node, "%s runs PostgreSQL %s, which is newer than Carbonio supports", node, saw).Saw(saw).Wanted(want)
	case newest > runs:
		return version.Warn(b, node, "%s runs PostgreSQL %s, another node runs %s", node, saw, number(newest)).Saw(saw).Wanted(number(newest)).
			Fix(checks.On(node) + "apt-get install --only-upgrade postgresql-16   # RHEL: dnf update postgresql16-server\n" + patronictl + "restart carbonio-psql-cluster " + node + onRHEL)
	}
	return version.Pass(b, node, "%s runs PostgreSQL %s", node, saw)
}

// number writes 160004 as 16.4.
func number(version int) string { return fmt.Sprintf("%d.%d", version/10000, version%10000) }

// able says whether a member that was not seen to lead could take over, by what
// was found of its replication.
func (v view) able(m member, replication checks.Finding) cluster.Answer {
	switch {
	case replication.Status == checks.Pass, replication.Status == checks.Warn:
		return cluster.Yes
	case m.silent() && v.named(m) && v.streams(m) == streaming:
		return v.throughLeader(m)
	case replication.Status == checks.Fail, m.silent() && m.Contact.State != "":
		return cluster.No
	}
	return cluster.Unseen
}

// throughLeader is what the leader's own list says of a replica that streams and that
// perhaps only we cannot reach. Where its node was reached, its Patroni is stuck.
func (v view) throughLeader(m member) cluster.Answer {
	l, _ := v.leader()
	if e := l.entry(m.Target); e.Name != "" && e.eligible() && !m.Contact.Reached() {
		return cluster.Yes
	}
	return cluster.Unseen
}

// clusters are for those who conclude. The lock is in the mesh: without it there is
// no failover, however many database nodes work. While it is not known who leads,
// it is not known who could take over either.
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

func (v view) judgeTolerance(c checks.Cluster) checks.Finding {
	leading := v.leading()
	spare, _ := cluster.Spare(c)
	switch answer := cluster.Survives(c, 1); {
	case len(v.those(member.silent)) == len(v.Members):
		return v.Unknown(tolerance, "no member reports its status")
	case len(leading.Yes) != 1:
		return v.Unknown(tolerance, "without exactly one leader it is unknown how many nodes can be lost").Needing(leader.On(subject))
	case answer == cluster.Yes:
		return tolerance.Pass(v.proof, subject, "%d of %d database nodes work: %d more can be lost", len(c.Able), len(c.Members), spare)
	case answer == cluster.Unseen && len(c.Able) == 0:
		return v.Unknown(tolerance, "%s may be a leader as well: it is unknown how many nodes can be lost", list(cluster.Nodes(leading.Unseen))).Needing(leader.On(subject))
	case answer == cluster.Unseen:
		return v.Unknown(tolerance, "only %s was seen to work%s", list(c.Able), v.missing())
	}
	f := tolerance.Fail(v.proof, subject, "PostgreSQL will stop if %s is lost as well", list(c.Able)).
		Saw(fmt.Sprintf("%d of %d database nodes work", len(c.Able), len(c.Members))).Wanted("at least two that work")
	for _, m := range v.Members {
		f = f.Needing(agreement.On(m.Node()), replicas.On(m.Node()))
	}
	return f
}
