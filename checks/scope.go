package checks

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"

	"carbonio-check/platform"
)

// Scope is all that a judge may know besides what was seen. It travels in the
// header of an observations file and holds no secret.
type Scope struct {
	Topology platform.Topology `json:"topology"`
	// Release is the platform's: the one that most of its nodes have.
	Release platform.Release `json:"release"`
	// Vantages are the nodes that looked, sorted by name. Before looking there
	// is one: this machine.
	Vantages []Vantage `json:"vantages"`
	// Settings are what the user set, by key. They are of whoever runs, and never
	// travel: each is read with [Setting.In].
	Settings Settings `json:"-"`
}

// Settings are values that a user set, by the key of their Setting.
type Settings map[string]any

// A Vantage is a node that looked.
type Vantage struct {
	Node  string `json:"node"`
	Phase Phase  `json:"phase"`
	// Release is what is installed on the node, or is to be; ReleaseFrom is the
	// sign that it was read from: "/opt/zextras/.version", "--release".
	Release     platform.Release `json:"release,omitzero"`
	ReleaseFrom string           `json:"release_from,omitempty"`
	OS          OS               `json:"os"`
}

// Assumed is how the ReleaseFrom of a release begins that was not read anywhere: it is all
// of it where there is none, as before the installation, and why follows where
// there is one that cannot be read.
const Assumed = "the newest known"

// OS is what /etc/os-release says.
type OS struct {
	ID       string `json:"id"`               // "ubuntu", "rhel"
	Version  string `json:"version"`          // "24.04"
	Codename string `json:"codename"`         // "noble"; empty on RHEL
	Like     string `json:"like,omitempty"`   // ID_LIKE
	Pretty   string `json:"pretty,omitempty"` // "Ubuntu 24.04.1 LTS"
}

// Family is "ubuntu" for what takes apt, "rhel" for what takes dnf, else the ID.
func (o OS) Family() string {
	switch o.ID {
	case "ubuntu", "debian":
		return "ubuntu"
	case "rhel", "rocky", "almalinux", "centos", "ol":
		return "rhel"
	}
	return o.ID
}

// Self is the vantage of this machine before anything was looked at.
func (s Scope) Self() Vantage {
	if len(s.Vantages) == 0 {
		return Vantage{}
	}
	return s.Vantages[0]
}

// Vantage finds a vantage by its node's name.
func (s Scope) Vantage(node string) Vantage {
	for _, v := range s.Vantages {
		if v.Node == node {
			return v
		}
	}
	return Vantage{Node: node, Release: s.Release}
}

// Node is the node of the platform that the vantage runs on; a node of that
// name without components when the topology does not hold it.
func (s Scope) Node(vantage string) platform.Node {
	if n, ok := s.Topology.Node(vantage); ok {
		return n
	}
	return platform.Node{Name: vantage}
}

// A Setting is a value that a user may change: a threshold that no manual
// states, a login, an option of the command line. Its documentation is drawn
// from it.
type Setting[T any] struct {
	// Key is where it is in the configuration file: "policy.ping_rtt", "s3".
	// Without one the setting is a flag only.
	Key string
	// Flag is its option on the command line, of a setting that is yes or no.
	Flag    string
	Default T
	// Doc says what it is, in a sentence or two; Unit in what it is given.
	Doc, Unit string
	Sources   []platform.Source
	// Within are the bounds of a number or a duration: [Between].
	Within Bounds[T]
	// Check says what else is wrong with a value; nil where any will do.
	Check func(T) error
	// Sample is the value in YAML that the documentation shows where the default
	// shows nothing: a list that is empty, a login.
	Sample string
}

// AnySetting is a Setting of whatever type; only a *Setting is one.
type AnySetting interface {
	// Name is the key, or the flag of a setting that has none.
	Name() string
	// About describes it.
	About() About
	// Decode reads a value and checks it. decode is that of a
	// YAML or JSON value, and strict.
	Decode(decode func(into any) error) (any, error)
	// Given says whether the user set it to anything but the default.
	Given(Scope) bool
	// verify says what is wrong with the setting itself.
	verify() error
}

// About is the documentation of a setting.
type About struct {
	Key, Flag, Doc, Unit, Bounds, Sample string
	Default                              any
	Sources                              []platform.Source
}

// In is the value in a scope.
func (s *Setting[T]) In(scope Scope) T {
	if v, ok := scope.Settings[s.Name()].(T); ok {
		return v
	}
	return s.Default
}

// Set makes settings in which this one has the value: for tests, and for whoever
// composes a scope.
func (s *Setting[T]) Set(in Settings, v T) { in[s.Name()] = v }

// Name is the key, or the flag of a setting that has none.
func (s *Setting[T]) Name() string {
	if s.Key == "" {
		return "--" + s.Flag
	}
	return s.Key
}

// About describes the setting.
func (s *Setting[T]) About() About {
	return About{s.Key, s.Flag, s.Doc, s.Unit, s.Within.words, s.Sample, s.Default, s.Sources}
}

// Decode reads a value and checks it.
func (s *Setting[T]) Decode(decode func(into any) error) (any, error) {
	var v T // not the default: what is read would be written into its lists
	if err := decode(&v); err != nil {
		return nil, err
	}
	for _, check := range []func(T) error{s.Within.check, s.Check} {
		if check == nil {
			continue
		}
		if err := check(v); err != nil {
			return nil, fmt.Errorf("%s: %w", s.Key, err)
		}
	}
	return v, nil
}

// Given says whether the user set it to anything but the default.
func (s *Setting[T]) Given(scope Scope) bool {
	a, errA := json.Marshal(s.In(scope))
	b, errB := json.Marshal(s.Default)
	return errA == nil && errB == nil && string(a) != string(b)
}

func (s *Setting[T]) verify() error {
	if s.Within.check == nil {
		return unbounded(s.Default)
	}
	if err := s.Within.check(s.Default); err != nil {
		return fmt.Errorf("has a default that nobody may set: %w", err)
	}
	return nil
}

// unbounded is an error for a number, which needs bounds.
func unbounded(v any) error {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Int, reflect.Int64, reflect.Float64:
		return errors.New("is a number without bounds: Within: checks.Between(low, high)")
	}
	return nil
}

// A number is what can be bounded.
type number interface {
	~int | ~int64 | ~float64
}

// Bounds are the least and the largest value of a setting.
type Bounds[T any] struct {
	words string
	check func(T) error
}

// Between makes bounds, both ends included. What is not a number is outside.
func Between[T number](low, high T) Bounds[T] {
	words := fmt.Sprintf("%v to %v", low, high)
	return Bounds[T]{words, func(v T) error {
		if v >= low && v <= high {
			return nil
		}
		return fmt.Errorf("%v is out of range: want %s", v, words)
	}}
}
