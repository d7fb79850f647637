package inventory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// Releases that change what the playbooks read: the first makes [workStreamServers]
// mandatory, the second reads default_domain and puts memcached on the first proxy.
var (
	r25_3 = platform.Release{Year: 25, Month: 3}
	r26_3 = platform.Release{Year: 26, Month: 3}
)

// carbonioGroups are the names of all groups that Carbonio knows.
var carbonioGroups = func() []string {
	var out []string
	for _, c := range platform.Components {
		out = append(out, string(c.Component))
	}
	return out
}()

// required says whether a standard installation reads the group, so that it may
// not be missing.
func required(group string) bool {
	return group != string(platform.Kafka) && group != string(platform.ZooKeeper)
}

// judgeGroups judges the names of the groups.
func (l *lint) judgeGroups() {
	if len(l.missing) == len(platform.Components) {
		l.add(groups.Fail(l, l.inv.File, "%s has no Carbonio group: is it the right file?", l.inv.File).
			Wanted(section(strings.Join(cluster.Those(carbonioGroups, required), "], ["))))
		return
	}
	if l.inv.BOM {
		l.add(groups.Fail(l, l.inv.File, "%s begins with a byte order mark, and Ansible cannot read its first line", l.inv.File).
			Fix(`sed -i '1s/^\xEF\xBB\xBF//' ` + quoted(l.inv.File)))
	}
	misspelled := map[string]string{}
	for _, g := range l.inv.Groups {
		if slices.Contains(carbonioGroups, g.Name) || len(g.Name) > 64 {
			continue
		}
		if near := platform.Nearest(g.Name, l.missing); near != "" && misspelled[near] == "" {
			misspelled[near] = g.Name
		} else {
			l.judgeForeign(g)
		}
	}
	for _, name := range l.missing {
		l.judgeMissing(name, misspelled[name])
	}
}

// judgeMissing judges a Carbonio group that is not declared, and the group of
// another name that was probably meant.
func (l *lint) judgeMissing(name, misspelled string) {
	target := section(name)
	rename := ""
	if plain.MatchString(misspelled) {
		rename = fmt.Sprintf(`sed -i -E 's|^\[%s([]:])|[%s\1|' %s`, misspelled, name, quoted(l.inv.File))
	}
	declare := fmt.Sprintf(`printf '\n[%s]\n' >> %s`, name, quoted(l.inv.File))
	mandatory := required(name) && !(name == string(platform.Chats) && l.scope.Release.Before(r25_3))
	switch {
	case misspelled != "" && mandatory:
		l.add(groups.Fail(l, target, "%s is missing, and %s is not a Carbonio group: is it misspelled?", target, section(misspelled)).Fix(rename))
	case misspelled != "":
		l.add(groups.Warn(l, target, "%s is not a Carbonio group: did you mean %s?", section(misspelled), target).Fix(rename))
	case mandatory:
		l.add(groups.Fail(l, target, "%s is missing: the playbooks stop when they read it", target).
			Fix(declare + "   # and its hosts below it, if it has any"))
	case name == string(platform.ZooKeeper) && l.redundant != "" && l.kraft():
		l.add(groups.Warn(l, target, "%s is missing: the manual keeps it, empty, for older playbooks", target).
			Fix(declare).Per(platform.RedundantInstall, withoutZooKeeper))
	}
}

// judgeForeign judges a group that is not Carbonio's. That is legal in Ansible,
// and harmless while its hosts are also in Carbonio groups.
func (l *lint) judgeForeign(g platform.Group) {
	var without []string
	for _, h := range g.Hosts {
		if !l.used[strings.ToLower(h.Name)] {
			without = append(without, h.Name)
		}
	}
	if len(without) == 0 {
		return
	}
	hint := ""
	if near := platform.Nearest(g.Name, carbonioGroups); near != "" {
		hint = fmt.Sprintf(" (did you mean %s?)", section(near))
	}
	l.add(groups.Warn(l, section(g.Name), "%s is in %s%s but in no Carbonio group: the playbooks run on it, but give it no component",
		without[0], section(g.Name), hint).
		Saw(strings.Join(without, ", ")).
		Fix("move the hosts to the groups of their components, or out of this inventory"))
}

// A size is how many hosts a group may have.
type size struct {
	group   platform.Component
	when    func(*lint) bool
	allowed []int // nil: any number but none
	why     string
	sources []platform.Source
}

func (s size) fits(n int) bool {
	return slices.Contains(s.allowed, n) || s.allowed == nil && n > 0
}

func (s size) want() string {
	if s.allowed == nil {
		return "1 or more"
	}
	var out []string
	for _, n := range s.allowed {
		out = append(out, count(n))
	}
	return strings.Join(out, " or ")
}

const empty = "no hosts"

// count gives "no hosts", "1 host", "2 hosts".
func count(n int) string {
	switch n {
	case 0:
		return empty
	case 1:
		return "1 host"
	}
	return fmt.Sprintf("%d hosts", n)
}

// Which inventories a rule is for.
func always(*lint) bool      { return true }
func standard(l *lint) bool  { return l.redundant == "" }
func redundant(l *lint) bool { return l.redundant != "" }
func single(l *lint) bool    { return l.single }
func withVideo(l *lint) bool {
	return len(l.members(platform.Video)) > 0 && !l.scope.Release.Before(r25_3)
}

// allSizes are the sizes without which the playbooks stop, or leave hosts out.
var allSizes = []size{
	{platform.MTA, always, nil, "without one there is no mail", installer("README")},
	{platform.Proxy, always, nil, "without one there is no webmail", installer("README")},
	{platform.Mailstore, always, nil, "without one there is no mailbox", installer("README")},
	{platform.Database, standard, []int{1}, "the standard playbook expects one; the redundancy playbooks add the others", installer("postgres_checks")},
	{platform.Database, redundant, []int{2}, "HAProxy is configured for the first two", haproxy},
	{platform.Directory, standard, []int{1}, "the standard playbook expects one; the redundancy playbooks add the others", installer("directory_server_checks")},
	{platform.Directory, redundant, []int{2}, "HAProxy is configured for the first two", haproxy},
	{platform.Mesh, standard, []int{1, 3}, "the mesh elects its leader among 1 or 3 servers", installer("consul_checks")},
	{platform.Mesh, redundant, []int{3}, "Patroni needs a mesh of three to elect its leader", append(installer("consul_checks"), platform.ScenarioHA)},
	{platform.DBConnector, redundant, nil, "the redundancy playbooks move the database connectors there", connectorsPlace},
	{platform.Chats, withVideo, nil, "[videoServers] needs Chats, and the playbooks stop without it", installer("workstreamservers_check")},
	{platform.Syslog, single, []int{0}, "on a single server the playbook stops unless it is empty", singleServer},
	{platform.Replica, single, []int{0}, "on a single server the playbook stops unless it is empty", singleServer},
}

func installer(part string) []platform.Source {
	return []platform.Source{platform.Installer.On(part)}
}

// counted is the finding about a group with another number of hosts than wanted.
func (l *lint) counted(say verdict, group platform.Component, why, want string) checks.Finding {
	n, target := count(len(l.members(group))), section(group)
	return l.form(say(l, target, "%s has %s: %s", target, n, why).Saw(n).Wanted(want))
}

// judgeSizes judges the number of hosts in each group, and whether connectors
// and logs are where they belong.
func (l *lint) judgeSizes() {
	before := len(l.found)
	for _, r := range allSizes {
		if r.when(l) && !r.fits(len(l.members(r.group))) {
			l.add(l.counted(sizes.Fail, r.group, r.why, r.want()).Per(r.sources...))
		}
	}
	have, mailstores, target := l.members(platform.DBConnector), l.members(platform.Mailstore), section(platform.DBConnector)
	switch {
	case len(have) > 0 && standard(l) && l.install:
		l.add(l.counted(sizes.Fail, platform.DBConnector, "the standard playbook stops unless it is empty", empty).
			Per(installer("dbconnectors_checks")...).Fix("empty " + target + " for the standard installation, and fill it again for the redundancy playbooks"))
	case len(have) > 0 && redundant(l) && !slices.Equal(slices.Sorted(slices.Values(have)), slices.Sorted(slices.Values(mailstores))):
		l.add(l.form(sizes.Warn(l, target, "%s differs from [applicationServers]: the manual puts the connectors on the mailstores", target).
			Saw(strings.Join(have, ", ")).Wanted(strings.Join(mailstores, ", ")).Per(connectorsPlace...)))
	}
	if len(l.members(platform.Syslog)) > 1 && !l.single {
		l.add(l.counted(sizes.Warn, platform.Syslog, "the platform logs only to the first", count(1)).
			Per(installer("execute-master-directory-bootstrap")...))
	}
	if len(l.found) > before {
		return
	}
	f := l.form(sizes.Pass(l, l.inv.File, "every group has as many hosts as the playbooks expect"))
	if l.redundant != "" && l.install {
		f = f.With("note", "the standard playbook runs first and stops on a redundant inventory: "+
			"it expects one database, one directory server, and no hosts in [dbsConnectorServers]")
	}
	l.add(f)
}

// judgeRoles judges who leads and who follows.
func (l *lint) judgeRoles() {
	if l.redundant == "" {
		l.add(roles.Skip(l, l.inv.File, "this is a standard inventory: one database and one directory server need no role"))
		return
	}
	l.add(l.rolesOf(platform.Database, "patroni_role", "primary", "secondary"))
	l.add(l.rolesOf(platform.Directory, "ldap_role", "master", "mmr"))
}

func (l *lint) rolesOf(group platform.Component, key, lead, follow string) checks.Finding {
	members, has, target := l.members(group), l.inv.HostVars(key), section(group)
	if len(members) == 0 {
		return roles.Skip(l, target, "%s has no hosts", target)
	}
	seen := listed(members, key, has)
	leaders := cluster.Those(members, func(h string) bool { return has[h] == lead })
	odd := cluster.Those(members, func(h string) bool { return has[h] != lead && has[h] != follow })
	var problem string
	switch {
	case len(odd) > 0:
		problem = fmt.Sprintf("%s of %s is %q, neither %s nor %s", key, odd[0], has[odd[0]], lead, follow)
		if _, ok := has[odd[0]]; !ok {
			problem = fmt.Sprintf("%s has no %s", odd[0], key)
		}
	case len(leaders) == 0:
		problem = fmt.Sprintf("no host in %s is the %s", target, lead)
	case len(leaders) > 1:
		problem = fmt.Sprintf("%d hosts in %s are the %s: %s", len(leaders), target, lead, strings.Join(leaders, ", "))
	case leaders[0] != members[0]:
		problem = fmt.Sprintf("the %s, %s, is not the first host in %s", lead, leaders[0], target)
	default:
		return roles.Pass(l, target, "%s is the %s and the first host in %s", members[0], lead, target).Saw(seen)
	}
	if len(leaders) == 1 { // it stays the leader, and goes first
		members = slices.Insert(cluster.Those(members, func(h string) bool { return h != leaders[0] }), 0, leaders[0])
	}
	roleOf := map[string]string{}
	for _, h := range members {
		roleOf[h] = follow
	}
	roleOf[members[0]] = lead
	want := listed(members, key, roleOf)
	return roles.Fail(l, target, "%s", problem).Saw(seen).Wanted(want).Fix(l.rewrite(target, want))
}

// listed is hosts with their value of a variable, as an inventory writes them.
func listed(hosts []string, key string, value map[string]string) string {
	var lines []string
	for _, h := range hosts {
		if v, ok := value[h]; ok {
			h += " " + key + "=" + v
		}
		lines = append(lines, h)
	}
	return strings.Join(lines, "\n")
}

func (l *lint) rewrite(target, lines string) string {
	return fmt.Sprintf("# in %s: %s, in this order\n%s", l.inv.File, target, lines)
}

// judgeBrokers judges the ids of Kafka and, while there is one, of ZooKeeper.
func (l *lint) judgeBrokers() {
	switch {
	case l.redundant == "":
		l.add(brokers.Skip(l, l.inv.File, "this is a standard inventory: no Kafka"))
	case len(l.members(platform.Kafka)) == 0:
		l.add(l.counted(brokers.Warn, platform.Kafka, "without Kafka no mailbox has a replica", count(3)))
	case !l.kraft():
		l.add(l.ids(platform.Kafka, "broker_id", false))
		l.add(l.ids(platform.ZooKeeper, "zookeeper_id", false))
	default:
		l.add(l.ids(platform.Kafka, "broker_id", true))
		if len(l.members(platform.ZooKeeper)) > 0 {
			l.add(l.counted(brokers.Warn, platform.ZooKeeper, "since 25.9 Kafka does not need ZooKeeper", empty).Per(withoutZooKeeper).
				Fix("remove the hosts of " + section(platform.ZooKeeper) + ", and keep the empty group in the inventory"))
		}
	}
}

// kraft says whether Kafka elects its controller itself, without ZooKeeper.
func (l *lint) kraft() bool { return !l.scope.Release.Before(platform.R25_9) }

// ids judges a group of three whose members are numbered; in KRaft mode the
// number is also the place in the group.
func (l *lint) ids(group platform.Component, key string, ordered bool) checks.Finding {
	members, has, target := l.members(group), l.inv.HostVars(key), section(group)
	seen := cmp.Or(listed(members, key, has), empty)
	if len(members) != 3 {
		return brokers.Fail(l, target, "%s has %s: the playbook configures exactly three", target, count(len(members))).
			Saw(seen).Wanted(count(3))
	}
	byID := map[int]string{}
	problem := ""
	for i, h := range members {
		value, ok := has[h]
		id, err := strconv.Atoi(value)
		switch {
		case problem != "":
		case !ok:
			problem = fmt.Sprintf("%s has no %s", h, key)
		case err != nil || id < 1:
			problem = fmt.Sprintf("%s of %s is %q, not a positive number", key, h, value)
		case byID[id] != "":
			problem = fmt.Sprintf("%s and %s have the same %s, %d", byID[id], h, key, id)
		case ordered && id != i+1:
			problem = fmt.Sprintf("%s is host %d in %s but has %s=%d: the voters are 1, 2, 3 in that order", h, i+1, target, key, id)
		}
		byID[id] = h
	}
	if problem == "" {
		return brokers.Pass(l, target, "%s has three hosts with distinct IDs", target).Saw(seen)
	}
	// A broker that runs has its ID on its disk: where 1, 2 and 3 are all taken,
	// the hosts keep their IDs and change places.
	if byID[1] != "" && byID[2] != "" && byID[3] != "" {
		members = []string{byID[1], byID[2], byID[3]}
	}
	want := listed(members, key, map[string]string{members[0]: "1", members[1]: "2", members[2]: "3"})
	return brokers.Fail(l, target, "%s", problem).Saw(seen).Wanted(want).Fix(l.rewrite(target, want))
}

// An exclusion is a pair of groups that no host may share.
type exclusion struct {
	a, b    platform.Component
	when    func(*lint) bool
	why     string
	sources []platform.Source
}

var exclusions = []exclusion{
	{platform.DBConnector, platform.Database, redundant, "HAProxy and PostgreSQL both use port 5432", haproxy},
	{platform.DBConnector, platform.Directory, redundant, "HAProxy is not installed on directory servers, and the connectors need it", []platform.Source{platform.Cluster.On("install_haproxy")}},
	{platform.Directory, platform.Replica, always, "a directory server is either a master or a replica", installer("README")},
}

// judgeConflicts judges hosts that are in two groups at once.
func (l *lint) judgeConflicts() {
	for _, n := range l.scope.Topology.Nodes {
		i := slices.IndexFunc(exclusions, func(x exclusion) bool { return x.when(l) && n.Has(x.a) && n.Has(x.b) })
		if i >= 0 {
			x := exclusions[i]
			l.add(conflicts.Fail(l, n.Name, "%s is in both %s and %s: %s", n.Name, section(x.a), section(x.b), x.why).Per(x.sources...))
		}
	}
	if replicas := l.members(platform.Replica); len(l.members(platform.Directory)) > 1 && len(replicas) > 0 {
		target := section(platform.Replica)
		l.add(conflicts.Warn(l, target, "%s has %s although there is a second master: on a redundant platform it is empty", target, count(len(replicas))).
			Saw(strings.Join(replicas, ", ")).Per(platform.HAInstallation, platform.Redundant).
			Fix("# make the replica a master, then remove the hosts of " + target + "\nansible-playbook zxbot.carbonio_ldap.carbonio_promote_mmr -i " + quoted(l.inv.File)))
	}
}
