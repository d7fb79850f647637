package network

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	v := newView(scope, seen)
	var out []checks.Finding
	for s := range nodes.In(seen) {
		p := v.peer(s)
		out = append(out, p.judgePing(), p.judgePath(), p.judgeMTU())
	}
	for s := range peers.In(seen) {
		out = append(out, v.judgePorts(s)...)
	}
	out = append(out, v.judgeServices(seen)...)
	for s := range interfaces.In(seen) {
		out = append(out, v.judgeSelf(s))
	}
	return out, nil
}

// A view is what the judgement of every sight needs, looked up once: there are
// as many sights as pairs of nodes.
type view struct {
	scope   checks.Scope
	nodes   map[string]platform.Node // by name
	origins map[string]origin        // by vantage
	signs   map[pair]sign
}

// An origin is a node that looked.
type origin struct {
	checks.Vantage
	address netip.Addr
	edges   map[string][]platform.Edge // what it has to reach, by node
}

// A pair is one node as another one sees it.
type pair struct{ from, to string }

// A sign is what shows that a node is alive.
type sign struct {
	icmp bool // it answered a ping, or the probes of a trace
	tcp  int  // the lowest of its TCP ports that answered; 0: none
}

func (s sign) any() bool { return s.icmp || s.tcp != 0 }

// port is the one that answered, as a person calls it.
func (s sign) port() string { return socket{s.tcp, tcp}.String() }

func newView(scope checks.Scope, seen checks.Record) *view {
	v := &view{scope: scope, nodes: map[string]platform.Node{}, origins: map[string]origin{}, signs: map[pair]sign{}}
	for _, n := range scope.Topology.Nodes {
		v.nodes[n.Name] = n
	}
	for s := range nodes.In(seen) {
		n, _ := s.Got()
		v.signs[pair{s.Vantage, s.Target.Node}] = sign{icmp: n.answered() || n.reached()}
	}
	for s := range peers.In(seen) {
		at := pair{s.Vantage, s.Target.Node}
		alive := v.signs[at]
		all, _ := s.Got()
		for _, o := range all {
			if found := o.Ports[tcp]; o.Reached() && len(found) > 0 {
				alive.tcp = min(cmp.Or(alive.tcp, found[0]), slices.Min(found))
			}
		}
		v.signs[at] = alive
	}
	return v
}

// origin is the vantage of that name.
func (v *view) origin(vantage string) origin {
	if o, ok := v.origins[vantage]; ok {
		return o
	}
	node := v.scope.Node(vantage)
	o := origin{v.scope.Vantage(vantage), node.Address, map[string][]platform.Edge{}}
	for _, e := range v.scope.Topology.Edges(node, o.Release) {
		o.edges[e.To.Name] = append(o.edges[e.To.Name], e)
	}
	v.origins[vantage] = o
	return o
}

// judgeServices judges the services outside that the nodes which looked need: by
// the list of who judges, and not of who looked.
func (v *view) judgeServices(seen checks.Record) []checks.Finding {
	sights := map[string]map[string]checks.Sight[checks.Nothing, service]{}
	for s := range outside.In(seen) {
		if sights[s.Vantage] == nil {
			sights[s.Vantage] = map[string]checks.Sight[checks.Nothing, service]{}
		}
		sights[s.Vantage][s.Target.Name] = s
	}
	var out []checks.Finding
	for _, vantage := range slices.Sorted(maps.Keys(sights)) {
		for _, o := range needed(v.scope, v.scope.Vantage(vantage)) {
			s, looked := sights[vantage][o.String()]
			if !looked {
				out = append(out, external.Unknown(checks.From(vantage), o.String(), "%s was not looked at from there (%s)", o, o.Why))
				continue
			}
			out = append(out, judgeService(s, o))
		}
	}
	return out
}

// judgeService judges whether a service outside was reached.
func judgeService(s checks.Sight[checks.Nothing, service], o Outbound) checks.Finding {
	name := o.String()
	seen, got := s.Got()
	var why string
	switch {
	case !got || s.Unseen() != checks.Unseen{}:
		return external.Unseen(s, name)
	case seen.State == checks.Open:
		return external.Pass(s, name, "%s is reached (%s)", name, o.Why)
	case seen.Unresolved != "":
		why = "its name does not resolve"
	case seen.State == checks.Silent:
		why = "nothing comes back"
	case seen.State == checks.Refused:
		why = "it refuses"
	case seen.State == checks.Rejected, seen.State == checks.Unreachable:
		why = seen.Words
	default:
		return external.Unknown(s, name, "no connection ends as %q: the file was altered, or is of a newer version", seen.State)
	}
	verdict := external.Fail
	if o.Optional || seen.Proxy != "" {
		verdict = external.Warn
	}
	f := verdict(s, name, "%s is not reached: %s (%s)", name, why, o.Why)
	if seen.Proxy != "" {
		f = verdict(s, name, "%s is not reached directly: %s; the proxy %s has to let it through (%s)", name, why, seen.Proxy, o.Why).
			Fix(fmt.Sprintf("curl -sSI https://%s   # with the proxy in the environment: HTTPS_PROXY", o.Host))
	}
	return f.Saw(cmp.Or(seen.Unresolved, seen.Words, why)).Wanted("a TCP connection").Per(o.Sources...)
}
