// Package s3bench measures object storage: a workload goes in, a result comes
// out. It knows no checks. It writes through a store.Namespace only, and leaves
// nothing behind that it is able to delete.
package s3bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"carbonio-check/s3bench/store"
)

// Schema names the form of a result in JSON.
const Schema = "carbonio-check/s3bench/v1"

// The workloads.
const (
	Ladder    = "ladder"    // object sizes × threads, written and then read: the manual's acceptance (S3B)
	Mail      = "mail"      // reads, writes and deletes together, in the sizes of mail
	Multipart = "multipart" // objects written in parts
	List      = "list"      // listings of a thousand keys
)

// Workloads lists them.
var Workloads = []string{Ladder, Mail, Multipart, List}

// Config is what to measure, and what it may cost.
type Config struct {
	Workload string        `json:"workload"`
	Sizes    []int64       `json:"sizes"`    // of objects, in bytes
	Threads  []int         `json:"threads"`  // requests at once, step by step
	Duration time.Duration `json:"duration"` // of one step, at most
	Objects  int64         `json:"objects"`  // requests of one step, at most
	Bytes    int64         `json:"bytes"`    // written by the whole run, at most
	Seed     uint64        `json:"seed"`
	// AllowObjectLock writes also where it may not be able to delete.
	AllowObjectLock bool `json:"-"`
}

// The defaults. The threads are those of the manual's own command line, the
// sizes three of its ladder of 1 KiB to 4 MiB: a small one that shows the time
// per request, and two that show the throughput (S3B).
const (
	DefaultDuration = 10 * time.Second
	DefaultObjects  = 20_000
	DefaultBytes    = 4 << 30 // 3 s of PUT at 100 MB/s for every step, and room to spare
	maxThreads      = 1024
	maxSize         = 5 << 30 // S3's own limit for one PUT
)

// WithDefaults fills in what was left out.
func (c Config) WithDefaults() Config {
	c.Workload = cmp.Or(c.Workload, Ladder)
	if len(c.Sizes) == 0 {
		c.Sizes = defaultSizes(c.Workload)
	}
	if len(c.Threads) == 0 {
		c.Threads = []int{2, 4, 6}
	}
	c.Sizes, c.Threads = slices.Clone(c.Sizes), slices.Clone(c.Threads)
	slices.Sort(c.Sizes)
	slices.Sort(c.Threads)
	c.Sizes, c.Threads = slices.Compact(c.Sizes), slices.Compact(c.Threads)
	c.Duration = cmp.Or(c.Duration, DefaultDuration)
	c.Objects = cmp.Or(c.Objects, DefaultObjects)
	c.Bytes = cmp.Or(c.Bytes, DefaultBytes)
	return c
}

func defaultSizes(workload string) []int64 {
	switch workload {
	case Mail:
		return []int64{} // drawn
	case Multipart:
		return []int64{4 * partSize}
	case List:
		return []int64{1 << 10}
	}
	return []int64{64 << 10, 1 << 20, 4 << 20}
}

// Check refuses what cannot be measured.
func (c Config) Check() error {
	switch {
	case !slices.Contains(Workloads, c.Workload):
		return fmt.Errorf("workload %q: want one of %s", c.Workload, strings.Join(Workloads, ", "))
	case c.Duration <= 0:
		return errors.New("the duration of a step must be positive")
	case c.Objects <= 0:
		return errors.New("the number of objects must be positive")
	case c.Bytes <= 0:
		return errors.New("the number of bytes must be positive")
	case c.Workload == Mail && len(c.Sizes) > 0:
		return errors.New("the mail workload chooses its own sizes")
	}
	for _, n := range c.Threads {
		if n < 1 || n > maxThreads {
			return fmt.Errorf("%d threads: want 1 to %d", n, maxThreads)
		}
	}
	for _, size := range c.Sizes {
		if size < 1 || size > maxSize {
			return fmt.Errorf("objects of %d bytes: want 1 byte to 5 GiB", size)
		}
	}
	return nil
}

// An Update is what a run is at.
type Update struct {
	Step, Steps int
	What        string // "PUT 1 MiB"
	Threads     int
	Rate        float64
	Unit        string // of the rate: "MB/s", "requests/s"
	Written     int64
}

// ErrLocked refuses a bucket with object lock.
var ErrLocked = errors.New("the bucket has object lock: what is written might never be deleted")

// Run measures. An error means that nothing could be measured; what went wrong
// later, or ended the run early, the result says. Whatever happens, what was
// written is deleted again.
func Run(ctx context.Context, s *store.Store, c Config, progress func(Update)) (Result, error) {
	c = c.WithDefaults()
	if err := c.Check(); err != nil {
		return Result{}, err
	}
	started := time.Now()
	id := store.NewRunID()
	r := &run{
		ctx: ctx, store: s, space: s.Namespace(id), config: c, budget: newBudget(c.Bytes), progress: progress,
		data: store.NewData(c.Seed),
		result: Result{
			Schema: Schema, ID: id, Started: started.UTC(), Endpoint: s.Endpoint(), Bucket: s.Bucket(),
			Config: c, Verdict: Undetermined, Steps: []Step{}, Verdicts: []Verdict{}, Left: []string{},
		},
	}
	if err := r.prepare(); err != nil {
		if left, _ := r.space.Clean(ctx); len(left) > 0 {
			err = fmt.Errorf("%w; left behind: %s", err, strings.Join(left, ", "))
		}
		return r.result, err
	}
	r.measure() //nolint:contextcheck // what is under way when the run is interrupted may end
	r.clean()
	r.result.Payload = s.Payload()
	r.result.Written = r.budget.spent()
	r.result.Took = Seconds(time.Since(started))
	r.result.Interrupted = ctx.Err() != nil
	return r.result, nil
}

// prepare finds out, with one byte, whether the bucket can be written to and
// cleaned again: what one byte cannot hurt, gigabytes would.
func (r *run) prepare() error {
	if err := r.patiently(func() error { return r.store.Exists(r.ctx) }); err != nil {
		return err
	}
	var locked bool
	err := r.patiently(func() (err error) { locked, err = r.store.Lock(r.ctx); return err })
	switch {
	case locked && !r.config.AllowObjectLock:
		return ErrLocked
	case err != nil:
		// Most policies do not allow the mailbox's user to read this; the probe shows it.
		r.note("whether the bucket has object lock could not be read: %v", err)
	}
	if versioning, err := r.store.Versioning(r.ctx); err == nil && versioning != "" {
		r.note("the bucket's versioning is %s: every version was removed", strings.ToLower(versioning))
	}
	if !r.budget.take(1) {
		return errors.New("the limit on bytes leaves nothing to write")
	}
	err = r.patiently(func() error {
		_, err := r.space.Put(r.ctx, "probe", strings.NewReader("x"), 1)
		return err
	})
	if err != nil {
		return err
	}
	if _, err = r.space.Clean(r.ctx); err != nil && !locked {
		return fmt.Errorf("what is written cannot be deleted again: %w", err)
	}
	return nil
}

// patiently asks a busy server a few times: not being throttled is no condition
// for being measured.
func (r *run) patiently(ask func() error) error {
	var err error
	for try := range 6 {
		var e *store.Error
		if err = ask(); err == nil || !errors.As(err, &e) || !e.Throttled() {
			break
		}
		if !pause(r.ctx, time.Duration(try+1)*100*time.Millisecond) {
			break
		}
	}
	return err
}

// clean deletes what is left, and names what cannot be deleted.
func (r *run) clean() {
	left, err := r.space.Clean(r.ctx)
	r.result.Left = append(r.result.Left, left...)
	if err != nil {
		r.note("cleaning up: %v", err)
	}
}

func (r *run) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(r.result.Notes, text) {
		r.result.Notes = append(r.result.Notes, text)
	}
}

// pause waits, and says whether the time passed undisturbed.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
