package mesh

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"carbonio-check/checks"
)

const (
	maxBody   = 4 << 20 // of an answer; that of fifteen nodes has some 400 KiB
	maxHeader = 64 << 10
	maxWords  = 200 // of what an agent says of an error
	// requestTimeout lets one request that hangs leave time for the others to
	// be judged. Servers without a leader say so after 7.2 s.
	requestTimeout = 9 * time.Second
)

// A client asks one agent. It follows nobody elsewhere and goes through no proxy.
type client struct {
	http  *http.Client
	token string
}

func newClient(network checks.Network) client {
	return client{http: &http.Client{
		Transport: &http.Transport{
			DialContext:            network.Dial,
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       requestTimeout,
	}}
}

// A refusal is an answer that is none.
type refusal struct {
	Code int
	Text string
}

func (r *refusal) Error() string { return fmt.Sprintf("HTTP %d: %s", r.Code, r.Text) }

// errHidden is an answer from which the agent kept something back.
var errHidden = errors.New("the agent hides what its token may not see")

// get reads an answer into a value. A token is sent only where it is needed:
// without one the agent uses its own (SD: set-agent-token default), with which
// nodes and services may be read.
func (c client) get(ctx context.Context, path string, into any) error {
	err := c.request(ctx, path, "", into)
	var no *refusal
	denied := errors.Is(err, errHidden) || errors.As(err, &no) && no.Code == http.StatusForbidden
	if denied && c.token != "" {
		return c.request(ctx, path, c.token, into)
	}
	return err
}

// statusTries is one for each server of the mesh: an agent passes the question
// to a server and, where that one is dead, answers with an error and takes the
// next one for the next question.
const statusTries = 3

// status asks what needs no token.
func (c client) status(ctx context.Context, path string, into any) (err error) {
	for range statusTries {
		err = c.request(ctx, path, "", into)
		var no *refusal
		if !errors.As(err, &no) || no.Code < http.StatusInternalServerError {
			return err
		}
	}
	return err
}

func (c client) request(ctx context.Context, path, token string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	if token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s: %w", path, errors.Unwrap(err)) // without the method and address of a *url.Error
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case err != nil:
		return fmt.Errorf("%s: the answer breaks off: %w", path, err)
	case len(body) > maxBody:
		return fmt.Errorf("%s: the answer is larger than %d bytes", path, maxBody)
	case !answered(resp):
		return &refusal{resp.StatusCode, words(body, token)}
	}
	if err := json.NewDecoder(bytes.NewReader(body)).Decode(into); err != nil {
		return fmt.Errorf("%s: not an answer of Consul's: it is not the JSON expected there", path)
	}
	if resp.Header.Get("X-Consul-Results-Filtered-By-Acls") == "true" {
		return errHidden
	}
	return nil
}

// answered says whether the body is the answer asked for. Autopilot reports ill
// health with status 429.
func answered(resp *http.Response) bool {
	return resp.StatusCode == http.StatusOK ||
		resp.StatusCode == http.StatusTooManyRequests && strings.HasSuffix(resp.Request.URL.Path, "/autopilot/health")
}

// words is the beginning of what an agent says of an error, without the token.
func words(body []byte, token string) string {
	text := string(body)
	if token != "" {
		text = strings.ReplaceAll(text, token, "[redacted]")
	}
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	return strings.ToValidUTF8(text[:min(len(text), maxWords)], "")
}
