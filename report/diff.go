package report

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/terminal"
)

// Diff says what changed between two reports that were written as JSON: what is
// new, what is fixed and what is still wrong. Worse says whether anything is new.
// names are those of the two, for the errors.
func Diff(w io.Writer, names [2]string, older, newer []byte) (worse bool, err error) {
	before, err := problems(names[0], older)
	if err != nil {
		return false, err
	}
	after, err := problems(names[1], newer)
	if err != nil {
		return false, err
	}
	in := func(all []Result) func(Result) bool {
		keys := map[string]bool{}
		for _, p := range all {
			keys[p.key()] = true
		}
		return func(p Result) bool { return keys[p.key()] }
	}
	known, left := in(before), in(after)
	appeared := slices.DeleteFunc(slices.Clone(after), known)
	fixed := slices.DeleteFunc(slices.Clone(before), left)
	still := slices.DeleteFunc(slices.Clone(after), func(p Result) bool { return !known(p) })
	for _, part := range []struct {
		name string
		all  []Result
	}{{"new", appeared}, {"fixed", fixed}, {"still", still}} {
		fmt.Fprintf(w, "%s: %d\n", part.name, len(part.all))
		for _, p := range part.all {
			fmt.Fprintln(w, terminal.Line(fmt.Sprintf("  %-7s %s: %s", p.Status, strings.TrimSpace(p.key()), p.Message)))
		}
	}
	return len(appeared) > 0, nil
}

// key is what makes a finding the same one in another run.
func (r Result) key() string { return r.Check + " " + r.Target + " " + r.Vantage }

// problems are the findings of a report that somebody should look at.
func problems(name string, text []byte) ([]Result, error) {
	var r Report
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return slices.DeleteFunc(r.Findings, func(p Result) bool {
		return p.Status == checks.Pass || p.Status == checks.Skip
	}), nil
}
