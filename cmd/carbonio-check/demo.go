package main

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"carbonio-check/checks"
	"carbonio-check/checks/machine"
	"carbonio-check/fixtures/demo"
	"carbonio-check/platform"
	"carbonio-check/runner"
)

func newDemo() *cobra.Command {
	f := &flags{}
	broken := false
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a whole platform of 15 nodes, healthy or broken, all of it made up",
		Long: `Look at a made-up high-availability platform of 15 nodes from each of its nodes,
and judge them together. Its DNS, NTP and TCP services run inside this process;
no other machine is touched.`,
		Example: "  carbonio-check demo\n  carbonio-check demo --broken",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return err
			}
			outputs, err := f.open(out(cmd))
			if err != nil {
				return err
			}
			defer outputs.discard()
			record, err := observeDemo(cmd.Context(), broken)
			if err != nil {
				return err
			}
			return f.report(record, outputs)
		},
	}
	cmd.Flags().BoolVar(&broken, "broken", false, "plant a handful of faults")
	f.forReport(cmd)
	return cmd
}

// observeDemo looks at the demo platform from all of its nodes at once.
func observeDemo(ctx context.Context, broken bool) (runner.Record, error) {
	p, err := demo.Start(broken)
	if err != nil {
		return runner.Record{}, err
	}
	defer p.Close()
	inv, err := platform.ParseInventory("carbonio-inventory", strings.NewReader(p.Inventory()))
	if err != nil {
		return runner.Record{}, err
	}
	release, err := platform.ParseRelease(p.Release())
	if err != nil {
		return runner.Record{}, err
	}
	nodes := p.Vantages()
	records := make([]runner.Record, len(nodes))
	var wg sync.WaitGroup
	for i, node := range nodes {
		wg.Go(func() { records[i] = observeDemoNode(ctx, inv, release, node, p.Host(node)) })
	}
	wg.Wait()
	return runner.Merge(records)
}

func observeDemoNode(ctx context.Context, inv *platform.Inventory, release platform.Release, node string, host checks.Host) runner.Record {
	started := time.Now()
	text, _ := host.ReadFile("etc/hosts")
	os, _ := machine.ReadOS(host)
	policy := platform.DefaultPolicy()
	// All nodes and all their servers share this one process: how long an answer
	// takes says nothing about the platform.
	policy.ResolverTime, policy.PingRTT = platform.Duration(time.Minute), platform.Duration(time.Minute)
	scope := checks.Scope{
		Topology: inv.Topology().Resolve(platform.HostsMap(platform.ParseHosts(text)), lookup(ctx, host)),
		Release:  release, Policy: policy,
		Vantages: []checks.Vantage{{Node: node, Phase: checks.Preinstall, OS: os}},
	}
	opts := runner.Options{Timeout: 2 * time.Second}
	return observe(ctx, runner.Selection{}, scope, host, opts, started)
}
