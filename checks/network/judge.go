package network

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	views := newViews(scope, seen)
	var out []checks.Finding
	for _, from := range cluster.Views(seen, nodes, views.peer) {
		out = append(out, views[from.Vantage].judgeAlone(from.Members)...)
	}
	for s := range nodes.In(seen) {
		out = append(out, views.peer(s).judge(views)...)
	}
	for s := range peers.In(seen) {
		out = append(out, views[s.Vantage].judgePorts(s)...)
	}
	for _, vantage := range slices.Sorted(maps.Keys(views)) {
		out = append(out, views[vantage].judgeServices()...)
	}
	for s := range interfaces.In(seen) {
		out = append(out, judgeSelf(s, scope.Node(s.Vantage)))
	}
	return out, nil
}

// A view is what a vantage sees, and what it needs to see.
type view struct {
	checks.Vantage
	scope    checks.Scope
	own      platform.Node
	edges    map[string][]platform.Edge // what it has to reach, by node
	signs    map[string]sign            // by node
	services map[string]checks.Sight[checks.Nothing, service]
	alone    bool // it reaches nobody
}

// A sign is what shows that a node is alive.
type sign struct {
	icmp bool   // it responded to a ping or to the probes of a trace
	port socket // the first of its ports that responded; the zero value: none did
}

func (s sign) any() bool { return s.icmp || s.port != socket{} }

// views are those of all vantages. There are as many sights as pairs of nodes:
// what judging each of them needs is looked up once.
type views map[string]*view

func newViews(scope checks.Scope, seen checks.Record) views {
	all := views{}
	for s := range nodes.In(seen) {
		n, _ := s.Got()
		all.of(scope, s.Vantage).signs[s.Target.Node] = sign{icmp: n.responded() || n.reached()}
	}
	for s := range peers.In(seen) {
		v := all.of(scope, s.Vantage)
		alive := v.signs[s.Target.Node]
		outcomes, _ := s.Got()
		for _, o := range outcomes {
			if found := o.Ports.sockets(); o.Reached() && len(found) > 0 && alive.port == (socket{}) {
				alive.port = found[0]
			}
		}
		v.signs[s.Target.Node] = alive
	}
	for s := range outside.In(seen) {
		all.of(scope, s.Vantage).services[s.Target.Name] = s
	}
	return all
}

func (all views) of(scope checks.Scope, vantage string) *view {
	if v, ok := all[vantage]; ok {
		return v
	}
	v := &view{
		Vantage: scope.Vantage(vantage), scope: scope, own: scope.Node(vantage),
		edges: map[string][]platform.Edge{}, signs: map[string]sign{},
		services: map[string]checks.Sight[checks.Nothing, service]{},
	}
	for _, e := range scope.Topology.Edges(v.own, v.Release) {
		v.edges[e.To.Name] = append(v.edges[e.To.Name], e)
	}
	all[vantage] = v
	return v
}

// judgeServices judges the services outside that the node needs, by today's list
// and not by the one they were observed with.
func (v *view) judgeServices() []checks.Finding {
	if len(v.services) == 0 {
		return nil
	}
	var out []checks.Finding
	for _, o := range needed(v.scope, v.Vantage) {
		if s, looked := v.services[o.String()]; looked {
			out = append(out, v.judgeService(s, o))
		} else {
			out = append(out, external.Unknown(checks.From(v.Node), o.String(), "%s was not looked at from this node (%s)", o, o.Why))
		}
	}
	return out
}

// judgeService judges whether a service outside is reachable.
func (v *view) judgeService(s checks.Sight[checks.Nothing, service], o Outbound) checks.Finding {
	name := o.String()
	seen, got := s.Got()
	what := seen.Contact.String()
	if seen.Unresolved != "" {
		what = "is unreachable: its name does not resolve"
	}
	switch {
	case !got || s.Unseen() != checks.Unseen{}:
		return external.Unseen(s, name)
	case seen.State == checks.Open:
		return external.Pass(s, name, "%s is reachable (%s)", name, o.Why)
	case what == "":
		return external.Unknown(s, name, strangeState, seen.State)
	}
	verdict := external.Fail
	if o.Optional || seen.Proxy != "" {
		verdict = external.Warn
	}
	f := verdict(s, name, "%s %s (%s)", name, what, o.Why)
	setting := `echo 'Acquire::https::Proxy "http://proxy.example.com:3128";' > /etc/apt/apt.conf.d/95proxy`
	if v.OS.Family() == "rhel" {
		setting = "echo 'proxy=http://proxy.example.com:3128' >> /etc/dnf/dnf.conf"
	}
	fix := fmt.Sprintf("# open %d/tcp to %s in the outbound firewall, or set a proxy:\n%s", o.Port, o.Host, setting)
	switch {
	case seen.Proxy != "":
		f = verdict(s, name, "%s is not reachable directly; the proxy %s has to let it through (%s)", name, seen.Proxy, o.Why)
		fix = fmt.Sprintf("curl -sSI https://%s   # with HTTPS_PROXY set to that proxy", o)
	case seen.Unresolved != "":
		f = f.Needing(checks.ResolversOf(s.Vantage))
		fix = fmt.Sprintf("getent ahosts %s; cat /etc/resolv.conf; resolvectl status   # the resolvers have to resolve public names too: netplan or nmcli", o.Host)
	}
	return f.Saw(cmp.Or(seen.Unresolved, seen.Words, what)).Wanted("a TCP connection").Per(o.Sources...).Fix(checks.On(s.Vantage) + fix)
}

// strangeState is said of a state that nothing of ours writes.
const strangeState = "%q is not a known outcome of a connection: the file was changed, or was written by a newer version"

// judgeSelf judges what this node's own name resolves to.
func judgeSelf(s checks.Sight[checks.Nothing, identity], own platform.Node) checks.Finding {
	i, got := s.Got()
	name := s.Target.Name
	if !got || s.Unseen() != (checks.Unseen{}) {
		return ownAddress.Unseen(s, name)
	}
	self := i.self(own.Address)
	loop := slices.IndexFunc(i.Resolved, func(a netip.Addr) bool { return a.IsLoopback() || i.holder(a).Loopback })
	fix := i.line(own)
	var f checks.Finding
	switch {
	case len(i.Resolved) == 0:
		f = ownAddress.Fail(s, name, "%s does not resolve on the node itself: %s", name, cmp.Or(i.Unresolved, "no address")).
			Needing(checks.SelfOf(name))
	case loop >= 0:
		f = ownAddress.Fail(s, name, "%s resolves to the loopback address %s, on which the mesh refuses to start", name, i.Resolved[loop]).
			Needing(checks.SelfOf(name))
	case !self.IsValid():
		f = ownAddress.Fail(s, name, "%s resolves to %s, which is on no interface of the node", name, list(i.Resolved))
	case own.Address.IsValid() && i.holder(own.Address).Name == "":
		f = ownAddress.Warn(s, name, "the other nodes know %s as %s (%s), which is on none of its interfaces", name, own.Address, own.AddressFrom)
	case own.Address.IsValid() && self != own.Address:
		f = ownAddress.Fail(s, name, "%s resolves to %s on the node itself, while the others know it as %s (%s)", name, list(i.Resolved), own.Address, own.AddressFrom)
	case !self.IsPrivate():
		f = ownAddress.Warn(s, name, "the address %s of %s is not private", self, name)
		fix = checks.On(name) + "ip -br addr   # the internal interface needs an address of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, also in the inventory and in /etc/hosts"
	default:
		return ownAddress.Pass(s, name, "%s resolves to %s on %s", name, self, i.holder(self).Name)
	}
	return f.Saw(fmt.Sprintf("%s resolves to %s; %s", name, cmp.Or(list(i.Resolved), "nothing"), i)).
		Wanted("the name resolves to a private address on an interface of the node").Fix(fix)
}

// line is what /etc/hosts has to say of the node; empty, and the catalogue speaks,
// where none of its interfaces holds the address that the others know.
func (i identity) line(own platform.Node) string {
	if i.holder(own.Address).Name == "" {
		return ""
	}
	short, _, _ := strings.Cut(own.Name, ".")
	return fmt.Sprintf("%s# in /etc/hosts, and the name in no other line:\n%s %s %s", checks.On(own.Name), own.Address, own.Name, short)
}

// self is the address by which the node finds itself on an interface of its
// own: the one the platform knows, or another; the zero value: none.
func (i identity) self(own netip.Addr) netip.Addr {
	var self netip.Addr
	for _, a := range i.Resolved {
		if i.holder(a).Name != "" && (!self.IsValid() || a == own) {
			self = a
		}
	}
	return self
}

// holder is the interface that holds the address; the zero value: none does.
func (i identity) holder(a netip.Addr) checks.Interface {
	for _, n := range i.Interfaces {
		if slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return n
		}
	}
	return checks.Interface{}
}

// String gives "eth0 10.0.0.7/24, eth1 192.0.2.7/24".
func (i identity) String() string {
	var out []string
	for _, n := range i.Interfaces {
		for _, p := range n.Addresses {
			if !n.Loopback {
				out = append(out, n.Name+" "+p.String())
			}
		}
	}
	return cmp.Or(strings.Join(out, ", "), "no interface with an address")
}

func list(addresses []netip.Addr) string {
	var out []string
	for _, a := range slices.SortedFunc(slices.Values(addresses), netip.Addr.Compare) {
		out = append(out, a.String())
	}
	return strings.Join(out, ", ")
}
