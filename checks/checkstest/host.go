package checkstest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing/fstest"

	"carbonio-check/checks"
)

// Files makes a file system of path and content; paths have no leading slash.
func Files(files map[string]string) fstest.MapFS {
	out := fstest.MapFS{}
	for name, content := range files {
		out[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	return out
}

// Commands makes a checks.Command of command lines ("timedatectl show") and
// what they print; any other program is not there.
func Commands(outputs map[string]string) checks.Command {
	return func(_ context.Context, name string, args ...string) (string, error) {
		line := strings.Join(append([]string{name}, args...), " ")
		if out, ok := outputs[line]; ok {
			return out, nil
		}
		return "", fmt.Errorf("%s: %w", name, os.ErrNotExist)
	}
}

// Machine is a checks.Machine that gives what it holds.
type Machine struct {
	Name       string
	Arch       string
	User       int
	Cores      int
	Bytes      uint64
	Usages     map[string]checks.Usage
	Sockets    []checks.Listener
	Programs   []checks.Process
	Links      []checks.Interface
	ClockState checks.Clock
	Err        error // given by every method that may fail
}

// The methods of checks.Machine.
func (m Machine) Hostname() (string, error)              { return m.Name, m.Err }
func (m Machine) Architecture() string                   { return m.Arch }
func (m Machine) UID() int                               { return m.User }
func (m Machine) CPUs(context.Context) (int, error)      { return m.Cores, m.Err }
func (m Machine) Memory(context.Context) (uint64, error) { return m.Bytes, m.Err }
func (m Machine) Clock() (checks.Clock, error)           { return m.ClockState, m.Err }
func (m Machine) Interfaces() ([]checks.Interface, error) {
	return m.Links, m.Err
}

func (m Machine) Listeners(context.Context) ([]checks.Listener, error) {
	return m.Sockets, m.Err
}

func (m Machine) Processes(context.Context) ([]checks.Process, error) {
	return m.Programs, m.Err
}

func (m Machine) Usage(_ context.Context, path string) (checks.Usage, error) {
	if u, ok := m.Usages[path]; ok {
		return u, m.Err
	}
	return checks.Usage{}, fmt.Errorf("statfs %s: %w", path, os.ErrNotExist)
}

// Network is a checks.Network of functions; a nil one dials for real, or
// answers that it cannot.
type Network struct {
	DialFunc   func(ctx context.Context, network, address string) (net.Conn, error)
	LookupFunc func(ctx context.Context, name string) ([]netip.Addr, error)
	PingFunc   func(ctx context.Context, address netip.Addr, count int) (checks.Echo, error)
	TraceFunc  func(ctx context.Context, address netip.Addr) (checks.Path, error)
	MTUFunc    func(ctx context.Context, address netip.Addr, limit int) (checks.MTU, error)
}

// Dial connects for real unless DialFunc says otherwise.
func (n Network) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if n.DialFunc == nil {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}
	return n.DialFunc(ctx, network, address)
}

// Lookup calls LookupFunc.
func (n Network) Lookup(ctx context.Context, name string) ([]netip.Addr, error) {
	if n.LookupFunc == nil {
		return nil, fmt.Errorf("lookup %s: no such host", name)
	}
	return n.LookupFunc(ctx, name)
}

// Ping calls PingFunc.
func (n Network) Ping(ctx context.Context, a netip.Addr, count int) (checks.Echo, error) {
	if n.PingFunc == nil {
		return checks.Echo{}, os.ErrPermission
	}
	return n.PingFunc(ctx, a, count)
}

// Trace calls TraceFunc.
func (n Network) Trace(ctx context.Context, a netip.Addr) (checks.Path, error) {
	if n.TraceFunc == nil {
		return checks.Path{}, os.ErrPermission
	}
	return n.TraceFunc(ctx, a)
}

// PathMTU calls MTUFunc.
func (n Network) PathMTU(ctx context.Context, a netip.Addr, limit int) (checks.MTU, error) {
	if n.MTUFunc == nil {
		return checks.MTU{}, os.ErrPermission
	}
	return n.MTUFunc(ctx, a, limit)
}
