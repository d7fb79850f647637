package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"carbonio-check/checks"
	"carbonio-check/platform"
	"carbonio-check/runner"
)

// flags are those of every verb; each verb shows the ones it knows.
type flags struct {
	suite     checks.Suite
	inventory string
	as        string
	phase     string
	release   string
	config    string
	root      string
	outputs   []string
	timeout   time.Duration
	deadline  time.Duration
	parallel  int
	failOn    string
	verbose   bool
	// switches are the settings that are given on the command line.
	switches map[string]*bool
}

func newFlags(suite checks.Suite) *flags {
	return &flags{suite: suite, switches: map[string]*bool{}}
}

// forLooking adds the flags of a verb that looks at this machine.
func (f *flags) forLooking(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.inventory, "inventory", "i", "", "Ansible inventory `FILE` (INI, the Carbonio groups)")
	fs.StringVar(&f.as, "as", "", "`NAME` of this node in the inventory (default: hostname -f)")
	fs.StringVar(&f.phase, "phase", "", "`preinstall` or health (default: health when Carbonio is installed)")
	f.forScope(cmd)
	fs.DurationVar(&f.timeout, "timeout", runner.DefaultTimeout, "how long one look may take")
	fs.DurationVar(&f.deadline, "deadline", 0, "how long the whole run may take (default: no limit)")
	fs.IntVarP(&f.parallel, "parallel", "j", runner.DefaultParallel, "how many looks to run at once")
	for _, s := range f.suite.Settings() {
		if about := s.About(); about.Flag != "" {
			f.switches[s.Name()] = fs.Bool(about.Flag, false, about.Doc)
		}
	}
	fs.StringVar(&f.root, "root", "/", "read another root file system: a mounted image at `DIR`")
	_ = cmd.RegisterFlagCompletionFunc("phase", cobra.FixedCompletions([]string{string(checks.Preinstall), string(checks.Health)}, cobra.ShellCompDirectiveNoFileComp))
}

// forScope adds the flags that say what to judge against.
func (f *flags) forScope(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVar(&f.release, "release", "", "Carbonio `RELEASE` to judge against (default: what /opt/zextras/.version says, else "+platform.Newest.String()+")")
	fs.StringVarP(&f.config, "config", "c", "", "YAML `FILE` with thresholds, buckets and logins")
}

// forReport adds the flags of a verb that writes a report.
func (f *flags) forReport(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringArrayVarP(&f.outputs, "output", "o", []string{"tty"}, "`FORMAT[=FILE]`, repeatable: tty, json, junit")
	fs.StringVar(&f.failOn, "fail-on", "fail", "`LEVEL` that counts against the exit status: fail or warn")
	fs.BoolVar(&f.verbose, "verbose", false, "show everything on the screen, without summaries")
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formatNames(formats), cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("fail-on", cobra.FixedCompletions([]string{"fail", "warn"}, cobra.ShellCompDirectiveNoFileComp))
}

// check refuses values that no run could mean.
func (f *flags) check() error {
	switch {
	case f.failOn != "" && f.failOn != "fail" && f.failOn != "warn":
		return fmt.Errorf("--fail-on %q: want fail or warn", f.failOn)
	case f.phase != "" && f.phase != string(checks.Preinstall) && f.phase != string(checks.Health):
		return fmt.Errorf("--phase %q: want %s or %s", f.phase, checks.Preinstall, checks.Health)
	case f.as != "" && !platform.ValidFQDN(f.as+".example"): // a short name will do
		return fmt.Errorf("--as %q: want the name of a node", f.as)
	case f.timeout < 0 || f.deadline < 0:
		return errors.New("--timeout and --deadline cannot be negative")
	case f.parallel < 0:
		return fmt.Errorf("--parallel %d: want at least 1", f.parallel)
	}
	return nil
}

// settings are what the configuration and the command line set.
func (f *flags) settings() (checks.Settings, error) {
	settings, err := readConfig(f.suite, f.config)
	if err != nil {
		return nil, err
	}
	for name, on := range f.switches {
		if *on {
			settings[name] = true
		}
	}
	return settings, nil
}

func visit(cmd *cobra.Command, name func(string)) {
	each := func(f *pflag.Flag) { name(f.Name) }
	cmd.Flags().VisitAll(each)
	cmd.InheritedFlags().VisitAll(each)
}

// withNearest adds to an error about an unknown --flag what was likely meant.
func withNearest(err error, known []string, help string) error {
	_, word, found := strings.Cut(err.Error(), "unknown flag: ")
	if !found {
		return fmt.Errorf("%w (see %s)", err, help)
	}
	if n := platform.Nearest(word, known); n != "" {
		return fmt.Errorf("unknown flag %s: did you mean %s?", word, n)
	}
	return fmt.Errorf("unknown flag %s: see %s", word, help)
}
