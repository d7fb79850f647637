package platform

import (
	"net/netip"
	"slices"
	"strings"
)

// A Node is one machine of the platform.
type Node struct {
	Name       string      `json:"name"` // fully qualified
	Components []Component `json:"components,omitempty"`
	// Address is the node's address inside the platform; the zero value when
	// nothing names one. AddressFrom says who did: "ansible_host",
	// "/etc/hosts" or "DNS".
	Address     netip.Addr `json:"address,omitzero"`
	AddressFrom string     `json:"address_from,omitempty"`
}

// Has says whether the node holds any of the components; Every matches all nodes.
func (n Node) Has(any ...Component) bool {
	for _, c := range any {
		if c == Every || slices.Contains(n.Components, c) {
			return true
		}
	}
	return false
}

// At is the address of a port of the node; empty when no address is known.
func (n Node) At(port int) string {
	if !n.Address.IsValid() {
		return ""
	}
	return netip.AddrPortFrom(n.Address, uint16(port)).String()
}

// A Topology is the platform as far as it is known: its nodes and, where there
// is one, the inventory that named them.
type Topology struct {
	Nodes     []Node     `json:"nodes"`
	Inventory *Inventory `json:"inventory,omitempty"`
	// Assumed says why components are what they are when no inventory named
	// them; empty when one did.
	Assumed string `json:"assumed,omitempty"`
}

// Node finds a node by its name, whatever the case.
func (t Topology) Node(name string) (Node, bool) {
	for _, n := range t.Nodes {
		if strings.EqualFold(n.Name, name) {
			return n, true
		}
	}
	return Node{}, false
}

// With returns the nodes that hold any of the components, in inventory order.
func (t Topology) With(any ...Component) []Node {
	var out []Node
	for _, n := range t.Nodes {
		if n.Has(any...) {
			out = append(out, n)
		}
	}
	return out
}

// Domain returns the mail domain to look up: default_domain of the inventory
// where it is set, else the domain of the directory server (or, without one, of
// the first node), which is the one carbonio-bootstrap creates (the installer's README).
func (t Topology) Domain() string {
	if t.Inventory != nil {
		if v, ok := t.Inventory.GroupVar(Directory, "default_domain"); ok {
			return v
		}
	}
	nodes := append(t.With(Directory), t.Nodes...)
	if len(nodes) == 0 {
		return ""
	}
	_, domain, _ := strings.Cut(nodes[0].Name, ".")
	return domain
}
