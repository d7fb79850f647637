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
	Title: "Carbonio's repository is configured, and readable by root",
	Why: "The playbook becomes root and looks for carbonio packages. Where it finds none (no file, an unreadable or an empty one) " +
		"it writes a file for the RELEASE channel without a word: a platform meant for another channel, or for a mirror, ends up mixed.",
	Manual:  "cat /etc/apt/sources.list.d/zextras.list   # RHEL: /etc/yum.repos.d/zextras.repo\napt list 2>/dev/null | grep -c ^carbonio   # RHEL: dnf list available",
	Remedy:  "configure the repository as in the manual, section Preliminaries, Repositories",
	Sources: []platform.Source{platform.ScenarioHA, repositories, platform.Installer.On("set-zextras-repos")}, Looks: looks,
}

var syntax = &checks.Check{
	ID:      "repository.syntax",
	Title:   "apt or dnf understands the entry, and it is enabled",
	Why:     "apt refuses to work at all over one malformed line, and both pass over an entry that is switched off: Carbonio is not found.",
	Manual:  "apt-get update   # RHEL: dnf repolist -v zextras",
	Remedy:  "write the entry as in the manual: deb [arch=amd64 signed-by=/usr/share/keyrings/zextras.gpg] https://repo.zextras.io/release/ubuntu CODENAME main",
	Sources: []platform.Source{repositories, platform.ManPages.On("sources.list(5), dnf.conf(5)")},
	Needs:   []*checks.Check{file}, Looks: looks,
}

var suite = &checks.Check{
	ID:      "repository.suite",
	Title:   "The repository is the one of this release of the operating system",
	Why:     "Packages built for another release do not install, or install and fail later on missing libraries.",
	Manual:  ". /etc/os-release; echo $VERSION_CODENAME $VERSION_ID\ngrep -rE 'zextras' /etc/apt/sources.list.d /etc/yum.repos.d 2>/dev/null",
	Remedy:  "name the codename of this system (Ubuntu) or rhel8, rhel9 (RHEL) in the repository's entry",
	Sources: []platform.Source{repositories, platform.Requirements}, Looks: looks,
}

var channel = &checks.Check{
	ID:      "repository.channel",
	Title:   "The repository is the RELEASE channel",
	Why:     "RC is updated all the time, untested and uncertified: the manual calls it not suitable for production.",
	Manual:  "grep -rhoE 'repo\\.zextras\\.io/[a-z]+' /etc/apt/sources.list.d /etc/yum.repos.d 2>/dev/null | sort -u",
	Remedy:  "for production, write release in place of rc in the repository's URL on every node, then apt update (dnf makecache)",
	Sources: []platform.Source{repositories.On("the channels"), platform.ScenarioHA}, Looks: looks,
}

var key = &checks.Check{
	ID:      "repository.key",
	Title:   "The key that the repository is signed with is there, and apt can read it",
	Why:     "apt reads keys as its own user _apt: a key that only root may read, an empty one or one in the wrong form makes apt ignore the repository.",
	Manual:  "ls -lL /usr/share/keyrings/zextras.gpg\ngpg --show-keys /usr/share/keyrings/zextras.gpg",
	Remedy:  keyCommand,
	Sources: []platform.Source{repositories, platform.ManPages.On("apt-key(8)")}, Looks: looks,
}

var pgdg = &checks.Check{
	ID:         "repository.pgdg",
	Title:      "PostgreSQL's own repository is configured",
	Why:        "Carbonio needs PostgreSQL 16, and the distributions ship another one. The playbook configures the repository itself; an installation by hand fails without it.",
	Manual:     "apt-cache policy postgresql-16\ndnf -q module list --enabled postgresql   # RHEL: none",
	Remedy:     "configure apt.postgresql.org (Ubuntu), or install pgdg-redhat-repo and `dnf -qy module disable postgresql` (RHEL), as in the manual's Preliminaries",
	Sources:    []platform.Source{platform.Preliminaries.On("PostgreSQL"), platform.Installer.On("set-repos")},
	Components: []platform.Component{platform.Database, platform.DBConnector, platform.Chats}, Looks: looks,
}

var mixed = &checks.Check{
	ID:      "repository.mixed",
	Title:   "All of the platform takes Carbonio from one channel",
	Why:     "Of two channels the newer package wins, one by one: the node, or the platform, becomes a mixture that nobody has tested.",
	Manual:  "ansible all -i INVENTORY -m shell -a 'grep -rh zextras /etc/apt/sources.list.d /etc/yum.repos.d'",
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
