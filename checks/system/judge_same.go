package system

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// everyNode is the target of a verdict on all nodes together.
const everyNode = "all nodes"

// assumed stands in place of the sign that a release was read from, where there
// was none and the newest was taken.
const assumed = checks.Assumed

// judgeSameOS compares the systems of the nodes that looked.
func (v view) judgeSameOS() []checks.Finding {
	return v.judgeSame(distribution, distribution.Warn, "system", v.scope.Vantages, func(n checks.Vantage) string { return short(n.OS) })
}

// short is "ubuntu 24.04", or "rhel 9" for every minor version of it.
func short(os checks.OS) string {
	if os.Family() == "rhel" {
		return os.ID + " " + major(os)
	}
	return strings.TrimSpace(os.ID + " " + os.Version)
}

// judgeRelease judges the release of a node on which Carbonio is installed.
func judgeRelease(s sight[base]) []checks.Finding {
	r, from := s.node.Release, s.node.ReleaseFrom
	switch {
	case s.node.Phase != checks.Health:
		return nil
	case unread(s.node):
		return []checks.Finding{release.Unknown(s, s.Vantage, "the installed release could not be read: the node is judged as Carbonio %s", r)}
	case platform.Newest.Before(series(r)):
		return []checks.Finding{release.Warn(s, s.Vantage, "Carbonio %s is newer than %s, the newest release that this version of carbonio-check knows", r, platform.Newest).
			Saw(fmt.Sprintf("%s (%s)", r, from)).Wanted(platform.Newest.String() + " or older").Fix("# install a newer carbonio-check")}
	}
	return []checks.Finding{release.Pass(s, s.Vantage, "Carbonio %s is installed (%s)", r, from)}
}

// unread says whether the release of a node was neither read there nor given.
func unread(v checks.Vantage) bool {
	return v.Release.IsZero() || v.ReleaseFrom == "" || v.ReleaseFrom == assumed
}

// series is the release without its patches, which change no requirement.
func series(r platform.Release) platform.Release {
	r.Patch = 0
	return r
}

// judgeReleases compares the releases of the nodes on which Carbonio is installed.
func (v view) judgeReleases() []checks.Finding {
	nodes := cluster.Those(v.scope.Vantages, func(n checks.Vantage) bool { return n.Phase == checks.Health })
	known := cluster.Those(nodes, func(n checks.Vantage) bool { return !unread(n) })
	var newest platform.Release
	for _, n := range known {
		if newest.Before(n.Release) {
			newest = n.Release
		}
	}
	behind := cluster.Those(known, func(n checks.Vantage) bool { return n.Release != newest })
	differ := release.Warn
	if slices.ContainsFunc(behind, func(n checks.Vantage) bool { return series(n.Release) != series(newest) }) {
		differ = release.Fail
	}
	out := v.judgeSame(release, differ, "release", nodes, func(n checks.Vantage) string {
		if unread(n) {
			return ""
		}
		return "Carbonio " + n.Release.String()
	})
	for i := range out {
		out[i] = out[i].Fix(upgrade(behind))
	}
	return out
}

// upgrade brings nodes to the newest release, by their system.
func upgrade(nodes []checks.Vantage) string {
	var out []string
	for _, g := range groups(nodes, func(n checks.Vantage) string {
		if n.OS.Family() == "rhel" {
			return "dnf upgrade"
		}
		return "apt-get update && apt-get dist-upgrade"
	}) {
		out = append(out, "# on "+names(g.nodes)+", in the order of the release notes\n"+g.what)
	}
	return strings.Join(out, "\n")
}

// judgeSame judges whether all nodes have the same system, or release. what gives
// that of a node; empty: it is not known.
func (v view) judgeSame(c *checks.Check, differ func(checks.Basis, string, string, ...any) checks.Finding, noun string, nodes []checks.Vantage, what func(checks.Vantage) string) []checks.Finding {
	var looked []checks.Sight[checks.Nothing, base]
	for s := range baseLook.In(v.seen) {
		if _, got := s.Got(); got {
			looked = append(looked, s)
		}
	}
	if len(nodes) < 2 || len(looked) == 0 {
		return nil
	}
	basis := checks.Together(looked...).Platform()
	all := groups(nodes, what)
	var unknown []checks.Vantage
	if i := slices.IndexFunc(all, func(g group) bool { return g.what == "" }); i >= 0 {
		unknown = all[i].nodes
		all = slices.Delete(all, i, i+1)
	}
	switch {
	case len(all) < 2 && len(unknown) > 0:
		return []checks.Finding{c.Unknown(basis, everyNode, "the %s of %s could not be seen", noun, names(unknown))}
	case len(all) == 1:
		return []checks.Finding{c.Pass(basis, everyNode, "all nodes that looked run %s", all[0].what)}
	}
	var others, saw []string
	for i, g := range all {
		saw = append(saw, g.what+": "+names(g.nodes))
		if i > 0 {
			others = append(others, fmt.Sprintf("%s (%s)", names(g.nodes), g.what))
		}
	}
	return []checks.Finding{differ(basis, everyNode, "not all nodes run %s: %s", all[0].what, strings.Join(others, "; ")).
		Saw(strings.Join(saw, "\n")).Wanted("one " + noun + " on every node")}
}

// A group is nodes that have something in common: "ubuntu 24.04".
type group struct {
	what  string
	nodes []checks.Vantage
}

// groups puts nodes together by what they have in common, the largest group first.
func groups(nodes []checks.Vantage, what func(checks.Vantage) string) []group {
	var out []group
	for _, n := range nodes {
		i := slices.IndexFunc(out, func(g group) bool { return g.what == what(n) })
		if i < 0 {
			i, out = len(out), append(out, group{what: what(n)})
		}
		out[i].nodes = append(out[i].nodes, n)
	}
	slices.SortFunc(out, func(a, b group) int {
		return cmp.Or(cmp.Compare(len(b.nodes), len(a.nodes)), cmp.Compare(a.what, b.what))
	})
	return out
}

func names(nodes []checks.Vantage) string {
	out := make([]string, len(nodes))
	for i, n := range nodes {
		out[i] = n.Node
	}
	return strings.Join(out, ", ")
}
