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
	"carbonio-check/runner"
	"carbonio-check/terminal"
)

// What is left out so that it all fits on one screen; --verbose and -o json have it.
const (
	widest      = 120 // wider than that no line reads well
	screen      = 60  // lines that a report takes at most, unless it is asked to be verbose
	mostRemarks = 16  // of one entry
	mostFixes   = 16  // lines of them in one entry
	mostNames   = 16  // in a list of targets
	mostNodes   = 2   // in a list of nodes that looked
	detailed    = 3   // remarks of one entry up to which each shows its own evidence
)

// A detail is how much is drawn of each entry.
type detail struct {
	evidence  bool // what was seen and wanted
	remarks   int  // of one entry
	names     int  // in a list of targets
	fix       int  // lines of a remedy
	entries   int  // of a section
	questions int  // of what is unknown
	notes     int  // on how the report was made
}

// levels are tried one after the other, until the report fits on a screen.
var levels = []detail{
	{true, mostRemarks, mostNames, mostFixes, 1 << 20, 1 << 20, 1 << 20},
	{true, 6, 6, 4, 1 << 20, 8, 8},
	{false, 3, 4, 4, 1 << 20, 4, 4},
	{false, 2, 2, 2, 1 << 20, 2, 2},
	{false, 1, 2, 2, 9, 2, 2},
	{false, 1, 2, 2, 3, 1, 2},
}

// TTY writes the report for a person: the verdict and its causes first, quiet
// when all is well, every fix ready to paste, and no more than a screen of it.
func TTY(w io.Writer, r Report, t terminal.Terminal) error {
	t.Width = min(t.Width, widest)
	var p *page
	for _, d := range levels {
		p = draw(r, t, d)
		if t.Verbose || p.Lines() <= screen {
			break
		}
	}
	_, err := w.Write(p.Bytes())
	return err
}

// draw draws the whole report in some detail.
func draw(r Report, t terminal.Terminal, d detail) *page {
	p := &page{Canvas: terminal.NewCanvas(t), detail: d, run: r.Run, nickname: nicknames(r.Run.Vantages)}
	p.header()
	p.Blank()
	p.verdict(r)
	p.notes()
	p.overview(r.Findings)
	p.section("STOPPED", checks.Fail, r.Findings, func(f Result) bool { return f.Stopped })
	p.section("TO FIX", checks.Fail, r.Findings, func(f Result) bool { return !f.Stopped })
	p.section("WARNINGS", checks.Warn, r.Findings, everything)
	p.section("UNKNOWN", checks.Unknown, r.Findings, everything)
	p.footer(r)
	return p
}

func everything(Result) bool { return true }

// A page is a report being drawn.
type page struct {
	*terminal.Canvas
	detail   detail
	run      Run
	nickname map[string]string // of the nodes that looked
	omitted  bool              // something was left out
}

// mark is the symbol of a status, in its colour.
func mark(s checks.Status) terminal.Span {
	switch s {
	case checks.Pass:
		return terminal.Span{Text: "✓", Style: terminal.Green}
	case checks.Warn:
		return terminal.Span{Text: "!", Style: terminal.Yellow}
	case checks.Fail:
		return terminal.Span{Text: "✗", Style: terminal.Red}
	case checks.Skip:
		return terminal.Span{Text: "–", Style: terminal.Dim}
	}
	return terminal.Span{Text: "?", Style: terminal.Magenta}
}

// header says what ran, where, and against what.
func (p *page) header() {
	title := "carbonio-check " + p.run.Tool
	if len(p.run.Vantages) == 1 {
		title += "  " + p.run.Vantages[0].Node
	}
	var about []terminal.Span
	width := p.Measure(title)
	for _, fact := range facts(p.run) {
		about = append(about, terminal.Span{Text: "  " + fact, Whole: true})
		width += p.Measure("  " + fact)
	}
	if width <= p.Width() {
		p.Flow(0, 2, append([]terminal.Span{{Text: title, Style: terminal.Bold}}, about...)...)
	} else {
		p.Flow(0, 2, terminal.Span{Text: title, Style: terminal.Bold})
		p.Flow(0, 2, about...)
	}
	if p.run.Assumed != "" {
		p.Flow(2, 2, terminal.Span{Text: p.run.Assumed, Style: terminal.Dim})
	}
}

// notes say how the report was made.
func (p *page) notes() {
	for i, n := range p.run.Notes {
		if i == p.detail.notes {
			p.omitted = true
			p.Flow(2, 4, terminal.Span{Text: fmt.Sprintf("note: and %d more notes", len(p.run.Notes)-i), Style: terminal.Yellow})
			return
		}
		p.Flow(2, 4, terminal.Span{Text: "note: " + n, Style: terminal.Yellow})
	}
}

// facts are what the header says of a run.
func facts(run Run) []string {
	var out []string
	looked := len(run.Vantages)
	switch nodes := many(run.Nodes, "node"); {
	case looked > 1:
		out = append(out, fmt.Sprintf("%s, seen from %d", nodes, looked))
	case run.Nodes > 0:
		out = append(out, nodes)
	}
	if looked > 0 {
		out = append(out, phase(run.Vantages))
	}
	if run.Release != "" {
		out = append(out, "Carbonio "+run.Release+sign(run))
	}
	return out
}

// sign is what the release was read from; where nodes differ, on how many it is.
func sign(run Run) string {
	with, from := 0, map[string]bool{}
	for _, v := range run.Vantages {
		if v.Release.String() == run.Release {
			with++
			from[v.ReleaseFrom] = true
		}
	}
	switch all := len(run.Vantages); {
	case with < all:
		return fmt.Sprintf(" on %d of %d", with, all)
	case len(from) == 1 && !from[""]:
		for f := range from {
			return " (" + f + ")"
		}
	}
	return ""
}

// phase is the moment in the life of the nodes that looked.
func phase(vantages []checks.Vantage) string {
	installed := 0
	for _, v := range vantages {
		if v.Phase == checks.Health {
			installed++
		}
	}
	switch all := len(vantages); installed {
	case 0:
		return "before installation"
	case all:
		return "installed"
	default:
		return fmt.Sprintf("installed on %d of %d", installed, all)
	}
}

// overview counts what passed of each subject, with the mark of its worst
// finding. Subjects that do not apply are one line.
func (p *page) overview(findings []Result) {
	var subjects, idle []string
	sums := map[string]*Summary{}
	for _, f := range findings {
		subject := f.Subject()
		if sums[subject] == nil {
			sums[subject] = &Summary{}
			subjects = append(subjects, subject)
		}
		sums[subject].add(f.Status)
	}
	longest := 0
	var cells [][]terminal.Span
	for _, subject := range subjects {
		if s := *sums[subject]; s.Pass+s.Warn+s.Fail+s.Unknown > 0 {
			longest = max(longest, p.Measure(subject))
		}
	}
	for _, subject := range subjects {
		if s := *sums[subject]; s.Pass+s.Warn+s.Fail+s.Unknown == 0 {
			idle = append(idle, subject)
		} else {
			cells = append(cells, cell(subject, longest-p.Measure(subject), s))
		}
	}
	if len(cells) > 0 {
		p.Blank()
		p.Grid(2, cells)
	}
	if len(idle) > 0 && len(cells) > 0 {
		p.Flow(2, 4, terminal.Span{Text: "– does not apply here: " + strings.Join(idle, ", "), Style: terminal.Dim})
	}
}

// cell is a subject in the overview: its worst mark, and what passed.
func cell(subject string, pad int, s Summary) []terminal.Span {
	worst := checks.Pass
	switch {
	case s.Fail > 0:
		worst = checks.Fail
	case s.Unknown > 0:
		worst = checks.Unknown
	case s.Warn > 0:
		worst = checks.Warn
	}
	return []terminal.Span{mark(worst), {Text: " " + subject}, {Text: strings.Repeat(" ", pad) + fmt.Sprintf("%5d", s.Pass)}}
}

// section draws the entries of one status.
func (p *page) section(title string, status checks.Status, findings []Result, belongs func(Result) bool) {
	entries := fold(findings, status, belongs)
	if len(entries) == 0 {
		return
	}
	p.Blank()
	p.Flow(0, 0, terminal.Span{Text: title, Style: terminal.Bold})
	most := p.detail.entries
	if status == checks.Unknown {
		most = min(most, p.detail.questions)
	}
	for i, e := range entries {
		if i == most {
			p.omitted = true
			p.Flow(2, 6, terminal.Span{Text: fmt.Sprintf("and %d more", len(entries)-i), Style: terminal.Dim})
			return
		}
		if i > 0 && status == checks.Fail && p.detail.evidence {
			p.Blank()
		}
		p.entry(status, e)
	}
}

// entry draws what is wrong, where, and what to do about it.
func (p *page) entry(status checks.Status, e *entry) {
	first := e.remarks[0]
	switch {
	case len(e.remarks) == 1:
		p.Flow(2, 6, mark(status), terminal.Span{Text: " " + first.check, Style: terminal.Bold}, times(e), terminal.Span{Text: "  " + p.saying(first)})
	case e.oneCheck():
		p.Flow(2, 6, mark(status), terminal.Span{Text: " " + first.check, Style: terminal.Bold}, times(e))
		p.remarks(e, p.saying)
	default:
		p.Flow(2, 6, mark(status), terminal.Span{Text: " " + reasonAlone(first.message)}, times(e))
		p.remarks(e, func(r *remark) string { return r.check + "  " + names(r.targets, p.detail.names) })
	}
	var rows []row
	for _, cause := range e.causes {
		rows = append(rows, row{label: "cause", text: cause})
	}
	if p.detail.evidence {
		rows = append(rows, evidence(e.facts(), status)...)
	}
	if from := p.from(e.vantages()); from != "" && p.detail.evidence {
		rows = append(rows, row{label: "from", text: from})
	}
	if len(e.causes) == 0 {
		rows = append(rows, p.fixes(first.remedies)...)
	}
	if n := e.blocks(); n > 0 {
		rows = append(rows, row{text: alsoBlocks(n, e.blocked)})
	}
	p.rows(6, rows)
}

// times is how many findings an entry of several combines.
func times(e *entry) terminal.Span {
	if e.size() == 1 {
		return terminal.Span{}
	}
	return terminal.Span{Text: fmt.Sprintf("  ×%d", e.size()), Style: terminal.Dim}
}

// remarks draws those of an entry that has several.
func (p *page) remarks(e *entry, saying func(*remark) string) {
	shared := e.facts()
	for i, r := range e.remarks {
		if i == p.detail.remarks {
			p.omitted = true
			p.Flow(6, 8, terminal.Span{Text: fmt.Sprintf("and %d more", len(e.remarks)-i), Style: terminal.Dim})
			return
		}
		said := saying(r)
		if from := p.from(r.vantages); from != "" && e.vantages() == nil {
			said += " (from " + from + ")"
		}
		p.Flow(6, 8, terminal.Span{Text: said})
		if len(e.remarks) <= detailed && p.detail.evidence {
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
		return message + ": " + names(r.targets, p.detail.names)
	case len(r.targets) > 1:
		return names(r.targets, p.detail.names) + ": " + message
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

// alsoBlocks names the consequences of an entry, the most frequent first.
func alsoBlocks(total int, tallies []tally) string {
	tallies = slices.SortedStableFunc(slices.Values(tallies), func(a, b tally) int { return cmp.Compare(b.count, a.count) })
	parts := make([]string, len(tallies))
	for i, t := range tallies {
		parts[i] = t.check
		if t.count > 1 {
			parts[i] = fmt.Sprintf("%d %s", t.count, t.check)
		}
	}
	return fmt.Sprintf("also blocks %s: %s", many(total, "check"), strings.Join(parts, ", "))
}

// A row is a fact about an entry.
type row struct {
	label, text string
	style       terminal.Style
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

// fixes makes rows of remedies. What is left out is said: half a remedy must not
// look like a whole one.
func (p *page) fixes(remedies []string) []row {
	var lines []string
	for _, remedy := range remedies {
		lines = append(lines, strings.Split(remedy, "\n")...)
	}
	var rows []row
	label, most := "fix", min(mostFixes, p.detail.fix)
	for i, line := range lines {
		if i == most && len(lines) > most+1 {
			p.omitted = true
			return append(rows, row{text: fmt.Sprintf("and %d more lines", len(lines)-i), style: terminal.Dim})
		}
		rows = append(rows, row{label: label, text: line, style: terminal.Cyan, paste: !prose(line)})
		label = ""
	}
	return rows
}

// quoted is what is in quotes, or in a comment, in a line of shell.
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
		column = min(max(column, p.Measure(r.label)), most)
	}
	hang := indent + column + gap
	for _, r := range rows {
		for i, text := range strings.Split(r.text, "\n") {
			label := terminal.Span{Text: r.label, Style: terminal.Dim}
			if i > 0 {
				label.Text = ""
			}
			value := terminal.Span{Text: strings.Repeat(" ", max(column-p.Measure(label.Text), 0)+gap) + text, Style: r.style}
			if r.paste {
				p.Line(indent, label, value)
			} else {
				p.Flow(indent, hang, label, value)
			}
		}
	}
}

// verdict is the answer, in one line or two.
func (p *page) verdict(r Report) {
	word := map[runner.Verdict]terminal.Span{
		runner.Ready:          {Text: "READY", Style: terminal.Green},
		runner.NotReady:       {Text: "NOT READY", Style: terminal.Red},
		runner.Passed:         {Text: "PASSED", Style: terminal.Green},
		runner.Failed:         {Text: "FAILED", Style: terminal.Red},
		runner.Undetermined:   {Text: "UNDETERMINED", Style: terminal.Magenta},
		runner.NothingChecked: {Text: "NOTHING CHECKED", Style: terminal.Magenta},
	}[r.Verdict]
	word.Whole = true
	about := ""
	if asked := r.Run.Asked; len(asked) > 0 && r.Verdict != runner.NothingChecked {
		about = " (only " + list(asked, mostNames) + ")"
	}
	if looked := len(r.Run.Vantages); r.Verdict == runner.Ready && looked > 1 && looked < r.Run.Nodes {
		about = fmt.Sprintf(" (%d of %s)", looked, many(r.Run.Nodes, "node"))
	}
	took := fmt.Sprintf("%.1f s", max(r.Run.Duration, 0).Seconds())
	if r.Run.Interrupted {
		took += ", interrupted"
	}
	p.Flow(0, 2, word, terminal.Span{Text: about + ": " + counts(r)}, terminal.Span{Text: "   " + took, Style: terminal.Dim, Whole: true})
	if missing := notConfigured(r); missing != "" && r.Verdict != runner.NothingChecked {
		p.Flow(2, 4, terminal.Span{Text: "not configured, so not checked: " + missing, Style: terminal.Dim})
	}
	if r.Verdict == runner.NothingChecked {
		p.Flow(2, 4, terminal.Span{Text: "carbonio-check list     # which checks apply here, and why the others do not", Style: terminal.Cyan})
	}
}

// notConfigured names what was skipped because only the user can make it possible.
func notConfigured(r Report) string {
	var out []string
	for _, reason := range slices.Sorted(maps.Keys(r.Coverage.Skipped)) {
		if what, ok := strings.CutPrefix(reason, "not configured: "); ok {
			out = append(out, what)
		}
	}
	return strings.Join(out, "; ")
}

// counts are those of the summary.
func counts(r Report) string {
	if r.Verdict == runner.NothingChecked {
		return why(r.Coverage.Skipped)
	}
	var out []string
	add := func(n int, what string) {
		if n > 0 {
			out = append(out, what)
		}
	}
	s := r.Summary
	causes := many(s.Causes, "cause")
	if failed := s.Fail + s.Blocked; failed != s.Causes {
		causes += fmt.Sprintf(" (%d failed checks)", failed)
	}
	warnings := many(s.Warn, "warning")
	if r.options.FailOnWarn {
		warnings += " (--fail-on warn)"
	}
	add(s.Fail, causes)
	add(s.Unknown, fmt.Sprintf("%d unknown", s.Unknown))
	add(s.Warn, warnings)
	return strings.Join(append(out, fmt.Sprintf("%d passed", s.Pass)), ", ")
}

// why names the reasons for which nothing was checked, the most frequent first.
func why(skipped map[string]int) string {
	reasons := slices.SortedFunc(maps.Keys(skipped), func(a, b string) int {
		return cmp.Or(cmp.Compare(skipped[b], skipped[a]), cmp.Compare(a, b))
	})
	if len(reasons) == 0 {
		return "nothing was requested"
	}
	return strings.Join(reasons[:min(len(reasons), 2)], "; ")
}

// footer says where to read on.
func (p *page) footer(r Report) {
	s := r.Summary
	if s.Fail+s.Warn+s.Unknown == 0 && !p.omitted {
		return
	}
	more := "more on any of them: carbonio-check explain CHECK"
	if p.omitted {
		more = "all of it: --verbose; " + more
	}
	p.Blank()
	p.Flow(0, 2, terminal.Span{Text: more, Style: terminal.Dim})
}

// many is "1 node", "2 nodes".
func many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
