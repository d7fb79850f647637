// Package checks is the contract between a subject and everything around it.
//
// A subject looks, and separately it judges. A [Look] does I/O and decides
// nothing; a judge decides and does no I/O: no clock, no network, no file. What
// passes between them is data that survives a file, so a judge cannot tell a
// live run from last week's, one node from fifteen.
//
// The words of the contract:
//
//   - a [Module] is a subject: its checks, its settings and its judge;
//   - a [Check] is an entry of the catalogue, a [Look] is how a target is looked
//     at, a [Setting] is a value that the user may change: all three are
//     package-level values, and everything else refers to them by these values;
//   - a [Host] is the machine that a look is made on, and its way to the network;
//   - a [Target] is one thing to look at, a [Sight] is what came of looking at it, an
//     [Unseen] is why nothing came of it, or not all, and a [Record] is all that was
//     seen of one subject;
//   - a [Scope] is all that a judge may know besides: the platform, the settings,
//     and each [Vantage], a node that looked;
//   - a [Finding] is what a judge says; it rests on a [Basis], a sight or several,
//     whose [Proof] says what was seen, from where and when, and names the findings
//     that would explain it, each a [Need];
//   - a [platform.Source] is where a requirement is written;
//   - a [Cluster] is what a judge returns for modules that conclude.
//
// A Suite, made by [Assemble], holds the modules and has verified them.
package checks

import "carbonio-check/platform"

// A Module is one subject: hosts, dns, network, … It has no state.
type Module struct {
	// Name is the subject: the first part of the ID of each of its checks.
	Name string
	// Checks is the catalogue, in the order of a report.
	Checks []*Check
	// Settings are the values that a user may change for this subject.
	Settings []AnySetting
	// Judge decides from what was seen, by whomever. It is pure: the same
	// arguments give the same findings.
	Judge func(Scope, Record) ([]Finding, []Cluster)
	// Conclude is for a subject that looks at nothing and judges from what others
	// found: the findings of this run, before consequences are folded, and their
	// clusters. It has no Judge.
	Conclude func(Scope, []Finding, []Cluster) []Finding
}

// A Check is an entry of the catalogue. It is documentation: list, explain, the
// reports and the reference page are drawn from it.
type Check struct {
	ID      string // "dns.forward"
	Title   string // what is true when it passes: "Every node resolves on every resolver"
	Why     string // what breaks otherwise
	Manual  string // the command an administrator would type instead; may be several lines
	Remedy  string // what fixes it, ready to paste; a finding may be more specific
	Sources []platform.Source
	// Phases in which the check makes sense; empty: all.
	Phases []Phase
	// Components: the check is only for nodes that hold one of them; empty: all.
	Components []platform.Component
	// Looks are what the check is judged from. When only this check is asked
	// for, only those are made.
	Looks []AnyLook
	// Needs are checks of the same subject without which this one cannot pass on
	// the same target. When one of them failed there, a failure here is its
	// consequence.
	Needs []*Check
	// Wants is a setting without which there is nothing to look at, and that only
	// the user can give: a bucket, --canary. Without it the check is skipped as
	// not configured.
	Wants AnySetting
	// Clusters: the judge returns a Cluster together with this check, and modules
	// that conclude need it.
	Clusters bool
}

// Phase is the moment in the life of a node.
type Phase string

// The phases.
const (
	Preinstall Phase = "preinstall" // Carbonio is not installed yet
	Health     Phase = "health"     // it is
)

// A Cluster is a service of several nodes, and what it needs to go on.
type Cluster struct {
	// Check is the one that says how much the cluster can lose.
	Check   *Check
	Vantage string
	Service string   // "Kafka", "Kafka transactions", "PostgreSQL failover"
	Members []string // the nodes that carry it
	Able    []string // of these, the ones that were seen to vote or take over now
	Unseen  []string // of these, the ones for which that is unknown
	Needs   int      // how many must be able
	// Together are sets of members that each need Least able ones, where not just
	// any majority is enough: the replicas of a partition.
	Together [][]string
	Least    int
	// Rests names services without which this one stops too.
	Rests []string
}
