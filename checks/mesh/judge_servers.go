package mesh

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// leaderless reports whether there is no leader, and in which words the agent
// said so.
func (v view) leaderless() (string, bool) {
	if _, got := v.Got(); !got || v.Contact != (checks.Contact{}) {
		return "", false
	}
	if v.Leader == (answer[string]{}) {
		return `""`, true
	}
	for _, why := range []checks.Unseen{v.Leader.Unseen, v.Services.Unseen, v.Autopilot.Unseen} {
		if why.Code == noLeader {
			return why.Words, true
		}
	}
	return v.Leader.Unseen.Words, v.Leader.Unseen.Code == noServer
}

func (v view) judgeLeader(views []view) checks.Finding {
	if said, ok := v.leaderless(); ok {
		f := leader.Fail(v, mesh, "the mesh has no leader").Saw(said).Wanted(`"IP:8300"`).Fix(on(v.servers) + leader.Remedy)
		f.Stopped = !v.hasLeader // otherwise only this node is cut off
		if working := v.working(); working.AtLeast(v.quorum()) != cluster.Yes {
			f = cluster.Because(f, members, working.No)
		}
		return f
	}
	if !v.Leader.seen() {
		return leader.Unknown(v, mesh, "could not be seen: %s", v.Leader.Unseen)
	}
	for _, other := range views {
		if other.Leader.Value == "" || other.Leader.Value == v.Leader.Value {
			continue
		}
		said := fmt.Sprintf("%s reports %s, %s reports %s", v.Vantage, v.Leader.Value, other.Vantage, other.Leader.Value)
		if v.Peers.seen() && other.Peers.seen() && !slices.Equal(v.Peers.Value, other.Peers.Value) {
			return leader.Fail(v, mesh, "there are two meshes: this node and %s report different leaders and different peers", other.Vantage).
				Saw(said).Wanted("one leader").Fix(on(v.servers) + leader.Remedy)
		}
		// The nodes did not look at the same instant.
		return leader.Warn(v, mesh, "this node and %s report different leaders: the leader is changing", other.Vantage).
			Saw(said).Wanted("one leader").Fix(on(v.servers) + lastHour + " leader")
	}
	return leader.Pass(v, mesh, "the mesh has a leader").Saw(v.at(v.Leader.Value).Node())
}

// at is the server at the address of a peer.
func (v view) at(address string) server {
	host, _, err := net.SplitHostPort(address)
	for _, s := range v.servers {
		at := func(m member) bool { return m.Addr == host }
		if err == nil && (slices.ContainsFunc(v.members[s.Node()], at) || v.scope.Node(s.Node()).Address.String() == host) {
			return s
		}
	}
	return server(address)
}

func (v view) judgePeers() checks.Finding {
	if !v.Peers.seen() {
		return v.unseen(peers, v.Peers.Unseen)
	}
	var have, missing, foreign []server
	for _, address := range v.Peers.Value {
		s := v.at(address)
		if have = append(have, s); v.inventory() && s.Node() == address {
			foreign = append(foreign, s)
		}
	}
	slices.Sort(have)
	if v.inventory() {
		missing = cluster.Those(v.servers, func(s server) bool { return !slices.Contains(have, s) })
	}
	saw := join(have)
	switch n := len(have); {
	case !v.inventory() && n != 1 && n != 3:
		return peers.Warn(v, mesh, "the mesh has %s: Carbonio uses 1 or 3 mesh servers", count(n, "peer")).Saw(saw)
	case len(missing)+len(foreign) > 0:
		f := peers.Fail(v, mesh, "the peers are not the mesh servers of the inventory: missing: %s; not in the inventory: %s", cmp.Or(join(missing), "none"), cmp.Or(join(foreign), "none"))
		return cluster.Because(f, members, missing).Saw(saw).Wanted(join(v.servers)).Fix(peersRemedy(missing, foreign))
	case len(v.voteless) > 0:
		return peers.Fail(v, mesh, "without a vote: %s", join(v.voteless)).Saw(saw).Wanted("every peer with a vote").Fix(peersRemedy(v.voteless, nil))
	}
	return peers.Pass(v, mesh, "the mesh has %s", count(len(have), "peer")).Saw(saw)
}

// peersRemedy restarts servers, and removes peers that will not come back.
func peersRemedy(idle, foreign []server) string {
	var lines []string
	if len(idle) > 0 {
		lines = append(lines, on(idle)+restart)
	}
	for _, s := range foreign {
		if _, err := netip.ParseAddrPort(s.Node()); err == nil {
			lines = append(lines, "consul operator raft remove-peer -address="+s.Node()+"     # on a mesh server, with CONSUL_HTTP_TOKEN, if it will not come back")
		}
	}
	return strings.Join(lines, "\n")
}

func (v view) judgeAutopilot() checks.Finding {
	a := v.Autopilot.Value
	switch {
	case a == nil && v.Token.Elsewhere:
		return autopilot.Skip(v, mesh, "reported only to holders of the administration token: the mesh servers")
	case a == nil && v.Token.Unseen != checks.Unseen{}:
		return autopilot.Unknown(v, mesh, "reported only to holders of the administration token: %s", v.Token.Unseen)
	case a == nil:
		return v.unseen(autopilot, v.Autopilot.Unseen).Needing(token.On(v.Vantage))
	}
	const want = "Healthy: true, FailureTolerance: 1 or more"
	saw := fmt.Sprintf("Healthy: %t, FailureTolerance: %d", a.Healthy, a.FailureTolerance)
	switch {
	case len(v.unhealthy) > 0:
		f := autopilot.Fail(v, mesh, "autopilot reports %s as unhealthy", join(v.unhealthy)).Saw(saw).Wanted(want).Fix(on(v.unhealthy) + restart)
		return cluster.Because(f, members, v.unhealthy)
	case len(a.Servers) == 1 && len(v.servers) <= 1:
		return autopilot.Pass(v, mesh, "the mesh reports itself healthy; there is only one server: none can be lost").Saw(saw)
	case !a.Healthy || a.FailureTolerance < 1:
		f := autopilot.Fail(v, mesh, "the mesh has %s and can lose none", count(len(a.Servers), "server")).Saw(saw).Wanted(want)
		return cluster.Because(f, members, v.working().No).Needing(peers.On(mesh))
	}
	return autopilot.Pass(v, mesh, "the mesh reports itself healthy").Saw(saw)
}

func (v view) judgeToken() checks.Finding {
	const without = "votes and autopilot stay unknown"
	from, why := v.Token.From, v.Autopilot.Unseen
	switch {
	case v.Token.Elsewhere:
		return token.Skip(v, v.Vantage, "the mesh servers hold the token, and the configuration has none")
	case v.Token.Unseen != checks.Unseen{}:
		return token.Unknown(v, v.Vantage, "no token was found, so %s: %s", without, v.Token.Unseen)
	case why.Code == forbidden:
		return token.Fail(v, v.Vantage, "the mesh rejects the token from %s, so %s", from, without).
			Saw(why.String()).Wanted("a token of this mesh with operator:read")
	case v.Autopilot.Value != nil:
		return token.Pass(v, v.Vantage, "the mesh accepts the token from %s", from)
	}
	return token.Unknown(v, v.Vantage, "the token from %s could not be tried: %s", from, cmp.Or(why.String(), "the mesh has no leader")).
		Needing(leader.On(mesh))
}

// quorum is how many voting servers the mesh needs.
func (v view) quorum() int {
	return (cmp.Or(len(v.Peers.Value), len(v.servers))-len(v.voteless))/2 + 1
}

// working counts the mesh servers that are alive as such, vote and keep up.
func (v view) working() cluster.Count[server] {
	return cluster.Ask(v.servers, func(s server) cluster.Answer {
		if len(v.Members.Value) == 0 { // every agent is a member: this is no answer
			return cluster.Unseen
		}
		serves := slices.ContainsFunc(v.members[s.Node()], func(m member) bool { return m.server() && m.Status == alive })
		return cluster.Is(serves && !slices.Contains(v.voteless, s) && !slices.Contains(v.anyUnhealthy, s))
	})
}

// cluster is the mesh as handed up. Servers without a leader may be alive, but
// are of no use.
func (v view) cluster() checks.Cluster {
	c := checks.Cluster{Check: tolerance, Vantage: v.Vantage, Service: mesh, Members: cluster.Nodes(v.servers), Needs: v.quorum()}
	if _, leaderless := v.leaderless(); !leaderless {
		working := v.working()
		c.Able, c.Unseen = cluster.Nodes(working.Yes), cluster.Nodes(working.Unseen)
	}
	return c
}

func (v view) judgeTolerance(c checks.Cluster) checks.Finding {
	said, leaderless := v.leaderless()
	saw := fmt.Sprintf("%d of %d servers work, %d needed", len(c.Able), len(c.Members), c.Needs)
	switch spare, _ := cluster.Spare(c); {
	case leaderless:
		f := tolerance.Fail(v, mesh, "the mesh has stopped").Saw(said).Needing(leader.On(mesh))
		f.Stopped = !v.hasLeader
		return f
	case !v.Members.seen():
		return tolerance.Unknown(v, mesh, "which servers are alive could not be seen: %s", v.Members.Unseen)
	case len(v.anyUnhealthy) > 0 && v.Autopilot.Value == nil:
		return tolerance.Skip(v, mesh, "judged on the mesh servers: only they see who is alive but not healthy")
	case len(c.Members) == 0:
		return tolerance.Skip(v, mesh, "no mesh server is known")
	case len(c.Members) == 1 && c.Needs == 1:
		return tolerance.Skip(v, mesh, "there is only one mesh server: none can be lost").Saw(saw)
	case spare < 1:
		f := tolerance.Fail(v, mesh, "the mesh will stop if one more server is lost").Saw(saw)
		return cluster.Because(f, members, v.working().No).Needing(peers.On(mesh), autopilot.On(mesh))
	default:
		return tolerance.Pass(v, mesh, "the mesh can lose %d more of its %d servers", spare, len(c.Members)).Saw(saw)
	}
}
