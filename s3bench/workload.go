package s3bench

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carbonio-check/s3bench/store"
)

const (
	// readBuffer is what one read takes: larger ones cost no less CPU per byte,
	// and 64 threads of them stay at 16 MiB.
	readBuffer = 256 << 10
	// readSet is how many bytes of what was written are kept for reading: more
	// than a server's own request cache, less than anybody misses.
	readSet = 512 << 20
	// partSize is that of a multipart upload; S3 wants at least 5 MiB.
	partSize = 8 << 20
	// listed is the most that one listing gives.
	listed = 1000
)

// The mail workload (ours: the manual has no numbers). A message is delivered
// once and read a few times before it is forgotten: by the client that shows it,
// by one that synchronises, by the index. Deleting happens later, and seldom.
const (
	mailReads  = 60 // per cent
	mailWrites = 30
	// the rest deletes
	// Sizes are log-normal: half of all mail is below 24 KiB, one in twenty above
	// 300 KiB, the mean is near 85 KiB.
	mailMedian = 24 << 10
	mailSigma  = 1.6
	mailLeast  = 1 << 10
	mailMost   = 10 << 20 // zimbraMtaMaxMessageSize
	// mailStock is how many messages a worker writes before it is measured.
	mailStock = 16
)

// measure makes the steps of the workload.
func (r *run) measure() {
	r.steps = len(r.config.Threads) * max(1, len(r.config.Sizes))
	switch r.config.Workload {
	case Mail:
		r.eachThreads(r.mail)
	case Multipart:
		r.eachSize(func(size int64) { r.eachThreads(func(threads int) { r.multipart(size, threads) }) })
	case List:
		r.eachSize(r.list)
	default:
		r.steps *= 2
		r.eachSize(r.ladder)
	}
}

// eachSize goes through the sizes, and cleans behind each of them.
func (r *run) eachSize(do func(size int64)) {
	for _, size := range r.config.Sizes {
		if r.stopped() {
			return
		}
		do(size)
		r.tidy()
	}
}

func (r *run) eachThreads(do func(threads int)) {
	for _, threads := range r.config.Threads {
		if r.stopped() {
			return
		}
		do(threads)
	}
}

// stopped says whether the run is to end before its time.
func (r *run) stopped() bool { return r.ctx.Err() != nil || r.result.Stopped != "" }

// tidy deletes what is not needed any more; where that fails, clean at the end
// tries again, and reports it.
func (r *run) tidy() {
	if !r.stopped() {
		_, _ = r.space.Clean(r.ctx)
	}
}

// take makes a step and keeps its results.
func (r *run) take(l load) {
	r.step++
	l.duration, l.objects = r.config.Duration, r.config.Objects
	r.result.Steps = append(r.result.Steps, r.perform(l)...)
}

// ladder writes objects of one size with more and more threads, then reads them.
func (r *run) ladder(size int64) {
	written := &shelf{most: readSet / size}
	// What is left of the budget is for this and all later steps that write.
	writers := int64(len(r.config.Threads)) * int64(len(r.config.Sizes)-slices.Index(r.config.Sizes, size))
	r.eachThreads(func(threads int) {
		r.put(size, threads, written, r.budget.part(writers))
		writers--
	})
	if len(written.objects) == 0 {
		r.step += len(r.config.Threads)
		r.note("no object of %s could be written, so none was read", Size(size))
		return
	}
	r.eachThreads(func(threads int) { r.get(size, threads, written) })
}

func (r *run) put(size int64, threads int, written *shelf, share *budget) {
	s := Step{Op: PUT, Size: size, Threads: threads, Unit: megabytes}
	r.take(load{step: s, ops: []Step{s}, share: share, do: func(ctx context.Context, w *worker) sample {
		if !share.take(size) {
			return sample{spent: true}
		}
		one, got := r.write(ctx, w, size)
		if got.err == nil {
			written.add(one)
		}
		return got
	}})
}

// write writes one object of random content.
func (r *run) write(ctx context.Context, w *worker, size int64) (stored, sample) {
	serial := r.serial.Add(1)
	name := fmt.Sprintf("%d/%d", size, serial)
	began := time.Now()
	info, err := r.space.Put(ctx, name, w.data.Reset(serial, size), size)
	return stored{name, size}, sample{bytes: size, first: info.Answered.Sub(began), last: time.Since(began), err: err}
}

func (r *run) get(size int64, threads int, from *shelf) {
	s := Step{Op: GET, Size: size, Threads: threads, Unit: megabytes}
	r.take(load{step: s, ops: []Step{s}, do: func(ctx context.Context, w *worker) sample {
		return r.read(ctx, w, from.objects[w.random.IntN(len(from.objects))])
	}})
}

// read reads one object to its end. The first byte is the content's, not the
// header's: what comes before it is of no use to a mailbox.
func (r *run) read(ctx context.Context, w *worker, o stored) sample {
	began := time.Now()
	body, _, err := r.store.Get(ctx, r.space.Key(o.name), 0, -1)
	if err != nil {
		return sample{err: err}
	}
	defer body.Close()
	s := sample{}
	for {
		n, err := body.Read(w.buffer)
		if n > 0 && s.first == 0 {
			s.first = time.Since(began)
		}
		s.bytes += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return sample{err: err}
		}
	}
	s.last = time.Since(began)
	if s.bytes != o.size {
		s.err = fmt.Errorf("get: received %d bytes of an object of %d", s.bytes, o.size)
	}
	return s
}

// mail mixes reads, writes and deletes. Every worker keeps to its own messages:
// none reads what another has just deleted.
func (r *run) mail(threads int) {
	share := r.budget.part(int64(len(r.config.Threads) - slices.Index(r.config.Threads, threads)))
	const (
		get = iota
		put
		del
	)
	r.take(load{
		step: Step{Op: "MIXED", Threads: threads, Unit: megabytes}, share: share,
		ops: []Step{get: {Op: GET, Unit: megabytes}, put: {Op: PUT, Unit: megabytes}, del: {Op: DELETE, Unit: requests}},
		do: func(ctx context.Context, w *worker) sample {
			dice := w.random.IntN(100)
			switch {
			case len(w.mine) < mailStock || dice >= mailReads && dice < mailReads+mailWrites:
				size := mailSize(w.random.NormFloat64())
				if !share.take(size) {
					return sample{spent: true}
				}
				one, s := r.write(ctx, w, size)
				if s.op = put; s.err == nil {
					w.mine = append(w.mine, one)
				}
				return s
			case dice < mailReads:
				return r.read(ctx, w, w.mine[w.random.IntN(len(w.mine))])
			}
			i := w.random.IntN(len(w.mine))
			began := time.Now()
			err := r.space.Delete(ctx, w.mine[i].name)
			if err == nil {
				w.mine = slices.Delete(w.mine, i, i+1)
			}
			return sample{op: del, last: time.Since(began), err: err}
		},
	})
	r.tidy()
}

// mailSize is the size of a message, from a normal deviate.
func mailSize(deviate float64) int64 {
	return int64(min(max(mailMedian*math.Exp(mailSigma*deviate), mailLeast), mailMost))
}

// multipart writes objects in parts, one part after the other in each thread.
func (r *run) multipart(size int64, threads int) {
	left := len(r.config.Threads)*(len(r.config.Sizes)-slices.Index(r.config.Sizes, size)) - slices.Index(r.config.Threads, threads)
	share := r.budget.part(int64(left))
	s := Step{Op: MULTIPART, Size: size, Threads: threads, Unit: megabytes}
	r.take(load{step: s, ops: []Step{s}, share: share, do: func(ctx context.Context, w *worker) sample {
		if !share.take(size) {
			return sample{spent: true}
		}
		serial := r.serial.Add(1)
		began := time.Now()
		err := r.upload(ctx, w, fmt.Sprintf("parts/%d", serial), serial, size)
		return sample{bytes: size, last: time.Since(began), err: err}
	}})
	r.tidy()
}

func (r *run) upload(ctx context.Context, w *worker, name string, serial uint64, size int64) error {
	u, err := r.space.CreateMultipart(ctx, name)
	if err != nil {
		return err
	}
	var parts []store.Part
	for offset := int64(0); offset < size; offset += partSize {
		n := min(partSize, size-offset)
		number := len(parts) + 1
		p, err := r.space.UploadPart(ctx, u, number, w.data.Reset(serial<<16|uint64(number), n), n)
		if err != nil {
			_ = r.space.Abort(ctx, u) // or Clean will
			return err
		}
		parts = append(parts, p)
	}
	_, err = r.space.Complete(ctx, u, parts)
	return err
}

// list writes a thousand small objects, then lists them.
func (r *run) list(size int64) {
	written := &shelf{most: listed}
	share := r.budget.part(int64(len(r.config.Sizes) - slices.Index(r.config.Sizes, size)))
	fill := Step{Op: PUT, Size: size, Threads: slices.Max(r.config.Threads), Unit: requests}
	l := load{step: fill, ops: []Step{fill}, share: share, duration: math.MaxInt64, objects: min(listed, r.config.Objects)}
	l.do = func(ctx context.Context, w *worker) sample {
		if !share.take(size) {
			return sample{spent: true}
		}
		one, s := r.write(ctx, w, size)
		if s.err == nil {
			written.add(one)
		}
		return s
	}
	for _, s := range r.perform(l) {
		if s.Errors+s.Throttled > 0 {
			r.note("filling the bucket for listings: %d errors, %d throttled %v", s.Errors, s.Throttled, s.Samples)
		}
	}
	if r.stopped() || len(written.objects) == 0 {
		return
	}
	r.eachThreads(func(threads int) {
		s := Step{Op: LIST, Size: size, Threads: threads, Unit: requests}
		r.take(load{step: s, ops: []Step{s}, do: func(ctx context.Context, _ *worker) sample {
			began := time.Now()
			found, err := r.store.List(ctx, r.space.Prefix(), listed)
			if err == nil && len(found) < len(written.objects) {
				err = fmt.Errorf("list: %d keys of %d", len(found), len(written.objects))
			}
			return sample{last: time.Since(began), err: err}
		}})
	})
}

// A shelf keeps objects for reading.
type shelf struct {
	most    int64
	mu      sync.Mutex
	objects []stored
}

func (s *shelf) add(o stored) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(len(s.objects)) < max(s.most, 1) {
		s.objects = append(s.objects, o)
	}
}

// A budget is how many bytes may be written. A part of it is taken from the
// whole too.
type budget struct {
	limit int64
	used  atomic.Int64
	whole *budget
}

func newBudget(limit int64) *budget { return &budget{limit: limit} }

// part is an equal share for each of n writers of what is left.
func (b *budget) part(n int64) *budget {
	return &budget{limit: b.left() / max(n, 1), whole: b}
}

// take spends n bytes, or nothing where fewer are left.
func (b *budget) take(n int64) bool {
	if b.used.Add(n) > b.limit || b.whole != nil && !b.whole.take(n) {
		b.used.Add(-n)
		return false
	}
	return true
}

func (b *budget) left() int64  { return b.limit - b.used.Load() }
func (b *budget) spent() int64 { return b.used.Load() }
