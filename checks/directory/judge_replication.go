package directory

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

func (v view) judgeAgreements(m *member) checks.Finding {
	switch {
	case v.alone(m) && !v.inventory:
		return unlisted(agreements, v, m.Name)
	case v.alone(m):
		return agreements.Skip(v, m.Name, "the platform has only one master: it replicates from no other")
	case m.Config == nil:
		return v.unseen(agreements, m, m.NoConfig)
	}
	others := v.othersThan(m)
	var seen, foreign []string
	for _, a := range m.Config.Agreements {
		seen = append(seen, fmt.Sprintf("rid %s from %s", a.RID, a.Provider))
		if !slices.Contains(others, v.named(a.Provider)) {
			foreign = append(foreign, a.Provider)
		}
	}
	return v.judgeConfig(m, others, foreign).Saw(strings.Join(seen, "\n"))
}

// judgeConfig judges the agreements of a server with the other masters, and with
// those that are none.
func (v view) judgeConfig(m *member, others []*member, foreign []string) checks.Finding {
	sources := cluster.Those(others, func(other *member) bool { return v.replicates(m, other) })
	missing := cluster.Those(others, func(other *member) bool { return !v.replicates(m, other) })
	twice := m.Config.duplicate()
	switch {
	case m.Replica && len(sources) == 0 && len(foreign) > 0 && !v.inventory:
		return unlisted(agreements, v, m.Name)
	case m.Replica && len(sources) == 0:
		return agreements.Fail(v, m.Name, "%s replicates from no master", m.Name).Wanted("an agreement with a master").
			Fix(checks.On(m.Name) + "su - zextras -c /opt/zextras/libexec/zmldapenablereplica")
	case !m.Replica && len(missing) > 0:
		return agreements.Fail(v, m.Name, "%s does not replicate from %s", m.Name, names(missing)).Wanted("an agreement with each other master").
			Fix(checks.On(m.Name) + m.Config.agreeWith(missing))
	case twice != "":
		return agreements.Fail(v, m.Name, "%s has two agreements with rid %s", m.Name, twice).Wanted("a different rid for each")
	case !m.Replica && !m.Config.Multi:
		return agreements.Fail(v, m.Name, "%s accepts no changes: it replicates, but olcMirrorMode is not set", m.Name).Wanted("olcMirrorMode: TRUE")
	case len(foreign) > 0 && !v.inventory: // which may be masters all the same
		return unlisted(agreements, v, m.Name)
	case len(foreign) > 0:
		return agreements.Warn(v, m.Name, "%s replicates from servers that are not other masters of this platform: %s", m.Name, strings.Join(foreign, ", "))
	}
	return agreements.Pass(v, m.Name, "%s replicates from %s", m.Name, names(sources))
}

// alone says that a server is the only master.
func (v view) alone(m *member) bool { return !m.Replica && len(v.masters()) == 1 }

// othersThan are the masters that a server may replicate from.
func (v snapshot) othersThan(m *member) []*member {
	return cluster.Those(v.masters(), func(other *member) bool { return other != m })
}

// replicates says whether a server has an agreement with another one.
func (v view) replicates(m, other *member) bool {
	return slices.ContainsFunc(m.Config.Agreements, func(a agreement) bool { return v.named(a.Provider) == other })
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

func (v view) judgeMonitor(m *member) checks.Finding {
	switch {
	case v.alone(m) && v.inventory:
		return monitor.Skip(v, m.Name, "the platform has only one master: it replicates from no other")
	case m.works() != cluster.Yes:
		return v.unseen(monitor, m)
	case m.Last.NoMonitor != checks.Unseen{} || m.User == "":
		return v.unseen(monitor, m, m.NoLogin, m.Last.NoMonitor)
	case len(m.Last.Links) == 0 && v.alone(m):
		return unlisted(monitor, v, m.Name)
	case len(m.Last.Links) == 0 && m.Config != nil && len(m.Config.Agreements) == 0:
		return monitor.Fail(v, m.Name, "%s has no replication link", m.Name).Needing(agreements.On(m.Name))
	case len(m.Last.Links) == 0:
		return v.unseen(monitor, m, failed("cn=monitor lists no link"))
	}
	var down, busy, seen []string
	var needs []checks.Need
	for _, l := range m.Last.Links {
		seen = append(seen, l.String())
		switch {
		case l.up():
		case l.Connected:
			busy = append(busy, l.Provider)
		default:
			down = append(down, l.Provider)
			if p := v.named(l.Provider); p != nil {
				needs = append(needs, reachable.On(p.Name))
			}
		}
	}
	f := monitor.Pass(v, m.Name, "%s is connected to every server it replicates from", m.Name)
	if len(down) > 0 {
		f = monitor.Fail(v, m.Name, "%s is not connected to %s", m.Name, strings.Join(down, ", ")).Wanted("connected, Persist").
			Fix(checks.On(m.Name) + syncreplLog + "   # wrong password, certificate, or network").Needing(needs...)
	} else if len(busy) > 0 {
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

func judgeCanary(scope checks.Scope, s checks.Sight[ask, []write]) []checks.Finding {
	writes, _ := s.Got()
	if len(writes) == 0 {
		return []checks.Finding{canary.Unseen(s, all)}
	}
	var out []checks.Finding
	for _, w := range writes {
		f := w.judge(s)
		if f.Status == checks.Skip && scope.Topology.Inventory == nil {
			f = unlisted(canary, s, w.Node)
		}
		out = append(out, f)
	}
	return out
}

func (a arrival) arrived() cluster.Answer {
	if a.Unasked != (checks.Unseen{}) {
		return cluster.Unseen
	}
	return cluster.Is(a.After > 0)
}

func (w write) judge(s checks.Sight[ask, []write]) checks.Finding {
	count := cluster.Ask(w.Arrivals, arrival.arrived)
	var times []string
	slowest := time.Duration(0)
	for _, a := range count.Yes {
		times = append(times, fmt.Sprintf("%s after %s", a.Name, a.After.Round(100*time.Microsecond)))
		slowest = max(slowest, a.After)
	}
	var f checks.Finding
	switch {
	case w.Left != checks.Unseen{}:
		return canary.Fail(s, w.Node, "the entry written on %s could not be removed", w.Node).Saw(w.Left.String()).With("entry", w.DN).
			Fix(fmt.Sprintf("ldapdelete -x -ZZ -H ldap://%s:389 -D cn=config -W '%s'", w.Node, w.DN))
	case s.Unseen() != checks.Unseen{}:
		return canary.Unseen(s, w.Node)
	case w.Error != checks.Unseen{}:
		return canary.Unknown(s, w.Node, "nothing was written on %s: %s", w.Node, w.Error)
	case len(w.Arrivals) == 0:
		return canary.Skip(s, w.Node, "there is no other server to replicate to")
	case len(count.No) > 0:
		f = canary.Fail(s, w.Node, "what was written on %s did not arrive on %s within %s", w.Node, names(count.No), w.Waited.Round(100*time.Millisecond))
		f = cluster.Because(cluster.Because(f, agreements, count.No), monitor, count.No).Fix(onEach(count.No, syncreplLog))
	case len(count.Unseen) > 0:
		a := count.Unseen[0]
		f = canary.Unknown(s, w.Node, "whether what was written on %s arrived on %s is unknown: %s", w.Node, a.Name, a.Unasked)
		f = cluster.Because(f, reachable, count.Unseen)
	default:
		f = canary.Pass(s, w.Node, "what is written on %s arrives everywhere within %s", w.Node, slowest.Round(100*time.Microsecond))
	}
	if len(times) > 0 {
		f = f.Saw(strings.Join(times, "\n"))
	}
	return f
}
