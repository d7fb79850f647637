package clock

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/beevik/ntp"

	"carbonio-check/checks"
)

// This file is all that knows the NTP library.

// A reply is what one packet of a time server said.
type reply struct {
	Address string        `json:"address"`           // who sent it
	Offset  time.Duration `json:"offset"`            // to be added to our clock
	Delay   time.Duration `json:"delay"`             // the round trip
	Stratum int           `json:"stratum"`           // 1–15; 0 is a kiss of death, 16 not synchronised
	Leap    int           `json:"leap,omitempty"`    // 3: not synchronised
	Kiss    string        `json:"kiss,omitempty"`    // the code of a kiss of death: "RATE"
	Refused string        `json:"refused,omitempty"` // why RFC 5905 forbids to use it
}

// query sends one request and waits for its answer.
func query(ctx context.Context, network checks.Network, address string, wait time.Duration) (reply, error) {
	hangUp := func() bool { return false }
	defer func() { hangUp() }()
	r, err := ntp.QueryWithOptions(address, ntp.QueryOptions{
		Timeout: wait,
		Dialer: func(_, address string) (net.Conn, error) {
			conn, err := network.Dial(ctx, "udp", address)
			if err == nil {
				hangUp = context.AfterFunc(ctx, func() { conn.Close() })
			}
			return conn, err
		},
	})
	if err != nil {
		return reply{}, err
	}
	out := reply{
		Address: address,
		Offset:  r.ClockOffset,
		Delay:   r.RTT,
		Stratum: int(r.Stratum),
		Leap:    int(r.Leap),
		Kiss:    r.KissCode,
	}
	if err := r.Validate(); err != nil {
		out.Refused = err.Error()
	}
	return out, nil
}

// silence says in a person's words why a request got no answer.
func silence(err error, wait time.Duration) string {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.Is(err, net.ErrClosed):
		return fmt.Sprintf("no answer within %s", wait.Round(100*time.Millisecond))
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused: no time service listens there"
	}
	return err.Error()
}
