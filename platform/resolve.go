package platform

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
)

// Topology is the platform that the inventory describes: its hosts in the order
// of the file, each with the components of the groups that hold it.
func (inv *Inventory) Topology() Topology {
	t := Topology{Nodes: []Node{}, Inventory: inv}
	index := map[string]int{}
	for _, h := range inv.hosts() {
		key := strings.ToLower(h.Name)
		i, ok := index[key]
		if !ok {
			i = len(t.Nodes)
			index[key] = i
			t.Nodes = append(t.Nodes, Node{Name: h.Name})
		}
		t.Nodes[i].named(h)
	}
	for _, c := range Components {
		for _, h := range inv.Members(string(c.Component)) {
			n := &t.Nodes[index[strings.ToLower(h.Name)]]
			if !n.Has(c.Component) {
				n.Components = append(n.Components, c.Component)
			}
		}
	}
	return t
}

// hosts are the host lines of all groups, in the order of the file.
func (inv *Inventory) hosts() []Host {
	var all []Host
	for _, g := range inv.Groups {
		all = append(all, g.Hosts...)
	}
	slices.SortStableFunc(all, func(a, b Host) int { return a.Line - b.Line })
	return all
}

// named takes the address that an inventory line gives the node; a node may be
// named by its address.
func (n *Node) named(h Host) {
	given, ok := h.Var("ansible_host")
	if a, err := netip.ParseAddr(given); ok && err == nil {
		n.Address, n.AddressFrom = a, "ansible_host"
		return
	}
	if a, err := netip.ParseAddr(h.Name); err == nil && !n.Address.IsValid() {
		n.Address, n.AddressFrom = a, "inventory"
	}
}

// lookups is how many names are asked for at once: a resolver that answers
// needs milliseconds, one that does not must not be waited for node by node.
const lookups = 32

// Resolve fills in the addresses that nothing named yet: from /etc/hosts, as
// HostsMap gives it, else from what lookup finds. A node stays without one when
// neither knows it.
func (t Topology) Resolve(hosts map[string][]netip.Addr, lookup func(name string) ([]netip.Addr, error)) Topology {
	t.Nodes = slices.Clone(t.Nodes)
	var wg sync.WaitGroup
	slots := make(chan struct{}, lookups)
	for i := range t.Nodes {
		n := &t.Nodes[i]
		if n.Address.IsValid() {
			continue
		}
		if a, ok := preferred(hosts[strings.ToLower(n.Name)]); ok {
			n.Address, n.AddressFrom = a, "/etc/hosts"
			continue
		}
		if lookup == nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			found, err := lookup(n.Name)
			if a, ok := preferred(found); ok && err == nil {
				n.Address, n.AddressFrom = a, "DNS"
			}
		})
	}
	wg.Wait()
	return t
}

// preferred is the first address that can be a node's, an IPv4 one if there is
// any: Carbonio speaks IPv4 between its nodes (Requirements, 26.6). A loopback address is
// the trap of 127.0.1.1, not where the node is.
func preferred(addresses []netip.Addr) (netip.Addr, bool) {
	var best netip.Addr
	for _, a := range addresses {
		a = a.Unmap()
		switch {
		case !a.IsValid() || a.IsLoopback() || a.IsUnspecified() || a.IsMulticast():
		case a.Is4():
			return a, true
		case !best.IsValid():
			best = a
		}
	}
	return best, best.IsValid()
}

// WithoutInventory is the platform as far as a node knows it by itself: the
// node, and those of its own domain in /etc/hosts. Their components are those
// of the installed packages; without any, a node alone is judged as a single
// server.
func WithoutInventory(self string, installed []Component, hosts []HostsLine) Topology {
	t := Topology{Nodes: neighbours(self, hosts)}
	me := &t.Nodes[0]
	switch alone := len(t.Nodes) == 1; {
	case len(installed) > 0:
		me.Components = slices.Clone(installed)
		t.Assumed = "no inventory: the components of this node are those of its packages"
		if !alone {
			t.Assumed += ", those of the other nodes are unknown; give an inventory with -i"
		}
	case alone:
		me.Components = singleServer()
		t.Assumed = "no inventory: judged as a single server, with every component on this node"
	default:
		t.Assumed = "no inventory: the components of the nodes are unknown; give an inventory with -i"
	}
	return t
}

// singleServer is every component that a platform of one node holds.
func singleServer() []Component {
	var out []Component
	for _, c := range Components {
		switch c.Component {
		case Kafka, ZooKeeper, Replica, DBConnector:
		default:
			out = append(out, c.Component)
		}
	}
	return out
}

// neighbours are the node itself and the nodes of its domain in /etc/hosts, in
// the order of that file. A further name of the same address is an alias.
func neighbours(self string, hosts []HostsLine) []Node {
	addresses := HostsMap(hosts)
	nodes := []Node{{Name: self}}
	taken := map[netip.Addr]bool{}
	if a, ok := preferred(addresses[strings.ToLower(self)]); ok {
		nodes[0].Address, nodes[0].AddressFrom = a, "/etc/hosts"
		taken[a] = true
	}
	_, domain, qualified := strings.Cut(strings.ToLower(self), ".")
	if !qualified {
		return nodes
	}
	for _, l := range hosts {
		i := slices.IndexFunc(l.Names, func(name string) bool {
			_, d, _ := strings.Cut(strings.ToLower(name), ".")
			return d == domain && ValidFQDN(name)
		})
		if i < 0 || !l.Read() || strings.EqualFold(l.Names[i], self) {
			continue
		}
		a, ok := preferred(addresses[strings.ToLower(l.Names[i])])
		if ok && !taken[a] {
			taken[a] = true
			nodes = append(nodes, Node{Name: l.Names[i], Address: a, AddressFrom: "/etc/hosts"})
		}
	}
	return nodes
}
