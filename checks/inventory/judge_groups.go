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

// r25_3 makes [workStreamServers] mandatory.
var r25_3 = platform.Release{Year: 25, Month: 3}

// carbonioGroups are the names of all groups that Carbonio knows.
var carbonioGroups = func() []string {
	var out []string
	for _, c := range platform.Components {
		out = append(out, string(c.Component))
	}
	return out
}()

// required says whether a standard install reads the group: it may not be missing.
func required(group string) bool {
	return group != string(platform.Kafka) && group != string(platform.ZooKeeper)
}

// judgeGroups judges the names of the groups.
func (l *lint) judgeGroups() {
	if len(l.missing) == len(platform.Components) {
		l.say(groups.Fail(l, l.inv.File, "%s holds no group of Carbonio: is it the right file?", l.inv.File).
			Wanted(section(strings.Join(cluster.Those(carbonioGroups, required), "], ["))))
		return
	}
	if l.inv.BOM {
		l.say(groups.Fail(l, l.inv.File, "%s begins with a byte order mark, and Ansible cannot read its first line", l.inv.File).
			Fix(`sed -i '1s/^\xEF\xBB\xBF//' ` + l.inv.File))
	}
	misspelt := map[string]string{}
	for _, g := range l.inv.Groups {
		if slices.Contains(carbonioGroups, g.Name) || len(g.Name) > 64 {
			continue
		}
		if near := platform.Nearest(g.Name, l.missing); near != "" && misspelt[near] == "" {
			misspelt[near] = g.Name
		} else {
			l.judgeForeign(g)
		}
	}
	for _, name := range l.missing {
		l.judgeMissing(name, misspelt[name])
	}
}

// judgeMissing judges a group of Carbonio that is not declared, and the one of
// another name that was probably meant to be it.
func (l *lint) judgeMissing(name, misspelt string) {
	target := section(name)
	rename := fmt.Sprintf("rename %s to %s in the inventory", section(misspelt), target)
	declare := "add to the inventory, empty if it has no hosts:\n" + target
	mustBe := required(name) && !(name == string(platform.Chats) && l.scope.Release.Before(r25_3))
	switch {
	case misspelt != "" && mustBe:
		l.say(groups.Fail(l, target, "%s is missing, and Carbonio does not know %s: a misspelling?", target, section(misspelt)).Fix(rename))
	case misspelt != "":
		l.say(groups.Warn(l, target, "Carbonio does not know %s: is %s meant?", section(misspelt), target).Fix(rename))
	case mustBe:
		l.say(groups.Fail(l, target, "%s is missing: the playbooks stop where they read it", target).Fix(declare))
	case name == string(platform.ZooKeeper) && l.redundant != "" && l.kraft():
		l.say(groups.Warn(l, target, "%s is missing: the manual keeps it, empty, for older playbooks", target).
			Fix(declare).Per(platform.RedundantInstall, withoutZooKeeper))
	}
}

// judgeForeign judges a group that Carbonio does not know. That is legal in
// Ansible, and of no harm while its hosts are in groups that Carbonio does know.
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
		hint = fmt.Sprintf(" (is %s meant?)", section(near))
	}
	l.say(groups.Warn(l, section(g.Name), "%s is in no group of Carbonio but in %s%s: the playbooks run on it, and give it no component",
		without[0], section(g.Name), hint).
		Saw(strings.Join(without, ", ")).
		Fix("move the hosts to the groups of their components, or out of this inventory"))
}

// A size is how many hosts a group may hold.
type size struct {
	group   platform.Component
	when    func(*lint) bool
	want    string
	fits    func(n int) bool
	why     string
	sources []platform.Source
}

func some(n int) bool { return n > 0 }

func exactly(allowed ...int) func(int) bool {
	return func(n int) bool { return slices.Contains(allowed, n) }
}

const empty = "no host"

// count gives "no host", "1 host", "2 hosts".
func count(n int) string {
	switch n {
	case 0:
		return empty
	case 1:
		return "1 host"
	}
	return fmt.Sprintf("%d hosts", n)
}

// The inventories that a rule is for.
func always(*lint) bool      { return true }
func standard(l *lint) bool  { return l.redundant == "" }
func redundant(l *lint) bool { return l.redundant != "" }
func single(l *lint) bool    { return l.single }
func withVideo(l *lint) bool {
	return len(l.members(platform.Video)) > 0 && !l.scope.Release.Before(r25_3)
}

// allSizes are what the playbooks stop at, or cannot use.
var allSizes = []size{
	{platform.MTA, always, "1 or more", some, "without one there is no mail", installer("README")},
	{platform.Proxy, always, "1 or more", some, "without one there is no webmail", installer("README")},
	{platform.Mailstore, always, "1 or more", some, "without one there is no mailbox", installer("README")},
	{platform.Database, standard, "1 host", exactly(1), "the standard playbook takes one, others come with the redundancy playbooks", installer("postgres_checks")},
	{platform.Database, redundant, "2 hosts", exactly(2), "HAProxy is configured for the first two", haproxy},
	{platform.Directory, standard, "1 host", exactly(1), "the standard playbook takes one, others come with the redundancy playbooks", installer("directory_server_checks")},
	{platform.Directory, redundant, "2 hosts", exactly(2), "HAProxy is configured for the first two", haproxy},
	{platform.Mesh, standard, "1 host or 3 hosts", exactly(1, 3), "a leader is elected among 1 or 3", installer("consul_checks")},
	{platform.Mesh, redundant, "3 hosts", exactly(3), "Patroni elects its leader through a mesh of three", append(installer("consul_checks"), platform.ScenarioHA)},
	{platform.DBConnector, redundant, "1 or more", some, "the redundancy playbooks move the database connectors there", connectorsPlace},
	{platform.Chats, withVideo, "1 or more", some, "[videoServers] needs Chats, and the playbooks stop", installer("workstreamservers_check")},
	{platform.Syslog, single, empty, exactly(0), "on a single server the playbook stops unless it is empty", singleServer},
	{platform.Replica, single, empty, exactly(0), "on a single server the playbook stops unless it is empty", singleServer},
}

func installer(part string) []platform.Source {
	return []platform.Source{platform.Installer.On(part)}
}

// judgeSizes judges the number of hosts of each group, and whether connectors
// and logs are where they belong.
func (l *lint) judgeSizes() {
	before := len(l.found)
	for _, r := range allSizes {
		n := len(l.members(r.group))
		if !r.when(l) || r.fits(n) {
			continue
		}
		f := l.form(sizes.Fail(l, section(r.group), "%s holds %s: %s", section(r.group), count(n), r.why).Wanted(r.want).Per(r.sources...))
		if r.want != empty {
			f = f.Saw(count(n))
		}
		l.say(f)
	}
	have, mailstores, target := l.members(platform.DBConnector), l.members(platform.Mailstore), section(platform.DBConnector)
	switch {
	case len(have) > 0 && standard(l) && l.install:
		l.say(sizes.Fail(l, target, "%s holds %s: the standard playbook stops unless it is empty", target, count(len(have))).
			Wanted(empty).Per(installer("dbconnectors_checks")...).Fix("empty " + target + " for the standard install, fill it again for the redundancy playbooks"))
	case len(have) > 0 && redundant(l) && !sameSet(have, mailstores):
		l.say(l.form(sizes.Warn(l, target, "%s is not the same as [applicationServers]: the manual puts the connectors on the mailstores", target).
			Saw(strings.Join(have, ", ")).Wanted(strings.Join(mailstores, ", ")).Per(connectorsPlace...)))
	}
	if n := len(l.members(platform.Syslog)); n > 1 && !l.single {
		target := section(platform.Syslog)
		l.say(l.form(sizes.Warn(l, target, "%s holds %s: the platform logs to the first only", target, count(n)).
			Wanted("1 host").Per(installer("execute-master-directory-bootstrap")...)))
	}
	if len(l.found) > before {
		return
	}
	f := l.form(sizes.Pass(l, l.inv.File, "every group holds as many hosts as the playbooks take"))
	if l.redundant != "" && l.install {
		f = f.With("note", "the standard playbook runs first and stops at this form: "+
			"it takes one database, one directory server, and no host in [dbsConnectorServers]")
	}
	l.say(f)
}

func sameSet(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}

// judgeRoles judges who leads and who follows.
func (l *lint) judgeRoles() {
	if l.redundant == "" {
		l.say(roles.Skip(l, l.inv.File, "the inventory is of the standard form: one database and one directory server need no role"))
		return
	}
	l.say(l.rolesOf(platform.Database, "patroni_role", "primary", "secondary"))
	l.say(l.rolesOf(platform.Directory, "ldap_role", "master", "mmr"))
}

func (l *lint) rolesOf(group platform.Component, key, lead, follow string) checks.Finding {
	members, has, target := l.members(group), l.inv.HostVars(key), section(group)
	if len(members) == 0 {
		return roles.Skip(l, target, "%s holds no host", target)
	}
	seen := listed(members, key, has)
	leaders := cluster.Those(members, func(h string) bool { return has[h] == lead })
	odd := cluster.Those(members, func(h string) bool { return has[h] != lead && has[h] != follow })
	problem := ""
	switch {
	case len(odd) > 0:
		problem = fmt.Sprintf("%s of %s is %q, neither %s nor %s", key, odd[0], has[odd[0]], lead, follow)
		if _, ok := has[odd[0]]; !ok {
			problem = fmt.Sprintf("%s has no %s", odd[0], key)
		}
	case len(leaders) == 0:
		problem = fmt.Sprintf("no host of %s is the %s", target, lead)
	case len(leaders) > 1:
		problem = fmt.Sprintf("%d hosts of %s are the %s: %s", len(leaders), target, lead, strings.Join(leaders, ", "))
	case leaders[0] != members[0]:
		problem = fmt.Sprintf("the %s, %s, is not the first host of %s", lead, leaders[0], target)
	default:
		return roles.Pass(l, target, "%s is the %s and the first of %s", members[0], lead, target).Saw(seen)
	}
	if len(leaders) == 1 { // it goes first, whoever was
		members = slices.DeleteFunc(members, func(h string) bool { return h == leaders[0] })
		members = slices.Insert(members, 0, leaders[0])
	}
	should := map[string]string{members[0]: lead}
	for _, h := range members[1:] {
		should[h] = follow
	}
	want := listed(members, key, should)
	return roles.Fail(l, target, "%s", problem).Saw(seen).Wanted(want).Fix("write the roles of " + target + " so, in this order:\n" + want)
}

// listed is hosts with the value of a variable each, as an inventory writes them.
func listed(hosts []string, key string, value map[string]string) string {
	lines := make([]string, len(hosts))
	for i, h := range hosts {
		lines[i] = h + " " + key + "=" + value[h]
	}
	return strings.Join(lines, "\n")
}

// judgeBrokers judges the ids of Kafka and, while there is one, of ZooKeeper.
func (l *lint) judgeBrokers() {
	target, n := section(platform.ZooKeeper), len(l.members(platform.ZooKeeper))
	switch {
	case l.redundant == "":
		l.say(brokers.Skip(l, l.inv.File, "the inventory is of the standard form: no Kafka"))
	case len(l.members(platform.Kafka)) == 0:
		l.say(l.form(brokers.Warn(l, "[kafka]", "[kafka] holds no host: without Kafka no mailbox has a replica").Wanted("3 hosts")))
	case !l.kraft():
		l.say(l.ids(platform.Kafka, "broker_id", false))
		l.say(l.ids(platform.ZooKeeper, "zookeeper_id", false))
	default:
		l.say(l.ids(platform.Kafka, "broker_id", true))
		if n > 0 {
			l.say(brokers.Warn(l, target, "%s holds %s: Kafka needs no ZooKeeper since 25.9", target, count(n)).
				Wanted("no host").Per(withoutZooKeeper).Fix("empty " + target + " and leave it in the inventory"))
		}
	}
}

// kraft says whether Kafka votes by itself, without ZooKeeper.
func (l *lint) kraft() bool { return !l.scope.Release.Before(platform.R25_9) }

// ids judges a group of three whose members are told apart by a number; in
// KRaft mode that number is also the place in the group.
func (l *lint) ids(group platform.Component, key string, ordered bool) checks.Finding {
	members, has, target := l.members(group), l.inv.HostVars(key), section(group)
	seen := listed(members, key, has)
	if len(members) != 3 {
		return brokers.Fail(l, target, "%s holds %s: the playbook configures exactly three", target, count(len(members))).
			Saw(cmp.Or(seen, "no host")).Wanted("3 hosts")
	}
	holder := map[int]string{}
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
		case holder[id] != "":
			problem = fmt.Sprintf("%s and %s have the same %s, %d", holder[id], h, key, id)
		case ordered && id != i+1:
			problem = fmt.Sprintf("%s is number %d of %s and has %s=%d: the voters are 1, 2, 3 in that order", h, i+1, target, key, id)
		}
		holder[id] = h
	}
	if problem == "" {
		return brokers.Pass(l, target, "%s holds three hosts with distinct ids", target).Saw(seen)
	}
	// A broker that runs has its id on its disk: who have 1, 2 and 3 among them
	// keep them, and change places.
	if holder[1] != "" && holder[2] != "" && holder[3] != "" {
		members = []string{holder[1], holder[2], holder[3]}
	}
	want := listed(members, key, map[string]string{members[0]: "1", members[1]: "2", members[2]: "3"})
	return brokers.Fail(l, target, "%s", problem).Saw(seen).Wanted(want).Fix("write " + target + " so, in this order:\n" + want)
}

// An exclusion is a pair of groups that no host may share.
type exclusion struct {
	a, b    platform.Component
	when    func(*lint) bool
	why     string
	sources []platform.Source
}

var exclusions = []exclusion{
	{platform.DBConnector, platform.Database, redundant, "HAProxy and PostgreSQL both take port 5432", haproxy},
	{platform.DBConnector, platform.Directory, redundant, "HAProxy is not installed on directory servers, and the connectors need it", []platform.Source{platform.Cluster.On("install_haproxy")}},
	{platform.Directory, platform.Replica, always, "a directory server is either a master or a replica", installer("README")},
}

// judgeConflicts judges hosts that are in two groups at once.
func (l *lint) judgeConflicts() {
	against := map[string]bool{}
	for _, x := range exclusions {
		if !x.when(l) {
			continue
		}
		inB := map[string]bool{}
		for _, h := range l.members(x.b) {
			inB[h] = true
		}
		for _, h := range l.members(x.a) {
			if inB[h] && !against[h] {
				against[h] = true
				l.say(conflicts.Fail(l, h, "%s is in %s and in %s: %s", h, section(x.a), section(x.b), x.why).Per(x.sources...))
			}
		}
	}
	if replicas := l.members(platform.Replica); len(l.members(platform.Directory)) > 1 && len(replicas) > 0 {
		target := section(platform.Replica)
		l.say(conflicts.Warn(l, target, "%s holds %s beside a second master: in the redundant form it is empty", target, count(len(replicas))).
			Saw(strings.Join(replicas, ", ")).Per(platform.HAInstallation, platform.Redundant).
			Fix("empty " + target + "; a replica becomes a master by zxbot.carbonio_ldap.carbonio_promote_mmr"))
	}
}
