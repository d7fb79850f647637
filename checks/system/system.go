// Package system looks at the machine itself: its operating system, its size,
// and what runs on it that Carbonio cannot live beside.
package system

import (
	"time"

	"carbonio-check/checks"
)

// Module is the subject "system".
type Module struct{}

// The kinds of look.
const (
	kindBase         = "base" // architecture and flavour
	kindUser         = "user"
	kindTools        = "tools"
	kindLocale       = "locale"
	kindHostname     = "hostname"
	kindSELinux      = "selinux"
	kindPackages     = "packages"
	kindProcesses    = "processes"
	kindSockets      = "sockets"
	kindCPU          = "cpu"
	kindMemory       = "memory"
	kindRepositories = "repositories"
)

// repositoryTimeout is for dnf, which takes a second or more to start.
const repositoryTimeout = 20 * time.Second

// The checks.
const (
	checkOS           = "system.os"
	checkArch         = "system.arch"
	checkMinimized    = "system.minimized"
	checkUser         = "system.user"
	checkTools        = "system.tools"
	checkLocale       = "system.locale"
	checkHostname     = "system.hostname"
	checkSELinux      = "system.selinux"
	checkConflicts    = "system.conflicts"
	checkPorts        = "system.ports"
	checkCPU          = "system.cpu"
	checkMemory       = "system.memory"
	checkRepositories = "system.rhel-repositories"
)

// Name is the subject.
func (Module) Name() string { return "system" }

// Targets are the same on every machine: itself.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	node := scope.Self().Node
	var out []checks.Target
	for _, kind := range []string{
		kindBase, kindUser, kindTools, kindLocale, kindHostname, kindSELinux,
		kindPackages, kindProcesses, kindSockets, kindCPU, kindMemory, kindRepositories,
	} {
		t := checks.Target{Kind: kind, Name: node, Node: node}
		if kind == kindRepositories {
			t.Timeout = repositoryTimeout
		}
		out = append(out, t)
	}
	return out, nil
}

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	preinstall := []checks.Phase{checks.Preinstall}
	return []checks.Check{
		{
			ID:     checkOS,
			Title:  "The operating system is supported, and the same on every node",
			Why:    "Packages exist only for the supported distributions. The playbooks tell the nodes apart by component, not by system, and want one system everywhere.",
			Manual: "cat /etc/os-release",
			Remedy: "install the node anew with a supported system: Ubuntu Server 22.04 or 24.04, RHEL 8 or 9 (from Carbonio 25.6 on)",
			Source: "REQ26; CL-25.6.0; ANS26: all nodes run the same supported system",
			Looks:  []string{kindBase},
		},
		{
			ID:     checkArch,
			Title:  "The machine is a 64-bit x86",
			Why:    "The package repository holds amd64 only.",
			Manual: "uname -m",
			Remedy: "move the node to an x86_64 machine",
			Source: "REQ25; PRE: arch=amd64",
			Looks:  []string{kindBase},
		},
		{
			ID:     checkMinimized,
			Title:  "Ubuntu Server is not minimized",
			Why:    "A minimized Ubuntu lacks commands that the packages' scripts call; the 26.6 playbook refuses it.",
			Manual: "ls /etc/update-motd.d/60-unminimize",
			Remedy: "unminimize     # not found: apt-get install unminimize",
			Source: "REQ26; AIA-dev validate_ubuntu_installation",
			Phases: preinstall,
			Looks:  []string{kindBase},
		},
		{
			ID:     checkUser,
			Title:  "There is no user zextras before the installation",
			Why:    "The packages create the user with a home, a shell and limits of their own; one that is already there keeps its own, and the services do not start.",
			Manual: "grep ^zextras: /etc/passwd",
			Remedy: "userdel zextras     # rename it first if it is somebody's: usermod -l NEWNAME zextras",
			Source: "REQ26",
			Phases: preinstall,
			Looks:  []string{kindUser},
		},
		{
			ID:     checkTools,
			Title:  "Python 3 and Perl are there, and Ansible can use that Python",
			Why:    "Ansible runs Python on every node, and Carbonio's own tools are Perl. An ansible-core from 2.17 on fails on the Python 3.6 of RHEL 8.",
			Manual: "python3 --version; perl --version",
			Remedy: "apt-get install -y python3 perl     # Ubuntu\ndnf install -y python3 perl         # RHEL",
			Source: "REQ26; ZCT-1937; ZTD-670",
			Looks:  []string{kindTools},
		},
		{
			ID:     checkLocale,
			Title:  "The system's locale is en_US.UTF-8, and generated",
			Why:    "Another one changes the collation of PostgreSQL and the words that Carbonio's scripts look for in the output of commands.",
			Manual: "cat /etc/default/locale /etc/locale.conf; locale -a | grep en_US",
			Remedy: "localectl set-locale LANG=en_US.utf8",
			Source: "REQ26 locale",
			Looks:  []string{kindLocale},
		},
		{
			ID:     checkHostname,
			Title:  "The hostname is the node's fully qualified name",
			Why:    "Carbonio names the server after it in the directory, the mesh, the certificates and Kafka; the 26.6 playbook stops at FQDN MISMATCH.",
			Manual: "uname -n; hostname -f",
			Remedy: "hostnamectl set-hostname NODE.EXAMPLE.COM\nhostname -f     # from /etc/hosts: ADDRESS NODE.EXAMPLE.COM NODE",
			Source: "PRE; AIA-dev validate_fqdn_checks",
			Looks:  []string{kindHostname},
		},
		{
			ID:     checkSELinux,
			Title:  "SELinux is permissive or disabled",
			Why:    "Carbonio brings no policy: enforcing, SELinux denies its services their sockets and files below /opt/zextras.",
			Manual: "getenforce; grep ^SELINUX= /etc/selinux/config",
			Remedy: "setenforce 0\nsed -i 's/^SELINUX=.*/SELINUX=permissive/' /etc/selinux/config",
			Source: "REQ26 rh8, rh9",
			Looks:  []string{kindSELinux},
		},
		{
			ID:     checkConflicts,
			Title:  "No software is there that Carbonio cannot live beside",
			Why:    "Carbonio brings its own mail, web and database servers and wants the node for itself; another one takes its ports, at the latest after a reboot.",
			Manual: "systemctl list-units --type=service,socket --state=running\ndpkg -l | grep -E 'postfix|exim4|apache2|nginx|cockpit|pgpool'",
			Remedy: "systemctl disable --now NAME\napt-get purge NAME     # RHEL: dnf remove NAME",
			Source: "REQ26: only Carbonio on a node; BOOT; HAA install_haproxy",
			Looks:  []string{kindPackages, kindProcesses},
		},
		{
			ID:     checkPorts,
			Title:  "Every port that the node's components need is free",
			Why:    "A service whose port is taken does not start. Under Ansible, carbonio-bootstrap prints the conflict and goes on.",
			Manual: "ss -Hlntup",
			Remedy: "ss -lntup 'sport = :PORT'     # as root: names the process\nsystemctl disable --now UNIT",
			Source: "BOOT checkPortConflicts; REQ26 network",
			Phases: preinstall,
			Looks:  []string{kindSockets},
		},
		{
			ID:     checkCPU,
			Title:  "The node has the CPUs that its components want",
			Why:    "With fewer, the services of a node start so slowly that their first setup runs into time-outs.",
			Manual: "nproc",
			Remedy: "give the machine more CPUs, or set profiles in the configuration to what was agreed with Zextras",
			Source: "policy profiles: numbers of earlier manuals; sizes are agreed with Zextras",
			Looks:  []string{kindCPU},
		},
		{
			ID:     checkMemory,
			Title:  "The node has the memory that its components want",
			Why:    "The Java heap, MariaDB and PostgreSQL take shares of it, and some twenty services live on the rest. The kernel keeps a part: 16 GB show as 15.6 GiB or less, so 10 % below the mark still pass.",
			Manual: "free -h",
			Remedy: "give the machine more memory, or set profiles in the configuration to what was agreed with Zextras",
			Source: "policy profiles: numbers of earlier manuals; sizes are agreed with Zextras",
			Looks:  []string{kindMemory},
		},
		{
			ID:     checkRepositories,
			Title:  "BaseOS, AppStream, CodeReady and EPEL are enabled",
			Why:    "Carbonio's packages depend on packages of all four.",
			Manual: "dnf repolist --enabled",
			Remedy: "subscription-manager repos --enable REPOSITORY\ndnf install -y https://dl.fedoraproject.org/pub/epel/epel-release-latest-9.noarch.rpm",
			Source: "REQ26 rh8, rh9; AIA set-repos",
			Looks:  []string{kindRepositories},
		},
	}
}
