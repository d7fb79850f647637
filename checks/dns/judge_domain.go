package dns

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// maxSPFLookups is how many lookups a receiver makes for an SPF record before it
// rejects the record (RFC 7208 §4.6.4).
const maxSPFLookups = 10

// judgeMailDomain judges the records of the mail domain.
func (v view) judgeMailDomain() []checks.Finding {
	var out []checks.Finding
	domain, problem := mailDomain(v.platform)
	if problem != "" {
		for _, c := range []*checks.Check{mx, spf, dmarc} {
			out = append(out, c.Skip(checks.From(v.Vantage), "mail domain", "%s", problem).
				Fix("set default_domain in [masterDirectoryServers:vars] of the inventory"))
		}
		return out
	}
	for _, f := range []checks.Finding{
		v.judgeMX(domain),
		v.judgeRecord(spfRecord, domain, "v=spf1 …", domain),
		v.judgeRecord(dmarcRecord, domain, "v=DMARC1; p=… in a TXT record of _dmarc."+domain, dmarcNames(domain)...),
	} {
		if f.Status == checks.Fail || f.Status == checks.Warn {
			f = f.Fix(strings.ReplaceAll(f.Check.Remedy, exampleDomain, domain))
		}
		out = append(out, f)
	}
	return out
}

// settled is the resolvers' answer to a question about the mail domain; when there
// is none, or several, it is a finding instead.
func (v view) settled(c *checks.Check, target, recordType, name string) (answer, checks.Proof, *checks.Finding) {
	all, proof := v.replies(recordType, name)
	proof = proof.Part() // one answer is enough
	useful := cluster.Those(all, reply.useful)
	if len(useful) == 0 {
		f := v.unanswered(c, target, "the "+recordType+" record of "+name)
		if len(all) > 0 {
			f = f.Saw(list(all))
		}
		return answer{}, proof, &f
	}
	first := useful[0].answer
	switch {
	case first.More > 0:
		f := c.Unknown(proof, target, "%s has %d more %s records than were read", name, first.More, recordType)
		return answer{}, proof, &f
	case differing(useful) > 0:
		f := c.Warn(proof, target, "the resolvers disagree about the %s record of %s", recordType, name).
			Saw(list(useful)).Wanted("the same answer from every resolver")
		return answer{}, proof, &f
	}
	return first, proof, nil
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
	all := strings.Join(a.Values, ", ")
	var worst checks.Finding
	var messages []string
	for _, value := range a.first() {
		_, exchanger, _ := strings.Cut(value, " ")
		f := v.judgeExchanger(domain, exchanger)
		messages = append(messages, f.Message)
		if grade(f) > grade(worst) {
			worst = f
		}
	}
	if worst.Status != checks.Pass {
		return worst.With("MX", all)
	}
	return mx.Pass(proof, domain, "mail for %s goes to %s", domain, strings.Join(messages, ", ")).Saw(all)
}

// grade orders findings by how serious they are.
func grade(f checks.Finding) int {
	return slices.Index([]checks.Status{checks.Pass, checks.Warn, checks.Unknown, checks.Fail}, f.Status)
}

// judgeExchanger judges one target of the MX records. A private address is no
// mistake when seen from here: inside, carbonio-bootstrap wants the exchanger to be
// a node of the platform, and outside another view may answer.
func (v view) judgeExchanger(domain, name string) checks.Finding {
	a, proof, f := v.settled(mx, domain, "A", name)
	saw := name + ": " + a.text()
	switch {
	case name == ".":
		return mx.Fail(proof, domain, "the MX record of %s declares that it accepts no mail (RFC 7505)", domain)
	case isAddress(name):
		return mx.Fail(proof, domain, "the MX record of %s is the address %s, but must be a host name", domain, name)
	case f != nil:
		return *f
	case a.unusable() != "":
		return mx.Fail(proof, domain, "the mail exchanger %s of %s %s", name, domain, a.unusable()).Saw(saw).Wanted("an A record")
	case len(a.Aliases) > 0:
		return mx.Warn(proof, domain, "the mail exchanger %s of %s is an alias, which some mail servers refuse", name, domain).
			Saw(saw).Wanted("an A record of its own")
	case !slices.ContainsFunc(a.Values, public):
		return mx.Pass(proof, domain, "%s (%s, seen from inside)", name, a.text())
	}
	return mx.Pass(proof, domain, "%s (%s)", name, a.text())
}

// exchangers are the hosts in the MX records, sorted.
func (v view) exchangers() []string {
	domain, _ := mailDomain(v.platform)
	replies, _ := v.replies("MX", domain)
	var out []string
	for _, r := range replies {
		for _, value := range r.first() {
			_, name, _ := strings.Cut(value, " ")
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// publicAddresses are those of a name; their PTR records were asked for. An alias has
// the addresses of another name.
func (v view) publicAddresses(name string) []string {
	replies, _ := v.replies("A", name)
	var out []string
	for _, r := range replies {
		if len(r.Aliases) == 0 {
			out = append(out, cluster.Those(r.first(), public)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// judgeWebmail judges the address of the webmail's public name.
func (v view) judgeWebmail() checks.Finding {
	name, problem := webmailName(v.platform)
	if problem != "" {
		return webmail.Skip(checks.From(v.Vantage), "webmailHostname", "%s", problem)
	}
	const wanted = "a public address"
	a, proof, f := v.settled(webmail, name, "A", name)
	switch {
	case f != nil:
		return *f
	case a.unusable() != "":
		return webmail.Fail(proof, name, "%s %s", name, a.unusable()).Saw(a.text()).Wanted(wanted)
	case len(cluster.Those(a.Values, public)) < len(a.Values):
		return webmail.Warn(proof, name, "from this node, %s resolves to an address that is not public", name).Saw(a.text()).Wanted(wanted).
			Fix("dig +short " + name + " @1.1.1.1   # if this returns a public address, all is well: internal DNS serves its own addresses")
	}
	return webmail.Pass(proof, name, "%s resolves to %s", name, a.text())
}

// shared is the address space of carrier-grade NAT (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

// isPublic says whether an address can be reached from the Internet.
func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !shared.Contains(a)
}

func public(address string) bool { return isPublic(parse(address)) }

// A record is a kind of TXT record of the mail domain; only one of it may exist.
type record struct {
	*checks.Check
	kind    string
	version *regexp.Regexp           // what it begins with
	problem func(text string) string // what is wrong with it; empty when nothing is
}

var (
	spfRecord   = record{spf, "SPF", regexp.MustCompile(`(?i)^v=spf1( |$)`), spfProblem}
	dmarcRecord = record{dmarc, "DMARC", regexp.MustCompile(`(?i)^v=DMARC1([; ]|$)`), dmarcProblem}
)

// judgeRecord judges the records of a kind: those of the first of the names that has
// any. The policy of DMARC may be that of a domain above.
func (v view) judgeRecord(r record, domain, wanted string, names ...string) checks.Finding {
	for _, name := range names {
		a, proof, f := v.settled(r.Check, domain, "TXT", name)
		if f != nil {
			return *f
		}
		records := cluster.Those(a.Values, r.version.MatchString)
		if len(records) == 0 {
			continue
		}
		saw := strings.Join(records, "\n")
		if len(records) > 1 {
			return r.Warn(proof, domain, "%s has %d %s records: receivers then ignore them all", name, len(records), r.kind).Saw(saw).Wanted("one record")
		}
		if p := r.problem(records[0]); p != "" {
			return r.Warn(proof, domain, "the %s record of %s %s", r.kind, name, p).Saw(saw)
		}
		return r.Pass(proof, domain, "%s has one %s record", name, r.kind).Saw(saw)
	}
	return r.Warn(checks.Together(v.Members...), domain, "%s has no %s record", domain, r.kind).Wanted(wanted)
}

// spfProblem says what is wrong with an SPF record; empty when nothing is.
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
				return "allows anyone to send mail for the domain: " + term
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
			return "has an invalid term: " + term
		}
	}
	if lookups > maxSPFLookups {
		return fmt.Sprintf("needs %d lookups, and receivers stop at %d", lookups, maxSPFLookups)
	}
	return ""
}

// isRange says whether s is an address or a prefix of the family.
func isRange(s string, v4 bool) bool {
	if !strings.Contains(s, "/") {
		s += "/0"
	}
	prefix, err := netip.ParsePrefix(s)
	return err == nil && prefix.Addr().Is4() == v4
}

// dmarcProblem says what is wrong with a DMARC record; empty when nothing is.
func dmarcProblem(record string) string {
	policy := ""
	for tag := range strings.SplitSeq(record, ";") {
		key, value, ok := strings.Cut(tag, "=")
		switch key = strings.ToLower(strings.TrimSpace(key)); {
		case key == "" && !ok: // after the last semicolon
		case !ok:
			return "has an invalid tag: " + strings.TrimSpace(tag)
		case key == "p":
			policy = strings.ToLower(strings.TrimSpace(value))
		}
	}
	if !slices.Contains([]string{"none", "quarantine", "reject"}, policy) {
		return `has no valid policy: p= must be none, quarantine or reject`
	}
	return ""
}
