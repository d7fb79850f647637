package runner

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// A Record is what one or more nodes saw, to be judged together.
type Record struct {
	Run   Run
	Asked Selection // by any of them
	Scope checks.Scope
	// Notes are what a reader of the report must know of how it was made: a file
	// that is cut, a node that was observed with other settings.
	Notes []string
	// Partial: something that was given could not be judged.
	Partial      bool
	Observations []checks.Observation
	nodes        map[string]Node // by vantage
}

// normal is the name of a node as topologies spell it.
func normal(node string) string { return strings.ToLower(strings.TrimSuffix(node, ".")) }

// Merge puts what several nodes saw together, for one judgement. They must speak
// of one platform: nodes that were told different inventories cannot be judged
// together. A file that was cut or changed, and a node that the inventory does
// not know, cost themselves and no other: what they do not hold is unknown.
func Merge(nodes []Node) (Record, error) {
	nodes, notes, err := distinct(nodes)
	if err != nil {
		return Record{}, err
	}
	if len(nodes) == 0 {
		return Record{}, errors.New("no observations to judge")
	}
	out := Record{
		Run: nodes[0].Run, Asked: nodes[0].Asked, Scope: nodes[0].Scope,
		Notes: notes, nodes: map[string]Node{},
	}
	out.Scope.Vantages = nil
	ends := time.Time{}
	for _, n := range nodes {
		topology, err := mergeTopology(out.Scope.Topology, n.Scope.Topology)
		if err != nil {
			return Record{}, fmt.Errorf("%s and %s: %w", nodes[0].Name(), n.Name(), err)
		}
		out.Scope.Topology = topology
		out.Asked = out.Asked.join(n.Asked)
		out.Run.Interrupted = out.Run.Interrupted || n.Run.Interrupted
		if n.Run.Started.Before(out.Run.Started) {
			out.Run.Started = n.Run.Started
		}
		if e := n.Run.Started.Add(n.Run.Took); e.After(ends) {
			ends = e
		}
	}
	for _, n := range nodes {
		if why := stranger(out.Scope.Topology, n); why != "" {
			out.Notes = append(out.Notes, n.Name()+" "+why+": what it saw is not judged")
			out.Partial = true
			continue
		}
		out.add(n)
	}
	if len(out.nodes) == 0 {
		return Record{}, errors.New("none of the observed nodes can be judged: " + strings.Join(out.Notes, "; "))
	}
	out.Run.Took = ends.Sub(out.Run.Started)
	out.Scope.Release = majority(out.Scope.Vantages)
	return out, nil
}

// stranger is why what a node saw is no part of what the others did; empty when it
// is. Without the inventory it looked for nobody: a cluster of which it knows one
// member is not the platform's.
func stranger(t platform.Topology, n Node) string {
	switch {
	case t.Inventory == nil || n.Asked.Only("inventory"):
		return ""
	case !known(t, n.Name()):
		return "is not a node of the inventory"
	case n.Scope.Topology.Inventory == nil:
		return "was observed without the inventory of the others"
	}
	return ""
}

func known(t platform.Topology, name string) bool {
	_, ok := t.Node(name)
	return ok
}

// add takes what a node saw, of a file that was changed nothing. What it planned
// and does not hold was not seen.
func (r *Record) add(n Node) {
	if n.Fault != "" {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: the observations of %s: %s", n.File, n.Name(), n.Fault))
		r.Partial = true
		if !n.Cut {
			n.Observations = nil
		}
	}
	r.nodes[n.Name()] = n
	r.Scope.Vantages = append(r.Scope.Vantages, n.Scope.Self())
	there := map[string]map[Target]bool{}
	for _, o := range n.Observations {
		key := o.Subject + "." + o.Kind
		if there[key] == nil {
			there[key] = map[Target]bool{}
		}
		there[key][Target{o.Target.Name, o.Target.Node, o.Target.Address}] = true
		r.Observations = append(r.Observations, o)
	}
	for _, look := range slices.Sorted(maps.Keys(n.Planned)) {
		subject, kind, _ := strings.Cut(look, ".")
		for _, t := range n.Planned[look] {
			if there[look][t] {
				continue
			}
			o := checks.Observation{
				Subject: subject, Kind: kind, Target: target(t.Name), Vantage: n.Name(), At: n.Run.Started,
				Unseen: &checks.Unseen{Code: checks.Missing, Words: "the observations of " + n.Name() + " are incomplete: " + cmp.Or(n.Fault, "the look is missing")},
			}
			o.Target.Node, o.Target.Address = t.Node, t.Address
			r.Observations = append(r.Observations, o)
		}
	}
}

// distinct sorts nodes by name. The same file given twice is counted once; two
// different ones of a node cannot be judged together. What is wrong is named.
func distinct(nodes []Node) (out []Node, notes []string, err error) {
	nodes = slices.Clone(nodes)
	slices.SortStableFunc(nodes, func(a, b Node) int { return strings.Compare(a.Name(), b.Name()) })
	for _, n := range nodes {
		switch last := len(out) - 1; {
		case last < 0 || out[last].Name() != n.Name():
			out = append(out, n)
		case out[last].digest != "" && out[last].digest == n.digest:
			notes = append(notes, fmt.Sprintf("%s repeats %s: counted once", n.File, out[last].File))
		default:
			return nil, nil, fmt.Errorf("%s is given twice, from runs %s (%s) and %s (%s): give one of them",
				n.Name(), out[last].Run.ID, out[last].File, n.Run.ID, n.File)
		}
	}
	return out, notes, nil
}

// majority is the release that most of the vantages have; of as many, the newer.
func majority(vantages []checks.Vantage) platform.Release {
	count := map[platform.Release]int{}
	for _, v := range vantages {
		count[v.Release]++
	}
	var most platform.Release
	for r, n := range count {
		if n > count[most] || n == count[most] && most.Before(r) {
			most = r
		}
	}
	return most
}

func mergeTopology(a, b platform.Topology) (platform.Topology, error) {
	switch {
	case a.Inventory != nil && b.Inventory != nil:
		if !reflect.DeepEqual(a.Inventory.Groups, b.Inventory.Groups) {
			return a, errors.New("they were observed with different inventories: observe with the same one")
		}
		return a, nil
	case a.Inventory != nil:
		return a, nil
	case b.Inventory != nil:
		return b, nil
	}
	for _, n := range b.Nodes {
		if known, ok := a.Node(n.Name); !ok {
			a.Nodes = append(slices.Clip(a.Nodes), n)
		} else if len(known.Components) == 0 {
			a.Nodes = slices.Clone(a.Nodes)
			for i := range a.Nodes {
				if a.Nodes[i].Name == known.Name {
					a.Nodes[i].Components = n.Components
				}
			}
		}
	}
	return a, nil
}

// Compare notes what was seen that this carbonio-check cannot judge, and with
// which settings nodes were observed that are not those of whoever judges.
func (r *Record) Compare(suite checks.Suite) {
	unreadable := map[string]int{}
	for _, o := range r.Observations {
		if o.Kind != KindPlan && suite.Readable(o) != nil {
			unreadable[o.Vantage]++
		}
	}
	for _, node := range slices.Sorted(maps.Keys(unreadable)) {
		r.Notes = append(r.Notes, fmt.Sprintf("%s: %d observations are none that this carbonio-check makes (%s): not judged", node, unreadable[node], r.nodes[node].Run.Tool))
		r.Partial = true
	}
	r.compareSettings(suite)
}

// compareSettings makes one note of all nodes that differ in the same settings.
func (r *Record) compareSettings(suite checks.Suite) {
	ours := Given(suite, r.Scope)
	nodes := map[string][]string{} // by the settings in which they differ
	for _, v := range r.Scope.Vantages {
		var differ []string
		theirs := r.nodes[v.Node].Settings
		both := maps.Clone(ours)
		maps.Copy(both, theirs)
		for _, key := range slices.Sorted(maps.Keys(both)) {
			if strings.HasPrefix(key, "policy.") && string(ours[key]) != string(theirs[key]) {
				differ = append(differ, key)
			}
		}
		if len(differ) > 0 {
			keys := strings.Join(differ, ", ")
			nodes[keys] = append(nodes[keys], v.Node)
		}
	}
	for _, keys := range slices.Sorted(maps.Keys(nodes)) {
		verb := "was"
		if len(nodes[keys]) > 1 {
			verb = "were"
		}
		r.Notes = append(r.Notes, fmt.Sprintf("%s %s observed with settings other than those used to judge: %s", some(nodes[keys]), verb, keys))
	}
}

// some names a few nodes, and how many more there are.
func some(nodes []string) string {
	const most = 4
	if len(nodes) <= most {
		return strings.Join(nodes, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(nodes[:most], ", "), len(nodes)-most)
}
