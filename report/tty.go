package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// A Terminal is what the report is drawn for.
type Terminal struct {
	Width int  // in columns; 0: not known
	Color bool // it shows colours
	ASCII bool // it shows nothing but ASCII
}

// What is left out so that it all fits on one screen; -o json has it.
const (
	mostRemarks = 16 // of one entry
	mostFixes   = 16 // lines of them in one entry
	mostNames   = 16 // in a list of targets
	mostNodes   = 2  // in a list of nodes that looked
	detailed    = 3  // remarks of one entry up to which each shows its own evidence
)

// TTY writes the report for a person: quiet when all is well, loud about the
// cause, every fix ready to paste.
func TTY(w io.Writer, r Report, t Terminal) error {
	p := &page{canvas: newCanvas(t), run: r.Run, nickname: nicknames(r.Run.Vantages)}
	p.header()
	p.overview(r.Findings)
	p.section("TO FIX", checks.Fail, r.Findings)
	p.section("WARNINGS", checks.Warn, r.Findings)
	p.section("COULD NOT BE SEEN", checks.Unknown, r.Findings)
	p.verdict(r)
	_, err := w.Write(p.out.Bytes())
	return err
}

// A page is a report being drawn.
type page struct {
	*canvas
	run      Run
	nickname map[string]string // of the nodes that looked
}

// mark is the symbol of a status, in its colour.
func mark(s checks.Status) span {
	switch s {
	case checks.Pass:
		return span{text: "✓", style: green}
	case checks.Warn:
		return span{text: "!", style: yellow}
	case checks.Fail:
		return span{text: "✗", style: red}
	case checks.Skip:
		return span{text: "–", style: dim}
	}
	return span{text: "?", style: magenta}
}

// header says what ran, where, and against what.
func (p *page) header() {
	title := "carbonio-check " + p.run.Tool
	if len(p.run.Vantages) == 1 {
		title += "  " + p.run.Vantages[0].Node
	}
	var about []span
	width := p.measure(title)
	for _, fact := range facts(p.run) {
		about = append(about, span{text: "  " + fact, whole: true})
		width += p.measure("  " + fact)
	}
	if width <= p.width {
		p.flow(0, 2, append([]span{{text: title, style: bold}}, about...)...)
	} else {
		p.flow(0, 2, span{text: title, style: bold})
		p.flow(0, 2, about...)
	}
	if p.run.Assumed != "" {
		p.flow(2, 2, span{text: p.run.Assumed, style: dim})
	}
}

// facts are what the header says of a run.
func facts(run Run) []string {
	var out []string
	looked := len(run.Vantages)
	if looked > 0 {
		out = append(out, phase(run.Vantages))
	}
	if run.Release != "" {
		out = append(out, "Carbonio "+run.Release)
	}
	switch nodes := many(run.Nodes, "node"); {
	case looked > 1:
		out = append(out, fmt.Sprintf("seen from %d of %s", looked, nodes))
	case run.Nodes > 0:
		out = append(out, nodes)
	}
	return out
}

// phase is the moment in the life of the nodes that looked.
func phase(vantages []checks.Vantage) string {
	installed := 0
	for _, v := range vantages {
		if v.Phase == checks.Health {
			installed++
		}
	}
	switch all := len(vantages); {
	case installed == 0:
		return "before installation"
	case installed == all:
		return "installed"
	default:
		return fmt.Sprintf("installed on %d of %d", installed, all)
	}
}

// overview counts the findings of each subject.
func (p *page) overview(findings []Result) {
	var subjects []string
	sums := map[string]*Summary{}
	longest := 0
	for _, f := range findings {
		subject := f.Subject()
		if sums[subject] == nil {
			sums[subject] = &Summary{}
			subjects = append(subjects, subject)
			longest = max(longest, p.measure(subject))
		}
		sums[subject].add(f.Status)
	}
	if len(subjects) == 0 {
		return
	}
	cells := make([][]span, len(subjects))
	for i, subject := range subjects {
		cells[i] = cell(subject, longest-p.measure(subject), *sums[subject])
	}
	p.blank()
	p.grid(2, cells)
}

// cell is a subject in the overview: its worst mark, what passed, and how many
// of everything else.
func cell(subject string, pad int, s Summary) []span {
	worst := span{}
	var others []span
	for _, c := range []struct {
		status checks.Status
		count  int
	}{{checks.Fail, s.Fail}, {checks.Unknown, s.Unknown}, {checks.Warn, s.Warn}, {checks.Pass, s.Pass}, {checks.Skip, s.Skip}} {
		if c.count == 0 {
			continue
		}
		m := mark(c.status)
		if worst.text == "" {
			worst = m
		}
		if c.status != checks.Pass {
			others = append(others, span{text: fmt.Sprintf("  %d %s", c.count, m.text), style: m.style})
		}
	}
	passed := strings.Repeat(" ", pad) + fmt.Sprintf("%5d", s.Pass)
	return append([]span{worst, {text: " " + subject}, {text: passed}}, others...)
}

// section draws the entries of one status.
func (p *page) section(title string, status checks.Status, findings []Result) {
	for i, e := range fold(findings, status) {
		switch {
		case i == 0:
			p.blank()
			p.flow(0, 0, span{text: title, style: bold})
		case status == checks.Fail:
			p.blank()
		}
		p.entry(status, e)
	}
}

// entry draws what is wrong, where, and what to do about it.
func (p *page) entry(status checks.Status, e *entry) {
	first := e.remarks[0]
	switch {
	case len(e.remarks) == 1:
		p.flow(2, 6, mark(status), span{text: " " + first.check, style: bold}, times(e), span{text: "  " + p.saying(first)})
	case e.oneCheck():
		p.flow(2, 6, mark(status), span{text: " " + first.check, style: bold}, times(e))
		p.remarks(e, p.saying)
	default:
		p.flow(2, 6, mark(status), span{text: " " + reasonAlone(first.message)}, times(e))
		p.remarks(e, func(r *remark) string { return r.check + "  " + names(r.targets, mostNames) })
	}
	rows := evidence(e.facts(), status)
	if from := p.from(e.vantages()); from != "" {
		rows = append(rows, row{label: "from", text: from})
	}
	rows = append(rows, fixes(first.remedies)...)
	if status == checks.Fail {
		rows = append(rows, row{label: "more", text: "carbonio-check explain " + first.check, style: dim, paste: true})
	}
	if n := e.waits(); n > 0 {
		rows = append(rows, row{label: "–", text: waiting(n, e.waiting)})
	}
	p.rows(6, rows)
}

// times is how many findings stand in an entry of several.
func times(e *entry) span {
	if e.size() == 1 {
		return span{}
	}
	return span{text: fmt.Sprintf("  ×%d", e.size()), style: dim}
}

// remarks draws those of an entry that has several.
func (p *page) remarks(e *entry, saying func(*remark) string) {
	shared := e.facts()
	for i, r := range e.remarks {
		if i == mostRemarks {
			p.flow(6, 8, span{text: fmt.Sprintf("and %d more; -o json has them all", len(e.remarks)-i), style: dim})
			return
		}
		said := saying(r)
		if from := p.from(r.vantages); from != "" && e.vantages() == nil {
			said += " (from " + from + ")"
		}
		p.flow(6, 8, span{text: said})
		if len(e.remarks) <= detailed {
			own := maps.Clone(r.facts)
			maps.DeleteFunc(own, func(name, _ string) bool { _, ok := shared[name]; return ok })
			p.rows(8, evidence(own, checks.Warn))
		}
	}
}

// saying is the message, with the targets where it does not name them itself.
func (p *page) saying(r *remark) string {
	target, message := r.targets[0], reasonAlone(r.message)
	switch {
	case len(r.targets) > 1 && strings.Contains(message, gap):
		return message + ": " + names(r.targets, mostNames)
	case len(r.targets) > 1:
		return names(r.targets, mostNames) + ": " + message
	case strings.Contains(message, target), len(p.run.Vantages) == 1 && target == p.run.Vantages[0].Node:
		return message
	}
	return target + ": " + message
}

// reasonAlone is a message without what the title of its section says already.
func reasonAlone(message string) string { return strings.TrimPrefix(message, "could not be seen: ") }

// from says which of several nodes saw it.
func (p *page) from(vantages []string) string {
	switch {
	case len(p.run.Vantages) < 2 || len(vantages) == 0 || vantages[0] == "":
		return ""
	case len(vantages) == len(p.run.Vantages):
		return fmt.Sprintf("all %d nodes", len(vantages))
	}
	short := make([]string, len(vantages))
	for i, v := range vantages {
		short[i] = cmp.Or(p.nickname[v], v)
	}
	return list(short, mostNodes)
}

// nicknames are the first labels of the nodes' names, where they differ.
func nicknames(vantages []checks.Vantage) map[string]string {
	short := map[string]string{}
	taken := map[string]bool{}
	for _, v := range vantages {
		label, _, _ := strings.Cut(v.Node, ".")
		if taken[label] {
			return nil
		}
		taken[label] = true
		short[v.Node] = label
	}
	return short
}

// names lists the first few; a single one more is named as well. What many have
// in common, their domain, is written once.
func names(all []string, most int) string {
	_, domain, _ := strings.Cut(all[0], ".")
	domain = "." + domain
	if len(all) <= detailed || slices.ContainsFunc(all, func(n string) bool { return !strings.HasSuffix(n, domain) }) {
		return list(all, most)
	}
	short := make([]string, len(all))
	for i, name := range all {
		short[i] = strings.TrimSuffix(name, domain)
	}
	return list(short, most) + " (" + domain + ")"
}

func list(all []string, most int) string {
	last := len(all) - 1
	switch {
	case last == 0:
		return all[0]
	case last > most:
		return fmt.Sprintf("%s and %d more", strings.Join(all[:most], ", "), len(all)-most)
	}
	return strings.Join(all[:last], ", ") + " and " + all[last]
}

// waiting names the consequences of an entry, the most frequent first.
func waiting(total int, tallies []tally) string {
	tallies = slices.SortedStableFunc(slices.Values(tallies), func(a, b tally) int { return cmp.Compare(b.count, a.count) })
	parts := make([]string, len(tallies))
	for i, t := range tallies {
		parts[i] = t.check
		if t.count > 1 {
			parts[i] = fmt.Sprintf("%d %s", t.count, t.check)
		}
	}
	verb := "wait"
	if total == 1 {
		verb = "waits"
	}
	return fmt.Sprintf("%s %s for it: %s", many(total, "check"), verb, strings.Join(parts, ", "))
}

// A row is a fact about an entry.
type row struct {
	label, text string
	style       style
	paste       bool // a command: it is never broken
}

// evidence makes rows of facts: what was seen and what was wanted under each
// other, and of a failure the rest as well.
func evidence(facts map[string]string, status checks.Status) []row {
	order := []string{"seen", "want"}
	if status == checks.Fail {
		for _, name := range slices.Sorted(maps.Keys(facts)) {
			if name != "seen" && name != "want" {
				order = append(order, name)
			}
		}
	}
	var rows []row
	for _, name := range order {
		if text, ok := facts[name]; ok {
			rows = append(rows, row{label: name, text: text})
		}
	}
	return rows
}

// fixes makes rows of remedies.
func fixes(remedies []string) []row {
	var rows []row
	label, lines := "fix", 0
	for i, remedy := range remedies {
		if lines += 1 + strings.Count(remedy, "\n"); lines > mostFixes && i > 0 {
			return append(rows, row{text: fmt.Sprintf("and %d more; -o json has them all", len(remedies)-i)})
		}
		for line := range strings.SplitSeq(remedy, "\n") {
			rows = append(rows, row{label: label, text: line, style: cyan, paste: !prose(line)})
			label = ""
		}
	}
	return rows
}

// quoted is what stands in quotes, or in a comment, in a line of shell.
var quoted = regexp.MustCompile(`'[^']*'|"[^"]*"|\s#.*`)

// prose says whether a line of a remedy is a sentence, which may be broken, and
// not a command, nor a sentence with one in it, which may not.
func prose(line string) bool {
	if strings.ContainsAny(line, "|<>&$`") {
		return false
	}
	line = quoted.ReplaceAllString(line, "")
	return strings.Contains(line, ", ") || strings.Contains(line, ": ") || strings.HasSuffix(line, ":")
}

// rows draws facts, aligned.
func (p *page) rows(indent int, rows []row) {
	const least, most, gap = 4, 12, 3
	column := least
	for _, r := range rows {
		column = min(max(column, p.measure(r.label)), most)
	}
	hang := indent + column + gap
	for _, r := range rows {
		for i, text := range strings.Split(r.text, "\n") {
			label := span{text: r.label, style: dim}
			if i > 0 {
				label.text = ""
			}
			value := span{text: strings.Repeat(" ", max(column-p.measure(label.text), 0)+gap) + text, style: r.style}
			if r.paste {
				p.line(indent, label, value)
			} else {
				p.flow(indent, hang, label, value)
			}
		}
	}
}

// verdict is the last line.
func (p *page) verdict(r Report) {
	word := map[Verdict]span{
		Ready:        {text: "READY", style: green},
		NotReady:     {text: "NOT READY", style: red},
		Undetermined: {text: "UNDETERMINED", style: magenta},
	}[r.Verdict]
	took := fmt.Sprintf("%.1f s", max(r.Run.Duration, 0).Seconds())
	if r.Run.Interrupted {
		took += ", interrupted"
	}
	p.blank()
	p.flow(0, 2, word, span{text: " — " + counts(r)}, span{text: " (" + took + ")", style: dim})
}

// counts are those of the summary.
func counts(r Report) string {
	if len(r.Findings) == 0 {
		return "nothing was checked"
	}
	var out []string
	add := func(n int, what string) {
		if n > 0 {
			out = append(out, what)
		}
	}
	s := r.Summary
	warnings := many(s.Warn, "warning")
	if r.options.FailOnWarn {
		warnings += " (--fail-on warn)"
	}
	add(s.Fail, fmt.Sprintf("%d to fix", s.Fail))
	add(s.Unknown, fmt.Sprintf("%d could not be seen", s.Unknown))
	add(s.Warn, warnings)
	return strings.Join(append(out, fmt.Sprintf("%d passed", s.Pass)), ", ")
}

// many is "1 node", "2 nodes".
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
