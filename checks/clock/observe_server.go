package clock

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	"github.com/beevik/ntp"

	"carbonio-check/checks"
)

// answer is what a time server said.
type answer struct {
	Asked    int    `json:"asked,omitempty"`
	Answered int    `json:"answered,omitempty"`
	Best     *reply `json:"best,omitempty"`
	// Contact is how the attempt ended without a best reply; Unresolved, why the
	// name has no address.
	Contact    checks.Contact `json:"contact,omitzero"`
	Unresolved string         `json:"unresolved,omitempty"`
}

// A reply is what one packet of a time server said.
type reply struct {
	Address string        `json:"address"`           // who sent it
	Offset  time.Duration `json:"offset"`            // to be added to our clock
	Delay   time.Duration `json:"delay"`             // the round trip
	Stratum int           `json:"stratum"`           // 1–15; 0 is a kiss of death, 16 not synchronised
	Leap    int           `json:"leap,omitempty"`    // 3: not synchronised
	Kiss    string        `json:"kiss,omitempty"`    // the code of a kiss of death: "RATE"
	Refused string        `json:"refused,omitempty"` // why RFC 5905 forbids using it
}

const (
	// samples is how often a server is asked, at once: enough for one that was
	// not delayed on the way, too few for a public server to mind.
	samples = 4
	// After the first reply the others are awaited this many times as long,
	// and at least a little: a server that limits its rate replies only to the first.
	patience    = 3
	patienceMin = 50 * time.Millisecond
)

// observeServer asks a server several times at once. That it does not respond is
// an observation, not an error, so the wait ends before the look's deadline.
func observeServer(ctx context.Context, host checks.Host, t checks.Target[checks.Nothing]) (answer, error) {
	asking, cancel := checks.Share(ctx, 0.9)
	defer cancel()
	addresses, err := resolve(asking, host.Network, t.Address)
	switch {
	case err != nil && checks.Why(err).Code == checks.Failed:
		return answer{Unresolved: err.Error()}, nil
	case err != nil:
		return answer{}, err
	}
	return ask(ctx, asking, host.Network, addresses)
}

// resolve turns "name:port" into addresses to send to.
func resolve(ctx context.Context, network checks.Network, address string) ([]string, error) {
	name, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(name); err == nil {
		return []string{address}, nil
	}
	found, err := network.Lookup(ctx, name)
	if err == nil && len(found) == 0 {
		err = errors.New("it has no address")
	}
	var out []string
	for _, a := range found {
		out = append(out, net.JoinHostPort(a.String(), port))
	}
	return out, err
}

// ask shares the samples out among the addresses (a pool, or IPv4 and IPv6 of
// one server) and keeps the reply that took the least time.
func ask(ctx, asking context.Context, network checks.Network, addresses []string) (answer, error) {
	asking, enough := context.WithCancel(asking)
	defer enough()
	type result struct {
		reply reply
		err   error
	}
	results := make(chan result, samples)
	began := time.Now()
	for i := range samples {
		go func() {
			r, err := query(asking, network, addresses[i%len(addresses)])
			results <- result{r, err}
		}()
	}
	out := answer{Asked: samples}
	var ours error
	for range samples {
		r := <-results
		if r.err != nil {
			c, err := contact(ctx, r.err)
			out.Contact, ours = cmp.Or(out.Contact, c), cmp.Or(ours, err)
			continue
		}
		if out.Answered++; out.Answered == 1 {
			late := time.AfterFunc(max(patience*time.Since(began), patienceMin), enough)
			defer late.Stop()
		}
		if out.Best == nil || better(r.reply, *out.Best) {
			out.Best = &r.reply
		}
	}
	switch {
	case out.Best != nil:
		out.Contact = checks.Contact{}
	case ours != nil:
		return answer{}, ours
	}
	return out, nil
}

// better prefers a reply that may be used, then the faster one.
func better(a, b reply) bool {
	if (a.Refused == "") != (b.Refused == "") {
		return a.Refused == ""
	}
	return a.Delay < b.Delay
}

// query sends one request and waits for its reply.
func query(ctx context.Context, network checks.Network, address string) (reply, error) {
	deadline, _ := ctx.Deadline() // checks.Share has set one
	stop := func() bool { return false }
	defer func() { stop() }()
	r, err := ntp.QueryWithOptions(address, ntp.QueryOptions{
		Timeout: time.Until(deadline),
		Dialer: func(_, address string) (net.Conn, error) {
			conn, err := network.Dial(ctx, "udp", address)
			if err == nil {
				stop = context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
	})
	if err != nil {
		return reply{}, err
	}
	out := reply{
		Address: address, Offset: r.ClockOffset, Delay: r.RTT,
		Stratum: int(r.Stratum), Leap: int(r.Leap), Kiss: r.KissCode,
	}
	if err := r.Validate(); err != nil {
		out.Refused = err.Error()
	}
	return out, nil
}

// contact is how a request without a reply ended. What is ours is returned.
func contact(ctx context.Context, err error) (checks.Contact, error) {
	c, unknown := checks.Dialled(ctx, err)
	var op *net.OpError
	switch {
	case unknown == nil, errors.Is(ctx.Err(), context.Canceled):
		return c, unknown
	case errors.Is(err, net.ErrClosed): // by us, when the time was up
		return checks.Contact{State: checks.Silent}, nil
	case errors.As(err, &op):
		return checks.Contact{}, err
	}
	return checks.Contact{State: checks.Stranger, Words: "time server: " + err.Error()}, nil
}
