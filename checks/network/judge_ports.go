package network

import (
	"cmp"
	"fmt"
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
	name   string // "svc1.example.com:8301/tcp"
	at     string // the address of the node
	alive  sign
	listen bool // the TCP port of the same number is open
}

// judgePorts judges every port that a vantage has to reach on a node, by today's
// matrix. What is said of one port needs no other to have been seen.
func (v *view) judgePorts(s checks.Sight[ports, []outcome]) []checks.Finding {
	all, got := s.Got()
	ends := map[socket]end{}
	for _, o := range all {
		for _, at := range o.Ports.sockets() {
			ends[at] = o.end
		}
	}
	var out []checks.Finding
	for _, e := range v.edges[s.Target.Node] {
		name, need := checks.PortOf(e.To.Name, e.Number, e.Port.Protocol).Target(), checks.PingOf(e.To.Name)
		end, was := ends[socket{e.Number, e.Port.Protocol}]
		var f checks.Finding
		switch {
		case s.Target.Address == "":
			f = port.Skip(s, name, "no address of %s is known", e.To.Name)
		case !got:
			f = port.Unseen(s, name).Needing(need)
		case !was:
			f = port.Unknown(s, name, "%s was not probed (%s)", name, e.Port.Purpose)
		case end.Unseen != checks.Unseen{}:
			f = port.Unknown(s, name, "could not be seen: %s", end.Unseen).Needing(need)
		default:
			listens := ends[socket{e.Number, tcp}].State == checks.Open
			f = probed{s.Proof().Part(), end, e, v, name, s.Target.Address, v.signs[s.Target.Node], listens}.judge()
		}
		out = append(out, f)
	}
	return out
}

func (p probed) judge() checks.Finding {
	purpose := p.Port.Purpose
	switch {
	case p.State == checks.Open:
		return port.Pass(p, p.name, "%s is open (%s)", p.name, purpose)
	case p.State == checks.Refused && p.Phase != checks.Health:
		return port.Pass(p, p.name, "%s is reachable; nothing listens there yet (%s)", p.name, purpose)
	case p.State == checks.Refused && p.Port.Last != 0:
		return port.Pass(p, p.name, "%s is reachable; the sidecars take ports of the range as they need them", p.name)
	case p.State == checks.Refused && idle[p.Number] != "":
		return port.Pass(p, p.name, "%s is reachable; %s", p.name, idle[p.Number])
	case p.State == checks.Refused && p.Port.Exporter: // a separate package, which mail does not need
		return port.Warn(p, p.name, "nothing listens on %s (%s): it is not monitored", p.name, purpose).Saw("refused").Wanted("open")
	case p.State == checks.Refused:
		return port.Fail(p, p.name, "nothing listens on %s (%s)", p.name, purpose).Saw("refused").Wanted("open").
			Fix(fmt.Sprintf("%ssystemctl --failed; ss -ltnup | grep -w %d", checks.On(p.To.Name), p.Number))
	}
	return p.judgeBlocked().Needing(checks.PingOf(p.To.Name))
}

// judgeBlocked judges a port that is unreachable. A service that listens on UDP need
// not respond; where nothing listens the kernel does.
func (p probed) judgeBlocked() checks.Finding {
	purpose := p.Port.Purpose
	quiet := p.State == checks.Silent && p.Port.Protocol == udp
	noWay := p.Words == "host unreachable" || p.Words == "network unreachable"
	var f checks.Finding
	switch {
	case quiet && (p.Phase == checks.Health || p.listen):
		return port.Skip(p, p.name, "whether the UDP port is open is not known without a response (%s)", purpose)
	case quiet && !p.alive.any():
		return port.Unknown(p, p.name, "no response from %s, nor from anything else on the node", p.name)
	case quiet:
		return port.Warn(p, p.name, "no response from %s, not even \"port unreachable\": a firewall drops the packets (%s)", p.name, purpose).
			Saw("no response").Wanted("port unreachable").Fix(p.openFirewall())
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
		return port.Unknown(p, p.name, strangeState, p.State)
	}
	if p.Phase == checks.Health {
		return f.Wanted("open").Fix(p.openFirewall())
	}
	return f.Wanted("open, or refused while nothing listens").Fix(p.openFirewall())
}

// who is the node of the platform that sent the rejection, or its address.
func (p probed) who() string {
	if !p.By.IsValid() {
		return "the path"
	}
	for _, n := range p.scope.Topology.Nodes {
		if n.Address == p.By {
			return n.Name
		}
	}
	return p.By.String()
}

// idle says why a port may refuse connections on a healthy node.
var idle = map[int]string{
	636:  "Carbonio uses port 389 of the directory, and listens here only if ldap_url says so", // ldap.sh
	2888: "only the ZooKeeper leader listens there",
	8600: "the mesh serves DNS on loopback unless configured otherwise", // Consul's client_addr
}

// openFirewall lets this vantage in: on the router that rejects it, or on the
// target, with the firewall of its system (of ours, if nobody looked from there).
func (p probed) openFirewall() string {
	from := cmp.Or(address(p.own), "any")
	ports, protocol, _ := strings.Cut(p.Port.String(), "/")
	if p.By.IsValid() && p.By.String() != p.at {
		return fmt.Sprintf("%s# let %s through to %s, %s port %s", checks.On(p.who()), from, p.at, protocol, ports)
	}
	rule := fmt.Sprintf("ufw allow proto %s from %s to any port %s", protocol, from, strings.Replace(ports, "-", ":", 1))
	if cmp.Or(p.scope.Vantage(p.To.Name).OS.Family(), p.OS.Family()) == "rhel" {
		rule = fmt.Sprintf("firewall-cmd --permanent --add-port=%s/%s && firewall-cmd --reload", ports, protocol)
	}
	return checks.On(p.To.Name) + rule
}
