package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
	"carbonio-check/runner"
	"carbonio-check/terminal"
)

// render renders into a string.
func render(t testing.TB, with func(io.Writer, Report) error, r Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, with(&b, r))
	return b.String()
}

// tty is TTY on a given terminal.
func tty(t terminal.Terminal) func(io.Writer, Report) error {
	return func(w io.Writer, r Report) error { return TTY(w, r, t) }
}

func TestGolden(t *testing.T) {
	renderings := map[string]func(io.Writer, Report) error{
		"json":        JSON,
		"xml":         JUnit,
		"80.txt":      tty(terminal.Terminal{Width: 80}),
		"40.txt":      tty(terminal.Terminal{Width: 40}),
		"120.txt":     tty(terminal.Terminal{Width: 120}),
		"color.txt":   tty(terminal.Terminal{Width: 80, Color: true}),
		"verbose.txt": tty(terminal.Terminal{Width: 80, Verbose: true}),
		"ascii.txt":   tty(terminal.Terminal{Width: 80, ASCII: true}),
	}
	for name, s := range scenarios() {
		for suffix, with := range renderings {
			t.Run(name+"."+suffix, func(t *testing.T) {
				got := render(t, with, s.report(Options{}))
				require.Equal(t, got, render(t, with, s.report(Options{})), "the same findings give another report")
				checkstest.Golden(t, "testdata/"+name+"."+suffix, got)
			})
		}
	}
}

func TestExitCode(t *testing.T) {
	for _, c := range []struct {
		verdict  runner.Verdict
		statuses string
		options  Options
		cut      bool
		exit     int
	}{
		{verdict: runner.NothingChecked, exit: 3},
		{verdict: runner.Ready, statuses: "pass skip", exit: 0},
		{verdict: runner.Passed, statuses: "pass", exit: 0},
		{verdict: runner.Ready, statuses: "pass warn", exit: 0},
		{verdict: runner.Ready, statuses: "pass warn", options: Options{FailOnWarn: true}, exit: 4},
		{verdict: runner.Ready, statuses: "pass", options: Options{FailOnWarn: true}, exit: 0},
		{verdict: runner.Undetermined, statuses: "pass warn unknown", options: Options{FailOnWarn: true}, exit: 3},
		{verdict: runner.NotReady, statuses: "pass warn unknown fail", options: Options{FailOnWarn: true}, exit: 1},
		{verdict: runner.Failed, statuses: "fail", exit: 1},
		{verdict: runner.Undetermined, statuses: "pass", cut: true, exit: 130},
		{verdict: runner.NotReady, statuses: "fail", cut: true, exit: 130},
	} {
		s := scenario{run: run("svc1"), verdict: c.verdict}
		s.run.Interrupted = c.cut
		for status := range strings.FieldsSeq(c.statuses) {
			s.add(seen(checks.Status(status), "a.b", "", "said"))
		}
		r := s.report(c.options)
		require.Equal(t, c.verdict, r.Verdict)
		require.Equal(t, c.exit, r.ExitCode(), "%+v", c)
		require.Equal(t, len(r.Findings), r.Summary.Pass+r.Summary.Warn+r.Summary.Fail+r.Summary.Skip+r.Summary.Unknown)
	}
}

// Causes are counted, each once, from however many nodes they were seen; what has
// stopped for a cause is none of its own.
func TestCausesAreCounted(t *testing.T) {
	require.Equal(t, 2, stopped().report(Options{}).Summary.Causes)
	require.Equal(t, 1, stopped().report(Options{}).Summary.Blocked)
	require.Equal(t, 4, fleet().report(Options{}).Summary.Causes)
}

// TestNewSanitisesEverything puts an escape into every string there is.
func TestNewSanitisesEverything(t *testing.T) {
	const bad = "\x1b]0;x\a"
	run := Run{ID: bad, Tool: bad, Release: bad, Inventory: bad, Assumed: bad, Asked: []string{bad}, Notes: []string{bad}, Vantages: []checks.Vantage{{
		Node: bad, Phase: bad, ReleaseFrom: bad, OS: checks.OS{ID: bad, Version: bad, Codename: bad, Like: bad, Pretty: bad},
	}}}
	cause := check(bad).On(bad)
	r := New(run, runner.Judgement{Findings: []checks.Finding{{
		Check: check(bad), Target: bad, Vantage: bad, Status: bad, Message: bad, Evidence: map[string]string{bad: bad},
		Remedy: bad, Sources: []platform.Source{{Title: bad, Address: "https://example.com", Detail: bad}}, Cause: &cause,
	}}, Coverage: runner.Coverage{Skipped: map[string]int{bad: 1}}}, Options{})
	require.NotContains(t, fmt.Sprintf("%+v %+v", r, *r.Findings[0].CausedBy), "\x1b")
	require.Equal(t, bad, run.Vantages[0].Node, "what was given was changed")
	require.Equal(t, checks.Unknown, r.Findings[0].Status)
}

func TestJSONSchema(t *testing.T) {
	schema := compile(t, "../docs/report.schema.json")
	for name, s := range scenarios() {
		require.NoError(t, validate(t, schema, render(t, JSON, s.report(Options{}))), name)
	}
	good := render(t, JSON, faults().report(Options{}))
	for what, change := range map[string][2]string{
		"another schema":    {`report/v2"`, `report/v1"`},
		"another verdict":   {`"verdict": "not-ready"`, `"verdict": "perhaps"`},
		"an unknown key":    {`"verdict"`, `"mood": "", "verdict"`},
		"a missing message": {`"message"`, `"massage"`},
		"another status":    {`"status": "warn"`, `"status": "worn"`},
		"a negative count":  {`"unknown": 1`, `"unknown": -1`},
		"no time":           {`"2026-07-01T09:30:00Z"`, `"yesterday"`},
	} {
		require.Contains(t, good, change[0])
		require.Error(t, validate(t, schema, strings.Replace(good, change[0], change[1], 1)), what)
	}
}

func compile(t *testing.T, file string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile(file)
	require.NoError(t, err)
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, document string) error {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(document))
	require.NoError(t, err)
	return schema.Validate(v)
}

// full is a disk without room.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestWriteErrors(t *testing.T) {
	for name, with := range map[string]func(io.Writer, Report) error{"json": JSON, "junit": JUnit, "tty": tty(terminal.Terminal{})} {
		require.ErrorContains(t, with(full{}, faults().report(Options{})), "no space left", name)
	}
}

// FuzzReport draws hostile findings in every way there is.
func FuzzReport(f *testing.F) {
	f.Add("\x1b[2J\u202e", "a\nb\tc \xff]]>&<", "sed -i 's/a/b/' x # y\r\nz", 40)
	f.Add("x", strings.Repeat("東京 ", 30), "…", 1)
	f.Add("dns.forward", "mbox1.example.com: … does not answer", strings.Repeat("x", 150), 200)
	f.Add(" ", "   a            b", "\n\n", 33)
	f.Fuzz(func(t *testing.T, a, b, c string, width int) {
		r := hostileReport(a, b, c)
		checkJUnit(t, r)
		for _, ascii := range []bool{false, true} {
			checkTTY(t, r, terminal.Terminal{Width: width, ASCII: ascii})
		}
	})
}

// hostileReport has the three strings in every place.
func hostileReport(a, b, c string) Report {
	s := scenario{run: run("svc1", "svc2")}
	cause := check(a).On(b)
	s.run.Assumed, s.run.Vantages[1].Node, s.run.Vantages[1].OS.Pretty = a, b, c
	for _, status := range []checks.Status{checks.Fail, checks.Warn, checks.Unknown, checks.Skip, checks.Pass} {
		for i, text := range []string{a, b, c, a, b} {
			s.add(
				checks.Finding{Check: check(a), Target: b, Vantage: c, Status: status, Message: text}.Saw(b).With(c, a).Fix(c),
				checks.Finding{Check: check("x.y"), Target: fmt.Sprint(b, i), Vantage: b, Status: status, Message: text + b, Cause: &cause},
			)
		}
	}
	return s.report(Options{})
}
