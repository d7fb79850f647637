package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

var pingRTT = &checks.Setting[platform.Duration]{
	Key: "policy.ping_rtt", Default: platform.Duration(10 * time.Millisecond), Unit: "a duration, such as 10ms",
	Doc:     "A longer round trip between two nodes is a warning; 0 turns this off.",
	Sources: []platform.Source{platform.Policy},
	Within:  checks.Between(0, platform.Duration(time.Minute)),
}

var leastMTU = &checks.Setting[int]{
	Key: "policy.mtu", Default: 1500, Unit: "bytes",
	Doc:     "A smaller path MTU between two nodes is a warning.",
	Sources: []platform.Source{platform.Policy.On("that of Ethernet")},
	Within:  checks.Between(576, 65535),
}

var traceAll = &checks.Setting[bool]{
	Flag: "trace",
	Doc:  "Follow the path to every node, not only to those that do not respond.",
}

var services = &checks.Setting[[]Outbound]{
	Key: "policy.outbound", Default: builtIn,
	Doc:     `What a node must reach outside the platform. components: ["*"] means every node; os is ubuntu or rhel; optional: true turns a failure into a warning. A list given here replaces the built-in one.`,
	Sources: []platform.Source{platform.Preliminaries, platform.Requirements.On("network"), platform.Installer.On("set-repos")},
	Sample:  `- {host: repo.zextras.io, port: 443, components: ["*"], why: Carbonio packages}`,
	Check: func(list []Outbound) error {
		for _, o := range list {
			if err := o.check(); err != nil {
				return fmt.Errorf("%s: %w", o, err)
			}
		}
		return nil
	},
}

// An Outbound is a service outside the platform that some nodes need.
type Outbound struct {
	Host       string               `yaml:"host" json:"host"`
	Port       int                  `yaml:"port" json:"port"`
	Components []platform.Component `yaml:"components" json:"components"` // who needs it
	OS         string               `yaml:"os" json:"os,omitempty"`       // "ubuntu" or "rhel"; empty: both
	Why        string               `yaml:"why" json:"why"`
	Optional   bool                 `yaml:"optional" json:"optional,omitempty"` // missing it is a warning
	Until      platform.Release     `yaml:"until" json:"until,omitzero"`        // first release that no longer needs it
	// Sources of an entry that is built in; without any those of the check hold.
	Sources []platform.Source `yaml:"-" json:"-"`
}

var (
	every      = []platform.Component{platform.Every}
	postgres   = []platform.Component{platform.Database, platform.DBConnector, platform.Chats}
	start      = []platform.Source{platform.Preliminaries}
	repository = []platform.Source{platform.Preliminaries, platform.Installer.On("set-repos")}
	internet   = []platform.Source{platform.Requirements.On("network")}
)

var builtIn = []Outbound{
	{Host: "repo.zextras.io", Port: 443, Components: every, Why: "Carbonio packages", Sources: start},
	{Host: "keyserver.ubuntu.com", Port: 443, Components: every, OS: "ubuntu", Why: "repository key", Sources: start},
	{Host: "apt.postgresql.org", Port: 443, Components: postgres, OS: "ubuntu", Why: "PostgreSQL packages", Sources: repository},
	{Host: "www.postgresql.org", Port: 443, Components: postgres, OS: "ubuntu", Why: "PostgreSQL repository key", Sources: repository},
	{Host: "download.postgresql.org", Port: 443, Components: postgres, OS: "rhel", Why: "PostgreSQL packages", Sources: repository},
	{Host: "dl.fedoraproject.org", Port: 443, Components: every, OS: "rhel", Why: "EPEL", Sources: internet},
	{Host: "archive.apache.org", Port: 443, Components: []platform.Component{platform.Kafka}, Why: "Kafka tarball (or use the offline playbook)", Sources: []platform.Source{platform.Cluster}},
	{Host: "dlcdn.apache.org", Port: 443, Components: []platform.Component{platform.ZooKeeper}, Why: "ZooKeeper tarball", Until: platform.R25_9, Sources: []platform.Source{platform.ClusterZooKeeper}},
	{Host: "api.zextras.io", Port: 443, Components: []platform.Component{platform.Mailstore}, Why: "licence activation and renewal", Sources: []platform.Source{platform.License}},
	{Host: "notification.zextras.io", Port: 443, Components: []platform.Component{platform.Chats}, Why: "mobile push", Optional: true, Sources: internet},
}

// String is the service as a target: "repo.zextras.io:443".
func (o Outbound) String() string { return net.JoinHostPort(o.Host, strconv.Itoa(o.Port)) }

// check says what is wrong with an entry.
func (o Outbound) check() error {
	_, notIP := netip.ParseAddr(o.Host)
	switch {
	case notIP != nil && !platform.ValidFQDN(o.Host):
		return fmt.Errorf("host %q is neither a full name nor an address", o.Host)
	case o.Port < 1 || o.Port > 65535:
		return fmt.Errorf("port %d: want 1 to 65535", o.Port)
	case len(o.Components) == 0:
		return errors.New(`components: no node needs it; ["*"] means every node`)
	case o.OS != "" && o.OS != "ubuntu" && o.OS != "rhel":
		return fmt.Errorf("os %q: want ubuntu, rhel or nothing", o.OS)
	}
	for _, c := range o.Components {
		if _, known := c.Info(); !known && c != platform.Every {
			return fmt.Errorf("there is no component %q", c)
		}
	}
	return nil
}
