package s3

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// together is how long two notes must have stood side by side, by the server's
// clock, for their writers to have seen them: many polls, and the second that a
// Date header does not tell.
const together = 2 * time.Second

// A guest is a mailstore that looked for the others in a bucket.
type guest struct {
	checks.Observation
	meeting
}

// judgeShared decides, for each bucket, on all mailstores that looked.
func judgeShared(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	byBucket := map[string][]guest{}
	mailstores := map[string]bool{}
	for _, n := range scope.Topology.With(platform.Mailstore) {
		mailstores[n.Name] = true
	}
	looked := map[string]bool{}
	var names []string
	for o, m := range checks.Of[meeting](seen, kindShared) {
		mailstores[o.Vantage], looked[o.Vantage] = true, true
		if len(byBucket[o.Target.Name]) == 0 {
			names = append(names, o.Target.Name)
		}
		byBucket[o.Target.Name] = append(byBucket[o.Target.Name], guest{o, m})
	}
	slices.Sort(names)
	var out []checks.Finding
	for _, name := range names {
		guests := byBucket[name]
		slices.SortFunc(guests, func(a, b guest) int { return cmp.Compare(a.Vantage, b.Vantage) })
		out = append(out, judgeMeeting(slices.Sorted(maps.Keys(mailstores)), name, guests, len(looked) == 1))
	}
	return out
}

// judgeMeeting decides on one bucket; alone: only one mailstore looked at any.
func judgeMeeting(mailstores []string, at string, guests []guest, alone bool) checks.Finding {
	one := guests[0].Observation
	switch {
	case alone && guests[0].Error == "" && guests[0].Unopened == "" && guests[0].Peers == 0:
		return one.Skip(shared, at, "the platform has one mailstore: there is nobody to share with")
	case alone:
		return one.Skip(shared, at, "judged from all mailstores together: carbonio-check observe on each of them at the same time, then carbonio-check judge")
	}
	whole := checks.Observation{}
	for _, g := range guests {
		if g.At.After(whole.At) {
			whole.At = g.At
		}
	}
	met := groups(guests, guest.met)
	if strangers := apartFrom(met); len(strangers) > 0 {
		return whole.Fail(shared, at, "the mailstores do not see the same bucket").
			Saw(strings.Join(strangers, "\n")).Wanted("each sees what the others wrote")
	}
	alike := groups(guests, func(a, b guest) bool { return a.met(b) || a.likeness(b) == same })
	unseen := blind(mailstores, guests)
	switch {
	case len(unseen) > 0:
		return whole.Unknown(shared, at, "not seen from every mailstore: %s", strings.Join(unseen, "; "))
	case len(met) == 1:
		return whole.Pass(shared, at, "the %d mailstores read what the others of them wrote", len(guests))
	case len(alike) == 1:
		return whole.Pass(shared, at, "the %d mailstores see the same objects in the bucket; they did not write at the same time, so not all read what another wrote just then", len(guests))
	}
	return whole.Unknown(shared, at, "the mailstores did not write at the same time, and the bucket's content does not tell: run carbonio-check observe on all of them at once")
}

// met says that one of the two read what the other had written.
func (g guest) met(other guest) bool { return g.read(other.Own) || other.read(g.Own) }

func (g guest) read(n *note) bool { return n != nil && slices.Contains(g.Read, *n) }

// What the contents of a bucket, seen from two mailstores, say of each other.
type likeness int

const (
	unclear likeness = iota
	same
	different
)

// likeness compares samples of what the two saw in the bucket. Mail comes and
// goes between two looks; but one bucket does not change from one to the other
// altogether.
func (g guest) likeness(other guest) likeness {
	fewer := min(len(g.Sample), len(other.Sample))
	common := 0
	for _, s := range g.Sample {
		if slices.Contains(other.Sample, s) {
			common++
		}
	}
	switch {
	case fewer == 0:
		return unclear
	case 2*common >= fewer:
		return same
	case common == 0 && fewer > sampled/10:
		return different
	}
	return unclear
}

// apartFrom names the pairs that cannot share one bucket, among those that are
// not known to share it, be it through a third.
func apartFrom(groups [][]guest) []string {
	var out []string
	for i, some := range groups {
		for _, others := range groups[i+1:] {
			for _, a := range some {
				for _, b := range others {
					if why := a.apart(b); why != "" {
						out = append(out, fmt.Sprintf("%s and %s %s", a.Vantage, b.Vantage, why))
					}
				}
			}
		}
	}
	return out
}

// apart says why two mailstores cannot share one bucket; empty where they may.
func (g guest) apart(other guest) string {
	switch l := g.likeness(other); {
	case l == different:
		return "see different objects"
	case l != same && g.Failed == nil && other.Failed == nil && g.overlap(other) >= together:
		return "wrote at the same time, and neither saw the other's object"
	}
	return ""
}

// overlap is how long the notes of both stood side by side.
func (g guest) overlap(other guest) time.Duration {
	if g.Own == nil || other.Own == nil || g.Written.IsZero() || other.Written.IsZero() {
		return 0
	}
	from, until := g.Written, g.Until
	if other.Written.After(from) {
		from = other.Written
	}
	if other.Until.Before(until) {
		until = other.Until
	}
	return until.Sub(from)
}

// groups are the guests among whom linked leads from each to every other.
func groups(guests []guest, linked func(a, b guest) bool) (out [][]guest) {
	rest := slices.Clone(guests)
	for len(rest) > 0 {
		group := rest[:1:1]
		rest = rest[1:]
		for i := 0; i < len(group); i++ {
			var others []guest
			for _, g := range rest {
				if linked(group[i], g) {
					group = append(group, g)
				} else {
					others = append(others, g)
				}
			}
			rest = others
		}
		out = append(out, group)
	}
	return out
}

// blind names the mailstores that saw nothing, and those that did not look.
func blind(mailstores []string, guests []guest) []string {
	var out []string
	looked := map[string]bool{}
	for _, g := range guests {
		looked[strings.ToLower(g.Vantage)] = true
		why := cmp.Or(g.Error, g.Unopened)
		if why == "" && len(g.Sample) == 0 {
			why = g.Refused
		}
		if why == "" && g.Failed != nil {
			why = g.Failed.Error
		}
		if why != "" {
			out = append(out, g.Vantage+": "+why)
		}
	}
	for _, name := range mailstores {
		if !looked[strings.ToLower(name)] {
			out = append(out, name+" did not look")
		}
	}
	return out
}
