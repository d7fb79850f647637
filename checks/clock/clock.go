// Package clock looks at the time: whether the kernel's clock is disciplined,
// by whom, from which servers, and how far off it really is.
package clock

import (
	"net"
	"strconv"

	"carbonio-check/checks"
)

// Module is the subject "clock".
type Module struct{}

// The kinds of look.
const (
	kindMachine = "machine" // what this machine says of its own clock
	kindServer  = "server"  // what a time server says of it
)

const (
	synchronized = "clock.synchronized"
	service      = "clock.service"
	rtc          = "clock.rtc"
	timezone     = "clock.timezone"
	sources      = "clock.sources"
	offset       = "clock.offset"
)

// Name is the subject.
func (Module) Name() string { return "clock" }

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	machine := []string{kindMachine}
	return []checks.Check{
		{
			ID:     service,
			Title:  "One time service runs on the node",
			Why:    "Without one the clock drifts by seconds a week; two of them pull it to and fro.",
			Manual: "timedatectl | grep 'NTP service'\nps -eo comm= | grep -E 'chronyd|ntpd|timesyn'",
			Remedy: "timedatectl set-ntp true",
			Source: "SEED-HA: timedatectl must show NTP service: active",
			Looks:  machine,
		},
		{
			ID:     sources,
			Title:  "The node has time servers, and they answer",
			Why:    "A time service without a server that answers leaves the clock to itself, and says nothing about it.",
			Manual: "chronyc sources     # chrony\nntpq -p             # ntpd\ntimedatectl timesync-status",
			Remedy: "allow outgoing 123/udp to the time servers, or name servers that answer:\nchrony      server NAME iburst in /etc/chrony.conf or /etc/chrony/chrony.conf\ntimesyncd   NTP=NAME in /etc/systemd/timesyncd.conf",
			Source: "policy; SEED-HA wants synchronised clocks",
			Looks:  []string{kindMachine, kindServer},
		},
		{
			ID:     synchronized,
			Title:  "The kernel's clock is synchronised",
			Why:    "With clocks apart, external LDAP and AD authentication fail, directory masters order changes wrongly and certificates are not yet, or no longer, valid.",
			Manual: "timedatectl | grep synchronized",
			Remedy: "timedatectl set-ntp true\ntimedatectl                # wait for: System clock synchronized: yes\nchronyc makestep           # chrony: step at once",
			Source: "SEED-HA: timedatectl must show System clock synchronized: yes",
			Needs:  []string{service, sources},
			Looks:  machine,
		},
		{
			ID:     offset,
			Title:  "The clock is right, and the same on every node",
			Why:    "LDAP replication orders changes by the clocks of the masters, Kerberos refuses five minutes, S3 refuses fifteen; logs of several nodes cannot be read together.",
			Manual: "chronyc tracking\ntimedatectl timesync-status\nchronyd -Q 'server NAME iburst'     # asks, and sets nothing",
			Remedy: "chronyc makestep                          # chrony\nsystemctl restart systemd-timesyncd       # timesyncd",
			Source: "policy clock_warn, clock_fail: the manual gives no number",
			Needs:  []string{sources},
			Looks:  []string{kindMachine, kindServer},
		},
		{
			ID:     rtc,
			Title:  "The hardware clock runs in UTC",
			Why:    "In local time it is wrong for an hour or more after a reboot across a change to or from daylight saving time.",
			Manual: "timedatectl | grep 'RTC in local TZ'",
			Remedy: "timedatectl set-local-rtc 0 --adjust-system-clock",
			Source: "SEED-HA: timedatectl must show RTC in local TZ: no",
			Looks:  machine,
		},
		{
			ID:     timezone,
			Title:  "The time zone is known, and the same on every node",
			Why:    "carbonio-bootstrap takes the default class of service's time zone from the system; logs in different zones cannot be compared.",
			Manual: "timedatectl | grep 'Time zone'",
			Remedy: "timedatectl set-timezone Etc/UTC     # or yours: the same on every node",
			Source: "BOOT; policy: the same on every node",
			Looks:  machine,
		},
	}
}

// Targets are this machine and each time server that it is configured to use.
func (Module) Targets(scope checks.Scope, host checks.Host) ([]checks.Target, error) {
	node := scope.Self().Node
	out := []checks.Target{{Kind: kindMachine, Name: node, Node: node}}
	conf := configured(host)
	servers := conf.Servers
	if len(servers) == 0 && len(conf.Refclocks) == 0 {
		for _, name := range scope.Policy.NTPServers {
			servers = append(servers, policyServer(name))
		}
	}
	for _, s := range servers {
		out = append(out, checks.Target{Kind: kindServer, Name: s.String(), Address: net.JoinHostPort(s.Name, strconv.Itoa(s.Port))})
	}
	return out, nil
}

// policyServer reads "ntp.example.com" or "ntp.example.com:1123".
func policyServer(s string) server {
	host, port, err := net.SplitHostPort(s)
	if n, bad := strconv.Atoi(port); err == nil && bad == nil {
		return server{host, n}
	}
	return server{s, ntpPort}
}

// Judge decides. A clock that is wrong by itself was named, so only those that
// are not are compared with each other.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	var alike []node
	nodes := gather(seen)
	for _, n := range nodes {
		clock := judgeOffset(scope.Policy, n)
		out = append(append(out, judgeNode(scope.Policy, n)...), clock)
		if clock.Status != checks.Fail && clock.Status != checks.Warn {
			alike = append(alike, n)
		}
	}
	out = append(out, judgeZones(nodes)...)
	return append(out, judgeSpread(scope.Policy, alike)...)
}
