package repository

import (
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
	finish := func(*entry) {}
	switch path.Ext(file) {
	case ".list":
		out = parseList(text)
	case ".sources":
		out, finish = parseSources(text), (*entry).stanza
	case ".repo":
		out, finish = parseRepo(text), (*entry).section
	}
	for i := range out {
		out[i].File = file
		finish(&out[i])
	}
	return out
}

// parseList reads one-line entries: sources.list(5).
func parseList(text string) []entry {
	var out []entry
	n := 0
	for l := range strings.Lines(text) {
		n++
		content, _, _ := strings.Cut(l, "#")
		if content = strings.TrimSpace(content); content == "" {
			continue
		}
		e := listEntry(content)
		e.Line, e.Raw = n, content
		out = append(out, e)
	}
	return out
}

func listEntry(content string) (e entry) {
	kind, rest := word(content)
	e.Source = kind == "deb-src"
	if kind != "deb" && !e.Source {
		e.Problem = "the line does not begin with deb or deb-src"
		return e
	}
	if strings.HasPrefix(rest, "[") {
		options, after, closed := strings.Cut(rest[1:], "]")
		if !closed {
			e.Problem = "the options are missing their closing bracket"
			return e
		}
		for _, o := range strings.Fields(options) {
			key, value, _ := strings.Cut(o, "=")
			e.option(strings.TrimRight(key, "+-"), words([]string{value}))
		}
		rest = after
	}
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		e.Problem = "the line needs a URL, a suite and components"
		return e
	}
	e.URIs, e.Suites, e.Components = fields[:1], fields[1:2], fields[2:]
	e.Problem = e.aptProblem()
	return e
}

// option is an option of a one-line entry or a field of a stanza: the names
// differ in case and in a plural. One without a value says nothing.
func (e *entry) option(key string, values []string) {
	if len(values) == 0 {
		return
	}
	switch strings.ToLower(key) {
	case "arch", "architectures":
		e.Arches = values
	case "signed-by":
		e.Keys = values
	case "trusted":
		e.Unsigned = slices.Contains(values, "yes")
	}
}

func (e entry) aptProblem() string {
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
	}
	return ""
}

// parseSources reads deb822 stanzas: sources.list(5).
func parseSources(text string) []entry {
	var out []entry
	n, open := 0, false
	for l := range strings.Lines(text) {
		n++
		l = strings.TrimRight(l, "\n \t")
		switch {
		case strings.HasPrefix(l, "#"):
			continue
		case l == "":
			open = false
			continue
		case !open:
			out, open = append(out, entry{Line: n, Raw: l}), true
		}
		if !out[len(out)-1].field(l, ":") {
			out[len(out)-1].Problem = fmt.Sprintf("line %d is not of the form Name: value", n)
		}
	}
	return out
}

// field takes a line "name: value" or, when it is indented, more of the value of
// the field before.
func (e *entry) field(line, separator string) bool {
	if e.fields == nil {
		e.fields = map[string][]string{}
	}
	if line[0] != ' ' && line[0] != '\t' {
		name, value, ok := strings.Cut(line, separator)
		if !ok {
			return false
		}
		e.last, line = strings.ToLower(strings.TrimSpace(name)), value
		e.fields[e.last] = nil
	}
	e.fields[e.last] = append(e.fields[e.last], strings.Fields(line)...)
	return true
}

func (e *entry) stanza() {
	fields := e.fields
	e.URIs, e.Suites, e.Components = fields["uris"], fields["suites"], fields["components"]
	e.Source = len(fields["types"]) > 0 && !slices.Contains(fields["types"], "deb")
	e.Disabled = off(fields["enabled"])
	for _, key := range []string{"architectures", "signed-by", "trusted"} {
		e.option(key, fields[key])
	}
	if slices.Contains(e.Keys, "-----BEGIN") {
		e.Keys = []string{embedded}
	}
	if e.Problem == "" {
		e.Problem = e.aptProblem()
	}
	if e.Problem == "" && len(fields["types"]) == 0 {
		e.Problem = "there is no field Types"
	}
}

// embedded stands for a key that is written into the stanza itself.
const embedded = "in the file itself"

// parseRepo reads the sections of a .repo file: dnf.conf(5).
func parseRepo(text string) []entry {
	var out []entry
	n := 0
	for l := range strings.Lines(text) {
		n++
		l = strings.TrimRight(l, "\n \t")
		switch {
		case l == "" || l[0] == '#' || l[0] == ';':
		case l[0] == '[':
			out = append(out, entry{Line: n, Raw: l})
			if !strings.HasSuffix(l, "]") {
				out[len(out)-1].Problem = "the section is missing its closing bracket"
			}
		case len(out) == 0:
			return []entry{{Line: n, Raw: l, Problem: "the file does not begin with a [section]"}}
		case !out[len(out)-1].field(l, "="):
			out[len(out)-1].Problem = fmt.Sprintf("line %d is not of the form key=value", n)
		}
	}
	return out
}

func (e *entry) section() {
	fields := e.fields
	for _, key := range []string{"baseurl", "mirrorlist", "metalink"} {
		e.URIs = append(e.URIs, words(fields[key])...)
	}
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

// word cuts the first word off a one-line entry; the options may touch it.
func word(s string) (first, rest string) {
	i := strings.IndexAny(s, " \t[")
	if i < 0 {
		return s, ""
	}
	return s[:i], strings.TrimSpace(s[i:])
}

// ofPostgres says whether the entry is one of the PostgreSQL project (PGDG).
func (e entry) ofPostgres() bool {
	return e.mentions("postgresql.org", "-pgdg") || e.fileNamed("pgdg")
}

// ofCarbonio says whether the entry is Carbonio's. Customers have had hosts of
// their own, and mirrors are common: the name of the file counts as well.
func (e entry) ofCarbonio() bool {
	return !e.ofPostgres() && (e.mentions("zextras") || e.fileNamed("zextras", "carbonio"))
}

func (e entry) mentions(words ...string) bool {
	all := strings.ToLower(strings.Join(append(append([]string{e.Raw}, e.URIs...), e.Suites...), " "))
	return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(all, w) })
}

func (e entry) fileNamed(words ...string) bool { return named(e.File, words...) }

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
