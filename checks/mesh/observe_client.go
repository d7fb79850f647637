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
	maxBody = 4 << 20 // of an answer; that of fifteen nodes has some 400 KiB
	// requestTimeout lets one request that hangs leave time for the others to
	// be judged. Servers without a leader say so after 7.2 s.
	requestTimeout = 9 * time.Second
	// statusTries is one for each server of the mesh: an agent passes the question
	// to a server and, where that one is dead, answers with an error and takes the
	// next one for the next question.
	statusTries = 3

	autopilotPath = "/v1/operator/autopilot/health"
)

// A client asks the agent of this node.
type client struct {
	*checks.Client
	token string
}

// Why an agent does not answer, besides the reasons that anybody may have.
const (
	noLeader     checks.Code = "no-leader"     // there is none to pass the question to
	noServer     checks.Code = "no-server"     // it knows no server, or none that takes a connection
	unknownToken checks.Code = "unknown-token" // the mesh does not know the token
	forbidden    checks.Code = "forbidden"     // the token is not enough
)

// A refusal is an answer that is none.
type refusal struct {
	Status int
	Unseen checks.Unseen
}

func (r *refusal) Error() string { return r.Unseen.Words }

// errHidden is an answer from which the agent kept something back.
var errHidden = &refusal{http.StatusForbidden, checks.Unseen{Code: checks.Denied, Words: "the agent hides what its token may not see"}}

// refused tells the refusals of an agent apart by the texts in Consul's source:
// most of them have the same status.
func refused(status int, text string) *refusal {
	says := func(part string) bool { return strings.Contains(text, part) }
	code := checks.Failed
	switch {
	case says("No cluster leader"):
		code = noLeader
	case says("No known Consul servers"), says("failed to get conn"):
		code = noServer
	case status == http.StatusForbidden && says("ACL not found"):
		code = unknownToken
	case status == http.StatusForbidden:
		code = forbidden
	}
	return &refusal{status, checks.Unseen{Code: code, Words: fmt.Sprintf("HTTP %d: %s", status, text)}}
}

// why is the reason that an error stands for.
func why(err error) checks.Unseen {
	var no *refusal
	if errors.As(err, &no) {
		return no.Unseen
	}
	return checks.Why(err)
}

// read asks what an agent's own token may see. Ours is shown only where that was
// not enough: without one the agent uses its own, with which nodes and services
// may be read.
func (c client) read(ctx context.Context, path string, into any) error {
	err := c.request(ctx, path, "", into)
	var no *refusal
	if errors.As(err, &no) && no.Status == http.StatusForbidden && c.token != "" {
		return c.operator(ctx, path, into)
	}
	return err
}

// operator asks with our token at once: no agent's own may ask an operator's
// questions.
func (c client) operator(ctx context.Context, path string, into any) error {
	return c.request(ctx, path, c.token, into)
}

// status asks what needs no token.
func (c client) status(ctx context.Context, path string, into any) (err error) {
	for range statusTries {
		err = c.request(ctx, path, "", into)
		var no *refusal
		if !errors.As(err, &no) || no.Status < http.StatusInternalServerError {
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
	case answer.Status == http.StatusTooManyRequests && path == autopilotPath: // it reports ill health
	case answer.Status != http.StatusOK:
		return refused(answer.Status, answer.Words(token))
	case answer.Header.Get("X-Consul-Results-Filtered-By-Acls") == "true":
		return errHidden
	}
	if token != "" { // which nobody is to find in what is kept
		answer.Body = bytes.ReplaceAll(answer.Body, []byte(token), []byte("[redacted]"))
	}
	if err := answer.JSON(into); err != nil {
		return fmt.Errorf("%s: not an answer of Consul's: %w", path, err)
	}
	return nil
}
