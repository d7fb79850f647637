package directory

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"carbonio-check/checks"
)

const (
	// settling is how long servers that differ are read again: an agreement
	// carries a change over in well under a second, a large one in a few.
	settling = 3 * time.Second
	// pause lies between two readings.
	pause = 200 * time.Millisecond
	// margin is left of the deadline to hand over what was seen.
	margin = 200 * time.Millisecond
	// maxValues bounds what is kept of an attribute: there is one CSN for each
	// server ID, and a platform has two or three.
	maxValues = 64
)

// Observe looks at one target.
func (Module) Observe(ctx context.Context, host checks.Host, target checks.Target) (any, error) {
	if target.Kind == kindTools {
		return observeTools(ctx, host)
	}
	if len(target.Args) != 1 {
		return nil, errors.New("the target names no servers")
	}
	var p plan
	if err := json.Unmarshal([]byte(target.Args[0]), &p); err != nil {
		return nil, err
	}
	if target.Kind == kindCanary {
		return observeCanary(ctx, host, p)
	}
	return observeServers(ctx, host, p)
}

// servers are all of them, read in one round; again where they differed.
type servers struct {
	Members []*member `json:"members"`
	Rounds  int       `json:"rounds"`
	// Authorities is how many files of Carbonio's own authorities were trusted;
	// without any, who signed a certificate cannot be judged.
	Authorities int `json:"authorities"`
}

// A member is what one server showed.
type member struct {
	seat
	State    string       `json:"state,omitempty"` // of port 389: empty when it was connected, "closed", "silent", …
	Error    string       `json:"error,omitempty"` // why no more was seen
	Defect   [2]string    `json:"defect,omitzero"` // ours: panics, over 389 and over 636
	StartTLS *certificate `json:"starttls,omitempty"`
	NoTLS    string       `json:"no_starttls,omitempty"` // why it could not be encrypted
	LDAPS    *certificate `json:"ldaps,omitempty"`       // of port 636, where something listens
	NoLDAPS  string       `json:"no_ldaps,omitempty"`    // why nothing was seen there
	User     string       `json:"user,omitempty"`        // as whom it was read; empty: as anybody
	NoLogin  string       `json:"no_login,omitempty"`    // why as anybody
	First    *reading     `json:"first,omitempty"`
	Last     *reading     `json:"last,omitempty"` // of those it gave; the first too, if there was one
	Config   *config      `json:"config,omitempty"`
	NoConfig string       `json:"no_config,omitempty"` // why cn=config was not seen
}

// A reading is what changes from moment to moment.
type reading struct {
	At time.Time `json:"at"`
	// CSNs are the values of contextCSN on the root DSE, in the server's order.
	CSNs      []string `json:"csns,omitempty"`
	NoCSN     string   `json:"no_csn,omitempty"`
	Links     []link   `json:"links,omitempty"`
	Entries   *int64   `json:"entries,omitempty"`    // of the database with the empty suffix
	NoMonitor string   `json:"no_monitor,omitempty"` // why cn=monitor was not seen
}

// A link is a consumer: this server's end of an agreement.
type link struct {
	Provider    string `json:"provider"`
	Connected   bool   `json:"connected"`
	Phase       string `json:"phase,omitempty"`        // "Persist" once it only waits for changes
	LastContact string `json:"last_contact,omitempty"` // LDAP time: 20261122004858Z
	NextConnect string `json:"next_connect,omitempty"`
}

// config is what cn=config says of replication. An agreement holds the password
// of the replication user: only what is named here is taken out of it.
type config struct {
	ServerIDs  []string    `json:"server_ids,omitempty"`
	Agreements []agreement `json:"agreements,omitempty"`
	Multi      bool        `json:"multi,omitempty"` // olcMirrorMode: it takes changes though it replicates
}

type agreement struct {
	RID      string `json:"rid"`
	Provider string `json:"provider"`
	TLS      string `json:"tls,omitempty"`
}

// observeServers reads every server over one connection each, side by side, and
// as long as they differ again. A server that keeps silent costs half the time.
func observeServers(ctx context.Context, host checks.Host, p plan) (any, error) {
	connect, cancel := context.WithTimeout(ctx, remaining(ctx)/2)
	defer cancel()
	login := loginOf(connect, host, p)
	roots, ours := trusted(host)
	seen := servers{Authorities: ours}
	for _, s := range p.Seats {
		seen.Members = append(seen.Members, &member{seat: s})
	}
	sessions := make([]*session, len(p.Seats))
	defer func() { hangUp(sessions) }()
	together(len(seen.Members), func(i int) {
		m := seen.Members[i]
		together(2, func(port int) {
			defer survive(&m.Defect[port])
			if port == 1 {
				m.knock636(connect, host, roots)
			} else if sessions[i] = m.connect(ctx, connect, host, roots, login); sessions[i] != nil {
				m.readAll(sessions[i])
			}
		})
	})
	seen.settle(ctx, sessions)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err() // then it is we who hung up
	}
	return seen, nil
}

func hangUp(sessions []*session) {
	for _, s := range sessions {
		if s != nil {
			s.close()
		}
	}
}

// settle reads again while the servers differ, until it has been long enough.
func (v *servers) settle(ctx context.Context, sessions []*session) {
	until := min(settling, remaining(ctx)-margin)
	ctx, cancel := context.WithTimeout(ctx, max(until, 0))
	defer cancel()
	for v.Rounds = 1; !v.settled(); v.Rounds++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		together(len(sessions), func(i int) {
			m, s := v.Members[i], sessions[i]
			if s == nil || m.Last == nil {
				return
			}
			defer survive(&m.Defect[0])
			s.within(ctx)
			m.read(s)
		})
	}
}

// connect opens the connection that everything is read over, encrypted where
// the server lets us, and logs in where that is safe.
func (m *member) connect(ctx, connect context.Context, host checks.Host, roots *x509.CertPool, login func() (login, error)) *session {
	s, err := open(ctx, connect, host.Network, m.at("389"))
	if err != nil {
		m.State = stateOf(connect, err)
		return nil
	}
	if m.StartTLS, err = s.encrypt(m.Node, roots); err != nil {
		m.NoTLS = s.word(err)
		if !refused(err) {
			m.Error = m.NoTLS
			s.close()
			return nil
		}
	}
	m.logIn(s, login)
	return s
}

// knock636 sees who is behind the port that speaks nothing but TLS.
func (m *member) knock636(ctx context.Context, host checks.Host, roots *x509.CertPool) {
	var err error
	if m.LDAPS, err = knockTLS(ctx, host.Network, m.at("636"), m.Node, roots); err != nil {
		m.NoLDAPS = stateOf(ctx, err)
	}
}

// logIn sends the password to nobody but a server that proved who it is.
func (m *member) logIn(s *session, login func() (login, error)) {
	switch l, err := login(); {
	case err != nil:
		m.NoLogin = err.Error()
	case m.StartTLS == nil:
		m.NoLogin = "the password was kept back: the connection is not encrypted"
	case m.StartTLS.Why != "":
		m.NoLogin = "the password was kept back: the certificate does not hold: " + m.StartTLS.Fault
	default:
		if err := s.bind(l.user, l.password); err != nil {
			m.NoLogin = fmt.Sprintf("%s could not log in: %s", l.user, s.word(err))
			return
		}
		m.User = l.user
	}
}

// readAll reads everything, at once.
func (m *member) readAll(s *session) {
	together(2, func(i int) {
		defer survive(&m.Defect[0])
		if i == 0 {
			m.read(s)
		} else {
			m.readConfig(s)
		}
	})
}

// read takes a reading. What a server cannot give is said in its place; one
// that fell silent since keeps its last reading.
func (m *member) read(s *session) {
	r := &reading{At: time.Now().UTC()}
	var ended string
	together(2, func(i int) {
		if i == 0 {
			defer survive(&r.NoCSN)
			ended = r.readCSNs(s)
		} else {
			defer survive(&r.NoMonitor)
			r.readMonitor(s)
		}
	})
	if m.First == nil {
		m.First, m.Last, m.Error = r, r, ended
	} else if r.NoCSN == "" && r.NoMonitor != noAnswer {
		m.Last = r
	}
}

// readCSNs also says how the connection ended, if it did.
func (r *reading) readCSNs(s *session) (ended string) {
	// With the empty suffix the values stand on the root DSE; they are
	// operational, and come only when asked for by name.
	found, err := s.find("", alone, "(objectClass=*)", "contextCSN")
	switch {
	case refused(err):
		r.NoCSN = err.Error()
	case err != nil:
		r.NoCSN = s.word(err)
		return r.NoCSN
	case len(found) == 0:
		r.NoCSN = "the root DSE is not readable"
	default:
		r.CSNs = bounded(found[0].GetAttributeValues("contextCSN"))
	}
	return ""
}

// readMonitor begins below cn=Monitor: Carbonio lets its administrators read
// the children, and not the entry itself.
func (r *reading) readMonitor(s *session) {
	found, err := s.find("cn=Databases,cn=Monitor", below, "(|(objectClass=olmSyncReplInstance)(olmMDBEntries=*))",
		"olmSRProviderURIList", "olmSRConnection", "olmSRSyncPhase", "olmSRLastContact", "olmSRNextConnect", "olmMDBEntries", "namingContexts")
	switch {
	case forbidden(err):
		r.NoMonitor = "cn=monitor is not readable"
	case err != nil:
		r.NoMonitor = s.word(err)
	}
	for _, e := range found {
		if provider := e.GetAttributeValue("olmSRProviderURIList"); provider != "" {
			r.Links = append(r.Links, link{
				Provider: provider, Connected: e.GetAttributeValue("olmSRConnection") != "", Phase: e.GetAttributeValue("olmSRSyncPhase"),
				LastContact: e.GetAttributeValue("olmSRLastContact"), NextConnect: e.GetAttributeValue("olmSRNextConnect"),
			})
		}
		if n, err := strconv.ParseInt(e.GetAttributeValue("olmMDBEntries"), 10, 64); err == nil && slices.Contains(e.GetAttributeValues("namingContexts"), "") {
			r.Entries = &n
		}
	}
	slices.SortFunc(r.Links, func(a, b link) int { return strings.Compare(a.Provider, b.Provider) })
}

func (m *member) readConfig(s *session) {
	if m.User == "" {
		m.NoConfig = m.NoLogin
		return
	}
	found, err := s.find("cn=config", below, "(|(objectClass=olcGlobal)(olcSyncrepl=*))",
		"olcServerID", "olcSyncrepl", "olcMirrorMode", "olcMultiProvider")
	switch {
	case forbidden(err):
		m.NoConfig = fmt.Sprintf("cn=config is not readable for %s: give the login of cn=config", m.User)
		return
	case err != nil:
		m.NoConfig = s.word(err)
		return
	}
	c := &config{}
	for _, e := range found {
		c.ServerIDs = append(c.ServerIDs, bounded(e.GetAttributeValues("olcServerID"))...)
		if strings.HasPrefix(strings.ToLower(e.DN), "olcdatabase={0}config,") {
			continue // the replication of cn=config itself
		}
		for _, value := range bounded(e.GetAttributeValues("olcSyncrepl")) {
			c.Agreements = append(c.Agreements, parseAgreement(value))
		}
		c.Multi = c.Multi || e.GetAttributeValue("olcMirrorMode") == "TRUE" || e.GetAttributeValue("olcMultiProvider") == "TRUE"
	}
	m.Config = c
}

// parseAgreement takes what we show out of a value of olcSyncrepl, and leaves
// the rest, which holds the password.
func parseAgreement(value string) agreement {
	if _, after, ok := strings.Cut(value, "}"); ok && strings.HasPrefix(value, "{") {
		value = after
	}
	var a agreement
	for _, word := range words(value) {
		name, v, _ := strings.Cut(word, "=")
		switch v = strings.Trim(v, `"`); strings.ToLower(name) {
		case "rid":
			a.RID = v
		case "provider":
			a.Provider = v
		case "starttls":
			a.TLS = v
		}
	}
	return a
}

// words splits at spaces that stand outside of quotes.
func words(s string) []string {
	quoted := false
	return strings.FieldsFunc(s, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t' || r == '\n')
	})
}

func bounded(values []string) []string { return values[:min(len(values), maxValues)] }

// together calls f for 0 to n-1 at once, and waits for all.
func together(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// survive, deferred, makes a panic over what a server sent an error of that
// server alone.
func survive(why *string) {
	if p := recover(); p != nil {
		*why = fmt.Sprintf("a defect of carbonio-check, please report it: panic: %v", p)
	}
}

// remaining is the time until the context's deadline.
func remaining(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return installedTimeout
}

// The states of a port that was not connected, and of a server that was.
const (
	closed      = "closed"
	silent      = "silent"
	unreachable = "unreachable"
	noAnswer    = "no answer in time"
)

// stateOf words why a port could not be used.
func stateOf(ctx context.Context, err error) string {
	_, rejected := errors.AsType[*checks.RejectedError](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED) && !rejected:
		return closed
	case rejected, errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return unreachable
	case late(ctx, err):
		return silent
	}
	return err.Error()
}

// late says that it was time that ended it. The library keeps only the words of
// what ended a connection.
func late(ctx context.Context, err error) bool {
	if ctx.Err() != nil || remaining(ctx) <= 0 || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout() ||
		strings.Contains(err.Error(), "i/o timeout") || strings.Contains(err.Error(), "connection timed out")
}
