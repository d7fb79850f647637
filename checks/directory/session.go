package directory

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"

	"carbonio-check/checks"
)

// What a server may send. Its answers to us are a few kilobytes; the library's
// own bounds are 2 GiB and a thousand levels, each of which holds a copy.
const (
	maxBytes  = 4 << 20 // on one connection
	maxPacket = 1 << 18 // of small things it becomes a hundred times as much in memory
	maxNested = 32
	maxFound  = 100 // entries of one search
)

// bound bounds what the library's decoder takes: it knows only one bound for
// the whole program.
var bound = sync.OnceFunc(func() { ber.MaxPacketLengthBytes, ber.MaxNestingDepth = maxPacket, maxNested })

var errFlood = fmt.Errorf("the server sent more than %d bytes", maxBytes)

// capped is a connection that ends after so many bytes.
type capped struct {
	net.Conn
	left    int
	flooded atomic.Bool
}

func (c *capped) Read(p []byte) (int, error) {
	if c.left <= 0 {
		c.flooded.Store(true)
		return 0, errFlood
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// A session is a connection to one server. Its bounds in time are the
// connection's own: those of the library forget the handshake, and hold up
// everything else for as long again when they strike meanwhile.
type session struct {
	ctx  context.Context // until when answers are awaited
	raw  *capped
	conn *ldap.Conn // from encrypt on
	stop func() bool
}

// open connects within the connect context; the session lives as long as ctx.
func open(ctx, connect context.Context, network checks.Network, address string) (*session, error) {
	bound()
	raw, err := network.Dial(connect, "tcp", address)
	if err != nil {
		return nil, err
	}
	s := &session{raw: &capped{Conn: raw, left: maxBytes}}
	s.stop = context.AfterFunc(ctx, func() { raw.Close() })
	s.within(connect)
	return s, nil
}

// within awaits answers until the deadline of a context.
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

// word words why a request failed. The library keeps only the words of what
// ended a connection, and not even these for what is asked afterwards.
func (s *session) word(err error) string {
	switch {
	case s.raw.flooded.Load():
		return errFlood.Error()
	case late(s.ctx, err):
		return noAnswer
	}
	return err.Error()
}

// A certificate is a server's, and what is wrong with it.
type certificate struct {
	Subject string    `json:"subject,omitempty"`
	Issuer  string    `json:"issuer,omitempty"`
	Until   time.Time `json:"until,omitzero"`
	Fault   string    `json:"fault,omitempty"` // in the words of the verification
	Why     string    `json:"why,omitempty"`   // expired, early, name, authority
}

// The reasons why a certificate does not hold.
const (
	expired   = "expired"
	early     = "early"
	wrongName = "name"
	authority = "authority"
)

// tlsFor accepts every certificate: which one it is, is for the judge to say,
// and no password is sent where it does not hold.
func tlsFor(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true} //nolint:gosec // examined, see above
}

// askTLS is the request for StartTLS, as message 1 (RFC 4511, 4.14).
const askTLS = "\x30\x1d\x02\x01\x01\x77\x18\x80\x16" + "1.3.6.1.4.1.1466.20037"

// encrypt asks for StartTLS, and examines the certificate. From here on the
// library speaks, in the clear where that was refused. This much is not left to
// it: it reads one message, whoever that answers, and shakes hands without end.
func (s *session) encrypt(name string, roots *x509.CertPool) (*certificate, error) {
	if err := s.agreeTLS(); err != nil {
		if refused(err) {
			s.speak(s.raw, false)
		}
		return nil, err
	}
	conn, c, err := shake(s.ctx, s.raw, name, roots)
	if err == nil {
		s.speak(conn, true)
	}
	return c, err
}

func (s *session) speak(conn net.Conn, encrypted bool) {
	s.conn = ldap.NewConn(conn, encrypted)
	s.conn.Start()
}

// agreeTLS asks for StartTLS, and reads the answer and not a byte more.
func (s *session) agreeTLS() error {
	if _, err := io.WriteString(s.raw, askTLS); err != nil {
		return err
	}
	answer, err := ber.ReadPacket(s.raw)
	if err != nil {
		return fmt.Errorf("the answer to StartTLS: %w", err)
	}
	if len(answer.Children) < 2 || answer.Children[0].Value != int64(1) {
		return errors.New("the answer to StartTLS: it answers what nobody asked")
	}
	return ldap.GetLDAPError(answer)
}

// shake shakes hands, and examines the certificate.
func shake(ctx context.Context, raw net.Conn, name string, roots *x509.CertPool) (*tls.Conn, *certificate, error) {
	conn := tls.Client(raw, tlsFor(name))
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, nil, fmt.Errorf("TLS handshake: %w", err)
	}
	c := examine(conn.ConnectionState().PeerCertificates, name, roots)
	return conn, &c, nil
}

// knockTLS shakes hands on a port that speaks nothing but TLS.
func knockTLS(ctx context.Context, network checks.Network, address, name string, roots *x509.CertPool) (*certificate, error) {
	raw, err := network.Dial(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer raw.Close()
	_, c, err := shake(ctx, &capped{Conn: raw, left: maxBytes}, name, roots)
	return c, err
}

// examine says what a certificate is, and why it does not hold.
func examine(chain []*x509.Certificate, name string, roots *x509.CertPool) certificate {
	if len(chain) == 0 {
		return certificate{Fault: "the server shows no certificate", Why: authority}
	}
	leaf := chain[0]
	c := certificate{Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), Until: leaf.NotAfter}
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, other := range chain[1:] {
		options.Intermediates.AddCert(other)
	}
	now := time.Now()
	switch _, err := leaf.Verify(options); {
	case now.After(leaf.NotAfter):
		c.Why, c.Fault = expired, "it has expired"
	case now.Before(leaf.NotBefore):
		c.Why, c.Fault = early, "it is not yet valid"
	case err != nil:
		c.Why, c.Fault = authority, err.Error()
	default:
		// libldap still takes the common name where there is no other.
		bare := len(leaf.DNSNames)+len(leaf.IPAddresses) == 0 && leaf.Subject.CommonName == name
		if err := leaf.VerifyHostname(name); err != nil && !bare {
			c.Why, c.Fault = wrongName, err.Error()
		}
	}
	return c
}

func (s *session) bind(user, password string) error { return s.conn.Bind(user, password) }

// An entry is what a search found: a name, and the values of each attribute.
type entry = ldap.Entry

// What a search reaches: the entry alone, or all below it too.
const (
	alone = ldap.ScopeBaseObject
	below = ldap.ScopeWholeSubtree
)

// find searches.
func (s *session) find(base string, scope int, filter string, attributes ...string) ([]*entry, error) {
	result, err := s.conn.Search(ldap.NewSearchRequest(base, scope, ldap.NeverDerefAliases, maxFound, 0, false, filter, attributes, nil))
	if err != nil {
		return nil, err
	}
	return result.Entries, nil
}

// add writes an entry that is nothing but a name and a description.
func (s *session) add(dn, name, description string) error {
	request := ldap.NewAddRequest(dn, nil)
	request.Attribute("objectClass", []string{"organizationalRole"})
	request.Attribute("cn", []string{name})
	request.Attribute("description", []string{description})
	return s.conn.Add(request)
}

func (s *session) remove(dn string) error { return s.conn.Del(ldap.NewDelRequest(dn, nil)) }

// missing says that the entry is not there.
func missing(err error) bool { return ldap.IsErrorWithCode(err, ldap.LDAPResultNoSuchObject) }

// has says whether the entry is there.
func (s *session) has(dn string) (bool, error) {
	_, err := s.find(dn, alone, "(objectClass=*)", "1.1")
	if missing(err) {
		return false, nil
	}
	return err == nil, err
}

// refused says that the server answered, and did not want to.
func refused(err error) bool {
	e, ok := errors.AsType[*ldap.Error](err)
	return ok && e.ResultCode < ldap.ErrorNetwork
}

// forbidden says that the login may not read what it asked for: a server does
// not tell that from what is not there.
func forbidden(err error) bool {
	e, ok := errors.AsType[*ldap.Error](err)
	return ok && slices.Contains([]uint16{
		ldap.LDAPResultNoSuchObject, ldap.LDAPResultInsufficientAccessRights,
		ldap.LDAPResultStrongAuthRequired, ldap.LDAPResultInappropriateAuthentication, ldap.LDAPResultOperationsError,
	}, e.ResultCode)
}
