package postgres

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
)

const (
	// recent is how long a failover is worth a warning (ours: a checker that
	// runs every day tells of each once).
	recent = 24 * time.Hour
	lately = "the last 24 hours"
)

// timeline holds the leader against the newest timeline that anybody knows.
func (c cluster) timeline() checks.Finding {
	newest, whose := 0, ""
	var past []failover
	for _, m := range c.members {
		if h := failovers(m.History); len(h) > len(past) {
			past = h
		}
		if m.Status != nil && m.Status.Timeline > newest {
			newest, whose = m.Status.Timeline, m.node
		}
	}
	if n := len(past); n > 0 && past[n-1].timeline+1 > newest {
		newest, whose = past[n-1].timeline+1, "the history"
	}
	var late []string
	for _, f := range past {
		if age := c.At.Sub(f.at); !f.at.IsZero() && age < recent {
			late = append(late, fmt.Sprintf("%s: timeline %d, led by %s", f.at.UTC().Format(time.RFC3339), f.timeline+1, cmp.Or(f.leader, "?")))
		}
	}
	l, led := c.leader()
	switch {
	case newest == 0:
		return c.blind(c.Unknown(timelineID, subject, "no member says which timeline it is on"))
	case led && l.Status != nil && l.Status.Timeline > 0 && l.Status.Timeline < newest:
		return c.Fail(timelineID, subject, "%s leads on timeline %d, older than %d of %s", l.node, l.Status.Timeline, newest, whose).
			Saw(c.roles()).Wanted(fmt.Sprintf("a leader on timeline %d", newest)).
			Fix("patronictl -c /etc/patroni/config.yml history\npg_controldata /var/lib/postgresql/16/main | grep -i timeline     # on every node, before anything is thrown away")
	case len(late) > 0:
		return c.Warn(timelineID, subject, "the leader changed %s within %s", times(len(late)), lately).
			Saw(strings.Join(late[max(0, len(late)-most):], "\n")).Wanted("no failover that nobody ordered")
	}
	return c.Pass(timelineID, subject, "timeline %d is the newest, and the leader did not change within %s%s", newest, lately, c.unheard())
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// A failover is the end of a timeline. Old entries have no time and no leader.
type failover struct {
	timeline int
	at       time.Time
	leader   string
}

// failovers reads a history, and leaves out what is none.
func failovers(history [][]any) []failover {
	var out []failover
	for _, h := range history {
		h = append(slices.Clone(h), make([]any, 5)...)
		timeline, ok := h[0].(float64)
		if !ok || timeline < 1 || timeline > 1<<31 {
			continue
		}
		f := failover{timeline: int(timeline)}
		if text, ok := h[3].(string); ok {
			if at, err := time.Parse(time.RFC3339, text); err == nil {
				f.at = at
			}
		}
		f.leader, _ = h[4].(string)
		out = append(out, f)
	}
	return out
}

// replica judges a member that does not lead.
func (c cluster) replica(m member) checks.Finding {
	if m.silent() {
		return m.Unknown(replicasID, m.node, "%s does not say how far it is", m.node) // its silence: Needs of the catalogue
	}
	l, led := c.leader()
	s, streams := m.last(), c.streams(m)
	switch {
	case s.State != running && s.State != streaming:
		return m.Fail(replicasID, m.node, "PostgreSQL of %s is not running: %s", m.node, s.State).
			Saw(s.State).Wanted(running)
	case !led || l.Status == nil:
		return c.blind(m.Unknown(replicasID, m.node, "there is no one leader to hold %s against", m.node)).Needing(leaderID, subject)
	case s.Timeline > 0 && s.Timeline < l.Status.Timeline:
		return m.Fail(replicasID, m.node, "%s is on timeline %d, its leader on %d", m.node, s.Timeline, l.Status.Timeline).
			Saw(c.position(m, l)).Wanted(fmt.Sprintf("timeline %d", l.Status.Timeline))
	case streams == "":
		return m.Fail(replicasID, m.node, "%s does not stream from %s", m.node, l.node).
			Saw(c.position(m, l)).Wanted(streaming)
	case streams != streaming:
		return m.Warn(replicasID, m.node, "%s is catching up with %s: %s", m.node, l.node, streams).
			Saw(c.position(m, l)).Wanted(streaming)
	}
	return c.lag(m, l)
}

// streaming is the state of a replica that keeps its connection to the leader.
const streaming = "streaming"

// streams is the state of the member's replication, in the words of whoever it
// replicates from; empty when nobody knows it.
func (c cluster) streams(m member) string {
	state := ""
	for _, other := range c.members {
		if other.Status == nil {
			continue
		}
		for _, s := range other.last().Replication {
			if same(s.Name, application(m.name)) && state != streaming {
				state = s.State
			}
		}
	}
	return state
}

// application is the name of a replica as PostgreSQL shows it: cut to the length
// of its identifiers.
func application(name string) string { return name[:min(len(name), 63)] }

// lag holds what the replica has applied against what the leader had written:
// where it was asked twice, against a moment before, so load alone fails nobody.
func (c cluster) lag(m, l member) checks.Finding {
	s := m.last()
	behind := max(0, l.Status.XLog.Location-s.XLog.Replayed)
	stuck := m.Later != nil && m.Later.XLog.Replayed == m.Status.XLog.Replayed
	want := "at most 1 MiB behind"
	switch {
	case l.Status.XLog.Location == 0:
		return m.Unknown(replicasID, m.node, "%s does not say how far it has written", l.node)
	case s.XLog.Paused:
		return m.Warn(replicasID, m.node, "%s receives, and its replay is paused", m.node).
			Saw(c.position(m, l)).Wanted("replay that goes on").
			Fix("psql -c 'SELECT pg_wal_replay_resume()'     # on " + m.node)
	case behind > maxLag && stuck:
		return m.Fail(replicasID, m.node, "%s is %s behind, and stands still", m.node, size(behind)).
			Saw(c.position(m, l)).Wanted(want).
			Fix("journalctl -u patroni -n 50; ps -o stat,etime,cmd -C postgres     # on " + m.node + ": what holds the startup process?")
	case behind > maxLag:
		return m.Warn(replicasID, m.node, "%s is %s behind", m.node, size(behind)).
			Saw(c.position(m, l)).Wanted(want)
	}
	return m.Pass(replicasID, m.node, "%s streams, %s behind %s", m.node, size(behind), l.node).Saw(c.position(m, l))
}

// position shows where a replica is, and where its leader.
func (c cluster) position(m, l member) string {
	s := m.last()
	saw := fmt.Sprintf("%s: timeline %d, received %d, replayed %d\n%s: timeline %d, written %d",
		m.node, s.Timeline, s.XLog.Received, s.XLog.Replayed, l.node, l.Status.Timeline, l.Status.XLog.Location)
	if e, ok := l.entry(m.Target); ok && e.Lag == unknownLag {
		saw += "\nlag in the cluster's own list: unknown"
	}
	return saw
}

// size words a number of bytes.
func size(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%d bytes", bytes)
}
