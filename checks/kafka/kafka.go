// Package kafka checks the cluster that carries the replication of mailboxes:
// that every broker works, that they agree, and how many of them can be lost.
package kafka

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{Name: "kafka", Checks: catalogue, Judge: judge}

var catalogue = []*checks.Check{brokers, advertised, controller, quorum, partitions, replication, transactions, tolerance}

const (
	all  = "kafka" // the target of what is said of all brokers together
	port = 9092    // where a broker listens

	properties = "/opt/kafka/config/server.properties"
	restart    = "systemctl restart carbonio-kafka.service"

	copies         = 2 // how many of each topic Carbonio keeps
	transactionLog = "__transaction_state"
	metadataLog    = "__cluster_metadata" // of the KRaft quorum

	// The settings that are read.
	processRoles = "process.roles"       // only with KRaft
	minISR       = "min.insync.replicas" // of a topic, or of new ones
	defaultRF    = "default.replication.factor"
	txnRF        = "transaction.state.log.replication.factor"
	txnMinISR    = "transaction.state.log.min.isr"
)

// expected is the id that the inventory gives a broker; empty where it gives none.
type expected struct {
	ID string `json:"id,omitempty"`
}

var (
	eachBroker = &checks.Look[expected, broker]{Kind: "broker", Targets: targets, Observe: observe}
	looks      = []checks.AnyLook{eachBroker}
	installed  = []checks.Phase{checks.Health}
	// clients are the nodes that may reach the port.
	clients = []platform.Component{platform.Kafka, platform.Mailstore}
)

var brokers = &checks.Check{
	ID:      checks.BrokerID,
	Title:   "Every Kafka broker of the inventory responds, with its own ID",
	Why:     "Mailstores write every change of a mailbox to Kafka. While a broker is down, copies of those changes are missing; a broker with the ID of another one cannot join the cluster.",
	Manual:  "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server svc1.example.com:9092 | grep 9092\nsystemctl status carbonio-kafka.service",
	Remedy:  "systemctl restart carbonio-kafka.service; journalctl -u carbonio-kafka.service -n 50   # on that node",
	Sources: []platform.Source{platform.HAStatus, platform.HAConfiguration},
	Phases:  installed, Components: clients, Looks: looks,
}

var advertised = &checks.Check{
	ID:      "kafka.advertised",
	Title:   "Every Kafka broker advertises the full name of its own node",
	Why:     "A client connects to any broker, and is then sent to the advertised names. A name that resolves to another host, or not at all, fails although every port is open.",
	Manual:  "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server svc1.example.com:9092 | grep 9092\ngetent ahosts svc1.example.com   # on every mailstore",
	Remedy:  "# on that node, in " + properties + ", with its full name (and keep the CONTROLLER part, if there is one):\n#   advertised.listeners=PLAINTEXT://svc1.example.com:9092\nsystemctl restart carbonio-kafka.service",
	Sources: []platform.Source{platform.Cluster.On("server.properties"), platform.ActiveReplica},
	Phases:  installed, Components: clients, Looks: looks, Needs: []*checks.Check{brokers},
}

var controller = &checks.Check{
	ID:      "kafka.controller",
	Title:   "All Kafka brokers belong to one cluster and name the same controller",
	Why:     "The controller appoints the leader of every partition. Two clusters under one name, or two controllers, each lose what the other writes.",
	Manual:  "/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-server svc1.example.com:9092 describe --status\ngrep cluster.id /var/lib/queue/kafka/logs/meta.properties",
	Remedy:  "grep cluster.id /var/lib/queue/kafka/logs/meta.properties   # on every broker\nsystemctl restart carbonio-kafka.service                    # on the one that differs",
	Sources: []platform.Source{platform.Cluster.On("all logs are formatted with one cluster ID")},
	Phases:  installed, Components: clients, Looks: looks, Needs: []*checks.Check{quorum},
}

var quorum = &checks.Check{
	ID:      "kafka.quorum",
	Title:   "The KRaft quorum has a leader, and every voter keeps up with it",
	Why:     "A majority of the controllers decides on Kafka's metadata. A voter that does not keep up cannot replace one that fails; without a majority no metadata can be changed.",
	Manual:  "/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-server svc1.example.com:9092 describe --replication",
	Remedy:  "nc -zv svc1.example.com 9093; journalctl -u carbonio-kafka.service -n 50   # on every broker",
	Sources: []platform.Source{platform.Cluster.On("server.properties"), platform.Policy.On("the time since the last fetch")},
	Phases:  installed, Components: clients, Looks: looks,
}

var partitions = &checks.Check{
	ID:      "kafka.partitions",
	Title:   "Every partition has a leader and all of its replicas in sync",
	Why:     "A partition without a leader can be neither read nor written; with fewer replicas in sync the next failure loses mail that was meant to be replicated.",
	Manual:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe --under-replicated-partitions\n/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe --unavailable-partitions",
	Remedy:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --describe --under-replicated-partitions\njournalctl -u carbonio-kafka.service -n 50   # on the broker that is missing from Isr",
	Sources: []platform.Source{platform.KafkaDocs, platform.Cluster},
	Phases:  installed, Components: clients, Looks: looks,
}

var replication = &checks.Check{
	ID:      "kafka.replication",
	Title:   "Every topic has at least two copies",
	Why:     "Carbonio keeps two copies of each topic on three brokers. A topic with one copy stops when its broker stops, and is lost with its disk.",
	Manual:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe | grep 'ReplicationFactor: 1'",
	Remedy:  "/opt/kafka/bin/kafka-reassign-partitions.sh --bootstrap-server 127.0.0.1:9092 --reassignment-json-file reassign.json --execute   # with two replicas for each partition\ngrep default.replication.factor " + properties + "   # must be 2",
	Sources: []platform.Source{platform.Cluster.On("server.properties: default.replication.factor=2")},
	Phases:  installed, Components: clients, Looks: looks,
}

var transactions = &checks.Check{
	ID:      "kafka.transactions",
	Title:   "Transactions can be committed",
	Why:     "The transaction log requires both of its two copies in sync (transaction.state.log.min.isr=2): losing one broker stops the transactions of all clients whose log it held.",
	Manual:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe --topic __transaction_state",
	Remedy:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --describe --topic __transaction_state\nsystemctl start carbonio-kafka.service   # on the brokers that are missing from Isr",
	Sources: []platform.Source{platform.Cluster.On("server.properties: transaction.state.log.min.isr=2")},
	Phases:  installed, Components: clients, Looks: looks,
}

var tolerance = &checks.Check{
	ID:      "kafka.tolerance",
	Title:   "Kafka can lose one more broker",
	Why:     "A cluster that cannot lose another broker stops at the next reboot.",
	Manual:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe\n/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-server svc1.example.com:9092 describe --status",
	Remedy:  "# restart no broker before all are back\nsystemctl status carbonio-kafka.service",
	Sources: []platform.Source{platform.ActiveReplica, platform.Policy},
	Phases:  installed, Components: clients, Looks: looks, Clusters: true,
}

// targets are the brokers of the platform.
func targets(scope checks.Scope, _ checks.Host) ([]checks.Target[expected], error) {
	var ids map[string]string
	if scope.Topology.Inventory != nil {
		ids = scope.Topology.Inventory.HostVars("broker_id")
	}
	var out []checks.Target[expected]
	for _, n := range scope.Topology.With(platform.Kafka) {
		out = append(out, checks.Target[expected]{Name: n.Name, Node: n.Name, Address: n.At(port), Ask: expected{ids[n.Name]}})
	}
	return out, nil
}
