package repository

import (
	"cmp"
	"fmt"
	"net/url"
	"path"
	"slices"
	"strings"
)

// An entry is one repository as a file of apt or dnf describes it.
type entry struct {
	File       string
	Line       int
	Raw        string // its first line
	Source     bool   // deb-src: nothing is installed from it
	URIs       []string
	Suites     []string // apt
	Components []string // apt
	Arches     []string // apt: only for these
	Keys       []string // signed-by, gpgkey
	Unsigned   bool     // trusted=yes, or no gpgcheck of any kind
	Disabled   bool
	Problem    string // why the package manager does not understand it

	fields map[string][]string // of a stanza or section, by name in lower case
	last   string              // the name of the last one, which an indented line continues
}

// String is an entry as a person names it: "/etc/apt/sources.list:3".
func (e entry) String() string { return fmt.Sprintf("%s:%d", e.File, e.Line) }

// parse reads a file of either package manager, by the extension it goes by.
func parse(file, text string) []entry {
	text = strings.TrimPrefix(strings.ReplaceAll(text, "\r\n", "\n"), "\ufeff")
	var out []entry
	finish := (*entry).apt
	switch path.Ext(file) {
	case ".list":
		out = parseList(text)
	case ".sources":
		out = parseSources(text)
	case ".repo":
		out, finish = parseRepo(text), (*entry).dnf
	}
	for i := range out {
		out[i].File = file
		finish(&out[i])
		out[i].fields = nil
	}
	return out
}

// parseList reads one-line entries: sources.list(5).
func parseList(text string) []entry {
	var out []entry
	for i, l := range strings.Split(text, "\n") {
		content, _, _ := strings.Cut(l, "#")
		if content = strings.TrimSpace(content); content != "" {
			e := listEntry(content)
			e.Line, e.Raw = i+1, content
			out = append(out, e)
		}
	}
	return out
}

// listEntry reads one line into the fields that a stanza would have.
func listEntry(content string) entry {
	kind, rest := content, ""
	if i := strings.IndexAny(content, " \t["); i >= 0 { // the options may touch the first word
		kind, rest = content[:i], strings.TrimSpace(content[i:])
	}
	if kind != "deb" && kind != "deb-src" {
		return entry{Problem: "the line does not begin with deb or deb-src"}
	}
	fields := map[string][]string{"types": {kind}}
	if inside, ok := strings.CutPrefix(rest, "["); ok {
		options, after, closed := strings.Cut(inside, "]")
		if !closed {
			return entry{Problem: "the options are missing their closing bracket"}
		}
		for o := range strings.FieldsSeq(options) {
			if key, value, _ := strings.Cut(o, "="); value != "" {
				fields[strings.ToLower(strings.TrimRight(key, "+-"))] = words([]string{value})
			}
		}
		rest = after
	}
	all := strings.Fields(rest)
	if len(all) < 2 {
		return entry{Problem: "the line needs a URL, a suite and components"}
	}
	fields["uris"], fields["suites"], fields["components"] = all[:1], all[1:2], all[2:]
	fields["architectures"] = fields["arch"]
	return entry{fields: fields}
}

// aptProblem is why apt does not understand the entry.
func (e *entry) aptProblem() string {
	for _, u := range e.URIs {
		if !strings.Contains(u, ":/") {
			return fmt.Sprintf("%s is not a URL", u)
		}
	}
	exact := len(e.Suites) > 0 && strings.HasSuffix(e.Suites[0], "/") // a path, without components
	switch {
	case len(e.URIs) == 0:
		return "there is no URL"
	case len(e.Suites) == 0:
		return "there is no suite"
	case len(e.Components) == 0 && !exact:
		return "there is no component after the suite: main is missing"
	case len(e.fields["types"]) == 0:
		return "there is no field Types"
	}
	return ""
}

// parseSources reads deb822 stanzas: sources.list(5).
func parseSources(text string) []entry {
	var out []entry
	open := false
	for i, l := range strings.Split(text, "\n") {
		switch l = strings.TrimRight(l, " \t"); {
		case strings.HasPrefix(l, "#"):
			continue
		case l == "":
			open = false
			continue
		case !open:
			out, open = append(out, entry{Line: i + 1, Raw: l}), true
		}
		out[len(out)-1].field(i+1, l, ":", "Name: value")
	}
	return out
}

// field takes a line "name: value" or, when it is indented, more of the value of
// the field before.
func (e *entry) field(n int, line, separator, form string) {
	if e.fields == nil {
		e.fields = map[string][]string{}
	}
	if line[0] != ' ' && line[0] != '\t' {
		name, value, ok := strings.Cut(line, separator)
		if !ok {
			e.Problem = fmt.Sprintf("line %d is not of the form %s", n, form)
			return
		}
		e.last, line = strings.ToLower(strings.TrimSpace(name)), value
		e.fields[e.last] = nil
	}
	e.fields[e.last] = append(e.fields[e.last], strings.Fields(line)...)
}

// apt takes from the fields what apt does.
func (e *entry) apt() {
	fields := e.fields
	e.URIs, e.Suites, e.Components = fields["uris"], fields["suites"], fields["components"]
	e.Arches, e.Keys, e.Unsigned = fields["architectures"], fields["signed-by"], slices.Contains(fields["trusted"], "yes")
	e.Source = len(fields["types"]) > 0 && !slices.Contains(fields["types"], "deb")
	e.Disabled = off(fields["enabled"])
	if slices.Contains(e.Keys, "-----BEGIN") {
		e.Keys = []string{embedded}
	}
	e.Problem = cmp.Or(e.Problem, e.aptProblem())
}

// embedded marks a key that is written into the stanza itself.
const embedded = "in the file itself"

// parseRepo reads the sections of a .repo file: dnf.conf(5).
func parseRepo(text string) []entry {
	var out []entry
	for i, l := range strings.Split(text, "\n") {
		switch l = strings.TrimRight(l, " \t"); {
		case l == "" || l[0] == '#' || l[0] == ';':
		case l[0] == '[':
			out = append(out, entry{Line: i + 1, Raw: l})
			if !strings.HasSuffix(l, "]") {
				out[len(out)-1].Problem = "the section is missing its closing bracket"
			}
		case len(out) == 0:
			return []entry{{Line: i + 1, Raw: l, Problem: "the file does not begin with a [section]"}}
		default:
			out[len(out)-1].field(i+1, l, "=", "key=value")
		}
	}
	return out
}

// dnf takes from the fields what dnf does.
func (e *entry) dnf() {
	fields := e.fields
	e.URIs = words(slices.Concat(fields["baseurl"], fields["mirrorlist"], fields["metalink"]))
	e.Keys = words(fields["gpgkey"])
	e.Disabled = off(fields["enabled"])
	e.Unsigned = !on(fields["gpgcheck"]) && !on(fields["repo_gpgcheck"])
	if e.Problem == "" && len(e.URIs) == 0 {
		e.Problem = "there is no baseurl"
	}
}

// words splits a list that may be separated by commas, too.
func words(values []string) []string {
	return strings.FieldsFunc(strings.Join(values, ","), func(r rune) bool { return r == ',' })
}

// on and off are what both package managers take for yes and no; what is not
// said is neither.
func on(values []string) bool  { return first(values, "1", "yes", "true", "on") }
func off(values []string) bool { return first(values, "0", "no", "false", "off") }

func first(values []string, any ...string) bool {
	return len(values) > 0 && slices.Contains(any, strings.ToLower(values[0]))
}

// ofPostgres says whether the entry is one of the PostgreSQL project (PGDG).
func (e entry) ofPostgres() bool {
	return e.mentions("postgresql.org", "-pgdg") || named(e.File, "pgdg")
}

// ofCarbonio says whether the entry is Carbonio's. Customers have had hosts of
// their own, and mirrors are common: the name of the file counts as well.
func (e entry) ofCarbonio() bool {
	return !e.ofPostgres() && (e.mentions("zextras") || named(e.File, "zextras", "carbonio"))
}

func (e entry) mentions(words ...string) bool {
	all := strings.ToLower(strings.Join(slices.Concat([]string{e.Raw}, e.URIs, e.Suites), " "))
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(all, w) })
}

func named(file string, words ...string) bool {
	base := strings.ToLower(path.Base(file))
	return slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(base, w) })
}

// The channels of Carbonio's repository.
const (
	release = "release"
	rc      = "rc"
)

// channel is the segment of the URL's path that names the channel: the first
// one on Zextras' own host, and on any other the one that is called like one.
func (e entry) channel() string {
	for _, raw := range e.URIs {
		u, err := url.Parse(raw)
		if err != nil {
			continue
		}
		segments := strings.Split(strings.Trim(u.Path, "/"), "/")
		for _, s := range segments {
			if s == release || s == rc {
				return s
			}
		}
		if strings.HasSuffix(u.Hostname(), "zextras.io") {
			return segments[0]
		}
	}
	return ""
}
