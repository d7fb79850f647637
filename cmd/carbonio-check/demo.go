package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"carbonio-check/checks"
	"carbonio-check/fixtures/demo"
	"carbonio-check/machine"
	"carbonio-check/platform"
	"carbonio-check/runner"
)

const (
	// demoTimeout is plenty on loopback: only what is meant not to respond takes it.
	demoTimeout = 2 * time.Second
	// demoParallel keeps what fifteen nodes do at once from waiting for itself: the
	// time of a look runs from when it is let in.
	demoParallel = 40
)

func newDemo(suite checks.Suite) *cobra.Command {
	f := newFlags(suite)
	var o demo.Options
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a made-up platform of 15 nodes, healthy or broken",
		Long: `Look at a made-up high-availability platform of 15 nodes from each of its nodes,
and judge the observations together: before the installation, or after it, with
Kafka, ZooKeeper, PostgreSQL, the directory and the mesh. Its services run inside
this process; no other machine is touched.`,
		Example: `  carbonio-check demo
  carbonio-check demo --broken
  carbonio-check demo --installed
  carbonio-check demo --installed --broken`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			outputs, err := f.open(out(cmd))
			if err != nil {
				return err
			}
			defer outputs.discard()
			record, err := observeDemo(cmd.Context(), suite, o, f.timeout)
			if err != nil {
				return err
			}
			return f.report(record, outputs)
		},
	}
	cmd.Flags().BoolVar(&o.Broken, "broken", false, "with a handful of faults")
	cmd.Flags().BoolVar(&o.Installed, "installed", false, "after the installation, with the clusters running")
	cmd.Flags().DurationVar(&f.timeout, "timeout", demoTimeout, "how long one look may take")
	f.forReport(cmd)
	return cmd
}

// observeDemo looks at the demo platform from all of its nodes at once.
func observeDemo(ctx context.Context, suite checks.Suite, o demo.Options, timeout time.Duration) (runner.Record, error) {
	p, err := demo.Start(o)
	if err != nil {
		return runner.Record{}, err
	}
	defer p.Close()
	inv, err := platform.ParseInventory("carbonio-inventory", strings.NewReader(p.Inventory()))
	if err != nil {
		return runner.Record{}, err
	}
	nodes := p.Vantages()
	seen := make([]runner.Node, len(nodes))
	// They share the descriptors of this process, and so do the servers.
	ends := 2 * len(nodes)
	parallel := max(1, runner.Affordable(demoParallel*ends)/ends)
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() {
			seen[i] = observeDemoNode(ctx, suite, p, inv, node, runner.Options{Timeout: timeout, Parallel: parallel})
		})
	}
	wg.Wait()
	record, err := runner.Merge(seen)
	record.Scope.Settings = seen[0].Scope.Settings
	return record, err
}

func observeDemoNode(ctx context.Context, suite checks.Suite, p *demo.Platform, inv *platform.Inventory, node string, opts runner.Options) runner.Node {
	started, host := time.Now(), p.Host(node)
	text, _ := host.ReadFile("etc/hosts")
	os, _ := machine.ReadOS(host)
	scope := checks.Scope{
		Topology: inv.Topology().Resolve(platform.HostsMap(platform.ParseHosts(text)), lookup(ctx, host)),
		Release:  p.Release(), Settings: demo.Settings(),
		Vantages: []checks.Vantage{{Node: node, Phase: p.Phase(), Release: p.Release(), ReleaseFrom: "made up", OS: os}},
	}
	return observe(ctx, suite, runner.Selection{}, scope, host, opts, started)
}
