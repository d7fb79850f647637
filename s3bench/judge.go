package s3bench

import (
	"fmt"
	"slices"
	"time"
)

// The verdicts, on one criterion and on all of them.
const (
	OK           = "ok"
	Below        = "below policy"
	Undetermined = "undetermined" // not enough was measured
	Unjudged     = "not judged"   // the manual has no limits for the workload
)

// The criteria.
const (
	Throughput = "throughput"
	TTFB       = "ttfb"
	Stability  = "stability"
)

// Limits is what to judge a result against.
type Limits struct {
	Throughput float64       // MB/s at least
	TTFB       time.Duration // on average, less than this
	Stability  float64       // how many times worse it may get as threads grow
}

// A Verdict says how a result compares with one limit.
type Verdict struct {
	Name    string `json:"name"`
	Verdict string `json:"verdict"`
	Seen    string `json:"seen,omitempty"`
	Want    string `json:"want"`
	Message string `json:"message"` // one sentence, lower case, no full stop
}

// stableBelow is the time to the first byte, in milliseconds, up to which no
// growth counts against a storage: the manual's own good example goes from 6
// to 10 ms between 2 and 6 threads (S3B).
const stableBelow = 10

// Judge holds what was read, as the manual does, against limits. The throughput
// is that of the largest objects, for small ones measure requests; the time to
// the first byte is that of every step. A workload other than the ladder has no
// limits in the manual, and gets no verdict.
func Judge(r Result, l Limits) []Verdict {
	if r.Config.Workload != Ladder {
		return []Verdict{}
	}
	var reads []Step
	for _, s := range r.Steps {
		if s.Op == GET && s.TTLB != nil && s.Rate > 0 {
			reads = append(reads, s)
		}
	}
	verdicts := []Verdict{judgeThroughput(r, reads, l.Throughput), judgeTTFB(reads, l.TTFB), judgeStability(r, reads, l.Stability)}
	if len(reads) == 0 {
		for i := range verdicts {
			verdicts[i].Verdict, verdicts[i].Message = Undetermined, "no read was measured"
		}
	}
	return verdicts
}

func judgeThroughput(r Result, reads []Step, least float64) Verdict {
	v := Verdict{Name: Throughput, Want: fmt.Sprintf("at least %g MB/s", least)}
	if len(reads) == 0 {
		return v
	}
	size := slices.Max(r.Config.Sizes)
	best := fastest(reads, size)
	if best.Rate == 0 {
		v.Verdict, v.Message = Undetermined, fmt.Sprintf("no read of %s objects was measured", Size(size))
		return v
	}
	v.Seen = fmt.Sprintf("%.1f MB/s with %s", best.Rate, threads(best.Threads))
	v.Message = fmt.Sprintf("objects of %s are read at %.1f MB/s", Size(size), best.Rate)
	if put := fastest(r.Steps, size, PUT); put.Rate > 0 {
		v.Message += fmt.Sprintf(" and written at %.1f MB/s", put.Rate)
	}
	v.Verdict = verdict(best.Rate >= least)
	return v
}

// fastest is the step of an operation on objects of one size with the best rate.
func fastest(steps []Step, size int64, op ...string) Step {
	var best Step
	for _, s := range steps {
		if s.Size == size && s.Rate > best.Rate && (len(op) == 0 || slices.Contains(op, s.Op)) {
			best = s
		}
	}
	return best
}

func judgeTTFB(reads []Step, most time.Duration) Verdict {
	v := Verdict{Name: TTFB, Want: fmt.Sprintf("less than %g ms on average", ms(most))}
	var worst Step
	for _, s := range reads {
		if s.TTFB != nil && (worst.TTFB == nil || s.TTFB.Avg > worst.TTFB.Avg) {
			worst = s
		}
	}
	if worst.TTFB == nil {
		v.Verdict, v.Message = Undetermined, "no first byte was timed"
		return v
	}
	v.Seen = fmt.Sprintf("%.1f ms for %s with %s", worst.TTFB.Avg, Size(worst.Size), threads(worst.Threads))
	v.Message = fmt.Sprintf("at worst, the first byte arrives after %.1f ms on average", worst.TTFB.Avg)
	v.Verdict = verdict(worst.TTFB.Avg < ms(most))
	return v
}

// judgeStability looks at how much worse things get when more threads read
// objects of the same size. That they get better is no instability.
func judgeStability(r Result, reads []Step, most float64) Verdict {
	v := Verdict{Name: Stability, Want: fmt.Sprintf("no more than %g times worse with more threads", most)}
	worst, where, missing := 0.0, "", false
	for _, size := range r.Config.Sizes {
		ladder := slices.DeleteFunc(slices.Clone(reads), func(s Step) bool { return s.Size != size })
		missing = missing || len(ladder) < len(r.Config.Threads)
		for i, s := range ladder {
			for _, fewer := range ladder[:i] {
				if f := fewer.Rate / s.Rate; f > worst {
					worst, where = f, fmt.Sprintf("throughput of %s falls from %.1f MB/s with %s to %.1f MB/s with %s", Size(size), fewer.Rate, threads(fewer.Threads), s.Rate, threads(s.Threads))
				}
				if fewer.TTFB == nil || s.TTFB == nil || s.TTFB.Avg <= stableBelow {
					continue
				}
				if f := s.TTFB.Avg / max(fewer.TTFB.Avg, 0.001); f > worst {
					worst, where = f, fmt.Sprintf("time to first byte of %s grows from %.1f ms with %s to %.1f ms with %s", Size(size), fewer.TTFB.Avg, threads(fewer.Threads), s.TTFB.Avg, threads(s.Threads))
				}
			}
		}
	}
	v.Message = "neither throughput nor time to first byte gets much worse with more threads"
	v.Verdict = OK
	switch {
	case worst > most:
		v.Verdict, v.Message = Below, "the "+where
	case len(r.Config.Threads) < 2:
		v.Verdict, v.Message = Undetermined, "stability needs at least two thread counts"
	case missing:
		v.Verdict, v.Message = Undetermined, "not every thread count was measured"
	}
	if worst > 0 {
		v.Seen = fmt.Sprintf("%.1f times", worst)
	}
	return v
}

// JudgeBy sets the verdicts of a result.
func (r *Result) JudgeBy(l Limits) {
	r.Verdicts = Judge(*r, l)
	r.Verdict = OK
	for _, v := range r.Verdicts {
		if v.Verdict == Below || v.Verdict == Undetermined && r.Verdict == OK {
			r.Verdict = v.Verdict
		}
	}
	switch {
	case !r.Measured():
		r.Verdict = Undetermined
	case len(r.Verdicts) == 0:
		r.Verdict = Unjudged
	}
}

// Measured says whether any request was.
func (r Result) Measured() bool {
	return slices.ContainsFunc(r.Steps, func(s Step) bool { return s.TTLB != nil })
}

func verdict(ok bool) string {
	if ok {
		return OK
	}
	return Below
}

func threads(n int) string {
	if n == 1 {
		return "1 thread"
	}
	return fmt.Sprintf("%d threads", n)
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
