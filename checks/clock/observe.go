package clock

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/beevik/ntp"

	"carbonio-check/checks"
)

// machine is what a node reports about its own clock.
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
		if there, _ := host.Exists(mark.file); there {
			return mark.kind
		}
	}
	// Outside of one it prints "none" and exits with another status.
	text, err := host.Run(ctx, "systemd-detect-virt", "--container")
	if kind := strings.TrimSpace(text); err == nil && kind != "none" {
		return kind
	}
	return ""
}

// answer is what a time server said.
type answer struct {
	Answered int    `json:"answered,omitempty"`
	Best     *reply `json:"best,omitempty"`
	// Contact is how the attempt ended without a best reply; Unresolved, why the
	// name has no address.
	Contact    checks.Contact `json:"contact,omitzero"`
	Unresolved string         `json:"unresolved,omitempty"`
}

// A reply is what one packet of a time server said.
type reply struct {
	Address string        `json:"address"`           // who sent it
	Offset  time.Duration `json:"offset"`            // to be added to our clock
	Delay   time.Duration `json:"delay"`             // the round trip
	Stratum int           `json:"stratum"`           // 1–15; 0 is a kiss of death, 16 not synchronised
	Leap    int           `json:"leap,omitempty"`    // 3: not synchronised
	Kiss    string        `json:"kiss,omitempty"`    // the code of a kiss of death: "RATE"
	Refused string        `json:"refused,omitempty"` // why RFC 5905 forbids using it
}

const (
	// samples is how often a server is asked, at once: enough for one that was
	// not delayed on the way, too few for a public server to mind.
	samples = 4
	// After the first reply the others are awaited this many times as long,
	// and at least a little: a server that limits its rate replies only to the first.
	patience    = 3
	patienceMin = 50 * time.Millisecond
)

// observeServer asks a server several times at once. That it does not respond is
// an observation, not an error, so the wait ends before the look's deadline.
func observeServer(ctx context.Context, host checks.Host, t checks.Target[checks.Nothing]) (answer, error) {
	asking, cancel := checks.Share(ctx, 0.9)
	defer cancel()
	addresses, err := resolve(asking, host.Network, t.Address)
	switch {
	case err != nil && checks.Why(err).Code == checks.Failed:
		return answer{Unresolved: err.Error()}, nil
	case err != nil:
		return answer{}, err
	}
	return ask(ctx, asking, host.Network, addresses)
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
	if err == nil && len(found) == 0 {
		err = errors.New("it has no address")
	}
	var out []string
	for _, a := range found {
		out = append(out, net.JoinHostPort(a.String(), port))
	}
	return out, err
}

// ask shares the samples out among the addresses (a pool, or IPv4 and IPv6 of
// one server) and keeps the reply that took the least time.
func ask(ctx, asking context.Context, network checks.Network, addresses []string) (answer, error) {
	asking, enough := context.WithCancel(asking)
	defer enough()
	type result struct {
		reply reply
		err   error
	}
	results := make(chan result, samples)
	began := time.Now()
	for i := range samples {
		go func() {
			r, err := query(asking, network, addresses[i%len(addresses)])
			results <- result{r, err}
		}()
	}
	var out answer
	var ours error
	for range samples {
		r := <-results
		if r.err != nil {
			c, err := contact(ctx, r.err)
			out.Contact, ours = cmp.Or(out.Contact, c), cmp.Or(ours, err)
			continue
		}
		if out.Answered++; out.Answered == 1 {
			late := time.AfterFunc(max(patience*time.Since(began), patienceMin), enough)
			defer late.Stop()
		}
		if out.Best == nil || better(r.reply, *out.Best) {
			out.Best = &r.reply
		}
	}
	switch {
	case out.Best != nil:
		out.Contact = checks.Contact{}
	case ours != nil:
		return answer{}, ours
	}
	return out, nil
}

// better prefers a reply that may be used, then the faster one.
func better(a, b reply) bool {
	if (a.Refused == "") != (b.Refused == "") {
		return a.Refused == ""
	}
	return a.Delay < b.Delay
}

// query sends one request and waits for its reply.
func query(ctx context.Context, network checks.Network, address string) (reply, error) {
	conn, err := network.Dial(ctx, "udp", address)
	if err != nil {
		return reply{}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	deadline, _ := ctx.Deadline() // checks.Share has set one
	r, err := ntp.QueryWithOptions(address, ntp.QueryOptions{
		Timeout: time.Until(deadline),
		Dialer:  func(string, string) (net.Conn, error) { return conn, nil },
	})
	if err != nil {
		return reply{}, err
	}
	out := reply{Address: address, Offset: r.ClockOffset, Delay: r.RTT, Stratum: int(r.Stratum), Leap: int(r.Leap), Kiss: r.KissCode}
	if err := r.Validate(); err != nil {
		out.Refused = err.Error()
	}
	return out, nil
}

// contact is how a request without a reply ended. What is ours is returned.
func contact(ctx context.Context, err error) (checks.Contact, error) {
	c, unknown := checks.Dialled(ctx, err)
	_, ours := errors.AsType[*net.OpError](err)
	switch {
	case unknown == nil, errors.Is(ctx.Err(), context.Canceled):
		return c, unknown
	case errors.Is(err, net.ErrClosed): // by us, when the time was up
		return checks.Contact{State: checks.Silent}, nil
	case ours:
		return checks.Contact{}, err
	}
	return checks.Contact{State: checks.Stranger, Words: "time server: " + err.Error()}, nil
}
