package s3

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
	"carbonio-check/s3bench"
)

const (
	throughput = "s3.throughput"
	ttfb       = "s3.ttfb"
	stability  = "s3.stability"
)

// benchmarkTimeout bounds a measurement: 18 steps of at most 10 seconds each,
// and the deleting between them.
const benchmarkTimeout = 10 * time.Minute

// ofBenchmark are the checks that a measurement decides, and the criterion of each.
var ofBenchmark = []struct{ check, criterion string }{
	{throughput, s3bench.Throughput},
	{ttfb, s3bench.TTFB},
	{stability, s3bench.Stability},
}

// benchmarkChecks are the entries of the catalogue for measurements.
func benchmarkChecks() []checks.Check {
	const manual = "carbonio-check s3bench -c carbonio-check.yaml"
	const remedy = "measure again with nothing else going on: carbonio-check s3bench\nthen look at the network between mailstore and object storage (network.path, network.mtu), at its disks, and at what else uses it"
	needs := []string{permissions, bucket, credentials, region}
	return []checks.Check{
		{
			ID: throughput, Title: "The object storage is read at 100 MB/s or more",
			Why:    "Below, the manual holds the storage fit for secondary volumes only: opening and moving mail is slow for everybody.",
			Manual: manual, Remedy: remedy, Source: "S3B: ≥ 100 MB/s for primary storage", Needs: needs, Looks: []string{kindBenchmark},
		},
		{
			ID: ttfb, Title: "The first byte comes in less than 50 ms on average",
			Why:    "Every message that is opened waits for it.",
			Manual: manual, Remedy: remedy, Source: "S3B: average time to first byte < 50 ms", Needs: needs, Looks: []string{kindBenchmark},
		},
		{
			ID: stability, Title: "Throughput and time to first byte hold as threads grow",
			Why:    "A storage that gets slower with more readers fails in the morning, when all of them come.",
			Manual: manual, Remedy: remedy, Source: "S3B: stable as threads grow; policy: not more than twice as bad", Needs: needs, Looks: []string{kindBenchmark},
		},
	}
}

// measurement is what the engine measured of a bucket.
type measurement struct {
	Unopened string          `json:"unopened,omitempty"`
	Refused  string          `json:"refused,omitempty"` // why nothing was measured
	Locked   bool            `json:"locked,omitempty"`  // and that it was for object lock
	Result   *s3bench.Result `json:"result,omitempty"`
}

func observeBenchmark(ctx context.Context, host checks.Host, b platform.Bucket) (any, error) {
	s, err := open(host, b)
	if err != nil {
		return measurement{Unopened: err.Error()}, nil
	}
	defer s.Close()
	result, err := s3bench.Run(ctx, s, s3bench.Config{}, nil)
	if err != nil {
		return measurement{Refused: err.Error(), Locked: errors.Is(err, s3bench.ErrLocked)}, ctx.Err()
	}
	return measurement{Result: &result}, ctx.Err()
}

// judgeBenchmarks decides on the measurements, and says of each bucket that was
// not measured how to have it measured.
func judgeBenchmarks(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	measured := map[string]bool{}
	for o, m := range checks.Of[measurement](seen, kindBenchmark) {
		measured[o.Vantage] = true
		out = append(out, judgeBenchmark(scope.Policy, o, m)...)
	}
	for _, v := range scope.Vantages {
		if measured[v.Node] || !named(scope, seen, v.Node) {
			continue
		}
		o := checks.Observation{Vantage: v.Node}
		for _, b := range ofBenchmark {
			out = append(out, o.Skip(b.check, "", "not measured: --benchmark writes up to %d MB, reads as much or more, and deletes it again", s3bench.DefaultBytes/1_000_000))
		}
	}
	return out
}

func judgeBenchmark(policy platform.Policy, o checks.Observation, m measurement) []checks.Finding {
	at := o.Target.Name
	var out []checks.Finding
	for _, b := range ofBenchmark {
		switch {
		case m.Unopened != "":
			out = append(out, o.Skip(b.check, at, "the bucket was not looked at: %s", m.Unopened))
		case m.Locked:
			out = append(out, o.Skip(b.check, at, "%s", m.Refused))
		case m.Refused != "":
			out = append(out, o.Unknown(b.check, at, "could not be measured: %s", m.Refused).Needing(clock, o.Target.Address).Needing(endpoint, o.Target.Address))
		case m.Result == nil:
			out = append(out, o.Unseen(at, b.check)...)
		default:
			out = append(out, judgeCriterion(policy, o, *m.Result, b.check, b.criterion))
		}
	}
	return out
}

func judgeCriterion(policy platform.Policy, o checks.Observation, r s3bench.Result, check, criterion string) checks.Finding {
	at := o.Target.Name
	f := o.Unknown(check, at, "not measured")
	for _, v := range s3bench.Judge(r, s3bench.LimitsOf(policy)) {
		if v.Name != criterion {
			continue
		}
		switch v.Verdict {
		case s3bench.OK:
			f = o.Pass(check, at, "%s", v.Message).Saw(v.Seen).Wanted(v.Want)
		case s3bench.Below:
			f = o.Fail(check, at, "%s", v.Message).Saw(v.Seen).Wanted(v.Want)
		default:
			f = o.Unknown(check, at, "%s", v.Message)
			if r.Stopped != "" {
				f = o.Unknown(check, at, "%s: the measurement ended early: %s", v.Message, r.Stopped)
			}
		}
	}
	if n := throttledAnswers(r); n > 0 {
		f = f.With("throttled", fmt.Sprintf("%d requests were answered with 503 SlowDown", n))
	}
	if len(r.Left) > 0 {
		f = f.With("left behind", strings.Join(r.Left, "\n"))
	}
	return f
}

func throttledAnswers(r s3bench.Result) (n int64) {
	for _, s := range r.Steps {
		n += s.Throttled
	}
	return n
}
