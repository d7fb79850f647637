package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carbonio-check/checks"
	"carbonio-check/report"
	"carbonio-check/runner"
)

// all is the verb without a name: look at this machine, judge, report.
func (f *flags) all(cmd *cobra.Command, words []string) error {
	outputs, err := f.open(out(cmd))
	if err != nil {
		return err
	}
	defer outputs.discard()
	record, err := f.look(cmd, words)
	if err != nil {
		return err
	}
	return f.report(record, outputs)
}

// look observes this machine.
func (f *flags) look(cmd *cobra.Command, words []string) (runner.Record, error) {
	if err := f.check(); err != nil {
		return runner.Record{}, err
	}
	sel, err := runner.Select(modules(), words)
	if err != nil {
		return runner.Record{}, err
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
		return runner.Record{}, err
	}
	progress, stop := newProgress(cmd)
	defer stop()
	opts := runner.Options{Parallel: f.parallel, Timeout: f.timeout, Progress: progress}
	return observe(ctx, sel, scope, host, opts, started), nil
}

// observe makes the record of one node.
func observe(ctx context.Context, sel runner.Selection, scope checks.Scope, host checks.Host, opts runner.Options, started time.Time) runner.Record {
	timeout := opts.Timeout
	if timeout <= 0 {
		timeout = runner.DefaultTimeout
	}
	plan := runner.NewPlan(ctx, modules(), sel, scope, host, timeout)
	if p, ok := opts.Progress.(*report.Progress); ok {
		p.Start(plan.Len())
	}
	seen := runner.Observe(ctx, plan, host, scope.Self().Node, opts)
	return runner.Record{
		Run: runner.Run{
			ID: newID(), Tool: version(), Started: started.UTC(), Took: time.Since(started),
			Interrupted: errors.Is(ctx.Err(), context.Canceled),
		},
		Selection: sel, Scope: scope, Observations: seen,
	}
}

// newProgress shows what is going on where a person is watching.
func newProgress(cmd *cobra.Command) (runner.Progress, func()) {
	f, ok := cmd.ErrOrStderr().(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || os.Getenv("TERM") == "dumb" {
		return nil, func() {}
	}
	p := report.NewProgress(f, terminalWidth(f))
	return p, p.Stop
}

func newID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: crypto/rand
	return hex.EncodeToString(b)
}

// report judges a record, writes the report, and gives the verdict as exit code.
func (f *flags) report(record runner.Record, outputs *outputs[report.Report]) error {
	findings := runner.Judge(modules(), record.Selection, record.Scope, record.Observations)
	s := record.Scope
	run := report.Run{
		ID: record.Run.ID, Tool: record.Run.Tool, Started: record.Run.Started,
		Duration: record.Run.Took, Interrupted: record.Run.Interrupted,
		Release: s.Release.String(), Assumed: s.Topology.Assumed,
		Nodes: len(s.Topology.Nodes), Vantages: s.Vantages,
	}
	if s.Topology.Inventory != nil {
		run.Inventory = s.Topology.Inventory.File
	}
	r := report.New(run, findings, report.Options{FailOnWarn: f.failOn == "warn"})
	if err := outputs.write(r); err != nil {
		return err
	}
	if code := r.ExitCode(); code != exitOK {
		return exit(code)
	}
	return nil
}
