package directory

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"carbonio-check/checks"
)

const (
	replchk = "/opt/zextras/libexec/zmreplchk"
	mmrtool = "/opt/zextras/libexec/zmldapmmrtool -q"

	// tries of zmreplchk before what it finds out of sync counts.
	tries    = 3
	tryAgain = 2 * time.Second
)

// outputs are what Carbonio's own programs say.
type outputs struct {
	Replchk output[[]status] `json:"replchk"`
	MMRTool output[mmr]      `json:"mmrtool"`
}

// An output is a program's, understood as far as its source explains it.
type output[T any] struct {
	Said   T             `json:"said,omitzero"`
	Failed string        `json:"failed,omitempty"` // its last words, when it died
	Unseen checks.Unseen `json:"unseen,omitzero"`  // why it did not run
}

// A status is one server in zmreplchk's listing.
type status struct {
	Role     string   `json:"role"` // "Master", "Replica"
	URL      string   `json:"url"`
	ServerID string   `json:"server_id,omitempty"`
	Code     int      `json:"code"`
	Status   string   `json:"status"`
	CSNs     []string `json:"csns,omitempty"`
}

// The codes of zmreplchk, as its source has them.
const (
	inSync    = 0
	outOfSync = 6
)

// mmr is zmldapmmrtool's listing.
type mmr struct {
	ServerID   string      `json:"server_id,omitempty"`
	Agreements []agreement `json:"agreements,omitempty"`
	Error      string      `json:"error,omitempty"` // with which it exits 0 all the same
}

func observePrograms(ctx context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (outputs, error) {
	run, err := host.Zextras(ctx)
	if err != nil {
		return outputs{}, err
	}
	var o outputs
	together(2, func(i int) {
		if i == 0 {
			o.MMRTool = understand(ctx, run, mmrtool, parseMMR)
			return
		}
		for try := 1; ; try++ {
			o.Replchk = understand(ctx, run, replchk, parseReplchk)
			lags := slices.ContainsFunc(o.Replchk.Said, func(s status) bool { return s.Code == outOfSync })
			if !lags || try == tries || !pause(ctx, tryAgain) {
				return
			}
		}
	})
	return o, nil
}

// understand runs a program. Its exit status means little: both exit 0 over
// what is broken, and otherwise only when they died half-way.
func understand[T any](ctx context.Context, run checks.Shell, program string, parse func(string) T) output[T] {
	text, err := run(ctx, program)
	o := output[T]{Said: parse(text)}
	var exit *checks.ExitError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &exit) && (exit.Code == 126 || exit.Code == 127):
		o.Unseen = failed("it is not there")
	case exit != nil && strings.HasPrefix(exit.Stderr, "su: "): // which did not get as far
		o.Unseen = failed(exit.Stderr)
	case exit != nil:
		o.Failed = cmp.Or(exit.Stderr, exit.Error())
	case err != nil:
		o.Unseen = checks.Why(err)
	}
	return o
}

var (
	replchkLine = regexp.MustCompile(`^(Master|Replica): (ldaps?://\S+)(?: ServerID: ?(\S*))? Code: (\d+) Status: (.*?)(?: CSNs:)?$`)
	serverLine  = regexp.MustCompile(`^Master Server ID: (\S+)`)
	ridLine     = regexp.MustCompile(`^rid: (\S*) URI: (\S*) TLS: ?(\S*)$`)
	errorLine   = regexp.MustCompile(`^(?i:error): (.+)$`)
)

// parseReplchk reads the listing of zmreplchk. A header is followed by the
// server's CSNs, one a line.
func parseReplchk(text string) []status {
	var out []status
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := replchkLine.FindStringSubmatch(line); m != nil && len(out) < maxValues {
			code, err := strconv.Atoi(m[4])
			if err != nil {
				continue
			}
			out = append(out, status{Role: m[1], URL: m[2], ServerID: m[3], Code: code, Status: m[5]})
		} else if n := len(out); n > 0 && csnForm.MatchString(line) && len(out[n-1].CSNs) < maxValues {
			out[n-1].CSNs = append(out[n-1].CSNs, line)
		}
	}
	return out
}

// parseMMR reads the listing of zmldapmmrtool -q.
func parseMMR(text string) mmr {
	var out mmr
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := serverLine.FindStringSubmatch(line); m != nil {
			out.ServerID = m[1]
		} else if m := ridLine.FindStringSubmatch(line); m != nil && len(out.Agreements) < maxValues {
			out.Agreements = append(out.Agreements, agreement{RID: m[1], Provider: m[2], TLS: m[3]})
		} else if m := errorLine.FindStringSubmatch(line); m != nil && out.Error == "" {
			out.Error = m[1]
		}
	}
	return out
}
