package platform

import "time"

// Profile is the least machine for a node that holds any of its components.
type Profile struct {
	Name       string      `yaml:"name" json:"name"`
	Components []Component `yaml:"components" json:"components"`
	CPUs       int         `yaml:"cpus" json:"cpus"`
	MemoryGB   float64     `yaml:"memory_gb" json:"memory_gb"`
	DiskGB     float64     `yaml:"disk_gb" json:"disk_gb"` // the system's disk, without mail
}

// Profiles are the manual's numbers of earlier releases; it gives none today,
// because sizing is agreed with Zextras.
var Profiles = []Profile{
	// Scenario Single Server, 2024-2025.
	{Name: "single server", Components: nil, CPUs: 8, MemoryGB: 24, DiskGB: 100},
	// Multi-server installation, 2023-11.
	{Name: "core", Components: []Component{Database, Directory, Mesh, Kafka, ZooKeeper}, CPUs: 4, MemoryGB: 8, DiskGB: 30},
	{Name: "MTA and proxy", Components: []Component{MTA, Proxy}, CPUs: 4, MemoryGB: 10, DiskGB: 30},
	{Name: "mailstore", Components: []Component{Mailstore}, CPUs: 4, MemoryGB: 16, DiskGB: 30},
	// Requirements, 26.6: Files needs 4 GB to start, its node at least 6 GB.
	{Name: "Files", Components: []Component{Files}, CPUs: 4, MemoryGB: 6, DiskGB: 30},
	{Name: "collaboration", Components: []Component{Docs, Preview, Tasks, Chats}, CPUs: 4, MemoryGB: 8, DiskGB: 30},
	{Name: "video", Components: []Component{Video}, CPUs: 4, MemoryGB: 8, DiskGB: 30},
	{Name: "monitoring", Components: []Component{Monitoring, Syslog}, CPUs: 4, MemoryGB: 8, DiskGB: 30},
}

// ProfileFor is the least machine for a node: for each resource the largest of
// the profiles of its components. A node that is the whole platform takes the
// profile without components. Name joins the profiles it was taken from.
func ProfileFor(profiles []Profile, n Node, t Topology) Profile {
	var out Profile
	alone := len(t.Nodes) == 1
	for _, q := range profiles {
		single := len(q.Components) == 0
		if single != alone || !single && !n.Has(q.Components...) {
			continue
		}
		if out.Name != "" {
			out.Name += ", "
		}
		out.Name += q.Name
		out.CPUs = max(out.CPUs, q.CPUs)
		out.MemoryGB = max(out.MemoryGB, q.MemoryGB)
		out.DiskGB = max(out.DiskGB, q.DiskGB)
	}
	return out
}

// Duration is a time.Duration that reads and writes as "500ms".
type Duration time.Duration

// String gives "500ms".
func (d Duration) String() string { return time.Duration(d).String() }

// MarshalText makes a duration a string in JSON and YAML.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads "500ms".
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}
