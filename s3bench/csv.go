package s3bench

import (
	"encoding/csv"
	"io"
	"strconv"
	"time"
)

// CSV writes one row for each step. The first columns are those of the manual's
// tool: who, how large, how many threads, the rate, and twice eight times (S3BM).
func CSV(w io.Writer, r Result) error {
	c := csv.NewWriter(w)
	head := []string{"node", "endpoint", "bucket", "started", "op", "size", "threads", "rate", "unit"}
	for _, t := range []string{"ttfb", "ttlb"} {
		for _, name := range columnNames {
			head = append(head, t+"_"+name+"_ms")
		}
	}
	head = append(head, "requests", "bytes", "seconds", "rate_median", "rate_low", "rate_high", "ended", "throttled", "errors")
	if err := c.Write(head); err != nil {
		return err
	}
	for _, s := range r.Steps {
		row := []string{
			plain(r.Node), plain(r.Endpoint), plain(r.Bucket), r.Started.Format(time.RFC3339),
			s.Op, strconv.FormatInt(s.Size, 10), strconv.Itoa(s.Threads), decimal(s.Rate), s.Unit,
		}
		row = append(row, latencyCells(s.TTFB)...)
		row = append(row, latencyCells(s.TTLB)...)
		row = append(row, strconv.FormatInt(s.Requests, 10), strconv.FormatInt(s.Bytes, 10), decimal(time.Duration(s.Took).Seconds()),
			decimal(s.Median), decimal(s.Low), decimal(s.High), s.Ended, strconv.FormatInt(s.Throttled, 10), strconv.FormatInt(s.Errors, 10))
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

func latencyCells(l *Latency) []string {
	cells := make([]string, len(columnNames))
	for i, f := range l.columns() {
		cells[i] = decimal(f)
	}
	return cells
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// plain keeps a text from being read as a formula by a spreadsheet.
func plain(s string) string {
	if s != "" && (s[0] == '=' || s[0] == '+' || s[0] == '-' || s[0] == '@') {
		return "'" + s
	}
	return s
}
