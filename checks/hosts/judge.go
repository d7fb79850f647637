package hosts

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// judge decides about every node's file, then about whether they agree.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	all := fleet{own: map[string][]netip.Addr{}}
	for s := range files.In(seen) {
		if _, got := s.Got(); got {
			v := newView(s, scope)
			all.views = append(all.views, v)
			all.own[strings.ToLower(v.Vantage)] = v.Addresses
			continue
		}
		all.unseen = append(all.unseen, s.Vantage)
		for _, c := range catalogue {
			if c != agreement {
				out = append(out, c.Unseen(s, hostsFile))
			}
		}
	}
	for _, v := range all.views {
		for _, f := range v.judge(all.own) {
			if f.Remedy != "" {
				f = f.Fix(checks.On(v.Vantage) + f.Remedy)
			}
			out = append(out, f)
		}
	}
	return append(out, all.judgeAgreement(scope.Topology)...), nil
}

// A fleet is the file of every node that looked.
type fleet struct {
	views  []view
	unseen []string                // the nodes whose file could not be seen
	own    map[string][]netip.Addr // of each node's interfaces, by its name in lower case
}

// A view is /etc/hosts as one node has it.
type view struct {
	checks.Sight[checks.Nothing, file]
	file
	scope checks.Scope
	lines []platform.HostsLine
	// Lines by the names on them in lower case: those that the system reads, and
	// those with a problem.
	named, spoilt map[string][]platform.HostsLine
	nodes         map[string]string // the platform's, by their names in lower case
}

func newView(s checks.Sight[checks.Nothing, file], scope checks.Scope) view {
	f, _ := s.Got()
	v := view{
		Sight: s, file: f, scope: scope, lines: platform.ParseHosts(f.Text),
		named: map[string][]platform.HostsLine{}, spoilt: map[string][]platform.HostsLine{}, nodes: map[string]string{},
	}
	for _, n := range scope.Topology.Nodes {
		v.nodes[strings.ToLower(n.Name)] = n.Name
	}
	for _, l := range v.lines {
		if l.Read() {
			index(v.named, l, strings.ToLower)
		}
		if l.Problem != "" {
			index(v.spoilt, l, meant)
		}
	}
	return v
}

// index adds the line under each of its names, once.
func index(lines map[string][]platform.HostsLine, l platform.HostsLine, key func(string) string) {
	for _, name := range l.Names {
		k := key(name)
		if have := lines[k]; len(have) == 0 || have[len(have)-1].Line != l.Line {
			lines[k] = append(have, l)
		}
	}
}

// meant is the name without superfluous dots and commas at its end.
func meant(name string) string { return strings.ToLower(strings.TrimRight(name, ".,;")) }

// lookup returns the lines that the system finds for a name.
func (v view) lookup(name string) []platform.HostsLine { return v.named[strings.ToLower(name)] }

func (v view) isNode(name string) bool { return v.nodes[meant(name)] != "" }

func isIPv4(l platform.HostsLine) bool { return l.Address.Is4() }

func onLoopback(l platform.HostsLine) bool { return l.Address.IsLoopback() }

func holds(l platform.HostsLine, name string) bool {
	return slices.ContainsFunc(l.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

// at is a line as a person names it.
func at(l platform.HostsLine) string { return fmt.Sprintf("%s:%d", hostsFile, l.Line) }

// judge judges the file by itself; own are the addresses of the nodes that looked.
func (v view) judge(own map[string][]netip.Addr) []checks.Finding {
	out := append(v.judgeSyntax(), v.judgeLocalhost(), v.judgeSelf())
	for _, n := range v.scope.Topology.Nodes {
		out = append(out, v.judgeNode(n, own[strings.ToLower(n.Name)]))
	}
	return slices.Concat(out, v.judgeDuplicates(), v.judgeIPv6())
}

// blame names what explains that the system does not find a name here: there is no
// file, or the line that holds the name has a problem.
func (v view) blame(f checks.Finding, name string) checks.Finding {
	if v.Missing {
		return f.Needing(syntax.On(hostsFile))
	}
	lines := v.spoilt[strings.ToLower(name)]
	for _, l := range lines[:min(len(lines), most)] {
		f = f.Needing(syntax.On(at(l)))
	}
	return f
}

// say fails where the matter is serious, and warns elsewhere.
func say(c *checks.Check, serious bool) func(b checks.Basis, target, format string, args ...any) checks.Finding {
	if serious {
		return c.Fail
	}
	return c.Warn
}

// most bounds how many findings of one check a file may cause: a broken file of a
// hundred thousand lines is one mistake.
const most = 20

// orPass are the findings of a check, bounded; without any it passes.
func (v view) orPass(c *checks.Check, findings []checks.Finding, pass string) []checks.Finding {
	more := len(findings) - most
	switch {
	case len(findings) == 0:
		return []checks.Finding{c.Pass(v, hostsFile, "%s", pass)}
	case more <= 0:
		return findings
	}
	slices.SortStableFunc(findings, func(a, b checks.Finding) int { return cmp.Compare(a.Status, b.Status) }) // fail before warn
	rest := say(c, findings[most].Status == checks.Fail)(v, hostsFile+" (others)", "%d more are not shown", more)
	return append(findings[:most:most], rest)
}

// judgeSyntax judges the lines that the system does not read as they were meant.
func (v view) judgeSyntax() []checks.Finding {
	if v.Missing {
		return []checks.Finding{syntax.Fail(v, hostsFile, "%s does not exist", hostsFile)}
	}
	var out []checks.Finding
	for _, l := range v.lines {
		if l.Problem != "" {
			out = append(out, v.badLine(l))
		}
	}
	if strings.HasPrefix(v.Text, "\ufeff") {
		out = append(out, syntax.Fail(v, hostsFile, "the file begins with a byte order mark: the system ignores its first line").
			Fix(`sed -i '1s/^\xef\xbb\xbf//' /etc/hosts`))
	}
	return v.orPass(syntax, out, fmt.Sprintf("the system reads all lines (%d)", len(v.lines)))
}

var problems = map[string]string{
	platform.HostsReversed:   "the name comes before the address: the system ignores the line",
	platform.HostsNotAddress: "the line does not begin with an address: the system ignores it",
	platform.HostsNoName:     "there is no name after the address: the system ignores the line",
	platform.HostsBadName:    "one of the names is not a valid host name and cannot be looked up",
}

// badLine fails a line that hides a node, or that was meant to name a machine; any
// other line that the system ignores may be a note without its "#".
func (v view) badLine(l platform.HostsLine) checks.Finding {
	want, fix := "an address, the full name, the short name", edit(l)
	switch l.Problem {
	case platform.HostsReversed:
		want = line(l.Address, l.Names...)
		fix = rewrite(l, want)
	case platform.HostsBadName:
		want = "names of letters, digits, hyphens and dots, not ending in a dot"
	}
	serious := l.Problem == platform.HostsReversed || slices.ContainsFunc(l.Names, v.isNode)
	return say(syntax, serious)(v, at(l), "%s", problems[l.Problem]).Saw(shown(l)).Wanted(clip(want)).Fix(fix)
}

// localhostWord is the playbook's own pattern: it skips comment lines, but not
// comments after a name.
var localhostWord = regexp.MustCompile(`(?:^|\s)localhost(?:\s|$)`)

// r25_12 is the first release whose playbook looks at the localhost lines.
var r25_12 = platform.Release{Year: 25, Month: 12}

func (v view) judgeLocalhost() checks.Finding {
	right := cluster.Those(v.lookup("localhost"), func(l platform.HostsLine) bool { return l.Address == netip.AddrFrom4([4]byte{127, 0, 0, 1}) })
	missing := len(right) == 0
	lines := cluster.Those(v.lines, func(l platform.HostsLine) bool { return localhostWord.MatchString(l.Raw) })
	others := cluster.Those(lines, func(l platform.HostsLine) bool { return missing || l.Line != right[0].Line })
	serious, faults := v.localhostFaults(missing, lines)
	if len(faults) == 0 {
		return localhost.Pass(v, "localhost", "localhost is 127.0.0.1 only")
	}
	f := say(localhost, serious)(v, "localhost", "%s", strings.Join(faults, "; ")).
		Saw(cmp.Or(shown(lines...), "no localhost")).Wanted("127.0.0.1 localhost").Fix(localhostFix(missing, others))
	return v.blame(f, "localhost")
}

// localhostFaults says what is wrong with the localhost lines, and whether it is
// serious.
func (v view) localhostFaults(missing bool, lines []platform.HostsLine) (serious bool, faults []string) {
	release := v.scope.Vantage(v.Vantage).Release
	add := func(matters bool, fault, consequence string) {
		if matters {
			serious = true
			fault += consequence
		}
		faults = append(faults, fault)
	}
	if missing {
		add(v.scope.Node(v.Vantage).Has(platform.Mailstore) && release.Before(platform.R26_6),
			"there is no line `127.0.0.1 localhost`", ", without which zmconfigd does not start on a mailstore")
	}
	if slices.ContainsFunc(lines, func(l platform.HostsLine) bool { return l.Read() && l.Address.Is6() }) {
		add(true, "localhost is on an IPv6 line", "")
	}
	if len(lines) > 1 {
		add(!release.Before(r25_12), fmt.Sprintf("%d lines have localhost", len(lines)), ", and the playbook allows only one")
	}
	return serious, faults
}

func (v view) judgeIPv6() []checks.Finding {
	var out []checks.Finding
	for _, l := range v.lines {
		if !l.Read() || !l.Address.Is6() || stock(l) {
			continue
		}
		node := slices.IndexFunc(l.Names, v.isNode)
		f := say(ipv6, node >= 0 || holds(l, "localhost"))(v, at(l), "%s has the IPv6 address %s", clip(l.Names[max(node, 0)]), l.Address).
			Saw(shown(l)).Wanted("IPv4 addresses only").Fix(comment(l))
		if holds(l, "localhost") {
			f = f.Needing(localhost.On("localhost"))
		}
		if onLoopback(l) && holds(l, v.Vantage) {
			f = f.Needing(self.On(v.Vantage))
		}
		out = append(out, f)
	}
	return v.orPass(ipv6, out, "only the stock ip6-… names have IPv6 addresses")
}

// stock says whether the line is one of Ubuntu's and Debian's own, such as
// `::1 ip6-localhost ip6-loopback`, which the manual calls correct, or
// `ff02::1 ip6-allnodes`: none of them does any harm.
func stock(l platform.HostsLine) bool {
	return !slices.ContainsFunc(l.Names, func(n string) bool { return !strings.HasPrefix(n, "ip6-") })
}
