package platform

import (
	"net/netip"
	"slices"
	"strings"
)

// What may be wrong with a line of /etc/hosts: the values of HostsLine.Problem.
const (
	HostsReversed   = "reversed"       // "name address", as the manual itself prints it
	HostsNotAddress = "not an address" // the line begins with neither
	HostsNoName     = "no name"        // an address alone
	HostsBadName    = "bad name"       // one of the names is no host name
)

// A HostsLine is a line of /etc/hosts that is neither blank nor a comment.
type HostsLine struct {
	Line int    `json:"line"` // counted from 1
	Raw  string `json:"raw"`  // as it is in the file, without the end of line
	// Address and Names are what the line says or, when it is reversed, what it
	// was meant to say. Names keep their order and case; bad ones are among them.
	Address netip.Addr `json:"address,omitzero"`
	Names   []string   `json:"names,omitempty"`
	Problem string     `json:"problem,omitempty"` // one of the constants above, or empty
}

// Read says whether the system's resolver takes the line: hosts(5) needs an
// address first and a name after it, and looks at no name too closely.
func (l HostsLine) Read() bool { return l.Problem == "" || l.Problem == HostsBadName }

// ParseHosts reads the text of an /etc/hosts file. It refuses nothing: what is
// wrong with a line is its Problem. A BOM and CRLF are no problem.
func ParseHosts(text string) []HostsLine {
	var out []HostsLine
	n := 0
	for raw := range strings.Lines(strings.TrimPrefix(text, bom)) {
		n++
		raw = strings.TrimRight(raw, "\r\n")
		content, _, _ := strings.Cut(raw, "#")
		if fields := strings.FieldsFunc(content, blank); len(fields) > 0 {
			out = append(out, hostsLine(n, raw, fields))
		}
	}
	return out
}

func hostsLine(n int, raw string, fields []string) HostsLine {
	l := HostsLine{Line: n, Raw: raw, Names: fields[1:]}
	address, err := netip.ParseAddr(fields[0])
	switch {
	case err != nil:
		l.Names = fields
		l.Problem = HostsNotAddress
		if len(fields) < 2 {
			break
		}
		if a, err := netip.ParseAddr(fields[1]); err == nil {
			l.Address = a
			l.Names = slices.Delete(slices.Clone(fields), 1, 2)
			l.Problem = HostsReversed
		}
	case len(l.Names) == 0:
		l.Address = address
		l.Problem = HostsNoName
	default:
		l.Address = address
		if !each(l.Names, validHostsName) {
			l.Problem = HostsBadName
		}
	}
	return l
}

// blank is what separates fields for the system: a no-break space does not.
func blank(r rune) bool { return strings.ContainsRune(" \t\v\f\r", r) }

// HostsMap gives the addresses of each name, in lower case and in the order of
// the file, from the lines that the system's resolver reads.
func HostsMap(lines []HostsLine) map[string][]netip.Addr {
	out := map[string][]netip.Addr{}
	for _, l := range lines {
		if !l.Read() {
			continue
		}
		for _, name := range l.Names {
			name = strings.ToLower(name)
			if !slices.Contains(out[name], l.Address) {
				out[name] = append(out[name], l.Address)
			}
		}
	}
	return out
}

// validHostsName is a host name as programs look it up: no trailing dot, no
// address. An underscore is no host name by RFC 1123, but common and harmless.
func validHostsName(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil || len(name) > maxName {
		return false
	}
	return each(strings.Split(strings.ReplaceAll(name, "_", "-"), "."), func(label string) bool {
		return validLabel(strings.Trim(label, "-"))
	})
}
