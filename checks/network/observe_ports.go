package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"carbonio-check/checks"
)

const (
	// atOnce bounds the probes of one node that are under way.
	atOnce = 16
	// datagrams: a response to one may be lost or withheld: after the first six,
	// Linux sends each peer one ICMP error a second.
	datagrams = 2

	tcp = "tcp"
	udp = "udp"
)

// Ports are numbers, by protocol: "tcp", "udp".
type ports map[string][]int

// A socket is one port.
type socket struct {
	number   int
	protocol string
}

// String gives "8301/udp".
func (s socket) String() string { return fmt.Sprintf("%d/%s", s.number, s.protocol) }

// compare orders those of TCP first, and then by number.
func (s socket) compare(other socket) int {
	return cmp.Or(cmp.Compare(s.protocol, other.protocol), cmp.Compare(s.number, other.number))
}

// sockets yields the ports one by one, those of TCP first.
func (p ports) sockets() iter.Seq[socket] {
	return func(yield func(socket) bool) {
		for _, protocol := range slices.Sorted(maps.Keys(p)) {
			for _, number := range p[protocol] {
				if !yield(socket{number, protocol}) {
					return
				}
			}
		}
	}
}

// An end is how the probe of a port ended, or why that is not known.
type end struct {
	checks.Contact
	Unseen checks.Unseen `json:"unseen,omitzero"`
}

// An outcome is an end, and the ports whose probes ended so.
type outcome struct {
	end
	Ports ports `json:"ports"`
}

// errLate is why a port is not probed once half of the time is over: the rest is
// too short to tell that it does not respond.
var errLate = errors.New("not probed: the ports before it did not respond in time")

// observePorts probes the ports of a node side by side: a dead one costs a single
// time-out. A fault of our own is recorded for the ports that could not be seen
// because of it, and returned too, so that the run may look again.
func observePorts(ctx context.Context, host checks.Host, t checks.Target[ports]) ([]outcome, error) {
	if _, err := netip.ParseAddr(t.Address); err != nil {
		return nil, checks.ErrNoAddress
	}
	probing, cancel := checks.Share(ctx, 0.9)
	defer cancel()
	half, cancel := checks.Share(ctx, 0.5)
	defer cancel()
	sockets := slices.Collect(t.Ask.sockets())
	contacts, errs := make([]checks.Contact, len(sockets)), make([]error, len(sockets))
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for i, s := range sockets {
		select {
		case slots <- struct{}{}:
		case <-half.Done():
		}
		if half.Err() != nil {
			errs[i] = cmp.Or(ctx.Err(), errLate)
			continue
		}
		all.Go(func() {
			contacts[i], errs[i] = probe(probing, host.Network, s.protocol, net.JoinHostPort(t.Address, strconv.Itoa(s.number)))
			<-slots
		})
	}
	all.Wait()
	if _, ok := ctx.Deadline(); ok && probing.Err() != nil && !slices.ContainsFunc(contacts, checks.Contact.Reached) {
		<-ctx.Done() // the run takes a node for alive when a look at it ends in time
	}
	return outcomes(sockets, contacts, errs), cmp.Or(errs...)
}

// outcomes groups the ports whose probes ended alike.
func outcomes(sockets []socket, contacts []checks.Contact, errs []error) []outcome {
	var out []outcome
	for i, s := range sockets {
		e := end{Contact: contacts[i]}
		if errs[i] != nil {
			e.Unseen = checks.Why(withoutAddress(errs[i]))
		}
		at := slices.IndexFunc(out, func(o outcome) bool { return o.end == e })
		if at < 0 {
			at, out = len(out), append(out, outcome{e, ports{}})
		}
		out[at].Ports[s.protocol] = append(out[at].Ports[s.protocol], s.number)
	}
	return out
}

// withoutAddress is the error without the address, which differs from port to port.
func withoutAddress(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// probe connects to a port; over UDP it also exchanges datagrams, since a
// connection proves nothing there.
func probe(ctx context.Context, network checks.Network, protocol, address string) (checks.Contact, error) {
	conn, err := network.Dial(ctx, protocol, address)
	if err == nil {
		defer conn.Close()
		if protocol == udp {
			err = exchange(ctx, conn)
		}
	}
	return checks.Dialled(ctx, err)
}

// exchange sends what no service minds, an empty datagram, and waits for a
// response or an ICMP error.
func exchange(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Second)
	}
	var err error
	for left := datagrams; left > 0; left-- {
		if _, err = conn.Write(nil); err != nil {
			break
		}
		if err = conn.SetReadDeadline(time.Now().Add(time.Until(deadline) / time.Duration(left))); err != nil {
			break
		}
		if _, err = conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	if ctx.Err() != nil { // we closed the connection ourselves
		return ctx.Err()
	}
	return err
}
