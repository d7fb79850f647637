package directory

import (
	"context"
	"errors"
	"fmt"
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

// tools are what Carbonio's own programs say.
type tools struct {
	Replchk output[[]status] `json:"replchk"`
	MMRTool output[mmr]      `json:"mmrtool"`
}

// An output is a program's, understood as far as its source explains it.
type output[T any] struct {
	Said   T      `json:"said,omitzero"`
	Failed string `json:"failed,omitempty"` // its last words, when it died
	Unseen string `json:"unseen,omitempty"` // why it did not run
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

// The codes of zmreplchk (CCU replchk.pl).
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

func observeTools(ctx context.Context, host checks.Host) (any, error) {
	run, err := host.Zextras(ctx)
	if err != nil {
		return nil, err
	}
	var t tools
	together(2, func(i int) {
		if i == 0 {
			t.MMRTool = understand(run, ctx, mmrtool, parseMMR)
			return
		}
		for try := 1; ; try++ {
			t.Replchk = understand(run, ctx, replchk, parseReplchk)
			lags := slices.ContainsFunc(t.Replchk.Said, func(s status) bool { return s.Code == outOfSync })
			if !lags || try == tries {
				return
			}
			select {
			case <-ctx.Done():
				return
			case <-time.After(tryAgain):
			}
		}
	})
	return t, nil
}

// understand runs a program. Its exit status means little: both exit 0 over
// what is broken, and otherwise only when they died half-way.
func understand[T any](run checks.Shell, ctx context.Context, program string, parse func(string) T) output[T] {
	text, err := run(ctx, program)
	o := output[T]{Said: parse(text)}
	var exit *checks.ExitError
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &exit) && (exit.Code == 126 || exit.Code == 127):
		o.Unseen = "it is not there"
	case exit != nil && strings.HasPrefix(exit.Stderr, "su: "): // which did not get as far
		o.Unseen = exit.Stderr
	case exit != nil:
		o.Failed = firstOf(exit.Stderr, exit.Error())
	case err != nil:
		o.Unseen = err.Error()
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

func judgeTools(scope checks.Scope, o checks.Observation, t tools) []checks.Finding {
	if o.Error != "" {
		return o.Unseen("zmreplchk", toolsID)
	}
	v := servers{}
	for _, s := range seats(scope.Topology) {
		v.Members = append(v.Members, &member{seat: s})
	}
	if len(v.Members) < 2 {
		return []checks.Finding{o.Skip(toolsID, "zmreplchk", "the platform has one directory server: there is nothing to replicate")}
	}
	out := []checks.Finding{judgeReplchk(o, v, t.Replchk)}
	if v.masters() > 1 {
		out = append(out, judgeMMRTool(o, v, t.MMRTool))
	}
	return out
}

func judgeReplchk(o checks.Observation, v servers, said output[[]status]) checks.Finding {
	const target = "zmreplchk"
	switch {
	case said.Unseen != "":
		return o.Unknown(toolsID, target, "zmreplchk did not run: %s", said.Unseen)
	case said.Failed != "":
		return o.Fail(toolsID, target, "zmreplchk could not ask the servers").Saw(said.Failed)
	}
	var lines []string
	var bad []status
	for _, s := range said.Said {
		lines = append(lines, fmt.Sprintf("%s: %s Code: %d Status: %s", s.Role, s.URL, s.Code, s.Status))
		if s.Code != inSync && s.Code != outOfSync || s.Code == outOfSync && !agree(said.Said, v.masters()) {
			bad = append(bad, s)
		}
	}
	evidence := strings.Join(lines, "\n")
	for _, m := range v.Members {
		// With one master in ldap_master_url it prints no master at all.
		at := slices.IndexFunc(said.Said, func(s status) bool { return m.same(hostOf(s.URL)) })
		if at < 0 && (v.masters() > 1 && !m.Replica) {
			return o.Fail(toolsID, target, "zmreplchk does not know the master %s", m.Node).Saw(evidence).Wanted("every master in ldap_master_url")
		}
		// It says "CSNs Retrieved" and 0 of a master that replicates nothing.
		if at >= 0 && said.Said[at].Role == "Master" && said.Said[at].Code == inSync && (len(said.Said[at].CSNs) == 0 || !hasID(said.Said[at])) {
			return o.Fail(toolsID, target, "zmreplchk finds that %s is no replicating master", m.Node).Saw(evidence).Wanted("a ServerID and CSNs").Needing(serveridID, m.Node)
		}
	}
	if len(bad) == 0 {
		return o.Pass(toolsID, target, "zmreplchk finds every server in sync").Saw(evidence)
	}
	f := o.Fail(toolsID, target, "zmreplchk says of %s: %s", hostOf(bad[0].URL), bad[0].Status).Saw(evidence).Wanted("Code: 0 Status: In Sync")
	for _, s := range bad {
		if m := v.named(s.URL); m != nil {
			f = f.Needing(reachableID, m.Node).Needing(csnID, m.Node)
		}
	}
	return f
}

func hasID(s status) bool { return strings.Trim(s.ServerID, "0") != "" }

// agree says that the CSNs that zmreplchk printed are the same after all: it
// compares them one by one in the order they came, and they come in none.
func agree(all []status, masters int) bool {
	for _, s := range all {
		if vectorOf(s.CSNs, masters).String() != vectorOf(all[0].CSNs, masters).String() {
			return false
		}
	}
	return len(all) > 0 && len(all[0].CSNs) > 0
}

func judgeMMRTool(o checks.Observation, v servers, said output[mmr]) checks.Finding {
	const target = "zmldapmmrtool"
	self := v.called(o.Vantage)
	if self == nil {
		return o.Skip(toolsID, target, "this node is no directory server of the platform")
	}
	switch {
	case said.Unseen != "":
		return o.Unknown(toolsID, target, "zmldapmmrtool did not run: %s", said.Unseen)
	case said.Failed != "":
		return o.Fail(toolsID, target, "zmldapmmrtool could not read the configuration").Saw(said.Failed)
	case said.Said.Error != "":
		return o.Fail(toolsID, target, "zmldapmmrtool finds no multi-master configuration on this node").Saw(said.Said.Error).
			Wanted("Master Server ID, and an agreement with each other master").Needing(serveridID, self.Node).Needing(agreementsID, self.Node)
	case said.Said.ServerID == "":
		return o.Unknown(toolsID, target, "zmldapmmrtool said nothing that can be understood")
	}
	var seen, missing []string
	for _, a := range said.Said.Agreements {
		seen = append(seen, fmt.Sprintf("rid: %s URI: %s TLS: %s", a.RID, a.Provider, a.TLS))
	}
	for _, m := range v.Members {
		known := slices.ContainsFunc(said.Said.Agreements, func(a agreement) bool { return m.same(hostOf(a.Provider)) })
		if !m.Replica && m != self && !known {
			missing = append(missing, m.Node)
		}
	}
	if len(missing) > 0 {
		return o.Fail(toolsID, target, "zmldapmmrtool finds no agreement with %s", strings.Join(missing, ", ")).
			Saw(strings.Join(seen, "\n")).Wanted("an agreement with each other master").Needing(agreementsID, self.Node)
	}
	return o.Pass(toolsID, target, "zmldapmmrtool finds server ID %s, and an agreement with each other master", said.Said.ServerID).Saw(strings.Join(seen, "\n"))
}

// called is the member on a node.
func (v servers) called(node string) *member {
	for _, m := range v.Members {
		if m.same(node) {
			return m
		}
	}
	return nil
}
