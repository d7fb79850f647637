package resilience

import (
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// services are the clusters of a platform, each once.
type services []checks.Cluster

// merge combines what several nodes report of a service. A member is able
// when anybody saw it able, and unseen when nobody saw whether it is.
func merge(clusters []checks.Cluster) services {
	var all services
	failing := map[string][]string{}
	for _, c := range clusters {
		i := slices.IndexFunc(all, func(o checks.Cluster) bool { return o.Service == c.Service })
		if i < 0 {
			all = append(all, checks.Cluster{Check: c.Check, Service: c.Service})
			i = len(all) - 1
		}
		s := &all[i]
		s.Members, s.Able, s.Rests = union(s.Members, c.Members), union(s.Able, c.Able), union(s.Rests, c.Rests)
		s.Needs, s.Least = max(s.Needs, c.Needs), max(s.Least, c.Least)
		failing[c.Service] = union(failing[c.Service], minus(minus(c.Members, c.Able), c.Unseen))
		for _, set := range c.Together {
			if !slices.ContainsFunc(s.Together, func(o []string) bool { return slices.Equal(o, set) }) {
				s.Together = append(s.Together, set)
			}
		}
	}
	for i, s := range all {
		all[i].Unseen = minus(minus(s.Members, s.Able), failing[s.Service])
	}
	return all
}

func union(a, b []string) []string {
	out := slices.Concat(a, b)
	slices.Sort(out)
	return slices.Compact(out)
}

func minus(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

// nodes are those whose loss may change something, sorted.
func (all services) nodes() []string {
	var out []string
	for _, s := range all {
		out = union(out, slices.Concat(s.Able, s.Unseen))
	}
	return out
}

// down names each member that was seen not to work, and what it should carry:
// "svc1.example.com (Kafka, mesh)".
func (all services) down() []string {
	return all.name(func(s checks.Cluster) []string { return minus(minus(s.Members, s.Able), s.Unseen) })
}

// unseen names each member that was not seen, and what it carries.
func (all services) unseen() []string {
	return all.name(func(s checks.Cluster) []string { return s.Unseen })
}

func (all services) name(which func(checks.Cluster) []string) []string {
	carries := map[string][]string{}
	var names []string
	for _, s := range all {
		for _, m := range which(s) {
			carries[m] = append(carries[m], s.Service)
			names = union(names, []string{m})
		}
	}
	for i, n := range names {
		names[i] = fmt.Sprintf("%s (%s)", n, strings.Join(carries[n], ", "))
	}
	return names
}

// carriedUnseen are the services that a node carries and that were not seen whole.
func (all services) carriedUnseen(node string) []string {
	var out []string
	for _, s := range all {
		if slices.Contains(s.Members, node) && len(s.Unseen) > 0 {
			out = append(out, s.Service)
		}
	}
	return out
}

// optimistic are the same services, if all that was not seen is able.
func (all services) optimistic() services {
	out := slices.Clone(all)
	for i, s := range out {
		out[i].Able = union(s.Able, s.Unseen)
	}
	return out
}

// healthy is the platform as it was built: every member able. Of a set that has
// shrunk to fewer than its like it is not known what it was; that one alone
// holds a thing is nobody's design.
func (all services) healthy() services {
	out := slices.Clone(all)
	for i, s := range out {
		full := 2
		for _, set := range s.Together {
			full = max(full, len(set))
		}
		out[i].Able = s.Members
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
		out += ", and therefore " + strings.Join(s.therefore, ", ")
	}
	return out
}

// without leaves out what the other names.
func (s stop) without(other stop) stop {
	named := slices.Concat(other.itself, other.therefore)
	return stop{minus(s.itself, named), minus(s.therefore, named)}
}

// lose is what stops without the nodes.
func (all services) lose(nodes ...string) stop {
	var s stop
	for _, c := range all {
		if least, _ := cluster.Spare(c, nodes...); least < 0 {
			s.itself = append(s.itself, c.Service)
		}
	}
	for again := true; again; {
		again = false
		for _, c := range all {
			stopped := slices.Concat(s.itself, s.therefore)
			if !slices.Contains(stopped, c.Service) && slices.ContainsFunc(c.Rests, func(r string) bool { return slices.Contains(stopped, r) }) {
				s.therefore = append(s.therefore, c.Service)
				again = true
			}
		}
	}
	return s
}

// margins says of each service how many nodes it can lose, those it depends on
// counted in.
func (all services) margins() []string {
	margin, unseen := map[string]int{}, map[string]bool{}
	for _, c := range all {
		margin[c.Service], _ = cluster.Spare(c)
		unseen[c.Service] = len(c.Unseen) > 0
	}
	for range all { // as often as a chain can be long
		for _, c := range all {
			for _, r := range c.Rests {
				if m, ok := margin[r]; ok {
					margin[c.Service] = min(margin[c.Service], m)
					unseen[c.Service] = unseen[c.Service] || unseen[r]
				}
			}
		}
	}
	out := make([]string, 0, len(all))
	for _, c := range all {
		out = append(out, wordMargin(c, margin[c.Service], unseen[c.Service]))
	}
	return out
}

func wordMargin(c checks.Cluster, margin int, unseen bool) string {
	say := fmt.Sprintf("%s can lose %d more", c.Service, margin)
	switch {
	case len(c.Unseen) > 0:
		return fmt.Sprintf("%s: %d of %d members were not seen", c.Service, len(c.Unseen), len(c.Members))
	case unseen:
		return fmt.Sprintf("%s: unknown, because it stops with %s", c.Service, strings.Join(c.Rests, ", "))
	case margin < 0:
		say = c.Service + " has stopped"
	case margin == 0:
		say = c.Service + " can lose no more"
	}
	if len(c.Rests) > 0 {
		say += ", and stops with " + strings.Join(c.Rests, ", ")
	}
	return say
}
