// Package kafka checks the cluster that carries the replication of mailboxes:
// that every broker works, that all of them tell the same, and how many can go.
package kafka

import (
	"net/netip"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject "kafka".
type Module struct{}

// Name is "kafka".
func (Module) Name() string { return "kafka" }

// The checks, and the kind of target they are judged from.
const (
	brokersID      = "kafka.brokers"
	advertisedID   = "kafka.advertised"
	controllerID   = "kafka.controller"
	quorumID       = "kafka.quorum"
	partitionsID   = "kafka.partitions"
	replicationID  = "kafka.replication"
	transactionsID = "kafka.transactions"
	toleranceID    = "kafka.tolerance"

	kindBroker = "broker"
	argID      = 0 // of a broker: its id in the inventory; empty where there is none
)

// cluster is the target of what is said of all brokers together.
const cluster = "kafka"

// port is where a broker listens (AR25; HAA).
const port = 9092

// The settings that are asked for.
const (
	minISR       = "min.insync.replicas" // of a topic, or of new ones
	processRoles = "process.roles"       // only KRaft has it
	defaultRF    = "default.replication.factor"
	txnRF        = "transaction.state.log.replication.factor"
	txnMinISR    = "transaction.state.log.min.isr"
)

// newTopics are the settings of topics that do not exist yet.
var newTopics = []string{defaultRF, minISR, txnRF, txnMinISR}

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	catalogue := []checks.Check{
		{
			ID:     brokersID,
			Title:  "Every Kafka broker of the inventory answers, under its own id",
			Why:    "Mailstores write every change of a mailbox to Kafka. A broker that is down takes away copies of what they wrote, and one under another's id cannot join.",
			Manual: "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server svc1.example.com:9092 | grep 9092\nsystemctl status carbonio-kafka.service",
			Remedy: "systemctl restart carbonio-kafka.service; journalctl -u carbonio-kafka.service -n 50   # on that node",
			Source: "HA25-chk; HA25-conf",
		},
		{
			ID:     advertisedID,
			Title:  "Every Kafka broker advertises the full name of its own node",
			Why:    "A client connects to any broker, and is then sent to the advertised names. A name that leads elsewhere, or nowhere, fails although every port is open.",
			Manual: "/opt/kafka/bin/kafka-broker-api-versions.sh --bootstrap-server svc1.example.com:9092 | grep 9092\ngetent ahosts svc1.example.com   # on every mailstore",
			Remedy: "on that node set advertised.listeners=PLAINTEXT://FQDN:9092 in /opt/kafka/config/server.properties (and keep the CONTROLLER part, if there is one), then: systemctl restart carbonio-kafka.service",
			Source: "HAA server.properties; AR25",
			Needs:  []string{brokersID},
		},
		{
			ID:     controllerID,
			Title:  "All Kafka brokers belong to one cluster and name the same controller",
			Why:    "The controller appoints the leader of every partition. Two clusters under one name, or two controllers, each lose what the other writes.",
			Manual: "/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-server svc1.example.com:9092 describe --status\ngrep cluster.id /var/lib/queue/kafka/logs/meta.properties",
			Remedy: "grep cluster.id /var/lib/queue/kafka/logs/meta.properties   # on every broker; then restart the one that differs: systemctl restart carbonio-kafka.service",
			Source: "HAA: every log is formatted with one cluster id",
			Needs:  []string{quorumID},
		},
		{
			ID:     quorumID,
			Title:  "The KRaft quorum has a leader, and every voter keeps up with it",
			Why:    "The metadata of Kafka is decided by a majority of the controllers. A voter that does not follow is no help when another one goes; without a majority nothing can change any more.",
			Manual: "/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-server svc1.example.com:9092 describe --replication",
			Remedy: "nc -zv svc1.example.com 9093; journalctl -u carbonio-kafka.service -n 50   # on every broker",
			Source: "HAA server.properties; time without a fetch: policy",
		},
		{
			ID:     partitionsID,
			Title:  "Every partition has a leader and all of its replicas in sync",
			Why:    "A partition without a leader can be neither read nor written; with fewer replicas in sync the next failure loses mail that was promised to be replicated.",
			Manual: "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe --under-replicated-partitions\n/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe --unavailable-partitions",
			Remedy: "/opt/kafka/bin/kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --describe --under-replicated-partitions; then look at the broker that is missing from Isr: journalctl -u carbonio-kafka.service",
			Source: "Kafka operations; HAA",
		},
		{
			ID:     replicationID,
			Title:  "Every topic has at least two copies",
			Why:    "Carbonio keeps two copies of each topic on three brokers. A topic with one copy stops, and may be lost, with the one broker that holds it.",
			Manual: "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe | grep 'ReplicationFactor: 1'",
			Remedy: "/opt/kafka/bin/kafka-reassign-partitions.sh --bootstrap-server 127.0.0.1:9092 --reassignment-json-file FILE --execute   # with two replicas for each partition, and default.replication.factor=2 in /opt/kafka/config/server.properties",
			Source: "HAA server.properties (default.replication.factor=2)",
		},
		{
			ID:     transactionsID,
			Title:  "Transactions can be committed",
			Why:    "The log of transactions wants both of its two copies in sync (transaction.state.log.min.isr=2): the loss of one broker stops the transactions of all clients whose log it held.",
			Manual: "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe --topic __transaction_state",
			Remedy: "bring back the brokers that are missing from Isr: /opt/kafka/bin/kafka-topics.sh --bootstrap-server 127.0.0.1:9092 --describe --topic __transaction_state",
			Source: "HAA server.properties (transaction.state.log.min.isr=2)",
		},
		{
			ID:     toleranceID,
			Title:  "Kafka can lose one more broker",
			Why:    "A cluster that cannot lose another broker will stop with the next reboot.",
			Manual: "/opt/kafka/bin/kafka-topics.sh --bootstrap-server svc1.example.com:9092 --describe\n/opt/kafka/bin/kafka-metadata-quorum.sh --bootstrap-server svc1.example.com:9092 describe --status",
			Remedy: "restart no broker before all are back: systemctl status carbonio-kafka.service",
			Source: "AR25; policy",
		},
	}
	for i := range catalogue {
		catalogue[i].Phases = []checks.Phase{checks.Health}
		// Only brokers and mailstores may reach the port (HAA; SEED-AR).
		catalogue[i].Components = []platform.Component{platform.Kafka, platform.Mailstore}
		catalogue[i].Looks = []string{kindBroker}
	}
	return catalogue
}

// Targets lists every broker of the platform.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	ids := inventoryIDs(scope)
	var targets []checks.Target
	for _, n := range scope.Topology.With(platform.Kafka) {
		t := checks.Target{Kind: kindBroker, Name: n.Name, Node: n.Name, Args: []string{ids[n.Name]}}
		if n.Address.IsValid() {
			t.Address = netip.AddrPortFrom(n.Address, port).String()
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// inventoryIDs are the broker ids that the inventory gives.
func inventoryIDs(scope checks.Scope) map[string]string {
	if scope.Topology.Inventory == nil {
		return nil
	}
	return scope.Topology.Inventory.HostVars("broker_id")
}

func arg(t checks.Target, i int) string {
	if i >= len(t.Args) {
		return ""
	}
	return t.Args[i]
}
