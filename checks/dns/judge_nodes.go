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

// judgeForward judges the A record of a node on every resolver.
func (v view) judgeForward(n platform.Node) checks.Finding {
	replies, proof := v.replies("A", n.Name)
	switch {
	case isAddress(n.Name):
		return forward.Skip(proof, n.Name, "%s is an address, not a name", n.Name)
	case len(replies) == 0:
		return v.unanswered(forward, n.Name, n.Name)
	}
	right := rightAddress(n)
	var bad []reply
	phrase, same := "", true
	for _, r := range replies {
		p := r.wrong(n, right, v.Vantage)
		if p == "" {
			continue
		}
		same = same && (phrase == "" || phrase == p)
		phrase = cmp.Or(phrase, p)
		bad = append(bad, r)
	}
	if len(bad) == 0 {
		return agreed(proof, n, right, replies)
	}
	f := forward.Fail(proof, n.Name, "%s %s%s", n.Name, phrase, v.where(n, bad, len(replies), same))
	if v.hidden(n, replies, bad) {
		f = forward.Warn(proof, n.Name, "%s is not in DNS: it resolves only because systemd-resolved reads /etc/hosts", n.Name)
	}
	f = f.Saw(said(replies)).Wanted(want(right)).Fix(remedy(n, right, bad[0]))
	if v.echoed(n, bad) {
		f = f.Needing(checks.SelfOf(n.Name), checks.LineOf(n.Name)).Fix("correct the line of " + n.Name + " in /etc/hosts, which systemd-resolved repeats")
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
	case r.silent():
		return "gets no answer, though other names do"
	case r.Rcode == "":
		return "gets no answer: " + r.text()
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
func (v view) where(n platform.Node, bad []reply, of int, same bool) string {
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

func (v view) inHosts(n platform.Node) bool { return len(v.lines(n)) > 0 }

// lines are the addresses of the node in /etc/hosts.
func (v view) lines(n platform.Node) []netip.Addr {
	seen, _ := v.hosts.Got()
	return seen.Nodes[strings.ToLower(n.Name)]
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

func missing(a answer) bool { return a.useful() && len(a.Values) == 0 }

// hidden says whether all that is wrong is that DNS does not know the node, and
// systemd-resolved answers for it from /etc/hosts, so that programs, and the
// manual's dig, get the right address all the same.
func (v view) hidden(n platform.Node, replies, bad []reply) bool {
	stubs := slices.ContainsFunc(replies, func(r reply) bool { return stub(r.server) })
	return stubs && v.inHosts(n) &&
		!slices.ContainsFunc(bad, func(r reply) bool { return stub(r.server) || !missing(r.answer) })
}

// echoed says whether all that is wrong is what systemd-resolved repeats from
// /etc/hosts.
func (v view) echoed(n platform.Node, bad []reply) bool {
	return v.inHosts(n) && !slices.ContainsFunc(bad, func(r reply) bool {
		return !stub(r.server) || !slices.Equal(r.Values, texts(v.lines(n)))
	})
}

// agreed is the finding for a node that no resolver is wrong about: they may
// still contradict each other where nobody wrote the right address down.
func agreed(proof checks.Proof, n platform.Node, right netip.Addr, replies []reply) checks.Finding {
	for _, r := range replies {
		if !right.IsValid() && !slices.Equal(r.Values, replies[0].Values) {
			return forward.Fail(proof, n.Name, "the resolvers give different addresses for %s", n.Name).
				Saw(said(replies)).Wanted(want(right)).Fix(remedy(n, right, r))
		}
	}
	return forward.Pass(proof, n.Name, "%s resolves to %s", n.Name, replies[0].text())
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

// judgeAgreement compares /etc/hosts with DNS.
func (v view) judgeAgreement(n platform.Node) checks.Finding {
	hosts := texts(v.lines(n))
	replies, proof := v.replies("A", n.Name)
	var dns []reply
	for _, r := range replies {
		if !stub(r.server) && len(r.Values) > 0 { // the stub answers from /etc/hosts itself
			dns = append(dns, r)
		}
	}
	_, got := v.hosts.Got()
	switch {
	case isAddress(n.Name):
		return agreement.Skip(proof, n.Name, "%s is an address, not a name", n.Name)
	case !got:
		return agreement.Unknown(proof, n.Name, "/etc/hosts could not be seen: %s", cmp.Or(v.hosts.Unseen().String(), "it was not looked at"))
	case len(hosts) == 0:
		return agreement.Skip(proof, n.Name, "%s has no IPv4 address in /etc/hosts", n.Name)
	case len(replies) == 0:
		return v.unanswered(agreement, n.Name, n.Name)
	case len(dns) == 0:
		return agreement.Skip(proof, n.Name, "no DNS server gives an address for %s", n.Name)
	}
	proof = checks.Together(proof.Part(), v.hosts.Proof()) // one answer is enough
	for _, r := range dns {
		if !slices.Equal(r.Values, hosts) {
			return agreement.Fail(proof, n.Name, "/etc/hosts and DNS give different addresses for %s", n.Name).
				Saw("/etc/hosts: "+strings.Join(hosts, ", ")+"\n"+said(dns)).Wanted("one address in both").
				Needing(checks.SelfOf(n.Name), checks.LineOf(n.Name))
		}
	}
	return agreement.Pass(proof, n.Name, "/etc/hosts and DNS both say %s", strings.Join(hosts, ", "))
}

// judgeAcross finds nodes that are known under different addresses on different
// nodes, where each by itself sees nothing wrong.
func judgeAcross(t platform.Topology, views []view) []checks.Finding {
	var out []checks.Finding
	for _, n := range t.Nodes {
		if rightAddress(n).IsValid() {
			continue
		}
		var lines []string
		var proofs []checks.Proof
		distinct := map[string]bool{}
		for _, v := range views {
			replies, proof := v.replies("A", n.Name)
			if len(replies) > 0 && v.judgeForward(n).Status == checks.Pass {
				distinct[strings.Join(replies[0].Values, ", ")] = true
				lines = append(lines, v.Vantage+": "+replies[0].text())
				proofs = append(proofs, proof)
			}
		}
		if len(distinct) > 1 {
			out = append(out, forward.Fail(checks.Together(proofs...), n.Name, "%s has different addresses on different nodes", n.Name).
				Saw(strings.Join(lines, "\n")).Wanted("the same address everywhere"))
		}
	}
	return out
}

// judgeReverse judges the PTR records of the nodes, and of the public addresses
// that the domain's own mail exchangers have: those of a provider are its
// business. The PTR of a public address may be any name of the platform: there
// is one for all that stands behind the address.
func (v view) judgeReverse() []checks.Finding {
	exchangers := v.exchangers()
	ours := slices.Clone(exchangers)
	if name, problem := webmailName(v.platform); problem == "" {
		ours = append(ours, name)
	}
	for _, n := range v.platform.Nodes {
		ours = append(ours, n.Name)
	}
	var out []checks.Finding
	for _, n := range v.platform.Nodes {
		switch {
		case !n.Address.IsValid():
			out = append(out, reverse.Skip(checks.From(v.Vantage), n.Name, "no address of %s is known", n.Name))
		case isPublic(n.Address):
			out = append(out, v.judgePTR(n.Name, []string{n.Address.String()}, ours))
		default:
			out = append(out, v.judgePTR(n.Name, []string{n.Address.String()}, []string{n.Name}))
		}
	}
	for _, name := range exchangers {
		_, node := v.platform.Node(name)
		foreign := !strings.HasSuffix(strings.ToLower(name), "."+strings.ToLower(v.platform.Domain()))
		if addresses := v.publicAddresses(name); !node && !foreign && len(addresses) > 0 {
			out = append(out, v.judgePTR(name, addresses, ours))
		}
	}
	return out
}

// judgePTR judges the PTR records of the addresses of one name, which must be one
// of ours.
func (v view) judgePTR(name string, addresses, ours []string) checks.Finding {
	var proofs []checks.Proof
	for _, address := range addresses {
		replies, proof := v.replies("PTR", address)
		if len(replies) == 0 {
			return v.unanswered(reverse, name, "the PTR record of "+address)
		}
		for _, r := range replies {
			named := slices.ContainsFunc(r.Values, func(s string) bool {
				return slices.ContainsFunc(ours, func(own string) bool { return strings.EqualFold(s, own) })
			})
			if !named {
				return badPTR(proof, name, address, r).Saw(said(replies)).Wanted(name)
			}
		}
		proofs = append(proofs, proof.Part()) // one answer is enough
	}
	return reverse.Pass(checks.Together(proofs...), name, "the PTR record of %s gives the name back", strings.Join(addresses, ", "))
}

// badPTR: the manual demands that of a public address, that of an internal one
// is ours to wish for.
func badPTR(proof checks.Proof, name, address string, r reply) checks.Finding {
	ask := fmt.Sprintf("dig -x %s @%s", address, r.server)
	if !r.useful() {
		return reverse.Warn(proof, name, "the PTR record of %s, the address of %s, cannot be looked up: %s", address, name, r.text()).
			Fix(ask + "   # then see on that server who answers for the reverse zone")
	}
	f := reverse.Warn(proof, name, "the PTR record of %s, the address of %s, gives another name", address, name)
	if len(r.Values) == 0 {
		say := reverse.Warn
		if isPublic(parse(address)) {
			say = reverse.Fail
		}
		f = say(proof, name, "%s, the address of %s, has no PTR record", address, name)
	}
	return f.Fix(fmt.Sprintf("make %s the PTR record of %s, then: %s", name, address, ask))
}

// parse reads an address; the zero value is what is none.
func parse(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a.Unmap()
}
