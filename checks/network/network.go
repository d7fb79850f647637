// Package network checks the network between the nodes of the platform, and from
// each node to the outside: who responds, over which path and on which port.
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

// signs of life: a node may block ICMP and yet be alive, as its ports show.
var signs = []checks.AnyLook{nodes, peers}

var ping = &checks.Check{
	ID:      checks.PingID,
	Title:   "Every node responds to every other, quickly and without loss",
	Why:     "Every Carbonio service talks to others over the network. A node that does not respond takes all its services with it; a slow or lossy link makes the mesh, the directory and the databases flap.",
	Manual:  "ping -c3 mbox2.example.com",
	Remedy:  "ip -br addr; ip route; ping -c3 mbox2.example.com   # on both nodes",
	Sources: []platform.Source{platform.ScenarioHA.On("ping between all pairs"), platform.Policy.On("the round trip")},
	Looks:   signs,
}

var route = &checks.Check{
	ID:      "network.path",
	Title:   "The path to every node is complete",
	Why:     "When a node does not respond, look at the last router that does.",
	Manual:  "tracepath -n mbox2.example.com\nmtr -rwnc3 mbox2.example.com",
	Remedy:  "ip route get 10.0.0.12   # here, and on the last router that responded",
	Sources: []platform.Source{platform.ScenarioHA.On("tracepath and mtr between all pairs")},
	Needs:   []*checks.Check{ping}, Looks: signs,
}

var mtu = &checks.Check{
	ID:      "network.mtu",
	Title:   "Full-size packets reach every node",
	Why:     "When large packets are dropped silently, connections open and then hang with the first mail or the first large LDAP response. A smaller MTU that routers announce only costs speed, but is unexpected inside a platform.",
	Manual:  "tracepath -n mbox2.example.com\nping -M do -s 1472 -c3 mbox2.example.com",
	Remedy:  "ip link set dev eth0 mtu 1500   # or the same smaller value on every node, and policy.mtu; let ICMP \"fragmentation needed\" through every firewall",
	Sources: []platform.Source{platform.Policy.On("the MTU")},
	Needs:   []*checks.Check{ping}, Looks: []checks.AnyLook{nodes},
}

var port = &checks.Check{
	ID:      checks.PortID,
	Title:   "Every port that Carbonio uses between nodes is reachable",
	Why:     "A port that a firewall blocks is noticed much later: as a service without a leader, a replica that lags, mail that stays in a queue. Before the installation a port that refuses connections is fine: the refusal got through.",
	Manual:  "nc -zv svc1.example.com 8301\nnc -zvu svc1.example.com 8301",
	Remedy:  "ufw allow proto tcp from 10.0.0.11 to any port 8301\nfirewall-cmd --permanent --add-port=8301/tcp && firewall-cmd --reload   # RHEL",
	Sources: []platform.Source{platform.Requirements.On("network"), platform.Cluster},
	Looks:   signs,
}

var external = &checks.Check{
	ID:      "network.outbound",
	Title:   "The repositories and services outside the platform that this node needs are reachable",
	Why:     "Without the package repositories the installation stops halfway; without the licence server a licence can be neither activated nor renewed.",
	Manual:  "curl -sSI https://repo.zextras.io\ncurl -sSI https://api.zextras.io",
	Remedy:  "# open 443/tcp to this host in the outbound firewall, or set a proxy:\necho 'Acquire::https::Proxy \"http://proxy.example.com:3128\";' > /etc/apt/apt.conf.d/95proxy",
	Sources: []platform.Source{platform.Preliminaries, platform.Requirements, platform.Installer.On("set-repos")},
	Looks:   []checks.AnyLook{outside},
}

var ownAddress = &checks.Check{
	ID:      "network.interface",
	Title:   "The node's name resolves to a private address on one of its own interfaces",
	Why:     "The mesh binds to the address that the node's own name resolves to, and refuses a loopback address or one that is on no interface. Internal traffic must stay on private addresses.",
	Manual:  "ip -br addr\ngetent ahostsv4 \"$(hostname -f)\"",
	Remedy:  "# in /etc/hosts, with the address of the internal interface (ip -br addr); remove the name from every other line\n10.0.0.12 mbox2.example.com mbox2",
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
