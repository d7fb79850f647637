// Package system checks the machine itself: its operating system, its size, and
// what runs on it that conflicts with Carbonio.
package system

import (
	"context"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "system",
	Checks:   catalogue,
	Settings: []checks.AnySetting{checks.Profiles},
	Judge:    judge,
}

var catalogue = []*checks.Check{
	distribution, release, architecture, minimized, account, tools, language,
	ownName, enforcement, conflicts, freePorts, cpus, memory, channels,
}

// A look at this machine asks for nothing more.
type look[T any] = checks.Look[checks.Nothing, T]

var (
	baseLook       = of("base", observeBase)
	userLook       = of("user", observeUser)
	toolLook       = of("tools", observeTools)
	localeLook     = of("locale", observeLocale)
	hostnameLook   = of("hostname", observeHostname)
	selinuxLook    = of("selinux", observeSELinux)
	packageLook    = of("packages", observePackages)
	processLook    = of("processes", observeProcesses)
	socketLook     = of("sockets", func(ctx context.Context, h checks.Host) ([]checks.Listener, error) { return h.Machine.Listeners(ctx) })
	cpuLook        = of("cpu", func(ctx context.Context, h checks.Host) (int, error) { return h.Machine.CPUs(ctx) })
	memoryLook     = of("memory", func(ctx context.Context, h checks.Host) (uint64, error) { return h.Machine.Memory(ctx) })
	repositoryLook = slowly(of("repositories", observeRepositories))
)

// of makes a look at one side of this machine.
func of[T any](kind string, observe func(context.Context, checks.Host) (T, error)) *look[T] {
	return &look[T]{
		Kind: kind,
		Targets: func(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
			node := scope.Self().Node
			return []checks.Target[checks.Nothing]{{Name: node, Node: node}}, nil
		},
		Observe: func(ctx context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (T, error) {
			return observe(ctx, host)
		},
	}
}

// slowly is for dnf, which takes a second or more to start.
func slowly[T any](l *look[T]) *look[T] {
	l.Timeout = 20 * time.Second
	return l
}

var (
	preinstall = []checks.Phase{checks.Preinstall}
	installed  = []checks.Phase{checks.Health}
	sizes      = []platform.Source{platform.SingleServer.On("2024-2025"), platform.MultiServer.On("2023-11"), platform.Policy.On("sizes are agreed with Zextras")}
)

var distribution = &checks.Check{
	ID:      checks.OSID,
	Title:   "The operating system is supported, and the same on every node",
	Why:     "Packages exist only for the supported distributions. The playbooks distinguish nodes by component, not by operating system, and expect the same one everywhere.",
	Manual:  "cat /etc/os-release",
	Remedy:  "# reinstall the node with a supported system: Ubuntu Server 22.04 or 24.04, RHEL 8 or 9 (from Carbonio 25.6 on)",
	Sources: []platform.Source{platform.Requirements, platform.Changelog.On("25.6.0"), platform.AnsibleSetup.On("all nodes run the same supported system")},
	Looks:   []checks.AnyLook{baseLook},
}

// release is judged from the scope; the look says only that the node looked.
var release = &checks.Check{
	ID:      "system.release",
	Title:   "All nodes run the same Carbonio release, and carbonio-check knows it",
	Why:     "The services of a platform are released and tested together: nodes of different releases may not understand each other. This version of carbonio-check does not know the ports, services and requirements of a newer release.",
	Manual:  "cat /opt/zextras/.version     # on every node",
	Remedy:  "# on the nodes that are behind, in the order of the release notes\napt-get update && apt-get dist-upgrade     # RHEL: dnf upgrade",
	Sources: []platform.Source{platform.Changelog, platform.Policy.On("another patch release is a warning")},
	Phases:  installed, Looks: []checks.AnyLook{baseLook},
}

var architecture = &checks.Check{
	ID:      "system.arch",
	Title:   "The machine is x86_64",
	Why:     "The package repository holds amd64 packages only.",
	Manual:  "uname -m",
	Remedy:  "# move the node to an x86_64 machine",
	Sources: []platform.Source{platform.Requirements25, platform.Preliminaries.On("arch=amd64")},
	Looks:   []checks.AnyLook{baseLook},
}

var minimized = &checks.Check{
	ID:      "system.minimized",
	Title:   "Ubuntu Server is not minimized",
	Why:     "A minimized Ubuntu lacks commands that the packages' scripts call; the 26.6 playbook refuses it.",
	Manual:  "ls /etc/update-motd.d/60-unminimize",
	Remedy:  "unminimize     # if it is not found: apt-get install unminimize",
	Sources: []platform.Source{platform.Requirements, platform.InstallerDevel.On("validate_ubuntu_installation")},
	Phases:  preinstall, Looks: []checks.AnyLook{baseLook},
}

var account = &checks.Check{
	ID:      "system.user",
	Title:   "No user zextras exists before the installation",
	Why:     "The packages create the user with its home, shell and limits; one that already exists keeps its own, and the services do not start.",
	Manual:  "grep ^zextras: /etc/passwd",
	Remedy:  "userdel zextras     # or, if somebody uses it: usermod -l zextras-old zextras",
	Sources: []platform.Source{platform.Requirements},
	Phases:  preinstall, Looks: []checks.AnyLook{userLook},
}

var tools = &checks.Check{
	ID:      "system.tools",
	Title:   "Python 3 and Perl are installed, and Ansible can use that Python",
	Why:     "Ansible runs Python on every node, and Carbonio's own tools are Perl. ansible-core 2.17 and newer fail with the Python 3.6 of RHEL 8.",
	Manual:  "python3 --version; perl --version",
	Remedy:  "apt-get install -y python3 perl     # Ubuntu\ndnf install -y python3 perl         # RHEL",
	Sources: []platform.Source{platform.Requirements, platform.Changelog.On("ZCT-1937"), platform.Changelog.On("ZTD-670")},
	Looks:   []checks.AnyLook{toolLook},
}

var language = &checks.Check{
	ID:      "system.locale",
	Title:   "The system locale is en_US.UTF-8, and it is generated",
	Why:     "Another locale changes the collation of PostgreSQL and the command output that Carbonio's scripts look for.",
	Manual:  "cat /etc/default/locale /etc/locale.conf; locale -a | grep en_US",
	Remedy:  "localectl set-locale LANG=en_US.utf8",
	Sources: []platform.Source{platform.Requirements.On("locale")},
	Looks:   []checks.AnyLook{localeLook},
}

var ownName = &checks.Check{
	ID:      "system.hostname",
	Title:   "The hostname is the node's fully qualified name",
	Why:     "Carbonio names the server after it in the directory, the mesh, the certificates and Kafka; the 26.6 playbook stops at FQDN MISMATCH.",
	Manual:  "uname -n; hostname -f",
	Remedy:  "hostnamectl set-hostname mbox1.example.com\nhostname -f     # from /etc/hosts: 10.0.0.11 mbox1.example.com mbox1",
	Sources: []platform.Source{platform.Preliminaries, platform.InstallerDevel.On("validate_fqdn_checks")},
	Looks:   []checks.AnyLook{hostnameLook},
}

var enforcement = &checks.Check{
	ID:      "system.selinux",
	Title:   "SELinux is permissive or disabled",
	Why:     "Carbonio has no SELinux policy: when SELinux is enforcing, it denies Carbonio's services their sockets and their files below /opt/zextras.",
	Manual:  "getenforce; grep ^SELINUX= /etc/selinux/config",
	Remedy:  "setenforce 0\nsed -i 's/^SELINUX=.*/SELINUX=permissive/' /etc/selinux/config",
	Sources: []platform.Source{platform.Requirements.On("RHEL 8 and 9")},
	Looks:   []checks.AnyLook{selinuxLook},
}

var conflicts = &checks.Check{
	ID:      "system.conflicts",
	Title:   "No software is installed that conflicts with Carbonio",
	Why:     "Carbonio brings its own mail, web and database servers and needs the node for itself; other software takes its ports, at the latest after a reboot.",
	Manual:  "systemctl list-units --type=service,socket --state=running\ndpkg -l | grep -E 'postfix|exim4|apache2|nginx|cockpit|pgpool'",
	Remedy:  "systemctl disable --now postfix\napt-get purge postfix     # RHEL: dnf remove postfix",
	Sources: []platform.Source{platform.Requirements.On("only Carbonio on a node"), platform.Bootstrap, platform.Cluster.On("install_haproxy")},
	Looks:   []checks.AnyLook{packageLook, processLook},
}

var freePorts = &checks.Check{
	ID:      "system.ports",
	Title:   "Every port that the node's components need is free",
	Why:     "A service whose port is in use does not start. Under Ansible, carbonio-bootstrap prints the conflict and continues.",
	Manual:  "ss -Hlntup",
	Remedy:  "ss -lntup 'sport = :25'     # as root: names the process\nsystemctl disable --now postfix",
	Sources: []platform.Source{platform.Bootstrap.On("checkPortConflicts"), platform.Requirements.On("network")},
	Phases:  preinstall, Looks: []checks.AnyLook{socketLook},
}

var cpus = &checks.Check{
	ID:      "system.cpu",
	Title:   "The node has the CPUs that its components need",
	Why:     "With fewer, the services of a node start so slowly that their first setup times out.",
	Manual:  "nproc",
	Remedy:  "# give the machine more CPUs, or set policy.profiles to what was agreed with Zextras",
	Sources: sizes,
	Looks:   []checks.AnyLook{cpuLook},
}

var memory = &checks.Check{
	ID:      "system.memory",
	Title:   "The node has the memory that its components need",
	Why:     "The Java heap, MariaDB and PostgreSQL each take a share, and some twenty services use the rest. The kernel keeps a part: 16 GB show as 15.6 GiB or less, so up to 10 % less still passes.",
	Manual:  "free -h",
	Remedy:  "# give the machine more memory, or set policy.profiles to what was agreed with Zextras",
	Sources: sizes,
	Looks:   []checks.AnyLook{memoryLook},
}

var channels = &checks.Check{
	ID:      "system.rhel-repositories",
	Title:   "BaseOS, AppStream, CodeReady and EPEL are enabled",
	Why:     "Carbonio's packages depend on packages of all four.",
	Manual:  "dnf repolist --enabled",
	Remedy:  "subscription-manager repos --enable rhel-9-for-x86_64-baseos-rpms\ndnf install -y https://dl.fedoraproject.org/pub/epel/epel-release-latest-9.noarch.rpm",
	Sources: []platform.Source{platform.Requirements.On("RHEL 8 and 9"), platform.Installer.On("set-repos")},
	Looks:   []checks.AnyLook{repositoryLook},
}
