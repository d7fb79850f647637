package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"carbonio-check/checks"
	"carbonio-check/checks/s3"
	"carbonio-check/machine"
	"carbonio-check/platform"
	"carbonio-check/s3bench"
	"carbonio-check/s3bench/store"
	"carbonio-check/terminal"
)

// benchFormats are the renderings of a benchmark.
var benchFormats = []format[s3bench.Result]{
	{"tty", s3bench.TTY},
	{"json", func(w io.Writer, r s3bench.Result, _ terminal.Terminal) error { return s3bench.JSON(w, r) }},
	{"csv", func(w io.Writer, r s3bench.Result, _ terminal.Terminal) error { return s3bench.CSV(w, r) }},
	{"html", func(w io.Writer, r s3bench.Result, _ terminal.Terminal) error { return s3bench.HTML(w, r) }},
}

// bucketFlags say which bucket to use.
type bucketFlags struct {
	suite     checks.Suite
	config    string
	bucket    platform.Bucket
	accessKey string
	secretKey string
}

// benchFlags are those of s3bench.
type benchFlags struct {
	bucketFlags
	bench   s3bench.Config
	sizes   []string
	bytes   string
	outputs []string
}

const benchLong = `Measure a bucket of the object storage: the throughput, and the times to the
first and to the last byte, with an increasing number of threads. Reads are judged
by the manual's limits for primary storage: 100 MB/s, 50 ms, and both stable.

Every object is written below carbonio-check/<random run>/ and deleted again, even
after Ctrl-C; nothing else in the bucket is touched. No more than --bytes is
written. A bucket with object lock is refused.

The bucket is taken from the s3: list of the configuration, or from --endpoint and
--bucket. The keys are taken from where the configuration says, from
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or from files; never from the command
line.

Exit status: 0 within the limits, or nothing to judge; 1 not within the limits;
2 could not measure or clean up; 3 too little was measured to judge;
130 interrupted.`

const benchExample = `  carbonio-check s3bench -c config.yaml
  carbonio-check s3bench -c config.yaml --bucket carbonio-ha -o tty -o html=bench.html
  carbonio-check s3bench --endpoint https://s3.example.com --bucket test --workload mail
  carbonio-check s3bench clean -c config.yaml      what a killed run left behind
  carbonio-check diff before.json after.json`

func newS3bench(suite checks.Suite) *cobra.Command {
	f := &benchFlags{bucketFlags: bucketFlags{suite: suite}}
	cmd := &cobra.Command{
		Use: "s3bench", Short: "Measure the object storage", Long: benchLong, Example: benchExample,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	f.add(cmd)
	fs.StringVar(&f.bench.Workload, "workload", s3bench.Ladder, "`NAME`: "+strings.Join(s3bench.Workloads, ", "))
	fs.StringSliceVar(&f.sizes, "sizes", nil, "sizes of the objects (default: 64KiB,1MiB,4MiB)")
	fs.IntSliceVar(&f.bench.Threads, "threads", []int{2, 4, 6}, "how many requests at once, step by step")
	fs.DurationVar(&f.bench.Duration, "duration", s3bench.DefaultDuration, "how long one step may take; it ends when its rate has settled")
	fs.Int64Var(&f.bench.Objects, "objects", s3bench.DefaultObjects, "how many requests one step may make")
	fs.StringVar(&f.bytes, "bytes", "4GiB", "how much may be written in all")
	fs.Uint64Var(&f.bench.Seed, "seed", 0, "seed of the random content (default: a new one each time)")
	fs.BoolVar(&f.bench.AllowObjectLock, "allow-object-lock", false, "write into a bucket with object lock, where it may have to stay")
	fs.StringArrayVarP(&f.outputs, "output", "o", []string{"tty"}, "`FORMAT[=FILE]`, repeatable: tty, json, csv, html")
	_ = cmd.RegisterFlagCompletionFunc("workload", cobra.FixedCompletions(s3bench.Workloads, cobra.ShellCompDirectiveNoFileComp))
	_ = cmd.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formatNames(benchFormats), cobra.ShellCompDirectiveNoFileComp))
	cmd.AddCommand(newS3benchClean(suite))
	return cmd
}

// add adds the flags that name the bucket.
func (f *bucketFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.config, "config", "c", "", "YAML `FILE` with buckets and policy thresholds")
	fs.StringVar(&f.bucket.Bucket, "bucket", "", "`NAME` of the bucket; needed if the configuration has several")
	fs.StringVar(&f.bucket.Endpoint, "endpoint", "", "`URL` of the object storage, instead of the configuration's")
	fs.StringVar(&f.bucket.Region, "region", "", "region of the bucket (default: as the server reports it)")
	fs.BoolVar(&f.bucket.PathStyle, "path-style", false, "endpoint/bucket/key, not bucket.endpoint/key")
	fs.StringVar(&f.bucket.CAFile, "ca-file", "", "PEM `FILE` of a CA to trust, in addition to the system's")
	fs.StringVar(&f.accessKey, "access-key-file", "", "`FILE` with the access key (default: $AWS_ACCESS_KEY_ID)")
	fs.StringVar(&f.secretKey, "secret-key-file", "", "`FILE` with the secret key (default: $AWS_SECRET_ACCESS_KEY)")
}

// choose finds the bucket that is meant, and what the user set besides.
func (f *bucketFlags) choose() (platform.Bucket, checks.Scope, error) {
	settings, err := readConfig(f.suite, f.config)
	scope := checks.Scope{Settings: settings}
	if err != nil {
		return platform.Bucket{}, scope, err
	}
	if f.bucket.Endpoint != "" {
		b := f.bucket
		b.AccessKey = reference("AWS_ACCESS_KEY_ID", f.accessKey)
		b.SecretKey = reference("AWS_SECRET_ACCESS_KEY", f.secretKey)
		return b, scope, b.Check()
	}
	configured := s3.Buckets.In(scope)
	var found []platform.Bucket
	var names []string
	for _, b := range configured {
		names = append(names, b.Bucket)
		if f.bucket.Bucket == "" || b.Bucket == f.bucket.Bucket {
			found = append(found, b)
		}
	}
	switch {
	case len(configured) == 0:
		err = errors.New("no bucket: give a configuration with an s3: list (-c FILE), or --endpoint and --bucket")
	case len(found) == 0:
		err = fmt.Errorf("--bucket %s: %s has only %s", f.bucket.Bucket, f.config, strings.Join(names, ", "))
	case len(found) > 1:
		err = fmt.Errorf("%s has %d matching buckets: choose one with --bucket or --endpoint: %s", f.config, len(found), strings.Join(names, ", "))
	default:
		return found[0], scope, nil
	}
	return platform.Bucket{}, scope, err
}

func reference(variable, file string) platform.SecretRef {
	if file != "" {
		return platform.SecretRef{File: file}
	}
	return platform.SecretRef{Env: variable}
}

// open opens the bucket, with its secrets fetched from where they are.
func (f *bucketFlags) open(b platform.Bucket) (*store.Store, error) {
	host, err := machine.Local("/")
	if err != nil {
		return nil, err
	}
	c := store.Config{Endpoint: b.Endpoint, Bucket: b.Bucket, Region: b.Region, PathStyle: b.PathStyle, Dial: host.Network.Dial}
	if c.AccessKey, err = secret(host, "access key", b.AccessKey); err != nil {
		return nil, err
	}
	if c.SecretKey, err = secret(host, "secret key", b.SecretKey); err != nil {
		return nil, err
	}
	if b.CAFile != "" {
		if c.CAPEM, err = readRegular(b.CAFile, checks.MaxFile); err != nil {
			return nil, fmt.Errorf("CA file: %w", err)
		}
	}
	return store.Open(c)
}

func secret(host checks.Host, what string, ref platform.SecretRef) (string, error) {
	value, err := host.Secret(ref)
	if err != nil {
		return "", fmt.Errorf("%s: %w", what, err)
	}
	return value, nil
}

func (f *benchFlags) run(cmd *cobra.Command) error {
	outputs, err := openOutputs(benchFormats, f.outputs, out(cmd))
	if err != nil {
		return err
	}
	defer outputs.discard()
	if err := f.parse(cmd); err != nil {
		return err
	}
	bucket, scope, err := f.choose()
	if err != nil {
		return err
	}
	s, err := f.bucketFlags.open(bucket)
	if err != nil {
		return err
	}
	defer s.Close()
	fmt.Fprintf(cmd.ErrOrStderr(), "writing at most %s below %s in %s, and deleting it again\n", s3bench.Size(f.bench.Bytes), store.Root, bucket)
	result, err := f.measure(cmd, s)
	if err != nil {
		return err
	}
	result.JudgeBy(s3.Limits(scope))
	if err := outputs.write(result); err != nil {
		return err
	}
	return benchExit(result)
}

// parse reads the sizes, and refuses what cannot be measured.
func (f *benchFlags) parse(cmd *cobra.Command) error {
	var err error
	if f.bench.Bytes, err = parseSize(f.bytes); err != nil {
		return fmt.Errorf("--bytes: %w", err)
	}
	for _, text := range f.sizes {
		size, err := parseSize(text)
		if err != nil {
			return fmt.Errorf("--sizes: %w", err)
		}
		f.bench.Sizes = append(f.bench.Sizes, size)
	}
	if !cmd.Flags().Changed("seed") {
		f.bench.Seed = uint64(rand.Uint32()) // every reader of JSON keeps it exact
	}
	return f.bench.WithDefaults().Check()
}

// measure runs the benchmark, and shows its progress on a terminal.
func (f *benchFlags) measure(cmd *cobra.Command, s *store.Store) (s3bench.Result, error) {
	ctx := cmd.Context()
	live, done := newBenchProgress(cmd)
	stop := context.AfterFunc(ctx, func() {
		done()
		fmt.Fprintln(cmd.ErrOrStderr(), "interrupted: deleting what was written")
	})
	result, err := s3bench.Run(ctx, s, f.bench, live)
	stop()
	done()
	if err != nil && ctx.Err() != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "carbonio-check: %v\n", err)
		return result, exit(exitInterrupted)
	}
	result.Tool = version()
	if host, herr := machine.Local("/"); herr == nil {
		result.Node = ownName(context.WithoutCancel(ctx), host)
	}
	return result, err
}

// benchExit gives the verdict as exit code.
func benchExit(r s3bench.Result) error {
	switch {
	case r.Interrupted:
		return exit(exitInterrupted)
	case len(r.Left) > 0:
		return fmt.Errorf("%d objects could not be deleted: carbonio-check s3bench clean", len(r.Left))
	case r.Verdict == s3bench.Below:
		return exit(exitBelow)
	case r.Verdict == s3bench.Undetermined:
		return exit(exitUndetermined)
	}
	return nil
}

// The exit codes of a benchmark, as those of a report: it failed, or something
// could not be seen.
const (
	exitBelow        = 1
	exitUndetermined = 3
)

// newBenchProgress draws a live line on a terminal: the step, its present rate,
// and how much was written. The second function ends it, and may be called twice.
func newBenchProgress(cmd *cobra.Command) (func(s3bench.Update), func()) {
	f, live := terminal.Live(cmd.ErrOrStderr())
	if !live {
		return nil, func() {}
	}
	l := &liveLine{file: f, width: terminal.Width(f)}
	show := func(u s3bench.Update) {
		l.show(fmt.Sprintf("  step %d of %d  %s, %d threads  %.1f %s  %s written", u.Step, u.Steps, u.What, u.Threads, u.Rate, u.Unit, s3bench.Size(u.Written)))
	}
	return show, l.end
}

// A liveLine is a line of a terminal that is written over.
type liveLine struct {
	file  *os.File
	width int
	mu    sync.Mutex
	drawn time.Time
	ended bool
}

func (l *liveLine) show(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.ended || time.Since(l.drawn) < refresh {
		return
	}
	l.drawn = time.Now()
	_, _ = io.WriteString(l.file, "\r"+ansi.EraseLineRight+ansi.Truncate(text, l.width-1, "..."))
}

// end leaves the line empty.
func (l *liveLine) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended && !l.drawn.IsZero() {
		_, _ = io.WriteString(l.file, "\r"+ansi.EraseLineRight)
	}
	l.ended = true
}

// refresh is how often the line may change; more often nobody reads it.
const refresh = 200 * time.Millisecond

var sizeUnits = map[string]int64{
	"": 1, "B": 1, "K": 1 << 10, "KIB": 1 << 10, "M": 1 << 20, "MIB": 1 << 20, "G": 1 << 30, "GIB": 1 << 30, "T": 1 << 40, "TIB": 1 << 40,
	"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12,
}

// parseSize reads "64KiB", "4M" or "4000000".
func parseSize(text string) (int64, error) {
	trimmed := strings.TrimSpace(text)
	digits := strings.TrimRight(trimmed, "KMGTIBkmgtib ")
	unit, ok := sizeUnits[strings.ToUpper(strings.TrimSpace(trimmed[len(digits):]))]
	n, err := strconv.ParseFloat(digits, 64)
	if !ok || err != nil || n <= 0 || n*float64(unit) > 1<<50 {
		return 0, fmt.Errorf("%q is not a size such as 64KiB or 4GiB", text)
	}
	return int64(n * float64(unit)), nil
}

func newS3benchClean(suite checks.Suite) *cobra.Command {
	f := &bucketFlags{suite: suite}
	yes := false
	cmd := &cobra.Command{
		Use:   "clean",
		Short: "List and remove what a killed benchmark left in the bucket",
		Long: `List what earlier runs left below carbonio-check/<run>/ in the bucket, and remove
it with --yes, or after asking on a terminal. Only keys of exactly the form that
carbonio-check writes are listed and removed; nothing else is touched.

Exit status: 0 nothing is left, 1 something is left, 2 could not list or remove.`,
		Example: "  carbonio-check s3bench clean -c config.yaml\n  carbonio-check s3bench clean -c config.yaml --yes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bucket, _, err := f.choose()
			if err != nil {
				return err
			}
			s, err := f.open(bucket)
			if err != nil {
				return err
			}
			defer s.Close()
			return cleanBucket(cmd, s, yes)
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "remove without asking")
	return cmd
}

func cleanBucket(cmd *cobra.Command, s *store.Store, yes bool) error {
	found, err := store.Leftovers(cmd.Context(), s)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		fmt.Fprintln(out(cmd), "nothing is left from earlier runs")
		return nil
	}
	listLeftovers(out(cmd), found)
	if !yes && !confirmed(cmd, len(found)) {
		fmt.Fprintln(cmd.ErrOrStderr(), "nothing was removed")
		return exit(exitBelow)
	}
	left, err := store.Remove(cmd.Context(), s, found)
	fmt.Fprintf(out(cmd), "%d removed\n", len(found)-len(left))
	if len(left) == 0 {
		return nil
	}
	for _, l := range left {
		fmt.Fprintln(out(cmd), "left:", l.Key)
	}
	return fmt.Errorf("%d could not be removed: %w", len(left), err)
}

// listLeftovers says run by run what is there.
func listLeftovers(w io.Writer, found []store.Leftover) {
	var order []string
	runs := map[string][]store.Leftover{}
	for _, l := range found {
		if runs[l.Run] == nil {
			order = append(order, l.Run)
		}
		runs[l.Run] = append(runs[l.Run], l)
	}
	for _, run := range order {
		var size int64
		uploads := 0
		var newest time.Time
		for _, l := range runs[run] {
			size += l.Size
			if l.UploadID != "" {
				uploads++
			}
			if l.Modified.After(newest) {
				newest = l.Modified
			}
		}
		fmt.Fprintf(w, "%s%s/  %d objects, %d open uploads, %s, last written %s\n", store.Root, run,
			len(runs[run])-uploads, uploads, s3bench.Size(size), newest.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
}

// confirmed asks on a terminal; elsewhere nobody is there to say yes.
func confirmed(cmd *cobra.Command, n int) bool {
	in, ok := cmd.InOrStdin().(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return false
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "remove %d objects? A benchmark that is running would fail. [y/N] ", n)
	answer, _ := bufio.NewReader(in).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(ansi.Strip(answer)))
	return answer == "y" || answer == "yes"
}
