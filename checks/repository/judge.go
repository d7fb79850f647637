package repository

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// judge decides on every node, then on whether all take the same channel.
func judge(scope checks.Scope, record checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	var views []view
	for s := range configuration.In(record) {
		v := newView(s, scope)
		views = append(views, v)
		for _, f := range v.judge() {
			if f.Remedy != "" {
				f = f.Fix(checks.On(v.Vantage) + f.Remedy)
			}
			out = append(out, f)
		}
	}
	return append(out, drift(scope, views)...), nil
}

// A view is one node's package sources, and what they must match.
type view struct {
	checks.Sight[checks.Nothing, sources]
	sources
	system
	self     checks.Vantage
	ours     []parsed // files that are Carbonio's by name, or contain an entry for it
	carbonio []entry  // valid and enabled
	postgres []entry  // the same
	unread   string   // why there may be entries that were not seen; else empty
}

// parsed is a file of the node's own package manager.
type parsed struct {
	source
	entries []entry
}

func newView(s checks.Sight[checks.Nothing, sources], scope checks.Scope) view {
	v := view{Sight: s, self: scope.Vantage(s.Vantage)}
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

// judge decides on a node. A system that has neither apt nor dnf, or that is
// unknown, is left to system.os.
func (v view) judge() []checks.Finding {
	var out []checks.Finding
	for _, c := range catalogue {
		switch _, got := v.Got(); {
		case !got:
			out = append(out, c.Unseen(v, v.Target.Name))
		case v.self.OS.ID == "":
			out = append(out, c.Unknown(v, v.Target.Name, "the operating system is unknown, and therefore which files matter"))
		case v.extensions == nil:
			out = append(out, c.Skip(v, v.Target.Name, "Carbonio has no packages for %s", cmp.Or(v.self.OS.Pretty, v.self.OS.ID)))
		}
	}
	if len(out) > 0 {
		return out
	}
	return slices.Concat(
		each(v.ours, v.judgeFile, v.noFile()),
		each(cluster.Those(v.ours, func(f parsed) bool { return f.Text != "" }), v.judgeSyntax, v.none(syntax)),
		v.judgeSuites(),
		each(v.carbonio, v.judgeChannel, v.none(channel)),
		v.judgeKeys(),
		[]checks.Finding{v.judgePGDG(), v.judgeMixed()},
	)
}

// each judges all, and has something else to say where there is nothing to judge.
func each[T any](all []T, judge func(T) checks.Finding, nothing checks.Finding) []checks.Finding {
	if len(all) == 0 {
		return []checks.Finding{nothing}
	}
	out := make([]checks.Finding, len(all))
	for i, one := range all {
		out[i] = judge(one)
	}
	return out
}

func (v view) judgeFile(f parsed) checks.Finding {
	switch {
	case f.Unseen.Code == checks.Denied:
		return file.Unknown(v, f.Path, "user %d cannot read it: run carbonio-check as root, as Ansible does", v.UID)
	case f.Unseen.Code == checks.Starved:
		return file.Unknown(v, f.Path, "could not be seen: %s", f.Unseen)
	case f.Unseen.Code != "":
		return file.Fail(v, f.Path, "it cannot be read, and the playbook will write one for RELEASE instead").
			Saw(f.Unseen.String()).Wanted("a regular file").Fix(v.replace(f.Path))
	case strings.TrimSpace(f.Text) == "" && len(v.carbonio) > 0:
		return file.Skip(v, f.Path, "it is empty; %s is in use", v.carbonio[0].File)
	case strings.TrimSpace(f.Text) == "":
		return file.Fail(v, f.Path, "it is empty, and the playbook will write one for RELEASE instead").Fix(v.install())
	}
	return file.Pass(v, f.Path, "it exists and is readable")
}

// replace is how to replace what is not a regular file.
func (v view) replace(p string) string {
	if !plain(p) || v.install() == "" {
		return ""
	}
	return "mv " + p + " " + p + ".bad\n" + v.install()
}

// noFile is a failure before the installation. After it, only updates are missing.
func (v view) noFile() checks.Finding {
	if v.unread != "" {
		return v.none(file)
	}
	f := file.Fail(v, v.expected, "no Carbonio repository is configured: the playbook will choose RELEASE")
	if v.self.Phase == checks.Health {
		f = file.Warn(v, v.expected, "no Carbonio repository is configured: the node gets no updates")
	}
	if len(v.Ignored) > 0 {
		f = f.Saw("only " + strings.Join(v.Ignored[:min(len(v.Ignored), 4)], ", ") + ", which the package manager does not read")
	}
	return f.Wanted(v.expected).Fix(v.install())
}

// install is the manual's way to configure the repository; empty on a system
// that has none.
func (v view) install() string {
	switch {
	case !v.supported():
		return ""
	case v.apt:
		return keyCommand + "\n" + `echo "` + v.sample() + `" > ` + v.expected + "\n" + v.refresh
	}
	return fmt.Sprintf(repoCommand, v.is) + "\n" + v.refresh
}

func (v view) judgeSyntax(f parsed) checks.Finding {
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
func (v view) sample() string {
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
func (v view) none(c *checks.Check) checks.Finding {
	if v.unread != "" {
		return c.Unknown(v, v.expected, "%s", v.unread)
	}
	return c.Skip(v, v.expected, "no Carbonio entry is in use")
}

func (v view) judgeSuites() []checks.Finding {
	want := v.name + " " + strings.Join(v.known, " or ")
	switch {
	case v.is == "":
		return []checks.Finding{suite.Unknown(v, v.expected, "/etc/os-release does not say which release of the operating system this is")}
	case !v.supported():
		return []checks.Finding{suite.Fail(v, v.is, "Carbonio %s has no packages for %s", v.self.Release, cmp.Or(v.self.OS.Pretty, v.is)).
			Saw(v.is).Wanted(want).Fix("reinstall the node with " + want).Per(platform.Requirements).Needing(checks.OSOf(v.Vantage))}
	case v.apt:
		return each(v.carbonio, v.aptSuite, v.none(suite))
	}
	return each(v.carbonio, v.dnfRelease, v.none(suite))
}

func (v view) aptSuite(e entry) checks.Finding {
	suites := strings.Join(e.Suites, " ")
	switch {
	case strings.HasSuffix(suites, "/"):
		return suite.Skip(v, e.String(), "the entry names a path, not a suite")
	case suites == v.is:
		return suite.Pass(v, e.String(), "%s, like the system", suites)
	}
	f := suite.Fail(v, e.String(), "the suite is not the one for this system").Saw(clip(suites)).Wanted(v.is)
	if path.Ext(e.File) == ".list" {
		f = f.Fix(v.sed(e, fmt.Sprintf("%ds/ %s / %s /", e.Line, suites, v.is), suites))
	}
	return f
}

// sed edits the file of an entry and refreshes; empty, and the catalogue speaks,
// where the file or one of the words in the script is not safe to paste.
func (v view) sed(e entry, script string, words ...string) string {
	if !plain(append(words, e.File)...) {
		return ""
	}
	return fmt.Sprintf("sed -i '%s' %s && %s", script, e.File, v.refresh)
}

// major is a segment of the path in a URL of RHEL: rhel8, rhel9.
var major = regexp.MustCompile(`(?:^|[/ ])(rhel([0-9]+))(?:[/ ]|$)`)

func (v view) dnfRelease(e entry) checks.Finding {
	switch m := major.FindStringSubmatch(strings.ReplaceAll(strings.Join(e.URIs, " "), "$releasever", v.is)); {
	case m == nil:
		return suite.Skip(v, e.String(), "the URL does not say which release of the operating system it is for")
	case m[2] == v.is:
		return suite.Pass(v, e.String(), "%s, like the system", m[1])
	default:
		return suite.Fail(v, e.String(), "the repository is for another release of the operating system").
			Saw(m[1]).Wanted("rhel" + v.is).Fix(v.sed(e, fmt.Sprintf("s|/%s|/rhel%s|", m[1], v.is)))
	}
}

func (v view) judgeChannel(e entry) checks.Finding {
	url := clip(strings.Join(e.URIs, " "))
	switch c := e.channel(); c {
	case release:
		return channel.Pass(v, e.String(), "RELEASE")
	case rc:
		return channel.Warn(v, e.String(), "RC is not for production").
			Saw(url).Wanted("the release channel").Fix(v.sed(e, "s|/rc/|/release/|"))
	case "":
		return channel.Skip(v, e.String(), "the URL names no channel").Saw(url)
	default:
		return channel.Warn(v, e.String(), "%s is neither RELEASE nor RC", clip(c)).Saw(url).Wanted("the release channel")
	}
}

// judgePGDG judges PostgreSQL's repository. A missing one is a warning, as the
// playbook configures it.
func (v view) judgePGDG() checks.Finding {
	const target = "PostgreSQL's repository"
	if len(v.postgres) == 0 {
		if v.unread != "" {
			return pgdg.Unknown(v, target, "none was found, but %s", v.unread)
		}
		f := pgdg.Warn(v, target, "it is not configured: the playbook configures it, but a manual installation must do so itself")
		return f.Wanted("apt.postgresql.org (Ubuntu), download.postgresql.org (RHEL)").Fix(v.installPGDG())
	}
	if v.apt {
		return v.aptPGDG(target)
	}
	return v.dnfPGDG(target)
}

func (v view) aptPGDG(target string) checks.Finding {
	want := v.is + "-pgdg"
	for _, e := range v.postgres {
		if e.mentions("-pgdg") && !slices.ContainsFunc(e.Suites, func(s string) bool { return strings.HasPrefix(s, want) }) {
			f := pgdg.Fail(v, target, "%s is for another release of the operating system", e).
				Saw(clip(strings.Join(e.Suites, " "))).Wanted(want)
			if len(e.Suites) == 1 {
				f = f.Fix(v.sed(e, fmt.Sprintf("s/%s/%s/", e.Suites[0], want), e.Suites[0], want))
			}
			return f
		}
	}
	return pgdg.Pass(v, target, "%s", v.postgres[0])
}

// dnfPGDG wants the repository of PostgreSQL 16, and RHEL's own module disabled:
// on RHEL 8 its default stream overrides PGDG.
func (v view) dnfPGDG(target string) checks.Finding {
	state := ""
	for _, e := range parseRepo(v.Module) {
		state = strings.Join(e.fields["state"], " ")
	}
	const disable = "dnf -qy module disable postgresql"
	switch {
	case !slices.ContainsFunc(v.postgres, func(e entry) bool { return e.mentions("16") }):
		return pgdg.Fail(v, target, "it is configured, but not enabled for PostgreSQL 16").
			Saw(clip(v.postgres[0].Raw)).Wanted("[pgdg16] with enabled=1").Fix("dnf config-manager --set-enabled pgdg16")
	case state == "enabled":
		return pgdg.Fail(v, target, "the system's own postgresql module is enabled and overrides this repository").
			Saw("state=" + state).Wanted("state=disabled in " + moduleFile).Fix(disable)
	case state != "disabled" && v.is == "8":
		return pgdg.Warn(v, target, "the system's own postgresql module is not disabled, and its default stream overrides this repository: the playbook disables the module, but a manual installation must do so itself").
			Wanted("state=disabled in " + moduleFile).Fix(disable)
	}
	return pgdg.Pass(v, target, "%s", v.postgres[0])
}

func (v view) installPGDG() string {
	switch {
	case !v.supported():
		return ""
	case v.apt:
		return "wget -O- " + postgresKey + ` | gpg --dearmor > /usr/share/keyrings/postgres.gpg && chmod 644 /usr/share/keyrings/postgres.gpg` + "\n" +
			fmt.Sprintf(`echo "deb [signed-by=/usr/share/keyrings/postgres.gpg] https://apt.postgresql.org/pub/repos/apt %s-pgdg main" > /etc/apt/sources.list.d/pgdg.list`, v.is) + "\napt update"
	}
	return fmt.Sprintf("dnf -y install https://download.postgresql.org/pub/repos/yum/reporpms/EL-%s-x86_64/pgdg-redhat-repo-latest.noarch.rpm", v.is) +
		"\ndnf -qy module disable postgresql"
}

// judgeMixed finds several channels, several suites, or a duplicate on a node.
func (v view) judgeMixed() checks.Finding {
	node, all := v.Vantage, v.channels()
	var wrong []checks.Need
	var saw []string
	suites, same := map[string]bool{}, map[string]bool{}
	for _, e := range v.carbonio {
		what := strings.Join(slices.Concat(e.URIs, e.Suites), " ")
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
		f = differ(all)(v, node, "the node takes Carbonio from %d channels: %s", len(all), some(all))
	case len(suites) > 1:
		f = mixed.Fail(v, node, "the node takes Carbonio from %d suites", len(suites)).Needing(wrong...)
	case len(same) < len(v.carbonio):
		f = mixed.Warn(v, node, "the same repository is configured more than once: the package manager warns at every update")
	case v.unread != "":
		return mixed.Unknown(v, node, "one channel was seen, %s, but %s", some(all), v.unread)
	default:
		return mixed.Pass(v, node, "one channel: %s", some(all))
	}
	return f.Saw(strings.Join(saw[:min(len(saw), 6)], "\n")).Wanted("one entry")
}

// drift compares the channels of all nodes that looked. One whose sources are not in
// the record, or were not seen whole, may have another.
func drift(scope checks.Scope, views []view) []checks.Finding {
	const target = "the platform"
	who := map[string][]string{}
	var all, seen, hidden []string
	for _, at := range scope.Vantages {
		if !slices.ContainsFunc(views, func(v view) bool { return v.Vantage == at.Node && v.complete() }) {
			hidden = append(hidden, at.Node)
		}
	}
	for _, v := range views {
		if c := v.channels(); len(c) > 0 {
			seen, all = append(seen, v.Vantage), append(all, c...)
			who[some(c)] = append(who[some(c)], v.Vantage)
		}
	}
	names := slices.Sorted(maps.Keys(who))
	proof := checks.Together(views...).Platform()
	switch {
	case len(scope.Vantages) < 2, len(seen) < 2 && len(hidden) == 0:
		return nil
	case len(seen) < 2:
		return []checks.Finding{mixed.Unknown(proof, target, "not every node's channel could be seen").With("unseen", some(hidden))}
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
	return []checks.Finding{differ(all)(proof, target, "the nodes do not take Carbonio from the same channel: %s", strings.Join(names, ", ")).
		Saw(strings.Join(saw, "\n")).Wanted("one channel on all nodes")}
}

// complete says whether every entry for Carbonio was seen.
func (v view) complete() bool { return v.Proof().Whole() && v.self.OS.ID != "" && v.unread == "" }

// unnamed is the channel of a repository whose URL names none.
const unnamed = "unnamed"

// channels are those of the node, sorted, each once.
func (v view) channels() []string {
	var out []string
	for _, e := range v.carbonio {
		out = append(out, cmp.Or(clip(e.channel()), unnamed))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// differ is the finding that there are several channels: a warning if one is
// unnamed, as it may be a mirror of another.
func differ(channels []string) func(b checks.Basis, target, format string, args ...any) checks.Finding {
	if slices.Contains(channels, unnamed) {
		return mixed.Warn
	}
	return mixed.Fail
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
