package network

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// text is what was seen, as it stands in a file.
func text(t *testing.T, seen any) string {
	t.Helper()
	raw, err := json.Marshal(seen)
	require.NoError(t, err)
	return string(raw)
}

// lookAt looks at svc2.
func lookAt(ctx context.Context, t *testing.T, n checkstest.Network, trace bool) string {
	t.Helper()
	seen, err := observeNode(ctx, checks.Host{Network: n}, checks.Target[extent]{Address: "10.0.0.12", Ask: extent{1500, trace}})
	require.NoError(t, err)
	return text(t, seen)
}

// healthy is a network on which everything answers.
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
	require.JSONEq(t, `{"echo":{"sent":3,"received":3,"min":1,"avg":2,"max":3},"mtu":{"bytes":1500}}`,
		lookAt(within(t, time.Minute), t, healthy(), false))
	require.Contains(t, lookAt(within(t, time.Minute), t, healthy(), true),
		`"path":{"hops":[{"ttl":1,"address":"10.0.0.12","rtt":1}],"reached":true}`)
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
	require.JSONEq(t, `{"echo":{"sent":3,"received":0},"path":{"hops":null,"reached":false,"stop":"no reply"}}`,
		lookAt(within(t, 50*time.Millisecond), t, n, false))
}

// Without the right to ping, the probes of the path show that a node is alive.
func TestObserveNodeWithoutPing(t *testing.T) {
	n := healthy()
	n.PingFunc = nil
	require.JSONEq(t, `{"echo_unseen":{"code":"denied","words":"permission denied"},"path":{"hops":[{"ttl":1,"address":"10.0.0.12","rtt":1}],"reached":true},"mtu":{"bytes":1500}}`,
		lookAt(within(t, time.Minute), t, n, false))
}

func TestObserveNodeKeepsWhatItSaw(t *testing.T) {
	n := healthy()
	n.MTUFunc, n.TraceFunc = nil, nil
	require.JSONEq(t, `{"echo":{"sent":3,"received":3,"min":1,"avg":2,"max":3},"path_unseen":{"code":"denied","words":"permission denied"},"mtu_unseen":{"code":"denied","words":"permission denied"}}`,
		lookAt(within(t, time.Minute), t, n, true))
}

func TestObserveWithoutAddress(t *testing.T) {
	_, err := observeNode(t.Context(), checks.Host{Network: healthy()}, checks.Target[extent]{Name: "mbox1.example.com"})
	require.ErrorIs(t, err, checks.ErrNoAddress)
	seen, err := observePorts(t.Context(), checks.Host{Network: healthy()}, checks.Target[ports]{Ask: ports{tcp: []int{22}}})
	require.ErrorIs(t, err, checks.ErrNoAddress)
	require.Nil(t, seen)
}

// probeAll probes ports of an address.
func probeAll(ctx context.Context, t *testing.T, n checkstest.Network, address string, ask ports) (string, error) {
	t.Helper()
	seen, err := observePorts(ctx, checks.Host{Network: n}, checks.Target[ports]{Address: address, Ask: ask})
	return text(t, seen), err
}

// local is the port of a local address.
func local(a net.Addr) int { return int(netip.MustParseAddrPort(a.String()).Port()) }

func TestObserveTCP(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	at := ports{tcp: []int{local(l.Addr())}} // nobody accepts: the kernel does
	got, err := probeAll(within(t, time.Minute), t, checkstest.Network{}, "127.0.0.1", at)
	require.NoError(t, err)
	require.JSONEq(t, `[{"state":"open","ports":{"tcp":`+text(t, at[tcp])+`}}]`, got)
	require.NoError(t, l.Close())
	got, err = probeAll(within(t, time.Minute), t, checkstest.Network{}, "127.0.0.1", at)
	require.NoError(t, err)
	require.JSONEq(t, `[{"state":"refused","ports":{"tcp":`+text(t, at[tcp])+`}}]`, got)
}

func TestObserveUDP(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	at := ports{udp: []int{local(conn.LocalAddr())}}
	port := text(t, at[udp])
	got, err := probeAll(within(t, 50*time.Millisecond), t, checkstest.Network{}, "127.0.0.1", at)
	require.NoError(t, err)
	require.JSONEq(t, `[{"state":"silent","ports":{"udp":`+port+`}}]`, got)
	for range 2 { // two empty datagrams
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
	got, err = probeAll(within(t, time.Minute), t, checkstest.Network{}, "127.0.0.1", at)
	require.NoError(t, err)
	require.JSONEq(t, `[{"state":"open","ports":{"udp":`+port+`}}]`, got)
	<-done
	require.NoError(t, conn.Close())
	got, err = probeAll(t.Context(), t, checkstest.Network{}, "127.0.0.1", at)
	require.NoError(t, err)
	require.JSONEq(t, `[{"state":"refused","ports":{"udp":`+port+`}}]`, got)
}

// failing is a network on which every dial fails like that; nil: at the end of
// its time.
func failing(err error) checkstest.Network {
	return checkstest.Network{
		DialFunc: func(ctx context.Context, _, address string) (net.Conn, error) {
			err := err
			if err == nil {
				<-ctx.Done()
				err = ctx.Err()
			}
			return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(address)), Err: err}
		},
		LookupFunc: resolves,
	}
}

func refused(ctx context.Context, _, _ string) (net.Conn, error) {
	return nil, os.NewSyscallError("connect", syscall.ECONNREFUSED)
}

func resolves(context.Context, string) ([]netip.Addr, error) {
	return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
}

// Ports that end alike are put together.
func TestObservePortsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"refused":       {os.NewSyscallError("connect", syscall.ECONNREFUSED), `"state":"refused"`},
		"no host":       {os.NewSyscallError("connect", syscall.EHOSTUNREACH), `"state":"unreachable","words":"no route to host"`},
		"no network":    {os.NewSyscallError("connect", syscall.ENETUNREACH), `"state":"unreachable","words":"network is unreachable"`},
		"kernel's time": {os.NewSyscallError("connect", syscall.ETIMEDOUT), `"state":"silent"`},
		"our time":      {nil, `"state":"silent"`},
		"rejected":      {&checks.RejectedError{By: netip.MustParseAddr("10.0.0.1"), Reason: "administratively prohibited", Err: syscall.EHOSTUNREACH}, `"state":"rejected","by":"10.0.0.1","words":"administratively prohibited"`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := probeAll(within(t, 20*time.Millisecond), t, failing(c.err), "10.0.0.12", ports{tcp: []int{1, 2}})
			require.NoError(t, err)
			require.JSONEq(t, `[{`+c.want+`,"ports":{"tcp":[1,2]}}]`, got)
		})
	}
}

// What is our own trouble is never said of a port; the others keep their word.
func TestObservePortsOwnTrouble(t *testing.T) {
	for code, trouble := range map[string]error{"starved": syscall.EMFILE, "denied": syscall.EPERM} {
		n := failing(os.NewSyscallError("socket", trouble))
		fails := n.DialFunc
		n.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "10.0.0.12:3" {
				return refused(ctx, network, address)
			}
			return fails(ctx, network, address)
		}
		got, err := probeAll(within(t, time.Minute), t, n, "10.0.0.12", ports{tcp: []int{1, 2, 3}})
		require.ErrorIs(t, err, trouble, "the run may look again")
		require.JSONEq(t, `[{"unseen":{"code":"`+code+`","words":"socket: `+trouble.Error()+`"},"ports":{"tcp":[1,2]}},{"state":"refused","ports":{"tcp":[3]}}]`, got)
	}
}

// A dead node costs one time-out, whatever the number of its ports; those for
// which there is no time left are not called silent.
func TestObservePortsSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var now, most atomic.Int32
		n := failing(nil)
		dead := n.DialFunc
		n.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			return dead(ctx, network, address)
		}
		ask := ports{}
		for i := range 20 {
			ask[tcp] = append(ask[tcp], i+1)
		}
		begun := time.Now()
		got, err := probeAll(ctx, t, n, "10.0.0.12", ask)
		require.ErrorIs(t, err, errLate)
		require.JSONEq(t, `[{"state":"silent","ports":{"tcp":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]}},
			{"unseen":{"code":"error","words":"not probed: the ports before it did not respond in time"},"ports":{"tcp":[17,18,19,20]}}]`, got)
		require.Equal(t, 2*time.Second, time.Since(begun))
		require.EqualValues(t, atOnce, most.Load())

		// One that responds is not taken for dead: the look ends in time.
		n.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			if address == "10.0.0.12:1" {
				return refused(ctx, network, address)
			}
			return dead(ctx, network, address)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begun = time.Now()
		got, err = probeAll(ctx, t, n, "10.0.0.12", ports{tcp: []int{1, 2}})
		require.NoError(t, err)
		require.JSONEq(t, `[{"state":"refused","ports":{"tcp":[1]}},{"state":"silent","ports":{"tcp":[2]}}]`, got)
		require.Equal(t, 1800*time.Millisecond, time.Since(begun))
	})
}

func TestInterrupted(t *testing.T) {
	conn, err := net.ListenPacket("udp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	stuck := checkstest.Network{LookupFunc: func(ctx context.Context, name string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, &net.DNSError{Err: "operation was canceled", Name: name}
	}}
	repo := checks.Target[checks.Nothing]{Name: "repo.zextras.io:443"}
	for name, look := range map[string]func(context.Context) (any, error){
		"tcp": func(ctx context.Context) (any, error) {
			return observePorts(ctx, checks.Host{Network: failing(nil)}, checks.Target[ports]{Address: "10.0.0.12", Ask: ports{tcp: make([]int, 40)}})
		},
		"udp": func(ctx context.Context) (any, error) {
			return observePorts(ctx, checks.Host{Network: checkstest.Network{}}, checks.Target[ports]{Address: "127.0.0.1", Ask: ports{udp: []int{local(conn.LocalAddr())}}})
		},
		"lookup": func(ctx context.Context) (any, error) {
			return observeService(ctx, checks.Host{Network: stuck}, repo)
		},
		"outbound": func(ctx context.Context) (any, error) {
			return observeService(ctx, checks.Host{Network: hanging()}, repo)
		},
		"own name": func(ctx context.Context) (any, error) {
			return observeSelf(ctx, checks.Host{Network: stuck, Machine: checkstest.Machine{}}, repo)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			seen, err := look(ctx)
			require.ErrorIs(t, err, context.Canceled)
			require.NotContains(t, text(t, seen), "state")
			require.NotContains(t, text(t, seen), "unresolved")
		})
	}
}

// hanging is a network on which every dial takes all its time.
func hanging() checkstest.Network {
	return checkstest.Network{
		DialFunc: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
		LookupFunc: resolves,
	}
}

func TestObserveOutbound(t *testing.T) {
	open := checkstest.Network{LookupFunc: resolves, DialFunc: func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		there.Close()
		return here, nil
	}}
	for name, c := range map[string]struct {
		network checkstest.Network
		files   map[string]string
		want    string
	}{
		"open":         {open, map[string]string{"etc/environment": "https_proxy=proxy.example.com:3128\n"}, `{"state":"open"}`},
		"no such name": {checkstest.Network{}, nil, `{"unresolved":"lookup repo.zextras.io: no such host"}`},
		"refused":      {checkstest.Network{LookupFunc: resolves, DialFunc: refused}, nil, `{"state":"refused"}`},
		"apt's proxy": {hanging(), map[string]string{
			"etc/apt/apt.conf.d/95proxy": "// Acquire::http::Proxy \"http://old:1\";\nAcquire::https::Proxy \"http://user:secret@proxy.example.com:3128/\";\n",
		}, `{"state":"silent","proxy":"proxy.example.com:3128 (/etc/apt/apt.conf.d/95proxy)"}`},
		"the environment's proxy": {hanging(), map[string]string{
			"etc/environment": "PATH=\"/usr/bin\"\nhttps_proxy=user:secret@proxy.example.com:3128\n",
		}, `{"state":"silent","proxy":"proxy.example.com:3128 (/etc/environment)"}`},
		"dnf's proxy": {hanging(), map[string]string{
			"etc/dnf/dnf.conf": "[main]\nproxy = http://proxy.example.com:3128\nproxy_username=user\n",
		}, `{"state":"silent","proxy":"proxy.example.com:3128 (/etc/dnf/dnf.conf)"}`},
		"no proxy": {hanging(), map[string]string{
			"etc/apt/apt.conf":  "Acquire::http::Proxy \"DIRECT\";\nAcquire::Retries \"3\";\n",
			"etc/dnf/dnf.conf":  "[main]\nproxy=_none_\n",
			"etc/environment":   "no_proxy=localhost\n# http_proxy=http://off:1\n",
			"etc/apt/apt.conf2": "Acquire::http::Proxy \"http://not-read:1\";\n",
		}, `{"state":"silent"}`},
	} {
		t.Run(name, func(t *testing.T) {
			host := checks.Host{Files: checkstest.Files(c.files), Network: c.network}
			seen, err := observeService(within(t, 20*time.Millisecond), host, checks.Target[checks.Nothing]{Name: "repo.zextras.io:443"})
			require.NoError(t, err)
			require.JSONEq(t, c.want, text(t, seen))
		})
	}
}

// Our own want of descriptors is not said of a service outside, nor of a name.
func TestObserveOutboundOwnTrouble(t *testing.T) {
	n := hanging()
	n.LookupFunc = func(_ context.Context, name string) ([]netip.Addr, error) {
		return nil, os.NewSyscallError("socket", syscall.EMFILE)
	}
	host := checks.Host{Network: n, Machine: checkstest.Machine{}}
	seen, err := observeService(t.Context(), host, checks.Target[checks.Nothing]{Name: "repo.zextras.io:443"})
	require.ErrorIs(t, err, syscall.EMFILE)
	require.Zero(t, seen)
	self, err := observeSelf(t.Context(), host, checks.Target[checks.Nothing]{Name: "svc1.example.com"})
	require.ErrorIs(t, err, syscall.EMFILE)
	require.Empty(t, self.Unresolved)
}

func TestObserveInterfaces(t *testing.T) {
	target := checks.Target[checks.Nothing]{Name: "svc1.example.com"}
	host := checks.Host{
		Machine: checkstest.Machine{Links: []checks.Interface{{Name: "eth0", MTU: 1500, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.11/24")}}}},
		Network: checkstest.Network{},
	}
	seen, err := observeSelf(t.Context(), host, target)
	require.NoError(t, err)
	require.JSONEq(t, `{"interfaces":[{"name":"eth0","mtu":1500,"addresses":["10.0.0.11/24"]}],"unresolved":"lookup svc1.example.com: no such host"}`, text(t, seen))

	host.Machine = checkstest.Machine{Err: errors.New("netlink: no")}
	_, err = observeSelf(t.Context(), host, target)
	require.ErrorContains(t, err, "netlink")
}
