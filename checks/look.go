package checks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"
)

// A Look is how targets of one kind are looked at. Ask is what the look needs to
// know of a target beyond its name and address, Seen is what it sees; both are
// plain data that survives JSON. [Nothing] stands in where there is no Ask.
type Look[Ask, Seen any] struct {
	// Kind is the subject's own word for it, unique within the subject: "port".
	Kind string
	// Timeout is the deadline of a look that needs more than the run's --timeout
	// would give; zero: the run's.
	Timeout time.Duration
	// Grace is what the look may take, once its deadline is over or the run was
	// interrupted, to put back what it changed. Only a look that writes has one.
	Grace time.Duration
	// Alone asks to be made after everything else, and by itself: the look loads
	// the machine and the network, and would spoil what others measure.
	Alone bool
	// Targets lists what to look at, from the scope and the machine it stands on.
	// It is quick and never touches the network. An error means that even that
	// could not be learned; it becomes unknown for every check of the look.
	Targets func(Scope, Host) ([]Target[Ask], error)
	// Observe looks at one target, within the deadline of its context. It records
	// facts, and an error only where there are none, or not all: what it returns
	// beside an error is what was seen before. It starts no goroutine that it
	// does not wait for.
	Observe func(context.Context, Host, Target[Ask]) (Seen, error)
}

// Nothing is the Ask of a look that needs to know nothing more.
type Nothing struct{}

// A Target is one thing to look at. Name and Address together are unique within
// a look.
type Target[Ask any] struct {
	Name    string `json:"name"`              // as a person would call it: "mbox1.example.com"
	Node    string `json:"node,omitempty"`    // the node of the platform it stands on
	Address string `json:"address,omitempty"` // where to connect: "10.0.0.7:9092"; counts for the bound per host
	Ask     Ask    `json:"ask,omitzero"`
}

// AnyLook is a Look of whatever types; only a *Look is one.
type AnyLook interface {
	// Name is the look's kind.
	Name() string
	// Plan lists its targets, each ready to be looked at.
	Plan(Scope, Host) ([]Planned, error)
	// verify says what is wrong with the look.
	verify() error
	// blank is what an observation is decoded into: the Ask and the Seen.
	blank() (ask, seen any)
}

// Planned is a look at one target that is still to be made.
type Planned struct {
	Kind           string
	Target         Target[json.RawMessage]
	Timeout, Grace time.Duration
	Alone          bool
	// Observe returns what was seen as JSON, nil when nothing was.
	Observe func(context.Context, Host) (json.RawMessage, error)
}

// Name is the look's kind.
func (l *Look[Ask, Seen]) Name() string { return l.Kind }

// Plan lists the look's targets, each ready to be looked at.
func (l *Look[Ask, Seen]) Plan(scope Scope, host Host) ([]Planned, error) {
	targets, err := l.Targets(scope, host)
	if err != nil {
		return nil, err
	}
	out := make([]Planned, len(targets))
	unique := map[[2]string]bool{}
	for i, t := range targets {
		ask, err := encodeAsk(t.Ask)
		if err == nil {
			err = plannable(unique, t.Name, t.Address, ask)
		}
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", l.Kind, Shortened(t.Name), err)
		}
		out[i] = Planned{
			Kind: l.Kind, Timeout: l.Timeout, Grace: l.Grace, Alone: l.Alone,
			Target: Target[json.RawMessage]{t.Name, t.Node, t.Address, ask},
			Observe: func(ctx context.Context, host Host) (json.RawMessage, error) {
				seen, err := l.Observe(ctx, host, t)
				return encodeSeen(seen, *new(Seen), err)
			},
		}
	}
	return out, nil
}

// What follows is written once for all types: a method of a generic type is in the
// program as often as there are looks.

func encodeAsk(ask any) (json.RawMessage, error) {
	if _, none := ask.(Nothing); none {
		return nil, nil
	}
	return json.Marshal(ask)
}

// What a plan may hold of one target, in bytes.
const (
	mostName = 4 << 10
	mostAsk  = 1 << 20
)

// plannable says what is wrong with a target.
func plannable(unique map[[2]string]bool, name, address string, ask json.RawMessage) error {
	key := [2]string{name, address}
	switch {
	case unique[key]:
		return errors.New(Defect("the target is listed twice"))
	case len(name)+len(address) > mostName:
		return fmt.Errorf("the name is longer than %d bytes", mostName)
	case len(ask) > mostAsk:
		return fmt.Errorf("what is asked takes %d bytes, more than %d", len(ask), mostAsk)
	}
	unique[key] = true
	return nil
}

// encodeSeen is what was seen as JSON. A zero value beside an error is nothing seen.
func encodeSeen(seen, zero any, err error) (json.RawMessage, error) {
	raw, jsonErr := json.Marshal(seen)
	if jsonErr != nil {
		return nil, errors.Join(err, jsonErr)
	}
	if err != nil {
		if none, zeroErr := json.Marshal(zero); zeroErr == nil && string(none) == string(raw) {
			return nil, err
		}
	}
	return raw, err
}

// decode reads an observation into what was asked and what was seen, and says
// whether that is there, and why not all of it is.
func decode(o Observation, ask, seen any) (got bool, why Unseen) {
	if o.Unseen != nil {
		why = *o.Unseen
	}
	if len(o.Target.Ask) > 0 {
		if err := json.Unmarshal(o.Target.Ask, ask); err != nil {
			return false, unreadable(err)
		}
	}
	switch {
	case len(o.Data) == 0 && why == Unseen{}:
		return false, Unseen{Defective, "the observation is empty"}
	case len(o.Data) == 0:
		return false, why
	}
	if err := json.Unmarshal(o.Data, seen); err != nil {
		return false, unreadable(err)
	}
	return true, why
}

func unreadable(err error) Unseen {
	return Unseen{Defective, fmt.Sprintf("unreadable observation: %v", err)}
}

func (l *Look[Ask, Seen]) verify() error {
	switch {
	case l.Kind == "" || l.Kind == "plan": // a "plan" stands for looks that could not be planned
		return fmt.Errorf("a look cannot be of kind %q", l.Kind)
	case l.Targets == nil:
		return fmt.Errorf("the look %q lacks Targets", l.Kind)
	case l.Observe == nil:
		return fmt.Errorf("the look %q lacks Observe", l.Kind)
	}
	return nil
}

func (l *Look[Ask, Seen]) blank() (ask, seen any) { return new(Ask), new(Seen) }

// In yields what came of each planned look of this kind, the unseen too.
func (l *Look[Ask, Seen]) In(r Record) iter.Seq[Sight[Ask, Seen]] {
	return func(yield func(Sight[Ask, Seen]) bool) {
		for _, o := range r.byKind[l.Kind] {
			if !yield(l.sight(o)) {
				return
			}
		}
	}
}

// sight decodes an observation. What cannot be decoded was not seen.
func (l *Look[Ask, Seen]) sight(o Observation) Sight[Ask, Seen] {
	s := Sight[Ask, Seen]{
		Target:  Target[Ask]{Name: o.Target.Name, Node: o.Target.Node, Address: o.Target.Address},
		Vantage: o.Vantage, At: o.At, Took: o.Took,
	}
	if s.got, s.unseen = decode(o, &s.Target.Ask, &s.seen); !s.got {
		s.seen = *new(Seen) // not half of what could not be read
	}
	return s
}

// A Sight is what came of one look, as a judge gets it.
type Sight[Ask, Seen any] struct {
	Target  Target[Ask]
	Vantage string // the node that looked
	At      time.Time
	Took    time.Duration
	seen    Seen
	got     bool
	unseen  Unseen
}

// Got is what was seen, and whether anything was. When the look was broken off
// it is a part, of which nothing can pass.
func (s Sight[Ask, Seen]) Got() (Seen, bool) { return s.seen, s.got }

// Unseen is why nothing, or not all, was seen; the zero value when all was.
func (s Sight[Ask, Seen]) Unseen() Unseen { return s.unseen }

// Proof makes a sight a Basis.
func (s Sight[Ask, Seen]) Proof() Proof {
	return Proof{vantage: s.Vantage, at: s.At, took: s.Took, seen: s.got, whole: s.got && s.unseen == Unseen{}, why: s.unseen}
}

// An Observation is what one look saw, or why it saw nothing. It is one line of
// an observations file.
type Observation struct {
	Subject string                  `json:"subject"`
	Kind    string                  `json:"kind"` // of the look
	Target  Target[json.RawMessage] `json:"target"`
	Vantage string                  `json:"vantage"` // the node that looked
	At      time.Time               `json:"at"`
	Took    time.Duration           `json:"took"` // nanoseconds
	Data    json.RawMessage         `json:"data,omitempty"`
	Unseen  *Unseen                 `json:"unseen,omitempty"` // why nothing, or not all, was seen
}

// A Record is what was seen of one subject, from every vantage.
type Record struct{ byKind map[string][]Observation }

// NewRecord makes a record of the observations of one subject. They are put in
// order, by vantage and target: what a judge says never depends on who was first.
func NewRecord(seen []Observation) Record {
	r := Record{map[string][]Observation{}}
	for _, o := range seen {
		r.byKind[o.Kind] = append(r.byKind[o.Kind], o)
	}
	for _, all := range r.byKind {
		slices.SortStableFunc(all, func(a, b Observation) int {
			return cmp.Or(cmp.Compare(a.Vantage, b.Vantage), cmp.Compare(a.Target.Node, b.Target.Node),
				cmp.Compare(a.Target.Name, b.Target.Name), cmp.Compare(a.Target.Address, b.Target.Address))
		})
	}
	return r
}

// patience is for a context without a deadline.
const patience = 5 * time.Second

// Share is a context that ends with a part of the time that is left: 0.9 of it,
// for a look that wants to say in time who did not respond.
func Share(ctx context.Context, part float64) (context.Context, context.CancelFunc) {
	left := patience
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	return context.WithTimeout(ctx, time.Duration(float64(left)*part))
}
