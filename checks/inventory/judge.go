package inventory

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
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
	l.passUnless(l.judgeGroups, groups, "every group is declared with the correct name")
	if len(l.missing) == len(platform.Components) {
		l.skip(catalogue[1:], l, l.inv.File, "the inventory has no Carbonio group")
		return l.found, nil
	}
	l.judgeSizes()
	l.judgeRoles()
	l.judgeBrokers()
	l.passUnless(l.judgeHosts, hosts, "every host name is fully qualified (%s)", count(len(scope.Topology.Nodes)))
	l.passUnless(l.judgeValues, values, "every variable that the playbooks read has a valid value")
	l.passUnless(l.judgeConflicts, conflicts, "no host is in two groups that exclude each other")
	for _, s := range sights {
		l.judgeSecrets(s)
	}
	l.judgeRedundancy()
	return l.found, nil
}

// A lint is an inventory with all that its rules depend on, and what they found.
// The findings are about the whole platform, whoever looked.
type lint struct {
	checks.Basis
	inv     *platform.Inventory
	scope   checks.Scope
	install bool     // nothing is installed yet, anywhere
	single  bool     // the same, on a single server, by a playbook that checks for that
	missing []string // groups of Carbonio that it does not declare
	// redundant is why this is a redundant inventory, for the HA playbooks; it is
	// empty for one of a standard installation.
	redundant string
	used      map[string]bool // hosts that have a component, in lower case
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
		l.redundant = "[kafka] has hosts"
	case len(l.members(platform.Database)) > 1:
		l.redundant = "[postgresServers] has several hosts"
	case len(l.members(platform.Directory)) > 1:
		l.redundant = "[masterDirectoryServers] has several hosts"
	}
}

func (l *lint) add(f checks.Finding) { l.found = append(l.found, f) }

func (l *lint) skip(all []*checks.Check, basis checks.Basis, target, reason string) {
	for _, c := range all {
		l.add(c.Skip(basis, target, "%s", reason))
	}
}

// passUnless makes a check pass unless its rules found something.
func (l *lint) passUnless(rules func(), check *checks.Check, format string, args ...any) {
	before := len(l.found)
	if rules(); len(l.found) == before {
		l.add(check.Pass(l, l.inv.File, format, args...))
	}
}

// form adds the rules that the finding was made by.
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

// quoted is a file name as a word of a command.
func quoted(name string) string {
	if plain.MatchString(name) {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

var plain = regexp.MustCompile(`^[A-Za-z0-9_./-]+$`)

// section is a group as the inventory writes it.
func section[T ~string](group T) string { return "[" + string(group) + "]" }

// judgeSecrets judges the files beside the inventory as one vantage saw them.
// They belong where the playbooks run; a node of the platform that has a copy of
// the inventory does not need them.
func (l *lint) judgeSecrets(s sight) {
	name := path.Base(l.inv.File)
	seen, got := s.Got()
	none := !slices.ContainsFunc(seen.Secrets, secret.exists)
	_, isNode := l.scope.Topology.Node(s.Vantage)
	installed := s.Vantage != "" && l.scope.Vantage(s.Vantage).Phase == checks.Health
	switch {
	case !got:
		l.add(secrets.Unseen(s, name))
	case seen.Unseen.Code != "":
		l.add(secrets.Unknown(s, name, "could not be seen: %s", seen.Unseen))
	case !seen.Visible:
		l.add(secrets.Skip(s, name, "neither the inventory nor the files next to it are on this machine"))
	case none && !installed:
		l.add(secrets.Skip(s, name, "no secret files yet: the first run of the standard playbook creates them"))
	case none && isNode:
		l.add(secrets.Skip(s, name, "there are no secret files next to this copy of the inventory: they belong where the playbooks run"))
	default:
		for _, f := range seen.Secrets {
			// Before the installation a first run may have stopped half way; the
			// redundancy playbooks come after a complete one.
			expected := installed || l.redundant != ""
			if f.Suffix == replicaSecret {
				expected = installed && l.redundant != ""
			}
			if expected || f.exists() {
				l.add(f.judge(s, name+f.Suffix))
			}
		}
	}
}

// exists says whether the file exists, as far as is known.
func (f secret) exists() bool { return f.Present || f.Unseen.Code != "" }

func (f secret) judge(s sight, name string) checks.Finding {
	mode := fmt.Sprintf("mode %04o", f.Mode&fs.ModePerm)
	tighten := checks.On(s.Vantage) + "chmod 600 " + quoted(s.Target.Ask.Path+f.Suffix)
	switch {
	case f.Unseen.Code != "":
		return secrets.Unknown(s, name, "could not be seen: %s", f.Unseen)
	case !f.Present && f.Suffix == replicaSecret:
		return secrets.Warn(s, name, "%s is missing: if Patroni is already installed, its playbook would generate a password that does not match the platform's", name)
	case !f.Present:
		return secrets.Fail(s, name, "%s is missing: the playbooks stop, or generate a password that does not match the platform's", name)
	case f.Size == 0:
		return secrets.Fail(s, name, "%s is empty", name)
	case f.Mode&0o004 != 0:
		return secrets.Fail(s, name, "every user of this machine can read %s", name).Saw(mode).Wanted("mode 0600").Fix(tighten)
	case f.Mode&0o040 != 0:
		return secrets.Warn(s, name, "the group of %s can read it", name).Saw(mode).Wanted("mode 0600").Fix(tighten)
	}
	return secrets.Pass(s, name, "%s exists, and only its owner can read it", name).Saw(mode)
}

// judgeRedundancy is the manual's table of the redundant scenario for this
// platform: how many nodes a component has, and how many of them it can lose.
func (l *lint) judgeRedundancy() {
	if l.redundant == "" {
		l.add(redundancy.Skip(l, l.inv.File, "this is a standard inventory, which is not redundant"))
		return
	}
	for _, info := range platform.Components {
		nodes, name := l.members(info.Component), info.Name
		// A wrong number of these is a finding of sizes or brokers.
		fixedSize := info.Quorum || info.Component == platform.Database || info.Component == platform.Directory
		spare := len(nodes) - 1
		if info.Quorum {
			spare /= 2
		}
		f := redundancy.Pass(l, name, "%s has %d nodes and can lose %d", name, len(nodes), spare).Saw(strings.Join(nodes, ", "))
		switch {
		case len(nodes) == 0 || info.HA == 0, info.Component == platform.ZooKeeper && l.kraft():
			continue
		case info.HA == 1:
			f = redundancy.Pass(l, name, "%s is not redundant by design", name).Saw(strings.Join(nodes, ", "))
		case spare == 0 && fixedSize:
			continue
		case spare == 0:
			f = redundancy.Warn(l, name, "%s runs only on %s, and stops with it", name, nodes[0]).
				Saw("1 node").Wanted(fmt.Sprintf("%d nodes", info.HA))
		}
		if note := l.limit(info.Component, nodes); note != "" {
			f = f.With("note", note)
		}
		l.add(f)
	}
}

// limit is what a redundant component still runs only once, which is by design
// and so no warning, or what the loss of a node costs all the same.
func (l *lint) limit(c platform.Component, nodes []string) string {
	r26_6 := !l.scope.Release.Before(platform.R26_6)
	switch {
	case c == platform.Kafka:
		return "topics have 2 copies: transactions wait while a broker that has one of them is down"
	case c == platform.Chats:
		return "the message dispatcher runs only on " + nodes[0] + ": without it Chats stops"
	case c == platform.Proxy && !l.scope.Release.Before(r26_3):
		return "memcached runs only on " + nodes[0]
	case c == platform.Directory && !r26_6:
		return "the message broker runs only on " + nodes[0] + ": without it Chats stops"
	case c == platform.Mesh && r26_6:
		return "the message broker runs only on " + nodes[len(nodes)-1] + ": without it Chats stops"
	}
	return ""
}
