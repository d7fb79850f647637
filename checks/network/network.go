// Package network checks what lies between the nodes of the platform, and
// between this one and the world: who answers, over which way, on which port.
package network

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject "network".
type Module struct{}

// Name is "network".
func (Module) Name() string { return "network" }

// The checks, and the kinds of target they are judged from.
const (
	pingID      = "network.ping"
	pathID      = "network.path"
	mtuID       = "network.mtu"
	portID      = "network.port"
	outboundID  = "network.outbound"
	interfaceID = "network.interface"

	kindNode       = "node"
	kindPort       = "port"
	kindOutbound   = "outbound"
	kindInterfaces = "interfaces"
)

// The arguments of targets.
const (
	argMTU   = 0       // of a node: the largest packet to try
	argTrace = 1       // and whether to follow the path though it answers
	withPath = "trace" // its value then

	argProtocol = 0 // of a port
	argPurpose  = 1 // "mesh gossip"
	argOpening  = 2 // what a firewall has to open: "20000-21255/tcp"
)

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	return []checks.Check{
		{
			ID:     pingID,
			Title:  "Every node answers every other, soon and without loss",
			Why:    "Every Carbonio service talks to others over the network. A node that does not answer takes all its services with it; a slow or lossy link makes the mesh, the directory and the databases flap.",
			Manual: "ping -c3 mbox2.example.com",
			Remedy: "ip -br addr; ip route; ping -c3 NODE   # on both nodes",
			Source: "SEED-HA (ping between all pairs); round trip: policy",
			// A node may be alive and keep ICMP out: its ports tell.
			Looks: []string{kindNode, kindPort},
		},
		{
			ID:     pathID,
			Title:  "The way to every node ends at the node",
			Why:    "Where a node does not answer, the last router that does is the place to look.",
			Manual: "tracepath -n mbox2.example.com\nmtr -rwnc3 mbox2.example.com",
			Remedy: "ip route get ADDRESS   # here, and on the last router that answered",
			Source: "SEED-HA (tracepath and mtr between all pairs)",
			Needs:  []string{pingID},
			Looks:  []string{kindNode, kindPort},
		},
		{
			ID:     mtuID,
			Title:  "Full packets cross to every node whole",
			Why:    "Where large packets vanish, connections open and then hang with the first mail or the first LDAP answer of some size. A smaller MTU that routers do announce only costs speed, but is a surprise inside a platform.",
			Manual: "tracepath -n mbox2.example.com\nping -M do -s 1472 -c3 mbox2.example.com",
			Remedy: "ip link set dev INTERFACE mtu 1500   # or the same smaller value on every node; and let ICMP \"fragmentation needed\" through every firewall",
			Source: "policy (mtu)",
			Needs:  []string{pingID},
			Looks:  []string{kindNode},
		},
		{
			ID:     portID,
			Title:  "Every port that Carbonio uses between nodes can be reached",
			Why:    "A port that a firewall closes shows up much later: as a service without a leader, a replica that lags, mail that waits. Before the installation a port that refuses is good news, because its refusal came through.",
			Manual: "nc -zv svc1.example.com 8301\nnc -zvu svc1.example.com 8301",
			Remedy: "ufw allow proto tcp from NODE to any port PORT   # firewall-cmd --permanent --add-port=PORT/tcp && firewall-cmd --reload",
			Source: "REQ26 network; HAA",
			Looks:  []string{kindPort, kindNode},
		},
		{
			ID:     outboundID,
			Title:  "The repositories and services that this node needs outside can be reached",
			Why:    "Without the package repositories the installation stops half-way; without the licence server a licence can be neither activated nor renewed.",
			Manual: "curl -sSI https://repo.zextras.io\ncurl -sSI https://api.zextras.io",
			Remedy: "open 443/tcp to this host in the outbound firewall, or set the proxy:\necho 'Acquire::https::Proxy \"http://PROXY:PORT\";' | sudo tee /etc/apt/apt.conf.d/95proxy",
			Source: "PRE; REQ26; AIA set-repos",
			Looks:  []string{kindOutbound},
		},
		{
			ID:     interfaceID,
			Title:  "The node's name leads to a private address on one of its own interfaces",
			Why:    "The mesh binds to the address that the node's own name resolves to, and refuses a loopback address or one that no interface holds. Internal traffic must stay on private addresses.",
			Manual: "ip -br addr\ngetent ahostsv4 \"$(hostname -f)\"",
			Remedy: "put the line \"ADDRESS FQDN SHORTNAME\" with the address of the internal interface (ip -br addr) into /etc/hosts, and remove the name from 127.0.1.1",
			Source: "SD CheckHostnameAddress; REQ26 network",
			Looks:  []string{kindInterfaces},
		},
	}
}

// Targets lists every other node, every port of theirs that this node needs,
// what it needs outside, and its own interfaces.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	self := scope.Node(scope.Self().Node)
	targets := []checks.Target{{Kind: kindInterfaces, Name: self.Name, Node: self.Name}}
	for _, n := range scope.Topology.Nodes {
		if !strings.EqualFold(n.Name, self.Name) {
			targets = append(targets, nodeTarget(n, scope))
		}
	}
	for _, e := range scope.Topology.Edges(self, scope.Release) {
		targets = append(targets, portTarget(e))
	}
	for _, o := range scope.Policy.Outbound {
		t := checks.Target{Kind: kindOutbound, Name: outboundName(o), Address: outboundName(o)}
		same := func(other checks.Target) bool { return other.Kind == t.Kind && other.Name == t.Name }
		if needs(self, scope, o) && !slices.ContainsFunc(targets, same) {
			targets = append(targets, t)
		}
	}
	return targets, nil
}

func nodeTarget(n platform.Node, scope checks.Scope) checks.Target {
	t := checks.Target{Kind: kindNode, Name: n.Name, Node: n.Name, Args: []string{strconv.Itoa(scope.Policy.MTU), ""}}
	if n.Address.IsValid() {
		t.Address = n.Address.String()
	}
	if scope.Trace {
		t.Args[argTrace] = withPath
	}
	return t
}

// portTarget names an edge "svc1.example.com:8301/tcp".
func portTarget(e platform.Edge) checks.Target {
	t := checks.Target{
		Kind: kindPort, Node: e.To.Name,
		Name: net.JoinHostPort(e.To.Name, strconv.Itoa(e.Number)) + "/" + e.Port.Protocol,
		Args: []string{e.Port.Protocol, e.Port.Purpose, e.Port.String()},
	}
	if e.To.Address.IsValid() {
		t.Address = netip.AddrPortFrom(e.To.Address, uint16(e.Number)).String()
	}
	return t
}

// needs says whether a node needs a service outside.
func needs(n platform.Node, scope checks.Scope, o platform.Outbound) bool {
	return n.Has(o.Components...) &&
		(o.OS == "" || o.OS == scope.Self().OS.Family()) &&
		(o.Until.IsZero() || scope.Release.Before(o.Until))
}

func outboundName(o platform.Outbound) string {
	return net.JoinHostPort(o.Host, strconv.Itoa(o.Port))
}
