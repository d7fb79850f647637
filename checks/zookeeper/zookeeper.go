// Package zookeeper checks the ensemble that Kafka leaves its votes to before
// Carbonio 25.9: that it has one leader, and how many of it can go.
package zookeeper

import (
	"net/netip"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject "zookeeper".
type Module struct{}

// Name is "zookeeper".
func (Module) Name() string { return "zookeeper" }

// The checks, and the kind of target they are judged from.
const (
	modeID      = "zookeeper.mode"
	agreementID = "zookeeper.agreement"
	brokersID   = "zookeeper.brokers"
	toleranceID = "zookeeper.tolerance"

	kindServer = "server"
)

// ensemble is the target of what is said of all servers together.
const ensemble = "zookeeper"

// Where a server listens (HAA-zk zoo.cfg).
const (
	clientPort = 2181
	adminPort  = 18080
)

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	catalogue := []checks.Check{
		{
			ID:     modeID,
			Title:  "One ZooKeeper server leads, and all others follow",
			Why:    "Kafka elects its controller through ZooKeeper. A server that is down or stands alone is missing from the majority; without one Kafka cannot replace a broker that fails.",
			Manual: "echo srvr | nc svc1.example.com 2181\n/opt/zookeeper/bin/zkServer.sh status",
			Remedy: "systemctl restart carbonio-zookeeper.service; journalctl -u carbonio-zookeeper.service -n 50   # on that node",
			Source: "HA25-chk; HAA-zk zoo.cfg",
		},
		{
			ID:     agreementID,
			Title:  "All ZooKeeper servers have the same history",
			Why:    "A follower that is far behind, or ahead of its leader, holds other data than the rest: what it answers is wrong, and it cannot take over.",
			Manual: "echo srvr | nc svc1.example.com 2181 | grep Zxid   # on every server",
			Remedy: "systemctl restart carbonio-zookeeper.service   # on the server that differs: it takes the data from the leader",
			Source: "ZooKeeper administration; distance: policy",
		},
		{
			ID:     brokersID,
			Title:  "Every Kafka broker is registered with ZooKeeper",
			Why:    "A broker that is not registered has no part in the cluster, though its port may be open.",
			Manual: "/opt/zookeeper/bin/zkCli.sh -server 127.0.0.1:2181 ls /brokers/ids",
			Remedy: "systemctl restart carbonio-kafka.service; journalctl -u carbonio-kafka.service -n 50   # on the broker that is missing",
			Source: "HAA-zk; HA25-conf",
		},
		{
			ID:     toleranceID,
			Title:  "ZooKeeper can lose one more server",
			Why:    "ZooKeeper works while a majority of its servers does. Without one to spare the next reboot stops it.",
			Manual: "echo srvr | nc svc1.example.com 2181 | grep Mode   # on every server",
			Remedy: "restart no server before all are back: systemctl status carbonio-zookeeper.service",
			Source: "HAA-zk zoo.cfg; policy",
		},
	}
	for i := range catalogue {
		catalogue[i].Phases = []checks.Phase{checks.Health}
		// The client's port is for the node itself and its neighbours (HAA-zk).
		catalogue[i].Components = []platform.Component{platform.ZooKeeper}
		catalogue[i].Looks = []string{kindServer}
	}
	return catalogue
}

// Targets lists every server of the ensemble, of releases that have one.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	if !scope.Release.Before(platform.R25_9) {
		return nil, nil
	}
	var targets []checks.Target
	for _, n := range scope.Topology.With(platform.ZooKeeper) {
		t := checks.Target{Kind: kindServer, Name: n.Name, Node: n.Name}
		if n.Address.IsValid() {
			t.Address = netip.AddrPortFrom(n.Address, clientPort).String()
		}
		targets = append(targets, t)
	}
	return targets, nil
}
