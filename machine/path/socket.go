// Package path finds the routers on the way to an address, and the largest
// packet that crosses it whole, as an ordinary user and in about one round trip.
//
// It sends UDP datagrams to ports nobody listens on. What the routers and the
// target say of them comes back through the socket's own error queue
// (IP_RECVERR, ip(7)), which needs no privilege; and each probe has a
// destination port, so an answer identifies its probe. Nothing
// waits for anything else: all probes are on their way at once.
package path

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	firstPort = 33434 // traceroute's: firewalls that let traces pass know it
	// patience is how long a look lasts whose context sets no deadline.
	patience = time.Second
	// slowness is what a router may take to word an answer, beyond the way
	// itself: its forwarding is hardware, its ICMP is not.
	slowness = 10 * time.Millisecond
)

// A socket sends probes to one target and hears what became of them.
type socket struct {
	ctx    context.Context
	conn   *net.UDPConn
	raw    syscall.RawConn
	target netip.Addr
	source netip.Addr // our own address on the way to it
	unhook func() bool
}

// open makes a socket for the target, which must have a route. With mtu the
// datagrams are not fragmented, whatever the kernel believes of the path.
func open(ctx context.Context, target netip.Addr, mtu bool) (*socket, error) {
	source, err := Source(ctx, target)
	if err != nil {
		return nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return control(c, func(fd int) error {
			if mtu {
				if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE); err != nil {
					return err
				}
			}
			return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
		})
	}}
	conn, err := config.ListenPacket(ctx, "udp4", "")
	if err != nil {
		return nil, err
	}
	s := &socket{ctx: ctx, conn: conn.(*net.UDPConn), target: target, source: source}
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		conn.Close()
		return nil, err
	}
	s.unhook = context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })
	return s, nil
}

func (s *socket) close() {
	s.unhook()
	s.conn.Close()
}

// Source is the machine's own address on the way to target; an error says that
// there is no way. Connecting a UDP socket looks the route up and sends nothing.
func Source(ctx context.Context, target netip.Addr) (netip.Addr, error) {
	if !target.Is4() {
		return netip.Addr{}, fmt.Errorf("the path to %s: only IPv4 is supported", target)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "udp4", netip.AddrPortFrom(target, firstPort).String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(), nil
}

// deadline is when the look must be over.
func (s *socket) deadline() time.Time {
	if d, ok := s.ctx.Deadline(); ok {
		return d
	}
	return time.Now().Add(patience)
}

// send sends a datagram of size bytes, headers included. A packet that is too
// large for our own interface is not an error: the error queue reports it.
func (s *socket) send(port, ttl, size int) error {
	to := &unix.SockaddrInet4{Port: port, Addr: s.target.As4()}
	return control(s.raw, func(fd int) error {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TTL, ttl); err != nil {
			return err
		}
		err := unix.Sendto(fd, make([]byte, size-headers), unix.MSG_DONTWAIT, to)
		// The kernel reports an answer to an earlier probe here as well, once
		// each, instead of sending. Several may come in while we send.
		for tries := 0; aboutEarlier(err) && tries < 8; tries++ {
			err = unix.Sendto(fd, make([]byte, size-headers), unix.MSG_DONTWAIT, to)
		}
		if errors.Is(err, unix.EMSGSIZE) {
			return nil
		}
		return err
	})
}

// headers are those of IPv4 and UDP.
const headers = 20 + 8

// fromICMP are the errors that the kernel makes of ICMP messages (icmp_err_convert).
var fromICMP = []unix.Errno{
	unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EHOSTDOWN,
	unix.ENONET, unix.EPROTO, unix.ENOPROTOOPT, unix.EOPNOTSUPP, unix.EMSGSIZE,
}

// aboutEarlier says whether an error may be the answer to an earlier probe.
func aboutEarlier(err error) bool {
	errno, ok := errors.AsType[unix.Errno](err)
	return ok && slices.Contains(fromICMP, errno)
}

// receive waits for the next answer. os.ErrDeadlineExceeded: there was none
// until then, or the context ended.
func (s *socket) receive(until time.Time) (Answer, error) {
	if err := s.conn.SetReadDeadline(until); err != nil {
		return Answer{}, err
	}
	if err := s.ctx.Err(); err != nil { // it may have ended before we set the deadline
		return Answer{}, err
	}
	var a Answer
	var err error
	if err := s.raw.Read(func(fd uintptr) bool {
		a, err = s.next(int(fd))
		return !errors.Is(err, unix.EAGAIN)
	}); err != nil {
		return Answer{}, err
	}
	return a, err
}

// next takes an answer from the error queue, or else a datagram: something may
// listen on the port we tried.
func (s *socket) next(fd int) (Answer, error) {
	for {
		if a, err := ReadAnswer(fd); !errors.Is(err, unix.EAGAIN) {
			return a, err
		}
		_, _, _, from, err := unix.Recvmsg(fd, nil, nil, unix.MSG_DONTWAIT)
		if err == nil {
			if from, ok := from.(*unix.SockaddrInet4); ok && netip.AddrFrom4(from.Addr) == s.target {
				return Answer{To: s.target, Port: from.Port, From: s.target, Type: unreachable, Code: portUnreachable}, nil
			}
			continue // a stranger's
		}
		if !aboutEarlier(err) {
			return Answer{}, err
		}
	}
}

// An Answer is an ICMP message about something we sent.
type Answer struct {
	To         netip.Addr // the target of what we sent
	Port       int        // and its port
	From       netip.Addr // who answers; the zero value is our own kernel
	Type, Code byte
	MTU        int // the largest packet, where that is what it says
}

// The types and codes of ICMP that have a meaning here (RFC 792, 1122, 1812).
const (
	unreachable     = 3
	timeExceeded    = 11
	portUnreachable = 3
	fragNeeded      = 4

	prohibited = "administratively prohibited"
)

// Reason words why a packet was not delivered.
func (a Answer) Reason() string {
	switch a.Code {
	case 0, 5, 6, 11:
		return "network unreachable"
	case 1, 7, 8, 12:
		return "host unreachable"
	case 3:
		return "port unreachable"
	}
	return prohibited // 2, 9, 10, 13–15: somebody's decision
}

// ReadAnswer takes the oldest message from the error queue of a socket that has
// IP_RECVERR set; EAGAIN when there is none.
func ReadAnswer(fd int) (Answer, error) {
	control := make([]byte, 256)
	_, n, _, to, err := unix.Recvmsg(fd, nil, control, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	if to, ok := to.(*unix.SockaddrInet4); ok {
		a.To, a.Port = netip.AddrFrom4(to.Addr), to.Port
	}
	messages, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil {
		return Answer{}, err
	}
	for _, m := range messages {
		if m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR {
			a.parse(m.Data)
		}
	}
	return a, nil
}

// parse reads a struct sock_extended_err and the sockaddr_in of the offender
// behind it (ip(7)).
func (a *Answer) parse(b []byte) {
	const extended, address = 16, 8
	if len(b) < extended {
		return
	}
	switch origin := b[4]; origin {
	case unix.SO_EE_ORIGIN_ICMP:
		a.Type, a.Code = b[5], b[6]
		if len(b) >= extended+address && binary.NativeEndian.Uint16(b[extended:]) == unix.AF_INET {
			a.From = netip.AddrFrom4([4]byte(b[extended+4:]))
		}
	case unix.SO_EE_ORIGIN_LOCAL: // larger than our own interface takes
		a.Type, a.Code = unreachable, fragNeeded
	default:
		return
	}
	if a.Type == unreachable && a.Code == fragNeeded {
		a.MTU = int(binary.NativeEndian.Uint32(b[8:]))
	}
}

func control(c syscall.RawConn, f func(fd int) error) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) { err = f(int(fd)) }), err)
}
