package directory

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// judgeAgreements judges which servers a server replicates from.
func (v view) judgeAgreements(m *member) checks.Finding {
	if !m.Replica && len(v.masters()) == 1 {
		return agreements.Skip(v, m.Name, "the platform has one master, which replicates from nobody")
	}
	if m.Config == nil {
		return v.unseen(agreements, m, m.NoConfig)
	}
	var seen []string
	for _, a := range m.Config.Agreements {
		seen = append(seen, fmt.Sprintf("rid %s from %s", a.RID, a.Provider))
	}
	return v.judgeConfig(m).Saw(strings.Join(seen, "\n"))
}

// judgeConfig judges the agreements of a server whose configuration was read.
func (v view) judgeConfig(m *member) checks.Finding {
	others := cluster.Those(v.masters(), func(other *member) bool { return other != m })
	sources := cluster.Those(others, func(other *member) bool { return v.replicates(m, other) })
	missing := cluster.Those(others, func(other *member) bool { return !v.replicates(m, other) })
	twice := m.Config.duplicate()
	foreign := v.foreign(m)
	switch {
	case m.Replica && len(sources) == 0:
		return agreements.Fail(v, m.Name, "%s replicates from no master", m.Name).Wanted("an agreement with a master").
			Fix(on(m.Name, "su - zextras -c /opt/zextras/libexec/zmldapenablereplica"))
	case !m.Replica && len(missing) > 0:
		return agreements.Fail(v, m.Name, "%s does not replicate from %s", m.Name, names(missing)).Wanted("an agreement with each other master").
			Fix(on(m.Name, m.Config.agreeWith(missing)))
	case twice != "":
		return agreements.Fail(v, m.Name, "%s has two agreements with rid %s", m.Name, twice).Wanted("a different rid for each")
	case !m.Replica && !m.Config.Multi:
		return agreements.Fail(v, m.Name, "%s accepts no changes: it replicates, but olcMirrorMode is not set", m.Name).Wanted("olcMirrorMode: TRUE")
	case len(foreign) > 0:
		return agreements.Warn(v, m.Name, "%s replicates from servers that are not other masters of this platform: %s", m.Name, strings.Join(foreign, ", "))
	}
	return agreements.Pass(v, m.Name, "%s replicates from %s", m.Name, names(sources))
}

// replicates says whether a server has an agreement with another one.
func (v view) replicates(m, other *member) bool {
	return slices.ContainsFunc(m.Config.Agreements, func(a agreement) bool { return v.named(a.Provider) == other })
}

// foreign are the providers of a server that are not other masters.
func (v view) foreign(m *member) []string {
	var out []string
	for _, a := range m.Config.Agreements {
		if p := v.named(a.Provider); p == nil || p.Replica || p == m {
			out = append(out, a.Provider)
		}
	}
	return out
}

// duplicate is a rid that is used twice, if any is.
func (c config) duplicate() string {
	for i, a := range c.Agreements {
		if slices.ContainsFunc(c.Agreements[:i], func(b agreement) bool { return a.RID == b.RID }) {
			return a.RID
		}
	}
	return ""
}

// agreeWith makes the commands for agreements with other masters, with rids that
// are not used yet, from 100 as zmldapenable-mmr counts.
func (c config) agreeWith(masters []*member) string {
	var lines []string
	for rid := 100; len(lines) < len(masters); rid++ {
		if !slices.ContainsFunc(c.Agreements, func(a agreement) bool { return a.RID == strconv.Itoa(rid) }) {
			lines = append(lines, fmt.Sprintf("su - zextras -c '/opt/zextras/libexec/zmldapenable-mmr -r %d -m ldap://%s:389/'", rid, masters[len(lines)].Name))
		}
	}
	return strings.Join(lines, "\n")
}

// judgeCSN judges whether a server has every change that any other one had when
// it was first read.
func (v view) judgeCSN(m *member, goal vector) checks.Finding {
	if m.works() != cluster.Yes || !m.readable() {
		return v.unseen(csn, m, m.Last.NoCSN)
	}
	have, all := v.vector(m.Last.CSNs), v.gaps(m, goal)
	lost := cluster.Those(all, func(g gap) bool { return !g.own() })
	hidden := cluster.Those(v.Members, func(other *member) bool { return !other.readable() })
	switch {
	case len(m.Last.CSNs) == 0 && m.User == root:
		return csn.Fail(v, m.Name, "%s does not replicate: it has no contextCSN", m.Name).Saw("no contextCSN").Wanted("a contextCSN for each master")
	case len(m.Last.CSNs) == 0:
		return csn.Unknown(v, m.Name, "%s shows no contextCSN: it does not replicate, or it may not be read", m.Name)
	case len(lost) > 0:
		return v.judgeLag(m, lost, have)
	case len(all) > 0:
		g := all[0]
		return csn.Warn(v, m.Name, "%s has nothing of server ID %s: %s made those changes when it was set up, or they were never replicated", m.Name, number(g.sid), g.from[0].Name).
			Saw(have.String()).Wanted(goal.String()).
			Fix("carbonio-check directory --canary   # writes on each master and checks that it arrives everywhere")
	case len(hidden) > 0:
		return cluster.Because(csn.Unknown(v, m.Name, "%s has every change that was seen; those of %s are unknown", m.Name, names(hidden)), reachable, hidden).
			Saw(have.String())
	case len(goal) == 0:
		return csn.Pass(v, m.Name, "nothing has been written since the masters got their server IDs").Saw(strings.Join(m.Last.CSNs, "\n"))
	}
	return csn.Pass(v, m.Name, "%s has every change that any other server has", m.Name).Saw(have.String())
}

// judgeLag says what a server lacks, and whether another one lacks something of
// what it has.
func (v view) judgeLag(m *member, lost []gap, have vector) checks.Finding {
	message := m.Name + " lacks changes that others have"
	if other := v.divergedFrom(m, lost); other != nil {
		message = fmt.Sprintf("%s and %s have diverged: each lacks changes of the other", m.Name, other.Name)
	}
	if waited := m.Last.At.Sub(m.First.At); waited > 0 {
		message += fmt.Sprintf(", still after %s", waited.Round(100*time.Millisecond))
	}
	var lag []string
	f := csn.Fail(v, m.Name, "%s", message).Saw(have.String()).Wanted(v.goal().String())
	for _, other := range v.Members {
		if words := v.lag(m, other); words != "" {
			lag = append(lag, "to "+other.Name+": "+words)
			f = f.Needing(reachable.On(other.Name))
		}
	}
	if v.cutOff(m, lost) {
		f = f.Needing(monitor.On(m.Name))
	}
	return f.With("lag", strings.Join(lag, "\n")).Needing(serverID.On(m.Name), agreements.On(m.Name)).Fix(on(m.Name, syncreplLog))
}

// cutOff says that a server has no link to one that has what it lacks.
func (v view) cutOff(m *member, lost []gap) bool {
	return slices.ContainsFunc(m.Last.Links, func(l link) bool {
		return !l.Connected && slices.ContainsFunc(lost, func(g gap) bool { return slices.Contains(g.from, v.named(l.Provider)) })
	})
}

// lag is how far a server is behind (-) or ahead (+) of another one, by server
// ID, measured by the clocks of the writers; empty if they agree.
func (v view) lag(m, other *member) string {
	if m == other || !other.readable() {
		return ""
	}
	mine, theirs := v.vector(m.Last.CSNs), v.vector(other.Last.CSNs)
	both := maps.Clone(theirs)
	maps.Copy(both, mine)
	var words []string
	for _, sid := range slices.Sorted(maps.Keys(both)) {
		a, b := mine[sid], theirs[sid]
		switch by := timeOf(a).Sub(timeOf(b)).Round(time.Millisecond); {
		case a == b:
		case a == "":
			words = append(words, "has nothing of server ID "+number(sid))
		case b == "":
			words = append(words, "is the only one with changes of server ID "+number(sid))
		default:
			words = append(words, fmt.Sprintf("%+.3fs for server ID %s", by.Seconds(), number(sid)))
		}
	}
	return strings.Join(words, ", ")
}

// divergedFrom is a server that has what m lacks, and lacks what m has.
func (v view) divergedFrom(m *member, lost []gap) *member {
	for _, g := range lost {
		for _, other := range g.from {
			if len(v.gaps(other, v.vector(m.Last.CSNs))) > 0 {
				return other
			}
		}
	}
	return nil
}

// judgeMonitor judges the links of a server.
func (v view) judgeMonitor(m *member) checks.Finding {
	switch {
	case !m.Replica && len(v.masters()) == 1:
		return monitor.Skip(v, m.Name, "the platform has one master, which replicates from nobody")
	case m.works() != cluster.Yes:
		return v.unseen(monitor, m)
	case m.Last.NoMonitor != checks.Unseen{} || m.User == "":
		return v.unseen(monitor, m, m.NoLogin, m.Last.NoMonitor)
	case len(m.Last.Links) == 0 && m.Config != nil && len(m.Config.Agreements) == 0:
		return monitor.Fail(v, m.Name, "%s has no replication link", m.Name).Needing(agreements.On(m.Name))
	case len(m.Last.Links) == 0:
		return v.unseen(monitor, m, failed("cn=monitor lists no link"))
	}
	return v.judgeLinks(m)
}

// judgeLinks judges the links that cn=monitor lists.
func (v view) judgeLinks(m *member) checks.Finding {
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
	f := monitor.Pass(v, m.Name, "%s is connected to every server it replicates from", m.Name)
	switch {
	case len(down) > 0:
		f = monitor.Fail(v, m.Name, "%s is not connected to %s", m.Name, strings.Join(down, ", ")).Wanted("connected, Persist")
		f = f.Fix(on(m.Name, syncreplLog+"   # wrong password, certificate, or network"))
		for _, provider := range down {
			if p := v.named(provider); p != nil {
				f = f.Needing(reachable.On(p.Name))
			}
		}
	case len(busy) > 0:
		f = monitor.Warn(v, m.Name, "%s is still fetching data from %s", m.Name, strings.Join(busy, ", ")).Wanted("connected, Persist")
	}
	return f.Saw(strings.Join(seen, "\n"))
}

// String is "ldap://srv2:389/ connected, Persist, last contact 2026-11-22 00:48:58".
func (l link) String() string {
	state := "not connected, next try " + dateOf(l.NextConnect)
	if l.Connected {
		state = "connected"
	}
	return fmt.Sprintf("%s %s, %s, last contact %s", l.Provider, state, l.Phase, dateOf(l.LastContact))
}

// dateOf is an LDAP time as people write it. For slapd, year 1 means never.
func dateOf(stamp string) string {
	t, err := time.Parse("20060102150405Z", stamp)
	if err != nil || t.Year() <= 1 {
		return "never"
	}
	return t.Format(time.DateTime)
}
