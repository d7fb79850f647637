package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"

	"carbonio-check/checks"
)

// An agent is what the agent of a node says.
type agent struct {
	Refused   bool               `json:"refused,omitempty"` // nobody listens
	Leader    answer[string]     `json:"leader,omitzero"`   // "172.16.0.12:8300"; "" is none
	Peers     answer[[]string]   `json:"peers,omitzero"`
	Members   answer[[]member]   `json:"members,omitzero"`
	Services  answer[services]   `json:"services,omitzero"`
	Autopilot answer[*autopilot] `json:"autopilot,omitzero"` // nil: not asked, without a token
	Token     token              `json:"token,omitzero"`
}

// An answer is what was asked for, or why it was not given.
type answer[T any] struct {
	Value T      `json:"value,omitempty"`
	Error string `json:"error,omitempty"`
}

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

// Autopilot is the mesh's opinion of its servers.
type autopilot struct {
	Healthy          bool     `json:"Healthy"`
	FailureTolerance int      `json:"FailureTolerance"`
	Servers          []server `json:"Servers"`
}

type server struct {
	Name       string `json:"Name"`
	Address    string `json:"Address"`
	SerfStatus string `json:"SerfStatus"`
	Version    string `json:"Version"`
	Leader     bool   `json:"Leader"`
	Voter      bool   `json:"Voter"`
	Healthy    bool   `json:"Healthy"`
}

// services is the state of all health checks, in short.
type services struct {
	Count int     `json:"count"` // of all checks
	Bad   []check `json:"bad,omitempty"`
	// Runs are the nodes that each service has a check on.
	Runs map[string][]string `json:"runs,omitempty"`
}

// A check is a health check in the mesh.
type check struct {
	Node        string `json:"Node"`
	CheckID     string `json:"CheckID"`
	Name        string `json:"Name"`
	Status      string `json:"Status"`
	Output      string `json:"Output,omitempty"`
	ServiceName string `json:"ServiceName,omitempty"` // empty: a check on the node itself
}

// Observe looks at one target.
func (Module) Observe(ctx context.Context, host checks.Host, target checks.Target) (any, error) {
	switch target.Kind {
	case kindAgent:
		return observeAgent(ctx, host, target)
	case kindJournal:
		return observeJournal(ctx, host)
	case kindLDAP:
		return observeLDAP(ctx, host)
	case kindSetups:
		return observeSetups(host, target.Name)
	}
	return nil, fmt.Errorf("no such look: %s", target.Kind)
}

// observeAgent asks what the agent knows itself at the same time, then what it
// must ask the leader for: where there is none, that takes seconds to fail.
func observeAgent(ctx context.Context, host checks.Host, target checks.Target) (any, error) {
	c := newClient(host.Network)
	defer c.http.CloseIdleConnections()
	var out agent
	err := c.status(ctx, "/v1/status/leader", &out.Leader.Value)
	var no *refusal
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return agent{Refused: true}, nil
	case errors.As(err, &no):
		out.Leader.Error = err.Error()
	case err != nil:
		return nil, err
	}
	c.token, out.Token = findToken(ctx, host, target.Args)
	var all sync.WaitGroup
	all.Go(func() {
		if err := c.status(ctx, "/v1/status/peers", &out.Peers.Value); err != nil {
			out.Peers.Error = err.Error()
		}
	})
	all.Go(func() { out.Members = askMembers(ctx, c) })
	if out.Leader.Value != "" {
		all.Go(func() { out.Services = askServices(ctx, c) })
		if c.token != "" {
			all.Go(func() { out.Autopilot = askAutopilot(ctx, c) })
		}
	}
	all.Wait()
	return out, nil
}

func ask[T any](ctx context.Context, c client, path string) (out answer[T]) {
	if err := c.get(ctx, path, &out.Value); err != nil {
		return answer[T]{Error: err.Error()}
	}
	return out
}

func askMembers(ctx context.Context, c client) answer[[]member] {
	out := ask[[]member](ctx, c, "/v1/agent/members?segment=_all")
	if len(out.Value) == 0 {
		// Older agents hide without saying so. An agent is its own member.
		out.Error = cmp.Or(out.Error, errHidden.Error())
	}
	for i, m := range out.Value {
		out.Value[i].Tags = map[string]string{"role": m.Tags["role"], "build": m.Tags["build"]}
	}
	return out
}

// askAutopilot goes with the token at once: no agent's own may ask an operator's
// questions.
func askAutopilot(ctx context.Context, c client) (out answer[*autopilot]) {
	if err := c.request(ctx, "/v1/operator/autopilot/health", c.token, &out.Value); err != nil {
		return answer[*autopilot]{Error: err.Error()}
	}
	return out
}

// askServices reads the state of all checks: a list of critical ones only would
// be as empty for who may see nothing as it is where all is well.
func askServices(ctx context.Context, c client) answer[services] {
	all := ask[[]check](ctx, c, "/v1/health/state/any")
	if len(all.Value) == 0 {
		return answer[services]{Error: cmp.Or(all.Error, errHidden.Error())}
	}
	out := services{Count: len(all.Value), Runs: map[string][]string{}}
	for _, k := range all.Value {
		if k.ServiceName != "" && !slices.Contains(out.Runs[k.ServiceName], k.Node) {
			out.Runs[k.ServiceName] = append(out.Runs[k.ServiceName], k.Node)
		}
		if k.Status != "passing" {
			k.Output = words([]byte(k.Output), "")
			out.Bad = append(out.Bad, k)
		}
	}
	return answer[services]{Value: out}
}

// maxLines bounds what is read of an hour of the log.
const maxLines = "3000"

var memberFailed = regexp.MustCompile(`serf\.lan: serf: EventMemberFailed: (\S+)`)

// observeJournal counts how often each member was lost within the last hour.
func observeJournal(ctx context.Context, host checks.Host) (any, error) {
	if host.Machine.UID() != 0 {
		return nil, errors.New("the log of service-discover is for root to read")
	}
	text, err := host.Run(ctx, "journalctl", "-u", "service-discover", "--since", "-1h", "-n", maxLines, "-o", "cat", "-q", "--no-pager")
	if err != nil {
		return nil, err
	}
	lost := map[string]int{}
	for _, m := range memberFailed.FindAllStringSubmatch(text, -1) {
		lost[m[1]]++
	}
	return lost, nil
}

// observeLDAP reads the services that the directory has for this node.
func observeLDAP(ctx context.Context, host checks.Host) (any, error) {
	const line = `TERM=xterm-256color; PATH=/opt/zextras/bin:$PATH; export TERM PATH; carbonio prov -l gs "$(zmhostname)" zimbraServiceEnabled`
	run, err := host.Zextras(ctx)
	if err != nil {
		return nil, err
	}
	text, err := run(ctx, line)
	if err != nil {
		return nil, err
	}
	enabled, err := parseServer(text)
	if err != nil {
		return nil, err
	}
	return enabled, nil
}

// parseServer reads "# name HOST" and the "zimbraServiceEnabled: NAME" lines of
// carbonio prov gs.
func parseServer(text string) ([]string, error) {
	enabled, named := []string{}, false
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case key == "#" && strings.HasPrefix(value, "name "):
			named = true
		case strings.EqualFold(key, "zimbraServiceEnabled:"):
			enabled = append(enabled, strings.TrimSpace(value))
		}
	}
	if !named {
		return nil, errors.New("carbonio prov gs printed no server")
	}
	return enabled, nil
}

// observeSetups lists the scripts that pending-setups would run.
func observeSetups(host checks.Host, dir string) (any, error) {
	entries, err := fs.ReadDir(host.Files, strings.TrimPrefix(dir, "/"))
	if errors.Is(err, fs.ErrNotExist) {
		return []string{}, nil
	}
	if err != nil {
		return nil, err
	}
	waiting := []string{}
	for _, e := range entries {
		if e.Type().IsRegular() && path.Ext(e.Name()) == ".sh" {
			waiting = append(waiting, e.Name())
		}
	}
	return waiting, nil
}
