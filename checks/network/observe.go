package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"carbonio-check/checks"
)

const (
	pings = 3
	// mtuTime is enough: the node has just answered, so what is silent for a
	// second will stay so.
	mtuTime = time.Second
	// knocks: an answer to a datagram may get lost, or be held back: Linux sends
	// one ICMP error a second to each asker after the first six.
	knocks = 2
)

// Observe looks at one target.
func (Module) Observe(ctx context.Context, host checks.Host, t checks.Target) (any, error) {
	switch t.Kind {
	case kindNode:
		return observeNode(ctx, host.Network, t)
	case kindPort:
		return observePort(ctx, host.Network, t)
	case kindOutbound:
		return observeOutbound(ctx, host, t)
	case kindInterfaces:
		return observeInterfaces(ctx, host, t)
	}
	return nil, fmt.Errorf("unknown kind of target %q", t.Kind)
}

// A node is what was seen of another node. What is nil was not looked at, or
// could not be seen.
type node struct {
	Echo *checks.Echo `json:"echo,omitempty"`
	Path *checks.Path `json:"path,omitempty"`
	MTU  *checks.MTU  `json:"mtu,omitempty"`
}

// observeNode pings a node. Where it keeps silent its path is followed, and
// where it does not the largest packet is found.
func observeNode(ctx context.Context, network checks.Network, t checks.Target) (any, error) {
	address, err := netip.ParseAddr(t.Address)
	if err != nil {
		return nil, checks.ErrNoAddress
	}
	limit, err := strconv.Atoi(t.Args[argMTU])
	if err != nil {
		return nil, err
	}
	var seen node
	var errs []error
	alive := false
	half, cancel := halfOf(ctx)
	defer cancel()
	if echo, err := network.Ping(half, address, pings); err != nil {
		errs = append(errs, err)
	} else {
		seen.Echo, alive = &echo, echo.Received > 0
	}
	if !alive || t.Args[argTrace] == withPath {
		way, err := trace(ctx, network, address, alive)
		seen.Path, alive = way, alive || way != nil && way.Reached
		errs = append(errs, err)
	}
	if alive {
		mtu, err := pathMTU(ctx, network, address, limit)
		seen.MTU = mtu
		errs = append(errs, err)
	}
	return seen, errors.Join(errs...)
}

// trace leaves time for more where the node is known to be alive.
func trace(ctx context.Context, network checks.Network, address netip.Addr, alive bool) (*checks.Path, error) {
	if alive {
		half, cancel := halfOf(ctx)
		defer cancel()
		ctx = half
	}
	way, err := network.Trace(ctx, address)
	if err != nil {
		return nil, err
	}
	return &way, nil
}

func pathMTU(ctx context.Context, network checks.Network, address netip.Addr, limit int) (*checks.MTU, error) {
	ctx, cancel := context.WithTimeout(ctx, mtuTime)
	defer cancel()
	mtu, err := network.PathMTU(ctx, address, limit)
	if err != nil {
		return nil, err
	}
	return &mtu, nil
}

// halfOf is a context that leaves half of the time for what comes after.
func halfOf(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, time.Until(deadline)/2)
}

// A port is what came of knocking at one.
type port struct {
	State  string     `json:"state,omitempty"`
	By     netip.Addr `json:"by,omitzero"`      // who rejected it
	Reason string     `json:"reason,omitempty"` // in whose words
}

// The states of a port.
const (
	open        = "open"        // something listens
	closed      = "closed"      // the machine itself refused
	silent      = "silent"      // nothing came back
	rejected    = "rejected"    // an ICMP message came back instead
	unreachable = "unreachable" // our own kernel knows no way
	unresolved  = "unresolved"  // it has a name without an address
)

func observePort(ctx context.Context, network checks.Network, t checks.Target) (any, error) {
	if t.Address == "" {
		return nil, checks.ErrNoAddress
	}
	conn, err := network.Dial(ctx, t.Args[argProtocol], t.Address)
	if err == nil {
		defer conn.Close()
		if t.Args[argProtocol] == "udp" {
			err = knock(ctx, conn)
		}
	}
	return outcome(err)
}

// knock sends the least that a service can stumble over, an empty datagram, and
// waits for whatever comes of it.
func knock(ctx context.Context, conn net.Conn) error {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(time.Second)
	}
	var err error
	for left := knocks; left > 0; left-- {
		if _, err = conn.Write(nil); err != nil {
			break
		}
		if err = conn.SetReadDeadline(time.Now().Add(time.Until(deadline) / time.Duration(left))); err != nil {
			break
		}
		if _, err = conn.Read(make([]byte, 1)); !timedOut(err) {
			break
		}
	}
	if ctx.Err() != nil { // then it is we who closed the connection
		return ctx.Err()
	}
	return err
}

// outcome words what a dial came to. An error that is ours, such as too many
// open files or an interrupt, says nothing of the port and is returned.
func outcome(err error) (port, error) {
	var icmp *checks.RejectedError
	switch {
	case err == nil:
		return port{State: open}, nil
	case errors.As(err, &icmp):
		return port{State: rejected, By: icmp.By, Reason: icmp.Reason}, nil
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET):
		return port{State: closed}, nil
	case errors.Is(err, syscall.EHOSTUNREACH):
		return port{State: unreachable, Reason: "no route to host"}, nil
	case errors.Is(err, syscall.ENETUNREACH):
		return port{State: unreachable, Reason: "network is unreachable"}, nil
	case timedOut(err):
		return port{State: silent}, nil
	}
	return port{}, err
}

func timedOut(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// An outbound is what came of knocking at a service outside.
type outbound struct {
	port
	Proxy string `json:"proxy,omitempty"` // configured here, when the service did not answer
}

func observeOutbound(ctx context.Context, host checks.Host, t checks.Target) (any, error) {
	name, _, err := net.SplitHostPort(t.Name)
	if err != nil {
		return nil, err
	}
	_, err = host.Network.Lookup(ctx, name)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return outbound{}, ctx.Err()
	case err != nil:
		return outbound{port{State: unresolved, Reason: err.Error()}, proxy(host)}, nil
	}
	conn, err := host.Network.Dial(ctx, "tcp", t.Name)
	if err == nil {
		conn.Close()
	}
	seen, err := outcome(err)
	if err != nil || seen.State == open {
		return outbound{port: seen}, err
	}
	return outbound{seen, proxy(host)}, nil
}

// proxySetting is a line that sets a proxy: of the environment, apt or dnf.
var proxySetting = regexp.MustCompile(`(?im)^[\t ]*(?:(?:export[\t ]+)?https?_proxy[\t ]*=|(?:Acquire::)?https?::Proxy[\t ]|proxy[\t ]*=)[\t ]*["']?([^"'\s;]+)`)

// proxy gives the first proxy that the node's files set, and the file, without
// the password that it may hold. A file that cannot be read sets none.
func proxy(host checks.Host) string {
	files := []string{"etc/environment", "etc/apt/apt.conf", "etc/dnf/dnf.conf", "etc/yum.conf"}
	more, _ := fs.Glob(host.Files, "etc/apt/apt.conf.d/*") // the pattern is sound
	for _, file := range append(files, more...) {
		text, err := host.ReadFile(file)
		if err != nil {
			continue
		}
		for _, m := range proxySetting.FindAllStringSubmatch(text, -1) {
			if strings.EqualFold(m[1], "DIRECT") || m[1] == "_none_" {
				continue
			}
			return fmt.Sprintf("%s (%s)", withoutUser(m[1]), path.Join("/", file))
		}
	}
	return ""
}

func withoutUser(proxy string) string {
	if u, err := url.Parse(proxy); err == nil && u.Host != "" {
		return u.Host
	}
	return proxy[strings.LastIndexByte(proxy, '@')+1:]
}

// The interfaces are those of this node, and what its own name leads to.
type interfaces struct {
	Interfaces []checks.Interface `json:"interfaces"`
	Resolved   []netip.Addr       `json:"resolved,omitempty"`
	Unresolved string             `json:"unresolved,omitempty"` // why the name leads nowhere
}

func observeInterfaces(ctx context.Context, host checks.Host, t checks.Target) (any, error) {
	found, err := host.Machine.Interfaces()
	if err != nil {
		return nil, err
	}
	seen := interfaces{Interfaces: found}
	if seen.Resolved, err = host.Network.Lookup(ctx, t.Name); err != nil {
		if ctx.Err() != nil {
			return seen, ctx.Err()
		}
		seen.Unresolved = err.Error()
	}
	return seen, nil
}
