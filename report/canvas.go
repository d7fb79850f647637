package report

import (
	"bytes"
	"iter"
	"strings"
	"unicode/utf8"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// A style is how a piece of text looks where there are colours: the sixteen
// that follow the theme of the terminal, and none for what matters most often.
type style int

const (
	normal style = iota
	bold
	dim
	green
	yellow
	red
	magenta
	cyan
)

var styles = map[style]lipgloss.Style{
	bold:    lipgloss.NewStyle().Bold(true),
	dim:     lipgloss.NewStyle().Faint(true),
	green:   lipgloss.NewStyle().Foreground(lipgloss.Green).Bold(true),
	yellow:  lipgloss.NewStyle().Foreground(lipgloss.Yellow).Bold(true),
	red:     lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true),
	magenta: lipgloss.NewStyle().Foreground(lipgloss.Magenta).Bold(true),
	cyan:    lipgloss.NewStyle().Foreground(lipgloss.Cyan),
}

// A span is text in one style. The spaces before a word are kept, unless the
// line breaks there; those at the end are not.
type span struct {
	text  string
	style style
	whole bool // no line breaks within it
}

// The widths that are drawn for: narrower than that nothing reads well, and
// wider than that no line does. Where there is no terminal, it is the classic.
const (
	narrowest = 32
	classic   = 80
	widest    = 120
)

// A canvas lays out text in lines of a width.
type canvas struct {
	out   bytes.Buffer
	width int
	color bool
	ascii bool
}

func newCanvas(t Terminal) *canvas {
	width := t.Width
	if width <= 0 {
		width = classic
	}
	return &canvas{width: min(max(width, narrowest), widest), color: t.Color, ascii: t.ASCII}
}

// write puts a span on the page as it is.
func (c *canvas) write(s span) {
	if c.color && s.style != normal && s.text != "" {
		s.text = styles[s.style].Render(s.text)
	}
	c.out.WriteString(s.text)
}

func (c *canvas) blank() { c.out.WriteByte('\n') }

func (c *canvas) indent(columns int) { c.out.WriteString(strings.Repeat(" ", columns)) }

// flow writes spans as one paragraph: its first line stands at first, the
// others at hang, and lines break between words. Only a word that is longer
// than a line is broken.
func (c *canvas) flow(first, hang int, spans ...span) {
	c.indent(first)
	column, empty := first, true
	for _, s := range spans {
		line := span{style: s.style} // what of s stands in this line
		for gap, word := range words(c.shown(s.text), s.whole) {
			for piece := range strings.SplitSeq(ansi.Hardwrap(word, c.width-hang, true), "\n") {
				width := ansi.StringWidth(piece)
				if column+gap+width > c.width {
					gap = 0
					if !empty {
						c.write(line)
						c.blank()
						c.indent(hang)
						line.text, column = "", hang
					}
				}
				line.text += strings.Repeat(" ", gap) + piece
				column += gap + width
				gap, empty = 0, false
			}
		}
		c.write(line)
	}
	c.blank()
}

// line writes spans in one line, however long.
func (c *canvas) line(first int, spans ...span) {
	c.indent(first)
	for _, s := range spans {
		c.write(span{text: c.shown(s.text), style: s.style})
	}
	c.blank()
}

// words yields the words of s, or the whole of it as one, and how many spaces
// stand before each.
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

// grid writes cells in as many columns as the width takes, row by row.
func (c *canvas) grid(indent int, cells [][]span) {
	const gutter = 4
	columns := len(cells)
	for columns > 1 && indent+sum(c.widths(cells, columns))+gutter*(columns-1) > c.width {
		columns--
	}
	if columns == 1 {
		for _, cell := range cells {
			c.flow(indent, indent+2, cell...)
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
			c.write(span{text: c.shown(s.text), style: s.style})
		}
		if column == columns-1 || i == len(cells)-1 {
			c.blank()
		} else {
			c.indent(widths[column] - c.cellWidth(cell) + gutter)
		}
	}
}

// widths are those of the columns of a grid.
func (c *canvas) widths(cells [][]span, columns int) []int {
	widths := make([]int, columns)
	for i, cell := range cells {
		widths[i%columns] = max(widths[i%columns], c.cellWidth(cell))
	}
	return widths
}

func (c *canvas) cellWidth(cell []span) int {
	width := 0
	for _, s := range cell {
		width += c.measure(s.text)
	}
	return width
}

// measure is how many columns s takes.
func (c *canvas) measure(s string) int { return ansi.StringWidth(c.shown(s)) }

// shown is s as the terminal can show it.
func (c *canvas) shown(s string) string {
	if !c.ascii || plain(s) {
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
	"✓", "+", "✗", "x", "–", "-", "—", "-", "…", "...", "×", "x", "→", "->", "≤", "<=", "≥", ">=",
	"‘", "'", "’", "'", "“", `"`, "”", `"`,
)

func sum(n []int) int {
	total := 0
	for _, v := range n {
		total += v
	}
	return total
}
