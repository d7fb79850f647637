package main

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/machine"
	"carbonio-check/platform"
	"carbonio-check/runner"
)

// resolveTimeout bounds what the system's resolver may take to name this node
// and the addresses that neither inventory nor /etc/hosts holds: a dead
// resolver is a finding, not a reason to wait.
const resolveTimeout = 2 * time.Second

// scope finds out who we are, what the platform is, and what to judge against.
func (f *flags) scope(ctx context.Context, sel runner.Selection) (checks.Scope, checks.Host, error) {
	host, err := f.host(sel)
	if err != nil {
		return checks.Scope{}, host, err
	}
	settings, err := f.settings()
	if err != nil {
		return checks.Scope{}, host, err
	}
	installed, err := machine.Installed(ctx, host)
	if err != nil && f.phase == "" && !sel.Only("inventory") {
		return checks.Scope{}, host, fmt.Errorf("cannot determine whether Carbonio is installed here: %w; use --phase", err)
	}
	self := checks.Vantage{Phase: f.phaseOr(len(installed) > 0)}
	if self.Release, self.ReleaseFrom, err = f.releaseOf(host); err != nil {
		return checks.Scope{}, host, err
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	var topology platform.Topology
	if self.Node, topology, err = f.topology(ctx, host, installed, sel); err != nil {
		return checks.Scope{}, host, err
	}
	self.OS, _ = machine.ReadOS(host) // its absence is a finding of system.os
	return checks.Scope{
		Topology: topology, Release: self.Release, Settings: settings,
		Vantages: []checks.Vantage{self},
	}, host, nil
}

func (f *flags) phaseOr(installed bool) checks.Phase {
	switch {
	case f.phase != "":
		return checks.Phase(f.phase)
	case installed:
		return checks.Health
	}
	return checks.Preinstall
}

// host is the machine to look at. Where none can be looked at, an inventory can
// be judged all the same.
func (f *flags) host(sel runner.Selection) (checks.Host, error) {
	if sel.Only("inventory") && !machine.Supported {
		return machine.Files(f.root)
	}
	return machine.Local(f.root)
}

// releaseOf is the release to judge a node by, and the sign that it was read from.
func (f *flags) releaseOf(host checks.Host) (platform.Release, string, error) {
	if f.release != "" {
		r, err := platform.ParseRelease(f.release)
		return r, "--release", err
	}
	switch r, from, err := machine.Release(host); {
	case err != nil:
		return platform.Newest, checks.Assumed + ", because " + err.Error(), nil
	case !r.IsZero():
		return r, from, nil
	}
	return platform.Newest, checks.Assumed, nil
}

// topology reads the inventory, or makes do without one, and says which of its
// nodes this is.
func (f *flags) topology(ctx context.Context, host checks.Host, installed []platform.Component, sel runner.Selection) (string, platform.Topology, error) {
	text, _ := host.ReadFile("etc/hosts") // what is wrong with it is a finding of hosts.syntax
	lines := platform.ParseHosts(text)
	self := strings.ToLower(f.as)
	if self == "" {
		self = ownName(ctx, host)
	}
	var t platform.Topology
	if f.inventory == "" {
		t = platform.WithoutInventory(self, installed, lines)
	} else {
		inv, err := platform.ReadInventory(f.inventory)
		if err != nil {
			return "", t, err
		}
		t = inv.Topology()
		node, known := identify(t, self)
		if !known && !sel.Only("inventory") {
			return "", t, notInInventory(self, f.inventory, t, f.as != "")
		}
		self = node
	}
	if sel.Only("inventory") { // a gate on a file needs no network
		return self, t.Resolve(platform.HostsMap(lines), nil), nil
	}
	return self, t.Resolve(platform.HostsMap(lines), lookup(ctx, host)), nil
}

// lookup asks the host's own resolver for addresses.
func lookup(ctx context.Context, host checks.Host) func(string) ([]netip.Addr, error) {
	return func(name string) ([]netip.Addr, error) { return host.Network.Lookup(ctx, name) }
}

// ownName is what this machine calls itself: hostname -f, which asks the
// system's resolver, else the kernel's name.
func ownName(ctx context.Context, host checks.Host) string {
	if name, err := host.Run(ctx, "hostname", "-f"); err == nil && strings.TrimSpace(name) != "" {
		return strings.ToLower(strings.TrimSpace(name))
	}
	if name, err := host.Machine.Hostname(); err == nil && name != "" {
		return strings.ToLower(name)
	}
	if name, err := host.ReadFile("etc/hostname"); err == nil && strings.TrimSpace(name) != "" {
		return strings.ToLower(strings.TrimSpace(name))
	}
	return "localhost"
}

// identify finds this machine among the nodes by its name, or by its short name
// when only one node has it: that the two differ is a finding of system.hostname.
func identify(t platform.Topology, self string) (string, bool) {
	if n, ok := t.Node(self); ok {
		return n.Name, true
	}
	short, _, _ := strings.Cut(self, ".")
	var found []string
	for _, n := range t.Nodes {
		if s, _, _ := strings.Cut(n.Name, "."); strings.EqualFold(s, short) {
			found = append(found, n.Name)
		}
	}
	if len(found) == 1 {
		return found[0], true
	}
	return self, false
}

func notInInventory(self, file string, t platform.Topology, given bool) error {
	var names []string
	for _, n := range t.Nodes {
		names = append(names, n.Name)
	}
	if n := platform.Nearest(self, names); n != "" && given {
		return fmt.Errorf("--as %s: no such node in %s: did you mean %s?", self, file, n)
	}
	if given {
		return fmt.Errorf("--as %s: no such node in %s", self, file)
	}
	return fmt.Errorf("this machine is called %s, which is not a node of %s: name its node with --as NAME, or check only the inventory with carbonio-check inventory -i %s", self, file, file)
}
