package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// judgeSelf judges where this node's own name leads.
func (v *view) judgeSelf(s checks.Sight[checks.Nothing, identity]) checks.Finding {
	i, got := s.Got()
	if !got || s.Unseen() != (checks.Unseen{}) {
		return ownAddress.Unseen(s, s.Target.Name)
	}
	name, own := s.Target.Name, v.scope.Node(s.Vantage)
	self := i.self(own.Address)
	loop := slices.IndexFunc(i.Resolved, func(a netip.Addr) bool { return a.IsLoopback() || i.holder(a).Loopback })
	var f checks.Finding
	switch {
	case len(i.Resolved) == 0:
		f = ownAddress.Fail(s, name, "%s does not resolve on the node itself: %s", name, cmp.Or(i.Unresolved, "no address")).
			Needing(checks.SelfOf(name))
	case loop >= 0:
		f = ownAddress.Fail(s, name, "%s leads to the loopback address %s, on which the mesh refuses to start", name, i.Resolved[loop]).
			Needing(checks.SelfOf(name))
	case !self.IsValid():
		f = ownAddress.Fail(s, name, "%s leads to %s, which no interface of the node holds", name, list(i.Resolved))
	case own.Address.IsValid() && i.holder(own.Address).Name == "":
		f = ownAddress.Warn(s, name, "the other nodes know %s as %s (%s), which no interface of it holds", name, own.Address, own.AddressFrom)
	case own.Address.IsValid() && self != own.Address:
		f = ownAddress.Fail(s, name, "the node takes itself for %s, while the others know it as %s (%s)", list(i.Resolved), own.Address, own.AddressFrom)
	case !self.IsPrivate():
		f = ownAddress.Warn(s, name, "%s of %s is not a private address", self, name).
			Fix("give the internal interface an address of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, and put that into the inventory and /etc/hosts")
	default:
		return ownAddress.Pass(s, name, "%s leads to %s on %s", name, self, i.holder(self).Name)
	}
	want := "the name leads to a private address of an interface of the node"
	return f.Saw(fmt.Sprintf("%s leads to %s; %s", name, cmp.Or(list(i.Resolved), "nothing"), i)).Wanted(want)
}

// self is the address by which the node finds itself on an interface of its
// own: the one the platform knows, or another; the zero value: none.
func (i identity) self(own netip.Addr) netip.Addr {
	var self netip.Addr
	for _, a := range i.Resolved {
		if i.holder(a).Name != "" && (!self.IsValid() || a == own) {
			self = a
		}
	}
	return self
}

// holder is the interface that holds the address; the zero value: none does.
func (i identity) holder(a netip.Addr) checks.Interface {
	for _, n := range i.Interfaces {
		if slices.ContainsFunc(n.Addresses, func(p netip.Prefix) bool { return p.Addr() == a }) {
			return n
		}
	}
	return checks.Interface{}
}

// String gives "eth0 10.0.0.7/24, eth1 192.0.2.7/24".
func (i identity) String() string {
	var out []string
	for _, n := range i.Interfaces {
		for _, p := range n.Addresses {
			if !n.Loopback {
				out = append(out, n.Name+" "+p.String())
			}
		}
	}
	return cmp.Or(strings.Join(out, ", "), "no interface with an address")
}

func list(addresses []netip.Addr) string {
	out := make([]string, len(addresses))
	for i, a := range addresses {
		out[i] = a.String()
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}
