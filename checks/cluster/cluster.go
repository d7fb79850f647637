// Package cluster is what every subject of several members has in common: the
// members as each vantage sees them, what holds of how many of them, and how
// many the cluster can lose.
package cluster

import (
	"slices"

	"carbonio-check/checks"
)

// An Answer is what is known of a statement.
type Answer int

// The answers. The zero value is not a No.
const (
	Unseen Answer = iota // not seen to hold, nor not to
	No                   // seen not to hold
	Yes                  // seen to hold
)

// Is is the answer of what was seen.
func Is(holds bool) Answer {
	if holds {
		return Yes
	}
	return No
}

// A Count is the members of a cluster by what is known of one statement on them.
type Count[M any] struct{ Yes, No, Unseen []M }

// Ask asks of every member whether something holds.
func Ask[M any](members []M, holds func(M) Answer) Count[M] {
	var c Count[M]
	for _, m := range members {
		switch holds(m) {
		case Yes:
			c.Yes = append(c.Yes, m)
		case No:
			c.No = append(c.No, m)
		default:
			c.Unseen = append(c.Unseen, m)
		}
	}
	return c
}

// Every says whether it holds of each: Yes only where it was seen of each, No
// where it was seen not to hold of one. Of no members it is not known.
func (c Count[M]) Every() Answer {
	switch {
	case len(c.No) > 0:
		return No
	case len(c.Unseen) > 0 || len(c.Yes) == 0:
		return Unseen
	}
	return Yes
}

// AtLeast says whether it holds of n or more: No only where it could not even
// with all that were not seen.
func (c Count[M]) AtLeast(n int) Answer {
	switch {
	case len(c.Yes) >= n:
		return Yes
	case len(c.Yes)+len(c.Unseen) < n:
		return No
	}
	return Unseen
}

// None says whether it holds of nobody.
func (c Count[M]) None() Answer {
	switch {
	case len(c.Yes) > 0:
		return No
	case len(c.Unseen) > 0:
		return Unseen
	}
	return Yes
}

// ExactlyOne says whether it holds of one and no other: a member that was not
// seen may be a second one.
func (c Count[M]) ExactlyOne() Answer {
	switch {
	case len(c.Yes) > 1, len(c.Yes)+len(c.Unseen) == 0:
		return No
	case len(c.Yes) == 1 && len(c.Unseen) == 0:
		return Yes
	}
	return Unseen
}

// Majority says whether it holds of more than half of so many votes.
func (c Count[M]) Majority(votes int) Answer { return c.AtLeast(votes/2 + 1) }

// A Member is a node's part in a cluster.
type Member interface{ Node() string }

// Nodes are the names of members.
func Nodes[M Member](members []M) []string {
	out := make([]string, len(members))
	for i, m := range members {
		out[i] = m.Node()
	}
	return out
}

// Those are the members for which something holds.
func Those[M any](members []M, holds func(M) bool) []M {
	var out []M
	for _, m := range members {
		if holds(m) {
			out = append(out, m)
		}
	}
	return out
}

// Because says that what a check finds of some members would explain a finding.
func Because[M Member](f checks.Finding, check *checks.Check, members []M) checks.Finding {
	for _, m := range members {
		f = f.Needing(check.On(m.Node()))
	}
	return f
}

// A View is a cluster as one vantage sees it.
type View[M any] struct {
	Vantage string
	Members []M // every planned one, by node
}

// Views groups what was seen of the members by who looked, as a record has them:
// by vantage, then by node. member makes one of a sight.
func Views[Ask, Seen any, M Member](r checks.Record, look *checks.Look[Ask, Seen], member func(checks.Sight[Ask, Seen]) M) []View[M] {
	var out []View[M]
	for s := range look.In(r) {
		if len(out) == 0 || out[len(out)-1].Vantage != s.Vantage {
			out = append(out, View[M]{Vantage: s.Vantage})
		}
		last := &out[len(out)-1]
		last.Members = append(last.Members, member(s))
	}
	return out
}

// Spare is how many more members the cluster by itself can lose, whichever they
// are, once it has lost these as well: at the least, where none of the unseen is
// able, and at the most, where all of them are. Below zero it stands still.
func Spare(c checks.Cluster, lost ...string) (least, most int) {
	spare := func(able []string) int {
		works := func(members []string) int {
			n := 0
			for _, m := range members {
				if slices.Contains(able, m) && !slices.Contains(lost, m) {
					n++
				}
			}
			return n
		}
		n := works(able) - c.Needs
		for _, set := range c.Together {
			n = min(n, works(set)-c.Least)
		}
		return n
	}
	return spare(c.Able), spare(slices.Concat(c.Able, c.Unseen))
}

// Survives says whether the cluster goes on when so many more members are lost,
// whichever they are.
func Survives(c checks.Cluster, lost int) Answer {
	switch least, most := Spare(c); {
	case least >= lost:
		return Yes
	case most < lost:
		return No
	}
	return Unseen
}
