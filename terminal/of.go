package terminal

import (
	"cmp"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"
)

// Of says how to write for a person on w.
func Of(w io.Writer) Terminal {
	t := Terminal{Width: Classic, ASCII: !utf8Locale()}
	f, ok := w.(*os.File)
	if ok && term.IsTerminal(int(f.Fd())) {
		t.Width = Width(f)
		t.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	} else if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		t.Width = n
	}
	return t
}

// Width is COLUMNS, else what the terminal says, else 80.
func Width(f *os.File) int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
		return n
	}
	return Classic
}

// Live says whether w is a terminal on which a line can be drawn over.
func Live(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// utf8Locale says whether the user's locale can show more than ASCII. Without
// any locale, as in a container, UTF-8 is what terminals do.
func utf8Locale() bool {
	l := strings.ToLower(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG")))
	return l == "" || strings.Contains(l, "utf-8") || strings.Contains(l, "utf8")
}
