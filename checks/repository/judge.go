package repository

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// judge decides on every node, then on whether all take the same channel.
func judge(scope checks.Scope, record checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	var views []*view
	for s := range configuration.In(record) {
		v := newView(s, scope)
		v.judge()
		views = append(views, v)
		out = append(out, v.found...)
	}
	slices.SortFunc(views, func(a, b *view) int { return cmp.Compare(a.Vantage, b.Vantage) })
	return append(out, drift(views)...), nil
}

// A view is one node's package sources, what they must match, and what was found.
type view struct {
	checks.Sight[checks.Nothing, sources]
	sources
	system
	self     checks.Vantage
	ours     []parsed // files that are Carbonio's by name, or contain an entry for it
	carbonio []entry  // valid and enabled
	postgres []entry  // the same
	unread   string   // why there may be entries that were not seen; else empty
	found    []checks.Finding
}

// parsed is a file of the node's own package manager.
type parsed struct {
	source
	entries []entry
}

func newView(s checks.Sight[checks.Nothing, sources], scope checks.Scope) *view {
	v := &view{Sight: s, self: scope.Vantage(s.Vantage)}
	v.system = systemOf(v.self)
	v.sources, _ = s.Got()
	for _, f := range v.Files {
		if !slices.Contains(v.extensions, path.Ext(f.Path)) {
			continue
		}
		switch f.Unseen.Code {
		case checks.Denied:
			v.unread = cmp.Or(v.unread, fmt.Sprintf("user %d cannot read %s: run carbonio-check as root", v.UID, f.Path))
		case checks.Starved:
			v.unread = cmp.Or(v.unread, fmt.Sprintf("%s could not be read: %s", f.Path, f.Unseen))
		}
		p := parsed{f, parse(f.Path, f.Text)}
		if named(f.Path, "zextras", "carbonio") || slices.ContainsFunc(p.entries, entry.ofCarbonio) {
			v.ours = append(v.ours, p)
		}
		for _, e := range p.entries {
			switch {
			case e.Problem != "" || e.Disabled || e.Source:
			case e.ofCarbonio():
				v.carbonio = append(v.carbonio, e)
			case e.ofPostgres():
				v.postgres = append(v.postgres, e)
			}
		}
	}
	if v.Unlisted.Code != "" {
		v.unread = cmp.Or(v.unread, fmt.Sprintf("not all files could be listed: %s", v.Unlisted))
	}
	return v
}

// A system is an operating system that Carbonio has packages for: what its
// package manager reads, and what selects its repository.
type system struct {
	apt        bool // else dnf
	name       string
	is         string   // this one: the codename for apt, the major version for dnf
	known      []string // those that Carbonio has
	expected   string   // the file that the manual and the playbook write
	extensions []string // of the files that the package manager reads
	refresh    string
}

// systemOf is the zero value where Carbonio has no packages.
func systemOf(v checks.Vantage) system {
	switch v.OS.Family() {
	case "ubuntu":
		known := []string{"jammy", "noble"}
		if v.Release.Before(platform.R25_6) {
			known = []string{"focal", "jammy"}
		}
		return system{true, "Ubuntu", v.OS.Codename, known, aptDir + "/zextras.list", []string{".list", ".sources"}, "apt update"}
	case "rhel":
		major, _, _ := strings.Cut(v.OS.Version, ".")
		return system{false, "RHEL", major, []string{"8", "9"}, dnfDir + "/zextras.repo", []string{".repo"}, "dnf makecache"}
	}
	return system{}
}

func (s system) supported() bool { return slices.Contains(s.known, s.is) }

// add takes a finding, and names the node that its remedy is for.
func (v *view) add(f checks.Finding) {
	if f.Remedy != "" {
		f.Remedy = "# on " + v.Vantage + "\n" + f.Remedy
	}
	v.found = append(v.found, f)
}

// orElse judges by rules, and says so if they had nothing to judge.
func (v *view) orElse(nothing func(*checks.Check) checks.Finding, c *checks.Check, rules func()) {
	before := len(v.found)
	if rules(); len(v.found) == before {
		v.add(nothing(c))
	}
}

// judge decides on a node. A system that has neither apt nor dnf, or that is
// unknown, is left to system.os.
func (v *view) judge() {
	for _, c := range catalogue {
		switch _, got := v.Got(); {
		case !got:
			v.add(c.Unseen(v, v.Target.Name))
		case v.self.OS.ID == "":
			v.add(c.Unknown(v, v.Target.Name, "the operating system is unknown, and with it which files matter"))
		case v.extensions == nil:
			v.add(c.Skip(v, v.Target.Name, "Carbonio has no packages for %s", cmp.Or(v.self.OS.Pretty, v.self.OS.ID)))
		}
	}
	if len(v.found) > 0 {
		return
	}
	v.orElse(v.noFile, file, v.judgeFile)
	v.orElse(v.none, syntax, v.judgeSyntax)
	v.orElse(v.none, suite, v.judgeSuite)
	v.orElse(v.none, channel, v.judgeChannel)
	v.judgeKeys()
	v.add(v.judgePGDG())
	v.add(v.judgeMixed())
}

func (v *view) judgeFile() {
	for _, f := range v.ours {
		switch {
		case f.Unseen.Code == checks.Denied:
			v.add(file.Unknown(v, f.Path, "user %d cannot read it: run carbonio-check as root, as Ansible does", v.UID))
		case f.Unseen.Code == checks.Starved:
			v.add(file.Unknown(v, f.Path, "could not be seen: %s", f.Unseen))
		case f.Unseen.Code != "":
			v.add(file.Fail(v, f.Path, "it cannot be read, and the playbook will write one for RELEASE instead").
				Saw(f.Unseen.String()).Wanted("a regular file").Fix(v.replace(f.Path)))
		case strings.TrimSpace(f.Text) == "" && len(v.carbonio) > 0:
			v.add(file.Skip(v, f.Path, "it is empty; %s is in use", v.carbonio[0].File))
		case strings.TrimSpace(f.Text) == "":
			v.add(file.Fail(v, f.Path, "it is empty, and the playbook will write one for RELEASE instead").Fix(v.install()))
		default:
			v.add(file.Pass(v, f.Path, "it exists and is readable"))
		}
	}
}

// replace is how to replace what is not a regular file.
func (v *view) replace(p string) string {
	if !plain(p) || v.install() == "" {
		return ""
	}
	return "mv " + p + " " + p + ".bad\n" + v.install()
}

// noFile is a failure before the installation. After it, only updates are missing.
func (v *view) noFile(c *checks.Check) checks.Finding {
	if v.unread != "" {
		return v.none(c)
	}
	f := c.Fail(v, v.expected, "no Carbonio repository is configured: the playbook will choose RELEASE")
	if v.self.Phase == checks.Health {
		f = c.Warn(v, v.expected, "no Carbonio repository is configured: the node gets no updates")
	}
	if len(v.Ignored) > 0 {
		f = f.Saw("only " + strings.Join(v.Ignored[:min(len(v.Ignored), 4)], ", ") + ", which the package manager does not read")
	}
	return f.Wanted(v.expected).Fix(v.install())
}

// install is the manual's way to configure the repository; empty on a system
// that has none.
func (v *view) install() string {
	switch {
	case !v.supported():
		return ""
	case v.apt:
		return keyCommand + "\n" + `echo "` + v.sample() + `" > ` + v.expected + "\n" + v.refresh
	}
	return fmt.Sprintf(repoCommand, v.is) + "\n" + v.refresh
}

func (v *view) judgeSyntax() {
	for _, f := range v.ours {
		if f.Text != "" {
			v.add(v.fileSyntax(f))
		}
	}
}

func (v *view) fileSyntax(f parsed) checks.Finding {
	active := 0
	for _, e := range f.entries {
		if !e.ofCarbonio() {
			continue
		}
		switch {
		case e.Problem != "":
			return syntax.Fail(v, f.Path, "line %d: %s", e.Line, e.Problem).Saw(clip(e.Raw)).Wanted(v.sample())
		case e.Disabled || e.Source:
			continue
		case v.apt && len(e.Arches) > 0 && !slices.Contains(e.Arches, "amd64"):
			return syntax.Fail(v, f.Path, "line %d is not for amd64, the only architecture that Carbonio has", e.Line).
				Saw(clip(strings.Join(e.Arches, ", "))).Wanted("amd64")
		case v.apt && e.mentions("repo.zextras.io") && len(e.Components) > 0 && !slices.Contains(e.Components, "main"):
			return syntax.Fail(v, f.Path, "line %d does not name the component main, the only one that Carbonio has", e.Line).
				Saw(clip(strings.Join(e.Components, " "))).Wanted("main")
		}
		active++
	}
	switch {
	case active == 0 && len(v.carbonio) > 0:
		return syntax.Skip(v, f.Path, "it has no enabled entry; %s is in use", v.carbonio[0].File)
	case active == 0:
		return syntax.Fail(v, f.Path, "it has no enabled entry, only comments or disabled ones").Wanted(v.sample())
	}
	return syntax.Pass(v, f.Path, "its entry is valid and enabled")
}

// sample is the entry as the manual prints it.
func (v *view) sample() string {
	is := v.is
	if !v.supported() {
		is = v.known[len(v.known)-1]
	}
	if v.apt {
		return "deb [arch=amd64 signed-by=/usr/share/keyrings/zextras.gpg] https://repo.zextras.io/release/ubuntu " + is + " main"
	}
	return "[zextras]\nname=zextras\nbaseurl=https://repo.zextras.io/release/rhel" + is + "\nenabled=1"
}

// none is the finding of a check that has nothing to judge; file or syntax says why.
func (v *view) none(c *checks.Check) checks.Finding {
	if v.unread != "" {
		return c.Unknown(v, v.expected, "%s", v.unread)
	}
	return c.Skip(v, v.expected, "no Carbonio entry is in use")
}

func (v *view) judgeSuite() {
	want := v.name + " " + strings.Join(v.known, " or ")
	switch {
	case v.is == "":
		v.add(suite.Unknown(v, v.expected, "/etc/os-release does not say which release of the operating system this is"))
		return
	case !v.supported():
		v.add(suite.Fail(v, v.is, "Carbonio %s has no packages for %s", v.self.Release, cmp.Or(v.self.OS.Pretty, v.is)).
			Saw(v.is).Wanted(want).Fix("reinstall the node with " + want).Per(platform.Requirements).Needing(checks.OSOf(v.Vantage)))
		return
	}
	for _, e := range v.carbonio {
		if v.apt {
			v.add(v.aptSuite(e))
		} else {
			v.add(v.dnfRelease(e))
		}
	}
}

func (v *view) aptSuite(e entry) checks.Finding {
	suites := strings.Join(e.Suites, " ")
	switch {
	case strings.HasSuffix(suites, "/"):
		return suite.Skip(v, e.String(), "the entry names a path, not a suite")
	case suites == v.is:
		return suite.Pass(v, e.String(), "%s, like the system", suites)
	}
	f := suite.Fail(v, e.String(), "the suite is not the one for this system").Saw(clip(suites)).Wanted(v.is)
	if path.Ext(e.File) == ".list" && plain(e.File, suites) {
		f = f.Fix(fmt.Sprintf("sed -i '%ds/ %s / %s /' %s && apt update", e.Line, suites, v.is, e.File))
	}
	return f
}

// dnfRelease finds the major version in a segment of the path: rhel8, rhel9.
func (v *view) dnfRelease(e entry) checks.Finding {
	for _, u := range e.URIs {
		for _, segment := range strings.Split(strings.ReplaceAll(u, "$releasever", v.is), "/") {
			version, ok := strings.CutPrefix(segment, "rhel")
			if !ok || strings.Trim(version, "0123456789") != "" || version == "" {
				continue
			}
			if version != v.is {
				f := suite.Fail(v, e.String(), "the repository is for another release of the operating system").Saw(segment).Wanted("rhel" + v.is)
				if plain(e.File, segment) {
					f = f.Fix(fmt.Sprintf("sed -i 's|/%s|/rhel%s|' %s && dnf makecache", segment, v.is, e.File))
				}
				return f
			}
			return suite.Pass(v, e.String(), "%s, like the system", segment)
		}
	}
	return suite.Skip(v, e.String(), "the URL does not say which release of the operating system it is for")
}

func (v *view) judgeChannel() {
	for _, e := range v.carbonio {
		url := clip(strings.Join(e.URIs, " "))
		switch c := e.channel(); c {
		case release:
			v.add(channel.Pass(v, e.String(), "RELEASE"))
		case rc:
			f := channel.Warn(v, e.String(), "RC is not for production").Saw(url).Wanted("the release channel")
			if plain(e.File) {
				f = f.Fix(fmt.Sprintf("sed -i 's|/rc/|/release/|' %s && %s", e.File, v.refresh))
			}
			v.add(f)
		case "":
			v.add(channel.Skip(v, e.String(), "the URL names no channel").Saw(url))
		default:
			v.add(channel.Warn(v, e.String(), "%s is neither RELEASE nor RC", clip(c)).Saw(url).Wanted("the release channel"))
		}
	}
}

// judgeMixed finds several channels, several suites, or a duplicate on a node.
func (v *view) judgeMixed() checks.Finding {
	node, all := v.Vantage, v.channels()
	var wrong []checks.Need
	var saw []string
	suites, same := map[string]bool{}, map[string]bool{}
	for _, e := range v.carbonio {
		what := strings.Join(append(slices.Clone(e.URIs), e.Suites...), " ")
		same[what] = true
		saw = append(saw, e.String()+" "+clip(what))
		for _, s := range e.Suites {
			suites[s] = true
			if s != v.is {
				wrong = append(wrong, suite.On(e.String()))
			}
		}
	}
	var f checks.Finding
	switch {
	case len(v.carbonio) == 0:
		return v.none(mixed)
	case len(all) > 1:
		f = all.differ(v, node, "the node takes Carbonio from %d channels: %s", len(all), all)
	case len(suites) > 1:
		f = mixed.Fail(v, node, "the node takes Carbonio from %d suites", len(suites)).Needing(wrong...)
	case len(same) < len(v.carbonio):
		f = mixed.Warn(v, node, "the same repository is configured more than once: the package manager warns at every update")
	case v.unread != "":
		return mixed.Unknown(v, node, "one channel was seen, %s, but %s", all, v.unread)
	default:
		return mixed.Pass(v, node, "one channel: %s", all)
	}
	return f.Saw(strings.Join(saw[:min(len(saw), 6)], "\n")).Wanted("one entry")
}

// hidden says whether the node may have a channel that was not seen.
func (v *view) hidden() bool {
	_, got := v.Got()
	return !got || v.self.OS.ID == "" || v.unread != ""
}

// drift compares the channels of all nodes.
func drift(views []*view) []checks.Finding {
	const target = "the platform"
	who := map[string][]string{}
	var all channels
	var seen, hidden []string
	for _, v := range views {
		if c := v.channels(); len(c) > 0 {
			seen, all = append(seen, v.Vantage), append(all, c...)
			who[c.String()] = append(who[c.String()], v.Vantage)
		}
		if v.hidden() {
			hidden = append(hidden, v.Vantage)
		}
	}
	names := slices.Sorted(maps.Keys(who))
	proof := checks.Together(views...).Platform()
	switch {
	case len(seen) < 2:
		return nil
	case len(names) == 1 && len(hidden) > 0:
		return []checks.Finding{mixed.Unknown(proof, target, "%d nodes take Carbonio from one channel, %s, but not every node's channel could be seen", len(seen), names[0]).
			With("unseen", some(hidden))}
	case len(names) == 1:
		return []checks.Finding{mixed.Pass(proof, target, "all %d nodes take Carbonio from one channel: %s", len(seen), names[0])}
	}
	var saw []string
	for _, c := range names {
		saw = append(saw, c+" on "+some(who[c]))
	}
	return []checks.Finding{all.differ(proof, target, "the nodes do not take Carbonio from the same channel: %s", strings.Join(names, ", ")).
		Saw(strings.Join(saw, "\n")).Wanted("one channel on all nodes")}
}

// channels are those of one node, sorted, each once; "" is a repository whose URL
// names none.
type channels []string

func (v *view) channels() channels {
	var out channels
	for _, e := range v.carbonio {
		out = append(out, e.channel())
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (c channels) String() string {
	var out []string
	for _, name := range c {
		out = append(out, cmp.Or(clip(name), "unnamed"))
	}
	return some(out)
}

// differ is the finding that there are several: a warning if one is unnamed, as
// it may be a mirror of another.
func (c channels) differ(b checks.Basis, target, format string, args ...any) checks.Finding {
	if slices.Contains(c, "") {
		return mixed.Warn(b, target, format, args...)
	}
	return mixed.Fail(b, target, format, args...)
}

func some(names []string) string {
	const few = 4
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

// plain says whether words are safe in a command to paste.
func plain(words ...string) bool {
	return strings.Trim(strings.Join(words, ""), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == ""
}

// clip bounds what a finding quotes of a file.
func clip(s string) string {
	const wide = 200
	if len(s) > wide {
		return strings.ToValidUTF8(s[:wide], "") + "…"
	}
	return s
}
