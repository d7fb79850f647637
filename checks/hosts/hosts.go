// Package hosts checks /etc/hosts, from which every node of a Carbonio platform
// learns the names of all others, and its own.
package hosts

import (
	"carbonio-check/checks"
)

const (
	kindFile  = "file"
	hostsFile = "/etc/hosts"
)

// Module is the subject "hosts".
type Module struct{}

// Name is "hosts".
func (Module) Name() string { return "hosts" }

// Targets is the one file.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	return []checks.Target{{Kind: kindFile, Name: hostsFile, Node: scope.Self().Node}}, nil
}

// The IDs of the checks.
const (
	syntaxID     = "hosts.syntax"
	localhostID  = "hosts.localhost"
	selfID       = "hosts.self"
	nodesID      = "hosts.nodes"
	duplicatesID = "hosts.duplicates"
	ipv6ID       = "hosts.ipv6"
	agreeID      = "hosts.agree"
)

// Checks is the catalogue of the subject. All of it holds in both phases:
// packages and cloud-init write to /etc/hosts after the installation, too.
func (Module) Checks() []checks.Check {
	looks := []string{kindFile}
	return []checks.Check{
		{
			ID:    syntaxID,
			Title: "The system reads every line of /etc/hosts",
			Why: "A line that does not begin with an address is skipped without a word: its names do not exist. " +
				"The manual's HA page itself prints `core.example.com 10.176.134.101`; hosts(5) wants the address first.",
			Manual: "grep -nvE '^[[:space:]]*(#|$|[0-9a-fA-F.:]+[[:space:]]+[[:alnum:]])' /etc/hosts",
			Remedy: "write the line as ADDRESS FQDN SHORTNAME, for example: 172.16.0.10 srv1.example.com srv1",
			Source: "PRE; hosts(5); SEED-HA prints it reversed",
			Looks:  looks,
		},
		{
			ID:    localhostID,
			Title: "localhost is 127.0.0.1, once, and not ::1",
			Why: "The playbook of 25.12 and later stops when more than one line names localhost, and localhost on ::1 disrupts services. " +
				"Before 26.6 zmconfigd of a mailstore does not start without `127.0.0.1 localhost`. " +
				"The package carbonio-core puts localhost back on the ::1 line: look again after the installation.",
			Manual: `grep -Pc '^(?!\s*#).*(?:^|\s)localhost(?:\s|$)' /etc/hosts   # 1 at most` + "\n" +
				`grep -E '^127\.0\.0\.1\s.*\blocalhost\b' /etc/hosts`,
			Remedy: "keep `127.0.0.1 localhost` alone; if IPv6 must stay, its line is `::1 ip6-localhost ip6-loopback`",
			Source: "PRE; AIA hosts_check.yml; ipv6.rst; CO-3608",
			Looks:  looks,
		},
		{
			ID:    selfID,
			Title: "The node's own name stands first on the line of its own address",
			Why: "The mesh and carbonio-bootstrap refuse a host name that resolves to a loopback address, as the 127.0.1.1 line of Debian and Ubuntu makes it. " +
				"What stands first on the line is what `hostname -f` answers: with the short name there, certificates, mesh and Kafka take the wrong name.",
			Manual: "hostname -f\ngetent ahostsv4 $(hostname -f)\nip -br address",
			Remedy: "write the node's own line as ADDRESS FQDN SHORTNAME, and take its name out of every 127.x line",
			Source: "PRE; SD CheckHostnameAddress; BOOT lookupHostName; AIA-dev validate_fqdn_checks.yml",
			Looks:  looks,
		},
		{
			ID:     nodesID,
			Title:  "Every node of the platform has its line, with its address",
			Why:    "Every node must know the name and the address of every other; a missing or wrong line breaks mesh, directory, database and mail towards that node.",
			Manual: "for n in NODE…; do grep -wn \"$n\" /etc/hosts || echo \"$n is missing\"; done",
			Remedy: "add the line to /etc/hosts: ADDRESS FQDN SHORTNAME",
			Source: "SEED-HA; PRE",
			Looks:  looks,
		},
		{
			ID:     duplicatesID,
			Title:  "No name has two addresses, and no two nodes share one",
			Why:    "Of two addresses most programs take the first in the file, some take either: connections go to the wrong machine now and then.",
			Manual: "awk '!/^[[:space:]]*#/ {for (i = 2; i <= NF; i++) print $i}' /etc/hosts | sort | uniq -d",
			Remedy: "keep one line for each node, and comment out the others",
			Source: "PRE (one line a node); hosts(5)",
			Looks:  looks,
		},
		{
			ID:     ipv6ID,
			Title:  "/etc/hosts holds no IPv6 addresses but the stock ones",
			Why:    "Carbonio's services find each other over IPv4; a name with an IPv6 address leads them to where nothing listens.",
			Manual: "grep -nE '^[[:space:]]*[0-9a-fA-F]*:' /etc/hosts",
			Remedy: "comment the line out; `::1 ip6-localhost ip6-loopback` may stay",
			Source: "REQ26; ipv6.rst",
			Looks:  looks,
		},
		{
			ID:     agreeID,
			Title:  "All nodes have the same address for a node",
			Why:    "Nodes that disagree about an address split the platform: a service is up for some and down for others.",
			Manual: "ansible all -i INVENTORY -m command -a 'getent ahostsv4 NODE'",
			Remedy: "put the same line into /etc/hosts of every node: ADDRESS FQDN SHORTNAME",
			Source: "REQ26; SEED-HA",
			Looks:  looks,
		},
	}
}
