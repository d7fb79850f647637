package hosts

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// judge decides on every node's file, then on whether they agree.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	fleet := newFleet(scope, seen)
	for _, s := range fleet.unseen {
		for _, c := range catalogue {
			if c != agreement {
				out = append(out, c.Unseen(s, hostsFile))
			}
		}
	}
	for _, v := range fleet.views {
		out = append(out, v.judgeSyntax()...)
		out = append(out, v.judgeLocalhost(), v.judgeSelf())
		for _, n := range scope.Topology.Nodes {
			out = append(out, v.judgeNode(n, fleet.own[strings.ToLower(n.Name)]))
		}
		out = append(out, v.judgeDuplicates()...)
		out = append(out, v.judgeIPv6()...)
	}
	return append(out, fleet.judgeAgreement(scope.Topology)...), nil
}

// A fleet is the file of every node that looked, by their names.
type fleet struct {
	views  []view
	unseen []checks.Sight[checks.Nothing, file]
	own    map[string][]netip.Addr // the nodes' addresses of their interfaces, by names in lower case
}

func newFleet(scope checks.Scope, seen checks.Record) fleet {
	named := map[string]string{}
	for _, n := range scope.Topology.Nodes {
		named[strings.ToLower(n.Name)] = n.Name
	}
	f := fleet{own: map[string][]netip.Addr{}}
	for s := range files.In(seen) {
		if _, got := s.Got(); !got {
			f.unseen = append(f.unseen, s)
			continue
		}
		v := newView(s, scope, named)
		f.views = append(f.views, v)
		f.own[strings.ToLower(v.Vantage)] = v.Addresses
	}
	slices.SortFunc(f.views, func(a, b view) int { return cmp.Compare(a.Vantage, b.Vantage) })
	return f
}

// A view is /etc/hosts as one node has it.
type view struct {
	checks.Sight[checks.Nothing, file]
	file
	scope checks.Scope
	lines []platform.HostsLine
	// Lines by the names on them in lower case: those that the system reads,
	// and those with a problem.
	named, spoilt map[string][]platform.HostsLine
	nodes         map[string]string // the platform's, by their names in lower case
}

func newView(s checks.Sight[checks.Nothing, file], scope checks.Scope, nodes map[string]string) view {
	f, _ := s.Got()
	v := view{
		Sight: s, file: f, scope: scope, nodes: nodes, lines: platform.ParseHosts(f.Text),
		named: map[string][]platform.HostsLine{}, spoilt: map[string][]platform.HostsLine{},
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

// meant is the name without a dot or comma too many at its end.
func meant(name string) string { return strings.ToLower(strings.TrimRight(name, ".,;")) }

// lookup returns the lines that the system finds for a name.
func (v view) lookup(name string) []platform.HostsLine { return v.named[strings.ToLower(name)] }

func (v view) isNode(name string) bool { return v.nodes[meant(name)] != "" }

// blame names what explains that the system does not find a name here: there is
// no file, or the line that holds the name has a problem.
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

// at is a line as a person names it.
func at(l platform.HostsLine) string { return fmt.Sprintf("%s:%d", hostsFile, l.Line) }

func holds(l platform.HostsLine, name string) bool {
	return slices.ContainsFunc(l.Names, func(n string) bool { return strings.EqualFold(n, name) })
}

// most bounds how many findings of one check a file may cause: a broken file of
// a hundred thousand lines is one mistake.
const most = 20

func (v view) bounded(c *checks.Check, findings []checks.Finding) []checks.Finding {
	more := len(findings) - most
	if more <= 0 {
		return findings
	}
	slices.SortStableFunc(findings, func(a, b checks.Finding) int { return cmp.Compare(a.Status, b.Status) }) // fail before warn
	rest := c.Warn(v, hostsFile+" (others)", "%d more of the kind are not listed", more)
	rest.Status = findings[most].Status
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
		out = append(out, syntax.Fail(v, hostsFile, "the file begins with a byte order mark: the system does not read its first line").
			Fix(`sed -i '1s/^\xef\xbb\xbf//' /etc/hosts`))
	}
	if len(out) == 0 {
		return []checks.Finding{syntax.Pass(v, hostsFile, "the system reads all of its lines (%d)", len(v.lines))}
	}
	return v.bounded(syntax, out)
}

// badLine fails a line that hides a node, or that was meant to name a machine;
// any other line that the system skips may be a note without its "#".
func (v view) badLine(l platform.HostsLine) checks.Finding {
	say := syntax.Warn
	if l.Problem == platform.HostsReversed || slices.ContainsFunc(l.Names, v.isNode) {
		say = syntax.Fail
	}
	var f checks.Finding
	switch l.Problem {
	case platform.HostsReversed:
		want := line(l.Address, l.Names...)
		f = say(v, at(l), "the name stands before the address: the system skips the line").Wanted(clip(want)).Fix(rewrite(l, want))
	case platform.HostsNotAddress:
		f = say(v, at(l), "the line does not begin with an address: the system skips it").
			Wanted("an address, the full name, the short name").Fix(editor(l))
	case platform.HostsNoName:
		f = say(v, at(l), "the address stands alone: the system skips the line").
			Wanted("an address, the full name, the short name").Fix(editor(l))
	default:
		f = say(v, at(l), "one of the names is not a host name: nobody will look it up as it is written").
			Wanted("names of letters, digits, hyphens and dots, without a dot at the end").Fix(editor(l))
	}
	return f.Saw(shown(l))
}

// localhostWord is the playbook's own pattern; comment lines are left out
// before, comments after a name are not.
var localhostWord = regexp.MustCompile(`(?:^|\s)localhost(?:\s|$)`)

// r25_12 is the first release whose playbook looks at the localhost lines.
var r25_12 = platform.Release{Year: 25, Month: 12}

func (v view) judgeLocalhost() checks.Finding {
	var ours platform.HostsLine
	if i := slices.IndexFunc(v.lookup("localhost"), isLocalhost); i >= 0 {
		ours = v.lookup("localhost")[i]
	}
	var lines, others []platform.HostsLine
	for _, l := range v.lines {
		if !localhostWord.MatchString(l.Raw) {
			continue
		}
		lines = append(lines, l)
		if l.Line != ours.Line {
			others = append(others, l)
		}
	}
	fails, why := v.localhostFaults(ours.Line == 0, lines)
	if len(why) == 0 {
		return localhost.Pass(v, "localhost", "localhost is 127.0.0.1, and nothing else")
	}
	say := localhost.Warn
	if fails {
		say = localhost.Fail
	}
	f := say(v, "localhost", "%s", strings.Join(why, "; ")).
		Saw(cmp.Or(shown(lines...), "no localhost")).Wanted("127.0.0.1 localhost").Fix(localhostFix(ours.Line == 0, others))
	return v.blame(f, "localhost")
}

// localhostFaults says what is wrong with the lines that name localhost, and
// how much that matters.
func (v view) localhostFaults(missing bool, lines []platform.HostsLine) (fails bool, why []string) {
	release := v.scope.Vantage(v.Vantage).Release
	add := func(failing bool, message, consequence string) {
		if failing {
			fails = true
			message += consequence
		}
		why = append(why, message)
	}
	if missing {
		add(v.scope.Node(v.Vantage).Has(platform.Mailstore) && release.Before(platform.R26_6),
			"there is no line `127.0.0.1 localhost`", ", without which zmconfigd of a mailstore does not start")
	}
	if slices.ContainsFunc(lines, func(l platform.HostsLine) bool { return l.Read() && l.Address.Is6() }) {
		add(true, "localhost stands on an IPv6 line", "")
	}
	if len(lines) > 1 {
		add(!release.Before(r25_12), fmt.Sprintf("%d lines name localhost", len(lines)), ", and the playbook stops at more than one")
	}
	return fails, why
}

func isLocalhost(l platform.HostsLine) bool {
	return l.Address == netip.AddrFrom4([4]byte{127, 0, 0, 1})
}

func (v view) judgeIPv6() []checks.Finding {
	var out []checks.Finding
	for _, l := range v.lines {
		if !l.Read() || !l.Address.Is6() || stock(l) {
			continue
		}
		say := ipv6.Warn
		named := slices.IndexFunc(l.Names, v.isNode)
		if named >= 0 || holds(l, "localhost") {
			say = ipv6.Fail
		}
		f := say(v, at(l), "%s has the IPv6 address %s", clip(l.Names[max(named, 0)]), l.Address).
			Saw(shown(l)).Wanted("IPv4 addresses only").Fix(comment(l))
		if holds(l, "localhost") {
			f = f.Needing(localhost.On("localhost"))
		}
		if onLoopback(l) && holds(l, v.Vantage) {
			f = f.Needing(self.On(v.Vantage))
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		return []checks.Finding{ipv6.Pass(v, hostsFile, "no names with IPv6 addresses but the stock ip6-… ones")}
	}
	return v.bounded(ipv6, out)
}

// stock says whether the line is one that Ubuntu and Debian ship, such as
// `::1 ip6-localhost ip6-loopback`, which the manual calls correct,
// or `ff02::1 ip6-allnodes`: none of them leads anybody astray.
func stock(l platform.HostsLine) bool {
	return !slices.ContainsFunc(l.Names, func(n string) bool { return !strings.HasPrefix(n, "ip6-") })
}
