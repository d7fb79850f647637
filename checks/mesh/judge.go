package mesh

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// A view is the mesh as the agent of one node sees it.
type view struct {
	checks.Sight[ask, report]
	report
	scope        checks.Scope
	losses       checks.Sight[checks.Nothing, losses] // from the log of the same node
	names        map[string]string                    // of nodes, by the names of their members in lower case
	members      map[string][]member                  // by node, or by their own name when no node is called so
	servers      []server                             // of the inventory; without one, of the mesh
	voteless     []server                             // according to autopilot
	unhealthy    []server                             // according to autopilot
	anyUnhealthy []server                             // of all nodes together
	hasLeader    bool                                 // some node sees one
}

// Node is the node of the agent.
func (v view) Node() string { return v.Vantage }

// A server of the mesh is named by its node, or by its address when it belongs to
// no known node.
type server string

func (s server) Node() string { return string(s) }

func join(servers []server) string { return strings.Join(cluster.Nodes(servers), ", ") }

func judge(scope checks.Scope, seen checks.Record) (out []checks.Finding, clusters []checks.Cluster) {
	views := viewsOf(scope, seen)
	for _, v := range views {
		c := v.cluster()
		if len(c.Members) > 0 && (v.inventory() || len(v.Members.Value) > 0) {
			clusters = append(clusters, c)
		}
		out = append(out, v.judge(views, c)...)
	}
	for s := range directory.In(seen) {
		out = append(out, judgeLDAP(s))
	}
	for s := range setups.In(seen) {
		out = append(out, judgePending(s))
	}
	return out, clusters
}

// viewsOf are the views of all nodes, in the order of their names.
func viewsOf(scope checks.Scope, seen checks.Record) []view {
	lost := map[string]checks.Sight[checks.Nothing, losses]{}
	for s := range journals.In(seen) {
		lost[s.Vantage] = s
	}
	var out []view
	var unhealthy []server
	hasLeader := false
	for s := range agents.In(seen) {
		v := newView(scope, s)
		v.losses = lost[s.Vantage]
		_, leaderless := v.leaderless()
		hasLeader = hasLeader || v.Leader.Value != "" && !leaderless
		unhealthy = append(unhealthy, v.unhealthy...)
		out = append(out, v)
	}
	for i := range out {
		out[i].anyUnhealthy, out[i].hasLeader = unhealthy, hasLeader
	}
	return out
}

func newView(scope checks.Scope, s checks.Sight[ask, report]) view {
	said, _ := s.Got()
	v := view{Sight: s, report: said, scope: scope, names: map[string]string{}, members: map[string][]member{}}
	for _, n := range scope.Topology.Nodes {
		// The names that the setup gives.
		dashed := strings.ReplaceAll(strings.ToLower(n.Name), ".", "-")
		for _, name := range []string{"server-" + dashed, "agent-" + dashed, strings.ToLower(n.Name)} {
			v.names[name] = n.Name
		}
	}
	for _, m := range v.Members.Value {
		name := v.node(m.Name)
		v.members[name] = append(v.members[name], m)
	}
	slices.Sort(v.Peers.Value)
	v.servers = v.meshServers()
	if a := v.Autopilot.Value; a != nil {
		for _, s := range a.Servers {
			if !s.Voter {
				v.voteless = append(v.voteless, v.at(s.Address))
			}
			if !s.Healthy {
				v.unhealthy = append(v.unhealthy, v.at(s.Address))
			}
		}
	}
	return v
}

func (v view) inventory() bool { return v.scope.Topology.Inventory != nil }

// node is the node behind the name of a member; the name itself when there is none.
func (v view) node(name string) string { return cmp.Or(v.names[strings.ToLower(name)], name) }

// meshServers are those of the inventory. Without one they are taken from the
// members, and without these from what the topology assumes.
func (v view) meshServers() []server {
	var out []server
	if v.inventory() || len(v.Members.Value) == 0 {
		for _, n := range v.scope.Topology.With(platform.Mesh) {
			out = append(out, server(n.Name))
		}
		return out
	}
	for _, m := range v.Members.Value {
		if m.server() && m.Status != left {
			out = append(out, server(v.node(m.Name)))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (v view) judge(views []view, c checks.Cluster) []checks.Finding {
	switch _, got := v.Got(); {
	case v.Contact != checks.Contact{}:
		f := agent.Fail(v, v.Vantage, "the mesh agent of this node is not running: nothing listens on %s", address).
			Saw("connection refused").Wanted("a response").Fix(checks.On(v.Vantage) + agent.Remedy)
		return append([]checks.Finding{f}, v.unknown("the mesh agent of this node does not run")...)
	case !got:
		return append([]checks.Finding{agent.Unseen(v, v.Vantage)}, v.unknown("could not be seen: "+v.Unseen().String())...)
	}
	return slices.Concat(
		[]checks.Finding{
			agent.Pass(v, v.Vantage, "the mesh agent of this node responds"),
			v.judgeLeader(views), v.judgePeers(), v.judgeAutopilot(), v.judgeToken(), v.judgeTolerance(c),
		},
		v.judgeMembers(views), v.judgeServices(),
	)
}

// unknown is what a node reports whose agent gives no answers.
func (v view) unknown(why string) []checks.Finding {
	var out []checks.Finding
	for _, c := range []*checks.Check{leader, peers, members, autopilot, services, tolerance} {
		out = append(out, c.Unknown(v, mesh, "%s", why).Needing(agent.On(v.Vantage)))
	}
	if _, got := v.Got(); !got {
		return append(out, token.Unseen(v, v.Vantage))
	}
	return append(out, token.Skip(v, v.Vantage, "there is no agent to try the token with"))
}

// unseen is the finding on a request that the agent refused, as a rule because it
// forwards it to the leader. One that was not made has no reason.
func (v view) unseen(c *checks.Check, why checks.Unseen) checks.Finding {
	if why == (checks.Unseen{}) {
		return c.Unknown(v, mesh, "not asked: the mesh has no leader").Needing(leader.On(mesh))
	}
	return c.Unknown(v, mesh, "could not be seen: %s", why).Needing(leader.On(mesh))
}

// count gives "1 peer", "3 peers".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// plain says whether a name, which may come from the network, can go into a remedy.
func plain(name string) bool { return checks.On(name) != "" }

// on begins a remedy with the servers that it is for, as checks.On does with a node.
func on(servers []server) string {
	if len(servers) == 0 || slices.ContainsFunc(servers, func(s server) bool { return !plain(s.Node()) }) {
		return ""
	}
	return "# on " + join(servers) + "\n"
}

func judgeLDAP(s checks.Sight[checks.Nothing, []string]) checks.Finding {
	name := s.Target.Name
	switch enabled, got := s.Got(); {
	case !got:
		return ldap.Unseen(s, name)
	case !slices.Contains(enabled, "service-discover"):
		return ldap.Fail(s, name, "the directory does not list %s as a mesh server: service-discover will not start there again", name).
			Saw("zimbraServiceEnabled: " + cmp.Or(strings.Join(enabled, ", "), "nothing")).
			Wanted("zimbraServiceEnabled: service-discover").Fix(checks.On(name) + ldap.Remedy)
	}
	return ldap.Pass(s, name, "the directory lists %s as a mesh server", name)
}

func judgePending(s checks.Sight[checks.Nothing, []string]) checks.Finding {
	switch waiting, got := s.Got(); {
	case !got:
		return pending.Unseen(s, s.Vantage)
	case len(waiting) > 0:
		return pending.Warn(s, s.Vantage, "setup scripts waiting to be run on this node: %d", len(waiting)).
			Saw(strings.Join(waiting, ", ")).Wanted("none").Fix(checks.On(s.Vantage) + pending.Remedy)
	}
	return pending.Pass(s, s.Vantage, "no setup script is waiting on this node")
}
