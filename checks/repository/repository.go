// Package repository checks where a node takes its packages from: Carbonio's
// repository and its channel, the key that signs it, and PostgreSQL's.
package repository

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

const kindSources = "sources"

// Module is the subject "repository".
type Module struct{}

// Name is "repository".
func (Module) Name() string { return "repository" }

// Targets is the package manager's configuration.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	return []checks.Target{{Kind: kindSources, Name: "package sources", Node: scope.Self().Node}}, nil
}

// The IDs of the checks.
const (
	fileID    = "repository.file"
	syntaxID  = "repository.syntax"
	suiteID   = "repository.suite"
	channelID = "repository.channel"
	keyID     = "repository.key"
	pgdgID    = "repository.pgdg"
	mixedID   = "repository.mixed"
)

// Checks is the catalogue of the subject.
func (Module) Checks() []checks.Check {
	looks := []string{kindSources}
	return []checks.Check{
		{
			ID:    fileID,
			Title: "Carbonio's repository is configured, and readable by root",
			Why: "The playbook becomes root and looks for carbonio packages. Where it finds none (no file, an unreadable or an empty one) " +
				"it writes a file for the RELEASE channel without a word: a platform meant for another channel, or for a mirror, ends up mixed.",
			Manual: "cat /etc/apt/sources.list.d/zextras.list   # RHEL: /etc/yum.repos.d/zextras.repo\napt list 2>/dev/null | grep -c ^carbonio   # RHEL: dnf list available",
			Remedy: "configure the repository as in the manual, section Preliminaries, Repositories",
			Source: "SEED-HA; PRE _repo/zx.rst; AIA set-zextras-repos",
			Looks:  looks,
		},
		{
			ID:     syntaxID,
			Title:  "apt or dnf understands the entry, and it is enabled",
			Why:    "apt refuses to work at all over one malformed line, and both pass over an entry that is switched off: Carbonio is not found.",
			Manual: "apt-get update   # RHEL: dnf repolist -v zextras",
			Remedy: "write the entry as in the manual: deb [arch=amd64 signed-by=/usr/share/keyrings/zextras.gpg] https://repo.zextras.io/release/ubuntu CODENAME main",
			Source: "PRE _repo/zx.rst; sources.list(5); dnf.conf(5)",
			Needs:  []string{fileID},
			Looks:  looks,
		},
		{
			ID:     suiteID,
			Title:  "The repository is the one of this release of the operating system",
			Why:    "Packages built for another release do not install, or install and fail later on missing libraries.",
			Manual: ". /etc/os-release; echo $VERSION_CODENAME $VERSION_ID\ngrep -rE 'zextras' /etc/apt/sources.list.d /etc/yum.repos.d 2>/dev/null",
			Remedy: "name the codename of this system (Ubuntu) or rhel8, rhel9 (RHEL) in the repository's entry",
			Source: "PRE _repo/zx.rst; REQ26",
			Looks:  looks,
		},
		{
			ID:     channelID,
			Title:  "The repository is the RELEASE channel",
			Why:    "RC is updated all the time, untested and uncertified: the manual calls it not suitable for production.",
			Manual: "grep -rhoE 'repo\\.zextras\\.io/[a-z]+' /etc/apt/sources.list.d /etc/yum.repos.d 2>/dev/null | sort -u",
			Remedy: "for production, write release in place of rc in the repository's URL on every node, then apt update (dnf makecache)",
			Source: "repo-info; SEED-HA",
			Looks:  looks,
		},
		{
			ID:     keyID,
			Title:  "The key that the repository is signed with is there, and apt can read it",
			Why:    "apt reads keys as its own user _apt: a key that only root may read, an empty one or one in the wrong form makes apt ignore the repository.",
			Manual: "ls -lL /usr/share/keyrings/zextras.gpg\ngpg --show-keys /usr/share/keyrings/zextras.gpg",
			Remedy: keyCommand,
			Source: "PRE _repo/zx.rst; apt-key(8)",
			Looks:  looks,
		},
		{
			ID:         pgdgID,
			Title:      "PostgreSQL's own repository is configured",
			Why:        "Carbonio needs PostgreSQL 16, and the distributions ship another one. The playbook configures the repository itself; an installation by hand fails without it.",
			Manual:     "apt-cache policy postgresql-16\ndnf -q module list --enabled postgresql   # RHEL: none",
			Remedy:     "configure apt.postgresql.org (Ubuntu), or install pgdg-redhat-repo and `dnf -qy module disable postgresql` (RHEL), as in the manual's Preliminaries",
			Source:     "PRE; rhel-pg.rst; AIA set-repos",
			Components: []platform.Component{platform.Database, platform.DBConnector, platform.Chats},
			Looks:      looks,
		},
		{
			ID:     mixedID,
			Title:  "All of the platform takes Carbonio from one channel",
			Why:    "Of two channels the newer package wins, one by one: the node, or the platform, becomes a mixture that nobody has tested.",
			Manual: "ansible all -i INVENTORY -m shell -a 'grep -rh zextras /etc/apt/sources.list.d /etc/yum.repos.d'",
			Remedy: "keep one entry for Carbonio on each node, and the same channel on all of them",
			Source: "SEED-HA; policy",
			Looks:  looks,
		},
	}
}

// The manual's own commands (PRE _repo/zx.rst).
const (
	zextrasKeyDNF = "https://repo.zextras.io/repomd.xml.key"
	postgresKey   = "https://www.postgresql.org/media/keys/ACCC4CF8.asc"
	zextrasKey    = "https://keyserver.ubuntu.com/pks/lookup?op=get&search=0x5dc7680bc4378c471a7fa80f52fd40243e584a21"
	keyCommand    = `wget -O- "` + zextrasKey + `" | gpg --dearmor > /usr/share/keyrings/zextras.gpg` + "\n" +
		`chmod 644 /usr/share/keyrings/zextras.gpg`
	listCommand = `echo "deb [arch=amd64 signed-by=/usr/share/keyrings/zextras.gpg] https://repo.zextras.io/release/ubuntu %s main" > /etc/apt/sources.list.d/zextras.list` + "\n" +
		`apt update`
	repoCommand = `printf '%%s\n' '[zextras]' 'name=zextras' 'baseurl=https://repo.zextras.io/release/rhel%s' 'enabled=1' 'repo_gpgcheck=1' 'gpgcheck=0' 'gpgkey=` + zextrasKeyDNF + `' > /etc/yum.repos.d/zextras.repo` + "\n" +
		`dnf makecache`
)
