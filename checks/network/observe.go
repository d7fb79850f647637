package network

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"carbonio-check/checks"
)

const (
	pings = 3
	// mtuTime is enough: the node has just responded, so what gets no response
	// within a second will get none.
	mtuTime = time.Second
)

// An extent is how far to look at a node.
type extent struct {
	MTU   int  `json:"mtu"`             // the largest packet to try
	Trace bool `json:"trace,omitempty"` // follow the path even if the node responds
}

// A node is what was seen of another node. What is nil was not looked at, or
// could not be seen, and why.
type node struct {
	Echo       *checks.Echo   `json:"echo,omitempty"`
	EchoUnseen *checks.Unseen `json:"echo_unseen,omitempty"`
	Path       *checks.Path   `json:"path,omitempty"`
	PathUnseen *checks.Unseen `json:"path_unseen,omitempty"`
	MTU        *checks.MTU    `json:"mtu,omitempty"`
	MTUUnseen  *checks.Unseen `json:"mtu_unseen,omitempty"`
}

// observeNode pings a node. If it does not respond its path is followed, and if it
// does the largest packet that reaches it is found.
func observeNode(ctx context.Context, host checks.Host, t checks.Target[extent]) (node, error) {
	address, err := netip.ParseAddr(t.Address)
	if err != nil {
		return node{}, checks.ErrNoAddress
	}
	var seen node
	half, cancel := checks.Share(ctx, 0.5)
	defer cancel()
	echo, err := host.Network.Ping(half, address, pings)
	seen.Echo, seen.EchoUnseen = part(echo, err)
	alive := seen.responded()
	if !alive || t.Ask.Trace {
		share := 1.0
		if alive { // the MTU comes after it
			share = 0.5
		}
		limit, cancel := checks.Share(ctx, share)
		defer cancel()
		way, err := host.Network.Trace(limit, address)
		seen.Path, seen.PathUnseen = part(way, err)
		alive = alive || seen.reached()
	}
	if alive {
		ctx, cancel := context.WithTimeout(ctx, mtuTime)
		defer cancel()
		mtu, err := host.Network.PathMTU(ctx, address, t.Ask.MTU)
		seen.MTU, seen.MTUUnseen = part(mtu, err)
	}
	return seen, nil
}

// part is a part of a look, or why it was not seen.
func part[T any](seen T, err error) (*T, *checks.Unseen) {
	if err != nil {
		why := checks.Why(err)
		return nil, &why
	}
	return &seen, nil
}

// pinged says whether pings were sent, and responded whether one was answered.
func (n node) pinged() bool    { return n.Echo != nil && n.Echo.Sent > 0 }
func (n node) responded() bool { return n.pinged() && n.Echo.Received > 0 }

// reached says whether the node responded to the probes of its path.
func (n node) reached() bool { return n.Path != nil && n.Path.Reached }

// The identity of this node is its interfaces, and what its own name resolves to.
type identity struct {
	Interfaces []checks.Interface `json:"interfaces"`
	Resolved   []netip.Addr       `json:"resolved,omitempty"`
	Unresolved string             `json:"unresolved,omitempty"` // why the name does not resolve
}

func observeSelf(ctx context.Context, host checks.Host, t checks.Target[checks.Nothing]) (identity, error) {
	found, err := host.Machine.Interfaces()
	if err != nil {
		return identity{}, err
	}
	seen := identity{Interfaces: found}
	if seen.Resolved, err = host.Network.Lookup(ctx, t.Name); err != nil {
		if ctx.Err() != nil || checks.Ours(err) {
			return seen, cmp.Or(ctx.Err(), err)
		}
		seen.Unresolved = err.Error()
	}
	return seen, nil
}

// A service is the result of connecting to a service outside.
type service struct {
	checks.Contact
	Unresolved string `json:"unresolved,omitempty"` // why its name has no address
	Proxy      string `json:"proxy,omitempty"`      // that this node is configured with, if the service is unreachable
}

func observeService(ctx context.Context, host checks.Host, t checks.Target[checks.Nothing]) (service, error) {
	name, _, err := net.SplitHostPort(t.Name)
	if err != nil {
		return service{}, err
	}
	var seen service
	switch _, err = host.Network.Lookup(ctx, name); {
	case err == nil:
		seen.Contact, err = probe(ctx, host.Network, tcp, t.Name)
	case errors.Is(ctx.Err(), context.Canceled):
		err = ctx.Err()
	case !checks.Ours(err):
		seen.Unresolved, err = err.Error(), nil
	}
	if err == nil && seen.State != checks.Open {
		seen.Proxy = proxy(host)
	}
	return seen, err
}

// proxySetting is a line that sets a proxy: of the environment, apt or dnf. What it
// captures is without the password that may come before.
var proxySetting = regexp.MustCompile(`(?im)^[\t ]*(?:(?:export[\t ]+)?https?_proxy[\t ]*=|(?:Acquire::)?https?::Proxy[\t ]|proxy[\t ]*=)[\t ]*["']?(?:[a-z0-9]+://)?(?:[^"'\s;]*@)?([^"'\s;/]+)`)

// proxy is the first proxy that the node's files set, and the file. A file that
// cannot be read sets none.
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
			return fmt.Sprintf("%s (%s)", m[1], path.Join("/", file))
		}
	}
	return ""
}

const (
	tcp = "tcp"
	udp = "udp"

	// atOnce bounds the probes of one node that are under way.
	atOnce = 16
	// datagrams: a response to one may be lost or withheld: after the first six,
	// Linux sends each peer one ICMP error a second.
	datagrams = 2
)

// ports are numbers, by protocol: "tcp", "udp".
type ports map[string][]int

// A socket is one port.
type socket struct {
	number   int
	protocol string
}

// String gives "8301/udp".
func (s socket) String() string { return fmt.Sprintf("%d/%s", s.number, s.protocol) }

// sockets are the ports one by one, those of TCP first.
func (p ports) sockets() []socket {
	var out []socket
	for _, protocol := range []string{tcp, udp} {
		for _, number := range p[protocol] {
			out = append(out, socket{number, protocol})
		}
	}
	return out
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
// too short to conclude that it does not respond.
var errLate = errors.New("not probed: the ports before it did not respond in time")

// observePorts probes the ports of a node in parallel: a dead one costs a single
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
	sockets := t.Ask.sockets()
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
		if err := errs[i]; err != nil {
			if op, ok := errors.AsType[*net.OpError](err); ok {
				err = op.Err // without the address, which differs from port to port
			}
			e.Unseen = checks.Why(err)
		}
		at := slices.IndexFunc(out, func(o outcome) bool { return o.end == e })
		if at < 0 {
			at, out = len(out), append(out, outcome{e, ports{}})
		}
		out[at].Ports[s.protocol] = append(out[at].Ports[s.protocol], s.number)
	}
	return out
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
	deadline, _ := ctx.Deadline() // whoever probes sets one
	var err error
	for left := datagrams; left > 0; left-- {
		if _, err = conn.Write(nil); err == nil {
			_ = conn.SetReadDeadline(time.Now().Add(time.Until(deadline) / time.Duration(left))) // where it fails, so does the read
			_, err = conn.Read(make([]byte, 1))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return cmp.Or(ctx.Err(), err) // of a connection that we closed ourselves, err says nothing
}
