package inventory

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// judgeHosts judges the names of the hosts.
func (l *lint) judgeHosts() {
	spelled := map[string]string{} // the name in lower case: as it was first written
	judged := map[string]bool{}
	domains := map[string][]string{}
	for _, g := range l.inv.Groups {
		lines := map[string][]int{}
		for _, h := range g.Hosts {
			if lines[h.Name] = append(lines[h.Name], h.Line); len(lines[h.Name]) == 2 { // said once
				l.add(hosts.Fail(l, h.Name+" in "+section(g.Name), "%s is listed twice in %s: should one of them be another host?", h.Name, section(g.Name)).
					Saw(fmt.Sprintf("lines %d and %d", lines[h.Name][0], h.Line)))
			}
			if judged[h.Name] {
				continue
			}
			judged[h.Name] = true
			low := strings.ToLower(h.Name)
			if problem, want := misnamed(h.Name, spelled[low]); problem != "" {
				l.add(hosts.Fail(l, h.Name, "%s %s", h.Name, problem).
					Saw(fmt.Sprintf("%s:%d: %s", l.inv.File, h.Line, h.Name)).Wanted(want))
			} else {
				_, domain, _ := strings.Cut(low, ".")
				domains[domain] = append(domains[domain], h.Name)
			}
			spelled[low] = cmp.Or(spelled[low], h.Name)
		}
	}
	l.oddDomains(domains)
}

// misnamed says what is wrong with one name; spelled is how it was written
// earlier, if it was.
func misnamed(name, spelled string) (problem, want string) {
	strange := strings.TrimLeftFunc(name, func(r rune) bool {
		return r == '.' || r == '-' || r <= 'z' && (unicode.IsLetter(r) || unicode.IsDigit(r))
	})
	switch _, err := netip.ParseAddr(name); {
	case spelled != "":
		return fmt.Sprintf("is also spelled %s: Ansible treats them as two hosts", spelled), spelled
	case err == nil:
		problem = "is an address, and would become the name of the node everywhere"
	case platform.ValidFQDN(name):
		return "", ""
	case strange != "":
		r, _ := utf8.DecodeRuneInString(strange)
		problem = fmt.Sprintf("contains %c (%U), which is not allowed in a host name", r, r)
	case !strings.Contains(name, "."):
		problem = "is a short name"
	default:
		problem = "is not a valid host name"
	}
	return problem, "a fully qualified name, such as host.example.com"
}

// oddDomains finds a host that is alone in its domain, which but for a typo is
// the domain of many: proxy2.example.con, as in an example of the manual.
func (l *lint) oddDomains(domains map[string][]string) {
	names := slices.SortedFunc(maps.Keys(domains), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(domains[b]), len(domains[a])), cmp.Compare(a, b))
	})
	lone := slices.IndexFunc(names, func(d string) bool { return len(domains[d]) == 1 })
	if lone < 0 {
		return
	}
	common := names[:min(lone, maxDomains)]
	for _, d := range names[lone:] {
		i := slices.IndexFunc(common, func(m string) bool { return typo(d, m) })
		if i < 0 {
			continue
		}
		host := domains[d][0]
		short, _, _ := strings.Cut(host, ".")
		l.add(hosts.Warn(l, host, "only %s is in %s, %s are in %s: is it misspelled?", host, d, count(len(domains[common[i]])), common[i]).
			Saw(host).Wanted(short + "." + common[i]))
	}
}

// maxDomains is how many domains such a one is compared with.
const maxDomains = 100

var digits = regexp.MustCompile(`[0-9]+`)

// typo says whether two domains differ only in a few letters of one label. A
// different number is no typo: dc1 and dc2.
func typo(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	if len(as) != len(bs) {
		return false
	}
	differ := 0
	for i := range as {
		if as[i] == bs[i] {
			continue
		}
		numbered := digits.ReplaceAllString(as[i], "") == digits.ReplaceAllString(bs[i], "")
		if numbered || platform.Nearest(as[i], bs[i:i+1]) == "" {
			return false
		}
		differ++
	}
	return differ == 1
}

// knownKeys are the variables that the playbooks of Carbonio read.
var knownKeys = []string{
	"webmailHostname", "default_domain", "public_ip_address", "postgres_version",
	"patroni_role", "ldap_role", "broker_id", "zookeeper_id",
}

// placeholders are the values that the manual's examples ask to replace. Its
// address 1.2.3.4 is not among them: there it is used as a value.
var placeholders = []string{
	"YourWebmailPublicHostname", "webmailPublicHostname", "x.y.z.t", "w.u.v.s", "domain.com",
}

// judgeValues judges the variables.
func (l *lint) judgeValues() {
	seen := map[string]bool{} // a range gives its variables to all its hosts
	for _, g := range l.inv.Groups {
		for _, v := range g.Vars {
			l.value(v, seen, true)
		}
		for _, h := range g.Hosts {
			for _, v := range h.Vars {
				l.value(v, seen, false)
			}
		}
	}
	if l.install {
		l.mustHave(platform.Video, "public_ip_address", "the playbook writes it to the video server, and stops without it", platform.Installer.On("configure-videoserver"), valuesChecks)
	}
	if l.redundant != "" {
		l.mustHave(platform.Database, "postgres_version", "the Patroni playbook finds PostgreSQL by it, and stops without it", platform.Cluster.On("configure_postgres"))
	}
}

// mustHave finds hosts without a variable that a playbook needs.
func (l *lint) mustHave(group platform.Component, key, why string, sources ...platform.Source) {
	has := l.inv.HostVars(key)
	for _, h := range l.members(group) {
		if _, ok := has[h]; !ok {
			l.add(values.Fail(l, h+" "+key, "%s has no %s: %s", h, key, why).Per(sources...))
		}
	}
}

var comment = regexp.MustCompile(`^(.*?)\s+[#;]`)

// value judges one variable where it is written.
func (l *lint) value(v platform.Var, seen map[string]bool, ofGroup bool) {
	where := fmt.Sprintf("%s:%d %s", l.inv.File, v.Line, v.Key)
	if seen[where] || v.Value == platform.Hidden {
		return
	}
	seen[where] = true
	if !slices.Contains(knownKeys, v.Key) {
		l.foreignKey(where, v, ofGroup)
		return
	}
	after := comment.FindStringSubmatch(v.Value)
	report, problem := l.problem(v.Key, v.Value)
	switch {
	case after != nil && ofGroup:
		l.add(values.Fail(l, where, "the comment after %s becomes part of its value", v.Key).
			Saw(v.Value).Wanted(after[1]).Per(commentsInVars).Fix("# in " + l.inv.File + ", with the comment on a line of its own\n" + v.Key + "=" + after[1]))
	case slices.Contains(placeholders, v.Value):
		l.add(values.Fail(l, where, "%s is still the manual's placeholder, %s", v.Key, v.Value).Saw(v.Value))
	case problem != "":
		l.add(report(l, where, "%s %s", v.Key, problem).Saw(v.Value))
	}
}

// foreignKey judges a variable that the playbooks do not read; most are
// Ansible's, or the administrator's own.
func (l *lint) foreignKey(where string, v platform.Var, ofGroup bool) {
	near := platform.Nearest(v.Key, knownKeys)
	switch {
	case ofGroup && strings.Contains(v.Value, " #"):
		l.add(values.Warn(l, where, "the comment after %s becomes part of its value", v.Key).Saw(v.Value))
	case near != "" && !strings.HasPrefix(v.Key, "ansible_"):
		l.add(values.Warn(l, where, "the playbooks do not read %s: did you mean %s?", v.Key, near).Fix("rename it to " + near))
	}
}

// A verdict is Fail or Warn of a check.
type verdict func(b checks.Basis, target, format string, args ...any) checks.Finding

// problem says what is wrong with a value by itself. Roles and IDs are judged
// together with those of their group.
func (l *lint) problem(key, value string) (verdict, string) {
	switch key {
	case "webmailHostname", "default_domain":
		if !platform.ValidFQDN(value) {
			return values.Fail, "is not a valid name such as webmail.example.com"
		}
		if key == "default_domain" && l.scope.Release.Before(r26_3) {
			return values.Warn, "is not read before 26.3: the domain will be that of the directory server"
		}
	case "public_ip_address":
		a, err := netip.ParseAddr(value)
		switch {
		case err != nil:
			return values.Fail, "is not an IP address"
		case a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast():
			return values.Fail, "is an address that clients cannot reach"
		case a.IsPrivate():
			return values.Warn, "is a private address: video calls will work only inside the network"
		}
	case "postgres_version":
		if value != "16" {
			return values.Warn, "is not 16, the PostgreSQL version that Carbonio installs"
		}
	}
	return nil, ""
}
