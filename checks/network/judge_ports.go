package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// A probed is a port of another node, and how its probe ended.
type probed struct {
	checks.Basis
	end
	platform.Edge
	*view
	from   origin
	name   string     // "svc1.example.com:8301/tcp"
	at     netip.Addr // where it was probed
	alive  sign
	listen bool // the TCP port of the same number is open
}

// judgePorts judges every port that a vantage has to reach on a node, by today's
// matrix. What is said of one port needs no other to have been seen.
func (v *view) judgePorts(s checks.Sight[ports, []outcome]) []checks.Finding {
	all, got := s.Got()
	ends := map[socket]end{}
	for _, o := range all {
		for at := range o.Ports.sockets() {
			ends[at] = o.end
		}
	}
	address, _ := netip.ParseAddr(s.Target.Address)
	from := v.origin(s.Vantage)
	var out []checks.Finding
	for _, e := range from.edges[s.Target.Node] {
		name, need := checks.PortOf(e.To.Name, e.Number, e.Port.Protocol).Target(), checks.PingOf(e.To.Name)
		end, was := ends[socket{e.Number, e.Port.Protocol}]
		switch {
		case s.Target.Address == "":
			out = append(out, port.Skip(s, name, "no address of %s is known", e.To.Name))
		case !got:
			out = append(out, port.Unseen(s, name).Needing(need))
		case !was:
			out = append(out, port.Unknown(s, name, "%s was not probed (%s)", name, e.Port.Purpose))
		case end.Unseen != checks.Unseen{}:
			out = append(out, port.Unknown(s, name, "could not be seen: %s", end.Unseen).Needing(need))
		default:
			p := probed{
				Basis: s.Proof().Part(), end: end, Edge: e, view: v, from: from, name: name, at: address,
				alive: v.signs[pair{s.Vantage, s.Target.Node}], listen: ends[socket{e.Number, tcp}].State == checks.Open,
			}
			out = append(out, p.judge())
		}
	}
	return out
}

func (p probed) judge() checks.Finding {
	purpose := p.Port.Purpose
	switch {
	case p.State == checks.Open:
		return port.Pass(p, p.name, "%s is open (%s)", p.name, purpose)
	case p.State == checks.Refused && p.from.Phase != checks.Health:
		return port.Pass(p, p.name, "%s is reachable; nothing listens there yet (%s)", p.name, purpose)
	case p.State == checks.Refused && p.idle() != "":
		return port.Pass(p, p.name, "%s is reachable; %s", p.name, p.idle())
	case p.State == checks.Refused && p.Port.Exporter: // a package of its own, which mail does without
		return port.Warn(p, p.name, "nothing listens on %s (%s): it is not monitored", p.name, purpose).Saw("refused").Wanted("open")
	case p.State == checks.Refused:
		return port.Fail(p, p.name, "nothing listens on %s (%s)", p.name, purpose).Saw("refused").Wanted("open").
			Fix(fmt.Sprintf("# on %s\nsystemctl --failed; ss -ltnup | grep -w %d", p.To.Name, p.Number))
	case p.State == checks.Silent && p.Port.Protocol == udp:
		return p.judgeSilentUDP().Needing(checks.PingOf(p.To.Name))
	}
	return p.judgeBlocked().Needing(checks.PingOf(p.To.Name))
}

// judgeBlocked judges a port that is unreachable.
func (p probed) judgeBlocked() checks.Finding {
	purpose := p.Port.Purpose
	noWay := p.Words == "host unreachable" || p.Words == "network unreachable"
	var f checks.Finding
	switch {
	case p.State == checks.Silent && !p.alive.any():
		return port.Fail(p, p.name, "%s does not respond, nor does anything else on the node (%s)", p.name, purpose).Saw("no response")
	case p.State == checks.Silent:
		f = port.Fail(p, p.name, "%s does not respond: a firewall drops the packets (%s)", p.name, purpose).Saw("no response")
	case p.State == checks.Rejected && noWay:
		return port.Fail(p, p.name, "%s is unreachable: %s, according to %s (%s)", p.name, p.Words, p.who(), purpose)
	case p.State == checks.Rejected:
		f = port.Fail(p, p.name, "a firewall on %s rejects %s (%s)", p.who(), p.name, purpose).Saw(p.Words)
	case p.State == checks.Unreachable && p.alive.any(): // firewalld's REJECT, where the kernel reports no more
		f = port.Fail(p, p.name, "%s is rejected: %s, though the node responds (%s)", p.name, p.Words, purpose).Saw(p.Words)
	case p.State == checks.Unreachable:
		return port.Fail(p, p.name, "%s is unreachable: %s (%s)", p.name, p.Words, purpose)
	default:
		return port.Unknown(p, p.name, "%q is not a known outcome of a probe: the file was altered, or is of a newer version", p.State)
	}
	if p.from.Phase == checks.Health {
		return f.Wanted("open").Fix(p.openFirewall())
	}
	return f.Wanted("open, or refused while nothing listens").Fix(p.openFirewall())
}

// judgeSilentUDP judges a UDP port that does not respond. A service that listens
// need not respond; where nothing listens the kernel does.
func (p probed) judgeSilentUDP() checks.Finding {
	switch {
	case p.from.Phase == checks.Health || p.listen:
		return port.Skip(p, p.name, "no response from a UDP port proves nothing if something listens on it (%s)", p.Port.Purpose)
	case !p.alive.any():
		return port.Unknown(p, p.name, "no response from %s, and no other sign of life", p.name)
	}
	return port.Warn(p, p.name, "no response from %s, not even \"port unreachable\": a firewall drops the packets (%s)", p.name, p.Port.Purpose).
		Saw("no response").Wanted("port unreachable").Fix(p.openFirewall())
}

// who is the node of the platform that sent the rejection, or its address.
func (p probed) who() string {
	if !p.By.IsValid() {
		return "the path"
	}
	i := slices.IndexFunc(p.scope.Topology.Nodes, func(n platform.Node) bool { return n.Address == p.By })
	if i < 0 {
		return p.By.String()
	}
	return p.scope.Topology.Nodes[i].Name
}

// idle says why a port may refuse on a healthy node; empty: it may not.
func (p probed) idle() string {
	switch {
	case p.Port.Last != 0:
		return "the sidecars take ports of the range as they need them"
	case p.Number == 2888:
		return "only the ZooKeeper leader listens there"
	case p.Number == 636: // Carbonio's own tools, ldap.sh
		return "Carbonio uses port 389 of the directory, and listens here only if ldap_url says so"
	case p.Number == 8600: // Consul's client_addr
		return "the mesh serves DNS on loopback unless configured otherwise"
	}
	return ""
}

// openFirewall lets this vantage in: on the router that rejects it, or on the
// target, with the firewall of its system (of ours, if nobody looked from there).
func (p probed) openFirewall() string {
	from := "any"
	if p.from.address.IsValid() {
		from = p.from.address.String()
	}
	ports, protocol, _ := strings.Cut(p.Port.String(), "/")
	if p.By.IsValid() && p.By != p.at {
		return fmt.Sprintf("# on %s: let %s through to %s, %s port %s", p.who(), from, p.at, protocol, ports)
	}
	if cmp.Or(p.scope.Vantage(p.To.Name).OS.Family(), p.from.OS.Family()) == "rhel" {
		return fmt.Sprintf("# on %s\nfirewall-cmd --permanent --add-port=%s/%s && firewall-cmd --reload", p.To.Name, ports, protocol)
	}
	return fmt.Sprintf("# on %s\nufw allow proto %s from %s to any port %s", p.To.Name, protocol, from, strings.Replace(ports, "-", ":", 1))
}
