package machine

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"carbonio-check/checks"
	"carbonio-check/fixtures/netsim"
	"carbonio-check/machine/path"
)

var (
	_    checks.Network = Net{}
	host                = netip.MustParseAddr("10.77.1.1")
	dead                = netip.MustParseAddr("10.77.255.1")
)

func short(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestDialOpenAndClosed(t *testing.T) {
	defer goleak.VerifyNone(t)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	conn, err := Net{}.Dial(t.Context(), "tcp", l.Addr().String())
	require.NoError(t, err)
	peer, err := l.Accept()
	require.NoError(t, err)
	require.NoError(t, conn.Close())
	// Closed means closed: the descriptor of the error queue is gone as well.
	require.NoError(t, peer.SetReadDeadline(time.Now().Add(10*time.Second)))
	_, err = peer.Read(make([]byte, 1))
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, peer.Close())
	require.NoError(t, l.Close())
	_, err = Net{}.Dial(t.Context(), "tcp", l.Addr().String())
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	var rejected *checks.RejectedError
	require.NotErrorAs(t, err, &rejected, "the machine itself refused")
}

// What iptables' REJECT does by default has the errno of a closed port.
func TestDialRejected(t *testing.T) {
	for name, c := range map[string]struct {
		code   byte
		reason string
		errno  error
	}{
		"REJECT":     {3, "port unreachable", unix.ECONNREFUSED},
		"firewalld":  {10, "administratively prohibited", unix.EHOSTUNREACH},
		"router ACL": {13, "administratively prohibited", unix.EHOSTUNREACH},
		"no host":    {1, "host unreachable", unix.EHOSTUNREACH},
		"no network": {0, "network unreachable", unix.ENETUNREACH},
	} {
		t.Run(name, func(t *testing.T) {
			netsim.Start(t, netsim.Network{Hops: 3, Reject: 2, RejectCode: c.code})
			_, err := Net{}.Dial(t.Context(), "tcp", "10.77.1.1:8301")
			var rejected *checks.RejectedError
			require.ErrorAs(t, err, &rejected)
			require.Equal(t, netip.MustParseAddr("10.76.2.1"), rejected.By)
			require.Equal(t, c.reason, rejected.Reason)
			require.ErrorIs(t, err, c.errno)
		})
	}
}

func TestDialFiltered(t *testing.T) {
	netsim.Start(t, netsim.Network{})
	_, err := Net{}.Dial(short(t), "tcp", "10.77.255.1:8301")
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
}

func TestLookup(t *testing.T) {
	got, err := Net{}.Lookup(t.Context(), "localhost")
	require.NoError(t, err)
	require.Contains(t, got, netip.MustParseAddr("127.0.0.1"))
}

func TestPing(t *testing.T) {
	defer goleak.VerifyNone(t)
	for name, unprivileged := range map[string]bool{"raw": false, "datagram": true} {
		t.Run(name, func(t *testing.T) {
			netsim.Start(t, netsim.Network{Hops: 2, RTT: 2 * time.Millisecond, Garbage: 3})
			if unprivileged {
				require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 2147483647"), 0))
				nobody(t)
			}
			echo, err := Net{}.Ping(t.Context(), host, 3)
			require.NoError(t, err)
			require.Equal(t, 3, echo.Received)
			require.GreaterOrEqual(t, echo.Min, 4*time.Millisecond)
			require.LessOrEqual(t, echo.Min, echo.Avg)
			require.LessOrEqual(t, echo.Avg, echo.Max)
			echo, err = Net{}.Ping(short(t), dead, 3)
			require.NoError(t, err)
			require.Equal(t, checks.Echo{Sent: 3}, echo)
		})
	}
}

func TestPingNotAllowed(t *testing.T) {
	netsim.Start(t, netsim.Network{}) // a new namespace allows nobody: ping_group_range is "1 0"
	nobody(t)
	_, err := Net{}.Ping(t.Context(), host, 1)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "sysctl -w net.ipv4.ping_group_range")
}

// nobody gives up root, for the thread of this test alone: netsim locked it.
func nobody(t *testing.T) {
	t.Helper()
	const id = 65534
	for _, call := range []uintptr{syscall.SYS_SETRESGID, syscall.SYS_SETRESUID} {
		_, _, errno := syscall.RawSyscall(call, id, id, id)
		require.Zero(t, errno)
	}
}

func TestPingWithoutRoute(t *testing.T) {
	netsim.Start(t, netsim.Network{})
	echo, err := Net{}.Ping(t.Context(), netip.MustParseAddr("192.0.2.1"), 3)
	require.NoError(t, err)
	require.Equal(t, checks.Echo{Sent: 3}, echo)
}

func TestPingInterrupted(t *testing.T) {
	netsim.Start(t, netsim.Network{})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(10*time.Millisecond, cancel)
	_, err := Net{}.Ping(ctx, dead, 3)
	require.True(t, errors.Is(err, context.Canceled), "%v", err)
}

// A host that drops UDP in silence may still answer a ping of that size.
func TestPathMTUByPing(t *testing.T) {
	netsim.Start(t, netsim.Network{Hops: 3, NoUDP: true})
	mtu, err := Net{}.PathMTU(short(t), host, 1500)
	require.NoError(t, err)
	require.Equal(t, checks.MTU{Bytes: 1500}, mtu)
}

func TestPathMTUUnknown(t *testing.T) {
	netsim.Start(t, netsim.Network{Hops: 3, NoUDP: true, MTUHop: 2, MTU: 1400, BlackHole: true})
	_, err := Net{}.PathMTU(short(t), host, 1500)
	require.ErrorIs(t, err, path.ErrSilent)
}
