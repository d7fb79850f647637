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

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	var clusters []checks.Cluster
	for s := range servers.In(seen) {
		f, c := viewOf(scope, s).judge()
		out, clusters = append(out, f...), append(clusters, c...)
	}
	for s := range programs.In(seen) {
		out = append(out, judgeTools(scope, s)...)
	}
	for s := range canaries.In(seen) {
		out = append(out, judgeCanary(s)...)
	}
	return out, clusters
}

var unread = failed("nothing was read")

// A view is what one vantage saw of all servers.
type view struct {
	checks.Sight[ask, snapshot]
	snapshot
}

// viewOf makes a view of a sight. If the look saw nothing, it saw none of the
// servers of the platform.
func viewOf(scope checks.Scope, s checks.Sight[ask, snapshot]) view {
	seen, _ := s.Got()
	seen.Members = slices.DeleteFunc(seen.Members, func(m *member) bool { return m == nil })
	for _, m := range seen.Members {
		m.First, m.Last = cmp.Or(m.First, m.Last), cmp.Or(m.Last, m.First, &reading{NoCSN: unread})
	}
	if len(seen.Members) == 0 {
		why := cmp.Or(s.Unseen(), checks.Unseen{Code: checks.Defective, Words: "the observation lists no server"})
		for _, at := range serversOf(scope.Topology) {
			seen.Members = append(seen.Members, &member{server: at, LDAP: port{Unseen: why}, Last: &reading{NoCSN: unread}})
		}
	}
	return view{s, seen}
}

func (v view) judge() ([]checks.Finding, []checks.Cluster) {
	if len(v.Members) == 0 {
		return nil, nil
	}
	var out []checks.Finding
	for _, m := range v.Members {
		out = append(out, v.judgeReachable(m))
	}
	f, clusters := v.judgeTolerance()
	out = append(out, f)
	if len(v.Members) == 1 {
		for _, c := range []*checks.Check{serverID, agreements, csn, entries, monitor} {
			out = append(out, c.Skip(v, v.Members[0].Name, "the platform has one directory server: nothing is replicated"))
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
	switch {
	case m.LDAP.Unseen != checks.Unseen{} || m.LDAP.Contact.State == "" || m.LDAP.Contact.State == checks.Open && m.First == nil:
		return cluster.Unseen
	case m.LDAP.Contact.State == checks.Open:
		return cluster.Yes
	}
	return cluster.No
}

// judgeReachable judges whether a server responds.
func (v view) judgeReachable(m *member) checks.Finding {
	c := m.LDAP.Contact
	switch {
	case m.LDAP.Unseen.Code == checks.NoAddress:
		return reachable.WithoutAddress(v, m.Name, m.Name)
	case m.works() == cluster.Unseen:
		return reachable.Unknown(v, m.Name, "%s could not be checked: %s", m.Name, m.LDAP.Unseen)
	case c.State == checks.Broken:
		return reachable.Fail(v, m.Name, "%s does not speak LDAP correctly on port 389", m.Name).Saw(c.Words)
	case c.State != checks.Open:
		f := reachable.Fail(v, m.Name, "%s %s", m.Name, c).Saw(cmp.Or(m.NoTLS, string(c.State))).Wanted("LDAP on 389/tcp").
			Needing(checks.PingOf(m.Name), checks.PortOf(m.Name, ldapPort, "tcp")).Fix(on(m.Name, reachable.Remedy))
		if c.State == checks.Mute {
			f = f.Fix(on(m.Name, "systemctl restart carbonio-openldap   # it hangs: out of disk space, or of threads"))
		}
		return f
	case m.NoTLS != "":
		return reachable.Fail(v, m.Name, "%s refuses StartTLS on port 389", m.Name).Saw(m.NoTLS).Wanted("StartTLS, which replication requires")
	}
	return v.judgeCertificate(m)
}

// judgeCertificate judges the certificates of a server that responds.
func (v view) judgeCertificate(m *member) checks.Finding {
	for _, c := range []*checks.Certificate{m.LDAP.Certificate, m.LDAPS.Certificate} {
		if c == nil {
			continue
		}
		fault := m.fault(c, v.At)
		if fault == "" || v.Authorities == 0 && (fault == checks.UntrustedCA || fault == checks.NoCertificate) {
			continue
		}
		f := reachable.Warn(v, m.Name, "other servers may reject the certificate of %s", m.Name)
		if fault == checks.Expired || fault == checks.NotYetValid {
			f = reachable.Fail(v, m.Name, "the certificate of %s is not valid now: replication over TLS stops at the next connection", m.Name).
				Fix(on(m.Name, "su - zextras -c 'zmcertmgr createcrt self -new -days 1825 && zmcertmgr deploycrt self'   # or deploy the renewed commercial certificate"))
		}
		return f.Saw(describe(c, fault)).With("subject", c.Subject).With("issuer", c.Issuer)
	}
	f := reachable.Pass(v, m.Name, "%s responds on port 389 with StartTLS", m.Name)
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

// describe is a fault of a certificate in words.
func describe(c *checks.Certificate, fault checks.Fault) string {
	return map[checks.Fault]string{
		checks.Expired:       "expired on " + c.Until.Format(time.DateOnly),
		checks.NotYetValid:   "not valid before " + c.From.Format(time.DateOnly),
		checks.UntrustedCA:   c.Untrusted,
		checks.OtherName:     "issued for " + cmp.Or(strings.Join(c.Names, ", "), c.Common),
		checks.NoCertificate: "the server sent no certificate",
	}[fault]
}

// unseen is the finding on a server that did not show what a check needs.
func (v view) unseen(c *checks.Check, m *member, reasons ...checks.Unseen) checks.Finding {
	if m.LDAP.Unseen.Code == checks.NoAddress {
		return c.WithoutAddress(v, m.Name, m.Name)
	}
	return c.Unknown(v, m.Name, "could not be read from %s: %s", m.Name, m.reason(reasons...))
}

// reason is why a server did not show something.
func (m *member) reason(reasons ...checks.Unseen) checks.Unseen {
	switch m.works() {
	case cluster.Unseen:
		return m.LDAP.Unseen
	case cluster.No:
		return failed("it does not respond")
	}
	return cmp.Or(cmp.Or(reasons...), unread)
}

// judgeServerID judges whether a master has an ID that no other one has.
func (v view) judgeServerID(m *member) checks.Finding {
	switch {
	case m.Replica:
		return serverID.Skip(v, m.Name, "%s is a replica, which needs no server ID", m.Name)
	case len(v.masters()) == 1:
		return serverID.Skip(v, m.Name, "the platform has one master, which needs no server ID")
	case m.Config == nil:
		return v.unseen(serverID, m, m.NoConfig)
	}
	ids := m.ids()
	if len(ids) != 1 || ids[0] == unowned {
		return serverID.Fail(v, m.Name, "%s has no server ID of its own", m.Name).
			Saw(strings.Join(m.Config.ServerIDs, ", ")).Wanted("one olcServerID, 1 or higher, that no other master has").Fix(v.renumber(m))
	}
	others := cluster.Those(v.masters(), func(other *member) bool { return other != m })
	same := cluster.Ask(others, func(other *member) cluster.Answer {
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
			Saw(number(ids[0])).Wanted("a server ID of its own for each").Fix(v.renumber(later))
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
	return on(m.Name, lines)
}

// syncreplLog shows what a consumer logged about replication.
const syncreplLog = "journalctl -u carbonio-openldap | grep -i syncrepl"

// on is a remedy for a node.
func on(node, commands string) string { return "# on " + node + "\n" + commands }

func names(members []*member) string { return strings.Join(cluster.Nodes(members), ", ") }

// judgeEntries compares how many entries the servers hold.
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
	if len(v.Members) == 1 {
		return tolerance.Skip(v, all, "the platform has one directory server: none to lose"), clusters
	}
	saw := fmt.Sprintf("%d of %d servers respond, %d of %d masters", len(readers.Yes), len(v.Members), len(writers.Yes), len(v.masters()))
	if n := len(readers.Unseen); n > 0 {
		saw += fmt.Sprintf("; %d could not be checked", n)
	}
	f := v.judgeSpare(readers, writers).Saw(saw)
	if len(readers.No) > 0 && f.Status == checks.Fail {
		f = f.Fix(on(names(readers.No), "systemctl restart carbonio-directory-server.target"))
	}
	return cluster.Because(f, reachable, v.Members), clusters
}

func (v view) cluster(service string, members []*member, count cluster.Count[*member]) checks.Cluster {
	return checks.Cluster{
		Check: tolerance, Vantage: v.Vantage, Service: service, Needs: 1,
		Members: cluster.Nodes(members), Able: cluster.Nodes(count.Yes), Unseen: cluster.Nodes(count.Unseen),
	}
}

// judgeSpare judges what is left to read from and to write to.
func (v view) judgeSpare(readers, writers cluster.Count[*member]) checks.Finding {
	masters := len(v.masters())
	two, other := readers.AtLeast(2), writers.AtLeast(min(2, masters))
	switch spare := len(readers.Yes) - 1; {
	case readers.None() == cluster.Yes:
		return tolerance.Fail(v, all, "no directory server responds").Stops()
	case writers.AtLeast(1) == cluster.No:
		return tolerance.Fail(v, all, "no master responds: the directory accepts no changes").Stops()
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
