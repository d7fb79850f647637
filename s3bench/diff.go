package s3bench

import (
	"fmt"
	"io"

	"carbonio-check/terminal"
)

// Diff compares two results that were written as JSON, number by number, and says
// of each change whether it is more than noise. Worse says whether one is, for
// the worse. names are those of the two, for the errors.
func Diff(w io.Writer, names [2]string, a, b []byte) (worse bool, err error) {
	older, err := Read(a)
	if err != nil {
		return false, fmt.Errorf("%s: %w", names[0], err)
	}
	newer, err := Read(b)
	if err != nil {
		return false, fmt.Errorf("%s: %w", names[1], err)
	}
	if older.Node != newer.Node || older.Endpoint != newer.Endpoint || older.Bucket != newer.Bucket {
		fmt.Fprintln(w, "note: not the same: measured from another node, or another bucket")
	}
	step := ""
	for _, c := range Compare(older, newer) {
		if c.Step != step {
			step = c.Step
			fmt.Fprintln(w, terminal.Line(step))
		}
		if c.Only != "" {
			fmt.Fprintf(w, "  only in %s\n", map[string]string{"old": names[0], "new": names[1]}[c.Only])
			continue
		}
		verdict := "no more than noise"
		switch {
		case c.Real && c.Better:
			verdict = "better"
		case c.Real:
			verdict, worse = "worse", true
		}
		fmt.Fprintf(w, "  %-11s %10.2f -> %10.2f  %+7.1f %%  %s\n", terminal.Line(c.What), c.Old, c.New, c.Percent, verdict)
	}
	fmt.Fprintf(w, "verdict: %s -> %s\n", terminal.Line(older.Verdict), terminal.Line(newer.Verdict))
	return worse, nil
}
