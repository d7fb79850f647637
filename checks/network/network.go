// Package network checks what lies between the nodes of the platform, and
// between this one and the world: who answers, over which way, on which port.
package network

import (
	"slices"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "network",
	Checks:   catalogue,
	Settings: []checks.AnySetting{pingRTT, leastMTU, services, traceAll},
	Judge:    judge,
}

var catalogue = []*checks.Check{ping, route, mtu, port, external, ownAddress}

var (
	nodes      = &checks.Look[extent, node]{Kind: "node", Targets: nodeTargets, Observe: observeNode}
	peers      = &checks.Look[ports, []outcome]{Kind: "ports", Targets: portTargets, Observe: observePorts}
	outside    = &checks.Look[checks.Nothing, service]{Kind: "outbound", Targets: serviceTargets, Observe: observeService}
	interfaces = &checks.Look[checks.Nothing, identity]{Kind: "interfaces", Targets: selfTarget, Observe: observeSelf}
)

// signs: a node may be alive and keep ICMP out; its ports tell.
var signs = []checks.AnyLook{nodes, peers}

var ping = &checks.Check{
	ID:      checks.PingID,
	Title:   "Every node answers every other, soon and without loss",
	Why:     "Every Carbonio service talks to others over the network. A node that does not answer takes all its services with it; a slow or lossy link makes the mesh, the directory and the databases flap.",
	Manual:  "ping -c3 mbox2.example.com",
	Remedy:  "ip -br addr; ip route; ping -c3 NODE   # on both nodes",
	Sources: []platform.Source{platform.ScenarioHA.On("ping between all pairs"), platform.Policy.On("the round trip")},
	Looks:   signs,
}

var route = &checks.Check{
	ID:      "network.path",
	Title:   "The way to every node ends at the node",
	Why:     "Where a node does not answer, the last router that does is the place to look.",
	Manual:  "tracepath -n mbox2.example.com\nmtr -rwnc3 mbox2.example.com",
	Remedy:  "ip route get ADDRESS   # here, and on the last router that answered",
	Sources: []platform.Source{platform.ScenarioHA.On("tracepath and mtr between all pairs")},
	Needs:   []*checks.Check{ping},
	Looks:   signs,
}

var mtu = &checks.Check{
	ID:      "network.mtu",
	Title:   "Full packets cross to every node whole",
	Why:     "Where large packets vanish, connections open and then hang with the first mail or the first LDAP answer of some size. A smaller MTU that routers do announce only costs speed, but is a surprise inside a platform.",
	Manual:  "tracepath -n mbox2.example.com\nping -M do -s 1472 -c3 mbox2.example.com",
	Remedy:  "ip link set dev INTERFACE mtu 1500   # or the same smaller value on every node; and let ICMP \"fragmentation needed\" through every firewall",
	Sources: []platform.Source{platform.Policy.On("the MTU")},
	Needs:   []*checks.Check{ping},
	Looks:   []checks.AnyLook{nodes},
}

var port = &checks.Check{
	ID:      checks.PortID,
	Title:   "Every port that Carbonio uses between nodes can be reached",
	Why:     "A port that a firewall closes shows up much later: as a service without a leader, a replica that lags, mail that waits. Before the installation a port that refuses is good news, because its refusal came through.",
	Manual:  "nc -zv svc1.example.com 8301\nnc -zvu svc1.example.com 8301",
	Remedy:  "ufw allow proto tcp from NODE to any port PORT   # firewall-cmd --permanent --add-port=PORT/tcp && firewall-cmd --reload",
	Sources: []platform.Source{platform.Requirements.On("network"), platform.Cluster},
	Looks:   signs,
}

var external = &checks.Check{
	ID:      "network.outbound",
	Title:   "The repositories and services that this node needs outside can be reached",
	Why:     "Without the package repositories the installation stops half-way; without the licence server a licence can be neither activated nor renewed.",
	Manual:  "curl -sSI https://repo.zextras.io\ncurl -sSI https://api.zextras.io",
	Remedy:  "open 443/tcp to this host in the outbound firewall, or set the proxy:\necho 'Acquire::https::Proxy \"http://PROXY:PORT\";' | sudo tee /etc/apt/apt.conf.d/95proxy",
	Sources: []platform.Source{platform.Preliminaries, platform.Requirements, platform.Installer.On("set-repos")},
	Looks:   []checks.AnyLook{outside},
}

var ownAddress = &checks.Check{
	ID:      "network.interface",
	Title:   "The node's name leads to a private address on one of its own interfaces",
	Why:     "The mesh binds to the address that the node's own name resolves to, and refuses a loopback address or one that no interface holds. Internal traffic must stay on private addresses.",
	Manual:  "ip -br addr\ngetent ahostsv4 \"$(hostname -f)\"",
	Remedy:  "put the line \"ADDRESS FQDN SHORTNAME\" with the address of the internal interface (ip -br addr) into /etc/hosts, and remove the name from 127.0.1.1",
	Sources: []platform.Source{platform.ServiceDiscover.On("CheckHostnameAddress"), platform.Requirements.On("network")},
	Looks:   []checks.AnyLook{interfaces},
}

// nodeTargets are all other nodes.
func nodeTargets(scope checks.Scope, _ checks.Host) ([]checks.Target[extent], error) {
	self, ask := scope.Node(scope.Self().Node), extent{leastMTU.In(scope), traceAll.In(scope)}
	var out []checks.Target[extent]
	for _, n := range scope.Topology.Nodes {
		if n.Name != self.Name {
			out = append(out, checks.Target[extent]{Name: n.Name, Node: n.Name, Address: address(n), Ask: ask})
		}
	}
	return out, nil
}

// portTargets are all other nodes, with the ports that this one has to reach.
func portTargets(scope checks.Scope, _ checks.Host) ([]checks.Target[ports], error) {
	self := scope.Self()
	var out []checks.Target[ports]
	for _, e := range scope.Topology.Edges(scope.Node(self.Node), self.Release) { // node by node
		if len(out) == 0 || out[len(out)-1].Node != e.To.Name {
			out = append(out, checks.Target[ports]{Name: e.To.Name, Node: e.To.Name, Address: address(e.To), Ask: ports{}})
		}
		ask := out[len(out)-1].Ask
		ask[e.Port.Protocol] = append(ask[e.Port.Protocol], e.Number)
	}
	return out, nil
}

func address(n platform.Node) string {
	if !n.Address.IsValid() {
		return ""
	}
	return n.Address.String()
}

// serviceTargets are the services outside that this node needs.
func serviceTargets(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	var out []checks.Target[checks.Nothing]
	for _, o := range needed(scope, scope.Self()) {
		out = append(out, checks.Target[checks.Nothing]{Name: o.String(), Address: o.String()})
	}
	return out, nil
}

// needed are the services outside that a node needs, each once.
func needed(scope checks.Scope, v checks.Vantage) []Outbound {
	self := scope.Node(v.Node)
	var out []Outbound
	for _, o := range services.In(scope) {
		wanted := self.Has(o.Components...) && (o.OS == "" || o.OS == v.OS.Family()) &&
			(o.Until.IsZero() || v.Release.Before(o.Until))
		if wanted && !slices.ContainsFunc(out, func(other Outbound) bool { return other.String() == o.String() }) {
			out = append(out, o)
		}
	}
	return out
}

func selfTarget(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	self := scope.Node(scope.Self().Node)
	return []checks.Target[checks.Nothing]{{Name: self.Name, Node: self.Name}}, nil
}
