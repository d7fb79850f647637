package checks

import (
	"maps"
	"slices"
	"time"
)

// Status is a verdict on one check and target.
type Status string

// The verdicts. What could not be seen is Unknown, never Pass.
const (
	Pass    Status = "pass"    // seen, and right
	Warn    Status = "warn"    // works, and will hurt
	Fail    Status = "fail"    // seen, and wrong
	Skip    Status = "skip"    // does not apply, or is the consequence of a named failure
	Unknown Status = "unknown" // could not be seen
)

// A Finding is what a judge says of one check on one target from one vantage.
type Finding struct {
	Check   string
	Target  string
	Vantage string // empty: a verdict on the whole platform
	Status  Status
	Message string // one sentence, lower case, no full stop
	// Evidence holds what was seen; "seen" and "want" are shown side by side.
	Evidence map[string]string
	// Remedy and Source are taken from the catalogue when a judge leaves them empty.
	Remedy string
	Source string
	// Needs are the findings that would explain this one, besides those that
	// the catalogue names for the same target: from the same vantage, or one of
	// the two being the platform's, or what a node found of itself.
	Needs []Ref
	// BlockedBy is the root cause; the runner sets it.
	BlockedBy *Ref
	// Tolerance is how much a cluster can lose, for those who conclude from it.
	Tolerance []Tolerance
	At        time.Time
	Took      time.Duration
}

// Tolerance is what a service of several nodes needs to go on.
type Tolerance struct {
	Service string   // "Kafka", "Kafka transactions", "PostgreSQL failover"
	Members []string // the nodes that carry it, alive or not
	Alive   []string // of these, the ones that were seen to work
	Needs   int      // how many of them must live
	// Together are sets of members of which each needs Least alive, where not
	// just any majority will do: the replicas of a partition.
	Together [][]string
	Least    int
	// Rests names services without which this one stops too.
	Rests []string
}

// Spare is how many more members the service by itself can lose, whichever they
// are, once it has lost these as well; below zero it stands still.
func (t Tolerance) Spare(lost ...string) int {
	works := func(members []string) int {
		n := 0
		for _, m := range members {
			if slices.Contains(t.Alive, m) && !slices.Contains(lost, m) {
				n++
			}
		}
		return n
	}
	least := works(t.Alive) - t.Needs
	for _, set := range t.Together {
		least = min(least, works(set)-t.Least)
	}
	return least
}

// A Ref names a check on a target.
type Ref struct{ Check, Target string }

// String gives "network.ping mbox2.example.com".
func (r Ref) String() string {
	if r.Target == "" {
		return r.Check
	}
	return r.Check + " " + r.Target
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

// From names the source of exactly this requirement.
func (f Finding) From(source string) Finding {
	f.Source = source
	return f
}

// Needing names a finding that would explain this one.
func (f Finding) Needing(check, target string) Finding {
	f.Needs = append(f.Needs[:len(f.Needs):len(f.Needs)], Ref{check, target})
	return f
}
