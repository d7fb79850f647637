package checks

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
)

// A Contact is how an attempt to speak with somebody ended. The zero value means
// that nothing was attempted.
type Contact struct {
	State State `json:"state,omitempty"`
	// By is who sent the ICMP message that rejected the attempt.
	By netip.Addr `json:"by,omitzero"`
	// Words are the peer's, the router's or the kernel's own.
	Words string `json:"words,omitempty"`
}

// State is how far an attempt came.
type State string

// The states.
const (
	Open        State = "open"        // the connection was accepted, or the peer responded
	Refused     State = "refused"     // the machine itself refused: nothing listens
	Silent      State = "silent"      // nothing came back
	Rejected    State = "rejected"    // an ICMP message came back instead
	Unreachable State = "unreachable" // our own kernel knows no way
	Mute        State = "mute"        // accepts connections, but does not respond
	HungUp      State = "hung-up"     // accepts connections, and closes them without a response
	Stranger    State = "stranger"    // responds, in another protocol: Words say which is missing
	Broken      State = "broken"      // the connection broke off: Words say how
)

// Reached says whether the machine itself gave a sign: a firewall in between, or
// nobody, did not.
func (c Contact) Reached() bool {
	switch c.State {
	case Open, Refused, Mute, HungUp, Stranger, Broken:
		return true
	}
	return false
}

// String is the contact in words, as what is said of the peer: "does not
// respond". An open one has none.
func (c Contact) String() string {
	switch c.State {
	case Refused:
		return "refuses connections: nothing listens on the port"
	case Silent:
		return "does not respond"
	case Rejected:
		return fmt.Sprintf("is unreachable according to %s: %s", c.By, c.Words)
	case Unreachable:
		return "is unreachable: " + c.Words
	case Mute:
		return "accepts connections but does not respond"
	case HungUp:
		return "accepts connections and closes them without a response"
	case Stranger:
		return "responds, but not as a " + c.Words
	case Broken:
		return "drops the connection: " + c.Words
	}
	return ""
}

// Dialled is how a dial ended. An error of our own making, such as too many open
// files or the end of the run, says nothing of the peer and is returned.
func Dialled(ctx context.Context, err error) (Contact, error) {
	var icmp *RejectedError
	switch {
	case err == nil:
		return Contact{State: Open}, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return Contact{}, ctx.Err()
	case Ours(err):
		return Contact{}, err
	case errors.As(err, &icmp):
		return Contact{State: Rejected, By: icmp.By, Words: icmp.Reason}, nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return Contact{State: Refused}, nil
	case errors.Is(err, syscall.ECONNRESET):
		return Contact{State: Refused}, nil
	case errors.Is(err, syscall.EHOSTUNREACH):
		return Contact{State: Unreachable, Words: "no route to host"}, nil
	case errors.Is(err, syscall.ENETUNREACH):
		return Contact{State: Unreachable, Words: "network is unreachable"}, nil
	case timedOut(err), ctx.Err() != nil:
		return Contact{State: Silent}, nil
	}
	return Contact{}, err
}

// Spoken is how a conversation over a connection that was accepted ended, when
// it ended with an error. What is ours is returned, as by [Dialled].
func Spoken(ctx context.Context, err error) (Contact, error) {
	switch {
	case err == nil:
		return Contact{State: Open}, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return Contact{}, ctx.Err()
	case Ours(err):
		return Contact{}, err
	case timedOut(err), ctx.Err() != nil:
		return Contact{State: Mute}, nil
	case hungUp(err):
		return Contact{State: HungUp}, nil
	}
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err // without our own address and port, which are others each time
	}
	return Contact{State: Broken, Words: err.Error()}, nil
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}
