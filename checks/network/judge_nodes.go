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
	from  *view
	name  string
	alive sign
}

func (all views) peer(s checks.Sight[extent, node]) peer {
	n, _ := s.Got()
	v := all[s.Vantage]
	return peer{s, n, v, s.Target.Name, v.signs[s.Target.Node]}
}

// Node is the other node's name.
func (p peer) Node() string { return p.Target.Node }

// judgeAlone is what is said of a vantage that gets no sign of life from any of
// several peers: the fault is rather its own than that of each of them.
func (v *view) judgeAlone(members []peer) []checks.Finding {
	others := cluster.Those(members, func(p peer) bool { return p.Target.Address != "" })
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
	v.alone = true
	f := ping.Fail(checks.Together(silent...), v.Node, "%s reaches none of the %d other nodes: look at this node first", v.Node, len(others)).
		Saw("no response from " + strings.Join(cluster.Nodes(silent), ", ")).Wanted("a response from any of them").
		Fix(checks.On(v.Node) + "ip -br addr; ip route\nnft list ruleset")
	return []checks.Finding{f}
}

// judge judges the node, as far as this vantage sees it.
func (p peer) judge(all views) []checks.Finding {
	if p.Target.Address == "" {
		return []checks.Finding{
			ping.WithoutAddress(p, p.name, p.name).With("address", "none"),
			route.Skip(p, p.name, "no address of %s is known", p.name),
			mtu.Skip(p, p.name, "no address of %s is known", p.name),
		}
	}
	responds := p.judgePing().With("address", p.address())
	for _, node := range []string{p.Vantage, p.name} {
		if v := all[node]; v != nil && v.alone {
			responds = responds.Needing(ping.On(node))
		}
	}
	return []checks.Finding{responds, p.judgePath(), p.judgeMTU()}
}

// address is where the node was looked for, and where that address is from.
func (p peer) address() string {
	if from := p.from.scope.Node(p.name).AddressFrom; from != "" {
		return p.Target.Address + " (" + from + ")"
	}
	return p.Target.Address
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

// judgePing judges whether the node responds, quickly and every time.
func (p peer) judgePing() checks.Finding {
	name, limit := p.name, time.Duration(pingRTT.In(p.from.scope))
	switch e := p.Echo; {
	case !p.pinged() && p.reached():
		return ping.Pass(p, name, "%s responds in %s (to a probe of its path: this user may not ping)", name, ms(last(*p.Path).RTT))
	case !p.pinged():
		return p.unseen(ping, p.EchoUnseen)
	case e.Received == 0:
		return p.judgeSilence()
	case e.Received < e.Sent:
		return ping.Warn(p, name, "%s does not respond to every ping: %s", name, lost(*e)).
			Saw(lost(*e)).Wanted("a response to every ping")
	case limit > 0 && e.Min > limit: // the best of them: one may have waited for ARP, or for us
		return ping.Warn(p, name, "the round trip to %s takes %s", name, ms(e.Min)).
			Saw(roundTrip(*e)).Wanted("at most " + ms(limit) + " (policy)")
	default:
		return ping.Pass(p, name, "%s responds in %s", name, ms(e.Min)).Saw(roundTrip(*e))
	}
}

// judgeSilence judges a node that responded to no ping.
func (p peer) judgeSilence() checks.Finding {
	var f checks.Finding
	if p.alive.any() {
		how := "it responds to the probes of its path"
		if p.alive.port != (socket{}) {
			how = fmt.Sprintf("its port %s responds", p.alive.port)
		}
		f = ping.Warn(p, p.name, "%s blocks ping: no response, though %s", p.name, how).
			Fix(checks.On(p.name) + "sysctl -w net.ipv4.icmp_echo_ignore_all=0   # and let ICMP through its firewall: ping, tracepath and path MTU discovery need it")
	} else {
		end := ""
		if p.Path != nil {
			end = ", " + ends(*p.Path)
		}
		f = ping.Fail(p, p.name, "%s does not respond (%s)%s", p.name, lost(*p.Echo), end).
			Fix(checks.On(p.name) + "ip -br addr; ip route\n" + p.follow())
	}
	if p.Path != nil {
		f = f.With("path", draw(*p.Path))
	}
	return f.Saw(lost(*p.Echo)).Wanted("a response to every ping")
}

// follow shows the path from where we looked.
func (p peer) follow() string {
	return fmt.Sprintf("%sip route get %s; tracepath -n %[2]s", checks.On(p.Vantage), p.Target.Address)
}

// judgePath judges the path. That a node is unreachable is said by its ping, with
// the end of the path.
func (p peer) judgePath() checks.Finding {
	name := p.name
	switch {
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
	name, want := p.name, leastMTU.In(p.from.scope)
	wanted := fmt.Sprintf("%d bytes (policy)", want)
	m := p.MTU
	switch {
	case m == nil && (p.MTUUnseen != nil || !p.pinged()):
		return p.unseen(mtu, p.MTUUnseen, p.EchoUnseen)
	case m == nil:
		return mtu.Unknown(p, name, "could not be measured: %s responds neither to ping nor to probes", name)
	case m.BlackHole:
		device := fmt.Sprintf(`"$(ip -o route get %s | grep -oP 'dev \K\S+')"`, p.Target.Address)
		return mtu.Fail(p, name, "packets to %s larger than %d bytes are dropped silently", name, m.Bytes).
			Fix(fmt.Sprintf("%sip link set dev %s mtu %d   # until every firewall on the path lets ICMP \"fragmentation needed\" through", checks.On(p.Vantage), device, m.Bytes)).
			Saw(fmt.Sprintf("%d bytes get through, larger packets do not, and no router reports it", m.Bytes)).Wanted(wanted)
	case m.Bytes >= want:
		return mtu.Pass(p, name, "packets of %d bytes reach %s", m.Bytes, name)
	case m.Bytes >= p.Target.Ask.MTU:
		return mtu.Unknown(p, name, "packets of %d bytes reach %s; larger ones were not tried", m.Bytes, name).Wanted(wanted)
	}
	at := fmt.Sprintf("this node's own interface to %s carries packets of at most %d bytes", name, m.Bytes)
	if m.Hop.IsValid() {
		at = fmt.Sprintf("the path to %s carries packets of at most %d bytes, according to %s", name, m.Bytes, m.Hop)
	}
	return mtu.Warn(p, name, "%s", at).Saw(fmt.Sprintf("%d bytes", m.Bytes)).Wanted(wanted)
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
		at := "*"
		if h.Address.IsValid() {
			at = fmt.Sprintf("%s  %s", h.Address, ms(h.RTT))
		}
		fmt.Fprintf(&b, "%2d  %s\n", h.TTL, at)
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
