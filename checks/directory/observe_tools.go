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

	// zmreplchk must find a server out of sync this many times, so far apart.
	tries      = 3
	retryAfter = 2 * time.Second
)

// outputs are those of Carbonio's own programs.
type outputs struct {
	Replchk output[[]status] `json:"replchk"`
	MMRTool output[mmr]      `json:"mmrtool"`
}

// An output is what a program printed, parsed as its source explains.
type output[T any] struct {
	Said   T             `json:"said,omitzero"`
	Failed string        `json:"failed,omitempty"` // its last words, if it failed
	Unseen checks.Unseen `json:"unseen,omitzero"`  // why it did not run
}

// A status is one server in the output of zmreplchk.
type status struct {
	Role     string   `json:"role"` // "Master", "Replica"
	URL      string   `json:"url"`
	ServerID string   `json:"server_id,omitempty"`
	Code     int      `json:"code"`
	Status   string   `json:"status"`
	CSNs     []string `json:"csns,omitempty"`
}

// The codes of zmreplchk, from its source.
const (
	inSync    = 0
	outOfSync = 6
)

// mmr is the output of zmldapmmrtool.
type mmr struct {
	ServerID   string      `json:"server_id,omitempty"`
	Agreements []agreement `json:"agreements,omitempty"`
	Error      string      `json:"error,omitempty"` // it exits with 0 all the same
}

func observePrograms(ctx context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (outputs, error) {
	shell, err := host.Zextras(ctx)
	if err != nil {
		return outputs{}, err
	}
	var o outputs
	parallel(2, func(i int) {
		if i == 0 {
			o.MMRTool = run(ctx, shell, mmrtool, parseMMR)
			return
		}
		for try := 1; ; try++ {
			o.Replchk = run(ctx, shell, replchk, parseReplchk)
			lags := slices.ContainsFunc(o.Replchk.Said, func(s status) bool { return s.Code == outOfSync })
			if !lags || try == tries || !sleep(ctx, retryAfter) {
				return
			}
		}
	})
	return o, nil
}

// run runs a program. Its exit status means little: both exit with 0 when they
// report a problem, and with another status only when they failed themselves.
func run[T any](ctx context.Context, shell checks.Shell, program string, parse func(string) T) output[T] {
	text, err := shell(ctx, program)
	o := output[T]{Said: parse(text)}
	exit, exited := errors.AsType[*checks.ExitError](err)
	switch {
	case errors.Is(err, fs.ErrNotExist), exited && (exit.Code == 126 || exit.Code == 127):
		o.Unseen = failed("it is not installed")
	case exited && strings.HasPrefix(exit.Stderr, "su: "): // it did not even start the program
		o.Unseen = failed(exit.Stderr)
	case exited:
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

// parseReplchk parses the output of zmreplchk: a line per server, followed by
// its CSNs, one per line.
func parseReplchk(text string) []status {
	var out []status
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if m := replchkLine.FindStringSubmatch(line); m != nil && len(out) < maxValues {
			code, _ := strconv.Atoi(m[4]) // out of range it is no known code either
			out = append(out, status{Role: m[1], URL: m[2], ServerID: m[3], Code: code, Status: m[5]})
		} else if n := len(out); n > 0 && csnForm.MatchString(line) && len(out[n-1].CSNs) < maxValues {
			out[n-1].CSNs = append(out[n-1].CSNs, line)
		}
	}
	return out
}

// parseMMR parses the output of zmldapmmrtool -q.
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
