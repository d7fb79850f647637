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
	scope   checks.Scope
	lost    checks.Sight[checks.Nothing, losses] // by the journal of the same node
	names   map[string]string                    // the node of the inventory behind the name of a member, in lower case
	members map[string][]member                  // by node; one that is none of the inventory's by its own name
	servers []server                             // of the inventory; without one, of the mesh
	weak    []server                             // those that autopilot calls unhealthy, whoever it told
	led     bool                                 // somebody sees a leader
}

// A server of the mesh, by the name of its node, or by its address where that is
// nobody's.
type server string

// Node is the node that the server stands on.
func (s server) Node() string { return string(s) }

// join gives "svc1, svc2".
func join(servers []server) string { return strings.Join(cluster.Nodes(servers), ", ") }

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	views := viewsOf(scope, seen)
	var out []checks.Finding
	var clusters []checks.Cluster
	for _, v := range views {
		c := v.cluster()
		if len(c.Members) > 0 {
			clusters = append(clusters, c)
		}
		out = append(out, v.judge(views, c)...)
	}
	return slices.Concat(out, judgeLDAP(seen), judgePending(seen)), clusters
}

// viewsOf are the views of all nodes, by their names.
func viewsOf(scope checks.Scope, seen checks.Record) []view {
	lost := map[string]checks.Sight[checks.Nothing, losses]{}
	for s := range journals.In(seen) {
		lost[s.Vantage] = s
	}
	var out []view
	var weak []server
	led := false
	for s := range agents.In(seen) {
		v := newView(scope, s, lost[s.Vantage])
		_, leaderless := v.leaderless()
		weak, led = append(weak, v.unhealthy()...), led || v.Leader.Value != "" && !leaderless
		out = append(out, v)
	}
	for i := range out {
		out[i].weak, out[i].led = weak, led
	}
	slices.SortFunc(out, func(a, b view) int { return cmp.Compare(a.Vantage, b.Vantage) })
	return out
}

func newView(scope checks.Scope, s checks.Sight[ask, report], lost checks.Sight[checks.Nothing, losses]) view {
	said, _ := s.Got()
	v := view{Sight: s, report: said, scope: scope, lost: lost, names: map[string]string{}, members: map[string][]member{}}
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
	v.servers = v.meshServers()
	return v
}

// inventory says whether there is one to compare with.
func (v view) inventory() bool { return v.scope.Topology.Inventory != nil }

// node is what the inventory calls a node of the mesh.
func (v view) node(name string) string { return cmp.Or(v.names[strings.ToLower(name)], name) }

// meshServers are those of the inventory. Without one the members tell; where
// these were not seen either, what the topology assumes.
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
		f := agent.Fail(v, v.Vantage, "nobody listens on %s: the mesh agent of this node does not run", address).
			Saw("connection refused").Wanted("an answer")
		return append([]checks.Finding{f}, v.unknown("the mesh agent of this node does not run")...)
	case !got:
		return append([]checks.Finding{agent.Unseen(v, v.Vantage)}, v.unknown("could not be seen: "+v.Unseen().String())...)
	}
	return slices.Concat(
		[]checks.Finding{
			agent.Pass(v, v.Vantage, "the mesh agent of this node answers"),
			v.judgeLeader(views), v.judgePeers(), v.judgeAutopilot(), v.judgeToken(), v.judgeTolerance(c),
		},
		v.judgeMembers(views), v.judgeServices(),
	)
}

// unknown is what is said of the mesh by a node whose agent says nothing.
func (v view) unknown(why string) []checks.Finding {
	var out []checks.Finding
	for _, c := range []*checks.Check{leader, peers, members, autopilot, services, tolerance} {
		out = append(out, c.Unknown(v, mesh, "%s", why).Needing(agent.On(v.Vantage)))
	}
	return append(out, token.Skip(v, v.Vantage, "there is no agent to show it to"))
}

// unseen is the finding on a question that the agent did not answer: as a rule
// because it passes it to the leader.
func (v view) unseen(c *checks.Check, why checks.Unseen) checks.Finding {
	return c.Unknown(v, mesh, "could not be seen: %s", why).Needing(leader.On(mesh))
}

// count gives "1 peer", "3 peers".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func judgeLDAP(seen checks.Record) []checks.Finding {
	var out []checks.Finding
	for s := range directory.In(seen) {
		name := s.Target.Name
		switch enabled, got := s.Got(); {
		case !got:
			out = append(out, ldap.Unseen(s, name))
		case !slices.Contains(enabled, "service-discover"):
			out = append(out, ldap.Fail(s, name, "the directory does not name %s as a mesh server: service-discover will not start again there", name).
				Saw("zimbraServiceEnabled: "+cmp.Or(strings.Join(enabled, ", "), "nothing")).Wanted("zimbraServiceEnabled: service-discover"))
		default:
			out = append(out, ldap.Pass(s, name, "the directory names %s as a mesh server", name))
		}
	}
	return out
}

func judgePending(seen checks.Record) []checks.Finding {
	var out []checks.Finding
	for s := range setups.In(seen) {
		switch waiting, got := s.Got(); {
		case !got:
			out = append(out, pending.Unseen(s, s.Vantage))
		case len(waiting) > 0:
			out = append(out, pending.Warn(s, s.Vantage, "%s on this node", waits(len(waiting))).
				Saw(strings.Join(waiting, ", ")).Wanted("none"))
		default:
			out = append(out, pending.Pass(s, s.Vantage, "no setup script waits on this node"))
		}
	}
	return out
}

func waits(n int) string {
	if n == 1 {
		return "1 setup script waits"
	}
	return fmt.Sprintf("%d setup scripts wait", n)
}
