package dns

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// forward judges the A record of a node on every resolver.
func (v *view) forward(n platform.Node) checks.Finding {
	if isAddress(n.Name) {
		return v.o.Skip(forwardID, n.Name, "%s is an address, not a name", n.Name)
	}
	replies := v.replies("A", n.Name)
	if len(replies) == 0 {
		return v.unanswered(forwardID, n.Name, n.Name)
	}
	right := rightAddress(n)
	var bad []reply
	phrase, same := "", true
	for _, r := range replies {
		p := r.wrong(n, right, v.o.Vantage)
		if p == "" {
			continue
		}
		same = same && (phrase == "" || phrase == p)
		phrase = cmp.Or(phrase, p)
		bad = append(bad, r)
	}
	if len(bad) == 0 {
		return v.agreed(n, right, replies)
	}
	f := v.o.Fail(forwardID, n.Name, "%s %s%s", n.Name, phrase, v.where(n, bad, len(replies), same))
	if v.hidden(n, replies, bad) {
		f = v.o.Warn(forwardID, n.Name, "%s is not in DNS: it resolves only because systemd-resolved reads /etc/hosts", n.Name)
	}
	f = f.Saw(said(replies)).Wanted(want(right)).Fix(remedy(n, right, bad[0]))
	if v.echoed(n, bad) {
		f = f.Needing(hostsSelfID, n.Name).Needing(hostsNodesID, n.Name).Fix("correct the line of " + n.Name + " in /etc/hosts, which systemd-resolved repeats")
	}
	return f
}

// rightAddress is the address that an administrator wrote down for the node;
// one that came from DNS proves nothing about DNS.
func rightAddress(n platform.Node) netip.Addr {
	if n.AddressFrom == "ansible_host" || n.AddressFrom == "/etc/hosts" {
		return n.Address
	}
	return netip.Addr{}
}

func want(right netip.Addr) string {
	if right.IsValid() {
		return right.String() + " from every resolver"
	}
	return "the same address from every resolver"
}

// wrong says what is wrong with the answer for a node; empty when it is right.
func (r reply) wrong(n platform.Node, right netip.Addr, vantage string) string {
	loopback := slices.IndexFunc(r.Values, func(s string) bool { return parse(s).IsLoopback() })
	switch {
	case r.Error == "timeout":
		return "gets no answer, though other names do"
	case r.Error != "":
		return "gets no answer: " + r.Error
	case r.Rcode == "NXDOMAIN":
		return "does not exist in DNS (NXDOMAIN)"
	case r.Rcode != "NOERROR":
		return "cannot be resolved: the resolver answers " + r.Rcode
	case len(r.Values) == 0 && len(r.Aliases) > 0:
		return "is an alias that leads to no address"
	case len(r.Values) == 0:
		return "exists in DNS, but has no A record"
	case loopback >= 0:
		return "resolves to the loopback address " + r.Values[loopback]
	case !right.IsValid() || slices.Equal(r.Values, []string{right.String()}):
		return ""
	case !slices.Contains(r.Values, right.String()):
		return "resolves to another address than the platform uses"
	case stub(r.server) && strings.EqualFold(n.Name, vantage):
		return "" // systemd-resolved gives all addresses of its own machine
	}
	return "resolves to its address and to others"
}

// where says which resolvers are wrong, when others are right or otherwise
// wrong, and who else knows the node, when none does.
func (v *view) where(n platform.Node, bad []reply, of int, same bool) string {
	var servers []string
	for _, r := range bad {
		servers = append(servers, r.server)
	}
	switch {
	case !same:
		return fmt.Sprintf(" on %s, and is wrong on %s", servers[0], strings.Join(servers[1:], ", "))
	case len(bad) < of:
		return " on " + strings.Join(servers, ", ")
	case v.inHosts(n) && missing(bad[0].answer):
		return "; only /etc/hosts knows it"
	}
	return ""
}

func (v *view) inHosts(n platform.Node) bool { return len(v.hosts[strings.ToLower(n.Name)]) > 0 }

func missing(a answer) bool { return a.useful() && len(a.Values) == 0 }

// hidden says whether all that is wrong is that DNS does not know the node, and
// systemd-resolved answers for it from /etc/hosts, so that programs, and the
// manual's dig, get the right address all the same.
func (v *view) hidden(n platform.Node, replies, bad []reply) bool {
	stubs := slices.ContainsFunc(replies, func(r reply) bool { return stub(r.server) })
	return stubs && v.inHosts(n) &&
		!slices.ContainsFunc(bad, func(r reply) bool { return stub(r.server) || !missing(r.answer) })
}

// echoed says whether all that is wrong is what systemd-resolved repeats from
// /etc/hosts.
func (v *view) echoed(n platform.Node, bad []reply) bool {
	return v.inHosts(n) && !slices.ContainsFunc(bad, func(r reply) bool {
		return !stub(r.server) || !slices.Equal(r.Values, texts(v.hosts[strings.ToLower(n.Name)]))
	})
}

// agreed is the finding for a node that no resolver is wrong about: they may
// still contradict each other where nobody wrote the right address down.
func (v *view) agreed(n platform.Node, right netip.Addr, replies []reply) checks.Finding {
	for _, r := range replies {
		if !right.IsValid() && !slices.Equal(r.Values, replies[0].Values) {
			return v.o.Fail(forwardID, n.Name, "the resolvers give different addresses for %s", n.Name).
				Saw(said(replies)).Wanted(want(right)).Fix(remedy(n, right, r))
		}
	}
	return v.o.Pass(forwardID, n.Name, "%s resolves to %s", n.Name, replies[0].text())
}

func remedy(n platform.Node, right netip.Addr, r reply) string {
	ask := fmt.Sprintf("dig A %s @%s", n.Name, r.server)
	if !r.useful() {
		return ask + "   # then see on that server who answers for the zone"
	}
	address := "ADDRESS"
	if right.IsValid() {
		address = right.String()
	}
	return fmt.Sprintf("make this the only A record of the name on the DNS server:\n%s. IN A %s\nthen: %s", n.Name, address, ask)
}

// hostsAgree compares /etc/hosts with DNS.
func (v *view) hostsAgree(n platform.Node) checks.Finding {
	hosts := texts(v.hosts[strings.ToLower(n.Name)])
	var dns []reply
	for _, r := range v.replies("A", n.Name) {
		if !stub(r.server) && len(r.Values) > 0 { // the stub answers from /etc/hosts itself
			dns = append(dns, r)
		}
	}
	switch {
	case isAddress(n.Name):
		return v.o.Skip(hostsAgreeID, n.Name, "%s is an address, not a name", n.Name)
	case v.hostsErr != "":
		return v.o.Unknown(hostsAgreeID, n.Name, "/etc/hosts could not be seen: %s", v.hostsErr)
	case len(hosts) == 0:
		return v.o.Skip(hostsAgreeID, n.Name, "%s has no IPv4 address in /etc/hosts", n.Name)
	case len(v.replies("A", n.Name)) == 0:
		return v.unanswered(hostsAgreeID, n.Name, n.Name)
	case len(dns) == 0:
		return v.o.Skip(hostsAgreeID, n.Name, "no DNS server gives an address for %s", n.Name)
	}
	for _, r := range dns {
		if !slices.Equal(r.Values, hosts) {
			return v.o.Fail(hostsAgreeID, n.Name, "/etc/hosts and DNS give different addresses for %s", n.Name).
				Saw("/etc/hosts: " + strings.Join(hosts, ", ") + "\n" + said(dns)).Wanted("one address in both")
		}
	}
	return v.o.Pass(hostsAgreeID, n.Name, "/etc/hosts and DNS both say %s", strings.Join(hosts, ", "))
}

// texts are the IPv4 addresses as answers hold them; AAAA is not asked for.
func texts(addresses []netip.Addr) []string {
	var out []string
	for _, a := range addresses {
		if a.Unmap().Is4() {
			out = append(out, a.Unmap().String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// acrossVantages finds nodes that are known under different addresses on
// different nodes, where each by itself sees nothing wrong.
func acrossVantages(t platform.Topology, views []*view) []checks.Finding {
	var out []checks.Finding
	for _, n := range t.Nodes {
		if rightAddress(n).IsValid() {
			continue
		}
		var lines []string
		distinct := map[string]bool{}
		for _, v := range views {
			replies := v.replies("A", n.Name)
			if len(replies) > 0 && v.forward(n).Status == checks.Pass {
				distinct[strings.Join(replies[0].Values, ", ")] = true
				lines = append(lines, v.o.Vantage+": "+replies[0].text())
			}
		}
		if len(distinct) > 1 {
			o := checks.Observation{At: views[0].o.At}
			out = append(out, o.Fail(forwardID, n.Name, "%s has different addresses on different nodes", n.Name).
				Saw(strings.Join(lines, "\n")).Wanted("the same address everywhere"))
		}
	}
	return out
}

// reverse judges the PTR records of the nodes, and of the public addresses that
// the domain's own mail exchangers have: those of a provider are its business.
// The PTR of a public address may be any name of the
// platform: there is one for all that stands behind the address.
func (v *view) reverse(t platform.Topology) []checks.Finding {
	exchangers := v.exchangers(t)
	ours := slices.Clone(exchangers)
	if name, problem := webmail(t); problem == "" {
		ours = append(ours, name)
	}
	for _, n := range t.Nodes {
		ours = append(ours, n.Name)
	}
	var out []checks.Finding
	for _, n := range t.Nodes {
		switch {
		case !n.Address.IsValid():
			out = append(out, v.o.Skip(reverseID, n.Name, "no address of %s is known", n.Name))
		case public(n.Address):
			out = append(out, v.ptr(n.Name, []string{n.Address.String()}, ours))
		default:
			out = append(out, v.ptr(n.Name, []string{n.Address.String()}, []string{n.Name}))
		}
	}
	for _, name := range exchangers {
		_, node := t.Node(name)
		foreign := !strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(t.Domain()))
		if addresses := v.publicAddresses(name); !node && !foreign && len(addresses) > 0 {
			out = append(out, v.ptr(name, addresses, ours))
		}
	}
	return out
}

// ptr judges the PTR records of the addresses of one name, which must be one of
// ours.
func (v *view) ptr(name string, addresses, ours []string) checks.Finding {
	for _, address := range addresses {
		replies := v.replies("PTR", address)
		if len(replies) == 0 {
			return v.unanswered(reverseID, name, "the PTR record of "+address)
		}
		for _, r := range replies {
			named := slices.ContainsFunc(r.Values, func(s string) bool {
				return slices.ContainsFunc(ours, func(own string) bool { return strings.EqualFold(s, own) })
			})
			if !named {
				return v.badPTR(name, address, r).Saw(said(replies)).Wanted(name)
			}
		}
	}
	return v.o.Pass(reverseID, name, "the PTR record of %s gives the name back", strings.Join(addresses, ", "))
}

// badPTR: for a public address it must be configured (PRE), for an internal one
// it is ours to wish for.
func (v *view) badPTR(name, address string, r reply) checks.Finding {
	ask := fmt.Sprintf("dig -x %s @%s", address, r.server)
	if !r.useful() {
		return v.o.Warn(reverseID, name, "the PTR record of %s, the address of %s, cannot be looked up: %s", address, name, r.text()).
			Fix(ask + "   # then see on that server who answers for the reverse zone")
	}
	f := v.o.Warn(reverseID, name, "the PTR record of %s, the address of %s, gives another name", address, name)
	if len(r.Values) == 0 {
		f = v.o.Warn(reverseID, name, "%s, the address of %s, has no PTR record", address, name)
		if public(parse(address)) {
			f.Status = checks.Fail
		}
	}
	return f.Fix(fmt.Sprintf("make %s the PTR record of %s, then: %s", name, address, ask))
}

// parse reads an address; the zero value is what is none.
func parse(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a.Unmap()
}
