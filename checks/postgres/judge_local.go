package postgres

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// owned are the databases that Carbonio makes, each of the user of its name (TS-db).
var owned = []string{
	"abq", "activesync", "auth", "carbonio-docs-connector-db", "carbonio-files-db",
	"carbonio_adm", "core", "ha", "powerstore",
}

// judgeLogin judges what only a login can tell.
func judgeLogin(scope checks.Scope, v checks.Vantage, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	asked := false
	for o, s := range checks.Of[server](seen, kindSQL) {
		switch {
		case o.Vantage != v.Node:
			continue
		case o.Error == "":
			return judgeOwners(o, s) // every node holds the same databases
		}
		asked = true
		out = append(out, o.Unknown(databasesID, o.Target.Node, "could not be seen: %s", o.Error).
			Needing(agreementID, o.Target.Node).Needing("network.port", at(o.Target.Node, portPostgres)+"/tcp"))
	}
	if !asked && scope.Logins.Postgres.User == "" {
		o := checks.Observation{Vantage: v.Node}
		out = append(out, o.Skip(databasesID, "", "no login for PostgreSQL is configured"))
	}
	return out
}

func judgeOwners(o checks.Observation, s server) []checks.Finding {
	var out []checks.Finding
	n := 0
	for _, d := range s.Databases {
		switch {
		case !slices.Contains(owned, d.Name):
			continue
		case d.Owner != d.Name:
			out = append(out, o.Fail(databasesID, d.Name, "the database %s belongs to %s", d.Name, d.Owner).
				Saw(d.Owner).Wanted(d.Name).
				Fix(fmt.Sprintf(`psql -c 'ALTER DATABASE "%s" OWNER TO "%[1]s"'     # on the leader`, d.Name)))
		}
		n++
	}
	switch {
	case n == 0:
		out = append(out, o.Warn(databasesID, subject, "PostgreSQL holds no database of Carbonio").
			Saw("none").Wanted(list(owned)).Fix("carbonio-mailbox-db-bootstrap carbonio_adm 127.0.0.1     # on a database connector; and carbonio-files-db-bootstrap, …"))
	case len(out) == 0:
		out = append(out, o.Pass(databasesID, subject, "each of the %d databases of Carbonio belongs to the user of its name", n))
	}
	return out
}

// judgeHere judges the vantage's own part: its units and its HAProxy.
func judgeHere(c cluster, v checks.Vantage, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	switch nobody := len(balanced(c.scope, c.scope.Node(v.Node))) == 0; {
	case !clustered(c.scope): // said already
	case nobody && c.scope.Topology.Inventory == nil:
		out = append(out, c.Skip(haproxyID, "", "without an inventory it is not known where HAProxy belongs"))
	case nobody:
		out = append(out, c.Skip(haproxyID, "", "there is no HAProxy on a directory server, which holds 389 itself"))
	}
	for o, units := range checks.Of[[]unit](seen, kindService) {
		if o.Vantage == v.Node {
			out = append(out, service(o, units))
		}
	}
	for o, b := range checks.Of[balancer](seen, kindHAProxy) {
		if o.Vantage == v.Node {
			out = append(out, c.haproxy(o, b)...)
		}
	}
	return out
}

// service wants Patroni to start at boot, and nothing else to start PostgreSQL.
// The unit of Ubuntu is active without running anything: its instances run.
func service(o checks.Observation, units []unit) checks.Finding {
	node := o.Target.Name
	if o.Error != "" {
		return o.Unseen(node, serviceID)[0]
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
		return o.Fail(serviceID, node, "systemd starts PostgreSQL beside Patroni on %s: %s", node, strings.Join(beside, ", ")).
			Saw(seen).Wanted("disabled, and not running").
			Fix("systemctl disable --now " + strings.Join(beside, " ") + "     # on " + node + ": PostgreSQL of Patroni is no unit, and stays")
	case patroni.Load == "not-found":
		return o.Fail(serviceID, node, "there is no %s on %s", unitPatroni, node).
			Saw(seen).Wanted("enabled, running").
			Fix("apt-get install -y patroni     # RHEL: dnf install patroni; then the playbook carbonio_patroni_install again")
	case patroni.Active != "active":
		return o.Fail(serviceID, node, "%s is %s on %s", unitPatroni, patroni.Active, node).
			Saw(seen).Wanted("active").Fix("systemctl enable --now patroni; journalctl -u patroni -n 50     # on " + node)
	case patroni.File != "enabled":
		return o.Fail(serviceID, node, "%s runs on %s, and does not start at boot: %s", unitPatroni, node, patroni.File).
			Saw(seen).Wanted("enabled").Fix("systemctl enable patroni     # on " + node)
	}
	return o.Pass(serviceID, node, "Patroni alone starts PostgreSQL on %s", node).Saw(seen)
}

// haproxy judges each port that HAProxy has to hold on the node.
func (c cluster) haproxy(o checks.Observation, b balancer) []checks.Finding {
	node := o.Target.Name
	var out []checks.Finding
	for _, port := range balanced(c.scope, c.scope.Node(node)) {
		target := at(node, port)
		l := b.listens(port)
		switch {
		case o.Error != "":
			out = append(out, o.Unseen(target, haproxyID)...)
		case l == nil:
			out = append(out, o.Fail(haproxyID, target, "nothing listens on port %d of %s", port, node).
				Saw("no listener").Wanted("haproxy"))
		case l.Process != "" && l.Process != "haproxy":
			out = append(out, o.Fail(haproxyID, target, "%s holds port %d of %s, not HAProxy", l.Process, port, node).
				Saw(l.Process).Wanted("haproxy").
				Fix(fmt.Sprintf("ss -lntp 'sport = :%d'     # its unit: systemctl disable --now UNIT\nsystemctl restart haproxy", port)))
		case port == portStats && b.Unread != "":
			out = append(out, o.Unknown(haproxyID, target, "the statistics cannot be read: %s", b.Unread))
		case port == portStats:
			out = append(out, o.Pass(haproxyID, target, "HAProxy gives its statistics on %s", node))
		case b.listens(portStats) == nil || b.Unread != "":
			out = append(out, o.Unknown(haproxyID, target, "something listens; without statistics nobody knows where it leads").
				Needing(haproxyID, at(node, portStats)))
		case port == portPostgres:
			out = append(out, c.database(o, b, target))
		default:
			out = append(out, c.directory(o, b, target))
		}
	}
	return out
}

// database wants the leader, and nobody else, up: HAProxy asks Patroni of each
// server, which says 200 on the leader only.
func (c cluster) database(o checks.Observation, b balancer, target string) checks.Finding {
	servers := c.behind(b, platform.Database, portPostgres)
	var up, unchecked []string
	for _, s := range servers {
		switch {
		case strings.HasPrefix(s.Status, "UP"):
			up = append(up, s.of)
		case s.Status == "no check":
			unchecked = append(unchecked, s.of)
		}
	}
	l, led := c.leader()
	switch saw := shown(servers); {
	case len(servers) == 0:
		return o.Fail(haproxyID, target, "HAProxy knows no database node").Saw("no server").Wanted(nodesWith(c.scope, platform.Database))
	case len(unchecked) > 0:
		return o.Fail(haproxyID, target, "HAProxy does not ask Patroni of %s who leads", list(unchecked)).
			Saw(saw).Wanted(fmt.Sprintf("check port %d", portPatroni))
	case len(up) == 0:
		return o.Fail(haproxyID, target, "HAProxy has no leader to lead to: every database node is down for it").
			Saw(saw).Wanted("the leader up").Needing(leaderID, subject).
			Fix(fmt.Sprintf("curl -sv http://LEADER:%d/     # from here: 200 is what HAProxy waits for", portPatroni))
	case len(up) > 1:
		return o.Fail(haproxyID, target, "HAProxy sends writes to %s", list(up)).Saw(saw).Wanted("the leader alone up").Needing(leaderID, subject)
	case led && !same(up[0], l.node):
		return o.Fail(haproxyID, target, "HAProxy leads to %s, the leader is %s", up[0], l.node).Saw(saw).Wanted(l.node + " up")
	case len(servers) < len(c.scope.Topology.With(platform.Database)):
		return o.Warn(haproxyID, target, "HAProxy does not know every database node: after a failover it leads nowhere").
			Saw(saw).Wanted(nodesWith(c.scope, platform.Database))
	case led:
		return o.Pass(haproxyID, target, "HAProxy leads to %s, the leader", up[0]).Saw(saw)
	default:
		return o.Pass(haproxyID, target, "HAProxy leads to %s alone", up[0]).Saw(saw)
	}
}

// directory wants every directory master up.
func (c cluster) directory(o checks.Observation, b balancer, target string) checks.Finding {
	servers := c.behind(b, platform.Directory, portDirectory)
	masters := c.scope.Topology.With(platform.Directory)
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
		return o.Fail(haproxyID, target, "HAProxy knows no directory server").Saw("no server").Wanted(nodesWith(c.scope, platform.Directory))
	case len(down) == len(servers):
		f = o.Fail(haproxyID, target, "every directory server is down for HAProxy").Saw(saw).Wanted("both up")
	case len(down) > 0:
		f = o.Fail(haproxyID, target, "%s is down for HAProxy: no directory is left when the other goes", list(down)).Saw(saw).Wanted("both up")
	case len(servers) < len(masters):
		return o.Warn(haproxyID, target, "HAProxy does not know every directory server").Saw(saw).Wanted(nodesWith(c.scope, platform.Directory))
	default:
		return o.Pass(haproxyID, target, "HAProxy leads to %d directory servers", len(servers)).Saw(saw)
	}
	for _, name := range down {
		f = f.Needing("directory.reachable", name).Needing("network.port", at(name, portDirectory)+"/tcp").Needing("network.ping", name)
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
// inventory (HAA haproxy.cfg). The address tells where the name does not.
func (c cluster) behind(b balancer, component platform.Component, port int) []known {
	var out []known
	for _, s := range b.Backends {
		for i, n := range c.scope.Topology.With(component) {
			named := same(s.Name, n.Name) && component == platform.Database
			numbered := component == platform.Directory && s.Name == "ldap-"+strconv.Itoa(i+1)
			if named || numbered || n.Address.IsValid() && s.Address == netip.AddrPortFrom(n.Address, uint16(port)).String() {
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

func nodesWith(scope checks.Scope, component platform.Component) string {
	var names []string
	for _, n := range scope.Topology.With(component) {
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}
