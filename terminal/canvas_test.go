package terminal

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"
)

func TestFlowBreaksBetweenWords(t *testing.T) {
	c := NewCanvas(Terminal{Width: 32})
	c.Flow(2, 4, Span{Text: "✗", Style: Red}, Span{Text: " one two three four five six seven"}, Span{Text: "  not broken here", Whole: true})
	c.Flow(0, 2, Span{Text: strings.Repeat("x", 40)})
	require.Equal(t, "  ✗ one two three four five six\n    seven  not broken here\n"+strings.Repeat("x", 30)+"\n  "+strings.Repeat("x", 10)+"\n", string(c.Bytes()))
	require.Equal(t, 4, c.Lines())
	require.Equal(t, 32, c.Width())
}

func TestALineIsNeverBroken(t *testing.T) {
	c := NewCanvas(Terminal{Width: 32})
	c.Line(2, Span{Text: "fix"}, Span{Text: "   " + strings.Repeat("command ", 10)})
	c.Blank()
	require.Equal(t, "  fix   "+strings.Repeat("command ", 10)+"\n\n", string(c.Bytes()))
}

func TestGridTakesAsManyColumnsAsFit(t *testing.T) {
	cells := [][]Span{{{Text: "one"}}, {{Text: "three"}}, {{Text: "five"}}, {{Text: "seven"}}}
	for width, want := range map[int]string{
		80: "  one    three    five    seven\n",
		32: "  one    three    five    seven\n",
	} {
		c := NewCanvas(Terminal{Width: width})
		c.Grid(2, cells)
		require.Equal(t, want, string(c.Bytes()))
	}
	c := NewCanvas(Terminal{Width: 32})
	c.Grid(2, [][]Span{{{Text: strings.Repeat("x", 14)}}, {{Text: strings.Repeat("y", 14)}}})
	require.Equal(t, "  "+strings.Repeat("x", 14)+"\n  "+strings.Repeat("y", 14)+"\n", string(c.Bytes()), "one column when two do not fit")
	c = NewCanvas(Terminal{Width: 40})
	c.Grid(2, append(cells, []Span{{Text: strings.Repeat("z", 12)}}))
	require.Equal(t, 2, c.Lines())
}

// Colours are all that they add, and the same wherever the program runs.
func TestColours(t *testing.T) {
	plain, colored := NewCanvas(Terminal{}), NewCanvas(Terminal{Color: true})
	for _, c := range []*Canvas{plain, colored} {
		for s := Normal; s <= Cyan; s++ {
			c.Flow(0, 0, Span{Text: "text", Style: s})
		}
	}
	require.NotEqual(t, string(plain.Bytes()), string(colored.Bytes()))
	require.Equal(t, string(plain.Bytes()), ansi.Strip(string(colored.Bytes())))
	require.Equal(t, 7, strings.Count(string(colored.Bytes()), "\x1b[0m"), "all but the normal one")
}

func TestASCII(t *testing.T) {
	c := NewCanvas(Terminal{ASCII: true})
	c.Flow(0, 0, Span{Text: "✓ ✗ – … × ± ≥ “quoted” 東京"})
	require.Equal(t, "+ x - ... x +- >= \"quoted\" ??\n", string(c.Bytes()))
	require.Equal(t, 3, c.Measure("…"))
}

func TestOf(t *testing.T) {
	t.Setenv("LC_ALL", "")
	t.Setenv("LC_CTYPE", "")
	t.Setenv("LANG", "")
	t.Setenv("COLUMNS", "")
	require.Equal(t, Terminal{Width: Classic}, Of(&bytes.Buffer{}), "without a locale it is UTF-8")
	t.Setenv("LANG", "C")
	t.Setenv("COLUMNS", "132")
	require.Equal(t, Terminal{Width: 132, ASCII: true}, Of(&bytes.Buffer{}))
	t.Setenv("LC_ALL", "de_DE.UTF-8")
	require.False(t, Of(&bytes.Buffer{}).ASCII)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer r.Close()
	defer w.Close()
	require.False(t, Of(w).Color, "a pipe shows no colours")
	require.Equal(t, 132, Width(w))
	t.Setenv("COLUMNS", "wide")
	require.Equal(t, Classic, Width(w))
	_, live := Live(w)
	require.False(t, live)
	_, live = Live(&bytes.Buffer{})
	require.False(t, live)
}
