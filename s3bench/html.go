package s3bench

import (
	"bytes"
	_ "embed"
	"fmt"
	"html"
	"io"
	"time"
)

//go:embed page.css
var styles string

// A document is a page of HTML in the making.
type document struct{ bytes.Buffer }

// put writes markup into which values go: of a text nothing but the text shows,
// in an element and between quotes. (html/template would do as well; with it in
// the program the linker must keep every method of every type: 6 MB.)
func (d *document) put(markup string, values ...any) {
	for i, v := range values {
		if text, ok := v.(string); ok {
			values[i] = html.EscapeString(text)
		}
	}
	fmt.Fprintf(d, markup, values...)
}

// HTML writes a self-contained page: no script, and nothing from elsewhere.
func HTML(w io.Writer, r Result) error {
	d := &document{}
	d.begin(r)
	d.verdict(r)
	for _, g := range groups(r.Steps) {
		d.put("<h2>%s</h2>\n<div class=\"charts\">\n", g[0].title())
		for _, c := range charts(g) {
			d.chart(c)
		}
		d.put("</div>\n")
		d.table(g)
		for _, remark := range remarks(g) {
			d.put("<p class=\"soft\">%s</p>\n", remark)
		}
	}
	d.put("</body>\n</html>\n")
	_, err := w.Write(d.Bytes())
	return err
}

func (d *document) begin(r Result) {
	d.put(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>S3 benchmark: %s from %s</title>
<style>
`, r.Bucket, r.Node)
	d.WriteString(styles)
	d.put(`</style>
</head>
<body>
<h1>S3 benchmark: %s</h1>
<p>Bucket <b>%s</b> at %s`, r.Config.Workload, r.Bucket, r.Endpoint)
	if r.Node != "" {
		d.put(", from <b>%s</b>", r.Node)
	}
	d.put(`</p>
<p class="soft">%s, %.0f s, %s written, payload %s; carbonio-check %s, run %s. MB = 1 000 000 bytes.</p>
`, r.Started.Format("2006-01-02 15:04:05 MST"), time.Duration(r.Took).Seconds(), Size(r.Written), r.Payload, r.Tool, r.ID)
}

// verdict writes what there is to say of the run as a whole.
func (d *document) verdict(r Result) {
	interrupted := ""
	if r.Interrupted {
		interrupted = " (interrupted)"
	}
	d.put("<p class=\"verdict %s\">%s%s</p>\n", class(r.Verdict), r.Verdict, interrupted)
	if len(r.Verdicts) > 0 {
		d.put("<ul>\n")
		for _, v := range r.Verdicts {
			d.put("<li><b class=\"%s\">%s: %s</b> – %s; want %s</li>\n", class(v.Verdict), v.Name, v.Verdict, v.Message, v.Want)
		}
		d.put("</ul>\n")
	}
	if r.Stopped != "" {
		d.put("<p class=\"bad\">Stopped early: %s</p>\n", r.Stopped)
	}
	for _, note := range r.Notes {
		d.put("<p class=\"soft\">Note: %s</p>\n", note)
	}
	if len(r.Left) > 0 {
		d.put("<h2 class=\"bad\">Left in the bucket</h2>\n<ul>\n")
		for _, key := range r.Left {
			d.put("<li><code>%s</code></li>\n", key)
		}
		d.put("</ul>\n")
	}
}

// class is the colour of a verdict.
func class(verdict string) string {
	switch verdict {
	case OK:
		return "ok"
	case Unjudged:
		return ""
	}
	return "bad"
}

func (d *document) chart(c chart) {
	d.put("<figure><figcaption>%s</figcaption>\n<svg viewBox=\"0 0 %v %v\" role=\"img\" aria-label=\"%[1]s by threads\">\n", c.Title, chartWidth, chartHeight)
	for _, t := range c.Ticks {
		d.put("<line class=\"grid\" x1=\"%v\" x2=\"%v\" y1=\"%.1f\" y2=\"%.1[3]f\"/><text x=\"%v\" y=\"%.1[3]f\" dy=\"4\" text-anchor=\"end\">%[5]s</text>\n",
			chartLeft, chartRight, t.At, chartLeft-6, t.Label)
	}
	for _, m := range c.Marks {
		d.put("<text x=\"%.1f\" y=\"%v\" text-anchor=\"middle\">%s</text>\n", m.At, chartBottom+17, m.Label)
	}
	for _, b := range c.Bars {
		d.put("<line class=\"bar\" x1=\"%.1f\" x2=\"%.1[1]f\" y1=\"%.1f\" y2=\"%.1f\"/>\n", b.X, b.Top, b.Bottom)
	}
	for _, l := range c.Lines {
		d.put("<polyline class=\"l%d\" points=\"%s\"/>\n", l.Class, l.Path)
		for _, p := range l.Points {
			d.put("<circle class=\"d%d\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"><title>%s</title></circle>\n", l.Class, p.X, p.Y, p.Label)
		}
	}
	d.put("<text x=\"%v\" y=\"199\" text-anchor=\"end\">threads</text>\n</svg>\n<p class=\"k\">", chartRight)
	for _, l := range c.Lines {
		d.put("<span class=\"d%d\">● %s</span>", l.Class, l.Name)
	}
	d.put("</p></figure>\n")
}

func (d *document) table(g []Step) {
	d.put(`<div class="wide"><table>
<tr><th></th><th></th><th></th><th class="first" colspan="8">time to first byte, ms</th><th class="first" colspan="8">time to last byte, ms</th></tr>
<tr><th>threads</th><th>%s</th><th>requests</th>`, g[0].Unit)
	for range 2 {
		for i, name := range columnNames {
			d.put("<th%s>%s</th>", first(i), name)
		}
	}
	d.put("</tr>\n")
	for _, s := range g {
		d.put("<tr><td>%d</td><td><b>%s</b>%s</td><td>%d</td>", s.Threads, number(s.Rate), spread(s), s.Requests)
		d.times(s.TTFB)
		d.times(s.TTLB)
		d.put("</tr>\n")
	}
	d.put("</table></div>\n")
}

// times are the cells of one kind of time.
func (d *document) times(l *Latency) {
	if l == nil {
		d.put(`<td class="first" colspan="8">–</td>`)
	}
	for i, ms := range l.columns() {
		d.put("<td%s>%s</td>", first(i), number(ms))
	}
}

// attribute is markup, and goes in as it is.
type attribute string

// first draws a line before the first column of a block.
func first(column int) attribute {
	if column == 0 {
		return ` class="first"`
	}
	return ""
}
