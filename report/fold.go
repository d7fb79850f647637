package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// An entry is what a person deals with at once: the remarks of one check that
// are put right in the same way or, of what could not be seen, all that have one
// reason.
type entry struct {
	remarks []*remark
	blocked []tally  // its consequences, by check
	causes  []string // what explains it, of something that has stopped
}

// A remark is what one check says, about which targets, seen from where.
type remark struct {
	check, message    string
	targets, vantages []string
	facts             map[string]string // the evidence that all of them share
	remedies          []string          // different ones
}

// A tally counts the findings of one check.
type tally struct {
	check string
	count int
}

// size is how many findings the entry combines.
func (e *entry) size() int {
	n := 0
	for _, r := range e.remarks {
		n += len(r.targets) * len(r.vantages)
	}
	return n
}

// blocks is how many findings are a consequence of this entry.
func (e *entry) blocks() int {
	n := 0
	for _, t := range e.blocked {
		n += t.count
	}
	return n
}

// block counts a consequence.
func (e *entry) block(check string) {
	i := slices.IndexFunc(e.blocked, func(t tally) bool { return t.check == check })
	if i < 0 {
		i = len(e.blocked)
		e.blocked = append(e.blocked, tally{check: check})
	}
	e.blocked[i].count++
}

// facts are those that all remarks of the entry share.
func (e *entry) facts() map[string]string {
	facts := maps.Clone(e.remarks[0].facts)
	for _, r := range e.remarks[1:] {
		keepShared(facts, r.facts)
	}
	return facts
}

// vantages are those of its remarks; none when they differ.
func (e *entry) vantages() []string {
	for _, r := range e.remarks[1:] {
		if !slices.Equal(r.vantages, e.remarks[0].vantages) {
			return nil
		}
	}
	return e.remarks[0].vantages
}

// oneCheck says whether all remarks are of one check.
func (e *entry) oneCheck() bool {
	return !slices.ContainsFunc(e.remarks, func(r *remark) bool { return r.check != e.remarks[0].check })
}

// fold makes the entries of those findings that belong, all of one status, in the
// order of their first ones, but those that block most others first.
func fold(findings []Result, status checks.Status, belongs func(Result) bool) []*entry {
	type place struct{ check, target, vantage string }
	var entries []*entry
	byReason := map[reason]*entry{}
	of := map[place]*entry{}
	var own []Result
	for _, f := range findings {
		if f.Status == status && belongs(f) {
			own = append(own, f)
		}
	}
	remarks := overTargets(overVantages(own))
	why := reasons(remarks, status)
	for _, r := range remarks {
		e := byReason[why(r)]
		if e == nil {
			e = &entry{}
			byReason[why(r)] = e
			entries = append(entries, e)
		}
		e.remarks = append(e.remarks, r)
		for _, target := range r.targets {
			for _, vantage := range r.vantages {
				of[place{r.check, target, vantage}] = e
			}
		}
	}
	for _, f := range own {
		e := of[place{f.Check, f.Target, f.Vantage}]
		if f.CausedBy != nil && !slices.Contains(e.causes, f.CausedBy.String()) {
			e.causes = append(e.causes, f.CausedBy.String())
		}
	}
	for _, f := range findings {
		if f.BlockedBy == nil {
			continue
		}
		root := place{f.BlockedBy.Check, f.BlockedBy.Target, f.Vantage}
		if e := cmp.Or(of[root], of[place{root.check, root.target, ""}]); e != nil {
			e.block(f.Check)
		}
	}
	slices.SortStableFunc(entries, func(a, b *entry) int { return cmp.Compare(b.blocks(), a.blocks()) })
	return entries
}

// A reason is what the remarks of one entry share.
type reason struct{ check, message, remedies string }

// reasons returns the reason of a remark: its check and remedies, but what could
// not be seen goes by its message where several checks give the same one.
func reasons(remarks []*remark, status checks.Status) func(*remark) reason {
	given := map[string]string{} // message → the check that gives it, "" for several
	for _, r := range remarks {
		if check, ok := given[r.message]; ok && check != r.check {
			given[r.message] = ""
		} else {
			given[r.message] = r.check
		}
	}
	return func(r *remark) reason {
		why := reason{check: r.check, remedies: strings.Join(r.remedies, "\n")}
		if status == checks.Unknown && given[r.message] == "" {
			why.check, why.message = "", r.message
		}
		return why
	}
}

// eachNode replaces the observed node in a remedy, where there are several.
const eachNode = "each node that sees it"

// overVantages makes one remark of what several nodes say of the same target,
// when they say to do the same about it, each on itself or all on another.
func overVantages(findings []Result) []*remark {
	type saying struct{ check, remedy, message, target string }
	var remarks []*remark
	seen := map[saying]*remark{}
	for _, f := range findings {
		remedy := f.Remedy
		if f.Vantage != "" && f.Vantage != f.Target {
			remedy = strings.ReplaceAll(remedy, f.Vantage, eachNode)
		}
		key := saying{f.Check, remedy, f.Message, f.Target}
		r := seen[key]
		switch {
		case r == nil:
			r = &remark{check: f.Check, message: f.Message, targets: []string{f.Target}, facts: maps.Clone(f.Evidence)}
			if f.Remedy != "" {
				r.remedies = []string{f.Remedy}
			}
			seen[key] = r
			remarks = append(remarks, r)
		case remedy != "":
			r.remedies[0] = remedy
		}
		r.vantages = append(r.vantages, f.Vantage)
		keepShared(r.facts, f.Evidence)
	}
	return remarks
}

// overTargets makes one remark of what the same nodes say, in the same words, of
// several targets: of many, or where nothing but the target differs.
func overTargets(remarks []*remark) []*remark {
	type saying struct{ check, message, vantages string }
	var order []saying
	same := map[saying][]*remark{}
	for _, r := range remarks {
		key := saying{r.check, r.pattern(), strings.Join(r.vantages, "\n")}
		if same[key] == nil {
			order = append(order, key)
		}
		same[key] = append(same[key], r)
	}
	var out []*remark
	for _, key := range order {
		if group := same[key]; len(group) > detailed || alike(group) {
			out = append(out, merge(group))
		} else {
			out = append(out, group...)
		}
	}
	return out
}

// gap replaces what differs in a message.
const gap = "…"

// pattern is the message without the target.
func (r *remark) pattern() string {
	if target := r.targets[0]; len(target) > 2 { // a shorter one would be found within words
		return strings.ReplaceAll(r.message, target, gap)
	}
	return r.message
}

// alike says whether nothing but the target differs.
func alike(group []*remark) bool {
	return !slices.ContainsFunc(group, func(r *remark) bool {
		return !maps.Equal(r.facts, group[0].facts) || !slices.Equal(r.remedies, group[0].remedies)
	})
}

// merge makes one remark of several that share a pattern.
func merge(group []*remark) *remark {
	first := group[0]
	if len(group) == 1 {
		return first
	}
	first.message = first.pattern()
	known := map[string]bool{}
	for _, remedy := range first.remedies {
		known[remedy] = true
	}
	for _, r := range group[1:] {
		first.targets = append(first.targets, r.targets...)
		keepShared(first.facts, r.facts)
		for _, remedy := range r.remedies {
			if !known[remedy] {
				known[remedy] = true
				first.remedies = append(first.remedies, remedy)
			}
		}
	}
	return first
}

// keepShared drops the facts that the others do not share.
func keepShared(facts, others map[string]string) {
	maps.DeleteFunc(facts, func(name, value string) bool { return others[name] != value })
}
