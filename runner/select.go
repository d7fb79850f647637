package runner

import (
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// A Selection is the set of checks that a run is about. The zero value is all.
type Selection struct {
	words []string // as they were asked for
	with  []string // the checks that they bring along
}

// All is the word for every subject.
const All = "all"

// renamed are the words of an earlier release that are still accepted.
var renamed = map[string]string{"platform": "resilience", "platform.tolerance": "resilience.tolerance"}

// Select reads words such as "all", "dns" or "dns.forward". What concludes from
// clusters brings along the checks that hand them up. The error for an unknown
// word names the nearest known one.
func Select(suite checks.Suite, words []string) (Selection, error) {
	var known []string
	for _, m := range suite.Modules() {
		known = append(known, m.Name)
		for _, c := range m.Checks {
			known = append(known, c.ID)
		}
	}
	var sel Selection
	for _, w := range words {
		if to, ok := renamed[w]; ok {
			w = to
		}
		switch {
		case w == All:
			return Selection{}, nil
		case !slices.Contains(known, w):
			return Selection{}, unknownWord(w, known)
		}
		sel.words = append(sel.words, w)
	}
	for _, m := range suite.Modules() {
		if m.Conclude == nil || sel.All() || !slices.ContainsFunc(m.Checks, func(c *checks.Check) bool { return sel.Has(c.ID) }) {
			continue
		}
		for _, c := range suite.Checks() {
			if c.Clusters {
				sel.with = append(sel.with, c.ID)
			}
		}
	}
	return sel, nil
}

func unknownWord(w string, known []string) error {
	what := "subject"
	if strings.Contains(w, ".") {
		what = "check"
	}
	if n := platform.Nearest(w, append(known, All)); n != "" {
		return fmt.Errorf("unknown %s %q: did you mean %s?", what, w, n)
	}
	return fmt.Errorf("unknown %s %q: see carbonio-check list", what, w)
}

// All says whether everything is selected.
func (s Selection) All() bool { return len(s.words) == 0 }

// Asked are the words that the user gave; none means everything.
func (s Selection) Asked() []string { return s.words }

// Only says whether nothing but the subject is selected.
func (s Selection) Only(subject string) bool {
	return !s.All() && !slices.ContainsFunc(slices.Concat(s.words, s.with), func(id string) bool {
		return id != subject && !strings.HasPrefix(id, subject+".")
	})
}

// Has says whether the check is selected.
func (s Selection) Has(checkID string) bool {
	subject, _, _ := strings.Cut(checkID, ".")
	return s.All() || slices.Contains(s.words, checkID) || slices.Contains(s.words, subject) || slices.Contains(s.with, checkID)
}

// Named says whether the check, or its subject, was asked for by its name.
func (s Selection) Named(checkID string) bool { return !s.All() && s.Has(checkID) }

// join selects what either of the two does.
func (s Selection) join(o Selection) Selection {
	if s.All() || o.All() {
		return Selection{}
	}
	both := func(a, b []string) []string {
		out := slices.Concat(a, b)
		slices.Sort(out)
		return slices.Compact(out)
	}
	return Selection{both(s.words, o.words), both(s.with, o.with)}
}
