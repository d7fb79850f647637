package report

import (
	"fmt"
	"sync"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
	"carbonio-check/runner"
)

// The nodes of the manual's complete HA example.
var platformNodes = []string{
	"svc1", "svc2", "svc3", "mbox1", "mbox2", "mta1", "mta2", "proxy1", "proxy2",
	"filesdocs1", "filesdocs2", "video1", "video2", "wsc1", "wsc2",
}

// A scenario is a run and what was found in it.
type scenario struct {
	run      Run
	findings []checks.Finding
	verdict  runner.Verdict // empty: what the findings make
	coverage runner.Coverage
}

// report is that of the scenario, with the verdict that its findings make.
func (s scenario) report(opts Options) Report {
	j := runner.Judgement{Findings: s.findings, Verdict: runner.NothingChecked, Coverage: s.coverage}
	for _, f := range s.findings {
		switch {
		case f.Status == checks.Fail:
			j.Verdict = runner.NotReady
		case f.Status == checks.Unknown && j.Verdict != runner.NotReady, s.run.Interrupted && j.Verdict != runner.NotReady:
			j.Verdict = runner.Undetermined
		case f.Status != checks.Skip && j.Verdict == runner.NothingChecked:
			j.Verdict = runner.Ready
		}
	}
	if s.verdict != "" {
		j.Verdict = s.verdict
	}
	return New(s.run, j, opts)
}

// checked are the checks of the tests, by ID.
var (
	checked     = map[string]*checks.Check{}
	checkedLock sync.Mutex
)

// check is the check of that ID.
func check(id string) *checks.Check {
	checkedLock.Lock()
	defer checkedLock.Unlock()
	if checked[id] == nil {
		checked[id] = &checks.Check{ID: id}
	}
	return checked[id]
}

func (s *scenario) add(f ...checks.Finding) { s.findings = append(s.findings, f...) }

// pass adds n findings that pass.
func (s *scenario) pass(id string, n int) {
	for i := range n {
		s.add(seen(checks.Pass, id, fmt.Sprintf("target %d", i+1), "as it should be"))
	}
}

// seen is a finding from svc1.
func seen(status checks.Status, id, target, message string) checks.Finding {
	f := checks.Finding{
		Check: check(id), Target: target, Vantage: fqdn("svc1"), Status: status, Message: message,
		Took: 12 * time.Millisecond,
	}
	if status == checks.Fail || status == checks.Warn {
		f.Sources = []platform.Source{platform.Requirements.On("network")}
	}
	return f
}

// blocked is a consequence.
func blocked(id, target, byCheck, byTarget string) checks.Finding {
	f := seen(checks.Skip, id, target, "blocked by "+byCheck+" "+byTarget)
	cause := check(byCheck).On(byTarget)
	f.Cause = &cause
	return f
}

func from(vantage string, f checks.Finding) checks.Finding {
	f.Vantage = fqdn(vantage)
	return f
}

func fqdn(node string) string {
	if node == "" {
		return ""
	}
	return node + ".example.com"
}

// run is one from the given nodes.
func run(vantages ...string) Run {
	r := Run{
		ID: "0123456789abcdef", Tool: "0.1.0", Release: "26.6", Inventory: "inventory", Nodes: len(platformNodes),
		Started: time.Date(2026, 7, 1, 9, 30, 0, 0, time.UTC), Duration: 2140 * time.Millisecond,
	}
	for _, v := range vantages {
		r.Vantages = append(r.Vantages, checks.Vantage{
			Node: fqdn(v), Phase: checks.Preinstall, Release: platform.R26_6, ReleaseFrom: "/opt/zextras/.version",
			OS: checks.OS{ID: "ubuntu", Version: "24.04", Codename: "noble", Like: "debian", Pretty: "Ubuntu 24.04.1 LTS"},
		})
	}
	return r
}

// scenarios are what the golden files show.
func scenarios() map[string]scenario {
	return map[string]scenario{
		"healthy":     healthy(),
		"faults":      faults(),
		"unknown":     unknown(),
		"empty":       {run: run("svc1")},
		"interrupted": interrupted(),
		"fleet":       fleet(),
		"hostile":     hostile(),
		"stopped":     stopped(),
		"nothing":     nothingChecked(),
		"subset":      subset(),
		"notes":       notes(),
	}
}

func healthy() scenario {
	s := scenario{run: run("svc1")}
	for _, c := range []struct {
		check string
		count int
	}{{"inventory.groups", 9}, {"hosts.nodes", 19}, {"system.os", 12}, {"dns.forward", 28}, {"network.ping", 14}, {"network.port", 42}, {"clock.offset", 6}, {"storage.space", 3}, {"repository.file", 7}} {
		s.pass(c.check, c.count)
	}
	s.add(seen(checks.Skip, "system.rhel-repositories", "", "not RHEL"))
	s.add(seen(checks.Skip, "storage.opt-mount", "", "no such component on this node"))
	return s
}

func faults() scenario {
	s := scenario{run: run("svc1")}
	s.pass("inventory.groups", 9)
	s.add(checks.Finding{
		Check: check("inventory.redundancy"), Target: "videoServers", Status: checks.Warn,
		Message: "videoServers has one node: meetings stop with it", Sources: []platform.Source{platform.ScenarioHA},
		Remedy: "name a second node in [videoServers]",
	})
	s.add(seen(checks.Fail, "hosts.syntax", "/etc/hosts:4", "the name stands before the address: the system skips the line").
		Saw("svc1.example.com 172.16.0.11").Wanted("172.16.0.11 svc1.example.com svc1").
		Fix("sed -i '4s/.*/172.16.0.11 svc1.example.com svc1/' /etc/hosts"))
	for _, node := range platformNodes[1:] {
		s.add(seen(checks.Fail, "hosts.nodes", fqdn(node), fqdn(node)+" is not in /etc/hosts").
			Wanted("ADDRESS " + fqdn(node) + " " + node).Fix("echo 'ADDRESS " + fqdn(node) + " " + node + "' >> /etc/hosts"))
	}
	s.add(seen(checks.Fail, "hosts.duplicates", "wsc2.example.com", "wsc2.example.com has 2 addresses: 172.16.0.24 and 172.16.0.25").
		Saw("/etc/hosts:18, /etc/hosts:19").Wanted("one of these lines").
		Fix("keep one line for each node, and comment out the others: a name that has two addresses answers with either"))
	s.pass("hosts.localhost", 4)
	s.pass("system.os", 12)
	for _, p := range []struct {
		port    int
		program string
	}{{25, "master"}, {80, "nginx"}, {443, "nginx"}} {
		s.add(seen(checks.Fail, "system.ports", fmt.Sprintf("%d/tcp", p.port), fmt.Sprintf("port %d/tcp is held by %s", p.port, p.program)).
			Saw(fmt.Sprintf("0.0.0.0:%d held by %s", p.port, p.program)).Wanted("free before the installation").
			Fix("systemctl disable --now postfix nginx"))
	}
	s.add(seen(checks.Skip, "system.rhel-repositories", "", "not RHEL"))
	s.pass("dns.forward", 26)
	s.add(blocked("dns.forward", fqdn("svc2"), "network.ping", fqdn("svc2")))
	s.add(blocked("dns.reverse", fqdn("svc2"), "network.ping", fqdn("svc2")))
	s.pass("network.ping", 13)
	s.add(seen(checks.Fail, "network.ping", fqdn("svc2"), "svc2.example.com does not answer (3 of 3 lost), the path stops at 10.0.0.1").
		Saw("0 of 3 answered").Wanted("3 of 3").With("address", "172.16.0.12").With("path", "1  10.0.0.1  0.4 ms\n2  no answer").
		Fix("ip -br addr                # on svc2\nping -c 3 10.0.0.1         # on svc2"))
	for _, port := range []string{"389/tcp", "5432/tcp", "8008/tcp", "8300/tcp", "8301/tcp", "8301/udp", "8302/tcp", "8302/udp", "9092/tcp"} {
		s.add(blocked("network.port", fqdn("svc2")+":"+port, "network.ping", fqdn("svc2")))
	}
	s.add(seen(checks.Unknown, "network.mtu", fqdn("svc3"), "could not be seen: the kernel does not let this user set DF"))
	s.pass("clock.offset", 6)
	s.pass("repository.file", 6)
	s.add(seen(checks.Warn, "repository.channel", "/etc/apt/sources.list.d/zextras.list", "zextras.list uses rc: not for production").
		Saw("deb https://repo.zextras.io/rc/ubuntu noble main").Wanted("release").With("line", "1").
		Fix("sed -i 's#/rc/#/release/#' /etc/apt/sources.list.d/zextras.list"))
	return s
}

func unknown() scenario {
	s := scenario{run: run("svc1")}
	s.run.Inventory, s.run.Assumed = "", "no inventory: the nodes are those of example.com in /etc/hosts, and what runs on them is not known"
	s.pass("hosts.syntax", 5)
	for _, id := range []string{"dns.forward", "dns.reverse", "dns.hosts-agree"} {
		for _, node := range platformNodes {
			s.add(seen(checks.Unknown, id, fqdn(node), "could not be seen: no server in /etc/resolv.conf answers"))
		}
	}
	s.add(seen(checks.Unknown, "clock.synchronized", "", "could not be seen: timedatectl: file does not exist"))
	s.add(seen(checks.Unknown, "system.ports", "25/tcp", "port 25/tcp may be taken: /proc/net/tcp: permission denied"))
	s.add(seen(checks.Unknown, "system.ports", "80/tcp", "port 80/tcp may be taken: /proc/net/tcp6: permission denied"))
	return s
}

func interrupted() scenario {
	s := scenario{run: run("svc1")}
	s.run.Interrupted = true
	s.pass("hosts.syntax", 5)
	for _, node := range platformNodes[:4] {
		s.add(seen(checks.Unknown, "network.ping", fqdn(node), "could not be seen: not looked at: interrupted"))
	}
	return s
}

// fleet is one platform seen from all its nodes.
func fleet() scenario {
	s := scenario{run: run(platformNodes...)}
	for i := range 3 {
		s.run.Vantages[i].Phase = checks.Health
	}
	s.add(checks.Finding{
		Check: check("inventory.brokers"), Target: "svc3.example.com", Status: checks.Fail, Sources: []platform.Source{platform.KafkaDocs},
		Message: "svc3.example.com has broker_id=4, and the three must be 1, 2, 3", Remedy: "broker_id=3 in [kafka]",
	})
	for _, v := range platformNodes {
		s.add(from(v, seen(checks.Pass, "hosts.syntax", "/etc/hosts", "readable")))
		s.add(from(v, seen(checks.Fail, "hosts.nodes", fqdn("wsc2"), "wsc2.example.com is not in /etc/hosts").
			Saw("no line").With("line of", v).Fix("echo '172.16.0.25 wsc2.example.com wsc2' >> /etc/hosts")))
		if v == "svc2" {
			continue
		}
		s.add(from(v, seen(checks.Fail, "network.ping", fqdn("svc2"), "svc2.example.com does not answer").
			Saw("0 of 3 answered").Fix("ip -br addr    # on svc2")))
		s.add(from(v, blocked("network.port", fqdn("svc2")+":8301/tcp", "network.ping", fqdn("svc2"))))
	}
	s.add(from("mbox1", seen(checks.Fail, "storage.opt-mount", "/opt", "/opt is not a mount of its own").
		Saw("/dev/sda1 /").Wanted("a file system for /opt").Fix("mount /dev/sdb1 /opt")))
	for _, v := range []string{"mta1", "mta2", "proxy1"} {
		s.add(from(v, seen(checks.Warn, "clock.offset", "ntp.example.com", "the clock is 240 ms off").Fix("chronyc makestep")))
	}
	s.add(from("wsc1", seen(checks.Unknown, "clock.service", "", "could not be seen: timedatectl did not answer within 5 s")))
	return s
}

// stopped is a platform of which a cluster stands still.
func stopped() scenario {
	s := scenario{run: run("svc1")}
	s.pass("hosts.syntax", 5)
	s.add(seen(checks.Fail, "network.ping", fqdn("svc2"), "svc2.example.com does not respond").Fix("# on svc2.example.com\nip -br addr; ip route"))
	for _, f := range []checks.Finding{
		seen(checks.Fail, "kafka.quorum", "kafka", "the quorum is lost"),
		seen(checks.Fail, "kafka.transactions", "kafka", "transactions cannot be committed"),
	} {
		cause := check("network.ping").On(fqdn("svc2"))
		f.Stopped, f.Cause = true, &cause
		s.add(f)
	}
	s.add(seen(checks.Fail, "mesh.leader", "mesh", "the mesh has no leader").Fix("systemctl restart service-discover").Stops())
	s.add(blocked("kafka.brokers", fqdn("svc2"), "network.ping", fqdn("svc2")))
	return s
}

// nothingChecked is a run that looked at nothing.
func nothingChecked() scenario {
	s := scenario{run: run("svc1"), coverage: runner.Coverage{Asked: 2, Skipped: map[string]int{"no Kafka on this node": 2}}}
	s.run.Asked = []string{"kafka"}
	s.add(seen(checks.Skip, "kafka.brokers", "", "no Kafka on this node"), seen(checks.Skip, "kafka.quorum", "", "no Kafka on this node"))
	return s
}

// subset is a run of one check, with something that only the user could give.
func subset() scenario {
	s := scenario{run: run("svc1"), verdict: runner.Passed, coverage: runner.Coverage{Asked: 2, Looked: 1, Skipped: map[string]int{"not configured: --canary": 1}}}
	s.run.Asked = []string{"directory"}
	s.pass("directory.csn", 1)
	s.add(seen(checks.Skip, "directory.canary", "", "not configured: --canary"))
	return s
}

// notes is a platform of different releases, of which a file was cut.
func notes() scenario {
	s := scenario{run: run("svc1", "svc2", "svc3")}
	s.run.Vantages[1].Release = platform.R25_9
	s.run.Notes = []string{"svc2.json: the observations of svc2.example.com: it was cut: its last line is missing"}
	s.pass("hosts.syntax", 5)
	s.add(from("svc2", seen(checks.Unknown, "hosts.nodes", "", "could not be seen: the observations of svc2.example.com are not whole")))
	return s
}

// hostile is what a server, or a file, might want a terminal to do.
func hostile() scenario {
	s := scenario{run: run("svc1")}
	s.run.Assumed = "\x1b]0;owned\x07assumed"
	s.add(
		seen(checks.Fail, "hosts.syntax", "\x1b[2J\u202egnp.exe", "red \x1b[31m, bell \a, \u009b2J, zero\u200bwidth, \xff\xfe, ]]> & <b>").
			Saw("first\r\nsecond\tcell\x00").With("a\u2066b", "z̷̧̢̨̛̛̛̛a̶l̷g̵o").Fix("rm -rf \x1b[8m/ # hidden\necho fine"),
		seen(checks.Fail, "hosts.syntax", "\x1b[2J\u202egnp.exe", "the same target, another message"),
		seen(checks.Warn, "dns.mx", "\ufeffexample.com", "ends in a lone \xc3"),
		seen("passed", "dns.mx", "forged", "a status that there is none of"),
	)
	return s
}
