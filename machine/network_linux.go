package machine

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"carbonio-check/checks"
	"carbonio-check/machine/path"
)

// Net is the real checks.Network: the network as this machine sees it.
type Net struct{}

// Dial connects. A TCP port may be refused by the machine that was dialled, or
// by a firewall in its name: errno is the same, the socket's error queue says which.
func (Net) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	var dialer net.Dialer
	if _, err := netip.ParseAddrPort(address); err != nil || !strings.HasPrefix(network, "tcp") {
		return dialer.DialContext(ctx, network, address)
	}
	queue := -1
	dialer.Control = func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { queue = openQueue(int(fd)) })
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if queue < 0 {
		return conn, err
	}
	defer unix.Close(queue)
	if err == nil {
		// An established connection must not end with the first ICMP message.
		_ = unix.SetsockoptInt(queue, unix.IPPROTO_IP, unix.IP_RECVERR, 0) // it can be set, so it can be reset
		return conn, nil
	}
	if answer, none := path.ReadAnswer(queue); none == nil && answer.From.IsValid() {
		err = &checks.RejectedError{By: answer.From, Reason: answer.Reason(), Err: err}
	}
	return nil, err
}

// openQueue is a second descriptor of a socket: its error queue can be read when
// the dialer has closed the first. Negative: the queue is not to be had, and the
// dial says less.
func openQueue(fd int) int {
	if unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1) != nil {
		return -1
	}
	queue, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return queue
}

// Lookup asks the system's resolver: /etc/hosts and DNS in the order of nsswitch.conf.
func (Net) Lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
	for i, a := range addresses {
		addresses[i] = a.Unmap()
	}
	return addresses, err
}

// Ping sends ICMP echo requests. Silence is no error; ctx ends the wait for it.
func (Net) Ping(ctx context.Context, address netip.Addr, count int) (checks.Echo, error) {
	return ping(ctx, address, count)
}

// Trace finds the routers on the way.
func (Net) Trace(ctx context.Context, address netip.Addr) (checks.Path, error) {
	return path.Trace(ctx, address)
}

// PathMTU finds the largest packet that crosses whole. Where the target drops
// UDP in silence, an echo request of that size may still come back.
func (Net) PathMTU(ctx context.Context, address netip.Addr, limit int) (checks.MTU, error) {
	mtu, err := path.MTU(ctx, address, limit)
	if errors.Is(err, path.ErrSilent) && crosses(ctx, address, limit) {
		return checks.MTU{Bytes: limit}, nil
	}
	return mtu, err
}
