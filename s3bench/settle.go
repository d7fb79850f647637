package s3bench

import (
	"math"
	"slices"
	"time"
)

const (
	// WindowTime is long enough for a few requests, and short enough for many
	// windows in a step.
	WindowTime = 200 * time.Millisecond
	// minWindows are two seconds: less says nothing about a second.
	minWindows = 10
	// settledSpread is how near the interval must have come to the median: a
	// difference of 5 % changes no verdict.
	settledSpread = 0.05
	// confidence is that of the intervals: 1.96 deviations hold 95 %.
	confidence = 1.96
)

// median gives the median of rates and its 95 % interval, from their order alone:
// no distribution is assumed, and a few outliers move nothing.
func median(rates []float64) (mid, low, high float64) {
	n := len(rates)
	if n == 0 {
		return 0, 0, 0
	}
	s := slices.Sorted(slices.Values(rates))
	mid = (s[(n-1)/2] + s[n/2]) / 2
	reach := confidence * math.Sqrt(float64(n)) / 2
	lo := int(math.Floor(float64(n)/2 - reach))
	hi := int(math.Ceil(float64(n)/2 + reach))
	return mid, s[max(lo, 0)], s[min(hi, n-1)]
}

// settled says whether more windows would change little: the interval is narrow
// and the second half is no faster or slower than the first.
func settled(rates []float64) bool {
	if len(rates) < minWindows {
		return false
	}
	mid, low, high := median(rates)
	if mid == 0 || (high-low)/2 > settledSpread*mid {
		return false
	}
	first, _, _ := median(rates[:len(rates)/2])
	second, _, _ := median(rates[len(rates)/2:])
	return math.Abs(first-second) <= 2*settledSpread*mid
}

// meanError is half of the 95 % interval of an average.
func meanError(deviation float64, n int64) float64 {
	return confidence * deviation / math.Sqrt(float64(n))
}

// rounded keeps 1/parts.
func rounded(f float64, parts float64) float64 { return math.Round(f*parts) / parts }
