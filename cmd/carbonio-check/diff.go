package main

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"carbonio-check/report"
	"carbonio-check/s3bench"
)

// maxDiffed bounds a file to compare, in bytes: a report of a large platform is
// a few megabytes.
const maxDiffed = 64 << 20

func newDiff() *cobra.Command {
	return &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Show what changed between two benchmarks or two reports",
		Long: `Compare two files that carbonio-check wrote with -o json. For two results of
s3bench: each number, and whether the change is more than noise. For two reports:
what is new, what is fixed and what is still wrong.

Exit status: 0 nothing got worse, 1 something got worse, 2 could not compare.`,
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

// A diffed is a file to compare, with a known schema.
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
		return s3bench.Diff(w, [2]string(files), older.text, newer.text)
	}
	return report.Diff(w, [2]string(files), older.text, newer.text)
}
