package directory

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

const (
	// canaryParent is where the entries are written: Carbonio's own
	// configuration, which every server replicates.
	canaryParent = "cn=zimbra"
	// pollInterval is how often the others are asked for an entry.
	pollInterval = 25 * time.Millisecond
	// arrivalTime is how long an entry may take: longer than a busy server needs,
	// shorter than the 60 s after which Carbonio reconnects a broken link.
	arrivalTime = 10 * time.Second
	// requestTimeout is how long one request may take.
	requestTimeout = 3 * time.Second
	// canaryGrace is for deleting the entries after an interrupt.
	canaryGrace = 10 * time.Second
)

// A write is an entry written on one master, and whether the others got it.
type write struct {
	Node     string        `json:"node"`
	DN       string        `json:"dn,omitempty"`
	Error    checks.Unseen `json:"error,omitzero"` // why nothing was written
	Arrivals []arrival     `json:"arrivals,omitempty"`
	Waited   time.Duration `json:"waited,omitempty"` // for those that never had it
	Left     checks.Unseen `json:"left,omitzero"`    // why it could not be removed
}

// An arrival is the entry on one of the other servers.
type arrival struct {
	server
	After   time.Duration `json:"after,omitempty"`  // the write; zero: it never arrived
	Unasked checks.Unseen `json:"unasked,omitzero"` // why it could not be asked
}

// observeCanary writes an entry on each master at the same time, watches the
// others, and removes what it wrote whatever happens: the connections outlive
// the look by its grace period.
func observeCanary(ctx context.Context, host checks.Host, t checks.Target[ask]) ([]write, error) {
	end, _ := ctx.Deadline()
	life, cancel := context.WithDeadline(context.WithoutCancel(ctx), end.Add(canaryGrace-time.Second))
	defer cancel()
	opening, stop := checks.Share(ctx, 0.25)
	defer stop()
	p := newPeers(life, opening, host, t.Ask)
	defer p.close()
	parallel(len(p.Members), func(i int) {
		m := p.Members[i]
		defer survive(&m.LDAP.Unseen)
		if p.connect(m) {
			m.session.within(life)
			m.session.conn.SetTimeout(requestTimeout)
		}
	})
	masters := p.masters()
	out := make([]write, len(masters))
	parallel(len(out), func(i int) {
		m, w := masters[i], &out[i]
		defer survive(&w.Left)
		if w.Node, w.Error = m.Name, cmp.Or(m.closed(), m.NoLogin); w.Error == (checks.Unseen{}) {
			w.try(ctx, m, p.Members)
		}
	})
	if errors.Is(ctx.Err(), context.Canceled) {
		return out, ctx.Err() // all that matters now is what could not be removed
	}
	return out, nil
}

// try writes an entry on a master, waits for it to arrive, and removes it.
func (w *write) try(ctx context.Context, m *member, all []*member) {
	if err := ctx.Err(); err != nil {
		w.Error = checks.Why(err)
		return
	}
	name := "carbonio-check-" + strings.ToLower(rand.Text())
	w.DN = "cn=" + name + "," + canaryParent
	defer func() { w.remove(m, all) }()
	if err := m.session.add(w.DN, name, "written by carbonio-check to test replication; it may be deleted"); err != nil {
		w.Error = m.session.why(err)
		if refused(err) {
			w.DN = "" // nothing to remove
		}
		return
	}
	written, others := time.Now(), cluster.Those(all, func(other *member) bool { return other != m })
	ctx, cancel := checks.Share(ctx, 0.95)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, arrivalTime)
	defer cancel()
	w.Arrivals = make([]arrival, len(others))
	parallel(len(others), func(i int) { w.Arrivals[i].await(ctx, others[i], w.DN) })
	w.Waited = time.Since(written)
}

// await polls a server for an entry until it has it.
func (a *arrival) await(ctx context.Context, m *member, dn string) {
	a.server = server{Name: m.Name}
	defer survive(&a.Unasked)
	began := time.Now()
	for a.Unasked = cmp.Or(m.closed(), m.NoLogin); a.Unasked == (checks.Unseen{}); {
		there, err := m.session.has(dn)
		switch {
		case err != nil:
			a.Unasked = m.session.why(err)
		case there:
			a.After = time.Since(began)
			return
		case !sleep(ctx, pollInterval):
			return
		}
	}
}

// remove deletes the entry where it was written or, if that server does not
// respond any more, on another that has it.
func (w *write) remove(m *member, all []*member) {
	if w.DN == "" {
		return
	}
	err := m.session.remove(w.DN)
	if err == nil || missing(err) {
		return
	}
	for _, other := range all {
		// Not on one that does not have it yet, where it would appear later.
		if other != m && other.User != "" && !other.Replica && other.session.remove(w.DN) == nil {
			return
		}
	}
	w.Left = m.session.why(err)
}
