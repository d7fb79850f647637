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

// viewOf makes a view of a sight. Where that shows nothing, none of the servers
// was seen.
func viewOf(scope checks.Scope, s checks.Sight[ask, snapshot]) view {
	seen, _ := s.Got()
	seen.Members = slices.DeleteFunc(seen.Members, func(m *member) bool { return m == nil })
	for _, m := range seen.Members {
		m.First, m.Last = cmp.Or(m.First, m.Last), cmp.Or(m.Last, m.First, &reading{NoCSN: unread})
	}
	if len(seen.Members) == 0 {
		why := cmp.Or(s.Unseen(), checks.Unseen{Code: checks.Defective, Words: "the observation names no server"})
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
			out = append(out, c.Skip(v, v.Members[0].Name, "the platform has one directory server: there is nothing to replicate"))
		}
		return out, clusters
	}
	goal := v.goal()
	for _, m := range v.Members {
		out = append(out, v.judgeServerID(m), v.judgeAgreements(m), v.judgeCSN(m, goal), v.judgeMonitor(m))
	}
	return append(out, v.judgeEntries()), clusters
}

// works says whether the server answered a question, whatever the answer.
func (m *member) works() cluster.Answer {
	switch {
	case m.LDAP.Unseen != checks.Unseen{} || m.LDAP.Contact.State == "" || m.LDAP.Contact.State == checks.Open && m.First == nil:
		return cluster.Unseen
	case m.LDAP.Contact.State == checks.Open:
		return cluster.Yes
	}
	return cluster.No
}

// judgeReachable judges the ports of one server.
func (v view) judgeReachable(m *member) checks.Finding {
	c := m.LDAP.Contact
	switch {
	case m.LDAP.Unseen.Code == checks.NoAddress:
		return reachable.WithoutAddress(v, m.Name, m.Name)
	case m.works() == cluster.Unseen:
		return reachable.Unknown(v, m.Name, "%s could not be asked: %s", m.Name, m.LDAP.Unseen)
	case c.State == checks.Broken:
		return reachable.Fail(v, m.Name, "%s does not speak LDAP as it should on 389", m.Name).Saw(c.Words)
	case c.State != checks.Open:
		f := reachable.Fail(v, m.Name, "%s %s", m.Name, c).Saw(cmp.Or(m.NoTLS, string(c.State))).Wanted("LDAP on 389/tcp").
			Needing(checks.PingOf(m.Name), checks.PortOf(m.Name, ldapPort, "tcp"))
		if c.State == checks.Mute {
			f = f.Fix("systemctl restart carbonio-openldap     # on " + m.Name + ": it hangs, for want of disk or of threads")
		}
		return f
	case m.NoTLS != "":
		return reachable.Fail(v, m.Name, "%s refuses StartTLS on 389", m.Name).Saw(m.NoTLS).Wanted("StartTLS: replication demands it")
	}
	return v.judgeCertificate(m)
}

// judgeCertificate judges a server that answers by what it shows.
func (v view) judgeCertificate(m *member) checks.Finding {
	for _, c := range []*checks.Certificate{m.LDAP.Certificate, m.LDAPS.Certificate} {
		if c == nil {
			continue
		}
		fault := m.fault(c, v.At)
		if fault == "" || v.Authorities == 0 && (fault == checks.UntrustedCA || fault == checks.NoCertificate) {
			continue
		}
		f := reachable.Warn(v, m.Name, "the certificate of %s may be refused by the other servers", m.Name)
		if fault == checks.Expired || fault == checks.NotYetValid {
			f = reachable.Fail(v, m.Name, "the certificate of %s does not hold: replication over TLS stops with the next connection", m.Name).
				Fix("su - zextras -c 'zmcertmgr createcrt self -new -days 1825 && zmcertmgr deploycrt self'     # on " + m.Name + "; or deploy the renewed commercial one")
		}
		return f.Saw(words(c, fault)).With("subject", c.Subject).With("issuer", c.Issuer)
	}
	f := reachable.Pass(v, m.Name, "%s answers on 389 with StartTLS", m.Name)
	if m.LDAP.Certificate != nil {
		f = f.With("certificate", "valid until "+m.LDAP.Certificate.Until.Format(time.DateOnly))
	}
	const unused = "; Carbonio does not use it" // unless ldap_url says so
	switch tls := m.LDAPS; {
	case tls.Unseen != checks.Unseen{}:
		return f.With("636", tls.Unseen.String()+unused)
	case tls.Contact.State == checks.HungUp || tls.Contact.State == checks.Broken:
		return reachable.Warn(v, m.Name, "%s listens on 636, and does not speak TLS there", m.Name).Saw(tls.Contact.String())
	case tls.Certificate == nil:
		return f.With("636", tls.Contact.String()+unused)
	}
	return f.With("636", "TLS")
}

// words words a fault of a certificate.
func words(c *checks.Certificate, fault checks.Fault) string {
	return map[checks.Fault]string{
		checks.Expired:       "expired on " + c.Until.Format(time.DateOnly),
		checks.NotYetValid:   "valid from " + c.From.Format(time.DateOnly),
		checks.UntrustedCA:   c.Untrusted,
		checks.OtherName:     "it is for " + cmp.Or(strings.Join(c.Names, ", "), c.Common),
		checks.NoCertificate: "the server shows no certificate",
	}[fault]
}

// unseen is the finding on a server that did not show what a check needs. The
// runner folds it where the server is not reachable.
func (v view) unseen(c *checks.Check, m *member, reasons ...checks.Unseen) checks.Finding {
	return c.Unknown(v, m.Name, "could not be seen of %s: %s", m.Name, m.hidden(reasons...))
}

// hidden is why a server did not show something.
func (m *member) hidden(reasons ...checks.Unseen) checks.Unseen {
	switch m.works() {
	case cluster.Unseen:
		return m.LDAP.Unseen
	case cluster.No:
		return failed("it does not answer")
	}
	return cmp.Or(cmp.Or(reasons...), unread)
}

// judgeServerID judges whether a master has an ID that no other one has.
func (v view) judgeServerID(m *member) checks.Finding {
	switch {
	case m.Replica:
		return serverID.Skip(v, m.Name, "%s is a replica: it makes no changes of its own", m.Name)
	case len(v.masters()) == 1:
		return serverID.Skip(v, m.Name, "there is one master: it needs no server ID")
	case m.Config == nil:
		return v.unseen(serverID, m, m.NoConfig)
	}
	ids := m.ids()
	if len(ids) != 1 || ids[0] == unowned {
		return serverID.Fail(v, m.Name, "%s has no server ID of its own", m.Name).
			Saw(strings.Join(m.Config.ServerIDs, ", ")).Wanted("one olcServerID, from 1 on, that no other master has")
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
		return serverID.Fail(v, m.Name, "%s and %s have the same server ID: they lose each other's changes", m.Name, same.Yes[0].Name).
			Saw(number(ids[0])).Wanted("a server ID for each")
	case cluster.Unseen:
		return cluster.Because(serverID.Unknown(v, m.Name, "%s has server ID %s; whether another has it could not be seen of %s", m.Name, number(ids[0]), names(same.Unseen)), reachable, same.Unseen)
	}
	return serverID.Pass(v, m.Name, "%s has server ID %s, and no other has", m.Name, number(ids[0]))
}

func names(members []*member) string { return strings.Join(cluster.Nodes(members), ", ") }

// judgeEntries compares how much the servers hold that agree on what was last.
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
		if !maps.Equal(v.vector(m.Last), v.vector(count.Yes[0].Last)) {
			return entries.Skip(v, all, "the servers differ in their last changes, so they may differ in what they hold")
		}
		counts = append(counts, *m.Last.Entries)
		seen = append(seen, fmt.Sprintf("%d on %s", *m.Last.Entries, m.Name))
	}
	f := entries.Pass(v, all, "%d of %d servers were counted, and hold the same number of entries", len(counts), len(v.Members))
	switch {
	case len(counts) > 0 && slices.Max(counts)-slices.Min(counts) > glue:
		f = entries.Fail(v, all, "the servers agree on their last changes, and do not hold the same").Wanted("the same number of entries")
	case len(count.Unseen) > 0:
		m := count.Unseen[0]
		f = entries.Unknown(v, all, "the entries of %s could not be counted: %s", m.Name, m.hidden(m.NoLogin, m.Last.NoMonitor, m.Last.NoCSN))
	}
	if len(seen) > 0 {
		f = f.Saw(strings.Join(seen, "\n"))
	}
	for _, m := range v.Members {
		f = f.Needing(reachable.On(m.Name), serverID.On(m.Name))
	}
	return f
}

// judgeTolerance counts who is left. One server is enough to read, one master
// to write.
func (v view) judgeTolerance() (checks.Finding, []checks.Cluster) {
	readers, writers := cluster.Ask(v.Members, (*member).works), cluster.Ask(v.masters(), (*member).works)
	clusters := []checks.Cluster{v.cluster("directory", v.Members, readers)}
	if len(v.masters()) < len(v.Members) {
		clusters = append(clusters, v.cluster("directory writes", v.masters(), writers))
	}
	if len(v.Members) == 1 {
		return tolerance.Skip(v, all, "the platform has one directory server: it can lose none"), clusters
	}
	saw := fmt.Sprintf("%d of %d servers answer, %d of %d masters", len(readers.Yes), len(v.Members), len(writers.Yes), len(v.masters()))
	if n := len(readers.Unseen); n > 0 {
		saw += fmt.Sprintf("; %d could not be asked", n)
	}
	return cluster.Because(v.spares(readers, writers).Saw(saw), reachable, v.Members), clusters
}

func (v view) cluster(service string, members []*member, count cluster.Count[*member]) checks.Cluster {
	return checks.Cluster{
		Check: tolerance, Vantage: v.Vantage, Service: service, Needs: 1,
		Members: cluster.Nodes(members), Able: cluster.Nodes(count.Yes), Unseen: cluster.Nodes(count.Unseen),
	}
}

// spares judges who is left to read from, and to write on.
func (v view) spares(readers, writers cluster.Count[*member]) checks.Finding {
	masters := len(v.masters())
	two, other := readers.AtLeast(2), writers.AtLeast(min(2, masters))
	switch spare := len(readers.Yes) - 1; {
	case readers.None() == cluster.Yes:
		return tolerance.Fail(v, all, "no directory server answers").Stops()
	case writers.AtLeast(1) == cluster.No:
		return tolerance.Fail(v, all, "no master answers: the directory takes no changes").Stops()
	case two == cluster.No:
		return tolerance.Fail(v, all, "one directory server is left: losing it as well stops everything")
	case other == cluster.No:
		return tolerance.Fail(v, all, "one master is left: losing it as well stops all changes; what is there can still be read")
	case two == cluster.Unseen || other == cluster.Unseen:
		return tolerance.Unknown(v, all, "not every server could be asked: %s", names(readers.Unseen))
	case masters == 1:
		return tolerance.Pass(v, all, "%d of %d servers may be lost; without the only master nothing can be changed", spare, len(v.Members))
	default:
		return tolerance.Pass(v, all, "%d of %d servers may be lost; changes need one of %d masters", spare, len(v.Members), len(writers.Yes))
	}
}
