package runner

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Schema names the format of an observations file: JSON Lines, a Header, then
// one checks.Observation a line. Files may be concatenated: a header begins the
// next node's observations.
const Schema = "carbonio-check/observations/v1"

// maxLine bounds one line of an observations file, in bytes.
const maxLine = 16 << 20

// A Header is the first line of an observations file.
type Header struct {
	Schema string       `json:"schema"`
	Run    Run          `json:"run"`
	Node   string       `json:"node"`             // the node that looked
	Checks []string     `json:"checks,omitempty"` // what was asked for; empty: everything
	Scope  checks.Scope `json:"scope"`
}

// Run says which run it was.
type Run struct {
	ID          string        `json:"id"`
	Tool        string        `json:"tool"` // version of carbonio-check
	Started     time.Time     `json:"started"`
	Took        time.Duration `json:"took"` // nanoseconds
	Interrupted bool          `json:"interrupted,omitempty"`
}

// A Record is what one or more observations files hold together.
type Record struct {
	Run          Run
	Selection    Selection
	Scope        checks.Scope
	Observations []checks.Observation
}

// Write writes an observations file.
func Write(w io.Writer, r Record) error {
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(b)
	head := Header{Schema: Schema, Run: r.Run, Node: r.Scope.Self().Node, Checks: r.Selection.Words(), Scope: r.Scope}
	if err := enc.Encode(head); err != nil {
		return err
	}
	for _, o := range r.Observations {
		if err := enc.Encode(o); err != nil {
			return err
		}
	}
	return b.Flush()
}

// Read reads an observations file, or several one after the other. name is for
// the errors.
func Read(name string, r io.Reader) ([]Record, error) {
	var records []Record
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line := bytes.TrimSpace(lines.Bytes())
		switch {
		case len(line) == 0:
		case bytes.HasPrefix(line, []byte(`{"schema":`)):
			record, err := readHeader(line)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, n, err)
			}
			records = append(records, record)
		case len(records) == 0:
			return nil, fmt.Errorf("%s:%d: not an observations file: the first line must be the header that carbonio-check observe writes", name, n)
		default:
			var o checks.Observation
			if err := json.Unmarshal(line, &o); err != nil {
				return nil, fmt.Errorf("%s:%d: not an observation: %w", name, n, err)
			}
			last := &records[len(records)-1]
			if o.Vantage != last.Scope.Self().Node {
				return nil, fmt.Errorf("%s:%d: an observation of %q among those of %q", name, n, o.Vantage, last.Scope.Self().Node)
			}
			last.Observations = append(last.Observations, o)
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, fmt.Errorf("%s: not an observations file: a line is longer than %d bytes", name, maxLine)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(records) == 0 {
		return nil, fmt.Errorf("%s: no observations in it", name)
	}
	return records, nil
}

func readHeader(line []byte) (Record, error) {
	var h Header
	if err := json.Unmarshal(line, &h); err != nil {
		return Record{}, fmt.Errorf("unreadable header: %w", err)
	}
	if h.Schema != Schema {
		return Record{}, fmt.Errorf("schema %q, want %q", h.Schema, Schema)
	}
	if len(h.Scope.Vantages) != 1 || h.Scope.Vantages[0].Node != h.Node {
		return Record{}, errors.New("unreadable header: it must name one vantage, its node")
	}
	return Record{Run: h.Run, Selection: Selection{h.Checks}, Scope: h.Scope}, nil
}

// Merge puts the records of several nodes together, for one judgement. They
// must speak of one platform: nodes that were told different inventories, or a
// node that stands twice, cannot be judged together.
func Merge(records []Record) (Record, error) {
	if len(records) == 0 {
		return Record{}, errors.New("no observations to judge")
	}
	slices.SortStableFunc(records, func(a, b Record) int {
		return strings.Compare(a.Scope.Self().Node, b.Scope.Self().Node)
	})
	out := records[0]
	ends := out.Run.Started.Add(out.Run.Took)
	out.Observations = slices.Clone(out.Observations)
	out.Scope.Vantages = slices.Clone(out.Scope.Vantages)
	for i, r := range records[1:] {
		self := r.Scope.Self()
		if self.Node == records[i].Scope.Self().Node {
			return Record{}, fmt.Errorf("%s stands twice, from runs %s and %s: give one of them", self.Node, records[i].Run.ID, r.Run.ID)
		}
		topology, err := mergeTopology(out.Scope.Topology, r.Scope.Topology)
		if err != nil {
			return Record{}, fmt.Errorf("%s and %s: %w", out.Scope.Self().Node, self.Node, err)
		}
		out.Scope.Topology = topology
		out.Scope.Vantages = append(out.Scope.Vantages, self)
		out.Observations = append(out.Observations, r.Observations...)
		out.Selection = mergeSelection(out.Selection, r.Selection)
		out.Run.Interrupted = out.Run.Interrupted || r.Run.Interrupted
		if r.Run.Started.Before(out.Run.Started) {
			out.Run.Started = r.Run.Started
		}
		if e := r.Run.Started.Add(r.Run.Took); e.After(ends) {
			ends = e
		}
	}
	out.Run.Took = ends.Sub(out.Run.Started)
	return out, nil
}

func mergeTopology(a, b platform.Topology) (platform.Topology, error) {
	switch {
	case a.Inventory != nil && b.Inventory != nil:
		if !reflect.DeepEqual(a.Inventory.Groups, b.Inventory.Groups) {
			return a, errors.New("they were told different inventories: observe with the same one")
		}
		return a, nil
	case a.Inventory != nil:
		return a, nil
	case b.Inventory != nil:
		return b, nil
	}
	for _, n := range b.Nodes {
		if known, ok := a.Node(n.Name); !ok {
			a.Nodes = append(a.Nodes[:len(a.Nodes):len(a.Nodes)], n)
		} else if len(known.Components) == 0 {
			a.Nodes = slices.Clone(a.Nodes)
			for i := range a.Nodes {
				if a.Nodes[i].Name == known.Name {
					a.Nodes[i].Components = n.Components
				}
			}
		}
	}
	return a, nil
}

func mergeSelection(a, b Selection) Selection {
	if len(a.ids) == 0 || len(b.ids) == 0 {
		return Selection{}
	}
	ids := append(slices.Clone(a.ids), b.ids...)
	slices.Sort(ids)
	return Selection{slices.Compact(ids)}
}
