package network

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

// threeNodes is a platform, of which we stand on the first node and the last has
// no address.
func threeNodes() checks.Scope {
	s := checkstest.Scope(
		checkstest.Node("svc1.example.com", "10.0.0.11", platform.Mesh, platform.Kafka),
		checkstest.Node("svc2.example.com", "10.0.0.12", platform.Mesh, platform.Kafka),
		checkstest.Node("mbox1.example.com", "", platform.Mailstore),
	)
	s.Vantages[0].Node, s.Vantages[0].Phase = "SVC1.example.com", checks.Preinstall
	return s
}

func TestTargets(t *testing.T) {
	scope := threeNodes()
	leastMTU.Set(scope.Settings, 1400)
	traceAll.Set(scope.Settings, true)
	others, err := nodeTargets(scope, checks.Host{})
	require.NoError(t, err)
	require.Equal(t, []checks.Target[extent]{
		{Name: "svc2.example.com", Node: "svc2.example.com", Address: "10.0.0.12", Ask: extent{1400, true}},
		{Name: "mbox1.example.com", Node: "mbox1.example.com", Ask: extent{1400, true}},
	}, others)
	probes, err := portTargets(scope, checks.Host{})
	require.NoError(t, err)
	require.Equal(t, []checks.Target[ports]{
		{
			Name: "svc2.example.com", Node: "svc2.example.com", Address: "10.0.0.12",
			Ask: ports{tcp: []int{22, 8301, 20000, 21255, 8300, 8302, 8600, 9092, 9093}, udp: []int{8301, 8302, 8600}},
		},
		{Name: "mbox1.example.com", Node: "mbox1.example.com", Ask: ports{tcp: []int{22, 8301, 20000, 21255}, udp: []int{8301}}},
	}, probes, "no 2888: KRaft since 25.9")
	self, err := selfTarget(scope, checks.Host{})
	require.NoError(t, err)
	require.Equal(t, []checks.Target[checks.Nothing]{{Name: "svc1.example.com", Node: "svc1.example.com"}}, self)
	require.Equal(t, "repo.zextras.io:443 keyserver.ubuntu.com:443 archive.apache.org:443", external443(t, scope),
		"of this system, this release, these components")
}

// external443 lists the services outside that are looked at.
func external443(t *testing.T, scope checks.Scope) string {
	t.Helper()
	targets, err := serviceTargets(scope, checks.Host{})
	require.NoError(t, err)
	var out []string
	for _, target := range targets {
		require.Equal(t, target.Name, target.Address)
		out = append(out, target.Name)
	}
	return strings.Join(out, " ")
}

func TestServicesByReleaseAndSystem(t *testing.T) {
	scope := threeNodes()
	scope.Vantages[0].Release = platform.R25_6
	scope.Vantages[0].OS.ID = "rocky"
	scope.Topology.Nodes[0].Components = []platform.Component{platform.ZooKeeper}
	require.Equal(t, "repo.zextras.io:443 dl.fedoraproject.org:443 dlcdn.apache.org:443", external443(t, scope))
}

// The list of who judges holds, whatever was looked at: what is no longer on it
// is not judged, and what is new was not looked at.
func TestServicesOfWhoJudges(t *testing.T) {
	every := []platform.Component{platform.Every}
	scope := threeNodes()
	services.Set(scope.Settings, []Outbound{
		{Host: "mirror.example.com", Port: 443, Components: every, Why: "our mirror"},
		{Host: "mirror.example.com", Port: 443, Components: every, Why: "the same once more"},
		{Host: "10.0.0.99", Port: 3128, Components: every, Why: "the proxy"},
	})
	require.Equal(t, "mirror.example.com:443 10.0.0.99:3128", external443(t, scope))
	seen := []checks.Observation{
		{Kind: "outbound", Vantage: "svc1.example.com", Target: checks.Target[json.RawMessage]{Name: "repo.zextras.io:443"}, Data: json.RawMessage(`{"state":"silent"}`)},
		{Kind: "outbound", Vantage: "svc1.example.com", Target: checks.Target[json.RawMessage]{Name: "10.0.0.99:3128"}, Data: json.RawMessage(`{"state":"open"}`)},
	}
	findings, _ := judge(scope, checks.NewRecord(seen))
	require.Len(t, findings, 2)
	require.Equal(t, checks.Unknown, findings[0].Status)
	require.Equal(t, "mirror.example.com:443", findings[0].Target)
	require.Equal(t, checks.Pass, findings[1].Status)
	require.Equal(t, "10.0.0.99:3128", findings[1].Target)
}

func TestSettings(t *testing.T) {
	suite, err := checks.Assemble(Module)
	require.NoError(t, err)
	require.Len(t, suite.Settings(), 4)
	require.NoError(t, services.Check(services.Default))
	every := []platform.Component{platform.Every}
	for wrong, o := range map[string]Outbound{
		"neither a full name nor": {Host: "mirror", Port: 443, Components: every},
		"host \"x;y\"":            {Host: "x;y", Port: 443, Components: every},
		"port 0":                  {Host: "mirror.example.com", Components: every},
		"port 65536":              {Host: "mirror.example.com", Port: 65536, Components: every},
		"no node needs it":        {Host: "mirror.example.com", Port: 443},
		"no component \"mail\"":   {Host: "mirror.example.com", Port: 443, Components: []platform.Component{"mail"}},
		"os \"debian\"":           {Host: "mirror.example.com", Port: 443, Components: every, OS: "debian"},
	} {
		require.ErrorContains(t, services.Check([]Outbound{o}), wrong)
	}
	for _, bad := range []string{"-5", "0", "575", "65536"} {
		_, err := leastMTU.Decode(checkstest.Strict([]byte(bad)))
		require.Error(t, err, bad)
	}
	_, err = pingRTT.Decode(checkstest.Strict([]byte(`"-1ms"`)))
	require.Error(t, err)
}

// What cannot be read is unknown, for each check that is judged from it.
func TestUnreadable(t *testing.T) {
	raw := func(kind, name, data string) checks.Observation {
		return checks.Observation{
			Subject: "network", Kind: kind, Vantage: "svc1.example.com", Data: json.RawMessage(data),
			Target: checks.Target[json.RawMessage]{Name: name, Node: "svc2.example.com", Address: "10.0.0.12"},
		}
	}
	scope := threeNodes()
	services.Set(scope.Settings, services.Default[:1])
	findings, _ := judge(scope, checks.NewRecord([]checks.Observation{
		raw("node", "svc2.example.com", `{"echo":"three"}`),
		raw("ports", "svc2.example.com", `{"state":"open"}`),
		raw("outbound", "repo.zextras.io:443", `[]`),
		raw("interfaces", "svc1.example.com", `{"resolved":["no address"]}`),
	}))
	require.Len(t, findings, 3+12+1+1)
	for _, f := range findings {
		require.Equal(t, checks.Unknown, f.Status, f.Target)
		require.Contains(t, f.Message, "could not be seen: unreadable observation", f.Check.ID)
	}
}

// A node that looked is a node, whatever the case of its name.
func TestWholeRound(t *testing.T) {
	n := healthy()
	n.DialFunc = refused
	n.LookupFunc = resolves
	host := checks.Host{
		Files: checkstest.Files(nil), Network: n,
		Machine: checkstest.Machine{Links: []checks.Interface{{Name: "eth0", MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}}},
	}
	byStatus := map[checks.Status]int{}
	for _, f := range checkstest.Findings(t, Module, threeNodes(), host) {
		byStatus[f.Status]++
	}
	// svc2: ping, MTU and 12 ports. mbox1 has no address: unknown once, and 7 skips
	// besides svc2's path. The services refuse, and the address is not the node's.
	require.Equal(t, map[checks.Status]int{checks.Pass: 14, checks.Unknown: 1, checks.Skip: 8, checks.Fail: 3, checks.Warn: 1}, byStatus)
}
