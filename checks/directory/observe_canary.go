package directory

import (
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
	// watching is how often the others are asked for an entry.
	watching = 25 * time.Millisecond
	// arriving is how long an entry may take: longer than a busy server needs,
	// shorter than the 60 s after which Carbonio connects a broken link again.
	arriving = 10 * time.Second
	// answering is how long one request may take.
	answering = 3 * time.Second
	// canaryGrace is for deleting the entries after an interrupt.
	canaryGrace = 10 * time.Second
)

// A canaryRun is an entry written on each master.
type canaryRun struct {
	Writes []*write `json:"writes"`
}

// A write is an entry written on one master, and what the others showed of it.
type write struct {
	Node    string        `json:"node"`
	DN      string        `json:"dn,omitempty"`
	Error   checks.Unseen `json:"error,omitzero"` // why nothing was written
	Answers []answer      `json:"answers,omitempty"`
	Waited  time.Duration `json:"waited,omitempty"` // for those that never showed it
	Left    checks.Unseen `json:"left,omitzero"`    // why it could not be removed
}

// An answer is what one of the other servers showed.
type answer struct {
	Name    string        `json:"node"`
	After   time.Duration `json:"after,omitempty"`  // the write; zero: it never showed the entry
	Unasked checks.Unseen `json:"unasked,omitzero"` // why it could not be asked
}

// Node is the node that the server stands on.
func (a answer) Node() string { return a.Name }

// observeCanary writes an entry on each master at the same time, watches the
// others, and removes what it wrote, come what may: the connections outlive the
// look by its grace.
func observeCanary(ctx context.Context, host checks.Host, t checks.Target[ask]) (canaryRun, error) {
	end, _ := ctx.Deadline()
	life, cancel := context.WithDeadline(context.WithoutCancel(ctx), end.Add(canaryGrace-time.Second))
	defer cancel()
	opening, stop := checks.Share(ctx, 0.25)
	defer stop()
	p := newPeers(life, opening, host, t.Ask)
	defer p.hangUp()
	together(len(p.Members), func(i int) {
		m := p.Members[i]
		defer survive(&m.LDAP.Unseen)
		if p.connect(m) {
			m.session.within(life)
			m.session.conn.SetTimeout(answering)
		}
	})
	out := canaryRun{make([]*write, len(p.masters()))}
	together(len(out.Writes), func(i int) {
		m := p.masters()[i]
		w := &write{Node: m.Name, Error: m.silence()}
		out.Writes[i] = w
		defer survive(&w.Left)
		if w.Error == (checks.Unseen{}) {
			w.try(ctx, m, p.Members)
		}
	})
	if errors.Is(ctx.Err(), context.Canceled) {
		return out, ctx.Err() // only what was left behind is of interest
	}
	return out, nil
}

// silence is why a server can neither be written on nor asked; the zero value
// where it can.
func (m *member) silence() checks.Unseen {
	switch {
	case m.LDAP.Unseen != checks.Unseen{}:
		return m.LDAP.Unseen
	case m.LDAP.Contact.State != checks.Open:
		return failed(m.LDAP.Contact.String())
	}
	return m.NoLogin
}

// try writes an entry on a master, sees it arrive, and removes it again.
func (w *write) try(ctx context.Context, m *member, all []*member) {
	name := "carbonio-check-" + strings.ToLower(rand.Text())
	if ctx.Err() != nil {
		w.Error = checks.Why(ctx.Err())
		return
	}
	w.DN = "cn=" + name + "," + canaryParent
	defer func() { w.remove(m, all) }()
	if err := m.session.add(w.DN, name, "written by carbonio-check to see whether it is replicated; it may be deleted"); err != nil {
		w.Error = m.session.why(err)
		if refused(err) {
			w.DN = "" // nothing to remove
		}
		return
	}
	w.watch(ctx, cluster.Those(all, func(other *member) bool { return other != m }))
}

// watch asks the other servers for the entry, each until it has it.
func (w *write) watch(ctx context.Context, others []*member) {
	written := time.Now()
	ctx, cancel := checks.Share(ctx, 0.95)
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, arriving)
	defer cancel()
	w.Answers = make([]answer, len(others))
	together(len(others), func(i int) { w.Answers[i].await(ctx, others[i], w.DN) })
	w.Waited = time.Since(written)
}

// await asks a server for an entry until it has it.
func (a *answer) await(ctx context.Context, m *member, dn string) {
	a.Name = m.Name
	defer survive(&a.Unasked)
	began := time.Now()
	for a.Unasked = m.silence(); a.Unasked == (checks.Unseen{}); {
		there, err := m.session.has(dn)
		switch {
		case err != nil:
			a.Unasked = m.session.why(err)
		case there:
			a.After = time.Since(began)
			return
		case !pause(ctx, watching):
			return
		}
	}
}

// remove deletes the entry where it was written; where that server fell silent,
// on another that has it.
func (w *write) remove(m *member, all []*member) {
	if w.DN == "" {
		return
	}
	err := m.session.remove(w.DN)
	if err == nil || missing(err) {
		return
	}
	for _, other := range all {
		// Of a server that does not have it yet it would come back.
		if other != m && other.User != "" && !other.Replica && other.session.remove(w.DN) == nil {
			return
		}
	}
	w.Left = m.session.why(err)
}
