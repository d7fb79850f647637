package clock

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// machine is what a node says of its own clock.
type machine struct {
	Kernel *checks.Clock `json:"kernel,omitempty"`
	// Timedatectl holds NTP, NTPSynchronized, Timezone and LocalRTC; empty
	// without systemd's bus.
	Timedatectl map[string]string `json:"timedatectl,omitempty"`
	// Services are the time services that run; AllProcesses says that all
	// processes were visible (see hidepid of /proc).
	Services     []string      `json:"services,omitempty"`
	AllProcesses bool          `json:"all_processes"`
	Zone         string        `json:"zone,omitempty"`      // by /etc/localtime
	RTC          string        `json:"rtc,omitempty"`       // "UTC" or "LOCAL", by /etc/adjtime
	Container    string        `json:"container,omitempty"` // the kind of container; empty: none
	Sources      configuration `json:"sources"`
	// Unread says by field why it is empty.
	Unread map[string]checks.Unseen `json:"unread,omitempty"`
}

// observeMachine looks at the machine. Each part may fail by itself.
func observeMachine(ctx context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (machine, error) {
	m := machine{Sources: configured(host), Container: container(ctx, host), Unread: map[string]checks.Unseen{}}
	read := func(part string, err error) {
		if err != nil {
			m.Unread[part] = checks.Why(err)
		}
	}
	k, err := host.Machine.Clock()
	if read("kernel", err); err == nil {
		m.Kernel = &k
	}
	m.Services, m.AllProcesses, err = services(ctx, host.Machine)
	read("services", err)
	m.Zone, err = zone(host)
	read("zone", err)
	m.RTC, err = hardwareClock(host)
	read("rtc", err)
	m.Timedatectl, err = timedatectl(ctx, host)
	read("timedatectl", err)
	return m, nil
}

// timedatectl asks systemd, in half the time there is: a bus that hangs must not
// prevent reading the files.
func timedatectl(ctx context.Context, host checks.Host) (map[string]string, error) {
	half, cancel := checks.Share(ctx, 0.5)
	defer cancel()
	text, err := host.Run(half, "timedatectl", "show", "-p", "NTPSynchronized", "-p", "NTP", "-p", "Timezone", "-p", "LocalRTC")
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if slices.Contains([]string{"NTPSynchronized", "NTP", "Timezone", "LocalRTC"}, key) {
			out[key] = value
		}
	}
	return out, nil
}

// phc2sys sets the clock by a PTP clock; timemaster runs it beside chronyd.
const phc2sys = "phc2sys"

// timeServices are the programs that set the clock, by process name. The kernel
// cuts a name after fifteen letters, so that of timesyncd may be shorter.
var timeServices = map[string]string{
	"chronyd":           "chronyd",
	"ntpd":              "ntpd",
	phc2sys:             phc2sys,
	"systemd-timesyn":   "systemd-timesyncd",
	"systemd-timesyncd": "systemd-timesyncd",
}

// services are the time services that run, each once however many processes it
// has. Process 1 is in the list when other users' processes are visible.
func services(ctx context.Context, m checks.Machine) (found []string, all bool, err error) {
	processes, err := m.Processes(ctx)
	for _, p := range processes {
		all = all || p.PID == 1
		if name, ok := timeServices[p.Name]; ok {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), all && err == nil, err
}

// zone is the name of the zone that /etc/localtime links to; localtime(5):
// where the file is missing the zone is UTC. /etc/timezone is Debian's copy of
// the name, for a link that is a plain file.
func zone(host checks.Host) (string, error) {
	link, err := fs.ReadLink(host.Files, "etc/localtime")
	if errors.Is(err, fs.ErrNotExist) {
		return "UTC", nil
	}
	if _, name, ok := strings.Cut(link, "zoneinfo/"); err == nil && ok {
		return name, nil
	}
	if text, err := host.ReadFile("etc/timezone"); err == nil && strings.TrimSpace(text) != "" {
		return strings.TrimSpace(text), nil
	}
	return "", errors.New("/etc/localtime is not a link to a zone")
}

// hardwareClock is the third line of /etc/adjtime; hwclock(8) and systemd take
// UTC where the file or the line is missing.
func hardwareClock(host checks.Host) (string, error) {
	text, err := host.ReadFile("etc/adjtime")
	switch lines := strings.Split(text, "\n"); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	case len(lines) > 2 && strings.TrimSpace(lines[2]) == "LOCAL":
		return "LOCAL", nil
	}
	return "UTC", nil
}

// container is the kind of container that we run in; empty outside of one.
func container(ctx context.Context, host checks.Host) string {
	if text, err := host.ReadFile("run/systemd/container"); err == nil {
		return cmp.Or(strings.TrimSpace(text), "container")
	}
	for _, mark := range []struct{ file, kind string }{{".dockerenv", "docker"}, {"run/.containerenv", "podman"}} {
		if there, err := host.Exists(mark.file); err == nil && there {
			return mark.kind
		}
	}
	// Outside of one it prints "none" and exits with another status.
	if text, err := host.Run(ctx, "systemd-detect-virt", "--container"); err == nil {
		if kind := strings.TrimSpace(text); kind != "none" {
			return kind
		}
	}
	return ""
}
