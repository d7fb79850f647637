package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// owned are the databases that Carbonio makes, each of the user of its name.
var owned = []string{
	"abq", "activesync", "auth", "carbonio-docs-connector-db", "carbonio-files-db",
	"carbonio_adm", "core", "ha", "powerstore",
}

// judgeDatabases judges what only a login can tell.
func judgeDatabases(vantage string, seen checks.Record) []checks.Finding {
	var out []checks.Finding
	for s := range logins.In(seen) {
		if s.Vantage != vantage {
			continue
		}
		name := s.Target.Node
		f := databases.Unseen(s, name)
		switch said, got := s.Got(); {
		case got && said.Contact.State == "":
			return judgeOwners(s, said) // every node holds the same databases
		case got:
			f = databases.Unknown(s, name, "PostgreSQL of %s %s", name, said.Contact)
		}
		out = append(out, f.Needing(agreement.On(name), checks.PortOf(name, portPostgres, "tcp")))
	}
	return out
}

func judgeOwners(b checks.Basis, s server) []checks.Finding {
	var out []checks.Finding
	n := 0
	for _, d := range s.Databases {
		switch {
		case !slices.Contains(owned, d.Name):
			continue
		case d.Owner != d.Name:
			out = append(out, databases.Fail(b, d.Name, "the database %s belongs to %s", d.Name, d.Owner).
				Saw(d.Owner).Wanted(d.Name).
				Fix(fmt.Sprintf(`psql -c 'ALTER DATABASE "%s" OWNER TO "%[1]s"'     # on the leader`, d.Name)))
		}
		n++
	}
	switch {
	case n == 0:
		out = append(out, databases.Warn(b, subject, "PostgreSQL holds no database of Carbonio").
			Saw("none").Wanted(list(owned)).Fix("carbonio-mailbox-db-bootstrap carbonio_adm 127.0.0.1     # on a database connector; and carbonio-files-db-bootstrap, …"))
	case len(out) == 0:
		out = append(out, databases.Pass(b, subject, "each of the %d databases of Carbonio belongs to the user of its name", n))
	}
	return out
}

// judgeLocal judges the vantage's own part: its units and its HAProxy.
func (v view) judgeLocal(seen checks.Record) []checks.Finding {
	var out []checks.Finding
	switch nobody := len(balanced(v.scope, v.scope.Node(v.Vantage))) == 0; {
	case !clustered(v.scope): // said already
	case nobody && v.scope.Topology.Inventory == nil:
		out = append(out, haproxy.Skip(checks.From(v.Vantage), "", "without an inventory it is not known where HAProxy belongs"))
	case nobody:
		out = append(out, haproxy.Skip(checks.From(v.Vantage), "", "there is no HAProxy on a directory server, which holds 389 itself"))
	}
	for s := range services.In(seen) {
		if s.Vantage == v.Vantage {
			out = append(out, judgeService(s))
		}
	}
	for s := range balancers.In(seen) {
		if s.Vantage == v.Vantage {
			out = append(out, v.judgeHAProxy(s)...)
		}
	}
	return out
}

// judgeService wants Patroni to start at boot, and nothing else to start PostgreSQL.
// The unit of Ubuntu is active without running anything: its instances run.
func judgeService(o checks.Sight[checks.Nothing, []unit]) checks.Finding {
	node := o.Target.Name
	units, got := o.Got()
	if !got {
		return service.Unseen(o, node)
	}
	saw := make([]string, len(units))
	patroni := unit{Load: "not-found"}
	var beside []string
	for i, u := range units {
		saw[i] = strings.TrimSpace(fmt.Sprintf("%s: %s %s (%s)", u.Name, u.File, u.Active, u.Sub))
		switch {
		case u.Name == unitPatroni:
			patroni = u
		case u.File == "enabled" && !strings.Contains(u.Name, "@"), u.Sub == running:
			beside = append(beside, u.Name)
		}
	}
	seen := strings.Join(saw, "\n")
	switch {
	case len(beside) > 0:
		return service.Fail(o, node, "systemd starts PostgreSQL beside Patroni on %s: %s", node, strings.Join(beside, ", ")).
			Saw(seen).Wanted("disabled, and not running").
			Fix("systemctl disable --now " + strings.Join(beside, " ") + "     # on " + node + ": PostgreSQL of Patroni is no unit, and stays")
	case patroni.Load == "not-found":
		return service.Fail(o, node, "there is no %s on %s", unitPatroni, node).
			Saw(seen).Wanted("enabled, running").
			Fix("apt-get install -y patroni     # RHEL: dnf install patroni; then the playbook carbonio_patroni_install again")
	case patroni.Active != "active":
		return service.Fail(o, node, "%s is %s on %s", unitPatroni, patroni.Active, node).
			Saw(seen).Wanted("active").Fix("systemctl enable --now patroni; journalctl -u patroni -n 50     # on " + node)
	case patroni.File != "enabled":
		return service.Fail(o, node, "%s runs on %s, and does not start at boot: %s", unitPatroni, node, patroni.File).
			Saw(seen).Wanted("enabled").Fix("systemctl enable patroni     # on " + node)
	}
	return service.Pass(o, node, "Patroni alone starts PostgreSQL on %s", node).Saw(seen)
}

// judgeHAProxy judges each port that HAProxy has to hold on the node.
func (v view) judgeHAProxy(o checks.Sight[checks.Nothing, balancer]) []checks.Finding {
	node := o.Target.Name
	b, got := o.Got()
	_, stats := b.Ports[portStats]
	var out []checks.Finding
	for _, port := range balanced(v.scope, v.scope.Node(node)) {
		target := at(node, port)
		process, listens := b.Ports[port]
		switch {
		case !got:
			out = append(out, haproxy.Unseen(o, target))
		case !listens:
			out = append(out, haproxy.Fail(o, target, "nothing listens on port %d of %s", port, node).
				Saw("no listener").Wanted("haproxy"))
		case process != "" && process != "haproxy":
			out = append(out, haproxy.Fail(o, target, "%s holds port %d of %s, not HAProxy", process, port, node).
				Saw(process).Wanted("haproxy").
				Fix(fmt.Sprintf("ss -lntp 'sport = :%d'     # its unit: systemctl disable --now UNIT\nsystemctl restart haproxy", port)))
		case port == portStats && b.Unread != "":
			out = append(out, haproxy.Unknown(o, target, "the statistics cannot be read: %s", b.Unread))
		case port == portStats:
			out = append(out, haproxy.Pass(o, target, "HAProxy gives its statistics on %s", node))
		case !stats || b.Unread != "":
			out = append(out, haproxy.Unknown(o, target, "something listens; without statistics nobody knows where it leads").
				Needing(haproxy.On(at(node, portStats))))
		case port == portPostgres:
			out = append(out, v.judgeDatabaseBackends(o, b, target))
		default:
			out = append(out, v.judgeDirectoryBackends(o, b, target))
		}
	}
	return out
}

// judgeDatabaseBackends wants the leader, and nobody else, up: HAProxy asks Patroni
// of each server, which says 200 on the leader only.
func (v view) judgeDatabaseBackends(o checks.Basis, b balancer, target string) checks.Finding {
	servers, all := v.behind(b, platform.Database, portPostgres), v.holding(platform.Database)
	var up, unchecked []string
	for _, s := range servers {
		switch {
		case strings.HasPrefix(s.Status, "UP"):
			up = append(up, s.of)
		case s.Status == "no check":
			unchecked = append(unchecked, s.of)
		}
	}
	l, led := v.leader()
	switch saw := shown(servers); {
	case len(servers) == 0:
		return haproxy.Fail(o, target, "HAProxy knows no database node").Saw("no server").Wanted(strings.Join(all, ", "))
	case len(unchecked) > 0:
		return haproxy.Fail(o, target, "HAProxy does not ask Patroni of %s who leads", list(unchecked)).
			Saw(saw).Wanted(fmt.Sprintf("check port %d", portPatroni))
	case len(up) == 0:
		return haproxy.Fail(o, target, "HAProxy has no leader to lead to: every database node is down for it").
			Saw(saw).Wanted("the leader up").Needing(leader.On(subject)).
			Fix(fmt.Sprintf("curl -sv http://LEADER:%d/     # from here: 200 is what HAProxy waits for", portPatroni))
	case len(up) > 1:
		return haproxy.Fail(o, target, "HAProxy sends writes to %s", list(up)).Saw(saw).Wanted("the leader alone up").Needing(leader.On(subject))
	case led && !same(up[0], l.Node()):
		return haproxy.Fail(o, target, "HAProxy leads to %s, the leader is %s", up[0], l.Node()).Saw(saw).Wanted(l.Node() + " up")
	case len(servers) < len(all):
		return haproxy.Warn(o, target, "HAProxy does not know every database node: after a failover it leads nowhere").
			Saw(saw).Wanted(strings.Join(all, ", "))
	case led:
		return haproxy.Pass(o, target, "HAProxy leads to %s, the leader", up[0]).Saw(saw)
	default:
		return haproxy.Pass(o, target, "HAProxy leads to %s alone", up[0]).Saw(saw)
	}
}

// judgeDirectoryBackends wants every directory master up.
func (v view) judgeDirectoryBackends(o checks.Basis, b balancer, target string) checks.Finding {
	servers, all := v.behind(b, platform.Directory, portDirectory), v.holding(platform.Directory)
	var down []string
	for _, s := range servers {
		if !strings.HasPrefix(s.Status, "UP") && s.Status != "no check" {
			down = append(down, s.of)
		}
	}
	saw := shown(servers)
	var f checks.Finding
	switch {
	case len(servers) == 0:
		return haproxy.Fail(o, target, "HAProxy knows no directory server").Saw("no server").Wanted(strings.Join(all, ", "))
	case len(down) == len(servers):
		f = haproxy.Fail(o, target, "every directory server is down for HAProxy").Saw(saw).Wanted("both up")
	case len(down) > 0:
		f = haproxy.Fail(o, target, "%s is down for HAProxy: no directory is left when the other goes", list(down)).Saw(saw).Wanted("both up")
	case len(servers) < len(all):
		return haproxy.Warn(o, target, "HAProxy does not know every directory server").Saw(saw).Wanted(strings.Join(all, ", "))
	default:
		return haproxy.Pass(o, target, "HAProxy leads to %d directory servers", len(servers)).Saw(saw)
	}
	for _, name := range down {
		f = f.Needing(checks.PortOf(name, portDirectory, "tcp"), checks.PingOf(name))
	}
	return f
}

// A known backend is one of a node of the platform.
type known struct {
	backend
	of string // the node
}

// behind are the backends that stand for nodes with the component. PostgreSQL's
// bear the names of the nodes; the directory's are numbered in the order of the
// inventory (haproxy.cfg). The address tells where the name does not.
func (v view) behind(b balancer, component platform.Component, port int) []known {
	var out []known
	for _, s := range b.Backends {
		for i, n := range v.scope.Topology.With(component) {
			named := same(s.Name, n.Name) && component == platform.Database
			numbered := component == platform.Directory && s.Name == "ldap-"+strconv.Itoa(i+1)
			if named || numbered || s.Address != "" && s.Address == n.At(port) {
				out = append(out, known{s, n.Name})
				break
			}
		}
	}
	return out
}

func shown(servers []known) string {
	lines := make([]string, len(servers))
	for i, s := range servers {
		lines[i] = strings.TrimSpace(fmt.Sprintf("%s (%s): %s %s", s.of, s.Proxy+"/"+s.Name, s.Status, s.Check))
	}
	return strings.Join(lines, "\n")
}

// holding are the nodes with the component.
func (v view) holding(component platform.Component) []string {
	var names []string
	for _, n := range v.scope.Topology.With(component) {
		names = append(names, n.Name)
	}
	return names
}
