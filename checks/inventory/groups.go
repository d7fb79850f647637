package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// r25_3 makes [workStreamServers] mandatory (AIA CHANGELOG).
var r25_3 = platform.Release{Year: 25, Month: 3}

// groups judges the names of the groups.
func (l lint) groups() []checks.Finding {
	all, required := carbonioGroups()
	missing, misspelt := l.undeclared(all), map[string]string{}
	var out []checks.Finding
	if l.inv.BOM {
		out = append(out, l.Fail(groupsID, l.inv.File, "%s begins with a byte order mark, and Ansible cannot read its first line", l.inv.File).
			Fix(`sed -i '1s/^\xEF\xBB\xBF//' `+l.inv.File))
	}
	for _, g := range l.inv.Groups {
		if slices.Contains(all, g.Name) || len(g.Name) > 64 {
			continue
		}
		if near := platform.Nearest(g.Name, missing); near != "" && misspelt[near] == "" {
			misspelt[near] = g.Name
		} else if f, ok := l.idle(g); ok {
			out = append(out, f)
		}
	}
	for _, name := range missing {
		if f, ok := l.missing(name, misspelt[name], slices.Contains(required, name)); ok {
			out = append(out, f)
		}
	}
	return out
}

// foreign is the finding for an inventory of something else.
func (l lint) foreign() checks.Finding {
	_, required := carbonioGroups()
	return l.Fail(groupsID, l.inv.File, "%s holds no group of Carbonio: is it the right file?", l.inv.File).
		Wanted(section(strings.Join(required, "], [")))
}

// undeclared are those of the groups that the inventory does not hold.
func (l lint) undeclared(names []string) []string {
	var out []string
	for _, n := range names {
		if _, ok := l.inv.Group(n); !ok {
			out = append(out, n)
		}
	}
	return out
}

// missing judges a group of Carbonio that is not declared, and the one of
// another name that was probably meant to be it.
func (l lint) missing(name, misspelt string, required bool) (checks.Finding, bool) {
	target := section(name)
	rename := fmt.Sprintf("rename %s to %s in the inventory", section(misspelt), target)
	declare := "add to the inventory, empty if it has no hosts:\n" + target
	if name == string(platform.Chats) && l.scope.Release.Before(r25_3) {
		required = false
	}
	switch {
	case misspelt != "" && required:
		return l.Fail(groupsID, target, "%s is missing, and Carbonio does not know %s: a misspelling?", target, section(misspelt)).Fix(rename), true
	case misspelt != "":
		return l.Warn(groupsID, target, "Carbonio does not know %s: is %s meant?", section(misspelt), target).Fix(rename), true
	case required:
		return l.Fail(groupsID, target, "%s is missing: the playbooks stop where they read it", target).Fix(declare), true
	case name == string(platform.ZooKeeper) && l.redundant != "" && !l.scope.Release.Before(platform.R25_9):
		return l.Warn(groupsID, target, "%s is missing: the manual keeps it, empty, for older playbooks", target).
			Fix(declare).From("RUR26-inst; HAA CHANGELOG 25.9"), true
	}
	return checks.Finding{}, false
}

// idle judges a group that Carbonio does not know. That is legal in Ansible, and
// of no harm while its hosts are in groups that Carbonio does know.
func (l lint) idle(g platform.Group) (checks.Finding, bool) {
	var without []string
	for _, h := range g.Hosts {
		if !l.used[strings.ToLower(h.Name)] {
			without = append(without, h.Name)
		}
	}
	if len(without) == 0 {
		return checks.Finding{}, false
	}
	all, _ := carbonioGroups()
	hint := ""
	if near := platform.Nearest(g.Name, all); near != "" {
		hint = fmt.Sprintf(" (is %s meant?)", section(near))
	}
	return l.Warn(groupsID, section(g.Name), "%s is in no group of Carbonio but in %s%s: the playbooks run on it, and give it no component",
		without[0], section(g.Name), hint).
		Saw(strings.Join(without, ", ")).
		Fix("move the hosts to the groups of their components, or out of this inventory"), true
}

// A size is how many hosts a group may hold.
type size struct {
	group    platform.Component
	min, max int // max 0: any number
	why      string
	source   string
}

var anySize = []size{
	{platform.MTA, 1, 0, "without one there is no mail", "AIA README"},
	{platform.Proxy, 1, 0, "without one there is no webmail", "AIA README"},
	{platform.Mailstore, 1, 0, "without one there is no mailbox", "AIA README"},
}

// What the standard playbook stops at.
var standardSizes = []size{
	{platform.Database, 1, 1, "the standard playbook takes one, others come with the redundancy playbooks", "AIA postgres_checks"},
	{platform.Directory, 1, 1, "the standard playbook takes one, others come with the redundancy playbooks", "AIA directory_server_checks"},
}

var redundantSizes = []size{
	{platform.Database, 2, 2, "HAProxy is configured for the first two", "HAA haproxy.cfg.j2"},
	{platform.Directory, 2, 2, "HAProxy is configured for the first two", "HAA haproxy.cfg.j2"},
	{platform.Mesh, 3, 3, "Patroni elects its leader through a mesh of three", "SEED-HA; AIA consul_checks"},
	{platform.DBConnector, 1, 0, "the redundancy playbooks move the database connectors there", "HA25-conf; HAA README"},
}

// sizes judges the number of hosts of each group.
func (l lint) sizes() []checks.Finding {
	rules := slices.Concat(anySize, standardSizes)
	if l.redundant != "" {
		rules = slices.Concat(anySize, redundantSizes)
	}
	var out []checks.Finding
	for _, r := range rules {
		n := len(l.members(r.group))
		if n >= r.min && (n <= r.max || r.max == 0) {
			continue
		}
		out = append(out, l.Fail(sizesID, section(r.group), "%s holds %s: %s", section(r.group), count(n), r.why).
			Saw(count(n)).Wanted(r.wanted()).From(r.source))
	}
	return slices.Concat(out, l.meshSize(), l.connectors(), l.chats(), l.syslog())
}

func (s size) wanted() string {
	if s.max == 0 {
		return fmt.Sprintf("%d or more", s.min)
	}
	return count(s.max)
}

// count gives "no host", "1 host", "2 hosts".
func count(n int) string {
	switch n {
	case 0:
		return "no host"
	case 1:
		return "1 host"
	}
	return fmt.Sprintf("%d hosts", n)
}

func (l lint) meshSize() []checks.Finding {
	n := len(l.members(platform.Mesh))
	if l.redundant != "" || n == 1 || n == 3 {
		return nil
	}
	return []checks.Finding{l.Fail(sizesID, section(platform.Mesh), "%s holds %s: a leader is elected among 1 or 3", section(platform.Mesh), count(n)).
		Saw(count(n)).Wanted("1 host or 3 hosts").From("AIA consul_checks")}
}

// connectors judges where the database connectors go. The standard playbook
// puts them on the database, and stops when the group says otherwise.
func (l lint) connectors() []checks.Finding {
	target := section(platform.DBConnector)
	have, mailstores := l.members(platform.DBConnector), l.members(platform.Mailstore)
	switch {
	case len(have) == 0:
	case l.redundant == "" && l.install:
		return []checks.Finding{l.Fail(sizesID, target, "%s holds %s: the standard playbook stops unless it is empty", target, count(len(have))).
			Wanted("no host").From("AIA dbconnectors_checks").Fix("empty " + target + " for the standard install, fill it again for the redundancy playbooks")}
	case l.redundant != "" && !sameSet(have, mailstores):
		return []checks.Finding{l.Warn(sizesID, target, "%s is not the same as [applicationServers]: the manual puts the connectors on the mailstores", target).
			Saw(strings.Join(have, ", ")).Wanted(strings.Join(mailstores, ", ")).From("HA25-conf; HAA README")}
	}
	return nil
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

func (l lint) chats() []checks.Finding {
	video := l.members(platform.Video)
	if len(video) == 0 || len(l.members(platform.Chats)) > 0 || l.scope.Release.Before(r25_3) {
		return nil
	}
	return []checks.Finding{l.Fail(sizesID, section(platform.Chats), "[workStreamServers] holds no host while [videoServers] does: the playbooks stop, video needs Chats").
		Saw("no host").Wanted("1 or more").From("AIA workstreamservers_check")}
}

func (l lint) syslog() []checks.Finding {
	target := section(platform.Syslog)
	n := len(l.members(platform.Syslog))
	single := l.install && len(l.scope.Topology.Nodes) == 1 && !l.scope.Release.Before(platform.R26_6)
	var out []checks.Finding
	switch {
	case single && n > 0:
		out = append(out, l.Fail(sizesID, target, "%s holds a host: on a single server the playbook stops unless it is empty", target).
			Wanted("no host").From("AIA-dev single_server_checks"))
	case n > 1:
		out = append(out, l.Warn(sizesID, target, "%s holds %s: the platform logs to the first only", target, count(n)).
			Wanted("1 host").From("AIA execute-master-directory-bootstrap"))
	}
	if single && len(l.members(platform.Replica)) > 0 {
		target := section(platform.Replica)
		out = append(out, l.Fail(sizesID, target, "%s holds a host: on a single server the playbook stops unless it is empty", target).
			Wanted("no host").From("AIA-dev single_server_checks"))
	}
	return out
}

// roles judges who leads and who follows.
func (l lint) roles() []checks.Finding {
	if l.redundant == "" {
		return []checks.Finding{l.Skip(rolesID, l.inv.File, "the inventory is of the standard form: one database and one directory server need no role")}
	}
	return slices.Concat(
		l.rolesOf(platform.Database, "patroni_role", "primary", "secondary"),
		l.rolesOf(platform.Directory, "ldap_role", "master", "mmr"),
	)
}

func (l lint) rolesOf(group platform.Component, key, lead, follow string) []checks.Finding {
	hosts, target := l.members(group), section(group)
	if len(hosts) == 0 {
		return []checks.Finding{l.Skip(rolesID, target, "%s holds no host", target)}
	}
	roles := l.inv.HostVars(key)
	var leaders, lines []string
	problem := ""
	for _, h := range hosts {
		role, ok := roles[h]
		lines = append(lines, h+" "+key+"="+role)
		switch {
		case role == lead:
			leaders = append(leaders, h)
		case !ok && problem == "":
			problem = fmt.Sprintf("%s has no %s", h, key)
		case ok && role != follow && problem == "":
			problem = fmt.Sprintf("%s of %s is %q, neither %s nor %s", key, h, role, lead, follow)
		}
	}
	switch {
	case problem != "":
	case len(leaders) == 0:
		problem = fmt.Sprintf("no host of %s is the %s", target, lead)
	case len(leaders) > 1:
		problem = fmt.Sprintf("%d hosts of %s are the %s: %s", len(leaders), target, lead, strings.Join(leaders, ", "))
	case leaders[0] != hosts[0]:
		problem = fmt.Sprintf("the %s, %s, is not the first host of %s", lead, leaders[0], target)
	default:
		return []checks.Finding{l.Pass(rolesID, target, "%s is the %s and the first of %s", hosts[0], lead, target).Saw(strings.Join(lines, "\n"))}
	}
	want := orderedRoles(hosts, leaders, key, lead, follow)
	return []checks.Finding{l.Fail(rolesID, target, "%s", problem).
		Saw(strings.Join(lines, "\n")).Wanted(want).Fix("write the roles of " + target + " so, in this order:\n" + want)}
}

// orderedRoles is the group as it should be: the one that says it leads, else
// the first, before the others.
func orderedRoles(hosts, leaders []string, key, lead, follow string) string {
	if len(leaders) == 1 {
		others := slices.DeleteFunc(slices.Clone(hosts), func(h string) bool { return h == leaders[0] })
		hosts = append(leaders, others...)
	}
	var lines []string
	role := lead
	for _, h := range hosts {
		lines = append(lines, fmt.Sprintf("%s %s=%s", h, key, role))
		role = follow
	}
	return strings.Join(lines, "\n")
}

// brokers judges the ids of Kafka and, while there is one, of ZooKeeper.
func (l lint) brokers() []checks.Finding {
	if l.redundant == "" {
		return []checks.Finding{l.Skip(brokersID, l.inv.File, "the inventory is of the standard form: no Kafka")}
	}
	kraft := !l.scope.Release.Before(platform.R25_9)
	target := section(platform.Kafka)
	if len(l.members(platform.Kafka)) == 0 {
		return []checks.Finding{l.Warn(brokersID, target, "%s holds no host: without Kafka no mailbox has a replica", target).
			Wanted("3 hosts").With("form", "redundant, because "+l.redundant)}
	}
	out := []checks.Finding{l.ids(platform.Kafka, "broker_id", kraft)}
	target = section(platform.ZooKeeper)
	switch n := len(l.members(platform.ZooKeeper)); {
	case !kraft:
		out = append(out, l.ids(platform.ZooKeeper, "zookeeper_id", false))
	case n > 0:
		out = append(out, l.Warn(brokersID, target, "%s holds %s: Kafka needs no ZooKeeper since 25.9", target, count(n)).
			Wanted("no host").From("HAA CHANGELOG 25.9").Fix("empty "+target+" and leave it in the inventory"))
	}
	return out
}

// ids judges a group of three whose members are told apart by a number; in
// KRaft mode that number is also the place in the group.
func (l lint) ids(group platform.Component, key string, ordered bool) checks.Finding {
	hosts, values, target := l.members(group), l.inv.HostVars(key), section(group)
	lines := make([]string, 0, len(hosts))
	holder := map[int]string{}
	problem := ""
	for i, h := range hosts {
		value, ok := values[h]
		lines = append(lines, h+" "+key+"="+value)
		id, err := strconv.Atoi(value)
		switch {
		case problem != "":
		case !ok:
			problem = fmt.Sprintf("%s has no %s", h, key)
		case err != nil || id < 1:
			problem = fmt.Sprintf("%s of %s is %q, not a positive number", key, h, value)
		case holder[id] != "":
			problem = fmt.Sprintf("%s and %s have the same %s, %d", holder[id], h, key, id)
		case ordered && id != i+1:
			problem = fmt.Sprintf("%s is number %d of %s and has %s=%d: the voters are 1, 2, 3 in that order", h, i+1, target, key, id)
		}
		holder[id] = h
	}
	seen := strings.Join(lines, "\n")
	switch {
	case len(hosts) != 3:
		return l.Fail(brokersID, target, "%s holds %s: the playbook configures exactly three", target, count(len(hosts))).
			Saw(cmp.Or(seen, "no host")).Wanted("3 hosts")
	case problem != "":
		want := numbered(hosts, holder, key)
		return l.Fail(brokersID, target, "%s", problem).Saw(seen).Wanted(want).Fix("write " + target + " so, in this order:\n" + want)
	}
	return l.Pass(brokersID, target, "%s holds three hosts with distinct ids", target).Saw(seen)
}

// numbered is the group as it should be. Hosts that have the ids 1, 2, 3 among
// them keep them, for a broker that runs has its own on its disk, and change places.
func numbered(hosts []string, holder map[int]string, key string) string {
	keep := holder[1] != "" && holder[2] != "" && holder[3] != ""
	var lines []string
	for i, h := range hosts {
		if keep {
			h = holder[i+1]
		}
		lines = append(lines, fmt.Sprintf("%s %s=%d", h, key, i+1))
	}
	return strings.Join(lines, "\n")
}

// An exclusion is a pair of groups that no host may share.
type exclusion struct {
	a, b      platform.Component
	redundant bool // only then
	why       string
	source    string
}

var exclusions = []exclusion{
	{platform.DBConnector, platform.Database, true, "HAProxy and PostgreSQL both take port 5432", "HAA haproxy.cfg.j2"},
	{platform.DBConnector, platform.Directory, true, "HAProxy is not installed on directory servers, and the connectors need it", "HAA install_haproxy"},
	{platform.Directory, platform.Replica, false, "a directory server is either a master or a replica", "AIA README"},
}

// conflicts judges hosts that are in two groups at once.
func (l lint) conflicts() []checks.Finding {
	against := map[string]bool{}
	var out []checks.Finding
	for _, x := range exclusions {
		if x.redundant && l.redundant == "" {
			continue
		}
		inB := map[string]bool{}
		for _, h := range l.members(x.b) {
			inB[h] = true
		}
		for _, h := range l.members(x.a) {
			if inB[h] && !against[h] {
				against[h] = true
				out = append(out, l.Fail(conflictsID, h, "%s is in %s and in %s: %s", h, section(x.a), section(x.b), x.why).From(x.source))
			}
		}
	}
	replicas := l.members(platform.Replica)
	if len(l.members(platform.Directory)) > 1 && len(replicas) > 0 {
		target := section(platform.Replica)
		out = append(out, l.Warn(conflictsID, target, "%s holds %s beside a second master: in the redundant form it is empty", target, count(len(replicas))).
			Saw(strings.Join(replicas, ", ")).From("HA25-std; RUR26").
			Fix("empty "+target+"; a replica becomes a master by zxbot.carbonio_ldap.carbonio_promote_mmr"))
	}
	return out
}
