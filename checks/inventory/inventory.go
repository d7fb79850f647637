// Package inventory reads an Ansible inventory as the Carbonio playbooks will,
// and says what they would stumble over. Its facts are in the scope: it looks
// at nothing but the secret files beside the inventory.
package inventory

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject "inventory".
type Module struct{}

// The IDs of the checks.
const (
	groupsID     = "inventory.groups"
	sizesID      = "inventory.sizes"
	rolesID      = "inventory.roles"
	brokersID    = "inventory.brokers"
	hostsID      = "inventory.hosts"
	valuesID     = "inventory.values"
	conflictsID  = "inventory.conflicts"
	secretsID    = "inventory.secrets"
	redundancyID = "inventory.redundancy"
)

const kind = "inventory"

// Name is the subject.
func (Module) Name() string { return "inventory" }

// Targets is the inventory, where there is one.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	inv := scope.Topology.Inventory
	if inv == nil {
		return nil, nil
	}
	return []checks.Target{{Kind: kind, Name: inv.File, Address: inv.Path}}, nil
}

// Checks is the catalogue.
func (Module) Checks() []checks.Check { return catalogue }

var catalogue = []checks.Check{
	{
		ID:     groupsID,
		Title:  "The inventory declares every group the playbooks name, and none by a wrong name",
		Why:    "The playbooks read each group by its name: one that is not declared, not even empty, stops them, and the hosts of a misspelt one get no component.",
		Manual: "ansible-inventory -i carbonio-inventory --graph",
		Remedy: "declare the group in the inventory, empty if it has no hosts:\n[workStreamServers]",
		Source: "AIA workstreamservers_check; AIA README; HAA CHANGELOG",
		Looks:  []string{kind},
	},
	{
		ID:     sizesID,
		Title:  "Every group holds as many hosts as the playbooks take",
		Why:    "The playbooks stop at other numbers or, worse, configure only the first hosts: HAProxy knows two databases and two directory servers, the mesh has one or three servers.",
		Manual: "ansible postgresServers:masterDirectoryServers:serviceDiscoverServers -i carbonio-inventory --list-hosts",
		Remedy: "correct the hosts of the group in the inventory",
		Source: "AIA pre_installation_checks; HAA haproxy.cfg.j2",
		Needs:  []string{groupsID},
		Looks:  []string{kind},
	},
	{
		ID:     rolesID,
		Title:  "Databases and directory servers have their roles, the first of each the leading one",
		Why:    "The redundancy playbooks copy from the first host to the others; with roles missing, doubled or exchanged they stop, or overwrite the data of the platform with an empty copy.",
		Manual: "grep -E 'patroni_role|ldap_role' carbonio-inventory",
		Remedy: "[postgresServers]\nsvc1.example.com postgres_version=16 patroni_role=primary\nsvc2.example.com postgres_version=16 patroni_role=secondary\n\n[masterDirectoryServers]\nsvc1.example.com ldap_role=master\nsvc2.example.com ldap_role=mmr",
		Source: "HA25-conf; HAA README",
		Needs:  []string{groupsID},
		Looks:  []string{kind},
	},
	{
		ID:     brokersID,
		Title:  "Three Kafka brokers, with ids that make a quorum",
		Why:    "The playbook writes the voters as 1, 2, 3 in the order of the group: with other ids, another order or another number of brokers the quorum never forms.",
		Manual: "sed -n '/^\\[kafka\\]/,/^\\[postgres/p' carbonio-inventory",
		Remedy: "[kafka]\nsvc1.example.com broker_id=1\nsvc2.example.com broker_id=2\nsvc3.example.com broker_id=3",
		Source: "HA25-conf; HAA server.properties.j2",
		Needs:  []string{groupsID},
		Looks:  []string{kind},
	},
	{
		ID:     hostsID,
		Title:  "Every host is a fully qualified name, written once in a group and always alike",
		Why:    "Certificates, the mesh and Kafka take the names from the inventory: an address, a short name or a misspelt domain ends up in all of them.",
		Manual: "ansible all -i carbonio-inventory --list-hosts",
		Remedy: "correct the name in the inventory: host.example.com, as hostname -f prints it on that node",
		Source: "PRE naming; AIA-dev inventory_values_checks",
		Looks:  []string{kind},
	},
	{
		ID:     valuesID,
		Title:  "The variables that the playbooks read have valid values",
		Why:    "They go into the configuration as they stand: an example left from the manual, or a comment behind a value in a :vars section, breaks Postfix, the webmail address or video calls.",
		Manual: "ansible-inventory -i carbonio-inventory --list | jq ._meta.hostvars",
		Remedy: "correct the value in the inventory; in a :vars section a comment needs a line of its own",
		Source: "AIA-dev inventory_values_checks; AIA CHANGELOG 26.3.1",
		Looks:  []string{kind},
	},
	{
		ID:     conflictsID,
		Title:  "No host is in two groups that exclude each other",
		Why:    "Some components take the same port, or need what the other keeps off the node: one of the two will not start.",
		Manual: "ansible-inventory -i carbonio-inventory --graph",
		Remedy: "move one of the two to another host",
		Source: "HAA install_haproxy, haproxy.cfg.j2; RUR26",
		Looks:  []string{kind},
	},
	{
		ID:     secretsID,
		Title:  "The generated passwords stand beside the inventory, and only their owner reads them",
		Why:    "Playbooks before 25.12 silently make a new password where a file is missing, which does not match the platform; later ones stop. Whoever reads the files owns the platform.",
		Manual: "ls -l carbonio-inventory_*",
		Remedy: "copy the files from the folder in which the platform was installed; chmod 600 carbonio-inventory_*",
		Source: "HA25-conf; HAA password-checks",
		Looks:  []string{kind},
	},
	{
		ID:     redundancyID,
		Title:  "Every component of a redundant platform survives the loss of a node",
		Why:    "A component that runs on one node only stops with it, however redundant the others are.",
		Manual: "ansible-inventory -i carbonio-inventory --graph",
		Remedy: "add a second host to the group in the inventory and install it there",
		Source: "SEED-HA; RUR26",
		Looks:  []string{kind},
	},
}

// carbonioGroups are the names of all groups that Carbonio knows, and required
// those that a standard install reads: not one may be missing (AIA).
func carbonioGroups() (all, required []string) {
	for _, c := range platform.Components {
		all = append(all, string(c.Component))
		if c.Component != platform.Kafka && c.Component != platform.ZooKeeper {
			required = append(required, string(c.Component))
		}
	}
	return all, required
}
