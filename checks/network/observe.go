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
	// mtuTime is enough: the node has just answered, so what is silent for a
	// second will stay so.
	mtuTime = time.Second
)

// An extent is how far to look at a node.
type extent struct {
	MTU   int  `json:"mtu"`             // the largest packet to try
	Trace bool `json:"trace,omitempty"` // follow the path though the node answers
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

// observeNode pings a node. Where it keeps silent its path is followed, and
// where it does not the largest packet is found.
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
	alive := seen.answered()
	if !alive || t.Ask.Trace {
		limit := ctx
		if alive { // then there is more to come
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

// pinged says whether pings were sent, and answered whether one came back.
func (n node) pinged() bool   { return n.Echo != nil && n.Echo.Sent > 0 }
func (n node) answered() bool { return n.pinged() && n.Echo.Received > 0 }

// reached says whether the probes of its path came to the node.
func (n node) reached() bool { return n.Path != nil && n.Path.Reached }

// The identity of this node is its interfaces, and what its own name leads to.
type identity struct {
	Interfaces []checks.Interface `json:"interfaces"`
	Resolved   []netip.Addr       `json:"resolved,omitempty"`
	Unresolved string             `json:"unresolved,omitempty"` // why the name leads nowhere
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
