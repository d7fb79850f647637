package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/fixtures/demo"
	"carbonio-check/platform"
	"carbonio-check/report"
	"carbonio-check/runner"
)

// everyday is one of the ways in which the program is really called, on the demo.
type everyday struct {
	name          string
	installed     bool
	node          string // whose machine it is; empty: a machine that is no node
	words         []string
	nobody        bool // an ordinary user
	withInventory bool
	judge         []string // the nodes that looked, when it is judged together
}

// Honest is not a flood of unknowns: verdict, coverage and exit code of what
// people really type, each on a platform on which all is well.
func TestEverydayInvocations(t *testing.T) {
	var b strings.Builder
	for _, e := range []everyday{
		{name: "root, before the installation", node: "mbox1.example.com", withInventory: true},
		{name: "nobody, before the installation", node: "mbox1.example.com", withInventory: true, nobody: true},
		{name: "a CI runner: inventory -i FILE", words: []string{"inventory"}, withInventory: true},
		{name: "without -i", node: "mbox1.example.com"},
		{name: "root, after the installation", installed: true, node: "svc1.example.com", withInventory: true},
		{name: "nobody, after the installation, without credentials", installed: true, node: "svc1.example.com", withInventory: true, nobody: true},
		{name: "kafka, where there is none", installed: true, node: "mta1.example.com", words: []string{"kafka"}, withInventory: true},
		{name: "judge of three files", installed: true, withInventory: true, judge: []string{"svc1.example.com", "svc2.example.com", "mbox1.example.com"}},
	} {
		t.Run(e.name, func(t *testing.T) { b.WriteString(e.told(t)) })
	}
	checkstest.Golden(t, "testdata/everyday.txt", b.String())
}

// told is what it comes to.
func (e everyday) told(t *testing.T) string {
	t.Helper()
	suite := catalogue(t)
	sel, err := runner.Select(suite, e.words)
	require.NoError(t, err)
	p, err := demo.Start(demo.Options{Installed: e.installed})
	require.NoError(t, err)
	defer p.Close()
	vantages := e.judge
	if len(vantages) == 0 {
		vantages = []string{e.node}
	}
	var file bytes.Buffer
	for _, v := range vantages {
		require.NoError(t, runner.Write(&file, e.look(t, suite, sel, p, v)))
	}
	nodes, err := runner.Read("files", &file)
	require.NoError(t, err)
	record, err := runner.Merge(nodes)
	require.NoError(t, err)
	record.Scope.Settings = demo.Settings()
	j := runner.Judge(suite, record)
	out := fmt.Sprintf("%s\n  %s, exit %d: %d checks asked, %d looked at, %d unseen\n", e.name, j.Verdict,
		report.New(report.Run{}, j, report.Options{}).ExitCode(), j.Coverage.Asked, j.Coverage.Looked, j.Coverage.Unseen)
	for _, reason := range slices.Sorted(maps.Keys(j.Coverage.Skipped)) {
		out += fmt.Sprintf("  %3d skipped: %s\n", j.Coverage.Skipped[reason], reason)
	}
	for _, f := range j.Findings {
		if f.Status == checks.Fail || f.Status == checks.Unknown {
			out += fmt.Sprintf("  %s %s: %s\n", f.Status, f.Check.On(f.Target), f.Message)
		}
	}
	return out
}

// look observes from one node of the demo.
func (e everyday) look(t *testing.T, suite checks.Suite, sel runner.Selection, p *demo.Platform, node string) runner.Node {
	t.Helper()
	host, os, phase := checks.Host{}, checks.OS{}, checks.Preinstall
	if node != "" {
		host, phase = p.Host(node), p.Phase()
		os = checks.OS{ID: "ubuntu", Version: "22.04", Codename: "jammy", Pretty: "Ubuntu 22.04.5 LTS"}
	}
	if e.nobody {
		host = asNobody(host)
	}
	text := ""
	if host.Files != nil {
		text, _ = host.ReadFile("etc/hosts")
	}
	lines := platform.ParseHosts(text)
	topology := platform.WithoutInventory(node, nil, lines)
	if e.withInventory {
		inv, err := platform.ParseInventory("carbonio-inventory", strings.NewReader(p.Inventory()))
		require.NoError(t, err)
		topology = inv.Topology()
	}
	scope := checks.Scope{
		Topology: topology.Resolve(platform.HostsMap(lines), nil), Release: p.Release(), Settings: demo.Settings(),
		Vantages: []checks.Vantage{{Node: node, Phase: phase, Release: p.Release(), ReleaseFrom: "/opt/zextras/.version", OS: os}},
	}
	if node == "" {
		scope.Vantages[0].Node = "runner"
	}
	return observe(t.Context(), suite, sel, scope, host, runner.Options{Timeout: 5 * time.Second}, time.Now())
}

// asNobody is a host as an ordinary user has it: no ping, no file of root's, no
// command as zextras, no name of who listens.
func asNobody(h checks.Host) checks.Host {
	h.Files = nobodysFiles{h.Files}
	h.Machine = nobodysMachine{h.Machine}
	h.Network = nobodysNetwork{h.Network}
	run := h.Run
	h.Run = func(ctx context.Context, name string, args ...string) (string, error) {
		if name == "su" || name == "gpg" {
			return "", &checks.ExitError{Name: name, Code: 1, Stderr: "Authentication failure"}
		}
		return run(ctx, name, args...)
	}
	return h
}

type nobodysFiles struct{ fs.FS }

func (f nobodysFiles) Open(name string) (fs.File, error) {
	for _, of := range []string{"root", "etc/zextras", "opt/zextras/conf", "etc/patroni", "etc/haproxy"} {
		if strings.HasPrefix(name, of) {
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
	}
	return f.FS.Open(name)
}

type nobodysMachine struct{ checks.Machine }

func (nobodysMachine) UID() int { return 65534 }

func (m nobodysMachine) Listeners(ctx context.Context) ([]checks.Listener, error) {
	all, err := m.Machine.Listeners(ctx)
	all = slices.Clone(all)
	for i := range all {
		all[i].PID, all[i].Process = 0, ""
	}
	return all, err
}

type nobodysNetwork struct{ checks.Network }

func (nobodysNetwork) Ping(context.Context, netip.Addr, int) (checks.Echo, error) {
	return checks.Echo{}, fs.ErrPermission
}
