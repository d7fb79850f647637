package terminal

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestSanitise(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                        "plain",
		"Köln, 東京, ✓":                                  "Köln, 東京, ✓",
		"\x1b[31mred\x1b[0m":                           "�[31mred�[0m",
		"\x1b]52;c;ZWNobw==\a":                         "�]52;c;ZWNobw==�",
		"\u009b2J\u0085\x7f\b":                         "�2J���",
		"a\u202eb\u2066c\u2069":                        "a�b�c�",
		"zero\u200bwidth\ufeff":                        "zero�width�",
		"soft\u00adhyphen\u2060":                       "soft�hyphen�",
		"tag\U000e0041":                                "tag�",
		"not UTF-8 \xff\xc3":                           "not UTF-8 ��",
		"line\u2028paragraph\u2029":                    "line�paragraph�",
		"private\ue000 \ufffe":                         "private� �",
		"tab\tnul\x00":                                 "tab nul�",
		"a\u0301\u0301\u0301\u0301\u0301\u0301\u0301b": "a\u0301\u0301\u0301\u0301b",
	} {
		require.Equal(t, want, Line(in), "%q", in)
		require.Equal(t, want, Text(in), "%q", in)
	}
	require.Equal(t, "two lines�", Line("two\r\nlines\r"))
	require.Equal(t, "two\nlines�", Text("two\r\nlines\r"))
}

func TestBound(t *testing.T) {
	require.Equal(t, strings.Repeat("x", maxString), Line(strings.Repeat("x", maxString)))
	for _, s := range []string{"x", "é", "東", "\U0001f600", "\x1b"} {
		long := strings.Repeat(s, maxString+1)
		got := Line(long)
		require.LessOrEqual(t, len(got), maxString)
		require.True(t, utf8.ValidString(got))
		head, tail, ok := strings.Cut(got, "… (")
		require.True(t, ok, got[len(got)-40:])
		require.Equal(t, fmt.Sprintf("%d bytes more)", len(safe(long, ' '))-len(head)), tail)
		require.Equal(t, got, Line(got), "cleaning twice is cleaning once")
	}
}
