package network

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	v := newView(scope, seen)
	var out []checks.Finding
	for _, all := range cluster.Views(seen, nodes, v.peer) {
		out = append(out, v.judgeAlone(all)...)
	}
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

// A view is what judging each sight needs, looked up once: there are as many
// sights as pairs of nodes.
type view struct {
	scope   checks.Scope
	nodes   map[string]platform.Node // by name
	origins map[string]origin        // by vantage
	signs   map[pair]sign
	alone   map[string]bool // the vantages that reach nobody
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
	icmp bool   // it responded to a ping or to the probes of a trace
	port socket // the first of its ports that responded; the zero value: none did
}

func (s sign) any() bool { return s.icmp || s.port != socket{} }

func newView(scope checks.Scope, seen checks.Record) *view {
	v := &view{scope: scope, nodes: map[string]platform.Node{}, origins: map[string]origin{}, signs: map[pair]sign{}, alone: map[string]bool{}}
	for _, n := range scope.Topology.Nodes {
		v.nodes[n.Name] = n
	}
	for s := range nodes.In(seen) {
		n, _ := s.Got()
		v.signs[pair{s.Vantage, s.Target.Node}] = sign{icmp: n.responded() || n.reached()}
	}
	for s := range peers.In(seen) {
		at := pair{s.Vantage, s.Target.Node}
		alive := v.signs[at]
		all, _ := s.Got()
		var responded []socket
		for _, o := range all {
			if o.Reached() {
				responded = slices.AppendSeq(responded, o.Ports.sockets())
			}
		}
		if len(responded) > 0 {
			alive.port = slices.MinFunc(responded, socket.compare)
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

// judgeServices judges the services outside that the nodes need, by today's list
// and not by the one they were observed with.
func (v *view) judgeServices(seen checks.Record) []checks.Finding {
	vantages, sights := map[string]bool{}, map[pair]checks.Sight[checks.Nothing, service]{}
	for s := range outside.In(seen) {
		vantages[s.Vantage], sights[pair{s.Vantage, s.Target.Name}] = true, s
	}
	var out []checks.Finding
	for _, vantage := range slices.Sorted(maps.Keys(vantages)) {
		for _, o := range needed(v.scope, v.scope.Vantage(vantage)) {
			if s, looked := sights[pair{vantage, o.String()}]; looked {
				out = append(out, v.judgeService(s, o))
			} else {
				out = append(out, external.Unknown(checks.From(vantage), o.String(), "%s was not looked at from this node (%s)", o, o.Why))
			}
		}
	}
	return out
}

// judgeService judges whether a service outside is reachable.
func (v *view) judgeService(s checks.Sight[checks.Nothing, service], o Outbound) checks.Finding {
	name := o.String()
	seen, got := s.Got()
	var why string
	switch {
	case !got || s.Unseen() != checks.Unseen{}:
		return external.Unseen(s, name)
	case seen.State == checks.Open:
		return external.Pass(s, name, "%s is reachable (%s)", name, o.Why)
	case seen.Unresolved != "":
		why = "its name does not resolve"
	case seen.State == checks.Silent:
		why = "no response"
	case seen.State == checks.Refused:
		why = "it refuses connections"
	case seen.State == checks.Rejected, seen.State == checks.Unreachable:
		why = seen.Words
	default:
		return external.Unknown(s, name, "%q is not a known outcome of a connection: the file was altered, or is of a newer version", seen.State)
	}
	verdict := external.Fail
	if o.Optional || seen.Proxy != "" {
		verdict = external.Warn
	}
	f := verdict(s, name, "%s is not reachable: %s (%s)", name, why, o.Why)
	if seen.Proxy != "" {
		f = verdict(s, name, "%s is not reachable directly: %s; the proxy %s has to let it through (%s)", name, why, seen.Proxy, o.Why)
	}
	f = f.Saw(cmp.Or(seen.Unresolved, seen.Words, why)).Wanted("a TCP connection").Per(o.Sources...).
		Fix("# on " + s.Vantage + v.openOutbound(s.Vantage, seen, o))
	if seen.Unresolved != "" {
		f = f.Needing(checks.ResolversOf(s.Vantage))
	}
	return f
}

// openOutbound lets a node reach a service, by what is in the way.
func (v *view) openOutbound(vantage string, seen service, o Outbound) string {
	setting := `echo 'Acquire::https::Proxy "http://proxy.example.com:3128";' > /etc/apt/apt.conf.d/95proxy`
	if v.scope.Vantage(vantage).OS.Family() == "rhel" {
		setting = "echo 'proxy=http://proxy.example.com:3128' >> /etc/dnf/dnf.conf"
	}
	switch {
	case seen.Proxy != "":
		return fmt.Sprintf(", with the proxy in the environment: HTTPS_PROXY\ncurl -sSI https://%s", o)
	case seen.Unresolved != "":
		return fmt.Sprintf("\ngetent ahosts %s; cat /etc/resolv.conf; resolvectl status   # the resolvers have to resolve public names too: netplan or nmcli", o.Host)
	}
	return fmt.Sprintf(": open %d/tcp to %s in the outbound firewall, or set a proxy:\n%s", o.Port, o.Host, setting)
}
