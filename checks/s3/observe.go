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
	"carbonio-check/s3bench"
	"carbonio-check/s3bench/store"
)

const (
	// maxAddresses is how many addresses of an endpoint are tried: a cluster
	// behind one name has a handful.
	maxAddresses = 16
	// maxRefusal is how much of a refusal is read, in bytes.
	maxRefusal = 4 << 10
)

// reachability is how far an endpoint can be used without credentials.
type reachability struct {
	NoCA       string    `json:"no_ca,omitempty"`      // why ca_file could not be used
	Unresolved string    `json:"unresolved,omitempty"` // why the name has no address
	Addresses  []address `json:"addresses,omitempty"`
}

// address is what one address of an endpoint did.
type address struct {
	Address string `json:"address"`
	// Contact is open if it answered a request, and the zero value if that could
	// not be seen.
	Contact     checks.Contact      `json:"contact,omitzero"`
	Certificate *checks.Certificate `json:"certificate,omitempty"`
	// OtherScheme: it speaks http where https is configured, or vice versa.
	OtherScheme bool `json:"other_scheme,omitempty"`
	Status      int  `json:"status,omitempty"`
	Throttled   bool `json:"throttled,omitempty"`
	// Skew is the server's clock minus ours, to the second: its Date has no more.
	Skew *time.Duration `json:"skew,omitempty"`
}

func observeEndpoint(ctx context.Context, host checks.Host, t bucketTarget) (reachability, error) {
	name, port, _ := net.SplitHostPort(t.Address) // as addressOf joined them
	ctx, cancel := checks.Share(ctx, 0.9)         // to report in time what did not respond
	defer cancel()
	var r reachability
	roots, err := trusted(host, t.Ask)
	if err != nil {
		r.NoCA = err.Error()
	}
	a, err := netip.ParseAddr(name)
	addresses := []netip.Addr{a}
	if err != nil {
		addresses, err = host.Network.Lookup(ctx, name)
	}
	switch {
	case ctx.Err() != nil:
		return reachability{}, ctx.Err()
	case checks.Ours(err):
		return reachability{}, err
	case err != nil:
		r.Unresolved = err.Error()
		return r, nil
	}
	addresses = addresses[:min(len(addresses), maxAddresses)]
	r.Addresses = make([]address, len(addresses))
	unseen := make([]error, len(addresses))
	p := prober{host.Network, t.Address, name, roots, plain(t.Ask)}
	var all sync.WaitGroup
	for i, a := range addresses {
		all.Go(func() { r.Addresses[i], unseen[i] = p.probe(ctx, net.JoinHostPort(a.String(), port)) })
	}
	all.Wait()
	return r, errors.Join(unseen...)
}

func plain(b platform.Bucket) bool { return strings.HasPrefix(b.Endpoint, "http:") }

// trusted are the authorities of the system and of the configuration.
func trusted(host checks.Host, b platform.Bucket) (*x509.CertPool, error) {
	roots := checks.SystemRoots()
	ca, err := readCA(host, b)
	if err == nil && ca != nil && !roots.AppendCertsFromPEM(ca) {
		err = fmt.Errorf("ca_file %s holds no PEM certificate", b.CAFile)
	}
	return roots, err
}

// A prober tries the addresses of one endpoint.
type prober struct {
	network  checks.Network
	endpoint string // name and port
	name     string
	roots    *x509.CertPool
	plain    bool
}

// probe connects to one address, shakes hands, and requests / without
// credentials: any response contains the server's time.
func (p prober) probe(ctx context.Context, at string) (address, error) {
	a := address{Address: at}
	conn, err := p.network.Dial(ctx, "tcp", at)
	if a.Contact, err = checks.Dialled(ctx, err); a.Contact.State != checks.Open {
		return a, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if !p.plain {
		// Any certificate is accepted: its faults are for the judge, and the clock
		// can only be read behind it. No secret is sent.
		secure := tls.Client(conn, &tls.Config{ServerName: p.name, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
		if err := secure.HandshakeContext(ctx); err != nil {
			header, ok := errors.AsType[tls.RecordHeaderError](err)
			a.OtherScheme = ok && string(header.RecordHeader[:]) == "HTTP/"
			a.Contact, err = checks.Spoken(ctx, err)
			return a, err
		}
		a.Certificate, conn = new(checks.Examine(secure.ConnectionState().PeerCertificates, p.name, p.roots)), secure
	}
	a.Contact, err = checks.Spoken(ctx, p.ask(ctx, conn, &a))
	return a, err
}

func (p prober) ask(ctx context.Context, conn net.Conn, a *address) error {
	client := &http.Transport{
		DialContext:            func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		MaxResponseHeaderBytes: 64 << 10,
		DisableKeepAlives:      true,
	}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.endpoint+"/", nil)
	if err != nil {
		return err
	}
	sent := time.Now()
	resp, err := client.RoundTrip(req)
	if err != nil {
		a.OtherScheme = p.plain && strings.Contains(err.Error(), `malformed HTTP response "\x15\x03`) // a TLS alert
		return err
	}
	defer resp.Body.Close()
	a.Status = resp.StatusCode
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		// The answer was made between sending and receiving; its Date is cut to the
		// second.
		middle := sent.Add(time.Since(sent) / 2)
		a.Skew = new(date.Add(500 * time.Millisecond).Sub(middle).Round(time.Second))
	}
	if resp.StatusCode >= http.StatusBadRequest {
		// Only these two facts are kept of a refusal, which may hold anything.
		text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
		a.Throttled = bytes.Contains(text, []byte("<Code>SlowDown"))
		// nginx, Go and Apache say so in the text of a 400.
		a.OtherScheme = p.plain && resp.StatusCode == http.StatusBadRequest && bytes.Contains(bytes.ToLower(text), []byte("https"))
	}
	return nil
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

// measurement is what the benchmark measured.
type measurement struct {
	Unopened string          `json:"unopened,omitempty"`
	Refused  string          `json:"refused,omitempty"` // why nothing was measured
	Locked   bool            `json:"locked,omitempty"`  // because of object lock
	Result   *s3bench.Result `json:"result,omitempty"`
}

func observeBenchmark(ctx context.Context, host checks.Host, t bucketTarget) (measurement, error) {
	s, err := open(host, t.Ask)
	if err != nil {
		return measurement{Unopened: err.Error()}, nil
	}
	defer s.Close()
	result, err := s3bench.Run(ctx, s, s3bench.Config{}, nil)
	if err != nil {
		return measurement{Refused: err.Error(), Locked: errors.Is(err, s3bench.ErrLocked)}, ctx.Err()
	}
	return measurement{Result: &result}, ctx.Err()
}
