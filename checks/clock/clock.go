// Package clock looks at the time: whether the kernel's clock is disciplined,
// by whom, from which servers, and how far off it really is.
package clock

import (
	"net"
	"strconv"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name: "clock", Checks: catalogue, Judge: judge,
	Settings: []checks.AnySetting{ntpServers, clockWarn, clockFail},
}

var catalogue = []*checks.Check{service, sources, synchronized, offset, rtc, timezone}

var (
	// machines is what this machine reports about its own clock.
	machines = &checks.Look[checks.Nothing, machine]{Kind: "machine", Targets: self, Observe: observeMachine}
	// servers is what a time server says of it.
	servers = &checks.Look[checks.Nothing, answer]{Kind: "server", Targets: targets, Observe: observeServer}

	onMachine = []checks.AnyLook{machines}
	onBoth    = []checks.AnyLook{machines, servers}
)

var service = &checks.Check{
	ID:      "clock.service",
	Title:   "One time service runs on the node",
	Why:     "Without one the clock drifts by seconds a week; two of them work against each other.",
	Manual:  "timedatectl | grep 'NTP service'\nps -eo comm= | grep -E 'chronyd|ntpd|timesyn'",
	Remedy:  "timedatectl set-ntp true",
	Sources: []platform.Source{platform.ScenarioHA.On("timedatectl must show NTP service: active")},
	Looks:   onMachine,
}

var sources = &checks.Check{
	ID:      "clock.sources",
	Title:   "The node has time servers, and they respond",
	Why:     "A time service whose servers do not respond leaves the clock uncorrected, and does not report it.",
	Manual:  "chronyc sources     # chrony\nntpq -p             # ntpd\ntimedatectl timesync-status",
	Remedy:  "# allow outgoing 123/udp to the time servers in the firewall, or configure servers that respond:\n# chrony: server ntp.ubuntu.com iburst in /etc/chrony/chrony.conf (RHEL: /etc/chrony.conf), then: systemctl restart chronyd\n# timesyncd: NTP=ntp.ubuntu.com in /etc/systemd/timesyncd.conf, then: systemctl restart systemd-timesyncd",
	Sources: []platform.Source{platform.Policy, platform.ScenarioHA.On("the clocks must be synchronised"), platform.RFC5905.On("which replies must not be used")},
	Looks:   onBoth,
}

var synchronized = &checks.Check{
	ID:      "clock.synchronized",
	Title:   "The kernel's clock is synchronised",
	Why:     "When clocks differ, external LDAP and AD authentication fails, directory masters order changes wrongly, and certificates are rejected as expired or not yet valid.",
	Manual:  "timedatectl | grep synchronized",
	Remedy:  "timedatectl set-ntp true\ntimedatectl                # until it shows System clock synchronized: yes\nchronyc makestep           # chrony: step at once",
	Sources: []platform.Source{platform.ScenarioHA.On("timedatectl must show System clock synchronized: yes")},
	Needs:   []*checks.Check{service, sources}, Looks: onMachine,
}

var offset = &checks.Check{
	ID:      "clock.offset",
	Title:   "The clock is right, and the same on every node",
	Why:     "LDAP replication orders changes by the masters' clocks, Kerberos rejects a difference of five minutes, S3 one of fifteen, and the logs of several nodes cannot be correlated.",
	Manual:  "chronyc tracking\ntimedatectl timesync-status\nchronyd -Q 'server NAME iburst'     # only asks",
	Remedy:  "chronyc makestep                          # chrony\nsystemctl restart systemd-timesyncd       # timesyncd",
	Sources: []platform.Source{platform.Policy.On("clock_warn and clock_fail: the manual gives no number")},
	Needs:   []*checks.Check{sources}, Looks: onBoth,
}

var rtc = &checks.Check{
	ID:      "clock.rtc",
	Title:   "The hardware clock is set to UTC",
	Why:     "In local time it is off by an hour or more when the machine boots after a change to or from daylight saving time.",
	Manual:  "timedatectl | grep 'RTC in local TZ'",
	Remedy:  "timedatectl set-local-rtc 0 --adjust-system-clock",
	Sources: []platform.Source{platform.ScenarioHA.On("timedatectl must show RTC in local TZ: no")},
	Looks:   onMachine,
}

var timezone = &checks.Check{
	ID:      "clock.timezone",
	Title:   "The time zone is known, and the same on every node",
	Why:     "carbonio-bootstrap takes the time zone of the default class of service from the system; logs in different time zones are hard to compare.",
	Manual:  "timedatectl | grep 'Time zone'",
	Remedy:  "timedatectl set-timezone Etc/UTC     # or yours: the same on every node",
	Sources: []platform.Source{platform.Bootstrap, platform.Policy.On("the same on every node")},
	Looks:   onMachine,
}

var ntpServers = &checks.Setting[[]string]{
	Key: "policy.ntp_servers", Default: []string{"ntp.ubuntu.com"},
	Doc:     "The time servers to query when the machine's own configuration has none: a name or an address, with :port if it is not 123.",
	Sources: []platform.Source{platform.Policy},
	Check: func(names []string) error {
		_, err := parseServers(names)
		return err
	},
}

var clockWarn = &checks.Setting[platform.Duration]{
	Key: "policy.clock_warn", Default: platform.Duration(500 * time.Millisecond), Unit: "a duration, such as 500ms",
	Doc:     "How far a node's clock may be off, or differ from the others', before there is a warning; time servers that differ by no more than this agree.",
	Sources: []platform.Source{platform.Policy}, Within: checks.Between(platform.Duration(time.Millisecond), platform.Duration(time.Hour)),
}

var clockFail = &checks.Setting[platform.Duration]{
	Key: "policy.clock_fail", Default: platform.Duration(5 * time.Second), Unit: "a duration, such as 5s",
	Doc:     "How far a node's clock may be off, or differ from the others', before the check fails. Kerberos rejects five minutes.",
	Sources: []platform.Source{platform.Policy}, Within: checks.Between(platform.Duration(time.Millisecond), platform.Duration(24*time.Hour)),
}

// self is this machine.
func self(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	node := scope.Self().Node
	return []checks.Target[checks.Nothing]{{Name: node, Node: node}}, nil
}

// targets are the time servers that this machine is configured to use.
func targets(scope checks.Scope, host checks.Host) ([]checks.Target[checks.Nothing], error) {
	conf := configured(host)
	if conf.File == "" {
		conf.Servers, _ = parseServers(ntpServers.In(scope)) // the setting was checked
	}
	var out []checks.Target[checks.Nothing]
	for _, s := range conf.Servers {
		out = append(out, checks.Target[checks.Nothing]{Name: s.String(), Address: net.JoinHostPort(s.Name, strconv.Itoa(s.Port))})
	}
	return out, nil
}
