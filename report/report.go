// Package report says what was found. A Report is made once, from findings in
// their final order; every rendering draws that same Report and decides nothing.
package report

import (
	"maps"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/runner"
	"carbonio-check/terminal"
)

// Schema names the shape of the JSON rendering: docs/report.schema.json.
const Schema = "carbonio-check/report/v2"

// A Run is what the observations say about where they come from. There is no
// clock in here: the same observations give the same report, whenever.
type Run struct {
	ID          string           `json:"id"`
	Tool        string           `json:"tool"` // the version of carbonio-check
	Started     time.Time        `json:"started"`
	Duration    time.Duration    `json:"duration_ns"`
	Interrupted bool             `json:"interrupted"`
	Release     string           `json:"release"`             // of Carbonio, that most of the nodes have
	Inventory   string           `json:"inventory,omitempty"` // its file
	Assumed     string           `json:"assumed,omitempty"`   // what is assumed without an inventory
	Nodes       int              `json:"nodes"`               // of the platform
	Vantages    []checks.Vantage `json:"vantages"`            // the observed nodes
	Asked       []string         `json:"asked,omitempty"`     // the subjects and checks asked for; none: all
	// Notes are what a reader must know of how the report was made.
	Notes []string `json:"notes,omitempty"`
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
	Sources  []Source          `json:"sources,omitempty"`
	// BlockedBy is the root cause of a skip that is its consequence.
	BlockedBy *Ref `json:"blocked_by,omitempty"`
	// Stopped: something that the platform needs no longer works. CausedBy
	// is why, where another failure explains it.
	Stopped  bool `json:"stopped,omitempty"`
	CausedBy *Ref `json:"caused_by,omitempty"`
	// Took is how long the look lasted; only JUnit has a place for it.
	Took time.Duration `json:"-"`
}

// Subject is the first part of the check's ID.
func (r Result) Subject() string {
	subject, _, _ := strings.Cut(r.Check, ".")
	return subject
}

// A Source is where a requirement is written.
type Source struct {
	Title   string `json:"title"`
	Address string `json:"address"`
}

// A Ref names a check on a target.
type Ref struct {
	Check  string `json:"check"`
	Target string `json:"target"`
}

// String gives "network.ping mbox2.example.com".
func (r Ref) String() string { return strings.TrimSpace(r.Check + " " + r.Target) }

// Summary counts findings by status.
type Summary struct {
	Pass    int `json:"pass"`
	Warn    int `json:"warn"`
	Fail    int `json:"fail"`
	Skip    int `json:"skip"`
	Unknown int `json:"unknown"`
	// Causes are the failures that no other one explains, each check and target
	// once, from however many nodes it was seen.
	Causes int `json:"causes"`
	// Blocked are the skips that are a consequence of one.
	Blocked int `json:"blocked"`
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
	Schema   string          `json:"schema"`
	Run      Run             `json:"run"`
	Verdict  runner.Verdict  `json:"verdict"`
	Coverage runner.Coverage `json:"coverage"`
	Summary  Summary         `json:"summary"`
	Findings []Result        `json:"findings"`

	options Options
}

// Options say how a run counts.
type Options struct {
	FailOnWarn bool // warnings count too
}

// New makes the report of a run. Here, and only here, every string that came
// from a file or a server is made safe to show.
func New(run Run, j runner.Judgement, opts Options) Report {
	r := Report{
		Schema: Schema, Run: clean(run), Verdict: j.Verdict, Coverage: covered(j.Coverage),
		Findings: make([]Result, len(j.Findings)), options: opts,
	}
	causes := map[Ref]bool{}
	for i, f := range j.Findings {
		p := publish(f)
		r.Findings[i] = p
		r.Summary.add(f.Status)
		switch {
		case p.Status == checks.Fail && p.CausedBy == nil:
			causes[Ref{p.Check, p.Target}] = true
		case p.BlockedBy != nil:
			r.Summary.Blocked++
		}
	}
	r.Summary.Causes = len(causes)
	return r
}

// covered makes the reasons safe to show.
func covered(c runner.Coverage) runner.Coverage {
	skipped := map[string]int{}
	for reason, n := range c.Skipped {
		skipped[terminal.Line(reason)] += n
	}
	c.Skipped = skipped
	return c
}

// ExitCode is that of the process. 2, could not run, is never a report's.
func (r Report) ExitCode() int {
	switch {
	case r.Run.Interrupted:
		return 130
	case r.Verdict == runner.NotReady, r.Verdict == runner.Failed:
		return 1
	case r.Verdict == runner.Undetermined, r.Verdict == runner.NothingChecked:
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
	run.Asked, run.Notes = lines(run.Asked), lines(run.Notes)
	vantages := make([]checks.Vantage, len(run.Vantages))
	for i, v := range run.Vantages {
		v.Node, v.Phase, v.ReleaseFrom = line(v.Node), checks.Phase(line(string(v.Phase))), line(v.ReleaseFrom)
		v.OS = checks.OS{
			ID: line(v.OS.ID), Version: line(v.OS.Version), Codename: line(v.OS.Codename),
			Like: line(v.OS.Like), Pretty: line(v.OS.Pretty),
		}
		vantages[i] = v
	}
	run.Vantages = vantages
	return run
}

var line, text = terminal.Line, terminal.Text

func lines(all []string) []string {
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = line(s)
	}
	return out
}

// publish is the finding with every string made safe to show.
func publish(f checks.Finding) Result {
	r := Result{
		Check: line(f.Check.ID), Target: line(f.Target), Vantage: line(f.Vantage), Status: f.Status,
		Message: line(f.Message), Remedy: text(f.Remedy), Stopped: f.Stopped, Took: f.Took,
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
	for _, source := range f.Sources {
		r.Sources = append(r.Sources, Source{line(source.String()), source.Address})
	}
	if f.Cause != nil {
		cause := &Ref{line(f.Cause.Check()), line(f.Cause.Target())}
		if f.Status == checks.Skip {
			r.BlockedBy = cause
		} else {
			r.CausedBy = cause
		}
	}
	return r
}
