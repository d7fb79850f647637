package path

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"carbonio-check/checks"
)

const (
	maxTTL = 30
	// rounds: a router that does not respond is asked once more, at half time. It costs
	// nothing (a target that answers ends the look), and a packet may get lost,
	// or a router be sparing: Linux sends one error a second to each asker
	// after the first six (icmp_ratelimit).
	rounds = 2
	none   = maxTTL + 1
	small  = 60 // bytes of a probe, as traceroute sends
)

// Trace finds the routers on the way to target: a probe for every distance at
// once. It ends when the target and every router before it answered, when those
// that did not are 1.5 times as late as the target was, or with the context.
func Trace(ctx context.Context, target netip.Addr) (checks.Path, error) {
	s, err := open(ctx, target, false)
	if stop := noRoute(err); stop != "" {
		return checks.Path{Stop: stop}, nil
	}
	if err != nil {
		return checks.Path{}, err
	}
	defer s.close()
	t := trace{socket: s, reached: none, stopped: none}
	begin, end := time.Now(), s.deadline()
	for round := range rounds {
		if err = t.send(round); err != nil {
			break
		}
		until := begin.Add(end.Sub(begin) * time.Duration(round+1) / rounds)
		if err = t.collect(until, end); !errors.Is(err, os.ErrDeadlineExceeded) || t.last() < none {
			break
		}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		err = nil // silence is an answer
	}
	return t.path(), err
}

// noRoute words the kernel's own refusal to send anything there.
func noRoute(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH):
		return "network unreachable"
	case errors.Is(err, unix.EHOSTUNREACH):
		return "host unreachable"
	case errors.Is(err, fs.ErrPermission): // ip route add prohibit
		return prohibited
	}
	return ""
}

// A trace is what is known of the way so far.
type trace struct {
	*socket
	sent    [rounds][maxTTL]time.Time
	hops    [none]checks.Hop // by TTL; without an address: silent so far
	reached int              // the smallest TTL that the target answered
	stopped int              // the smallest TTL that somebody else said cannot be delivered
	stop    string           // and the reason
	patient time.Time        // how long to wait for the rest, once the end of the way is known
}

// send sends a probe for every distance that is still silent.
func (t *trace) send(round int) error {
	for ttl := 1; ttl < t.last(); ttl++ {
		if t.hops[ttl].Address.IsValid() {
			continue
		}
		t.sent[round][ttl-1] = time.Now()
		if err := t.socket.send(firstPort+round*maxTTL+ttl-1, ttl, small); err != nil {
			return err
		}
	}
	return nil
}

// collect takes answers until there is nothing left to wait for. Once the end
// of the way is known, it waits for stragglers, and not for the round's end.
func (t *trace) collect(until, end time.Time) error {
	for !t.complete() {
		if t.last() < none {
			until = t.patient
			if end.Before(until) {
				until = end
			}
		}
		a, err := t.receive(until)
		if err != nil {
			return err
		}
		t.note(a, time.Now())
	}
	return nil
}

// last is the TTL at which the way ends, as far as is known.
func (t *trace) last() int {
	if t.reached < none {
		return t.reached
	}
	return t.stopped
}

func (t *trace) complete() bool {
	for ttl := 1; ttl < t.last(); ttl++ {
		if !t.hops[ttl].Address.IsValid() {
			return false
		}
	}
	return true
}

// note takes one answer in. Whatever is not about a probe of ours, or repeats
// what is known, is dropped.
func (t *trace) note(a Answer, now time.Time) {
	probe := a.Port - firstPort
	if a.To != t.target || probe < 0 || probe >= rounds*maxTTL || !a.From.IsValid() {
		return
	}
	ttl, sent := probe%maxTTL+1, t.sent[probe/maxTTL][probe%maxTTL]
	if sent.IsZero() || t.hops[ttl].Address.IsValid() {
		return
	}
	hop := checks.Hop{Address: a.From, RTT: now.Sub(sent)}
	switch {
	case a.From == t.target: // port unreachable as a rule; a firewall on the target itself will do
		t.reached = min(t.reached, ttl)
	case a.Type == timeExceeded:
	case a.Type == unreachable:
		t.notDelivered(a, ttl)
	default:
		return
	}
	t.hops[ttl] = hop
	if t.last() < none && t.patient.IsZero() {
		t.patient = now.Add(hop.RTT/2 + slowness)
	}
}

// notDelivered notes that somebody on the way gave a probe up.
func (t *trace) notDelivered(a Answer, ttl int) {
	if ttl >= t.stopped {
		return
	}
	t.stopped, t.stop = ttl, a.Reason()
	if a.Code == portUnreachable { // in another's name: the REJECT of a firewall
		t.stop = prohibited
	}
}

// path is the way as a person wants to read it.
func (t *trace) path() checks.Path {
	p := checks.Path{Reached: t.reached < none, Stop: t.stop}
	for ttl := 1; ttl <= min(t.last(), maxTTL); ttl++ {
		hop := t.hops[ttl]
		hop.TTL = ttl
		p.Hops = append(p.Hops, hop)
	}
	if p.Reached {
		p.Stop = ""
		return p
	}
	p.Hops = trim(p.Hops, t.source)
	if p.Stop == "" {
		p.Stop = "no reply"
		if n := loop(p.Hops); n > 0 {
			p.Hops, p.Stop = p.Hops[:n], "loop"
		}
	}
	return p
}

// trim drops what a way that does not arrive ends with: silence, a router that
// says both "too far" and "cannot be delivered", and ourselves: our own kernel
// gives up when no machine on the local network has the next address (ARP).
func trim(hops []checks.Hop, source netip.Addr) []checks.Hop {
	for n := len(hops); n > 0; n = len(hops) {
		last := hops[n-1].Address
		if last.IsValid() && last != source && (n < 2 || last != hops[n-2].Address) {
			break
		}
		hops = hops[:n-1]
	}
	return hops
}

// loop returns after how many hops the way comes to the same router for the
// third time; 0: it does not. Twice happens where two ways share the load.
func loop(hops []checks.Hop) int {
	visits := map[netip.Addr]int{}
	var before netip.Addr
	for i, h := range hops {
		if !h.Address.IsValid() || h.Address == before {
			continue
		}
		before = h.Address
		if visits[h.Address]++; visits[h.Address] == 3 {
			return i + 1
		}
	}
	return 0
}
