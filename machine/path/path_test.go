package path_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/fixtures/netsim"
	"carbonio-check/machine/path"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	host      = netip.MustParseAddr("10.77.1.1")
	dead      = netip.MustParseAddr("10.77.255.1")
	localhost = netip.MustParseAddr("127.0.0.1")
)

// patience is the time-out of looks that have to run into it.
const patience = 300 * time.Millisecond

func TestTrace(t *testing.T) {
	odd := map[int]netip.Addr{2: netip.MustParseAddr("10.76.0.1"), 3: netip.MustParseAddr("127.0.0.1"), 4: netip.MustParseAddr("224.0.0.1")}
	for name, c := range map[string]struct {
		net    netsim.Network
		target netip.Addr
		want   string
	}{
		"next door":             {netsim.Network{}, host, "10.77.1.1 reached"},
		"four hops":             {netsim.Network{Hops: 4, RTT: time.Millisecond}, host, "10.76.1.1 10.76.2.1 10.76.3.1 10.77.1.1 reached"},
		"silent routers":        {netsim.Network{Hops: 5, RTT: time.Millisecond, Silent: []int{1, 3}}, host, "* 10.76.2.1 * 10.76.4.1 10.77.1.1 reached"},
		"all routers silent":    {netsim.Network{Hops: 3, Silent: []int{1, 2}}, host, "* * 10.77.1.1 reached"},
		"too far":               {netsim.Network{Hops: 40, Silent: []int{2}}, host, "10.76.1.1 * " + routers(3, 30) + "no reply"},
		"dead":                  {netsim.Network{Hops: 3}, dead, "10.76.1.1 10.76.2.1 no reply"},
		"dead, and all silent":  {netsim.Network{Hops: 3, Silent: []int{1, 2}}, dead, "no reply"},
		"host mute":             {netsim.Network{Hops: 3, NoUDP: true}, host, "10.76.1.1 10.76.2.1 no reply"},
		"host unreachable":      {netsim.Network{Hops: 4, Reject: 2, RejectCode: 1}, host, "10.76.1.1 10.76.2.1 host unreachable"},
		"network unreachable":   {netsim.Network{Hops: 4, Reject: 1, RejectCode: 0}, host, "10.76.1.1 network unreachable"},
		"prohibited":            {netsim.Network{Hops: 4, Reject: 3, RejectCode: 13}, host, "10.76.1.1 10.76.2.1 10.76.3.1 administratively prohibited"},
		"reject of a firewall":  {netsim.Network{Hops: 4, Reject: 2, RejectCode: 3}, host, "10.76.1.1 10.76.2.1 administratively prohibited"},
		"loop":                  {netsim.Network{Loop: 2}, host, "10.76.1.1 10.76.2.1 10.76.3.1 10.76.2.1 10.76.3.1 10.76.2.1 loop"},
		"odd addresses":         {netsim.Network{Hops: 6, RTT: time.Millisecond, Odd: odd}, host, "10.76.1.1 * * * 10.76.5.1 10.77.1.1 reached"},
		"a router as the host":  {netsim.Network{Hops: 4, Odd: map[int]netip.Addr{3: host}}, host, "10.76.1.1 10.76.2.1 10.77.1.1 reached"},
		"an address of the net": {netsim.Network{Hops: 3, Odd: map[int]netip.Addr{1: dead}}, host, "10.77.255.1 10.76.2.1 10.77.1.1 reached"},
		"garbage":               {netsim.Network{Hops: 3, RTT: time.Millisecond, Garbage: 20}, host, "10.76.1.1 10.76.2.1 10.77.1.1 reached"},
		"no route":              {netsim.Network{}, netip.MustParseAddr("192.0.2.1"), "network unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			netsim.Start(t, c.net)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := path.Trace(ctx, c.target)
			require.NoError(t, err)
			require.Equal(t, c.want, words(t, got))
		})
	}
}

// routers are those of the simulator from one distance to another.
func routers(from, to int) (s string) {
	for hop := from; hop <= to; hop++ {
		s += fmt.Sprintf("10.76.%d.1 ", hop)
	}
	return s
}

// words gives "10.76.1.1 * reached".
func words(t *testing.T, p checks.Path) string {
	t.Helper()
	var out []string
	for i, h := range p.Hops {
		require.Equal(t, i+1, h.TTL)
		if !h.Address.IsValid() {
			out = append(out, "*")
			continue
		}
		require.Positive(t, h.RTT)
		out = append(out, h.Address.String())
	}
	if p.Reached {
		out = append(out, "reached")
	}
	if p.Stop != "" {
		out = append(out, p.Stop)
	}
	return strings.Join(out, " ")
}

func TestMTU(t *testing.T) {
	for name, c := range map[string]struct {
		net   netsim.Network
		limit int
		want  checks.MTU
		err   error
	}{
		"ethernet":              {netsim.Network{Hops: 3, RTT: time.Millisecond}, 1500, checks.MTU{Bytes: 1500}, nil},
		"tunnel":                {netsim.Network{Hops: 3, MTUHop: 2, MTU: 1420}, 1500, checks.MTU{Bytes: 1420, Hop: router(2)}, nil},
		"narrower than floor":   {netsim.Network{Hops: 3, MTUHop: 1, MTU: 600}, 1500, checks.MTU{Bytes: 600, Hop: router(1)}, nil},
		"black hole":            {netsim.Network{Hops: 3, MTUHop: 2, MTU: 1400, BlackHole: true}, 1500, checks.MTU{Bytes: 1400, BlackHole: true}, nil},
		"black hole, VXLAN":     {netsim.Network{Hops: 3, MTUHop: 2, MTU: 1450, BlackHole: true}, 1500, checks.MTU{Bytes: 1450, BlackHole: true}, nil},
		"tight black hole":      {netsim.Network{Hops: 3, MTUHop: 2, MTU: 1300, BlackHole: true}, 1500, checks.MTU{Bytes: 1280, BlackHole: true}, nil},
		"own interface":         {netsim.Network{Hops: 2}, 9000, checks.MTU{Bytes: 1500}, nil},
		"a lie of the router":   {netsim.Network{Hops: 3, MTUHop: 2, MTU: 20}, 1500, checks.MTU{}, path.ErrSilent},
		"host mute":             {netsim.Network{Hops: 3, NoUDP: true}, 1500, checks.MTU{}, path.ErrSilent},
		"tunnel, and host mute": {netsim.Network{Hops: 3, NoUDP: true, MTUHop: 1, MTU: 1400}, 1500, checks.MTU{Bytes: 1400, Hop: router(1)}, nil},
		"small limit":           {netsim.Network{Hops: 3}, 576, checks.MTU{Bytes: 576}, nil},
		"garbage":               {netsim.Network{Hops: 3, MTUHop: 2, MTU: 1400, Garbage: 50}, 1500, checks.MTU{Bytes: 1400, Hop: router(2)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			netsim.Start(t, c.net)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := path.MTU(ctx, host, c.limit)
			require.ErrorIs(t, err, c.err)
			require.Equal(t, c.want, got)
		})
	}
}

func router(hop byte) netip.Addr { return netip.AddrFrom4([4]byte{10, 76, hop, 1}) }

// The point of it all: no privilege.
func TestAsNobody(t *testing.T) {
	netsim.Start(t, netsim.Network{Hops: 3, MTUHop: 2, MTU: 1400})
	const nobody = 65534 // of this thread alone, which ends with the test
	_, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, nobody, nobody, nobody)
	require.Zero(t, errno)
	got, err := path.Trace(t.Context(), host)
	require.NoError(t, err)
	require.Equal(t, "10.76.1.1 10.76.2.1 10.77.1.1 reached", words(t, got))
	mtu, err := path.MTU(t.Context(), host, 1500)
	require.NoError(t, err)
	require.Equal(t, checks.MTU{Bytes: 1400, Hop: router(2)}, mtu)
}

func TestLoopback(t *testing.T) {
	got, err := path.Trace(t.Context(), localhost)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1 reached", words(t, got))
	mtu, err := path.MTU(t.Context(), localhost, 1500)
	require.NoError(t, err)
	require.Equal(t, checks.MTU{Bytes: 1500}, mtu)
}

// Nobody on the local network has the address: the kernel itself gives up.
func TestNothingLeftTheNode(t *testing.T) {
	netsim.Start(t, netsim.Network{})
	for _, args := range []string{
		"link add near type veth peer name far", "addr add 192.0.2.1/24 dev near", "link set far up", "link set near up",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v: %s", args, err, out)
		}
	}
	for name, value := range map[string]string{"mcast_solicit": "1", "retrans_time_ms": "10"} {
		require.NoError(t, os.WriteFile("/proc/sys/net/ipv4/neigh/near/"+name, []byte(value), 0))
	}
	got, err := path.Trace(t.Context(), netip.MustParseAddr("192.0.2.2"))
	require.NoError(t, err)
	require.Equal(t, "host unreachable", words(t, got))
}

func TestIPv6(t *testing.T) {
	_, err := path.Trace(t.Context(), netip.IPv6Loopback())
	require.ErrorContains(t, err, "only IPv4")
}

func TestInterrupt(t *testing.T) {
	netsim.Start(t, netsim.Network{Hops: 3})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := path.Trace(ctx, dead)
	require.ErrorIs(t, err, context.Canceled)
	ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
	time.AfterFunc(10*time.Millisecond, cancel)
	got, err := path.Trace(ctx, dead)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "10.76.1.1 10.76.2.1 no reply", words(t, got), "what was seen by then")
}

func BenchmarkPathAlive(b *testing.B) {
	netsim.Start(b, netsim.Network{Hops: 8, RTT: 5 * time.Millisecond})
	for b.Loop() {
		got, err := path.Trace(b.Context(), host)
		require.NoError(b, err)
		require.Len(b, got.Hops, 8)
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(40*time.Millisecond), "RTTs/op")
}

func BenchmarkPathSilentHop(b *testing.B) {
	netsim.Start(b, netsim.Network{Hops: 8, RTT: 5 * time.Millisecond, Silent: []int{3}})
	for b.Loop() {
		got, err := path.Trace(b.Context(), host)
		require.NoError(b, err)
		require.Len(b, got.Hops, 8)
	}
}

func BenchmarkPathDead(b *testing.B) {
	netsim.Start(b, netsim.Network{Hops: 8, RTT: 5 * time.Millisecond})
	for b.Loop() {
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		got, err := path.Trace(ctx, dead)
		cancel()
		require.NoError(b, err)
		require.Len(b, got.Hops, 7)
	}
}

func BenchmarkMTU(b *testing.B) {
	netsim.Start(b, netsim.Network{Hops: 8, RTT: 5 * time.Millisecond})
	for b.Loop() {
		got, err := path.MTU(b.Context(), host, 1500)
		require.NoError(b, err)
		require.Equal(b, 1500, got.Bytes)
	}
}
