// Package dns checks the name service: that every resolver of the node responds,
// that it knows every node of the platform, and that the mail domain can receive
// and send mail. It asks each resolver itself, all questions concurrently.
package dns

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "dns",
	Checks:   catalogue,
	Settings: []checks.AnySetting{resolverTime},
	Judge:    judge,
}

var catalogue = []*checks.Check{resolvers, forward, agreement, reverse, mx, webmail, spf, dmarc}

var (
	configuration = &checks.Look[checks.Nothing, resolvConf]{Kind: "configuration", Targets: resolvFiles, Observe: observeConfiguration}
	hosts         = &checks.Look[[]string, hostsLines]{Kind: "hosts", Targets: hostsFiles, Observe: observeHosts}
	lookups       = &checks.Look[[]question, lookup]{Kind: "resolver", Targets: servers, Observe: observeLookup}
)

var (
	answers      = []checks.AnyLook{lookups}
	answersHosts = []checks.AnyLook{lookups, hosts}
)

var resolverTime = &checks.Setting[platform.Duration]{
	Key: "policy.resolver_time", Default: platform.Duration(200 * time.Millisecond), Unit: "a duration, such as 500ms",
	Doc:     "A resolver with a longer median response time is a warning.",
	Sources: []platform.Source{platform.Policy},
	Within:  checks.Between(platform.Duration(time.Millisecond), platform.Duration(time.Minute)),
}

// exampleDomain is the mail domain in the remedies of the catalogue.
const exampleDomain = "example.com"

var resolvers = &checks.Check{
	ID:      "dns.resolvers",
	Title:   "Every configured resolver responds quickly",
	Why:     "Carbonio looks up names all the time. When the first resolver is down, every lookup waits for seconds before the next one is tried, and mail, logins and the mesh wait with it.",
	Manual:  "cat /etc/resolv.conf\nresolvectl status\ndig mbox1.example.com @10.0.0.53",
	Remedy:  "resolvectl status   # then configure resolvers that respond, with netplan or nmcli",
	Sources: []platform.Source{platform.Requirements.On("each node must resolve all others"), platform.MonitoringPage, platform.ManPages.On("resolv.conf(5)"), platform.Policy.On("the response time")},
	Looks:   []checks.AnyLook{configuration, lookups},
}

var forward = &checks.Check{
	ID:      "dns.forward",
	Title:   "Every node resolves to its address on every resolver",
	Why:     "Nodes find each other by name. Postfix and carbonio-bootstrap query DNS and ignore /etc/hosts: a name that is only in /etc/hosts works for some programs and fails for others.",
	Manual:  "dig +short video.example.com\nnslookup video.example.com",
	Remedy:  "dig +short mbox1.example.com   # after adding an A record for the node on the DNS server",
	Sources: []platform.Source{platform.Requirements.On("each node must resolve all others"), platform.ScenarioHA.On("an empty answer is a DNS resolution problem"), platform.Bootstrap.On("lookupHostName")},
	Looks:   answersHosts,
}

var agreement = &checks.Check{
	ID:      "dns.hosts-agree",
	Title:   "/etc/hosts and DNS have the same address for every node",
	Why:     "Otherwise programs that read /etc/hosts and programs that query DNS connect to different machines under the same name.",
	Manual:  "getent ahostsv4 mbox1.example.com\ndig +short mbox1.example.com",
	Remedy:  "correct the line of the node in /etc/hosts, or its A record on the DNS server",
	Sources: []platform.Source{platform.ScenarioHA, platform.Requirements},
	Needs:   []*checks.Check{forward}, Looks: answersHosts,
}

var reverse = &checks.Check{
	ID:      "dns.reverse",
	Title:   "Every address has a PTR record with its name",
	Why:     "Receivers refuse mail from a public address that has no name, and logs and services of the platform identify other nodes by their PTR records.",
	Manual:  "dig +short -x 203.0.113.124",
	Remedy:  "add a PTR record for the address; for a public one, ask the provider that assigned it",
	Sources: []platform.Source{platform.Preliminaries.On("DNS: A, MX and PTR must be configured"), platform.Policy.On("internal addresses")},
	Looks:   answers,
}

var mx = &checks.Check{
	ID:      "dns.mx",
	Title:   "The mail domain has an MX record that resolves to an address",
	Why:     "Without it nobody can send mail to the domain, and carbonio-bootstrap, run by hand, prints DNS ERROR and suspends the installation.",
	Manual:  "host -t MX example.com\nhost -t A mail.example.com",
	Remedy:  "# on the DNS server, an MX record whose target has an A record, such as: example.com. IN MX 10 mail.example.com.\nhost -t MX example.com",
	Sources: []platform.Source{platform.Preliminaries.On("DNS"), platform.Bootstrap, platform.RFC2181.On("§10.3: the target is not an alias")},
	Looks:   answers,
}

var webmail = &checks.Check{
	ID:      "dns.public",
	Title:   "The public name of the webmail resolves to a public address",
	Why:     "Users, mobile clients and certificates use this name; it is written into the configuration of the proxies.",
	Manual:  "host -t A mail.example.com",
	Remedy:  "add an A record with the public address for the webmailHostname of the inventory",
	Sources: []platform.Source{platform.Preliminaries.On("DNS: at least one public address with an A record"), platform.Installer.On("webmailHostname")},
	Looks:   answers,
}

var spf = &checks.Check{
	ID:      "dns.spf",
	Title:   "The mail domain has one valid SPF record",
	Why:     "Receivers are more likely to treat mail as forged when its domain has no SPF record, several, or an invalid one.",
	Manual:  "host -t TXT example.com",
	Remedy:  "# on the DNS server, one SPF record, such as: example.com. IN TXT \"v=spf1 mx -all\"\nhost -t TXT example.com",
	Sources: []platform.Source{platform.Preliminaries.On("DNS: recommended"), platform.RFC7208.On("§3.2, §4.5, §4.6.4")},
	Looks:   answers,
}

var dmarc = &checks.Check{
	ID:      "dns.dmarc",
	Title:   "The mail domain has one valid DMARC record",
	Why:     "Without DMARC anyone can send mail in the name of the domain, and large receivers require it from bulk senders.",
	Manual:  "dig +short TXT _dmarc.example.com",
	Remedy:  "# on the DNS server, one DMARC record, such as: _dmarc.example.com. IN TXT \"v=DMARC1; p=quarantine; rua=mailto:postmaster@example.com\"\nhost -t TXT _dmarc.example.com",
	Sources: []platform.Source{platform.Preliminaries.On("DNS: recommended"), platform.RFC7489.On("§6.3, §6.6.3")},
	Looks:   answers,
}

func resolvFiles(checks.Scope, checks.Host) ([]checks.Target[checks.Nothing], error) {
	return []checks.Target[checks.Nothing]{{Name: resolvFile}}, nil
}

func hostsFiles(scope checks.Scope, _ checks.Host) ([]checks.Target[[]string], error) {
	var names []string
	for _, n := range scope.Topology.Nodes {
		names = append(names, n.Name)
	}
	return []checks.Target[[]string]{{Name: hostsFile, Ask: names}}, nil
}

// servers are the resolvers of the machine, each of which is asked everything.
func servers(scope checks.Scope, host checks.Host) ([]checks.Target[[]question], error) {
	conf, err := readResolvConf(host)
	if err != nil {
		return nil, err
	}
	all := slices.Concat(conf.Servers, conf.Upstream)
	slices.Sort(all)
	ask := questions(scope.Topology)
	var out []checks.Target[[]question]
	for _, server := range slices.Compact(all) {
		out = append(out, checks.Target[[]question]{Name: server, Address: net.JoinHostPort(server, "53"), Ask: ask})
	}
	return out, nil
}

// questions are what every resolver is asked.
func questions(t platform.Topology) []question {
	var out []question
	for _, n := range t.Nodes {
		if !isAddress(n.Name) {
			out = append(out, question{"A", n.Name})
		}
		if n.Address.IsValid() {
			out = append(out, question{"PTR", n.Address.String()})
		}
	}
	if name, problem := webmailName(t); problem == "" {
		out = append(out, question{"A", name})
	}
	if domain, problem := mailDomain(t); problem == "" {
		out = append(out, question{"MX", domain}, question{"TXT", domain})
		for _, name := range dmarcNames(domain) {
			out = append(out, question{"TXT", name})
		}
	}
	return out
}

// webmailName is the public name of the webmail, or why it cannot be looked up.
func webmailName(t platform.Topology) (name, problem string) {
	if t.Inventory != nil {
		name, _ = t.Inventory.GroupVar(platform.Proxy, "webmailHostname")
	}
	switch {
	case name == "":
		return "", "the inventory sets no webmailHostname"
	case !platform.ValidFQDN(name): // the manual's own example is webmailPublicHostname
		return "", "the inventory's webmailHostname is not a fully qualified name: " + name
	}
	return name, ""
}

// mailDomain is the domain that receives the mail, or why it cannot be looked up.
func mailDomain(t platform.Topology) (domain, problem string) {
	domain = t.Domain()
	switch {
	case domain == "":
		return "", "no node has a fully qualified name, so there is no mail domain"
	case !platform.ValidFQDN(domain):
		return "", domain + " cannot be a mail domain"
	case slices.Contains(internal, strings.ToLower(domain[strings.LastIndex(domain, ".")+1:])):
		return "", domain + " is for internal use only: it cannot be looked up from outside"
	}
	return domain, ""
}

// internal are the top-level domains that are never in the public DNS (RFC 6761, RFC
// 6762, RFC 8375, ICANN 2024 for internal, and what ICANN will not delegate).
var internal = []string{
	"local", "localhost", "localdomain", "test", "invalid", "example", "onion", "alt",
	"internal", "intranet", "private", "corp", "home", "lan", "arpa",
}

// dmarcNames are the names that may hold the policy for a domain: its own, and
// those of the domains above it (the organisation's, RFC 7489 §6.6.3).
func dmarcNames(domain string) []string {
	var out []string
	for strings.Contains(domain, ".") {
		out = append(out, "_dmarc."+domain)
		_, domain, _ = strings.Cut(domain, ".")
	}
	return out
}

func isAddress(name string) bool { return parse(name).IsValid() }

// parse reads an address; the zero value is none.
func parse(s string) netip.Addr {
	a, _ := netip.ParseAddr(s)
	return a.Unmap()
}
