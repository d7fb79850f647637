package postgres

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// owned are the databases that Carbonio creates, each owned by the user of the same
// name.
var owned = []string{
	"abq", "activesync", "auth", "carbonio-docs-connector-db", "carbonio-files-db",
	"carbonio_adm", "core", "ha", "powerstore",
}

// judgeDatabases judges the owners; every node holds the same databases.
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
			return judgeOwners(s, said)
		case got:
			f = databases.Unknown(s, name, "PostgreSQL on %s %s", name, said.Contact)
		}
		out = append(out, f.Needing(agreement.On(name), checks.PortOf(name, portPostgres, "tcp")))
	}
	return out
}

func judgeOwners(b checks.Basis, s server) []checks.Finding {
	var out []checks.Finding
	n := 0
	for _, d := range s.Databases {
		if !slices.Contains(owned, d.Name) {
			continue
		}
		if n++; d.Owner != d.Name {
			out = append(out, databases.Fail(b, d.Name, "the database %s is owned by %s", d.Name, d.Owner).Saw(d.Owner).Wanted(d.Name).
				Fix(fmt.Sprintf(`psql -c 'ALTER DATABASE "%s" OWNER TO "%[1]s"'   # on the leader`, d.Name)))
		}
	}
	switch {
	case n == 0:
		out = append(out, databases.Warn(b, subject, "PostgreSQL has no Carbonio database").Saw("none").Wanted(list(owned)).
			Fix("carbonio-mailbox-db-bootstrap carbonio_adm 127.0.0.1   # on a database connector; likewise carbonio-files-db-bootstrap, …"))
	case len(out) == 0:
		out = append(out, databases.Pass(b, subject, "all Carbonio databases (%d) are owned by the user of the same name", n))
	}
	return out
}

// skipHAProxy says why a node of a cluster has none.
func skipHAProxy(scope checks.Scope, vantage string) checks.Finding {
	if scope.Topology.Inventory == nil {
		return haproxy.Skip(checks.From(vantage), "", "without an inventory it is unknown which nodes need HAProxy")
	}
	return haproxy.Skip(checks.From(vantage), "", "a directory server has no HAProxy: it needs port 389 itself")
}

// judgeService wants Patroni to start at boot, and nothing else to start PostgreSQL.
// On Ubuntu postgresql.service is active without running anything: its instances run.
func judgeService(s checks.Sight[checks.Nothing, []unit]) checks.Finding {
	node := s.Target.Name
	units, got := s.Got()
	if !got {
		return service.Unseen(s, node)
	}
	var saw, beside []string
	patroni := unit{Load: "not-found"}
	for _, u := range units {
		saw = append(saw, strings.TrimSpace(fmt.Sprintf("%s: %s %s (%s)", u.Name, u.File, u.Active, u.Sub)))
		switch {
		case u.Name == unitPatroni:
			patroni = u
		case u.File == "enabled" && !strings.Contains(u.Name, "@"), u.Sub == running:
			beside = append(beside, u.Name)
		}
	}
	failing := func(want, fix, format string, args ...any) checks.Finding {
		return service.Fail(s, node, format, args...).Saw(strings.Join(saw, "\n")).Wanted(want).Fix(checks.On(node) + fix)
	}
	switch names := strings.Join(beside, " "); {
	case len(beside) > 0:
		return failing("disabled, and not running", "systemctl disable --now "+names+"   # Patroni's PostgreSQL is not a unit, and keeps running",
			"systemd starts PostgreSQL in addition to Patroni on %s: %s", node, strings.Join(beside, ", "))
	case patroni.Load == "not-found":
		return failing("enabled, running", "apt-get install -y patroni   # RHEL: dnf install patroni; then run the playbook carbonio_patroni_install again",
			"%s is not installed on %s", unitPatroni, node)
	case patroni.Active != "active":
		return failing("active", "systemctl enable --now patroni; journalctl -u patroni -n 50", "%s is %s on %s", unitPatroni, patroni.Active, node)
	case patroni.File != "enabled":
		return failing("enabled", "systemctl enable patroni", "%s is running on %s but does not start at boot: %s", unitPatroni, node, patroni.File)
	}
	return service.Pass(s, node, "PostgreSQL on %s is started only by Patroni", node).Saw(strings.Join(saw, "\n"))
}

func (v view) judgeHAProxy(s checks.Sight[checks.Nothing, balancer], port int) checks.Finding {
	node := s.Target.Name
	target := at(node, port)
	b, got := s.Got()
	process, listens := b.Ports[port]
	_, stats := b.Ports[portStats]
	switch {
	case !got:
		return haproxy.Unseen(s, target)
	case !listens:
		return haproxy.Fail(s, target, "nothing listens on port %d of %s", port, node).Saw("no listener").Wanted("haproxy")
	case process != "" && process != "haproxy":
		return haproxy.Fail(s, target, "port %d of %s is taken by %s, not by HAProxy", port, node, process).Saw(process).Wanted("haproxy").
			Fix(checks.On(node) + fmt.Sprintf("ss -lntp 'sport = :%d'   # disable its unit: systemctl disable --now …\nsystemctl restart haproxy", port))
	case !s.Proof().Whole(): // the statistics come last
		return haproxy.Unseen(s, target)
	case port == portStats && b.Unread != "":
		return haproxy.Unknown(s, target, "the statistics cannot be read: %s", b.Unread)
	case port == portStats:
		return haproxy.Pass(s, target, "HAProxy on %s provides its statistics", node)
	case !stats || b.Unread != "":
		return haproxy.Unknown(s, target, "something listens, but without statistics it is unknown where it forwards to").
			Needing(haproxy.On(at(node, portStats)))
	}
	return v.judgeBackends(s, b, target, port)
}

func (v view) judgeBackends(s checks.Sight[checks.Nothing, balancer], b balancer, target string, port int) checks.Finding {
	component, kind, verdict := platform.Database, "database node", v.judgeWrites
	if port == portDirectory {
		component, kind, verdict = platform.Directory, "directory server", judgeMasters
	}
	servers, all := v.behind(b, component, port), v.holding(component)
	if len(servers) == 0 {
		return haproxy.Fail(s, target, "HAProxy knows no %s", kind).Saw("no server").Wanted(list(all))
	}
	f := verdict(s, target, servers)
	if f.Status == checks.Pass && len(servers) < len(all) {
		f = haproxy.Warn(s, target, "HAProxy does not know every %s: when those it knows fail, it has none to forward to", kind).Wanted(list(all))
	}
	var lines []string
	for _, s := range servers {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("%s (%s/%s): %s %s", s.node, s.Proxy, s.Name, s.Status, s.Check)))
	}
	return f.Saw(strings.Join(lines, "\n"))
}

// judgeWrites wants the leader up, and no other: HAProxy asks Patroni of each
// server, which responds 200 on the leader only.
func (v view) judgeWrites(s checks.Sight[checks.Nothing, balancer], target string, servers []known) checks.Finding {
	up := cluster.Nodes(cluster.Those(servers, known.up))
	unchecked := cluster.Nodes(cluster.Those(servers, known.unchecked))
	l, led := v.leader()
	switch {
	case len(unchecked) > 0:
		return haproxy.Fail(s, target, "HAProxy does not ask Patroni on %s for the leader", list(unchecked)).Wanted(fmt.Sprintf("check port %d", portPatroni))
	case len(up) == 0:
		return haproxy.Fail(s, target, "HAProxy has no leader to forward to: it considers every database node down").
			Wanted("the leader up").Needing(leader.On(subject)).
			Fix(checks.On(s.Vantage) + "for node in " + strings.Join(v.holding(platform.Database), " ") + `; do curl -s -o /dev/null -w "$node %{http_code}\n" http://$node:8008/; done   # 200 is what HAProxy waits for`)
	case len(up) > 1:
		return haproxy.Fail(s, target, "HAProxy sends writes to %s", list(up)).Wanted("only the leader up").Needing(leader.On(subject))
	case led && !strings.EqualFold(up[0], l.Node()):
		return haproxy.Fail(s, target, "HAProxy forwards to %s, but the leader is %s", up[0], l.Node()).Wanted(l.Node() + " up")
	case led:
		return haproxy.Pass(s, target, "HAProxy forwards to %s, the leader", up[0])
	}
	return haproxy.Pass(s, target, "HAProxy forwards only to %s", up[0])
}

func judgeMasters(s checks.Sight[checks.Nothing, balancer], target string, servers []known) checks.Finding {
	down := cluster.Nodes(cluster.Those(servers, func(k known) bool { return !k.up() && !k.unchecked() }))
	f := haproxy.Fail(s, target, "HAProxy considers %s down: if the other fails too, there is no directory", list(down)).Wanted("both up")
	switch len(down) {
	case 0:
		return haproxy.Pass(s, target, "HAProxy forwards to %d directory servers", len(servers))
	case len(servers):
		f = haproxy.Fail(s, target, "HAProxy considers every directory server down").Wanted("both up")
	}
	for _, name := range down {
		f = f.Needing(checks.PortOf(name, portDirectory, "tcp"), checks.PingOf(name))
	}
	return f
}

func (v view) holding(component platform.Component) []string {
	var names []string
	for _, n := range v.scope.Topology.With(component) {
		names = append(names, n.Name)
	}
	return names
}

// A known is a backend that is a node of the platform.
type known struct {
	backend
	node string
}

func (k known) Node() string { return k.node }

func (k known) up() bool        { return strings.HasPrefix(k.Status, "UP") }
func (k known) unchecked() bool { return k.Status == "no check" }

// behind are the backends that are nodes with the component. PostgreSQL's
// have the names of the nodes, the directory's are numbered in the order of the
// inventory (haproxy.cfg); where the name does not match, the address does.
func (v view) behind(b balancer, component platform.Component, port int) []known {
	var out []known
	for _, s := range b.Backends {
		for i, n := range v.scope.Topology.With(component) {
			named := strings.EqualFold(s.Name, n.Name) && component == platform.Database
			numbered := component == platform.Directory && s.Name == "ldap-"+strconv.Itoa(i+1)
			if named || numbered || s.Address != "" && s.Address == n.At(port) {
				out = append(out, known{s, n.Name})
				break
			}
		}
	}
	return out
}
