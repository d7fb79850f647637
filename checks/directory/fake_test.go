package directory

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/jimlambrt/gldap"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

// secret is the password of cn=config on every fake.
const secret = "s3cret"

// A fake is a directory server that answers what it holds.
type fake struct {
	tls      *tls.Config // nil: it refuses StartTLS
	mute     bool        // it shakes hands, and answers no question
	csns     func(asked int) []string
	ids      []string
	syncrepl []string
	links    map[string]string // the connection by provider
	entries  string
	shelf    *shelf // where canaries land
	keeps    bool   // it deletes nothing itself

	mu      sync.Mutex
	asked   int
	bound   map[int]bool
	release chan struct{}
}

// A shelf holds entries; servers that share one replicate at once.
type shelf struct {
	mu      sync.Mutex
	entries map[string]bool
	deleted int
	stuck   bool   // nothing can be taken away
	added   func() // called when something was added
}

// start serves the fake, and returns where.
func (f *fake) start(t *testing.T) string {
	t.Helper()
	f.bound, f.release = map[int]bool{}, make(chan struct{})
	server, err := gldap.NewServer(gldap.WithLogger(hclog.New(&hclog.LoggerOptions{Output: io.Discard})))
	require.NoError(t, err)
	mux, err := gldap.NewMux()
	require.NoError(t, err)
	require.NoError(t, mux.Bind(f.bind))
	require.NoError(t, mux.ExtendedOperation(f.startTLS, gldap.ExtendedOperationStartTLS))
	require.NoError(t, mux.Search(f.search))
	require.NoError(t, mux.Add(f.add))
	require.NoError(t, mux.Delete(f.delete))
	require.NoError(t, server.Router(mux))
	address := unused(t)
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Run(address) }()
	for !server.Ready() {
		time.Sleep(time.Millisecond)
	}
	t.Cleanup(func() { close(f.release); _ = server.Stop(); <-done })
	return address
}

// unused is an address that nobody listens on: not the usual one, where another
// test might take the port before we do.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.89.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (f *fake) startTLS(w *gldap.ResponseWriter, r *gldap.Request) {
	code := gldap.ResultSuccess
	if f.tls == nil {
		code = gldap.ResultProtocolError
	}
	res := r.NewExtendedResponse(gldap.WithResponseCode(code))
	res.SetResponseName(gldap.ExtendedOperationStartTLS)
	_ = w.Write(res)
	if f.tls != nil {
		_ = r.StartTLS(f.tls)
	}
}

func (f *fake) bind(w *gldap.ResponseWriter, r *gldap.Request) {
	m, err := r.GetSimpleBindMessage()
	code := gldap.ResultInvalidCredentials
	if err == nil && m.UserName == root && string(m.Password) == secret {
		code = gldap.ResultSuccess
		f.mu.Lock()
		f.bound[r.ConnectionID()] = true
		f.mu.Unlock()
	}
	_ = w.Write(r.NewBindResponse(gldap.WithResponseCode(code)))
}

func (f *fake) search(w *gldap.ResponseWriter, r *gldap.Request) {
	if f.mute {
		<-f.release
	}
	m, err := r.GetSearchMessage()
	if err != nil {
		return
	}
	f.mu.Lock()
	allowed := f.bound[r.ConnectionID()]
	f.mu.Unlock()
	give := func(dn string, attributes map[string][]string) {
		_ = w.Write(r.NewSearchResponseEntry(dn, gldap.WithAttributes(attributes)))
	}
	code := gldap.ResultNoSuchObject
	if (m.BaseDN == "" || allowed) && f.gives(m.BaseDN, give) {
		code = gldap.ResultSuccess
	}
	_ = w.Write(r.NewSearchDoneResponse(gldap.WithResponseCode(code)))
}

// gives gives what is found at and below an entry, if there is one.
func (f *fake) gives(base string, give func(dn string, attributes map[string][]string)) bool {
	switch base {
	case "":
		f.mu.Lock()
		asked := f.asked
		f.asked++
		f.mu.Unlock()
		give("", map[string][]string{"contextCSN": f.csns(asked)})
	case "cn=config":
		give("cn=config", map[string][]string{"olcServerID": f.ids})
		give("olcDatabase={3}mdb,cn=config", map[string][]string{"olcSyncrepl": f.syncrepl, "olcMirrorMode": {"TRUE"}})
	case "cn=Databases,cn=Monitor":
		give("cn=Database 3", map[string][]string{"namingContexts": {""}, "olmMDBEntries": {f.entries}})
		for provider, conn := range f.links {
			give("cn=Consumer", map[string][]string{"olmSRProviderURIList": {provider}, "olmSRConnection": {conn}, "olmSRSyncPhase": {"Persist"}})
		}
	default:
		f.shelf.mu.Lock()
		there := f.shelf.entries[base]
		f.shelf.mu.Unlock()
		if there {
			give(base, nil)
		}
		return there
	}
	return true
}

func (f *fake) add(w *gldap.ResponseWriter, r *gldap.Request) {
	m, err := r.GetAddMessage()
	if err != nil {
		return
	}
	f.shelf.mu.Lock()
	f.shelf.entries[m.DN] = true
	f.shelf.mu.Unlock()
	if f.shelf.added != nil {
		f.shelf.added()
	}
	_ = w.Write(r.NewResponse(gldap.WithApplicationCode(gldap.ApplicationAddResponse), gldap.WithResponseCode(gldap.ResultSuccess)))
}

func (f *fake) delete(w *gldap.ResponseWriter, r *gldap.Request) {
	m, err := r.GetDeleteMessage()
	if err != nil {
		return
	}
	code := gldap.ResultUnwillingToPerform
	f.shelf.mu.Lock()
	if !f.keeps && !f.shelf.stuck {
		code = gldap.ResultSuccess
		delete(f.shelf.entries, m.DN)
		f.shelf.deleted++
	}
	f.shelf.mu.Unlock()
	_ = w.Write(r.NewResponse(gldap.WithApplicationCode(gldap.ApplicationDelResponse), gldap.WithResponseCode(code)))
}

// An authority signs the certificates of the fakes.
type authorityOf struct {
	pem  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authorityOf {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().AddDate(-1, 0, 0),
		NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	require.NoError(t, err)
	return authorityOf{string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), cert, key}
}

func (a authorityOf) issue(t *testing.T, from, until time.Time, common string, names ...string) *tls.Config {
	t.Helper()
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: common}, DNSNames: names, NotBefore: from, NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, a.cert, a.key.Public(), a.key)
	require.NoError(t, err)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: a.key}}}
}

// A lab is two masters of which the tests serve what they like.
type lab struct {
	ca    authorityOf
	scope checks.Scope
	host  checks.Host
	at    map[string]string // where an address of the platform really is
	fails error             // of a dial to where nobody listens
}

const (
	one = "ldap1.example.com"
	two = "ldap2.example.com"
)

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{ca: newAuthority(t), at: map[string]string{}, fails: &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}
	l.scope = checkstest.Scope(checkstest.Node(one, "10.0.0.1", platform.Directory), checkstest.Node(two, "10.0.0.2", platform.Directory))
	l.scope.Topology.Inventory = &platform.Inventory{}
	l.host = checks.Host{
		Files:   checkstest.Files(map[string]string{"opt/zextras/conf/ca/ca.pem": l.ca.pem}),
		Machine: checkstest.Machine{},
		Run: checkstest.Commands(map[string]string{
			"su - zextras -c /opt/zextras/bin/zmlocalconfig -x -s ldap_master_root_password ldap_root_password": "welcome\nldap_root_password = " + secret + "\n",
		}),
		Network: checkstest.Network{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			if at := l.at[address]; at != "" {
				return (&net.Dialer{}).DialContext(ctx, network, at)
			}
			return nil, l.fails
		}},
	}
	return l
}

// serve puts a fake at a master's port 389.
func (l *lab) serve(t *testing.T, i int, f *fake) {
	t.Helper()
	l.at[netip.AddrPortFrom(l.scope.Topology.Nodes[i].Address, 389).String()] = f.start(t)
}

// well is a fake that is as it should be: the one of two masters at i.
func (l *lab) well(t *testing.T, i int, s *shelf) *fake {
	t.Helper()
	names := []string{one, two}
	other := "ldap://" + names[1-i] + ":389/"
	return &fake{
		tls:      l.ca.issue(t, time.Now().Add(-time.Hour), time.Now().AddDate(0, 1, 0), names[i], names[i]),
		csns:     func(int) []string { return []string{csn1, csn2} },
		ids:      []string{string('1' + rune(i))},
		syncrepl: []string{"{0}rid=100 provider=" + other + " bindmethod=simple binddn=uid=zmreplica,cn=admins,cn=zimbra credentials=" + secret + " starttls=critical filter=\"(objectclass=*)\""},
		links:    map[string]string{other: "IP=10.0.0.1:389"},
		entries:  "100", shelf: s,
	}
}

const (
	csn1  = "20261122004857.148561Z#000000#001#000000"
	csn2  = "20261122004857.204598Z#000000#002#000000"
	later = "20261122004900.304598Z#000000#002#000000"
)

// find gives the findings of a check as "status target: message".
func find(findings []checks.Finding, check *checks.Check) []string {
	var out []string
	for _, f := range findings {
		if f.Check == check {
			out = append(out, string(f.Status)+" "+f.Target+": "+f.Message)
		}
	}
	return out
}

// plenty is for a look that ends long before, on any machine.
const plenty = 30 * time.Second

// look observes the servers within a time, and judges.
func (l *lab) look(t *testing.T, timeout time.Duration) (snapshot, []checks.Finding) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	seen, err := observe(ctx, l.host, l.target(t))
	require.NoError(t, err)
	for _, word := range []string{secret, "credentials"} {
		require.NotContains(t, string(raw(t, seen)), word)
	}
	return seen, judged(t, l.scope, servers, l.target(t), seen, nil)
}

// target is all servers.
func (l *lab) target(t *testing.T) checks.Target[ask] {
	t.Helper()
	targets, err := targets(l.scope, l.host)
	require.NoError(t, err)
	require.Len(t, targets, 1)
	return targets[0]
}

// statuses gives "check target" of what is not a pass.
func statuses(findings []checks.Finding) map[string]checks.Status {
	out := map[string]checks.Status{}
	for _, f := range findings {
		if f.Status != checks.Pass && f.Status != checks.Skip {
			out[strings.TrimPrefix(f.Check.ID, "directory.")+" "+f.Target] = f.Status
		}
	}
	return out
}
