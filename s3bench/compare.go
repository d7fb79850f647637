package s3bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"slices"
)

// Read reads what JSON wrote.
func Read(b []byte) (Result, error) {
	var r Result
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&r); err != nil {
		return r, err
	}
	if r.Schema != Schema {
		return r, fmt.Errorf("schema %q: want %s", r.Schema, Schema)
	}
	return r, nil
}

// A Change is how one number of one step differs between two results.
type Change struct {
	Step     string  // "GET 1 MiB, 4 threads"
	What     string  // "MB/s", "TTFB ms"
	Old, New float64 // of one of them 0 where Only says so
	Percent  float64
	// Real: more than noise, for the intervals of the two do not touch, and they
	// are further apart than two settled runs may be.
	Real   bool
	Better bool
	Only   string // "old" or "new": the other has no such step
}

// Compare lists the changes from one result to another, step by step.
func Compare(older, newer Result) []Change {
	var out []Change
	for _, o := range older.Steps {
		i := slices.IndexFunc(newer.Steps, func(n Step) bool { return same(o, n) })
		if i < 0 {
			out = append(out, Change{Step: o.label(), Only: "old"})
			continue
		}
		out = append(out, changes(o, newer.Steps[i])...)
	}
	for _, n := range newer.Steps {
		if !slices.ContainsFunc(older.Steps, func(o Step) bool { return same(o, n) }) {
			out = append(out, Change{Step: n.label(), Only: "new"})
		}
	}
	return out
}

func (s Step) label() string { return s.name() + ", " + threads(s.Threads) }

func same(a, b Step) bool {
	return a.Op == b.Op && a.Size == b.Size && a.Threads == b.Threads && a.Unit == b.Unit
}

// changes compares the rates by the intervals of their medians, and the times by
// those of their averages.
func changes(o, n Step) []Change {
	out := []Change{change(o.label(), o.Unit, interval{o.Rate, o.Low, o.High}, interval{n.Rate, n.Low, n.High}, false)}
	for _, t := range []struct {
		name     string
		old, new *Latency
	}{{"TTFB ms", o.TTFB, n.TTFB}, {"TTLB ms", o.TTLB, n.TTLB}} {
		if t.old != nil && t.new != nil {
			out = append(out, change(o.label(), t.name, around(t.old), around(t.new), true))
		}
	}
	return out
}

type interval struct{ value, low, high float64 }

func around(l *Latency) interval { return interval{l.Avg, l.Avg - l.Error, l.Avg + l.Error} }

func change(step, what string, o, n interval, lessIsBetter bool) Change {
	c := Change{Step: step, What: what, Old: o.value, New: n.value}
	if o.value != 0 {
		c.Percent = (n.value - o.value) / o.value * 100
	}
	// An interval of nothing is that of a single window: it says nothing.
	known := o.high > o.low && n.high > n.low
	c.Real = known && (n.low > o.high || n.high < o.low) && math.Abs(c.Percent) > 100*settledSpread
	c.Better = (n.value < o.value) == lessIsBetter
	return c
}
