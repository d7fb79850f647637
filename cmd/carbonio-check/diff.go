package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"carbonio-check/checks"
	"carbonio-check/report"
	"carbonio-check/s3bench"
)

// maxDiffed bounds a file to compare, in bytes: a report of a large platform is
// a few megabytes.
const maxDiffed = 64 << 20

func newDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Say what changed between two benchmarks, or two reports",
		Long: `Compare two files that carbonio-check wrote with -o json: two results of s3bench,
number by number, and whether the change is more than noise; or two reports, what
is new, what is fixed and what is still wrong.

Exit status: 0 nothing got worse, 1 something did, 2 could not compare.`,
		Example: "  carbonio-check diff before.json after.json",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, files []string) error {
			older, err := readDiffed(files[0])
			if err != nil {
				return err
			}
			newer, err := readDiffed(files[1])
			if err != nil {
				return err
			}
			worse, err := diff(out(cmd), files, older, newer)
			if err == nil && worse {
				err = exit(exitBelow)
			}
			return err
		},
	}
}

// A diffed is a file to compare, of which the schema is known.
type diffed struct {
	schema string
	text   []byte
}

func readDiffed(file string) (diffed, error) {
	b, err := readRegular(file, maxDiffed)
	if err != nil {
		return diffed{}, err
	}
	var v struct {
		Schema string `json:"schema"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return diffed{}, fmt.Errorf("%s: not the JSON of a report or a benchmark: %w", file, err)
	}
	if v.Schema != s3bench.Schema && v.Schema != report.Schema {
		return diffed{}, fmt.Errorf("%s: schema %q: want %s or %s", file, v.Schema, s3bench.Schema, report.Schema)
	}
	return diffed{v.Schema, b}, nil
}

func diff(w io.Writer, files []string, older, newer diffed) (worse bool, err error) {
	switch {
	case older.schema != newer.schema:
		return false, fmt.Errorf("%s is %s and %s is %s: they cannot be compared", files[0], older.schema, files[1], newer.schema)
	case older.schema == s3bench.Schema:
		return diffBenches(w, files, older.text, newer.text)
	}
	return diffReports(w, files, older.text, newer.text)
}

func diffBenches(w io.Writer, files []string, a, b []byte) (worse bool, err error) {
	older, err := s3bench.Read(a)
	if err != nil {
		return false, fmt.Errorf("%s: %w", files[0], err)
	}
	newer, err := s3bench.Read(b)
	if err != nil {
		return false, fmt.Errorf("%s: %w", files[1], err)
	}
	if older.Node != newer.Node || older.Endpoint != newer.Endpoint || older.Bucket != newer.Bucket {
		fmt.Fprintln(w, "note: not the same: measured from another node, or another bucket")
	}
	step := ""
	for _, c := range s3bench.Compare(older, newer) {
		if c.Step != step {
			step = c.Step
			fmt.Fprintln(w, shown(step))
		}
		if c.Only != "" {
			fmt.Fprintf(w, "  only in %s\n", map[string]string{"old": files[0], "new": files[1]}[c.Only])
			continue
		}
		verdict := "no more than noise"
		switch {
		case c.Real && c.Better:
			verdict = "better"
		case c.Real:
			verdict, worse = "worse", true
		}
		fmt.Fprintf(w, "  %-11s %10.2f -> %10.2f  %+7.1f %%  %s\n", shown(c.What), c.Old, c.New, c.Percent, verdict)
	}
	fmt.Fprintf(w, "verdict: %s -> %s\n", shown(older.Verdict), shown(newer.Verdict))
	return worse, nil
}

// A problem is a finding of a report that somebody should look at.
type problem struct{ Check, Target, Vantage, Status, Message string }

func (p problem) key() string { return p.Check + " " + p.Target + " " + p.Vantage }

func problems(file string, text []byte) ([]problem, error) {
	var r struct{ Findings []problem }
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return slices.DeleteFunc(r.Findings, func(p problem) bool {
		return p.Status == string(checks.Pass) || p.Status == string(checks.Skip)
	}), nil
}

func diffReports(w io.Writer, files []string, a, b []byte) (worse bool, err error) {
	older, err := problems(files[0], a)
	if err != nil {
		return false, err
	}
	newer, err := problems(files[1], b)
	if err != nil {
		return false, err
	}
	in := func(all []problem) func(problem) bool {
		keys := map[string]bool{}
		for _, p := range all {
			keys[p.key()] = true
		}
		return func(p problem) bool { return keys[p.key()] }
	}
	before, after := in(older), in(newer)
	appeared := slices.DeleteFunc(slices.Clone(newer), before)
	fixed := slices.DeleteFunc(slices.Clone(older), after)
	still := slices.DeleteFunc(slices.Clone(newer), func(p problem) bool { return !before(p) })
	for _, part := range []struct {
		name string
		all  []problem
	}{{"new", appeared}, {"fixed", fixed}, {"still", still}} {
		fmt.Fprintf(w, "%s: %d\n", part.name, len(part.all))
		for _, p := range part.all {
			fmt.Fprintln(w, shown(strings.TrimRight(fmt.Sprintf("  %-7s %s: %s", p.Status, strings.TrimSpace(p.key()), p.Message), " ")))
		}
	}
	return len(appeared) > 0, nil
}

// shown is a text of a file as a terminal may see it.
func shown(text string) string {
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
}
