package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxString bounds each string, in bytes.
const maxString = 4 << 10

// maxMarks is how many combining marks a letter may carry; no script needs more.
const maxMarks = 4

// Line makes s safe to show in one line.
func Line(s string) string { return bound(safe(s, ' ')) }

// Text makes s safe to show, and keeps its lines.
func Text(s string) string { return bound(safe(s, '\n')) }

// safe replaces whatever a terminal, an editor or an XML reader would obey or
// hide instead of showing it: control characters (and so every escape
// sequence), line separators, characters without width or of the other
// direction, what is not UTF-8. U+FFFD replaces them, so that a name which
// was tampered with does not look like the one it imitates.
func safe(s string, newline rune) string {
	if printable(s) {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	marks := 0
	for _, r := range strings.ReplaceAll(s, "\r\n", "\n") {
		if unicode.Is(unicode.M, r) {
			marks++
		} else {
			marks = 0
		}
		switch {
		case r == '\n':
			b.WriteRune(newline)
		case r == '\t':
			b.WriteByte(' ')
		case marks > maxMarks:
		case unicode.In(r, unseen...):
			b.WriteRune(utf8.RuneError)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// unseen are the characters that show nothing of themselves.
var unseen = []*unicode.RangeTable{
	unicode.Cc, unicode.Cf, unicode.Co, unicode.Cs, unicode.Zl, unicode.Zp,
	unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Noncharacter_Code_Point,
}

// printable says whether s is printable ASCII, as nearly all strings are.
func printable(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// bound cuts s, whole runes only, and says how much is missing.
func bound(s string) string {
	if len(s) <= maxString {
		return s
	}
	cut := maxString - len("… (2147483647 bytes more)")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%s… (%d bytes more)", s[:cut], len(s)-cut)
}
