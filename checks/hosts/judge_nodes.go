package hosts

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// judgeSelf judges the line that gives the node its own name.
func (v view) judgeSelf() checks.Finding {
	name := v.Vantage
	want := line(cmp.Or(internal(v.Addresses), outer(v.scope.Node(name).Address)), name)
	lines := v.lookup(name)
	v4, loopback := cluster.Those(lines, isIPv4), cluster.Those(v.ownLines(), onLoopback)
	switch {
	case strings.EqualFold(short(name), "localhost"):
		return self.Fail(v, name, "this node has no proper host name: it is called %s", name).
			Fix("hostnamectl set-hostname NAME.DOMAIN")
	case len(loopback) > 0:
		fix := v.disown(loopback[0])
		if add := appendLine(want); add != "" && !slices.ContainsFunc(v4, func(l platform.HostsLine) bool { return !onLoopback(l) }) {
			fix += "\n" + add
		}
		return self.Fail(v, name, "the node's own name has the loopback address %s, which the mesh and carbonio-bootstrap refuse", loopback[0].Address).
			Saw(shown(loopback[0])).Wanted(want).Fix(fix)
	case len(lines) == 0:
		return v.blame(self.Fail(v, name, "the node's own name is not in %s", hostsFile).Wanted(want).Fix(appendLine(want)), name)
	case len(v4) == 0:
		return self.Fail(v, name, "the node's own name has no IPv4 address").
			Saw(shown(lines[0])).Wanted(want).Needing(ipv6.On(at(lines[0])))
	}
	return v.judgeOwnLine(v4[0], want)
}

// judgeOwnLine judges the line on which the node's own name is found.
func (v view) judgeOwnLine(l platform.HostsLine, want string) checks.Finding {
	name, a := v.Vantage, l.Address
	switch {
	case len(v.Addresses) > 0 && !slices.Contains(v.Addresses, a):
		return self.Fail(v, name, "%s is not an address of this node, which has %s", a, some(v.Addresses)).
			Saw(shown(l)).Wanted(want).Fix(rewrite(l, want)).Needing(agreement.On(name))
	case !strings.EqualFold(l.Names[0], name):
		want = line(a, append([]string{name}, l.Names...)...)
		return self.Fail(v, name, "%s comes before the node's full name, so `hostname -f` returns it", clip(l.Names[0])).
			Saw(shown(l)).Wanted(clip(want)).Fix(rewrite(l, want))
	case v.MachineUnseen.Code != "" || len(v.Addresses) == 0:
		return self.Unknown(v, name, "whether the line of %s is correct could not be seen: %s", name, cmp.Or(v.MachineUnseen.String(), "no interface is up"))
	}
	return self.Pass(v, name, "%s is %s, an address of this node", name, a)
}

// ownLines are the lines found for the node's full name, and for its host name in
// the kernel, which the mesh looks up.
func (v view) ownLines() []platform.HostsLine {
	out := v.lookup(v.Vantage)
	if first := short(v.Hostname); first != "" && !strings.EqualFold(first, "localhost") {
		out = append(slices.Clip(out), v.lookup(v.Hostname)...)
	}
	return out
}

// disown takes the node's own names out of a line, and leaves localhost alone.
func (v view) disown(l platform.HostsLine) string {
	rest := cluster.Those(l.Names, func(n string) bool {
		return !strings.EqualFold(n, v.Vantage) && !strings.EqualFold(n, short(v.Vantage)) && !strings.EqualFold(n, v.Hostname)
	})
	if len(rest) == 0 {
		return comment(l)
	}
	return rewrite(l, l.Address.String()+" "+strings.Join(rest, " "))
}

// judgeNode judges what the file says of one node. own are the addresses of the
// node's interfaces, if it looked too.
func (v view) judgeNode(n platform.Node, own []netip.Addr) checks.Finding {
	lines := v.lookup(n.Name)
	v4 := cluster.Those(lines, isIPv4)
	switch {
	case len(lines) == 0:
		want := line(outer(n.Address), n.Name)
		f := nodes.Fail(v, n.Name, "%s is not in %s", n.Name, hostsFile).Wanted(clip(want)).Fix(appendLine(want))
		return v.blame(f, n.Name).Needing(self.On(n.Name))
	case len(v4) == 0:
		return nodes.Fail(v, n.Name, "%s has no IPv4 address in %s", n.Name, hostsFile).
			Saw(shown(lines[0])).Needing(ipv6.On(at(lines[0])), self.On(n.Name))
	}
	return v.judgeLine(n, v4[0], own)
}

// judgeLine judges the line of a node. The node's own interfaces weigh more than
// the inventory, whose ansible_host may be for administration only. An address that
// was itself read from a file like this one confirms nothing.
func (v view) judgeLine(n platform.Node, l platform.HostsLine, own []netip.Addr) checks.Finding {
	a := l.Address
	stated := n.AddressFrom == "ansible_host"
	switch {
	case a.IsLoopback() || a.IsUnspecified() || a.IsMulticast():
		return v.wrong(n, l, outer(n.Address), fmt.Sprintf("%s cannot be the address of %s", a, n.Name))
	case len(own) > 0 && !slices.Contains(own, a):
		return v.wrong(n, l, internal(own), fmt.Sprintf("%s is not an address of %s, which has %s", a, n.Name, some(own)))
	case len(own) == 0 && stated && a != n.Address:
		return v.wrong(n, l, n.Address, fmt.Sprintf("%s is %s here and %s in the inventory", n.Name, a, n.Address))
	case !strings.EqualFold(n.Name, v.Vantage) && !strings.EqualFold(l.Names[0], n.Name): // of itself it is hosts.self that says so
		want := line(a, append([]string{n.Name}, l.Names...)...)
		return nodes.Warn(v, n.Name, "%s comes before the full name %s on the line of %s", clip(l.Names[0]), n.Name, a).
			Saw(shown(l)).Wanted(clip(want)).Fix(rewrite(l, want))
	case len(own) > 0:
		return nodes.Pass(v, n.Name, "%s is one of its addresses", a)
	case stated:
		return nodes.Pass(v, n.Name, "%s is its address in the inventory", a)
	}
	return nodes.Pass(v, n.Name, "%s is listed", a)
}

// wrong fails the line of a node that should have another address.
func (v view) wrong(n platform.Node, l platform.HostsLine, a netip.Addr, message string) checks.Finding {
	want := line(a, n.Name)
	fix := rewrite(l, want)
	for _, name := range l.Names { // that of another machine must not get the new address
		if !slices.Contains(strings.Fields(want), name) {
			fix = edit(l)
		}
	}
	return nodes.Fail(v, n.Name, "%s", message).Saw(shown(l)).Wanted(clip(want)).
		Fix(fix).Needing(agreement.On(n.Name), self.On(n.Name))
}

func (v view) judgeDuplicates() []checks.Finding {
	return v.orPass(duplicates, append(v.namesTwice(), v.addressesShared()...), "no name has two addresses, and no two nodes share one")
}

// namesTwice finds names with several IPv4 addresses: wrong for a node, and for any
// other name at least doubtful. localhost has its own check.
func (v view) namesTwice() []checks.Finding {
	var out []checks.Finding
	for _, name := range slices.Sorted(maps.Keys(v.named)) {
		var addresses []netip.Addr
		var lines []string
		for _, l := range v.named[name] {
			if isIPv4(l) && !slices.Contains(addresses, l.Address) {
				addresses = append(addresses, l.Address)
				lines = append(lines, at(l))
			}
		}
		if len(addresses) < 2 || name == "localhost" || v.shortened(name) {
			continue
		}
		f := say(duplicates, v.isNode(name))(v, clip(name), "%s has %d addresses: %s", clip(name), len(addresses), some(addresses)).
			Saw(strings.Join(lines, ", ")).Wanted("only one of these lines")
		if strings.EqualFold(name, v.Vantage) {
			f = f.Needing(self.On(v.Vantage))
		}
		out = append(out, f)
	}
	return out
}

// shortened says whether each line with the name has its full form too: what is
// wrong with it is then said of that.
func (v view) shortened(name string) bool {
	return !slices.ContainsFunc(v.named[name], func(l platform.HostsLine) bool {
		return !slices.ContainsFunc(l.Names, func(n string) bool { return strings.HasPrefix(strings.ToLower(n), name+".") })
	})
}

// addressesShared finds addresses that two nodes have, or that an earlier line than
// the node's gives another name.
func (v view) addressesShared() []checks.Finding {
	owners := map[netip.Addr][]string{} // the nodes with the address
	first, last := map[netip.Addr]platform.HostsLine{}, map[netip.Addr]platform.HostsLine{}
	for _, l := range v.lines {
		if !l.Read() || !isIPv4(l) || onLoopback(l) || l.Address.IsUnspecified() {
			continue
		}
		if _, ok := first[l.Address]; !ok {
			first[l.Address] = l
		}
		for _, name := range l.Names {
			if node, ok := v.nodes[strings.ToLower(name)]; ok && !slices.Contains(owners[l.Address], node) {
				owners[l.Address], last[l.Address] = append(owners[l.Address], node), l
			}
		}
	}
	var out []checks.Finding
	for _, a := range slices.SortedFunc(maps.Keys(owners), netip.Addr.Compare) {
		switch l, own := first[a], last[a]; {
		case len(owners[a]) > 1:
			f := duplicates.Fail(v, a.String(), "%s is the address of %d nodes: %s", a, len(owners[a]), some(owners[a]))
			for _, n := range owners[a] { // which of them is wrong may be known
				f = f.Needing(nodes.On(n))
			}
			out = append(out, f)
		case l.Line != own.Line:
			out = append(out, duplicates.Warn(v, a.String(), "%s resolves to %s: its line comes before the line of %s", a, clip(l.Names[0]), owners[a][0]).
				Saw(at(l)+" before "+at(own)).Wanted(clip(line(a, slices.Concat(own.Names, l.Names)...))))
		}
	}
	return out
}

// judgeAgreement compares the address of each node in the files of all.
func (f fleet) judgeAgreement(t platform.Topology) []checks.Finding {
	switch len(f.views) + len(f.unseen) {
	case 0:
		return nil
	case 1:
		return []checks.Finding{agreement.Skip(checks.From(""), hostsFile, "only one node's file was seen: nothing to compare")}
	}
	var out []checks.Finding
	for _, n := range t.Nodes {
		on := map[netip.Addr][]string{} // the nodes with each address
		for _, v := range f.views {
			// A loopback address is each node's own affair: hosts.self and hosts.nodes.
			outside := func(l platform.HostsLine) bool { return isIPv4(l) && !onLoopback(l) }
			if lines := cluster.Those(v.lookup(n.Name), outside); len(lines) > 0 {
				on[lines[0].Address] = append(on[lines[0].Address], v.Vantage)
			}
		}
		out = append(out, f.judgeAddresses(n, on))
	}
	return out
}

// judgeAddresses judges the addresses that a node has on others.
func (f fleet) judgeAddresses(n platform.Node, on map[netip.Addr][]string) checks.Finding {
	proof := checks.Together(f.views...).Platform()
	addresses := slices.SortedFunc(maps.Keys(on), netip.Addr.Compare)
	var saw []string
	own, fixOn := f.own[strings.ToLower(n.Name)], ""
	for _, a := range addresses {
		saw = append(saw, fmt.Sprintf("%s on %s", a, some(on[a])))
		for _, node := range on[a][:min(len(on[a]), few)] {
			if len(own) > 0 && !slices.Contains(own, a) {
				fixOn += checks.On(node)
			}
		}
	}
	switch {
	case len(addresses) > 1:
		out := agreement.Fail(proof, n.Name, "the nodes disagree about the address of %s: %s", n.Name, some(addresses)).
			Saw(strings.Join(saw, "\n"))
		if fixOn != "" {
			out = out.Wanted(some(own)).
				Fix(fmt.Sprintf("%sgrep -nw %s %s   # correct this line: the node has %s", fixOn, n.Name, hostsFile, some(own)))
		}
		return out
	case len(f.unseen) > 0:
		return agreement.Unknown(proof, n.Name, "the files that were seen agree about %s, but the file of %s could not be seen", n.Name, some(f.unseen))
	case len(addresses) == 0:
		return agreement.Skip(proof, n.Name, "no node has %s in its %s", n.Name, hostsFile)
	}
	return agreement.Pass(proof, n.Name, "%s is %s on every node that lists it (%d)", n.Name, addresses[0], len(on[addresses[0]]))
}
