package s3

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// overlapping is how long two markers must have existed at the same time, by the
// server's clock, for their writers to have seen them: many polls, and the second
// to which a Date header is cut.
const overlapping = 2 * time.Second

// A mailstore is one that looked for the others in a bucket.
type mailstore struct {
	checks.Sight[peers, sharing]
	sharing
}

// judgeShared judges each bucket from all mailstores that looked.
func judgeShared(scope checks.Scope, seen checks.Record) []checks.Finding {
	byBucket := map[string][]mailstore{}
	var looked []string
	for s := range exchanges.In(seen) {
		saw, _ := s.Got()
		looked = append(looked, s.Vantage)
		byBucket[s.Target.Name] = append(byBucket[s.Target.Name], mailstore{s, saw})
	}
	looked = compact(looked)
	expected := compact(slices.Concat(mailstoresOf(scope), looked))
	var out []checks.Finding
	for _, name := range slices.Sorted(maps.Keys(byBucket)) {
		those := byBucket[name]
		if len(looked) == 1 {
			out = append(out, judgeAlone(those[0]))
		} else {
			out = append(out, judgeTogether(expected, name, those))
		}
	}
	return out
}

// judgeAlone is the finding if only one mailstore looked at any bucket.
func judgeAlone(m mailstore) checks.Finding {
	if _, got := m.Got(); got && m.Unopened == "" && len(m.Target.Ask.Others) == 0 {
		return shared.Skip(m, m.Target.Name, "the platform has a single mailstore: nothing is shared")
	}
	return shared.Skip(m, m.Target.Name, "judged from all mailstores together: run carbonio-check observe on each of them at the same time, then carbonio-check judge")
}

// judgeTogether judges one bucket.
func judgeTogether(expected []string, at string, those []mailstore) checks.Finding {
	proof := checks.Together(those...).Platform()
	met := groups(those, mailstore.met)
	if separate := separated(met); len(separate) > 0 {
		return shared.Fail(proof, at, "the mailstores do not use the same bucket").
			Saw(strings.Join(separate, "\n")).Wanted("each sees what the others wrote")
	}
	alike := groups(those, func(a, b mailstore) bool { return a.met(b) || a.alike(b) == cluster.Yes })
	unseen := blind(expected, those)
	switch {
	case len(unseen) > 0:
		return shared.Unknown(proof, at, "not checked from every mailstore: %s", strings.Join(unseen, "; "))
	case len(met) == 1:
		return shared.Pass(proof, at, "the %d mailstores read what the others wrote", len(those))
	case len(alike) == 1:
		return shared.Pass(proof, at, "the %d mailstores see the same objects in the bucket; they did not write at the same time, so not all of them could read what another had just written", len(those))
	}
	return shared.Unknown(proof, at, "the mailstores did not write at the same time, and the contents of the bucket do not show whether it is the same one: run carbonio-check observe on all of them at once")
}

// met says whether one of the two read what the other had written.
func (m mailstore) met(other mailstore) bool { return m.read(other.Own) || other.read(m.Own) }

func (m mailstore) read(written *marker) bool {
	return written != nil && slices.Contains(m.Read, *written)
}

// alike compares samples of what the two saw in the bucket. Some mail changes
// between two looks, but never all of it.
func (m mailstore) alike(other mailstore) cluster.Answer {
	fewer := min(len(m.Sample), len(other.Sample))
	common := len(cluster.Those(m.Sample, func(s string) bool { return slices.Contains(other.Sample, s) }))
	switch {
	case fewer > 0 && 2*common >= fewer:
		return cluster.Yes
	case common == 0 && fewer > sampled/10:
		return cluster.No
	}
	return cluster.Unseen
}

// separated lists the pairs that cannot share one bucket, among those that are
// not known to share it, directly or through a third.
func separated(groups [][]mailstore) []string {
	var out []string
	for i, some := range groups {
		for _, others := range groups[i+1:] {
			for _, a := range some {
				for _, b := range others {
					if why := a.separate(b); why != "" {
						out = append(out, fmt.Sprintf("%s and %s %s", a.Vantage, b.Vantage, why))
					}
				}
			}
		}
	}
	return out
}

// separate says why two mailstores cannot share one bucket; empty if they may.
func (m mailstore) separate(other mailstore) string {
	switch alike := m.alike(other); {
	case alike == cluster.No:
		return "see different objects"
	case alike == cluster.Unseen && m.Failed == nil && other.Failed == nil && m.overlap(other) >= overlapping:
		return "wrote at the same time, but neither saw the other's object"
	}
	return ""
}

// overlap is how long the markers of both existed at the same time.
func (m mailstore) overlap(other mailstore) time.Duration {
	if m.Own == nil || other.Own == nil || m.Written.IsZero() || other.Written.IsZero() {
		return 0
	}
	return min(m.Until.Sub(m.Written), m.Until.Sub(other.Written), other.Until.Sub(m.Written), other.Until.Sub(other.Written))
}

// groups splits the mailstores into sets that are connected by linked.
func groups(those []mailstore, linked func(a, b mailstore) bool) (out [][]mailstore) {
	for _, m := range those {
		group := []mailstore{m}
		var others [][]mailstore
		for _, g := range out {
			if slices.ContainsFunc(g, func(o mailstore) bool { return linked(o, m) }) {
				group = slices.Concat(g, group)
			} else {
				others = append(others, g)
			}
		}
		out = append(others, group)
	}
	return out
}

// blind lists the mailstores that could not see the others, and those that did
// not look.
func blind(expected []string, those []mailstore) []string {
	var out []string
	for _, m := range those {
		why := m.Unopened
		switch {
		case m.Unseen() != checks.Unseen{}:
			why = m.Unseen().String()
		case len(m.Sample) == 0 && m.withheld() != "":
			why = m.withheld()
		case m.Failed != nil:
			why = m.Failed.Error
		}
		if why != "" {
			out = append(out, m.Vantage+": "+why)
		}
	}
	for _, name := range expected {
		if !slices.ContainsFunc(those, func(m mailstore) bool { return strings.EqualFold(m.Vantage, name) }) {
			out = append(out, name+" did not look")
		}
	}
	return out
}
