package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// maxSPFLookups is how many look-ups a receiver makes for an SPF record before
// it takes the record for broken (RFC 7208 §4.6.4).
const maxSPFLookups = 10

// domain judges the records of the mail domain and of the webmail's name.
func (v *view) domain(t platform.Topology) []checks.Finding {
	out := []checks.Finding{v.public(t)}
	domain, problem := mailDomain(t)
	if problem != "" {
		for _, id := range []string{mxID, spfID, dmarcID} {
			out = append(out, v.o.Skip(id, "mail domain", "%s", problem).
				Fix("set default_domain in [masterDirectoryServers:vars] of the inventory"))
		}
		return out
	}
	return append(out, v.mx(domain), v.spf(domain), v.dmarc(domain))
}

// settled is what the resolvers say to a question of the mail domain; without
// an answer, or with several, it is a finding instead.
func (v *view) settled(check, target, recordType, name string) (answer, *checks.Finding) {
	all := v.replies(recordType, name)
	useful := slices.DeleteFunc(slices.Clone(all), func(r reply) bool { return !r.useful() })
	if len(useful) == 0 {
		f := v.unanswered(check, target, "the "+recordType+" record of "+name)
		if len(all) > 0 {
			f = f.Saw(said(all))
		}
		return answer{}, &f
	}
	for _, r := range useful {
		if !slices.Equal(r.Values, useful[0].Values) {
			f := v.o.Warn(check, target, "the resolvers do not agree on the %s record of %s", recordType, name).
				Saw(said(useful)).Wanted("the same answer from every resolver")
			return answer{}, &f
		}
	}
	return useful[0].answer, nil
}

func (v *view) mx(domain string) checks.Finding {
	a, f := v.settled(mxID, domain, "MX", domain)
	switch {
	case f != nil:
		return *f
	case a.Rcode == "NXDOMAIN":
		return v.o.Fail(mxID, domain, "the mail domain %s does not exist in DNS (NXDOMAIN)", domain).Wanted("an MX record")
	case len(a.Values) == 0:
		return v.o.Fail(mxID, domain, "%s has no MX record", domain).Saw(a.text()).Wanted("an MX record")
	}
	var ways []string
	var worst *checks.Finding
	for _, value := range a.Values[:min(maxFollow, len(a.Values))] {
		_, exchanger, _ := strings.Cut(value, " ")
		f := v.exchanger(domain, exchanger)
		if f.Status == checks.Pass {
			ways = append(ways, f.Message)
		} else if worst == nil || grade(f) > grade(*worst) {
			worst = &f
		}
	}
	if worst != nil {
		return worst.With("MX", strings.Join(a.Values, ", "))
	}
	return v.o.Pass(mxID, domain, "mail for %s goes to %s", domain, strings.Join(ways, ", ")).Saw(strings.Join(a.Values, ", "))
}

// grade orders findings by how much they hurt.
func grade(f checks.Finding) int {
	return slices.Index([]checks.Status{checks.Pass, checks.Warn, checks.Unknown, checks.Fail}, f.Status)
}

// exchanger judges one target of the MX records. A private address is no
// mistake to be seen from here: inside, bootstrap wants the exchanger to be a
// node of the platform (BOOT), and outside another view may answer.
func (v *view) exchanger(domain, name string) checks.Finding {
	switch {
	case name == ".":
		return v.o.Fail(mxID, domain, "the MX record of %s says that it takes no mail (RFC 7505)", domain)
	case isAddress(name):
		return v.o.Fail(mxID, domain, "the MX record of %s names the address %s, and must name a host", domain, name)
	}
	a, f := v.settled(mxID, domain, "A", name)
	switch {
	case f != nil:
		return *f
	case len(a.Values) == 0:
		return v.o.Fail(mxID, domain, "the mail exchanger %s of %s has no A record", name, domain).
			Saw(name + ": " + a.text()).Wanted("an A record")
	case slices.ContainsFunc(a.Values, func(s string) bool { return parse(s).IsLoopback() }):
		return v.o.Fail(mxID, domain, "the mail exchanger %s of %s resolves to a loopback address", name, domain).Saw(name + ": " + a.text())
	case len(a.Aliases) > 0:
		return v.o.Warn(mxID, domain, "the mail exchanger %s of %s is an alias, which some mail servers refuse", name, domain).
			Saw(name + ": " + a.text()).Wanted("an A record of its own")
	case !slices.ContainsFunc(a.Values, func(s string) bool { return public(parse(s)) }):
		return v.o.Pass(mxID, domain, "%s (%s, as seen from inside)", name, a.text())
	}
	return v.o.Pass(mxID, domain, "%s (%s)", name, a.text())
}

// exchangers are the hosts that the MX records name, sorted.
func (v *view) exchangers(t platform.Topology) []string {
	domain, problem := mailDomain(t)
	if problem != "" {
		return nil
	}
	var out []string
	for _, r := range v.replies("MX", domain) {
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
func (v *view) publicAddresses(name string) []string {
	var out []string
	for _, r := range v.replies("A", name) {
		if len(r.Aliases) > 0 {
			continue
		}
		for _, value := range r.Values[:min(maxFollow, len(r.Values))] {
			if public(parse(value)) {
				out = append(out, value)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (v *view) public(t platform.Topology) checks.Finding {
	name, problem := webmail(t)
	if problem != "" {
		return v.o.Skip(publicID, "webmailHostname", "%s", problem)
	}
	a, f := v.settled(publicID, name, "A", name)
	switch {
	case f != nil:
		return *f
	case len(a.Values) == 0:
		return v.o.Fail(publicID, name, "%s has no A record", name).Saw(a.text()).Wanted("a public address")
	case slices.ContainsFunc(a.Values, func(s string) bool { return parse(s).IsLoopback() }):
		return v.o.Fail(publicID, name, "%s resolves to a loopback address", name).Saw(a.text()).Wanted("a public address")
	case slices.ContainsFunc(a.Values, func(s string) bool { return !public(parse(s)) }):
		return v.o.Warn(publicID, name, "seen from here %s resolves to an address that is not public", name).
			Saw(a.text()).Wanted("a public address").
			Fix("dig +short " + name + " @1.1.1.1   # is well when this gives a public address: then your own DNS has another view inside")
	}
	return v.o.Pass(publicID, name, "%s resolves to %s", name, a.text())
}

// shared is the address space of carrier-grade NAT (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// public says whether an address may be reached from the Internet.
func public(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

func (v *view) spf(domain string) checks.Finding {
	a, f := v.settled(spfID, domain, "TXT", domain)
	if f != nil {
		return *f
	}
	records := beginning(a.Values, "v=spf1", " ")
	switch len(records) {
	case 0:
		return v.o.Warn(spfID, domain, "%s has no SPF record", domain).Wanted("v=spf1 …")
	case 1:
		if problem := spfProblem(records[0]); problem != "" {
			return v.o.Warn(spfID, domain, "the SPF record of %s %s", domain, problem).Saw(records[0])
		}
		return v.o.Pass(spfID, domain, "%s has an SPF record", domain).Saw(records[0])
	}
	return v.o.Warn(spfID, domain, "%s has %d SPF records: receivers then use none", domain, len(records)).
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

// dmarc takes the policy of the domain itself or, without one, of the nearest
// domain above it.
func (v *view) dmarc(domain string) checks.Finding {
	for i, name := range dmarcNames(domain) {
		a, f := v.settled(dmarcID, domain, "TXT", name)
		if f != nil && i == 0 {
			return *f
		}
		records := beginning(a.Values, "v=DMARC1", "; ")
		switch {
		case len(records) > 1:
			return v.o.Warn(dmarcID, domain, "%s has %d DMARC records: receivers then use none", name, len(records)).
				Saw(strings.Join(records, "\n")).Wanted("one record")
		case len(records) == 1:
			if problem := dmarcProblem(records[0]); problem != "" {
				return v.o.Warn(dmarcID, domain, "the DMARC record %s %s", name, problem).Saw(records[0])
			}
			return v.o.Pass(dmarcID, domain, "%s has a DMARC record", name).Saw(records[0])
		}
	}
	return v.o.Warn(dmarcID, domain, "%s has no DMARC record", domain).Wanted("v=DMARC1; p=… in a TXT record of _dmarc." + domain)
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
