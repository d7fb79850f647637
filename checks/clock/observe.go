package clock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
)

// machine is what a node says of its own clock.
type machine struct {
	Kernel *checks.Clock `json:"kernel,omitempty"`
	// Timedatectl holds NTP, NTPSynchronized, Timezone and LocalRTC; empty
	// without systemd's bus.
	Timedatectl map[string]string `json:"timedatectl,omitempty"`
	// Services are the time services that run; AllProcesses says that none
	// could have hidden (hidepid of /proc).
	Services     []string      `json:"services,omitempty"`
	AllProcesses bool          `json:"all_processes"`
	Zone         string        `json:"zone,omitempty"`      // by /etc/localtime
	RTC          string        `json:"rtc,omitempty"`       // "UTC" or "LOCAL", by /etc/adjtime
	Container    string        `json:"container,omitempty"` // the kind of container; empty: none
	Sources      configuration `json:"sources"`
	// Unread says by field why it is empty.
	Unread map[string]string `json:"unread,omitempty"`
}

// answer is what a time server said, if anything.
type answer struct {
	Asked    int    `json:"asked"`
	Answered int    `json:"answered"`
	Best     *reply `json:"best,omitempty"`
	Silence  string `json:"silence,omitempty"` // why there is no best reply
}

const (
	// samples is how often a server is asked, at once: enough for one that was
	// not delayed on the way, too few for a public server to mind.
	samples = 4
	// After the first answer the others are awaited this many times as long,
	// and at least a little: a server that limits its rate answers only the first.
	patience    = 3
	patienceMin = 50 * time.Millisecond
)

// Observe looks at the machine or at a time server.
func (Module) Observe(ctx context.Context, host checks.Host, target checks.Target) (any, error) {
	if target.Kind == kindMachine {
		return observeMachine(ctx, host), nil
	}
	return observeServer(ctx, host.Network, target.Address)
}

func observeMachine(ctx context.Context, host checks.Host) machine {
	m := machine{Sources: configured(host), Container: container(ctx, host), Unread: map[string]string{}}
	if k, err := host.Machine.Clock(); err != nil {
		m.Unread["kernel"] = err.Error()
	} else {
		m.Kernel = &k
	}
	var err error
	if m.Services, m.AllProcesses, err = services(ctx, host.Machine); err != nil {
		m.Unread["services"] = err.Error()
	}
	if m.Zone, err = zone(host); err != nil {
		m.Unread["zone"] = err.Error()
	}
	if m.RTC, err = hardwareClock(host); err != nil {
		m.Unread["rtc"] = err.Error()
	}
	if m.Timedatectl, err = timedatectl(ctx, host); err != nil {
		m.Unread["timedatectl"] = err.Error()
	}
	return m
}

// timedatectl asks systemd, in half the time there is: a bus that hangs must
// not cost what the files say.
func timedatectl(ctx context.Context, host checks.Host) (map[string]string, error) {
	if deadline, ok := ctx.Deadline(); ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	text, err := host.Run(ctx, "timedatectl", "show", "-p", "NTPSynchronized", "-p", "NTP", "-p", "Timezone", "-p", "LocalRTC")
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
// cuts a name after fifteen letters, so that of timesyncd may come short.
var timeServices = map[string]string{
	"chronyd":           "chronyd",
	"ntpd":              "ntpd",
	phc2sys:             phc2sys,
	"systemd-timesyn":   "systemd-timesyncd",
	"systemd-timesyncd": "systemd-timesyncd",
}

// services are the time services that run, each once however many processes it
// has. Process 1 in the list tells that other users' processes are visible.
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
	if errors.Is(err, fs.ErrNotExist) {
		return "UTC", nil
	}
	if err != nil {
		return "", err
	}
	lines := strings.Split(text, "\n")
	if len(lines) > 2 && strings.TrimSpace(lines[2]) == "LOCAL" {
		return "LOCAL", nil
	}
	return "UTC", nil
}

// container is the kind of container we are in: its clock is the host's.
func container(ctx context.Context, host checks.Host) string {
	if text, err := host.ReadFile("run/systemd/container"); err == nil {
		return cmp.Or(strings.TrimSpace(text), "container")
	}
	for _, mark := range []struct{ file, kind string }{{".dockerenv", "docker"}, {"run/.containerenv", "podman"}} {
		if there, err := host.Exists(mark.file); err == nil && there {
			return mark.kind
		}
	}
	// It prints "none", with a status of its own, outside of one.
	if text, err := host.Run(ctx, "systemd-detect-virt", "--container"); err == nil {
		if kind := strings.TrimSpace(text); kind != "none" {
			return kind
		}
	}
	return ""
}

// observeServer asks a server several times at once. That it keeps silent is
// an observation, not an error, so the wait ends before the look's deadline.
func observeServer(ctx context.Context, network checks.Network, address string) (any, error) {
	wait := 5 * time.Second
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline) * 9 / 10
	}
	asking, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	addresses, err := resolve(asking, network, address)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return answer{Silence: err.Error()}, nil
	}
	out := ask(asking, network, addresses, wait)
	if out.Best == nil && ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return out, nil
}

// resolve turns "name:port" into addresses to send to.
func resolve(ctx context.Context, network checks.Network, address string) ([]string, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return []string{address}, nil
	}
	found, err := network.Lookup(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("the name does not resolve: %w", err)
	}
	if len(found) == 0 {
		return nil, errors.New("the name has no address")
	}
	var out []string
	for _, a := range found {
		out = append(out, net.JoinHostPort(a.String(), port))
	}
	return out, nil
}

// ask shares the samples out among the addresses (a pool, or IPv4 and IPv6 of
// one server) and keeps the reply that took least time.
func ask(ctx context.Context, network checks.Network, addresses []string, wait time.Duration) answer {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	type result struct {
		reply reply
		err   error
	}
	results := make(chan result, samples)
	for i := range samples {
		go func() {
			r, err := query(ctx, network, addresses[i%len(addresses)], wait)
			results <- result{r, err}
		}()
	}
	out := answer{Asked: samples}
	asked := time.Now()
	for range samples {
		r := <-results
		if r.err != nil {
			out.Silence = cmp.Or(out.Silence, silence(r.err, wait))
			continue
		}
		if out.Answered++; out.Answered == 1 {
			late := time.AfterFunc(max(patience*time.Since(asked), patienceMin), enough)
			defer late.Stop()
		}
		if out.Best == nil || better(r.reply, *out.Best) {
			out.Best = &r.reply
		}
	}
	if out.Best != nil {
		out.Silence = ""
	}
	return out
}

// better prefers a reply that may be used, then the quicker one.
func better(a, b reply) bool {
	if (a.Refused == "") != (b.Refused == "") {
		return a.Refused == ""
	}
	return a.Delay < b.Delay
}
