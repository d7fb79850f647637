package store

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxAnswer bounds every body that is no object: a listing of 1000 keys is a
	// few hundred kilobytes, and a hostile server sends one that never ends.
	maxAnswer = 8 << 20
	// maxRefusal bounds the body of an error.
	maxRefusal = 64 << 10
	maxHeader  = 64 << 10
	// dialTimeout and handshakeTimeout are for a server that is there: a round
	// trip is milliseconds, and the context may end sooner.
	dialTimeout      = 10 * time.Second
	handshakeTimeout = 10 * time.Second
	// idle connections are kept for every thread that may come back.
	maxIdle = 1024
	// buffer is what one write moves: the library's 32 KiB cost a sixth more CPU
	// for a PUT. The sockets' own buffers are left to the kernel: its tuning goes
	// to 6 MiB, a size set by hand only to net.core.rmem_max.
	buffer = 256 << 10
)

// transport sends requests. What comes back it bounds, and frees of credentials
// before the library can put them into an error.
type transport struct {
	base    *http.Transport
	secrets scrubber
}

func newTransport(c Config) (*transport, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if len(c.CAPEM) > 0 && !roots.AppendCertsFromPEM(c.CAPEM) {
		return nil, errors.New("the CA file holds no PEM certificate")
	}
	dial := c.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	return &transport{
		secrets: newScrubber(c.AccessKey, c.SecretKey),
		base: &http.Transport{
			// HTTP/1.1 alone: one connection for each thread is faster than one for all.
			DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
				conn, err := dial(ctx, network, address)
				if err != nil {
					return nil, err
				}
				return writer{conn}, nil
			},
			TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}},
			TLSHandshakeTimeout:    handshakeTimeout,
			MaxIdleConnsPerHost:    maxIdle,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: maxHeader,
			DisableCompression:     true,
		},
	}, nil
}

// RoundTrip sends one request.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		own := &content{ReadCloser: req.Body, left: req.ContentLength}
		defer own.end()
		req = req.WithContext(req.Context()) // a copy
		req.Body = own
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	trip, _ := req.Context().Value(tripKey{}).(*trip)
	if trip != nil {
		trip.note(resp)
	}
	switch {
	case resp.StatusCode >= 300:
		t.clean(resp)
	case trip == nil || !trip.object:
		resp.Body = &bounded{resp.Body, maxAnswer}
	}
	return resp, nil
}

// clean frees a refusal of our credentials: some servers say what they got.
func (t *transport) clean(resp *http.Response) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal))
	resp.Body.Close()
	body = []byte(t.secrets.scrub(string(body)))
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{err}))
	resp.ContentLength = int64(len(body))
	resp.Status = t.secrets.scrub(resp.Status)
	for _, values := range resp.Header {
		for i := range values {
			values[i] = t.secrets.scrub(values[i])
		}
	}
}

// failing ends a body as the connection did.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	return 0, io.EOF
}

// content is the body of one request. net/http goes on reading after the answer
// has come, if only to see that nothing follows; then the reader below may
// already hold another object.
type content struct {
	io.ReadCloser
	mu   sync.Mutex
	left int64
}

func (c *content) Read(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left <= 0 {
		return 0, io.EOF
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

func (c *content) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = 0
}

// bounded fails where a body does not end.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the response is larger than 8 MiB")
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// A trip is what the library does not report about a request: kept in its context.
type trip struct {
	object   bool // its answer is an object, however large
	answered time.Time
	server   time.Time
	version  string
	marker   bool
}

type tripKey struct{}

func withTrip(ctx context.Context, object bool) (context.Context, *trip) {
	t := &trip{object: object}
	return context.WithValue(ctx, tripKey{}, t), t
}

func (t *trip) note(resp *http.Response) {
	t.answered = time.Now()
	t.server, _ = http.ParseTime(resp.Header.Get("Date"))
	t.version = resp.Header.Get("X-Amz-Version-Id")
	t.marker = resp.Header.Get("X-Amz-Delete-Marker") == "true"
}

func (t *trip) info(size int64, etag, version string, modified time.Time) Info {
	return Info{Size: size, ETag: etag, VersionID: version, Modified: modified, Server: t.server, Answered: t.answered}
}

// writer sends bodies in large pieces.
type writer struct{ net.Conn }

var buffers = sync.Pool{New: func() any { b := make([]byte, buffer); return &b }}

// ReadFrom is what net/http uses to send a body.
func (w writer) ReadFrom(r io.Reader) (int64, error) {
	b := buffers.Get().(*[]byte)
	defer buffers.Put(b)
	var sent int64
	for {
		n, err := r.Read(*b)
		if n > 0 {
			m, werr := w.Write((*b)[:n])
			sent += int64(m)
			if werr != nil {
				return sent, werr
			}
		}
		switch {
		case err == io.EOF:
			return sent, nil
		case err != nil:
			return sent, err
		}
	}
}
