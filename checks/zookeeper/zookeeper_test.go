package zookeeper

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

type target = checks.Target[checks.Nothing]

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

func TestTargets(t *testing.T) {
	s := checks.Scope{
		Vantages: []checks.Vantage{{Node: "svc1.example.com", Release: platform.R25_6}},
		Topology: platform.Topology{Nodes: []platform.Node{
			{Name: "svc1.example.com", Address: netip.MustParseAddr("10.0.0.11"), Components: []platform.Component{platform.ZooKeeper}},
			{Name: "svc2.example.com", Components: []platform.Component{platform.ZooKeeper}},
			{Name: "mbox1.example.com", Components: []platform.Component{platform.Mailstore}},
		}},
	}
	got, err := targets(s, checks.Host{})
	require.NoError(t, err)
	require.Equal(t, []target{
		{Name: "svc1.example.com", Node: "svc1.example.com", Address: "10.0.0.11:2181"},
		{Name: "svc2.example.com", Node: "svc2.example.com"},
	}, got)
	_, err = observe(t.Context(), checks.Host{}, got[1])
	require.ErrorIs(t, err, checks.ErrNoAddress)
	s.Vantages[0].Release = platform.R25_9
	got, err = targets(s, checks.Host{})
	require.NoError(t, err)
	require.Empty(t, got)
}

const (
	follower = "Zookeeper version: 3.8.4-9316c2a7a97e1666d8f4593f34dd6fc36ecc436c, built on 2024-02-12 22:16 UTC\n" +
		"Latency min/avg/max: 0/0.5/12\nReceived: 4\nSent: 3\nConnections: 1\nOutstanding: 0\nZxid: 0x2000000a1\nMode: follower\nNode count: 139\n"
	leading     = "Zookeeper version: 3.8.4\nZxid: 0x2000000a1\nMode: leader\nNode count: 139\nProposal sizes last/min/max: 32/32/105\n"
	idle        = "This ZooKeeper instance is not currently serving requests\n"
	whitelisted = "srvr is not executed because it is not in the whitelist.\n"
)

// double is a server whose client port answers with f and its AdminServer with
// the documents, by command.
func double(t *testing.T, f func(net.Conn), documents map[string]string) checks.Host {
	t.Helper()
	port := checkstest.Serve(t, f)
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := documents[strings.TrimPrefix(r.URL.Path, "/commands/")]
		switch {
		case !ok:
			http.Redirect(w, r, "/commands/dump", http.StatusFound)
		case body == "endless":
			for err := error(nil); err == nil; {
				_, err = w.Write([]byte(`{"session_id_to_ephemeral_paths": {}}`))
			}
		default:
			io.WriteString(w, body)
		}
	}))
	t.Cleanup(admin.Close)
	return checks.Host{Network: checkstest.Network{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
		at := map[string]string{"10.0.0.11:2181": port, "10.0.0.11:18080": admin.Listener.Addr().String()}[address]
		if at == "" {
			return nil, fmt.Errorf("nobody may dial %s", address)
		}
		return (&net.Dialer{}).DialContext(ctx, network, at)
	}}}
}

// says answers a command with a text.
func says(text string) func(net.Conn) {
	return func(c net.Conn) {
		command := make([]byte, 4)
		if _, err := io.ReadFull(c, command); err == nil && string(command) == "srvr" {
			io.WriteString(c, text)
		}
	}
}

func TestObserve(t *testing.T) {
	brokers := `{"expiry_time_to_session_ids": {"7986000": [72058114348613632]},
		"session_id_to_ephemeral_paths": {"72058114348613632": ["/brokers/ids/3"], "1": ["/controller", "/brokers/ids/1"]}, "command": "dump", "error": null}`
	for name, c := range map[string]struct {
		port  func(net.Conn)
		admin map[string]string
		want  string
	}{
		"follower": {says(follower), nil, `{"mode": "follower", "zxid": 8589934753, "has_zxid": true}`},
		"leader":   {says(leading), map[string]string{"dump": brokers}, `{"mode": "leader", "zxid": 8589934753, "has_zxid": true, "brokers": ["1", "3"]}`},
		"leader without an AdminServer": {says(leading), nil, `{"mode": "leader", "zxid": 8589934753, "has_zxid": true,
			"no_brokers": "the AdminServer responds with 302 Found"}`},
		"endless document": {says(leading), map[string]string{"dump": "endless"}, `{"mode": "leader", "zxid": 8589934753, "has_zxid": true,
			"no_brokers": "the response is larger than 1048576 bytes"}`},
		"sessions withheld": {says(leading), map[string]string{"dump": `{"command": "dump", "error": "not now"}`}, `{"mode": "leader", "zxid": 8589934753, "has_zxid": true, "no_brokers": "not now"}`},
		"no majority":       {says(idle), nil, `{"idle": true}`},
		"not allowed":       {says(whitelisted), nil, `{"withheld": true}`},
		"allowed over HTTP": {says(whitelisted), map[string]string{"monitor": `{"server_state": "follower", "version": "3.8.4", "quorum_size": 3, "error": null}`}, `{"mode": "follower"}`},
		"idle over HTTP":    {says(whitelisted), map[string]string{"monitor": `{"command": "monitor", "error": "This ZooKeeper instance is not currently serving requests"}`}, `{"idle": true}`},
		"hangs up":          {func(net.Conn) {}, nil, `{"contact": {"state": "hung-up"}}`},
		"junk":              {says("\x00\xff\x1b[2J"), nil, `{"contact": {"state": "stranger", "words": "ZooKeeper server"}}`},
		"no number":         {says("Zxid: 0xnothing\nMode: follower\n"), nil, `{"mode": "follower"}`},
		"silent, but over HTTP": {
			func(c net.Conn) { io.Copy(io.Discard, c) },
			map[string]string{"monitor": `{"server_state": "leader", "version": "3.8.4"}`, "dump": brokers},
			`{"mode": "leader", "brokers": ["1", "3"]}`,
		},
		"silent": {func(c net.Conn) { io.Copy(io.Discard, c) }, nil, `{"contact": {"state": "mute"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			data, err := observe(ctx, double(t, c.port, c.admin), target{Address: "10.0.0.11:2181"})
			require.NoError(t, err)
			require.NoError(t, ctx.Err(), "within its time")
			text, err := json.Marshal(data)
			require.NoError(t, err)
			if name == "hangs up" && strings.Contains(string(text), "reset") { // the kernel's choice
				return
			}
			require.JSONEq(t, c.want, string(text))
		})
	}
}

func TestNobodyThere(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	data, err := observe(t.Context(), checks.Host{Network: checkstest.Network{}}, target{Address: l.Addr().String()})
	require.NoError(t, err)
	text, err := json.Marshal(data)
	require.NoError(t, err)
	require.JSONEq(t, `{"contact": {"state": "refused"}}`, string(text))
}

// An interrupt says nothing of the server.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	host := double(t, func(c net.Conn) { cancel(); io.Copy(io.Discard, c) }, nil)
	_, err := observe(ctx, host, target{Address: "10.0.0.11:2181"})
	require.ErrorIs(t, err, context.Canceled)
}

func TestClusters(t *testing.T) {
	all := []string{"svc1.example.com", "svc2.example.com", "svc3.example.com"}
	for name, able := range map[string][]string{"healthy": all, "server_down": all[1:], "no_quorum": {}, "standalone": all[1:]} {
		c := checkstest.ReadCase(t, Module, name)
		_, clusters := judge(c.Scope, checks.NewRecord(c.Seen))
		require.Len(t, clusters, 1)
		got := clusters[0]
		require.Equal(t, all, got.Members, name)
		require.Equal(t, able, got.Able, name)
		require.Equal(t, 2, got.Needs, name)
	}
}

// Without an inventory one server may be any part of an ensemble.
func TestNoClusterWithoutInventory(t *testing.T) {
	for _, name := range []string{"no_inventory_follower", "no_inventory_leader", "no_inventory_standalone"} {
		c := checkstest.ReadCase(t, Module, name)
		_, clusters := judge(c.Scope, checks.NewRecord(c.Seen))
		require.Empty(t, clusters, name)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC\nZxid: 0x100000000\nMode: leader\n",
		notServing, "srvr " + notAllowed + ".", "Mode:", "Mode: follower\nZxid: -1\nZxid: 0xffffffffffffffffff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := parse(text)
		said := 0
		for _, something := range []bool{s.Contact != (checks.Contact{}), s.Withheld, s.Idle, s.Mode != ""} {
			if something {
				said++
			}
		}
		require.Equal(t, 1, said, "one verdict on every answer: %+v", s)
	})
}
