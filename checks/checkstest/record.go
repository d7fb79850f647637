package checkstest

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

// record makes a case of an observations file, under its name: the scope of the
// header, and what was seen of the subject. It writes over no file.
func record(t *testing.T, m *checks.Module, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
	c := &txtar.Archive{Comment: []byte("scope: " + name + "\n")}
	var scope json.RawMessage
	for line := range bytes.Lines(text) {
		var l struct {
			checks.Observation
			Scope json.RawMessage `json:"scope"`
		}
		require.NoError(t, json.Unmarshal(line, &l))
		if l.Scope != nil {
			scope = l.Scope
		}
		if l.Subject == m.Name {
			section := look{l.Target.Node, l.Target.Address, l.Target.Ask, l.Data, l.Unseen, l.At, l.Took}
			c.Files = append(c.Files, txtar.File{Name: l.Vantage + " " + l.Kind + " " + l.Target.Name, Data: indented(t, section)})
		}
	}
	require.NotEmpty(t, scope, "%s is no observations file", file)
	require.NotEmpty(t, c.Files, "%s holds nothing of %s", file, m.Name)
	create(t, filepath.Join("testdata", name+".txtar"), txtar.Format(c))
	create(t, filepath.Join("testdata", "scopes", name+".json"), indented(t, scope))
}

func indented(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.MarshalIndent(v, "", "  ")
	require.NoError(t, err)
	return append(text, '\n')
}

func create(t *testing.T, file string, text []byte) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoFileExists(t, file)
	require.NoError(t, os.WriteFile(file, text, 0o644))
}
