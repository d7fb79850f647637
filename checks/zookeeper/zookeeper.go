// Package zookeeper checks the ensemble that elects Kafka's controller before
// Carbonio 25.9: that it has one leader, and how many of its servers it can lose.
package zookeeper

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{Name: "zookeeper", Checks: catalogue, Judge: judge}

var catalogue = []*checks.Check{mode, agreement, brokers, tolerance}

const (
	ensemble = "zookeeper" // the target of what is said of all servers together

	// Where a server listens (zoo.cfg of Carbonio's HA setup).
	clientPort = 2181
	adminPort  = 18080
)

var (
	servers   = &checks.Look[checks.Nothing, server]{Kind: "server", Targets: targets, Observe: observe}
	looks     = []checks.AnyLook{servers}
	installed = []checks.Phase{checks.Health}
	// members: the client's port is for the node itself and its neighbours.
	members = []platform.Component{platform.ZooKeeper}
)

var mode = &checks.Check{
	ID:      "zookeeper.mode",
	Title:   "One ZooKeeper server leads, and all others follow",
	Why:     "Kafka elects its controller through ZooKeeper. A server that is down or standalone is missing from the majority; without a majority Kafka cannot replace a broker that fails.",
	Manual:  "echo srvr | nc svc1.example.com 2181\n/opt/zookeeper/bin/zkServer.sh status",
	Remedy:  "systemctl restart carbonio-zookeeper.service; journalctl -u carbonio-zookeeper.service -n 50   # on that node",
	Sources: []platform.Source{platform.HAStatus, platform.ClusterZooKeeper.On("zoo.cfg")},
	Phases:  installed, Components: members, Looks: looks,
}

var agreement = &checks.Check{
	ID:      "zookeeper.agreement",
	Title:   "All ZooKeeper servers have the same history",
	Why:     "A follower that is far behind, or ahead of its leader, holds different data from the rest: it gives wrong answers and cannot take over.",
	Manual:  "echo srvr | nc svc1.example.com 2181 | grep Zxid   # on every server",
	Remedy:  "systemctl restart carbonio-zookeeper.service   # on the server that differs: it takes the data from the leader",
	Sources: []platform.Source{platform.ZooKeeperDocs, platform.Policy.On("the distance")},
	Phases:  installed, Components: members, Looks: looks,
}

var brokers = &checks.Check{
	ID:      "zookeeper.brokers",
	Title:   "Every Kafka broker is registered with ZooKeeper",
	Why:     "A broker that is not registered is not part of the cluster, even if its port is open.",
	Manual:  "/opt/zookeeper/bin/zkCli.sh -server 127.0.0.1:2181 ls /brokers/ids",
	Remedy:  "systemctl restart carbonio-kafka.service; journalctl -u carbonio-kafka.service -n 50   # on the broker that is missing",
	Sources: []platform.Source{platform.ClusterZooKeeper, platform.HAConfiguration},
	Phases:  installed, Components: members, Looks: looks,
}

var tolerance = &checks.Check{
	ID:      "zookeeper.tolerance",
	Title:   "ZooKeeper can lose one more server",
	Why:     "ZooKeeper works while a majority of its servers works. With none to spare, the next reboot stops it.",
	Manual:  "echo srvr | nc svc1.example.com 2181 | grep Mode   # on every server",
	Remedy:  "# restart no server before all are back\nsystemctl status carbonio-zookeeper.service",
	Sources: []platform.Source{platform.ClusterZooKeeper.On("zoo.cfg"), platform.Policy},
	Phases:  installed, Components: members, Looks: looks, Clusters: true,
}

// targets are the servers of the ensemble, of releases that have one.
func targets(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	if !scope.Self().Release.Before(platform.R25_9) {
		return nil, nil
	}
	var out []checks.Target[checks.Nothing]
	for _, n := range scope.Topology.With(platform.ZooKeeper) {
		out = append(out, checks.Target[checks.Nothing]{Name: n.Name, Node: n.Name, Address: n.At(clientPort)})
	}
	return out, nil
}
