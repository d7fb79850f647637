// Package terminal lays out text for a person, and makes what came from a file or
// a server safe to show.
package terminal

import (
	"bytes"
	"io"
	"iter"
	"strings"
	"unicode/utf8"

	"github.com/charmbracelet/lipgloss"
	"github.com/charmbracelet/x/ansi"
	"github.com/muesli/termenv"
)

// A Terminal is what something is drawn for.
type Terminal struct {
	Width   int  // in columns; 0: not known
	Color   bool // it shows colours
	ASCII   bool // it shows nothing but ASCII
	Verbose bool // nothing is summed up
}

// A Style is how a piece of text looks where there are colours: the sixteen
// that follow the theme of the terminal, and none for what matters most often.
type Style int

// The styles.
const (
	Normal Style = iota
	Bold
	Dim
	Green
	Yellow
	Red
	Magenta
	Cyan
)

// styles are drawn for sixteen colours, wherever the program runs: whether there
// are any is for the Terminal to say.
var styles = func() map[Style]lipgloss.Style {
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.ANSI)
	color := func(n string) lipgloss.Style { return r.NewStyle().Foreground(lipgloss.Color(n)) }
	return map[Style]lipgloss.Style{
		Bold:    r.NewStyle().Bold(true),
		Dim:     r.NewStyle().Faint(true),
		Green:   color("2").Bold(true),
		Yellow:  color("3").Bold(true),
		Red:     color("1").Bold(true),
		Magenta: color("5").Bold(true),
		Cyan:    color("6"),
	}
}()

// A Span is text in one style. The spaces before a word are kept, unless the
// line breaks there; those at the end are not.
type Span struct {
	Text  string
	Style Style
	Whole bool // no line breaks within it
}

// Narrower than that nothing reads well; where there is no terminal, the width is
// the classic one.
const (
	narrowest = 32
	Classic   = 80
)

// A Canvas lays out text in lines of a width.
type Canvas struct {
	out   bytes.Buffer
	width int
	color bool
	ascii bool
}

// NewCanvas makes an empty one.
func NewCanvas(t Terminal) *Canvas {
	width := t.Width
	if width <= 0 {
		width = Classic
	}
	return &Canvas{width: max(width, narrowest), color: t.Color, ascii: t.ASCII}
}

// write puts a span on the page as it is.
func (c *Canvas) write(s Span) {
	if c.color && s.Style != Normal && s.Text != "" {
		s.Text = styles[s.Style].Render(s.Text)
	}
	c.out.WriteString(s.Text)
}

// Bytes is what was drawn.
func (c *Canvas) Bytes() []byte { return c.out.Bytes() }

// Lines is how many lines were drawn.
func (c *Canvas) Lines() int { return bytes.Count(c.out.Bytes(), []byte{'\n'}) }

// Width is how many columns a line may take.
func (c *Canvas) Width() int { return c.width }

// Blank draws an empty line.
func (c *Canvas) Blank() { c.out.WriteByte('\n') }

func (c *Canvas) indent(columns int) { c.out.WriteString(strings.Repeat(" ", columns)) }

// Flow writes Spans as one paragraph: its first line is indented by first, the
// others at hang, and lines break between words. Only a word that is longer
// than a line is broken.
func (c *Canvas) Flow(first, hang int, spans ...Span) {
	c.indent(first)
	column, empty := first, true
	for _, s := range spans {
		line := Span{Style: s.Style} // the part of s in this line
		for gap, word := range words(c.shown(s.Text), s.Whole) {
			for piece := range strings.SplitSeq(ansi.Hardwrap(word, c.width-hang, true), "\n") {
				width := ansi.StringWidth(piece)
				if column+gap+width > c.width {
					gap = 0
					if !empty {
						c.write(line)
						c.Blank()
						c.indent(hang)
						line.Text, column = "", hang
					}
				}
				line.Text += strings.Repeat(" ", gap) + piece
				column += gap + width
				gap, empty = 0, false
			}
		}
		c.write(line)
	}
	c.Blank()
}

// Line writes Spans in one line, however long.
func (c *Canvas) Line(first int, spans ...Span) {
	c.indent(first)
	for _, s := range spans {
		c.write(Span{Text: c.shown(s.Text), Style: s.Style})
	}
	c.Blank()
}

// words yields the words of s, or the whole of it as one, and how many spaces
// come before each.
func words(s string, whole bool) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		for {
			word := strings.TrimLeft(s, " ")
			gap := len(s) - len(word)
			if word == "" {
				return
			}
			if !whole {
				word, _, _ = strings.Cut(word, " ")
			}
			if !yield(gap, word) {
				return
			}
			s = s[gap+len(word):]
		}
	}
}

// Grid writes cells in as many columns as the width takes, row by row.
func (c *Canvas) Grid(indent int, cells [][]Span) {
	const gutter = 4
	columns := len(cells)
	for columns > 1 && indent+sum(c.widths(cells, columns))+gutter*(columns-1) > c.width {
		columns--
	}
	if columns == 1 {
		for _, cell := range cells {
			c.Flow(indent, indent+2, cell...)
		}
		return
	}
	widths := c.widths(cells, columns)
	for i, cell := range cells {
		column := i % columns
		if column == 0 {
			c.indent(indent)
		}
		for _, s := range cell {
			c.write(Span{Text: c.shown(s.Text), Style: s.Style})
		}
		if column == columns-1 || i == len(cells)-1 {
			c.Blank()
		} else {
			c.indent(widths[column] - c.cellWidth(cell) + gutter)
		}
	}
}

// widths are those of the columns of a grid.
func (c *Canvas) widths(cells [][]Span, columns int) []int {
	widths := make([]int, columns)
	for i, cell := range cells {
		widths[i%columns] = max(widths[i%columns], c.cellWidth(cell))
	}
	return widths
}

func (c *Canvas) cellWidth(cell []Span) int {
	width := 0
	for _, s := range cell {
		width += c.Measure(s.Text)
	}
	return width
}

// Measure is how many columns s takes.
func (c *Canvas) Measure(s string) int { return ansi.StringWidth(c.shown(s)) }

// shown is s as the terminal can show it.
func (c *Canvas) shown(s string) string {
	if !c.ascii || printable(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if r >= utf8.RuneSelf {
			return '?'
		}
		return r
	}, spelled.Replace(s))
}

// spelled is how the characters that we use ourselves are spelled in ASCII.
var spelled = strings.NewReplacer(
	"±", "+-", "✓", "+", "✗", "x", "–", "-", "—", "-", "…", "...", "×", "x", "→", "->", "≤", "<=", "≥", ">=",
	"‘", "'", "’", "'", "“", `"`, "”", `"`,
)

func sum(n []int) int {
	total := 0
	for _, v := range n {
		total += v
	}
	return total
}
