package mesh

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// A spot is a service on a node; without a service, the node itself.
type spot struct{ service, node string }

func (s spot) String() string {
	if s.service == "" {
		return s.node
	}
	return s.service + " on " + s.node
}

const sidecar = "-sidecar-proxy"

// judgeServices judges what is not passing, by service and node.
func (v view) judgeServices() []checks.Finding {
	health := v.Services.Value
	switch {
	case !v.Services.seen():
		return []checks.Finding{v.unseen(services, v.Services.Unseen)}
	case health.Count == 0:
		return []checks.Finding{services.Unknown(v, mesh, "not asked, for the mesh has no leader").Needing(leader.On(mesh))}
	}
	bad := map[spot][]healthCheck{}
	for _, c := range health.Bad {
		at := spot{c.ServiceName, v.node(c.Node)}
		bad[at] = append(bad[at], c)
	}
	var out []checks.Finding
	for _, at := range slices.SortedFunc(maps.Keys(bad), func(a, b spot) int { return cmp.Compare(a.String(), b.String()) }) {
		out = append(out, v.judgeSpot(at, bad[at]))
	}
	out = append(out, v.judgeSidecars()...)
	if len(out) == 0 {
		out = append(out, services.Pass(v, mesh, "no health check is critical").
			Saw(fmt.Sprintf("%s of %s pass", count(health.Count, "check"), count(len(health.Runs), "service"))))
	}
	return out
}

// judgeSpot judges one service of one node.
func (v view) judgeSpot(at spot, all []healthCheck) checks.Finding {
	slices.SortFunc(all, func(a, b healthCheck) int { return cmp.Compare(a.CheckID, b.CheckID) })
	say, status := services.Warn, all[0].Status
	if slices.ContainsFunc(all, func(c healthCheck) bool { return c.Status == "critical" }) {
		say, status = services.Fail, "critical"
	}
	var lines []string
	for _, c := range all {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s: %s %s", cmp.Or(c.Name, c.CheckID), c.Status, c.Output)))
	}
	f := say(v, at.String(), "a health check of %s says %s", at, status).
		Saw(strings.Join(lines, "\n")).Wanted("passing").
		Needing(members.On(at.node))
	if parent, ok := strings.CutSuffix(at.service, sidecar); ok && !slices.ContainsFunc(all, healthCheck.own) {
		f = f.Needing(services.On(spot{parent, at.node}.String()))
	}
	if unit, ok := unit(at.service); ok {
		f = f.Fix(fmt.Sprintf("on %s: systemctl status %s; journalctl -u %s -n 50", at.node, unit, unit))
	}
	return f
}

// own says whether a check is not the echo of another one: the sidecar's alias
// check fails whenever its service's does.
func (c healthCheck) own() bool { return !strings.HasPrefix(c.Name, "Connect Sidecar Aliasing") }

// units of services that are called otherwise. On Ubuntu 22.04 and RHEL 8 these
// are zmcontrol's, and systemctl says so.
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

// judgeSidecars finds services that have one on other nodes and none on this.
func (v view) judgeSidecars() []checks.Finding {
	runs := v.Services.Value.Runs
	var out []checks.Finding
	for _, name := range slices.Sorted(maps.Keys(runs)) {
		beside := runs[name+sidecar]
		for _, node := range slices.Sorted(slices.Values(runs[name])) {
			if len(beside) == 0 || slices.Contains(beside, node) {
				continue
			}
			at := spot{name + sidecar, v.node(node)}
			f := services.Warn(v, at.String(), "%s has no sidecar on %s, as it has on other nodes", name, at.node).
				Saw("no sidecar").Wanted(name + sidecar)
			if unit, ok := unit(at.service); ok {
				f = f.Fix(fmt.Sprintf("on %s: systemctl restart %s; pending-setups -a", at.node, unit))
			}
			out = append(out, f)
		}
	}
	return out
}
