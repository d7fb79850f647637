package checks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"path"
	"strings"
	"time"

	"carbonio-check/platform"
)

// A Host is a module's only way to the machine it runs on, and from there to
// the network. The real one is package machine; tests and the demo hand out
// their own, and may leave nil what a module does not use.
type Host struct {
	Files   fs.FS // the file system, rooted at /: "etc/hosts"
	Run     Command
	Machine Machine
	Network Network
	// Secret fetches a credential that the configuration names by reference.
	// It is for use, and for nothing that is kept: never in an observation, an
	// error or a log.
	Secret func(platform.SecretRef) (string, error)
}

// Command runs a program without a shell, with LC_ALL=C, and returns what it
// wrote to standard output, bounded. A program that is not there is an error
// for which errors.Is(err, fs.ErrNotExist) holds; one that exited with another
// status than 0 is an *ExitError, and its output is returned all the same.
type Command func(ctx context.Context, name string, args ...string) (string, error)

// An ExitError is a program's own failure.
type ExitError struct {
	Name   string
	Code   int
	Stderr string // its last words
}

func (e *ExitError) Error() string {
	s := fmt.Sprintf("%s exited with status %d", e.Name, e.Code)
	if e.Stderr != "" {
		s += ": " + e.Stderr
	}
	return s
}

// Machine gives the facts that no portable file holds.
type Machine interface {
	Hostname() (string, error) // the kernel's: uname -n
	Architecture() string      // "amd64"
	UID() int                  // the user we run as
	CPUs(ctx context.Context) (int, error)
	Memory(ctx context.Context) (uint64, error) // bytes
	Usage(ctx context.Context, path string) (Usage, error)
	Listeners(ctx context.Context) ([]Listener, error)
	Processes(ctx context.Context) ([]Process, error)
	Interfaces() ([]Interface, error)
	Clock() (Clock, error)
}

// Usage is what statfs says of the file system that holds a path.
type Usage struct {
	Total      uint64 `json:"total"` // bytes
	Free       uint64 `json:"free"`  // bytes an ordinary user may still take
	Inodes     uint64 `json:"inodes"`
	InodesFree uint64 `json:"inodes_free"`
}

// A Listener is a socket that waits for connections or datagrams.
type Listener struct {
	Protocol string     `json:"protocol"` // "tcp", "udp"
	Address  netip.Addr `json:"address"`
	Port     int        `json:"port"`
	PID      int        `json:"pid,omitempty"`     // 0: not ours to see
	Process  string     `json:"process,omitempty"` // its name
}

// A Process is a running program.
type Process struct {
	PID  int    `json:"pid"`
	Name string `json:"name"`
}

// An Interface is a network interface that is up.
type Interface struct {
	Name      string         `json:"name"`
	Loopback  bool           `json:"loopback,omitempty"`
	MTU       int            `json:"mtu"`
	Addresses []netip.Prefix `json:"addresses"`
}

// Clock is the state of the kernel's clock: adjtimex(2).
type Clock struct {
	Synchronized bool          `json:"synchronized"`
	MaxError     time.Duration `json:"max_error"`
}

// Network is the way out. Every method ends with its context.
type Network interface {
	// Dial connects. Where an ICMP message ended the attempt, and not the machine
	// that was dialled, the error is a *RejectedError.
	Dial(ctx context.Context, network, address string) (net.Conn, error)
	// Lookup asks the system's resolver, as any program on the machine would.
	Lookup(ctx context.Context, name string) ([]netip.Addr, error)
	Ping(ctx context.Context, address netip.Addr, count int) (Echo, error)
	// Trace finds the routers on the way, without privileges.
	Trace(ctx context.Context, address netip.Addr) (Path, error)
	// PathMTU finds the largest packet that crosses whole, not above limit.
	PathMTU(ctx context.Context, address netip.Addr, limit int) (MTU, error)
}

// A RejectedError is a dial that an ICMP message ended: the word of a router,
// of a firewall, or of our own kernel.
type RejectedError struct {
	By     netip.Addr // who sent it
	Reason string     // "port unreachable", "host unreachable", "network unreachable", "administratively prohibited"
	Err    error      // what the dial itself returned
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("%v: %s, according to %s", e.Err, e.Reason, e.By)
}

func (e *RejectedError) Unwrap() error { return e.Err }

// Echo is what came back of a few pings.
type Echo struct {
	Sent     int           `json:"sent"`
	Received int           `json:"received"`
	Min      time.Duration `json:"min,omitempty"`
	Avg      time.Duration `json:"avg,omitempty"`
	Max      time.Duration `json:"max,omitempty"`
}

// Path is the way to an address, as far as it shows itself.
type Path struct {
	Hops    []Hop `json:"hops"`    // by distance, silent ones included, up to the last that answered
	Reached bool  `json:"reached"` // the address itself answered
	// Stop is why the path ends: "", "no reply", "host unreachable",
	// "network unreachable", "administratively prohibited", "loop".
	Stop string `json:"stop,omitempty"`
}

// A Hop is one router; without an address it kept silent.
type Hop struct {
	TTL     int           `json:"ttl"`
	Address netip.Addr    `json:"address,omitzero"`
	RTT     time.Duration `json:"rtt,omitempty"`
}

// MTU is the largest packet that crosses a path whole, headers included.
type MTU struct {
	Bytes int `json:"bytes"`
	// Hop is the router that said so; without one larger packets vanish (a
	// black hole), or nothing is smaller than the limit.
	Hop netip.Addr `json:"hop,omitzero"`
	// BlackHole: larger packets are lost without a word.
	BlackHole bool `json:"black_hole,omitempty"`
}

// MaxFile is the largest file a module reads, in bytes. The files looked at are
// a few kilobytes; a larger one is a mistake, or an attempt.
const MaxFile = 1 << 20

// ReadFile reads a small regular file of the host: "etc/hosts" or "/etc/hosts".
// Anything else that a path may name (a FIFO would hang the run, a device never
// ends) is an error, and so is a file above MaxFile.
func (h Host) ReadFile(name string) (string, error) {
	name = clean(name)
	info, err := fs.Stat(h.Files, name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("/%s is not a regular file (%s)", name, info.Mode().Type())
	}
	f, err := h.Files.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err != nil {
		return "", err
	}
	if len(b) > MaxFile {
		return "", fmt.Errorf("/%s is larger than %d bytes", name, MaxFile)
	}
	return string(b), nil
}

// Exists says whether the path is there; an error says that it cannot be told.
func (h Host) Exists(name string) (bool, error) {
	_, err := fs.Stat(h.Files, clean(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// A Shell runs a command line of ours.
type Shell func(ctx context.Context, line string) (string, error)

// Zextras is how to run the commands of Carbonio, which are for that user: root
// may become it, and the user is itself.
func (h Host) Zextras(ctx context.Context) (Shell, error) {
	if h.Machine.UID() == 0 {
		return func(ctx context.Context, line string) (string, error) {
			return h.Run(ctx, "su", "-", "zextras", "-c", line)
		}, nil
	}
	if name, err := h.Run(ctx, "id", "-un"); err != nil || strings.TrimSpace(name) != "zextras" {
		return nil, fmt.Errorf("carbonio commands run as zextras: run carbonio-check as root (%w)", fs.ErrPermission)
	}
	return func(ctx context.Context, line string) (string, error) { return h.Run(ctx, "sh", "-c", line) }, nil
}

func clean(name string) string {
	return cmp.Or(strings.TrimPrefix(path.Clean("/"+name), "/"), ".")
}
