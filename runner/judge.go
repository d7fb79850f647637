package runner

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
)

// A Judgement is the answer to a run: the findings in the order of the catalogue,
// then of target and vantage; of how much of what was asked they speak; and the
// verdict.
type Judgement struct {
	Findings []checks.Finding
	Coverage Coverage
	Verdict  Verdict
}

// Judge has every module judge what was seen of it, and completes what they say:
// what does not apply is skipped with its reason, silence is unknown, and what
// another finding explains names it.
func Judge(suite checks.Suite, record Record) Judgement {
	j := judging{suite: suite, record: record, bySubject: map[string][]checks.Observation{}, vantages: map[string]bool{"": true}}
	for _, v := range record.Scope.Vantages {
		j.vantages[v.Node] = true
	}
	for _, o := range record.Observations {
		j.bySubject[o.Subject] = append(j.bySubject[o.Subject], o)
	}
	for _, m := range suite.Modules() {
		j.module(m)
	}
	explain(j.findings)
	rank := map[*checks.Check]int{}
	for i, c := range suite.Checks() {
		rank[c] = i
	}
	slices.SortStableFunc(j.findings, func(a, b checks.Finding) int {
		return cmp.Or(cmp.Compare(rank[a.Check], rank[b.Check]),
			natural(a.Target, b.Target), cmp.Compare(a.Vantage, b.Vantage))
	})
	out := Judgement{Findings: j.findings, Coverage: coverage(suite, record, j.findings)}
	out.Verdict = verdict(out, record)
	return out
}

// judging is a judgement under way.
type judging struct {
	suite     checks.Suite
	record    Record
	bySubject map[string][]checks.Observation
	vantages  map[string]bool // that there are; "" is the whole platform
	findings  []checks.Finding
	clusters  []checks.Cluster
}

// module takes the findings of a module: those of the selected checks, each with
// something to say for every vantage.
func (j *judging) module(m *checks.Module) {
	said := map[*checks.Check][]checks.Finding{}
	for _, f := range j.ask(m) {
		switch {
		case f.Check == nil || j.suite.Module(f.Check) != m:
			j.defect(m, "a finding of %s, which %s does not have: %s: %s", id(f.Check), m.Name, f.Status, f.Message)
		case !j.vantages[f.Vantage]:
			j.defect(m, "a finding of %s from %s, which did not look: %s: %s", f.Check.ID, f.Vantage, f.Status, f.Message)
		default:
			said[f.Check] = append(said[f.Check], f)
		}
	}
	for _, c := range m.Checks {
		if j.record.Asked.Has(c.ID) {
			j.check(m, c, said[c])
		}
	}
}

// ask calls the judge. One that panics has judged nothing.
func (j *judging) ask(m *checks.Module) (out []checks.Finding) {
	defer func() {
		if p := recover(); p != nil {
			out = nil
			for _, c := range m.Checks {
				f := c.Unknown(checks.Proof{}, "", "%s", checks.Defect("panic: %v", p))
				f.Defect = true
				out = append(out, f)
			}
		}
	}()
	if m.Conclude != nil {
		return m.Conclude(j.record.Scope, slices.Clone(j.findings), slices.Clone(j.clusters))
	}
	findings, clusters := m.Judge(j.record.Scope, checks.NewRecord(j.bySubject[m.Name]))
	for _, c := range clusters {
		switch {
		case c.Check == nil || j.suite.Module(c.Check) != m:
			j.defect(m, "a cluster of %s, which %s does not have", id(c.Check), m.Name)
		case j.record.Asked.Has(c.Check.ID):
			j.clusters = append(j.clusters, c)
		}
	}
	return findings
}

// defect shows what a judge must not say, under the module's first check,
// whatever was asked for.
func (j *judging) defect(m *checks.Module, format string, args ...any) {
	f := m.Checks[0].Unknown(checks.Proof{}, "", "%s", checks.Defect(format, args...))
	f.Defect = true
	j.findings = append(j.findings, f)
}

func id(c *checks.Check) string {
	if c == nil {
		return "no check"
	}
	return c.ID
}

// check completes what was said of one check.
func (j *judging) check(m *checks.Module, c *checks.Check, said []checks.Finding) {
	scope := j.record.Scope
	platformWide, passed := false, true
	for _, f := range said {
		if f.Vantage == "" {
			platformWide, passed = true, passed && f.Status == checks.Pass
		}
		if f.Vantage == "" || j.notApplicable(c, scope.Vantage(f.Vantage)) == "" {
			j.findings = append(j.findings, complete(f))
		}
	}
	for _, v := range scope.Vantages {
		spoke := slices.ContainsFunc(said, func(f checks.Finding) bool { return f.Vantage == v.Node })
		switch why := j.notApplicable(c, v); {
		case why != "":
			j.findings = append(j.findings, c.Skip(checks.From(v.Node), "", "%s", why))
		case !j.record.asked(v.Node).Has(c.ID):
			j.findings = append(j.findings, c.Unknown(checks.From(v.Node), "", "was not requested on %s", v.Node))
		case !spoke && (!platformWide || passed && j.blind(c, v)):
			j.findings = append(j.findings, j.silence(m, c, v))
		}
	}
}

// asked is what was asked for on a node.
func (r Record) asked(vantage string) Selection {
	if n, ok := r.nodes[vantage]; ok {
		return n.Asked
	}
	return r.Asked
}

// notApplicable is why a check makes no sense from a vantage. A look that was
// made all the same is judged.
func (j *judging) notApplicable(c *checks.Check, v checks.Vantage) string {
	why := NotApplicable(c, j.record.asked(v.Node), j.record.Scope, v)
	if why != "" && c.Wants != nil && j.looked(c, v) {
		return ""
	}
	return why
}

// looked says whether a look that the check is judged from was made from a
// vantage, with or without success.
func (j *judging) looked(c *checks.Check, v checks.Vantage) bool {
	m := j.suite.Module(c)
	return slices.ContainsFunc(j.bySubject[m.Name], func(o checks.Observation) bool {
		return o.Vantage == v.Node && judgedFrom(c, o)
	})
}

// judgedFrom says whether an observation is of a look of the check, or stands for
// one whose targets could not be listed.
func judgedFrom(c *checks.Check, o checks.Observation) bool {
	kind := o.Kind
	if kind == KindPlan {
		kind = o.Target.Name
	}
	return slices.ContainsFunc(c.Looks, func(l checks.AnyLook) bool { return l.Name() == kind })
}

// blind says whether none of the looks that a check is judged from saw anything
// from a vantage. That others saw enough to pass says nothing of it.
func (j *judging) blind(c *checks.Check, v checks.Vantage) bool {
	looked, saw := false, false
	for _, o := range j.bySubject[j.suite.Module(c).Name] {
		if o.Vantage == v.Node && judgedFrom(c, o) {
			looked, saw = true, saw || len(o.Data) > 0
		}
	}
	return looked && !saw
}

// complete fills in from the catalogue what a finding need not repeat.
func complete(f checks.Finding) checks.Finding {
	if !slices.Contains(checks.Statuses, f.Status) {
		f.Message = checks.Defect("the status %q of: %s", f.Status, f.Message)
		f.Status, f.Defect = checks.Unknown, true
	}
	f.Stopped = f.Stopped && f.Status == checks.Fail
	if f.Status == checks.Fail || f.Status == checks.Warn {
		f.Remedy = cmp.Or(f.Remedy, f.Check.Remedy)
		if len(f.Sources) == 0 {
			f.Sources = f.Check.Sources
		}
	}
	return f
}

// silence is the finding for a check for which its judge returned none: unknown,
// with the reason why its looks saw nothing; a skip only when there was nothing
// to look at in the first place.
func (j *judging) silence(m *checks.Module, c *checks.Check, v checks.Vantage) checks.Finding {
	if m.Conclude != nil {
		return j.unconcluded(c, v)
	}
	from := checks.From(v.Node)
	if c.Wants != nil && !j.looked(c, v) {
		return c.Skip(from, "", "%s", NotConfigured(c.Wants))
	}
	out := c.Unknown(from, "", "was not looked at")
	if j.planned(m, c, v) {
		out = c.Skip(from, "", "nothing to look at")
	}
	for _, o := range j.bySubject[m.Name] {
		if o.Vantage != v.Node || !judgedFrom(c, o) {
			continue
		}
		out = c.Unknown(from, "", "looked at, but no conclusion was drawn")
		if o.Unseen != nil {
			return c.Unknown(from, "", "could not be seen: %s", o.Unseen)
		}
	}
	return out
}

// planned says whether every look that a check is judged from was asked, on a
// node, what there is to look at.
func (j *judging) planned(m *checks.Module, c *checks.Check, v checks.Vantage) bool {
	return !slices.ContainsFunc(c.Looks, func(l checks.AnyLook) bool {
		_, asked := j.record.nodes[v.Node].Planned[m.Name+"."+l.Name()]
		return !asked
	})
}

// NotConfigured is the reason to skip what only the user can make possible.
func NotConfigured(wanted checks.AnySetting) string {
	about := wanted.About()
	if about.Flag != "" {
		return "not configured: --" + about.Flag
	}
	return "not configured: " + about.Key + " in the configuration (-c)"
}

// unconcluded is said for a subject that concludes and had nothing to conclude
// from: unknown where there should have been a cluster.
func (j *judging) unconcluded(c *checks.Check, v checks.Vantage) checks.Finding {
	for _, f := range j.findings {
		if f.Check.Clusters && f.Vantage == v.Node && f.Status == checks.Unknown {
			return c.Unknown(checks.From(v.Node), "", "no cluster could be seen")
		}
	}
	return c.Skip(checks.From(v.Node), "", "nothing to look at")
}

// Coverage says of how much a judgement speaks. It counts checks, on each node
// from which they were asked for.
type Coverage struct {
	Asked   int            `json:"asked"`
	Looked  int            `json:"looked_at"`
	Skipped map[string]int `json:"skipped,omitempty"` // by reason
	Unseen  int            `json:"unseen"`
}

// coverage counts. A check was looked at on a node where one of its findings is a
// verdict, unseen where none is and one is unknown, and skipped where all are skips.
func coverage(suite checks.Suite, record Record, findings []checks.Finding) Coverage {
	type key struct {
		check   *checks.Check
		vantage string
	}
	of := map[key][]checks.Finding{}
	for _, f := range findings {
		k := key{f.Check, f.Vantage}
		of[k] = append(of[k], f)
	}
	out := Coverage{Skipped: map[string]int{}}
	for _, c := range suite.Checks() {
		if !record.Asked.Has(c.ID) {
			continue
		}
		for _, v := range record.Scope.Vantages {
			own := of[key{c, v.Node}]
			out.add(slices.Concat(own, of[key{c, ""}]))
		}
	}
	return out
}

func (c *Coverage) add(findings []checks.Finding) {
	c.Asked++
	reason, unseen, looked := "", false, false
	for _, f := range findings {
		switch {
		case f.Status == checks.Unknown, f.Cause != nil && f.Status == checks.Skip:
			unseen = true
		case f.Status == checks.Skip:
			reason = cmp.Or(reason, f.Message)
		default:
			looked = true
		}
	}
	switch {
	case looked:
		c.Looked++
	case unseen:
		c.Unseen++
	default:
		c.Skipped[reason]++
	}
}

// Verdict is the answer to the question that was asked.
type Verdict string

// The verdicts. Ready and not ready are for a node or a platform, of which
// everything was asked that applies; the others of what was asked.
const (
	Ready          Verdict = "ready"           // nothing failed, and everything was seen
	NotReady       Verdict = "not-ready"       // something failed
	Passed         Verdict = "passed"          // nothing that was asked for failed, and all of it was seen
	Failed         Verdict = "failed"          // something that was asked for failed
	Undetermined   Verdict = "undetermined"    // nothing failed, but not all was seen
	NothingChecked Verdict = "nothing-checked" // nothing that was asked for applies here
)

func verdict(j Judgement, record Record) Verdict {
	failed, unknown, looked := false, false, false
	for _, f := range j.Findings {
		switch f.Status {
		case checks.Fail:
			failed = true
		case checks.Unknown:
			unknown = true
		case checks.Pass, checks.Warn:
			looked = true
		}
	}
	whole := record.Asked.All()
	switch {
	case failed && whole:
		return NotReady
	case failed:
		return Failed
	case unknown, record.Run.Interrupted, record.Partial:
		return Undetermined
	case !looked:
		return NothingChecked
	case whole:
		return Ready
	}
	return Passed
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
