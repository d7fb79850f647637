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
	Asked  []string     `json:"asked,omitempty"` // the subjects and checks that were asked for; empty: everything
	With   []string     `json:"with,omitempty"`  // the checks that those brought along
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
		Schema: Schema, Run: n.Run, Node: n.Name(), Asked: n.Asked.words, With: n.Asked.with,
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
	lines := bufio.NewReader(r)
	for {
		line, err := readLine(lines)
		f.n++
		if line = bytes.Trim(line, "\ufeff \t\r\n"); len(line) > 0 {
			f.line(line)
		}
		switch {
		case errors.Is(err, bufio.ErrTooLong):
			f.tooLong()
		case errors.Is(err, io.EOF):
			f.close()
			if len(f.nodes) == 0 && len(f.errs) == 0 {
				f.wrong(0, "no observations in it")
			}
			return f.nodes, errors.Join(f.errs...)
		case err != nil:
			f.close()
			f.wrong(0, "%w", err)
			return f.nodes, errors.Join(f.errs...)
		}
	}
}

// readLine reads a line. Of one that is too long it returns nothing but
// bufio.ErrTooLong, and the next call goes on behind it.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	tooLong := false
	for {
		part, err := r.ReadSlice('\n')
		if tooLong = tooLong || len(line)+len(part) > maxLine; !tooLong {
			line = append(line, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case tooLong: // the end of the file, too, is for the next call
			return nil, bufio.ErrTooLong
		default:
			return line, err
		}
	}
}

// A file is what was read of one so far.
type file struct {
	name   string
	n      int // the number of the line
	nodes  []Node
	errs   []error // of what is of no node
	state  state
	digest hash.Hash
	seen   map[string]bool
}

// state is where in a file we are.
type state int

const (
	between state = iota // before the first header, or behind one that cannot be read
	inside
	torn  // the last line was no observation: a file that was cut, if nothing follows
	whole // the node has its trailer
)

// wrong notes what is wrong with what is of no node.
func (f *file) wrong(line int, format string, args ...any) {
	where := f.name
	if line > 0 {
		where = fmt.Sprintf("%s:%d", f.name, line)
	}
	f.errs = append(f.errs, fmt.Errorf("%s: "+format, append([]any{where}, args...)...))
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
	if f.state == inside || f.state == torn {
		f.last().Cut = f.last().Fault == ""
		f.fault("it was cut: its last line is missing")
	}
	f.state = between
}

// The beginning of a header, at the start of a line and behind a line that was cut.
var (
	anyHeader  = []byte(`{"schema":`)
	headerHere = []byte(`{"schema":"carbonio-check/observations/`)
)

func (f *file) line(line []byte) {
	at := max(bytes.LastIndex(line, headerHere), 0)
	switch {
	case at > 0:
		f.line(line[:at])
		f.header(line[at:])
		return
	case bytes.HasPrefix(line, anyHeader):
		f.header(line)
		return
	case f.state == between || f.state == whole:
		f.outsider()
		return
	case bytes.HasPrefix(line, []byte(`{"trailer":`)):
		f.trailer(line)
		return
	}
	f.observation(line)
	f.digest.Write(line)
	f.digest.Write([]byte{'\n'})
}

// outsider is a line that belongs to no node. One complaint is enough.
func (f *file) outsider() {
	switch {
	case f.state == whole:
		f.wrong(f.n, "something follows the last line of the observations of %s", f.last().Name())
	case len(f.nodes) == 0 && len(f.errs) == 0:
		f.wrong(f.n, "not an observations file: the first line must be the header that carbonio-check observe writes")
	}
	f.state = between
}

// tooLong is a line that is longer than any that carbonio-check writes.
func (f *file) tooLong() {
	if f.state == between || f.state == whole {
		f.outsider()
		return
	}
	f.fault("it holds a line of more than %d bytes, which carbonio-check never writes", maxLine)
}

func (f *file) header(line []byte) {
	f.close()
	node, err := readHeader(line)
	if err != nil {
		f.wrong(f.n, "%w", err)
		return
	}
	node.File = f.name
	f.nodes = append(f.nodes, node)
	f.state, f.digest, f.seen = inside, sha256.New(), map[string]bool{}
	f.digest.Write(line)
	f.digest.Write([]byte{'\n'})
}

// trailer compares what was read with what was written.
func (f *file) trailer(line []byte) {
	f.unlessTorn()
	f.state = whole
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

// unlessTorn finds fault with a line that was no observation, and is not the last.
func (f *file) unlessTorn() {
	if f.state == torn {
		f.fault("one of its lines is not an observation")
	}
	f.state = inside
}

func (f *file) observation(line []byte) {
	f.unlessTorn()
	var o checks.Observation
	err := json.Unmarshal(line, &o)
	key := o.Subject + "\x00" + o.Kind + "\x00" + o.Target.Name + "\x00" + o.Target.Address
	switch {
	case err != nil:
		f.state = torn
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
	if err := h.verify(); err != nil {
		return Node{}, fmt.Errorf("unreadable header: %w", err)
	}
	h.Scope.Vantages[0].Node = normal(h.Node)
	return Node{Run: h.Run, Asked: Selection{h.Asked, h.With}, Scope: h.Scope, Planned: h.Planned, Settings: h.Settings}, nil
}

// maxName bounds the names in a header, in bytes: DNS knows no longer one.
const maxName = 255

func (h Header) verify() error {
	switch v := h.Scope.Vantages; {
	case len(v) != 1 || v[0].Node != h.Node:
		return errors.New("it must name one vantage, its node")
	case h.Node == "" || len(h.Node) > maxName:
		return errors.New("it does not say which node it is from")
	case len(h.Run.ID) > maxName || len(h.Run.Tool) > maxName:
		return errors.New("the run has no proper name")
	case v[0].Phase != checks.Preinstall && v[0].Phase != checks.Health:
		return fmt.Errorf("the phase %q does not exist", v[0].Phase)
	}
	return nil
}
