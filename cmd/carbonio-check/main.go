// Command carbonio-check shows a Carbonio administrator whether a node and the
// whole platform are fit: before the installation, and ever after.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"carbonio-check/checks"
	"carbonio-check/runner"
	"carbonio-check/terminal"
)

// The exit codes that are not a verdict; those are report.Report.ExitCode's.
const (
	exitOK          = 0
	exitCannotRun   = 2
	exitInterrupted = 130
)

// exit ends the program with a code when there is nothing more to say.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

func main() { os.Exit(run(os.Args[1:])) }

// run is the whole program: it returns the exit code.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	defer stop()

	suite, err := assemble()
	if err != nil {
		fmt.Fprintf(os.Stderr, "carbonio-check: a defect in its catalogue, please report it: %v\n", err)
		return exitCannotRun
	}
	root := newRoot(suite)
	root.SetArgs(args)
	err = root.ExecuteContext(ctx)
	var code exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(os.Stderr, "carbonio-check: %s\n", terminal.Text(err.Error()))
	return exitCannotRun
}

const rootLong = `carbonio-check checks a Carbonio node, or the whole platform: it reports what is
wrong, why it matters, and the command that fixes it.
It changes nothing, except that it writes objects of its own to a bucket that you
configure, and removes them again.`

const rootExample = `  carbonio-check all                        every subject, on this node
  carbonio-check all -i inventory           … knowing the whole platform
  carbonio-check dns hosts.syntax           only these subjects or checks
  carbonio-check all -o junit=report.xml    for a CI server
  carbonio-check observe all > node.json    look only; judge later, or elsewhere
  carbonio-check judge node1.json node2.json
  carbonio-check explain hosts.syntax       why, and how to fix it

Exit status: 0 nothing failed, 1 something failed, 2 could not run,
3 nothing failed but something is unknown, or nothing was checked, 4 only warnings
(with --fail-on warn), 130 interrupted.`

func newRoot(suite checks.Suite) *cobra.Command {
	f := newFlags(suite)
	root := &cobra.Command{
		Use:               "carbonio-check {all | SUBJECT… | CHECK…}",
		Short:             "Check a Carbonio node, or the whole platform",
		Long:              rootLong,
		Example:           rootExample,
		Args:              cobra.ArbitraryArgs,
		ValidArgsFunction: completeChecks(suite),
		Version:           versionLine(),
		SilenceErrors:     true,
		SilenceUsage:      true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				cmd.SetOut(cmd.ErrOrStderr())
				_ = cmd.Help()
				return exit(exitCannotRun)
			}
			return f.all(cmd, args)
		},
	}
	f.forLooking(root)
	f.forReport(root)
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newObserve(suite), newJudge(suite), newDiff(), newList(suite), newExplain(suite), newS3bench(suite), newDemo(suite), newVersion())
	completion(root)
	return root
}

// completion has cobra's own verb refuse a shell that it does not know.
func completion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	cmd, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var shells []string
		for _, c := range cmd.Commands() {
			shells = append(shells, c.Name())
		}
		return fmt.Errorf("completion: want one of %s", strings.Join(shells, ", "))
	}
}

// flagError names the nearest flag to one that does not exist.
func flagError(cmd *cobra.Command, err error) error {
	var names []string
	visit(cmd, func(name string) { names = append(names, "--"+name) })
	return withNearest(err, names, cmd.CommandPath()+" --help")
}

func completeChecks(suite checks.Suite) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		out := []string{runner.All + "\tevery subject"}
		for _, m := range suite.Modules() {
			out = append(out, m.Name)
			for _, c := range m.Checks {
				out = append(out, c.ID+"\t"+c.Title)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// out is where the report goes, and nothing else does.
func out(cmd *cobra.Command) io.Writer { return cmd.OutOrStdout() }
