package directory

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	var clusters []checks.Cluster
	var views []view
	var everywhere []*member
	for s := range servers.In(seen) {
		v := viewOf(scope, s)
		views, everywhere = append(views, v), append(everywhere, v.Members...)
	}
	for _, v := range views {
		v.everywhere = everywhere
		f, c := v.judge()
		out, clusters = append(out, f...), append(clusters, c...)
	}
	for s := range programs.In(seen) {
		out = append(out, judgeTools(scope, s)...)
	}
	for s := range canaries.In(seen) {
		out = append(out, judgeCanary(scope, s)...)
	}
	return out, clusters
}

var unread = failed("nothing was read")

// A view is what one vantage saw of all servers.
type view struct {
	checks.Sight[ask, snapshot]
	snapshot
	// inventory says whether there is one. Without it the members are those that
	// happen to be known, as a rule one: they are not the whole directory.
	inventory bool
	// everywhere are the servers as each vantage sees them, this one too.
	everywhere []*member
}

// unlisted is the finding where what is known may be a part of the directory.
func unlisted(c *checks.Check, b checks.Basis, target string) checks.Finding {
	return c.Unknown(b, target, "without an inventory it is unknown which nodes run a directory server")
}

// viewOf makes a view of a sight. If the look saw nothing, it saw none of the
// servers of the platform.
func viewOf(scope checks.Scope, s checks.Sight[ask, snapshot]) view {
	seen, _ := s.Got()
	seen.Members = slices.DeleteFunc(seen.Members, func(m *member) bool { return m == nil })
	if len(seen.Members) == 0 {
		seen.Members = membersOf(serversOf(scope.Topology))
		for _, m := range seen.Members {
			m.LDAP.Unseen = cmp.Or(s.Unseen(), checks.Unseen{Code: checks.Defective, Words: "the observation lists no server"})
		}
	}
	for _, m := range seen.Members {
		if state := m.LDAP.Contact.State; state == "" || state == checks.Open && m.First == nil {
			m.LDAP.Unseen = cmp.Or(m.LDAP.Unseen, unread)
		}
		m.First, m.Last = cmp.Or(m.First, m.Last), cmp.Or(m.Last, m.First, &reading{NoCSN: unread})
	}
	return view{Sight: s, snapshot: seen, inventory: scope.Topology.Inventory != nil}
}

func (v view) judge() (out []checks.Finding, clusters []checks.Cluster) {
	if len(v.Members) == 0 {
		return nil, nil
	}
	for _, m := range v.Members {
		out = append(out, v.judgeReachable(m))
	}
	f, clusters := v.judgeTolerance()
	out = append(out, f)
	switch m := v.Members[0]; {
	case len(v.Members) == 1 && !v.inventory:
		for _, c := range []*checks.Check{serverID, agreements, csn, entries} {
			out = append(out, unlisted(c, v, m.Name))
		}
		return append(out, v.judgeMonitor(m)), clusters // its links show what it replicates from
	case len(v.Members) == 1:
		for _, c := range []*checks.Check{serverID, agreements, csn, entries, monitor} {
			out = append(out, c.Skip(v, m.Name, "the platform has only one directory server: nothing is replicated"))
		}
		return out, clusters
	}
	goal := v.goal()
	for _, m := range v.Members {
		out = append(out, v.judgeServerID(m), v.judgeAgreements(m), v.judgeCSN(m, goal), v.judgeMonitor(m))
	}
	return append(out, v.judgeEntries()), clusters
}

// works says whether the server responded to a request, in whatever way.
func (m *member) works() cluster.Answer {
	if m.LDAP.Unseen != (checks.Unseen{}) {
		return cluster.Unseen
	}
	return cluster.Is(m.LDAP.Contact.State == checks.Open)
}

func (v view) judgeReachable(m *member) checks.Finding {
	c := m.LDAP.Contact
	switch {
	case m.works() == cluster.Unseen:
		return v.unseen(reachable, m)
	case c.State == checks.Broken:
		return reachable.Fail(v, m.Name, "%s does not speak LDAP correctly on port 389", m.Name).Saw(c.Words)
	case c.State != checks.Open:
		remedy := reachable.Remedy
		if c.State == checks.Mute {
			remedy = "systemctl restart carbonio-openldap   # it hangs: no disk space, or no threads left"
		}
		return reachable.Fail(v, m.Name, "%s %s", m.Name, c).Saw(cmp.Or(m.NoTLS, string(c.State))).Wanted("LDAP on 389/tcp").
			Needing(checks.PingOf(m.Name), checks.PortOf(m.Name, ldapPort, "tcp")).Fix(checks.On(m.Name) + remedy)
	case m.NoTLS != "":
		return reachable.Fail(v, m.Name, "%s refuses StartTLS on port 389", m.Name).Saw(m.NoTLS).Wanted("StartTLS, which replication requires")
	}
	return v.judgeCertificate(m)
}

func (v view) judgeCertificate(m *member) checks.Finding {
	for _, c := range []*checks.Certificate{m.LDAP.Certificate, m.LDAPS.Certificate} {
		fault := m.fault(c, v.At)
		if fault == "" || v.Authorities == 0 && (fault == checks.UntrustedCA || fault == checks.NoCertificate) {
			continue
		}
		f := reachable.Warn(v, m.Name, "other servers may reject the certificate of %s", m.Name)
		if fault == checks.Expired || fault == checks.NotYetValid {
			f = reachable.Fail(v, m.Name, "the certificate of %s is not valid now: replication over TLS stops at the next connection", m.Name).
				Fix(checks.On(m.Name) + "su - zextras -c 'zmcertmgr createcrt self -new -days 1825 && zmcertmgr deploycrt self'   # or deploy the renewed commercial certificate")
		}
		if fault == checks.OtherName {
			f = f.With("names", cmp.Or(strings.Join(c.Names, ", "), c.Common))
		}
		return f.Saw(c.Words(v.At, m.Name)).With("subject", c.Subject).With("issuer", c.Issuer)
	}
	f := reachable.Pass(v, m.Name, "%s responds on port 389 and offers StartTLS", m.Name)
	if m.LDAP.Certificate != nil {
		f = f.With("certificate", "valid until "+m.LDAP.Certificate.Until.Format(time.DateOnly))
	}
	const unused = "; Carbonio does not use it" // unless ldap_url says so
	switch tls := m.LDAPS; {
	case tls.Unseen != checks.Unseen{}:
		return f.With("636", tls.Unseen.String()+unused)
	case tls.Contact.State == checks.HungUp || tls.Contact.State == checks.Broken:
		return reachable.Warn(v, m.Name, "%s listens on port 636 but does not speak TLS there", m.Name).Saw(tls.Contact.String())
	case tls.Certificate == nil:
		return f.With("636", tls.Contact.String()+unused)
	}
	return f.With("636", "TLS")
}

// unseen is the finding on a server that did not show what a check needs.
func (v view) unseen(c *checks.Check, m *member, reasons ...checks.Unseen) checks.Finding {
	if m.LDAP.Unseen.Code == checks.NoAddress {
		return c.WithoutAddress(v, m.Name, m.Name)
	}
	return c.Unknown(v, m.Name, "could not be seen: %s", m.reason(reasons...))
}

func (m *member) reason(reasons ...checks.Unseen) checks.Unseen {
	return cmp.Or(m.closed(), cmp.Or(reasons...), unread)
}

func (v view) judgeServerID(m *member) checks.Finding {
	switch {
	case m.Replica:
		return serverID.Skip(v, m.Name, "%s is a replica, which needs no server ID", m.Name)
	case len(v.masters()) == 1 && !v.inventory:
		return unlisted(serverID, v, m.Name)
	case len(v.masters()) == 1:
		return serverID.Skip(v, m.Name, "the platform has only one master, which needs no server ID")
	case m.Config == nil:
		return v.unseen(serverID, m, m.NoConfig)
	}
	ids := m.ids()
	if len(ids) != 1 || ids[0] == unowned {
		return serverID.Fail(v, m.Name, "%s has no valid server ID", m.Name).
			Saw(strings.Join(m.Config.ServerIDs, ", ")).Wanted("one olcServerID, 1 or higher, that no other master has").Fix(v.renumber(m))
	}
	same := cluster.Ask(v.othersThan(m), func(other *member) cluster.Answer {
		if other.Config == nil {
			return cluster.Unseen
		}
		return cluster.Is(slices.Contains(other.ids(), ids[0]))
	})
	switch same.None() {
	case cluster.No:
		later := m // the first that has the ID keeps it
		if slices.Index(v.Members, m) < slices.Index(v.Members, same.Yes[0]) {
			later = same.Yes[0]
		}
		return serverID.Fail(v, m.Name, "%s and %s have the same server ID: each loses changes of the other", m.Name, same.Yes[0].Name).
			Saw(number(ids[0])).Wanted("a different server ID for each").Fix(v.renumber(later))
	case cluster.Unseen:
		return cluster.Because(serverID.Unknown(v, m.Name, "%s has server ID %s; that of %s is unknown", m.Name, number(ids[0]), names(same.Unseen)), reachable, same.Unseen)
	}
	return serverID.Pass(v, m.Name, "%s has server ID %s, and no other master has it", m.Name, number(ids[0]))
}

// renumber makes the commands that give a master an ID that no other one has or
// is given, as far as their IDs are known.
func (v view) renumber(m *member) string {
	id := slices.Index(v.Members, m) + 1
	for slices.ContainsFunc(v.Members, func(o *member) bool { return slices.Contains(o.ids(), fmt.Sprintf("%03x", id)) }) {
		id += len(v.Members)
	}
	lines := fmt.Sprintf("ldapmodify -x -ZZ -H ldap://%s -D cn=config -W <<EOF\ndn: cn=config\nchangetype: modify\nreplace: olcServerID\nolcServerID: %d\nEOF\n", m.Name, id) +
		"# then reload it from another master: what it did not fetch is still missing"
	if hidden := cluster.Those(v.masters(), func(o *member) bool { return o.Config == nil }); len(hidden) > 0 {
		lines = fmt.Sprintf("# make sure first that %s does not have ID %d\n", names(hidden), id) + lines
	}
	return checks.On(m.Name) + lines
}

const syncreplLog = "journalctl -u carbonio-openldap | grep -i syncrepl"

// onEach is a command for each of several nodes.
func onEach[M cluster.Member](members []M, command string) string {
	var lines []string
	for _, m := range members {
		lines = append(lines, checks.On(m.Node())+command)
	}
	return strings.Join(lines, "\n")
}

func names[M cluster.Member](members []M) string { return strings.Join(cluster.Nodes(members), ", ") }

func (v view) judgeEntries() checks.Finding {
	count := cluster.Ask(v.Members, func(m *member) cluster.Answer {
		if m.works() == cluster.Yes && m.readable() && m.Last.Entries != nil {
			return cluster.Yes
		}
		return cluster.Unseen
	})
	var counts []int64
	var seen []string
	for _, m := range count.Yes {
		if !maps.Equal(v.vector(m.Last.CSNs), v.vector(count.Yes[0].Last.CSNs)) {
			return entries.Skip(v, all, "the servers differ in their last changes, so their numbers of entries may differ too")
		}
		counts = append(counts, *m.Last.Entries)
		seen = append(seen, fmt.Sprintf("%d on %s", *m.Last.Entries, m.Name))
	}
	f := entries.Pass(v, all, "all %d servers hold the same number of entries", len(v.Members))
	switch {
	case len(counts) > 0 && slices.Max(counts)-slices.Min(counts) > glue:
		f = entries.Fail(v, all, "the servers agree on their last changes but hold different numbers of entries").Wanted("the same number of entries")
	case len(count.Unseen) > 0:
		m := count.Unseen[0]
		f = entries.Unknown(v, all, "the entries of %s could not be counted: %s", m.Name, m.reason(m.NoLogin, m.Last.NoMonitor, m.Last.NoCSN))
	}
	if len(seen) > 0 {
		f = f.Saw(strings.Join(seen, "\n"))
	}
	for _, m := range v.Members {
		f = f.Needing(reachable.On(m.Name), serverID.On(m.Name))
	}
	return f
}

// judgeTolerance judges whether another server can be lost. One server is enough
// to read, one master to write.
func (v view) judgeTolerance() (checks.Finding, []checks.Cluster) {
	readers, writers := cluster.Ask(v.Members, (*member).works), cluster.Ask(v.masters(), (*member).works)
	clusters := []checks.Cluster{v.cluster("directory", v.Members, readers)}
	if len(v.masters()) < len(v.Members) {
		clusters = append(clusters, v.cluster("directory writes", v.masters(), writers))
	}
	if !v.inventory {
		clusters = nil // of a part nothing is concluded
	}
	switch {
	case len(v.Members) == 1 && !v.inventory:
		return unlisted(tolerance, v, all), nil
	case len(v.Members) == 1:
		return tolerance.Skip(v, all, "there is only one directory server: none can be lost"), clusters
	}
	saw := fmt.Sprintf("%d of %d servers respond, %d of %d masters", len(readers.Yes), len(v.Members), len(writers.Yes), len(v.masters()))
	if n := len(readers.Unseen); n > 0 {
		saw += fmt.Sprintf("; %d could not be checked", n)
	}
	f := v.judgeSpare(readers, writers).Saw(saw)
	if len(readers.No) > 0 && f.Status == checks.Fail {
		f = f.Fix(onEach(readers.No, "systemctl restart carbonio-directory-server.target"))
	}
	return cluster.Because(f, reachable, v.Members), clusters
}

func (v view) cluster(service string, members []*member, count cluster.Count[*member]) checks.Cluster {
	return checks.Cluster{
		Check: tolerance, Vantage: v.Vantage, Service: service, Needs: 1,
		Members: cluster.Nodes(members), Able: cluster.Nodes(count.Yes), Unseen: cluster.Nodes(count.Unseen),
	}
}

// judgeSpare judges what is left to read from and to write to. Two that work are
// enough without an inventory as well; of fewer it is unknown who else there is.
func (v view) judgeSpare(readers, writers cluster.Count[*member]) checks.Finding {
	masters := len(v.masters())
	two, other := readers.AtLeast(2), writers.AtLeast(min(2, masters))
	switch spare := len(readers.Yes) - 1; {
	case !v.inventory && (two == cluster.No || writers.AtLeast(2) == cluster.No):
		return unlisted(tolerance, v, all)
	case readers.None() == cluster.Yes:
		return v.stops(tolerance.Fail(v, all, "no directory server responds"), func(*member) bool { return true })
	case writers.AtLeast(1) == cluster.No:
		return v.stops(tolerance.Fail(v, all, "no master responds: the directory accepts no changes"), (*member).master)
	case two == cluster.No:
		return tolerance.Fail(v, all, "only one directory server is left: losing it stops everything")
	case other == cluster.No:
		return tolerance.Fail(v, all, "only one master is left: without it the directory can only be read")
	case two == cluster.Unseen || other == cluster.Unseen:
		return tolerance.Unknown(v, all, "not every server could be checked: %s", names(readers.Unseen))
	case masters == 1:
		return tolerance.Pass(v, all, "%d of %d servers can be lost; without the only master the directory can only be read", spare, len(v.Members))
	default:
		return tolerance.Pass(v, all, "%d of %d servers can be lost; changes need one of %d masters", spare, len(v.Members), len(writers.Yes))
	}
}

// stops marks a finding that none of some servers responds here, unless another
// vantage sees one of them at work.
func (v view) stops(f checks.Finding, of func(*member) bool) checks.Finding {
	if slices.ContainsFunc(v.everywhere, func(m *member) bool { return of(m) && m.works() == cluster.Yes }) {
		return f
	}
	return f.Stops()
}
