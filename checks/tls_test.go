package checks_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

// day 0 of the certificates of the tests.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func day(n int) time.Time { return epoch.Add(time.Duration(n) * 24 * time.Hour) }

// issue makes a certificate that is valid between two days; without an issuer it
// signs itself.
func issue(t *testing.T, from, to int, issuer *x509.Certificate, signer *ecdsa.PrivateKey, change func(*x509.Certificate)) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "svc1.example.com"},
		NotBefore: day(from), NotAfter: day(to), BasicConstraintsValid: true, DNSNames: []string{"svc1.example.com"},
		IPAddresses: []net.IP{net.IPv4(10, 0, 0, 1)},
	}
	change(c)
	if issuer == nil {
		issuer, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, issuer, key.Public(), signer)
	require.NoError(t, err)
	out, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return out, key
}

func authority(t *testing.T, from, to int) (*x509.Certificate, *ecdsa.PrivateKey) {
	return issue(t, from, to, nil, nil, func(c *x509.Certificate) {
		c.IsCA, c.KeyUsage, c.Subject.CommonName, c.DNSNames, c.IPAddresses = true, x509.KeyUsageCertSign, "CA", nil, nil
	})
}

// What is wrong with a certificate is judged by when it was seen, not by the
// clock of whoever examines it.
func TestCertificates(t *testing.T) {
	ca, caKey := authority(t, 0, 1000)
	leaf, _ := issue(t, 100, 200, ca, caKey, func(*x509.Certificate) {})
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	c := checks.Examine([]*x509.Certificate{leaf}, "svc1.example.com", roots)
	assert.Equal(t, []string{"svc1.example.com", "10.0.0.1"}, c.Names)
	for at, want := range map[int]checks.Fault{50: checks.NotYetValid, 150: "", 250: checks.Expired} {
		assert.Equal(t, want, c.Fault(day(at)), "day %d", at)
	}
	for at, want := range map[int]string{50: "is not valid before 2026-04-11", 150: "", 250: "expired on 2026-07-20"} {
		assert.Equal(t, want, c.Words(day(at), "svc1.example.com"))
	}
	assert.Equal(t, "is not for svc2.example.com", checks.Examine([]*x509.Certificate{leaf}, "svc2.example.com", roots).Words(day(150), "svc2.example.com"))
	assert.Contains(t, checks.Examine([]*x509.Certificate{leaf}, "svc1.example.com", x509.NewCertPool()).Words(day(150), ""), "is not trusted: x509: ")
	assert.Equal(t, "is missing: the server presents none", checks.Examine(nil, "", roots).Words(day(150), ""))
	assert.Equal(t, checks.OtherName, checks.Examine([]*x509.Certificate{leaf}, "svc2.example.com", roots).Fault(day(150)))
	assert.Equal(t, checks.UntrustedCA, checks.Examine([]*x509.Certificate{leaf}, "svc1.example.com", x509.NewCertPool()).Fault(day(150)))
	assert.Equal(t, checks.NoCertificate, checks.Examine(nil, "svc1.example.com", roots).Fault(day(150)))

	// An authority that was renewed has other dates than what it issued before.
	renewed, renewedKey := authority(t, 190, 1000)
	old, _ := issue(t, 100, 200, renewed, renewedKey, func(*x509.Certificate) {})
	pool := x509.NewCertPool()
	pool.AddCert(renewed)
	assert.Empty(t, checks.Examine([]*x509.Certificate{old}, "svc1.example.com", pool).Fault(day(195)))

	// A chain ends with the first of its certificates that does.
	middle, middleKey := issue(t, 120, 150, ca, caKey, func(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign })
	below, _ := issue(t, 100, 200, middle, middleKey, func(*x509.Certificate) {})
	c = checks.Examine([]*x509.Certificate{below, middle}, "svc1.example.com", roots)
	assert.Empty(t, c.Fault(day(130)))
	assert.Equal(t, checks.Expired, c.Fault(day(160)))
	assert.Equal(t, checks.NotYetValid, c.Fault(day(110)))

	bare, _ := issue(t, 100, 200, ca, caKey, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = nil, nil })
	c = checks.Examine([]*x509.Certificate{bare}, "svc1.example.com", roots)
	assert.True(t, c.Bare("svc1.example.com"))
	assert.False(t, c.Bare("svc2.example.com"))
	assert.True(t, c.Misnamed)
}

func TestRoots(t *testing.T) {
	ca, _ := authority(t, 0, 1000)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))
	roots, ours := checks.Host{Files: checkstest.Files(map[string]string{"opt/zextras/conf/ca/ca.pem": text, "opt/zextras/conf/ca/ca.key": "none"})}.Roots()
	assert.Equal(t, 1, ours)
	leaf := checks.Examine([]*x509.Certificate{ca}, "x", roots)
	assert.Empty(t, leaf.Untrusted)
	_, ours = checks.Host{}.Roots()
	assert.Zero(t, ours)
}

// serve answers every request with f, at an address that only it has.
func serve(t *testing.T, f http.HandlerFunc) (checks.Network, string) {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return checkstest.Network{}, s.URL
}

func TestAClientReadsNoMoreThanItCanBear(t *testing.T) {
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		err    string
	}{
		"fine":  {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `[{"a":1}]`) }, ""},
		"large": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat(" ", 2<<20)) }, "larger than 1048576 bytes"},
		"many": {func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "["+strings.Repeat("{},", 300_000)+"{}]")
		}, "more than 200000 values"},
		"deep":    {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, strings.Repeat("[", 100)) }, "nested deeper than 64"},
		"no JSON": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, "not the expected JSON"},
		"broken": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "x")
		}, "ends early"},
		"quoted": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `[{"b\"[[":"{{{"}]`) }, ""},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://198.51.100.1/", http.StatusFound)
		}, "not the expected JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			network, url := serve(t, tt.answer)
			c := checks.NewClient(network, 1<<20, time.Minute)
			defer c.Close()
			a, err := c.Get(t.Context(), url, http.Header{"X-Token": {"s"}})
			var v []map[string]any
			if err == nil {
				err = a.JSON(&v)
			}
			if tt.err == "" {
				require.NoError(t, err)
				assert.Len(t, v, 1)
				return
			}
			require.ErrorContains(t, err, tt.err)
		})
	}
}

func TestAClientsErrors(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	c := checks.NewClient(checkstest.Network{}, 1, 0)
	_, err = c.Get(t.Context(), "http://"+l.Addr().String()+"/secret", nil)
	require.ErrorContains(t, err, "refused")
	assert.NotContains(t, err.Error(), "/secret")
	_, err = c.Get(t.Context(), "http://\x00", nil)
	require.Error(t, err)
	_, err = netip.ParseAddrPort(l.Addr().String())
	require.NoError(t, err)
}

// What a server says of an error is one line, short, and without our secrets.
func TestWordsOfAServer(t *testing.T) {
	of := func(body string, secrets ...string) string {
		return checks.Answer{Body: []byte(body)}.Words(secrets...)
	}
	assert.Equal(t, "bad token [redacted]", of("  bad token hunter2\nmore", "hunter2", ""))
	assert.Len(t, of(strings.Repeat("x", 1000)), 200)
	assert.NotContains(t, of(strings.Repeat("x", 199)+"é"), "\xc3")
}
