// Package checkstest is what the tests of every subject share: fake hosts and
// servers, and the judge's table test over recorded observations.
package checkstest

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

var (
	update   = flag.Bool("update", false, "rewrite the golden files")
	recorded = flag.String("record", "", "make a case of this observations `FILE` first, under its name")
)

// Judge is the table test of a judge: it judges every testdata/NAME.txtar and
// compares the findings with the section "want", which -update rewrites.
func Judge(t *testing.T, m *checks.Module) {
	t.Helper()
	suite, err := checks.Assemble(m)
	require.NoError(t, err)
	if *recorded != "" {
		record(t, m, *recorded)
	}
	for _, c := range Cases(t, m, "testdata") {
		t.Run(c.Name, func(t *testing.T) {
			for _, o := range c.Seen {
				require.NoError(t, suite.Readable(o), "%s %s from %s", o.Kind, o.Target.Name, o.Vantage)
				require.NoError(t, suite.Exact(o), "%s %s from %s", o.Kind, o.Target.Name, o.Vantage)
			}
			findings, clusters := m.Judge(c.Scope, checks.NewRecord(c.Seen))
			Honest(t, m, findings, clusters)
			wellSaid(t, findings, c.Seen)
			got := Render(findings)
			slices.Reverse(c.Seen)
			again, _ := m.Judge(c.Scope, checks.NewRecord(c.Seen))
			require.ElementsMatch(t, paragraphs(got), paragraphs(Render(again)),
				"the order of observations changes the findings")
			c.Want(t, got)
		})
	}
}

func paragraphs(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n\n") }

// Honest fails on what a judge must not return, whatever it saw.
func Honest(t *testing.T, m *checks.Module, findings []checks.Finding, clusters []checks.Cluster) {
	t.Helper()
	for _, f := range findings {
		require.NotNil(t, f.Check, "%s: a finding of no check: %s", m.Name, f.Message)
		require.True(t, slices.Contains(m.Checks, f.Check), "a finding of %s, which Module.Checks of %s does not have", f.Check.ID, m.Name)
		require.False(t, f.Defect, f.Message)
		require.NotEmpty(t, f.Message, f.Check.ID)
	}
	for _, c := range clusters {
		require.True(t, slices.Contains(m.Checks, c.Check), "the cluster %s is of a check that Module.Checks of %s does not have", c.Service, m.Name)
		require.True(t, c.Check.Clusters, "%s returns clusters, but is not marked with Clusters", c.Check.ID)
		for _, node := range slices.Concat(c.Able, c.Unseen) {
			require.Contains(t, c.Members, node, "%s: able or unseen, and no member", c.Service)
		}
	}
}

// wellSaid fails on a message that was not formatted as it was meant, or that ends in
// a full stop, unless the last words are somebody else's, as they were seen.
func wellSaid(t *testing.T, findings []checks.Finding, seen []checks.Observation) {
	t.Helper()
	for _, f := range findings {
		for _, verb := range []string{"%d", "%s", "%v", "%!"} {
			require.NotContains(t, f.Message, verb, f.Check.ID)
		}
		for name, text := range f.Evidence {
			require.NotContains(t, text, "%!", "%s: %s", f.Check.ID, name)
		}
		if strings.HasSuffix(f.Message, ".") {
			last := f.Message[strings.LastIndex(f.Message, ": ")+1:]
			require.True(t, slices.ContainsFunc(seen, func(o checks.Observation) bool {
				text, err := json.Marshal(o)
				return err == nil && strings.Contains(string(text), strings.TrimSpace(last))
			}), "%s: a message ends in a full stop: %s", f.Check.ID, f.Message)
		}
	}
}

// Render writes findings as a person can compare them, in their order, one
// paragraph each.
func Render(findings []checks.Finding) string {
	var b strings.Builder
	for i, f := range findings {
		if i > 0 {
			b.WriteString("\n")
		}
		status := string(f.Status)
		if f.Stopped {
			status = "STOPPED " + status
		}
		fmt.Fprintf(&b, "%s %s [%s] from %q\n  %s\n", status, f.Check.ID, f.Target, f.Vantage, f.Message)
		for _, k := range slices.Sorted(maps.Keys(f.Evidence)) {
			fmt.Fprintf(&b, "  %s: %s\n", k, strings.ReplaceAll(f.Evidence[k], "\n", "\n    "))
		}
		if f.Remedy != "" {
			fmt.Fprintf(&b, "  fix: %s\n", strings.ReplaceAll(f.Remedy, "\n", "\n    "))
		}
		for _, n := range f.Needs {
			fmt.Fprintf(&b, "  needs: %s\n", n)
		}
	}
	return b.String()
}

// Golden compares got with the file, or writes it under -update.
func Golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run the test with -update, and read what it wrote")
	require.Equal(t, string(want), got)
}

// Catalogue fails for a module that no suite would take.
func Catalogue(t *testing.T, m *checks.Module) {
	t.Helper()
	_, err := checks.Assemble(m)
	require.NoError(t, err)
}

// Observe does what the runner does, one after the other: targets, looks, and
// the round trip through JSON.
func Observe(t *testing.T, m *checks.Module, scope checks.Scope, host checks.Host) []checks.Observation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var seen []checks.Observation
	for _, look := range m.Looks() {
		plan, err := look.Plan(scope, host)
		require.NoError(t, err)
		planned := map[[2]string]bool{}
		for _, p := range plan {
			at := [2]string{p.Target.Name, p.Target.Address}
			require.False(t, planned[at], "%s %s: two targets have this name and address (%q)", m.Name, p.Kind, at)
			planned[at] = true
			o := checks.Observation{Subject: m.Name, Kind: p.Kind, Target: p.Target, Vantage: scope.Self().Node, At: time.Now()}
			var err error
			if o.Data, err = p.Observe(ctx, host); err != nil {
				why := checks.Why(err)
				o.Unseen = &why
			}
			seen = append(seen, o)
		}
	}
	return seen
}

// Findings looks and judges.
func Findings(t *testing.T, m *checks.Module, scope checks.Scope, host checks.Host) []checks.Finding {
	t.Helper()
	Catalogue(t, m)
	seen := Observe(t, m, scope, host)
	findings, clusters := m.Judge(scope, checks.NewRecord(seen))
	Honest(t, m, findings, clusters)
	wellSaid(t, findings, seen)
	return findings
}

// Strict decodes JSON, and refuses a field that is not there.
func Strict(text []byte) func(into any) error {
	return func(into any) error {
		d := json.NewDecoder(strings.NewReader(string(text)))
		d.DisallowUnknownFields()
		return d.Decode(into)
	}
}
