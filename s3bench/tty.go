package s3bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"carbonio-check/terminal"
)

// The widths of the columns, and of a page with both tables side by side.
const (
	threadsWidth = 7
	rateWidth    = 14
	timeWidth    = 6
	abreast      = threadsWidth + rateWidth + 2*(8*timeWidth+2)
)

// TTY writes a result for a person: the manual's table (S3BM), and under each
// column how it changes with the threads.
func TTY(w io.Writer, r Result, t terminal.Terminal) error {
	p := &page{terminal.NewCanvas(t), t.ASCII}
	p.header(r)
	for _, g := range groups(r.Steps) {
		p.group(g)
	}
	p.footer(r)
	_, err := w.Write(p.Bytes())
	return err
}

// groups are the steps of one operation on objects of one size, by threads.
func groups(steps []Step) [][]Step {
	var out [][]Step
	index := map[string]int{}
	for _, s := range steps {
		i, ok := index[s.name()]
		if !ok {
			i = len(out)
			index[s.name()] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], s)
	}
	return out
}

// title is the group's in words.
func (s Step) title() string {
	switch {
	case s.Op == LIST:
		return fmt.Sprintf("List (%s) of %d keys", s.Op, listed)
	case s.Size == 0:
		return map[string]string{GET: "Reads", PUT: "Writes", DELETE: "Deletes"}[s.Op] + " (" + s.Op + ") among mail"
	case s.Op == MULTIPART:
		return fmt.Sprintf("Upload in parts of %s with objects of %s", Size(partSize), Size(s.Size))
	}
	return fmt.Sprintf("%s (%s) with objects of %s", map[string]string{GET: "Download", PUT: "Upload"}[s.Op], s.Op, Size(s.Size))
}

type page struct {
	*terminal.Canvas
	ascii bool
}

// prose writes text in as many lines as it takes.
func (p *page) prose(indent int, text string) { p.Flow(indent, indent, terminal.Span{Text: text}) }

func (p *page) header(r Result) {
	p.Line(0, terminal.Span{Text: strings.TrimSpace("carbonio-check " + r.Tool + "  s3bench " + r.Config.Workload), Style: terminal.Bold})
	p.prose(0, strings.TrimSpace(fmt.Sprintf("%s  %s at %s", r.Node, r.Bucket, r.Endpoint)))
	p.prose(0, fmt.Sprintf("%.0f s, %s written, payload %s; MB = 10^6 bytes, times in ms",
		float64(r.Took)/1e9, Size(r.Written), r.Payload))
}

// group draws the table of a group: both times abreast, or one below the other.
func (p *page) group(g []Step) {
	p.Blank()
	p.Line(0, terminal.Span{Text: g[0].title(), Style: terminal.Bold})
	first := func(s Step) *Latency { return s.TTFB }
	last := func(s Step) *Latency { return s.TTLB }
	times := []block{{"response time", last}}
	if g[0].Op == GET { // of a write the first byte is as good as the last
		times = []block{{"time to first byte", first}, {"time to last byte", last}}
	}
	if p.Width() >= abreast {
		p.table(g, times)
	} else {
		for _, b := range times {
			p.table(g, []block{b})
		}
	}
	for _, text := range remarks(g) {
		p.prose(2, text)
	}
}

// A block is eight columns of times.
type block struct {
	name string
	of   func(Step) *Latency
}

func (p *page) table(g []Step, blocks []block) {
	over, head := strings.Repeat(" ", threadsWidth+rateWidth), fmt.Sprintf("%*s%*s", threadsWidth, "threads", rateWidth, g[0].Unit+"     ")
	for _, b := range blocks {
		over += fmt.Sprintf("  %-*s", 8*timeWidth, "  "+b.name)
		head += "  "
		for _, c := range columnNames {
			head += fmt.Sprintf("%*s", timeWidth, c)
		}
	}
	p.Line(0, terminal.Span{Text: strings.TrimRight(over, " "), Style: terminal.Dim})
	p.Line(0, terminal.Span{Text: strings.TrimRight(head, " "), Style: terminal.Dim})
	for _, s := range g {
		var times strings.Builder
		for _, b := range blocks {
			times.WriteString("  " + cells(b.of(s).columns()))
		}
		p.Line(0,
			terminal.Span{Text: fmt.Sprintf("%*d", threadsWidth, s.Threads)},
			terminal.Span{Text: fmt.Sprintf("%*s", rateWidth-5, number(s.Rate)), Style: terminal.Bold},
			terminal.Span{Text: fmt.Sprintf("%-5s", spread(s)), Style: terminal.Dim},
			terminal.Span{Text: times.String()})
	}
	if len(g) > 1 {
		p.Line(0, terminal.Span{Text: strings.TrimRight(p.trends(g, blocks), " "), Style: terminal.Cyan})
	}
}

// cells are eight times, or as many dashes.
func cells(columns []float64) string {
	var b strings.Builder
	for i := range columnNames {
		text := "–"
		if i < len(columns) {
			text = number(columns[i])
		}
		fmt.Fprintf(&b, "%s%s", strings.Repeat(" ", timeWidth-utf8.RuneCountInString(text)), text)
	}
	return b.String()
}

// spread is " ±3%", or nothing where there were too few windows.
func spread(s Step) string {
	if s.High <= s.Low {
		return ""
	}
	return fmt.Sprintf(" ±%.0f%%", min(s.spread()*100, 99))
}

// number writes three digits or more.
func number(f float64) string {
	switch {
	case f < 10:
		return fmt.Sprintf("%.2f", f)
	case f < 100:
		return fmt.Sprintf("%.1f", f)
	case f < 100_000:
		return fmt.Sprintf("%.0f", f)
	}
	return fmt.Sprintf("%.0fk", f/1000)
}

// trends draws a sparkline under each column.
func (p *page) trends(g []Step, blocks []block) string {
	rates := make([]float64, len(g))
	for i, s := range g {
		rates[i] = s.Rate
	}
	var row strings.Builder
	row.WriteString(strings.Repeat(" ", threadsWidth) + p.under(rates, rateWidth-5) + strings.Repeat(" ", 5))
	for _, b := range blocks {
		row.WriteString("  ")
		for c := range columnNames {
			var values []float64
			for _, s := range g {
				if columns := b.of(s).columns(); columns != nil {
					values = append(values, columns[c])
				}
			}
			row.WriteString(p.under(values, timeWidth))
		}
	}
	return row.String()
}

// under is a sparkline at the right of a column; it keeps the last values where
// there are more than fit.
func (p *page) under(values []float64, width int) string {
	values = values[max(0, len(values)-width+1):]
	return strings.Repeat(" ", width-len(values)) + p.spark(values)
}

// spark draws values from zero to the largest of them.
func (p *page) spark(values []float64) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	if p.ascii {
		levels = []rune("_.-=oO0#")
	}
	largest := 0.0
	for _, v := range values {
		largest = max(largest, v)
	}
	line := make([]rune, len(values))
	for i, v := range values {
		level := 0
		if largest > 0 {
			level = int(v / largest * float64(len(levels)-1))
		}
		line[i] = levels[level]
	}
	return string(line)
}

// unsettled says why a step ended before its rate had settled.
var unsettled = map[string]string{
	TimeUp: "the time was up", ObjectsUp: "the limit of objects was reached", BytesUp: "their share of the bytes was written",
	NoRoom: "the bucket was full", Interruption: "the run was interrupted", Failing: "nothing succeeded",
}

// remarks says of a group what its numbers do not.
func remarks(g []Step) []string {
	var out, reasons []string
	early := map[string][]string{}
	for _, s := range g {
		var troubles []string
		if s.Throttled > 0 {
			troubles = append(troubles, fmt.Sprintf("%d × throttled (503 SlowDown)", s.Throttled))
		}
		if s.Errors > 0 {
			troubles = append(troubles, fmt.Sprintf("%d × failed: %s", s.Errors, strings.Join(s.Samples, "; ")))
		}
		if len(troubles) > 0 {
			out = append(out, threads(s.Threads)+": "+strings.Join(troubles, ", "))
		}
		if why := unsettled[s.Ended]; why != "" && (s.spread() > settledSpread || s.High <= s.Low) {
			if early[why] == nil {
				reasons = append(reasons, why)
			}
			early[why] = append(early[why], strconv.Itoa(s.Threads))
		}
	}
	for _, why := range reasons {
		out = append(out, fmt.Sprintf("not settled with %s threads: %s", strings.Join(early[why], ", "), why))
	}
	return out
}

func (p *page) footer(r Result) {
	p.Blank()
	for _, v := range r.Verdicts {
		mark := terminal.Span{Text: "✓", Style: terminal.Green}
		switch v.Verdict {
		case Below:
			mark = terminal.Span{Text: "✗", Style: terminal.Red}
		case Undetermined:
			mark = terminal.Span{Text: "?"}
		}
		text := v.Message
		if v.Verdict != OK {
			text += "; want " + v.Want
		}
		p.Flow(2, 16, mark, terminal.Span{Text: fmt.Sprintf(" %-10s  %s", v.Name, text)})
	}
	for _, n := range r.Notes {
		p.prose(2, "note: "+n)
	}
	if r.Stopped != "" {
		p.prose(2, "stopped early: "+r.Stopped)
	}
	if len(r.Left) > 0 {
		p.Blank()
		p.Line(0, terminal.Span{Text: fmt.Sprintf("LEFT IN THE BUCKET (%d)", len(r.Left)), Style: terminal.Red})
		for _, key := range r.Left[:min(len(r.Left), mostLeft)] {
			p.Line(2, terminal.Span{Text: key})
		}
		if more := len(r.Left) - mostLeft; more > 0 {
			p.Line(2, terminal.Span{Text: fmt.Sprintf("and %d more", more)})
		}
		p.prose(2, "to remove them: carbonio-check s3bench clean")
	}
	verdict := strings.ToUpper(r.Verdict)
	if r.Interrupted {
		verdict += " (INTERRUPTED)"
	}
	p.Blank()
	style := terminal.Green
	if r.Verdict == Below || r.Verdict == Undetermined {
		style = terminal.Red
	}
	p.Line(0, terminal.Span{Text: verdict, Style: style})
}

// mostLeft is how many leftovers are named; -o json has them all.
const mostLeft = 16
