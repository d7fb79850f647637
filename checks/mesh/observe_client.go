package mesh

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"carbonio-check/checks"
)

const (
	maxBody = 4 << 20 // of an answer; fifteen nodes take about 400 KiB
	// requestTimeout keeps one request that hangs from taking the time of the
	// others. Servers without a leader report that after 7.2 s.
	requestTimeout = 9 * time.Second
	// statusTries is one for each server of the mesh: an agent forwards a request
	// to a server and, when that one is dead, returns an error and takes the next
	// server for the next request.
	statusTries = 3

	autopilotPath = "/v1/operator/autopilot/health"
)

type client struct {
	*checks.Client
	token string
}

// Why an agent refuses, besides the reasons that any server may have.
const (
	noLeader  checks.Code = "no-leader" // there is none to forward the request to
	noServer  checks.Code = "no-server" // it knows no server, or none accepts its connection
	forbidden checks.Code = "forbidden" // the token is unknown, or lacks a permission
)

// A refusal is an error that the agent returned.
type refusal struct {
	Status int
	Unseen checks.Unseen
}

func (r *refusal) Error() string { return r.Unseen.Words }

// errHidden means that the agent left something out of its answer.
var errHidden = &refusal{http.StatusForbidden, checks.Unseen{Code: checks.Denied, Words: "the agent leaves out what its token may not read"}}

// refused classifies an error by the texts in Consul's source: most of them share
// one status.
func refused(status int, text string) *refusal {
	says := func(part string) bool { return strings.Contains(text, part) }
	code := checks.Failed
	switch {
	case says("No cluster leader"):
		code = noLeader
	case says("No known Consul servers"), says("failed to get conn"):
		code = noServer
	case status == http.StatusForbidden:
		code = forbidden
	}
	return &refusal{status, checks.Unseen{Code: code, Words: fmt.Sprintf("HTTP %d: %s", status, text)}}
}

// why is the reason behind an error.
func why(err error) checks.Unseen {
	if no, ok := errors.AsType[*refusal](err); ok {
		return no.Unseen
	}
	return checks.Why(err)
}

// read asks for what the agent's own token may read, as a rule nodes and services.
// Ours is sent only when that was not enough.
func (c client) read(ctx context.Context, path string, into any) error {
	err := c.request(ctx, path, "", into)
	if no, ok := errors.AsType[*refusal](err); ok && no.Status == http.StatusForbidden && c.token != "" {
		return c.operator(ctx, path, into)
	}
	return err
}

// operator sends our token at once: an agent's own never has the permission.
func (c client) operator(ctx context.Context, path string, into any) error {
	return c.request(ctx, path, c.token, into)
}

// status asks for what needs no token.
func (c client) status(ctx context.Context, path string, into any) (err error) {
	for range statusTries {
		err = c.request(ctx, path, "", into)
		if no, ok := errors.AsType[*refusal](err); !ok || no.Status < http.StatusInternalServerError {
			return err
		}
	}
	return err
}

func (c client) request(ctx context.Context, path, token string, into any) error {
	header := http.Header{}
	if token != "" {
		header.Set("X-Consul-Token", token)
	}
	answer, err := c.Get(ctx, "http://"+address+path, header)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	case answer.Status == http.StatusTooManyRequests && path == autopilotPath: // its way of reporting ill health
	case answer.Status != http.StatusOK:
		return refused(answer.Status, answer.Words(token))
	case answer.Header.Get("X-Consul-Results-Filtered-By-Acls") == "true":
		return errHidden
	}
	if token != "" { // it must not end up in an observation
		answer.Body = bytes.ReplaceAll(answer.Body, []byte(token), []byte("[redacted]"))
	}
	if err := answer.JSON(into); err != nil {
		return fmt.Errorf("%s: not an answer from Consul: %w", path, err)
	}
	return nil
}
