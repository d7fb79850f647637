package checks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	// maxHeader bounds the header of an answer, in bytes.
	maxHeader = 64 << 10
	// maxElements bounds the values of an answer, at any depth: each costs far
	// more memory than the bytes it was written in.
	maxElements = 200_000
	// maxDepth bounds how deep they are nested.
	maxDepth = 64
	// maxWords is how much is kept of what a server says of an error.
	maxWords = 200
)

// A Client speaks HTTP with a server that nothing is expected of: it follows
// nobody elsewhere, goes through no proxy, and bounds what it reads in bytes and
// in elements.
type Client struct {
	// Max bounds the body of an answer, in bytes.
	Max  int64
	http *http.Client
}

// NewClient makes a client that dials as the host does. timeout is for one
// exchange; zero leaves that to the context.
func NewClient(network Network, maxBody int64, timeout time.Duration) *Client {
	return &Client{maxBody, &http.Client{
		Transport: &http.Transport{
			DialContext:            network.Dial,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       timeout,
	}}
}

// Close closes the connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// An Answer is what came back, whole.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Get asks once. header may be nil. The error is without the address asked for.
func (c *Client) Get(ctx context.Context, url string, header http.Header) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Answer{}, err
	}
	if header != nil {
		req.Header = header
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if inner := errors.Unwrap(err); inner != nil {
			err = inner // without the method and address of a *url.Error
		}
		return Answer{}, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.Max+1))
	switch {
	case err != nil:
		return Answer{}, fmt.Errorf("the response ends early: %w", err)
	case int64(len(body)) > c.Max:
		return Answer{}, fmt.Errorf("the response is larger than %d bytes", c.Max)
	}
	return Answer{resp.StatusCode, resp.Header, body}, nil
}

// ErrNotJSON is the error of an answer that is not the JSON expected.
var ErrNotJSON = errors.New("it is not the expected JSON")

// JSON reads an answer into a value, when it holds no more values than can be
// borne.
func (a Answer) JSON(into any) error { return DecodeJSON(a.Body, into) }

// Words is the beginning of what a server says of an error, in one line and
// without the secrets.
func (a Answer) Words(secrets ...string) string {
	text := string(a.Body)
	for _, s := range secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[redacted]")
		}
	}
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return strings.ToValidUTF8(text[:min(len(text), maxWords)], "")
}

// DecodeJSON reads what a server sent into a value. It counts first what is
// there: a megabyte of {} becomes a gigabyte of maps.
func DecodeJSON(text []byte, into any) error {
	elements, depth := 0, 0
	quoted := false
	for i := 0; i < len(text); i++ {
		switch b := text[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			elements++
			if depth++; depth > maxDepth {
				return fmt.Errorf("the response is nested deeper than %d", maxDepth)
			}
		case b == '}' || b == ']':
			depth--
		case b == ',':
			elements++
		}
		if elements > maxElements {
			return fmt.Errorf("the response holds more than %d values", maxElements)
		}
	}
	if err := json.Unmarshal(text, into); err != nil {
		return ErrNotJSON
	}
	return nil
}
