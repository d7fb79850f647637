package checks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carbonio-check/platform"
)

// Status is a verdict on one check and target.
type Status string

// The verdicts. What could not be seen is Unknown, never Pass.
const (
	Pass    Status = "pass"    // seen, and right
	Warn    Status = "warn"    // works, but will cause trouble
	Fail    Status = "fail"    // seen, and wrong
	Skip    Status = "skip"    // does not apply, or is the consequence of a named failure
	Unknown Status = "unknown" // could not be seen
)

// Statuses are all of them, from good to bad.
var Statuses = []Status{Pass, Skip, Warn, Unknown, Fail}

// A Finding is what a judge says of one check on one target from one vantage.
// Judges make it with the methods of a Check.
type Finding struct {
	Check   *Check
	Target  string
	Vantage string // empty: a verdict on the whole platform
	Status  Status
	Message string // one sentence, lower case, no full stop
	// Evidence holds what was seen; "seen" and "want" are shown side by side.
	Evidence map[string]string
	// Remedy and Sources are taken from the catalogue when a judge leaves them empty.
	Remedy  string
	Sources []platform.Source
	// Needs are the findings that would explain this one, besides those that
	// the catalogue names for the same target: from the same vantage, or one of
	// the two being the platform's, or what a node found of itself.
	Needs []Need
	// Stopped: something that the platform needs no longer works. It is
	// never folded away: it keeps its status and names its cause.
	Stopped bool
	// Cause is the root cause that explains the finding; the runner sets it.
	Cause *Need
	// Defect: the finding was made against the contract, or by a broken judge.
	Defect bool
	At     time.Time
	Took   time.Duration
}

// A Basis is what a finding rests on: a Sight, or a Proof over several.
type Basis interface{ Proof() Proof }

// A Proof says from where and when something was seen, and whether all of it
// was. The zero value proves nothing. It is made only by sights, [Together], [From]
// and [Concluded].
type Proof struct {
	vantage     string
	at          time.Time
	took        time.Duration
	seen, whole bool
	why         Unseen // why it is not whole
}

// Proof makes a Proof a Basis.
func (p Proof) Proof() Proof { return p }

// From is the basis of what is said from a vantage without having looked: only
// Skip and Unknown may rest on it.
func From(vantage string) Proof { return Proof{vantage: vantage} }

// Concluded is the basis of what is concluded from clusters that other subjects
// saw.
func Concluded(vantage string) Proof { return Proof{vantage: vantage, seen: true, whole: true} }

// Together is the proof of what is said of several at once: seen where any of
// them was, whole where all of them were. It is the whole platform's word when
// they look from different nodes.
func Together[B Basis](all ...B) Proof {
	if len(all) == 0 {
		return Proof{}
	}
	out := all[0].Proof()
	for _, b := range all[1:] {
		p := b.Proof()
		if p.vantage != out.vantage {
			out.vantage = ""
		}
		if out.at.IsZero() || p.at.After(out.at) {
			out.at = p.at
		}
		if out.whole && !p.whole {
			out.why = p.why
		}
		out.took = max(out.took, p.took)
		out.seen, out.whole = out.seen || p.seen, out.whole && p.whole
	}
	return out
}

// Whole says whether all of it was seen.
func (p Proof) Whole() bool { return p.whole }

// Part is the proof of something that the part seen is enough for: that one of
// several answers was whole, though another look beside it broke off.
func (p Proof) Part() Proof {
	p.whole = p.seen
	return p
}

// Platform makes the proof the whole platform's word, whoever looked.
func (p Proof) Platform() Proof {
	p.vantage = ""
	return p
}

// Pass is the finding that a check holds on a target. What was not seen whole
// does not pass: the finding is unknown then.
func (c *Check) Pass(b Basis, target, format string, args ...any) Finding {
	p := b.Proof()
	switch {
	case !p.seen:
		return c.unproven(p, Pass, target)
	case !p.whole:
		return c.Unknown(p, target, "could not be seen: %s", p.why)
	}
	return c.finding(p, Pass, target, format, args)
}

// Warn is the finding that something works and will hurt.
func (c *Check) Warn(b Basis, target, format string, args ...any) Finding {
	if p := b.Proof(); !p.seen {
		return c.unproven(p, Warn, target)
	}
	return c.finding(b.Proof(), Warn, target, format, args)
}

// Fail is the finding that something was seen and is wrong.
func (c *Check) Fail(b Basis, target, format string, args ...any) Finding {
	if p := b.Proof(); !p.seen {
		return c.unproven(p, Fail, target)
	}
	return c.finding(b.Proof(), Fail, target, format, args)
}

// Skip is the finding that a check does not apply, and why.
func (c *Check) Skip(b Basis, target, format string, args ...any) Finding {
	return c.finding(b.Proof(), Skip, target, format, args)
}

// Unknown is the finding that something could not be seen, and why.
func (c *Check) Unknown(b Basis, target, format string, args ...any) Finding {
	return c.finding(b.Proof(), Unknown, target, format, args)
}

// Unseen is the finding that something could not be seen, for the reason that
// the basis itself gives.
func (c *Check) Unseen(b Basis, target string) Finding {
	return c.Unknown(b, target, "could not be seen: %s", b.Proof().why)
}

// WithoutAddress is the finding about a node without a known address.
func (c *Check) WithoutAddress(b Basis, target, node string) Finding {
	return c.Unknown(b, target, "%s has no address in the inventory, /etc/hosts or DNS", node).
		Needing(AddressOf(node)...)
}

// unproven is the finding in place of a verdict on what nobody saw.
func (c *Check) unproven(p Proof, s Status, target string) Finding {
	f := c.finding(p, Unknown, target, "%s", []any{Defect("%s says %s of what was not seen", c.ID, s)})
	f.Defect = true
	return f
}

func (c *Check) finding(p Proof, s Status, target, format string, args []any) Finding {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	return Finding{
		Check: c, Target: target, Vantage: p.vantage, Status: s,
		Message: message, At: p.at, Took: p.took,
	}
}

// Saw adds what was seen to the evidence.
func (f Finding) Saw(seen string) Finding { return f.With("seen", seen) }

// Wanted adds what should have been seen to the evidence.
func (f Finding) Wanted(want string) Finding { return f.With("want", want) }

// With adds a fact to the evidence.
func (f Finding) With(name, value string) Finding {
	f.Evidence = maps.Clone(f.Evidence)
	if f.Evidence == nil {
		f.Evidence = map[string]string{}
	}
	f.Evidence[name] = value
	return f
}

// Fix says what to do about exactly this finding.
func (f Finding) Fix(remedy string) Finding {
	f.Remedy = remedy
	return f
}

// On begins a remedy with the node that it is for: "# on svc2.example.com" on a
// separate line. It is meant to be pasted, so a name that is not a plain one, as a
// file may hold, is left out.
func On(node string) string {
	if !plainName(node) {
		return ""
	}
	return "# on " + node + "\n"
}

// plainName says whether a word may be part of a command: it is of letters, digits,
// dots, dashes and underscores, and is no option.
func plainName(s string) bool {
	return s != "" && s[0] != '-' && !strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_", r)
	})
}

// Per names the sources of exactly this requirement.
func (f Finding) Per(sources ...platform.Source) Finding {
	f.Sources = sources
	return f
}

// Needing names findings that would explain this one.
func (f Finding) Needing(needs ...Need) Finding {
	f.Needs = append(slices.Clip(f.Needs), needs...)
	return f
}

// Stops marks the finding as one of something that does not work any more. Of
// what is not a failure it says nothing.
func (f Finding) Stops() Finding {
	f.Stopped = f.Status == Fail
	return f
}
