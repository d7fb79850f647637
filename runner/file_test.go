package runner

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

var started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// node is what a node saw of two targets.
func node(name string) Node {
	n := Node{
		Run:     Run{ID: "run of " + name, Tool: "0.2", Started: started, Took: time.Second},
		Scope:   checks.Scope{Release: platform.R25_6, Vantages: []checks.Vantage{{Node: name, Phase: checks.Preinstall, Release: platform.R25_6}}},
		Planned: Planned{"m.look": {{Name: "t0", Node: "svc1", Address: "10.0.0.1:1"}, {Name: "t1"}}},
	}
	for _, t := range n.Planned["m.look"] {
		n.Observations = append(n.Observations, checks.Observation{
			Subject: "m", Kind: "look", Vantage: name, At: started, Data: json.RawMessage(`{"a":1}`),
			Target: checks.Target[json.RawMessage]{Name: t.Name, Node: t.Node, Address: t.Address},
		})
	}
	return n
}

func written(t testing.TB, nodes ...Node) string {
	t.Helper()
	var b bytes.Buffer
	for _, n := range nodes {
		require.NoError(t, Write(&b, n))
	}
	return b.String()
}

func read(t testing.TB, text string) []Node {
	t.Helper()
	nodes, err := Read("f", strings.NewReader(text))
	require.NoError(t, err)
	return nodes
}

func merged(t testing.TB, text string) Record {
	t.Helper()
	r, err := Merge(read(t, text))
	require.NoError(t, err)
	return r
}

func TestAnObservationsFileComesBackAsItWas(t *testing.T) {
	n := node("n1")
	n.Asked = Selection{words: []string{"m"}, with: []string{"n.a"}}
	n.Settings = map[string]json.RawMessage{"policy.mtu": json.RawMessage("9000")}
	got := read(t, written(t, n, node("n2")))
	require.Len(t, got, 2)
	assert.Empty(t, got[0].Fault)
	assert.Equal(t, n.Observations, got[0].Observations)
	assert.Equal(t, n.Run, got[0].Run)
	assert.Equal(t, n.Asked, got[0].Asked)
	assert.Equal(t, n.Planned, got[0].Planned)
	assert.Equal(t, n.Settings, got[0].Settings)
	assert.Equal(t, "n2", got[1].Name())
}

// Whatever line a writer takes, every reader takes.
func TestALineThatIsTooLongIsNotWritten(t *testing.T) {
	n := node("n1")
	n.Observations[0].Data = json.RawMessage(`"` + strings.Repeat("x", maxLine) + `"`)
	assert.ErrorContains(t, Write(&bytes.Buffer{}, n), "longer than")
	n.Observations[0].Data = json.RawMessage(`"` + strings.Repeat("x", MaxObservation-2) + `"`)
	assert.Empty(t, read(t, written(t, n))[0].Fault)
}

func TestReadRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ text, err string }{
		"empty":       {"", "f: no observations in it"},
		"no header":   {"{}\n", "f:1: not an observations file"},
		"schema":      {`{"schema":"x/v9"}`, `f:1: schema "x/v9"`},
		"version 1":   {`{"schema":"carbonio-check/observations/v1"}`, "from an earlier carbonio-check, and can no longer be judged: observe again"},
		"no vantages": {`{"schema":"` + Schema + `","node":"n1","scope":{}}`, "f:1: unreadable header"},
		"endless":     {strings.Repeat("x", maxLine+1), "f:1: not an observations file"},
		"no name":     {strings.ReplaceAll(written(t, node("n1")), `"n1"`, `""`), "does not say which node it is from"},
		"no phase":    {strings.Replace(written(t, node("n1")), `"preinstall"`, `"holiday"`, 1), `the phase "holiday" does not exist`},
		"a long name": {strings.Replace(written(t, node("n1")), `"0.2"`, `"`+strings.Repeat("x", 300)+`"`, 1), "no proper name"},
	} {
		_, err := Read("f", strings.NewReader(tt.text))
		assert.ErrorContains(t, err, tt.err, name)
	}
}

// What is wrong with the part of one node is named, and costs no other.
func TestAFaultCostsItsNode(t *testing.T) {
	whole := written(t, node("n1"))
	lines := strings.SplitAfter(strings.TrimSuffix(whole, "\n"), "\n")
	for name, tt := range map[string]struct {
		text, fault string
		left        int // observations that are judged
	}{
		"cut after a line":      {lines[0] + lines[1], "it was cut", 1},
		"cut before any":        {lines[0], "it was cut", 0},
		"cut within a line":     {lines[0] + lines[1] + lines[2][:20] + "\n", "it was cut", 1},
		"cut, and no line end":  {lines[0] + lines[1] + lines[2][:20] + "«", "it was cut", 1},
		"a line is missing":     {lines[0] + lines[2] + lines[3], "holds 1 observations, but was written with 2", 0},
		"a value was changed":   {strings.Replace(whole, `{"a":1}`, `{"a":2}`, 1), "changed after it was written", 0},
		"the header changed":    {strings.Replace(whole, `"preinstall"`, `"health"`, 1), "changed after it was written", 0},
		"a line is there twice": {lines[0] + lines[1] + lines[1] + lines[2] + lines[3], "in it twice", 0},
		"another node's line":   {lines[0] + strings.Replace(lines[1], `"n1"`, `"n2"`, 1) + lines[3], "mixes nodes", 0},
		"garbage":               {lines[0] + "\x00\x01\n" + lines[3], "not an observation", 0},
		"an unreadable end":     {lines[0] + lines[1] + lines[2] + `{"trailer":3}`, "last line is unreadable", 0},
		"an endless line":       {lines[0] + lines[1] + strings.Repeat("x", maxLine+1), "never writes", 0},
	} {
		t.Run(name, func(t *testing.T) {
			text, glued := strings.CutSuffix(tt.text, "«")
			if !glued {
				text = strings.TrimSuffix(text, "\n") + "\n"
			}
			r := merged(t, text+written(t, node("n2")))
			require.NotEmpty(t, r.Notes)
			assert.Contains(t, r.Notes[0], tt.fault)
			assert.True(t, r.Partial)
			seen, unseen := 0, 0
			for _, o := range r.Observations {
				switch {
				case o.Vantage == "n2":
					assert.Nil(t, o.Unseen, "n2 is whole")
				case o.Unseen == nil:
					seen++
				default:
					unseen++
					assert.Equal(t, checks.Missing, o.Unseen.Code)
				}
			}
			assert.Equal(t, tt.left, seen)
			assert.Equal(t, 2-tt.left, unseen, "each planned look is there, seen or not")
		})
	}
}

// What is of no node is named, and costs no node either.
func TestWhatIsOfNoNodeCostsNone(t *testing.T) {
	one, two := written(t, node("n1")), written(t, node("n2"))
	for name, tt := range map[string]struct{ text, err string }{
		"before":       {"garbage\n" + one + two, "f:1: not an observations file"},
		"between":      {one + "garbage\nmore of it\n" + two, "f:5: something follows the last line of the observations of n1"},
		"endless":      {one + strings.Repeat("x", maxLine+1) + "\n" + two, "f:5: something follows"},
		"a cut header": {one + two[:70] + two, "f:5: unreadable header"},
		"a bad header": {one + `{"schema":"x/v9"}` + "\n{}\n" + two, `f:5: schema "x/v9"`},
	} {
		nodes, err := Read("f", strings.NewReader(tt.text))
		require.ErrorContains(t, err, tt.err, name)
		assert.Equal(t, 1, strings.Count(err.Error(), "f:"), "%s: one complaint", name)
		require.Len(t, nodes, 2, name)
		assert.Empty(t, nodes[0].Fault, name)
		assert.Empty(t, nodes[1].Fault, name)
	}
}

// Editors and terminals add what does not matter.
func TestBlanksDoNotMatter(t *testing.T) {
	text := "\ufeff" + strings.ReplaceAll(written(t, node("n1")), "\n", " \r\n\n")
	assert.Empty(t, read(t, text)[0].Fault)
}

// What the file does not say was planned was not looked at; what was planned and
// had nothing to look at is no fault.
func TestWhatWasNotPlannedIsUnknown(t *testing.T) {
	n := node("n1")
	n.Observations = nil
	for message, planned := range map[string]Planned{
		"was not looked at":  {},
		"nothing to look at": {"m.look": {}},
		"could not be seen: the observations of n1 are incomplete: the look is missing": {"m.plan": {{Name: "look"}}},
	} {
		n.Planned = planned
		r := merged(t, written(t, n))
		got := Judge(suiteOf(t, module(nil, check("m.a", looking(0, nothing)))), r).Findings
		require.Len(t, got, 1)
		assert.Equal(t, message, got[0].Message)
	}
}

// A look at one address is not the look at another.
func TestTheLooksAtTwoAddressesAreTwo(t *testing.T) {
	n := node("n1")
	n.Planned = Planned{"m.look": {{Name: "t0", Address: "10.0.0.1:1"}, {Name: "t0", Address: "10.0.0.2:1"}}}
	n.Observations = n.Observations[:1]
	n.Observations[0].Target = target("t0")
	n.Observations[0].Target.Address = "10.0.0.2:1"
	r := merged(t, written(t, n))
	require.Len(t, r.Observations, 2)
	assert.Equal(t, "10.0.0.1:1", r.Observations[1].Target.Address)
	assert.Equal(t, checks.Missing, r.Observations[1].Unseen.Code)
}

// What this carbonio-check could not have seen is not dropped in silence.
func TestWhatNobodyCanJudgeIsSaid(t *testing.T) {
	n := node("n1")
	n.Observations[0].Kind = "later"
	r := merged(t, written(t, n))
	assert.False(t, r.Partial)
	r.Compare(suiteOf(t, module(nil, check("m.a", looking(0, nothing)))))
	assert.True(t, r.Partial)
	assert.Equal(t, []string{"n1: 1 observations are none that this carbonio-check makes (0.2): not judged"}, r.Notes)
}

// The first lines of a file are no healthy platform.
func TestWhatACutFileLacksIsUnknown(t *testing.T) {
	l := looking(0, nothing)
	a := check("m.a", l)
	m := &checks.Module{Name: "m", Checks: []*checks.Check{a}, Judge: func(_ checks.Scope, r checks.Record) (out []checks.Finding, _ []checks.Cluster) {
		for s := range l.In(r) {
			if _, ok := s.Got(); ok {
				out = append(out, a.Pass(s, s.Target.Name, "seen"))
			} else {
				out = append(out, a.Unseen(s, s.Target.Name))
			}
		}
		return out, nil
	}}
	lines := strings.SplitAfter(written(t, node("n1")), "\n")
	got := Judge(suiteOf(t, m), merged(t, lines[0]+lines[1]))
	assert.Equal(t, Undetermined, got.Verdict)
	require.Len(t, got.Findings, 2)
	assert.Equal(t, checks.Pass, got.Findings[0].Status)
	assert.Equal(t, checks.Unknown, got.Findings[1].Status)
	assert.Contains(t, got.Findings[1].Message, "it was cut")
	assert.Equal(t, Ready, Judge(suiteOf(t, m), merged(t, strings.Join(lines, ""))).Verdict)
}

// What was not asked on one node is unknown there, when the others were asked.
func TestWhatANodeWasNotAskedIsUnknown(t *testing.T) {
	l := looking(0, nothing)
	a, b := check("m.a", l), check("m.b", l)
	one := node("n1")
	one.Asked = Selection{words: []string{"m.a"}}
	r := merged(t, written(t, one, node("n2")))
	got := map[string]string{}
	for _, f := range Judge(suiteOf(t, module(said(a.Pass(from("n1"), "x", "p"), a.Pass(from("n2"), "x", "p"), b.Pass(from("n2"), "x", "p")), a, b)), r).Findings {
		got[f.Check.ID+" "+f.Vantage] = string(f.Status) + " " + f.Message
	}
	assert.Equal(t, map[string]string{
		"m.a n1": "pass p", "m.a n2": "pass p", "m.b n2": "pass p",
		"m.b n1": "unknown was not requested on n1",
	}, got)
}

func TestMerge(t *testing.T) {
	r := merged(t, written(t, node("N2."), node("n1")))
	assert.Equal(t, []string{"n1", "n2"}, []string{r.Scope.Vantages[0].Node, r.Scope.Vantages[1].Node}, "as topologies spell them")
	assert.Empty(t, r.Notes)

	_, err := Merge(read(t, written(t, node("n1"), node("N1"))))
	require.ErrorContains(t, err, "n1 is given twice")
	r = merged(t, written(t, node("n1"), node("n1")))
	assert.Len(t, r.Scope.Vantages, 1, "the same file, given twice")
	assert.Contains(t, r.Notes[0], "counted once")
	_, err = Merge(nil)
	require.ErrorContains(t, err, "no observations")

	nodes := []Node{node("n1"), node("n2")}
	nodes[0].Scope.Topology.Inventory = &platform.Inventory{Groups: []platform.Group{{Name: "kafka"}}}
	nodes[1].Scope.Topology.Inventory = &platform.Inventory{}
	_, err = Merge(nodes)
	assert.ErrorContains(t, err, "different inventories")
}

// Who is no node of the inventory is named, and not judged.
func TestAStrangerIsNotJudged(t *testing.T) {
	nodes := []Node{node("n1"), node("stranger")}
	for i := range nodes {
		nodes[i].Scope.Topology = platform.Topology{Inventory: &platform.Inventory{}, Nodes: []platform.Node{{Name: "n1"}}}
	}
	r, err := Merge(nodes)
	require.NoError(t, err)
	assert.Len(t, r.Scope.Vantages, 1)
	assert.True(t, r.Partial)
	assert.Contains(t, r.Notes[0], "stranger is not a node of the inventory")
	_, err = Merge(nodes[1:])
	require.ErrorContains(t, err, "none of the observed nodes")
}

// A node that knew only itself saw no platform.
func TestWhoLookedWithoutTheInventoryIsNotJudged(t *testing.T) {
	nodes := []Node{node("n1"), node("n2")}
	both := []platform.Node{{Name: "n1"}, {Name: "n2"}}
	nodes[0].Scope.Topology = platform.Topology{Inventory: &platform.Inventory{}, Nodes: both}
	nodes[1].Scope.Topology = platform.Topology{Nodes: both[1:]}
	r, err := Merge(nodes)
	require.NoError(t, err)
	assert.Len(t, r.Scope.Vantages, 1)
	assert.True(t, r.Partial)
	assert.Equal(t, []string{"n2 was observed without the inventory of the others: what it saw is not judged"}, r.Notes)
}

// The platform's release is the one that most of its nodes have.
func TestTheReleaseIsTheMajoritys(t *testing.T) {
	of := func(releases ...platform.Release) string {
		var all []checks.Vantage
		for _, r := range releases {
			all = append(all, checks.Vantage{Release: r})
		}
		return majority(all).String()
	}
	assert.Equal(t, "25.6", of(platform.R25_9, platform.R25_6, platform.R25_6))
	assert.Equal(t, "25.9", of(platform.R25_9, platform.R25_6))
	nodes := []Node{node("n1"), node("n2"), node("n3")}
	nodes[1].Scope.Vantages[0].Release = platform.R26_6
	r, err := Merge(nodes)
	require.NoError(t, err)
	assert.Equal(t, platform.R25_6, r.Scope.Release)
	assert.Equal(t, platform.R26_6, r.Scope.Vantages[1].Release, "each keeps its own")
}

// Thresholds are those of who judges; that a file was made with others is said.
func TestOtherSettingsAreSaid(t *testing.T) {
	mtu := &checks.Setting[int]{Key: "policy.mtu", Default: 1500, Within: checks.Between(68, 9000), Doc: "d"}
	m := module(nil, check("m.a", looking(0, nothing)))
	m.Settings = []checks.AnySetting{mtu}
	suite := suiteOf(t, m)
	lax := checks.Scope{Settings: checks.Settings{"policy.mtu": 68}}
	nodes := []Node{node("n1"), node("n2")}
	nodes[0].Settings = Given(suite, lax)
	r := merged(t, written(t, nodes...))
	assert.Equal(t, 1500, mtu.In(r.Scope), "none is taken from a file")
	r.Compare(suite)
	require.Len(t, r.Notes, 1)
	assert.Equal(t, "n1 was observed with settings other than those used to judge: policy.mtu", r.Notes[0])
	r = merged(t, written(t, nodes...))
	r.Scope.Settings = lax.Settings
	r.Compare(suite)
	assert.Contains(t, r.Notes[0], "n2 was observed")
	nodes[1].Settings = nodes[0].Settings
	r = merged(t, written(t, nodes...))
	r.Compare(suite)
	assert.Equal(t, []string{"n1, n2 were observed with settings other than those used to judge: policy.mtu"}, r.Notes, "one note of all")
	assert.Equal(t, "n1, n2, n3, n4 and 1 more", some([]string{"n1", "n2", "n3", "n4", "n5"}))
}

func TestMergedTopologies(t *testing.T) {
	a := platform.Topology{Nodes: []platform.Node{{Name: "n1"}}}
	b := platform.Topology{Nodes: []platform.Node{{Name: "n1", Components: []platform.Component{platform.MTA}}, {Name: "n2"}}}
	got, err := mergeTopology(a, b)
	require.NoError(t, err)
	assert.Equal(t, b.Nodes, got.Nodes)
	with := platform.Topology{Inventory: &platform.Inventory{File: "i"}}
	for _, pair := range [][2]platform.Topology{{with, a}, {a, with}, {with, with}} {
		got, err := mergeTopology(pair[0], pair[1])
		require.NoError(t, err)
		assert.Equal(t, "i", got.Inventory.File)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(written(f, node("n1"), node("n2")))
	f.Add(strings.Replace(written(f, node("n1")), "10.0.0.1", "\x1b[2J", 1))
	suite := suiteOf(f, module(nil, check("m.a", looking(0, nothing))))
	f.Fuzz(func(t *testing.T, text string) {
		nodes, err := Read("f", strings.NewReader(text))
		if err != nil {
			return
		}
		r, err := Merge(nodes)
		if err != nil {
			return
		}
		r.Compare(suite)
		got := Judge(suite, r)
		for _, n := range nodes {
			if n.Fault != "" && got.Verdict == Ready {
				t.Fatalf("%s: %s, and ready", n.Name(), n.Fault)
			}
		}
		_ = fmt.Sprint(got)
	})
}
