package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

const (
	tableBegin = "<!-- checks: drawn from the catalogue by go test ./cmd/carbonio-check -update -->\n"
	tableEnd   = "<!-- /checks -->"
)

// The table of the README is the catalogue.
func TestREADME(t *testing.T) {
	const file = "../../README.md"
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(b), tableBegin)
	require.True(t, ok)
	_, after, ok := strings.Cut(rest, tableEnd)
	require.True(t, ok)
	checkstest.Golden(t, file, before+tableBegin+table()+tableEnd+after)
}

func table() string {
	var b strings.Builder
	b.WriteString("\n| check | passes when |\n|---|---|\n")
	for _, m := range modules() {
		for _, c := range m.Checks() {
			fmt.Fprintf(&b, "| [`%s`](docs/checks.md#%s) | %s |\n", c.ID, anchor(c), strings.ReplaceAll(c.Title, "|", `\|`))
		}
	}
	return b.String() + "\n"
}

// anchor is the name that Markdown gives to the heading of a check.
func anchor(c checks.Check) string { return strings.ReplaceAll(c.ID, ".", "") }

// The reference page is the catalogue, as explain prints it.
func TestReferencePage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# The checks\n\nDrawn from the catalogue; `carbonio-check explain CHECK` prints the same.\n")
	for _, m := range modules() {
		for _, c := range m.Checks() {
			fmt.Fprintf(&b, "\n## %s\n\n%s.\n\n%s\n\nBy hand:\n\n```\n%s\n```\n\nTo put it right:\n\n```\n%s\n```\n\nApplies: %s. ",
				c.ID, strings.TrimSuffix(c.Title, "."), c.Why, c.Manual, c.Remedy, applies(c))
			if len(c.Needs) > 0 {
				fmt.Fprintf(&b, "Needs: %s. ", strings.Join(c.Needs, ", "))
			}
			fmt.Fprintf(&b, "Source: %s.\n", strings.TrimSuffix(c.Source, "."))
		}
	}
	checkstest.Golden(t, "../../docs/checks.md", b.String())
}

// A check is named once, belongs to its subject, and needs only what exists.
func TestCatalogue(t *testing.T) {
	ids := map[string]bool{}
	for _, m := range modules() {
		checkstest.Catalogue(t, m)
		for _, c := range m.Checks() {
			require.False(t, ids[c.ID], c.ID)
			ids[c.ID] = true
		}
	}
	for _, m := range modules() {
		for _, c := range m.Checks() {
			for _, n := range c.Needs {
				require.True(t, ids[n], "%s needs %s, which does not exist", c.ID, n)
			}
		}
	}
}
