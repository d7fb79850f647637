// Package inventory reads an Ansible inventory as the Carbonio playbooks will,
// and reports what would stop them or mislead them. Its facts are in the scope:
// the only thing it looks at is the secret files beside the inventory.
package inventory

import (
	"context"
	"errors"
	"io/fs"
	"strings"

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
	Title:   "The inventory declares every group that the playbooks read, with the correct name",
	Why:     "The playbooks read each group by name. They stop at a group that is not declared, even if it has no hosts, and the hosts of a misspelled group get no component.",
	Manual:  "ansible-inventory -i carbonio-inventory --graph",
	Remedy:  "# in the inventory: add the missing group, empty if it has no hosts\n[workStreamServers]",
	Sources: []platform.Source{platform.Installer.On("README, workstreamservers_check"), platform.Cluster.On("CHANGELOG")}, Looks: looks,
}

var sizes = &checks.Check{
	ID:      "inventory.sizes",
	Title:   "Every group has as many hosts as the playbooks expect",
	Why:     "With any other number the playbooks stop or, worse, configure only the first hosts: HAProxy is configured for two databases and two directory servers, and the mesh has one or three servers.",
	Manual:  "ansible postgresServers:masterDirectoryServers:serviceDiscoverServers -i carbonio-inventory --list-hosts",
	Remedy:  "correct the hosts of the group in the inventory",
	Sources: []platform.Source{platform.Installer.On("pre_installation_checks"), platform.Cluster.On("haproxy.cfg.j2")},
	Needs:   []*checks.Check{groups}, Looks: looks,
}

var roles = &checks.Check{
	ID:      "inventory.roles",
	Title:   "Databases and directory servers have their roles, and the first host of each group leads",
	Why:     "The redundancy playbooks copy data from the first host to the others. If roles are missing, duplicated or swapped they stop, or overwrite the platform's data with an empty copy.",
	Manual:  "grep -E 'patroni_role|ldap_role' carbonio-inventory",
	Remedy:  "[postgresServers]\nsvc1.example.com postgres_version=16 patroni_role=primary\nsvc2.example.com postgres_version=16 patroni_role=secondary\n\n[masterDirectoryServers]\nsvc1.example.com ldap_role=master\nsvc2.example.com ldap_role=mmr",
	Sources: []platform.Source{platform.HAConfiguration, platform.Cluster.On("README")},
	Needs:   []*checks.Check{groups}, Looks: looks,
}

var brokers = &checks.Check{
	ID:      "inventory.brokers",
	Title:   "There are three Kafka brokers, with IDs that form a quorum",
	Why:     "The playbook writes the voters as 1, 2, 3 in the order of the group. With other IDs, another order or another number of brokers, the quorum never forms.",
	Manual:  "sed -n '/^\\[kafka\\]/,/^\\[postgres/p' carbonio-inventory",
	Remedy:  "[kafka]\nsvc1.example.com broker_id=1\nsvc2.example.com broker_id=2\nsvc3.example.com broker_id=3",
	Sources: []platform.Source{platform.HAConfiguration, platform.Cluster.On("server.properties.j2")},
	Needs:   []*checks.Check{groups}, Looks: looks,
}

var hosts = &checks.Check{
	ID:      "inventory.hosts",
	Title:   "Every host is a fully qualified name, listed once per group and always spelled the same",
	Why:     "Certificates, the mesh and Kafka take their names from the inventory: an address, a short name or a misspelled domain ends up in all of them.",
	Manual:  "ansible all -i carbonio-inventory --list-hosts",
	Remedy:  "correct the name in the inventory: host.example.com, as hostname -f prints it on that node",
	Sources: []platform.Source{platform.Preliminaries.On("naming"), valuesChecks}, Looks: looks,
}

var values = &checks.Check{
	ID:      "inventory.values",
	Title:   "The variables that the playbooks read have valid values",
	Why:     "They are written to the configuration unchanged: an example copied from the manual, or a comment after a value in a :vars section, breaks Postfix, the webmail address or video calls.",
	Manual:  "ansible-inventory -i carbonio-inventory --list | jq ._meta.hostvars",
	Remedy:  "correct the value in the inventory; in a :vars section, put comments on lines of their own",
	Sources: []platform.Source{valuesChecks, commentsInVars}, Looks: looks,
}

var conflicts = &checks.Check{
	ID:      "inventory.conflicts",
	Title:   "No host is in two groups that exclude each other",
	Why:     "Some components use the same port, or need something that is not installed together with the other: one of the two will not start.",
	Manual:  "ansible-inventory -i carbonio-inventory --graph",
	Remedy:  "move one of the two components to another host",
	Sources: []platform.Source{platform.Cluster.On("install_haproxy, haproxy.cfg.j2"), platform.Redundant}, Looks: looks,
}

var secrets = &checks.Check{
	ID:      "inventory.secrets",
	Title:   "The generated password files are next to the inventory, and only their owner can read them",
	Why:     "If a file is missing, playbooks before 25.12 silently generate a new password, which does not match the platform's; later ones stop. Whoever can read the files controls the platform.",
	Manual:  "ls -l carbonio-inventory_*",
	Remedy:  "# where the playbooks run: copy the files from the folder that the platform was installed from\nchmod 600 carbonio-inventory_*",
	Sources: []platform.Source{platform.HAConfiguration, platform.Cluster.On("password-checks")}, Looks: looks,
}

var redundancy = &checks.Check{
	ID:      "inventory.redundancy",
	Title:   "Every component of a redundant platform survives the loss of a node",
	Why:     "A component that runs on a single node stops with it, however redundant the others are.",
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

// secretSuffixes are the files that the playbooks generate beside the
// inventory, named by it.
var secretSuffixes = []string{"_postgrespassword", "_ldap_password", "_consulpassword", replicaSecret}

// replicaSecret is made by the Patroni playbook only.
const replicaSecret = "_postgresreplicapassword"

// A file is an inventory; without a path it was not read from a file.
type file struct {
	Path string `json:"path"`
}

// surroundings is what was seen where the inventory was read.
type surroundings struct {
	Visible bool `json:"visible"` // the inventory itself exists
	// Unseen is why that is not known.
	Unseen  checks.Unseen `json:"unseen,omitzero"`
	Secrets []secret      `json:"secrets,omitempty"`
}

// A secret is one of the files beside the inventory.
type secret struct {
	Suffix  string        `json:"suffix"`
	Present bool          `json:"present"`
	Size    int64         `json:"size,omitempty"`
	Mode    fs.FileMode   `json:"mode,omitempty"` // permissions
	Unseen  checks.Unseen `json:"unseen,omitzero"`
}

// targets is the inventory, where there is one.
func targets(scope checks.Scope, _ checks.Host) ([]checks.Target[file], error) {
	inv := scope.Topology.Inventory
	if inv == nil {
		return nil, nil
	}
	return []checks.Target[file]{{Name: inv.File, Ask: file{inv.Path}}}, nil
}

// observe looks at the secret files, but does not read them. That one cannot be
// seen says nothing about the inventory, so it is recorded as a fact.
func observe(_ context.Context, host checks.Host, t checks.Target[file]) (surroundings, error) {
	var seen surroundings
	if t.Ask.Path == "" {
		return seen, nil
	}
	var err error
	if seen.Visible, err = host.Exists(t.Ask.Path); err != nil {
		seen.Unseen = checks.Why(err)
	}
	if !seen.Visible {
		return seen, nil
	}
	for _, suffix := range secretSuffixes {
		s := secret{Suffix: suffix}
		info, err := fs.Stat(host.Files, strings.TrimPrefix(t.Ask.Path, "/")+suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			s.Unseen = checks.Why(err)
		default:
			s.Present, s.Size, s.Mode = true, info.Size(), info.Mode().Perm()
		}
		seen.Secrets = append(seen.Secrets, s)
	}
	return seen, nil
}
