// Package inventory reads an Ansible inventory as the Carbonio playbooks will,
// and says what they would stumble over. Its facts are in the scope: it looks
// at nothing but the secret files beside the inventory.
package inventory

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{Name: "inventory", Checks: catalogue, Judge: judge}

var catalogue = []*checks.Check{groups, sizes, roles, brokers, hosts, values, conflicts, secrets, redundancy}

var folder = &checks.Look[file, surroundings]{Kind: "folder", Targets: targets, Observe: observe}

var looks = []checks.AnyLook{folder}

var groups = &checks.Check{
	ID:      "inventory.groups",
	Title:   "The inventory declares every group the playbooks name, and none by a wrong name",
	Why:     "The playbooks read each group by its name: one that is not declared, not even empty, stops them, and the hosts of a misspelt one get no component.",
	Manual:  "ansible-inventory -i carbonio-inventory --graph",
	Remedy:  "declare the group in the inventory, empty if it has no hosts:\n[workStreamServers]",
	Sources: []platform.Source{platform.Installer.On("README, workstreamservers_check"), platform.Cluster.On("CHANGELOG")}, Looks: looks,
}

var sizes = &checks.Check{
	ID:      "inventory.sizes",
	Title:   "Every group holds as many hosts as the playbooks take",
	Why:     "The playbooks stop at other numbers or, worse, configure only the first hosts: HAProxy knows two databases and two directory servers, the mesh has one or three servers.",
	Manual:  "ansible postgresServers:masterDirectoryServers:serviceDiscoverServers -i carbonio-inventory --list-hosts",
	Remedy:  "correct the hosts of the group in the inventory",
	Sources: []platform.Source{platform.Installer.On("pre_installation_checks"), platform.Cluster.On("haproxy.cfg.j2")},
	Needs:   []*checks.Check{groups}, Looks: looks,
}

var roles = &checks.Check{
	ID:      "inventory.roles",
	Title:   "Databases and directory servers have their roles, the first of each the leading one",
	Why:     "The redundancy playbooks copy from the first host to the others; with roles missing, doubled or exchanged they stop, or overwrite the data of the platform with an empty copy.",
	Manual:  "grep -E 'patroni_role|ldap_role' carbonio-inventory",
	Remedy:  "[postgresServers]\nsvc1.example.com postgres_version=16 patroni_role=primary\nsvc2.example.com postgres_version=16 patroni_role=secondary\n\n[masterDirectoryServers]\nsvc1.example.com ldap_role=master\nsvc2.example.com ldap_role=mmr",
	Sources: []platform.Source{platform.HAConfiguration, platform.Cluster.On("README")},
	Needs:   []*checks.Check{groups}, Looks: looks,
}

var brokers = &checks.Check{
	ID:      "inventory.brokers",
	Title:   "Three Kafka brokers, with ids that make a quorum",
	Why:     "The playbook writes the voters as 1, 2, 3 in the order of the group: with other ids, another order or another number of brokers the quorum never forms.",
	Manual:  "sed -n '/^\\[kafka\\]/,/^\\[postgres/p' carbonio-inventory",
	Remedy:  "[kafka]\nsvc1.example.com broker_id=1\nsvc2.example.com broker_id=2\nsvc3.example.com broker_id=3",
	Sources: []platform.Source{platform.HAConfiguration, platform.Cluster.On("server.properties.j2")},
	Needs:   []*checks.Check{groups}, Looks: looks,
}

var hosts = &checks.Check{
	ID:      "inventory.hosts",
	Title:   "Every host is a fully qualified name, written once in a group and always alike",
	Why:     "Certificates, the mesh and Kafka take the names from the inventory: an address, a short name or a misspelt domain ends up in all of them.",
	Manual:  "ansible all -i carbonio-inventory --list-hosts",
	Remedy:  "correct the name in the inventory: host.example.com, as hostname -f prints it on that node",
	Sources: []platform.Source{platform.Preliminaries.On("naming"), valuesChecks}, Looks: looks,
}

var values = &checks.Check{
	ID:      "inventory.values",
	Title:   "The variables that the playbooks read have valid values",
	Why:     "They go into the configuration as they stand: an example left from the manual, or a comment behind a value in a :vars section, breaks Postfix, the webmail address or video calls.",
	Manual:  "ansible-inventory -i carbonio-inventory --list | jq ._meta.hostvars",
	Remedy:  "correct the value in the inventory; in a :vars section a comment needs a line of its own",
	Sources: []platform.Source{valuesChecks, commentsInVars}, Looks: looks,
}

var conflicts = &checks.Check{
	ID:      "inventory.conflicts",
	Title:   "No host is in two groups that exclude each other",
	Why:     "Some components take the same port, or need what the other keeps off the node: one of the two will not start.",
	Manual:  "ansible-inventory -i carbonio-inventory --graph",
	Remedy:  "move one of the two to another host",
	Sources: []platform.Source{platform.Cluster.On("install_haproxy, haproxy.cfg.j2"), platform.Redundant}, Looks: looks,
}

var secrets = &checks.Check{
	ID:      "inventory.secrets",
	Title:   "The generated passwords stand beside the inventory, and only their owner reads them",
	Why:     "Playbooks before 25.12 silently make a new password where a file is missing, which does not match the platform; later ones stop. Whoever reads the files owns the platform.",
	Manual:  "ls -l carbonio-inventory_*",
	Remedy:  "copy the files from the folder in which the platform was installed; chmod 600 carbonio-inventory_*",
	Sources: []platform.Source{platform.HAConfiguration, platform.Cluster.On("password-checks")}, Looks: looks,
}

var redundancy = &checks.Check{
	ID:      "inventory.redundancy",
	Title:   "Every component of a redundant platform survives the loss of a node",
	Why:     "A component that runs on one node only stops with it, however redundant the others are.",
	Manual:  "ansible-inventory -i carbonio-inventory --graph",
	Remedy:  "add a second host to the group in the inventory and install it there",
	Sources: []platform.Source{platform.ScenarioHA, platform.Redundant}, Looks: looks,
}

// Parts of sources that several rules rest on.
var (
	haproxy          = []platform.Source{platform.Cluster.On("haproxy.cfg.j2")}
	connectorsPlace  = []platform.Source{platform.HAConfiguration, platform.Cluster.On("README")}
	valuesChecks     = platform.InstallerDevel.On("inventory_values_checks")
	commentsInVars   = platform.Installer.On("CHANGELOG 26.3.1")
	withoutZooKeeper = platform.Cluster.On("CHANGELOG 25.9")
	singleServer     = []platform.Source{platform.InstallerDevel.On("single_server_checks")}
)
