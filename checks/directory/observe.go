package directory

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"carbonio-check/checks"
)

const (
	// settleTime is how long servers that differ are read again: a change is
	// replicated in well under a second, a large one in a few.
	settleTime = 3 * time.Second
	// readInterval is the time between two readings.
	readInterval = 200 * time.Millisecond
	// maxValues bounds what is kept of an attribute: there is one CSN for each
	// server ID, and a platform has two or three.
	maxValues = 64
)

// A snapshot is all servers, read together, and again where they differed.
type snapshot struct {
	Members []*member `json:"members"`
	Rounds  int       `json:"rounds"`
	// Authorities is how many files of Carbonio's own authorities were trusted;
	// without any, the signer of a certificate cannot be judged.
	Authorities int `json:"authorities"`
}

// A member is what one server showed.
type member struct {
	server
	LDAP     port          `json:"ldap"`
	LDAPS    port          `json:"ldaps"`
	NoTLS    string        `json:"no_starttls,omitempty"` // why the connection is not encrypted
	User     string        `json:"user,omitempty"`        // the login it was read with; empty: anonymously
	NoLogin  checks.Unseen `json:"no_login,omitzero"`     // why anonymously
	First    *reading      `json:"first,omitempty"`
	Last     *reading      `json:"last,omitempty"` // the last that succeeded; at least the first
	Config   *config       `json:"config,omitempty"`
	NoConfig checks.Unseen `json:"no_config,omitzero"`

	session *session // during the look; nil without a connection
}

// A port is the outcome of connecting to a port of a server.
type port struct {
	Contact     checks.Contact      `json:"contact,omitzero"`
	Unseen      checks.Unseen       `json:"unseen,omitzero"` // why it was not tried; not the fault of the server
	Certificate *checks.Certificate `json:"certificate,omitempty"`
}

func (p *port) ended(c checks.Contact, err error) {
	if p.Contact = c; err != nil {
		p.Unseen = checks.Why(err)
	}
}

// closed is why nothing can be asked of a server; the zero value if it can.
func (m *member) closed() checks.Unseen {
	switch {
	case m.LDAP.Unseen != checks.Unseen{}:
		return m.LDAP.Unseen
	case m.LDAP.Contact.State != checks.Open:
		return failed("the server " + m.LDAP.Contact.String())
	}
	return checks.Unseen{}
}

// A reading is the state of replication at one moment.
type reading struct {
	At time.Time `json:"at"`
	// CSNs are the values of contextCSN in the root DSE, in the server's order.
	CSNs      []string      `json:"csns,omitempty"`
	NoCSN     checks.Unseen `json:"no_csn,omitzero"`
	Links     []link        `json:"links,omitempty"`
	Entries   *int64        `json:"entries,omitempty"` // in the database with the empty suffix
	NoMonitor checks.Unseen `json:"no_monitor,omitzero"`
}

// A link is the consumer's end of an agreement.
type link struct {
	Provider    string `json:"provider"`
	Connected   bool   `json:"connected"`
	Phase       string `json:"phase,omitempty"`        // "Persist" once it only waits for new changes
	LastContact string `json:"last_contact,omitempty"` // LDAP time: 20261122004858Z
	NextConnect string `json:"next_connect,omitempty"`
}

// config is what cn=config says of replication. An agreement holds the password
// of the replication user: only what is named here is taken out of it.
type config struct {
	ServerIDs  []string    `json:"server_ids,omitempty"`
	Agreements []agreement `json:"agreements,omitempty"`
	Multi      bool        `json:"multi,omitempty"` // olcMirrorMode: it accepts changes although it replicates
}

type agreement struct {
	RID      string `json:"rid"`
	Provider string `json:"provider"`
	TLS      string `json:"tls,omitempty"`
}

// observe reads all servers at the same time, over one connection each, and
// reads them again while they differ.
func observe(ctx context.Context, host checks.Host, t checks.Target[ask]) (snapshot, error) {
	share := 0.2 // what a server that does not respond costs
	if t.Ask.Installed && t.Ask.Login.User == "" {
		share = 0.5 // zmlocalconfig has to finish within it
	}
	opening, cancel := checks.Share(ctx, share)
	defer cancel()
	p := newPeers(ctx, opening, host, t.Ask)
	defer p.close()
	parallel(2*len(p.Members), func(i int) {
		m := p.Members[i/2]
		if i%2 == 1 {
			defer survive(&m.LDAPS.Unseen)
			p.probeLDAPS(m)
			return
		}
		defer survive(&m.LDAP.Unseen)
		if p.connect(m) {
			m.read()
			m.readConfig()
			m.session.within(ctx) // it must outlive the time spent waiting for others
		}
	})
	p.settle(ctx)
	if errors.Is(ctx.Err(), context.Canceled) {
		return snapshot{}, ctx.Err() // nothing that was read is to be trusted then
	}
	return p.snapshot, nil
}

// peers are the servers, and how to connect to them.
type peers struct {
	snapshot
	network checks.Network
	roots   *x509.CertPool
	login   func() (credentials, error)
	life    context.Context // as long as sessions last
	opening context.Context // as long as they may take to open
}

func newPeers(life, opening context.Context, host checks.Host, a ask) *peers {
	p := &peers{network: host.Network, login: loginOf(opening, host, a), life: life, opening: opening}
	p.roots, p.Authorities = host.Roots()
	p.Members = membersOf(a.Servers)
	return p
}

func membersOf(servers []server) []*member {
	var out []*member
	for _, s := range servers {
		out = append(out, &member{server: s})
	}
	return out
}

func (p *peers) close() {
	for _, m := range p.Members {
		if m.session != nil {
			m.session.close()
		}
	}
}

// connect opens the connection that everything is read over, encrypted if the
// server offers that, and logs in if that is safe.
func (p *peers) connect(m *member) bool {
	s := p.open(m, &m.LDAP, ldapPort)
	if s == nil {
		return false
	}
	var err error
	if m.LDAP.Certificate, err = s.encrypt(m.Name, p.roots); err != nil {
		m.NoTLS = err.Error()
		if !refused(err) {
			m.LDAP.ended(s.contact(err))
			s.close()
			return false
		}
	}
	m.session = s
	m.logIn(p.login)
	return true
}

// probeLDAPS sees what listens on the port that is only for TLS.
func (p *peers) probeLDAPS(m *member) {
	if s := p.open(m, &m.LDAPS, ldapsPort); s != nil {
		defer s.close()
		var err error
		_, m.LDAPS.Certificate, err = s.handshake(m.Name, p.roots)
		m.LDAPS.ended(s.contact(err))
	}
}

// logIn sends the password only to a server with a valid certificate.
func (m *member) logIn(login func() (credentials, error)) {
	l, err := login()
	c := m.LDAP.Certificate
	switch {
	case err != nil:
		m.NoLogin = failed(err.Error())
	case c == nil:
		m.NoLogin = failed("the password was not sent: the connection is not encrypted")
	case m.fault(c, time.Now()) != "":
		m.NoLogin = failed("the password was not sent: the certificate " + c.Words(time.Now(), m.Name))
	default:
		if err := m.session.conn.Bind(l.user, l.password); err != nil {
			m.NoLogin = failed(fmt.Sprintf("login as %s failed: %s", l.user, m.session.why(err)))
			return
		}
		m.User = l.user
	}
}

// fault is what is wrong with a certificate of the server. libldap still accepts
// the common name if there is no other name.
func (s server) fault(c *checks.Certificate, at time.Time) checks.Fault {
	if c == nil || c.Fault(at) == checks.OtherName && c.Bare(s.Name) {
		return ""
	}
	return c.Fault(at)
}

// settle reads the servers again while they differ, for a limited time.
func (p *peers) settle(ctx context.Context) {
	ctx, cancel := checks.Share(ctx, 0.95) // to return in time what was seen
	defer cancel()
	ctx, cancel = context.WithTimeout(ctx, settleTime)
	defer cancel()
	for p.Rounds = 1; !p.settled() && sleep(ctx, readInterval); p.Rounds++ {
		parallel(len(p.Members), func(i int) {
			if m := p.Members[i]; m.session != nil {
				defer survive(&m.LDAP.Unseen)
				m.session.within(ctx)
				m.read()
			}
		})
	}
}

// settled says that nothing has to be read again: all servers have what the
// others had, every link to a server that responds is up, and all hold the same
// number of entries.
func (v snapshot) settled() bool {
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

// read takes a reading. A server that stopped responding meanwhile keeps its
// last one.
func (m *member) read() {
	s, r := m.session, &reading{At: time.Now().UTC()}
	r.readCSNs(s)
	if s.lost != nil && m.First == nil {
		m.LDAP.ended(s.contact(s.lost))
	}
	r.readMonitor(s)
	if m.First == nil {
		m.First, m.Last = r, r
	} else if s.lost == nil && r.NoCSN == (checks.Unseen{}) {
		m.Last = r
	}
}

// parallel calls f for 0 to n-1 at the same time, and waits for all.
func parallel(n int, f func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

// sleep waits, and says whether there is time left.
func sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// survive, deferred, makes a panic over what one server sent an error of that
// server alone.
func survive(why *checks.Unseen) {
	if p := recover(); p != nil {
		*why = checks.Unseen{Code: checks.Defective, Words: checks.Defect("panic: %v", p)}
	}
}

func failed(words string) checks.Unseen { return checks.Unseen{Code: checks.Failed, Words: words} }
