package dns_test

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	mdns "github.com/miekg/dns"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/checks/dns"
	"carbonio-check/fixtures/fakedns"
	"carbonio-check/platform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, dns.Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, dns.Module) }

// What other subjects need of this one is what they call it.
func TestNeeds(t *testing.T) {
	for _, need := range []checks.Need{checks.NameOf(core), checks.ResolverOf("10.0.0.53"), checks.ResolversOf(core)} {
		i := slices.IndexFunc(dns.Module.Checks, func(c *checks.Check) bool { return c.ID == need.Check() })
		require.GreaterOrEqual(t, i, 0, need)
		require.Equal(t, need, dns.Module.Checks[i].On(need.Target()))
	}
}

// A file that cannot be read names no server to ask.
func TestUnreadableFiles(t *testing.T) {
	pipe := fstest.MapFS{"etc/resolv.conf": {Mode: fs.ModeNamedPipe}, "etc/hosts": {Mode: fs.ModeNamedPipe}}
	for _, look := range dns.Module.Looks() {
		plan, err := look.Plan(scope(), checks.Host{Files: pipe})
		if look.Name() == "resolver" {
			require.ErrorContains(t, err, "not a regular file")
			continue
		}
		require.NoError(t, err)
		_, err = plan[0].Observe(t.Context(), checks.Host{Files: pipe})
		require.ErrorContains(t, err, "not a regular file")
	}
}

// The healthy platform of the tests: two nodes, one of them this machine.
const (
	core   = "core.example.com"
	mbox   = "mbox1.example.com"
	hosts  = "127.0.0.1 localhost\n10.0.0.1 core.example.com core\n10.0.0.7 mbox1.example.com mbox1\n"
	resolv = "search example.com\nnameserver 10.0.0.53\n"
	spf    = `TXT "v=spf1 ip4:203.0.113.0/24 include:_spf.example.net ~all"`
	dmarc  = `TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@example.com"`
)

// healthy is a zone that answers everything right, changed as a test wants.
func healthy(change map[string]fakedns.Answer) fakedns.Zone {
	zone := fakedns.Records(map[string][]string{
		core:                             {"A 10.0.0.1"},
		mbox:                             {"A 10.0.0.7"},
		"mail.example.com":               {"A 203.0.113.124"},
		"webmail.example.com":            {"A 203.0.113.125"},
		"example.com":                    {"MX 10 mail.example.com.", spf, `TXT "some-verification=1"`},
		"_dmarc.example.com":             {dmarc},
		fakedns.Reverse("10.0.0.1"):      {"PTR " + core + "."},
		fakedns.Reverse("10.0.0.7"):      {"PTR " + mbox + "."},
		fakedns.Reverse("203.0.113.124"): {"PTR mail.example.com."},
	})
	maps.Copy(zone, change)
	return zone
}

func records(r ...string) fakedns.Answer { return fakedns.Answer{Records: r} }

func rcode(code int) fakedns.Answer { return fakedns.Answer{Rcode: code} }

// A scenario is a machine, its resolvers, and what is to be found besides passes.
type scenario struct {
	zones  map[string]fakedns.Zone // by resolver; one that is not here silently drops everything
	files  map[string]string       // other than the healthy ones
	change func(*checks.Scope)
	within time.Duration
	want   []string // "fail dns.forward mbox1.example.com"
}

var scenarios = map[string]scenario{
	"healthy": {},
	"node_missing": {
		zones: zones(healthy(map[string]fakedns.Answer{mbox: rcode(mdns.RcodeNameError)})),
		files: map[string]string{"etc/hosts": "127.0.0.1 localhost\n10.0.0.1 core.example.com core\n"},
		want:  []string{"fail dns.forward mbox1.example.com", "skip dns.hosts-agree mbox1.example.com"},
	},
	"node_only_in_hosts": {
		zones: zones(healthy(map[string]fakedns.Answer{mbox: rcode(mdns.RcodeNameError)})),
		want:  []string{"fail dns.forward mbox1.example.com", "skip dns.hosts-agree mbox1.example.com"},
	},
	"node_empty_answer": {
		zones: zones(healthy(map[string]fakedns.Answer{mbox: records("AAAA 2001:db8::7")})),
		want:  []string{"fail dns.forward mbox1.example.com", "skip dns.hosts-agree mbox1.example.com"},
	},
	"node_servfail": {
		zones: zones(healthy(map[string]fakedns.Answer{mbox: rcode(mdns.RcodeServerFailure)})),
		want:  []string{"fail dns.forward mbox1.example.com", "skip dns.hosts-agree mbox1.example.com"},
	},
	"node_refused": {
		zones: zones(healthy(map[string]fakedns.Answer{mbox: rcode(mdns.RcodeRefused)})),
		want:  []string{"fail dns.forward mbox1.example.com", "skip dns.hosts-agree mbox1.example.com"},
	},
	"node_silent": {
		zones:  zones(healthy(map[string]fakedns.Answer{mbox: {Silent: true}})),
		within: 2 * time.Second,
		want:   []string{"fail dns.forward mbox1.example.com", "skip dns.hosts-agree mbox1.example.com"},
	},
	"node_wrong_address": {
		zones: zones(healthy(map[string]fakedns.Answer{mbox: records("A 10.0.0.9")})),
		want:  []string{"fail dns.forward mbox1.example.com", "fail dns.hosts-agree mbox1.example.com"},
	},
	"node_loopback": {
		zones: zones(healthy(map[string]fakedns.Answer{core: records("A 127.0.1.1")})),
		want:  []string{"fail dns.forward core.example.com", "fail dns.hosts-agree core.example.com"},
	},
	"node_second_address": {
		zones: zones(healthy(map[string]fakedns.Answer{mbox: records("A 10.0.0.7", "A 10.0.0.8")})),
		want:  []string{"fail dns.forward mbox1.example.com", "fail dns.hosts-agree mbox1.example.com"},
	},
	"node_alias_loop": {
		zones: zones(healthy(map[string]fakedns.Answer{mbox: records("CNAME a.example.com."), "a.example.com": records("CNAME " + mbox + ".")})),
		want:  []string{"fail dns.forward mbox1.example.com", "skip dns.hosts-agree mbox1.example.com"},
	},
	"one_resolver_of_two_misses_a_node": {
		files: map[string]string{"etc/resolv.conf": "nameserver 10.0.0.53\nnameserver 10.0.0.54\n"},
		zones: map[string]fakedns.Zone{
			"10.0.0.53": healthy(nil),
			"10.0.0.54": healthy(map[string]fakedns.Answer{mbox: rcode(mdns.RcodeNameError)}),
		},
		want: []string{"fail dns.forward mbox1.example.com"},
	},
	"resolvers_disagree_and_nobody_knows_better": {
		files: map[string]string{"etc/resolv.conf": "nameserver 10.0.0.53\nnameserver 10.0.0.54\n", "etc/hosts": "127.0.0.1 localhost\n10.0.0.1 core.example.com\n"},
		zones: map[string]fakedns.Zone{
			"10.0.0.53": healthy(nil),
			"10.0.0.54": healthy(map[string]fakedns.Answer{mbox: records("A 10.0.0.8")}),
		},
		change: func(s *checks.Scope) { s.Topology.Nodes[1].AddressFrom = "DNS" },
		want:   []string{"fail dns.forward mbox1.example.com", "skip dns.hosts-agree mbox1.example.com"},
	},
	"hosts_disagree": {
		files: map[string]string{"etc/hosts": strings.ReplaceAll(hosts, "10.0.0.7", "10.0.0.70")},
		want:  []string{"fail dns.hosts-agree mbox1.example.com"},
	},
	"resolver_silent": {
		files:  map[string]string{"etc/resolv.conf": "nameserver 10.0.0.53\nnameserver 10.0.0.54\n"},
		within: 2 * time.Second,
		want:   []string{"fail dns.resolvers 10.0.0.54"},
	},
	"resolver_refuses": {
		files: map[string]string{"etc/resolv.conf": "nameserver 10.0.0.53\nnameserver 10.0.0.54\n"},
		zones: map[string]fakedns.Zone{"10.0.0.53": healthy(nil), "10.0.0.54": {"*": rcode(mdns.RcodeRefused)}},
		want:  []string{"fail dns.resolvers 10.0.0.54"},
	},
	"no_resolver_answers": {
		files: map[string]string{"etc/resolv.conf": "nameserver 10.0.0.99\n"},
		// A machine without a network: everything is one failure and its consequences.
		within: 300 * time.Millisecond,
		want: []string{
			"fail dns.resolvers 10.0.0.99", "fail dns.resolvers core.example.com",
			"unknown dns.forward core.example.com", "unknown dns.hosts-agree core.example.com",
			"unknown dns.forward mbox1.example.com", "unknown dns.hosts-agree mbox1.example.com",
			"unknown dns.reverse core.example.com", "unknown dns.reverse mbox1.example.com",
			"unknown dns.public webmail.example.com", "unknown dns.mx example.com",
			"unknown dns.spf example.com", "unknown dns.dmarc example.com",
		},
	},
	"no_nameserver_in_resolv_conf": {
		files: map[string]string{"etc/resolv.conf": "# nothing\n"},
		zones: map[string]fakedns.Zone{"127.0.0.1": healthy(nil)},
		want:  []string{"warn dns.resolvers /etc/resolv.conf"},
	},
	"four_nameservers": {
		files: map[string]string{"etc/resolv.conf": "nameserver 10.0.0.51\nnameserver 10.0.0.52\nnameserver 10.0.0.53\nnameserver 10.0.0.54\n"},
		zones: map[string]fakedns.Zone{"10.0.0.51": healthy(nil), "10.0.0.52": healthy(nil), "10.0.0.53": healthy(nil)},
		want:  []string{"warn dns.resolvers /etc/resolv.conf"},
	},
	"nameserver_line_unread": {
		files: map[string]string{"etc/resolv.conf": "nameserver 10.0.0.53\n nameserver 10.0.0.54\n"},
		want:  []string{"warn dns.resolvers /etc/resolv.conf"},
	},
	"resolved_stub": {
		files: map[string]string{"etc/resolv.conf": "nameserver 127.0.0.53\noptions edns0 trust-ad\n", "run/systemd/resolve/resolv.conf": "nameserver 10.0.0.53\n"},
		zones: map[string]fakedns.Zone{
			// The stub gives all addresses of its own machine.
			"127.0.0.53": healthy(map[string]fakedns.Answer{core: records("A 10.0.0.1", "A 172.17.0.1")}),
			"10.0.0.53":  healthy(nil),
		},
	},
	"resolved_stub_answers_from_hosts": {
		files: map[string]string{"etc/resolv.conf": "nameserver 127.0.0.53\n", "run/systemd/resolve/resolv.conf": "nameserver 10.0.0.53\n"},
		zones: map[string]fakedns.Zone{
			"127.0.0.53": healthy(nil),
			"10.0.0.53":  healthy(map[string]fakedns.Answer{mbox: rcode(mdns.RcodeNameError)}),
		},
		want: []string{"warn dns.forward mbox1.example.com", "skip dns.hosts-agree mbox1.example.com"},
	},
	"resolved_stub_repeats_loopback_from_hosts": {
		files: map[string]string{
			"etc/hosts":       "127.0.0.1 localhost\n127.0.1.1 core.example.com core\n10.0.0.7 mbox1.example.com mbox1\n",
			"etc/resolv.conf": "nameserver 127.0.0.53\n", "run/systemd/resolve/resolv.conf": "nameserver 10.0.0.53\n",
		},
		zones: map[string]fakedns.Zone{
			"127.0.0.53": healthy(map[string]fakedns.Answer{core: records("A 127.0.1.1")}),
			"10.0.0.53":  healthy(nil),
		},
		want: []string{"fail dns.forward core.example.com", "fail dns.hosts-agree core.example.com"},
	},
	"ptr_missing_or_wrong": {
		zones: zones(healthy(map[string]fakedns.Answer{
			fakedns.Reverse("10.0.0.1"):      records("PTR old.example.com."),
			fakedns.Reverse("10.0.0.7"):      rcode(mdns.RcodeServerFailure),
			fakedns.Reverse("203.0.113.124"): rcode(mdns.RcodeNameError),
		})),
		want: []string{"warn dns.reverse core.example.com", "warn dns.reverse mbox1.example.com", "fail dns.reverse mail.example.com"},
	},
	"mx_missing": {
		zones: zones(healthy(map[string]fakedns.Answer{"example.com": records(spf)})),
		want:  []string{"fail dns.mx example.com"},
	},
	"mx_is_an_address": {
		zones: zones(healthy(map[string]fakedns.Answer{"MX example.com": records("MX 10 203.0.113.124.")})),
		want:  []string{"fail dns.mx example.com"},
	},
	"mx_without_address": {
		zones: zones(healthy(map[string]fakedns.Answer{"MX example.com": records("MX 10 mail.example.com.", "MX 20 gone.example.com.")})),
		want:  []string{"fail dns.mx example.com"},
	},
	"mx_null": {
		zones: zones(healthy(map[string]fakedns.Answer{"MX example.com": records("MX 0 .")})),
		want:  []string{"fail dns.mx example.com"},
	},
	"mx_loopback": {
		zones: zones(healthy(map[string]fakedns.Answer{"mail.example.com": records("A 127.0.0.1")})),
		want:  []string{"fail dns.mx example.com"},
	},
	"mx_alias": {
		zones: zones(healthy(map[string]fakedns.Answer{"MX example.com": records("MX 10 mx.example.com."), "mx.example.com": records("CNAME mail.example.com.")})),
		want:  []string{"warn dns.mx example.com"},
	},
	"mx_of_a_provider": {
		zones: zones(healthy(map[string]fakedns.Answer{
			"MX example.com":                records("MX 10 in.provider.net."),
			"in.provider.net":               records("A 198.51.100.1"),
			fakedns.Reverse("198.51.100.1"): records("PTR farm7.provider.net."),
		})),
	},
	"mx_two_wrong": {
		zones: zones(healthy(map[string]fakedns.Answer{
			"MX example.com": records("MX 10 mx.example.com.", "MX 20 gone.example.com."),
			"mx.example.com": records("CNAME mail.example.com."),
		})),
		want: []string{"fail dns.mx example.com"},
	},
	"mx_differs_between_resolvers": {
		files: map[string]string{"etc/resolv.conf": "nameserver 10.0.0.53\nnameserver 10.0.0.54\n"},
		zones: map[string]fakedns.Zone{
			"10.0.0.53": healthy(nil),
			"10.0.0.54": healthy(map[string]fakedns.Answer{"MX example.com": records("MX 10 " + mbox + ".")}),
		},
		want: []string{"warn dns.mx example.com"},
	},
	"mx_inside": {
		zones: zones(healthy(map[string]fakedns.Answer{"MX example.com": records("MX 10 " + mbox + ".")})),
	},
	"webmail_private": {
		zones: zones(healthy(map[string]fakedns.Answer{"webmail.example.com": records("A 10.0.0.80")})),
		want:  []string{"warn dns.public webmail.example.com"},
	},
	"webmail_missing": {
		zones: zones(healthy(map[string]fakedns.Answer{"webmail.example.com": rcode(mdns.RcodeNameError)})),
		want:  []string{"fail dns.public webmail.example.com"},
	},
	"webmail_placeholder": {
		change: func(s *checks.Scope) { s.Topology.Inventory.Groups[0].Vars[0].Value = "webmailPublicHostname" },
		want:   []string{"skip dns.public webmailHostname"},
	},
	"mail_records_missing": {
		zones: zones(healthy(map[string]fakedns.Answer{"TXT example.com": records(`TXT "some-verification=1"`), "_dmarc.example.com": {}})),
		want:  []string{"warn dns.spf example.com", "warn dns.dmarc example.com"},
	},
	"mail_records_twice": {
		zones: zones(healthy(map[string]fakedns.Answer{"TXT example.com": records(spf, `TXT "v=spf1 -all"`), "_dmarc.example.com": records(dmarc, `TXT "v=DMARC1; p=none"`)})),
		want:  []string{"warn dns.spf example.com", "warn dns.dmarc example.com"},
	},
	"mail_records_malformed": {
		zones: zones(healthy(map[string]fakedns.Answer{"TXT example.com": records(`TXT "v=spf1 ip4:10.0.0.300 -all"`), "_dmarc.example.com": records(`TXT "v=DMARC1; p=block"`)})),
		want:  []string{"warn dns.spf example.com", "warn dns.dmarc example.com"},
	},
	"mail_domain_internal": {
		change: func(s *checks.Scope) { s.Topology.Inventory.Groups[1].Vars[0].Value = "company.local" },
		want:   []string{"skip dns.mx mail domain", "skip dns.spf mail domain", "skip dns.dmarc mail domain"},
	},
	"mail_domain_below_the_organisation": {
		change: func(s *checks.Scope) { s.Topology.Inventory.Groups[1].Vars[0].Value = "dept.example.com" },
		zones: zones(healthy(map[string]fakedns.Answer{
			"dept.example.com": records("MX 10 mail.example.com.", `TXT "v=spf1 mx -all"`),
		})),
	},
	"node_named_by_its_address": {
		change: func(s *checks.Scope) {
			s.Topology.Nodes = append(s.Topology.Nodes, platform.Node{Name: "10.0.0.9"})
		},
		want: []string{"skip dns.forward 10.0.0.9", "skip dns.hosts-agree 10.0.0.9", "skip dns.reverse 10.0.0.9"},
	},
}

func zones(z fakedns.Zone) map[string]fakedns.Zone { return map[string]fakedns.Zone{"10.0.0.53": z} }

func scope() checks.Scope {
	return checks.Scope{
		Release:  platform.Newest,
		Settings: checks.Settings{"policy.resolver_time": platform.Duration(10 * time.Second)},
		Vantages: []checks.Vantage{{Node: core, Phase: checks.Preinstall}},
		Topology: platform.Topology{
			Nodes: []platform.Node{
				{Name: core, Components: []platform.Component{platform.Directory}, Address: netip.MustParseAddr("10.0.0.1"), AddressFrom: "ansible_host"},
				{Name: mbox, Address: netip.MustParseAddr("10.0.0.7"), AddressFrom: "ansible_host"},
			},
			Inventory: &platform.Inventory{Groups: []platform.Group{
				{Name: string(platform.Proxy), Vars: []platform.Var{{Key: "webmailHostname", Value: "webmail.example.com"}}},
				{Name: string(platform.Directory), Vars: []platform.Var{{Key: "default_domain", Value: "example.com"}}},
			}},
		},
	}
}

func TestScenarios(t *testing.T) {
	for name, sc := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := scope()
			if sc.change != nil {
				sc.change(&s)
			}
			findings, _ := dns.Module.Judge(s, checks.NewRecord(observe(t, s, sc)))
			var got []string
			for _, f := range findings {
				if f.Status != checks.Pass {
					got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", f.Status, f.Check.ID, f.Target)))
				}
			}
			require.ElementsMatch(t, sc.want, got, "%s", checkstest.Render(findings))
			checkstest.Honest(t, dns.Module, findings, nil)
		})
	}
}

// observe looks at everything that the scenario's machine gives to look at.
func observe(t *testing.T, s checks.Scope, sc scenario) []checks.Observation {
	files := map[string]string{"etc/hosts": hosts, "etc/resolv.conf": resolv}
	maps.Copy(files, sc.files)
	if sc.zones == nil {
		sc.zones = zones(healthy(nil))
	}
	host := checks.Host{Files: checkstest.Files(files), Network: network(t, sc.zones)}
	var seen []checks.Observation
	for _, look := range dns.Module.Looks() {
		plan, err := look.Plan(s, host)
		require.NoError(t, err)
		for _, p := range plan {
			ctx, cancel := context.WithTimeout(t.Context(), cmp.Or(sc.within, 10*time.Second))
			data, err := p.Observe(ctx, host)
			cancel()
			require.NoError(t, err)
			seen = append(seen, checks.Observation{Subject: "dns", Kind: p.Kind, Target: p.Target, Vantage: core, Data: data})
		}
	}
	return seen
}

// network leads "10.0.0.53:53" to a server of its zone; what has none is silent.
func network(t testing.TB, zones map[string]fakedns.Zone) checkstest.Network {
	servers := map[string]string{}
	start := func(name string, zone fakedns.Zone) {
		server, err := fakedns.Start(zone)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, server.Close()) })
		servers[name] = server.Addr()
	}
	for name, zone := range zones {
		start(net.JoinHostPort(name, "53"), zone)
	}
	start("", fakedns.Zone{"*": {Silent: true}})
	return checkstest.Network{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
		to, ok := servers[address]
		if !ok {
			to = servers[""]
		}
		return (&net.Dialer{}).DialContext(ctx, network, to)
	}}
}
