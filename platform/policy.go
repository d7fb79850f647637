package platform

import "time"

// Policy is what to hold a platform against where the manual gives no number,
// or gives one that an administrator may know better. Every default that is
// ours, not the manual's, says so. The configuration file overrides any of them.
type Policy struct {
	// NTPServers are asked when the machine's own configuration names none (ours).
	NTPServers []string `yaml:"ntp_servers" json:"ntp_servers"`
	// ClockWarn and ClockFail bound the offset of a node's clock (ours: the
	// manual has no number; Kerberos stops at five minutes).
	ClockWarn Duration `yaml:"clock_warn" json:"clock_warn"`
	ClockFail Duration `yaml:"clock_fail" json:"clock_fail"`

	// PingRTT is the round trip between two nodes above which we warn (ours).
	PingRTT Duration `yaml:"ping_rtt" json:"ping_rtt"`
	// ResolverTime is the answer time of a resolver above which we warn (ours).
	ResolverTime Duration `yaml:"resolver_time" json:"resolver_time"`
	// MTU is the smallest path MTU that raises no warning, in bytes (ours: Ethernet).
	MTU int `yaml:"mtu" json:"mtu"`
	// Outbound lists what a node must reach outside (REQ26 network, PRE).
	Outbound []Outbound `yaml:"outbound" json:"outbound"`

	// SpaceFree and InodesFree are the least free share of a file system, in
	// per cent (ours).
	SpaceFree  float64 `yaml:"space_free" json:"space_free"`
	InodesFree float64 `yaml:"inodes_free" json:"inodes_free"`

	// Profiles hold CPU, memory and disk by component (REQ25, RED25:
	// the manual's own numbers of earlier releases; sizing is agreed with Zextras).
	Profiles []Profile `yaml:"profiles" json:"profiles"`
	// Users and Quota, in GB, make the size of the mail storage (the manual's
	// example: 150 users of 5 GB need 750 GB beside 30 GB for the system). Zero
	// users: the size is not judged by users.
	Users int     `yaml:"users" json:"users"`
	Quota float64 `yaml:"quota_gb" json:"quota_gb"`

	// S3Throughput, in MB/s of 10^6 bytes, and S3TTFB, the average time to the
	// first byte, are what primary storage must give (S3B). S3Stability is how
	// many times worse either may get as threads grow (ours: "stable" has no
	// number in the manual).
	S3Throughput float64  `yaml:"s3_throughput_mb" json:"s3_throughput_mb"`
	S3TTFB       Duration `yaml:"s3_ttfb" json:"s3_ttfb"`
	S3Stability  float64  `yaml:"s3_stability" json:"s3_stability"`
}

// Outbound is a service outside the platform that some nodes need.
type Outbound struct {
	Host       string      `yaml:"host" json:"host"`
	Port       int         `yaml:"port" json:"port"`
	Components []Component `yaml:"components" json:"components"` // who needs it
	OS         string      `yaml:"os" json:"os,omitempty"`       // "ubuntu" or "rhel"; empty: both
	Why        string      `yaml:"why" json:"why"`
	Optional   bool        `yaml:"optional" json:"optional,omitempty"` // missing it is a warning
	Until      Release     `yaml:"until" json:"until,omitzero"`        // first release that no longer needs it
	Source     string      `yaml:"source" json:"source,omitempty"`
}

// Profile is the least machine for a node that holds any of its components.
type Profile struct {
	Name       string      `yaml:"name" json:"name"`
	Components []Component `yaml:"components" json:"components"`
	CPUs       int         `yaml:"cpus" json:"cpus"`
	MemoryGB   float64     `yaml:"memory_gb" json:"memory_gb"`
	DiskGB     float64     `yaml:"disk_gb" json:"disk_gb"` // the system's disk, without mail
	Source     string      `yaml:"source" json:"source,omitempty"`
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

// DefaultPolicy is the policy without a configuration file.
func DefaultPolicy() Policy {
	return Policy{
		NTPServers:   []string{"ntp.ubuntu.com"},
		ClockWarn:    Duration(500 * time.Millisecond),
		ClockFail:    Duration(5 * time.Second),
		PingRTT:      Duration(10 * time.Millisecond),
		ResolverTime: Duration(200 * time.Millisecond),
		MTU:          1500,
		SpaceFree:    10,
		InodesFree:   10,
		Outbound: []Outbound{
			{Host: "repo.zextras.io", Port: 443, Components: []Component{Every}, Why: "Carbonio packages", Source: "PRE"},
			{Host: "keyserver.ubuntu.com", Port: 443, Components: []Component{Every}, OS: "ubuntu", Why: "repository key", Source: "PRE"},
			{Host: "apt.postgresql.org", Port: 443, Components: []Component{Database, DBConnector, Chats}, OS: "ubuntu", Why: "PostgreSQL packages", Source: "PRE; AIA set-repos"},
			{Host: "www.postgresql.org", Port: 443, Components: []Component{Database, DBConnector, Chats}, OS: "ubuntu", Why: "PostgreSQL repository key", Source: "PRE; AIA set-repos"},
			{Host: "download.postgresql.org", Port: 443, Components: []Component{Database, DBConnector, Chats}, OS: "rhel", Why: "PostgreSQL packages", Source: "PRE; AIA set-repos"},
			{Host: "dl.fedoraproject.org", Port: 443, Components: []Component{Every}, OS: "rhel", Why: "EPEL", Source: "REQ26"},
			{Host: "archive.apache.org", Port: 443, Components: []Component{Kafka}, Why: "Kafka tarball (or use the offline playbook)", Source: "HAA"},
			{Host: "dlcdn.apache.org", Port: 443, Components: []Component{ZooKeeper}, Why: "ZooKeeper tarball", Until: R25_9, Source: "HAA"},
			{Host: "api.zextras.io", Port: 443, Components: []Component{Mailstore}, Why: "licence activation and renewal", Source: "post-install/license"},
			{Host: "notification.zextras.io", Port: 443, Components: []Component{Chats}, Why: "mobile push", Optional: true, Source: "REQ26"},
		},
		Profiles: []Profile{
			{Name: "single server", Components: nil, CPUs: 8, MemoryGB: 24, DiskGB: 100, Source: "scenario-single, 2024-2025"},
			{Name: "core", Components: []Component{Database, Directory, Mesh, Kafka, ZooKeeper}, CPUs: 4, MemoryGB: 8, DiskGB: 30, Source: "multi-server page, 2023-11"},
			{Name: "MTA and proxy", Components: []Component{MTA, Proxy}, CPUs: 4, MemoryGB: 10, DiskGB: 30, Source: "multi-server page, 2023-11"},
			{Name: "mailstore", Components: []Component{Mailstore}, CPUs: 4, MemoryGB: 16, DiskGB: 30, Source: "multi-server page, 2023-11"},
			{Name: "Files", Components: []Component{Files}, CPUs: 4, MemoryGB: 6, DiskGB: 30, Source: "REQ26: Files needs 4 GB to start, its node at least 6 GB"},
			{Name: "collaboration", Components: []Component{Docs, Preview, Tasks, Chats}, CPUs: 4, MemoryGB: 8, DiskGB: 30, Source: "multi-server page, 2023-11"},
			{Name: "video", Components: []Component{Video}, CPUs: 4, MemoryGB: 8, DiskGB: 30, Source: "multi-server page, 2023-11"},
			{Name: "monitoring", Components: []Component{Monitoring, Syslog}, CPUs: 4, MemoryGB: 8, DiskGB: 30, Source: "multi-server page, 2023-11"},
		},
		Quota:        5,
		S3Throughput: 100,
		S3TTFB:       Duration(50 * time.Millisecond),
		S3Stability:  2,
	}
}

// ProfileFor is the least machine for a node: for each resource the largest of
// the profiles of its components. A node that is the whole platform takes the
// profile without components. Name joins the profiles it was taken from.
func (p Policy) ProfileFor(n Node, t Topology) Profile {
	var out Profile
	alone := len(t.Nodes) == 1
	for _, q := range p.Profiles {
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
