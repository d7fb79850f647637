package network

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// noReply and loop are ends of a path.
const (
	noReply = "no reply"
	loop    = "loop"
)

// A peer is another node as a vantage sees it.
type peer struct {
	checks.Sight[extent, node]
	node
	*view
	name  string
	alive sign
}

func (v *view) peer(s checks.Sight[extent, node]) peer {
	n, _ := s.Got()
	return peer{s, n, v, s.Target.Name, v.signs[pair{s.Vantage, s.Target.Node}]}
}

// Node is the other node's name.
func (p peer) Node() string { return p.Target.Node }

// judgeAlone is what is said of a vantage that gets no sign of life from any of
// several peers: the fault is rather its own than that of each of them.
func (v *view) judgeAlone(from cluster.View[peer]) []checks.Finding {
	others := cluster.Those(from.Members, func(p peer) bool { return p.Target.Address != "" })
	var silent []peer
	for _, p := range others {
		switch {
		case p.alive.any():
			return nil
		case p.pinged():
			silent = append(silent, p)
		case p.Unseen().Code != checks.HostSilent: // it might have responded
			return nil
		}
	}
	if len(silent) < 2 {
		return nil
	}
	v.alone[from.Vantage] = true
	f := ping.Fail(checks.Together(silent...), from.Vantage, "%s reaches none of the %d other nodes: look at this node first", from.Vantage, len(others)).
		Saw("no response from " + strings.Join(cluster.Nodes(silent), ", ")).Wanted("a response from any of them").
		Fix(checks.On(from.Vantage) + "ip -br addr; ip route\nnft list ruleset")
	return []checks.Finding{f}
}

// unseen is the finding about a part of the look that was not seen: for the
// first reason that is known.
func (p peer) unseen(c *checks.Check, reasons ...*checks.Unseen) checks.Finding {
	switch why := cmp.Or(reasons...); {
	case why != nil:
		return c.Unknown(p, p.name, "could not be seen: %s", why)
	case p.Unseen() == checks.Unseen{}:
		return c.Unknown(p, p.name, "was not looked at")
	}
	return c.Unseen(p, p.name)
}

// withoutAddress skips a check for the reason that network.ping gives.
func (p peer) withoutAddress(c *checks.Check) checks.Finding {
	return c.Skip(p, p.name, "no address of %s is known", p.Target.Node)
}

// judgePing judges whether the node responds, quickly and every time.
func (p peer) judgePing() checks.Finding {
	name, limit := p.name, time.Duration(pingRTT.In(p.scope))
	var f checks.Finding
	switch e := p.Echo; {
	case p.Target.Address == "":
		f = ping.WithoutAddress(p, name, name)
	case !p.pinged() && p.reached():
		f = ping.Pass(p, name, "%s responds in %s (to a probe of its path: this user may not ping)", name, ms(last(*p.Path).RTT))
	case !p.pinged():
		f = p.unseen(ping, p.EchoUnseen)
	case e.Received == 0:
		f = p.judgeSilence()
	case e.Received < e.Sent:
		f = ping.Warn(p, name, "%s does not respond to every ping: %s", name, lost(*e)).
			Saw(lost(*e)).Wanted("a response to every ping")
	case limit > 0 && e.Min > limit: // the best of them: one may have waited for ARP, or for us
		f = ping.Warn(p, name, "the round trip to %s takes %s", name, ms(e.Min)).
			Saw(roundTrip(*e)).Wanted("at most " + ms(limit) + " (policy)")
	default:
		f = ping.Pass(p, name, "%s responds in %s", name, ms(e.Min)).Saw(roundTrip(*e))
	}
	for _, n := range []string{p.Vantage, name} {
		if p.Target.Address != "" && p.view.alone[n] {
			f = f.Needing(ping.On(n))
		}
	}
	return f.With("address", p.address())
}

// judgeSilence judges a node that responded to no ping.
func (p peer) judgeSilence() checks.Finding {
	name := p.name
	var f checks.Finding
	switch {
	case p.alive.port != socket{}:
		f = ping.Warn(p, name, "%s blocks ping: no response, though its port %s responds", name, p.alive.port).
			Fix(fmt.Sprintf("# on %s: ping, tracepath and path MTU discovery need ICMP; let echo-request through its firewall\nsysctl -w net.ipv4.icmp_echo_ignore_all=0", name))
	case p.alive.icmp:
		f = ping.Warn(p, name, "%s blocks ping: no response, though it responds to the probes of its path", name)
	default:
		message := fmt.Sprintf("%s does not respond (%s)", name, lost(*p.Echo))
		if p.Path != nil {
			message += ", " + ends(*p.Path)
		}
		f = ping.Fail(p, name, "%s", message).
			Fix(fmt.Sprintf("# on %s\nip -br addr; ip route\n%s", name, p.follow()))
	}
	if p.Path != nil {
		f = f.With("path", draw(*p.Path))
	}
	return f.Saw(lost(*p.Echo)).Wanted("a response to every ping")
}

// follow shows the path from where we looked.
func (p peer) follow() string {
	return fmt.Sprintf("# on %s\nip route get %s; tracepath -n %[2]s", p.Vantage, p.Target.Address)
}

// address is where the node was looked for, and where that address is from.
func (p peer) address() string {
	from := p.nodes[p.Target.Node].AddressFrom
	if p.Target.Address == "" || from == "" {
		return cmp.Or(p.Target.Address, "none")
	}
	return p.Target.Address + " (" + from + ")"
}

// judgePath judges the path. That a node is unreachable is said by its ping, with
// the end of the path.
func (p peer) judgePath() checks.Finding {
	name := p.name
	switch {
	case p.Target.Address == "":
		return p.withoutAddress(route)
	case p.Path == nil && (!p.responded() || p.Target.Ask.Trace):
		return p.unseen(route, p.PathUnseen, p.EchoUnseen)
	case p.Path == nil:
		return route.Skip(p, name, "%s responds; --trace follows the path anyway", name)
	}
	var f checks.Finding
	switch way := *p.Path; {
	case way.Reached:
		f = route.Pass(p, name, "%s is %s away", name, hops(len(way.Hops)))
	case p.responded() && way.Stop == loop:
		f = route.Warn(p, name, "%s responds, but %s", name, ends(way))
	case p.responded():
		f = route.Pass(p, name, "%s responds to ping; its path is visible for %s", name, hops(len(way.Hops)))
	case !p.pinged() && way.Stop == noReply:
		f = route.Unknown(p, name, "%s does not respond to probes, and this user may not ping", name)
	case p.alive.port != socket{}:
		return route.Skip(p, name, "%s responds on %s but not to probes: its path cannot be followed to the end", name, p.alive.port)
	default:
		f = route.Fail(p, name, "%s: %s", name, ends(way)).Fix(p.follow())
	}
	return f.With("path", draw(*p.Path))
}

// judgeMTU judges the largest packet. That one of the size tried gets through says
// nothing of the larger one that is wanted today.
func (p peer) judgeMTU() checks.Finding {
	name, want := p.name, leastMTU.In(p.scope)
	m := p.MTU
	switch {
	case p.Target.Address == "":
		return p.withoutAddress(mtu)
	case m == nil && (p.MTUUnseen != nil || !p.pinged()):
		return p.unseen(mtu, p.MTUUnseen, p.EchoUnseen)
	case m == nil:
		return mtu.Unknown(p, name, "could not be measured: %s responds neither to ping nor to probes", name)
	case m.BlackHole:
		return mtu.Fail(p, name, "packets to %s larger than %d bytes are dropped silently", name, m.Bytes).
			Fix(fmt.Sprintf("# on %s, until every firewall on the path lets ICMP \"fragmentation needed\" through\nip link set dev \"$(ip -o route get %s | grep -oP 'dev \\K\\S+')\" mtu %d", p.Vantage, p.Target.Address, m.Bytes)).
			Saw(fmt.Sprintf("%d bytes get through, larger packets do not, and no router reports it", m.Bytes)).Wanted(fmt.Sprintf("%d bytes", want))
	case m.Bytes >= want:
		return mtu.Pass(p, name, "packets of %d bytes reach %s", m.Bytes, name)
	case m.Bytes >= p.Target.Ask.MTU:
		return mtu.Unknown(p, name, "packets of %d bytes reach %s; larger ones were not tried", m.Bytes, name).
			Wanted(fmt.Sprintf("%d bytes (policy)", want))
	}
	at := fmt.Sprintf("this node's own interface towards %s carries packets of at most %d bytes", name, m.Bytes)
	if m.Hop.IsValid() {
		at = fmt.Sprintf("the path to %s carries packets of at most %d bytes, according to %s", name, m.Bytes, m.Hop)
	}
	return mtu.Warn(p, name, "%s", at).Saw(fmt.Sprintf("%d bytes", m.Bytes)).Wanted(fmt.Sprintf("%d bytes (policy)", want))
}

// ends says where and why a path ends before its target.
func ends(p checks.Path) string {
	why := ""
	if p.Stop != "" && p.Stop != noReply {
		why = ": " + p.Stop
	}
	at := last(p)
	switch {
	case p.Stop == loop && len(p.Hops) > 1:
		return fmt.Sprintf("the path loops between %s and %s", p.Hops[len(p.Hops)-2].Address, at.Address)
	case at.Address.IsValid():
		return fmt.Sprintf("the path stops after %s (hop %d)%s", at.Address, at.TTL, why)
	case why != "":
		return "the path ends before the first router" + why
	}
	return "no router on the path responds"
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
