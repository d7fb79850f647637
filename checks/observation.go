package checks

import (
	"encoding/json"
	"fmt"
	"iter"
	"time"
)

// An Observation is what one look saw, or why it saw nothing. It is one line of
// an observations file.
type Observation struct {
	Subject string          `json:"subject"`
	Target  Target          `json:"target"`
	Vantage string          `json:"vantage"` // the node that looked
	At      time.Time       `json:"at"`
	Took    time.Duration   `json:"took"` // nanoseconds
	Data    json.RawMessage `json:"data,omitempty"`
	Error   string          `json:"error,omitempty"` // why nothing, or not all, was seen
}

// Of yields the observations of one kind of target with their data decoded. An
// observation whose data cannot be decoded is yielded with its Error set, like
// one that saw nothing: a judge has one case to handle.
func Of[T any](seen []Observation, kind string) iter.Seq2[Observation, T] {
	return func(yield func(Observation, T) bool) {
		for _, o := range seen {
			if o.Target.Kind != kind {
				continue
			}
			var data T
			if len(o.Data) > 0 {
				if err := json.Unmarshal(o.Data, &data); err != nil {
					o.Error = fmt.Sprintf("unreadable observation: %v", err)
				}
			} else if o.Error == "" {
				o.Error = "the observation is empty"
			}
			if !yield(o, data) {
				return
			}
		}
	}
}

// Pass is the finding that a check holds on a target, seen from o's vantage.
func (o Observation) Pass(check, target, format string, args ...any) Finding {
	return o.finding(Pass, check, target, format, args)
}

// Warn is the finding that something works and will hurt.
func (o Observation) Warn(check, target, format string, args ...any) Finding {
	return o.finding(Warn, check, target, format, args)
}

// Fail is the finding that something was seen and is wrong.
func (o Observation) Fail(check, target, format string, args ...any) Finding {
	return o.finding(Fail, check, target, format, args)
}

// Skip is the finding that a check does not apply, and why.
func (o Observation) Skip(check, target, format string, args ...any) Finding {
	return o.finding(Skip, check, target, format, args)
}

// Unknown is the finding that something could not be seen, and why.
func (o Observation) Unknown(check, target, format string, args ...any) Finding {
	return o.finding(Unknown, check, target, format, args)
}

// Unseen gives unknown for each of the checks, with the observation's own reason.
func (o Observation) Unseen(target string, checks ...string) []Finding {
	out := make([]Finding, len(checks))
	for i, c := range checks {
		out[i] = o.Unknown(c, target, "could not be seen: %s", o.Error)
	}
	return out
}

func (o Observation) finding(s Status, check, target, format string, args []any) Finding {
	message := format
	if len(args) > 0 {
		message = fmt.Sprintf(format, args...)
	}
	return Finding{
		Check: check, Target: target, Vantage: o.Vantage, Status: s,
		Message: message, At: o.At, Took: o.Took,
	}
}
