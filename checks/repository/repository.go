// Package repository checks where a node takes its packages from: Carbonio's
// repository and its channel, the key that signs it, and PostgreSQL's.
package repository

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{Name: "repository", Checks: catalogue, Judge: judge}

var catalogue = []*checks.Check{file, syntax, suite, channel, key, pgdg, mixed}

var configuration = &checks.Look[checks.Nothing, sources]{Kind: "sources", Targets: targets, Observe: observe}

var looks = []checks.AnyLook{configuration}

var file = &checks.Check{
	ID:    "repository.file",
	Title: "Carbonio's repository is configured, and root can read it",
	Why: "The playbook becomes root and looks for carbonio packages. If it finds none (no file, or one that is unreadable or empty) " +
		"it silently writes a file for the RELEASE channel: a platform meant for another channel, or for a mirror, ends up mixed.",
	Manual:  "cat /etc/apt/sources.list.d/zextras.list   # RHEL: /etc/yum.repos.d/zextras.repo\napt list 2>/dev/null | grep -c ^carbonio   # RHEL: dnf list available",
	Remedy:  "configure the repository as the manual says under Preliminaries, Repositories",
	Sources: []platform.Source{platform.ScenarioHA, repositories, platform.Installer.On("set-zextras-repos")}, Looks: looks,
}

var syntax = &checks.Check{
	ID:      "repository.syntax",
	Title:   "The entry is one that apt or dnf understands, and it is enabled",
	Why:     "A single malformed line stops apt altogether, and apt and dnf ignore a disabled entry: Carbonio is not found.",
	Manual:  "apt-get update   # RHEL: dnf repolist -v zextras",
	Remedy:  "write the entry as in the manual: deb [arch=amd64 signed-by=/usr/share/keyrings/zextras.gpg] https://repo.zextras.io/release/ubuntu CODENAME main",
	Sources: []platform.Source{repositories, platform.ManPages.On("sources.list(5), dnf.conf(5)")},
	Needs:   []*checks.Check{file}, Looks: looks,
}

var suite = &checks.Check{
	ID:      "repository.suite",
	Title:   "The repository is the one for this release of the operating system",
	Why:     "Packages built for another release do not install, or install and fail later because libraries are missing.",
	Manual:  ". /etc/os-release; echo $VERSION_CODENAME $VERSION_ID\ngrep -rE 'zextras' /etc/apt/sources.list.d /etc/yum.repos.d 2>/dev/null",
	Remedy:  "put the codename of this system (Ubuntu), or rhel8 or rhel9 (RHEL), in the repository's entry",
	Sources: []platform.Source{repositories, platform.Requirements}, Looks: looks,
}

var channel = &checks.Check{
	ID:      "repository.channel",
	Title:   "The repository is the RELEASE channel",
	Why:     "RC is updated continuously, untested and uncertified: the manual says that it is not suitable for production.",
	Manual:  "grep -rhoE 'repo\\.zextras\\.io/[a-z]+' /etc/apt/sources.list.d /etc/yum.repos.d 2>/dev/null | sort -u",
	Remedy:  "for production, replace rc with release in the repository's URL on every node, then run apt update (dnf makecache)",
	Sources: []platform.Source{repositories.On("the channels"), platform.ScenarioHA}, Looks: looks,
}

var key = &checks.Check{
	ID:      "repository.key",
	Title:   "The key that signs the repository exists, and apt can read it",
	Why:     "apt reads keys as its own user, _apt. If the key is readable only by root, empty or in the wrong format, apt ignores the repository.",
	Manual:  "ls -lL /usr/share/keyrings/zextras.gpg\ngpg --show-keys /usr/share/keyrings/zextras.gpg",
	Remedy:  keyCommand,
	Sources: []platform.Source{repositories, platform.ManPages.On("apt-key(8)")}, Looks: looks,
}

var pgdg = &checks.Check{
	ID:         "repository.pgdg",
	Title:      "PostgreSQL's own repository is configured",
	Why:        "Carbonio needs PostgreSQL 16, and the distributions ship another version. The playbook configures the repository itself; a manual installation fails without it.",
	Manual:     "apt-cache policy postgresql-16\ndnf -q module list --enabled postgresql   # RHEL: none",
	Remedy:     "configure apt.postgresql.org (Ubuntu), or install pgdg-redhat-repo and run `dnf -qy module disable postgresql` (RHEL), as the manual says under Preliminaries",
	Sources:    []platform.Source{platform.Preliminaries.On("PostgreSQL"), platform.Installer.On("set-repos")},
	Components: []platform.Component{platform.Database, platform.DBConnector, platform.Chats}, Looks: looks,
}

var mixed = &checks.Check{
	ID:      "repository.mixed",
	Title:   "The whole platform takes Carbonio from one channel",
	Why:     "With two channels, the newer version of each package wins: the node, or the platform, becomes a mixture that nobody has tested.",
	Manual:  "ansible all -i carbonio-inventory -m shell -a 'grep -rh zextras /etc/apt/sources.list.d /etc/yum.repos.d'",
	Remedy:  "keep one entry for Carbonio on each node, and the same channel on all of them",
	Sources: []platform.Source{platform.ScenarioHA, platform.Policy}, Looks: looks,
}

var repositories = platform.Preliminaries.On("Repositories")

// The manual's own commands.
const (
	zextrasKeyDNF = "https://repo.zextras.io/repomd.xml.key"
	postgresKey   = "https://www.postgresql.org/media/keys/ACCC4CF8.asc"
	zextrasKey    = "https://keyserver.ubuntu.com/pks/lookup?op=get&search=0x5dc7680bc4378c471a7fa80f52fd40243e584a21"
	keyCommand    = `wget -O- "` + zextrasKey + `" | gpg --dearmor > /usr/share/keyrings/zextras.gpg` + "\n" +
		`chmod 644 /usr/share/keyrings/zextras.gpg`
	repoCommand = `printf '%%s\n' '[zextras]' 'name=zextras' 'baseurl=https://repo.zextras.io/release/rhel%s' 'enabled=1' 'repo_gpgcheck=1' 'gpgcheck=0' 'gpgkey=` + zextrasKeyDNF + `' > /etc/yum.repos.d/zextras.repo`
)

// targets is the package manager's configuration.
func targets(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	return []checks.Target[checks.Nothing]{{Name: "package sources", Node: scope.Self().Node}}, nil
}
