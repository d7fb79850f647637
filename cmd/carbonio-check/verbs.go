package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"carbonio-check/checks"
	"carbonio-check/machine"
	"carbonio-check/platform"
	"carbonio-check/runner"
)

func newObserve(suite checks.Suite) *cobra.Command {
	f := newFlags(suite)
	cmd := &cobra.Command{
		Use:   "observe [all | SUBJECT… | CHECK…]",
		Short: "Look at this node and write what was seen, without judging it",
		Long: `Look at this node and write what was seen to standard output, as JSON Lines.
The observations contain no secrets. Judge them later, elsewhere, or together with
those of other nodes: carbonio-check judge FILE…`,
		Example: `  carbonio-check observe -i inventory > $(hostname -f).json
  carbonio-check observe dns network | ssh ctl carbonio-check judge -`,
		ValidArgsFunction: completeChecks(suite),
		RunE: func(cmd *cobra.Command, words []string) error {
			node, err := f.look(cmd, words)
			if err != nil {
				return err
			}
			if err := runner.Write(out(cmd), node); err != nil {
				return fmt.Errorf("cannot write the observations: %w", err)
			}
			if node.Run.Interrupted {
				return exit(exitInterrupted)
			}
			return nil
		},
	}
	f.forLooking(cmd)
	return cmd
}

func newJudge(suite checks.Suite) *cobra.Command {
	f := newFlags(suite)
	cmd := &cobra.Command{
		Use:   "judge FILE…",
		Short: "Judge observations of one node, or of several together",
		Long: `Judge what carbonio-check observe wrote. With the files of several nodes the
platform is judged as a whole. A file named - is standard input. The same files
always give the same report. What is missing from a truncated or changed file is
unknown. The thresholds are those given here with -c, else the defaults.`,
		Example: `  carbonio-check judge node*.json
  carbonio-check judge -c stricter.yaml yesterday.json -o json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := f.check(); err != nil {
				return err
			}
			outputs, err := f.open(out(cmd))
			if err != nil {
				return err
			}
			defer outputs.discard()
			record, err := f.readOrEnd(cmd.Context(), cmd.InOrStdin(), files)
			if err != nil {
				return err
			}
			return f.report(record, outputs)
		},
	}
	f.forScope(cmd)
	f.forReport(cmd)
	return cmd
}

// readOrEnd reads until the user has enough: a pipe that nobody writes to would
// hold the program for ever.
func (f *flags) readOrEnd(ctx context.Context, stdin io.Reader, files []string) (record runner.Record, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		record, err = f.read(stdin, files)
	}()
	select {
	case <-done:
		return record, err
	case <-ctx.Done():
		return runner.Record{}, exit(exitInterrupted)
	}
}

// read reads observations, and what today's flags say of how to judge them. A
// file that cannot be read costs itself, unless it is the only one.
func (f *flags) read(stdin io.Reader, files []string) (runner.Record, error) {
	var nodes []runner.Node
	var unreadable []error
	for _, name := range files {
		some, err := readFile(stdin, name)
		if err != nil {
			unreadable = append(unreadable, err)
		}
		nodes = append(nodes, some...)
	}
	if len(nodes) == 0 {
		return runner.Record{}, errors.Join(unreadable...)
	}
	if f.release != "" {
		release, err := platform.ParseRelease(f.release)
		if err != nil {
			return runner.Record{}, err
		}
		for _, n := range nodes {
			n.Scope.Vantages[0].Release, n.Scope.Vantages[0].ReleaseFrom = release, "--release"
		}
	}
	record, err := runner.Merge(nodes)
	if err != nil {
		return record, err
	}
	for _, err := range unreadable {
		record.Notes = append(record.Notes, "not judged: "+err.Error())
		record.Partial = true
	}
	if record.Scope.Settings, err = f.settings(); err != nil {
		return record, err
	}
	record.Compare(f.suite)
	return record, nil
}

func readFile(stdin io.Reader, name string) ([]runner.Node, error) {
	if name == "-" {
		return runner.Read("standard input", stdin)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return runner.Read(name, file)
}

func newList(suite checks.Suite) *cobra.Command {
	f := newFlags(suite)
	cmd := &cobra.Command{
		Use:   "list [SUBJECT…]",
		Short: "List the checks, and which apply here",
		Long: `List the checks. A check that does not apply to this node, or not at present, is
followed by the reason.`,
		Example:           "  carbonio-check list\n  carbonio-check list dns network\n  carbonio-check list -i inventory --as mbox1.example.com",
		ValidArgsFunction: completeChecks(suite),
		RunE: func(cmd *cobra.Command, words []string) error {
			sel, err := runner.Select(suite, words)
			if err != nil {
				return err
			}
			here, err := f.applicability(cmd.Context(), sel)
			if err != nil {
				return err
			}
			for _, c := range suite.Checks() {
				if !sel.Has(c.ID) {
					continue
				}
				fmt.Fprintf(out(cmd), "%-26s %s\n", c.ID, c.Title)
				if why := here(c); why != "" {
					fmt.Fprintf(out(cmd), "%-26s   not here: %s\n", "", why)
				}
			}
			return nil
		},
	}
	f.forLooking(cmd)
	return cmd
}

// applicability is why a check does not apply to this node, now; empty where it
// does. Where no machine can be looked at, nothing is said.
func (f *flags) applicability(ctx context.Context, sel runner.Selection) (func(*checks.Check) string, error) {
	if !machine.Supported {
		return func(*checks.Check) string { return "" }, nil
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	scope, _, err := f.scope(ctx, sel)
	if err != nil {
		return nil, err
	}
	return func(c *checks.Check) string {
		if why := runner.NotApplicable(c, sel, scope, scope.Self()); why != "" {
			return why
		}
		if c.Wants != nil && !c.Wants.Given(scope) {
			return runner.NotConfigured(c.Wants)
		}
		return ""
	}, nil
}

func newExplain(suite checks.Suite) *cobra.Command {
	return &cobra.Command{
		Use:               "explain CHECK…",
		Short:             "Explain why a check matters, how to check by hand, and how to fix it",
		Example:           "  carbonio-check explain hosts.syntax",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeChecks(suite),
		RunE: func(cmd *cobra.Command, words []string) error {
			sel, err := runner.Select(suite, words)
			if err != nil {
				return err
			}
			first := true
			for _, c := range suite.Checks() {
				if !sel.Has(c.ID) {
					continue
				}
				if !first {
					fmt.Fprintln(out(cmd))
				}
				first = false
				explain(out(cmd), c)
			}
			return nil
		},
	}
}

// explain prints a catalogue entry.
func explain(w io.Writer, c *checks.Check) {
	fmt.Fprintf(w, "%s  %s\n", c.ID, c.Title)
	paragraph(w, "why", wrap(c.Why, 66))
	paragraph(w, "by hand", c.Manual)
	paragraph(w, "fix", c.Remedy)
	paragraph(w, "applies", applies(c))
	var needs, sources []string
	for _, n := range c.Needs {
		needs = append(needs, n.ID)
	}
	for _, s := range c.Sources {
		sources = append(sources, s.String(), "  "+s.Address)
	}
	paragraph(w, "needs", strings.Join(needs, ", "))
	paragraph(w, "source", strings.Join(sources, "\n"))
}

func paragraph(w io.Writer, name, text string) {
	for i, line := range strings.Split(strings.TrimSpace(text), "\n") {
		switch {
		case text == "":
		case i == 0:
			fmt.Fprintf(w, "  %-9s %s\n", name, line)
		default:
			fmt.Fprintf(w, "  %-9s %s\n", "", line)
		}
	}
}

// applies says in words when and where a check makes sense.
func applies(c *checks.Check) string {
	when := "always"
	if len(c.Phases) == 1 && c.Phases[0] == checks.Preinstall {
		when = "before the installation"
	} else if len(c.Phases) == 1 {
		when = "once Carbonio is installed"
	}
	if len(c.Components) == 0 {
		return when + ", on every node"
	}
	names := make([]string, len(c.Components))
	for i, component := range c.Components {
		names[i] = component.Title()
	}
	return when + ", on nodes with " + strings.Join(names, ", ")
}

// wrap breaks text at words.
func wrap(text string, width int) string {
	var b strings.Builder
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
		case column+1+len(word) > width:
			b.WriteString("\n")
			column = 0
		default:
			b.WriteString(" ")
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(out(cmd), "carbonio-check version", versionLine())
			return nil
		},
	}
}

func versionLine() string {
	return fmt.Sprintf("%s (%s, %s/%s), knows Carbonio up to %s",
		version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, platform.Newest)
}

// release is set by the Makefile.
var release = "0.2.0-dev"

// version is the release, and the commit it was built from where that is known.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return release + "+" + s.Value[:12]
		}
	}
	return release
}
