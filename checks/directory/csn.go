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

// timeOf is the time of a CSN.
func timeOf(csn string) time.Time {
	stamp, _, _ := strings.Cut(csn, "Z")
	t, _ := time.Parse("20060102150405.000000", stamp)
	return t
}

// number is a server ID as people write it: 001 is 1.
func number(sid string) string {
	n, err := strconv.ParseUint(sid, 16, 16)
	if err != nil {
		return sid
	}
	return strconv.FormatUint(n, 10)
}

// String lists the CSNs in the order of their IDs, one per line.
func (v vector) String() string {
	return strings.Join(slices.Sorted(maps.Values(v)), "\n")
}

// masters are the servers that accept changes.
func (v snapshot) masters() []*member {
	return cluster.Those(v.Members, func(m *member) bool { return !m.Replica })
}

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
func (v snapshot) named(url string) *member { return v.called(hostOf(url)) }

// called is the member with that name or address.
func (v snapshot) called(host string) *member {
	for _, m := range v.Members {
		if m.same(host) {
			return m
		}
	}
	return nil
}
