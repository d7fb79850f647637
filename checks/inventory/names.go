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

// hosts judges the names of the hosts.
func (l lint) hosts() []checks.Finding {
	var out []checks.Finding
	written := map[string]string{} // the name in lower case: as it was first written
	judged := map[string]bool{}
	domains := map[string][]string{}
	for _, g := range l.inv.Groups {
		inGroup := map[string]int{}
		for _, h := range g.Hosts {
			if first, twice := inGroup[h.Name]; twice && first > 0 {
				out = append(out, l.twice(g.Name, h, first))
				inGroup[h.Name] = -1 // said once
			} else if !twice {
				inGroup[h.Name] = h.Line
			}
			if judged[h.Name] {
				continue
			}
			judged[h.Name] = true
			low := strings.ToLower(h.Name)
			if f, ok := l.hostName(h, written[low]); ok {
				out = append(out, f)
			} else {
				_, domain, _ := strings.Cut(low, ".")
				domains[domain] = append(domains[domain], h.Name)
			}
			written[low] = cmp.Or(written[low], h.Name)
		}
	}
	return append(out, l.oddDomains(domains)...)
}

func (l lint) twice(group string, h platform.Host, first int) checks.Finding {
	return l.Fail(hostsID, h.Name+" in "+section(group), "%s stands twice in %s: should one be another host?", h.Name, section(group)).
		Saw(fmt.Sprintf("lines %d and %d", first, h.Line))
}

// hostName judges one name; written is how it was written before, if it was.
func (l lint) hostName(h platform.Host, written string) (checks.Finding, bool) {
	problem, want := "", "a fully qualified name such as host.example.com"
	_, err := netip.ParseAddr(h.Name)
	strange := strings.TrimLeftFunc(h.Name, func(r rune) bool {
		return r == '.' || r == '-' || r <= 'z' && (unicode.IsLetter(r) || unicode.IsDigit(r))
	})
	switch {
	case written != "":
		problem, want = fmt.Sprintf("was written %s before: Ansible takes them for two hosts", written), written
	case err == nil:
		problem = "is an address, and becomes the name of the node everywhere"
	case platform.ValidFQDN(h.Name):
		return checks.Finding{}, false
	case strange != "":
		r, _ := utf8.DecodeRuneInString(strange)
		problem = fmt.Sprintf("holds %c (%U), which no host name may hold", r, r)
	case !strings.Contains(h.Name, "."):
		problem = "is a short name"
	default:
		problem = "is not a valid host name"
	}
	return l.Fail(hostsID, h.Name, "%s %s", h.Name, problem).
		Saw(fmt.Sprintf("%s:%d: %s", l.inv.File, h.Line, h.Name)).Wanted(want), true
}

// oddDomains finds the host whose domain no other has, but for a slip of the
// pen that of many: proxy2.example.con, as an example of the manual had it.
func (l lint) oddDomains(domains map[string][]string) []checks.Finding {
	names := slices.SortedFunc(maps.Keys(domains), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(domains[b]), len(domains[a])), cmp.Compare(a, b))
	})
	lone := slices.IndexFunc(names, func(d string) bool { return len(domains[d]) == 1 })
	if lone < 0 {
		return nil
	}
	var out []checks.Finding
	common := names[:min(lone, maxDomains)]
	for _, d := range names[lone:] {
		i := slices.IndexFunc(common, func(m string) bool { return slip(d, m) })
		if i < 0 {
			continue
		}
		host := domains[d][0]
		short, _, _ := strings.Cut(host, ".")
		out = append(out, l.Warn(hostsID, host, "%s alone is in %s, %s in %s: a misspelling?", host, d, count(len(domains[common[i]])), common[i]).
			Saw(host).Wanted(short+"."+common[i]))
	}
	return out
}

// maxDomains is how many domains a lone one is compared with.
const maxDomains = 100

// slip says whether two domains differ in the letters of one label only, and in
// few: dc1 and dc2 are meant to differ.
func slip(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	if len(as) != len(bs) {
		return false
	}
	differ := 0
	for i := range as {
		switch {
		case as[i] == bs[i]:
		case withoutDigits(as[i]) == withoutDigits(bs[i]) || platform.Nearest(as[i], bs[i:i+1]) == "":
			return false
		default:
			differ++
		}
	}
	return differ == 1
}

func withoutDigits(s string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, s)
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

// values judges the variables.
func (l lint) values() []checks.Finding {
	var out []checks.Finding
	seen := map[string]bool{} // a range gives its variables to all its hosts
	for _, g := range l.inv.Groups {
		for _, v := range g.Vars {
			out = append(out, l.value(v, seen, true)...)
		}
		for _, h := range g.Hosts {
			for _, v := range h.Vars {
				out = append(out, l.value(v, seen, false)...)
			}
		}
	}
	return append(out, l.absentValues()...)
}

var comment = regexp.MustCompile(`^(.*?)\s+[#;]`)

// value judges one variable where it is written.
func (l lint) value(v platform.Var, seen map[string]bool, ofGroup bool) []checks.Finding {
	where := fmt.Sprintf("%s:%d %s", l.inv.File, v.Line, v.Key)
	if seen[where] || v.Value == platform.Hidden {
		return nil
	}
	seen[where] = true
	if !slices.Contains(knownKeys, v.Key) {
		return l.foreignKey(where, v, ofGroup)
	}
	if m := comment.FindStringSubmatch(v.Value); m != nil && ofGroup {
		return []checks.Finding{l.Fail(valuesID, where, "the comment behind %s becomes part of its value", v.Key).
			Saw(v.Value).Wanted(m[1]).From("AIA CHANGELOG 26.3.1").Fix("put the comment on a line of its own:\n" + v.Key + "=" + m[1])}
	}
	if slices.Contains(placeholders, v.Value) {
		return []checks.Finding{l.Fail(valuesID, where, "%s is still the placeholder of the manual, %s", v.Key, v.Value).Saw(v.Value)}
	}
	status, problem := l.problem(v.Key, v.Value)
	switch status {
	case checks.Fail:
		return []checks.Finding{l.Fail(valuesID, where, "%s %s", v.Key, problem).Saw(v.Value)}
	case checks.Warn:
		return []checks.Finding{l.Warn(valuesID, where, "%s %s", v.Key, problem).Saw(v.Value)}
	}
	return nil
}

// foreignKey judges a variable that the playbooks do not read; most are
// Ansible's, or the administrator's own.
func (l lint) foreignKey(where string, v platform.Var, ofGroup bool) []checks.Finding {
	if ofGroup && strings.Contains(v.Value, " #") {
		return []checks.Finding{l.Warn(valuesID, where, "the comment behind %s becomes part of its value", v.Key).Saw(v.Value)}
	}
	if near := platform.Nearest(v.Key, knownKeys); near != "" && !strings.HasPrefix(v.Key, "ansible_") {
		return []checks.Finding{l.Warn(valuesID, where, "the playbooks do not read %s: is %s meant?", v.Key, near).Fix("rename it to " + near)}
	}
	return nil
}

// problem says what is wrong with a value by itself. Roles and ids are judged
// together with those of their group.
func (l lint) problem(key, value string) (checks.Status, string) {
	switch key {
	case "webmailHostname", "default_domain":
		if !platform.ValidFQDN(value) {
			return checks.Fail, "is not a valid name, such as webmail.example.com"
		}
		if key == "default_domain" && l.scope.Release.Before(platform.Release{Year: 26, Month: 3}) {
			return checks.Warn, "is not read before 26.3: the domain will be that of the directory server"
		}
	case "public_ip_address":
		a, err := netip.ParseAddr(value)
		switch {
		case err != nil:
			return checks.Fail, "is not an IP address"
		case a.IsLoopback() || a.IsUnspecified() || a.IsMulticast() || a.IsLinkLocalUnicast():
			return checks.Fail, "is an address that no client can reach"
		case a.IsPrivate():
			return checks.Warn, "is a private address: video calls will work inside the network only"
		}
	case "postgres_version":
		if value != "16" {
			return checks.Warn, "is not 16, the PostgreSQL that Carbonio installs"
		}
	}
	return checks.Pass, ""
}

// absentValues finds hosts without a variable that a playbook cannot do without.
func (l lint) absentValues() []checks.Finding {
	var out []checks.Finding
	need := func(group platform.Component, key, why, source string) {
		values := l.inv.HostVars(key)
		for _, h := range l.members(group) {
			if _, ok := values[h]; !ok {
				out = append(out, l.Fail(valuesID, h+" "+key, "%s has no %s: %s", h, key, why).From(source))
			}
		}
	}
	if l.install {
		need(platform.Video, "public_ip_address", "the playbook writes it into the video server, and stops", "AIA configure-videoserver; AIA-dev inventory_values_checks")
	}
	if l.redundant != "" {
		need(platform.Database, "postgres_version", "the Patroni playbook finds PostgreSQL by it, and stops", "HAA configure_postgres")
	}
	return out
}
