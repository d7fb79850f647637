package network_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/checks/network"
	"carbonio-check/platform"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, network.Module{}) }

func TestJudge(t *testing.T) { checkstest.Judge(t, network.Module{}) }

var module network.Module

// scope is a platform of three nodes, of which we stand on the first and the
// last has no address.
func scope() checks.Scope {
	at := netip.MustParseAddr
	return checks.Scope{
		Topology: platform.Topology{Nodes: []platform.Node{
			{Name: "svc1.example.com", Address: at("10.0.0.11"), Components: []platform.Component{platform.Mesh, platform.Kafka}},
			{Name: "svc2.example.com", Address: at("10.0.0.12"), Components: []platform.Component{platform.Mesh, platform.Kafka}},
			{Name: "mbox1.example.com", Components: []platform.Component{platform.Mailstore}},
		}},
		Release:  platform.Newest,
		Policy:   platform.DefaultPolicy(),
		Vantages: []checks.Vantage{{Node: "SVC1.example.com", Phase: checks.Preinstall, OS: checks.OS{ID: "ubuntu"}}},
	}
}

func TestTargets(t *testing.T) {
	targets, err := module.Targets(scope(), checks.Host{})
	require.NoError(t, err)
	byKind := map[string][]string{}
	for _, target := range targets {
		byKind[target.Kind] = append(byKind[target.Kind], strings.TrimSpace(target.Name+" "+target.Address))
	}
	require.Equal(t, []string{"svc1.example.com"}, byKind["interfaces"])
	require.Equal(t, []string{"svc2.example.com 10.0.0.12", "mbox1.example.com"}, byKind["node"])
	require.Subset(t, byKind["port"], []string{
		"svc2.example.com:8301/tcp 10.0.0.12:8301", "svc2.example.com:8301/udp 10.0.0.12:8301",
		"svc2.example.com:20000/tcp 10.0.0.12:20000", "svc2.example.com:9092/tcp 10.0.0.12:9092",
		"mbox1.example.com:22/tcp",
	})
	require.NotContains(t, byKind["port"], "svc2.example.com:2888/tcp 10.0.0.12:2888", "KRaft since 25.9")
	require.Equal(t, []string{
		"repo.zextras.io:443 repo.zextras.io:443", "keyserver.ubuntu.com:443 keyserver.ubuntu.com:443",
		"archive.apache.org:443 archive.apache.org:443",
	}, byKind["outbound"], "of this system, this release, these components")
}

func TestTargetsByReleaseAndSystem(t *testing.T) {
	s := scope()
	s.Release = platform.Release{Year: 25, Month: 6}
	s.Vantages[0].OS.ID = "rocky"
	s.Topology.Nodes[0].Components = []platform.Component{platform.ZooKeeper}
	targets, err := module.Targets(s, checks.Host{})
	require.NoError(t, err)
	var outside []string
	for _, target := range targets {
		if target.Kind == "outbound" {
			outside = append(outside, target.Name)
		}
	}
	require.Equal(t, []string{"repo.zextras.io:443", "dl.fedoraproject.org:443", "dlcdn.apache.org:443"}, outside)
}

// look observes one target as the runner does, and gives back the data.
func look(t *testing.T, ctx context.Context, n checkstest.Network, target checks.Target) (string, error) {
	t.Helper()
	data, err := module.Observe(ctx, checks.Host{Network: n}, target)
	if data == nil {
		return "", err
	}
	raw, jsonErr := json.Marshal(data)
	require.NoError(t, jsonErr)
	return string(raw), err
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func node(trace string) checks.Target {
	return checks.Target{Kind: "node", Name: "svc2.example.com", Node: "svc2.example.com", Address: "10.0.0.12", Args: []string{"1500", trace}}
}

// network is one on which everything answers.
func healthy() checkstest.Network {
	return checkstest.Network{
		PingFunc: func(_ context.Context, _ netip.Addr, count int) (checks.Echo, error) {
			return checks.Echo{Sent: count, Received: count, Min: 1, Avg: 2, Max: 3}, nil
		},
		TraceFunc: func(_ context.Context, a netip.Addr) (checks.Path, error) {
			return checks.Path{Hops: []checks.Hop{{TTL: 1, Address: a, RTT: 1}}, Reached: true}, nil
		},
		MTUFunc: func(_ context.Context, _ netip.Addr, limit int) (checks.MTU, error) {
			return checks.MTU{Bytes: limit}, nil
		},
	}
}

func TestObserveNode(t *testing.T) {
	got, err := look(t, within(t, time.Minute), healthy(), node(""))
	require.NoError(t, err)
	require.JSONEq(t, `{"echo":{"sent":3,"received":3,"min":1,"avg":2,"max":3},"mtu":{"bytes":1500}}`, got)

	got, err = look(t, within(t, time.Minute), healthy(), node("trace"))
	require.NoError(t, err)
	require.Contains(t, got, `"path":{"hops":[{"ttl":1,"address":"10.0.0.12","rtt":1}],"reached":true}`)
}

// A ping that waits to its end leaves as much time for the trace.
func TestObserveDeadNode(t *testing.T) {
	n := healthy()
	n.PingFunc = func(ctx context.Context, _ netip.Addr, count int) (checks.Echo, error) {
		<-ctx.Done()
		return checks.Echo{Sent: count}, nil
	}
	n.TraceFunc = func(ctx context.Context, _ netip.Addr) (checks.Path, error) {
		return checks.Path{Stop: "no reply"}, ctx.Err()
	}
	n.MTUFunc = nil
	got, err := look(t, within(t, 50*time.Millisecond), n, node(""))
	require.NoError(t, err)
	require.JSONEq(t, `{"echo":{"sent":3,"received":0},"path":{"hops":null,"reached":false,"stop":"no reply"}}`, got)
}

// Without the right to ping, the probes of the path show that a node is alive.
func TestObserveNodeWithoutPing(t *testing.T) {
	n := healthy()
	n.PingFunc = nil
	got, err := look(t, within(t, time.Minute), n, node(""))
	require.ErrorIs(t, err, os.ErrPermission)
	require.JSONEq(t, `{"path":{"hops":[{"ttl":1,"address":"10.0.0.12","rtt":1}],"reached":true},"mtu":{"bytes":1500}}`, got)
}

func TestObserveNodeKeepsWhatItSaw(t *testing.T) {
	n := healthy()
	n.MTUFunc = nil
	got, err := look(t, within(t, time.Minute), n, node(""))
	require.ErrorIs(t, err, os.ErrPermission)
	require.JSONEq(t, `{"echo":{"sent":3,"received":3,"min":1,"avg":2,"max":3}}`, got)
}

func TestObserveWithoutAddress(t *testing.T) {
	for _, kind := range []string{"node", "port"} {
		got, err := look(t, t.Context(), healthy(), checks.Target{Kind: kind, Name: "mbox1.example.com", Args: []string{"tcp"}})
		require.ErrorContains(t, err, "no address is known")
		require.Empty(t, got)
	}
}

func port(protocol, address string) checks.Target {
	return checks.Target{Kind: "port", Name: "svc2.example.com:1/" + protocol, Address: address, Args: []string{protocol, "test", "1/" + protocol}}
}

func TestObserveTCP(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String() // nobody accepts: the kernel does
	got, err := look(t, within(t, time.Minute), checkstest.Network{}, port("tcp", address))
	require.NoError(t, err)
	require.JSONEq(t, `{"state":"open"}`, got)
	require.NoError(t, l.Close())
	got, err = look(t, within(t, time.Minute), checkstest.Network{}, port("tcp", address))
	require.NoError(t, err)
	require.JSONEq(t, `{"state":"closed"}`, got)
}

func TestObserveUDP(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	address := conn.LocalAddr().String()
	got, err := look(t, within(t, 50*time.Millisecond), checkstest.Network{}, port("udp", address))
	require.NoError(t, err)
	require.JSONEq(t, `{"state":"silent"}`, got)
	for range 2 { // it knocked twice, with an empty datagram each time
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(time.Minute)))
		n, from, err := conn.ReadFrom(make([]byte, 10))
		require.NoError(t, err)
		require.Zero(t, n)
		require.NotNil(t, from)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, from, err := conn.ReadFrom(make([]byte, 10))
		if err == nil {
			_, _ = conn.WriteTo([]byte("who is there?"), from)
		}
	}()
	got, err = look(t, within(t, time.Minute), checkstest.Network{}, port("udp", address))
	require.NoError(t, err)
	require.JSONEq(t, `{"state":"open"}`, got)
	<-done
	require.NoError(t, conn.Close())
	got, err = look(t, within(t, time.Minute), checkstest.Network{}, port("udp", address))
	require.NoError(t, err)
	require.JSONEq(t, `{"state":"closed"}`, got)
}

// failing is a network on which every dial fails like that.
func failing(err error) checkstest.Network {
	return checkstest.Network{
		DialFunc: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if err == nil {
				<-ctx.Done()
				err = ctx.Err()
			}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: err}
		},
		LookupFunc: func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
		},
	}
}

func TestObservePortThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"refused":       {os.NewSyscallError("connect", syscall.ECONNREFUSED), `{"state":"closed"}`},
		"no host":       {os.NewSyscallError("connect", syscall.EHOSTUNREACH), `{"state":"unreachable","reason":"no route to host"}`},
		"no network":    {os.NewSyscallError("connect", syscall.ENETUNREACH), `{"state":"unreachable","reason":"network is unreachable"}`},
		"kernel's time": {os.NewSyscallError("connect", syscall.ETIMEDOUT), `{"state":"silent"}`},
		"our time":      {nil, `{"state":"silent"}`},
		"rejected":      {&checks.RejectedError{By: netip.MustParseAddr("10.0.0.1"), Reason: "administratively prohibited", Err: syscall.EHOSTUNREACH}, `{"state":"rejected","by":"10.0.0.1","reason":"administratively prohibited"}`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := look(t, within(t, 20*time.Millisecond), failing(c.err), port("tcp", "10.0.0.12:1"))
			require.NoError(t, err)
			require.JSONEq(t, c.want, got)
		})
	}
}

// What is our own trouble is never said of the port.
func TestObservePortOwnTrouble(t *testing.T) {
	for _, trouble := range []error{syscall.EMFILE, syscall.EPERM, syscall.EADDRNOTAVAIL} {
		got, err := look(t, within(t, time.Minute), failing(os.NewSyscallError("socket", trouble)), port("tcp", "10.0.0.12:1"))
		require.ErrorIs(t, err, trouble)
		require.JSONEq(t, `{}`, got)
	}
}

func TestInterrupted(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	stuck := checkstest.Network{LookupFunc: func(ctx context.Context, name string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, &net.DNSError{Err: "operation was canceled", Name: name}
	}}
	for name, c := range map[string]struct {
		network checkstest.Network
		target  checks.Target
	}{
		"tcp":      {failing(nil), port("tcp", "10.0.0.12:1")},
		"udp":      {checkstest.Network{}, port("udp", conn.LocalAddr().String())},
		"lookup":   {stuck, checks.Target{Kind: "outbound", Name: "repo.zextras.io:443"}},
		"outbound": {failing(nil), checks.Target{Kind: "outbound", Name: "repo.zextras.io:443"}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			got, err := look(t, ctx, c.network, c.target)
			require.ErrorIs(t, err, context.Canceled)
			require.JSONEq(t, `{}`, got)
		})
	}
}

func TestObserveOutbound(t *testing.T) {
	target := checks.Target{Kind: "outbound", Name: "repo.zextras.io:443"}
	for name, c := range map[string]struct {
		network checkstest.Network
		files   map[string]string
		want    string
	}{
		"no such name": {checkstest.Network{}, nil, `{"state":"unresolved","reason":"lookup repo.zextras.io: no such host"}`},
		"refused":      {failing(syscall.ECONNREFUSED), nil, `{"state":"closed"}`},
		"apt's proxy": {failing(nil), map[string]string{
			"etc/apt/apt.conf.d/95proxy": "// Acquire::http::Proxy \"http://old:1\";\nAcquire::https::Proxy \"http://user:secret@proxy.example.com:3128/\";\n",
		}, `{"state":"silent","proxy":"proxy.example.com:3128 (/etc/apt/apt.conf.d/95proxy)"}`},
		"the environment's proxy": {failing(nil), map[string]string{
			"etc/environment": "PATH=\"/usr/bin\"\nhttps_proxy=user:secret@proxy.example.com:3128\n",
		}, `{"state":"silent","proxy":"proxy.example.com:3128 (/etc/environment)"}`},
		"dnf's proxy": {failing(nil), map[string]string{
			"etc/dnf/dnf.conf": "[main]\nproxy = http://proxy.example.com:3128\nproxy_username=user\n",
		}, `{"state":"silent","proxy":"proxy.example.com:3128 (/etc/dnf/dnf.conf)"}`},
		"no proxy": {failing(nil), map[string]string{
			"etc/apt/apt.conf":  "Acquire::http::Proxy \"DIRECT\";\nAcquire::Retries \"3\";\n",
			"etc/dnf/dnf.conf":  "[main]\nproxy=_none_\n",
			"etc/environment":   "no_proxy=localhost\n# http_proxy=http://off:1\n",
			"etc/apt/apt.conf2": "Acquire::http::Proxy \"http://not-read:1\";\n",
		}, `{"state":"silent"}`},
	} {
		t.Run(name, func(t *testing.T) {
			host := checks.Host{Files: checkstest.Files(c.files), Network: c.network}
			data, err := module.Observe(within(t, 20*time.Millisecond), host, target)
			require.NoError(t, err)
			raw, err := json.Marshal(data)
			require.NoError(t, err)
			require.JSONEq(t, c.want, string(raw))
		})
	}
}

func TestObserveInterfaces(t *testing.T) {
	target := checks.Target{Kind: "interfaces", Name: "svc1.example.com"}
	host := checks.Host{
		Machine: checkstest.Machine{Links: []checks.Interface{{Name: "eth0", MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.11/24")}}}},
		Network: checkstest.Network{},
	}
	data, err := module.Observe(t.Context(), host, target)
	require.NoError(t, err)
	raw, err := json.Marshal(data)
	require.NoError(t, err)
	require.JSONEq(t, `{"interfaces":[{"name":"eth0","mtu":1500,"addresses":["10.0.0.11/24"]}],"unresolved":"lookup svc1.example.com: no such host"}`, string(raw))

	host.Machine = checkstest.Machine{Err: errors.New("netlink: no")}
	data, err = module.Observe(t.Context(), host, target)
	require.ErrorContains(t, err, "netlink")
	require.Nil(t, data)
}
