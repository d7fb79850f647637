// Package clock looks at the time: whether the kernel's clock is disciplined,
// by whom, from which servers, and how far off it really is.
package clock

import (
	"net"
	"strconv"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "clock",
	Checks:   catalogue,
	Settings: []checks.AnySetting{ntpServers, clockWarn, clockFail},
	Judge:    judge,
}

var catalogue = []*checks.Check{service, sources, synchronized, offset, rtc, timezone}

var (
	// machines is what this machine says of its own clock.
	machines = &checks.Look[checks.Nothing, machine]{Kind: "machine", Targets: self, Observe: observeMachine}
	// servers is what a time server says of it.
	servers = &checks.Look[checks.Nothing, answer]{Kind: "server", Targets: targets, Observe: observeServer}

	onMachine = []checks.AnyLook{machines}
	onBoth    = []checks.AnyLook{machines, servers}
)

var service = &checks.Check{
	ID:      "clock.service",
	Title:   "One time service runs on the node",
	Why:     "Without one the clock drifts by seconds a week; two of them pull it to and fro.",
	Manual:  "timedatectl | grep 'NTP service'\nps -eo comm= | grep -E 'chronyd|ntpd|timesyn'",
	Remedy:  "timedatectl set-ntp true",
	Sources: []platform.Source{platform.ScenarioHA.On("timedatectl must show NTP service: active")},
	Looks:   onMachine,
}

var sources = &checks.Check{
	ID:      "clock.sources",
	Title:   "The node has time servers, and they answer",
	Why:     "A time service without a server that answers leaves the clock to itself, and says nothing about it.",
	Manual:  "chronyc sources     # chrony\nntpq -p             # ntpd\ntimedatectl timesync-status",
	Remedy:  "allow outgoing 123/udp to the time servers, or name servers that answer:\nchrony      server NAME iburst in /etc/chrony.conf or /etc/chrony/chrony.conf\ntimesyncd   NTP=NAME in /etc/systemd/timesyncd.conf",
	Sources: []platform.Source{platform.Policy, platform.ScenarioHA.On("wants synchronised clocks")},
	Looks:   onBoth,
}

var synchronized = &checks.Check{
	ID:      "clock.synchronized",
	Title:   "The kernel's clock is synchronised",
	Why:     "With clocks apart, external LDAP and AD authentication fail, directory masters order changes wrongly and certificates are not yet, or no longer, valid.",
	Manual:  "timedatectl | grep synchronized",
	Remedy:  "timedatectl set-ntp true\ntimedatectl                # wait for: System clock synchronized: yes\nchronyc makestep           # chrony: step at once",
	Sources: []platform.Source{platform.ScenarioHA.On("timedatectl must show System clock synchronized: yes")},
	Needs:   []*checks.Check{service, sources},
	Looks:   onMachine,
}

var offset = &checks.Check{
	ID:      "clock.offset",
	Title:   "The clock is right, and the same on every node",
	Why:     "LDAP replication orders changes by the clocks of the masters, Kerberos refuses five minutes, S3 refuses fifteen; logs of several nodes cannot be read together.",
	Manual:  "chronyc tracking\ntimedatectl timesync-status\nchronyd -Q 'server NAME iburst'     # asks, and sets nothing",
	Remedy:  "chronyc makestep                          # chrony\nsystemctl restart systemd-timesyncd       # timesyncd",
	Sources: []platform.Source{platform.Policy.On("clock_warn and clock_fail: the manual gives no number")},
	Needs:   []*checks.Check{sources},
	Looks:   onBoth,
}

var rtc = &checks.Check{
	ID:      "clock.rtc",
	Title:   "The hardware clock runs in UTC",
	Why:     "In local time it is wrong for an hour or more after a reboot across a change to or from daylight saving time.",
	Manual:  "timedatectl | grep 'RTC in local TZ'",
	Remedy:  "timedatectl set-local-rtc 0 --adjust-system-clock",
	Sources: []platform.Source{platform.ScenarioHA.On("timedatectl must show RTC in local TZ: no")},
	Looks:   onMachine,
}

var timezone = &checks.Check{
	ID:      "clock.timezone",
	Title:   "The time zone is known, and the same on every node",
	Why:     "carbonio-bootstrap takes the default class of service's time zone from the system; logs in different zones cannot be compared.",
	Manual:  "timedatectl | grep 'Time zone'",
	Remedy:  "timedatectl set-timezone Etc/UTC     # or yours: the same on every node",
	Sources: []platform.Source{platform.Bootstrap, platform.Policy.On("the same on every node")},
	Looks:   onMachine,
}

// self is this machine.
func self(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	node := scope.Self().Node
	return []checks.Target[checks.Nothing]{{Name: node, Node: node}}, nil
}

// targets are the time servers that this machine is configured to use.
func targets(scope checks.Scope, host checks.Host) ([]checks.Target[checks.Nothing], error) {
	conf := configured(host)
	all := conf.Servers
	if len(all) == 0 && len(conf.Refclocks) == 0 {
		for _, name := range ntpServers.In(scope) {
			s, err := parseServer(name)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		}
	}
	var out []checks.Target[checks.Nothing]
	for _, s := range all {
		out = append(out, checks.Target[checks.Nothing]{Name: s.String(), Address: net.JoinHostPort(s.Name, strconv.Itoa(s.Port))})
	}
	return out, nil
}
