// Package checkstest is what the tests of every subject share: fake hosts, and
// the judge's table test over recorded observations.
package checkstest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Judge is the table test of a judge. Every testdata/NAME.jsonl holds a
// checks.Scope on its first line and one observation on each further one; the
// findings are compared with testdata/NAME.golden, which -update rewrites.
func Judge(t *testing.T, m checks.Module) {
	t.Helper()
	files, err := filepath.Glob("testdata/*.jsonl")
	require.NoError(t, err)
	require.NotEmpty(t, files, "no recorded observations in testdata")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".jsonl"), func(t *testing.T) {
			scope, seen := Read(t, file)
			got := Render(m.Judge(scope, seen))
			slices.Reverse(seen)
			require.ElementsMatch(t, paragraphs(got), paragraphs(Render(m.Judge(scope, seen))),
				"the order of observations changes the findings")
			Golden(t, strings.TrimSuffix(file, ".jsonl")+".golden", got)
		})
	}
}

func paragraphs(s string) []string { return strings.Split(strings.TrimSuffix(s, "\n"), "\n\n") }

// Read loads a scope and observations as Judge does.
func Read(t *testing.T, file string) (checks.Scope, []checks.Observation) {
	t.Helper()
	b, err := os.ReadFile(file)
	require.NoError(t, err)
	lines := bufio.NewScanner(bytes.NewReader(b))
	lines.Buffer(nil, 1<<24)
	var scope checks.Scope
	require.True(t, lines.Scan(), "%s is empty", file)
	require.NoError(t, json.Unmarshal(lines.Bytes(), &scope), file)
	var seen []checks.Observation
	for lines.Scan() {
		if len(bytes.TrimSpace(lines.Bytes())) == 0 {
			continue
		}
		var o checks.Observation
		require.NoError(t, json.Unmarshal(lines.Bytes(), &o), "%s: %s", file, lines.Text())
		seen = append(seen, o)
	}
	return scope, seen
}

// Render writes findings as a person can compare them, in their order, one
// paragraph each.
func Render(findings []checks.Finding) string {
	var b strings.Builder
	for i, f := range findings {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "%s %s [%s] from %q\n  %s\n", f.Status, f.Check, f.Target, f.Vantage, f.Message)
		for _, k := range slices.Sorted(maps.Keys(f.Evidence)) {
			fmt.Fprintf(&b, "  %s: %s\n", k, strings.ReplaceAll(f.Evidence[k], "\n", "\n    "))
		}
		if f.Remedy != "" {
			fmt.Fprintf(&b, "  fix: %s\n", strings.ReplaceAll(f.Remedy, "\n", "\n    "))
		}
		for _, n := range f.Needs {
			fmt.Fprintf(&b, "  needs: %s\n", n)
		}
	}
	return b.String()
}

// Golden compares got with the file, or writes it under -update.
func Golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err, "run the test with -update, and read what it wrote")
	require.Equal(t, string(want), got)
}

// Catalogue fails for an entry that would leave a reader without an answer.
func Catalogue(t *testing.T, m checks.Module) {
	t.Helper()
	seen := map[string]bool{}
	for _, c := range m.Checks() {
		require.True(t, strings.HasPrefix(c.ID, m.Name()+"."), "%s is not of %s", c.ID, m.Name())
		require.False(t, seen[c.ID], "%s stands twice", c.ID)
		seen[c.ID] = true
		for what, text := range map[string]string{"title": c.Title, "why": c.Why, "manual command": c.Manual, "remedy": c.Remedy, "source": c.Source} {
			require.NotEmpty(t, text, "%s has no %s", c.ID, what)
		}
		require.NotEmpty(t, c.Looks, "%s is judged from nothing", c.ID)
	}
}

// Observe does what the runner does, one after the other: targets, looks, and
// the round trip through JSON.
func Observe(t *testing.T, m checks.Module, scope checks.Scope, host checks.Host) []checks.Observation {
	t.Helper()
	targets, err := m.Targets(scope, host)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var seen []checks.Observation
	for _, target := range targets {
		o := checks.Observation{Subject: m.Name(), Target: target, Vantage: scope.Self().Node}
		data, err := m.Observe(ctx, host, target)
		if err != nil {
			o.Error = err.Error()
		}
		if data != nil {
			o.Data, err = json.Marshal(data)
			require.NoError(t, err)
		}
		seen = append(seen, o)
	}
	return seen
}

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
