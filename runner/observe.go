package runner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
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
	// grace is how long a look may take after its deadline to return what it
	// saw; after that it is abandoned.
	grace = 50 * time.Millisecond
	// MaxObservation bounds the data of one look, in bytes: half a line of an
	// observations file.
	MaxObservation = maxLine / 2
)

// Options bound the looking. The zero value means the defaults.
type Options struct {
	Parallel int           // looks at once
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
// look, in the order of the plan, whatever finished first. What timed out while
// this machine was too busy to be on time is looked at again. When ctx ends, what
// was not seen by then says so: the report of what was seen can still be written.
func Observe(ctx context.Context, plan Plan, host checks.Host, vantage string, opts Options) []checks.Observation {
	o := observer{host: host, vantage: vantage, opts: opts.withDefaults(), late: watchLateness()}
	defer o.late.stop()
	seen := make([]checks.Observation, len(plan.looks))
	inFlight := make(chan struct{}, Affordable(o.opts.Parallel))
	hosts := map[string]*hostSlots{}
	var wg sync.WaitGroup
	queue := newQueue(plan)
	for i, l := range plan.looks {
		h := hosts[l.address()]
		if h == nil {
			h = &hostSlots{slots: make(chan struct{}, o.opts.PerHost)}
			hosts[l.address()] = h
		}
		wg.Go(func() {
			defer queue.enter(l)()
			if l.address() != "" {
				h.slots <- struct{}{}
				defer func() { <-h.slots }()
			}
			inFlight <- struct{}{}
			defer func() { <-inFlight }()
			seen[i] = o.look(ctx, l, h)
		})
	}
	wg.Wait()
	o.again(ctx, plan, seen)
	return append(append([]checks.Observation(nil), plan.failed...), seen...)
}

// An observer makes the looks of one run.
type observer struct {
	host    checks.Host
	vantage string
	opts    Options
	late    *lateness
}

// look makes one look, unless there is no more time, or nobody at its address
// responds.
func (ob observer) look(ctx context.Context, l look, h *hostSlots) checks.Observation {
	o := checks.Observation{Subject: l.subject, Kind: l.Kind, Target: l.Target, Vantage: ob.vantage, At: time.Now()}
	switch {
	case ctx.Err() != nil:
		o.Unseen = ended(ctx)
	case l.address() != "" && h.dead():
		o.Unseen = &checks.Unseen{Code: checks.HostSilent}
	default:
		o = l.observe(ctx, ob.host, o, ob.opts)
		h.note(o.Took < l.deadline(ob.opts))
	}
	return o
}

// secondLooks is how many looks are repeated at once.
const secondLooks = 8

// again looks once more, few at a time, at what came to nothing for want of our
// own time or descriptors; what does so again is not known.
func (ob observer) again(ctx context.Context, plan Plan, seen []checks.Observation) {
	slots := make(chan struct{}, secondLooks)
	var wg sync.WaitGroup
	for i, l := range plan.looks {
		if !ob.starved(l, seen[i]) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if l.Grace == 0 && ctx.Err() == nil { // a look that writes is not made twice
				o := seen[i]
				o.At, o.Took, o.Data, o.Unseen = time.Now(), 0, nil, nil
				seen[i] = l.observe(ctx, ob.host, o, ob.opts)
			}
			if ob.starved(l, seen[i]) {
				seen[i] = ob.doubted(seen[i])
			}
		})
	}
	wg.Wait()
}

// doubted is an observation that says nothing: we were late ourselves.
func (ob observer) doubted(o checks.Observation) checks.Observation {
	by := ob.late.worst(o.At, o.At.Add(o.Took))
	if by > 0 && (o.Unseen == nil || o.Unseen.Code == checks.TimedOut) {
		o.Data, o.Unseen = nil, &checks.Unseen{Code: checks.Starved, Words: fmt.Sprintf("its own timers were %v late", by.Round(time.Millisecond))}
	}
	return o
}

// starved says whether a look came to nothing for a reason that may be ours: it
// said so, or it waited for most of its time while our own timers were late.
func (ob observer) starved(l look, o checks.Observation) bool {
	if o.Unseen != nil && o.Unseen.Code == checks.Starved {
		return true
	}
	deadline := l.deadline(ob.opts)
	waited := o.Took >= deadline*2/5 // half of the time is what a look leaves for a second source
	return waited && ob.late.worst(o.At, o.At.Add(o.Took)) > deadline/10
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
		if !l.Alone {
			q.others.Add(1)
		}
	}
	return q
}

// enter waits for the look's turn, and returns how to leave.
func (q *queue) enter(l look) (leave func()) {
	if !l.Alone {
		return q.others.Done
	}
	q.others.Wait()
	q.alone <- struct{}{}
	return func() { <-q.alone }
}

func target(name string) checks.Target[json.RawMessage] {
	return checks.Target[json.RawMessage]{Name: name}
}

// address is what the bound per host counts; empty for this machine.
func (l look) address() string {
	if h, _, err := net.SplitHostPort(l.Target.Address); err == nil {
		return h
	}
	if l.Target.Address != "" && !strings.HasPrefix(l.Target.Address, "/") {
		return l.Target.Address
	}
	return l.Target.Node
}

func (l look) deadline(opts Options) time.Duration {
	if l.Timeout > 0 {
		return l.Timeout
	}
	return opts.Timeout
}

// observe makes one look, and takes whatever comes of it.
func (l look) observe(ctx context.Context, host checks.Host, o checks.Observation, opts Options) checks.Observation {
	what := l.subject + " " + l.Target.Name
	opts.Progress.Began(what)
	defer opts.Progress.Ended(what)
	deadline := l.deadline(opts)
	parent := ctx
	// The deadline of the look is its own: when it has passed, whoever was looked
	// at was slow. The end of the run is no fault of theirs: it cancels the look.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(parent), deadline)
	defer cancel()
	defer context.AfterFunc(parent, cancel)()

	data, err := guard(ctx, max(grace, l.Grace), func() (json.RawMessage, error) { return l.Observe(ctx, host) })
	o.Took = time.Since(o.At)
	o.Data = data
	switch {
	case err != nil && parent.Err() != nil:
		o.Unseen = ended(parent)
	case err != nil:
		why := unseen(err, deadline)
		o.Unseen = &why
	case len(data) > MaxObservation:
		o.Data, o.Unseen = nil, &checks.Unseen{Code: checks.TooLarge, Words: fmt.Sprintf("what was seen takes %d bytes, more than %d", len(data), MaxObservation)}
	}
	return o
}

// errPanic is the error of a look, a plan or a judge that panicked.
var errPanic = errors.New("panic")

// guard calls f in its own goroutine: a panic becomes an error, and f is
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
				r.err = fmt.Errorf("%w: %v", errPanic, p)
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

// unseen is the reason for an error; a deadline of ours names its
// length.
func unseen(err error, deadline time.Duration) checks.Unseen {
	if errors.Is(err, errPanic) {
		return checks.Unseen{Code: checks.Defective, Words: checks.Defect("%v", err)}
	}
	why := checks.Why(err)
	if why.Code == checks.TimedOut {
		why.Words = deadline.String()
	}
	return why
}

// ended is the end of a whole run.
func ended(ctx context.Context) *checks.Unseen {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &checks.Unseen{Code: checks.RunOver}
	}
	return &checks.Unseen{Code: checks.Interrupted}
}

// hostSlots bound the looks at one address. When the first look that was let in
// ran out of time, and nothing that was let in with it was answered either, the
// host is taken for dead: the rest would only make the run a time-out longer.
type hostSlots struct {
	slots    chan struct{}
	mu       sync.Mutex
	answered bool
	silent   bool
}

func (h *hostSlots) note(answered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answered = h.answered || answered
	h.silent = h.silent || !answered
}

func (h *hostSlots) dead() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.silent && !h.answered
}
