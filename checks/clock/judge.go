package clock

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// everyNode is the target of a verdict on all nodes together.
const everyNode = "all nodes"

// synchronizedBelow is where systemd draws the line (timedated: ntp_synced): a
// kernel whose largest possible error is smaller was disciplined not long ago.
// chronyd without rtcsync leaves the kernel's own flag unset.
const synchronizedBelow = 16 * time.Second

// A node is all that one vantage saw.
type node struct {
	name    string
	seen    checks.Observation // of the machine
	machine machine
	servers []asked
}

// asked is a server and what became of asking it.
type asked struct {
	checks.Observation
	answer
}

// usable is the reply that may be used; nil without one.
func (a asked) usable() *reply {
	if a.Best == nil || a.Best.Refused != "" {
		return nil
	}
	return a.Best
}

// guest says that the node is a container that leaves the clock to its host;
// its packaged configuration may name servers all the same.
func (n node) guest() bool { return n.machine.Container != "" && len(n.machine.Services) == 0 }

// gather sorts the observations by vantage and server.
func gather(seen []checks.Observation) []node {
	byName := map[string]*node{}
	at := func(o checks.Observation) *node {
		n, ok := byName[o.Vantage]
		if !ok {
			// Without its machine's observation a node is a stranger to itself.
			n = &node{name: o.Vantage, seen: checks.Observation{Vantage: o.Vantage, Error: "this machine was not looked at"}}
			byName[o.Vantage] = n
		}
		return n
	}
	for o, m := range checks.Of[machine](seen, kindMachine) {
		n := at(o)
		n.seen, n.machine = o, m
	}
	for o, a := range checks.Of[answer](seen, kindServer) {
		n := at(o)
		n.servers = append(n.servers, asked{o, a})
	}
	var out []node
	for _, n := range byName {
		slices.SortFunc(n.servers, func(a, b asked) int { return cmp.Compare(a.Target.Name, b.Target.Name) })
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b node) int { return cmp.Compare(a.name, b.name) })
	return out
}

// judgeNode decides all of a node's own checks but the offset.
func judgeNode(policy platform.Policy, n node) []checks.Finding {
	_, liars := believe(n.servers, time.Duration(policy.ClockWarn))
	of := judgeSources(n, liars)
	if n.seen.Error != "" {
		return append(n.seen.Unseen(n.name, service, synchronized, rtc, timezone), of...)
	}
	return append(of, judgeService(n), judgeSynchronized(n), judgeRTC(n), judgeZone(n))
}

func judgeService(n node) checks.Finding {
	o, m := n.seen, n.machine
	rivals := slices.DeleteFunc(slices.Clone(m.Services), func(s string) bool { return s == phc2sys || timeServices[s] == "" })
	switch {
	case m.Container != "":
		return o.Skip(service, n.name, "a container (%s) has its host's clock: the time service runs there", m.Container)
	case len(rivals) > 1:
		return o.Warn(service, n.name, "%s run side by side, and pull the clock to and fro", strings.Join(rivals, " and ")).
			Saw(strings.Join(rivals, ", ")).Wanted("one of them").
			Fix("systemctl disable --now " + rivals[len(rivals)-1])
	case len(m.Services) > 0:
		return o.Pass(service, n.name, "%s runs", strings.Join(m.Services, " with "))
	case m.Timedatectl["NTP"] == "yes":
		return o.Pass(service, n.name, "systemd says that the time service is active")
	case !m.AllProcesses && m.Timedatectl["NTP"] == "":
		return o.Unknown(service, n.name, "no time service is visible, but this user does not see all processes")
	}
	return o.Fail(service, n.name, "no time service runs").
		Saw("no process of chronyd, systemd-timesyncd or ntpd").Wanted("NTP service: active")
}

func judgeSynchronized(n node) checks.Finding {
	o, m := n.seen, n.machine
	said := m.Timedatectl["NTPSynchronized"]
	switch {
	case m.Kernel == nil && said == "":
		return o.Unknown(synchronized, n.name, "could not be seen: %s; %s", m.Unread["kernel"], m.Unread["timedatectl"])
	case m.Kernel != nil && disciplined(*m.Kernel), said == "yes":
		return o.Pass(synchronized, n.name, "the kernel's clock is synchronised")
	}
	f := o.Fail(synchronized, n.name, "the kernel's clock is not synchronised").
		Saw("System clock synchronized: no").Wanted("System clock synchronized: yes")
	if m.Container != "" {
		return f.Fix("on the host of this container: timedatectl set-ntp true")
	}
	return f
}

func disciplined(k checks.Clock) bool {
	return k.Synchronized || k.MaxError > 0 && k.MaxError < synchronizedBelow
}

func judgeRTC(n node) checks.Finding {
	o, m := n.seen, n.machine
	said := m.Timedatectl["LocalRTC"]
	switch {
	case m.Container != "":
		return o.Skip(rtc, n.name, "a container (%s) has no hardware clock", m.Container)
	case said == "" && m.RTC == "":
		return o.Unknown(rtc, n.name, "could not be seen: %s", m.Unread["rtc"])
	case said == "yes", said == "" && m.RTC == "LOCAL":
		return o.Fail(rtc, n.name, "the hardware clock runs in local time").
			Saw("RTC in local TZ: yes").Wanted("RTC in local TZ: no")
	}
	return o.Pass(rtc, n.name, "the hardware clock runs in UTC")
}

func judgeZone(n node) checks.Finding {
	if z := n.zone(); z != "" {
		return n.seen.Pass(timezone, n.name, "the time zone is %s", z)
	}
	return n.seen.Unknown(timezone, n.name, "could not be seen: %s", n.machine.Unread["zone"])
}

func (n node) zone() string { return cmp.Or(n.machine.Timedatectl["Timezone"], n.machine.Zone) }

// sameZone gives the many names of UTC as one.
func sameZone(z string) string {
	switch strings.TrimPrefix(z, "Etc/") {
	case "UTC", "UCT", "Zulu", "Universal":
		return "UTC"
	}
	return z
}

// judgeZones compares the nodes with what most of them have.
func judgeZones(nodes []node) []checks.Finding {
	byZone := map[string][]string{}
	known := 0
	for _, n := range nodes {
		if z := sameZone(n.zone()); z != "" {
			byZone[z] = append(byZone[z], n.name)
			known++
		}
	}
	if known < 2 {
		return nil
	}
	whole := checks.Observation{At: latest(nodes)}
	var zones []string
	for z := range byZone {
		zones = append(zones, z)
	}
	slices.SortFunc(zones, func(a, b string) int {
		return cmp.Or(cmp.Compare(len(byZone[b]), len(byZone[a])), cmp.Compare(a, b))
	})
	if len(zones) == 1 {
		return []checks.Finding{whole.Pass(timezone, everyNode, "%d nodes are in %s", known, zones[0])}
	}
	var differing []string
	for _, z := range zones[1:] {
		differing = append(differing, fmt.Sprintf("%s is in %s", strings.Join(byZone[z], ", "), z))
	}
	return []checks.Finding{
		whole.Warn(timezone, everyNode, "%s, the others in %s", strings.Join(differing, ", "), zones[0]).
			Saw(strings.Join(differing, "\n")).Wanted(zones[0]),
	}
}

// judgeSources says of the node whether any server answers, and of each server
// that is of no use why. When none is, that is one fault, not one per server.
func judgeSources(n node, liars []asked) []checks.Finding {
	var good, names, faults []string
	var bad []checks.Finding
	unseen := 0
	for _, s := range n.servers {
		names = append(names, s.Target.Name)
		switch fault := s.fault(); {
		case s.Error != "":
			unseen++
			bad = append(bad, s.Unseen(s.Target.Name, sources)...)
		case fault != "":
			bad = append(bad, s.Warn(sources, s.Target.Name, "%s is of no use: %s", s.Target.Name, fault))
			faults = append(faults, s.Target.Name+": "+fault)
		default:
			good = append(good, s.Target.Name)
		}
	}
	for _, s := range liars {
		bad = append(bad, s.Warn(sources, s.Target.Name, "%s differs from the majority of the time servers", s.Target.Name).
			Saw(s.Target.Name+" says the clock is "+apart(s.Best.Offset)).
			Fix("replace the server, or set its clock right"))
	}
	whole := judgeAllSources(n, good, names, unseen)
	if n.seen.Error == "" && (n.guest() || len(n.machine.Sources.Servers) == 0) {
		return []checks.Finding{whole} // not the node's own servers: no fault of the node's
	}
	if len(names) > 0 && len(faults) == len(names) {
		return []checks.Finding{whole.Saw(strings.Join(faults, "\n")).Wanted("at least one answer")}
	}
	return append([]checks.Finding{whole}, bad...)
}

func judgeAllSources(n node, good, names []string, unseen int) checks.Finding {
	o, conf := n.seen, n.machine.Sources
	switch {
	case o.Error != "":
		return o.Unseen(n.name, sources)[0]
	case n.guest():
		return o.Skip(sources, n.name, "a container (%s) has its host's clock: the time servers are named there", n.machine.Container)
	case len(conf.Servers) == 0 && len(conf.Refclocks) > 0:
		return o.Pass(sources, n.name, "the clock follows %s, a clock of this machine (%s)", strings.Join(conf.Refclocks, ", "), conf.File)
	case len(conf.Servers) == 0:
		return o.Warn(sources, n.name, "no time server is configured").
			Saw("no server in chrony.conf, ntp.conf or timesyncd.conf, none from DHCP").Wanted("at least one")
	case len(good) > 0:
		return o.Pass(sources, n.name, "%d of %d time servers answer: %s", len(good), len(names), strings.Join(good, ", "))
	case unseen > 0 || len(names) == 0:
		return o.Unknown(sources, n.name, "no time server of %s is known to answer", conf.File)
	case len(conf.Refclocks) > 0:
		return o.Warn(sources, n.name, "no time server answers, only %s keeps the clock", strings.Join(conf.Refclocks, ", "))
	}
	return o.Fail(sources, n.name, "none of the %d time servers in %s is of use: %s", len(names), conf.File, strings.Join(names, ", "))
}

// fault says why a server is of no use; empty when it is.
func (a asked) fault() string {
	r := a.Best
	switch {
	case r == nil:
		return a.Silence
	case r.Stratum == 0:
		return fmt.Sprintf("it refuses to serve (kiss of death %q)", r.Kiss)
	case r.Stratum >= 16 || r.Leap == 3:
		return fmt.Sprintf("it is not synchronised itself (stratum %d, leap indicator %d)", r.Stratum, r.Leap)
	case r.Refused != "":
		return "its time is not to be used: " + r.Refused
	}
	return ""
}

// believe splits the servers that answer usably into the majority that agrees
// and the others, which lie. Without a majority nobody is called a liar and
// nobody is believed: then both are empty.
func believe(servers []asked, tolerance time.Duration) (believed, liars []asked) {
	var usable []asked
	for _, s := range servers {
		if s.Error == "" && s.usable() != nil {
			usable = append(usable, s)
		}
	}
	slices.SortStableFunc(usable, func(a, b asked) int { return cmp.Compare(a.Best.Offset, b.Best.Offset) })
	from, to := 0, 0 // the largest run within tolerance
	for i := range usable {
		j := i
		for j < len(usable) && usable[j].Best.Offset-usable[i].Best.Offset <= tolerance {
			j++
		}
		if j-i > to-from {
			from, to = i, j
		}
	}
	if 2*(to-from) <= len(usable) {
		return nil, nil
	}
	return usable[from:to], slices.Concat(usable[:from], usable[to:])
}

func judgeOffset(policy platform.Policy, n node) checks.Finding {
	o := n.seen
	believed, _ := believe(n.servers, time.Duration(policy.ClockWarn))
	if len(believed) == 0 {
		return judgeDisagreement(policy, n)
	}
	best := slices.MinFunc(believed, func(a, b asked) int { return cmp.Compare(a.Best.Delay, b.Best.Delay) })
	limit := policy.ClockWarn
	verdict := o.Pass
	// The way there and the way back may differ by as much as both take.
	doubt := best.Best.Delay / 2
	switch off := best.Best.Offset.Abs(); {
	case off-doubt > time.Duration(policy.ClockFail):
		verdict, limit = o.Fail, policy.ClockFail
	case off-doubt > time.Duration(policy.ClockWarn):
		verdict = o.Warn
	case off > time.Duration(policy.ClockWarn):
		return o.Unknown(offset, n.name, "%s took %v to answer, too long to tell the time by", best.Target.Name, rounded(best.Best.Delay)).
			Saw(fmt.Sprintf("%s, give or take %v", apart(best.Best.Offset), rounded(doubt)))
	}
	return verdict(offset, n.name, "the clock is %s", apart(best.Best.Offset)).
		Saw(fmt.Sprintf("%s by %s, %v away, the best of %d", apart(best.Best.Offset), best.Target.Name, rounded(best.Best.Delay), len(believed))).
		Wanted("within " + limit.String())
}

// judgeDisagreement speaks where no majority of the servers agrees, or where
// there is no server to agree.
func judgeDisagreement(policy platform.Policy, n node) checks.Finding {
	o := n.seen
	var nearest, farthest time.Duration
	var said []string
	for _, s := range n.servers {
		r := s.usable()
		if s.Error != "" || r == nil {
			continue
		}
		off := r.Offset.Abs()
		if len(said) == 0 || off < nearest {
			nearest = off
		}
		farthest = max(farthest, off)
		said = append(said, fmt.Sprintf("%s by %s", apart(r.Offset), s.Target.Name))
	}
	seen := strings.Join(said, ", ")
	switch {
	case len(n.servers) == 0 && len(n.machine.Sources.Refclocks) > 0:
		return o.Skip(offset, n.name, "the clock follows %s, and no time server is configured to compare it with", strings.Join(n.machine.Sources.Refclocks, ", "))
	case len(said) == 0:
		return o.Unknown(offset, n.name, "no time server gave a time to compare the clock with")
	case nearest > time.Duration(policy.ClockFail):
		return o.Fail(offset, n.name, "the time servers disagree, and by none of them the clock is right").
			Saw(seen).Wanted("within " + policy.ClockFail.String())
	case farthest <= time.Duration(policy.ClockWarn):
		return o.Pass(offset, n.name, "the clock is within %s by every time server", policy.ClockWarn).Saw(seen)
	}
	return o.Warn(offset, n.name, "the time servers disagree, so it cannot be told whether the clock is right").
		Saw(seen).Fix("name at least three time servers: of two that differ nobody can tell which is right")
}

// judgeSpread compares the clocks of nodes by the server that most of them
// could ask: how far the nodes are apart does not depend on its being right.
func judgeSpread(policy platform.Policy, nodes []node) []checks.Finding {
	server, offsets := commonServer(nodes)
	if len(offsets) < 2 {
		return nil
	}
	first, last := offsets[0], offsets[len(offsets)-1]
	middle := offsets[len(offsets)/2].offset
	spread := last.offset - first.offset
	surely := spread - first.doubt - last.doubt
	whole := checks.Observation{At: latest(nodes)}
	switch {
	case surely > time.Duration(policy.ClockWarn):
	case spread > time.Duration(policy.ClockWarn):
		return []checks.Finding{whole.Unknown(offset, everyNode, "%s took too long to answer to compare the clocks of the nodes by it", server)}
	default:
		return []checks.Finding{whole.Pass(offset, everyNode, "the clocks of %d nodes are within %v of each other by %s", len(offsets), rounded(spread), server)}
	}
	verdict, limit := whole.Warn, policy.ClockWarn
	if surely > time.Duration(policy.ClockFail) {
		verdict, limit = whole.Fail, policy.ClockFail
	}
	far := first
	if last.offset-middle > middle-first.offset {
		far = last
	}
	return []checks.Finding{
		verdict(offset, everyNode, "the clocks of the nodes are up to %v apart by %s, %s the farthest from the others", rounded(spread), server, far.node).
			Saw(fmt.Sprintf("%s %s, %s %s", first.node, apart(first.offset), last.node, apart(last.offset))).
			Wanted("within " + limit.String()),
	}
}

// nodeOffset is the offset that one node measured.
type nodeOffset struct {
	node   string
	offset time.Duration
	doubt  time.Duration // half the time that the answer took
}

// commonServer is the server that most nodes could ask, the first by name of
// those, and what each of them measured, sorted.
func commonServer(nodes []node) (string, []nodeOffset) {
	byServer := map[string][]nodeOffset{}
	for _, n := range nodes {
		for _, s := range n.servers {
			if r := s.usable(); s.Error == "" && r != nil {
				byServer[s.Target.Name] = append(byServer[s.Target.Name], nodeOffset{n.name, r.Offset, r.Delay / 2})
			}
		}
	}
	var best string
	for name, offsets := range byServer {
		if d := len(offsets) - len(byServer[best]); d > 0 || d == 0 && name < best {
			best = name
		}
	}
	offsets := byServer[best]
	slices.SortFunc(offsets, func(a, b nodeOffset) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.node, b.node))
	})
	return best, offsets
}

// latest is when the last of the nodes was looked at.
func latest(nodes []node) time.Time {
	var at time.Time
	for _, n := range nodes {
		if n.seen.At.After(at) {
			at = n.seen.At
		}
	}
	return at
}

// apart says how far a clock is off: the offset is what must be added to it.
func apart(offset time.Duration) string {
	switch off := rounded(offset.Abs()); {
	case off == 0:
		return "within 0.1ms"
	case offset > 0:
		return fmt.Sprintf("%v slow", off)
	default:
		return fmt.Sprintf("%v fast", off)
	}
}

// rounded gives three or four digits that mean something.
func rounded(d time.Duration) time.Duration {
	switch {
	case d.Abs() >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d.Abs() >= 10*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(100 * time.Microsecond)
}
