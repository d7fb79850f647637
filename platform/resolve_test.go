package platform

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTopology(t *testing.T) {
	inv, err := ReadInventory("testdata/ha-25.6.ini")
	require.NoError(t, err)
	top := inv.Topology()
	require.Len(t, top.Nodes, 15)
	require.Equal(t, Node{Name: "svc1.example.com", Components: []Component{Kafka, ZooKeeper, Database, Directory, Mesh}}, top.Nodes[0])
	require.Equal(t, Node{Name: "mbox1.example.com", Components: []Component{DBConnector, Mailstore}}, top.Nodes[3])
	require.Equal(t, "example.com", top.Domain())
	require.Same(t, inv, top.Inventory)
	require.Empty(t, top.Assumed)

	inv, err = ReadInventory("testdata/rur-26.6.ini")
	require.NoError(t, err)
	require.Len(t, inv.Topology().Nodes, 15)
}

func TestTopologyOfGroupsAndAddresses(t *testing.T) {
	inv := parse(t, `lb.example.com
[stores]
MBOX1.example.com ansible_host=10.0.0.7
mbox2.example.com ansible_host=bastion
[applicationServers:children]
stores
[mtaServers]
mbox1.example.com
10.0.0.9
`)
	require.Equal(t, []Node{
		{Name: "lb.example.com"},
		{Name: "MBOX1.example.com", Components: []Component{MTA, Mailstore}, Address: netip.MustParseAddr("10.0.0.7"), AddressFrom: "ansible_host"},
		{Name: "mbox2.example.com", Components: []Component{Mailstore}},
		{Name: "10.0.0.9", Components: []Component{MTA}, Address: netip.MustParseAddr("10.0.0.9"), AddressFrom: "inventory"},
	}, inv.Topology().Nodes)
}

func TestHostVars(t *testing.T) {
	inv := parse(t, "[all:vars]\na=all\nb=all\nc=all\n[up:children]\ng\n[up:vars]\na=up\nb=up\n[g]\nx.y.z a=own\n[other]\no.y.z\n")
	require.Equal(t, map[string]string{"x.y.z": "own", "o.y.z": "all"}, inv.HostVars("a"))
	require.Equal(t, map[string]string{"x.y.z": "up", "o.y.z": "all"}, inv.HostVars("b"))
	require.Equal(t, map[string]string{"x.y.z": "all", "o.y.z": "all"}, inv.HostVars("c"))
	require.Empty(t, inv.HostVars("d"))
}

func TestResolve(t *testing.T) {
	addr := netip.MustParseAddr
	top := Topology{Nodes: []Node{
		{Name: "given.example.com", Address: addr("10.0.0.1"), AddressFrom: "ansible_host"},
		{Name: "Hosts.example.com"},
		{Name: "loop.example.com"},
		{Name: "six.example.com"},
		{Name: "none.example.com"},
		{Name: "zero.example.com"},
	}}
	hosts := map[string][]netip.Addr{
		"given.example.com": {addr("10.0.0.99")},
		"hosts.example.com": {addr("fd00::2"), addr("10.0.0.2")},
		"loop.example.com":  {addr("127.0.1.1")},
		"zero.example.com":  {addr("0.0.0.0"), addr("::1")},
	}
	got := top.Resolve(hosts, func(name string) ([]netip.Addr, error) {
		switch name {
		case "loop.example.com":
			return []netip.Addr{addr("fd00::3"), addr("::ffff:10.0.0.3")}, nil
		case "six.example.com":
			return []netip.Addr{addr("fd00::4")}, nil
		case "zero.example.com":
			return []netip.Addr{addr("127.0.1.1")}, nil
		}
		return nil, errors.New("no such host")
	})
	require.Equal(t, []Node{
		{Name: "given.example.com", Address: addr("10.0.0.1"), AddressFrom: "ansible_host"},
		{Name: "Hosts.example.com", Address: addr("10.0.0.2"), AddressFrom: "/etc/hosts"},
		{Name: "loop.example.com", Address: addr("10.0.0.3"), AddressFrom: "DNS"},
		{Name: "six.example.com", Address: addr("fd00::4"), AddressFrom: "DNS"},
		{Name: "none.example.com"},
		{Name: "zero.example.com"},
	}, got.Nodes)
	require.False(t, top.Nodes[1].Address.IsValid(), "the topology it was made of has changed")
}

func TestWithoutInventory(t *testing.T) {
	lone := ParseHosts("127.0.0.1 localhost\n127.0.1.1 core.example.com core\n0.0.0.0 ads.example.com\n8.8.8.8 dns.google.com\n10.0.0.9 a.dmz.example.com\n")
	alone := WithoutInventory("core.example.com", nil, lone)
	require.Equal(t, "no inventory: judged as a single server, with every component on this node", alone.Assumed)
	require.Len(t, alone.Nodes, 1)
	require.Len(t, alone.Nodes[0].Components, len(Components)-4)
	require.False(t, alone.Nodes[0].Has(Kafka, ZooKeeper, Replica, DBConnector))
	require.False(t, alone.Nodes[0].Address.IsValid())

	many := ParseHosts("10.0.0.1 core.example.com core\n10.0.0.1 mail.example.com\n10.0.0.2 mbox1.example.com mbox1\nfd00::2 mbox1.example.com\n10.0.0.2 alias.example.com\nproxy1.example.com 10.0.0.3\n")
	unknown := WithoutInventory("CORE.example.com", nil, many)
	require.Equal(t, []Node{
		{Name: "CORE.example.com", Address: netip.MustParseAddr("10.0.0.1"), AddressFrom: "/etc/hosts"},
		{Name: "mbox1.example.com", Address: netip.MustParseAddr("10.0.0.2"), AddressFrom: "/etc/hosts"},
	}, unknown.Nodes)
	require.Equal(t, "no inventory: the components of the nodes are unknown; give an inventory with -i", unknown.Assumed)

	installed := WithoutInventory("core.example.com", []Component{MTA}, many)
	require.Equal(t, []Component{MTA}, installed.Nodes[0].Components)
	require.Empty(t, installed.Nodes[1].Components)
	require.Contains(t, installed.Assumed, "those of its packages, those of the other nodes are unknown")
	require.Len(t, WithoutInventory("debian", nil, many).Nodes, 1)
}
