package report

import (
	"encoding/json"
	"io"
)

// JSON writes the report as docs/report.schema.json describes it.
func JSON(w io.Writer, r Report) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false) // <, > and & are harmless in JSON, and people read it
	e.SetIndent("", "  ")
	return e.Encode(r)
}
