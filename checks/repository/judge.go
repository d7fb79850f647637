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

var ids = []string{fileID, syntaxID, suiteID, channelID, keyID, pgdgID, mixedID}

// A view is one node's package sources, and what they have to fit.
type view struct {
	o        checks.Observation
	s        sources
	vantage  checks.Vantage
	release  platform.Release
	files    []source // of the node's own package manager
	carbonio []entry  // in use, and understood
	postgres []entry  // the same
}

// Judge decides on every node, then on whether all take the same channel.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	var views []view
	for o, s := range checks.Of[sources](seen, kindSources) {
		if len(o.Data) == 0 || o.Error != "" && len(s.Files) == 0 {
			out = append(out, o.Unseen(o.Target.Name, ids...)...)
			continue
		}
		v := newView(o, s, scope)
		if v.extensions() == nil {
			out = append(out, v.foreign()...)
			continue
		}
		views = append(views, v)
		out = append(out, v.judge()...)
	}
	slices.SortFunc(views, func(a, b view) int { return cmp.Compare(a.o.Vantage, b.o.Vantage) })
	return append(out, drift(views)...)
}

func newView(o checks.Observation, s sources, scope checks.Scope) view {
	v := view{o: o, s: s, vantage: scope.Vantage(o.Vantage), release: scope.Release}
	for _, f := range s.Files {
		if !slices.Contains(v.extensions(), path.Ext(f.Path)) {
			continue
		}
		v.files = append(v.files, f)
		for _, e := range parse(f.Path, f.Text) {
			switch {
			case e.Problem != "" || e.Disabled || e.Source:
			case e.ofCarbonio():
				v.carbonio = append(v.carbonio, e)
			case e.ofPostgres():
				v.postgres = append(v.postgres, e)
			}
		}
	}
	return v
}

// apt says whether the node takes apt; else it takes dnf.
func (v view) apt() bool { return v.vantage.OS.Family() == "ubuntu" }

// extensions are those of the files that the node's package manager reads; nil
// where Carbonio has no packages for it.
func (v view) extensions() []string {
	switch v.vantage.OS.Family() {
	case "ubuntu":
		return []string{".list", ".sources"}
	case "rhel":
		return []string{".repo"}
	}
	return nil
}

// foreign is the word on a system that takes neither apt nor dnf, or that did
// not say what it is. system.os judges that.
func (v view) foreign() []checks.Finding {
	var out []checks.Finding
	for _, id := range ids {
		if os := v.vantage.OS; os.ID == "" {
			out = append(out, v.o.Unknown(id, v.o.Target.Name, "what system this is could not be seen, and so not which files matter"))
		} else {
			out = append(out, v.o.Skip(id, v.o.Target.Name, "Carbonio has no packages for %s", cmp.Or(os.Pretty, os.ID)))
		}
	}
	return out
}

func (v view) judge() []checks.Finding {
	out := append(v.file(), v.syntax()...)
	out = append(out, v.suite()...)
	out = append(out, v.channel()...)
	out = append(out, v.keys()...)
	return append(out, v.pgdg(), v.mixed())
}

// expected is the file that the manual and the playbook write.
func (v view) expected() string {
	if v.apt() {
		return aptDir + "/zextras.list"
	}
	return dnfDir + "/zextras.repo"
}

// ours are the files that are Carbonio's by name, or that hold an entry of it.
func (v view) ours() []source {
	var out []source
	for _, f := range v.files {
		if named(f.Path, "zextras", "carbonio") || slices.ContainsFunc(parse(f.Path, f.Text), entry.ofCarbonio) {
			out = append(out, f)
		}
	}
	return out
}

func (v view) file() []checks.Finding {
	var out []checks.Finding
	for _, f := range v.ours() {
		switch {
		case f.Denied:
			out = append(out, v.o.Unknown(fileID, f.Path, "it is not readable for user %d: run carbonio-check as root, as Ansible does", v.s.UID))
		case f.Problem != "":
			out = append(out, v.o.Fail(fileID, f.Path, "it cannot be read, and the playbook writes one for RELEASE in its place").
				Saw(f.Problem).Wanted("a regular file").Fix(v.replace(f.Path)))
		case strings.TrimSpace(f.Text) == "" && len(v.carbonio) > 0:
			out = append(out, v.o.Skip(fileID, f.Path, "it is empty: %s is in use", v.carbonio[0].File))
		case strings.TrimSpace(f.Text) == "":
			out = append(out, v.o.Fail(fileID, f.Path, "it is empty, and the playbook writes one for RELEASE in its place").Fix(v.install()))
		default:
			out = append(out, v.o.Pass(fileID, f.Path, "it is there, and readable"))
		}
	}
	if len(out) == 0 {
		return []checks.Finding{v.noFile()}
	}
	return out
}

// replace is how to put a proper file in the place of one that is none.
func (v view) replace(p string) string {
	if !plain(p) || v.install() == "" {
		return ""
	}
	return "mv " + p + " " + p + ".bad\n" + v.install()
}

// noFile is a failure before the installation. After it, only updates wait.
func (v view) noFile() checks.Finding {
	if v.denied() != "" {
		return v.none(fileID)
	}
	if v.o.Error != "" {
		return v.o.Unknown(fileID, v.expected(), "no file of Carbonio's was found, but not all could be seen: %s", v.o.Error)
	}
	f := v.o.Fail(fileID, v.expected(), "no repository of Carbonio is configured: the playbook will choose RELEASE by itself")
	if v.vantage.Phase == checks.Health {
		f = v.o.Warn(fileID, v.expected(), "no repository of Carbonio is configured: the node gets no updates")
	}
	if len(v.s.Ignored) > 0 {
		f = f.Saw("only " + strings.Join(v.s.Ignored[:min(len(v.s.Ignored), 4)], ", ") + ", which the package manager does not read")
	}
	return f.Wanted(v.expected()).Fix(v.install())
}

// install is the manual's way to configure the repository; empty on a system
// that has none.
func (v view) install() string {
	is, known, _ := v.system()
	switch {
	case !slices.Contains(known, is):
		return ""
	case v.apt():
		return keyCommand + "\n" + fmt.Sprintf(listCommand, is)
	}
	return fmt.Sprintf(repoCommand, is)
}

// denied is a file that this user may not read; empty when there is none.
func (v view) denied() string {
	for _, f := range v.files {
		if f.Denied {
			return f.Path
		}
	}
	return ""
}

func (v view) syntax() []checks.Finding {
	var out []checks.Finding
	for _, f := range v.ours() {
		if f.Text != "" {
			out = append(out, v.fileSyntax(f))
		}
	}
	if len(out) == 0 {
		return []checks.Finding{v.none(syntaxID)}
	}
	return out
}

func (v view) fileSyntax(f source) checks.Finding {
	active := 0
	for _, e := range parse(f.Path, f.Text) {
		if !e.ofCarbonio() {
			continue
		}
		switch {
		case e.Problem != "":
			return v.o.Fail(syntaxID, f.Path, "line %d: %s", e.Line, e.Problem).Saw(clip(e.Raw)).Wanted(v.sample())
		case e.Disabled || e.Source:
			continue
		case v.apt() && len(e.Arches) > 0 && !slices.Contains(e.Arches, "amd64"):
			return v.o.Fail(syntaxID, f.Path, "line %d is not for amd64, the only architecture there is", e.Line).
				Saw(clip(strings.Join(e.Arches, ", "))).Wanted("amd64")
		case v.apt() && e.mentions("repo.zextras.io") && len(e.Components) > 0 && !slices.Contains(e.Components, "main"):
			return v.o.Fail(syntaxID, f.Path, "line %d does not name the component main, the only one there is", e.Line).
				Saw(clip(strings.Join(e.Components, " "))).Wanted("main")
		}
		active++
	}
	switch {
	case active == 0 && len(v.carbonio) > 0:
		return v.o.Skip(syntaxID, f.Path, "it holds no entry that is switched on: %s is in use", v.carbonio[0].File)
	case active == 0:
		return v.o.Fail(syntaxID, f.Path, "it holds no entry that is switched on: comments, or disabled ones, only").Wanted(v.sample())
	}
	return v.o.Pass(syntaxID, f.Path, "its entry is understood, and switched on")
}

// sample is the entry as the manual prints it.
func (v view) sample() string {
	is, known, _ := v.system()
	if !slices.Contains(known, is) {
		is = known[len(known)-1]
	}
	if v.apt() {
		return "deb [arch=amd64 signed-by=/usr/share/keyrings/zextras.gpg] https://repo.zextras.io/release/ubuntu " + is + " main"
	}
	return "[zextras]\nname=zextras\nbaseurl=https://repo.zextras.io/release/rhel" + is + "\nenabled=1"
}

// none is the word of a check that has nothing to judge: repository.file or
// repository.syntax says why.
func (v view) none(id string) checks.Finding {
	if v.denied() != "" {
		return v.o.Unknown(id, v.expected(), "%s is not readable for user %d: run carbonio-check as root", v.denied(), v.s.UID)
	}
	return v.o.Skip(id, v.expected(), "no entry for Carbonio is in use")
}

// system is what a repository is chosen by: the codename for apt, the major
// version for dnf; and those that Carbonio has (REQ25, REQ26; 25.6.0 dropped
// focal).
func (v view) system() (is string, known []string, what string) {
	if !v.apt() {
		major, _, _ := strings.Cut(v.vantage.OS.Version, ".")
		return major, []string{"8", "9"}, "RHEL"
	}
	if v.release.Before(platform.R25_6) {
		return v.vantage.OS.Codename, []string{"focal", "jammy"}, "Ubuntu"
	}
	return v.vantage.OS.Codename, []string{"jammy", "noble"}, "Ubuntu"
}

func (v view) suite() []checks.Finding {
	is, known, what := v.system()
	if is == "" {
		return []checks.Finding{v.o.Unknown(suiteID, v.expected(), "/etc/os-release does not say which release of the system this is")}
	}
	if !slices.Contains(known, is) {
		return []checks.Finding{v.o.Fail(suiteID, is, "Carbonio %s has no packages for %s", v.release, cmp.Or(v.vantage.OS.Pretty, is)).
			Saw(is).Wanted(what+" "+strings.Join(known, " or ")).Fix("install the node anew, on "+what+" "+strings.Join(known, " or ")).From("REQ26").Needing("system.os", v.o.Vantage)}
	}
	var out []checks.Finding
	for _, e := range v.carbonio {
		if v.apt() {
			out = append(out, v.aptSuite(e, is))
		} else {
			out = append(out, v.dnfRelease(e, is))
		}
	}
	if len(out) == 0 {
		return []checks.Finding{v.none(suiteID)}
	}
	return out
}

func (v view) aptSuite(e entry, codename string) checks.Finding {
	suites := strings.Join(e.Suites, " ")
	switch {
	case strings.HasSuffix(suites, "/"):
		return v.o.Skip(suiteID, e.String(), "the entry names a path, not a suite")
	case suites == codename:
		return v.o.Pass(suiteID, e.String(), "%s, as the system", codename)
	}
	f := v.o.Fail(suiteID, e.String(), "the suite is not the one of this system").Saw(clip(suites)).Wanted(codename)
	if path.Ext(e.File) == ".list" && plain(e.File, suites) {
		f = f.Fix(fmt.Sprintf("sed -i '%ds/ %s / %s /' %s && apt update", e.Line, suites, codename, e.File))
	}
	return f
}

// dnfRelease finds the major version in a segment of the path: rhel8, rhel9.
func (v view) dnfRelease(e entry, major string) checks.Finding {
	for _, u := range e.URIs {
		for _, segment := range strings.Split(strings.ReplaceAll(u, "$releasever", major), "/") {
			version, ok := strings.CutPrefix(segment, "rhel")
			if !ok || strings.Trim(version, "0123456789") != "" || version == "" {
				continue
			}
			if version != major {
				f := v.o.Fail(suiteID, e.String(), "the repository is for another release of the system").Saw(segment).Wanted("rhel" + major)
				if plain(e.File, segment) {
					f = f.Fix(fmt.Sprintf("sed -i 's|/%s|/rhel%s|' %s && dnf makecache", segment, major, e.File))
				}
				return f
			}
			return v.o.Pass(suiteID, e.String(), "%s, as the system", segment)
		}
	}
	return v.o.Skip(suiteID, e.String(), "the URL does not say which release of the system it is for")
}

func (v view) channel() []checks.Finding {
	var out []checks.Finding
	for _, e := range v.carbonio {
		url := clip(strings.Join(e.URIs, " "))
		switch c := e.channel(); c {
		case release:
			out = append(out, v.o.Pass(channelID, e.String(), "RELEASE"))
		case rc:
			f := v.o.Warn(channelID, e.String(), "RC is not for production").Saw(url).Wanted("the channel release")
			if plain(e.File) {
				f = f.Fix(fmt.Sprintf("sed -i 's|/rc/|/release/|' %s && %s", e.File, v.refresh()))
			}
			out = append(out, f)
		case "":
			out = append(out, v.o.Skip(channelID, e.String(), "a repository of its own kind: its URL names no channel").Saw(url))
		default:
			out = append(out, v.o.Warn(channelID, e.String(), "%s is neither RELEASE nor RC", clip(c)).Saw(url).Wanted("the channel release"))
		}
	}
	if len(out) == 0 {
		return []checks.Finding{v.none(channelID)}
	}
	return out
}

func (v view) refresh() string {
	if v.apt() {
		return "apt update"
	}
	return "dnf makecache"
}

// mixed finds several channels, several suites, or one of them twice on a node.
func (v view) mixed() checks.Finding {
	node := v.o.Vantage
	is, _, _ := v.system()
	var wrong []checks.Ref
	var saw []string
	suites, same := map[string]bool{}, map[string]bool{}
	for _, e := range v.carbonio {
		what := strings.Join(append(slices.Clone(e.URIs), e.Suites...), " ")
		same[what] = true
		saw = append(saw, e.String()+" "+clip(what))
		for _, s := range e.Suites {
			suites[s] = true
			if s != is {
				wrong = append(wrong, checks.Ref{Check: suiteID, Target: e.String()})
			}
		}
	}
	f := v.o.Pass(mixedID, node, "one channel: %s", v.channels())
	switch {
	case len(v.carbonio) == 0:
		return v.none(mixedID)
	case len(v.channels()) > 1:
		f = v.o.Fail(mixedID, node, "the node takes Carbonio from %d channels: %s", len(v.channels()), v.channels())
		f.Status = v.channels().worst()
	case len(suites) > 1:
		f = v.o.Fail(mixedID, node, "the node takes Carbonio from %d suites", len(suites))
		f.Needs = wrong
	case len(same) < len(v.carbonio):
		f = v.o.Warn(mixedID, node, "the same repository is configured more than once: the package manager complains at every update")
	default:
		return f
	}
	return f.Saw(strings.Join(saw[:min(len(saw), 6)], "\n")).Wanted("one entry")
}

// drift compares the channels of all nodes.
func drift(views []view) []checks.Finding {
	who := map[string][]string{}
	var all channels
	nodes := 0
	for _, v := range views {
		if c := v.channels(); len(c) > 0 {
			nodes++
			all = append(all, c...)
			who[c.String()] = append(who[c.String()], v.o.Vantage)
		}
	}
	if nodes < 2 {
		return nil
	}
	f := checks.Finding{Check: mixedID, Target: "the platform", Status: checks.Pass}
	names := slices.Sorted(maps.Keys(who))
	if len(names) == 1 {
		f.Message = fmt.Sprintf("all %d nodes take Carbonio from one channel: %s", nodes, names[0])
		return []checks.Finding{f}
	}
	var saw []string
	for _, c := range names {
		saw = append(saw, c+" on "+some(who[c]))
	}
	f.Status, f.Message = all.worst(), "the nodes do not take Carbonio from the same channel: "+strings.Join(names, ", ")
	return []checks.Finding{f.Saw(strings.Join(saw, "\n")).Wanted("one channel on all nodes")}
}

// channels are those of one node, in order, each once; "" is a repository whose
// URL names none.
type channels []string

func (v view) channels() channels {
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
		out = append(out, cmp.Or(clip(name), "one without a name"))
	}
	return some(out)
}

// worst is how much several channels matter: one without a name may be a mirror
// of another.
func (c channels) worst() checks.Status {
	if slices.Contains(c, "") {
		return checks.Warn
	}
	return checks.Fail
}

func some(names []string) string {
	const few = 4
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

// plain says whether words may stand in a command to paste.
func plain(words ...string) bool {
	return strings.Trim(strings.Join(words, ""), "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") == ""
}

// clip bounds what a file may put into a finding.
func clip(s string) string {
	const wide = 200
	if len(s) > wide {
		return strings.ToValidUTF8(s[:wide], "") + "…"
	}
	return s
}
