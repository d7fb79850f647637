package s3bench

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carbonio-check/s3bench/store"
)

const (
	// warmUp is thrown away: connections are made, caches filled, windows opened.
	warmUp = time.Second
	// tick is how often a step looks whether it is done.
	tick = 50 * time.Millisecond
	// A request may take requestTime, and what is under way when its step ends may
	// finish within it. Who presses Ctrl-C waits no longer than patience.
	requestTime = 2 * time.Minute
	patience    = 3 * time.Second
	// failFast ends a step in which nothing succeeds.
	failFast = 3 * time.Second
	// After an error a worker pauses, longer each time: a server in trouble is not
	// helped by being asked faster.
	firstPause = 20 * time.Millisecond
	lastPause  = time.Second
	// maxSamples is how many different errors a step quotes.
	maxSamples = 3
)

// A run is one benchmark under way.
type run struct {
	ctx      context.Context
	store    *store.Store
	space    *store.Namespace
	config   Config
	budget   *budget
	progress func(Update)
	result   Result
	steps    int // in all
	step     int // the present one, from 1
	serial   atomic.Uint64
	data     *store.Data
}

// A load is one step to be done: how many workers do what, within which bounds.
type load struct {
	step     Step // op, size, threads and unit of what is shown while it runs
	ops      []Step
	do       func(context.Context, *worker) sample
	share    *budget // of bytes; nil where nothing is written
	duration time.Duration
	objects  int64
}

// A sample is one request that was made.
type sample struct {
	op          int // index into load.ops
	bytes       int64
	first, last time.Duration // first is 0 where there is no first byte
	err         error
	spent       bool // there was no budget left to do anything
}

// A worker makes requests one after the other.
type worker struct {
	random *rand.Rand
	data   *store.Data
	buffer []byte
	mine   []stored // what it wrote and has not deleted
}

// A stored object can be read.
type stored struct {
	name string
	size int64
}

func (r *run) newWorker(i int) *worker {
	return &worker{
		random: rand.New(rand.NewPCG(r.config.Seed, uint64(i))),
		data:   r.data.Another(),
		buffer: make([]byte, readBuffer),
	}
}

// measuring is a step under way. Its fields are shared by the workers.
type measuring struct {
	load    load
	started time.Time
	stop    atomic.Bool
	full    atomic.Bool
	asked   atomic.Int64   // requests begun
	busy    []atomic.Int64 // by worker: since when it waits for an answer, plus one; 0: it does not

	mu         sync.Mutex
	measured   time.Duration // since started: the end of the warm-up; 0 within it
	ended      time.Duration // when the first worker had nothing more to do; 0: not yet
	once       []bool        // workers that have made a request
	ops        []recorder
	good, errs int64
	answered   bool // the server said something, if only no
}

// A recorder collects what one operation of a step did.
type recorder struct {
	grains            []grain
	ttfb, ttlb        times
	throttled, errors int64
	samples           []string
}

// A grain is what was done in a grainTime. A request that spans several counts
// in each for the part of it that is there.
type grain struct{ bytes, requests float64 }

const grainTime = 10 * time.Millisecond

// perform makes one step.
func (r *run) perform(l load) []Step {
	m := &measuring{load: l, started: time.Now(), busy: make([]atomic.Int64, l.step.Threads), once: make([]bool, l.step.Threads)}
	for range l.ops {
		m.ops = append(m.ops, recorder{ttfb: newTimes(), ttlb: newTimes()})
	}
	// What is under way may finish, for a while, when the run is interrupted.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.ctx))
	defer cancel()
	defer context.AfterFunc(r.ctx, func() {
		if pause(ctx, patience) {
			cancel()
		}
	})()
	var wg sync.WaitGroup
	for i := range l.step.Threads {
		wg.Go(func() { m.work(ctx, i, r.newWorker(i)) })
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	ended := r.watch(m, done)
	m.end()
	<-done
	switch {
	case ended == NoRoom:
		r.result.Stopped = "the bucket is full"
	case ended == Interruption || m.good > 0 || m.errs == 0:
	default:
		ended = Failing
		if !m.answered {
			r.result.Stopped = "the server no longer responds"
		}
	}
	return m.steps(ended)
}

// work makes requests until the step is stopped.
func (m *measuring) work(ctx context.Context, i int, w *worker) {
	failures := 0
	for !m.stop.Load() && m.asked.Add(1) <= m.load.objects {
		began := time.Since(m.started)
		m.busy[i].Store(int64(began) + 1)
		one, cancel := context.WithTimeout(ctx, requestTime)
		s := m.load.do(one, w)
		cancel()
		if s.spent || s.err != nil && ctx.Err() != nil { // given up by us, not failed
			m.busy[i].Store(0)
			break
		}
		m.record(i, s, began)
		m.busy[i].Store(0)
		if s.err == nil {
			failures = 0
			continue
		}
		failures++
		pause(ctx, min(firstPause<<min(failures, 6), lastPause))
	}
	m.end()
}

// end stops the workers. What they still finish counts up to now.
func (m *measuring) end() {
	m.stop.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended == 0 {
		m.ended = time.Since(m.started)
	}
}

// record counts a request. The warm-up's are not counted, but its errors are.
func (m *measuring) record(i int, s sample, began time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.once[i] = true
	rec := &m.ops[s.op]
	if s.err != nil {
		m.errs++
		m.failed(rec, s.err)
		return
	}
	m.good++
	m.answered = true
	rec.spread(began, began+s.last, float64(s.bytes))
	if m.measured > 0 && began >= m.measured {
		rec.ttlb.add(s.last)
		if s.first > 0 {
			rec.ttfb.add(s.first)
		}
	}
	m.warm(time.Since(m.started))
}

func (m *measuring) failed(rec *recorder, err error) {
	e, _ := errors.AsType[*store.Error](err)
	if e != nil && e.Full() {
		m.full.Store(true)
	}
	m.answered = m.answered || e != nil && e.Status != 0
	if e != nil && e.Throttled() {
		rec.throttled++
		return
	}
	rec.errors++
	if text := err.Error(); len(rec.samples) < maxSamples && !slices.Contains(rec.samples, text) {
		rec.samples = append(rec.samples, text)
	}
}

// spread lays a request over the grains it took.
func (r *recorder) spread(from, to time.Duration, bytes float64) {
	to = max(to, from+1)
	last := int(to / grainTime)
	for len(r.grains) <= last {
		r.grains = append(r.grains, grain{})
	}
	for i := int(from / grainTime); i <= last; i++ {
		begin, end := time.Duration(i)*grainTime, time.Duration(i+1)*grainTime
		share := float64(min(end, to)-max(begin, from)) / float64(to-from)
		r.grains[i].bytes += bytes * share
		r.grains[i].requests += share
	}
}

// between adds up the grains that lie wholly between two times.
func (r *recorder) between(from, to time.Duration) (sum grain, took time.Duration) {
	first, end := int((from+grainTime-1)/grainTime), int(to/grainTime)
	for i := first; i < min(end, len(r.grains)); i++ {
		sum.bytes += r.grains[i].bytes
		sum.requests += r.grains[i].requests
	}
	return sum, max(0, time.Duration(end-first)*grainTime)
}

// in gives what was done in the unit of a rate.
func (g grain) in(unit string) float64 {
	if unit == megabytes {
		return g.bytes / 1e6
	}
	return g.requests
}

const (
	megabytes = "MB/s"
	requests  = "requests/s"
)

// watch waits until a step is done, and says why it is.
func (r *run) watch(m *measuring, done <-chan struct{}) string {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return r.ranDry(m)
		case <-r.ctx.Done():
			return Interruption
		case <-ticker.C:
			rates, ended := m.look()
			r.show(m.load.step, rates)
			if ended != "" {
				return ended
			}
		}
	}
}

// ranDry says why all workers have ended by themselves.
func (r *run) ranDry(m *measuring) string {
	switch {
	case r.ctx.Err() != nil:
		return Interruption
	case m.full.Load():
		return NoRoom
	case m.asked.Load() > m.load.objects:
		return ObjectsUp
	}
	return BytesUp
}

// look gives the rates so far, and why the step should end, if it should.
func (m *measuring) look() ([]float64, string) {
	elapsed := time.Since(m.started)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.warm(elapsed)
	rates := m.rates(m.horizon(elapsed))
	switch {
	case m.full.Load():
		return rates, NoRoom
	case m.good == 0 && m.errs > int64(len(m.once)) && elapsed > failFast:
		return rates, Failing
	case m.measured == 0:
		return rates, ""
	case settled(rates):
		return rates, Settled
	case elapsed-m.measured >= m.load.duration:
		return rates, TimeUp
	}
	return rates, ""
}

// warm ends the warm-up: when its time is over and every worker has made a
// request, or when a quarter of what the step may do is done.
func (m *measuring) warm(elapsed time.Duration) {
	if m.measured > 0 {
		return
	}
	over := elapsed >= min(warmUp, m.load.duration/5) && !slices.Contains(m.once, false)
	if over || m.asked.Load() > m.load.objects/4 || m.load.share != nil && m.load.share.left() < m.load.share.limit*3/4 {
		m.measured = elapsed
	}
}

// horizon is up to when everything is known: a request that has not ended has
// not been counted.
func (m *measuring) horizon(elapsed time.Duration) time.Duration {
	if m.ended > 0 {
		elapsed = min(elapsed, m.ended)
	}
	for i := range m.busy {
		if began := time.Duration(m.busy[i].Load()); began > 0 {
			elapsed = min(elapsed, began-1)
		}
	}
	return elapsed
}

// rates are those of the windows from the warm-up to the horizon, all
// operations together.
func (m *measuring) rates(horizon time.Duration) []float64 {
	if m.measured == 0 {
		return nil
	}
	var rates []float64
	for from := m.measured; from+WindowTime <= horizon; from += WindowTime {
		rate := 0.0
		for i := range m.ops {
			sum, took := m.ops[i].between(from, from+WindowTime)
			rate += sum.in(m.load.step.Unit) / took.Seconds()
		}
		rates = append(rates, rate)
	}
	return rates
}

// show reports the current rate: the mean of the last second.
func (r *run) show(s Step, rates []float64) {
	if r.progress == nil {
		return
	}
	u := Update{Step: r.step, Steps: r.steps, What: s.name(), Threads: s.Threads, Unit: s.Unit, Written: r.budget.spent()}
	last := rates[max(0, len(rates)-int(time.Second/WindowTime)):]
	for _, f := range last {
		u.Rate += f / float64(len(last))
	}
	r.progress(u)
}

// steps are the results of the operations, once all workers have ended.
func (m *measuring) steps(ended string) []Step {
	var out []Step
	for i, s := range m.load.ops {
		rec := &m.ops[i]
		s.Threads, s.Ended = m.load.step.Threads, ended
		s.Throttled, s.Errors, s.Samples = rec.throttled, rec.errors, rec.samples
		if m.measured > 0 {
			rec.sum(&s, m.measured, m.ended)
		}
		out = append(out, s)
	}
	return out
}

// sum fills in what was measured between the end of the warm-up and the moment
// at which the first worker stopped: what came after was under a smaller load.
func (r *recorder) sum(s *Step, from, to time.Duration) {
	s.TTFB, s.TTLB = r.ttfb.latency(), r.ttlb.latency()
	s.Requests = r.ttlb.histogram.TotalCount()
	all, took := r.between(from, to)
	s.Bytes, s.Took = int64(all.bytes), Seconds(took)
	if took == 0 {
		return
	}
	s.Rate = rounded(all.in(s.Unit)/took.Seconds(), 100)
	var rates []float64
	for ; from+WindowTime <= to; from += WindowTime {
		sum, took := r.between(from, from+WindowTime)
		rates = append(rates, sum.in(s.Unit)/took.Seconds())
	}
	mid, low, high := median(rates)
	s.Median, s.Low, s.High = rounded(mid, 100), rounded(low, 100), rounded(high, 100)
}
