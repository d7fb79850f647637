package report

import (
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

// checkJUnit reads the rendering back, and adds up.
func checkJUnit(t *testing.T, r Report) junitReport {
	t.Helper()
	document := render(t, JUnit, r)
	require.NotContains(t, document, "CDATA")
	var got junitReport
	require.NoError(t, xml.Unmarshal([]byte(document), &got), document)
	names := map[[2]string]bool{}
	var all junitSuite
	for _, s := range got.Suites {
		var counted junitSuite
		for _, c := range s.Cases {
			require.False(t, names[[2]string{c.Class, c.Name}], "%s %s stands twice", c.Class, c.Name)
			names[[2]string{c.Class, c.Name}] = true
			counted.add(c)
			all.add(c)
		}
		require.Equal(t, []int{counted.Tests, counted.Failures, counted.Errors, counted.Skipped},
			[]int{s.Tests, s.Failures, s.Errors, s.Skipped}, s.Name)
	}
	require.Equal(t, []int{all.Tests, all.Failures, all.Errors}, []int{got.Tests, got.Failures, got.Errors})
	failures := r.Summary.Fail
	if r.options.FailOnWarn {
		failures += r.Summary.Warn
	}
	require.Equal(t, []int{len(r.Findings), failures, r.Summary.Unknown, r.Summary.Skip},
		[]int{all.Tests, all.Failures, all.Errors, all.Skipped}, "cases and summary differ")
	return got
}

func TestJUnitAddsUp(t *testing.T) {
	for _, s := range scenarios() {
		checkJUnit(t, s.report(Options{}))
		checkJUnit(t, s.report(Options{FailOnWarn: true}))
	}
}

func TestJUnitStatuses(t *testing.T) {
	s := scenario{run: run("svc1")}
	for _, status := range []checks.Status{checks.Pass, checks.Fail, checks.Unknown, checks.Skip, checks.Warn} {
		s.add(seen(status, "dns."+string(status), "mbox1.example.com", "said so").Fix("dig"))
	}
	cases := checkJUnit(t, s.report(Options{})).Suites[0].Cases
	require.Equal(t, "carbonio.dns.svc1.example.com", cases[0].Class)
	require.Equal(t, "dns.pass[mbox1.example.com]", cases[0].Name)
	require.Equal(t, "0.012", cases[0].Time)
	require.Equal(t, "said so", cases[1].Failure.Message)
	require.Contains(t, cases[1].Failure.Text, "fix: dig")
	require.Equal(t, "said so", cases[2].Error.Message)
	require.Equal(t, "said so", cases[3].Skipped.Message)
	require.Contains(t, cases[4].Out, "warning: said so")
	require.Nil(t, cases[4].Failure)
	cases = checkJUnit(t, s.report(Options{FailOnWarn: true})).Suites[0].Cases
	require.Equal(t, "said so", cases[4].Failure.Message)
	require.Empty(t, cases[4].Out)
}

func TestJUnitSuites(t *testing.T) {
	suites := checkJUnit(t, fleet().report(Options{})).Suites
	require.Len(t, suites, 16, "15 nodes and the platform")
	require.Equal(t, "mbox1.example.com", suites[3].Hostname)
	require.Equal(t, "2026-07-01T09:30:00", suites[3].Timestamp)
	require.Equal(t, "2.140", suites[3].Time)
	require.Equal(t, []junitProperty{
		{"run", "0123456789abcdef"},
		{"version", "0.1.0"},
		{"release", "26.6"},
		{"phase", "preinstall"},
		{"os", "Ubuntu 24.04.1 LTS"},
	}, suites[3].Properties)
	require.Equal(t, "platform", suites[15].Name)
	require.Equal(t, "carbonio.inventory.platform", suites[15].Cases[0].Class)
}

func TestJUnitNamesAreUnique(t *testing.T) {
	s := scenario{run: run("svc1")}
	for _, target := range []string{"a", "a", "a] #2", "a", ""} {
		s.add(seen(checks.Pass, "x.y", target, ""))
	}
	s.add(from("", seen(checks.Pass, "x.y", "", "")))
	var names []string
	for _, c := range checkJUnit(t, s.report(Options{})).Suites[0].Cases {
		names = append(names, c.Name)
	}
	require.Equal(t, []string{"x.y[a]", "x.y[a] #2", "x.y[a] #2]", "x.y[a] #3", "x.y"}, names)
}

// TestJUnitSchema validates with libxml2.
func TestJUnitSchema(t *testing.T) {
	xmllint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not installed (libxml2-utils)")
	}
	valid := func(document string) bool {
		file := filepath.Join(t.TempDir(), "report.xml")
		require.NoError(t, os.WriteFile(file, []byte(document), 0o600))
		out, err := exec.Command(xmllint, "--noout", "--nonet", "--schema", "../docs/junit.xsd", file).CombinedOutput()
		t.Log(string(out))
		return err == nil
	}
	for name, s := range scenarios() {
		for _, o := range []Options{{}, {FailOnWarn: true}} {
			require.True(t, valid(render(t, JUnit, s.report(o))), name)
		}
	}
	good := render(t, JUnit, faults().report(Options{}))
	for what, change := range map[string][2]string{
		"two cases of one name": {`"inventory.groups[target 2]"`, `"inventory.groups[target 1]"`},
		"a suite without host":  {`hostname="svc1.example.com"`, ``},
		"a zoned time":          {`T09:30:00"`, `T09:30:00Z"`},
		"an unknown element":    {`<failure`, `<disaster/><failure`},
	} {
		require.Contains(t, good, change[0])
		require.False(t, valid(strings.Replace(good, change[0], change[1], 1)), what)
	}
}
