package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"carbonio-check/checks"
	"carbonio-check/report"
	"carbonio-check/runner"
	"carbonio-check/terminal"
)

// all is the verb without a name: look at this machine, judge, report.
func (f *flags) all(cmd *cobra.Command, words []string) error {
	outputs, err := f.open(out(cmd))
	if err != nil {
		return err
	}
	defer outputs.discard()
	node, err := f.look(cmd, words)
	if err != nil {
		return err
	}
	record, err := runner.Merge([]runner.Node{node})
	if err != nil {
		return err
	}
	record.Scope.Settings = node.Scope.Settings
	return f.report(record, outputs)
}

// look observes this machine.
func (f *flags) look(cmd *cobra.Command, words []string) (runner.Node, error) {
	if err := f.check(); err != nil {
		return runner.Node{}, err
	}
	sel, err := runner.Select(f.suite, words)
	if err != nil {
		return runner.Node{}, err
	}
	ctx := cmd.Context()
	if f.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.deadline)
		defer cancel()
	}
	started := time.Now()
	scope, host, err := f.scope(ctx, sel)
	if err != nil {
		return runner.Node{}, err
	}
	progress, stop := newProgress(cmd)
	defer stop()
	opts := runner.Options{Parallel: f.parallel, Timeout: f.timeout, Progress: progress}
	return observe(ctx, f.suite, sel, scope, host, opts, started), nil
}

// observe looks from one node.
func observe(ctx context.Context, suite checks.Suite, sel runner.Selection, scope checks.Scope, host checks.Host, opts runner.Options, started time.Time) runner.Node {
	timeout := opts.Timeout
	if timeout <= 0 {
		timeout = runner.DefaultTimeout
	}
	plan := runner.NewPlan(ctx, suite, sel, scope, host, timeout)
	if p, ok := opts.Progress.(*report.Progress); ok {
		p.Start(plan.Len())
	}
	seen := runner.Observe(ctx, plan, host, scope.Self().Node, opts)
	return runner.Node{
		Run: runner.Run{
			ID: newID(), Tool: version(), Started: started.UTC(), Took: time.Since(started),
			Interrupted: errors.Is(ctx.Err(), context.Canceled),
		},
		Asked: sel, Scope: scope, Planned: plan.Planned(), Settings: runner.Given(suite, scope), Observations: seen,
	}
}

// newProgress shows what is going on where a person is watching.
func newProgress(cmd *cobra.Command) (runner.Progress, func()) {
	f, live := terminal.Live(cmd.ErrOrStderr())
	if !live {
		return nil, func() {}
	}
	p := report.NewProgress(f, terminal.Width(f))
	return p, p.Stop
}

func newID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return hex.EncodeToString(b)
}

// report judges a record, writes the report, and gives the verdict as exit code.
func (f *flags) report(record runner.Record, outputs *outputs[report.Report]) error {
	s := record.Scope
	run := report.Run{
		ID: record.Run.ID, Tool: record.Run.Tool, Started: record.Run.Started,
		Duration: record.Run.Took, Interrupted: record.Run.Interrupted,
		Release: s.Release.String(), Assumed: s.Topology.Assumed,
		Nodes: len(s.Topology.Nodes), Vantages: s.Vantages,
		Asked: record.Asked.Asked(), Notes: record.Notes,
	}
	if s.Topology.Inventory != nil {
		run.Inventory = s.Topology.Inventory.File
	}
	r := report.New(run, runner.Judge(f.suite, record), report.Options{FailOnWarn: f.failOn == "warn"})
	if err := outputs.write(r); err != nil {
		return err
	}
	if code := r.ExitCode(); code != exitOK {
		return exit(code)
	}
	return nil
}
