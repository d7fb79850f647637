package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

// catalogue is the suite of the program.
func catalogue(t testing.TB) checks.Suite {
	t.Helper()
	suite, err := assemble()
	require.NoError(t, err)
	return suite
}

// drawn compares what stands between two markers of a page with what is drawn
// from the catalogue.
func drawn(t *testing.T, file, mark, text string) {
	t.Helper()
	begin, end := "<!-- "+mark+": drawn by go test ./cmd/carbonio-check -update -->\n", "<!-- /"+mark+" -->"
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(b), begin)
	require.True(t, ok, "%s has no %q", file, begin)
	_, after, ok := strings.Cut(rest, end)
	require.True(t, ok)
	checkstest.Golden(t, file, before+begin+text+end+after)
}

// The table of the README is the catalogue.
func TestREADME(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| check | passes when |\n|---|---|\n")
	for _, c := range catalogue(t).Checks() {
		fmt.Fprintf(&b, "| [`%s`](docs/checks.md#%s) | %s |\n", c.ID, anchor(c), strings.ReplaceAll(c.Title, "|", `\|`))
	}
	drawn(t, "../../README.md", "checks", b.String()+"\n")
}

// anchor is the name that Markdown gives to the heading of a check.
func anchor(c *checks.Check) string { return strings.ReplaceAll(c.ID, ".", "") }

// The reference page is the catalogue, as explain prints it.
func TestReferencePage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# The checks\n\nDrawn from the catalogue; `carbonio-check explain CHECK` prints the same.\n")
	for _, c := range catalogue(t).Checks() {
		fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n%s\n\nBy hand:\n\n```\n%s\n```\n\nTo put it right:\n\n```\n%s\n```\n\nApplies: %s.",
			c.ID, strings.TrimSuffix(c.Title, "."), c.Why, c.Manual, c.Remedy, applies(c))
		for i, n := range c.Needs {
			b.WriteString(map[bool]string{true: " Needs: ", false: ", "}[i == 0] + n.ID)
		}
		b.WriteString("\n\nSources:\n\n")
		for _, s := range c.Sources {
			fmt.Fprintf(&b, "- %s (%s)\n", s, s.Address)
		}
	}
	checkstest.Golden(t, "../../docs/checks.md", b.String())
}

// The page on the configuration lists every setting, with its default.
func TestConfigurationPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("\n| key | default | bounds | what it is | source |\n|---|---|---|---|---|\n")
	for _, s := range catalogue(t).Settings() {
		about := s.About()
		key := "`" + about.Key + "`"
		if about.Key == "" {
			key = "`--" + about.Flag + "`"
		}
		var sources []string
		for _, source := range about.Sources {
			sources = append(sources, source.String())
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", key, shownDefault(about), about.Bounds, about.Doc, strings.Join(sources, "; "))
	}
	drawn(t, "../../docs/configuration.md", "settings", b.String()+"\n")
}

// shownDefault is the default in a cell of a table: what is short is shown.
func shownDefault(about checks.About) string {
	raw, err := json.Marshal(about.Default)
	text := strings.Trim(string(raw), `"`)
	switch {
	case err != nil || about.Key == "" || strings.HasPrefix(text, "{") || text == "null":
		return "none"
	case len(text) > 40:
		return "a list: see the sample"
	case about.Unit != "" && !strings.Contains(about.Unit, "duration"):
		return text + " " + about.Unit
	}
	return text
}

const sampleFile = "../../docs/configuration.sample.yaml"

// The sample holds every setting, and is a configuration.
func TestConfigurationSample(t *testing.T) {
	suite := catalogue(t)
	var b strings.Builder
	b.WriteString("# Every setting, with its default, or with an example where it has none.\n# Drawn by go test ./cmd/carbonio-check -update. Leave out what you do not change.\n")
	section := ""
	for _, s := range suite.Settings() {
		about := s.About()
		if about.Key == "" {
			continue
		}
		indent, key := "", about.Key
		if parent, child, nested := strings.Cut(about.Key, "."); nested {
			indent, key = "  ", child
			if parent != section {
				b.WriteString("\n" + parent + ":\n")
			}
			section = parent
		} else {
			section = ""
			b.WriteString("\n")
		}
		b.WriteString(sample(indent, key, about))
	}
	checkstest.Golden(t, sampleFile, grouped(b.String()))
	settings, err := readConfig(suite, sampleFile)
	require.NoError(t, err)
	for _, s := range suite.Settings() {
		if key := s.About().Key; key != "" {
			require.Contains(t, settings, key)
		}
	}
}

// grouped puts the parts of one section together, whichever subject they are of.
func grouped(text string) string {
	head, rest, _ := strings.Cut(text, "\n\n")
	parts, order := map[string]string{}, []string{}
	for part := range strings.SplitSeq(rest, "\n\n") {
		name, body, _ := strings.Cut(strings.TrimPrefix(part, "\n"), "\n")
		if !strings.HasSuffix(name, ":") || strings.HasPrefix(name, "#") {
			name, body = part, ""
		}
		if _, known := parts[name]; !known {
			order = append(order, name)
		}
		parts[name] += strings.TrimSuffix(body, "\n") + "\n"
	}
	out := head + "\n"
	for _, name := range order {
		out += "\n" + strings.TrimSuffix(name, "\n") + "\n" + strings.TrimSpace("|" + parts[name])[1:]
		out = strings.TrimRight(out, "\n") + "\n"
	}
	return out
}

// sample is one setting in YAML, below its documentation.
func sample(indent, key string, about checks.About) string {
	out := ""
	for line := range strings.SplitSeq(wrap(about.Doc, 90-len(indent)), "\n") {
		out += indent + "# " + line + "\n"
	}
	var facts []string
	if about.Unit != "" {
		facts = append(facts, about.Unit)
	}
	if about.Bounds != "" {
		facts = append(facts, about.Bounds)
	}
	if len(facts) > 0 {
		out += indent + "# (" + strings.Join(facts, ", ") + ")\n"
	}
	raw, _ := json.Marshal(about.Default)
	value := string(raw)
	if about.Sample == "" {
		return out + indent + key + ": " + value + "\n"
	}
	out += indent + key + ":\n"
	for line := range strings.SplitSeq(about.Sample, "\n") {
		out += indent + "  " + line + "\n"
	}
	return out
}

// Every message that a judge or an entry of the catalogue may say stands in one
// file, so that a reader can read them all at once.
func TestMessages(t *testing.T) {
	var b strings.Builder
	files, err := filepath.Glob("../../checks/*/*.go")
	require.NoError(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || strings.Contains(file, "checkstest") {
			continue
		}
		if messages := templates(t, file); len(messages) > 0 {
			fmt.Fprintf(&b, "%s\n", strings.TrimPrefix(filepath.ToSlash(file), "../../checks/"))
			for _, m := range messages {
				b.WriteString("  " + m + "\n")
			}
		}
	}
	checkstest.Golden(t, "testdata/messages.txt", b.String())
}
