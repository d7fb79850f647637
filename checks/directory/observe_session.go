package directory

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"carbonio-check/checks"
)

// What a server may send. Its responses to us are a few kilobytes; the library's
// own limits are 2 GiB and a thousand levels, and each level holds a copy.
const (
	maxBytes  = 4 << 20 // on one connection
	maxPacket = 1 << 18 // in memory it can become a hundred times as much
	maxNested = 32
	maxFound  = 100 // entries of one search
)

// limitDecoder limits what the library's decoder accepts, which is the same for
// the whole program.
var limitDecoder = sync.OnceFunc(func() { ber.MaxPacketLengthBytes, ber.MaxNestingDepth = maxPacket, maxNested })

var errFlood = fmt.Errorf("the server sent more than %d bytes", maxBytes)

// capped is a connection that ends after so many bytes. It remembers the error
// that ended it, of which the library keeps only the text, and not always that.
type capped struct {
	net.Conn
	left  int
	broke atomic.Pointer[error]
}

func (c *capped) Read(p []byte) (n int, err error) {
	if err = errFlood; c.left > 0 {
		n, err = c.Conn.Read(p[:min(len(p), c.left)])
		c.left -= n
	}
	if err != nil && !errors.Is(err, net.ErrClosed) { // closed by us or the library
		c.broke.CompareAndSwap(nil, &err)
	}
	return n, err
}

// A session is a connection to one server. Its timeouts are those of the
// connection: the library's do not cover the handshake, and delay everything
// else by as much again.
type session struct {
	ctx  context.Context // how long responses are awaited
	raw  *capped
	conn *ldap.Conn // from encrypt on
	lost error      // of a search that got no response
	stop func() bool
}

// open connects to a port of a server, and records the outcome.
func (p *peers) open(m *member, to *port, number uint16) *session {
	if !m.Address.IsValid() {
		to.ended(checks.Contact{}, checks.ErrNoAddress)
		return nil
	}
	raw, err := p.network.Dial(p.opening, "tcp", netip.AddrPortFrom(m.Address, number).String())
	if to.ended(checks.Dialled(p.opening, err)); err != nil {
		return nil
	}
	limitDecoder()
	s := &session{raw: &capped{Conn: raw, left: maxBytes}}
	s.stop = context.AfterFunc(p.life, func() { raw.Close() })
	s.within(p.opening)
	return s
}

// within limits the wait for responses to the deadline of a context.
func (s *session) within(ctx context.Context) {
	s.ctx = ctx
	deadline, _ := ctx.Deadline()
	_ = s.raw.SetDeadline(deadline) // fails only on a closed connection
}

func (s *session) close() {
	s.stop()
	s.raw.Close() // first: the library would wait for it
	if s.conn != nil {
		s.conn.Close()
	}
}

// cause is what ended the connection, if it ended; else the error itself.
func (s *session) cause(err error) error {
	if broke := s.raw.broke.Load(); err != nil && broke != nil {
		return *broke
	}
	return err
}

// contact is the outcome of a conversation.
func (s *session) contact(err error) (checks.Contact, error) {
	if err = s.cause(err); err != nil && strings.Contains(err.Error(), "ldap: connection timed out") { // the library's own timeout
		return checks.Contact{State: checks.Mute}, nil
	}
	return checks.Spoken(s.ctx, err)
}

// why is the reason that a request failed.
func (s *session) why(err error) checks.Unseen {
	if refused(err) {
		return checks.Why(err)
	}
	c, ours := s.contact(err)
	if c.State == checks.Mute {
		return checks.Unseen{Code: checks.TimedOut}
	}
	return checks.Why(cmp.Or(ours, s.cause(err)))
}

// startTLSRequest is the StartTLS request, as message 1 (RFC 4511, 4.14).
const startTLSRequest = "\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + "1.3.6.1.4.1.1466.20037"

// encrypt requests StartTLS and examines the certificate. From here on the
// library takes over, unencrypted if StartTLS was refused. This much is not left
// to it: it accepts a response to any request, and has no handshake timeout.
func (s *session) encrypt(name string, roots *x509.CertPool) (c *checks.Certificate, err error) {
	var conn net.Conn = s.raw
	if err = s.startTLS(); err == nil {
		conn, c, err = s.handshake(name, roots)
	}
	if err == nil || refused(err) {
		s.conn = ldap.NewConn(conn, err == nil)
		s.conn.Start()
	}
	return c, err
}

// startTLS requests StartTLS, and reads the response and not a byte more.
func (s *session) startTLS() error {
	if _, err := io.WriteString(s.raw, startTLSRequest); err != nil {
		return err
	}
	response, err := ber.ReadPacket(s.raw)
	if err != nil {
		return fmt.Errorf("the response to StartTLS: %w", err)
	}
	if len(response.Children) < 2 || response.Children[0].Value != int64(1) {
		return errors.New("the response to StartTLS is for another request")
	}
	return ldap.GetLDAPError(response)
}

// handshake does the TLS handshake and examines the certificate. Any certificate
// is accepted: judging it is for the judge, and no password is sent to a server
// whose certificate is not valid.
func (s *session) handshake(name string, roots *x509.CertPool) (net.Conn, *checks.Certificate, error) {
	conn := tls.Client(s.raw, &tls.Config{ServerName: name, InsecureSkipVerify: true}) //nolint:gosec // examined below
	if err := conn.HandshakeContext(s.ctx); err != nil {
		return nil, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	c := checks.Examine(conn.ConnectionState().PeerCertificates, name, roots)
	return conn, &c, nil
}

// find searches, or says why it could not.
func (s *session) find(base string, scope int, filter string, attributes ...string) ([]*ldap.Entry, checks.Unseen) {
	result, err := s.conn.Search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, maxFound, 0, false, filter, attributes, nil))
	switch {
	case err == nil && base == "" && len(result.Entries) == 0, forbidden(err):
		return nil, checks.Unseen{Code: checks.Denied, Words: cmp.Or(base, "the root DSE") + " cannot be read with this login"}
	case err == nil:
		return result.Entries, checks.Unseen{}
	case !refused(err):
		s.lost = err
	}
	return nil, s.why(err)
}

func (r *reading) readCSNs(s *session) {
	// With the empty suffix the values are in the root DSE; they are operational,
	// and are returned only when requested by name.
	var found []*ldap.Entry
	found, r.NoCSN = s.find("", ldap.ScopeBaseObject, "(objectClass=*)", "contextCSN")
	for _, e := range found {
		r.CSNs = bounded(e.GetAttributeValues("contextCSN"))
	}
}

// readMonitor starts below cn=Monitor: Carbonio allows its administrators to
// read the children, but not the entry itself.
func (r *reading) readMonitor(s *session) {
	var found []*ldap.Entry
	found, r.NoMonitor = s.find("cn=Databases,cn=Monitor", ldap.ScopeWholeSubtree, "(|(objectClass=olmSyncReplInstance)(olmMDBEntries=*))",
		"olmSRProviderURIList", "olmSRConnection", "olmSRSyncPhase", "olmSRLastContact", "olmSRNextConnect", "olmMDBEntries", "namingContexts")
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

// readConfig reads what cn=config says about replication.
func (m *member) readConfig() {
	if m.User == "" {
		m.NoConfig = m.NoLogin
		return
	}
	found, why := m.session.find("cn=config", ldap.ScopeWholeSubtree, "(|(objectClass=olcGlobal)(olcSyncrepl=*))",
		"olcServerID", "olcSyncrepl", "olcMirrorMode", "olcMultiProvider")
	if m.NoConfig = why; why != (checks.Unseen{}) {
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

// option is one option of an olcSyncrepl value, quoted or not.
var option = regexp.MustCompile(`([\w-]+)=("[^"]*"|\S*)`)

// parseAgreement takes from an olcSyncrepl value only what we show: the rest
// holds the password.
func parseAgreement(value string) agreement {
	options := map[string]string{}
	for _, o := range option.FindAllStringSubmatch(value, -1) {
		options[strings.ToLower(o[1])] = strings.Trim(o[2], `"`)
	}
	return agreement{options["rid"], options["provider"], options["starttls"]}
}

func bounded(values []string) []string { return values[:min(len(values), maxValues)] }

// add writes an entry with nothing but a name and a description.
func (s *session) add(dn, name, description string) error {
	request := ldap.NewAddRequest(dn, nil)
	request.Attribute("objectClass", []string{"organizationalRole"})
	request.Attribute("cn", []string{name})
	request.Attribute("description", []string{description})
	return s.conn.Add(request)
}

func (s *session) remove(dn string) error { return s.conn.Del(ldap.NewDelRequest(dn, nil)) }

func missing(err error) bool { return ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) }

func (s *session) has(dn string) (bool, error) {
	_, err := s.conn.Search(ldap.NewSearchRequest(dn, ldap.ScopeBaseObject, ldap.NeverDerefAliases, 1, 0, false, "(objectClass=*)", []string{"1.1"}, nil))
	if missing(err) {
		return false, nil
	}
	return err == nil, err
}

// refused says that the server responded with a refusal.
func refused(err error) bool {
	e, ok := errors.AsType[*ldap.Error](err)
	return ok && e.ResultCode < ldap.ErrorNetwork
}

// forbidden says that the login may not read what it asked for: a server
// responds as if that did not exist.
func forbidden(err error) bool {
	return ldap.IsErrorAnyOf(err, ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights,
		ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultOperationsError)
}

// root is the login that may read cn=config, cn=monitor and all entries;
// zmreplchk uses it too.
const root = "cn=config"

// credentials are a login. They never leave the process.
type credentials struct{ user, password string }

// loginOf fetches the login when it is first needed: that of the configuration,
// else, on a directory server, that of cn=config.
func loginOf(ctx context.Context, host checks.Host, a ask) func() (credentials, error) {
	return sync.OnceValues(func() (credentials, error) {
		switch {
		case a.Login.User != "":
			password, err := host.Secret(a.Login.Password)
			if err != nil {
				return credentials{}, fmt.Errorf("the password of %s: %w", a.Login.User, err)
			}
			return credentials{a.Login.User, password}, nil
		case a.Installed:
			return localLogin(ctx, host)
		}
		return credentials{}, errors.New("no login is known: set logins.directory in the configuration, or run as root on a directory server")
	})
}

// localLogin reads the login from Carbonio's local configuration, as zmreplchk
// does. If that takes long, it leaves the time for what can be read anonymously.
func localLogin(ctx context.Context, host checks.Host) (credentials, error) {
	ctx, cancel := checks.Share(ctx, 2.0/3)
	defer cancel()
	run, err := host.Zextras(ctx)
	if err != nil {
		return credentials{}, err
	}
	text, err := run(ctx, "/opt/zextras/bin/zmlocalconfig -x -s ldap_master_root_password ldap_root_password")
	values := map[string]string{}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " = ")
		values[name] = value
	}
	if password := cmp.Or(values["ldap_master_root_password"], values["ldap_root_password"]); password != "" {
		return credentials{root, password}, nil
	}
	// Nothing of the output may be shown, and of the error only its kind.
	if exit, ok := errors.AsType[*checks.ExitError](err); ok {
		return credentials{}, fmt.Errorf("zmlocalconfig exited with status %d", exit.Code)
	} else if err != nil {
		return credentials{}, fmt.Errorf("zmlocalconfig did not run: %w", err)
	}
	return credentials{}, errors.New("zmlocalconfig shows no ldap_root_password")
}
