package platform

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

var (
	hostPort = regexp.MustCompile(`^((?:[^:\[\]]|\[[^\]]*\])+):([0-9]+)$`)
	ipv6Port = regexp.MustCompile(`^\[([0-9A-Fa-f:.]+)\]:([0-9]+)$`)
)

// hostNames returns the names that a pattern of an inventory expands to, at least
// one, and the port written behind it.
func hostNames(pattern string) (names []string, port string, err error) {
	if len(pattern) > maxPattern {
		return nil, "", fmt.Errorf("expected a host name, found a word of %d bytes", len(pattern))
	}
	if key, _, ok := strings.Cut(pattern, "="); ok {
		return nil, "", fmt.Errorf("expected a host name, found a variable (%q): the variables of a group belong in a section [group:vars]", key)
	}
	name := pattern
	for _, form := range []*regexp.Regexp{ipv6Port, hostPort} {
		if m := form.FindStringSubmatch(pattern); m != nil {
			name, port = m[1], m[2]
			break
		}
	}
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
		return nil, "", fmt.Errorf("expected a port between 1 and 65535 after %q", name)
	}
	names, err = expand(name)
	if err != nil {
		return nil, "", fmt.Errorf("%q: %w", pattern, err)
	}
	for _, n := range names {
		if err := acceptableName(n); err != nil {
			return nil, "", err
		}
	}
	return names, port, nil
}

// expand gives the names of a pattern with ranges; the last range runs fastest.
func expand(pattern string) ([]string, error) {
	head, rest, ranged := strings.Cut(pattern, "[")
	if !ranged {
		return []string{pattern}, nil
	}
	bounds, tail, closed := strings.Cut(rest, "]")
	if !closed {
		return nil, errors.New("expected ] after the range")
	}
	items, err := expandRange(bounds)
	if err != nil {
		return nil, err
	}
	tails, err := expand(tail)
	if err != nil {
		return nil, err
	}
	if len(items)*len(tails) > maxRange {
		return nil, errTooMany
	}
	names := make([]string, 0, len(items)*len(tails))
	for _, item := range items {
		for _, t := range tails {
			names = append(names, head+item+t)
		}
	}
	return names, nil
}

var (
	errRange   = errors.New("expected a range such as [01:20], [a:c] or [1:10:2]")
	errTooMany = fmt.Errorf("a range of more than %d hosts", maxRange)
)

// expandRange gives the items of first:last or first:last:step. A first number
// with leading zeros gives its width to all.
func expandRange(bounds string) ([]string, error) {
	parts := strings.Split(bounds, ":")
	if len(parts) == 2 {
		parts = append(parts, "1")
	}
	if len(parts) != 3 {
		return nil, errRange
	}
	step, ok := number(parts[2])
	if !ok || step == 0 {
		return nil, errRange
	}
	if parts[0] == "" {
		parts[0] = "0" // as in Ansible
	}
	first, last, show, err := limits(parts[0], parts[1])
	if err != nil {
		return nil, err
	}
	if (last-first)/step >= maxRange {
		return nil, errTooMany
	}
	var items []string
	for i := first; i <= last; i += step {
		items = append(items, show(i))
	}
	return items, nil
}

// letters in the order in which Ansible runs through them.
const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// limits reads the two ends of a range, and says how a step between them is written.
func limits(begin, end string) (first, last int, show func(int) string, err error) {
	first, ok1 := number(begin)
	last, ok2 := number(end)
	width := 1
	show = func(i int) string { return fmt.Sprintf("%0*d", width, i) }
	if len(begin) > 1 && begin[0] == '0' {
		if width = len(begin); len(end) != width {
			return 0, 0, nil, errors.New("expected both ends of the range to have the same width, such as [01:20]")
		}
	}
	if len(begin) == 1 && len(end) == 1 && !ok1 && !ok2 {
		first, last = strings.Index(letters, begin), strings.Index(letters, end)
		ok1, ok2 = first >= 0, last >= 0
		show = func(i int) string { return letters[i : i+1] }
	}
	if !ok1 || !ok2 {
		return 0, 0, nil, errRange
	}
	if first > last {
		return 0, 0, nil, errors.New("a range that ends before it begins")
	}
	return first, last, show, nil
}

// number reads decimal digits, and not more of them than an int surely holds.
func number(s string) (int, bool) {
	if s == "" || len(s) > 9 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}

// acceptableName refuses what no host is called, and what a shell, ssh or a
// terminal would take for something else. Whether it is a good name is for the
// lint to say.
func acceptableName(name string) error {
	if strings.HasPrefix(name, "-") {
		return fmt.Errorf("expected a host name, found %q: ssh would take it for an option", name)
	}
	if _, err := netip.ParseAddr(name); err == nil && !strings.Contains(name, "%") {
		return nil
	}
	for _, r := range name {
		switch {
		case r == ':':
			return fmt.Errorf("expected a host name, or host:port, found %q", name)
		case !strings.ContainsRune(".-_", r) && !unicode.In(r, unicode.L, unicode.Nd, unicode.M):
			return fmt.Errorf("expected a host name, found %q: a name cannot contain %q", name, r)
		}
	}
	if strings.Trim(name, ".-_") == "" {
		return fmt.Errorf("expected a host name, found %q", name)
	}
	return nil
}
