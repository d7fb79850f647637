// Package checks is the contract between a subject and everything around it.
//
// A subject looks, and separately it judges. Looking (Observe) does I/O and
// decides nothing; judging (Judge) decides and does no I/O: no clock, no
// network, no file. What passes between them is data that survives a file, so
// a judge cannot tell a live run from last week's, one node from fifteen.
//
// The life of a Module in a run:
//
//  1. Checks is read: the catalogue.
//  2. Targets lists what to look at, from the scope and from the machine it
//     stands on. It is quick and never touches the network.
//  3. Observe looks at one target, within the deadline of its context, side by
//     side with every other target of every subject.
//  4. Judge sees all observations of its subject, whoever made them, and
//     returns one finding for each check and target it can speak about.
//  5. The runner turns silence into unknown, consequences into skip, and sorts.
package checks

import (
	"context"
	"time"

	"carbonio-check/platform"
)

// A Module is one subject: hosts, dns, network, … It holds no state, and
// starts no goroutine but inside a protocol client.
type Module interface {
	// Name is the subject: the first part of the ID of each of its checks.
	Name() string
	// Checks is the catalogue of the subject, in the order of a report.
	Checks() []Check
	// Targets lists what to look at. An error means that even that could not be
	// learned; it becomes unknown for all checks of the subject.
	Targets(scope Scope, host Host) ([]Target, error)
	// Observe looks at one target. The data must marshal to JSON. It may come
	// together with an error: then it is what was seen before the error.
	Observe(ctx context.Context, host Host, target Target) (data any, err error)
	// Judge decides. It is pure: the same arguments give the same findings.
	Judge(scope Scope, seen []Observation) []Finding
}

// A Concluder is a Module that judges from what others found, not from looks of
// its own. The runner asks it after all others; its Judge is not called.
type Concluder interface {
	Module
	// From are the checks it concludes from: who asks for it asks for them.
	From() []string
	// Conclude is as pure as Judge. The findings are those of this run, before
	// consequences are folded.
	Conclude(scope Scope, findings []Finding) []Finding
}

// A Check is an entry of the catalogue. It is documentation: list, explain, the
// reports and the reference page are drawn from it.
type Check struct {
	ID     string // "dns.forward"
	Title  string // what is true when it passes: "Every node resolves on every resolver"
	Why    string // what breaks otherwise
	Manual string // the command an administrator would type instead; may be several lines
	Remedy string // what puts it right, ready to paste; a finding may say it more exactly
	Source string // where the requirement is written; "policy" where it is ours
	// Phases in which the check makes sense; empty: all.
	Phases []Phase
	// Components: the check is only for nodes that hold one of them; empty: all.
	Components []platform.Component
	// Needs are checks without which this one cannot pass on the same target.
	// When one of them failed there, a failure here is its consequence.
	Needs []string
	// Looks are the kinds of target whose observations the check is judged
	// from. When only this check is asked for, only those are looked at.
	Looks []string
}

// Phase is the moment in the life of a node.
type Phase string

// The phases.
const (
	Preinstall Phase = "preinstall" // Carbonio is not installed yet
	Health     Phase = "health"     // it is
)

// A Target is one thing to look at. Kind, Name and Address together are unique
// within a subject.
type Target struct {
	Kind    string `json:"kind"`              // what kind of look: "port", "resolver"; the subject's own word
	Name    string `json:"name"`              // as a person would call it: "mbox1.example.com:9092/tcp"
	Node    string `json:"node,omitempty"`    // the node of the platform it stands on
	Address string `json:"address,omitempty"` // where to knock: "10.0.0.7:9092"; counts for the bound per host
	// Args is what else the look needs to know, in the subject's own order.
	Args []string `json:"args,omitempty"`
	// Timeout is the deadline of this look where it needs more than the run's
	// --timeout would give; zero: the run's.
	Timeout time.Duration `json:"-"`
	// Grace is what the look may take, once its deadline is over or the run was
	// interrupted, to put back what it changed. Only a look that writes has one.
	Grace time.Duration `json:"-"`
	// Alone asks to be looked at after everything else, and by itself: the look
	// loads the machine and the network, and would spoil what others measure.
	Alone bool `json:"-"`
}

// Scope is all that a judge may know besides the observations. It travels in
// the header of an observations file and holds no secret.
type Scope struct {
	Topology platform.Topology `json:"topology"`
	Release  platform.Release  `json:"release"`
	Policy   platform.Policy   `json:"policy"`
	// Vantages are the nodes that looked, sorted by name. Before looking there
	// is one: this machine.
	Vantages []Vantage `json:"vantages"`
	// Buckets are the object storage to look at; their credentials are references.
	Buckets []platform.Bucket `json:"buckets,omitempty"`
	// Logins are how to log in to services; the passwords are references.
	Logins platform.Logins `json:"logins,omitzero"`
	// Canary asks to write a small entry on each directory server, to see it
	// arrive on the others, and to remove it.
	Canary bool `json:"canary,omitempty"`
	// Trace asks for the path to every node, not only to those that do not answer.
	Trace bool `json:"trace,omitempty"`
	// Benchmark asks to measure the object storage, which moves much data.
	Benchmark bool `json:"benchmark,omitempty"`
}

// A Vantage is a node that looked.
type Vantage struct {
	Node  string `json:"node"`
	Phase Phase  `json:"phase"`
	OS    OS     `json:"os"`
}

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
	return Vantage{Node: node}
}

// Node is the node of the platform that the vantage stands on; a node of that
// name without components when the topology does not hold it.
func (s Scope) Node(vantage string) platform.Node {
	if n, ok := s.Topology.Node(vantage); ok {
		return n
	}
	return platform.Node{Name: vantage}
}
