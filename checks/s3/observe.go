package s3

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
	"carbonio-check/s3bench/store"
)

// maxAddresses is how many addresses of an endpoint are tried: a cluster behind
// one name has a handful.
const maxAddresses = 16

// Observe looks at one target.
func (Module) Observe(ctx context.Context, host checks.Host, target checks.Target) (any, error) {
	switch target.Kind {
	case kindEndpoint:
		return observeEndpoint(ctx, host, bucketOf(target))
	case kindBucket:
		return observeBucket(ctx, host, bucketOf(target))
	case kindShared:
		return observeShared(ctx, host, target)
	case kindBenchmark:
		return observeBenchmark(ctx, host, bucketOf(target))
	default:
		return observeCarbonio(ctx, host)
	}
}

// open prepares a bucket with its credentials. The errors hold none.
func open(host checks.Host, b platform.Bucket) (*store.Store, error) {
	if host.Secret == nil {
		return nil, errors.New("credentials cannot be fetched here")
	}
	access, err := host.Secret(b.AccessKey)
	if err != nil {
		return nil, fmt.Errorf("access_key: %w", err)
	}
	secret, err := host.Secret(b.SecretKey)
	if err != nil {
		return nil, fmt.Errorf("secret_key: %w", err)
	}
	ca, err := readCA(host, b)
	if err != nil {
		return nil, err
	}
	return store.Open(store.Config{
		Endpoint: b.Endpoint, Bucket: b.Bucket, Region: b.Region, PathStyle: b.PathStyle,
		CAPEM: ca, AccessKey: access, SecretKey: secret, Dial: host.Network.Dial,
	})
}

func readCA(host checks.Host, b platform.Bucket) ([]byte, error) {
	if b.CAFile == "" {
		return nil, nil
	}
	text, err := host.ReadFile(b.CAFile)
	if err != nil {
		if p, ok := errors.AsType[*fs.PathError](err); ok {
			err = p.Err // the path is named below, with its slash
		}
		return nil, fmt.Errorf("ca_file %s: %w", b.CAFile, err)
	}
	return []byte(text), nil
}

// door is what an endpoint shows to anybody.
type door struct {
	Plain   bool     `json:"plain,omitempty"`   // http
	CAFile  string   `json:"ca_file,omitempty"` // that was trusted too
	NoCA    string   `json:"no_ca,omitempty"`   // why it could not be
	Resolve string   `json:"resolve,omitempty"` // why the name has no address
	Answers []answer `json:"answers,omitempty"` // one for each address
	Ignored int      `json:"ignored,omitzero"`  // addresses beyond those
	Style   string   `json:"style,omitempty"`   // the name that the bucket's is put before
}

// answer is what one address of an endpoint did.
type answer struct {
	Address string       `json:"address"`
	Dial    string       `json:"dial,omitempty"` // why it could not be connected
	TLS     *certificate `json:"tls,omitempty"`
	HTTP    string       `json:"http,omitempty"` // why no answer came
	Status  int          `json:"status,omitempty"`
	// Of a refusal only these two are kept: who knows what else it holds.
	WantsTLS  bool `json:"wants_tls,omitempty"`
	Throttled bool `json:"throttled,omitempty"`
	// Skew is the server's clock minus ours, to the second: its Date has no more.
	Skew *time.Duration `json:"skew,omitempty"`
}

// certificate is a server's, and what is wrong with it.
type certificate struct {
	Subject string    `json:"subject,omitempty"`
	Issuer  string    `json:"issuer,omitempty"`
	Names   []string  `json:"names,omitempty"`
	From    time.Time `json:"from,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Fault   string    `json:"fault,omitempty"` // the words of the verification, or of the handshake
	Why     string    `json:"why,omitempty"`   // "expired", "early", "name", "authority", "handshake"
}

// maxNames bounds the names of a certificate that are kept.
const maxNames = 20

func observeEndpoint(ctx context.Context, host checks.Host, b platform.Bucket) (any, error) {
	d := door{Plain: plain(b), CAFile: b.CAFile}
	name, port, err := net.SplitHostPort(address(b))
	if err != nil {
		return nil, err
	}
	if _, base, ok := strings.Cut(b.Endpoint, "://"); ok && !strings.HasPrefix(base, name) {
		d.Style = base
	}
	roots, err := trusted(host, b)
	if err != nil {
		d.NoCA = err.Error()
	}
	addresses, err := resolve(ctx, host, name)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		d.Resolve = err.Error()
		return d, nil
	}
	d.Ignored = max(0, len(addresses)-maxAddresses)
	addresses = addresses[:len(addresses)-d.Ignored]
	d.Answers = make([]answer, len(addresses))
	var all sync.WaitGroup
	for i, a := range addresses {
		all.Go(func() { d.Answers[i] = knock(ctx, host, net.JoinHostPort(a.String(), port), name, roots, d.Plain) })
	}
	all.Wait()
	return d, nil
}

func trusted(host checks.Host, b platform.Bucket) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	ca, err := readCA(host, b)
	if err == nil && ca != nil && !roots.AppendCertsFromPEM(ca) {
		err = fmt.Errorf("ca_file %s holds no PEM certificate", b.CAFile)
	}
	return roots, err
}

func resolve(ctx context.Context, host checks.Host, name string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return []netip.Addr{a}, nil
	}
	addresses, err := host.Network.Lookup(ctx, name)
	if err == nil && len(addresses) == 0 {
		err = errors.New("it has no address")
	}
	return addresses, err
}

// knock connects to one address, shakes hands, and asks for / without
// credentials: whatever the answer, it tells the time.
func knock(ctx context.Context, host checks.Host, address, name string, roots *x509.CertPool, plain bool) answer {
	a := answer{Address: address}
	conn, err := host.Network.Dial(ctx, "tcp", address)
	if err != nil {
		a.Dial = ended(ctx, err)
		return a
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if !plain {
		// The certificate is judged by hand: what is wrong with it is to be told,
		// and the clock is behind it. No secret is sent.
		secure := tls.Client(conn, &tls.Config{ServerName: name, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			a.TLS = &certificate{Fault: ended(ctx, err), Why: "handshake"}
			return a
		}
		c := examine(secure.ConnectionState().PeerCertificates, name, roots)
		a.TLS, conn = &c, secure
	}
	a.ask(ctx, conn, name)
	return a
}

// ended says that it was our time that was over, where it was.
func ended(ctx context.Context, err error) string {
	if ctx.Err() != nil {
		return "no answer in time"
	}
	return err.Error()
}

// ask sends one request over the connection.
func (a *answer) ask(ctx context.Context, conn net.Conn, name string) {
	client := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true,
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+name+"/", nil)
	if err != nil {
		a.HTTP = err.Error()
		return
	}
	sent := time.Now()
	resp, err := client.RoundTrip(req)
	if err != nil {
		a.HTTP = ended(ctx, err)
		a.WantsTLS = strings.Contains(a.HTTP, `malformed HTTP response "\x15\x03`) // a TLS alert
		return
	}
	defer resp.Body.Close()
	a.Status = resp.StatusCode
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// Both ends of the exchange bound the moment of the answer; its Date has
		// lost up to a second.
		middle := sent.Add(time.Since(sent) / 2)
		skew := date.Add(500 * time.Millisecond).Sub(middle).Round(time.Second)
		a.Skew = &skew
	}
	if resp.StatusCode >= http.StatusBadRequest {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		a.Throttled = bytes.Contains(text, []byte("<Code>SlowDown"))
		// nginx, Go and Apache say so in words, with status 400.
		a.WantsTLS = resp.StatusCode == http.StatusBadRequest && bytes.Contains(bytes.ToLower(text), []byte("https"))
	}
}

// maxRefusal is how much of a refusal is read.
const maxRefusal = 4 << 10

// examine says what a certificate is, and why it does not hold.
func examine(chain []*x509.Certificate, name string, roots *x509.CertPool) certificate {
	if len(chain) == 0 {
		return certificate{Fault: "the server shows no certificate", Why: "handshake"}
	}
	leaf := chain[0]
	c := certificate{Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), From: leaf.NotBefore, Until: leaf.NotAfter}
	for _, ip := range leaf.IPAddresses {
		c.Names = append(c.Names, ip.String())
	}
	c.Names = append(c.Names, leaf.DNSNames...)
	c.Names = c.Names[:min(len(c.Names), maxNames)]
	options := x509.VerifyOptions{DNSName: name, Roots: roots, Intermediates: x509.NewCertPool()}
	for _, other := range chain[1:] {
		options.Intermediates.AddCert(other)
	}
	_, err := leaf.Verify(options)
	if err == nil {
		return c
	}
	c.Fault, c.Why = err.Error(), "chain"
	var invalid x509.CertificateInvalidError
	var other x509.HostnameError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired && time.Now().Before(leaf.NotBefore):
		c.Why = "early"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		c.Why = "expired"
	case errors.As(err, &other):
		c.Why = "name"
	case errors.As(err, &unknown):
		c.Why = "authority"
	}
	return c
}
