package checks

import (
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"syscall"
	"time"
)

// maxNames bounds the names of a certificate that are kept.
const maxNames = 50

// A Certificate is what a server presented in a TLS handshake: facts, from which
// [Certificate.Fault] determines what is wrong at a given time.
type Certificate struct {
	Subject string    `json:"subject,omitempty"`
	Issuer  string    `json:"issuer,omitempty"`
	From    time.Time `json:"from,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Names   []string  `json:"names,omitempty"` // of hosts, and addresses
	// Common is the subject's common name, which libldap still takes where a
	// certificate holds no other name.
	Common string `json:"common,omitempty"`
	// Untrusted is why it is not trusted, whatever the time.
	Untrusted string `json:"untrusted,omitempty"`
	// Misnamed says that it is not for the name that was asked for.
	Misnamed bool `json:"misnamed,omitempty"`
	// None: the server presented no certificate.
	None bool `json:"none,omitempty"`
}

// Fault is what is wrong with a certificate.
type Fault string

// The faults; the zero value is none.
const (
	Expired       Fault = "expired"
	NotYetValid   Fault = "not yet valid"
	OtherName     Fault = "other name"
	UntrustedCA   Fault = "untrusted"
	NoCertificate Fault = "none"
)

// Examine describes the certificate that a server showed for a name, and whether
// the roots vouch for it at any time within its dates.
func Examine(chain []*x509.Certificate, name string, roots *x509.CertPool) Certificate {
	if len(chain) == 0 {
		return Certificate{None: true}
	}
	leaf := chain[0]
	c := Certificate{
		Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(),
		From: leaf.NotBefore, Until: leaf.NotAfter, Common: leaf.Subject.CommonName,
	}
	c.Names = slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		c.Names = append(c.Names, ip.String())
	}
	c.Names = c.Names[:min(len(c.Names), maxNames)]
	c.Misnamed = leaf.VerifyHostname(name) != nil
	options := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, other := range chain[1:] {
		options.Intermediates.AddCert(other)
		if other.NotAfter.Before(c.Until) {
			c.Until = other.NotAfter
		}
		if other.NotBefore.After(c.From) {
			c.From = other.NotBefore
		}
	}
	c.Untrusted = untrusted(leaf, options, c.From, c.Until)
	return c
}

// untrusted is why nobody vouches for a certificate at any time within its
// dates; the dates themselves are for the judge. An authority may have dates of
// its own, so three moments are tried.
func untrusted(leaf *x509.Certificate, options x509.VerifyOptions, from, until time.Time) string {
	var err error
	for _, at := range []time.Time{from.Add(until.Sub(from) / 2), until, from} {
		options.CurrentTime = at
		if _, err = leaf.Verify(options); err == nil {
			return ""
		}
	}
	return err.Error()
}

// Bare says whether the certificate holds no name but a common one, which is
// the name asked for.
func (c Certificate) Bare(name string) bool {
	return len(c.Names) == 0 && strings.EqualFold(c.Common, name)
}

// Fault says what is wrong with the certificate at a time: the first of the
// dates, the authority and the name.
func (c Certificate) Fault(at time.Time) Fault {
	switch {
	case c.None:
		return NoCertificate
	case at.After(c.Until):
		return Expired
	case at.Before(c.From):
		return NotYetValid
	case c.Untrusted != "":
		return UntrustedCA
	case c.Misnamed:
		return OtherName
	}
	return ""
}

// Words say what is wrong with the certificate at a time: "expired on 2026-03-01"; empty where nothing is.
func (c Certificate) Words(at time.Time, name string) string {
	switch c.Fault(at) {
	case NoCertificate:
		return "is missing: the server presents none"
	case Expired:
		return "expired on " + c.Until.UTC().Format(time.DateOnly)
	case NotYetValid:
		return "is not valid before " + c.From.UTC().Format(time.DateOnly)
	case UntrustedCA:
		return "is not trusted: " + c.Untrusted
	case OtherName:
		return "is not for " + name
	}
	return ""
}

// hungUp says whether the peer closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

const (
	// caFolder holds every authority that Carbonio trusts, its own among them (CCU zmcertmgr).
	caFolder = "opt/zextras/conf/ca"
	// maxCAs bounds how many files of it are read.
	maxCAs = 64
)

// SystemRoots are the authorities that the system trusts; none where it names none.
func SystemRoots() *x509.CertPool {
	roots, err := x509.SystemCertPool()
	if err != nil {
		return x509.NewCertPool()
	}
	return roots
}

// Roots are the authorities that the system and Carbonio trust, and how many
// files of the latter there were to read.
func (h Host) Roots() (roots *x509.CertPool, carbonio int) {
	roots = SystemRoots()
	if h.Files == nil {
		return roots, 0
	}
	files, _ := fs.Glob(h.Files, caFolder+"/*") // the pattern is sound
	for _, file := range files[:min(len(files), maxCAs)] {
		if text, err := h.ReadFile(file); err == nil && roots.AppendCertsFromPEM([]byte(text)) {
			carbonio++
		}
	}
	return roots, carbonio
}
