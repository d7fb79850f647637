package dns

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
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
	faulty := map[string][]string{} // the servers with each fault
	for _, r := range replies {
		if fault := r.fault(n, right, v.Vantage); fault != "" {
			bad = append(bad, r)
			faulty[fault] = append(faulty[fault], r.server)
		}
	}
	wanted := cmp.Or(right, "the same address") + " from every resolver"
	switch other := differing(replies); {
	case len(bad) == 0 && right == "" && other > 0:
		return forward.Fail(proof, n.Name, "the resolvers return different addresses for %s", n.Name).
			Saw(list(replies)).Wanted(wanted).Fix(remedy(n, right, replies[other]))
	case len(bad) == 0:
		return forward.Pass(proof, n.Name, "%s resolves to %s", n.Name, replies[0].text())
	}
	f := forward.Fail(proof, n.Name, "%s %s", n.Name, v.faults(n, faulty, len(replies), bad[0].missing()))
	if v.hidden(n, replies, bad) {
		f = forward.Warn(proof, n.Name, "%s is not in DNS: it resolves only because systemd-resolved reads /etc/hosts", n.Name)
	}
	f = f.Saw(list(replies)).Wanted(wanted).Fix(remedy(n, right, bad[0]))
	if v.echoed(n, bad) {
		f = f.Needing(checks.SelfOf(n.Name), checks.LineOf(n.Name)).
			Fix(fmt.Sprintf("%sgrep -nw %s /etc/hosts   # correct this line: systemd-resolved answers from it", checks.On(v.Vantage), n.Name))
	}
	return f
}

// rightAddress is the address that an administrator wrote down for the node, if
// any; one that came from DNS proves nothing about DNS.
func rightAddress(n platform.Node) string {
	if n.Address.IsValid() && (n.AddressFrom == "ansible_host" || n.AddressFrom == "/etc/hosts") {
		return n.Address.String()
	}
	return ""
}

// fault says what is wrong with the reply for a node; empty when nothing is.
func (r reply) fault(n platform.Node, right, vantage string) string {
	unusable := r.unusable()
	switch {
	case r.silent():
		return "does not resolve: the query times out, although others are answered"
	case r.Rcode == "":
		return "does not resolve: " + r.text()
	case !r.useful():
		return "does not resolve: the resolver answers " + r.Rcode
	case unusable != "":
		return unusable
	case right == "" || slices.Equal(r.Values, []string{right}):
		return ""
	case !slices.Contains(r.Values, right):
		return "resolves to a different address than the platform uses"
	case stub(r.server) && strings.EqualFold(n.Name, vantage):
		return "" // systemd-resolved returns all addresses of its own machine
	}
	return "resolves to other addresses besides its own"
}

// unusable says why an answer has no address to use; empty when it has.
func (a answer) unusable() string {
	loopback := slices.IndexFunc(a.Values, func(s string) bool { return parse(s).IsLoopback() })
	switch {
	case a.Rcode == "NXDOMAIN":
		return "does not exist in DNS (NXDOMAIN)"
	case len(a.Values) == 0 && len(a.Aliases) > 0:
		return "is an alias that does not resolve to an address"
	case len(a.Values) == 0:
		return "exists in DNS, but has no A record"
	case loopback >= 0:
		return "resolves to the loopback address " + a.Values[loopback]
	}
	return ""
}

// faults says what is wrong, and on which servers unless it is on all.
func (v view) faults(n platform.Node, faulty map[string][]string, replies int, missing bool) string {
	_, inHosts := v.line(n)
	out := slices.Sorted(maps.Keys(faulty))
	for i, fault := range out {
		if on := faulty[fault]; len(on) < replies {
			out[i] += " on " + strings.Join(on, ", ")
		} else if missing && inHosts {
			out[i] += "; it is only in /etc/hosts"
		}
	}
	return strings.Join(out, "; ")
}

// line are the IPv4 addresses of the node in /etc/hosts, and whether it is there.
func (v view) line(n platform.Node) ([]string, bool) {
	seen, _ := v.hosts.Got()
	line, ok := seen[strings.ToLower(n.Name)]
	return line, ok
}

func (a answer) missing() bool { return a.useful() && len(a.Values) == 0 }

// hidden says whether DNS just does not have the node and systemd-resolved answers
// from /etc/hosts, so that programs, and the manual's dig, get the right address.
func (v view) hidden(n platform.Node, replies, bad []reply) bool {
	_, inHosts := v.line(n)
	return inHosts && slices.ContainsFunc(replies, func(r reply) bool { return stub(r.server) }) &&
		!slices.ContainsFunc(bad, func(r reply) bool { return stub(r.server) || !r.missing() })
}

// echoed says whether all that is wrong is what systemd-resolved took from
// /etc/hosts.
func (v view) echoed(n platform.Node, bad []reply) bool {
	line, inHosts := v.line(n)
	return inHosts && !slices.ContainsFunc(bad, func(r reply) bool {
		return !stub(r.server) || !slices.Equal(r.Values, line)
	})
}

func remedy(n platform.Node, right string, r reply) string {
	ask := fmt.Sprintf("dig A %s @%s", n.Name, r.server)
	switch {
	case !r.useful():
		return ask + "   # then find out which server is authoritative for the zone, and why it does not answer"
	case right == "":
		return fmt.Sprintf("# on the DNS server, keep only the right A record of %s\n%s", n.Name, ask)
	}
	return fmt.Sprintf("# on the DNS server, as the only A record of the name: %s. IN A %s\n%s", n.Name, right, ask)
}

// judgeAgreement compares /etc/hosts with DNS.
func (v view) judgeAgreement(n platform.Node) checks.Finding {
	line, _ := v.line(n)
	replies, proof := v.replies("A", n.Name)
	// the stub itself answers from /etc/hosts
	dns := cluster.Those(replies, func(r reply) bool { return !stub(r.server) && len(r.Values) > 0 })
	other := slices.IndexFunc(dns, func(r reply) bool { return !slices.Equal(r.Values, line) })
	_, got := v.hosts.Got()
	switch {
	case isAddress(n.Name):
		return agreement.Skip(proof, n.Name, "%s is an address, not a name", n.Name)
	case !got:
		return agreement.Unknown(proof, n.Name, "/etc/hosts could not be seen: %s", cmp.Or(v.hosts.Unseen().String(), "it was not looked at"))
	case len(line) == 0:
		return agreement.Skip(proof, n.Name, "%s has no IPv4 address in /etc/hosts", n.Name)
	case len(replies) == 0:
		return v.unanswered(agreement, n.Name, n.Name)
	case len(dns) == 0:
		return agreement.Skip(proof, n.Name, "no DNS server returns an address for %s", n.Name)
	}
	proof = checks.Together(proof.Part(), v.hosts.Proof()) // one answer is enough
	if other < 0 {
		return agreement.Pass(proof, n.Name, "/etc/hosts and DNS agree on %s", strings.Join(line, ", "))
	}
	return agreement.Fail(proof, n.Name, "/etc/hosts and DNS have different addresses for %s", n.Name).
		Saw("/etc/hosts: "+strings.Join(line, ", ")+"\n"+list(dns)).Wanted("the same address in both").
		Fix(fmt.Sprintf("%sgrep -nw %s /etc/hosts\ndig A %[2]s @%s   # see which of the two is wrong, and correct it", checks.On(v.Vantage), n.Name, dns[other].server)).
		Needing(checks.SelfOf(n.Name), checks.LineOf(n.Name))
}

// judgeAcross finds nodes that have different addresses on different nodes where
// each node by itself sees nothing wrong.
func judgeAcross(t platform.Topology, views []view) []checks.Finding {
	var out []checks.Finding
	for _, n := range t.Nodes {
		if rightAddress(n) != "" {
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
			out = append(out, forward.Fail(checks.Together(proofs...), n.Name, "%s resolves to different addresses on different nodes", n.Name).
				Saw(strings.Join(lines, "\n")).Wanted("the same address everywhere").
				Fix(fmt.Sprintf("# on each of these nodes\ndig A %s; cat /etc/resolv.conf   # the resolvers need the same A record", n.Name)))
		}
	}
	return out
}

// judgeReverse judges the PTR records of the nodes, and of the public addresses of
// the domain's own mail exchangers; those of a provider are its own business. The
// PTR record of a public address may be any name of the platform: several machines
// may share the address.
func (v view) judgeReverse() []checks.Finding {
	exchangers := v.exchangers()
	name, _ := webmailName(v.platform)
	ours := append(slices.Clone(exchangers), name)
	for _, n := range v.platform.Nodes {
		ours = append(ours, n.Name)
	}
	var out []checks.Finding
	for _, n := range v.platform.Nodes {
		allowed := []string{n.Name}
		if isPublic(n.Address) {
			allowed = ours
		}
		if n.Address.IsValid() {
			out = append(out, v.judgePTR(n.Name, []string{n.Address.String()}, allowed))
		} else {
			out = append(out, reverse.Skip(checks.From(v.Vantage), n.Name, "no address of %s is known", n.Name))
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

// judgePTR judges the PTR records of the addresses of one name.
func (v view) judgePTR(name string, addresses, allowed []string) checks.Finding {
	var proofs []checks.Proof
	for _, address := range addresses {
		replies, proof := v.replies("PTR", address)
		if len(replies) == 0 {
			return v.unanswered(reverse, name, "the PTR record of "+address)
		}
		for _, r := range replies {
			named := slices.ContainsFunc(r.Values, func(s string) bool {
				return slices.ContainsFunc(allowed, func(own string) bool { return strings.EqualFold(s, own) })
			})
			if !named {
				return badPTR(proof, name, address, r).Saw(list(replies)).Wanted(name)
			}
		}
		proofs = append(proofs, proof.Part()) // one answer is enough
	}
	return reverse.Pass(checks.Together(proofs...), name, "the PTR record of %s is correct", strings.Join(addresses, ", "))
}

// badPTR fails only a public address without a record: the manual requires one
// there, for internal addresses it is our wish.
func badPTR(proof checks.Proof, name, address string, r reply) checks.Finding {
	ask := fmt.Sprintf("dig -x %s @%s", address, r.server)
	say, where := reverse.Warn, "on the DNS server"
	if isPublic(parse(address)) {
		say, where = reverse.Fail, "at the provider of the address"
	}
	fix := fmt.Sprintf("# %s, set the PTR record of %s to %s\n%s", where, address, name, ask)
	switch {
	case !r.useful():
		return reverse.Warn(proof, name, "the PTR record of %s (%s) cannot be looked up: %s", address, name, r.text()).
			Fix(ask + "   # then find out which server is authoritative for the reverse zone, and why it does not answer")
	case len(r.Values) > 0:
		return reverse.Warn(proof, name, "the PTR record of %s (%s) is a different name", address, name).Fix(fix)
	}
	return say(proof, name, "%s (%s) has no PTR record", address, name).Fix(fix)
}
