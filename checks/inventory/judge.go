package inventory

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Judge reads the inventory once for the whole platform, and the secret files
// once for each vantage.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	if scope.Topology.Inventory == nil {
		return skipAll(checks.Observation{}, "", catalogue, "no inventory given: -i FILE")
	}
	l := newLint(scope, seen)
	if all, _ := carbonioGroups(); len(l.undeclared(all)) == len(all) {
		return append(skipAll(l.Observation, l.inv.File, catalogue[1:], "the inventory holds no group of Carbonio"), l.foreign())
	}
	out := slices.Concat(
		l.whole(groupsID, l.groups(), "every group is declared, and none by a wrong name"),
		l.form(l.whole(sizesID, l.sizes(), "every group holds as many hosts as the playbooks take")),
		l.roles(),
		l.brokers(),
		l.whole(hostsID, l.hosts(), "%d hosts, every one a fully qualified name", len(scope.Topology.Nodes)),
		l.whole(valuesID, l.values(), "every variable that the playbooks read is valid"),
		l.whole(conflictsID, l.conflicts(), "no host is in two groups that exclude each other"),
	)
	for o, data := range checks.Of[surroundings](seen, kind) {
		out = append(out, l.secrets(o, data)...)
	}
	return append(out, l.redundancy()...)
}

func skipAll(o checks.Observation, target string, skipped []checks.Check, reason string) []checks.Finding {
	var out []checks.Finding
	for _, c := range skipped {
		out = append(out, o.Skip(c.ID, target, "%s", reason))
	}
	return out
}

// A lint is an inventory with all that its rules depend on. Its findings are of
// the whole platform, whoever looked.
type lint struct {
	checks.Observation
	inv     *platform.Inventory
	scope   checks.Scope
	install bool // nothing is installed yet, anywhere
	// redundant says by what the inventory is of the redundant form, which the
	// HA playbooks take; it is empty for the form of the standard install.
	redundant string
	used      map[string]bool // hosts that hold a component, in lower case
}

func newLint(scope checks.Scope, seen []checks.Observation) lint {
	l := lint{inv: scope.Topology.Inventory, scope: scope, used: map[string]bool{}}
	for _, n := range scope.Topology.Nodes {
		l.used[strings.ToLower(n.Name)] = len(n.Components) > 0
	}
	if len(seen) > 0 {
		l.Observation = slices.MinFunc(seen, func(a, b checks.Observation) int { return cmp.Compare(a.Vantage, b.Vantage) })
		l.Vantage = ""
	}
	l.install = !slices.ContainsFunc(scope.Vantages, func(v checks.Vantage) bool { return v.Phase == checks.Health })
	switch {
	case len(l.members(platform.Kafka)) > 0:
		l.redundant = "[kafka] holds hosts"
	case len(l.members(platform.Database)) > 1:
		l.redundant = "[postgresServers] holds several hosts"
	case len(l.members(platform.Directory)) > 1:
		l.redundant = "[masterDirectoryServers] holds several hosts"
	}
	return l
}

// whole says that a check passes where nothing was found against it.
func (l lint) whole(check string, against []checks.Finding, format string, args ...any) []checks.Finding {
	if len(against) > 0 {
		return against
	}
	return []checks.Finding{l.Pass(check, l.inv.File, format, args...)}
}

// form says by which rules the sizes were judged, and what the other playbook
// would say.
func (l lint) form(findings []checks.Finding) []checks.Finding {
	if l.redundant == "" {
		return findings
	}
	for i, f := range findings {
		findings[i] = f.With("form", "redundant, because "+l.redundant)
		if l.install && f.Status == checks.Pass {
			findings[i] = findings[i].With("note", "the standard playbook runs first and stops at this form: "+
				"it takes one database, one directory server, and no host in [dbsConnectorServers]")
		}
	}
	return findings
}

// members are the names of the hosts of a group.
func (l lint) members(c platform.Component) []string {
	var out []string
	for _, h := range l.inv.Members(string(c)) {
		out = append(out, h.Name)
	}
	return out
}

// section is a group as the inventory writes it.
func section[T ~string](group T) string { return "[" + string(group) + "]" }

// secrets judges the files beside the inventory as one vantage saw them. They
// belong where the playbooks run; a node of the platform that holds a copy of
// the inventory need not have them.
func (l lint) secrets(o checks.Observation, seen surroundings) []checks.Finding {
	name := path.Base(l.inv.File)
	present := slices.ContainsFunc(seen.Secrets, func(f secretFile) bool { return f.Present || f.Error != "" })
	_, isNode := l.scope.Topology.Node(o.Vantage)
	installed := o.Vantage != "" && l.scope.Vantage(o.Vantage).Phase == checks.Health
	switch {
	case o.Error != "":
		return o.Unseen(name, secretsID)
	case !seen.Visible:
		return []checks.Finding{o.Skip(secretsID, name, "the inventory is not on this machine's file system, nor are the files beside it")}
	case !present && !installed:
		return []checks.Finding{o.Skip(secretsID, name, "no secret file yet: the first run of the standard playbook makes them")}
	case !present && isNode:
		return []checks.Finding{o.Skip(secretsID, name, "no secret file beside this copy of the inventory: they belong where the playbooks run")}
	}
	var out []checks.Finding
	for _, f := range seen.Secrets {
		if finding, ok := l.secret(o, name+f.Suffix, f, installed); ok {
			out = append(out, finding)
		}
	}
	return out
}

func (l lint) secret(o checks.Observation, name string, f secretFile, installed bool) (checks.Finding, bool) {
	mode := fmt.Sprintf("mode %04o", f.Mode&fs.ModePerm)
	tighten := "chmod 600 " + name
	switch {
	case f.Error != "":
		return o.Unknown(secretsID, name, "could not be seen: %s", f.Error), true
	case !f.Present && f.Suffix == replicaSecret:
		return o.Warn(secretsID, name, "%s is missing: if Patroni is installed already, its playbook would make another password than the platform's", name),
			installed && l.redundant != ""
	case !f.Present:
		// Before the installation a first run may have stopped half way; the
		// additions of the redundant form come after a complete one.
		return o.Fail(secretsID, name, "%s is missing: a playbook stops, or makes another password than the platform's", name),
			installed || l.redundant != ""
	case f.Size == 0:
		return o.Fail(secretsID, name, "%s is empty", name), true
	case f.Mode&0o004 != 0:
		return o.Fail(secretsID, name, "every user of this machine reads %s", name).Saw(mode).Wanted("mode 0600").Fix(tighten), true
	case f.Mode&0o040 != 0:
		return o.Warn(secretsID, name, "the group of %s reads it", name).Saw(mode).Wanted("mode 0600").Fix(tighten), true
	}
	return o.Pass(secretsID, name, "%s is there, and only its owner reads it", name).Saw(mode), true
}

// redundancy is the manual's table of the redundant scenario for this platform:
// how many nodes hold a component, and how many of them it may lose.
func (l lint) redundancy() []checks.Finding {
	if l.redundant == "" {
		return []checks.Finding{l.Skip(redundancyID, l.inv.File, "the inventory is of the standard form, which is not redundant")}
	}
	var out []checks.Finding
	for _, info := range platform.Components {
		nodes := l.members(info.Component)
		if len(nodes) == 0 || info.HA == 0 || info.Component == platform.ZooKeeper && !l.scope.Release.Before(platform.R25_9) {
			continue
		}
		if f, ok := l.survives(info, nodes); ok {
			if note := l.single(info.Component, nodes); note != "" {
				f = f.With("note", note)
			}
			out = append(out, f)
		}
	}
	return out
}

// survives judges one component. Where the wrong number of nodes is a finding
// of inventory.sizes or inventory.brokers it is not said again.
func (l lint) survives(info platform.ComponentInfo, nodes []string) (checks.Finding, bool) {
	loses := len(nodes) - 1
	if info.Quorum {
		loses = (len(nodes) - 1) / 2
	}
	fixedSize := info.Quorum || info.Component == platform.Database || info.Component == platform.Directory
	switch {
	case info.HA == 1:
		return l.Pass(redundancyID, info.Name, "%s is not redundant, by design", info.Name).Saw(strings.Join(nodes, ", ")), true
	case loses == 0:
		return l.Warn(redundancyID, info.Name, "%s runs on %s alone, and stops with it", info.Name, nodes[0]).
			Saw("1 node").Wanted(fmt.Sprintf("%d nodes", info.HA)), !fixedSize
	}
	return l.Pass(redundancyID, info.Name, "%s has %d nodes and may lose %d", info.Name, len(nodes), loses).Saw(strings.Join(nodes, ", ")), true
}

// single names what a component, redundant as it is, runs only once: by design,
// and so no warning (RUR26; AIA CHANGELOG), or what a loss costs all the same.
func (l lint) single(c platform.Component, nodes []string) string {
	release := l.scope.Release
	switch {
	case c == platform.Kafka:
		return "topics have 2 copies: transactions wait while a broker with one of them is away"
	case c == platform.Chats:
		return "the message dispatcher runs on " + nodes[0] + " only: without it Chats stops"
	case c == platform.Proxy && !release.Before(platform.Release{Year: 26, Month: 3}):
		return "memcached runs on " + nodes[0] + " only"
	case c == platform.Directory && release.Before(platform.R26_6):
		return "the message broker runs on " + nodes[0] + " only: without it Chats stops"
	case c == platform.Mesh && !release.Before(platform.R26_6):
		return "the message broker runs on " + nodes[len(nodes)-1] + " only: without it Chats stops"
	}
	return ""
}
