// Package whole is the subject of the platform as a whole: what stops when one
// more node is lost. It looks at nothing; it concludes from what the clusters
// said that they can lose.
package whole

import (
	"context"

	"carbonio-check/checks"
)

// Module is the subject.
type Module struct{}

// Name is "platform".
func (Module) Name() string { return "platform" }

const toleranceID = "platform.tolerance"

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	return []checks.Check{{
		ID:     toleranceID,
		Title:  "The loss of one more node stops nothing that a whole platform survives",
		Why:    "The clusters share their nodes and rest on each other: PostgreSQL finds its leader through the mesh, and each node carries a part of several. Every one of them may still work, and the next node to go take all of them down together.",
		Manual: "carbonio-check kafka postgres directory mesh     # and add up, node by node",
		Remedy: "bring back the members that are down, and let what is behind catch up, before anything is restarted, upgraded or switched off on the node named here",
		Source: "SEED-HA; HAA patroni.config.yaml.j2: the mesh decides who leads; HAA server.properties.j2: min.isr 2 of 2 replicas",
		Phases: []checks.Phase{checks.Health},
		Looks:  []string{"findings"},
	}}
}

// From are the checks on what each cluster can lose.
func (Module) From() []string {
	return []string{"directory.tolerance", "mesh.tolerance", "postgres.tolerance", "zookeeper.tolerance", "kafka.tolerance"}
}

// Targets are none.
func (Module) Targets(checks.Scope, checks.Host) ([]checks.Target, error) { return nil, nil }

// Observe is not called: there are no targets.
func (Module) Observe(context.Context, checks.Host, checks.Target) (any, error) { return nil, nil }

// Judge is not called: the module concludes.
func (Module) Judge(checks.Scope, []checks.Observation) []checks.Finding { return nil }
