package runner

import (
	"slices"

	"carbonio-check/checks"
)

// causes knows which failure explains a finding: one that the finding needs, on
// the same target by the catalogue or by its own word, seen from the same
// vantage. A finding about the whole platform explains those of every vantage, and so
// does what a node found of itself.
type causes struct {
	findings []checks.Finding
	failures map[checks.Need][]int // by what they are of
}

// explain names for every failure, and for everything unseen, the root cause that
// explains it. A consequence is a skip; but what has stopped stays a failure, and
// is never folded away.
func explain(findings []checks.Finding) {
	c := causes{findings, map[checks.Need][]int{}}
	for i, f := range findings {
		if f.Status == checks.Fail {
			n := f.Check.On(f.Target)
			c.failures[n] = append(c.failures[n], i)
		}
	}
	roots := map[int]int{}
	for i, f := range findings {
		if f.Status != checks.Fail && f.Status != checks.Unknown {
			continue
		}
		if root, ok := c.root(i); ok {
			roots[i] = root
		}
	}
	for i, root := range roots {
		if _, explained := roots[root]; !explained { // of a ring one is left standing
			findings[i] = consequence(findings[i], findings[root])
		}
	}
}

// root follows what explains a finding to what nothing explains. A ring is cut
// where it closes.
func (c causes) root(i int) (int, bool) {
	at, found := c.direct(i)
	if !found || at == i {
		return 0, false
	}
	seen := []int{i, at}
	for {
		next, more := c.direct(at)
		if !more || next == at || next == i {
			return at, true
		}
		if slices.Contains(seen, next) {
			return at, true
		}
		at = next
		seen = append(seen, at)
	}
}

// direct is the failure that explains a finding by itself.
func (c causes) direct(i int) (int, bool) {
	f := c.findings[i]
	needs := f.Needs
	for _, n := range f.Check.Needs {
		needs = append(slices.Clip(needs), n.On(f.Target))
	}
	for _, n := range needs {
		for _, failure := range c.failures[n] {
			v := c.findings[failure].Vantage
			if failure != i && (v == f.Vantage || v == "" || f.Vantage == "" || v == n.Target()) {
				return failure, true
			}
		}
	}
	return 0, false
}

// consequence is a finding that another one explains.
func consequence(f, root checks.Finding) checks.Finding {
	cause := root.Check.On(root.Target)
	f.Cause = &cause
	if f.Stopped {
		return f
	}
	f.Status = checks.Skip
	f.Message = "blocked by " + cause.String()
	f.Remedy, f.Sources = "", nil
	return f
}
