package runner

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"carbonio-check/checks"
)

// Schema names the format of an observations file: JSON Lines, a Header, then
// one checks.Observation a line, then a Trailer. Files may be concatenated: a
// header begins the next node's observations.
const Schema = "carbonio-check/observations/v2"

// maxLine bounds one line of an observations file, in bytes, for whoever writes
// and whoever reads it.
const maxLine = 16 << 20

// A Header is the first line of an observations file.
type Header struct {
	Schema string       `json:"schema"`
	Run    Run          `json:"run"`
	Node   string       `json:"node"`            // the node that looked
	Asked  []string     `json:"asked,omitempty"` // the checks that were asked for; empty: everything
	Scope  checks.Scope `json:"scope"`
	// Planned are the targets of each look: what the file must hold.
	Planned Planned `json:"planned"`
	// Settings are those that the user had set, by key, to compare with those of
	// whoever judges. Judging takes none from here.
	Settings map[string]json.RawMessage `json:"settings,omitempty"`
}

// A Trailer is the last line: the file is whole when it is there and agrees.
type Trailer struct {
	Observations int    `json:"observations"`
	Digest       string `json:"digest"` // "sha256:" and hex, of all lines before it
}

// Run says which run it was.
type Run struct {
	ID          string        `json:"id"`
	Tool        string        `json:"tool"` // version of carbonio-check
	Started     time.Time     `json:"started"`
	Took        time.Duration `json:"took"` // nanoseconds
	Interrupted bool          `json:"interrupted,omitempty"`
}

// A Node is what one node saw in one run.
type Node struct {
	Run          Run
	Asked        Selection
	Scope        checks.Scope // of one vantage
	Planned      Planned
	Settings     map[string]json.RawMessage
	Observations []checks.Observation
	// Fault is what is wrong with the file that it was read from. Of a node that
	// looked just now it is empty.
	Fault string
	// Cut: that is all that is wrong; what is there was not changed.
	Cut bool
	// File is where it was read from.
	File   string
	digest string
}

// Name is the node that looked.
func (n Node) Name() string { return n.Scope.Self().Node }

// Given are the settings that differ from their defaults, as JSON.
func Given(suite checks.Suite, scope checks.Scope) map[string]json.RawMessage {
	out := map[string]json.RawMessage{}
	for _, s := range suite.Settings() {
		key := s.About().Key
		if key == "" || !s.Given(scope) {
			continue
		}
		if raw, err := json.Marshal(scope.Settings[key]); err == nil {
			out[key] = raw
		}
	}
	return out
}

// sealed writes lines, and keeps count of them.
type sealed struct {
	w      *bufio.Writer
	digest hash.Hash
}

// line writes a value as a line that no reader would refuse.
func (s sealed) line(v any) error {
	b, err := json.Marshal(v)
	switch {
	case err != nil:
		return err
	case len(b) >= maxLine:
		return fmt.Errorf("a line of %d bytes is longer than the %d that an observations file may hold", len(b), maxLine)
	}
	b = append(b, '\n')
	s.digest.Write(b)
	_, err = s.w.Write(b)
	return err
}

// Write writes an observations file.
func Write(w io.Writer, n Node) error {
	s := sealed{bufio.NewWriter(w), sha256.New()}
	head := Header{
		Schema: Schema, Run: n.Run, Node: n.Name(), Asked: n.Asked.Words(),
		Scope: n.Scope, Planned: n.Planned, Settings: n.Settings,
	}
	if err := s.line(head); err != nil {
		return err
	}
	for _, o := range n.Observations {
		if err := s.line(o); err != nil {
			return err
		}
	}
	trailer := Trailer{len(n.Observations), "sha256:" + hex.EncodeToString(s.digest.Sum(nil))}
	if err := s.line(map[string]Trailer{"trailer": trailer}); err != nil {
		return err
	}
	return s.w.Flush()
}

// Read reads an observations file, or several one after the other. What is wrong
// with the part of one node is that node's Fault, and costs no other; an error is
// for what is of no node, and comes with the nodes before it. name is for the
// errors.
func Read(name string, r io.Reader) ([]Node, error) {
	f := file{name: name}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := lines.Bytes()
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := f.line(line); err != nil {
			f.close()
			return f.nodes, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong) && len(f.nodes) > 0:
		f.fault("it holds a line of more than %d bytes, which carbonio-check never writes", maxLine)
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%s: not an observations file: a line is longer than %d bytes", name, maxLine)
	case err != nil:
		f.close()
		return f.nodes, fmt.Errorf("%s: %w", name, err)
	case len(f.nodes) == 0:
		return nil, fmt.Errorf("%s: no observations in it", name)
	}
	f.close()
	return f.nodes, nil
}

// A file is what was read of one so far.
type file struct {
	name   string
	nodes  []Node
	digest hash.Hash
	ended  bool // the last node has its trailer
	seen   map[string]bool
}

// last is the node whose observations are being read.
func (f *file) last() *Node { return &f.nodes[len(f.nodes)-1] }

// fault notes what is wrong with the last node's part: the first thing.
func (f *file) fault(format string, args ...any) {
	if n := f.last(); n.Fault == "" {
		n.Fault = fmt.Sprintf(format, args...)
	}
}

// close ends the part of the last node.
func (f *file) close() {
	if len(f.nodes) > 0 && !f.ended {
		f.last().Cut = f.last().Fault == ""
		f.fault("it was cut: its last line is missing")
	}
}

func (f *file) line(line []byte) error {
	switch {
	case bytes.HasPrefix(line, []byte(`{"schema":`)):
		f.close()
		node, err := readHeader(line)
		if err != nil {
			return err
		}
		node.File = f.name
		f.nodes = append(f.nodes, node)
		f.digest, f.ended, f.seen = sha256.New(), false, map[string]bool{}
	case len(f.nodes) == 0:
		return errors.New("not an observations file: the first line must be the header that carbonio-check observe writes")
	case f.ended:
		f.fault("something follows its last line")
	case bytes.HasPrefix(line, []byte(`{"trailer":`)):
		f.trailer(line)
		return nil
	default:
		f.observation(line)
	}
	f.digest.Write(line)
	f.digest.Write([]byte{'\n'})
	return nil
}

// trailer compares what was read with what was written.
func (f *file) trailer(line []byte) {
	f.ended = true
	var t struct{ Trailer Trailer }
	got := "sha256:" + hex.EncodeToString(f.digest.Sum(nil))
	switch err := json.Unmarshal(line, &t); {
	case err != nil:
		f.fault("its last line is unreadable")
	case t.Trailer.Observations != len(f.last().Observations):
		f.fault("it was changed: it holds %d observations, but was written with %d", len(f.last().Observations), t.Trailer.Observations)
	case t.Trailer.Digest != got:
		f.fault("it was changed after it was written")
	}
	f.last().digest = got
}

func (f *file) observation(line []byte) {
	var o checks.Observation
	err := json.Unmarshal(line, &o)
	key := o.Subject + "\x00" + o.Kind + "\x00" + o.Target.Name + "\x00" + o.Target.Address
	switch {
	case err != nil:
		f.fault("one of its lines is not an observation")
	case normal(o.Vantage) != f.last().Name():
		f.fault("it mixes nodes: an observation of %q is among those of %q", o.Vantage, f.last().Name())
	case f.seen[key]:
		f.fault("it was changed: the look at %s %s is in it twice", o.Subject, o.Target.Name)
	default:
		f.seen[key] = true
		o.Vantage = f.last().Name()
		f.last().Observations = append(f.last().Observations, o)
	}
}

func readHeader(line []byte) (Node, error) {
	var schema struct{ Schema string }
	if err := json.Unmarshal(line, &schema); err != nil {
		return Node{}, fmt.Errorf("unreadable header: %w", err)
	}
	switch schema.Schema {
	case Schema:
	case "carbonio-check/observations/v1":
		return Node{}, fmt.Errorf("the file is %s, from an earlier carbonio-check, and can no longer be judged: observe again", schema.Schema)
	default:
		return Node{}, fmt.Errorf("schema %q, want %q", schema.Schema, Schema)
	}
	var h Header
	if err := json.Unmarshal(line, &h); err != nil {
		return Node{}, fmt.Errorf("unreadable header: %w", err)
	}
	if len(h.Scope.Vantages) != 1 || h.Scope.Vantages[0].Node != h.Node {
		return Node{}, errors.New("unreadable header: it must name one vantage, its node")
	}
	h.Scope.Vantages[0].Node = normal(h.Node)
	return Node{Run: h.Run, Asked: Selection{h.Asked, h.Asked}, Scope: h.Scope, Planned: h.Planned, Settings: h.Settings}, nil
}
