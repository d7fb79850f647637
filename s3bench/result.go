package s3bench

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// A Result is what was measured. It holds no secret.
type Result struct {
	Schema      string    `json:"schema"`
	Tool        string    `json:"tool"`
	Node        string    `json:"node"` // where it was measured
	ID          string    `json:"id"`
	Started     time.Time `json:"started"`
	Took        Seconds   `json:"took_seconds"`
	Endpoint    string    `json:"endpoint"`
	Bucket      string    `json:"bucket"`
	Payload     string    `json:"payload"` // how what was written was protected
	Config      Config    `json:"config"`
	Interrupted bool      `json:"interrupted"`
	Stopped     string    `json:"stopped,omitempty"` // why it ended before its time
	Written     int64     `json:"written_bytes"`
	Steps       []Step    `json:"steps"`
	Verdict     string    `json:"verdict"`
	Verdicts    []Verdict `json:"verdicts"`
	Notes       []string  `json:"notes,omitempty"`
	Left        []string  `json:"left"` // what could not be deleted
}

// The operations of steps.
const (
	PUT       = "PUT"
	GET       = "GET"
	DELETE    = "DELETE"
	LIST      = "LIST"
	MULTIPART = "MULTIPART"
)

// A Step is one operation under one load. Rates are of 10^6 bytes per second,
// as the manual's tool counts; the warm-up is in nothing but the errors.
type Step struct {
	Op       string  `json:"op"`
	Size     int64   `json:"size"` // of each object; 0: drawn like mail
	Threads  int     `json:"threads"`
	Requests int64   `json:"requests"` // that succeeded
	Bytes    int64   `json:"bytes"`
	Took     Seconds `json:"took_seconds"`
	// Rate is what was moved over the time it took, in MB/s, or in requests per
	// second where nothing much is moved. Median is that of windows of
	// WindowTime, Low and High its 95 % interval: how settled the rate was.
	Rate   float64  `json:"rate"`
	Unit   string   `json:"unit"`
	Median float64  `json:"rate_median"`
	Low    float64  `json:"rate_low"`
	High   float64  `json:"rate_high"`
	TTFB   *Latency `json:"ttfb_ms"` // null where there is no first byte to wait for
	TTLB   *Latency `json:"ttlb_ms"` // null when no request succeeded
	Ended  string   `json:"ended"`   // why: Settled, …
	// Throttled are answers 503 SlowDown and 429; Errors are all others.
	Throttled int64    `json:"throttled"`
	Errors    int64    `json:"errors"`
	Samples   []string `json:"error_samples,omitempty"`
}

// Why a step ended.
const (
	Settled      = "settled"      // the rate had settled
	TimeUp       = "time"         // --duration
	ObjectsUp    = "objects"      // --objects
	BytesUp      = "bytes"        // --bytes
	Failing      = "failing"      // nothing succeeded
	NoRoom       = "full"         // the bucket has no room
	Interruption = "interruption" // of the run
)

// name is what the step measures: "PUT 1 MiB".
func (s Step) name() string {
	if s.Size == 0 {
		return s.Op + " mail"
	}
	return s.Op + " " + Size(s.Size)
}

// spread is the interval's half as a share of the median.
func (s Step) spread() float64 {
	if s.Median == 0 {
		return 0
	}
	return (s.High - s.Low) / 2 / s.Median
}

// Latency sums up times, in milliseconds.
type Latency struct {
	Avg float64 `json:"avg"`
	// Error is half of the 95 % interval of the average.
	Error float64 `json:"avg_error"`
	Min   float64 `json:"min"`
	P25   float64 `json:"p25"`
	P50   float64 `json:"p50"`
	P75   float64 `json:"p75"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// columns are the values in the order of the manual's table (S3BM).
func (l *Latency) columns() []float64 {
	if l == nil {
		return nil
	}
	return []float64{l.Avg, l.Min, l.P25, l.P50, l.P75, l.P90, l.P99, l.Max}
}

var columnNames = []string{"avg", "min", "p25", "p50", "p75", "p90", "p99", "max"}

// Seconds is a duration that JSON shows in seconds.
type Seconds time.Duration

// MarshalJSON gives 1.25.
func (s Seconds) MarshalJSON() ([]byte, error) {
	return json.Marshal(rounded(time.Duration(s).Seconds(), 1000))
}

// UnmarshalJSON reads 1.25.
func (s *Seconds) UnmarshalJSON(b []byte) error {
	var f float64
	err := json.Unmarshal(b, &f)
	*s = Seconds(f * float64(time.Second))
	return err
}

// MarshalJSON gives a duration as people write it: "10s".
func (c Config) MarshalJSON() ([]byte, error) {
	type plain Config
	return json.Marshal(struct {
		plain
		Duration string `json:"duration"`
	}{plain(c), c.Duration.String()})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *Config) UnmarshalJSON(b []byte) error {
	type plain Config
	v := struct {
		*plain
		Duration string `json:"duration"`
	}{plain: (*plain)(c)}
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	var err error
	c.Duration, err = time.ParseDuration(v.Duration)
	return err
}

// JSON writes a result as docs/s3bench.schema.json describes it.
func JSON(w io.Writer, r Result) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// Size writes a number of bytes as people do: "64 KiB".
func Size(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, i := float64(n)/1024, 0
	for ; f >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	if f == float64(int64(f)) {
		return fmt.Sprintf("%.0f %ciB", f, units[i])
	}
	return fmt.Sprintf("%.1f %ciB", f, units[i])
}

// times collects latencies, from a microsecond to ten minutes in three digits.
type times struct {
	histogram *hdrhistogram.Histogram
}

const longest = 10 * time.Minute

func newTimes() times {
	return times{hdrhistogram.New(1, longest.Microseconds(), 3)}
}

func (t times) add(d time.Duration) {
	_ = t.histogram.RecordValue(min(d, longest).Microseconds())
}

func (t times) latency() *Latency {
	h := t.histogram
	n := h.TotalCount()
	if n == 0 {
		return nil
	}
	ms := func(us float64) float64 { return rounded(us/1000, 1000) }
	at := func(q float64) float64 { return ms(float64(h.ValueAtQuantile(q))) }
	return &Latency{
		Avg: ms(h.Mean()), Error: ms(meanError(h.StdDev(), n)),
		Min: ms(float64(h.Min())), Max: ms(float64(h.Max())),
		P25: at(25), P50: at(50), P75: at(75), P90: at(90), P99: at(99),
	}
}
