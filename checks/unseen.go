package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// Unseen is why a look saw nothing, or not all of it.
type Unseen struct {
	Code Code `json:"code"`
	// Words are those of an error, or of whoever refused.
	Words string `json:"words,omitempty"`
}

// Code is the kind of reason.
type Code string

// The codes.
const (
	NoAddress   Code = "no-address"  // no address of the node is known
	TimedOut    Code = "timeout"     // the deadline of this look had passed
	RunOver     Code = "deadline"    // the deadline of the run had passed
	Interrupted Code = "interrupted" // the user ended the run
	Denied      Code = "denied"      // we lack a privilege
	Starved     Code = "starved"     // this machine was too busy, or had no descriptors left
	HostSilent  Code = "host-silent" // nothing at this address had responded before
	TooLarge    Code = "too-large"   // what was seen is larger than an observation may be
	Missing     Code = "missing"     // the file that should hold it is cut or altered
	Unplanned   Code = "unplanned"   // not even its targets could be listed
	Defective   Code = "defective"   // a defect of ours, or an altered file
	Failed      Code = "error"       // anything else: Words say what
)

// String is the reason in words.
func (u Unseen) String() string {
	switch u.Code {
	case NoAddress:
		return ErrNoAddress.Error()
	case TimedOut:
		return "no response within " + cmp.Or(u.Words, "the time-out")
	case RunOver:
		return "the deadline of the run had passed"
	case Interrupted:
		return "the run was interrupted"
	case Starved:
		return "this machine was too busy: " + cmp.Or(u.Words, "its own timers were late")
	case HostSilent:
		return "not looked at: nothing at this address had responded before"
	}
	return cmp.Or(u.Words, string(u.Code))
}

// ErrNoAddress is the error of a look at a node without a known address.
var ErrNoAddress = errors.New("no address was found in the inventory, /etc/hosts or DNS")

// mostWords bounds the words of a reason, in bytes: they may be a server's.
const mostWords = 1 << 10

// Why is the reason for the error of a look; zero without an error.
func Why(err error) Unseen {
	why := reason(err)
	why.Words = Shortened(why.Words)
	return why
}

// Shortened is no more of a text than a reason may hold.
func Shortened(text string) string {
	if len(text) <= mostWords {
		return text
	}
	return strings.ToValidUTF8(text[:mostWords], "") + "…"
}

func reason(err error) Unseen {
	switch {
	case err == nil:
		return Unseen{}
	case errors.Is(err, ErrNoAddress):
		return Unseen{Code: NoAddress}
	case errors.Is(err, context.Canceled):
		return Unseen{Code: Interrupted}
	case errors.Is(err, context.DeadlineExceeded):
		return Unseen{Code: TimedOut}
	case Ours(err):
		return Unseen{Starved, err.Error()}
	case errors.Is(err, fs.ErrPermission):
		return Unseen{Denied, err.Error()}
	}
	return Unseen{Failed, err.Error()}
}

// Ours says whether an error is a lack of descriptors, ports or memory on this
// machine: never the fault of what was looked at.
func Ours(err error) bool {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL, syscall.EAGAIN} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// Defect describes a fault of this program.
func Defect(format string, args ...any) string {
	return "a defect in carbonio-check, please report it: " + fmt.Sprintf(format, args...)
}
