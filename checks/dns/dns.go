// Package dns checks the name service: that every resolver of the node answers,
// that it knows every node of the platform, and that the mail domain can get
// and send mail. It asks each resolver itself, all questions side by side.
//
// It has more files than other subjects: client.go is the protocol client and
// the only one that knows the DNS library; judge.go judges the resolvers,
// nodes.go the records of the nodes, domain.go those of the mail domain.
package dns

import (
	"net"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject dns.
type Module struct{}

// Name is dns.
func (Module) Name() string { return "dns" }

const (
	resolversID  = "dns.resolvers"
	forwardID    = "dns.forward"
	hostsAgreeID = "dns.hosts-agree"
	reverseID    = "dns.reverse"
	mxID         = "dns.mx"
	publicID     = "dns.public"
	spfID        = "dns.spf"
	dmarcID      = "dns.dmarc"
)

// Checks of the subject hosts, whose failures show in DNS too.
const (
	hostsSelfID  = "hosts.self"
	hostsNodesID = "hosts.nodes"
)

const (
	configurationKind = "configuration" // /etc/resolv.conf
	hostsKind         = "hosts"         // /etc/hosts
	resolverKind      = "resolver"      // one server, and all that it is asked
)

// Checks is the catalogue of the subject.
func (Module) Checks() []checks.Check {
	return []checks.Check{
		{
			ID:     resolversID,
			Title:  "Every configured resolver answers, and fast",
			Why:    "Carbonio looks names up all the time. With a dead first resolver every look-up waits seconds before the next one is asked, and mail, login and mesh wait with it.",
			Manual: "cat /etc/resolv.conf\nresolvectl status\ndig mbox1.example.com @10.0.0.53",
			Remedy: "put resolvers that answer into the network configuration (netplan or nmcli), then: resolvectl status",
			Source: "REQ26: each node must resolve all others; MON; resolv.conf(5); the answer time is policy",
			Looks:  []string{configurationKind, resolverKind},
		},
		{
			ID:     forwardID,
			Title:  "Every node resolves to its address on every resolver",
			Why:    "Nodes find each other by name. Postfix and carbonio-bootstrap ask DNS and do not look into /etc/hosts: a name that only /etc/hosts knows works for some programs and fails for others.",
			Manual: "dig +short video.example.com\nnslookup video.example.com",
			Remedy: "add an A record for the node on the DNS server, then: dig +short NODE",
			Source: "REQ26: each node must be able to resolve all others; SEED-HA: an empty answer is a DNS resolution problem; BOOT lookupHostName",
			Looks:  []string{resolverKind, hostsKind},
		},
		{
			ID:     hostsAgreeID,
			Title:  "/etc/hosts and DNS give the same address for every node",
			Why:    "Programs that read /etc/hosts and programs that ask DNS would talk to different machines under one name.",
			Manual: "getent ahostsv4 mbox1.example.com\ndig +short mbox1.example.com",
			Remedy: "correct the line of the node in /etc/hosts, or its A record on the DNS server",
			Source: "SEED-HA; REQ26",
			Needs:  []string{forwardID, hostsSelfID, hostsNodesID},
			Looks:  []string{resolverKind, hostsKind},
		},
		{
			ID:     reverseID,
			Title:  "Every address has a PTR record that gives its name back",
			Why:    "Receivers refuse mail from a public address without a name, and logs and services of the platform name the other nodes by their PTR.",
			Manual: "dig +short -x 203.0.113.124",
			Remedy: "add a PTR record for the address; for a public one ask who gave you the address (the provider)",
			Source: "PRE dns: A, MX and PTR must be configured; for internal addresses policy",
			Looks:  []string{resolverKind},
		},
		{
			ID:     mxID,
			Title:  "The mail domain has an MX record that leads to an address",
			Why:    "Without it nobody can send mail to the domain, and carbonio-bootstrap prints DNS ERROR and suspends the installation when run by hand.",
			Manual: "host -t MX example.com\nhost -t A mail.example.com",
			Remedy: "add an MX record for the mail domain whose target has an A record, then: host -t MX DOMAIN",
			Source: "PRE dns; BOOT; RFC 2181 §10.3: the target is no alias",
			Looks:  []string{resolverKind},
		},
		{
			ID:     publicID,
			Title:  "The public name of the webmail resolves to a public address",
			Why:    "Users, mobile clients and certificates use this name; it is written into the configuration of the proxies.",
			Manual: "host -t A mail.example.com",
			Remedy: "add an A record with the public address for the webmailHostname of the inventory",
			Source: "PRE dns: at least one public address with an A record; AIA webmailHostname",
			Looks:  []string{resolverKind},
		},
		{
			ID:     spfID,
			Title:  "The mail domain has one well-formed SPF record",
			Why:    "Receivers judge mail of a domain without SPF, or with two records or a wrong one, as forged more easily.",
			Manual: "host -t TXT example.com",
			Remedy: `add one TXT record for the mail domain, such as "v=spf1 mx -all"`,
			Source: "PRE dns (recommended); RFC 7208 §3.2, §4.5, §4.6.4",
			Looks:  []string{resolverKind},
		},
		{
			ID:     dmarcID,
			Title:  "The mail domain has one well-formed DMARC record",
			Why:    "Without DMARC anybody can send mail in the name of the domain, and large receivers want it from whoever sends much.",
			Manual: "dig +short TXT _dmarc.example.com",
			Remedy: `add one TXT record for _dmarc.DOMAIN, such as "v=DMARC1; p=quarantine; rua=mailto:postmaster@DOMAIN"`,
			Source: "PRE dns (recommended); RFC 7489 §6.3, §6.6.3",
			Looks:  []string{resolverKind},
		},
	}
}

// Targets lists the two files and one target for each resolver, which is asked
// everything at once.
func (Module) Targets(scope checks.Scope, host checks.Host) ([]checks.Target, error) {
	conf, err := readResolvConf(host)
	if err != nil {
		return nil, err
	}
	var nodes []string
	for _, n := range scope.Topology.Nodes {
		nodes = append(nodes, n.Name)
	}
	targets := []checks.Target{
		{Kind: configurationKind, Name: resolvFile},
		{Kind: hostsKind, Name: hostsFile, Args: nodes},
	}
	asked := map[string]bool{}
	for _, server := range slices.Concat(conf.Servers, conf.Upstream) {
		if asked[server] {
			continue
		}
		asked[server] = true
		targets = append(targets, checks.Target{
			Kind: resolverKind, Name: server,
			Address: net.JoinHostPort(server, "53"), Args: questions(scope.Topology),
		})
	}
	return targets, nil
}

// questions are what every resolver is asked: "A mbox1.example.com".
func questions(t platform.Topology) []string {
	var out []string
	for _, n := range t.Nodes {
		if !isAddress(n.Name) {
			out = append(out, "A "+n.Name)
		}
		if n.Address.IsValid() {
			out = append(out, "PTR "+n.Address.String())
		}
	}
	if name, problem := webmail(t); problem == "" {
		out = append(out, "A "+name)
	}
	if domain, problem := mailDomain(t); problem == "" {
		out = append(out, "MX "+domain, "TXT "+domain)
		for _, name := range dmarcNames(domain) {
			out = append(out, "TXT "+name)
		}
	}
	return out
}

// webmail is the public name of the webmail, or why there is none to look up.
func webmail(t platform.Topology) (name, problem string) {
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
