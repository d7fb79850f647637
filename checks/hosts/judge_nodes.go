package hosts

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// judgeSelf judges the line that gives the node its own name.
func (v view) judgeSelf() checks.Finding {
	name := v.Vantage
	if first, _, _ := strings.Cut(name, "."); strings.EqualFold(first, "localhost") {
		return self.Fail(v, name, "this node has no name of its own: it is called %s", name).
			Fix("hostnamectl set-hostname NAME.DOMAIN")
	}
	lines := v.lookup(name)
	if i := slices.IndexFunc(v.ownLines(), onLoopback); i >= 0 {
		l := v.ownLines()[i]
		return self.Fail(v, name, "the node's own name is on the loopback address %s: the mesh and carbonio-bootstrap refuse that", l.Address).
			Saw(shown(l)).Wanted(v.wantedLine(name)).Fix(join(v.disown(l), v.appendUnless(lines, name)))
	}
	if len(lines) == 0 {
		return v.blame(self.Fail(v, name, "the node has no line of its own").
			Wanted(v.wantedLine(name)).Fix(appendLine(v.wantedLine(name))), name)
	}
	i := slices.IndexFunc(lines, isIPv4)
	if i < 0 {
		return self.Fail(v, name, "the node's own name has no IPv4 address").
			Saw(shown(lines[0])).Wanted(v.wantedLine(name)).Needing(ipv6.On(at(lines[0])))
	}
	return v.ownLine(name, lines[i])
}

// ownLine judges the line that the node's own name is found on.
func (v view) ownLine(name string, l platform.HostsLine) checks.Finding {
	a := l.Address
	switch {
	case len(v.Addresses) > 0 && !slices.Contains(v.Addresses, a):
		return self.Fail(v, name, "%s is not an address of this node, which has %s", a, list(v.Addresses)).
			Saw(shown(l)).Wanted(v.wantedLine(name)).Fix(rewrite(l, v.wantedLine(name))).Needing(agreement.On(name))
	case !strings.EqualFold(l.Names[0], name):
		want := line(a, append([]string{name}, l.Names...)...)
		return self.Fail(v, name, "%s stands before the node's full name, and is what `hostname -f` answers", clip(l.Names[0])).
			Saw(shown(l)).Wanted(clip(want)).Fix(rewrite(l, want))
	case v.MachineUnseen != nil:
		return self.Unknown(v, name, "whether %s is an address of this node could not be seen: %s", a, v.MachineUnseen)
	case len(v.Addresses) == 0:
		return self.Unknown(v, name, "whether %s is an address of this node could not be seen: no interface is up", a)
	}
	return self.Pass(v, name, "%s is %s, an address of this node", name, a)
}

// ownLines are the lines that answer for the node's full name, or for what the
// kernel calls it: the mesh looks up the latter.
func (v view) ownLines() []platform.HostsLine {
	out := v.lookup(v.Vantage)
	if first, _, _ := strings.Cut(v.Hostname, "."); first != "" && !strings.EqualFold(first, "localhost") {
		out = append(out[:len(out):len(out)], v.lookup(v.Hostname)...)
	}
	return out
}

// wantedLine is the node's own line as it should be, as far as it is known.
func (v view) wantedLine(name string) string {
	a := internal(v.Addresses)
	if !a.IsValid() {
		a = outer(v.scope.Node(name).Address)
	}
	return line(a, name)
}

func (v view) appendUnless(lines []platform.HostsLine, name string) string {
	if slices.ContainsFunc(lines, func(l platform.HostsLine) bool { return isIPv4(l) && !onLoopback(l) }) {
		return ""
	}
	return appendLine(v.wantedLine(name))
}

// disown takes the node's own names out of a line, and leaves localhost alone.
func (v view) disown(l platform.HostsLine) string {
	short, _, _ := strings.Cut(v.Vantage, ".")
	rest := slices.DeleteFunc(slices.Clone(l.Names), func(n string) bool {
		return strings.EqualFold(n, v.Vantage) || strings.EqualFold(n, short) || strings.EqualFold(n, v.Hostname)
	})
	if len(rest) == 0 {
		return comment(l)
	}
	return rewrite(l, l.Address.String()+" "+strings.Join(rest, " "))
}

func onLoopback(l platform.HostsLine) bool { return l.Address.IsLoopback() }

func isIPv4(l platform.HostsLine) bool { return l.Address.Is4() }

// judgeNode judges what the file says of one node. own are the addresses of the
// node's interfaces, where it looked, too.
func (v view) judgeNode(n platform.Node, own []netip.Addr) checks.Finding {
	lines := v.lookup(n.Name)
	if len(lines) == 0 {
		want := line(outer(n.Address), n.Name)
		f := nodes.Fail(v, n.Name, "%s is not in %s", n.Name, hostsFile).Wanted(clip(want)).Fix(appendLine(want))
		return v.blame(f, n.Name).Needing(self.On(n.Name))
	}
	i := slices.IndexFunc(lines, isIPv4)
	if i < 0 {
		return nodes.Fail(v, n.Name, "%s has no IPv4 address in %s", n.Name, hostsFile).
			Saw(shown(lines[0])).Needing(ipv6.On(at(lines[0]))).Needing(self.On(n.Name))
	}
	return v.listed(n, lines[i], own)
}

// listed judges the line of a node. What the node's own interfaces say weighs
// more than the inventory, whose ansible_host may be for administration only.
// An address that was itself read from a file like this one confirms nothing.
func (v view) listed(n platform.Node, l platform.HostsLine, own []netip.Addr) checks.Finding {
	a := l.Address
	stated := n.AddressFrom == "ansible_host"
	switch {
	case a.IsLoopback() || a.IsUnspecified() || a.IsMulticast():
		return v.wrong(n, l, outer(n.Address), fmt.Sprintf("%s cannot be the address of %s", a, n.Name))
	case len(own) > 0 && !slices.Contains(own, a):
		return v.wrong(n, l, internal(own), fmt.Sprintf("%s is not an address of %s, which has %s", a, n.Name, list(own)))
	case len(own) > 0:
		return v.right(n, l, "is one of its addresses")
	case stated && a != n.Address:
		return v.wrong(n, l, n.Address, fmt.Sprintf("%s is %s here and %s in the inventory", n.Name, a, n.Address))
	case stated:
		return v.right(n, l, "is what the inventory says")
	}
	return v.right(n, l, "is listed")
}

func (v view) wrong(n platform.Node, l platform.HostsLine, a netip.Addr, message string) checks.Finding {
	want := line(a, n.Name)
	fix := rewrite(l, want)
	for _, name := range l.Names { // that of another machine must not move along
		if !slices.Contains(strings.Fields(want), name) {
			fix = editor(l)
		}
	}
	return nodes.Fail(v, n.Name, "%s", message).Saw(shown(l)).Wanted(clip(want)).
		Fix(fix).Needing(agreement.On(n.Name)).Needing(self.On(n.Name))
}

// right still warns of a short name, or another, before the full one. On the
// node itself that is a failure, and hosts.self says so.
func (v view) right(n platform.Node, l platform.HostsLine, why string) checks.Finding {
	if !strings.EqualFold(n.Name, v.Vantage) && !strings.EqualFold(l.Names[0], n.Name) {
		want := line(l.Address, append([]string{n.Name}, l.Names...)...)
		return nodes.Warn(v, n.Name, "%s stands before the full name %s, and is what %s is called", clip(l.Names[0]), n.Name, l.Address).
			Saw(shown(l)).Wanted(clip(want)).Fix(rewrite(l, want))
	}
	return nodes.Pass(v, n.Name, "%s %s", l.Address, why)
}

func (v view) judgeDuplicates() []checks.Finding {
	out := append(v.namesTwice(), v.addressesShared()...)
	if len(out) == 0 {
		return []checks.Finding{duplicates.Pass(v, hostsFile, "no name has two addresses, and no two nodes share one")}
	}
	return v.bounded(duplicates, out)
}

// namesTwice finds names with several IPv4 addresses: wrong for a node, and for
// any other name at least doubtful. localhost has its own check.
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
		say := duplicates.Warn
		if v.isNode(name) {
			say = duplicates.Fail
		}
		f := say(v, clip(name), "%s has %d addresses: %s", clip(name), len(addresses), list(addresses)).
			Saw(strings.Join(lines, ", ")).Wanted("one of these lines")
		if strings.EqualFold(name, v.Vantage) {
			f = f.Needing(self.On(v.Vantage))
		}
		out = append(out, f)
	}
	return out
}

// shortened says whether the name stands beside its own full form wherever it
// stands: what is wrong with the one is then said of the other.
func (v view) shortened(name string) bool {
	return !slices.ContainsFunc(v.named[name], func(l platform.HostsLine) bool {
		return !slices.ContainsFunc(l.Names, func(n string) bool { return strings.HasPrefix(strings.ToLower(n), name+".") })
	})
}

// addressesShared finds addresses that stand for two nodes, or that are called
// by another name on an earlier line than the node's.
func (v view) addressesShared() []checks.Finding {
	names := map[netip.Addr][]string{} // of nodes
	first := map[netip.Addr]platform.HostsLine{}
	last := map[netip.Addr]platform.HostsLine{}
	for _, l := range v.lines {
		if !l.Read() || !isIPv4(l) || onLoopback(l) || l.Address.IsUnspecified() {
			continue
		}
		if _, ok := first[l.Address]; !ok {
			first[l.Address] = l
		}
		for _, name := range l.Names {
			if node, ok := v.nodes[strings.ToLower(name)]; ok && !slices.Contains(names[l.Address], node) {
				names[l.Address] = append(names[l.Address], node)
				last[l.Address] = l
			}
		}
	}
	var out []checks.Finding
	for _, a := range slices.SortedFunc(maps.Keys(names), netip.Addr.Compare) {
		switch l, owners := first[a], names[a]; {
		case len(owners) > 1:
			f := duplicates.Fail(v, a.String(), "%s stands for %d nodes: %s", a, len(owners), some(owners))
			for _, n := range owners { // which of them is wrong may be known
				f = f.Needing(nodes.On(n))
			}
			out = append(out, f)
		case l.Line != last[a].Line:
			out = append(out, duplicates.Warn(v, a.String(), "%s is called %s, for that line stands before the one of %s", a, clip(l.Names[0]), owners[0]).
				Saw(at(l)+" before "+at(last[a])).Wanted(clip(line(a, append(slices.Clone(last[a].Names), l.Names...)...))))
		}
	}
	return out
}

// judgeAgreement compares what the nodes that looked hold for each node's address.
func (f fleet) judgeAgreement(t platform.Topology) []checks.Finding {
	switch len(f.views) + len(f.unseen) {
	case 0:
		return nil
	case 1:
		return []checks.Finding{agreement.Skip(checks.From(""), hostsFile, "only one node's file was seen: nothing to compare")}
	}
	var out []checks.Finding
	for _, n := range t.Nodes {
		who := map[netip.Addr][]string{}
		for _, v := range f.views {
			// A loopback address is each node's own affair: hosts.self and hosts.nodes.
			i := slices.IndexFunc(v.lookup(n.Name), func(l platform.HostsLine) bool { return isIPv4(l) && !onLoopback(l) })
			if i >= 0 {
				a := v.lookup(n.Name)[i].Address
				who[a] = append(who[a], v.Vantage)
			}
		}
		out = append(out, f.judgeAddresses(n, who))
	}
	return out
}

// judgeAddresses judges the addresses that a node has in the files of those who.
func (f fleet) judgeAddresses(n platform.Node, who map[netip.Addr][]string) checks.Finding {
	proof := checks.Together(f.views...).Platform()
	addresses := slices.SortedFunc(maps.Keys(who), netip.Addr.Compare)
	switch {
	case len(addresses) > 1:
	case len(f.unseen) > 0:
		var unseen []string
		for _, s := range f.unseen {
			unseen = append(unseen, s.Vantage)
		}
		return agreement.Unknown(proof, n.Name, "the files of %d nodes agree about %s; that of %s could not be seen", len(f.views), n.Name, some(unseen))
	case len(addresses) == 0:
		return agreement.Skip(proof, n.Name, "%s is in nobody's %s", n.Name, hostsFile)
	default:
		return agreement.Pass(proof, n.Name, "%s is %s on all nodes that list it (%d)", n.Name, addresses[0], len(who[addresses[0]]))
	}
	own := f.own[strings.ToLower(n.Name)]
	var saw, astray []string
	for _, a := range addresses {
		saw = append(saw, fmt.Sprintf("%s on %s", a, some(who[a])))
		if len(own) > 0 && !slices.Contains(own, a) {
			astray = append(astray, who[a]...)
		}
	}
	out := agreement.Fail(proof, n.Name, "the nodes disagree about the address of %s: %s", n.Name, list(addresses)).
		Saw(strings.Join(saw, "\n"))
	if len(astray) > 0 {
		out = out.Wanted(list(own)).Fix(fmt.Sprintf("correct the line of %s in %s of %s", n.Name, hostsFile, some(astray)))
	}
	return out
}
