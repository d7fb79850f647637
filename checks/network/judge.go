package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Judge decides.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	signs := signsOfLife(seen)
	for o, n := range checks.Of[node](seen, kindNode) {
		alive := signs[edge{o.Vantage, o.Target.Node}]
		out = append(out, ping(scope, o, n, alive).With("address", address(scope, o.Target)), way(o, n, alive), mtu(scope, o, n))
	}
	for o, p := range checks.Of[port](seen, kindPort) {
		out = append(out, knocked(scope, o, p, signs[edge{o.Vantage, o.Target.Node}]))
	}
	for o, s := range checks.Of[outbound](seen, kindOutbound) {
		out = append(out, reached(scope, o, s)...)
	}
	for o, i := range checks.Of[interfaces](seen, kindInterfaces) {
		out = append(out, ownInterface(scope, o, i))
	}
	return out
}

// An edge is one node as another one sees it.
type edge struct{ from, to string }

// A sign is what shows that a node is alive.
type sign struct {
	icmp    bool            // it answered a ping, or the probes of a trace
	tcp     string          // the first of its ports that answered, by name: "22/tcp"
	listens map[string]bool // the numbers of its TCP ports that are open
}

func (s sign) any() bool { return s.icmp || s.tcp != "" }

func signsOfLife(seen []checks.Observation) map[edge]sign {
	signs := map[edge]sign{}
	for o, n := range checks.Of[node](seen, kindNode) {
		at := edge{o.Vantage, o.Target.Node}
		s := signs[at]
		s.icmp = n.pinged() && n.Echo.Received > 0 || n.Path != nil && n.Path.Reached
		signs[at] = s
	}
	for o, p := range checks.Of[port](seen, kindPort) {
		if arg(o.Target, argProtocol) != "tcp" || p.State != open && p.State != closed {
			continue
		}
		at := edge{o.Vantage, o.Target.Node}
		s, name := signs[at], portName(o.Target)
		if s.tcp == "" || name < s.tcp { // whatever their order
			s.tcp = name
		}
		if s.listens == nil {
			s.listens = map[string]bool{}
		}
		s.listens[number(o.Target)] = p.State == open
		signs[at] = s
	}
	return signs
}

// pinged says whether pings were sent, answered or not.
func (n node) pinged() bool { return n.Echo != nil && n.Echo.Sent > 0 }

// address is where the node was looked for, and who says that it is there.
func address(scope checks.Scope, t checks.Target) string {
	from := scope.Node(t.Node).AddressFrom
	if t.Address == "" || from == "" {
		return cmp.Or(t.Address, "none")
	}
	return t.Address + " (" + from + ")"
}

// noAddress is the reason to skip what network.ping says once and for all.
func noAddress(o checks.Observation, check string) checks.Finding {
	return o.Skip(check, o.Target.Name, "no address of %s is known", o.Target.Node)
}

func ping(scope checks.Scope, o checks.Observation, n node, alive sign) checks.Finding {
	name, limit := o.Target.Name, time.Duration(scope.Policy.PingRTT)
	switch e := n.Echo; {
	case o.Target.Address == "":
		return o.Unknown(pingID, name, "%s has no address: neither the inventory, /etc/hosts nor DNS names one", name).
			Needing("hosts.nodes", name).Needing("dns.forward", name)
	case !n.pinged() && n.Path != nil && n.Path.Reached:
		return o.Pass(pingID, name, "%s answers in %s (a probe of its path: ping is not allowed to this user)", name, ms(last(*n.Path).RTT))
	case !n.pinged():
		return o.Unseen(name, pingID)[0]
	case e.Received == 0 && alive.tcp != "":
		return withPathOf(n, o.Warn(pingID, name, "%s keeps ping out: no answer, though its port %s does answer", name, alive.tcp).
			Saw(lost(*e)).Wanted("every ping answered")).
			Fix(fmt.Sprintf("on %s: let ICMP echo-request in (ping, tracepath and path MTU discovery need ICMP)", name))
	case e.Received == 0 && alive.icmp:
		return withPathOf(n, o.Warn(pingID, name, "%s keeps ping out: no answer, though it does answer the probes of its path", name).
			Saw(lost(*e)).Wanted("every ping answered"))
	case e.Received == 0:
		return unanswered(o, n)
	case e.Received < e.Sent:
		return o.Warn(pingID, name, "%s answers some pings only: %s", name, lost(*e)).
			Saw(lost(*e)).Wanted("every ping answered")
	case limit > 0 && e.Min > limit: // the best of them: one may have waited for ARP, or for us
		return o.Warn(pingID, name, "%s is %s away", name, ms(e.Min)).
			Saw(roundTrip(*e)).Wanted("at most " + ms(limit) + " (policy)")
	default:
		return o.Pass(pingID, name, "%s answers in %s", name, ms(e.Min)).Saw(roundTrip(*e))
	}
}

// unanswered is the finding about a node that gives no sign of life at all.
func unanswered(o checks.Observation, n node) checks.Finding {
	message := fmt.Sprintf("%s does not answer (%s)", o.Target.Name, lost(*n.Echo))
	if n.Path != nil {
		message += ", " + ends(*n.Path)
	}
	f := o.Fail(pingID, o.Target.Name, "%s", message).Saw(lost(*n.Echo)).Wanted("every ping answered").
		Fix(fmt.Sprintf("ip -br addr; ip route     # on %s\nip route get %s; tracepath -n %[2]s     # here", o.Target.Name, o.Target.Address))
	return withPathOf(n, f)
}

func withPathOf(n node, f checks.Finding) checks.Finding {
	if n.Path == nil {
		return f
	}
	return f.With("path", draw(*n.Path))
}

// way judges the path. That a node cannot be reached is the word of its ping:
// the end of the path explains it, and stands there as well.
func way(o checks.Observation, n node, alive sign) checks.Finding {
	name := o.Target.Name
	answered := n.pinged() && n.Echo.Received > 0
	switch p := n.Path; {
	case o.Target.Address == "":
		return noAddress(o, pathID)
	case p == nil && (!answered || arg(o.Target, argTrace) == withPath):
		return o.Unseen(name, pathID)[0]
	case p == nil:
		return o.Skip(pathID, name, "%s answers: --trace follows the path all the same", name)
	case p.Reached:
		return o.Pass(pathID, name, "%s is %s away", name, hops(len(p.Hops))).With("path", draw(*p))
	case answered && p.Stop == "loop":
		return o.Warn(pathID, name, "%s answers, but %s", name, ends(*p)).With("path", draw(*p))
	case answered:
		return o.Pass(pathID, name, "%s answers ping; its path shows itself for %s", name, hops(len(p.Hops))).With("path", draw(*p))
	case !n.pinged() && p.Stop == noReply:
		return o.Unknown(pathID, name, "%s drops probes, and this user may not ping", name).With("path", draw(*p))
	case alive.tcp != "":
		return o.Skip(pathID, name, "%s answers on %s and drops probes: its path cannot be followed to the end", name, alive.tcp)
	default:
		return o.Fail(pathID, name, "%s: %s", name, ends(*p)).With("path", draw(*p))
	}
}

func mtu(scope checks.Scope, o checks.Observation, n node) checks.Finding {
	name, want := o.Target.Name, scope.Policy.MTU
	switch m := n.MTU; {
	case o.Target.Address == "":
		return noAddress(o, mtuID)
	case m == nil && o.Error != "":
		return o.Unseen(name, mtuID)[0]
	case m == nil:
		return o.Unknown(mtuID, name, "could not be measured: %s answers neither ping nor probes", name)
	case m.BlackHole:
		return o.Fail(mtuID, name, "packets to %s above %d bytes vanish without a word", name, m.Bytes).
			Saw(fmt.Sprintf("%d bytes cross, more do not, and no router says so", m.Bytes)).Wanted(fmt.Sprintf("%d bytes", want))
	case m.Bytes >= want:
		return o.Pass(mtuID, name, "packets of %d bytes cross to %s whole", m.Bytes, name)
	case m.Hop.IsValid():
		return o.Warn(mtuID, name, "the path to %s takes packets of %d bytes at most, says %s", name, m.Bytes, m.Hop).
			Saw(fmt.Sprintf("%d bytes", m.Bytes)).Wanted(fmt.Sprintf("%d bytes (policy)", want))
	default:
		return o.Warn(mtuID, name, "this node's own interface towards %s takes packets of %d bytes at most", name, m.Bytes).
			Saw(fmt.Sprintf("%d bytes", m.Bytes)).Wanted(fmt.Sprintf("%d bytes (policy)", want))
	}
}

// knocked judges a port of another node.
func knocked(scope checks.Scope, o checks.Observation, p port, alive sign) checks.Finding {
	t, health := o.Target, scope.Vantage(o.Vantage).Phase == checks.Health
	purpose := arg(t, argPurpose)
	switch {
	case t.Address == "":
		return noAddress(o, portID)
	case p.State == open:
		return o.Pass(portID, t.Name, "%s is open (%s)", t.Name, purpose)
	case p.State == closed && !health:
		return o.Pass(portID, t.Name, "the way to %s is free; nothing listens there yet (%s)", t.Name, purpose)
	case p.State == closed && idle(t) != "":
		return o.Pass(portID, t.Name, "the way to %s is free; %s", t.Name, idle(t))
	case p.State == closed && strings.HasSuffix(purpose, "exporter"): // a package of its own, which mail does without
		return o.Warn(portID, t.Name, "nothing listens on %s (%s): it is not monitored", t.Name, purpose).Saw("refused").Wanted("open")
	case p.State == closed:
		return o.Fail(portID, t.Name, "nothing listens on %s (%s)", t.Name, purpose).Saw("refused").Wanted("open").
			Fix(fmt.Sprintf("# on %s\nsystemctl --failed; ss -ltnup | grep -w %s", t.Node, number(t)))
	case p.State == silent && arg(t, argProtocol) == "udp":
		return quiet(scope, o, alive, health).Needing(pingID, t.Node)
	}
	return barred(scope, o, p, alive).Needing(pingID, t.Node)
}

// barred judges a port to which there is no way.
func barred(scope checks.Scope, o checks.Observation, p port, alive sign) checks.Finding {
	t, purpose := o.Target, arg(o.Target, argPurpose)
	noWay := p.Reason == "host unreachable" || p.Reason == "network unreachable"
	var f checks.Finding
	switch {
	case p.State == silent && !alive.any():
		return o.Fail(portID, t.Name, "%s does not answer, nor does anything else on the node (%s)", t.Name, purpose).Saw("silence")
	case p.State == silent:
		f = o.Fail(portID, t.Name, "%s does not answer: a firewall drops it (%s)", t.Name, purpose).Saw("silence")
	case p.State == rejected && noWay:
		return o.Fail(portID, t.Name, "%s cannot be reached: %s, says %s (%s)", t.Name, p.Reason, who(scope, p.By), purpose)
	case p.State == rejected:
		f = o.Fail(portID, t.Name, "a firewall on %s rejects %s (%s)", who(scope, p.By), t.Name, purpose).Saw(p.Reason)
	case p.State == unreachable && alive.any(): // so reads firewalld's REJECT where the kernel tells no more
		f = o.Fail(portID, t.Name, "%s is rejected: %s, though the node answers (%s)", t.Name, p.Reason, purpose).Saw(p.Reason)
	case p.State == unreachable:
		return o.Fail(portID, t.Name, "%s cannot be reached: %s (%s)", t.Name, p.Reason, purpose)
	default:
		return o.Unseen(t.Name, portID)[0]
	}
	if scope.Vantage(o.Vantage).Phase == checks.Health {
		return f.Wanted("open").Fix(openFirewall(scope, o, p.By))
	}
	return f.Wanted("open, or refused while nothing listens").Fix(openFirewall(scope, o, p.By))
}

// who is the node of the platform that holds the address, or the address.
func who(scope checks.Scope, a netip.Addr) string {
	i := slices.IndexFunc(scope.Topology.Nodes, func(n platform.Node) bool { return a.IsValid() && n.Address == a })
	if i < 0 {
		return a.String()
	}
	return scope.Topology.Nodes[i].Name
}

// quiet judges the silence of a UDP port. A service that listens may well keep
// silent; a kernel on whose port nothing listens says so.
func quiet(scope checks.Scope, o checks.Observation, alive sign, health bool) checks.Finding {
	name, purpose := o.Target.Name, arg(o.Target, argPurpose)
	switch {
	case health || alive.listens[number(o.Target)]:
		return o.Skip(portID, name, "the silence of a UDP port proves nothing where something listens (%s)", purpose)
	case !alive.any():
		return o.Unknown(portID, name, "nothing came back from %s, nor any other sign of life", name)
	}
	return o.Warn(portID, name, "nothing came back from %s, not even that nothing listens: a firewall drops it (%s)", name, purpose).
		Saw("silence").Wanted("port unreachable").Fix(openFirewall(scope, o, netip.Addr{}))
}

// idle says why a port may refuse on a healthy node; empty: it may not.
func idle(t checks.Target) string {
	switch address, _ := netip.ParseAddrPort(t.Address); {
	case strings.Contains(arg(t, argOpening), "-"):
		return "the sidecars take from the range what they need"
	case address.Port() == 2888:
		return "only the leader of ZooKeeper listens there" // role-es
	case address.Port() == 636:
		return "Carbonio talks to the directory on 389, and listens here only where ldap_url says so" // CCU ldap.sh
	case address.Port() == 8600:
		return "the mesh answers DNS on loopback unless it is told otherwise" // Consul's client_addr
	}
	return ""
}

// openFirewall is what lets this vantage in: on the router that rejects it, or
// on the target, with the firewall of its system (of ours, while nobody looked
// from there).
func openFirewall(scope checks.Scope, o checks.Observation, by netip.Addr) string {
	t, from := o.Target, "any"
	if a := scope.Node(o.Vantage).Address; a.IsValid() {
		from = a.String()
	}
	to, _ := netip.ParseAddrPort(t.Address)
	ports, protocol, _ := strings.Cut(arg(t, argOpening), "/")
	if by.IsValid() && by != to.Addr() {
		return fmt.Sprintf("on %s: let %s through to %s, %s port %s", who(scope, by), from, to.Addr(), protocol, ports)
	}
	if cmp.Or(scope.Vantage(t.Node).OS.Family(), scope.Vantage(o.Vantage).OS.Family()) == "rhel" {
		return fmt.Sprintf("# on %s\nfirewall-cmd --permanent --add-port=%s/%s && firewall-cmd --reload", t.Node, ports, protocol)
	}
	return fmt.Sprintf("# on %s\nufw allow proto %s from %s to any port %s", t.Node, protocol, from, strings.Replace(ports, "-", ":", 1))
}

// reached judges a service outside. One that the policy no longer names is no
// longer needed.
func reached(scope checks.Scope, o checks.Observation, s outbound) []checks.Finding {
	name := o.Target.Name
	i := slices.IndexFunc(scope.Policy.Outbound, func(p platform.Outbound) bool { return outboundName(p) == name })
	if i < 0 {
		return nil
	}
	policy := scope.Policy.Outbound[i]
	var why string
	switch s.State {
	case open:
		return []checks.Finding{o.Pass(outboundID, name, "%s is reached (%s)", name, policy.Why)}
	case unresolved:
		why = "its name does not resolve"
	case silent:
		why = "nothing comes back"
	case closed:
		why = "it refuses"
	case rejected, unreachable:
		why = s.Reason
	default:
		return o.Unseen(name, outboundID)
	}
	f := o.Fail(outboundID, name, "%s is not reached: %s (%s)", name, why, policy.Why)
	switch {
	case s.Proxy != "":
		f = o.Warn(outboundID, name, "%s is not reached directly: %s; the proxy %s has to let it through (%s)", name, why, s.Proxy, policy.Why).
			Fix(fmt.Sprintf("curl -sSI https://%s   # with the proxy in the environment: HTTPS_PROXY", policy.Host))
	case policy.Optional:
		f.Status = checks.Warn
	}
	return []checks.Finding{f.Saw(cmp.Or(s.Reason, why)).Wanted("a TCP connection").From(policy.Source)}
}

// ownInterface judges where this node's own name leads.
func ownInterface(scope checks.Scope, o checks.Observation, i interfaces) checks.Finding {
	if o.Error != "" {
		return o.Unseen(o.Target.Name, interfaceID)[0]
	}
	name, own := o.Target.Name, scope.Node(o.Vantage)
	self := i.self(own.Address)
	loop := slices.IndexFunc(i.Resolved, func(a netip.Addr) bool { return a.IsLoopback() || i.holder(a).Loopback })
	var f checks.Finding
	switch {
	case len(i.Resolved) == 0:
		f = o.Fail(interfaceID, name, "%s does not resolve on the node itself: %s", name, cmp.Or(i.Unresolved, "no address")).
			Needing("hosts.self", name)
	case loop >= 0:
		f = o.Fail(interfaceID, name, "%s leads to the loopback address %s, on which the mesh refuses to start", name, i.Resolved[loop]).
			Needing("hosts.self", name)
	case !self.IsValid():
		f = o.Fail(interfaceID, name, "%s leads to %s, which no interface of the node holds", name, list(i.Resolved))
	case own.Address.IsValid() && i.holder(own.Address).Name == "":
		f = o.Warn(interfaceID, name, "the other nodes know %s as %s (%s), which no interface of it holds", name, own.Address, own.AddressFrom)
	case own.Address.IsValid() && self != own.Address:
		f = o.Fail(interfaceID, name, "the node takes itself for %s, while the others know it as %s (%s)", list(i.Resolved), own.Address, own.AddressFrom)
	case !self.IsPrivate():
		f = o.Warn(interfaceID, name, "%s of %s is not a private address", self, name).
			Fix("give the internal interface an address of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, and put that into the inventory and /etc/hosts")
	default:
		return o.Pass(interfaceID, name, "%s leads to %s on %s", name, self, i.holder(self).Name)
	}
	want := "the name leads to a private address of an interface of the node"
	return f.Saw(fmt.Sprintf("%s leads to %s; %s", name, cmp.Or(list(i.Resolved), "nothing"), i)).Wanted(want)
}

// self is the address by which the node finds itself on an interface of its
// own: the one the platform knows, or another; the zero value: none.
func (i interfaces) self(own netip.Addr) netip.Addr {
	var self netip.Addr
	for _, a := range i.Resolved {
		if i.holder(a).Name != "" && (!self.IsValid() || a == own) {
			self = a
		}
	}
	return self
}

// holder is the interface that holds the address; the zero value: none does.
func (i interfaces) holder(a netip.Addr) checks.Interface {
	for _, n := range i.Interfaces {
		if slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return n
		}
	}
	return checks.Interface{}
}

// String gives "eth0 10.0.0.7/24, eth1 192.0.2.7/24".
func (i interfaces) String() string {
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

// noReply is the end of a path that nobody explains.
const noReply = "no reply"

// ends says where and why a path ends before its target.
func ends(p checks.Path) string {
	why := ""
	if p.Stop != "" && p.Stop != noReply {
		why = ": " + p.Stop
	}
	at := last(p)
	switch {
	case p.Stop == "loop" && len(p.Hops) > 1:
		return fmt.Sprintf("the path goes in circles between %s and %s", p.Hops[len(p.Hops)-2].Address, at.Address)
	case at.Address.IsValid():
		return fmt.Sprintf("the path stops after %s (hop %d)%s", at.Address, at.TTL, why)
	case why != "":
		return "the path ends before the first router" + why
	}
	return "no router on the way answers"
}

// draw gives a line for each hop.
func draw(p checks.Path) string {
	var b strings.Builder
	for _, h := range p.Hops {
		if h.Address.IsValid() {
			fmt.Fprintf(&b, "%2d  %s  %s\n", h.TTL, h.Address, ms(h.RTT))
		} else {
			fmt.Fprintf(&b, "%2d  *\n", h.TTL)
		}
	}
	return b.String() + cmp.Or(p.Stop, "reached")
}

func last(p checks.Path) checks.Hop {
	if len(p.Hops) == 0 {
		return checks.Hop{}
	}
	return p.Hops[len(p.Hops)-1]
}

func hops(n int) string {
	if n == 1 {
		return "1 hop"
	}
	return fmt.Sprintf("%d hops", n)
}

func lost(e checks.Echo) string { return fmt.Sprintf("%d of %d lost", e.Sent-e.Received, e.Sent) }

func roundTrip(e checks.Echo) string {
	return fmt.Sprintf("min %s, avg %s, max %s", ms(e.Min), ms(e.Avg), ms(e.Max))
}

func ms(d time.Duration) string { return fmt.Sprintf("%.3g ms", float64(d)/float64(time.Millisecond)) }

func list(addresses []netip.Addr) string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = a.String()
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// arg gives an argument of a target; an observations file may lack it.
func arg(t checks.Target, i int) string {
	if i < len(t.Args) {
		return t.Args[i]
	}
	return ""
}

// portName gives "22/tcp" of the target "svc1.example.com:22/tcp".
func portName(t checks.Target) string { return t.Name[strings.LastIndexByte(t.Name, ':')+1:] }

func number(t checks.Target) string {
	n, _, _ := strings.Cut(portName(t), "/")
	return n
}
