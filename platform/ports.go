package platform

import "fmt"

// A Port is something a component listens on.
type Port struct {
	Component Component
	Number    int
	Last      int    // the end of a range; 0 for a single port
	Protocol  string // "tcp" or "udp"
	Purpose   string
	Local     bool    // on loopback only: never an edge between nodes
	Since     Release // first release that listens on it; zero: always
	Until     Release // first release that no longer does; zero: still does
	// Exporter: it only serves metrics; nothing but the monitoring needs it.
	Exporter bool
	Sources  []Source
}

// String gives "8301/udp" or "20000-21255/tcp".
func (p Port) String() string {
	if p.Last != 0 {
		return fmt.Sprintf("%d-%d/%s", p.Number, p.Last, p.Protocol)
	}
	return fmt.Sprintf("%d/%s", p.Number, p.Protocol)
}

// Covers says whether number is the port, or inside its range.
func (p Port) Covers(number int, protocol string) bool {
	return p.Protocol == protocol && (number == p.Number || number > p.Number && number <= p.Last)
}

func (p Port) in(r Release) bool {
	return !r.Before(p.Since) && (p.Until.IsZero() || r.Before(p.Until))
}

const (
	tcp = "tcp"
	udp = "udp"
)

// Ports lists what every component listens on (the manual's Requirements and Monitoring pages, carbonio-bootstrap, the HA setup).
var Ports = []Port{
	{Component: Every, Number: 22, Protocol: tcp, Purpose: "SSH", Sources: []Source{Requirements.On("network")}},
	{Component: Every, Number: 8301, Protocol: tcp, Purpose: "mesh gossip", Sources: []Source{Requirements.On("network")}},
	{Component: Every, Number: 8301, Protocol: udp, Purpose: "mesh gossip", Sources: []Source{Requirements.On("network")}},
	{Component: Every, Number: 8500, Protocol: tcp, Purpose: "mesh HTTP API", Local: true, Sources: []Source{HAStatus, ServiceDiscover}},
	{Component: Every, Number: 8502, Protocol: tcp, Purpose: "mesh gRPC", Local: true, Sources: []Source{ServiceDiscover.On("setupConfig")}},
	{Component: Every, Number: 8503, Protocol: tcp, Purpose: "mesh gRPC over TLS", Local: true, Sources: []Source{ServiceDiscover.On("setupConfig")}},
	{Component: Every, Number: 9100, Protocol: tcp, Purpose: "node exporter", Exporter: true, Sources: []Source{Requirements.On("network")}},
	{Component: Every, Number: 9256, Protocol: tcp, Purpose: "process exporter", Exporter: true, Sources: []Source{Requirements.On("network")}},
	{Component: Every, Number: 20000, Last: 21255, Protocol: tcp, Purpose: "mesh sidecars", Sources: []Source{Requirements.On("network")}},

	{Component: Database, Number: 5432, Protocol: tcp, Purpose: "PostgreSQL", Sources: []Source{Requirements.On("network")}},
	{Component: Database, Number: 8008, Protocol: tcp, Purpose: "Patroni REST", Sources: []Source{Cluster, MonitoringPage}},
	{Component: Database, Number: 9187, Protocol: tcp, Purpose: "PostgreSQL exporter", Exporter: true, Sources: []Source{Requirements.On("network")}},

	{Component: Directory, Number: 389, Protocol: tcp, Purpose: "LDAP", Sources: []Source{Requirements.On("network")}},
	{Component: Directory, Number: 636, Protocol: tcp, Purpose: "LDAPS", Sources: []Source{Requirements.On("network")}},
	{Component: Directory, Number: 9330, Protocol: tcp, Purpose: "LDAP exporter", Exporter: true, Sources: []Source{Requirements.On("network")}},
	{Component: Replica, Number: 389, Protocol: tcp, Purpose: "LDAP", Sources: []Source{Requirements.On("network")}},
	{Component: Replica, Number: 636, Protocol: tcp, Purpose: "LDAPS", Sources: []Source{Requirements.On("network")}},

	{Component: DBConnector, Number: 5432, Protocol: tcp, Purpose: "HAProxy for PostgreSQL", Local: true, Sources: []Source{Cluster.On("haproxy.cfg")}},
	{Component: DBConnector, Number: 7000, Protocol: tcp, Purpose: "HAProxy statistics", Local: true, Sources: []Source{Cluster.On("haproxy.cfg")}},

	{Component: MTA, Number: 25, Protocol: tcp, Purpose: "SMTP", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: MTA, Number: 465, Protocol: tcp, Purpose: "submission over TLS", Sources: []Source{Requirements.On("network")}},
	{Component: MTA, Number: 587, Protocol: tcp, Purpose: "submission", Sources: []Source{Requirements.On("network")}},
	{Component: MTA, Number: 3310, Protocol: tcp, Purpose: "ClamAV", Local: true, Sources: []Source{MonitoringPage}},
	{Component: MTA, Number: 7026, Protocol: tcp, Purpose: "milter", Sources: []Source{Requirements.On("network")}},
	{Component: MTA, Number: 8465, Protocol: tcp, Purpose: "OpenDKIM", Local: true, Sources: []Source{Bootstrap, MonitoringPage}},
	{Component: MTA, Number: 9810, Protocol: tcp, Purpose: "ClamAV exporter", Exporter: true, Sources: []Source{Requirements.On("network")}},
	{Component: MTA, Number: 10024, Last: 10030, Protocol: tcp, Purpose: "amavis", Local: true, Sources: []Source{Bootstrap}},

	{Component: Proxy, Number: 80, Protocol: tcp, Purpose: "HTTP", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: Proxy, Number: 110, Protocol: tcp, Purpose: "POP3", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: Proxy, Number: 143, Protocol: tcp, Purpose: "IMAP", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: Proxy, Number: 443, Protocol: tcp, Purpose: "HTTPS", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: Proxy, Number: 993, Protocol: tcp, Purpose: "IMAPS", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: Proxy, Number: 995, Protocol: tcp, Purpose: "POP3S", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: Proxy, Number: 5222, Protocol: tcp, Purpose: "XMPP", Sources: []Source{Requirements.On("network")}},
	{Component: Proxy, Number: 6071, Protocol: tcp, Purpose: "admin panel", Sources: []Source{Requirements.On("network")}},
	{Component: Proxy, Number: 8636, Protocol: tcp, Purpose: "LDAP address book", Sources: []Source{Requirements.On("network")}},
	{Component: Proxy, Number: 9113, Protocol: tcp, Purpose: "nginx exporter", Exporter: true, Sources: []Source{Requirements.On("network")}},
	{Component: Proxy, Number: 11211, Protocol: tcp, Purpose: "memcached", Local: true, Sources: []Source{Requirements25.On("network, behind the mesh since 26.6")}},

	{Component: Mailstore, Number: 7025, Protocol: tcp, Purpose: "LMTP", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: Mailstore, Number: 7071, Protocol: tcp, Purpose: "SOAP and administration", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: Mailstore, Number: 7072, Protocol: tcp, Purpose: "nginx lookup", Sources: []Source{Requirements.On("network"), Bootstrap}},
	{Component: Mailstore, Number: 7073, Protocol: tcp, Purpose: "SASL", Sources: []Source{Requirements.On("network")}},
	{Component: Mailstore, Number: 7110, Protocol: tcp, Purpose: "POP3", Sources: []Source{Requirements.On("network")}},
	{Component: Mailstore, Number: 7143, Protocol: tcp, Purpose: "IMAP", Sources: []Source{Requirements.On("network")}},
	{Component: Mailstore, Number: 7306, Last: 7307, Protocol: tcp, Purpose: "MariaDB", Local: true, Sources: []Source{Bootstrap}},
	{Component: Mailstore, Number: 7993, Protocol: tcp, Purpose: "IMAPS", Sources: []Source{Requirements.On("network")}},
	{Component: Mailstore, Number: 7995, Protocol: tcp, Purpose: "POP3S", Sources: []Source{Requirements.On("network")}},
	{Component: Mailstore, Number: 8080, Protocol: tcp, Purpose: "HTTP", Sources: []Source{Requirements.On("network")}},
	{Component: Mailstore, Number: 8735, Protocol: tcp, Purpose: "mailbox to mailbox", Sources: []Source{Requirements.On("network")}},
	{Component: Mailstore, Number: 8742, Protocol: tcp, Purpose: "HTTP, advanced", Sources: []Source{Requirements.On("network")}},
	{Component: Mailstore, Number: 8743, Protocol: tcp, Purpose: "HTTPS, advanced", Sources: []Source{Requirements.On("network")}},
	// The manual's table prints 9330; the exporter's unit listens on 9104 (MON).
	{Component: Mailstore, Number: 9104, Protocol: tcp, Purpose: "MariaDB exporter", Exporter: true, Sources: []Source{MonitoringPage}},

	{Component: Mesh, Number: 8300, Protocol: tcp, Purpose: "mesh server RPC", Sources: []Source{Requirements.On("network")}},
	{Component: Mesh, Number: 8302, Protocol: tcp, Purpose: "mesh gossip, WAN", Sources: []Source{Requirements.On("network")}},
	{Component: Mesh, Number: 8302, Protocol: udp, Purpose: "mesh gossip, WAN", Sources: []Source{Requirements.On("network")}},
	{Component: Mesh, Number: 8600, Protocol: tcp, Purpose: "mesh DNS", Sources: []Source{Requirements.On("network")}},
	{Component: Mesh, Number: 8600, Protocol: udp, Purpose: "mesh DNS", Sources: []Source{Requirements.On("network")}},
	{Component: Mesh, Number: 9107, Protocol: tcp, Purpose: "mesh exporter", Exporter: true, Sources: []Source{Requirements.On("network")}},

	{Component: Video, Number: 8090, Protocol: tcp, Purpose: "video servlet", Sources: []Source{Requirements.On("network")}},
	{Component: Video, Number: 8188, Protocol: tcp, Purpose: "Janus", Sources: []Source{Requirements.On("network")}},
	{Component: Video, Number: 20000, Last: 40000, Protocol: udp, Purpose: "audio and video streams", Sources: []Source{Requirements.On("network")}},

	{Component: Monitoring, Number: 9090, Protocol: tcp, Purpose: "Prometheus", Sources: []Source{Requirements.On("network")}},
	{Component: Syslog, Number: 514, Protocol: tcp, Purpose: "rsyslog", Sources: []Source{Installer.On("configure-syslog")}},
	{Component: Syslog, Number: 514, Protocol: udp, Purpose: "rsyslog", Sources: []Source{Installer.On("configure-syslog")}},

	{Component: Kafka, Number: 9092, Protocol: tcp, Purpose: "Kafka broker", Sources: []Source{ActiveReplica, Cluster}},
	{Component: Kafka, Number: 9093, Protocol: tcp, Purpose: "KRaft controller", Since: R25_9, Sources: []Source{Cluster.On("server.properties")}},
	{Component: ZooKeeper, Number: 2181, Protocol: tcp, Purpose: "ZooKeeper client", Local: true, Until: R25_9, Sources: []Source{ClusterZooKeeper}},
	{Component: ZooKeeper, Number: 2888, Protocol: tcp, Purpose: "ZooKeeper quorum", Until: R25_9, Sources: []Source{ClusterZooKeeper}},
	{Component: ZooKeeper, Number: 3888, Protocol: tcp, Purpose: "ZooKeeper election", Until: R25_9, Sources: []Source{ClusterZooKeeper}},
	{Component: ZooKeeper, Number: 18080, Protocol: tcp, Purpose: "ZooKeeper admin", Until: R25_9, Sources: []Source{ClusterZooKeeper.On("zoo.cfg")}},
}

// Listens returns what the node will listen on in that release, in table order.
func (n Node) Listens(r Release) []Port {
	var out []Port
	for _, p := range Ports {
		if n.Has(p.Component) && p.in(r) {
			out = append(out, p)
		}
	}
	return out
}

// A Rule says that every node with one component must reach some ports of every
// node with another (Requirements, network; the HA setup).
type Rule struct {
	From, To Component
	Protocol string
	Ports    []int
}

// Rules is the reachability matrix. A port that a release does not listen on
// makes no edge. The range of the sidecars is tried at its two ends: a
// firewall that opens a range opens its ends.
var Rules = []Rule{
	{Every, Every, tcp, []int{22, 8301, 20000, 21255}},
	{Every, Every, udp, []int{8301}},
	{Every, Mesh, tcp, []int{8300, 8302, 8600}},
	{Every, Mesh, udp, []int{8302, 8600}},
	{Every, Directory, tcp, []int{389, 636}},
	{Every, Replica, tcp, []int{389, 636}},
	{Every, Syslog, tcp, []int{514}},
	{Every, Syslog, udp, []int{514}},
	{DBConnector, Database, tcp, []int{5432, 8008}},
	{Database, Database, tcp, []int{5432, 8008}},
	{Kafka, Kafka, tcp, []int{9092, 9093}},
	{ZooKeeper, ZooKeeper, tcp, []int{2888, 3888}},
	{Mailstore, Kafka, tcp, []int{9092}},
	{Mailstore, Mailstore, tcp, []int{7025, 7071, 8735, 8742, 8743}},
	{MTA, Mailstore, tcp, []int{7025, 7071, 7073}},
	{MTA, MTA, tcp, []int{25}},
	{Proxy, Mailstore, tcp, []int{7071, 7072, 7110, 7143, 7993, 7995, 8080, 8742, 8743}},
	{Proxy, Video, tcp, []int{8090, 8188}},
	{Monitoring, Every, tcp, []int{9100, 9256}},
	{Monitoring, Database, tcp, []int{9187}},
	{Monitoring, Directory, tcp, []int{9330}},
	{Monitoring, MTA, tcp, []int{9810}},
	{Monitoring, Proxy, tcp, []int{9113}},
	{Monitoring, Mailstore, tcp, []int{9104}},
	{Monitoring, Mesh, tcp, []int{9107}},
}

// An Edge is one thing a node must be able to reach on another.
type Edge struct {
	To     Node
	Number int // the port to probe
	Port   Port
}

// Edges returns every edge of the reachability matrix that starts at from, in
// the order of the topology's nodes and of the rules, each once.
func (t Topology) Edges(from Node, r Release) []Edge {
	type key struct {
		to       string
		number   int
		protocol string
	}
	seen := map[key]bool{}
	var out []Edge
	for _, to := range t.Nodes {
		if to.Name == from.Name {
			continue
		}
		for _, rule := range Rules {
			if !from.Has(rule.From) || !to.Has(rule.To) {
				continue
			}
			for _, number := range rule.Ports {
				k := key{to.Name, number, rule.Protocol}
				port, ok := listener(rule.To, number, rule.Protocol, r)
				if !ok || seen[k] {
					continue
				}
				seen[k] = true
				out = append(out, Edge{To: to, Number: number, Port: port})
			}
		}
	}
	return out
}

func listener(c Component, number int, protocol string, r Release) (Port, bool) {
	for _, p := range Ports {
		if p.Component == c && p.Covers(number, protocol) && !p.Local && p.in(r) {
			return p, true
		}
	}
	return Port{}, false
}
