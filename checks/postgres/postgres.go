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

// Module is the subject "postgres".
type Module struct{}

// Name is "postgres".
func (Module) Name() string { return "postgres" }

// subject is the target of what is said of the cluster as a whole.
const subject = "postgres"

// The kinds of look.
const (
	kindMember  = "member"  // Patroni of a database node
	kindSQL     = "sql"     // PostgreSQL of a database node, asked itself
	kindService = "service" // the units of this node
	kindHAProxy = "haproxy" // HAProxy of this node
)

// The arguments of a look of kindSQL: who logs in, and where the password is.
const (
	argUser = iota
	argEnv
	argFile
)

const (
	leaderID    = "postgres.leader"
	replicasID  = "postgres.replicas"
	agreementID = "postgres.agreement"
	pausedID    = "postgres.paused"
	unlockedID  = "postgres.unlocked"
	timelineID  = "postgres.timeline"
	serviceID   = "postgres.service"
	haproxyID   = "postgres.haproxy"
	databasesID = "postgres.databases"
	versionID   = "postgres.version"
	toleranceID = "postgres.tolerance"
)

// The ports (HAA).
const (
	portPostgres  = 5432
	portPatroni   = 8008
	portDirectory = 389
	portStats     = 7000
)

// configRHEL names what differs there: patronictl reads its cluster from a file.
const configRHEL = "     # RHEL: /etc/patroni/patroni.yml"

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	health := []checks.Phase{checks.Health}
	// Who else must reach the ports of a database node? Nobody (platform.Rules).
	near := []platform.Component{platform.Database, platform.DBConnector}
	member, both := []string{kindMember}, []string{kindMember, kindSQL}
	return []checks.Check{
		{
			ID:     agreementID,
			Title:  "Every database node answers, and all tell the same cluster",
			Why:    "A node that Patroni has lost, or that lives in a cluster of its own, is no replica: nothing takes over when the leader goes.",
			Manual: "curl -s http://svc1.example.com:8008/cluster     # and of every other node: compare",
			Remedy: "systemctl status patroni; journalctl -u patroni -n 50     # on the node\npatronictl -c /etc/patroni/config.yml list" + configRHEL,
			Source: "HAA patroni.config.yaml; PAT rest_api",
			Phases: health, Components: near, Looks: member,
		},
		{
			ID:     unlockedID,
			Title:  "Every member sees the store of the leader lock, and somebody holds the lock",
			Why:    "Patroni keeps the lock in the mesh. A leader that cannot renew it makes itself read-only after 30 seconds, and no other takes over: Carbonio loses its databases although PostgreSQL is well.",
			Manual: "curl -s http://svc1.example.com:8008/patroni     # cluster_unlocked, dcs_last_seen",
			Remedy: "consul members; journalctl -u service-discover -n 50     # on the node\ngrep -A4 ^consul: /etc/patroni/config.yml                 # is the token still valid?",
			Source: "HAA patroni.config.yaml: consul, ttl 30; PAT rest_api",
			Phases: health, Components: near, Looks: member,
		},
		{
			ID:     leaderID,
			Title:  "Exactly one database node leads",
			Why:    "Without a leader nothing can be written, and HAProxy refuses every connection. With two, each takes writes that the other never sees.",
			Manual: "patronictl -c /etc/patroni/config.yml list\ncurl -s -o /dev/null -w '%{http_code}\\n' http://svc1.example.com:8008/primary     # 200 on one node, 503 on all others",
			Remedy: "patronictl -c /etc/patroni/config.yml list" + configRHEL + "\njournalctl -u patroni -n 50     # why nobody takes the lock",
			Source: "RUR26-chk; PAT rest_api",
			Phases: health, Components: near, Looks: both,
		},
		{
			ID:     replicasID,
			Title:  "Every other database node streams from the leader and keeps up",
			Why:    "A replica that does not stream holds old data. Patroni refuses to promote one that is more than 1 MiB behind, and one that has not replayed what it received takes that long to take over.",
			Manual: "patronictl -c /etc/patroni/config.yml list\npsql -c 'SELECT application_name, state, pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) FROM pg_stat_replication'     # on the leader",
			Remedy: "journalctl -u patroni -n 50     # on the replica\npatronictl -c /etc/patroni/config.yml reinit carbonio-psql-cluster NODE     # last resort: copies everything anew",
			Source: "HAA patroni.config.yaml: maximum_lag_on_failover 1048576; PAT patronictl",
			Phases: health, Components: near, Needs: []string{agreementID}, Looks: both,
		},
		{
			ID:     pausedID,
			Title:  "Automatic failover is not paused",
			Why:    "A paused Patroni watches and does nothing: when the leader dies, nobody takes over until a person does it.",
			Manual: "patronictl -c /etc/patroni/config.yml list     # says Maintenance mode: on",
			Remedy: "patronictl -c /etc/patroni/config.yml resume --wait" + configRHEL,
			Source: "PAT pause",
			Phases: health, Components: near, Looks: member,
		},
		{
			ID:     timelineID,
			Title:  "The leader is on the newest timeline, and did not change of late",
			Why:    "Each failover begins a timeline. A leader on an older one has lost the writes of the newer; failovers that nobody ordered are the first sign of a node, disk or network that fails.",
			Manual: "patronictl -c /etc/patroni/config.yml history\ncurl -s http://svc1.example.com:8008/history",
			Remedy: "journalctl -u patroni --since -1day | grep -iE 'promot|demot|lock'     # on every database node: why the leader changed",
			Source: "policy: failovers within a day; PAT rest_api",
			Phases: health, Components: near, Looks: member,
		},
		{
			ID:     serviceID,
			Title:  "Patroni, not systemd, starts PostgreSQL",
			Why:    "A PostgreSQL that systemd starts at boot runs outside the cluster: it keeps Patroni's away, or takes writes that nobody replicates.",
			Manual: "systemctl is-enabled postgresql.service postgresql-16.service patroni.service\nsystemctl is-active postgresql@16-main.service patroni.service",
			Remedy: "systemctl disable --now postgresql.service     # RHEL: postgresql-16.service\nsystemctl enable --now patroni.service",
			Source: "HAA install_patroni",
			Phases: health, Components: []platform.Component{platform.Database}, Looks: []string{kindService},
		},
		{
			ID:     haproxyID,
			Title:  "HAProxy of this node listens, and leads to the servers it should",
			Why:    "Carbonio's services connect to PostgreSQL and to the directory through HAProxy on their own node. It must know both servers and send writes to the leader alone.",
			Manual: "ss -lnt 'sport = :5432 or sport = :389 or sport = :7000'\ncurl -s 'http://127.0.0.1:7000/;csv' | cut -d, -f1,2,18",
			Remedy: "haproxy -c -f /etc/haproxy/haproxy.cfg && systemctl restart haproxy\njournalctl -u haproxy -n 50",
			Source: "HAA haproxy.cfg",
			// The statistics say who is up; the members say who should be.
			Phases: health, Looks: []string{kindHAProxy, kindMember},
		},
		{
			ID:     databasesID,
			Title:  "Every database belongs to the user of its name",
			Why:    "A service logs in as the user of its database and alters its tables on upgrade: permission denied for database stops it.",
			Manual: "psql -c 'SELECT datname, pg_get_userbyid(datdba) FROM pg_database'",
			Remedy: `psql -c 'ALTER DATABASE "NAME" OWNER TO "NAME"'     # on the leader`,
			Source: "TS-db",
			Phases: health, Components: near, Looks: []string{kindSQL},
		},
		{
			ID:     versionID,
			Title:  "Every database node runs the same PostgreSQL, of the version that the release wants",
			Why:    "Carbonio is made for one version of PostgreSQL. Nodes of different versions cannot replicate; different patches are a surprise on failover.",
			Manual: "psql -c 'SHOW server_version'\nls /usr/lib/postgresql /usr/pgsql-*",
			Remedy: "apt-get install --only-upgrade postgresql-16     # RHEL: dnf update postgresql16-server\npatronictl -c /etc/patroni/config.yml restart carbonio-psql-cluster NODE",
			Source: "CL-25.6.0; HA25-conf",
			Phases: health, Components: near, Looks: both,
		},
		{
			ID:     toleranceID,
			Title:  "PostgreSQL survives the loss of one more database node",
			Why:    "With one node left the next failure, or the next reboot, takes Carbonio down.",
			Manual: "patronictl -c /etc/patroni/config.yml list",
			Remedy: "bring the missing node back: systemctl start patroni     # on it\npatronictl -c /etc/patroni/config.yml list" + configRHEL,
			Source: "HA25-conf: two database nodes",
			Phases: health, Components: near, Looks: both,
		},
	}
}

// Targets are each database node, and this node's own part.
func (Module) Targets(scope checks.Scope, host checks.Host) ([]checks.Target, error) {
	self := scope.Node(scope.Self().Node)
	login := scope.Logins.Postgres
	var out []checks.Target
	for _, n := range scope.Topology.With(platform.Database) {
		if clustered(scope) {
			out = append(out, target(kindMember, n, portPatroni))
		}
		if login.User != "" && host.Secret != nil {
			t := target(kindSQL, n, portPostgres)
			t.Args = []string{argUser: login.User, argEnv: login.Password.Env, argFile: login.Password.File}
			out = append(out, t)
		}
	}
	here := checks.Target{Name: self.Name, Node: self.Name}
	if clustered(scope) && self.Has(platform.Database) {
		here.Kind = kindService
		out = append(out, here)
	}
	if len(balanced(scope, self)) > 0 {
		here.Kind = kindHAProxy
		out = append(out, here)
	}
	return out, nil
}

func target(kind string, n platform.Node, port int) checks.Target {
	t := checks.Target{Kind: kind, Name: n.Name, Node: n.Name}
	if n.Address.IsValid() {
		t.Address = net.JoinHostPort(n.Address.String(), strconv.Itoa(port))
	}
	return t
}

// clustered says whether Patroni is there at all: the playbooks install it
// where the inventory names two database nodes (HAA).
func clustered(scope checks.Scope) bool { return len(scope.Topology.With(platform.Database)) > 1 }

// balanced are the ports that HAProxy has to listen on at a node. Where there is
// a cluster the playbook puts it on every node but those of the directory,
// which hold 389 themselves (HAA install_haproxy, haproxy.cfg).
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
