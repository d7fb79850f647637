package platform

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

const (
	maxInventory = 4 << 20 // bytes of a file
	maxLine      = 64 << 10
	maxPattern   = 1024    // bytes of a host pattern; a name has 253 at most
	maxRange     = 10_000  // hosts that one pattern may expand to
	maxHosts     = 100_000 // hosts of all groups together
	maxGroups    = 1000
)

// ReadInventory reads an inventory file. What is no regular file is refused
// before a byte is read: a FIFO would hang, a device never ends.
func ReadInventory(path string) (*Inventory, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, fmt.Errorf("%s is a directory: give the inventory file in it", path)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file: give an inventory in INI form", path)
	}
	inv, err := ParseInventory(path, f)
	if err != nil {
		return nil, err
	}
	inv.Path, err = filepath.Abs(path)
	return inv, err
}

// ParseInventory reads an Ansible inventory in INI form as Ansible's own ini
// plugin does, but where that one guesses it wants to be told: an error names
// the file, the line and what was expected there. Values of variables never
// show in an error, for they may be secrets.
func ParseInventory(file string, r io.Reader) (*Inventory, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxInventory+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if len(b) > maxInventory {
		return nil, fmt.Errorf("%s: larger than %d MiB, too large for an inventory", file, maxInventory>>20)
	}
	text, hasBOM := strings.CutPrefix(string(b), bom)
	if err := foreign(text); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	p := parser{
		inv:      &Inventory{File: file, Groups: []Group{}, BOM: hasBOM},
		groups:   map[string]int{},
		declared: map[string]bool{"all": true, ungrouped: true},
	}
	for raw := range strings.Lines(text) {
		p.line++
		if err := p.parse(strings.TrimSuffix(strings.TrimSuffix(raw, "\n"), "\r")); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, p.line, err)
		}
	}
	return p.inv, p.finish()
}

var yamlLine = regexp.MustCompile(`^(---|%YAML|[A-Za-z_][\w.-]*:(\s|$))`)

// foreign recognises the forms of inventory that this parser does not read.
func foreign(text string) error {
	const want = `give the INI form of the Carbonio manual, [group] sections with one host per line ("ansible-inventory --list -i FILE" shows what to write there)`
	switch {
	case strings.HasPrefix(text, vaultMark):
		return errors.New(`encrypted with Ansible Vault: decrypt it into a file of mode 600 (ansible-vault decrypt --output PLAIN FILE) and give that one`)
	case strings.HasPrefix(text, "#!"):
		return fmt.Errorf("a script that generates an inventory: %s", want)
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || isComment(line):
			continue
		case strings.HasPrefix(line, "{"):
			return fmt.Errorf("an inventory in JSON: %s", want)
		case yamlLine.MatchString(line):
			return fmt.Errorf("an inventory in YAML: %s", want)
		}
		return nil
	}
	return nil
}

const (
	vaultMark = "$ANSIBLE_VAULT;"
	ungrouped = "ungrouped" // Ansible's name for the hosts before any section
)

// What a section lists.
const (
	hostSection  = "hosts"
	childSection = "children"
	varSection   = "vars"
)

// A parser is the state between two lines.
type parser struct {
	inv      *Inventory
	line     int
	section  string          // the group whose section is being read; none at the top
	kind     string          // what the section lists
	groups   map[string]int  // where a group is in inv.Groups
	declared map[string]bool // groups that exist by more than their variables
	hosts    int
}

// parse takes one line.
func (p *parser) parse(line string) error {
	if len(line) > maxLine {
		return fmt.Errorf("a line of %d bytes is longer than the limit of %d", len(line), maxLine)
	}
	if i := strings.IndexFunc(line, breaksLine); i >= 0 {
		r, _ := utf8.DecodeRuneInString(line[i:])
		return fmt.Errorf("a control character, %U, which an inventory must not contain", r)
	}
	line = strings.TrimSpace(line)
	if line == "" || isComment(line) {
		return nil
	}
	if !utf8.ValidString(line) {
		return errors.New("not UTF-8: save the file in that encoding")
	}
	if header, err := p.header(line); header || err != nil {
		return err
	}
	switch p.kind {
	case varSection:
		return p.variable(line)
	case childSection:
		return p.child(line)
	}
	return p.host(line)
}

// breaksLine finds what Python takes for an end of line, or a terminal for an
// order.
func breaksLine(r rune) bool {
	return r != '\t' && unicode.IsControl(r) || r == '\u2028' || r == '\u2029'
}

func isComment(line string) bool { return line[0] == '#' || line[0] == ';' }

var (
	sectionLine = regexp.MustCompile(`^\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?$`)
	bracketed   = regexp.MustCompile(`^\[[^\]]*(\]\s*([;#].*)?)?$`)
)

// header takes a line that begins a section. A host may begin with a bracket
// too: [01:03].example.com.
func (p *parser) header(line string) (bool, error) {
	m := sectionLine.FindStringSubmatch(line)
	if m == nil {
		if bracketed.MatchString(line) {
			return true, errors.New("expected a section: [group], [group:vars] or [group:children], a comment after it begins with #")
		}
		return false, nil
	}
	switch m[2] {
	case "", hostSection:
		p.kind = hostSection
	case childSection, varSection:
		p.kind = m[2]
	default:
		return true, fmt.Errorf("expected [%s:vars] or [%s:children], found [%s:%s]", m[1], m[1], m[1], m[2])
	}
	p.section = m[1]
	if p.group(); len(p.inv.Groups) > maxGroups {
		return true, fmt.Errorf("more than %d groups", maxGroups)
	}
	if p.kind != varSection {
		p.declared[p.section] = true
	}
	return true, nil
}

// group is the group of the section being read.
func (p *parser) group() *Group {
	if p.section == "" {
		p.section = ungrouped
	}
	i, ok := p.groups[p.section]
	if !ok {
		i = len(p.inv.Groups)
		p.groups[p.section] = i
		p.inv.Groups = append(p.inv.Groups, Group{Name: p.section, Line: p.line})
	}
	return &p.inv.Groups[i]
}

// variable takes a line of [group:vars]. All that follows the = is the value, a
// comment too, unless Ansible reads the value as a Python literal.
func (p *parser) variable(line string) error {
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		return fmt.Errorf("expected key=value in [%s:vars]", p.section)
	}
	v, err := p.newVar(strings.TrimSpace(key), strings.TrimSpace(value))
	if err != nil {
		return err
	}
	g := p.group()
	g.Vars = append(g.Vars, v)
	return nil
}

func (p *parser) newVar(key, value string) (Var, error) {
	if key == "" || strings.ContainsFunc(key, unicode.IsSpace) {
		return Var{}, errors.New("expected key=value: a key is one word")
	}
	if strings.HasPrefix(value, "!vault") || strings.Contains(value, vaultMark) {
		return Var{}, fmt.Errorf("the value of %.80s is encrypted with Ansible Vault: move it to group_vars, because a Carbonio inventory needs no secret", key)
	}
	if promisesSecret(key) {
		value = Hidden
	}
	return Var{Key: key, Value: literal(value), Line: p.line}, nil
}

var secretWords = []string{"pass", "secret", "token", "vault", "private", "credential", "api_key", "apikey", "access_key"}

func promisesSecret(key string) bool {
	key = strings.ToLower(key)
	return slices.ContainsFunc(secretWords, func(w string) bool { return strings.Contains(key, w) })
}

var (
	pythonString = regexp.MustCompile(`^(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')\s*(?:#.*)?$`)
	pythonScalar = regexp.MustCompile(`^(True|False|None|[-+]?(?:0|[1-9]\d*)(?:\.\d*)?)\s*(?:#.*)?$`)
	pythonEscape = regexp.MustCompile(`\\(["'\\])`)
)

// literal is what Ansible makes of a value: Python's literal_eval takes the
// quotes off a string, and a comment off a string or a number; what is no
// literal stays as it is, with its comment.
func literal(text string) string {
	if m := pythonString.FindStringSubmatch(text); m != nil {
		return pythonEscape.ReplaceAllString(m[1]+m[2], "$1")
	}
	if m := pythonScalar.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	return text
}

var groupLine = regexp.MustCompile(`^([^:\]\s]+)\s*(?:#.*)?$`)

// child takes a line of [group:children].
func (p *parser) child(line string) error {
	m := groupLine.FindStringSubmatch(line)
	if m == nil {
		return fmt.Errorf("expected the name of one group in [%s:children]", p.section)
	}
	g := p.group()
	g.Children = append(g.Children, Child{Name: m[1], Line: p.line})
	return nil
}

// host takes a line of hosts: a pattern, and variables behind it.
func (p *parser) host(line string) error {
	words, err := split(line)
	if err != nil {
		return err
	}
	names, port, err := hostNames(words[0])
	if err != nil {
		return err
	}
	if p.hosts += len(names); p.hosts > maxHosts {
		return fmt.Errorf("more than %d hosts in all groups together", maxHosts)
	}
	var vars []Var
	if port != "" {
		vars = append(vars, Var{Key: "ansible_port", Value: port, Line: p.line})
	}
	after := names[0]
	for _, w := range words[1:] {
		key, value, ok := strings.Cut(w, "=")
		if !ok {
			return fmt.Errorf("expected key=value after %s, without spaces around the =; a comment begins with #", after)
		}
		v, err := p.newVar(key, value)
		if err != nil {
			return err
		}
		vars = append(vars, v)
		after = fmt.Sprintf("%.80s=…", key)
	}
	if p.section == "" {
		p.kind = hostSection
	}
	g := p.group()
	for _, n := range names {
		g.Hosts = append(g.Hosts, Host{Name: n, Line: p.line, Vars: vars})
	}
	return nil
}

// split cuts a line into words as Python's shlex does: quotes hold a word
// together, a backslash keeps the next character, # begins a comment wherever
// it is outside of quotes.
func split(line string) ([]string, error) {
	var words []string
	var word strings.Builder
	var quote rune
	inWord, escaped := false, false
	for _, r := range line {
		switch {
		case escaped:
			if quote != 0 && r != quote && r != '\\' {
				word.WriteRune('\\') // within quotes it keeps only these two
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, inWord = true, true
		case quote != 0:
			if r == quote {
				quote = 0
			} else {
				word.WriteRune(r)
			}
		case r == '"' || r == '\'':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '#':
			if inWord {
				words = append(words, word.String())
				word.Reset()
				inWord = false
			}
			if r == '#' {
				return words, nil
			}
		default:
			inWord = true
			word.WriteRune(r)
		}
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("expected a closing %c before the end of the line", quote)
	case escaped:
		return nil, errors.New("expected a character after the backslash")
	case inWord:
		words = append(words, word.String())
	}
	return words, nil
}

// finish checks what requires the whole file: groups that are used but not
// declared, and groups that contain themselves.
func (p *parser) finish() error {
	for _, g := range p.inv.Groups {
		if !p.declared[g.Name] {
			return fmt.Errorf("%s:%d: [%s:vars] for a group that is not declared: expected a section [%s] too", p.inv.File, g.Line, g.Name, g.Name)
		}
		for _, c := range g.Children {
			if !p.declared[c.Name] {
				return fmt.Errorf("%s:%d: the group %s is not declared: expected a section [%s] too", p.inv.File, c.Line, c.Name, c.Name)
			}
		}
	}
	done := map[string]bool{}
	for _, g := range p.inv.Groups {
		if err := p.acyclic(g.Name, done, map[string]bool{}); err != nil {
			return err
		}
	}
	return nil
}

// acyclic walks down the children of a group; above are the groups that led here.
func (p *parser) acyclic(name string, done, above map[string]bool) error {
	i, ok := p.groups[name]
	if !ok || done[name] {
		return nil
	}
	above[name] = true
	for _, c := range p.inv.Groups[i].Children {
		if above[c.Name] || c.Name == "all" {
			return fmt.Errorf("%s:%d: the group %s contains itself: remove %s from [%s:children]", p.inv.File, c.Line, c.Name, c.Name, name)
		}
		if err := p.acyclic(c.Name, done, above); err != nil {
			return err
		}
	}
	delete(above, name)
	done[name] = true
	return nil
}
