package inventory

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

type sight = checks.Sight[file, surroundings]

// judge reads the inventory once for the whole platform, and the secret files
// once for each vantage. Where nobody could look it says nothing.
func judge(scope checks.Scope, record checks.Record) ([]checks.Finding, []checks.Cluster) {
	l := lint{inv: scope.Topology.Inventory, scope: scope, used: map[string]bool{}}
	if l.inv == nil {
		l.skip(catalogue, checks.From(""), "", "no inventory given: -i FILE")
		return l.found, nil
	}
	sights := slices.Collect(folder.In(record))
	seen := cluster.Those(sights, func(s sight) bool { _, got := s.Got(); return got })
	if len(seen) == 0 {
		return nil, nil
	}
	l.Basis = checks.Together(seen...).Platform()
	l.read()
	l.otherwise(l.judgeGroups, groups, "every group is declared, and none by a wrong name")
	if len(l.missing) == len(platform.Components) {
		l.skip(catalogue[1:], l, l.inv.File, "the inventory holds no group of Carbonio")
		return l.found, nil
	}
	l.judgeSizes()
	l.judgeRoles()
	l.judgeBrokers()
	l.otherwise(l.judgeHosts, hosts, "%d hosts, every one a fully qualified name", len(scope.Topology.Nodes))
	l.otherwise(l.judgeValues, values, "every variable that the playbooks read is valid")
	l.otherwise(l.judgeConflicts, conflicts, "no host is in two groups that exclude each other")
	for _, s := range sights {
		l.judgeSecrets(s)
	}
	l.judgeRedundancy()
	return l.found, nil
}

// A lint is an inventory with all that its rules depend on, and what they found.
// That is of the whole platform, whoever looked.
type lint struct {
	checks.Basis
	inv     *platform.Inventory
	scope   checks.Scope
	install bool     // nothing is installed yet, anywhere
	single  bool     // and it will be on a single server, by a playbook that looks for it
	missing []string // groups of Carbonio that it does not declare
	// redundant says by what the inventory is of the redundant form, which the
	// HA playbooks take; it is empty for the form of the standard install.
	redundant string
	used      map[string]bool // hosts that hold a component, in lower case
	found     []checks.Finding
}

// read takes from the inventory what the rules depend on.
func (l *lint) read() {
	for _, n := range l.scope.Topology.Nodes {
		l.used[strings.ToLower(n.Name)] = len(n.Components) > 0
	}
	l.missing = cluster.Those(carbonioGroups, func(name string) bool { _, ok := l.inv.Group(name); return !ok })
	l.install = !slices.ContainsFunc(l.scope.Vantages, func(v checks.Vantage) bool { return v.Phase == checks.Health })
	l.single = l.install && len(l.scope.Topology.Nodes) == 1 && !l.scope.Release.Before(platform.R26_6)
	switch {
	case len(l.members(platform.Kafka)) > 0:
		l.redundant = "[kafka] holds hosts"
	case len(l.members(platform.Database)) > 1:
		l.redundant = "[postgresServers] holds several hosts"
	case len(l.members(platform.Directory)) > 1:
		l.redundant = "[masterDirectoryServers] holds several hosts"
	}
}

func (l *lint) say(f checks.Finding) { l.found = append(l.found, f) }

func (l *lint) skip(all []*checks.Check, basis checks.Basis, target, reason string) {
	for _, c := range all {
		l.say(c.Skip(basis, target, "%s", reason))
	}
}

// otherwise says that a check passes where its rules found nothing against it.
func (l *lint) otherwise(rules func(), check *checks.Check, format string, args ...any) {
	before := len(l.found)
	if rules(); len(l.found) == before {
		l.say(check.Pass(l, l.inv.File, format, args...))
	}
}

// form says by which rules the finding was made.
func (l *lint) form(f checks.Finding) checks.Finding {
	if l.redundant == "" {
		return f
	}
	return f.With("form", "redundant, because "+l.redundant)
}

// members are the names of the hosts of a group.
func (l *lint) members(c platform.Component) []string {
	var out []string
	for _, h := range l.inv.Members(string(c)) {
		out = append(out, h.Name)
	}
	return out
}

// section is a group as the inventory writes it.
func section[T ~string](group T) string { return "[" + string(group) + "]" }

// judgeSecrets judges the files beside the inventory as one vantage saw them.
// They belong where the playbooks run; a node of the platform that holds a copy
// of the inventory need not have them.
func (l *lint) judgeSecrets(s sight) {
	name := path.Base(l.inv.File)
	seen, got := s.Got()
	none := !slices.ContainsFunc(seen.Secrets, secret.exists)
	_, isNode := l.scope.Topology.Node(s.Vantage)
	installed := s.Vantage != "" && l.scope.Vantage(s.Vantage).Phase == checks.Health
	switch {
	case !got:
		l.say(secrets.Unseen(s, name))
	case seen.Unseen.Code != "":
		l.say(secrets.Unknown(s, name, "could not be seen: %s", seen.Unseen))
	case !seen.Visible:
		l.say(secrets.Skip(s, name, "the inventory is not on this machine's file system, nor are the files beside it"))
	case none && !installed:
		l.say(secrets.Skip(s, name, "no secret file yet: the first run of the standard playbook makes them"))
	case none && isNode:
		l.say(secrets.Skip(s, name, "no secret file beside this copy of the inventory: they belong where the playbooks run"))
	default:
		for _, f := range seen.Secrets {
			// Before the installation a first run may have stopped half way; the
			// additions of the redundant form come after a complete one.
			expected := installed || l.redundant != ""
			if f.Suffix == replicaSecret {
				expected = installed && l.redundant != ""
			}
			if expected || f.exists() {
				l.say(f.judge(s, name+f.Suffix))
			}
		}
	}
}

// exists says whether the file is there, as far as anybody knows.
func (f secret) exists() bool { return f.Present || f.Unseen.Code != "" }

func (f secret) judge(s sight, name string) checks.Finding {
	mode := fmt.Sprintf("mode %04o", f.Mode&fs.ModePerm)
	tighten := "chmod 600 " + name
	switch {
	case f.Unseen.Code != "":
		return secrets.Unknown(s, name, "could not be seen: %s", f.Unseen)
	case !f.Present && f.Suffix == replicaSecret:
		return secrets.Warn(s, name, "%s is missing: if Patroni is installed already, its playbook would make another password than the platform's", name)
	case !f.Present:
		return secrets.Fail(s, name, "%s is missing: a playbook stops, or makes another password than the platform's", name)
	case f.Size == 0:
		return secrets.Fail(s, name, "%s is empty", name)
	case f.Mode&0o004 != 0:
		return secrets.Fail(s, name, "every user of this machine reads %s", name).Saw(mode).Wanted("mode 0600").Fix(tighten)
	case f.Mode&0o040 != 0:
		return secrets.Warn(s, name, "the group of %s reads it", name).Saw(mode).Wanted("mode 0600").Fix(tighten)
	}
	return secrets.Pass(s, name, "%s is there, and only its owner reads it", name).Saw(mode)
}

// judgeRedundancy is the manual's table of the redundant scenario for this
// platform: how many nodes hold a component, and how many of them it may lose.
func (l *lint) judgeRedundancy() {
	if l.redundant == "" {
		l.say(redundancy.Skip(l, l.inv.File, "the inventory is of the standard form, which is not redundant"))
		return
	}
	for _, info := range platform.Components {
		nodes, name := l.members(info.Component), info.Name
		// The number of these is a finding of sizes or brokers: it is not said again.
		fixedSize := info.Quorum || info.Component == platform.Database || info.Component == platform.Directory
		loses := len(nodes) - 1
		if info.Quorum {
			loses /= 2
		}
		f := redundancy.Pass(l, name, "%s has %d nodes and may lose %d", name, len(nodes), loses).Saw(strings.Join(nodes, ", "))
		switch {
		case len(nodes) == 0 || info.HA == 0, info.Component == platform.ZooKeeper && l.kraft():
			continue
		case info.HA == 1:
			f = redundancy.Pass(l, name, "%s is not redundant, by design", name).Saw(strings.Join(nodes, ", "))
		case loses == 0 && fixedSize:
			continue
		case loses == 0:
			f = redundancy.Warn(l, name, "%s runs on %s alone, and stops with it", name, nodes[0]).
				Saw("1 node").Wanted(fmt.Sprintf("%d nodes", info.HA))
		}
		if note := l.once(info.Component, nodes); note != "" {
			f = f.With("note", note)
		}
		l.say(f)
	}
}

// once names what a component, redundant as it is, runs only once: by design,
// and so no warning, or what a loss costs all the same.
func (l *lint) once(c platform.Component, nodes []string) string {
	r26_3, r26_6 := !l.scope.Release.Before(platform.Release{Year: 26, Month: 3}), !l.scope.Release.Before(platform.R26_6)
	switch {
	case c == platform.Kafka:
		return "topics have 2 copies: transactions wait while a broker with one of them is away"
	case c == platform.Chats:
		return "the message dispatcher runs on " + nodes[0] + " only: without it Chats stops"
	case c == platform.Proxy && r26_3:
		return "memcached runs on " + nodes[0] + " only"
	case c == platform.Directory && !r26_6:
		return "the message broker runs on " + nodes[0] + " only: without it Chats stops"
	case c == platform.Mesh && r26_6:
		return "the message broker runs on " + nodes[len(nodes)-1] + " only: without it Chats stops"
	}
	return ""
}
