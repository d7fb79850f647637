package s3bench

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"io"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks/checkstest"
	"carbonio-check/terminal"
)

var manual = Limits{Throughput: 100, TTFB: 50 * time.Millisecond, Stability: 2}

// read is a step with a rate and an average time to the first byte.
func read(size int64, threads int, rate, ttfb float64) Step {
	return Step{
		Op: GET, Size: size, Threads: threads, Requests: 500, Bytes: int64(rate * 4e6), Took: Seconds(4 * time.Second), Rate: rate, Unit: megabytes,
		Median: rate, Low: rate * 0.98, High: rate * 1.02, TTFB: latencies(ttfb), TTLB: latencies(ttfb * 4), Ended: Settled,
	}
}

func latencies(avg float64) *Latency {
	return &Latency{Avg: avg, Error: avg / 50, Min: avg / 2, P25: avg * 0.8, P50: avg * 0.95, P75: avg * 1.1, P90: avg * 1.4, P99: avg * 2, Max: avg * 3}
}

func result(steps ...Step) Result {
	r := Result{
		Schema: Schema, Tool: "1.2.3", Node: "mbox1.example.com", ID: "0011223344556677", Endpoint: "https://s3.example.com", Bucket: "carbonio-ha",
		Started: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), Took: Seconds(90 * time.Second), Payload: "unsigned over TLS",
		Config:  Config{Workload: Ladder, Sizes: []int64{2 << 20}, Threads: []int{2, 4, 6}, Duration: DefaultDuration, Objects: DefaultObjects, Bytes: DefaultBytes, Seed: 42},
		Written: 1 << 30, Steps: append([]Step{}, steps...), Left: []string{},
	}
	r.JudgeBy(manual)
	return r
}

// lan and wan are the manual's own examples, a good one and a bad one (S3B).
func lan() Result {
	return result(read(2<<20, 2, 111.5, 6), read(2<<20, 4, 111.6, 8), read(2<<20, 6, 111.6, 10))
}

func wan() Result {
	return result(read(2<<20, 2, 17, 10), read(2<<20, 4, 17, 12), read(2<<20, 6, 17, 14))
}

func TestJudge(t *testing.T) {
	put := read(2<<20, 2, 400, 1)
	put.Op = PUT
	for name, c := range map[string]struct {
		r    Result
		want string // throughput, ttfb, stability: o, b, u
	}{
		"the manual's good example":    {lan(), "ooo"},
		"the manual's bad example":     {wan(), "boo"},
		"slow first byte":              {result(read(2<<20, 2, 120, 60), read(2<<20, 4, 120, 61), read(2<<20, 6, 120, 62)), "obo"},
		"exactly at the limits":        {result(read(2<<20, 2, 100, 50), read(2<<20, 4, 100, 50), read(2<<20, 6, 100, 50)), "obo"},
		"first byte grows too much":    {result(read(2<<20, 2, 120, 10), read(2<<20, 4, 120, 20), read(2<<20, 6, 120, 40)), "oob"},
		"it grows, far below concern":  {result(read(2<<20, 2, 120, 1), read(2<<20, 4, 120, 4), read(2<<20, 6, 120, 9)), "ooo"},
		"throughput falls":             {result(read(2<<20, 2, 300, 6), read(2<<20, 4, 200, 6), read(2<<20, 6, 120, 6)), "oob"},
		"throughput grows, as it must": {result(read(2<<20, 2, 40, 6), read(2<<20, 4, 80, 6), read(2<<20, 6, 160, 6)), "ooo"},
		"interrupted after one step":   {result(read(2<<20, 2, 120, 6)), "oou"},
		"only writes":                  {result(put), "uuu"},
		"nothing":                      {result(), "uuu"},
	} {
		got := ""
		for _, v := range c.r.Verdicts {
			got += v.Verdict[:1]
		}
		assert.Equal(t, c.want, got, "%s: %+v", name, c.r.Verdicts)
		want := map[bool]string{true: Below, false: OK}[strings.Contains(c.want, "b")]
		if want == OK && strings.Contains(c.want, "u") {
			want = Undetermined
		}
		assert.Equal(t, want, c.r.Verdict, name)
	}
	mixed := lan()
	mixed.Config.Workload = Mail
	mixed.JudgeBy(manual)
	assert.Equal(t, Unjudged, mixed.Verdict)
}

func TestSettled(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	rates := func(n int, rate func(i int) float64) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = rate(i) * (1 + 0.03*random.NormFloat64())
		}
		return out
	}
	even := func(int) float64 { return 100 }
	assert.True(t, settled(rates(20, even)))
	assert.False(t, settled(rates(minWindows-1, even)), "too few")
	assert.False(t, settled(rates(20, func(i int) float64 { return 100 + float64(i)*5 })), "still growing")
	assert.False(t, settled(rates(20, func(i int) float64 { return 100 + 60*float64(i%2) })), "jumps")
	assert.False(t, settled(rates(20, func(i int) float64 { return 100 + 20*float64(i/10) })), "a step in the middle")
	assert.False(t, settled(rates(400, func(i int) float64 { return 100 + float64(i)/10 })), "growing slowly, for long")
	assert.False(t, settled(make([]float64, 20)), "nothing moves")
	assert.True(t, settled(append(rates(20, even), 0, 500)), "outliers move no median")
}

// The interval holds the true median as often as it says.
func TestMedianInterval(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	held := 0
	for range 2000 {
		sample := make([]float64, 30)
		for i := range sample {
			sample[i] = random.ExpFloat64()
		}
		if _, low, high := median(sample); low <= 0.6931 && 0.6931 <= high {
			held++
		}
	}
	assert.InDelta(t, 0.95, float64(held)/2000, 0.035)
}

func TestSpreadConservesWhatWasDone(t *testing.T) {
	var r recorder
	r.spread(3*time.Millisecond, 47*time.Millisecond, 1000)
	r.spread(20*time.Millisecond, 20*time.Millisecond, 500)
	sum, took := r.between(0, 60*time.Millisecond)
	assert.InDelta(t, 1500, sum.bytes, 1e-6)
	assert.InDelta(t, 2, sum.requests, 1e-6)
	assert.Equal(t, 60*time.Millisecond, took)
	part, _ := r.between(10*time.Millisecond, 20*time.Millisecond)
	assert.InDelta(t, 1000.0/4.4, part.bytes, 1e-6)
}

func TestCompare(t *testing.T) {
	older, newer := lan(), lan()
	newer.Steps[0] = read(2<<20, 2, 80, 6.01) // worse, and the same
	newer.Steps[1] = read(2<<20, 4, 113, 4)   // the same, and better
	newer.Steps[2].Threads = 8
	changes := map[string]Change{}
	for _, c := range Compare(older, newer) {
		changes[strings.TrimSpace(c.Step+" "+c.What)] = c
	}
	first, second := changes["GET 2 MiB, 2 threads MB/s"], changes["GET 2 MiB, 4 threads TTFB ms"]
	assert.True(t, first.Real && !first.Better, first)
	assert.False(t, changes["GET 2 MiB, 2 threads TTFB ms"].Real)
	assert.False(t, changes["GET 2 MiB, 4 threads MB/s"].Real)
	assert.True(t, second.Real && second.Better, second)
	assert.Equal(t, "old", changes["GET 2 MiB, 6 threads"].Only)
	assert.Equal(t, "new", changes["GET 2 MiB, 8 threads"].Only)
	wide, narrow := interval{100, 70, 130}, interval{100, 99.9, 100.1}
	assert.False(t, change("", "", wide, interval{125, 95, 155}, false).Real, "far apart, but neither is certain")
	assert.False(t, change("", "", narrow, interval{103, 102.9, 103.1}, false).Real, "certain, but no two runs are alike")
	assert.False(t, change("", "", interval{100, 100, 100}, interval{200, 200, 200}, false).Real, "a single window")
	assert.True(t, change("", "", narrow, interval{110, 109, 111}, false).Real)
	for _, c := range Compare(older, older) {
		assert.False(t, c.Real, c)
	}
}

func troubled() Result {
	r := wan()
	r.Steps[1].Throttled, r.Steps[1].Errors, r.Steps[1].Samples = 12, 3, []string{"get: Access Denied (AccessDenied, HTTP 403)"}
	r.Steps[2].Ended, r.Steps[2].Low, r.Steps[2].High = TimeUp, 10, 24
	write := read(2<<20, 2, 9.5, 200)
	write.Op = PUT
	nothing := Step{Op: PUT, Size: 2 << 20, Threads: 4, Unit: megabytes, Ended: Failing, Errors: 9, Samples: []string{"put: <script>alert(1)</script>"}}
	r.Steps = append([]Step{write, nothing}, r.Steps...)
	r.Interrupted, r.Stopped = true, "the bucket is full"
	r.Notes = []string{"the bucket's versioning is enabled: every version was removed"}
	r.Left = []string{"carbonio-check/0011223344556677/2097152/1"}
	return r
}

func TestTTY(t *testing.T) {
	for name, c := range map[string]struct {
		r Result
		t terminal.Terminal
	}{
		"good":     {lan(), terminal.Terminal{Width: 80}},
		"wide":     {lan(), terminal.Terminal{Width: 130}},
		"troubled": {troubled(), terminal.Terminal{Width: 80}},
		"ascii":    {troubled(), terminal.Terminal{Width: 80, ASCII: true}},
	} {
		var b bytes.Buffer
		require.NoError(t, TTY(&b, c.r, c.t))
		checkstest.Golden(t, "testdata/"+name+".txt", b.String())
		for line := range strings.Lines(b.String()) {
			assert.LessOrEqual(t, ansi.StringWidth(strings.TrimRight(line, "\n")), c.t.Width, line)
		}
		assert.NotContains(t, b.String(), "\x1b")
		var coloured bytes.Buffer
		c.t.Color = true
		require.NoError(t, TTY(&coloured, c.r, c.t))
		assert.Equal(t, b.String(), ansi.Strip(coloured.String()), "colours add nothing but colours")
		if c.t.ASCII {
			assert.NotRegexp(t, `[^\x00-\x7f]`, b.String())
		}
	}
}

func TestJSONFollowsItsSchema(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile("../docs/s3bench.schema.json")
	require.NoError(t, err)
	mail := troubled()
	mail.Config = Config{Workload: Mail}.WithDefaults()
	mail.JudgeBy(manual)
	for _, r := range []Result{lan(), wan(), troubled(), mail, result()} {
		var b bytes.Buffer
		require.NoError(t, JSON(&b, r))
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(b.Bytes()))
		require.NoError(t, err)
		require.NoError(t, schema.Validate(v), b.String())
		again, err := Read(b.Bytes())
		require.NoError(t, err)
		assert.Equal(t, r.Steps, again.Steps)
		assert.Equal(t, r.Config, again.Config)
	}
	_, err = Read([]byte(`{"schema":"carbonio-check/report/v1"}`))
	assert.Error(t, err)
}

func TestCSV(t *testing.T) {
	r := troubled()
	r.Node = "=cmd()"
	var b bytes.Buffer
	require.NoError(t, CSV(&b, r))
	rows, err := csv.NewReader(&b).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+len(r.Steps))
	assert.Equal(t, "'=cmd()", rows[1][0])
	column := slices.Index(rows[0], "throttled")
	assert.Equal(t, "12", rows[4][column])
	assert.Empty(t, rows[2][slices.Index(rows[0], "ttlb_avg_ms")])
}

func TestHTMLIsOnePageOfItsOwn(t *testing.T) {
	for _, r := range []Result{lan(), troubled(), result()} {
		r.Node, r.Bucket, r.Notes = `"><img src=x onerror=alert(1)>`, `'<b`, []string{"100%s & more"}
		var b bytes.Buffer
		require.NoError(t, HTML(&b, r))
		page := b.String()
		assert.NotRegexp(t, `(?i)<script|<img|<link|@import|url\(|src=|href=|ZgotmplZ|NaN|Inf`, regexp.MustCompile(`&[a-z#0-9]+;[^<]*`).ReplaceAllString(page, ""))
		assert.NotContains(t, page, "%!", "every value has its place")
		assert.Contains(t, page, "100%s &amp; more")
		for _, s := range r.Steps {
			assert.Contains(t, page, number(s.Rate))
		}
		wellFormed(t, page)
	}
}

// wellFormed holds every element to be closed where it should.
func wellFormed(t *testing.T, page string) {
	t.Helper()
	_, page, _ = strings.Cut(page, "\n") // the doctype
	d := xml.NewDecoder(strings.NewReader(page))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 64 << 10: "64 KiB", 1536: "1.5 KiB", 4 << 20: "4 MiB", 5 << 40: "5 TiB"} {
		assert.Equal(t, want, Size(n))
	}
}

// The sizes of mail are what the constants say of them.
func TestMailSizes(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var sizes []int64
	sum := 0.0
	for range 100_000 {
		size := mailSize(random.NormFloat64())
		sizes = append(sizes, size)
		sum += float64(size)
	}
	slices.Sort(sizes)
	assert.InEpsilon(t, mailMedian, sizes[len(sizes)/2], 0.05)
	assert.InEpsilon(t, 85<<10, sum/float64(len(sizes)), 0.05)
	assert.InEpsilon(t, 330<<10, sizes[len(sizes)*95/100], 0.1)
	assert.GreaterOrEqual(t, sizes[0], int64(mailLeast))
	assert.LessOrEqual(t, sizes[len(sizes)-1], int64(mailMost))
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	_ = JSON(&b, lan())
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Read(text)
		if err != nil {
			return
		}
		Compare(r, r)
		r.JudgeBy(manual)
	})
}
