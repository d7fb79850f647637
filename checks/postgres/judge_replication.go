package postgres

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
)

// recent is how long a failover is worth a warning (ours: a check that runs every
// day reports each once).
const recent = 24 * time.Hour

// judgeTimeline compares the leader's timeline with the newest that is known.
func (v view) judgeTimeline() checks.Finding {
	newest, whose, past := v.newest()
	latest := slices.MaxFunc(v.Members, func(a, b member) int { return a.At.Compare(b.At) })
	var late []string
	for _, f := range past {
		if !f.at.IsZero() && latest.At.Sub(f.at) < recent {
			late = append(late, fmt.Sprintf("%s: timeline %d, leader: %s", f.at.UTC().Format(time.RFC3339), f.timeline+1, cmp.Or(f.leader, "?")))
		}
	}
	l, led := v.leader()
	led = led && l.Status != nil
	switch {
	case newest == 0:
		return v.Unknown(timeline, "no member reports its timeline")
	case led && l.Status.Timeline > 0 && l.Status.Timeline < newest:
		return timeline.Fail(v.proof, subject, "the leader %s is on timeline %d, which is older than timeline %d of %s", l.Node(), l.Status.Timeline, newest, whose).
			Saw(v.roles()).Wanted(fmt.Sprintf("a leader on timeline %d", newest)).
			Fix(patronictl + "history\npg_controldata /var/lib/postgresql/16/main | grep -i timeline   # on every database node, before any data is discarded")
	case len(late) > 0:
		return timeline.Warn(v.proof, subject, "the leader has changed in the last 24 hours (failovers: %d)", len(late)).
			Saw(strings.Join(late[max(0, len(late)-most):], "\n")).Wanted("no unplanned failover")
	case !led || v.leading().ExactlyOne() != cluster.Yes:
		return v.becauseStoreless(v.Unknown(timeline, "there is no single leader to compare with timeline %d", newest)).Needing(leader.On(subject))
	case len(past) == 0 && len(v.those(func(m member) bool { return !m.silent() && m.HistoryUnseen == nil })) == 0:
		return v.becauseStoreless(v.Unknown(timeline, "no member reports the history of failovers"))
	}
	return timeline.Pass(v.proof, subject, "timeline %d is the newest, and the leader has not changed in the last 24 hours%s", newest, v.missing())
}

// newest is the newest timeline that is known, whose it is, and the failovers of the
// longest history.
func (v view) newest() (newest int, whose string, past []failover) {
	for _, m := range v.Members {
		if h := failovers(m.History); len(h) > len(past) {
			past = h
		}
		if m.Status != nil && m.Status.Timeline > newest {
			newest, whose = m.Status.Timeline, m.Node()
		}
	}
	if n := len(past); n > 0 && past[n-1].timeline+1 > newest {
		newest, whose = past[n-1].timeline+1, "the history"
	}
	return newest, whose, past
}

// A failover is the end of a timeline. Old entries have no time and no leader.
type failover struct {
	timeline int
	at       time.Time
	leader   string
}

// failovers reads a history, and omits what is no failover.
func failovers(history [][]any) []failover {
	var out []failover
	for _, h := range history {
		h = append(slices.Clone(h), make([]any, 5)...)
		timeline, ok := h[0].(float64)
		if !ok || timeline < 1 || timeline > 1<<31 {
			continue
		}
		f := failover{timeline: int(timeline)}
		text, _ := h[3].(string)
		f.at, _ = time.Parse(time.RFC3339, text)
		f.leader, _ = h[4].(string)
		out = append(out, f)
	}
	return out
}

func (v view) judgeReplica(m member) checks.Finding {
	name := m.Node()
	l, led := v.leader()
	switch s := m.last(); {
	case m.silent(): // agreement, which the catalogue needs, explains it
		return replicas.Unknown(m, name, "%s does not report its WAL position", name)
	case s.State != running && s.State != streaming:
		return replicas.Fail(m, name, "PostgreSQL on %s is not running: %s", name, s.State).Saw(s.State).Wanted(running).Fix(rebuild(name))
	case !led || l.Status == nil:
		f := replicas.Unknown(m, name, "there is no single leader to compare %s with", name)
		return cluster.Because(f, agreement, v.those(member.silent)).Needing(leader.On(subject))
	}
	return judgePosition(m, l, v.streams(m)).Saw(position(m, l))
}

// judgePosition compares what the replica has replayed with what the leader had
// written: where it was asked twice, with a moment before, so that load alone fails
// nobody.
func judgePosition(m, l member, streams string) checks.Finding {
	name, s := m.Node(), m.last()
	behind := max(0, l.Status.XLog.Location-s.XLog.Replayed)
	stuck := m.Later != nil && m.Later.XLog.Replayed == m.Status.XLog.Replayed
	const want = "at most 1 MiB behind"
	switch {
	case s.Timeline > 0 && s.Timeline < l.Status.Timeline:
		return replicas.Fail(m, name, "%s is on timeline %d, its leader on %d", name, s.Timeline, l.Status.Timeline).
			Wanted(fmt.Sprintf("timeline %d", l.Status.Timeline)).Fix(rebuild(name))
	case streams == "":
		return replicas.Fail(m, name, "%s does not stream from %s", name, l.Node()).Wanted(streaming).Fix(rebuild(name))
	case streams != streaming:
		return replicas.Warn(m, name, "%s is catching up with %s: %s", name, l.Node(), streams).Wanted(streaming).Fix(journal(name))
	case l.Status.XLog.Location == 0:
		return replicas.Unknown(m, name, "%s does not report how much WAL it has written", l.Node())
	case s.XLog.Paused:
		return replicas.Warn(m, name, "%s receives WAL, but its replay is paused", name).Wanted("replay that continues").
			Fix(checks.On(name) + "psql -c 'SELECT pg_wal_replay_resume()'")
	case behind > maxLag && stuck:
		return replicas.Fail(m, name, "%s is %s behind and makes no progress", name, size(behind)).Wanted(want).
			Fix(journal(name) + "; ps -o stat,etime,cmd -C postgres   # what blocks the startup process?")
	case behind > maxLag:
		return replicas.Warn(m, name, "%s is %s behind", name, size(behind)).Wanted(want).Fix(journal(name))
	}
	return replicas.Pass(checks.Together(m, l), name, "%s streams, %s behind %s", name, size(behind), l.Node())
}

func journal(name string) string { return checks.On(name) + "journalctl -u patroni -n 50" }

func rebuild(name string) string {
	return journal(name) + "\n" + patronictl + "reinit carbonio-psql-cluster " + name + "   # last resort: copies everything to it again"
}

func position(m, l member) string {
	s := m.last()
	saw := fmt.Sprintf("%s: timeline %d, received %d, replayed %d\n%s: timeline %d, written %d",
		m.Node(), s.Timeline, s.XLog.Received, s.XLog.Replayed, l.Node(), l.Status.Timeline, l.Status.XLog.Location)
	if l.entry(m.Target).Lag == unknownLag {
		saw += "\nlag in the cluster's own list: unknown"
	}
	return saw
}

func size(bytes int64) string {
	if bytes < 1<<20 {
		return fmt.Sprintf("%d bytes", bytes)
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}
