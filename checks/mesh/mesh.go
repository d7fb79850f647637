// Package mesh is the subject of the service mesh: Consul, which Carbonio calls
// service-discover. Every node asks its own agent, for each has its own view of
// who is alive; what they say is compared by the judge.
package mesh

import (
	"encoding/json"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
type Module struct{}

// Name is "mesh".
func (Module) Name() string { return "mesh" }

// The checks.
const (
	agentID     = "mesh.agent"
	leaderID    = "mesh.leader"
	peersID     = "mesh.peers"
	membersID   = "mesh.members"
	autopilotID = "mesh.autopilot"
	servicesID  = "mesh.services"
	toleranceID = "mesh.tolerance"
	tokenID     = "mesh.token"
	ldapID      = "mesh.ldap"
	pendingID   = "mesh.pending"
)

// cluster is the target of what is said of the mesh as a whole.
const cluster = "mesh"

// The kinds of look.
const (
	kindAgent   = "agent"   // the agent of this node
	kindJournal = "journal" // its log of the last hour
	kindLDAP    = "ldap"    // what the directory says of this node
	kindSetups  = "setups"  // the scripts that wait
)

const (
	// address is that of the HTTP API on every node (HA25-chk; SD setupConfig).
	address = "127.0.0.1:8500"
	// agentTimeout is more than the 7.2 s that servers without a leader take to
	// say so.
	agentTimeout = 12 * time.Second
	// ldapTimeout is for a command that starts a JVM.
	ldapTimeout = time.Minute
	setups      = "/etc/zextras/pending-setups.d"
)

// Targets are the agent of this node and what stands beside it.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	self := scope.Self().Node
	ref, err := json.Marshal(scope.Logins.Mesh)
	if err != nil {
		return nil, err
	}
	args := []string{string(ref)}
	if scope.Node(self).Has(platform.Mesh) {
		args = append(args, argServer)
	}
	return []checks.Target{
		{Kind: kindAgent, Name: address, Node: self, Address: address, Args: args, Timeout: agentTimeout},
		{Kind: kindJournal, Name: "service-discover", Node: self},
		{Kind: kindLDAP, Name: self, Node: self, Timeout: ldapTimeout},
		{Kind: kindSetups, Name: setups, Node: self},
	}, nil
}

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	all := append(clusterChecks(), nodeChecks()...)
	for i := range all {
		all[i].Phases = []checks.Phase{checks.Health}
	}
	return all
}

// clusterChecks are those on the mesh as the agent of a node sees it.
func clusterChecks() []checks.Check {
	return []checks.Check{
		{
			ID:     agentID,
			Title:  "The mesh agent of this node answers",
			Why:    "Every service of the node finds the others through its own agent; without it they are cut off, and the others no longer find them.",
			Manual: "systemctl status service-discover\ncurl -s http://127.0.0.1:8500/v1/status/leader",
			Remedy: "systemctl restart service-discover\njournalctl -u service-discover -n 50     # it does not start while LDAP is down",
			Source: "HA25-chk; SD",
			Looks:  []string{kindAgent},
		},
		{
			ID:     leaderID,
			Title:  "The mesh has a leader, the same for every node",
			Why:    "Without one nothing can be registered or looked up afresh, no database leader is elected, and Carbonio's services stop one after the other. Two leaders are two platforms.",
			Manual: "curl -s http://127.0.0.1:8500/v1/status/leader     # \"IP:8300\"; \"\" is no leader",
			Remedy: "systemctl status service-discover; journalctl -u service-discover -n 50     # on each mesh server: most of them must run and reach each other on 8300 and 8301",
			Source: "HA25-chk; AIA CHANGELOG 25.9.2",
			Looks:  []string{kindAgent},
		},
		{
			ID:     peersID,
			Title:  "Every mesh server is a peer with a vote",
			Why:    "The peers elect the leader. One that is missing, or has no vote, does not count when another one is lost; one too many is waited for in vain.",
			Manual: "curl -s http://127.0.0.1:8500/v1/status/peers\nconsul operator raft list-peers     # with CONSUL_HTTP_TOKEN",
			Remedy: "systemctl restart service-discover     # on the server that is missing\nconsul operator raft remove-peer -address=IP:8300     # for one that will never come back",
			Source: "SEED-HA: three for quorum; AIA consul_checks",
			Looks:  []string{kindAgent},
		},
		{
			ID:     membersID,
			Title:  "Every node of the inventory is alive in the mesh, and no other",
			Why:    "Services on a node that is not alive in the mesh are not found. One that comes and goes takes its services with it each time.",
			Manual: "consul members\njournalctl -u service-discover --since -1h | grep EventMember",
			Remedy: "systemctl restart service-discover     # on that node; 8301/tcp and 8301/udp must be open both ways, without address translation",
			Source: "HA25-chk; TS-mesh",
			Looks:  []string{kindAgent, kindJournal},
		},
		{
			ID:     autopilotID,
			Title:  "The mesh calls itself healthy, and can lose a server",
			Why:    "Autopilot is the mesh's own opinion of its servers: alive, caught up with the leader, stable.",
			Manual: "curl -s -H \"X-Consul-Token: $CONSUL_HTTP_TOKEN\" http://127.0.0.1:8500/v1/operator/autopilot/health",
			Remedy: "systemctl restart service-discover     # on the unhealthy server",
			Source: "Consul operator API; SEED-HA",
			Looks:  []string{kindAgent},
		},
		{
			ID:     servicesID,
			Title:  "No health check in the mesh is critical",
			Why:    "The mesh sends nobody to a service whose check is critical, whatever systemctl says of it: it is as good as stopped.",
			Manual: "curl -s http://127.0.0.1:8500/v1/health/state/critical",
			Remedy: "systemctl status SERVICE SERVICE-sidecar; journalctl -u SERVICE -n 50     # on that node",
			Source: "HA25-chk; package .hcl files; CO-3821",
			Looks:  []string{kindAgent},
		},
		{
			ID:     toleranceID,
			Title:  "The mesh survives the loss of one more server",
			Why:    "It works while more than half of its servers do. Without it PostgreSQL has no failover, and no service finds another.",
			Manual: "consul members | grep server; curl -s http://127.0.0.1:8500/v1/status/peers",
			Remedy: "systemctl restart service-discover     # on the mesh server that is down",
			Source: "SEED-HA; Consul: quorum is n/2+1",
			Looks:  []string{kindAgent},
		},
		{
			ID:     tokenID,
			Title:  "The mesh's administration token was found, and is accepted",
			Why:    "Only with it does the mesh tell who votes and what autopilot thinks. Members and services are told to every node without it, for each agent has a token of its own.",
			Manual: "gpg -qdo - /etc/zextras/service-discover/cluster-credentials.tar.gpg | tar xOf - consul-acl-secret.json | jq .SecretID -r",
			Remedy: "name the token in the configuration, under logins: mesh_token: {file: /root/mesh.token}\nor run as root on a mesh server, where the passphrase stands in /var/lib/service-discover/password",
			Source: "TS-mesh; SD",
			Looks:  []string{kindAgent},
		},
	}
}

// nodeChecks are those on the node itself.
func nodeChecks() []checks.Check {
	return []checks.Check{
		{
			ID:         ldapID,
			Title:      "The directory names this node as a mesh server",
			Why:        "service-discover asks the directory at every start, and does not start on a server that is not named there: the next reboot takes it out of the mesh. The setup of a second directory master is known to lose the entry.",
			Manual:     "su - zextras -c 'carbonio prov -l gs $(zmhostname)' | grep -i service",
			Remedy:     "su - zextras -c 'zmprov -l ms $(zmhostname) +zimbraServiceInstalled service-discover +zimbraServiceEnabled service-discover'",
			Source:     "RUR26-chk; SD; ZCT-1765",
			Components: []platform.Component{platform.Mesh},
			Looks:      []string{kindLDAP},
		},
		{
			ID:     pendingID,
			Title:  "No setup script waits to be run",
			Why:    "A package that was installed or upgraded leaves its registration in the mesh to a script. Until it is run the service has no credentials, is not found, or keeps its old settings.",
			Manual: "ls /etc/zextras/pending-setups.d",
			Remedy: "pending-setups -a     # as root; asks for the cluster credential password",
			Source: "CO-2745; CO-3732; pending-setups",
			Looks:  []string{kindSetups},
		},
	}
}
