package network

import (
	"cmp"
	"context"
	"net/netip"
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
		limit := ctx
		if alive { // the MTU comes after it
			half, cancel := checks.Share(ctx, 0.5)
			defer cancel()
			limit = half
		}
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
