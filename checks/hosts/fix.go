package hosts

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/platform"
)

// line writes a line as the manual wants it: the address, the full name, the
// short name, then whatever other names there were, each once.
func line(a netip.Addr, names ...string) string {
	if len(names) == 0 {
		return ""
	}
	full := names[0]
	if i := slices.IndexFunc(names, func(n string) bool { return strings.Contains(n, ".") }); i >= 0 {
		full = names[i]
	}
	short, _, _ := strings.Cut(full, ".")
	out := []string{unknown, full}
	if a.IsValid() {
		out[0] = a.String()
	}
	there := map[string]bool{full: true}
	for _, n := range append([]string{short}, names...) {
		if !there[n] {
			there[n] = true
			out = append(out, n)
		}
	}
	return strings.Join(out, " ")
}

// complete says whether a line may stand in a command to paste: its address is
// known, and it holds nothing that a shell or sed would take for more than a word.
func complete(want string) bool {
	return len(want) <= wide && harmless.MatchString(want) && !strings.HasPrefix(want, unknown)
}

// unknown stands for an address that a person must fill in.
const unknown = "ADDRESS"

var harmless = regexp.MustCompile(`^[A-Za-z0-9.:_ -]+$`)

func rewrite(l platform.HostsLine, want string) string {
	if !complete(want) {
		return editor(l)
	}
	return fmt.Sprintf("sed -i '%ds/.*/%s/' /etc/hosts", l.Line, want)
}

func appendLine(want string) string {
	if !complete(want) {
		return ""
	}
	return fmt.Sprintf(`printf '\n%%s\n' '%s' >> /etc/hosts`, want)
}

// comment leaves the line where it is: the numbers of the others stay true.
func comment(l platform.HostsLine) string {
	return fmt.Sprintf("sed -i '%ds/^/# /' /etc/hosts", l.Line)
}

func editor(l platform.HostsLine) string { return fmt.Sprintf("vi +%d /etc/hosts", l.Line) }

func join(commands ...string) string {
	return strings.Join(slices.DeleteFunc(commands, func(c string) bool { return c == "" }), "\n")
}

// few is how many of many lines or names evidence shows, and wide how much of one.
const (
	few  = 4
	wide = 200
)

// shown is the first few lines as they stand.
func shown(lines ...platform.HostsLine) string {
	var out []string
	for _, l := range lines[:min(len(lines), few)] {
		out = append(out, clip(strings.TrimSpace(l.Raw)))
	}
	if more := len(lines) - few; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, "\n")
}

func clip(s string) string {
	if len(s) > wide {
		return strings.ToValidUTF8(s[:wide], "") + "…"
	}
	return s
}

func list(addresses []netip.Addr) string {
	words := make([]string, len(addresses))
	for i, a := range addresses {
		words[i] = a.String()
	}
	return some(words)
}

func some(names []string) string {
	if len(names) > few {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ", "), len(names)-few)
	}
	return strings.Join(names, ", ")
}

// internal is the private IPv4 address among a node's; none when it has several.
func internal(addresses []netip.Addr) netip.Addr {
	var out netip.Addr
	for _, a := range addresses {
		switch {
		case !a.Is4() || !a.IsPrivate():
		case out.IsValid():
			return netip.Addr{}
		default:
			out = a
		}
	}
	return out
}

// outer is the address, unless it is one of loopback: then it was read from the
// very file that is wrong.
func outer(a netip.Addr) netip.Addr {
	if a.IsLoopback() {
		return netip.Addr{}
	}
	return a
}

// localhostFix edits without moving a line, so that line numbers stay true. For
// a file full of localhost it has no command.
func localhostFix(missing bool, others []platform.HostsLine) string {
	var edits, add string
	if len(others) > most {
		return ""
	}
	for _, l := range others {
		edits += " " + dropLocalhost(l)
	}
	if edits != "" {
		edits = "sed -i -E" + edits + " /etc/hosts"
	}
	if missing {
		add = appendLine("127.0.0.1 localhost")
	}
	return join(edits, add)
}

func dropLocalhost(l platform.HostsLine) string {
	switch {
	case l.Address == netip.IPv6Loopback():
		return fmt.Sprintf(`-e '%ds/.*/::1 ip6-localhost ip6-loopback/'`, l.Line)
	case len(l.Names) == 1:
		return fmt.Sprintf(`-e '%ds/^/# /'`, l.Line)
	}
	return fmt.Sprintf(`-e '%ds/(\s)localhost(\s|$)/\1/g'`, l.Line)
}
