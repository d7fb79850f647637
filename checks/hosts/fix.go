package hosts

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// line writes a line as the manual wants it: the address, the full name, the
// short name, then any other names, each once.
func line(a netip.Addr, names ...string) string {
	full := names[max(slices.IndexFunc(names, func(n string) bool { return strings.Contains(n, ".") }), 0)]
	out := []string{unknown}
	if a.IsValid() {
		out[0] = a.String()
	}
	written := map[string]bool{}
	for _, n := range append([]string{full, short(full)}, names...) {
		if !written[n] {
			written[n] = true
			out = append(out, n)
		}
	}
	return strings.Join(out, " ")
}

func short(name string) string {
	out, _, _ := strings.Cut(name, ".")
	return out
}

// unknown is the placeholder for an address that a person must fill in.
const unknown = "ADDRESS"

// harmless is what neither a shell nor sed takes for more than words.
var harmless = regexp.MustCompile(`^[A-Za-z0-9.:_ -]+$`)

// complete says whether a line may be part of a command to paste.
func complete(want string) bool {
	return len(want) <= wide && harmless.MatchString(want) && !strings.HasPrefix(want, unknown)
}

func rewrite(l platform.HostsLine, want string) string {
	if !complete(want) {
		return edit(l)
	}
	return fmt.Sprintf("sed -i '%ds/.*/%s/' /etc/hosts", l.Line, want)
}

func appendLine(want string) string {
	if !complete(want) {
		return ""
	}
	return fmt.Sprintf(`printf '\n%%s\n' '%s' >> /etc/hosts`, want)
}

// comment keeps the line, so that the numbers of the others stay valid.
func comment(l platform.HostsLine) string {
	return fmt.Sprintf("sed -i '%ds/^/# /' /etc/hosts", l.Line)
}

func edit(l platform.HostsLine) string { return fmt.Sprintf("vi +%d /etc/hosts", l.Line) }

// Evidence shows few of many lines or names, and of each no more than is wide.
const (
	few  = 4
	wide = 200
)

// shown are the first few lines.
func shown(lines ...platform.HostsLine) string {
	var out []string
	for _, l := range lines {
		out = append(out, strings.TrimSpace(l.Raw))
	}
	return joined(out, "\n")
}

// some are the first few names or addresses.
func some[T any](all []T) string { return joined(all, ", ") }

func joined[T any](all []T, separator string) string {
	var out []string
	for _, one := range all[:min(len(all), few)] {
		out = append(out, clip(fmt.Sprint(one)))
	}
	if more := len(all) - few; more > 0 {
		out = append(out, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(out, separator)
}

func clip(s string) string {
	if len(s) > wide {
		return strings.ToValidUTF8(s[:wide], "") + "…"
	}
	return s
}

// internal is the private IPv4 address of a node; none when it has several.
func internal(addresses []netip.Addr) netip.Addr {
	private := cluster.Those(addresses, func(a netip.Addr) bool { return a.Is4() && a.IsPrivate() })
	if len(private) != 1 {
		return netip.Addr{}
	}
	return private[0]
}

// outer is the address, unless it is a loopback one: that was read from the very
// file that is wrong.
func outer(a netip.Addr) netip.Addr {
	if a.IsLoopback() {
		return netip.Addr{}
	}
	return a
}

// localhostFix edits without moving a line, so that line numbers stay valid. It has
// no command for a file full of localhost.
func localhostFix(missing bool, others []platform.HostsLine) string {
	if len(others) > most {
		return ""
	}
	var out strings.Builder
	out.WriteString("sed -i -E")
	for _, l := range others {
		edit := `s/(\s)localhost(\s|$)/\1/g`
		switch {
		case l.Address == netip.IPv6Loopback():
			edit = "s/.*/::1 ip6-localhost ip6-loopback/"
		case len(l.Names) == 1:
			edit = "s/^/# /"
		}
		fmt.Fprintf(&out, " -e '%d%s'", l.Line, edit)
	}
	add := appendLine("127.0.0.1 localhost")
	switch {
	case len(others) == 0:
		return add
	case missing:
		return out.String() + " /etc/hosts\n" + add
	}
	return out.String() + " /etc/hosts"
}
