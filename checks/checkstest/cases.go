package checkstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

// A Case is what was seen once, and what must be found of it. Its file is a
// txtar archive:
//
//	scope: NAME                       (testdata/scopes/NAME.json)
//	-- settings.json --               {"policy.mtu": 9000}; may be left out
//	-- VANTAGE KIND TARGET --         one for each look
//	{"node": …, "address": …, "ask": …, "data": …, "unseen": …, "at": …, "took": …}
//	-- want --                        the findings
//
// What is left out of a look is empty; it is of the case's own moment.
type Case struct {
	Name  string
	Scope checks.Scope
	Seen  []checks.Observation
	file  string
	text  *txtar.Archive
}

// moment is when everything in a case was seen that does not say otherwise.
var moment = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// A look is one section of a case.
type look struct {
	Node    string          `json:"node,omitempty"`
	Address string          `json:"address,omitempty"`
	Ask     json.RawMessage `json:"ask,omitempty"`
	Data    json.RawMessage `json:"data,omitempty"`
	Unseen  *checks.Unseen  `json:"unseen,omitempty"`
	At      time.Time       `json:"at,omitzero"`
	Took    time.Duration   `json:"took,omitempty"`
}

// codes are the reasons that a case may give.
var codes = []checks.Code{
	checks.NoAddress, checks.TimedOut, checks.RunOver, checks.Interrupted, checks.Denied, checks.Starved,
	checks.HostSilent, checks.TooLarge, checks.Missing, checks.Unplanned, checks.Defective, checks.Failed,
}

// Cases reads all cases of a folder.
func Cases(t *testing.T, m *checks.Module, folder string) []Case {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no recorded observations in %s", folder)
	var out []Case
	for _, file := range files {
		out = append(out, readCase(t, m, file))
	}
	return out
}

// ReadCase reads the case of that name in testdata.
func ReadCase(t *testing.T, m *checks.Module, name string) Case {
	t.Helper()
	return readCase(t, m, filepath.Join("testdata", name+".txtar"))
}

func readCase(t *testing.T, m *checks.Module, file string) Case {
	t.Helper()
	a, err := txtar.ParseFile(file)
	require.NoError(t, err)
	c := Case{Name: strings.TrimSuffix(filepath.Base(file), ".txtar"), file: file, text: a}
	scope, ok := strings.CutPrefix(strings.TrimSpace(string(a.Comment)), "scope: ")
	require.True(t, ok, "%s: want \"scope: NAME\" on the first line", file)
	text, err := os.ReadFile(filepath.Join(filepath.Dir(file), "scopes", scope+".json"))
	require.NoError(t, err)
	require.NoError(t, Strict(text)(&c.Scope), scope)
	require.NoError(t, existing(c.Scope), "scope %s", scope)
	for i := range c.Scope.Vantages {
		v := &c.Scope.Vantages[i]
		if v.Release.IsZero() {
			v.Release = c.Scope.Release
		}
	}
	for _, f := range a.Files {
		switch f.Name {
		case "want":
		case "settings.json":
			c.Scope.Settings = settings(t, m, f.Data)
		default:
			o := observation(t, m, file, f)
			require.True(t, slices.ContainsFunc(c.Scope.Vantages, func(v checks.Vantage) bool { return v.Node == o.Vantage }),
				"%s: %s looked, but is no vantage of the scope %s", file, o.Vantage, scope)
			c.Seen = append(c.Seen, o)
		}
	}
	return c
}

// existing is an error for a phase or a component that there is not: a check for
// it would never apply.
func existing(s checks.Scope) error {
	for _, v := range s.Vantages {
		if v.Phase != checks.Preinstall && v.Phase != checks.Health {
			return fmt.Errorf("%s: there is no phase %q", v.Node, v.Phase)
		}
	}
	for _, n := range s.Topology.Nodes {
		for _, c := range n.Components {
			if _, ok := c.Info(); !ok {
				return fmt.Errorf("%s: there is no component %q", n.Name, c)
			}
		}
	}
	return nil
}

func settings(t *testing.T, m *checks.Module, text []byte) checks.Settings {
	t.Helper()
	var raw map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(text, &raw))
	out := checks.Settings{}
	for key, value := range raw {
		i := slices.IndexFunc(m.Settings, func(s checks.AnySetting) bool {
			return s.Name() == key
		})
		require.True(t, i >= 0, "Module.Settings of %s has no %s", m.Name, key)
		v, err := m.Settings[i].Decode(Strict(value))
		require.NoError(t, err, key)
		out[key] = v
	}
	return out
}

func observation(t *testing.T, m *checks.Module, file string, f txtar.File) checks.Observation {
	t.Helper()
	words := strings.SplitN(f.Name, " ", 3)
	require.Len(t, words, 3, "%s: want \"-- VANTAGE KIND TARGET --\", not %q", file, f.Name)
	var l look
	if len(bytes.TrimSpace(f.Data)) > 0 {
		require.NoError(t, Strict(f.Data)(&l), "%s: %s", file, f.Name)
	}
	if l.Unseen != nil {
		require.True(t, slices.Contains(codes, l.Unseen.Code), "%s: %s: there is no reason %q", file, f.Name, l.Unseen.Code)
	}
	if l.At.IsZero() {
		l.At = moment
	}
	return checks.Observation{
		Subject: m.Name, Kind: words[1], Vantage: words[0], At: l.At, Took: l.Took,
		Target: checks.Target[json.RawMessage]{Name: words[2], Node: l.Node, Address: l.Address, Ask: l.Ask},
		Data:   l.Data, Unseen: l.Unseen,
	}
}

// Want compares what was found with the case's section "want", or rewrites that
// under -update.
func (c Case) Want(t *testing.T, got string) {
	t.Helper()
	i := slices.IndexFunc(c.text.Files, func(f txtar.File) bool { return f.Name == "want" })
	if *update {
		if i < 0 {
			i = len(c.text.Files)
			c.text.Files = append(c.text.Files, txtar.File{Name: "want"})
		}
		c.text.Files[i].Data = []byte(got)
		require.NoError(t, os.WriteFile(c.file, txtar.Format(c.text), 0o644))
		return
	}
	require.True(t, i >= 0, "%s has no section \"want\": run the test with -update, and read what it wrote", c.file)
	require.Equal(t, string(c.text.Files[i].Data), got)
}
