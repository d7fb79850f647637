package directory

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"carbonio-check/checks"
)

// Judge decides.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	for o, v := range checks.Of[servers](seen, kindServers) {
		v.Members = slices.DeleteFunc(v.Members, func(m *member) bool { return m == nil })
		if len(v.Members) == 0 {
			out = append(out, o.Unseen(cluster, reachableID, serveridID, agreementsID, csnID, entriesID, monitorID, toleranceID)...)
			continue
		}
		out = append(out, judgeServers(o, v)...)
		if !scope.Canary {
			out = append(out, o.Skip(canaryID, cluster, "not tried: --canary writes a small entry on each master, and deletes it again"))
		}
	}
	for o, r := range checks.Of[tools](seen, kindTools) {
		out = append(out, judgeTools(scope, o, r)...)
	}
	for o, c := range checks.Of[canaries](seen, kindCanary) {
		out = append(out, judgeCanary(o, c)...)
	}
	return out
}

// judgeServers judges what one vantage saw of all servers.
func judgeServers(o checks.Observation, v servers) []checks.Finding {
	var out []checks.Finding
	for _, m := range v.Members {
		out = append(out, judgeReachable(o, v, m))
	}
	out = append(out, judgeTolerance(o, v))
	if len(v.Members) == 1 {
		for _, id := range []string{serveridID, agreementsID, csnID, entriesID, monitorID} {
			out = append(out, o.Skip(id, v.Members[0].Node, "the platform has one directory server: there is nothing to replicate"))
		}
		return out
	}
	goal := v.goal()
	for _, m := range v.Members {
		out = append(out, judgeServerID(o, v, m), judgeAgreements(o, v, m), judgeCSN(o, v, m, goal), judgeMonitor(o, v, m))
	}
	return append(out, judgeEntries(o, v))
}

// judgeReachable judges the doors of one server.
func judgeReachable(o checks.Observation, v servers, m *member) checks.Finding {
	fail := func(format string, args ...any) checks.Finding {
		return o.Fail(reachableID, m.Node, format, args...)
	}
	switch m.State {
	case "":
	case closed:
		return m.needsNetwork(fail("%s refuses connections on 389", m.Node).Saw("refused").Wanted("LDAP on 389/tcp"))
	case silent, unreachable:
		return m.needsNetwork(fail("%s cannot be reached on 389", m.Node).Saw(m.State).Wanted("LDAP on 389/tcp"))
	default:
		return m.needsNetwork(o.Unknown(reachableID, m.Node, "%s could not be connected: %s", m.Node, m.State))
	}
	switch {
	case m.Defect != [2]string{}:
		return o.Unknown(reachableID, m.Node, "%s", firstOf(m.Defect[:]...))
	case m.Error == noAnswer:
		return fail("%s accepts connections on 389, and does not answer", m.Node).Saw("no answer in time").Wanted("an answer to LDAP").
			Fix("systemctl restart carbonio-openldap     # on " + m.Node + ": it hangs, for want of disk or of threads")
	case m.Error != "":
		return fail("%s does not speak LDAP as it should on 389", m.Node).Saw(m.Error)
	case m.NoTLS != "":
		return fail("%s refuses StartTLS on 389", m.Node).Saw(m.NoTLS).Wanted("StartTLS: replication demands it")
	}
	return judgeCertificate(o, v, m)
}

// answers says that the server answered a question, whatever the answer.
func (m *member) answers() bool {
	return m.State == "" && m.Error == "" && m.Defect[0] == "" && m.Last != nil
}

// needsNetwork names what would explain that a server is silent.
func (m *member) needsNetwork(f checks.Finding) checks.Finding {
	return f.Needing("network.ping", m.Node).Needing("network.port", m.Node+":389/tcp")
}

// judgeCertificate judges a server that answers by what it shows.
func judgeCertificate(o checks.Observation, v servers, m *member) checks.Finding {
	day := func(c *certificate) string { return c.Until.Format(time.DateOnly) }
	for _, c := range []*certificate{m.StartTLS, m.LDAPS} {
		if c == nil || c.Why == "" || c.Why == authority && v.Authorities == 0 {
			continue
		}
		f := o.Warn(reachableID, m.Node, "the certificate of %s may be refused by the other servers", m.Node).Saw(c.Fault)
		if c.Why == expired || c.Why == early {
			f = o.Fail(reachableID, m.Node, "the certificate of %s does not hold: replication over TLS stops with the next connection", m.Node).
				Saw(c.Fault + ": valid until " + day(c)).
				Fix("su - zextras -c 'zmcertmgr createcrt self -new -days 1825 && zmcertmgr deploycrt self'     # on " + m.Node + "; or deploy the renewed commercial one")
		}
		return f.With("subject", c.Subject).With("issuer", c.Issuer)
	}
	if strings.HasPrefix(m.NoLDAPS, "TLS handshake") {
		return o.Warn(reachableID, m.Node, "%s listens on 636, and does not speak TLS there", m.Node).Saw(m.NoLDAPS)
	}
	f := o.Pass(reachableID, m.Node, "%s answers on 389 with StartTLS", m.Node).With("636", "TLS")
	if m.LDAPS == nil {
		f = f.With("636", m.NoLDAPS+"; Carbonio does not use it") // CCU ldap.sh
	}
	if m.StartTLS != nil {
		f = f.With("certificate", "valid until "+day(m.StartTLS))
	}
	return f
}

// unseen is the finding on a server that did not show what a check needs. The
// runner folds it where the server is not reachable.
func unseen(o checks.Observation, m *member, id, why string) checks.Finding {
	if !m.answers() {
		why = "it does not answer"
	}
	if why == "" {
		why = "nothing was read"
	}
	return o.Unknown(id, m.Node, "could not be seen of %s: %s", m.Node, why)
}

func judgeServerID(o checks.Observation, v servers, m *member) checks.Finding {
	switch {
	case m.Replica:
		return o.Skip(serveridID, m.Node, "%s is a replica: it makes no changes of its own", m.Node)
	case v.masters() == 1:
		return o.Skip(serveridID, m.Node, "there is one master: it needs no server ID")
	case m.Config == nil:
		return unseen(o, m, serveridID, m.NoConfig)
	}
	ids := m.ids()
	if len(ids) != 1 || ids[0] == unowned {
		return o.Fail(serveridID, m.Node, "%s has no server ID of its own", m.Node).
			Saw(strings.Join(m.Config.ServerIDs, ", ")).Wanted("one olcServerID, from 1 on, that no other master has")
	}
	for _, other := range v.Members {
		if other != m && !other.Replica && slices.Contains(other.ids(), ids[0]) {
			return o.Fail(serveridID, m.Node, "%s and %s have the same server ID: they lose each other's changes", m.Node, other.Node).
				Saw(number(ids[0])).Wanted("a server ID for each")
		}
	}
	return o.Pass(serveridID, m.Node, "%s has server ID %s, and no other has", m.Node, number(ids[0]))
}

func judgeAgreements(o checks.Observation, v servers, m *member) checks.Finding {
	if !m.Replica && v.masters() == 1 {
		return o.Skip(agreementsID, m.Node, "there is one master: it replicates from nobody")
	}
	if m.Config == nil {
		return unseen(o, m, agreementsID, m.NoConfig)
	}
	var seen []string
	for _, a := range m.Config.Agreements {
		seen = append(seen, fmt.Sprintf("rid %s from %s", a.RID, a.Provider))
	}
	return v.agrees(o, m).Saw(strings.Join(seen, "\n"))
}

// agrees judges the agreements of a server whose configuration was seen.
func (v servers) agrees(o checks.Observation, m *member) checks.Finding {
	sources, missing := v.sources(m), v.missing(m)
	twice, free := m.Config.rids()
	strange := v.strange(m)
	switch {
	case m.Replica && len(sources) == 0:
		return o.Fail(agreementsID, m.Node, "%s replicates from no master", m.Node).Wanted("an agreement with a master").
			Fix("su - zextras -c /opt/zextras/libexec/zmldapenablereplica     # on " + m.Node)
	case !m.Replica && len(missing) > 0:
		return o.Fail(agreementsID, m.Node, "%s does not replicate from %s", m.Node, names(missing)).Wanted("an agreement with each other master").
			Fix(fmt.Sprintf("su - zextras -c '/opt/zextras/libexec/zmldapenable-mmr -r %d -m ldap://%s:389/'     # on %s", free, missing[0].Node, m.Node))
	case twice != "":
		return o.Fail(agreementsID, m.Node, "%s has two agreements with rid %s", m.Node, twice).Wanted("a rid for each")
	case !m.Replica && !m.Config.Multi:
		return o.Fail(agreementsID, m.Node, "%s takes no changes: it replicates, and olcMirrorMode is not set", m.Node).Wanted("olcMirrorMode: TRUE")
	case len(strange) > 0:
		return o.Warn(agreementsID, m.Node, "%s replicates from what is no other master of this platform: %s", m.Node, strings.Join(strange, ", "))
	}
	return o.Pass(agreementsID, m.Node, "%s replicates from %s", m.Node, names(sources))
}

// missing are the other masters that a server has no agreement with.
func (v servers) missing(m *member) []*member {
	var out []*member
	for _, other := range v.Members {
		if other != m && !other.Replica && !slices.Contains(v.sources(m), other) {
			out = append(out, other)
		}
	}
	return out
}

// strange are the providers of a server that are no other master.
func (v servers) strange(m *member) []string {
	var out []string
	for _, a := range m.Config.Agreements {
		if p := v.named(a.Provider); p == nil || p.Replica || p == m {
			out = append(out, a.Provider)
		}
	}
	return out
}

// rids gives one that stands twice, if any does, and the first that is free,
// from 100 on as CCU ldapenable-mmr.pl counts.
func (c config) rids() (twice string, free int) {
	taken := map[string]bool{}
	for _, a := range c.Agreements {
		if taken[a.RID] {
			twice = a.RID
		}
		taken[a.RID] = true
	}
	for free = 100; taken[strconv.Itoa(free)]; free++ {
	}
	return twice, free
}

// sources are the masters that a server has agreements with, itself left out.
func (v servers) sources(m *member) []*member {
	var out []*member
	for _, a := range m.Config.Agreements {
		if p := v.named(a.Provider); p != nil && p != m && !p.Replica && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	return out
}

func names(members []*member) string {
	var out []string
	for _, m := range members {
		out = append(out, m.Node)
	}
	return strings.Join(out, ", ")
}

// judgeCSN judges whether a server has what any other had when it was asked first.
func judgeCSN(o checks.Observation, v servers, m *member, goal vector) checks.Finding {
	if !m.answers() || !m.readable() {
		why := ""
		if m.Last != nil {
			why = m.Last.NoCSN
		}
		return unseen(o, m, csnID, why)
	}
	if len(goal) == 0 || len(m.Last.CSNs) == 0 {
		return judgeNoCSN(o, m)
	}
	have := vectorOf(m.Last.CSNs, v.masters())
	all, lost := v.gaps(m, goal), []gap{}
	for _, g := range all {
		if !g.own() {
			lost = append(lost, g)
		}
	}
	switch {
	case len(lost) > 0:
		return v.lagging(o, m, lost, have)
	case len(all) > 0:
		g := all[0]
		return o.Warn(csnID, m.Node, "nothing of server ID %s is on %s: %s made it when it was set up, or was never replicated", number(g.sid), m.Node, g.from[0].Node).
			Saw(have.String()).Wanted(goal.String()).
			Fix("carbonio-check directory --canary     # writes on each master, and sees whether it arrives")
	}
	f := o.Pass(csnID, m.Node, "%s has every change that another server has", m.Node).Saw(have.String())
	if n := v.silent(); n > 0 {
		f = f.With("silent", fmt.Sprintf("%d of %d servers", n, len(v.Members)))
	}
	return f
}

// judgeNoCSN judges a server that shows no change under an ID of its masters.
func judgeNoCSN(o checks.Observation, m *member) checks.Finding {
	switch {
	case len(m.Last.CSNs) > 0:
		return o.Pass(csnID, m.Node, "nothing was written since the masters have server IDs").Saw(strings.Join(m.Last.CSNs, "\n"))
	case m.User == root:
		return o.Fail(csnID, m.Node, "%s does not replicate: it counts no changes", m.Node).Saw("no contextCSN").Wanted("a contextCSN for each master")
	}
	return o.Unknown(csnID, m.Node, "%s shows no contextCSN: it does not replicate, or does not let us read it", m.Node)
}

// lagging words what a server lacks, and whether others lack something of it.
func (v servers) lagging(o checks.Observation, m *member, lost []gap, have vector) checks.Finding {
	message := m.Node + " lacks changes that others have"
	if other := v.partedFrom(m, lost); other != nil {
		message = fmt.Sprintf("%s and %s have parted: each lacks changes of the other", m.Node, other.Node)
	}
	if waited := m.Last.At.Sub(m.First.At); waited > 0 {
		message += fmt.Sprintf(", also after %s", waited.Round(100*time.Millisecond))
	}
	var lag []string
	f := o.Fail(csnID, m.Node, "%s", message).Saw(have.String()).Wanted(v.goal().String())
	for _, other := range v.Members {
		if words := v.lag(m, other); words != "" {
			lag = append(lag, "to "+other.Node+": "+words)
			f = f.Needing(reachableID, other.Node)
		}
	}
	if v.cutOff(m, lost) {
		f = f.Needing(monitorID, m.Node)
	}
	return f.With("lag", strings.Join(lag, "\n")).Needing(serveridID, m.Node).Needing(agreementsID, m.Node)
}

// cutOff says that a server's link is down to one that has what it lacks.
func (v servers) cutOff(m *member, lost []gap) bool {
	return slices.ContainsFunc(m.Last.Links, func(l link) bool {
		return !l.Connected && slices.ContainsFunc(lost, func(g gap) bool { return slices.Contains(g.from, v.named(l.Provider)) })
	})
}

// lag words how far a server is behind (-) or ahead (+) of another one, by
// server ID, in the clocks of those who wrote. It is empty where they agree.
func (v servers) lag(m, other *member) string {
	if m == other || !other.readable() {
		return ""
	}
	mine, theirs := vectorOf(m.Last.CSNs, v.masters()), vectorOf(other.Last.CSNs, v.masters())
	both := maps.Clone(theirs)
	maps.Copy(both, mine)
	var words []string
	for _, sid := range slices.Sorted(maps.Keys(both)) {
		a, b := mine[sid], theirs[sid]
		switch by := when(a).Sub(when(b)).Round(time.Millisecond); {
		case a == b:
		case a == "":
			words = append(words, "has nothing of server ID "+number(sid))
		case b == "":
			words = append(words, "has alone what is of server ID "+number(sid))
		default:
			words = append(words, fmt.Sprintf("%+.3fs of server ID %s", by.Seconds(), number(sid)))
		}
	}
	return strings.Join(words, ", ")
}

// partedFrom is a server that has what m lacks, and lacks what m has.
func (v servers) partedFrom(m *member, lost []gap) *member {
	mine := vectorOf(m.Last.CSNs, v.masters())
	for _, g := range lost {
		for _, other := range g.from {
			theirs := vectorOf(other.Last.CSNs, v.masters())
			for sid, csn := range mine {
				if theirs[sid] < csn {
					return other
				}
			}
		}
	}
	return nil
}

// silent counts the servers whose changes were not seen.
func (v servers) silent() int {
	n := 0
	for _, m := range v.Members {
		if !m.readable() {
			n++
		}
	}
	return n
}

// judgeMonitor judges a server's end of each of its links.
func judgeMonitor(o checks.Observation, v servers, m *member) checks.Finding {
	switch {
	case !m.Replica && v.masters() == 1:
		return o.Skip(monitorID, m.Node, "there is one master: it replicates from nobody")
	case !m.answers():
		return unseen(o, m, monitorID, "")
	case m.Last.NoMonitor != "" || m.User == "":
		return unseen(o, m, monitorID, firstOf(m.NoLogin, m.Last.NoMonitor))
	case len(m.Last.Links) == 0 && m.Config != nil && len(m.Config.Agreements) == 0:
		return o.Fail(monitorID, m.Node, "%s has no replication link", m.Node).Needing(agreementsID, m.Node)
	case len(m.Last.Links) == 0:
		return unseen(o, m, monitorID, "cn=monitor names no link")
	}
	return v.linked(o, m)
}

// linked judges the links of a server, as cn=monitor shows them.
func (v servers) linked(o checks.Observation, m *member) checks.Finding {
	var down, busy, seen []string
	for _, l := range m.Last.Links {
		switch {
		case !l.Connected:
			down = append(down, l.Provider)
		case !l.up():
			busy = append(busy, l.Provider)
		}
		seen = append(seen, l.String())
	}
	f := o.Pass(monitorID, m.Node, "%s is connected to every server it replicates from", m.Node)
	switch {
	case len(down) > 0:
		f = o.Fail(monitorID, m.Node, "%s is not connected to %s", m.Node, strings.Join(down, ", ")).Wanted("connected, Persist")
		for _, provider := range down {
			if p := v.named(provider); p != nil {
				f = f.Needing(reachableID, p.Node)
			}
		}
	case len(busy) > 0:
		f = o.Warn(monitorID, m.Node, "%s is still fetching what %s has", m.Node, strings.Join(busy, ", ")).Wanted("connected, Persist")
	}
	return f.Saw(strings.Join(seen, "\n"))
}

// String gives "ldap://srv2:389/ connected, Persist, last contact 2026-11-22 00:48:58".
func (l link) String() string {
	state := "not connected, next try " + moment(l.NextConnect)
	if l.Connected {
		state = "connected"
	}
	return fmt.Sprintf("%s %s, %s, last contact %s", l.Provider, state, l.Phase, moment(l.LastContact))
}

// moment words a time of LDAP. Year 1 is slapd's never.
func moment(stamp string) string {
	t, err := time.Parse("20060102150405Z", stamp)
	if err != nil || t.Year() <= 1 {
		return "never"
	}
	return t.Format(time.DateTime)
}

func firstOf(words ...string) string {
	for _, w := range words {
		if w != "" {
			return w
		}
	}
	return ""
}

// judgeEntries compares how much the servers hold that agree on what was last.
func judgeEntries(o checks.Observation, v servers) checks.Finding {
	var counts []int64
	var seen []string
	var last vector
	why := "fewer than two servers say"
	for _, m := range v.Members {
		if !m.answers() {
			continue
		}
		why = firstOf(m.NoLogin, m.Last.NoMonitor, why)
		if m.Last.Entries == nil || !m.readable() {
			continue
		}
		have := vectorOf(m.Last.CSNs, v.masters())
		if last != nil && !maps.Equal(last, have) {
			return o.Skip(entriesID, cluster, "the servers differ in their last changes, so they may differ in what they hold")
		}
		last = have
		counts = append(counts, *m.Last.Entries)
		seen = append(seen, fmt.Sprintf("%d on %s", *m.Last.Entries, m.Node))
	}
	f := o.Pass(entriesID, cluster, "%d of %d servers were counted, and hold the same number of entries", len(counts), len(v.Members))
	switch {
	case len(counts) < 2:
		f = o.Unknown(entriesID, cluster, "how many entries each server holds could not be seen: %s", why)
	case slices.Max(counts)-slices.Min(counts) > glue:
		f = o.Fail(entriesID, cluster, "the servers agree on their last changes, and do not hold the same").Wanted("the same number of entries")
	}
	if len(seen) > 0 {
		f = f.Saw(strings.Join(seen, "\n"))
	}
	for _, m := range v.Members {
		f = f.Needing(reachableID, m.Node).Needing(serveridID, m.Node)
	}
	return f
}

// judgeTolerance counts who is left. One server is enough to read, one master
// to write.
func judgeTolerance(o checks.Observation, v servers) checks.Finding {
	reads, writes := checks.Tolerance{Service: "directory", Needs: 1}, checks.Tolerance{Service: "directory writes", Needs: 1}
	count := func(t *checks.Tolerance, m *member) {
		t.Members = append(t.Members, m.Node)
		if m.answers() {
			t.Alive = append(t.Alive, m.Node)
		}
	}
	for _, m := range v.Members {
		count(&reads, m)
		if !m.Replica {
			count(&writes, m)
		}
	}
	f := tolerates(o, reads, writes)
	for _, m := range v.Members {
		f = f.Needing(reachableID, m.Node)
	}
	f.Tolerance = []checks.Tolerance{reads}
	if len(writes.Members) < len(reads.Members) {
		f.Tolerance = append(f.Tolerance, writes)
	}
	return f
}

func tolerates(o checks.Observation, reads, writes checks.Tolerance) checks.Finding {
	all, alive, masters := len(reads.Members), len(reads.Alive), len(writes.Alive)
	var f checks.Finding
	switch {
	case all == 1:
		return o.Skip(toleranceID, cluster, "the platform has one directory server: it can lose none")
	case alive == 0:
		f = o.Fail(toleranceID, cluster, "no directory server answers")
	case masters == 0:
		f = o.Fail(toleranceID, cluster, "no master answers: the directory takes no changes")
	case alive == 1:
		f = o.Fail(toleranceID, cluster, "one directory server is left: losing it as well stops everything")
	case masters == 1 && len(writes.Members) > 1:
		f = o.Fail(toleranceID, cluster, "one master is left: losing it as well stops all changes; what is there can still be read")
	case masters == 1:
		f = o.Pass(toleranceID, cluster, "%d of %d servers may be lost; without the only master nothing can be changed", alive-1, all)
	default:
		f = o.Pass(toleranceID, cluster, "%d of %d servers may be lost; changes need one of %d masters", alive-1, all, masters)
	}
	return f.Saw(fmt.Sprintf("%d of %d servers answer, %d of %d masters", alive, all, masters, len(writes.Members)))
}
