package clock

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

const (
	everyNode = "all nodes" // the target of a verdict on all nodes together

	// synchronizedBelow is where systemd draws the line (timedated: ntp_synced): a
	// kernel whose largest possible error is smaller was disciplined not long ago.
	// chronyd without rtcsync leaves the kernel's own flag unset.
	synchronizedBelow = 16 * time.Second
)

// judge decides. A clock that is wrong by itself is named, so only the others are
// compared with each other.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	l := limits{time.Duration(clockWarn.In(scope)), time.Duration(clockFail.In(scope))}
	var out []checks.Finding
	var alike []node
	nodes := l.gather(seen)
	for _, n := range nodes {
		clock := l.judgeOffset(n)
		out = append(append(out, judgeNode(n)...), clock)
		if clock.Status != checks.Fail && clock.Status != checks.Warn {
			n.unmeasured = clock.Status == checks.Unknown
			alike = append(alike, n)
		}
	}
	out = append(out, judgeZones(nodes)...)
	return append(out, l.judgeSpread(alike)...), nil
}

// limits are how far a clock may be off.
type limits struct{ warn, fail time.Duration }

// A node is all that one vantage saw.
type node struct {
	name    string
	machine machine
	basis   checks.Proof // of the look at the machine
	unseen  string       // why that saw nothing
	servers []asked      // by name
	// believed are the servers of the majority that agrees, wrong those that
	// contradict it; both are empty without one.
	believed, wrong []asked
	unmeasured      bool // its offset is unknown
}

// Node is the name of the vantage.
func (n node) Node() string { return n.name }

// guest says whether the node is a container that leaves the clock to its host.
// Its packaged configuration may name servers all the same.
func (n node) guest() bool { return n.machine.Container != "" && len(n.machine.Services) == 0 }

// asked is a server and the result of asking it.
type asked struct {
	checks.Sight[checks.Nothing, answer]
	answer
}

// Node is the name of the server: it is one of a group like those of a cluster.
func (a asked) Node() string { return a.Target.Name }

// usable says whether the server gave a time that may be used.
func (a asked) usable() bool { return a.Best != nil && a.Best.Refused == "" }

// gather sorts what was seen by vantage and server.
func (l limits) gather(seen checks.Record) []node {
	byName := map[string]node{}
	for _, v := range cluster.Views(seen, servers, func(s checks.Sight[checks.Nothing, answer]) asked {
		a, _ := s.Got()
		return asked{s, a}
	}) {
		n := node{name: v.Vantage, basis: checks.From(v.Vantage), unseen: "this machine was not looked at", servers: v.Members}
		n.believed, n.wrong = believe(n.servers, l.warn)
		byName[v.Vantage] = n
	}
	for s := range machines.In(seen) {
		n := byName[s.Vantage]
		n.name, n.basis, n.unseen = s.Vantage, s.Proof(), ""
		m, got := s.Got()
		if n.machine = m; !got {
			n.unseen = s.Unseen().String()
		}
		byName[s.Vantage] = n
	}
	return slices.SortedFunc(maps.Values(byName), func(a, b node) int { return cmp.Compare(a.name, b.name) })
}

// judgeNode decides all of a node's own checks but the offset.
func judgeNode(n node) []checks.Finding {
	out := judgeSources(n)
	if n.unseen == "" {
		return append(out, judgeService(n), judgeSynchronized(n), judgeRTC(n), judgeZone(n))
	}
	for _, c := range []*checks.Check{service, synchronized, rtc, timezone} {
		out = append(out, c.Unknown(n.basis, n.name, "could not be seen: %s", n.unseen))
	}
	return out
}

func judgeService(n node) checks.Finding {
	m := n.machine
	rivals := slices.DeleteFunc(slices.Clone(m.Services), func(s string) bool { return s == phc2sys || timeServices[s] == "" })
	switch {
	case m.Container != "":
		return service.Skip(n.basis, n.name, "in a container (%s) the clock is the host's: the time service runs there", m.Container)
	case len(rivals) > 1:
		return service.Warn(n.basis, n.name, "%s run side by side and work against each other", strings.Join(rivals, " and ")).
			Saw(strings.Join(rivals, ", ")).Wanted("only one of them").
			Fix(checks.On(n.name) + "systemctl disable --now " + rivals[len(rivals)-1])
	case len(m.Services) > 0:
		return service.Pass(n.basis, n.name, "%s is running", strings.Join(m.Services, " with "))
	case m.Timedatectl["NTP"] == "yes":
		return service.Pass(n.basis, n.name, "systemd reports the time service as active")
	case !m.AllProcesses && m.Timedatectl["NTP"] == "":
		return service.Unknown(n.basis, n.name, "no time service is visible, but this user cannot see all processes")
	}
	return service.Fail(n.basis, n.name, "no time service is running").
		Saw("no process of chronyd, systemd-timesyncd or ntpd").Wanted("NTP service: active").Fix(checks.On(n.name) + service.Remedy)
}

func judgeSynchronized(n node) checks.Finding {
	m := n.machine
	said := m.Timedatectl["NTPSynchronized"]
	switch {
	case m.Kernel == nil && said == "":
		return synchronized.Unknown(n.basis, n.name, "could not be seen: %s; %s", m.Unread["kernel"], m.Unread["timedatectl"])
	case said == "yes", m.Kernel != nil && (m.Kernel.Synchronized || m.Kernel.MaxError > 0 && m.Kernel.MaxError < synchronizedBelow):
		return synchronized.Pass(n.basis, n.name, "the kernel's clock is synchronised")
	}
	f := synchronized.Fail(n.basis, n.name, "the kernel's clock is not synchronised").
		Saw("System clock synchronized: no").Wanted("System clock synchronized: yes")
	if m.Container != "" {
		return f.Fix("# on the host of the container " + n.name + "\ntimedatectl set-ntp true")
	}
	return f.Fix(checks.On(n.name) + synchronized.Remedy)
}

func judgeRTC(n node) checks.Finding {
	m := n.machine
	said := m.Timedatectl["LocalRTC"]
	switch {
	case m.Container != "":
		return rtc.Skip(n.basis, n.name, "a container (%s) has no hardware clock", m.Container)
	case said == "" && m.RTC == "":
		return rtc.Unknown(n.basis, n.name, "could not be seen: %s", m.Unread["rtc"])
	case said == "yes", said == "" && m.RTC == "LOCAL":
		return rtc.Fail(n.basis, n.name, "the hardware clock is set to local time").
			Saw("RTC in local TZ: yes").Wanted("RTC in local TZ: no").Fix(checks.On(n.name) + rtc.Remedy)
	}
	return rtc.Pass(n.basis, n.name, "the hardware clock is set to UTC")
}

func judgeZone(n node) checks.Finding {
	if z := n.zone(); z != "" {
		return timezone.Pass(n.basis, n.name, "the time zone is %s", z)
	}
	return timezone.Unknown(n.basis, n.name, "could not be seen: %s", n.machine.Unread["zone"])
}

func (n node) zone() string { return cmp.Or(n.machine.Timedatectl["Timezone"], n.machine.Zone) }

// sameZone gives the many names of UTC as one.
func sameZone(z string) string {
	if slices.Contains([]string{"UTC", "UCT", "Zulu", "Universal"}, strings.TrimPrefix(z, "Etc/")) {
		return "UTC"
	}
	return z
}

// platformWide is the proof of a verdict on several nodes: those that were seen.
func platformWide(nodes []node) checks.Proof {
	var all []checks.Proof
	for _, n := range nodes {
		all = append(all, n.basis, checks.Together(n.servers...))
	}
	return checks.Together(all...).Part().Platform()
}

// judgeZones compares the nodes with what most of them have.
func judgeZones(nodes []node) []checks.Finding {
	byZone := map[string][]string{}
	for _, n := range nodes {
		z := sameZone(n.zone())
		byZone[z] = append(byZone[z], n.name)
	}
	unseen := byZone[""]
	delete(byZone, "")
	known := len(nodes) - len(unseen)
	if known < 2 {
		return nil
	}
	zones := slices.SortedFunc(maps.Keys(byZone), func(a, b string) int {
		return cmp.Or(cmp.Compare(len(byZone[b]), len(byZone[a])), cmp.Compare(a, b))
	})
	var differing []string
	for _, z := range zones[1:] {
		differing = append(differing, fmt.Sprintf("%s is in %s", strings.Join(byZone[z], ", "), z))
	}
	f := timezone.Pass(platformWide(nodes), everyNode, "%d nodes are in %s", known, zones[0])
	switch {
	case len(differing) > 0:
		f = timezone.Warn(platformWide(nodes), everyNode, "%s, the others in %s", strings.Join(differing, ", "), zones[0]).
			Saw(strings.Join(differing, "\n")).Wanted(zones[0])
	case len(unseen) > 0:
		f = timezone.Unknown(platformWide(nodes), everyNode, "%d nodes are in %s; the time zone of %s is unknown", known, zones[0], strings.Join(unseen, ", "))
	}
	return []checks.Finding{f}
}

// judgeSources says of the node whether any server responds, and of each unusable
// one why. When all are unusable, that is one fault, not one for each.
func judgeSources(n node) []checks.Finding {
	var good, faults []string
	var bad []checks.Finding
	for _, s := range n.servers {
		name := s.Node()
		_, got := s.Got()
		switch fault := s.fault(); {
		case !got:
			bad = append(bad, sources.Unseen(s, name))
		case fault != "":
			bad = append(bad, sources.Warn(s, name, "%s is unusable: %s", name, fault))
			faults = append(faults, name+": "+fault)
		default:
			good = append(good, name)
		}
	}
	for _, s := range n.wrong {
		bad = append(bad, sources.Warn(s, s.Node(), "%s disagrees with the majority of the time servers", s.Node()).
			Saw("according to "+s.Node()+" the clock is "+apart(s.Best.Offset)).
			Fix(checks.On(n.name)+fmt.Sprintf("# replace %s in %s, or correct its clock", s.Node(), n.machine.Sources.File)))
	}
	whole := judgeAllSources(n, good, faults)
	switch {
	case n.unseen == "" && (n.guest() || len(n.machine.Sources.Servers) == 0):
		return []checks.Finding{whole} // the servers are not the node's own
	case len(faults) > 0 && len(faults) == len(n.servers):
		return []checks.Finding{whole.Saw(strings.Join(faults, "\n")).Wanted("at least one response")}
	}
	return append([]checks.Finding{whole}, bad...)
}

func judgeAllSources(n node, good, faults []string) checks.Finding {
	conf := n.machine.Sources
	clocks := strings.Join(conf.Refclocks, ", ")
	switch {
	case n.unseen != "":
		return sources.Unknown(n.basis, n.name, "could not be seen: %s", n.unseen)
	case n.guest():
		return sources.Skip(n.basis, n.name, "in a container (%s) the clock is the host's: the time servers are configured there", n.machine.Container)
	case len(conf.Servers) == 0 && clocks != "":
		return sources.Pass(n.basis, n.name, "the clock follows %s, a reference clock of this machine (%s)", clocks, conf.File)
	case len(conf.Servers) == 0:
		return sources.Warn(n.basis, n.name, "no time server is configured").
			Saw("no server in chrony.conf, ntp.conf or timesyncd.conf, none from DHCP").Wanted("at least one")
	case len(good) > 0:
		return sources.Pass(checks.Together(n.basis, checks.Together(n.servers...).Part()), n.name, "%d of %d time servers respond: %s",
			len(good), len(n.servers), strings.Join(good, ", "))
	case len(faults) < len(n.servers), len(n.servers) == 0:
		return sources.Unknown(n.basis, n.name, "no time server in %s is known to respond", conf.File)
	case clocks != "":
		return sources.Warn(n.basis, n.name, "no time server responds: the clock only follows %s", clocks)
	}
	return sources.Fail(n.basis, n.name, "none of the %d time servers in %s is usable: %s",
		len(n.servers), conf.File, strings.Join(cluster.Nodes(n.servers), ", "))
}

// fault says why a server is unusable; empty when it is not.
func (a asked) fault() string {
	r := a.Best
	switch {
	case a.Unresolved != "":
		return "its name does not resolve: " + a.Unresolved
	case r == nil:
		return "it " + a.Contact.String()
	case r.Stratum == 0:
		return fmt.Sprintf("it refuses to serve (kiss-o'-death %q)", r.Kiss)
	case r.Stratum >= 16 || r.Leap == 3:
		return fmt.Sprintf("it is not synchronised itself (stratum %d, leap indicator %d)", r.Stratum, r.Leap)
	case r.Refused != "":
		return "its time must not be used: " + r.Refused
	}
	return ""
}

// believe splits the usable servers into the majority that agrees and the others,
// which are wrong. Without a majority neither is known: then both are empty.
func believe(servers []asked, tolerance time.Duration) (believed, wrong []asked) {
	usable := cluster.Those(servers, asked.usable)
	slices.SortStableFunc(usable, func(a, b asked) int { return cmp.Compare(a.Best.Offset, b.Best.Offset) })
	from, to := 0, 0 // the largest run within tolerance
	for i, j := 0, 0; i < len(usable); i++ {
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

func (l limits) judgeOffset(n node) checks.Finding {
	if len(n.believed) == 0 {
		return l.judgeDisagreement(n)
	}
	best := slices.MinFunc(n.believed, func(a, b asked) int { return cmp.Compare(a.Best.Delay, b.Best.Delay) })
	basis := checks.Together(n.believed...)
	off, is := best.Best.Offset.Abs(), apart(best.Best.Offset)
	// The way there and the way back may differ by as much as both take.
	doubt := best.Best.Delay / 2
	limit := l.warn
	var f checks.Finding
	switch {
	case off-doubt > l.fail:
		f, limit = offset.Fail(basis, n.name, "the clock is %s", is), l.fail
	case off-doubt > l.warn:
		f = offset.Warn(basis, n.name, "the clock is %s", is)
	case off > l.warn:
		return offset.Unknown(basis, n.name, "%s took %v to respond, too long to measure the clock by", best.Node(), rounded(best.Best.Delay)).
			Saw(fmt.Sprintf("%s, give or take %v", is, rounded(doubt)))
	default:
		f = offset.Pass(basis, n.name, "the clock is %s", is)
	}
	for _, s := range n.machine.Services {
		if step := stepping[s]; step != "" && f.Status != checks.Pass {
			f = f.Fix(checks.On(n.name) + step)
		}
	}
	return f.Saw(fmt.Sprintf("%s according to %s, %v away, the nearest of %d", is, best.Node(), rounded(best.Best.Delay), len(n.believed))).
		Wanted("within " + limit.String())
}

// stepping sets the clock right at once, by the service that runs.
var stepping = map[string]string{"chronyd": "chronyc makestep", "systemd-timesyncd": "systemctl restart systemd-timesyncd"}

// judgeDisagreement judges the clock where no majority of the servers agrees, or
// none gave a time.
func (l limits) judgeDisagreement(n node) checks.Finding {
	var offsets []time.Duration
	var said []string
	for _, s := range cluster.Those(n.servers, asked.usable) {
		offsets = append(offsets, s.Best.Offset.Abs())
		said = append(said, fmt.Sprintf("%s according to %s", apart(s.Best.Offset), s.Node()))
	}
	clocks := strings.Join(n.machine.Sources.Refclocks, ", ")
	basis := checks.Together(n.servers...)
	switch {
	case len(n.servers) == 0 && clocks != "":
		return offset.Skip(n.basis, n.name, "the clock follows %s, and no time server is configured to compare it with", clocks)
	case len(said) == 0:
		return offset.Unknown(n.basis, n.name, "no time server returned a time to compare the clock with")
	case slices.Min(offsets) > l.fail:
		return offset.Fail(basis, n.name, "the time servers disagree, and the clock is wrong according to all of them").
			Saw(strings.Join(said, ", ")).Wanted("within " + l.fail.String())
	case slices.Max(offsets) <= l.warn:
		return offset.Pass(basis, n.name, "the clock is within %s of every time server", l.warn).Saw(strings.Join(said, ", "))
	}
	return offset.Warn(basis, n.name, "the time servers disagree, so whether the clock is right is unknown").
		Saw(strings.Join(said, ", ")).Fix(checks.On(n.name) + "# configure at least three time servers: when two differ, neither can be trusted")
}

// judgeSpread compares the clocks of nodes by the server that most of them
// could ask: how far the nodes are apart does not depend on its being right.
func (l limits) judgeSpread(nodes []node) []checks.Finding {
	server, offsets := commonServer(nodes)
	if len(offsets) < 2 {
		return nil
	}
	first, last := offsets[0], offsets[len(offsets)-1]
	middle := offsets[len(offsets)/2].offset
	spread := last.offset - first.offset
	surely := spread - first.doubt - last.doubt
	far := first
	if last.offset-middle > middle-first.offset {
		far = last
	}
	unseen := cluster.Nodes(cluster.Those(nodes, func(n node) bool {
		return n.unmeasured && !slices.ContainsFunc(offsets, func(o nodeOffset) bool { return o.node == n.name })
	}))
	said := fmt.Sprintf("up to %v apart according to %s; %s is farthest from the others", rounded(spread), server, far.node)
	saw := fmt.Sprintf("%s %s, %s %s", first.node, apart(first.offset), last.node, apart(last.offset))
	basis := platformWide(nodes)
	var f checks.Finding
	switch {
	case surely > l.fail:
		f = offset.Fail(basis, everyNode, "the clocks of the nodes are %s", said).Saw(saw).Wanted("within " + l.fail.String())
	case surely > l.warn:
		f = offset.Warn(basis, everyNode, "the clocks of the nodes are %s", said).Saw(saw).Wanted("within " + l.warn.String())
	case spread > l.warn:
		f = offset.Unknown(basis, everyNode, "%s took too long to respond to compare the clocks of the nodes", server)
	case len(unseen) > 0:
		f = offset.Unknown(basis, everyNode, "the clocks of %d nodes are within %v of each other according to %s; that of %s is unknown",
			len(offsets), rounded(spread), server, strings.Join(unseen, ", "))
	default:
		f = offset.Pass(basis, everyNode, "the clocks of %d nodes are within %v of each other according to %s", len(offsets), rounded(spread), server)
	}
	return []checks.Finding{f}
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
		for _, s := range cluster.Those(n.servers, asked.usable) {
			byServer[s.Node()] = append(byServer[s.Node()], nodeOffset{n.name, s.Best.Offset, s.Best.Delay / 2})
		}
	}
	var best string
	for _, name := range slices.Sorted(maps.Keys(byServer)) {
		if len(byServer[name]) > len(byServer[best]) {
			best = name
		}
	}
	offsets := byServer[best]
	slices.SortFunc(offsets, func(a, b nodeOffset) int {
		return cmp.Or(cmp.Compare(a.offset, b.offset), cmp.Compare(a.node, b.node))
	})
	return best, offsets
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
