// Package postgres checks the database cluster: Patroni on every database node,
// PostgreSQL behind it, and HAProxy in front of it.
package postgres

import (
	"net"
	"strconv"

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

// subject is the target of what is said of the whole cluster.
const subject = "postgres"

// The ports (Carbonio's HA setup).
const (
	portPostgres  = 5432
	portPatroni   = 8008
	portDirectory = 389
	portStats     = 7000
)

// patronictl needs to be told its configuration, which has another name on RHEL.
const (
	patronictl = "patronictl -c /etc/patroni/config.yml "
	onRHEL     = "   # RHEL: -c /etc/patroni/patroni.yml"
)

var (
	installed = []checks.Phase{checks.Health}
	// near: other nodes need not reach the ports of a database node (platform.Rules).
	near = []platform.Component{platform.Database, platform.DBConnector}
)

var login = checks.LoginSetting("logins.postgres",
	"The PostgreSQL user to log in as, and where the password is: a file or an environment variable. This login reads the version, the role of each server and the owners of the databases.",
	"{user: carbonio_adm, password: {file: /root/carbonio-inventory_postgrespassword}}",
	platform.Troubleshooting.On("databases"))

type target = checks.Target[checks.Nothing]

var (
	members   = &checks.Look[checks.Nothing, answer]{Kind: "member", Targets: memberTargets, Observe: observeMember}
	logins    = &checks.Look[platform.Login, server]{Kind: "sql", Targets: loginTargets, Observe: observeLogin}
	services  = &checks.Look[checks.Nothing, []unit]{Kind: "service", Targets: serviceTargets, Observe: observeUnits}
	balancers = &checks.Look[checks.Nothing, balancer]{Kind: "haproxy", Targets: balancerTargets, Observe: observeHAProxy}

	byPatroni = []checks.AnyLook{members}
	byBoth    = []checks.AnyLook{members, logins}
)

var agreement = &checks.Check{
	ID:      "postgres.agreement",
	Title:   "Every database node responds, and all report the same cluster",
	Why:     "A node that Patroni has lost, or that belongs to another cluster, is not a replica: it cannot take over when the leader fails.",
	Manual:  "curl -s http://svc1.example.com:8008/cluster   # compare with every other database node",
	Remedy:  "systemctl status patroni; journalctl -u patroni -n 50   # on that node\n" + patronictl + "list" + onRHEL,
	Sources: []platform.Source{platform.Cluster.On("patroni.config.yaml"), platform.Patroni},
	Phases:  installed, Components: near, Looks: byPatroni,
}

var unlocked = &checks.Check{
	ID:      "postgres.unlocked",
	Title:   "Every member can reach the store of the leader lock, and one of them holds the lock",
	Why:     "Patroni keeps the lock in the mesh. A leader that cannot renew it becomes read-only after 30 seconds, and no other node takes over: Carbonio loses its databases although PostgreSQL itself is healthy.",
	Manual:  "curl -s http://svc1.example.com:8008/patroni   # cluster_unlocked, dcs_last_seen",
	Remedy:  "consul members; journalctl -u service-discover -n 50   # on that node\ngrep -A4 ^consul: /etc/patroni/config.yml   # is the token still valid?",
	Sources: []platform.Source{platform.Cluster.On("patroni.config.yaml: consul, ttl 30"), platform.Patroni},
	Phases:  installed, Components: near, Looks: byPatroni,
}

var leader = &checks.Check{
	ID:      "postgres.leader",
	Title:   "Exactly one database node is the leader",
	Why:     "Without a leader nothing can be written, and HAProxy refuses every connection. With two, each accepts writes that the other never sees.",
	Manual:  patronictl + "list\ncurl -s -o /dev/null -w '%{http_code}\\n' http://svc1.example.com:8008/primary   # 200 on one node, 503 on all others",
	Remedy:  patronictl + "list" + onRHEL + "\njournalctl -u patroni -n 50   # on every database node: why does none of them take the lock?",
	Sources: []platform.Source{platform.RedundantStatus, platform.Patroni},
	Phases:  installed, Components: near, Looks: byBoth,
}

var replicas = &checks.Check{
	ID:      "postgres.replicas",
	Title:   "Every other database node streams from the leader and keeps up",
	Why:     "A replica that does not stream holds old data. Patroni refuses to promote a replica that is more than 1 MiB behind, and one that still has to replay what it received takes that long to take over.",
	Manual:  patronictl + "list\npsql -c 'SELECT application_name, state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication'   # on the leader",
	Remedy:  "journalctl -u patroni -n 50   # on the replica\n" + patronictl + "reinit carbonio-psql-cluster   # last resort: asks for the replica, and copies everything to it again",
	Sources: []platform.Source{platform.Cluster.On("patroni.config.yaml: maximum_lag_on_failover 1048576"), platform.Patroni.On("patronictl")},
	Phases:  installed, Components: near, Looks: byBoth, Needs: []*checks.Check{agreement},
}

var paused = &checks.Check{
	ID:      "postgres.paused",
	Title:   "Automatic failover is not paused",
	Why:     "While Patroni is paused it only watches: when the leader fails, no other node takes over until someone intervenes.",
	Manual:  patronictl + "list   # reports Maintenance mode: on",
	Remedy:  patronictl + "resume --wait" + onRHEL,
	Sources: []platform.Source{platform.Patroni.On("pause")},
	Phases:  installed, Components: near, Looks: byPatroni,
}

var timeline = &checks.Check{
	ID:      "postgres.timeline",
	Title:   "The leader is on the newest timeline and has not changed recently",
	Why:     "Each failover starts a new timeline. A leader on an older one lacks the writes of the newer; unplanned failovers are the first sign of a failing node, disk or network.",
	Manual:  patronictl + "history\ncurl -s http://svc1.example.com:8008/history",
	Remedy:  "journalctl -u patroni --since -1day | grep -iE 'promot|demot|lock'   # on every database node: why did the leader change?",
	Sources: []platform.Source{platform.Policy.On("failovers within a day"), platform.Patroni},
	Phases:  installed, Components: near, Looks: byPatroni,
}

var service = &checks.Check{
	ID:      "postgres.service",
	Title:   "PostgreSQL is started by Patroni, not by systemd",
	Why:     "A PostgreSQL that systemd starts at boot runs outside the cluster: Patroni cannot start its own, or writes are accepted that are not replicated.",
	Manual:  "systemctl is-enabled postgresql.service postgresql-16.service patroni.service\nsystemctl is-active postgresql@16-main.service patroni.service",
	Remedy:  "systemctl disable --now postgresql.service   # RHEL: postgresql-16.service\nsystemctl enable --now patroni.service",
	Sources: []platform.Source{platform.Cluster.On("install_patroni")},
	Phases:  installed, Components: []platform.Component{platform.Database}, Looks: []checks.AnyLook{services},
}

var haproxy = &checks.Check{
	ID:      "postgres.haproxy",
	Title:   "HAProxy on this node listens and forwards to the right servers",
	Why:     "Carbonio's services reach PostgreSQL and the directory through HAProxy on their own node. It must know all servers of both, and send writes only to the leader.",
	Manual:  "ss -lnt 'sport = :5432 or sport = :389 or sport = :7000'\ncurl -s 'http://127.0.0.1:7000/;csv' | cut -d, -f1,2,18",
	Remedy:  "haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl restart haproxy\njournalctl -u haproxy -n 50",
	Sources: []platform.Source{platform.Cluster.On("haproxy.cfg")},
	// The statistics show which server is up; the members report which should be.
	Phases: installed, Looks: []checks.AnyLook{balancers, members},
}

var databases = &checks.Check{
	ID:      "postgres.databases",
	Title:   "Every database is owned by the user of the same name",
	Why:     "A service logs in as the user of its database and alters its tables during an upgrade, which otherwise fails with: permission denied for database.",
	Manual:  "psql -c 'SELECT datname, pg_get_userbyid(datdba) FROM pg_database'",
	Remedy:  "psql -c 'ALTER DATABASE core OWNER TO core'   # on the leader; likewise for any other database",
	Sources: []platform.Source{platform.Troubleshooting.On("databases")},
	Phases:  installed, Components: near, Looks: []checks.AnyLook{logins}, Wants: login,
}

var version = &checks.Check{
	ID:      "postgres.version",
	Title:   "Every database node runs the same PostgreSQL version, and the one that the release needs",
	Why:     "Carbonio supports one major version of PostgreSQL. Nodes with different major versions cannot replicate; with different minor versions a failover also changes the version.",
	Manual:  "psql -c 'SHOW server_version'\nls /usr/lib/postgresql /usr/pgsql-*",
	Remedy:  "apt-get install --only-upgrade postgresql-16   # RHEL: dnf update postgresql16-server\n" + patronictl + "restart carbonio-psql-cluster   # asks for confirmation",
	Sources: []platform.Source{platform.Changelog.On("25.6.0"), platform.HAConfiguration},
	Phases:  installed, Components: near, Looks: byBoth,
}

var tolerance = &checks.Check{
	ID:      "postgres.tolerance",
	Title:   "PostgreSQL can lose one more database node",
	Why:     "With only one node left, the next failure or reboot stops Carbonio.",
	Manual:  patronictl + "list",
	Remedy:  "systemctl start patroni   # on the node that is missing\n" + patronictl + "list" + onRHEL,
	Sources: []platform.Source{platform.HAConfiguration.On("two database nodes")},
	Phases:  installed, Components: near, Looks: byBoth, Clusters: true,
}

func memberTargets(scope checks.Scope, _ checks.Host) ([]target, error) {
	return databaseNodes(scope, clustered(scope), portPatroni, checks.Nothing{}), nil
}

func loginTargets(scope checks.Scope, host checks.Host) ([]checks.Target[platform.Login], error) {
	who := login.In(scope)
	return databaseNodes(scope, who.User != "" && host.Secret != nil, portPostgres, who), nil
}

// databaseNodes are a port of each database node, where they are wanted.
func databaseNodes[Ask any](scope checks.Scope, wanted bool, port int, ask Ask) []checks.Target[Ask] {
	if !wanted {
		return nil
	}
	var out []checks.Target[Ask]
	for _, n := range scope.Topology.With(platform.Database) {
		out = append(out, checks.Target[Ask]{Name: n.Name, Node: n.Name, Address: n.At(port), Ask: ask})
	}
	return out
}

func serviceTargets(scope checks.Scope, _ checks.Host) ([]target, error) {
	return self(scope, clustered(scope) && scope.Node(scope.Self().Node).Has(platform.Database))
}

func balancerTargets(scope checks.Scope, _ checks.Host) ([]target, error) {
	return self(scope, len(balanced(scope, scope.Self().Node)) > 0)
}

// self is this node, where it has something to look at.
func self(scope checks.Scope, wanted bool) ([]target, error) {
	if !wanted {
		return nil, nil
	}
	n := scope.Node(scope.Self().Node)
	return []target{{Name: n.Name, Node: n.Name}}, nil
}

// clustered says whether Patroni is installed: the playbooks do so where the
// inventory has two database nodes.
func clustered(scope checks.Scope) bool { return len(scope.Topology.With(platform.Database)) > 1 }

// balanced are the ports that HAProxy has to listen on at a node. In a cluster the
// playbook installs it on every node except those of the directory, which need
// 389 for themselves (install_haproxy, haproxy.cfg).
func balanced(scope checks.Scope, name string) []int {
	n := scope.Node(name)
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
