package directory

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A csn is a change sequence number: when, the how manieth of that moment,
// under which server ID (three hexadecimal digits). Of two under one ID the
// later one sorts behind: every part has a fixed width.
var csnForm = regexp.MustCompile(`^(\d{14})\.(\d{6})Z#[0-9a-f]{6}#([0-9a-f]{3})#[0-9a-f]{6}$`)

// unowned is the ID of changes made before the server had one. Between masters
// it means nothing (CCU replchk.pl leaves it out).
const unowned = "000"

// A vector is the last change that a server has of each server ID.
type vector map[string]string

// vectorOf reads the values of contextCSN, which come in no order. What is not
// one is left out, and of two under one ID the later one counts.
func vectorOf(values []string, masters int) vector {
	v := vector{}
	for _, value := range values {
		m := csnForm.FindStringSubmatch(value)
		if m != nil && (m[3] != unowned || masters < 2) {
			v[m[3]] = max(v[m[3]], value)
		}
	}
	return v
}

// when is the time of a CSN.
func when(csn string) time.Time {
	stamp, _, _ := strings.Cut(csn, "Z")
	t, _ := time.Parse("20060102150405.000000", stamp)
	return t
}

// String gives the CSNs in the order of their IDs, one a line.
func (v vector) String() string {
	return strings.Join(slices.Sorted(maps.Values(v)), "\n")
}

// masters counts the servers that take changes.
func (v servers) masters() int {
	n := 0
	for _, m := range v.Members {
		if !m.Replica {
			n++
		}
	}
	return n
}

// goal is the last change of each ID that any server had when it was read first:
// what all must have when they are read last.
func (v servers) goal() vector {
	goal := vector{}
	for _, m := range v.Members {
		if m.First != nil {
			for sid, csn := range vectorOf(m.First.CSNs, v.masters()) {
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

// gaps are what a member lacked at last of the goal, by server ID.
func (v servers) gaps(m *member, goal vector) []gap {
	var out []gap
	have := vectorOf(m.Last.CSNs, v.masters())
	for _, sid := range slices.Sorted(maps.Keys(goal)) {
		if have[sid] >= goal[sid] {
			continue
		}
		g := gap{sid: sid, have: have[sid]}
		for _, other := range v.Members {
			if other.readable() && vectorOf(other.Last.CSNs, v.masters())[sid] > have[sid] {
				g.from = append(g.from, other)
			}
		}
		out = append(out, g)
	}
	return out
}

// own says that nobody but the server the ID belongs to has anything of it: it
// was made when that server was set up, or nothing of it was ever replicated.
// Where the IDs could not be read, it is taken to belong to the only one.
func (g gap) own() bool {
	if g.have != "" || len(g.from) != 1 {
		return false
	}
	ids := g.from[0].ids()
	return len(ids) == 0 || slices.Contains(ids, g.sid)
}

// number gives a server ID as people write it: 001 is 1.
func number(sid string) string {
	n, err := strconv.ParseUint(sid, 16, 16)
	if err != nil {
		return sid
	}
	return strconv.FormatUint(n, 10)
}

// ids are the server IDs of a member as CSNs write them. Where a value names a
// server too ("1 ldap://srv1:389"), only the one that names this one counts.
func (m *member) ids() []string {
	if m.Config == nil {
		return nil
	}
	var out []string
	for _, value := range m.Config.ServerIDs {
		id, url, named := strings.Cut(strings.TrimSpace(value), " ")
		n, err := strconv.ParseUint(id, 0, 16)
		if err != nil || n > 0xfff || named && !m.same(hostOf(url)) {
			continue
		}
		if sid := fmt.Sprintf("%03x", n); !slices.Contains(out, sid) {
			out = append(out, sid)
		}
	}
	return out
}

// hostOf is the host of an LDAP URL, or of the first in a list.
func hostOf(url string) string {
	url, _, _ = strings.Cut(strings.TrimSpace(url), " ")
	_, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	rest, _, _ = strings.Cut(rest, "/")
	if host, after, ok := strings.Cut(strings.TrimPrefix(rest, "["), "]"); ok && strings.HasPrefix(rest, "[") && (after == "" || after[0] == ':') {
		return host
	}
	host, _, _ := strings.Cut(rest, ":")
	return host
}

// readable says that the member's CSNs were seen.
func (m *member) readable() bool { return m.Last != nil && m.Last.NoCSN == "" }

// settled says that there is nothing to read again: all have what the others
// had, every link to a server that answers is up, and all hold as much.
func (v servers) settled() bool {
	goal := v.goal()
	var counts []int64
	for _, m := range v.Members {
		if !m.readable() {
			continue
		}
		if len(v.gaps(m, goal)) > 0 {
			return false
		}
		for _, l := range m.Last.Links {
			if p := v.named(l.Provider); !l.up() && (p == nil || p.readable()) {
				return false
			}
		}
		if m.Last.Entries != nil {
			counts = append(counts, *m.Last.Entries)
		}
	}
	return len(counts) == 0 || slices.Max(counts)-slices.Min(counts) <= glue
}

// glue: a server that fetched its entries may hold one more, which nobody added
// and which only carries its CSNs: the empty root of the empty suffix.
const glue = 1

func (l link) up() bool { return l.Connected && l.Phase == "Persist" }

// named is the member that an LDAP URL leads to.
func (v servers) named(url string) *member {
	host := hostOf(url)
	for _, m := range v.Members {
		if m.same(host) {
			return m
		}
	}
	return nil
}
