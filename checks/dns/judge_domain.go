package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// maxSPFLookups is how many look-ups a receiver makes for an SPF record before
// it takes the record for broken (RFC 7208 §4.6.4).
const maxSPFLookups = 10

// judgeMailDomain judges the records of the mail domain.
func (v view) judgeMailDomain() []checks.Finding {
	domain, problem := mailDomain(v.platform)
	if problem == "" {
		return []checks.Finding{v.judgeMX(domain), v.judgeSPF(domain), v.judgeDMARC(domain)}
	}
	var out []checks.Finding
	for _, c := range []*checks.Check{mx, spf, dmarc} {
		out = append(out, c.Skip(checks.From(v.Vantage), "mail domain", "%s", problem).
			Fix("set default_domain in [masterDirectoryServers:vars] of the inventory"))
	}
	return out
}

// settled is what the resolvers say to a question of the mail domain; without
// an answer, or with several, it is a finding instead.
func (v view) settled(c *checks.Check, target, recordType, name string) (answer, checks.Proof, *checks.Finding) {
	all, proof := v.replies(recordType, name)
	proof = proof.Part() // one answer is enough
	useful := slices.DeleteFunc(slices.Clone(all), func(r reply) bool { return !r.useful() })
	if len(useful) == 0 {
		f := v.unanswered(c, target, "the "+recordType+" record of "+name)
		if len(all) > 0 {
			f = f.Saw(said(all))
		}
		return answer{}, proof, &f
	}
	for _, r := range useful {
		if !slices.Equal(r.Values, useful[0].Values) {
			f := c.Warn(proof, target, "the resolvers do not agree on the %s record of %s", recordType, name).
				Saw(said(useful)).Wanted("the same answer from every resolver")
			return answer{}, proof, &f
		}
	}
	return useful[0].answer, proof, nil
}

func (v view) judgeMX(domain string) checks.Finding {
	a, proof, f := v.settled(mx, domain, "MX", domain)
	switch {
	case f != nil:
		return *f
	case a.Rcode == "NXDOMAIN":
		return mx.Fail(proof, domain, "the mail domain %s does not exist in DNS (NXDOMAIN)", domain).Wanted("an MX record")
	case len(a.Values) == 0:
		return mx.Fail(proof, domain, "%s has no MX record", domain).Saw(a.text()).Wanted("an MX record")
	}
	var ways []string
	var worst *checks.Finding
	for _, value := range a.Values[:min(maxFollow, len(a.Values))] {
		_, exchanger, _ := strings.Cut(value, " ")
		f := v.judgeExchanger(domain, exchanger)
		if f.Status == checks.Pass {
			ways = append(ways, f.Message)
		} else if worst == nil || grade(f) > grade(*worst) {
			worst = &f
		}
	}
	if worst != nil {
		return worst.With("MX", strings.Join(a.Values, ", "))
	}
	return mx.Pass(proof, domain, "mail for %s goes to %s", domain, strings.Join(ways, ", ")).Saw(strings.Join(a.Values, ", "))
}

// grade orders findings by how much they hurt.
func grade(f checks.Finding) int {
	return slices.Index([]checks.Status{checks.Pass, checks.Warn, checks.Unknown, checks.Fail}, f.Status)
}

// judgeExchanger judges one target of the MX records. A private address is no
// mistake to be seen from here: inside, bootstrap wants the exchanger to be a
// node of the platform, and outside another view may answer.
func (v view) judgeExchanger(domain, name string) checks.Finding {
	a, proof, f := v.settled(mx, domain, "A", name)
	switch {
	case name == ".":
		return mx.Fail(proof, domain, "the MX record of %s says that it takes no mail (RFC 7505)", domain)
	case isAddress(name):
		return mx.Fail(proof, domain, "the MX record of %s names the address %s, and must name a host", domain, name)
	case f != nil:
		return *f
	case len(a.Values) == 0:
		return mx.Fail(proof, domain, "the mail exchanger %s of %s has no A record", name, domain).
			Saw(name + ": " + a.text()).Wanted("an A record")
	case a.count(netip.Addr.IsLoopback) > 0:
		return mx.Fail(proof, domain, "the mail exchanger %s of %s resolves to a loopback address", name, domain).Saw(name + ": " + a.text())
	case len(a.Aliases) > 0:
		return mx.Warn(proof, domain, "the mail exchanger %s of %s is an alias, which some mail servers refuse", name, domain).
			Saw(name + ": " + a.text()).Wanted("an A record of its own")
	case a.count(isPublic) == 0:
		return mx.Pass(proof, domain, "%s (%s, as seen from inside)", name, a.text())
	}
	return mx.Pass(proof, domain, "%s (%s)", name, a.text())
}

// exchangers are the hosts that the MX records name, sorted.
func (v view) exchangers() []string {
	domain, problem := mailDomain(v.platform)
	if problem != "" {
		return nil
	}
	var out []string
	replies, _ := v.replies("MX", domain)
	for _, r := range replies {
		for _, value := range r.Values[:min(maxFollow, len(r.Values))] {
			_, name, _ := strings.Cut(value, " ")
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// publicAddresses are those of a name whose PTR was asked for. An alias has the
// addresses of another name.
func (v view) publicAddresses(name string) []string {
	var out []string
	replies, _ := v.replies("A", name)
	for _, r := range replies {
		if len(r.Aliases) > 0 {
			continue
		}
		for _, value := range r.Values[:min(maxFollow, len(r.Values))] {
			if isPublic(parse(value)) {
				out = append(out, value)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// judgeWebmail judges the address of the webmail's name.
func (v view) judgeWebmail() checks.Finding {
	name, problem := webmailName(v.platform)
	if problem != "" {
		return webmail.Skip(checks.From(v.Vantage), "webmailHostname", "%s", problem)
	}
	a, proof, f := v.settled(webmail, name, "A", name)
	switch {
	case f != nil:
		return *f
	case len(a.Values) == 0:
		return webmail.Fail(proof, name, "%s has no A record", name).Saw(a.text()).Wanted("a public address")
	case a.count(netip.Addr.IsLoopback) > 0:
		return webmail.Fail(proof, name, "%s resolves to a loopback address", name).Saw(a.text()).Wanted("a public address")
	case a.count(isPublic) < len(a.Values):
		return webmail.Warn(proof, name, "seen from here %s resolves to an address that is not public", name).
			Saw(a.text()).Wanted("a public address").
			Fix("dig +short " + name + " @1.1.1.1   # is well when this gives a public address: then your own DNS has another view inside")
	}
	return webmail.Pass(proof, name, "%s resolves to %s", name, a.text())
}

// shared is the address space of carrier-grade NAT (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// count is how many of the addresses are such.
func (a answer) count(such func(netip.Addr) bool) int {
	n := 0
	for _, value := range a.Values {
		if such(parse(value)) {
			n++
		}
	}
	return n
}

// isPublic says whether an address may be reached from the Internet.
func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

func (v view) judgeSPF(domain string) checks.Finding {
	a, proof, f := v.settled(spf, domain, "TXT", domain)
	if f != nil {
		return *f
	}
	records := beginning(a.Values, "v=spf1", " ")
	switch len(records) {
	case 0:
		if a.More > 0 {
			return spf.Unknown(proof, domain, "%s has %d TXT records more than were looked at", domain, a.More)
		}
		return spf.Warn(proof, domain, "%s has no SPF record", domain).Wanted("v=spf1 …")
	case 1:
		if problem := spfProblem(records[0]); problem != "" {
			return spf.Warn(proof, domain, "the SPF record of %s %s", domain, problem).Saw(records[0])
		}
		return spf.Pass(proof, domain, "%s has an SPF record", domain).Saw(records[0])
	}
	return spf.Warn(proof, domain, "%s has %d SPF records: receivers then use none", domain, len(records)).
		Saw(strings.Join(records, "\n")).Wanted("one record")
}

// beginning are the texts that are a version tag, or begin with it.
func beginning(texts []string, version, separators string) []string {
	var out []string
	for _, text := range texts {
		if len(text) < len(version) || !strings.EqualFold(text[:len(version)], version) {
			continue
		}
		if rest := text[len(version):]; rest == "" || strings.ContainsRune(separators, rune(rest[0])) {
			out = append(out, text)
		}
	}
	return out
}

// spfProblem says what is wrong with an SPF record; empty when it may be right.
func spfProblem(record string) string {
	lookups := 0
	for _, term := range strings.Fields(record)[1:] {
		body := strings.TrimLeft(term, "+-~?")
		end := strings.IndexAny(body+":", ":=/")
		name, value := strings.ToLower(body[:end]), body[end:]
		wrong := len(term)-len(body) > 1
		switch name {
		case "all":
			if strings.EqualFold(term, "all") || strings.EqualFold(term, "+all") {
				return "lets everybody send mail for the domain: " + term
			}
			wrong = wrong || value != ""
		case "ip4", "ip6":
			wrong = wrong || !isRange(strings.TrimPrefix(value, ":"), name == "ip4")
		case "include", "exists", "redirect":
			lookups++
			wrong = wrong || len(value) < 2 || (value[0] == '=') != (name == "redirect")
		case "a", "mx", "ptr":
			lookups++
		default: // unknown modifiers are legal, unknown mechanisms are not
			wrong = !strings.HasPrefix(value, "=") || name == ""
		}
		if wrong {
			return "has a term that no receiver understands: " + term
		}
	}
	if lookups > maxSPFLookups {
		return fmt.Sprintf("needs %d look-ups, and receivers stop at %d", lookups, maxSPFLookups)
	}
	return ""
}

// isRange says whether s is an address or a prefix of the family.
func isRange(s string, v4 bool) bool {
	address, err := netip.ParseAddr(s)
	if err != nil {
		prefix, err := netip.ParsePrefix(s)
		return err == nil && prefix.Addr().Is4() == v4
	}
	return address.Is4() == v4
}

// judgeDMARC takes the policy of the domain itself or, without one, of the nearest
// domain above it.
func (v view) judgeDMARC(domain string) checks.Finding {
	for _, name := range dmarcNames(domain) {
		a, proof, f := v.settled(dmarc, domain, "TXT", name)
		if f != nil {
			return *f
		}
		records := beginning(a.Values, "v=DMARC1", "; ")
		switch {
		case len(records) > 1:
			return dmarc.Warn(proof, domain, "%s has %d DMARC records: receivers then use none", name, len(records)).
				Saw(strings.Join(records, "\n")).Wanted("one record")
		case len(records) == 1:
			if problem := dmarcProblem(records[0]); problem != "" {
				return dmarc.Warn(proof, domain, "the DMARC record %s %s", name, problem).Saw(records[0])
			}
			return dmarc.Pass(proof, domain, "%s has a DMARC record", name).Saw(records[0])
		}
	}
	return dmarc.Warn(checks.Together(v.Members...), domain, "%s has no DMARC record", domain).Wanted("v=DMARC1; p=… in a TXT record of _dmarc." + domain)
}

// dmarcProblem says what is wrong with a DMARC record; empty when it may be right.
func dmarcProblem(record string) string {
	policy := ""
	for _, tag := range strings.Split(record, ";") {
		key, value, ok := strings.Cut(tag, "=")
		switch key = strings.ToLower(strings.TrimSpace(key)); {
		case key == "" && !ok: // after the last semicolon
		case !ok:
			return "has something that is no tag: " + strings.TrimSpace(tag)
		case key == "p":
			policy = strings.TrimSpace(value)
		}
	}
	if !slices.Contains([]string{"none", "quarantine", "reject"}, strings.ToLower(policy)) {
		return `has no policy: p= must be none, quarantine or reject`
	}
	return ""
}
