package mesh

import (
	"context"
	"errors"
	"slices"
	"sync"
	"syscall"

	"carbonio-check/checks"
)

// A report is what the agent of a node reports.
type report struct {
	// Contact is set when nothing listens; the rest is empty then.
	Contact   checks.Contact           `json:"contact,omitzero"`
	Leader    answer[string]           `json:"leader,omitzero"` // "172.16.0.12:8300"; "" means none
	Peers     answer[[]string]         `json:"peers,omitzero"`
	Members   answer[[]member]         `json:"members,omitzero"`
	Services  answer[serviceHealth]    `json:"services,omitzero"`
	Autopilot answer[*autopilotHealth] `json:"autopilot,omitzero"` // nil: not asked, for want of a token or a leader
	Token     credential               `json:"token,omitzero"`
}

// An answer is the value asked for, or why there is none.
type answer[T any] struct {
	Value  T             `json:"value,omitempty"`
	Unseen checks.Unseen `json:"unseen,omitzero"`
}

func (a answer[T]) seen() bool { return a.Unseen == checks.Unseen{} }

// A member is a node in the gossip pool.
type member struct {
	Name   string `json:"Name"` // "server-svc1-example-com"
	Addr   string `json:"Addr"`
	Status int    `json:"Status"`
	Tags   tags   `json:"Tags"`
}

type tags struct {
	Role string `json:"role"` // "consul" of a server, "node" of an agent
}

// Status of a member.
const (
	alive   = 1
	leaving = 2
	left    = 3
	failed  = 4
)

// autopilotHealth is the mesh's own view of its servers.
type autopilotHealth struct {
	Healthy          bool         `json:"Healthy"`
	FailureTolerance int          `json:"FailureTolerance"`
	Servers          []raftServer `json:"Servers"`
}

type raftServer struct {
	Address string `json:"Address"`
	Voter   bool   `json:"Voter"`
	Healthy bool   `json:"Healthy"`
}

type serviceHealth struct {
	Count int           `json:"count"` // of all checks
	Bad   []healthCheck `json:"bad,omitempty"`
	// Runs lists the nodes of each service.
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

// observeAgent asks for the leader first. Without one, requests that need it take
// seconds to fail, and are not made. All others are made at the same time.
func observeAgent(ctx context.Context, host checks.Host, t checks.Target[ask]) (report, error) {
	c := client{Client: checks.NewClient(host.Network, maxBody, requestTimeout)}
	defer c.Close()
	var out report
	err := c.status(ctx, "/v1/status/leader", &out.Leader.Value)
	no, refused := errors.AsType[*refusal](err)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return report{Contact: checks.Contact{State: checks.Refused}}, nil
	case refused:
		out.Leader.Unseen = no.Unseen
	case err != nil:
		return report{}, err
	}
	c.token, out.Token = findToken(ctx, host, t.Ask)
	var all sync.WaitGroup
	all.Go(func() { out.Peers = question[[]string](ctx, c.status, "/v1/status/peers") })
	all.Go(func() { out.Members = list[member](ctx, c, "/v1/agent/members?segment=_all") })
	if out.Leader.Value != "" {
		all.Go(func() { out.Services = askServices(ctx, c) })
		if c.token != "" {
			all.Go(func() { out.Autopilot = question[*autopilotHealth](ctx, c.operator, autopilotPath) })
		}
	}
	all.Wait()
	return out, nil
}

func question[T any](ctx context.Context, get func(context.Context, string, any) error, path string) (out answer[T]) {
	if err := get(ctx, path, &out.Value); err != nil {
		return answer[T]{Unseen: why(err)}
	}
	return out
}

// list asks for a list that cannot be empty, since every agent is a member and has
// a health check. Older agents leave things out without saying so.
func list[T any](ctx context.Context, c client, path string) answer[[]T] {
	out := question[[]T](ctx, c.read, path)
	if out.seen() && len(out.Value) == 0 {
		out.Unseen = why(errHidden)
	}
	return out
}

// askServices reads the state of all checks: a list of the critical ones would be
// empty both when all is well and when nothing may be read.
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
