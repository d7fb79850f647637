package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// flapping is how many losses within an hour are more than a restart.
const flapping = 2

// roles of a node, by whether it is a mesh server.
var roles = map[bool]string{true: "a mesh server", false: "an agent"}

func (m member) server() bool { return m.Tags.Role == "consul" }

// current is the member that counts for a node: an alive one, rather than what is
// left of an earlier setup.
func current(all []member) (out member) {
	for i, m := range all {
		if i == 0 || m.Status < out.Status {
			out = m
		}
	}
	return out
}

// judgeMembers judges each node of the inventory, and members besides.
func (v view) judgeMembers(views []view) []checks.Finding {
	if !v.Members.seen() {
		return []checks.Finding{v.unseen(members, v.Members.Unseen)}
	}
	var out []checks.Finding
	for _, n := range v.scope.Topology.Nodes {
		out = append(out, v.judgeNode(n, views))
	}
	for _, m := range v.Members.Value {
		_, known := v.names[strings.ToLower(m.Name)]
		switch {
		case known && m.Status == failed && current(v.members[v.node(m.Name)]).Status == alive:
			out = append(out, members.Warn(v, m.Name, "%s is stale: its node is alive in the mesh under another name", m.Name).
				Saw(state(m.Status)).Wanted(state(left)).Fix(forceLeave(m.Name)))
		case !known && v.inventory() && m.Status != left: // the mesh forgets within three days who left
			fix := forceLeave(m.Name)
			if m.Status == alive {
				fix = "systemctl disable --now service-discover     # on that node, unless it should be in the inventory\n" + fix
			}
			out = append(out, members.Warn(v, m.Name, "%s is %s in the mesh, but not in the inventory", m.Name, state(m.Status)).
				Saw(m.Name+" "+m.Addr).Wanted("only nodes of the inventory").Fix(fix))
		}
	}
	return out
}

func (v view) judgeNode(n platform.Node, views []view) checks.Finding {
	name, here := n.Name, checks.On(n.Name)
	reach := []checks.Need{checks.PingOf(name), checks.PortOf(name, gossipPort, "tcp")}
	lost, _ := v.losses.Got()
	switch m := current(v.members[name]); {
	case m.Name == "" && !v.inventory():
		return members.Skip(v, name, "not in the mesh, and there is no inventory to say whether it should be")
	case m.Name == "":
		return members.Fail(v, name, "%s is not in the mesh", name).Saw("no member").Wanted("alive").Needing(reach...).
			Fix(here + "systemctl status service-discover\npending-setups -a")
	case m.Status != alive:
		f := members.Fail(v, name, "%s is %s in the mesh", name, state(m.Status)).Saw(state(m.Status)).Wanted("alive").Needing(reach...)
		others := cluster.Nodes(cluster.Those(views, func(o view) bool { return o.Vantage != name && current(o.members[name]).Status == alive }))
		if len(others) > 0 {
			return f.With("alive for", strings.Join(others, ", ")).Fix(here + lastHour + " probe" + openPorts)
		}
		return f.Fix(here + restart + openPorts)
	case lost[m.Name] >= flapping:
		return members.Warn(v, name, "%s is flapping: it was lost %d times within the last hour", name, lost[m.Name]).
			Saw(fmt.Sprintf("alive now, lost %d times", lost[m.Name])).Wanted("alive all the time").
			Fix(here + lastHour + "E 'probe|refute'     # look for 8301/udp, load or address translation")
	case v.inventory() && m.server() != n.Has(platform.Mesh):
		want := roles[n.Has(platform.Mesh)]
		return members.Fail(v, name, "%s runs as %s, but is %s in the inventory", name, roles[m.server()], want).
			Saw(m.Name).Wanted(want).
			Fix("correct [serviceDiscoverServers] in the inventory, or reinstall service-discover on " + name + " as " + want)
	}
	f := members.Pass(v, name, "%s is alive in the mesh", name)
	if why := v.losses.Unseen(); why != (checks.Unseen{}) {
		f = f.With("not seen", "whether it is flapping: "+why.String())
	}
	return f
}

func state(status int) string {
	words := map[int]string{alive: "alive", leaving: "leaving", left: "gone (left)", failed: "dead (failed)"}
	return cmp.Or(words[status], fmt.Sprintf("in state %d", status))
}

// forceLeave is the command that makes the mesh forget a member.
func forceLeave(name string) string {
	if !plain(name) {
		return "consul members     # this name has special characters: quote it for consul force-leave"
	}
	return "consul force-leave " + name + "     # on a mesh server, with CONSUL_HTTP_TOKEN"
}

// An instance is a service on a node; without a service, the node itself.
type instance struct{ service, node string }

func (i instance) String() string {
	if i.service == "" {
		return i.node
	}
	return i.service + " on " + i.node
}

const sidecar = "-sidecar-proxy"

// judgeServices judges the checks that do not pass, by service and node.
func (v view) judgeServices() []checks.Finding {
	health := v.Services.Value
	if health.Count == 0 {
		return []checks.Finding{v.unseen(services, v.Services.Unseen)}
	}
	bad := map[instance][]healthCheck{}
	for _, c := range health.Bad {
		at := instance{c.ServiceName, v.node(c.Node)}
		bad[at] = append(bad[at], c)
	}
	var out []checks.Finding
	for _, at := range slices.SortedFunc(maps.Keys(bad), func(a, b instance) int { return cmp.Compare(a.String(), b.String()) }) {
		out = append(out, v.judgeInstance(at, bad[at]))
	}
	out = append(out, v.judgeSidecars()...)
	if len(out) == 0 {
		out = append(out, services.Pass(v, mesh, "no health check is critical").
			Saw(fmt.Sprintf("%s of %s are passing", count(health.Count, "check"), count(len(health.Runs), "service"))))
	}
	return out
}

func (v view) judgeInstance(at instance, all []healthCheck) checks.Finding {
	slices.SortFunc(all, func(a, b healthCheck) int { return cmp.Compare(a.CheckID, b.CheckID) })
	say, status := services.Warn, all[0].Status
	if slices.ContainsFunc(all, func(c healthCheck) bool { return c.Status == "critical" }) {
		say, status = services.Fail, "critical"
	}
	var lines []string
	for _, c := range all {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s %s", cmp.Or(c.Name, c.CheckID), c.Status, c.Output)))
	}
	f := say(v, at.String(), "a health check of %s is in state %s", at, status).
		Saw(strings.Join(lines, "\n")).Wanted("passing").
		Needing(members.On(at.node))
	if parent, ok := strings.CutSuffix(at.service, sidecar); ok && !slices.ContainsFunc(all, healthCheck.own) {
		f = f.Needing(services.On(instance{parent, at.node}.String()))
	}
	if unit := unit(at.service); unit != "" {
		f = f.Fix(fmt.Sprintf("%ssystemctl status %s\njournalctl -u %[2]s -n 50", checks.On(at.node), unit))
	}
	return f
}

// own reports whether a check is not an echo: the alias check of a sidecar fails
// whenever that of its service does.
func (c healthCheck) own() bool { return !strings.HasPrefix(c.Name, "Connect Sidecar Aliasing") }

// units are those with another name than their service. On Ubuntu 22.04 and RHEL 8
// they belong to zmcontrol, and systemctl says so.
var units = map[string]string{
	"carbonio-mailbox": "carbonio-appserver.target",
	"carbonio-mta":     "carbonio-mta.target",
	"carbonio-proxy":   "carbonio-proxy.target",
}

// unit is the systemd unit of a service, empty of one that is not Carbonio's; of a
// node it is that of the agent.
func unit(service string) string {
	name, beside := strings.CutSuffix(service, sidecar)
	switch {
	case service == "":
		return "service-discover"
	case !strings.HasPrefix(name, "carbonio-") || !plain(name):
		return ""
	case beside:
		return name + "-sidecar.service"
	}
	return cmp.Or(units[name], name+".service")
}

// judgeSidecars finds services without a sidecar that have one on another node.
func (v view) judgeSidecars() []checks.Finding {
	runs := v.Services.Value.Runs
	var out []checks.Finding
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		beside := runs[name+sidecar]
		for _, node := range slices.Sorted(slices.Values(runs[name])) {
			if len(beside) == 0 || slices.Contains(beside, node) {
				continue
			}
			at := instance{name + sidecar, v.node(node)}
			f := services.Warn(v, at.String(), "%s has no sidecar on %s, but has one on other nodes", name, at.node).
				Saw("no sidecar").Wanted(name + sidecar)
			if unit := unit(at.service); unit != "" {
				f = f.Fix(checks.On(at.node) + "systemctl restart " + unit + "\npending-setups -a")
			}
			out = append(out, f)
		}
	}
	return out
}
