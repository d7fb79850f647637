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

// members judges each node of the inventory and what is in the mesh besides.
func (v view) members(views []view, journal answer[map[string]int]) []checks.Finding {
	if v.Members.Error != "" {
		return []checks.Finding{v.Unknown(membersID, cluster, "could not be seen: %s", v.Members.Error).Needing(leaderID, cluster)}
	}
	var out []checks.Finding
	for _, n := range v.scope.Topology.Nodes {
		out = append(out, v.judgeNode(v.nodes[n.Name], views, journal))
		out = append(out, v.leftovers(v.nodes[n.Name])...)
	}
	for _, m := range v.strange {
		if f, ok := v.stranger(m); ok {
			out = append(out, f)
		}
	}
	return out
}

func (v view) judgeNode(p place, views []view, journal answer[map[string]int]) checks.Finding {
	name := p.node.Name
	m, ok := p.member()
	switch {
	case !ok && !v.inventory():
		return v.Skip(membersID, name, "not in the mesh, and no inventory says that it belongs there")
	case !ok:
		return v.explained(v.Fail(membersID, name, "%s is not in the mesh", name), name).Saw("no member").Wanted("alive").
			Fix("on " + name + ": systemctl status service-discover; pending-setups -a")
	case m.Status != alive:
		f := v.explained(v.Fail(membersID, name, "%s is %s in the mesh", name, state(m.Status)), name).Saw(state(m.Status)).Wanted("alive")
		if others := seenAlive(views, name); len(others) > 0 {
			return f.With("alive for", strings.Join(others, ", ")).
				Fix("8301/tcp and 8301/udp must be open both ways between this node and " + name + ", without address translation\non " + name + ": journalctl -u service-discover --since -1h | grep -i probe")
		}
		return f
	case journal.Value[m.Name] >= flapping:
		return v.Warn(membersID, name, "%s comes and goes: it was lost %d times within the last hour", name, journal.Value[m.Name]).
			Saw(fmt.Sprintf("alive now, lost %d times", journal.Value[m.Name])).Wanted("alive all the time").
			Fix("on " + name + ": journalctl -u service-discover --since -1h | grep -iE 'probe|refute'     # 8301/udp, load, or address translation")
	case v.inventory() && m.server() != p.node.Has(platform.Mesh):
		want := role(p.node.Has(platform.Mesh))
		return v.Fail(membersID, name, "%s takes part as %s, and is %s in the inventory", name, role(m.server()), want).
			Saw(m.Name).Wanted(want).
			Fix("correct [serviceDiscoverServers] of the inventory, or on " + name + " remove service-discover and install it again as " + want)
	}
	f := v.Pass(membersID, name, "%s is alive in the mesh", name)
	if journal.Error != "" {
		f = f.With("not seen", "whether it comes and goes: "+journal.Error)
	}
	return f
}

// explained says what would explain that a node is not alive.
func (v view) explained(f checks.Finding, node string) checks.Finding {
	return f.Needing("network.ping", node).Needing("network.port", node+":8301/tcp")
}

// seenAlive are the other nodes that see this one alive.
func seenAlive(views []view, name string) []string {
	var out []string
	for _, v := range views {
		if v.nodes[name].alive() && v.Vantage != name {
			out = append(out, v.Vantage)
		}
	}
	return out
}

func state(status int) string {
	switch status {
	case alive:
		return "alive"
	case leaving:
		return "leaving"
	case left:
		return "gone (left)"
	case failed:
		return "dead (failed)"
	}
	return fmt.Sprintf("in state %d", status)
}

func role(server bool) string {
	if server {
		return "a mesh server"
	}
	return "an agent"
}

// leftovers are dead members of a node that is alive under another name.
func (v view) leftovers(p place) []checks.Finding {
	var out []checks.Finding
	for _, m := range p.members {
		if p.alive() && m.Status == failed {
			out = append(out, v.Warn(membersID, m.Name, "%s is dead in the mesh, and a leftover: its node is alive under another name", m.Name).
				Saw(state(m.Status)).Wanted("gone (left)").Fix(forceLeave(m.Name)))
		}
	}
	return out
}

// stranger judges a member that is no node of the inventory. One that left is
// forgotten by the mesh itself within three days.
func (v view) stranger(m member) (checks.Finding, bool) {
	if !v.inventory() || m.Status == left {
		return checks.Finding{}, false
	}
	f := v.Warn(membersID, m.Name, "%s is %s in the mesh, and not in the inventory", m.Name, state(m.Status)).
		Saw(m.Name + " " + m.Addr).Wanted("only nodes of the inventory")
	if m.Status == alive {
		return f.Fix("add it to the inventory; or take it out: on that node systemctl disable --now service-discover, then on a mesh server " + forceLeave(m.Name)), true
	}
	return f.Fix(forceLeave(m.Name)), true
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

// services judges what is not passing, by service and node.
func (v view) services() []checks.Finding {
	if v.Services.Error != "" {
		return []checks.Finding{v.Unknown(servicesID, cluster, "could not be seen: %s", v.Services.Error).Needing(leaderID, cluster)}
	}
	if v.Services.Value.Count == 0 {
		return []checks.Finding{v.Unknown(servicesID, cluster, "not asked, for the mesh has no leader").Needing(leaderID, cluster)}
	}
	bad := map[spot][]check{}
	var order []spot
	for _, c := range v.Services.Value.Bad {
		at := spot{c.ServiceName, v.node(c.Node)}
		if bad[at] == nil {
			order = append(order, at)
		}
		bad[at] = append(bad[at], c)
	}
	slices.SortFunc(order, func(a, b spot) int { return cmp.Compare(a.String(), b.String()) })
	var out []checks.Finding
	for _, at := range order {
		out = append(out, v.ill(at, bad[at]))
	}
	out = append(out, v.sidecars()...)
	if len(out) == 0 {
		out = append(out, v.Pass(servicesID, cluster, "no health check is critical").
			Saw(fmt.Sprintf("%s of %s pass", count(v.Services.Value.Count, "check"), count(len(v.Services.Value.Runs), "service"))))
	}
	return out
}

// A spot is a service on a node; without a service, the node itself.
type spot struct{ service, node string }

func (s spot) String() string {
	if s.service == "" {
		return s.node
	}
	return s.service + " on " + s.node
}

const sidecar = "-sidecar-proxy"

// ill is the finding on one service of one node.
func (v view) ill(at spot, all []check) checks.Finding {
	slices.SortFunc(all, func(a, b check) int { return cmp.Compare(a.CheckID, b.CheckID) })
	say, status := v.Warn, all[0].Status
	if slices.ContainsFunc(all, func(c check) bool { return c.Status == "critical" }) {
		say, status = v.Fail, "critical"
	}
	var lines []string
	for _, c := range all {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s %s", cmp.Or(c.Name, c.CheckID), c.Status, c.Output)))
	}
	f := say(servicesID, at.String(), "a health check of %s says %s", at, status).
		Saw(strings.Join(lines, "\n")).Wanted("passing").
		Needing(membersID, at.node)
	if parent, ok := strings.CutSuffix(at.service, sidecar); ok && !slices.ContainsFunc(all, check.own) {
		f = f.Needing(servicesID, spot{parent, at.node}.String())
	}
	if unit, ok := unit(at.service); ok {
		f = f.Fix(fmt.Sprintf("on %s: systemctl status %s; journalctl -u %s -n 50", at.node, unit, unit))
	}
	return f
}

// own says whether a check is not the echo of another one: the sidecar's alias
// check fails whenever its service's does.
func (c check) own() bool { return !strings.HasPrefix(c.Name, "Connect Sidecar Aliasing") }

// units of services that are called otherwise (CC). On Ubuntu
// 22.04 and RHEL 8 these are zmcontrol's, and systemctl says so.
var units = map[string]string{
	"carbonio-mailbox": "carbonio-appserver.target",
	"carbonio-mta":     "carbonio-mta.target",
	"carbonio-proxy":   "carbonio-proxy.target",
}

// unit is the systemd unit of a service of Carbonio's.
func unit(service string) (string, bool) {
	name, beside := strings.CutSuffix(service, sidecar)
	if !strings.HasPrefix(name, "carbonio-") || !plainName.MatchString(name) {
		return "", false
	}
	if beside {
		return name + "-sidecar.service", true
	}
	return cmp.Or(units[name], name+".service"), true
}

// sidecars finds services that have one on other nodes and none on this.
func (v view) sidecars() []checks.Finding {
	runs := v.Services.Value.Runs
	var names []string
	for name := range runs {
		if len(runs[name+sidecar]) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out []checks.Finding
	for _, name := range names {
		for _, node := range slices.Sorted(slices.Values(runs[name])) {
			if slices.Contains(runs[name+sidecar], node) {
				continue
			}
			at := spot{name + sidecar, v.node(node)}
			f := v.Warn(servicesID, at.String(), "%s has no sidecar on %s, as it has on other nodes", name, at.node).
				Saw("no sidecar").Wanted(name + sidecar)
			if unit, ok := unit(at.service); ok {
				f = f.Fix(fmt.Sprintf("on %s: systemctl restart %s; pending-setups -a", at.node, unit))
			}
			out = append(out, f)
		}
	}
	return out
}

func judgeLDAP(seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	for o, enabled := range checks.Of[[]string](seen, kindLDAP) {
		name := o.Target.Name
		switch {
		case o.Error != "":
			out = append(out, o.Unseen(name, ldapID)...)
		case !slices.Contains(enabled, "service-discover"):
			out = append(out, o.Fail(ldapID, name, "the directory does not name %s as a mesh server: service-discover will not start again there", name).
				Saw("zimbraServiceEnabled: "+cmp.Or(strings.Join(enabled, ", "), "nothing")).Wanted("zimbraServiceEnabled: service-discover"))
		default:
			out = append(out, o.Pass(ldapID, name, "the directory names %s as a mesh server", name))
		}
	}
	return out
}

func judgeSetups(seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	for o, waiting := range checks.Of[[]string](seen, kindSetups) {
		switch {
		case o.Error != "":
			out = append(out, o.Unseen(o.Vantage, pendingID)...)
		case len(waiting) > 0:
			out = append(out, o.Warn(pendingID, o.Vantage, "%s on this node", waits(len(waiting))).
				Saw(strings.Join(waiting, ", ")).Wanted("none"))
		default:
			out = append(out, o.Pass(pendingID, o.Vantage, "no setup script waits on this node"))
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
