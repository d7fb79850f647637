package path

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"time"

	"carbonio-check/checks"
)

// ErrSilent says that no probe was answered, whatever its size.
var ErrSilent = errors.New("no probe of the path MTU was answered: the target silently drops UDP")

const (
	floor    = 1280 // what every sound path carries
	smallest = 68   // a router that claims less is lying (RFC 791)
	// steps bounds how often a path may get narrower still.
	steps = 8
	// reach is the TTL of a probe that is to arrive.
	reach = 64
)

// middle are the usual sizes between the largest and the floor: tunnels, PPPoE,
// VXLAN, WireGuard.
var middle = []int{1500, 1450, 1400}

// MTU finds the largest packet, up to limit bytes, that crosses to target
// whole. A good path costs one round trip and two probes, and no more of them
// is wanted: a Linux host words six ICMP errors at once, then one a second
// (icmp_ratelimit), and those are what looks at UDP ports live on as well.
func MTU(ctx context.Context, target netip.Addr, limit int) (checks.MTU, error) {
	limit = min(max(limit, smallest), 1<<16-1)
	s, err := open(ctx, target, true)
	if err != nil {
		return checks.MTU{}, err
	}
	defer s.close()
	m := search{socket: s, port: firstPort + rounds*maxTTL, size: map[int]int{}}
	best := checks.MTU{Bytes: limit}
	for range steps {
		r, err := m.burst(best.Bytes, min(floor, best.Bytes))
		switch {
		case err != nil:
			return checks.MTU{}, err
		case r.crossed == best.Bytes:
			return best, nil
		case r.narrow > 0:
			best = checks.MTU{Bytes: r.narrow, Hop: r.by}
		case r.crossed > 0:
			return m.blackHole(best, r.crossed)
		case best.Bytes < limit: // what the router said counts, though the target does not respond
			return best, nil
		default:
			return checks.MTU{}, ErrSilent
		}
	}
	return best, nil
}

// blackHole looks again before it calls a path one: a single packet may get
// lost anywhere. It also finds out what does cross.
func (m *search) blackHole(best checks.MTU, crossed int) (checks.MTU, error) {
	again := []int{best.Bytes}
	for _, n := range middle {
		if n < best.Bytes && n > crossed {
			again = append(again, n)
		}
	}
	r, err := m.burst(again...)
	switch {
	case err != nil:
		return checks.MTU{}, err
	case r.crossed == best.Bytes:
		return best, nil
	case r.narrow > 0:
		return checks.MTU{Bytes: r.narrow, Hop: r.by}, nil
	}
	return checks.MTU{Bytes: max(crossed, r.crossed), BlackHole: true}, nil
}

// A search sends probes of several sizes; each has its own port.
type search struct {
	*socket
	port    int         // of the next probe
	size    map[int]int // by port
	largest int         // of the burst
}

// A result is what came back of a burst.
type result struct {
	crossed int // the largest that arrived
	narrow  int // the smallest MTU that a router named
	by      netip.Addr
}

// burst sends packets of some sizes, the largest first, and waits until the
// largest arrived, or a router said why not, or it is late: twice as late as
// what did arrive, or half the time we have.
func (m *search) burst(sizes ...int) (result, error) {
	var r result
	m.largest = sizes[0]
	begin := time.Now()
	until := begin.Add(time.Until(m.deadline()) / 2)
	for i, n := range sizes {
		if i > 0 && n == sizes[i-1] {
			continue
		}
		m.size[m.port] = n
		if err := m.send(m.port, reach, n); err != nil {
			return r, err
		}
		m.port++
	}
	for r.crossed < m.largest && r.narrow == 0 {
		a, err := m.receive(until)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
			break
		}
		if err != nil {
			return r, err
		}
		if m.note(&r, a) {
			if late := begin.Add(2*time.Since(begin) + 5*slowness); late.Before(until) {
				until = late
			}
		}
	}
	return r, nil
}

// note takes one answer in, and says whether it shows that a packet arrived.
func (m *search) note(r *result, a Answer) bool {
	size, ours := m.size[a.Port]
	if !a.From.IsValid() { // our own kernel does not name the port
		size, ours = m.largest, true
	}
	switch {
	case !ours || a.To != m.target:
	case a.Type == unreachable && a.Code == fragNeeded:
		if a.MTU >= smallest && a.MTU < size {
			r.narrow, r.by = a.MTU, a.From
		}
	case a.From == m.target:
		r.crossed = max(r.crossed, size)
		return true
	}
	return false
}
