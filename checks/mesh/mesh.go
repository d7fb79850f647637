// Package mesh checks the service mesh: Consul, which Carbonio calls
// service-discover. Every node asks its own agent, because each has its own view
// of who is alive; the judge compares what they report.
package mesh

import (
	"cmp"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "mesh",
	Checks:   catalogue,
	Settings: []checks.AnySetting{meshToken},
	Judge:    judge,
}

var catalogue = []*checks.Check{agent, leader, peers, members, autopilot, services, tolerance, token, ldap, pending}

// mesh is the target of findings about the mesh as a whole.
const mesh = "mesh"

const (
	// address is where the HTTP API listens on every node.
	address = "127.0.0.1:8500"
	// gossipPort is where the agents of all nodes talk to each other.
	gossipPort = 8301
	// setupsDir holds the scripts that pending-setups would run.
	setupsDir = "/etc/zextras/pending-setups.d"
	restart   = "systemctl restart service-discover"
	lastHour  = "journalctl -u service-discover --since -1h | grep -i"
	openPorts = "     # 8301/tcp and 8301/udp must be open in both directions, without address translation"
	// agentTimeout leaves room for servers without a leader, which take 7.2 s to
	// report that.
	agentTimeout = 12 * time.Second
	// ldapTimeout is for a command that starts a JVM.
	ldapTimeout = time.Minute
)

var meshToken = checks.SecretSetting("logins.mesh_token",
	"Where the administration token of the mesh is: a file or an environment variable. Not needed when run as root on a mesh server, which holds the token.",
	"{file: /root/mesh.token}", platform.Troubleshooting.On("mesh"))

var (
	installed = []checks.Phase{checks.Health}

	agents    = &checks.Look[ask, report]{Kind: "agent", Timeout: agentTimeout, Targets: agentTargets, Observe: observeAgent}
	journals  = &checks.Look[checks.Nothing, losses]{Kind: "journal", Targets: onThisNode("service-discover"), Observe: observeJournal}
	directory = &checks.Look[checks.Nothing, []string]{Kind: "ldap", Timeout: ldapTimeout, Targets: onThisNode(""), Observe: observeDirectory}
	setups    = &checks.Look[checks.Nothing, []string]{Kind: "setups", Targets: onThisNode(setupsDir), Observe: observeSetups}

	fromAgent = []checks.AnyLook{agents}
)

var agent = &checks.Check{
	ID:      checks.AgentID,
	Title:   "The mesh agent of this node responds",
	Why:     "Every service of the node finds the others through its own agent. Without it they cannot reach the others, and the others cannot find them.",
	Manual:  "systemctl status service-discover\ncurl -s http://127.0.0.1:8500/v1/status/leader",
	Remedy:  "systemctl restart service-discover\njournalctl -u service-discover -n 50     # it does not start while LDAP is down",
	Sources: []platform.Source{platform.HAStatus, platform.ServiceDiscover},
	Phases:  installed, Looks: fromAgent,
}

var leader = &checks.Check{
	ID:      checks.LeaderID,
	Title:   "The mesh has a leader, the same for every node",
	Why:     "Without a leader nothing can be registered or looked up, no database leader is elected, and Carbonio's services stop one by one. Two leaders mean two separate meshes.",
	Manual:  "curl -s http://127.0.0.1:8500/v1/status/leader     # \"IP:8300\"; \"\" means no leader",
	Remedy:  "systemctl status service-discover\njournalctl -u service-discover -n 50     # most mesh servers must run and reach each other on ports 8300 and 8301",
	Sources: []platform.Source{platform.HAStatus, platform.Installer.On("CHANGELOG 25.9.2")},
	Phases:  installed, Looks: fromAgent,
}

var peers = &checks.Check{
	ID:      "mesh.peers",
	Title:   "Every mesh server is a peer with a vote, and no other node is",
	Why:     "The peers elect the leader. A server that is missing or has no vote does not count when another one fails; a peer that will not come back still counts towards the majority.",
	Manual:  "curl -s http://127.0.0.1:8500/v1/status/peers\nconsul operator raft list-peers     # with CONSUL_HTTP_TOKEN",
	Remedy:  restart + "     # on the server that is missing or has no vote",
	Sources: []platform.Source{platform.ScenarioHA.On("three for quorum"), platform.Installer.On("consul_checks")},
	Phases:  installed, Looks: fromAgent,
}

var members = &checks.Check{
	ID:      "mesh.members",
	Title:   "Every node of the inventory is alive in the mesh, and no other node is in it",
	Why:     "Services on a node that is not alive in the mesh cannot be found. A flapping node takes its services with it each time.",
	Manual:  "consul members\njournalctl -u service-discover --since -1h | grep EventMember",
	Remedy:  restart + openPorts,
	Sources: []platform.Source{platform.HAStatus, platform.Troubleshooting.On("mesh")},
	Phases:  installed, Looks: []checks.AnyLook{agents, journals},
}

var autopilot = &checks.Check{
	ID:      "mesh.autopilot",
	Title:   "The mesh reports itself healthy, and can lose a server",
	Why:     "Autopilot is the mesh's own view of its servers: alive, caught up with the leader, stable.",
	Manual:  "curl -s -H \"X-Consul-Token: $CONSUL_HTTP_TOKEN\" http://127.0.0.1:8500/v1/operator/autopilot/health",
	Remedy:  restart + "     # on the unhealthy server",
	Sources: []platform.Source{platform.Consul.On("operator/autopilot"), platform.ScenarioHA},
	Phases:  installed, Looks: fromAgent,
}

var services = &checks.Check{
	ID:      "mesh.services",
	Title:   "No health check in the mesh is critical",
	Why:     "The mesh sends no traffic to a service whose check is critical, whatever systemctl says: the service is as good as stopped.",
	Manual:  "curl -s http://127.0.0.1:8500/v1/health/state/critical",
	Remedy:  "systemctl list-units 'carbonio-*'     # on that node",
	Sources: []platform.Source{platform.HAStatus, platform.CarbonioCore.On("the .hcl files of the services"), platform.Changelog.On("CO-3821")},
	Phases:  installed, Looks: fromAgent,
}

var tolerance = &checks.Check{
	ID:      "mesh.tolerance",
	Title:   "The mesh can lose one more server",
	Why:     "The mesh works while more than half of its servers do. Without it PostgreSQL has no failover, and services cannot find each other.",
	Manual:  "consul members | grep server; curl -s http://127.0.0.1:8500/v1/status/peers",
	Remedy:  restart + "     # on the mesh server that is down",
	Sources: []platform.Source{platform.ScenarioHA, platform.Consul.On("the quorum is n/2+1")},
	Phases:  installed, Looks: fromAgent, Clusters: true,
}

var token = &checks.Check{
	ID:      "mesh.token",
	Title:   "The mesh's administration token is found and accepted",
	Why:     "Only with this token does the mesh report which servers have a vote and what autopilot says about them. Members and services are visible without it, because each agent has its own token.",
	Manual:  "gpg -qdo - /etc/zextras/service-discover/cluster-credentials.tar.gpg | tar xOf - consul-acl-secret.json | jq .SecretID -r",
	Remedy:  "# in the configuration of carbonio-check:\nlogins:\n  mesh_token: {file: /root/mesh.token}\n# or run it as root on a mesh server, which holds the token",
	Sources: []platform.Source{platform.Troubleshooting.On("mesh"), platform.ServiceDiscover},
	Phases:  installed, Looks: fromAgent,
}

var ldap = &checks.Check{
	ID:      "mesh.ldap",
	Title:   "The directory lists this node as a mesh server",
	Why:     "service-discover asks the directory at every start, and does not start on a server that is not listed there: the next reboot takes the server out of the mesh. Setting up a second directory master is known to remove the entry.",
	Manual:  "su - zextras -c 'carbonio prov -l gs $(zmhostname)' | grep -i service",
	Remedy:  "su - zextras -c 'zmprov -l ms $(zmhostname) +zimbraServiceInstalled service-discover +zimbraServiceEnabled service-discover'",
	Sources: []platform.Source{platform.RedundantStatus, platform.ServiceDiscover, platform.Changelog.On("ZCT-1765")},
	Phases:  installed, Components: []platform.Component{platform.Mesh}, Looks: []checks.AnyLook{directory},
}

var pending = &checks.Check{
	ID:      "mesh.pending",
	Title:   "No setup script is waiting to be run",
	Why:     "A package that was installed or upgraded leaves its registration in the mesh to a script. Until that has run, the service has no credentials, cannot be found, or keeps its old settings.",
	Manual:  "ls /etc/zextras/pending-setups.d",
	Remedy:  "pending-setups -a     # as root; asks for the cluster credential password",
	Sources: []platform.Source{platform.Changelog.On("CO-2745, CO-3732"), platform.PendingSetups},
	Phases:  installed, Looks: []checks.AnyLook{setups},
}

// An ask is what must be known about this node to find the token.
type ask struct {
	Token  platform.SecretRef `json:"token,omitzero"`   // from the configuration
	Server bool               `json:"server,omitempty"` // a mesh server holds the token
}

func agentTargets(scope checks.Scope, _ checks.Host) ([]checks.Target[ask], error) {
	self := scope.Self().Node
	return []checks.Target[ask]{{
		Name: address, Node: self, Address: address,
		Ask: ask{Token: meshToken.In(scope), Server: scope.Node(self).Has(platform.Mesh)},
	}}, nil
}

// onThisNode lists a single target: something on this node, or the node itself.
func onThisNode(name string) func(checks.Scope, checks.Host) ([]checks.Target[checks.Nothing], error) {
	return func(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
		self := scope.Self().Node
		return []checks.Target[checks.Nothing]{{Name: cmp.Or(name, self), Node: self}}, nil
	}
}
