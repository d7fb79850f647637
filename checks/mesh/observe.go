package mesh

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"

	"carbonio-check/checks"
)

// A report is what the agent of a node says.
type report struct {
	// Contact is set where nothing listens; the rest is empty then.
	Contact   checks.Contact           `json:"contact,omitzero"`
	Leader    answer[string]           `json:"leader,omitzero"` // "172.16.0.12:8300"; "" is none
	Peers     answer[[]string]         `json:"peers,omitzero"`
	Members   answer[[]member]         `json:"members,omitzero"`
	Services  answer[serviceHealth]    `json:"services,omitzero"`
	Autopilot answer[*autopilotHealth] `json:"autopilot,omitzero"` // nil: not asked, without a token
	Token     credential               `json:"token,omitzero"`
}

// An answer is what was asked for, or why it was not given.
type answer[T any] struct {
	Value  T             `json:"value,omitempty"`
	Unseen checks.Unseen `json:"unseen,omitzero"`
}

// seen says that the question was not refused.
func (a answer[T]) seen() bool { return a.Unseen == checks.Unseen{} }

// A member is a node as the gossip has it.
type member struct {
	Name   string            `json:"Name"` // "server-svc1-example-com"
	Addr   string            `json:"Addr"`
	Status int               `json:"Status"`
	Tags   map[string]string `json:"Tags,omitempty"` // of these, role and build are kept
}

// Status of a member (serf).
const (
	alive   = 1
	leaving = 2
	left    = 3
	failed  = 4
)

// autopilotHealth is the mesh's opinion of its servers.
type autopilotHealth struct {
	Healthy          bool         `json:"Healthy"`
	FailureTolerance int          `json:"FailureTolerance"`
	Servers          []raftServer `json:"Servers"`
}

type raftServer struct {
	Name       string `json:"Name"`
	Address    string `json:"Address"`
	SerfStatus string `json:"SerfStatus"`
	Version    string `json:"Version"`
	Leader     bool   `json:"Leader"`
	Voter      bool   `json:"Voter"`
	Healthy    bool   `json:"Healthy"`
}

// serviceHealth is the state of all health checks, in short.
type serviceHealth struct {
	Count int           `json:"count"` // of all checks
	Bad   []healthCheck `json:"bad,omitempty"`
	// Runs are the nodes that each service has a check on.
	Runs map[string][]string `json:"runs,omitempty"`
}

type healthCheck struct {
	Node        string `json:"Node"`
	CheckID     string `json:"CheckID"`
	Name        string `json:"Name"`
	Status      string `json:"Status"`
	Output      string `json:"Output,omitempty"`
	ServiceName string `json:"ServiceName,omitempty"` // empty: a check on the node itself
}

// observeAgent asks what the agent knows itself at the same time, then what it
// must ask the leader for: where there is none, that takes seconds to fail.
func observeAgent(ctx context.Context, host checks.Host, t checks.Target[ask]) (report, error) {
	c := client{Client: checks.NewClient(host.Network, maxBody, requestTimeout)}
	defer c.Close()
	var out report
	err := c.status(ctx, "/v1/status/leader", &out.Leader.Value)
	var no *refusal
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return report{Contact: checks.Contact{State: checks.Refused}}, nil
	case errors.As(err, &no):
		out.Leader.Unseen = why(err)
	case err != nil:
		return report{}, err
	}
	c.token, out.Token = findToken(ctx, host, t.Ask)
	var all sync.WaitGroup
	all.Go(func() { out.Peers = question[[]string](ctx, c.status, "/v1/status/peers") })
	all.Go(func() { out.Members = askMembers(ctx, c) })
	if out.Leader.Value != "" {
		all.Go(func() { out.Services = askServices(ctx, c) })
		if c.token != "" {
			all.Go(func() { out.Autopilot = question[*autopilotHealth](ctx, c.operator, autopilotPath) })
		}
	}
	all.Wait()
	return out, nil
}

// question asks in one of the client's ways.
func question[T any](ctx context.Context, get func(context.Context, string, any) error, path string) (out answer[T]) {
	if err := get(ctx, path, &out.Value); err != nil {
		return answer[T]{Unseen: why(err)}
	}
	return out
}

// list asks for what cannot be empty: older agents hide without saying so, and
// an agent is its own member, with a health check of its own.
func list[T any](ctx context.Context, c client, path string) answer[[]T] {
	out := question[[]T](ctx, c.read, path)
	if out.seen() && len(out.Value) == 0 {
		out.Unseen = why(errHidden)
	}
	return out
}

func askMembers(ctx context.Context, c client) answer[[]member] {
	out := list[member](ctx, c, "/v1/agent/members?segment=_all")
	for i, m := range out.Value {
		out.Value[i].Tags = map[string]string{"role": m.Tags["role"], "build": m.Tags["build"]}
	}
	return out
}

// askServices reads the state of all checks: a list of critical ones only would
// be as empty for who may see nothing as it is where all is well.
func askServices(ctx context.Context, c client) answer[serviceHealth] {
	all := list[healthCheck](ctx, c, "/v1/health/state/any")
	if !all.seen() {
		return answer[serviceHealth]{Unseen: all.Unseen}
	}
	out := serviceHealth{Count: len(all.Value), Runs: map[string][]string{}}
	for _, k := range all.Value {
		if k.ServiceName != "" && !slices.Contains(out.Runs[k.ServiceName], k.Node) {
			out.Runs[k.ServiceName] = append(out.Runs[k.ServiceName], k.Node)
		}
		if k.Status != "passing" {
			k.Output = checks.Answer{Body: []byte(k.Output)}.Words()
			out.Bad = append(out.Bad, k)
		}
	}
	return answer[serviceHealth]{Value: out}
}
