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
	spelt := map[string]string{} // the name in lower case: as it was first written
	judged := map[string]bool{}
	domains := map[string][]string{}
	for _, g := range l.inv.Groups {
		lines := map[string][]int{}
		for _, h := range g.Hosts {
			if lines[h.Name] = append(lines[h.Name], h.Line); len(lines[h.Name]) == 2 { // said once
				l.say(hosts.Fail(l, h.Name+" in "+section(g.Name), "%s stands twice in %s: should one be another host?", h.Name, section(g.Name)).
					Saw(fmt.Sprintf("lines %d and %d", lines[h.Name][0], h.Line)))
			}
			if judged[h.Name] {
				continue
			}
			judged[h.Name] = true
			low := strings.ToLower(h.Name)
			if problem, want := misnamed(h.Name, spelt[low]); problem != "" {
				l.say(hosts.Fail(l, h.Name, "%s %s", h.Name, problem).
					Saw(fmt.Sprintf("%s:%d: %s", l.inv.File, h.Line, h.Name)).Wanted(want))
			} else {
				_, domain, _ := strings.Cut(low, ".")
				domains[domain] = append(domains[domain], h.Name)
			}
			spelt[low] = cmp.Or(spelt[low], h.Name)
		}
	}
	l.oddDomains(domains)
}

// misnamed says what is wrong with one name; spelt is how it was written before,
// if it was.
func misnamed(name, spelt string) (problem, want string) {
	strange := strings.TrimLeftFunc(name, func(r rune) bool {
		return r == '.' || r == '-' || r <= 'z' && (unicode.IsLetter(r) || unicode.IsDigit(r))
	})
	switch _, err := netip.ParseAddr(name); {
	case spelt != "":
		return fmt.Sprintf("was written %s before: Ansible takes them for two hosts", spelt), spelt
	case err == nil:
		problem = "is an address, and becomes the name of the node everywhere"
	case platform.ValidFQDN(name):
		return "", ""
	case strange != "":
		r, _ := utf8.DecodeRuneInString(strange)
		problem = fmt.Sprintf("holds %c (%U), which no host name may hold", r, r)
	case !strings.Contains(name, "."):
		problem = "is a short name"
	default:
		problem = "is not a valid host name"
	}
	return problem, "a fully qualified name such as host.example.com"
}

// oddDomains finds the host whose domain no other has, but for a slip of the
// pen that of many: proxy2.example.con, as an example of the manual had it.
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
		i := slices.IndexFunc(common, func(m string) bool { return slip(d, m) })
		if i < 0 {
			continue
		}
		host := domains[d][0]
		short, _, _ := strings.Cut(host, ".")
		l.say(hosts.Warn(l, host, "%s alone is in %s, %s in %s: a misspelling?", host, d, count(len(domains[common[i]])), common[i]).
			Saw(host).Wanted(short + "." + common[i]))
	}
}

// maxDomains is how many domains a lone one is compared with.
const maxDomains = 100

var digits = regexp.MustCompile(`[0-9]+`)

// slip says whether two domains differ in the letters of one label only, and in
// few: dc1 and dc2 are meant to differ.
func slip(a, b string) bool {
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
// address 1.2.3.4 is not among them: it stands there as a value.
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
		l.mustHave(platform.Video, "public_ip_address", "the playbook writes it into the video server, and stops", platform.Installer.On("configure-videoserver"), valuesChecks)
	}
	if l.redundant != "" {
		l.mustHave(platform.Database, "postgres_version", "the Patroni playbook finds PostgreSQL by it, and stops", platform.Cluster.On("configure_postgres"))
	}
}

// mustHave finds hosts without a variable that a playbook cannot do without.
func (l *lint) mustHave(group platform.Component, key, why string, sources ...platform.Source) {
	has := l.inv.HostVars(key)
	for _, h := range l.members(group) {
		if _, ok := has[h]; !ok {
			l.say(values.Fail(l, h+" "+key, "%s has no %s: %s", h, key, why).Per(sources...))
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
	behind := comment.FindStringSubmatch(v.Value)
	say, problem := l.problem(v.Key, v.Value)
	switch {
	case behind != nil && ofGroup:
		l.say(values.Fail(l, where, "the comment behind %s becomes part of its value", v.Key).
			Saw(v.Value).Wanted(behind[1]).Per(commentsInVars).Fix("put the comment on a line of its own:\n" + v.Key + "=" + behind[1]))
	case slices.Contains(placeholders, v.Value):
		l.say(values.Fail(l, where, "%s is still the placeholder of the manual, %s", v.Key, v.Value).Saw(v.Value))
	case problem != "":
		l.say(say(l, where, "%s %s", v.Key, problem).Saw(v.Value))
	}
}

// foreignKey judges a variable that the playbooks do not read; most are
// Ansible's, or the administrator's own.
func (l *lint) foreignKey(where string, v platform.Var, ofGroup bool) {
	near := platform.Nearest(v.Key, knownKeys)
	switch {
	case ofGroup && strings.Contains(v.Value, " #"):
		l.say(values.Warn(l, where, "the comment behind %s becomes part of its value", v.Key).Saw(v.Value))
	case near != "" && !strings.HasPrefix(v.Key, "ansible_"):
		l.say(values.Warn(l, where, "the playbooks do not read %s: is %s meant?", v.Key, near).Fix("rename it to " + near))
	}
}

// A verdict is Fail or Warn of a check.
type verdict func(b checks.Basis, target, format string, args ...any) checks.Finding

// problem says what is wrong with a value by itself. Roles and ids are judged
// together with those of their group.
func (l *lint) problem(key, value string) (verdict, string) {
	switch key {
	case "webmailHostname", "default_domain":
		if !platform.ValidFQDN(value) {
			return values.Fail, "is not a valid name, such as webmail.example.com"
		}
		if key == "default_domain" && l.scope.Release.Before(platform.Release{Year: 26, Month: 3}) {
			return values.Warn, "is not read before 26.3: the domain will be that of the directory server"
		}
	case "public_ip_address":
		a, err := netip.ParseAddr(value)
		switch {
		case err != nil:
			return values.Fail, "is not an IP address"
		case a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast():
			return values.Fail, "is an address that no client can reach"
		case a.IsPrivate():
			return values.Warn, "is a private address: video calls will work inside the network only"
		}
	case "postgres_version":
		if value != "16" {
			return values.Warn, "is not 16, the PostgreSQL that Carbonio installs"
		}
	}
	return nil, ""
}
