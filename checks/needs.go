package checks

import (
	"net"
	"strconv"
)

// A Need names a finding that would explain another one: a check on a target. It
// is made by [Check.On] and, across subjects, by the constructors here, which the
// subject that owns the check uses too.
type Need struct{ check, target string }

// Check is the ID of the check.
func (n Need) Check() string { return n.check }

// Target is the target of the finding.
func (n Need) Target() string { return n.target }

// String gives "network.ping mbox2.example.com".
func (n Need) String() string {
	if n.target == "" {
		return n.check
	}
	return n.check + " " + n.target
}

// On names the finding of a check on a target.
func (c *Check) On(target string) Need { return Need{c.ID, target} }

// The checks that others need, by their IDs.
const (
	PingID   = "network.ping"
	PortID   = "network.port"
	LineID   = "hosts.nodes"
	NameID   = "dns.forward"
	ServerID = "dns.resolvers"
	OSID     = "system.os"
	BrokerID = "kafka.brokers"
	ZooID    = "zookeeper.mode"
	AgentID  = "mesh.agent"
	LeaderID = "mesh.leader"
	SelfID   = "hosts.self"
)

// PingOf: the node responds to ping.
func PingOf(node string) Need { return Need{PingID, node} }

// PortOf: the port of the node can be reached. protocol is "tcp" or "udp".
func PortOf(node string, port int, protocol string) Need {
	return Need{PortID, net.JoinHostPort(node, strconv.Itoa(port)) + "/" + protocol}
}

// LineOf: the node has its line in /etc/hosts.
func LineOf(node string) Need { return Need{LineID, node} }

// NameOf: the node resolves in DNS.
func NameOf(node string) Need { return Need{NameID, node} }

// ResolverOf: the resolver answers.
func ResolverOf(address string) Need { return Need{ServerID, address} }

// ResolversOf: the node has a resolver that answers.
func ResolversOf(node string) Need { return Need{ServerID, node} }

// OSOf: the operating system of the node is supported.
func OSOf(node string) Need { return Need{OSID, node} }

// BrokerOf: the Kafka broker of the node works.
func BrokerOf(node string) Need { return Need{BrokerID, node} }

// ZooKeeperOf: the ZooKeeper server of the node works.
func ZooKeeperOf(node string) Need { return Need{ZooID, node} }

// AgentOf: the mesh agent of the node works.
func AgentOf(node string) Need { return Need{AgentID, node} }

// LeaderOf: the mesh has a leader.
func LeaderOf(mesh string) Need { return Need{LeaderID, mesh} }

// SelfOf: the node's own name is on the line of its own address.
func SelfOf(node string) Need { return Need{SelfID, node} }

// AddressOf is what explains that no address of a node is known.
func AddressOf(node string) []Need { return []Need{LineOf(node), NameOf(node)} }
