// Package report says what was found. A Report is made once, from findings in
// their final order; every rendering draws that same Report and decides nothing.
package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"carbonio-check/checks"
)

// Schema names the shape of the JSON rendering: docs/report.schema.json.
const Schema = "carbonio-check/report/v1"

// Verdict is the answer to the question that was asked.
type Verdict string

// The verdicts.
const (
	Ready        Verdict = "ready"        // nothing failed, and everything was seen
	NotReady     Verdict = "not ready"    // something failed
	Undetermined Verdict = "undetermined" // nothing failed, but not all was seen
)

// A Run is what the observations say about where they come from. There is no
// clock in here: the same observations give the same report, whenever.
type Run struct {
	ID          string           `json:"id"`
	Tool        string           `json:"tool"` // the version of carbonio-check
	Started     time.Time        `json:"started"`
	Duration    time.Duration    `json:"duration_ns"`
	Interrupted bool             `json:"interrupted"`
	Release     string           `json:"release"`             // of Carbonio, that was judged against
	Inventory   string           `json:"inventory,omitempty"` // its file
	Assumed     string           `json:"assumed,omitempty"`   // what stands in for an inventory
	Nodes       int              `json:"nodes"`               // of the platform
	Vantages    []checks.Vantage `json:"vantages"`            // the nodes that looked
}

// A Result is a finding as it is published.
type Result struct {
	Check    string            `json:"check"`
	Target   string            `json:"target"`
	Vantage  string            `json:"vantage"` // empty: the whole platform
	Status   checks.Status     `json:"status"`
	Message  string            `json:"message"`
	Evidence map[string]string `json:"evidence,omitempty"`
	Remedy   string            `json:"remedy,omitempty"`
	Source   string            `json:"source,omitempty"`
	// BlockedBy is the root cause of a skip that is its consequence.
	BlockedBy *Ref `json:"blocked_by,omitempty"`
	// Took is how long the look lasted; only JUnit has a place for it.
	Took time.Duration `json:"-"`
}

// Subject is the first part of the check's ID.
func (r Result) Subject() string {
	subject, _, _ := strings.Cut(r.Check, ".")
	return subject
}

// A Ref names a check on a target.
type Ref struct {
	Check  string `json:"check"`
	Target string `json:"target"`
}

// Summary counts findings by status.
type Summary struct {
	Pass    int `json:"pass"`
	Warn    int `json:"warn"`
	Fail    int `json:"fail"`
	Skip    int `json:"skip"`
	Unknown int `json:"unknown"`
}

func (s *Summary) add(status checks.Status) {
	switch status {
	case checks.Pass:
		s.Pass++
	case checks.Warn:
		s.Warn++
	case checks.Fail:
		s.Fail++
	case checks.Skip:
		s.Skip++
	default: // what has no verdict was not seen
		s.Unknown++
	}
}

// Report is what every rendering draws.
type Report struct {
	Schema   string   `json:"schema"`
	Run      Run      `json:"run"`
	Verdict  Verdict  `json:"verdict"`
	Summary  Summary  `json:"summary"`
	Findings []Result `json:"findings"`

	options Options
}

// Options say how a run counts.
type Options struct {
	FailOnWarn bool // warnings count too
}

// New makes the report of a run. Here, and only here, every string that came
// from a file or a server is made safe to show.
func New(run Run, findings []checks.Finding, opts Options) Report {
	r := Report{Schema: Schema, Run: clean(run), Findings: make([]Result, len(findings)), options: opts}
	for i, f := range findings {
		r.Findings[i] = publish(f)
		r.Summary.add(f.Status)
	}
	r.Verdict = verdict(r.Summary, run.Interrupted)
	return r
}

func verdict(s Summary, interrupted bool) Verdict {
	switch {
	case s.Fail > 0:
		return NotReady
	case s.Unknown > 0, interrupted, s == Summary{}:
		return Undetermined
	}
	return Ready
}

// ExitCode is that of the process. 2, could not run, is never a report's.
func (r Report) ExitCode() int {
	switch {
	case r.Run.Interrupted:
		return 130
	case r.Verdict == NotReady:
		return 1
	case r.Verdict == Undetermined:
		return 3
	case r.options.FailOnWarn && r.Summary.Warn > 0:
		return 4
	}
	return 0
}

// clean makes what a run says of itself safe to show.
func clean(run Run) Run {
	for _, s := range []*string{&run.ID, &run.Tool, &run.Release, &run.Inventory, &run.Assumed} {
		*s = line(*s)
	}
	vantages := make([]checks.Vantage, len(run.Vantages))
	for i, v := range run.Vantages {
		vantages[i] = checks.Vantage{Node: line(v.Node), Phase: checks.Phase(line(string(v.Phase))), OS: checks.OS{
			ID: line(v.OS.ID), Version: line(v.OS.Version), Codename: line(v.OS.Codename),
			Like: line(v.OS.Like), Pretty: line(v.OS.Pretty),
		}}
	}
	run.Vantages = vantages
	return run
}

// publish is the finding with every string made safe to show.
func publish(f checks.Finding) Result {
	r := Result{
		Check: line(f.Check), Target: line(f.Target), Vantage: line(f.Vantage), Status: f.Status,
		Message: line(f.Message), Remedy: text(f.Remedy), Source: line(f.Source), Took: f.Took,
	}
	switch f.Status {
	case checks.Pass, checks.Warn, checks.Fail, checks.Skip:
	default:
		r.Status = checks.Unknown
	}
	if len(f.Evidence) > 0 {
		r.Evidence = make(map[string]string, len(f.Evidence))
		for _, name := range slices.Sorted(maps.Keys(f.Evidence)) { // sorted: two names may become one
			r.Evidence[line(name)] = text(f.Evidence[name])
		}
	}
	if f.BlockedBy != nil {
		r.BlockedBy = &Ref{Check: line(f.BlockedBy.Check), Target: line(f.BlockedBy.Target)}
	}
	return r
}

// maxString bounds each string of a report, in bytes.
const maxString = 4 << 10

// maxMarks is how many combining marks a letter may carry; no script needs more.
const maxMarks = 4

// line makes s safe to show in one line.
func line(s string) string { return bound(safe(s, ' ')) }

// text makes s safe to show, and keeps its lines.
func text(s string) string { return bound(safe(s, '\n')) }

// safe replaces whatever a terminal, an editor or an XML reader would obey or
// hide instead of showing it: control characters (and so every escape
// sequence), line separators, characters without width or of the other
// direction, what is not UTF-8. U+FFFD stands in for them, so that a name which
// was tampered with does not look like the one it imitates.
func safe(s string, newline rune) string {
	if plain(s) {
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

// plain says whether s is printable ASCII, as nearly all strings are.
func plain(s string) bool {
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
