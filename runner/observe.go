package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"carbonio-check/checks"
)

// The defaults. Looking is waiting: how much of it happens at once has nothing
// to do with the number of CPUs.
const (
	DefaultParallel = 256
	DefaultPerHost  = 16
	DefaultTimeout  = 5 * time.Second
	// grace is what a look whose deadline is over may still take to hand in
	// what it saw; after that it is left behind.
	grace = 50 * time.Millisecond
)

// Options bound the looking. The zero value means the defaults.
type Options struct {
	Parallel int           // looks in flight
	PerHost  int           // of these, at one address
	Timeout  time.Duration // of one look
	Progress Progress      // told of every look; may be nil
}

// Progress is told what is going on, from many goroutines.
type Progress interface {
	Began(what string)
	Ended(what string)
}

type silent struct{}

func (silent) Began(string) {}
func (silent) Ended(string) {}

func (o Options) withDefaults() Options {
	if o.Parallel <= 0 {
		o.Parallel = DefaultParallel
	}
	if o.PerHost <= 0 {
		o.PerHost = DefaultPerHost
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Progress == nil {
		o.Progress = silent{}
	}
	return o
}

// Observe looks at everything in the plan and returns one observation for each
// look, in the order of the plan, whatever finished first. When ctx ends, what
// was not seen by then says so: the report of what was seen can still be written.
func Observe(ctx context.Context, plan Plan, host checks.Host, vantage string, opts Options) []checks.Observation {
	opts = opts.withDefaults()
	seen := make([]checks.Observation, len(plan.looks))
	inFlight := make(chan struct{}, opts.Parallel)
	doors := map[string]*door{}
	var wg sync.WaitGroup
	queue := newQueue(plan)
	for i, l := range plan.looks {
		d := doors[l.address()]
		if d == nil {
			d = &door{slots: make(chan struct{}, opts.PerHost)}
			doors[l.address()] = d
		}
		wg.Go(func() {
			defer queue.enter(l)()
			o := checks.Observation{Subject: l.module.Name(), Target: l.target, Vantage: vantage}
			if l.address() != "" {
				d.slots <- struct{}{}
				defer func() { <-d.slots }()
			}
			inFlight <- struct{}{}
			defer func() { <-inFlight }()
			o.At = time.Now()
			switch {
			case ctx.Err() != nil:
				o.Error = "not looked at: " + whyEnded(ctx)
			case l.address() != "" && d.dead():
				o.Error = "not looked at: nothing at this address answered the looks before it"
			default:
				o = l.observe(ctx, host, o, opts)
				d.note(o.Took < l.deadline(opts))
			}
			seen[i] = o
		})
	}
	wg.Wait()
	return append(append([]checks.Observation(nil), plan.failed...), seen...)
}

// A queue lets the looks that want to be alone wait for all others, and then
// for each other.
type queue struct {
	others sync.WaitGroup
	alone  chan struct{}
}

func newQueue(plan Plan) *queue {
	q := &queue{alone: make(chan struct{}, 1)}
	for _, l := range plan.looks {
		if !l.target.Alone {
			q.others.Add(1)
		}
	}
	return q
}

// enter waits for the look's turn, and returns how to leave.
func (q *queue) enter(l look) (leave func()) {
	if !l.target.Alone {
		return q.others.Done
	}
	q.others.Wait()
	q.alone <- struct{}{}
	return func() { <-q.alone }
}

// address is what the bound per host counts; empty for this machine.
func (l look) address() string {
	if h, _, err := net.SplitHostPort(l.target.Address); err == nil {
		return h
	}
	if l.target.Address != "" && l.target.Address[0] != '/' {
		return l.target.Address
	}
	return l.target.Node
}

func (l look) deadline(opts Options) time.Duration {
	if l.target.Timeout > 0 {
		return l.target.Timeout
	}
	return opts.Timeout
}

// observe makes one look, and takes whatever comes of it.
func (l look) observe(ctx context.Context, host checks.Host, o checks.Observation, opts Options) checks.Observation {
	what := l.module.Name() + " " + l.target.Name
	opts.Progress.Began(what)
	defer opts.Progress.Ended(what)
	deadline := l.deadline(opts)
	parent := ctx
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()

	data, err := guard(ctx, max(grace, l.target.Grace), func() (json.RawMessage, error) {
		v, err := l.module.Observe(ctx, host, l.target)
		if v == nil {
			return nil, err
		}
		raw, jsonErr := json.Marshal(v)
		return raw, errors.Join(err, jsonErr)
	})
	o.Took = time.Since(o.At)
	o.Data = data
	switch {
	case err != nil && parent.Err() != nil:
		o.Error = whyEnded(parent)
	case err != nil:
		o.Error = reason(err, deadline)
	}
	return o
}

// guard calls f in a goroutine of its own: a panic becomes an error, and f is
// left behind when it ignores its context and the grace after it.
func guard[T any](ctx context.Context, grace time.Duration, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r.err = fmt.Errorf("a defect of carbonio-check, please report it: panic: %v", p)
			}
			done <- r
		}()
		r.value, r.err = f()
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
	}
	select {
	case r := <-done:
		return r.value, r.err
	case <-time.After(grace):
		var none T
		return none, ctx.Err()
	}
}

// reason words an error; a deadline of ours names its length.
func reason(err error, deadline time.Duration) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("no answer within %v", deadline)
	}
	return err.Error()
}

// whyEnded words the end of a whole run.
func whyEnded(ctx context.Context) string {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return "the deadline of the run was over"
	}
	return "the run was interrupted"
}

// A door bounds the looks at one address. When the first look that was let in
// ran out of time, and nothing that was let in with it was answered either, the
// host is taken for dead: the rest would only make the run a time-out longer.
type door struct {
	slots    chan struct{}
	mu       sync.Mutex
	answered bool
	silent   bool
}

func (d *door) note(answered bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.answered = d.answered || answered
	d.silent = d.silent || !answered
}

func (d *door) dead() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.silent && !d.answered
}
