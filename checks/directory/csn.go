package directory

import (
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// csnForm is a change sequence number: the time, a count within that moment, the
// server ID (three hexadecimal digits). Of two with one ID the later sorts
// higher, because every part has a fixed width.
var csnForm = regexp.MustCompile(`^(\d{14})\.(\d{6})Z#[0-9a-f]{6}#([0-9a-f]{3})#[0-9a-f]{6}$`)

// unowned is the ID of changes made before the server had one. Between masters
// it means nothing, and zmreplchk ignores it.
const unowned = "000"

// glue: a server that fetched its entries may hold one more, which nobody added
// and which only holds its CSNs: the root of the empty suffix.
const glue = 1

// A vector is the last change that a server has of each server ID.
type vector map[string]string

// String lists the CSNs in the order of their IDs, one per line.
func (v vector) String() string { return strings.Join(slices.Sorted(maps.Values(v)), "\n") }

func timeOf(csn string) time.Time {
	stamp, _, _ := strings.Cut(csn, "Z")
	t, _ := time.Parse("20060102150405.000000", stamp)
	return t
}

// number is a server ID as people write it: 001 is 1.
func number(sid string) string {
	n, _ := strconv.ParseUint(sid, 16, 16) // hexadecimal, by csnForm and ids
	return strconv.FormatUint(n, 10)
}

// masters are the servers that accept changes.
func (v snapshot) masters() []*member {
	return cluster.Those(v.Members, (*member).master)
}

func (m *member) master() bool { return !m.Replica }

// vector reads the values of contextCSN, which come in no particular order.
// Anything else is ignored, and of two with one ID the later one counts.
func (v snapshot) vector(values []string) vector {
	out := vector{}
	for _, value := range values {
		m := csnForm.FindStringSubmatch(value)
		if m != nil && (m[3] != unowned || len(v.masters()) < 2) {
			out[m[3]] = max(out[m[3]], value)
		}
	}
	return out
}

// goal is the last change of each ID that any server had at the first reading:
// what all must have at the last one.
func (v snapshot) goal() vector {
	goal := vector{}
	for _, m := range v.Members {
		if m.First != nil {
			for sid, csn := range v.vector(m.First.CSNs) {
				goal[sid] = max(goal[sid], csn)
			}
		}
	}
	return goal
}

// A gap is what a server does not have of one server ID.
type gap struct {
	sid  string
	have string    // empty: nothing at all
	from []*member // who has more
}

// gaps are what a member lacked of the goal at its last reading, by server ID.
func (v snapshot) gaps(m *member, goal vector) []gap {
	var out []gap
	have := v.vector(m.Last.CSNs)
	for _, sid := range slices.Sorted(maps.Keys(goal)) {
		if have[sid] < goal[sid] {
			out = append(out, gap{sid, have[sid], cluster.Those(v.Members, func(other *member) bool {
				return other.readable() && v.vector(other.Last.CSNs)[sid] > have[sid]
			})})
		}
	}
	return out
}

// own says that only the server that the ID belongs to has anything of it: the
// changes were made when that server was set up, or were never replicated. If
// its IDs could not be read, the only server that has them is taken to own them.
func (g gap) own() bool {
	if g.have != "" || len(g.from) != 1 {
		return false
	}
	ids := g.from[0].ids()
	return len(ids) == 0 || slices.Contains(ids, g.sid)
}

// ids are the server IDs of a member as CSNs write them. If a value also names a
// server ("1 ldap://srv1:389"), it counts only when that is this one.
func (m *member) ids() []string {
	if m.Config == nil {
		return nil
	}
	var out []string
	for _, value := range m.Config.ServerIDs {
		id, at, named := strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.ParseUint(id, 0, 16)
		if err != nil || n > 0xfff || named && !m.same(hostOf(at)) {
			continue
		}
		if sid := fmt.Sprintf("%03x", n); !slices.Contains(out, sid) {
			out = append(out, sid)
		}
	}
	return out
}

// hostOf is the host of an LDAP URL, or of the first in a list.
func hostOf(list string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(list), " ")
	u, err := url.Parse(first)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// readable says that the member's CSNs were seen.
func (m *member) readable() bool { return m.Last != nil && m.Last.NoCSN == checks.Unseen{} }

func (l link) up() bool { return l.Connected && l.Phase == "Persist" }

// named is the member that an LDAP URL points to.
func (v snapshot) named(url string) *member {
	if i := slices.IndexFunc(v.Members, func(m *member) bool { return m.same(hostOf(url)) }); i >= 0 {
		return v.Members[i]
	}
	return nil
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
		return csn.Unknown(v, m.Name, "%s shows no contextCSN: it does not replicate, or reading it is not allowed", m.Name)
	case len(lost) > 0:
		return v.judgeLag(m, lost, have)
	case len(all) > 0:
		g := all[0]
		return csn.Warn(v, m.Name, "%s has no changes of server ID %s: %s made them when it was set up, or they were never replicated", m.Name, number(g.sid), g.from[0].Name).
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
	if other := v.divergedFrom(have, lost); other != nil {
		message = fmt.Sprintf("%s and %s have diverged: each lacks changes of the other", m.Name, other.Name)
	}
	if waited := m.Last.At.Sub(m.First.At); waited > 0 {
		message += fmt.Sprintf(", still after %s", waited.Round(100*time.Millisecond))
	}
	f := csn.Fail(v, m.Name, "%s", message).Saw(have.String()).Wanted(v.goal().String())
	var lag []string
	for _, other := range v.Members {
		if words := v.lag(have, other); words != "" {
			lag = append(lag, "to "+other.Name+": "+words)
			f = f.Needing(reachable.On(other.Name))
		}
	}
	if slices.ContainsFunc(m.Last.Links, func(l link) bool { return !l.Connected && v.owes(l, lost) }) {
		f = f.Needing(monitor.On(m.Name))
	}
	return f.With("lag", strings.Join(lag, "\n")).Needing(serverID.On(m.Name), agreements.On(m.Name)).
		Fix(checks.On(m.Name) + syncreplLog)
}

// owes says whether the other end of a link has something of what was lost.
func (v view) owes(l link, lost []gap) bool {
	return slices.ContainsFunc(lost, func(g gap) bool { return slices.Contains(g.from, v.named(l.Provider)) })
}

// lag is how far a server that has these changes is behind (-) or ahead (+) of
// another one, by server ID, measured by the clocks of the writers; empty if they
// agree, as a server does with itself.
func (v view) lag(mine vector, other *member) string {
	if !other.readable() {
		return ""
	}
	theirs := v.vector(other.Last.CSNs)
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

// divergedFrom is a server that has what another one lost, and lacks what it has.
func (v view) divergedFrom(have vector, lost []gap) *member {
	for _, g := range lost {
		for _, other := range g.from {
			if len(v.gaps(other, have)) > 0 {
				return other
			}
		}
	}
	return nil
}
