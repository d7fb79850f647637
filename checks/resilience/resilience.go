// Package resilience says what the loss of one more node stops. It looks at
// nothing: it concludes from what the clusters were seen to be able to lose.
package resilience

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "resilience",
	Checks:   []*checks.Check{tolerance},
	Conclude: conclude,
}

var tolerance = &checks.Check{
	ID:      "resilience.tolerance",
	Title:   "The loss of one more node stops nothing that a healthy platform survives",
	Why:     "The clusters share their nodes and depend on each other: PostgreSQL finds its leader through the mesh, and each node is a member of several. Each may still work today, and the loss of one more node may take all of them down together.",
	Manual:  "carbonio-check kafka postgres directory mesh     # and add up, node by node",
	Remedy:  "bring back the members that are down, and let those that are behind catch up, before you restart, upgrade or switch off the node named here",
	Sources: []platform.Source{platform.ScenarioHA, platform.Cluster.On("patroni.config.yaml.j2: the mesh decides who leads; server.properties.j2: min.isr 2 of 2 replicas")},
	Phases:  []checks.Phase{checks.Health},
}
