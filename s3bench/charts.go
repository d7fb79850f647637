package s3bench

import (
	"fmt"
	"slices"
	"strconv"
)

// A chart is drawn in a box of chartWidth × chartHeight.
type chart struct {
	Title string
	Ticks []tickMark // of the vertical axis
	Marks []tickMark // of the horizontal one: the threads
	Lines []chartLine
	Bars  []errorBar
}

type tickMark struct {
	At    float64
	Label string
}

type chartLine struct {
	Name   string
	Class  int
	Points []point
	Path   string // of an SVG polyline
}

type point struct {
	X, Y  float64
	Label string
}

type errorBar struct{ X, Top, Bottom float64 }

const (
	chartWidth  = 360.0
	chartHeight = 200.0
	chartLeft   = 52.0
	chartBottom = 170.0
	chartTop    = 14.0
	chartRight  = 346.0
)

// charts are the rate and the times of a group, by threads.
func charts(g []Step) []chart {
	out := []chart{rateChart(g)}
	for _, b := range []block{
		{"Time to first byte, ms", func(s Step) *Latency { return s.TTFB }},
		{"Time to last byte, ms", func(s Step) *Latency { return s.TTLB }},
	} {
		if !slices.ContainsFunc(g, func(s Step) bool { return b.of(s) == nil }) {
			out = append(out, timeChart(g, b))
		}
	}
	return out
}

func rateChart(g []Step) chart {
	top := 0.0
	for _, s := range g {
		top = max(top, s.Rate, s.High)
	}
	c := axes(g, "Rate, "+g[0].Unit, top)
	c.Lines = []chartLine{line(g, "rate", 0, top, func(s Step) float64 { return s.Rate })}
	for i, s := range g {
		if s.High > s.Low {
			c.Bars = append(c.Bars, errorBar{across(i, len(g)), up(s.High, top), up(s.Low, top)})
		}
	}
	return c
}

func timeChart(g []Step, b block) chart {
	curves := []struct {
		name string
		of   func(*Latency) float64
	}{
		{"avg", func(l *Latency) float64 { return l.Avg }},
		{"p50", func(l *Latency) float64 { return l.P50 }},
		{"p90", func(l *Latency) float64 { return l.P90 }},
		{"p99", func(l *Latency) float64 { return l.P99 }},
	}
	top := 0.0
	for _, s := range g {
		for _, curve := range curves {
			top = max(top, curve.of(b.of(s)))
		}
	}
	c := axes(g, b.name, top)
	for i, curve := range curves {
		c.Lines = append(c.Lines, line(g, curve.name, i, top, func(s Step) float64 { return curve.of(b.of(s)) }))
	}
	return c
}

func axes(g []Step, title string, top float64) chart {
	c := chart{Title: title}
	for i := range 5 {
		v := top * float64(i) / 4
		c.Ticks = append(c.Ticks, tickMark{up(v, top), number(v)})
	}
	for i, s := range g {
		c.Marks = append(c.Marks, tickMark{across(i, len(g)), strconv.Itoa(s.Threads)})
	}
	return c
}

func line(g []Step, name string, class int, top float64, value func(Step) float64) chartLine {
	l := chartLine{Name: name, Class: class}
	for i, s := range g {
		p := point{across(i, len(g)), up(value(s), top), fmt.Sprintf("%s, %s: %s", name, threads(s.Threads), number(value(s)))}
		l.Points = append(l.Points, p)
		l.Path += fmt.Sprintf("%.1f,%.1f ", p.X, p.Y)
	}
	return l
}

// across is the horizontal position of the i-th of n; up is the vertical position of a value.
func across(i, n int) float64 {
	return chartLeft + (chartRight-chartLeft)*(float64(i)+0.5)/float64(n)
}

func up(v, top float64) float64 {
	if top == 0 {
		return chartBottom
	}
	return chartBottom - (chartBottom-chartTop)*v/top
}
