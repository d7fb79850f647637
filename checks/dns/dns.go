// Package dns checks the name service: that every resolver of the node answers,
// that it knows every node of the platform, and that the mail domain can get
// and send mail. It asks each resolver itself, all questions side by side.
package dns

import (
	"net"
	"net/netip"
	"slices"
	"strings"

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
	hosts         = &checks.Look[names, hostsLines]{Kind: "hosts", Targets: hostsFiles, Observe: observeHosts}
	lookups       = &checks.Look[[]question, lookup]{Kind: "resolver", Targets: servers, Observe: observeLookup}
)

var (
	answers      = []checks.AnyLook{lookups}
	answersHosts = []checks.AnyLook{lookups, hosts}
)

var resolvers = &checks.Check{
	ID:     "dns.resolvers",
	Title:  "Every configured resolver answers, and fast",
	Why:    "Carbonio looks names up all the time. With a dead first resolver every look-up waits seconds before the next one is asked, and mail, login and mesh wait with it.",
	Manual: "cat /etc/resolv.conf\nresolvectl status\ndig mbox1.example.com @10.0.0.53",
	Remedy: "put resolvers that answer into the network configuration (netplan or nmcli), then: resolvectl status",
	Sources: []platform.Source{
		platform.Requirements.On("each node must resolve all others"), platform.MonitoringPage,
		platform.ManPages.On("resolv.conf(5)"), platform.Policy.On("the answer time"),
	},
	Looks: []checks.AnyLook{configuration, lookups},
}

var forward = &checks.Check{
	ID:     "dns.forward",
	Title:  "Every node resolves to its address on every resolver",
	Why:    "Nodes find each other by name. Postfix and carbonio-bootstrap ask DNS and do not look into /etc/hosts: a name that only /etc/hosts knows works for some programs and fails for others.",
	Manual: "dig +short video.example.com\nnslookup video.example.com",
	Remedy: "add an A record for the node on the DNS server, then: dig +short NODE",
	Sources: []platform.Source{
		platform.Requirements.On("each node must be able to resolve all others"),
		platform.ScenarioHA.On("an empty answer is a DNS resolution problem"), platform.Bootstrap.On("lookupHostName"),
	},
	Looks: answersHosts,
}

var agreement = &checks.Check{
	ID:      "dns.hosts-agree",
	Title:   "/etc/hosts and DNS give the same address for every node",
	Why:     "Programs that read /etc/hosts and programs that ask DNS would talk to different machines under one name.",
	Manual:  "getent ahostsv4 mbox1.example.com\ndig +short mbox1.example.com",
	Remedy:  "correct the line of the node in /etc/hosts, or its A record on the DNS server",
	Sources: []platform.Source{platform.ScenarioHA, platform.Requirements},
	Looks:   answersHosts,
	Needs:   []*checks.Check{forward},
}

var reverse = &checks.Check{
	ID:      "dns.reverse",
	Title:   "Every address has a PTR record that gives its name back",
	Why:     "Receivers refuse mail from a public address without a name, and logs and services of the platform name the other nodes by their PTR.",
	Manual:  "dig +short -x 203.0.113.124",
	Remedy:  "add a PTR record for the address; for a public one ask who gave you the address (the provider)",
	Sources: []platform.Source{platform.Preliminaries.On("DNS: A, MX and PTR must be configured"), platform.Policy.On("internal addresses")},
	Looks:   answers,
}

var mx = &checks.Check{
	ID:      "dns.mx",
	Title:   "The mail domain has an MX record that leads to an address",
	Why:     "Without it nobody can send mail to the domain, and carbonio-bootstrap prints DNS ERROR and suspends the installation when run by hand.",
	Manual:  "host -t MX example.com\nhost -t A mail.example.com",
	Remedy:  "add an MX record for the mail domain whose target has an A record, then: host -t MX DOMAIN",
	Sources: []platform.Source{platform.Preliminaries.On("DNS"), platform.Bootstrap, platform.RFC2181.On("§10.3: the target is no alias")},
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
	Title:   "The mail domain has one well-formed SPF record",
	Why:     "Receivers judge mail of a domain without SPF, or with two records or a wrong one, as forged more easily.",
	Manual:  "host -t TXT example.com",
	Remedy:  `add one TXT record for the mail domain, such as "v=spf1 mx -all"`,
	Sources: []platform.Source{platform.Preliminaries.On("DNS: recommended"), platform.RFC7208.On("§3.2, §4.5, §4.6.4")},
	Looks:   answers,
}

var dmarc = &checks.Check{
	ID:      "dns.dmarc",
	Title:   "The mail domain has one well-formed DMARC record",
	Why:     "Without DMARC anybody can send mail in the name of the domain, and large receivers want it from whoever sends much.",
	Manual:  "dig +short TXT _dmarc.example.com",
	Remedy:  `add one TXT record for _dmarc.DOMAIN, such as "v=DMARC1; p=quarantine; rua=mailto:postmaster@DOMAIN"`,
	Sources: []platform.Source{platform.Preliminaries.On("DNS: recommended"), platform.RFC7489.On("§6.3, §6.6.3")},
	Looks:   answers,
}

func resolvFiles(checks.Scope, checks.Host) ([]checks.Target[checks.Nothing], error) {
	return []checks.Target[checks.Nothing]{{Name: resolvFile}}, nil
}

func hostsFiles(scope checks.Scope, _ checks.Host) ([]checks.Target[names], error) {
	var nodes names
	for _, n := range scope.Topology.Nodes {
		nodes.Names = append(nodes.Names, n.Name)
	}
	return []checks.Target[names]{{Name: hostsFile, Ask: nodes}}, nil
}

// servers are those that the machine asks, each of which is asked everything.
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

// webmailName is the public name of the webmail, or why there is none to look up.
func webmailName(t platform.Topology) (name, problem string) {
	if t.Inventory != nil {
		name, _ = t.Inventory.GroupVar(platform.Proxy, "webmailHostname")
	}
	switch {
	case name == "":
		return "", "the inventory sets no webmailHostname"
	case !platform.ValidFQDN(name): // the manual's own example is webmailPublicHostname
		return "", "the inventory's webmailHostname is not a full host name: " + name
	}
	return name, ""
}

// mailDomain is the domain that gets the mail, or why there is none to look up.
func mailDomain(t platform.Topology) (domain, problem string) {
	domain = t.Domain()
	switch {
	case domain == "":
		return "", "no node has a full name, so there is no mail domain"
	case !platform.ValidFQDN(domain):
		return "", domain + " is not a domain that gets mail"
	case internal(domain):
		return "", domain + " is a name for internal use only: nothing outside can look it up"
	}
	return domain, ""
}

// internal says whether a domain can never stand in the public DNS (RFC 6761,
// RFC 6762, RFC 8375, ICANN 2024 for internal, and what ICANN will not delegate).
func internal(domain string) bool {
	switch strings.ToLower(domain[strings.LastIndex(domain, ".")+1:]) {
	case "local", "localhost", "localdomain", "test", "invalid", "example", "onion", "alt",
		"internal", "intranet", "private", "corp", "home", "lan", "arpa":
		return true
	}
	return false
}

// dmarcNames are the names under which the policy for a domain may stand: its
// own, and those of the domains above it (the organisation's, RFC 7489 §6.6.3).
func dmarcNames(domain string) []string {
	var out []string
	for strings.Contains(domain, ".") {
		out = append(out, "_dmarc."+domain)
		_, domain, _ = strings.Cut(domain, ".")
	}
	return out
}

func isAddress(name string) bool {
	_, err := netip.ParseAddr(name)
	return err == nil
}
