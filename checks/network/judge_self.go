package network

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// judgeSelf judges what this node's own name resolves to.
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
			Needing(checks.SelfOf(name)).Fix(i.line(own))
	case loop >= 0:
		f = ownAddress.Fail(s, name, "%s resolves to the loopback address %s, on which the mesh refuses to start", name, i.Resolved[loop]).
			Needing(checks.SelfOf(name)).Fix(i.line(own))
	case !self.IsValid():
		f = ownAddress.Fail(s, name, "%s resolves to %s, which is on no interface of the node", name, list(i.Resolved)).Fix(i.line(own))
	case own.Address.IsValid() && i.holder(own.Address).Name == "":
		f = ownAddress.Warn(s, name, "the other nodes know %s as %s (%s), which is on none of its interfaces", name, own.Address, own.AddressFrom)
	case own.Address.IsValid() && self != own.Address:
		f = ownAddress.Fail(s, name, "the name resolves to %s on the node itself, while the others know it as %s (%s)", list(i.Resolved), own.Address, own.AddressFrom).Fix(i.line(own))
	case !self.IsPrivate():
		f = ownAddress.Warn(s, name, "the address %s of %s is not private", self, name).
			Fix(fmt.Sprintf("# on %s: the internal interface needs an address of 10.0.0.0/8, 172.16.0.0/12 or 192.168.0.0/16, also in the inventory and in /etc/hosts\nip -br addr", name))
	default:
		return ownAddress.Pass(s, name, "%s resolves to %s on %s", name, self, i.holder(self).Name)
	}
	want := "the name resolves to a private address on an interface of the node"
	return f.Saw(fmt.Sprintf("%s resolves to %s; %s", name, cmp.Or(list(i.Resolved), "nothing"), i)).Wanted(want)
}

// line is what /etc/hosts has to say of the node; empty, and the catalogue speaks,
// where none of its interfaces holds the address that the others know.
func (i identity) line(own platform.Node) string {
	if i.holder(own.Address).Name == "" {
		return ""
	}
	short, _, _ := strings.Cut(own.Name, ".")
	return fmt.Sprintf("# on %s, in /etc/hosts: this line, and its name in no other\n%[2]s %[1]s %[3]s", own.Name, own.Address, short)
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
