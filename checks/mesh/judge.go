package mesh

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// flapping is how often a member that is alive now was lost within an hour: once
// is a restart.
const flapping = 2

// A view is the mesh as one node sees it.
type view struct {
	checks.Observation
	agent
	scope   checks.Scope
	servers []string         // the mesh servers of the inventory; without one, of the mesh
	weak    []string         // those that autopilot calls unhealthy, whoever it told
	nodes   map[string]place // by the name of the node in the inventory
	strange []member         // members that are no node of the inventory
}

// A place is a node and its members: one, or none, or an old one besides.
type place struct {
	node    platform.Node
	members []member
}

// member is the one that counts: an alive one before what is left of another setup.
func (p place) member() (member, bool) {
	if len(p.members) == 0 {
		return member{}, false
	}
	return slices.MinFunc(p.members, func(a, b member) int { return cmp.Compare(a.Status, b.Status) }), true
}

// server says whether the member is a server of the mesh (serf's tag).
func (m member) server() bool { return m.Tags["role"] == "consul" }

func (p place) alive() bool {
	m, ok := p.member()
	return ok && m.Status == alive
}

// Judge decides.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	journals := map[string]answer[map[string]int]{}
	for o, counts := range checks.Of[map[string]int](seen, kindJournal) {
		journals[o.Vantage] = answer[map[string]int]{counts, o.Error}
	}
	var views []view
	for o, a := range checks.Of[agent](seen, kindAgent) {
		views = append(views, newView(scope, o, a))
	}
	slices.SortFunc(views, func(a, b view) int { return cmp.Compare(a.Vantage, b.Vantage) })
	var weak []string
	for _, v := range views {
		weak = append(weak, v.unhealthy()...)
	}
	var out []checks.Finding
	for _, v := range views {
		v.weak = weak
		out = append(out, v.judge(views, journals[v.Vantage])...)
	}
	return slices.Concat(out, judgeLDAP(seen), judgeSetups(seen))
}

func newView(scope checks.Scope, o checks.Observation, a agent) view {
	v := view{Observation: o, agent: a, scope: scope, nodes: map[string]place{}}
	owner := map[string]string{}
	for _, n := range scope.Topology.Nodes {
		v.nodes[n.Name] = place{node: n}
		// The names that the setup gives (SD ConsulNodeName).
		dashed := strings.ReplaceAll(strings.ToLower(n.Name), ".", "-")
		for _, name := range []string{"server-" + dashed, "agent-" + dashed, strings.ToLower(n.Name)} {
			owner[name] = n.Name
		}
	}
	for _, m := range a.Members.Value {
		name, ok := owner[strings.ToLower(m.Name)]
		if !ok {
			v.strange = append(v.strange, m)
			continue
		}
		p := v.nodes[name]
		p.members = append(p.members, m)
		v.nodes[name] = p
	}
	v.servers = v.meshServers()
	return v
}

// inventory says whether there is one to compare with.
func (v view) inventory() bool { return v.scope.Topology.Inventory != nil }

func (v view) meshServers() []string {
	var out []string
	if v.inventory() {
		for _, n := range v.scope.Topology.With(platform.Mesh) {
			out = append(out, n.Name)
		}
		return out
	}
	for _, m := range v.Members.Value {
		if m.server() && m.Status != left {
			out = append(out, v.node(m.Name))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// node is what the inventory calls a node of the mesh.
func (v view) node(name string) string {
	for _, n := range v.scope.Topology.Nodes {
		for _, m := range v.nodes[n.Name].members {
			if m.Name == name {
				return n.Name
			}
		}
	}
	return name
}

func (v view) judge(views []view, journal answer[map[string]int]) []checks.Finding {
	switch {
	case v.Refused:
		f := v.Fail(agentID, v.Vantage, "nobody listens on %s: the mesh agent of this node does not run", address).
			Saw("connection refused").Wanted("an answer")
		return append([]checks.Finding{f}, v.unknown("the mesh agent of this node does not run")...)
	case v.Error != "":
		f := v.Unknown(agentID, v.Vantage, "could not be seen: %s", v.Error)
		return append([]checks.Finding{f}, v.unknown("could not be seen: "+v.Error)...)
	}
	return slices.Concat(
		[]checks.Finding{v.Pass(agentID, v.Vantage, "the mesh agent of this node answers"), v.leader(views), v.peers(), v.autopilot(), v.token(), v.tolerance()},
		v.members(views, journal), v.services(),
	)
}

// unknown is what is said of the mesh by a node whose agent says nothing.
func (v view) unknown(why string) []checks.Finding {
	var out []checks.Finding
	for _, id := range []string{leaderID, peersID, membersID, autopilotID, servicesID, toleranceID} {
		out = append(out, v.Unknown(id, cluster, "%s", why).Needing(agentID, v.Vantage))
	}
	return append(out, v.Skip(tokenID, v.Vantage, "there is no agent to show it to"))
}

// headless says whether there is no leader, and the words in which it was told.
func (v view) headless() (string, bool) {
	if v.Leader.Value == "" && v.Leader.Error == "" {
		return `""`, true
	}
	for _, said := range []string{v.Leader.Error, v.Services.Error, v.Autopilot.Error} {
		if strings.Contains(said, "No cluster leader") {
			return said, true
		}
	}
	// No server is known to the agent, or none of the known ones takes a connection.
	if strings.Contains(v.Leader.Error, "No known Consul servers") || strings.Contains(v.Leader.Error, "failed to get conn") {
		return v.Leader.Error, true
	}
	return "", false
}

func (v view) leader(views []view) checks.Finding {
	if said, ok := v.headless(); ok {
		f := v.Fail(leaderID, cluster, "the mesh has no leader").Saw(said).Wanted(`"IP:8300"`)
		if len(v.works()) < v.quorum() {
			f = v.needing(f, v.dead())
		}
		return f
	}
	if v.Leader.Error != "" {
		return v.Unknown(leaderID, cluster, "could not be seen: %s", v.Leader.Error)
	}
	for _, other := range views {
		if other.Leader.Value == "" || other.Leader.Value == v.Leader.Value {
			continue
		}
		said := fmt.Sprintf("%s says %s, %s says %s", v.Vantage, v.Leader.Value, other.Vantage, other.Leader.Value)
		if v.Peers.Error == "" && other.Peers.Error == "" && !sameSet(v.Peers.Value, other.Peers.Value) {
			return v.Fail(leaderID, cluster, "there are two meshes: this node and %s have other leaders and other peers", other.Vantage).
				Saw(said).Wanted("one leader")
		}
		// The nodes did not look at the same instant: the leader may have changed in between.
		return v.Warn(leaderID, cluster, "this node and %s name different leaders: the leadership moves", other.Vantage).
			Saw(said).Wanted("one leader").Fix("journalctl -u service-discover --since -1h | grep -i leader     # on each mesh server")
	}
	return v.Pass(leaderID, cluster, "the mesh has a leader").Saw(v.server(v.Leader.Value))
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// server is the node behind the address of a peer; the address when it is
// nobody's.
func (v view) server(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	for _, m := range v.Members.Value {
		if name := v.node(m.Name); m.Addr == host && slices.Contains(v.servers, name) {
			return name
		}
	}
	for _, name := range v.servers {
		if a := v.nodes[name].node.Address; a.IsValid() && a.String() == host {
			return name
		}
	}
	return address
}

func (v view) peers() checks.Finding {
	if v.Peers.Error != "" {
		return v.Unknown(peersID, cluster, "could not be seen: %s", v.Peers.Error).Needing(leaderID, cluster)
	}
	var have, foreign []string
	for _, p := range v.Peers.Value {
		name := v.server(p)
		if have = append(have, name); name == p {
			foreign = append(foreign, p)
		}
	}
	slices.Sort(have)
	missing := except(v.servers, have)
	say := func(f checks.Finding) checks.Finding {
		f = f.Saw(strings.Join(have, ", "))
		if v.inventory() && f.Status != checks.Pass {
			f = f.Wanted(strings.Join(v.servers, ", "))
		}
		return f
	}
	switch n := len(have); {
	case !v.inventory() && n != 1 && n != 3:
		return say(v.Warn(peersID, cluster, "the mesh has %s: Carbonio has 1 or 3 mesh servers", count(n, "peer")))
	case v.inventory() && len(missing) > 0 && len(foreign) > 0:
		return say(v.needing(v.Fail(peersID, cluster, "%s no peer, and %s no mesh server of the inventory", are(missing), are(foreign)), missing))
	case v.inventory() && len(missing) > 0:
		return say(v.needing(v.Fail(peersID, cluster, "%s no peer: the mesh goes on without", are(missing)), missing))
	case v.inventory() && len(foreign) > 0:
		return say(v.Fail(peersID, cluster, "%s counted as a peer, but no mesh server of the inventory", are(foreign)))
	case len(v.voiceless()) > 0:
		return v.Fail(peersID, cluster, "without a vote: %s", strings.Join(v.voiceless(), ", ")).
			Saw(strings.Join(have, ", ")).Wanted("every peer with a vote")
	}
	return say(v.Pass(peersID, cluster, "the mesh has %s", count(len(have), "peer")))
}

// voiceless are the servers without a vote, as far as autopilot told.
func (v view) voiceless() []string {
	var out []string
	if v.Autopilot.Value != nil {
		for _, s := range v.Autopilot.Value.Servers {
			if !s.Voter {
				out = append(out, v.server(s.Address))
			}
		}
	}
	return out
}

// except are the names that are not among others.
func except(names, others []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return slices.Contains(others, n) })
}

// count gives "1 peer", "3 peers".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// are gives "svc1 is", "svc1, svc2 are".
func are(names []string) string {
	if len(names) == 1 {
		return names[0] + " is"
	}
	return strings.Join(names, ", ") + " are"
}

func (v view) autopilot() checks.Finding {
	a := v.Autopilot.Value
	switch {
	case a == nil && v.Token.Elsewhere:
		return v.Skip(autopilotID, cluster, "told only to who holds the administration token: the mesh servers do")
	case a == nil && v.Token.Error != "":
		return v.Unknown(autopilotID, cluster, "told only to who holds the administration token: %s", v.Token.Error)
	case a == nil && v.Autopilot.Error != "":
		return v.Unknown(autopilotID, cluster, "could not be seen: %s", v.Autopilot.Error).
			Needing(leaderID, cluster).Needing(tokenID, v.Vantage)
	case a == nil:
		return v.Unknown(autopilotID, cluster, "not asked, for the mesh has no leader").Needing(leaderID, cluster)
	}
	ill := v.unhealthy()
	saw := fmt.Sprintf("Healthy: %t, FailureTolerance: %d", a.Healthy, a.FailureTolerance)
	switch {
	case len(ill) > 0:
		return v.needing(v.Fail(autopilotID, cluster, "autopilot calls %s unhealthy", strings.Join(ill, ", ")), ill).
			Saw(saw).Wanted("Healthy: true, FailureTolerance: 1 or more").
			Fix("systemctl restart service-discover     # on " + strings.Join(ill, ", "))
	case len(a.Servers) == 1 && len(v.servers) <= 1:
		return v.Pass(autopilotID, cluster, "the mesh calls itself healthy; one server alone can lose none").Saw(saw)
	case !a.Healthy || a.FailureTolerance < 1:
		return v.needing(v.Fail(autopilotID, cluster, "the mesh has %s and can lose none", count(len(a.Servers), "server")), v.dead()).
			Needing(peersID, cluster).Saw(saw).Wanted("Healthy: true, FailureTolerance: 1 or more")
	}
	return v.Pass(autopilotID, cluster, "the mesh calls itself healthy").Saw(saw)
}

// unhealthy are the servers that autopilot calls so.
func (v view) unhealthy() []string {
	var out []string
	if v.Autopilot.Value != nil {
		for _, s := range v.Autopilot.Value.Servers {
			if !s.Healthy {
				out = append(out, v.server(s.Address))
			}
		}
	}
	return out
}

func (v view) token() checks.Finding {
	const without = "who votes and autopilot stay unknown"
	denied := strings.HasPrefix(v.Autopilot.Error, "HTTP 403: ")
	switch {
	case v.Token.Elsewhere:
		return v.Skip(tokenID, v.Vantage, "the mesh servers hold it, and the configuration names none")
	case v.Token.Error != "":
		return v.Unknown(tokenID, v.Vantage, "there is none, and %s: %s", without, v.Token.Error)
	case denied && strings.Contains(v.Autopilot.Error, "ACL not found"):
		return v.Fail(tokenID, v.Vantage, "the mesh does not know the token of %s: %s", v.Token.From, without).
			Saw(v.Autopilot.Error).Wanted("a token of this mesh")
	case denied:
		return v.Fail(tokenID, v.Vantage, "the token of %s may not ask: %s", v.Token.From, without).
			Saw(v.Autopilot.Error).Wanted("a token with operator:read")
	case v.Autopilot.Value != nil:
		return v.Pass(tokenID, v.Vantage, "the mesh accepts the token of %s", v.Token.From)
	}
	return v.Unknown(tokenID, v.Vantage, "the token of %s could not be tried: %s", v.Token.From, cmp.Or(v.Autopilot.Error, "the mesh has no leader")).
		Needing(leaderID, cluster)
}

// quorum is how many of the servers with a vote the mesh needs.
func (v view) quorum() int {
	return (cmp.Or(len(v.Peers.Value), len(v.servers))-len(v.voiceless()))/2 + 1
}

// works are the mesh servers that take part as such, vote, and keep up.
func (v view) works() []string {
	var out []string
	for _, m := range v.Members.Value {
		name := v.node(m.Name)
		if m.server() && m.Status == alive && slices.Contains(v.servers, name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return except(except(slices.Compact(out), v.voiceless()), v.weak)
}

// dead are the other ones, where the members are known at all.
func (v view) dead() []string {
	if v.Members.Error != "" {
		return nil
	}
	return except(v.servers, v.works())
}

// needing says that the loss of the nodes would explain the finding.
func (v view) needing(f checks.Finding, nodes []string) checks.Finding {
	for _, n := range nodes {
		f = f.Needing(membersID, n)
	}
	return f
}

// tolerance is the arithmetic of a majority.
func (v view) tolerance() checks.Finding {
	t := checks.Tolerance{Service: "mesh", Members: v.servers, Alive: v.works(), Needs: v.quorum()}
	saw := fmt.Sprintf("%d of %d servers work, %d needed", len(t.Alive), len(t.Members), t.Needs)
	var f checks.Finding
	said, headless := v.headless()
	switch more := len(t.Alive) - t.Needs; {
	case headless:
		t.Alive, saw = nil, said // they may be alive, and of no use
		f = v.Fail(toleranceID, cluster, "the mesh has stopped").Needing(leaderID, cluster)
	case v.Members.Error != "":
		return v.Unknown(toleranceID, cluster, "who is alive could not be seen: %s", v.Members.Error)
	case len(v.weak) > 0 && v.Autopilot.Value == nil:
		return v.Skip(toleranceID, cluster, "the mesh servers say it: they know who is alive and does not keep up")
	case len(t.Members) == 0:
		return v.Skip(toleranceID, cluster, "no mesh server is known")
	case len(t.Members) == 1 && t.Needs == 1:
		f = v.Skip(toleranceID, cluster, "a mesh of one server stops with it")
	case more < 1:
		f = v.needing(v.Fail(toleranceID, cluster, "the mesh stops with the next server that is lost"), v.dead()).
			Needing(peersID, cluster).Needing(autopilotID, cluster)
	default:
		f = v.Pass(toleranceID, cluster, "the mesh can lose %d more of its %d servers", more, len(t.Members))
	}
	f.Tolerance = []checks.Tolerance{t}
	return f.Saw(saw)
}
