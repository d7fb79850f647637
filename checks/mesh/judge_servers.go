package mesh

import (
	"cmp"
	"fmt"
	"net"
	"slices"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// leaderless says whether there is no leader, and the words in which it was told.
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
		f := leader.Fail(v, mesh, "the mesh has no leader").Saw(said).Wanted(`"IP:8300"`)
		f.Stopped = !v.led // else it is only this node that is cut off
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
		said := fmt.Sprintf("%s says %s, %s says %s", v.Vantage, v.Leader.Value, other.Vantage, other.Leader.Value)
		if v.Peers.seen() && other.Peers.seen() && !sameSet(v.Peers.Value, other.Peers.Value) {
			return leader.Fail(v, mesh, "there are two meshes: this node and %s have other leaders and other peers", other.Vantage).
				Saw(said).Wanted("one leader")
		}
		// The nodes did not look at the same instant: the leader may have changed in between.
		return leader.Warn(v, mesh, "this node and %s name different leaders: the leadership moves", other.Vantage).
			Saw(said).Wanted("one leader").Fix("journalctl -u service-discover --since -1h | grep -i leader     # on each mesh server")
	}
	return leader.Pass(v, mesh, "the mesh has a leader").Saw(v.at(v.Leader.Value).Node())
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// at is the server at the address of a peer.
func (v view) at(address string) server {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return server(address)
	}
	for _, m := range v.Members.Value {
		if s := server(v.node(m.Name)); m.Addr == host && slices.Contains(v.servers, s) {
			return s
		}
	}
	for _, s := range v.servers {
		if a := v.scope.Node(s.Node()).Address; a.IsValid() && a.String() == host {
			return s
		}
	}
	return server(address)
}

func (v view) judgePeers() checks.Finding {
	if !v.Peers.seen() {
		return v.unseen(peers, v.Peers.Unseen)
	}
	var have, foreign []server
	for _, address := range v.Peers.Value {
		s := v.at(address)
		if have = append(have, s); s.Node() == address {
			foreign = append(foreign, s)
		}
	}
	slices.Sort(have)
	var missing []server
	if v.inventory() {
		missing = except(v.servers, have)
	} else {
		foreign = nil
	}
	saw, want := join(have), join(v.servers)
	switch n, voteless := len(have), v.voteless(); {
	case !v.inventory() && n != 1 && n != 3:
		return peers.Warn(v, mesh, "the mesh has %s: Carbonio has 1 or 3 mesh servers", count(n, "peer")).Saw(saw)
	case len(missing) > 0 && len(foreign) > 0:
		f := peers.Fail(v, mesh, "%s no peer, and %s no mesh server of the inventory", are(missing), are(foreign))
		return cluster.Because(f, members, missing).Saw(saw).Wanted(want)
	case len(missing) > 0:
		f := peers.Fail(v, mesh, "%s no peer: the mesh goes on without", are(missing))
		return cluster.Because(f, members, missing).Saw(saw).Wanted(want)
	case len(foreign) > 0:
		return peers.Fail(v, mesh, "%s counted as a peer, but no mesh server of the inventory", are(foreign)).Saw(saw).Wanted(want)
	case len(voteless) > 0:
		return peers.Fail(v, mesh, "without a vote: %s", join(voteless)).Saw(saw).Wanted("every peer with a vote")
	}
	return peers.Pass(v, mesh, "the mesh has %s", count(len(have), "peer")).Saw(saw)
}

// are gives "svc1 is", "svc1, svc2 are".
func are(servers []server) string {
	if len(servers) == 1 {
		return servers[0].Node() + " is"
	}
	return join(servers) + " are"
}

// rated are the servers of which autopilot says something, as far as it told.
func (v view) rated(says func(raftServer) bool) []server {
	var out []server
	if v.Autopilot.Value != nil {
		for _, s := range v.Autopilot.Value.Servers {
			if says(s) {
				out = append(out, v.at(s.Address))
			}
		}
	}
	return out
}

func (v view) voteless() []server { return v.rated(func(s raftServer) bool { return !s.Voter }) }

func (v view) unhealthy() []server { return v.rated(func(s raftServer) bool { return !s.Healthy }) }

// except are the servers that are not among others.
func except(all, others []server) []server {
	return cluster.Those(all, func(s server) bool { return !slices.Contains(others, s) })
}

func (v view) judgeAutopilot() checks.Finding {
	a := v.Autopilot.Value
	switch {
	case a == nil && v.Token.Elsewhere:
		return autopilot.Skip(v, mesh, "told only to who holds the administration token: the mesh servers do")
	case a == nil && v.Token.Unseen != checks.Unseen{}:
		return autopilot.Unknown(v, mesh, "told only to who holds the administration token: %s", v.Token.Unseen)
	case !v.Autopilot.seen():
		return v.unseen(autopilot, v.Autopilot.Unseen).Needing(token.On(v.Vantage))
	case a == nil:
		return autopilot.Unknown(v, mesh, "not asked, for the mesh has no leader").Needing(leader.On(mesh))
	}
	const want = "Healthy: true, FailureTolerance: 1 or more"
	saw := fmt.Sprintf("Healthy: %t, FailureTolerance: %d", a.Healthy, a.FailureTolerance)
	switch ill := v.unhealthy(); {
	case len(ill) > 0:
		f := autopilot.Fail(v, mesh, "autopilot calls %s unhealthy", join(ill)).Saw(saw).Wanted(want).
			Fix("systemctl restart service-discover     # on " + join(ill))
		return cluster.Because(f, members, ill)
	case len(a.Servers) == 1 && len(v.servers) <= 1:
		return autopilot.Pass(v, mesh, "the mesh calls itself healthy; one server alone can lose none").Saw(saw)
	case !a.Healthy || a.FailureTolerance < 1:
		f := autopilot.Fail(v, mesh, "the mesh has %s and can lose none", count(len(a.Servers), "server")).Saw(saw).Wanted(want)
		return cluster.Because(f, members, v.working().No).Needing(peers.On(mesh))
	}
	return autopilot.Pass(v, mesh, "the mesh calls itself healthy").Saw(saw)
}

func (v view) judgeToken() checks.Finding {
	const without = "who votes and autopilot stay unknown"
	from, why := v.Token.From, v.Autopilot.Unseen
	switch {
	case v.Token.Elsewhere:
		return token.Skip(v, v.Vantage, "the mesh servers hold it, and the configuration names none")
	case v.Token.Unseen != checks.Unseen{}:
		return token.Unknown(v, v.Vantage, "there is none, and %s: %s", without, v.Token.Unseen)
	case why.Code == unknownToken:
		return token.Fail(v, v.Vantage, "the mesh does not know the token of %s: %s", from, without).
			Saw(why.String()).Wanted("a token of this mesh")
	case why.Code == forbidden:
		return token.Fail(v, v.Vantage, "the token of %s may not ask: %s", from, without).
			Saw(why.String()).Wanted("a token with operator:read")
	case v.Autopilot.Value != nil:
		return token.Pass(v, v.Vantage, "the mesh accepts the token of %s", from)
	}
	return token.Unknown(v, v.Vantage, "the token of %s could not be tried: %s", from, cmp.Or(why.String(), "the mesh has no leader")).
		Needing(leader.On(mesh))
}

// quorum is how many of the servers with a vote the mesh needs.
func (v view) quorum() int {
	return (cmp.Or(len(v.Peers.Value), len(v.servers))-len(v.voteless()))/2 + 1
}

// working counts the mesh servers that take part as such, vote, and keep up.
func (v view) working() cluster.Count[server] {
	return cluster.Ask(v.servers, func(s server) cluster.Answer {
		if len(v.Members.Value) == 0 { // an agent that says anything is its own member
			return cluster.Unseen
		}
		takesPart := slices.ContainsFunc(v.members[s.Node()], func(m member) bool { return m.server() && m.Status == alive })
		return cluster.Is(takesPart && !slices.Contains(v.voteless(), s) && !slices.Contains(v.weak, s))
	})
}

// cluster is the mesh as those need it who conclude. Servers without a leader
// may be alive, and are of no use.
func (v view) cluster() checks.Cluster {
	c := checks.Cluster{Check: tolerance, Vantage: v.Vantage, Service: mesh, Members: cluster.Nodes(v.servers), Needs: v.quorum()}
	if _, stopped := v.leaderless(); !stopped {
		working := v.working()
		c.Able, c.Unseen = cluster.Nodes(working.Yes), cluster.Nodes(working.Unseen)
	}
	return c
}

// judgeTolerance is the arithmetic of a majority.
func (v view) judgeTolerance(c checks.Cluster) checks.Finding {
	said, stopped := v.leaderless()
	saw := fmt.Sprintf("%d of %d servers work, %d needed", len(c.Able), len(c.Members), c.Needs)
	switch more, _ := cluster.Spare(c); {
	case stopped:
		f := tolerance.Fail(v, mesh, "the mesh has stopped").Saw(said).Needing(leader.On(mesh))
		f.Stopped = !v.led
		return f
	case !v.Members.seen():
		return tolerance.Unknown(v, mesh, "who is alive could not be seen: %s", v.Members.Unseen)
	case len(v.weak) > 0 && v.Autopilot.Value == nil:
		return tolerance.Skip(v, mesh, "the mesh servers say it: they know who is alive and does not keep up")
	case len(c.Members) == 0:
		return tolerance.Skip(v, mesh, "no mesh server is known")
	case len(c.Members) == 1 && c.Needs == 1:
		return tolerance.Skip(v, mesh, "a mesh of one server stops with it").Saw(saw)
	case more < 1:
		f := tolerance.Fail(v, mesh, "the mesh stops with the next server that is lost").Saw(saw)
		return cluster.Because(f, members, v.working().No).Needing(peers.On(mesh), autopilot.On(mesh))
	default:
		return tolerance.Pass(v, mesh, "the mesh can lose %d more of its %d servers", more, len(c.Members)).Saw(saw)
	}
}
