// Package kafka checks the cluster that carries the replication of mailboxes:
// that every broker works, that all of them tell the same, and how many can go.
package kafka

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:   "kafka",
	Checks: catalogue,
	Judge:  judge,
}

var catalogue = []*checks.Check{brokers, advertised, controller, quorum, partitions, replication, transactions, tolerance}

const (
	all  = "kafka" // the target of what is said of all brokers together
	port = 9092    // where a broker listens

	copies         = 2 // how many of each topic Carbonio keeps
	transactionLog = "__transaction_state"
	metadataLog    = "__cluster_metadata" // of KRaft's own quorum

	// The settings that are asked for.
	processRoles = "process.roles"       // only KRaft has it
	minISR       = "min.insync.replicas" // of a topic, or of new ones
	defaultRF    = "default.replication.factor"
	txnRF        = "transaction.state.log.replication.factor"
	txnMinISR    = "transaction.state.log.min.isr"
)

// ownSettings are those of a broker: for topics that do not exist yet.
var ownSettings = []string{defaultRF, minISR, txnRF, txnMinISR, processRoles}

var (
	installed = []checks.Phase{checks.Health}
	// clients are those that may reach the port, the brokers themselves included.
	clients = []platform.Component{platform.Kafka, platform.Mailstore}
)

// expected is the id that the inventory gives a broker; empty where it gives none.
type expected struct {
	ID string `json:"id,omitempty"`
}

var every = &checks.Look[expected, broker]{Kind: "broker", Targets: targets, Observe: observe}

var looks = []checks.AnyLook{every}

var brokers = &checks.Check{
	ID:      checks.BrokerID,
	Title:   "Every Kafka broker of the inventory answers, under its own id",
	Why:     "Mailstores write every change of a mailbox to Kafka. A broker that is down takes away copies of what they wrote, and one under another's id cannot join.",
	Manual:  "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server svc1.example.com:9092 | grep 9092\nsystemctl status carbonio-kafka.service",
	Remedy:  "systemctl restart carbonio-kafka.service; journalctl -u carbonio-kafka.service -n 50   # on that node",
	Sources: []platform.Source{platform.HAStatus, platform.HAConfiguration},
	Phases:  installed, Components: clients, Looks: looks,
}

var advertised = &checks.Check{
	ID:      "kafka.advertised",
	Title:   "Every Kafka broker advertises the full name of its own node",
	Why:     "A client connects to any broker, and is then sent to the advertised names. A name that leads elsewhere, or nowhere, fails although every port is open.",
	Manual:  "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server svc1.example.com:9092 | grep 9092\ngetent ahosts svc1.example.com   # on every mailstore",
	Remedy:  "on that node set advertised.listeners=PLAINTEXT://FQDN:9092 in /opt/kafka/config/server.properties (and keep the CONTROLLER part, if there is one), then: systemctl restart carbonio-kafka.service",
	Sources: []platform.Source{platform.Cluster.On("server.properties"), platform.ActiveReplica},
	Needs:   []*checks.Check{brokers},
	Phases:  installed, Components: clients, Looks: looks,
}

var controller = &checks.Check{
	ID:      "kafka.controller",
	Title:   "All Kafka brokers belong to one cluster and name the same controller",
	Why:     "The controller appoints the leader of every partition. Two clusters under one name, or two controllers, each lose what the other writes.",
	Manual:  "/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-server svc1.example.com:9092 describe --status\ngrep cluster.id /var/lib/queue/kafka/logs/meta.properties",
	Remedy:  "grep cluster.id /var/lib/queue/kafka/logs/meta.properties   # on every broker; then restart the one that differs: systemctl restart carbonio-kafka.service",
	Sources: []platform.Source{platform.Cluster.On("every log is formatted with one cluster id")},
	Needs:   []*checks.Check{quorum},
	Phases:  installed, Components: clients, Looks: looks,
}

var quorum = &checks.Check{
	ID:      "kafka.quorum",
	Title:   "The KRaft quorum has a leader, and every voter keeps up with it",
	Why:     "The metadata of Kafka is decided by a majority of the controllers. A voter that does not follow is no help when another one goes; without a majority nothing can change any more.",
	Manual:  "/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-server svc1.example.com:9092 describe --replication",
	Remedy:  "nc -zv svc1.example.com 9093; journalctl -u carbonio-kafka.service -n 50   # on every broker",
	Sources: []platform.Source{platform.Cluster.On("server.properties"), platform.Policy.On("the time without a fetch")},
	Phases:  installed, Components: clients, Looks: looks,
}

var partitions = &checks.Check{
	ID:      "kafka.partitions",
	Title:   "Every partition has a leader and all of its replicas in sync",
	Why:     "A partition without a leader can be neither read nor written; with fewer replicas in sync the next failure loses mail that was promised to be replicated.",
	Manual:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe --under-replicated-partitions\n/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe --unavailable-partitions",
	Remedy:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --describe --under-replicated-partitions; then look at the broker that is missing from Isr: journalctl -u carbonio-kafka.service",
	Sources: []platform.Source{platform.KafkaDocs, platform.Cluster},
	Phases:  installed, Components: clients, Looks: looks,
}

var replication = &checks.Check{
	ID:      "kafka.replication",
	Title:   "Every topic has at least two copies",
	Why:     "Carbonio keeps two copies of each topic on three brokers. A topic with one copy stops, and may be lost, with the one broker that holds it.",
	Manual:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe | grep 'ReplicationFactor: 1'",
	Remedy:  "/opt/kafka/bin/kafka-reassign-partitions.sh --bootstrap-server 127.0.0.1:9092 --reassignment-json-file FILE --execute   # with two replicas for each partition, and default.replication.factor=2 in /opt/kafka/config/server.properties",
	Sources: []platform.Source{platform.Cluster.On("server.properties: default.replication.factor=2")},
	Phases:  installed, Components: clients, Looks: looks,
}

var transactions = &checks.Check{
	ID:      "kafka.transactions",
	Title:   "Transactions can be committed",
	Why:     "The log of transactions wants both of its two copies in sync (transaction.state.log.min.isr=2): the loss of one broker stops the transactions of all clients whose log it held.",
	Manual:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe --topic __transaction_state",
	Remedy:  "bring back the brokers that are missing from Isr: /opt/kafka/bin/kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --describe --topic __transaction_state",
	Sources: []platform.Source{platform.Cluster.On("server.properties: transaction.state.log.min.isr=2")},
	Phases:  installed, Components: clients, Looks: looks,
}

var tolerance = &checks.Check{
	ID:      "kafka.tolerance",
	Title:   "Kafka can lose one more broker",
	Why:     "A cluster that cannot lose another broker will stop with the next reboot.",
	Manual:  "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe\n/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-server svc1.example.com:9092 describe --status",
	Remedy:  "restart no broker before all are back: systemctl status carbonio-kafka.service",
	Sources: []platform.Source{platform.ActiveReplica, platform.Policy},
	Phases:  installed, Components: clients, Looks: looks,
	Clusters: true,
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
