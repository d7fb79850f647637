package whole

import (
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// A platform is its services, each once.
type platform []checks.Tolerance

// merge makes one of what several findings, from several nodes, say of a
// service. A member works when anybody saw it work: who else did not is the
// subject of other checks.
func merge(findings []checks.Finding) platform {
	var p platform
	for _, f := range findings {
		for _, t := range f.Tolerance {
			i := slices.IndexFunc(p, func(o checks.Tolerance) bool { return o.Service == t.Service })
			if i < 0 {
				p = append(p, checks.Tolerance{Service: t.Service})
				i = len(p) - 1
			}
			s := &p[i]
			s.Members, s.Alive, s.Rests = union(s.Members, t.Members), union(s.Alive, t.Alive), union(s.Rests, t.Rests)
			s.Needs, s.Least = max(s.Needs, t.Needs), max(s.Least, t.Least)
			for _, set := range t.Together {
				if !slices.ContainsFunc(s.Together, func(o []string) bool { return slices.Equal(o, set) }) {
					s.Together = append(s.Together, set)
				}
			}
		}
	}
	return p
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

// nodes are those that carry something and work, sorted.
func (p platform) nodes() []string {
	var out []string
	for _, s := range p {
		out = union(out, s.Alive)
	}
	return out
}

// down names each member that does not work, and what it should carry:
// "svc1.example.com (Kafka, mesh)".
func (p platform) down() []string {
	carries := map[string][]string{}
	var names []string
	for _, s := range p {
		for _, m := range s.Members {
			if !slices.Contains(s.Alive, m) {
				carries[m] = append(carries[m], s.Service)
				names = union(names, []string{m})
			}
		}
	}
	for i, n := range names {
		names[i] = fmt.Sprintf("%s (%s)", n, strings.Join(carries[n], ", "))
	}
	return names
}

// whole is the platform as it was built: every member alive. Of a set that has
// shrunk to fewer than its like it is not known what it was; that one alone
// holds a thing is nobody's design.
func (p platform) whole() platform {
	out := slices.Clone(p)
	for i, s := range out {
		full := 2
		for _, set := range s.Together {
			full = max(full, len(set))
		}
		out[i].Alive = s.Members
		out[i].Together = slices.DeleteFunc(slices.Clone(s.Together), func(set []string) bool { return len(set) < full })
	}
	return out
}

// A stop is which services stop: for want of members of their own, and because
// another one does.
type stop struct {
	itself, therefore []string
}

func (s stop) none() bool { return len(s.itself)+len(s.therefore) == 0 }

// String gives "Kafka, mesh, therefore PostgreSQL failover".
func (s stop) String() string {
	out := strings.Join(s.itself, ", ")
	if len(s.therefore) > 0 {
		out += ", therefore " + strings.Join(s.therefore, ", ")
	}
	return out
}

// without leaves out what the other names.
func (s stop) without(other stop) stop {
	gone := func(name string) bool {
		return slices.Contains(other.itself, name) || slices.Contains(other.therefore, name)
	}
	return stop{
		slices.DeleteFunc(slices.Clone(s.itself), gone),
		slices.DeleteFunc(slices.Clone(s.therefore), gone),
	}
}

// lose is what stands still without the nodes.
func (p platform) lose(nodes ...string) stop {
	var s stop
	for _, t := range p {
		if t.Spare(nodes...) < 0 {
			s.itself = append(s.itself, t.Service)
		}
	}
	for again := true; again; {
		again = false
		for _, t := range p {
			all := slices.Concat(s.itself, s.therefore)
			if !slices.Contains(all, t.Service) && slices.ContainsFunc(t.Rests, func(r string) bool { return slices.Contains(all, r) }) {
				s.therefore = append(s.therefore, t.Service)
				again = true
			}
		}
	}
	return s
}

// margins says of each service how many nodes it can lose, those it rests on
// counted in.
func (p platform) margins() []string {
	margin := map[string]int{}
	for _, t := range p {
		margin[t.Service] = t.Spare()
	}
	for range p { // as often as a chain can be long
		for _, t := range p {
			for _, r := range t.Rests {
				if m, ok := margin[r]; ok {
					margin[t.Service] = min(margin[t.Service], m)
				}
			}
		}
	}
	out := make([]string, 0, len(p))
	for _, t := range p {
		say := fmt.Sprintf("%s can lose %d more", t.Service, margin[t.Service])
		switch {
		case margin[t.Service] < 0:
			say = t.Service + " has stopped"
		case margin[t.Service] == 0:
			say = t.Service + " can lose no more"
		}
		if len(t.Rests) > 0 {
			say += ", and stops with " + strings.Join(t.Rests, ", ")
		}
		out = append(out, say)
	}
	return out
}
