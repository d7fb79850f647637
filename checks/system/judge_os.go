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

// supported lists the systems of a release by their ID and version, those of
// RHEL by the major one.
func supported(r platform.Release) (ubuntu, rhel []string) {
	if r.Before(platform.R25_6) {
		return []string{"20.04", "22.04"}, []string{"8"}
	}
	return []string{"22.04", "24.04"}, []string{"8", "9"}
}

func judgeOS(s sight[base]) checks.Finding {
	os, release := s.node.OS, s.node.Release
	name := cmp.Or(os.Pretty, strings.TrimSpace(os.ID+" "+os.Version))
	ubuntu, rhel := supported(release)
	want := fmt.Sprintf("Ubuntu Server %s, or RHEL %s", strings.Join(ubuntu, " or "), strings.Join(rhel, " or "))
	known := slices.Contains(rhel, major(os))
	var f checks.Finding
	switch {
	case os.ID == "":
		return distribution.Unknown(s, s.Vantage, "/etc/os-release could not be read")
	case os.ID == "ubuntu" && slices.Contains(ubuntu, os.Version), os.ID == "rhel" && known:
		return distribution.Pass(s, s.Vantage, "%s is supported by Carbonio %s", name, release)
	case os.ID == "rhel" && major(os) == "9":
		f = distribution.Warn(s, s.Vantage, "Carbonio %s supports RHEL 9 only as a beta", release)
	case isRHEL(os) && os.ID != "rhel" && known:
		f = distribution.Warn(s, s.Vantage, "%s is not listed as supported, though the playbooks handle it", name)
	default:
		f = distribution.Fail(s, s.Vantage, "%s is not supported by Carbonio %s", name, release).
			Fix("# reinstall " + s.Vantage + " with " + want)
	}
	return f.Saw(name).Wanted(want)
}

// major is "9" of "9.4": minor versions of RHEL are one system.
func major(os checks.OS) string {
	v, _, _ := strings.Cut(os.Version, ".")
	return v
}

func judgeArchitecture(s sight[base]) checks.Finding {
	switch s.saw.Architecture {
	case "":
		return architecture.Unknown(s, s.Vantage, "the architecture could not be seen")
	case "amd64":
		return architecture.Pass(s, s.Vantage, "the machine is x86_64")
	}
	return architecture.Fail(s, s.Vantage, "Carbonio has no packages for %s", s.saw.Architecture).Saw(s.saw.Architecture).Wanted("amd64")
}

func judgeMinimized(s sight[base]) checks.Finding {
	switch {
	case s.saw.MinimizedUnseen.Code != "":
		return minimized.Unknown(s, s.Vantage, "could not be seen: %s", s.saw.MinimizedUnseen)
	case s.saw.Minimized:
		return minimized.Fail(s, s.Vantage, "this is a minimized Ubuntu").
			Saw("/etc/update-motd.d/60-unminimize exists").Wanted("Ubuntu Server")
	}
	return minimized.Pass(s, s.Vantage, "Ubuntu Server is not minimized")
}

// judgeRelease judges the release of a node on which Carbonio is installed.
func judgeRelease(s sight[base]) []checks.Finding {
	r, from := s.node.Release, s.node.ReleaseFrom
	switch {
	case s.node.Phase != checks.Health:
		return nil
	case unversioned(s.node):
		return []checks.Finding{release.Skip(s, s.Vantage, "there is no /opt/zextras/.version on this node, so it is judged as Carbonio %s", r)}
	case !read(s.node):
		return []checks.Finding{release.Unknown(s, s.Vantage, "the installed release could not be read, so the node is judged as Carbonio %s: %s", r, from)}
	case platform.Newest.Before(series(r)):
		return []checks.Finding{release.Warn(s, s.Vantage, "Carbonio %s is newer than %s, the newest release that this version of carbonio-check knows", r, platform.Newest).
			Saw(fmt.Sprintf("%s (%s)", r, from)).Wanted(platform.Newest.String() + " or older").Fix("# install a newer carbonio-check")}
	}
	return []checks.Finding{release.Pass(s, s.Vantage, "Carbonio %s is installed (%s)", r, from)}
}

// unversioned says whether a node has no file with its release: it comes
// with carbonio-core, which not every node has.
func unversioned(v checks.Vantage) bool {
	return v.ReleaseFrom == "" || v.ReleaseFrom == checks.Assumed
}

// read says whether the release of a node was read there, or given.
func read(v checks.Vantage) bool {
	return !v.Release.IsZero() && v.ReleaseFrom != "" && !strings.HasPrefix(v.ReleaseFrom, checks.Assumed)
}

// series is the release without its patches, which change no requirement.
func series(r platform.Release) platform.Release {
	r.Patch = 0
	return r
}

// judgeSameOS compares the systems of the nodes that looked: every minor version
// of RHEL is one.
func (v view) judgeSameOS() []checks.Finding {
	return v.judgeSame(distribution, distribution.Warn, "system", v.scope.Vantages, func(n checks.Vantage) string {
		return strings.TrimSpace(n.OS.ID + " " + pick(n.OS, n.OS.Version, major(n.OS)))
	})
}

// judgeReleases compares the releases of the nodes on which Carbonio is installed.
func (v view) judgeReleases() []checks.Finding {
	nodes := cluster.Those(v.scope.Vantages, func(n checks.Vantage) bool { return n.Phase == checks.Health && !unversioned(n) })
	var newest platform.Release
	for _, n := range nodes {
		if read(n) && newest.Before(n.Release) {
			newest = n.Release
		}
	}
	behind := cluster.Those(nodes, func(n checks.Vantage) bool { return read(n) && n.Release != newest })
	differ := release.Warn
	if slices.ContainsFunc(behind, func(n checks.Vantage) bool { return series(n.Release) != series(newest) }) {
		differ = release.Fail
	}
	out := v.judgeSame(release, differ, "release", nodes, func(n checks.Vantage) string {
		if !read(n) {
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
		return pick(n.OS, "apt-get update && apt-get dist-upgrade", "dnf upgrade")
	}) {
		out = append(out, "# on "+g.names()+", in the order of the release notes\n"+g.what)
	}
	return strings.Join(out, "\n")
}

// everyNode is the target of a verdict on all nodes together.
const everyNode = "all nodes"

// judgeSame judges whether all nodes have the same system, or release. what gives
// that of a node; empty: it is not known.
func (v view) judgeSame(c *checks.Check, differ func(checks.Basis, string, string, ...any) checks.Finding, noun string, nodes []checks.Vantage, what func(checks.Vantage) string) []checks.Finding {
	looked := cluster.Those(slices.Collect(baseLook.In(v.seen)), func(s checks.Sight[checks.Nothing, base]) bool {
		_, got := s.Got()
		return got
	})
	if len(nodes) < 2 || len(looked) == 0 {
		return nil
	}
	basis := checks.Together(looked...).Platform()
	all := groups(nodes, what)
	var unknown group
	if i := slices.IndexFunc(all, func(g group) bool { return g.what == "" }); i >= 0 {
		unknown = all[i]
		all = slices.Delete(all, i, i+1)
	}
	switch {
	case len(all) < 2 && len(unknown.nodes) > 0:
		return []checks.Finding{c.Unknown(basis, everyNode, "the %s of %s could not be seen", noun, unknown.names())}
	case len(all) == 1:
		return []checks.Finding{c.Pass(basis, everyNode, "all observed nodes run %s", all[0].what)}
	}
	var saw, others []string
	for _, g := range all {
		saw = append(saw, g.what+": "+g.names())
		others = append(others, fmt.Sprintf("%s (%s)", g.names(), g.what))
	}
	return []checks.Finding{differ(basis, everyNode, "not all nodes run %s: %s", all[0].what, strings.Join(others[1:], "; ")).
		Saw(strings.Join(saw, "\n")).Wanted("one " + noun + " on every node")}
}

// A group is nodes that have something in common: "ubuntu 24.04".
type group struct {
	what  string
	nodes []string
}

func (g group) names() string { return strings.Join(g.nodes, ", ") }

// groups puts nodes together by what they have in common, the largest group first.
func groups(nodes []checks.Vantage, what func(checks.Vantage) string) []group {
	by := map[string][]string{}
	for _, n := range nodes {
		by[what(n)] = append(by[what(n)], n.Node)
	}
	var out []group
	for what, nodes := range by {
		out = append(out, group{what, nodes})
	}
	slices.SortFunc(out, func(a, b group) int {
		return cmp.Or(cmp.Compare(len(b.nodes), len(a.nodes)), cmp.Compare(a.what, b.what))
	})
	return out
}
