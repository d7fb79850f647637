package mesh

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// flapping is how often a member that is alive now was lost within an hour: once
// is a restart.
const flapping = 2

// A member that counts is an alive one before what is left of another setup.
func current(all []member) (member, bool) {
	if len(all) == 0 {
		return member{}, false
	}
	return slices.MinFunc(all, func(a, b member) int { return cmp.Compare(a.Status, b.Status) }), true
}

// server says whether the member is a server of the mesh (serf's tag).
func (m member) server() bool { return m.Tags["role"] == "consul" }

// judgeMembers judges each node of the inventory and what is in the mesh besides.
func (v view) judgeMembers(views []view) []checks.Finding {
	if !v.Members.seen() {
		return []checks.Finding{v.unseen(members, v.Members.Unseen)}
	}
	var out []checks.Finding
	for _, n := range v.scope.Topology.Nodes {
		out = append(out, v.judgeNode(n, views))
		out = append(out, v.judgeLeftovers(v.members[n.Name])...)
	}
	for _, m := range v.Members.Value {
		// The mesh itself forgets within three days who left.
		if _, known := v.names[strings.ToLower(m.Name)]; !known && v.inventory() && m.Status != left {
			out = append(out, v.judgeStranger(m))
		}
	}
	return out
}

func (v view) judgeNode(n platform.Node, views []view) checks.Finding {
	name := n.Name
	reach := []checks.Need{checks.PingOf(name), checks.PortOf(name, gossipPort, "tcp")}
	lost, _ := v.lost.Got()
	m, ok := current(v.members[name])
	switch {
	case !ok && !v.inventory():
		return members.Skip(v, name, "not in the mesh, and no inventory says that it belongs there")
	case !ok:
		return members.Fail(v, name, "%s is not in the mesh", name).Saw("no member").Wanted("alive").Needing(reach...).
			Fix("on " + name + ": systemctl status service-discover; pending-setups -a")
	case m.Status != alive:
		f := members.Fail(v, name, "%s is %s in the mesh", name, state(m.Status)).Saw(state(m.Status)).Wanted("alive").Needing(reach...)
		if others := seenAlive(views, name); len(others) > 0 {
			return f.With("alive for", strings.Join(others, ", ")).
				Fix("8301/tcp and 8301/udp must be open both ways between this node and " + name + ", without address translation\non " + name + ": journalctl -u service-discover --since -1h | grep -i probe")
		}
		return f
	case lost[m.Name] >= flapping:
		return members.Warn(v, name, "%s comes and goes: it was lost %d times within the last hour", name, lost[m.Name]).
			Saw(fmt.Sprintf("alive now, lost %d times", lost[m.Name])).Wanted("alive all the time").
			Fix("on " + name + ": journalctl -u service-discover --since -1h | grep -iE 'probe|refute'     # 8301/udp, load, or address translation")
	case v.inventory() && m.server() != n.Has(platform.Mesh):
		want := role(n.Has(platform.Mesh))
		return members.Fail(v, name, "%s takes part as %s, and is %s in the inventory", name, role(m.server()), want).
			Saw(m.Name).Wanted(want).
			Fix("correct [serviceDiscoverServers] of the inventory, or on " + name + " remove service-discover and install it again as " + want)
	}
	f := members.Pass(v, name, "%s is alive in the mesh", name)
	if why := v.lost.Unseen(); why != (checks.Unseen{}) {
		f = f.With("not seen", "whether it comes and goes: "+why.String())
	}
	return f
}

// seenAlive are the other nodes that see this one alive.
func seenAlive(views []view, name string) []string {
	var out []string
	for _, v := range views {
		if m, ok := current(v.members[name]); ok && m.Status == alive && v.Vantage != name {
			out = append(out, v.Vantage)
		}
	}
	return out
}

func state(status int) string {
	words := map[int]string{alive: "alive", leaving: "leaving", left: "gone (left)", failed: "dead (failed)"}
	return cmp.Or(words[status], fmt.Sprintf("in state %d", status))
}

func role(server bool) string {
	if server {
		return "a mesh server"
	}
	return "an agent"
}

// judgeLeftovers finds dead members of a node that is alive under another name.
func (v view) judgeLeftovers(all []member) []checks.Finding {
	var out []checks.Finding
	counts, _ := current(all)
	for _, m := range all {
		if counts.Status == alive && m.Status == failed {
			out = append(out, members.Warn(v, m.Name, "%s is dead in the mesh, and a leftover: its node is alive under another name", m.Name).
				Saw(state(m.Status)).Wanted("gone (left)").Fix(forceLeave(m.Name)))
		}
	}
	return out
}

// judgeStranger judges a member that is no node of the inventory.
func (v view) judgeStranger(m member) checks.Finding {
	f := members.Warn(v, m.Name, "%s is %s in the mesh, and not in the inventory", m.Name, state(m.Status)).
		Saw(m.Name + " " + m.Addr).Wanted("only nodes of the inventory")
	if m.Status == alive {
		return f.Fix("add it to the inventory; or take it out: on that node systemctl disable --now service-discover, then on a mesh server " + forceLeave(m.Name))
	}
	return f.Fix(forceLeave(m.Name))
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]*$`)

// forceLeave is the command that forgets a member. Its name comes from the
// network, and only one that is a word to a shell goes into a command.
func forceLeave(name string) string {
	if !plainName.MatchString(name) {
		name = "NAME"
	}
	return "consul force-leave " + name + "     # with CONSUL_HTTP_TOKEN"
}
