// Package postgres looks at the database cluster: Patroni on every database
// node, PostgreSQL behind it, and HAProxy in front of it.
package postgres

import (
	"net"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "postgres",
	Checks:   catalogue,
	Settings: []checks.AnySetting{login},
	Judge:    judge,
}

var catalogue = []*checks.Check{
	agreement, unlocked, leader, replicas, paused, timeline, service, haproxy, databases, version, tolerance,
}

// subject is the target of what is said of the cluster as a whole.
const subject = "postgres"

// The ports (Carbonio's HA setup).
const (
	portPostgres  = 5432
	portPatroni   = 8008
	portDirectory = 389
	portStats     = 7000
)

// configRHEL names what differs there: patronictl reads its cluster from a file.
const configRHEL = "     # RHEL: /etc/patroni/patroni.yml"

var (
	installed = []checks.Phase{checks.Health}
	// near: nobody else must reach the ports of a database node (platform.Rules).
	near = []platform.Component{platform.Database, platform.DBConnector}
)

// A target is one of which nothing more need be known.
type target = checks.Target[checks.Nothing]

var (
	// members: Patroni of each database node.
	members = &checks.Look[checks.Nothing, answer]{Kind: "member", Targets: memberTargets, Observe: observeMember}
	// logins: PostgreSQL of each database node, asked itself.
	logins = &checks.Look[platform.Login, server]{Kind: "sql", Targets: loginTargets, Observe: observeLogin}
	// services: the units of this node.
	services = &checks.Look[checks.Nothing, []unit]{Kind: "service", Targets: serviceTargets, Observe: observeUnits}
	// balancers: HAProxy of this node.
	balancers = &checks.Look[checks.Nothing, balancer]{Kind: "haproxy", Targets: balancerTargets, Observe: observeHAProxy}
)

var (
	byPatroni = []checks.AnyLook{members}
	byBoth    = []checks.AnyLook{members, logins}
)

var agreement = &checks.Check{
	ID:      "postgres.agreement",
	Title:   "Every database node answers, and all tell the same cluster",
	Why:     "A node that Patroni has lost, or that lives in a cluster of its own, is no replica: nothing takes over when the leader goes.",
	Manual:  "curl -s http://svc1.example.com:8008/cluster     # and of every other node: compare",
	Remedy:  "systemctl status patroni; journalctl -u patroni -n 50     # on the node\npatronictl -c /etc/patroni/config.yml list" + configRHEL,
	Sources: []platform.Source{platform.Cluster.On("patroni.config.yaml"), platform.Patroni},
	Phases:  installed, Components: near, Looks: byPatroni,
}

var unlocked = &checks.Check{
	ID:      "postgres.unlocked",
	Title:   "Every member sees the store of the leader lock, and somebody holds the lock",
	Why:     "Patroni keeps the lock in the mesh. A leader that cannot renew it makes itself read-only after 30 seconds, and no other takes over: Carbonio loses its databases although PostgreSQL is well.",
	Manual:  "curl -s http://svc1.example.com:8008/patroni     # cluster_unlocked, dcs_last_seen",
	Remedy:  "consul members; journalctl -u service-discover -n 50     # on the node\ngrep -A4 ^consul: /etc/patroni/config.yml                 # is the token still valid?",
	Sources: []platform.Source{platform.Cluster.On("patroni.config.yaml: consul, ttl 30"), platform.Patroni},
	Phases:  installed, Components: near, Looks: byPatroni,
}

var leader = &checks.Check{
	ID:      "postgres.leader",
	Title:   "Exactly one database node leads",
	Why:     "Without a leader nothing can be written, and HAProxy refuses every connection. With two, each takes writes that the other never sees.",
	Manual:  "patronictl -c /etc/patroni/config.yml list\ncurl -s -o /dev/null -w '%{http_code}\\n' http://svc1.example.com:8008/primary     # 200 on one node, 503 on all others",
	Remedy:  "patronictl -c /etc/patroni/config.yml list" + configRHEL + "\njournalctl -u patroni -n 50     # why nobody takes the lock",
	Sources: []platform.Source{platform.RedundantStatus, platform.Patroni},
	Phases:  installed, Components: near, Looks: byBoth,
}

var replicas = &checks.Check{
	ID:      "postgres.replicas",
	Title:   "Every other database node streams from the leader and keeps up",
	Why:     "A replica that does not stream holds old data. Patroni refuses to promote one that is more than 1 MiB behind, and one that has not replayed what it received takes that long to take over.",
	Manual:  "patronictl -c /etc/patroni/config.yml list\npsql -c 'SELECT application_name, state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication'     # on the leader",
	Remedy:  "journalctl -u patroni -n 50     # on the replica\npatronictl -c /etc/patroni/config.yml reinit carbonio-psql-cluster NODE     # last resort: copies everything anew",
	Sources: []platform.Source{platform.Cluster.On("patroni.config.yaml: maximum_lag_on_failover 1048576"), platform.Patroni.On("patronictl")},
	Phases:  installed, Components: near, Looks: byBoth,
	Needs: []*checks.Check{agreement},
}

var paused = &checks.Check{
	ID:      "postgres.paused",
	Title:   "Automatic failover is not paused",
	Why:     "A paused Patroni watches and does nothing: when the leader dies, nobody takes over until a person does it.",
	Manual:  "patronictl -c /etc/patroni/config.yml list     # says Maintenance mode: on",
	Remedy:  "patronictl -c /etc/patroni/config.yml resume --wait" + configRHEL,
	Sources: []platform.Source{platform.Patroni.On("pause")},
	Phases:  installed, Components: near, Looks: byPatroni,
}

var timeline = &checks.Check{
	ID:      "postgres.timeline",
	Title:   "The leader is on the newest timeline, and did not change of late",
	Why:     "Each failover begins a timeline. A leader on an older one has lost the writes of the newer; failovers that nobody ordered are the first sign of a node, disk or network that fails.",
	Manual:  "patronictl -c /etc/patroni/config.yml history\ncurl -s http://svc1.example.com:8008/history",
	Remedy:  "journalctl -u patroni --since -1day | grep -iE 'promot|demot|lock'     # on every database node: why the leader changed",
	Sources: []platform.Source{platform.Policy.On("failovers within a day"), platform.Patroni},
	Phases:  installed, Components: near, Looks: byPatroni,
}

var service = &checks.Check{
	ID:      "postgres.service",
	Title:   "Patroni, not systemd, starts PostgreSQL",
	Why:     "A PostgreSQL that systemd starts at boot runs outside the cluster: it keeps Patroni's away, or takes writes that nobody replicates.",
	Manual:  "systemctl is-enabled postgresql.service postgresql-16.service patroni.service\nsystemctl is-active postgresql@16-main.service patroni.service",
	Remedy:  "systemctl disable --now postgresql.service     # RHEL: postgresql-16.service\nsystemctl enable --now patroni.service",
	Sources: []platform.Source{platform.Cluster.On("install_patroni")},
	Phases:  installed, Components: []platform.Component{platform.Database}, Looks: []checks.AnyLook{services},
}

var haproxy = &checks.Check{
	ID:      "postgres.haproxy",
	Title:   "HAProxy of this node listens, and leads to the servers it should",
	Why:     "Carbonio's services connect to PostgreSQL and to the directory through HAProxy on their own node. It must know both servers and send writes to the leader alone.",
	Manual:  "ss -lnt 'sport = :5432 or sport = :389 or sport = :7000'\ncurl -s 'http://127.0.0.1:7000/;csv' | cut -d, -f1,2,18",
	Remedy:  "haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl restart haproxy\njournalctl -u haproxy -n 50",
	Sources: []platform.Source{platform.Cluster.On("haproxy.cfg")},
	// The statistics say who is up; the members say who should be.
	Phases: installed, Looks: []checks.AnyLook{balancers, members},
}

var databases = &checks.Check{
	ID:      "postgres.databases",
	Title:   "Every database belongs to the user of its name",
	Why:     "A service logs in as the user of its database and alters its tables on upgrade: permission denied for database stops it.",
	Manual:  "psql -c 'SELECT datname, pg_get_userbyid(datdba) FROM pg_database'",
	Remedy:  `psql -c 'ALTER DATABASE "NAME" OWNER TO "NAME"'     # on the leader`,
	Sources: []platform.Source{platform.Troubleshooting.On("databases")},
	Phases:  installed, Components: near, Looks: []checks.AnyLook{logins},
	Wants: login,
}

var version = &checks.Check{
	ID:      "postgres.version",
	Title:   "Every database node runs the same PostgreSQL, of the version that the release wants",
	Why:     "Carbonio is made for one version of PostgreSQL. Nodes of different versions cannot replicate; different patches are a surprise on failover.",
	Manual:  "psql -c 'SHOW server_version'\nls /usr/lib/postgresql /usr/pgsql-*",
	Remedy:  "apt-get install --only-upgrade postgresql-16     # RHEL: dnf update postgresql16-server\npatronictl -c /etc/patroni/config.yml restart carbonio-psql-cluster NODE",
	Sources: []platform.Source{platform.Changelog.On("25.6.0"), platform.HAConfiguration},
	Phases:  installed, Components: near, Looks: byBoth,
}

var tolerance = &checks.Check{
	ID:      "postgres.tolerance",
	Title:   "PostgreSQL survives the loss of one more database node",
	Why:     "With one node left the next failure, or the next reboot, takes Carbonio down.",
	Manual:  "patronictl -c /etc/patroni/config.yml list",
	Remedy:  "bring the missing node back: systemctl start patroni     # on it\npatronictl -c /etc/patroni/config.yml list" + configRHEL,
	Sources: []platform.Source{platform.HAConfiguration.On("two database nodes")},
	Phases:  installed, Components: near, Looks: byBoth,
	Clusters: true,
}

func memberTargets(scope checks.Scope, _ checks.Host) ([]target, error) {
	if !clustered(scope) {
		return nil, nil
	}
	return databaseNodes(scope, portPatroni, checks.Nothing{}), nil
}

func loginTargets(scope checks.Scope, host checks.Host) ([]checks.Target[platform.Login], error) {
	who := login.In(scope)
	if who.User == "" || host.Secret == nil {
		return nil, nil
	}
	return databaseNodes(scope, portPostgres, who), nil
}

// databaseNodes are a port of each database node.
func databaseNodes[Ask any](scope checks.Scope, port int, ask Ask) []checks.Target[Ask] {
	var out []checks.Target[Ask]
	for _, n := range scope.Topology.With(platform.Database) {
		out = append(out, checks.Target[Ask]{Name: n.Name, Node: n.Name, Address: n.At(port), Ask: ask})
	}
	return out
}

func serviceTargets(scope checks.Scope, _ checks.Host) ([]target, error) {
	self := scope.Node(scope.Self().Node)
	if !clustered(scope) || !self.Has(platform.Database) {
		return nil, nil
	}
	return []target{{Name: self.Name, Node: self.Name}}, nil
}

func balancerTargets(scope checks.Scope, _ checks.Host) ([]target, error) {
	self := scope.Node(scope.Self().Node)
	if len(balanced(scope, self)) == 0 {
		return nil, nil
	}
	return []target{{Name: self.Name, Node: self.Name}}, nil
}

// clustered says whether Patroni is there at all: the playbooks install it
// where the inventory names two database nodes.
func clustered(scope checks.Scope) bool { return len(scope.Topology.With(platform.Database)) > 1 }

// balanced are the ports that HAProxy has to listen on at a node. Where there is
// a cluster the playbook puts it on every node but those of the directory,
// which hold 389 themselves (install_haproxy, haproxy.cfg).
func balanced(scope checks.Scope, n platform.Node) []int {
	if scope.Topology.Inventory == nil || !clustered(scope) || n.Has(platform.Directory, platform.Replica) {
		return nil
	}
	var out []int
	if n.Has(platform.DBConnector) {
		out = append(out, portPostgres)
	}
	if len(scope.Topology.With(platform.Directory)) > 1 {
		out = append(out, portDirectory)
	}
	return append(out, portStats)
}

// at names a port of a node: "mbox1.example.com:5432".
func at(node string, port int) string { return net.JoinHostPort(node, strconv.Itoa(port)) }

// same says whether two names are one node's.
func same(a, b string) bool { return strings.EqualFold(a, b) }
