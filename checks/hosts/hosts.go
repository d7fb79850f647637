// Package hosts checks /etc/hosts, from which every node of a Carbonio platform
// learns the names of all nodes.
package hosts

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/netip"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{Name: "hosts", Checks: catalogue, Judge: judge}

// All of it applies in both phases: packages and cloud-init also write to /etc/hosts
// after the installation.
var catalogue = []*checks.Check{syntax, localhost, self, nodes, duplicates, ipv6, agreement}

const hostsFile = "/etc/hosts"

var files = &checks.Look[checks.Nothing, file]{Kind: "file", Targets: targets, Observe: observe}

var looks = []checks.AnyLook{files}

func targets(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	return []checks.Target[checks.Nothing]{{Name: hostsFile, Node: scope.Self().Node}}, nil
}

// A file is /etc/hosts, and what it must fit.
type file struct {
	Text      string       `json:"text"`
	Missing   bool         `json:"missing,omitempty"`
	Hostname  string       `json:"hostname,omitempty"`  // the kernel's
	Addresses []netip.Addr `json:"addresses,omitempty"` // of the machine's interfaces except loopback
	// MachineUnseen is why the host name or the addresses could not be seen.
	MachineUnseen checks.Unseen `json:"machine_unseen,omitzero"`
}

// observe reads the file, and the machine's own name and addresses.
func observe(_ context.Context, host checks.Host, t checks.Target[checks.Nothing]) (file, error) {
	text, err := host.ReadFile(t.Name)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return file{}, err
	}
	name, nameErr := host.Machine.Hostname()
	interfaces, err := host.Machine.Interfaces()
	seen := file{Text: text, Missing: missing, Hostname: name}
	for _, i := range interfaces {
		for _, p := range i.Addresses {
			if !i.Loopback {
				seen.Addresses = append(seen.Addresses, p.Addr().Unmap())
			}
		}
	}
	if err = cmp.Or(err, nameErr); err != nil {
		seen.MachineUnseen = checks.Why(err)
	}
	return seen, nil
}

var syntax = &checks.Check{
	ID:      "hosts.syntax",
	Title:   "The system reads every line of /etc/hosts",
	Why:     "A line that does not begin with an address is silently ignored: its names do not exist. The manual's HA page itself prints `core.example.com 10.176.134.101`; hosts(5) requires the address first.",
	Manual:  "grep -nvE '^[[:space:]]*(#|$|[0-9a-fA-F.:]+[[:space:]]+[[:alnum:]])' /etc/hosts",
	Remedy:  "write the line as ADDRESS FQDN SHORTNAME, for example: 172.16.0.10 srv1.example.com srv1",
	Sources: []platform.Source{platform.Preliminaries, platform.ManPages.On("hosts(5)"), platform.ScenarioHA.On("prints the line reversed")},
	Looks:   looks,
}

var localhost = &checks.Check{
	ID:      "hosts.localhost",
	Title:   "localhost is 127.0.0.1, listed once, and not ::1",
	Why:     "The playbook of 25.12 and later stops when more than one line has localhost, and localhost on ::1 disrupts services. Before 26.6 zmconfigd does not start on a mailstore without `127.0.0.1 localhost`. The package carbonio-core puts localhost back on the ::1 line: check again after the installation.",
	Manual:  `grep -Pc '^(?!\s*#).*(?:^|\s)localhost(?:\s|$)' /etc/hosts   # at most 1` + "\n" + `grep -E '^127\.0\.0\.1\s.*\blocalhost\b' /etc/hosts`,
	Remedy:  "keep only `127.0.0.1 localhost`; if IPv6 must stay, its line is `::1 ip6-localhost ip6-loopback`",
	Sources: []platform.Source{platform.Preliminaries, platform.Installer.On("hosts_check.yml"), platform.IPv6Page, platform.Changelog.On("CO-3608")},
	Looks:   looks,
}

var self = &checks.Check{
	ID:      "hosts.self",
	Title:   "The node's own name comes first on the line of its own address",
	Why:     "The mesh and carbonio-bootstrap refuse a host name that resolves to a loopback address, as it does with the 127.0.1.1 line of Debian and Ubuntu. `hostname -f` returns the first name on the line: if that is the short name, certificates, the mesh and Kafka take the wrong name.",
	Manual:  "hostname -f\ngetent ahostsv4 $(hostname -f)\nip -br address",
	Remedy:  "write the node's own line as ADDRESS FQDN SHORTNAME, and remove its name from every 127.x line",
	Sources: []platform.Source{platform.Preliminaries, platform.ServiceDiscover.On("CheckHostnameAddress"), platform.Bootstrap.On("lookupHostName"), platform.InstallerDevel.On("validate_fqdn_checks.yml")},
	Looks:   looks,
}

var nodes = &checks.Check{
	ID:      "hosts.nodes",
	Title:   "Every node of the platform is listed with its address",
	Why:     "Every node must know the name and the address of every other; a missing or wrong line breaks the mesh, the directory, the database and mail to that node.",
	Manual:  "for n in mbox1.example.com svc1.example.com; do grep -wn \"$n\" /etc/hosts || echo \"$n is missing\"; done",
	Remedy:  "add the line to /etc/hosts: ADDRESS FQDN SHORTNAME",
	Sources: []platform.Source{platform.ScenarioHA, platform.Preliminaries},
	Looks:   looks,
}

var duplicates = &checks.Check{
	ID:      "hosts.duplicates",
	Title:   "No name has two addresses, and no two nodes share one",
	Why:     "When a name has two addresses, most programs take the first in the file and some take either: some connections go to the wrong machine.",
	Manual:  "awk '!/^[[:space:]]*#/ {for (i = 2; i <= NF; i++) print $i}' /etc/hosts | sort | uniq -d",
	Remedy:  "vi /etc/hosts   # keep one line for each node, and comment out the others",
	Sources: []platform.Source{platform.Preliminaries.On("one line for each node"), platform.ManPages.On("hosts(5)")},
	Looks:   looks,
}

var ipv6 = &checks.Check{
	ID:      "hosts.ipv6",
	Title:   "/etc/hosts has no IPv6 addresses except the stock ones",
	Why:     "Carbonio's services find each other over IPv4; nothing listens on an IPv6 address.",
	Manual:  "grep -nE '^[[:space:]]*[0-9a-fA-F]*:' /etc/hosts",
	Remedy:  "comment the line out; `::1 ip6-localhost ip6-loopback` may stay",
	Sources: []platform.Source{platform.Requirements, platform.IPv6Page},
	Looks:   looks,
}

var agreement = &checks.Check{
	ID:      "hosts.agree",
	Title:   "All nodes have the same address for each node",
	Why:     "Nodes that disagree about an address split the platform: a service is up for some and down for others.",
	Manual:  "ansible all -i inventory -m command -a 'getent ahostsv4 mbox1.example.com'",
	Remedy:  "put the same line into /etc/hosts of every node: ADDRESS FQDN SHORTNAME",
	Sources: []platform.Source{platform.Requirements, platform.ScenarioHA},
	Looks:   looks,
}
