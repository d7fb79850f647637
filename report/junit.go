package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"carbonio-check/checks"
)

// The shape is the one that Jenkins' junit-10.xsd and GitLab's unit test
// reports share (docs/junit.xsd). encoding/xml escapes, and replaces what XML
// 1.0 cannot hold; there is no CDATA, which it would copy as it is.
type (
	junitReport struct {
		XMLName  xml.Name      `xml:"testsuites"`
		Name     string        `xml:"name,attr"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Errors   int           `xml:"errors,attr"`
		Time     string        `xml:"time,attr"`
		Suites   []*junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Hostname   string          `xml:"hostname,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Time       string          `xml:"time,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitOutcome `xml:"failure"`
		Error   *junitOutcome `xml:"error"`
		Skipped *junitOutcome `xml:"skipped"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitOutcome struct {
		Type    string `xml:"type,attr"`
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// everywhere is the suite, and the node, of findings on the whole platform.
const everywhere = "platform"

// JUnit writes the report as JUnit XML: a suite for each node that looked, and
// one for the platform where there are findings on it.
func JUnit(w io.Writer, r Report) error {
	report := junitReport{Name: "carbonio-check", Time: seconds(r.Run.Duration)}
	suites := map[string]*junitSuite{}
	suite := func(vantage checks.Vantage) *junitSuite {
		s := suites[vantage.Node]
		if s == nil {
			s = newSuite(r.Run, vantage)
			suites[vantage.Node] = s
			report.Suites = append(report.Suites, s)
		}
		return s
	}
	for _, v := range r.Run.Vantages {
		suite(v)
	}
	name := uniqueNames()
	for _, f := range r.Findings {
		c := newCase(f, r.options)
		c.Name = name(c.Class, c.Name)
		suite(checks.Vantage{Node: f.Vantage}).add(c)
	}
	for _, s := range report.Suites {
		report.Tests += s.Tests
		report.Failures += s.Failures
		report.Errors += s.Errors
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(report); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func newSuite(run Run, v checks.Vantage) *junitSuite {
	node := cmp.Or(v.Node, everywhere)
	s := &junitSuite{
		Name: node, Hostname: node, Time: seconds(run.Duration),
		// Ant's form, which every reader takes: UTC, without a zone.
		Timestamp: run.Started.UTC().Format("2006-01-02T15:04:05"),
	}
	for _, p := range []junitProperty{
		{"run", run.ID},
		{"version", run.Tool},
		{"release", release(run, v)},
		{"phase", string(v.Phase)},
		{"os", cmp.Or(v.OS.Pretty, strings.TrimSpace(v.OS.ID+" "+v.OS.Version))},
	} {
		if p.Value != "" {
			s.Properties = append(s.Properties, p)
		}
	}
	return s
}

// release is the node's own, or the platform's.
func release(run Run, v checks.Vantage) string {
	if v.Release.IsZero() {
		return run.Release
	}
	return v.Release.String()
}

func (s *junitSuite) add(c junitCase) {
	s.Tests++
	switch {
	case c.Failure != nil:
		s.Failures++
	case c.Error != nil:
		s.Errors++
	case c.Skipped != nil:
		s.Skipped++
	}
	s.Cases = append(s.Cases, c)
}

func newCase(f Result, opts Options) junitCase {
	c := junitCase{
		Class: "carbonio." + f.Subject() + "." + cmp.Or(f.Vantage, everywhere),
		Name:  f.Check,
		Time:  seconds(f.Took),
	}
	if f.Target != "" {
		c.Name += "[" + f.Target + "]"
	}
	if f.Status == checks.Pass {
		return c
	}
	outcome := &junitOutcome{Type: f.Check, Message: f.Message, Text: details(f)}
	switch f.Status {
	case checks.Fail:
		c.Failure = outcome
	case checks.Skip:
		c.Skipped = outcome
	case checks.Warn:
		if opts.FailOnWarn {
			c.Failure = outcome
		} else {
			c.Out = "warning: " + f.Message + "\n" + outcome.Text
		}
	default:
		c.Error = outcome
	}
	return c
}

// details is what a reader of a failed case wants below its message.
func details(f Result) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.Evidence)) {
		fmt.Fprintf(&b, "%s: %s\n", name, f.Evidence[name])
	}
	if f.Remedy != "" {
		fmt.Fprintf(&b, "fix: %s\n", f.Remedy)
	}
	if f.CausedBy != nil {
		fmt.Fprintf(&b, "cause: %s\n", f.CausedBy)
	}
	for _, s := range f.Sources {
		fmt.Fprintf(&b, "source: %s (%s)\n", s.Title, s.Address)
	}
	return b.String()
}

// uniqueNames returns a function that makes the names of cases unique within
// the report: of two that are the same GitLab keeps only the first.
func uniqueNames() func(class, name string) string {
	type id struct{ class, name string }
	times := map[id]int{}
	return func(class, name string) string {
		unique := name
		for times[id{class, unique}] > 0 {
			times[id{class, name}]++
			unique = name + " #" + strconv.Itoa(times[id{class, name}])
		}
		times[id{class, unique}]++
		return unique
	}
}

func seconds(d time.Duration) string {
	return strconv.FormatFloat(max(d, 0).Seconds(), 'f', 3, 64)
}
