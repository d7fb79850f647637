package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

// draw renders into a string.
func draw(t testing.TB, render func(io.Writer, Report) error, r Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, render(&b, r))
	return b.String()
}

// tty is TTY on a given terminal.
func tty(terminal Terminal) func(io.Writer, Report) error {
	return func(w io.Writer, r Report) error { return TTY(w, r, terminal) }
}

func TestGolden(t *testing.T) {
	renderings := map[string]func(io.Writer, Report) error{
		"json":      JSON,
		"xml":       JUnit,
		"80.txt":    tty(Terminal{Width: 80}),
		"40.txt":    tty(Terminal{Width: 40}),
		"120.txt":   tty(Terminal{Width: 120}),
		"color.txt": tty(Terminal{Width: 80, Color: true}),
		"ascii.txt": tty(Terminal{Width: 80, ASCII: true}),
	}
	for name, s := range scenarios() {
		for suffix, render := range renderings {
			t.Run(name+"."+suffix, func(t *testing.T) {
				got := draw(t, render, s.report(Options{}))
				require.Equal(t, got, draw(t, render, s.report(Options{})), "the same findings give another report")
				checkstest.Golden(t, "testdata/"+name+"."+suffix, got)
			})
		}
	}
}

func TestVerdictAndExitCode(t *testing.T) {
	for _, c := range []struct {
		name     string
		statuses string
		options  Options
		cut      bool
		verdict  Verdict
		exit     int
	}{
		{name: "nothing", statuses: "", verdict: Undetermined, exit: 3},
		{name: "all well", statuses: "pass skip", verdict: Ready, exit: 0},
		{name: "nothing applies", statuses: "skip", verdict: Ready, exit: 0},
		{name: "warnings", statuses: "pass warn", verdict: Ready, exit: 0},
		{name: "warnings that count", statuses: "pass warn", options: Options{FailOnWarn: true}, verdict: Ready, exit: 4},
		{name: "no warnings to count", statuses: "pass", options: Options{FailOnWarn: true}, verdict: Ready, exit: 0},
		{name: "unknown", statuses: "pass warn unknown", options: Options{FailOnWarn: true}, verdict: Undetermined, exit: 3},
		{name: "no status that there is", statuses: "pass passed", verdict: Undetermined, exit: 3},
		{name: "failed", statuses: "pass warn unknown fail", options: Options{FailOnWarn: true}, verdict: NotReady, exit: 1},
		{name: "interrupted", statuses: "pass", cut: true, verdict: Undetermined, exit: 130},
		{name: "interrupted after a failure", statuses: "fail", cut: true, verdict: NotReady, exit: 130},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := scenario{run: run("svc1")}
			s.run.Interrupted = c.cut
			for status := range strings.FieldsSeq(c.statuses) {
				s.add(seen(checks.Status(status), "a.b", "", "said"))
			}
			r := s.report(c.options)
			require.Equal(t, c.verdict, r.Verdict)
			require.Equal(t, c.exit, r.ExitCode())
			require.Equal(t, len(r.Findings), r.Summary.Pass+r.Summary.Warn+r.Summary.Fail+r.Summary.Skip+r.Summary.Unknown)
		})
	}
}

func TestSanitise(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                                        "plain",
		"Köln, 東京, ✓":                                  "Köln, 東京, ✓",
		"\x1b[31mred\x1b[0m":                           "�[31mred�[0m",
		"\x1b]52;c;ZWNobw==\a":                         "�]52;c;ZWNobw==�",
		"\u009b2J\u0085\x7f\b":                         "�2J���",
		"a\u202eb\u2066c\u2069":                        "a�b�c�",
		"zero\u200bwidth\ufeff":                        "zero�width�",
		"soft\u00adhyphen\u2060":                       "soft�hyphen�",
		"tag\U000e0041":                                "tag�",
		"not UTF-8 \xff\xc3":                           "not UTF-8 ��",
		"line\u2028paragraph\u2029":                    "line�paragraph�",
		"private\ue000 \ufffe":                         "private� �",
		"tab\tnul\x00":                                 "tab nul�",
		"a\u0301\u0301\u0301\u0301\u0301\u0301\u0301b": "a\u0301\u0301\u0301\u0301b",
	} {
		require.Equal(t, want, line(in), "%q", in)
		require.Equal(t, want, text(in), "%q", in)
	}
	require.Equal(t, "two lines�", line("two\r\nlines\r"))
	require.Equal(t, "two\nlines�", text("two\r\nlines\r"))
}

func TestBound(t *testing.T) {
	require.Equal(t, strings.Repeat("x", maxString), line(strings.Repeat("x", maxString)))
	for _, s := range []string{"x", "é", "東", "\U0001f600", "\x1b"} {
		long := strings.Repeat(s, maxString+1)
		got := line(long)
		require.LessOrEqual(t, len(got), maxString)
		require.True(t, utf8.ValidString(got))
		head, tail, ok := strings.Cut(got, "… (")
		require.True(t, ok, got[len(got)-40:])
		require.Equal(t, fmt.Sprintf("%d bytes more)", len(safe(long, ' '))-len(head)), tail)
		require.Equal(t, got, line(got), "cleaning twice is cleaning once")
	}
}

// TestNewSanitisesEverything puts an escape into every string there is.
func TestNewSanitisesEverything(t *testing.T) {
	const bad = "\x1b]0;x\a"
	run := Run{ID: bad, Tool: bad, Release: bad, Inventory: bad, Assumed: bad, Vantages: []checks.Vantage{{
		Node: bad, Phase: bad, OS: checks.OS{ID: bad, Version: bad, Codename: bad, Like: bad, Pretty: bad},
	}}}
	r := New(run, []checks.Finding{{
		Check: bad, Target: bad, Vantage: bad, Status: bad, Message: bad, Evidence: map[string]string{bad: bad},
		Remedy: bad, Source: bad, BlockedBy: &checks.Ref{Check: bad, Target: bad},
	}}, Options{})
	require.NotContains(t, fmt.Sprintf("%+v %+v", r, *r.Findings[0].BlockedBy), "\x1b")
	require.Equal(t, bad, run.Vantages[0].Node, "what was given was changed")
	require.Equal(t, checks.Unknown, r.Findings[0].Status)
}

func TestJSONSchema(t *testing.T) {
	schema := compile(t, "../docs/report.schema.json")
	for name, s := range scenarios() {
		require.NoError(t, validate(t, schema, draw(t, JSON, s.report(Options{}))), name)
	}
	good := draw(t, JSON, faults().report(Options{}))
	for what, change := range map[string][2]string{
		"another schema":    {`report/v1"`, `report/v2"`},
		"another verdict":   {`"verdict": "not ready"`, `"verdict": "perhaps"`},
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
	for name, render := range map[string]func(io.Writer, Report) error{"json": JSON, "junit": JUnit, "tty": tty(Terminal{})} {
		require.ErrorContains(t, render(full{}, faults().report(Options{})), "no space left", name)
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
			checkTTY(t, r, Terminal{Width: width, ASCII: ascii})
		}
	})
}

// hostileReport has the three strings in every place.
func hostileReport(a, b, c string) Report {
	s := scenario{run: run("svc1", "svc2")}
	s.run.Assumed, s.run.Vantages[1].Node, s.run.Vantages[1].OS.Pretty = a, b, c
	for _, status := range []checks.Status{checks.Fail, checks.Warn, checks.Unknown, checks.Skip, checks.Pass} {
		for i, text := range []string{a, b, c, a, b} {
			s.add(
				checks.Finding{Check: a, Target: b, Vantage: c, Status: status, Message: text}.Saw(b).With(c, a).Fix(c),
				checks.Finding{Check: "x.y", Target: fmt.Sprint(b, i), Vantage: b, Status: status, Message: text + b, BlockedBy: &checks.Ref{Check: a, Target: b}},
			)
		}
	}
	return s.report(Options{})
}
