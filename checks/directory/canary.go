package directory

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"carbonio-check/checks"
)

const (
	// canaryParent is where the entries are written: Carbonio's own
	// configuration, which every server replicates.
	canaryParent = "cn=zimbra"
	// watching is how often the others are asked for an entry.
	watching = 25 * time.Millisecond
	// arriving is how long an entry may take: longer than a busy server needs,
	// shorter than the 60 s after which Carbonio connects a broken link again.
	arriving = 10 * time.Second
	// answering is how long one request may take.
	answering = 3 * time.Second
)

// canaries are the flights of one entry for each master.
type canaries struct {
	Flights []*flight `json:"flights"`
}

// A flight is an entry written on one master, and when the others showed it.
type flight struct {
	Node    string                   `json:"node"`
	DN      string                   `json:"dn,omitempty"`
	Error   string                   `json:"error,omitempty"`   // why nothing was written
	Arrived map[string]time.Duration `json:"arrived,omitempty"` // after the write, by node
	Unasked map[string]string        `json:"unasked,omitempty"` // why a node could not be asked, by node
	Missing []string                 `json:"missing,omitempty"` // who never showed it
	Waited  time.Duration            `json:"waited,omitempty"`  // for those
	Left    string                   `json:"left,omitempty"`    // why it could not be removed
}

// observeCanary writes an entry on each master at the same time, watches the
// others, and removes what it wrote, come what may: the connections outlive the
// look by its grace.
func observeCanary(ctx context.Context, host checks.Host, p plan) (any, error) {
	life, cancel := context.WithTimeout(context.WithoutCancel(ctx), max(remaining(ctx), 0)+canaryGrace-time.Second)
	defer cancel()
	connect, stop := context.WithTimeout(ctx, remaining(ctx)/4)
	defer stop()
	login := loginOf(connect, host, p)
	roots, _ := trusted(host)
	members, sessions := make([]*member, len(p.Seats)), make([]*session, len(p.Seats))
	together(len(p.Seats), func(i int) {
		members[i] = &member{seat: p.Seats[i]}
		defer survive(&members[i].Defect[0])
		if sessions[i] = members[i].connect(life, connect, host, roots, login); sessions[i] != nil {
			sessions[i].within(life)
			sessions[i].conn.SetTimeout(answering)
		}
	})
	defer func() { hangUp(sessions) }()
	var out canaries
	for i, m := range members {
		f := &flight{Node: m.Node, Arrived: map[string]time.Duration{}, Unasked: map[string]string{}}
		if m.Replica {
			continue
		}
		out.Flights = append(out.Flights, f)
		if sessions[i] == nil || m.User == "" {
			f.Error = firstOf(m.State, m.Error, m.Defect[0], m.NoLogin)
		}
	}
	together(len(out.Flights), func(i int) { // the masters come first, so their index is the same
		defer survive(&out.Flights[i].Left)
		if f := out.Flights[i]; f.Error == "" {
			f.fly(ctx, members, sessions, i)
		}
	})
	if errors.Is(ctx.Err(), context.Canceled) {
		return out, ctx.Err() // only what was left behind is of interest
	}
	return out, nil
}

// fly writes an entry on master i, sees it arrive, and removes it again.
func (f *flight) fly(ctx context.Context, members []*member, sessions []*session, i int) {
	name := "carbonio-check-" + strings.ToLower(rand.Text())
	f.DN = "cn=" + name + "," + canaryParent
	defer func() { f.remove(members, sessions, i) }()
	if ctx.Err() != nil {
		f.DN, f.Error = "", ctx.Err().Error()
		return
	}
	if err := sessions[i].add(f.DN, name, "written by carbonio-check to see whether it is replicated; it may be deleted"); err != nil {
		f.Error = sessions[i].word(err)
		if refused(err) {
			f.DN = "" // nothing to remove
		}
		return
	}
	f.watch(ctx, members, sessions, i)
}

// watch asks the other servers for the entry of master i, each until it has it.
func (f *flight) watch(ctx context.Context, members []*member, sessions []*session, i int) {
	written := time.Now()
	ctx, cancel := context.WithTimeout(ctx, min(arriving, remaining(ctx)-margin))
	defer cancel()
	var lock sync.Mutex
	together(len(members), func(j int) {
		if j == i {
			return
		}
		arrived, why := awaits(ctx, sessions[j], members[j], f.DN)
		lock.Lock()
		defer lock.Unlock()
		switch node := members[j].Node; {
		case arrived:
			f.Arrived[node] = time.Since(written)
		case why != "":
			f.Unasked[node] = why
		default:
			f.Missing = append(f.Missing, node)
		}
	})
	slices.Sort(f.Missing)
	f.Waited = time.Since(written)
}

// awaits asks a server for an entry until it has it, and says why it could not
// be asked.
func awaits(ctx context.Context, s *session, m *member, dn string) (arrived bool, why string) {
	defer survive(&why)
	if s == nil || m.User == "" {
		return false, firstOf(m.State, m.Error, m.Defect[0], m.NoLogin)
	}
	for {
		switch there, err := s.has(dn); {
		case err != nil:
			return false, s.word(err)
		case there:
			return true, ""
		}
		select {
		case <-ctx.Done():
			return false, ""
		case <-time.After(watching):
		}
	}
}

// remove deletes the entry where it was written; where that server fell silent,
// on another that has it.
func (f *flight) remove(members []*member, sessions []*session, i int) {
	if f.DN == "" {
		return
	}
	err := sessions[i].remove(f.DN)
	if err == nil || missing(err) {
		return
	}
	for j, s := range sessions {
		// Of a server that does not have it yet it would come back.
		if j != i && s != nil && members[j].User != "" && !members[j].Replica && s.remove(f.DN) == nil {
			return
		}
	}
	f.Left = sessions[i].word(err)
}

func judgeCanary(o checks.Observation, c canaries) []checks.Finding {
	if len(c.Flights) == 0 {
		return o.Unseen(cluster, canaryID)
	}
	var out []checks.Finding
	for _, f := range c.Flights {
		if f != nil {
			out = append(out, judgeFlight(o, f))
		}
	}
	return out
}

func judgeFlight(o checks.Observation, f *flight) checks.Finding {
	var times []string
	slowest := time.Duration(0)
	for _, node := range slices.Sorted(maps.Keys(f.Arrived)) {
		times = append(times, fmt.Sprintf("%s after %s", node, f.Arrived[node].Round(100*time.Microsecond)))
		slowest = max(slowest, f.Arrived[node])
	}
	seen := strings.Join(times, "\n")
	switch {
	case f.Left != "":
		return o.Fail(canaryID, f.Node, "the entry written on %s could not be removed", f.Node).Saw(f.Left).With("entry", f.DN).
			Fix(fmt.Sprintf("ldapdelete -x -ZZ -H ldap://%s:389 -D cn=config -W '%s'", f.Node, f.DN))
	case o.Error != "":
		return o.Unknown(canaryID, f.Node, "could not be seen: %s", o.Error)
	case f.Error != "":
		return o.Unknown(canaryID, f.Node, "nothing was written on %s: %s", f.Node, f.Error)
	case len(f.Missing) > 0:
		g := o.Fail(canaryID, f.Node, "what was written on %s did not arrive on %s within %s", f.Node, strings.Join(f.Missing, ", "), f.Waited.Round(100*time.Millisecond))
		if seen != "" {
			g = g.Saw(seen)
		}
		for _, node := range f.Missing {
			g = g.Needing(agreementsID, node).Needing(monitorID, node)
		}
		return g
	case len(f.Unasked) > 0:
		node := slices.Sorted(maps.Keys(f.Unasked))[0]
		return o.Unknown(canaryID, f.Node, "whether what was written on %s arrived on %s could not be seen: %s", f.Node, node, f.Unasked[node]).
			Needing(reachableID, node)
	}
	return o.Pass(canaryID, f.Node, "what is written on %s is everywhere within %s", f.Node, slowest.Round(100*time.Microsecond)).Saw(seen)
}
