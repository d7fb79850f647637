package runner

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
)

// Judge has every module judge its observations, and completes what they say:
// what does not apply is skipped with its reason, silence is unknown, a failure
// that another one explains is its consequence. The findings are in the order
// of the catalogue, then of target and vantage.
func Judge(modules []checks.Module, sel Selection, scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var findings []checks.Finding
	rank := map[string]int{}
	bySubject := map[string][]checks.Observation{}
	for _, o := range seen {
		bySubject[o.Subject] = append(bySubject[o.Subject], o)
	}
	needs := map[string][]string{}
	for _, m := range modules {
		for _, c := range m.Checks() {
			rank[c.ID] = len(rank)
			needs[c.ID] = c.Needs
		}
		said := judge(m, scope, bySubject[m.Name()], findings)
		findings = append(findings, judgeSubject(m, sel, scope, bySubject[m.Name()], said)...)
	}
	block(findings, needs)
	slices.SortStableFunc(findings, func(a, b checks.Finding) int {
		return cmp.Or(cmp.Compare(rank[a.Check], rank[b.Check]),
			natural(a.Target, b.Target), cmp.Compare(a.Vantage, b.Vantage))
	})
	return findings
}

// judgeSubject completes the judgement on one subject, all: exactly the selected checks,
// each with something to say for every vantage.
func judgeSubject(m checks.Module, sel Selection, scope checks.Scope, seen []checks.Observation, all []checks.Finding) []checks.Finding {
	said := map[string][]checks.Finding{}
	for _, f := range all {
		said[f.Check] = append(said[f.Check], f)
	}
	var out []checks.Finding
	for _, c := range m.Checks() {
		if !sel.Has(c.ID) {
			continue
		}
		platformWide := false
		for _, f := range said[c.ID] {
			v := scope.Vantage(f.Vantage)
			platformWide = platformWide || f.Vantage == ""
			if f.Vantage == "" || notApplicable(c, scope, v) == "" {
				out = append(out, complete(f, c))
			}
		}
		for _, v := range scope.Vantages {
			spoke := slices.ContainsFunc(said[c.ID], func(f checks.Finding) bool { return f.Vantage == v.Node })
			switch why := notApplicable(c, scope, v); {
			case why != "":
				out = append(out, checks.Finding{Check: c.ID, Vantage: v.Node, Status: checks.Skip, Message: why})
			case !spoke && !platformWide:
				out = append(out, silence(c, v, seen))
			}
		}
	}
	return out
}

// judge calls the module; a judge that panics has judged nothing. A module that
// concludes stands behind those it concludes from.
func judge(m checks.Module, scope checks.Scope, seen []checks.Observation, before []checks.Finding) (out []checks.Finding) {
	defer func() {
		if p := recover(); p != nil {
			out = nil
			for _, c := range m.Checks() {
				out = append(out, checks.Finding{
					Check: c.ID, Status: checks.Unknown,
					Message: fmt.Sprintf("a defect of carbonio-check, please report it: panic: %v", p),
				})
			}
		}
	}()
	if c, ok := m.(checks.Concluder); ok {
		return c.Conclude(scope, before)
	}
	return m.Judge(scope, seen)
}

// complete fills in from the catalogue what a finding need not repeat.
func complete(f checks.Finding, c checks.Check) checks.Finding {
	if f.Status == checks.Fail || f.Status == checks.Warn {
		f.Remedy = cmp.Or(f.Remedy, c.Remedy)
		f.Source = cmp.Or(f.Source, c.Source)
	}
	return f
}

// silence is the finding for a check of which its judge said nothing: unknown,
// with the reason why its looks saw nothing; a skip only when there was nothing
// to look at in the first place.
func silence(c checks.Check, v checks.Vantage, seen []checks.Observation) checks.Finding {
	f := checks.Finding{Check: c.ID, Vantage: v.Node, Status: checks.Skip, Message: "nothing to look at"}
	for _, o := range seen {
		if o.Vantage != v.Node || o.Target.Kind != KindPlan && !slices.Contains(c.Looks, o.Target.Kind) {
			continue
		}
		f.Status, f.Message = checks.Unknown, "looked at, but nothing was concluded from it"
		if o.Error != "" {
			f.Message = "could not be seen: " + o.Error
			return f
		}
	}
	return f
}

// block turns every failure, or blindness, that a failure it needs explains
// into a skip that names the root cause.
func block(findings []checks.Finding, needs map[string][]string) {
	failed := map[checks.Ref][]int{}
	for i, f := range findings {
		if r := (checks.Ref{Check: f.Check, Target: f.Target}); f.Status == checks.Fail {
			failed[r] = append(failed[r], i)
		}
	}
	cause := func(f checks.Finding) (int, bool) {
		refs := slices.Clone(f.Needs)
		for _, id := range needs[f.Check] {
			refs = append(refs, checks.Ref{Check: id, Target: f.Target})
		}
		for _, r := range refs {
			for _, i := range failed[r] {
				// What is said of the whole platform stands above every vantage, and
				// so does what a node found of itself.
				if v := findings[i].Vantage; v == f.Vantage || v == "" || f.Vantage == "" || v == r.Target {
					return i, true
				}
			}
		}
		return 0, false
	}
	roots := map[int]int{}
	for i, f := range findings {
		if f.Status != checks.Fail && f.Status != checks.Unknown {
			continue
		}
		root, blocked := cause(f)
		// A root is not explained itself. Needs are a few links deep; a ring
		// of them is cut where it closes.
		for steps := 0; blocked && steps < len(needs); steps++ {
			next, more := cause(findings[root])
			if !more || next == i {
				break
			}
			root = next
		}
		if blocked && root != i {
			roots[i] = root
		}
	}
	for i, root := range roots {
		if _, alsoBlocked := roots[root]; alsoBlocked {
			continue // a ring: leave one of it standing
		}
		r := findings[root]
		findings[i].Status = checks.Skip
		findings[i].BlockedBy = &checks.Ref{Check: r.Check, Target: r.Target}
		findings[i].Message = "blocked by " + findings[i].BlockedBy.String()
		findings[i].Remedy, findings[i].Source = "", ""
	}
}

// natural compares names as a person would: mbox2 before mbox10.
func natural(a, b string) int {
	for a != "" && b != "" {
		na, nb := digits(a), digits(b)
		if na != "" && nb != "" {
			x, _ := strconv.ParseUint(na, 10, 64)
			y, _ := strconv.ParseUint(nb, 10, 64)
			if c := cmp.Or(cmp.Compare(x, y), cmp.Compare(len(na), len(nb))); c != 0 {
				return c
			}
			a, b = a[len(na):], b[len(nb):]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits are the leading ones of s, not more than a uint64 holds.
func digits(s string) string {
	end := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if end < 0 {
		end = len(s)
	}
	return s[:min(end, 18)]
}
