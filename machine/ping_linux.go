package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"time"

	probing "github.com/prometheus-community/pro-bing"
	"golang.org/x/sys/unix"

	"carbonio-check/checks"
	"carbonio-check/machine/path"
)

const (
	// pingInterval is short: the look is as long as its pings, and pro-bing
	// leaves later the longer they take (its reader sleeps up to a quarter more).
	pingInterval = 50 * time.Millisecond
	pingHeaders  = 20 + 8 // IPv4, ICMP
)

// errPing names both ways to be allowed to ping.
var errPing = errors.New("this user may not send ICMP echo requests: run as root, or sysctl -w net.ipv4.ping_group_range='0 2147483647'")

// ping sends count echo requests: by a datagram socket, which an ordinary user
// may have where net.ipv4.ping_group_range says so, else by a raw one.
func ping(ctx context.Context, address netip.Addr, count int) (checks.Echo, error) {
	// pro-bing takes EACCES, which a prohibit route gives as well, for a
	// broadcast address, and tries again for ever: the route is looked up first.
	switch _, err := path.Source(ctx, address); {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.EACCES):
		return checks.Echo{Sent: count}, nil // there is no way to it: lost, all of them
	case err != nil:
		return checks.Echo{}, err
	}
	for _, raw := range []bool{false, true} {
		p := pinger(address, count)
		p.SetPrivileged(raw)
		echo, err := send(ctx, p)
		if !noSocket(err) {
			return echo, err
		}
	}
	return checks.Echo{}, fmt.Errorf("%w (%w)", errPing, fs.ErrPermission)
}

// crosses says whether an echo request of that many bytes, not to be
// fragmented, is answered.
func crosses(ctx context.Context, address netip.Addr, bytes int) bool {
	for _, raw := range []bool{false, true} {
		p := pinger(address, 1)
		p.Size = bytes - pingHeaders
		p.SetDoNotFragment(true)
		p.SetPrivileged(raw)
		if echo, err := send(ctx, p); !noSocket(err) {
			return err == nil && echo.Received > 0
		}
	}
	return false
}

func pinger(address netip.Addr, count int) *probing.Pinger {
	p := probing.New("")
	p.SetIPAddr(&net.IPAddr{IP: address.AsSlice()})
	p.SetLogger(probing.NoopLogger{})
	p.Count, p.Interval, p.RecordRtts, p.RecordTTLs = count, pingInterval, false, false
	return p
}

func send(ctx context.Context, p *probing.Pinger) (checks.Echo, error) {
	err := p.RunWithContext(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // silence is an answer
	}
	s := p.Statistics()
	return checks.Echo{Sent: s.PacketsSent, Received: s.PacketsRecv, Min: s.MinRtt, Avg: s.AvgRtt, Max: s.MaxRtt}, err
}

// noSocket says whether the kernel refused the socket itself: a local firewall
// that refuses the packets is another matter.
func noSocket(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "socket" && errors.Is(err, fs.ErrPermission)
}
