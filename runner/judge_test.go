package runner

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

func TestSelect(t *testing.T) {
	l := looking(0, nothing)
	suite := suiteOf(t, module(nil, check("m.forward", l), check("m.mx", l)))
	for _, tt := range []struct{ word, err string }{
		{"m", ""},
		{"m.mx", ""},
		{"all", ""},
		{"mm", `unknown subject "mm": did you mean m?`},
		{"m.foward", `unknown check "m.foward": did you mean m.forward?`},
		{"quetzalcoatl", `unknown subject "quetzalcoatl": see carbonio-check list`},
	} {
		_, err := Select(suite, []string{tt.word})
		if tt.err == "" {
			assert.NoError(t, err, tt.word)
		} else {
			assert.EqualError(t, err, tt.err)
		}
	}
	sel, err := Select(suite, []string{"m.mx"})
	require.NoError(t, err)
	assert.True(t, sel.Has("m.mx"))
	assert.False(t, sel.Has("m.forward"))
	assert.True(t, sel.Only("m"))
}

// observation is of the look of the tests.
func observation(data string, unseen *checks.Unseen) checks.Observation {
	return checks.Observation{Subject: "m", Kind: "look", Vantage: "n1", Target: target("t"), Data: json.RawMessage(data), Unseen: unseen}
}

func TestSilenceIsNeverSuccess(t *testing.T) {
	l := looking(1, nothing)
	plan := checks.Observation{Subject: "m", Kind: KindPlan, Vantage: "n1", Target: target("look"), Unseen: &checks.Unseen{Code: checks.Unplanned, Words: "no list"}}
	for _, tt := range []struct {
		seen    []checks.Observation
		status  checks.Status
		message string
	}{
		{nil, checks.Skip, "nothing to look at"},
		{[]checks.Observation{observation("1", nil)}, checks.Unknown, "looked at, but no conclusion was drawn"},
		{[]checks.Observation{observation("", &checks.Unseen{Code: checks.Failed, Words: "eof"})}, checks.Unknown, "could not be seen: eof"},
		{[]checks.Observation{plan}, checks.Unknown, "could not be seen: no list"},
	} {
		f := judged(t, module(nil, check("m.a", l)), scope, tt.seen...)
		require.Len(t, f, 1)
		assert.Equal(t, tt.status, f[0].Status)
		assert.Equal(t, tt.message, f[0].Message)
	}
}

func TestConsequencesNameTheRootCause(t *testing.T) {
	l := looking(0, nothing)
	name := check("m.name", l)
	ping := check("m.ping", l, name)
	port := check("m.port", l, ping)
	cluster := check("m.cluster", l)
	n1, n2 := from("n1"), from("n2")
	m := module(said(
		name.Fail(n1, "mbox1", "no name"),
		ping.Fail(n1, "mbox1", "no answer"),
		port.Unknown(n1, "mbox1", "not tried"),
		port.Pass(n1, "mbox2", "open"),
		port.Fail(n1, "mbox3", "closed"),
		cluster.Fail(n1, "kafka", "no leader").Needing(port.On("mbox3")),
		port.Fail(n2, "mbox1", "closed from here too"),
		cluster.Fail(from(""), "all", "behind").Needing(port.On("mbox1")),
		cluster.Fail(n1, "quorum", "the quorum is lost").Needing(port.On("mbox3")).Stops(),
		name.Fail(n2, "n2", "it says so itself"),
		ping.Fail(n1, "n2", "no answer"),
	), name, ping, port, cluster)
	scope := checks.Scope{Vantages: []checks.Vantage{{Node: "n1"}, {Node: "n2"}}}
	got := map[string]string{}
	for _, f := range judged(t, m, scope) {
		if f.Target != "" {
			said := string(f.Status) + ": " + f.Message
			if f.Cause != nil && f.Status == checks.Fail {
				said += " because of " + f.Cause.String()
			}
			got[f.Check.ID+" "+f.Target+" "+f.Vantage] = said
		}
	}
	assert.Equal(t, map[string]string{
		"m.name mbox1 n1":    "fail: no name",
		"m.ping mbox1 n1":    "skip: blocked by m.name mbox1",
		"m.port mbox1 n1":    "skip: blocked by m.name mbox1",
		"m.port mbox2 n1":    "pass: open",
		"m.port mbox3 n1":    "fail: closed",
		"m.cluster kafka n1": "skip: blocked by m.port mbox3",
		"m.port mbox1 n2":    "fail: closed from here too",
		"m.cluster all ":     "skip: blocked by m.port mbox1",
		// What has stopped is never folded away.
		"m.cluster quorum n1": "fail: the quorum is lost because of m.port mbox3",
		"m.name n2 n2":        "fail: it says so itself",
		"m.ping n2 n1":        "skip: blocked by m.name n2",
	}, got)
}

func TestARingOfNeedsHidesNothing(t *testing.T) {
	l := looking(0, nothing)
	a, b, c := check("m.a", l), check("m.b", l), check("m.c", l)
	failed := 0
	for _, f := range judged(t, module(said(
		a.Fail(from("n1"), "x", "a").Needing(b.On("x")),
		b.Fail(from("n1"), "x", "b").Needing(c.On("x")),
		c.Fail(from("n1"), "x", "c").Needing(a.On("x")),
		a.Fail(from("n1"), "y", "its own cause").Needing(a.On("y")),
	), a, b, c), scope) {
		if f.Status == checks.Fail {
			failed++
		}
	}
	assert.GreaterOrEqual(t, failed, 2)
}

func TestFindingsAreCompletedFromTheCatalogueAndSorted(t *testing.T) {
	l := looking(0, nothing)
	a, b := check("m.a", l), check("m.b", l)
	n1 := from("n1")
	var got []string
	for _, f := range judged(t, module(said(
		b.Pass(n1, "mbox10", "p"), b.Fail(n1, "mbox9", "f").Fix("its own").Per(platform.Policy),
		a.Warn(n1, "z", "w"), a.Pass(n1, "y", "p"),
	), a, b), scope) {
		words := []string{f.Check.ID, f.Target, f.Remedy}
		for _, s := range f.Sources {
			words = append(words, s.Title)
		}
		got = append(got, strings.Join(words, "|"))
	}
	assert.Equal(t, []string{"m.a|y|", "m.a|z|the remedy|the source", "m.b|mbox9|its own|" + platform.Policy.Title, "m.b|mbox10|"}, got)
}

// What a judge must not say is shown, whatever it says and whatever was asked.
func TestWhatAJudgeMustNotSayIsADefect(t *testing.T) {
	l := looking(0, nothing)
	own, other, foreign := check("m.a", l), check("m.b", l), check("z.z", l)
	suite := suiteOf(t, module(nil, own, other))
	for name, f := range map[string]checks.Finding{
		"another subject's check":      foreign.Fail(from("n1"), "x", "wrong"),
		"no check":                     {Status: checks.Pass, Vantage: "n1", Target: "x"},
		"a node that did not look":     other.Pass(from("n9"), "x", "right"),
		"a status that does not exist": {Check: other, Status: "splendid", Vantage: "n1", Target: "x", Stopped: true},
	} {
		m := suite.Modules()[0]
		m.Judge = func(checks.Scope, checks.Record) ([]checks.Finding, []checks.Cluster) {
			return []checks.Finding{f}, nil
		}
		got := Judge(suite, recorded(suite, Record{Scope: scope, Asked: Selection{words: []string{"m.b"}}}))
		assert.Equal(t, Undetermined, got.Verdict, name)
		require.NotEmpty(t, got.Findings, name)
		assert.Equal(t, checks.Unknown, got.Findings[0].Status, name)
		assert.True(t, got.Findings[0].Defect, name)
		assert.False(t, got.Findings[0].Stopped, name)
		assert.Contains(t, got.Findings[0].Message, "a defect in carbonio-check", name)
	}
}

// That the whole platform passes says nothing of a node that saw nothing.
func TestAPassOfThePlatformHidesNoBlindNode(t *testing.T) {
	l := looking(0, nothing)
	a := check("m.a", l)
	both := checks.Scope{Vantages: []checks.Vantage{{Node: "n1"}, {Node: "n2"}}}
	blind := observation("", &checks.Unseen{Code: checks.Failed, Words: "eof"})
	blind.Vantage = "n2"
	for _, tt := range []struct {
		platform checks.Finding
		findings int
	}{
		{a.Pass(from(""), "all", "agree"), 2},
		{a.Fail(from(""), "all", "disagree"), 1},
		{a.Unknown(from(""), "all", "n2 was not seen"), 1},
	} {
		got := judged(t, module(said(tt.platform), a), both, observation("1", nil), blind)
		assert.Len(t, got, tt.findings, tt.platform.Message)
	}
}

// concluding is a module that judges from what the others found.
func concluding(conclude func([]checks.Finding, []checks.Cluster) []checks.Finding, all ...*checks.Check) *checks.Module {
	for _, c := range all {
		c.Looks = nil
	}
	return &checks.Module{Name: "c", Checks: all, Conclude: func(_ checks.Scope, f []checks.Finding, c []checks.Cluster) []checks.Finding {
		return conclude(f, c)
	}}
}

func TestAConcluderSeesWhatTheOthersFound(t *testing.T) {
	l := looking(0, nothing)
	a, b := check("m.a", l), check("m.b", l)
	a.Clusters = true
	m := &checks.Module{Name: "m", Checks: []*checks.Check{a, b}, Judge: func(checks.Scope, checks.Record) ([]checks.Finding, []checks.Cluster) {
		return []checks.Finding{a.Fail(from("n1"), "x", "wrong")}, []checks.Cluster{{Check: a, Service: "s"}, {Check: check("z.z", l)}, {}}
	}}
	all := check("c.all", nil)
	c := concluding(func(before []checks.Finding, clusters []checks.Cluster) []checks.Finding {
		return []checks.Finding{all.Warn(from("n1"), "", "%d findings, the first of %s; %d clusters", len(before), before[0].Check.ID, len(clusters))}
	}, all)
	suite := suiteOf(t, m, c)
	got := Judge(suite, recorded(suite, Record{Scope: scope})).Findings
	last := got[len(got)-1]
	assert.Equal(t, "4 findings, the first of m.a; 1 clusters", last.Message, "a cluster of a foreign check is none, and a defect")
	assert.Equal(t, "the remedy", last.Remedy, "completed like any other")

	for word, brings := range map[string]bool{"c": true, "c.all": true, "m.b": false} {
		sel, err := Select(suite, []string{word})
		require.NoError(t, err)
		assert.Equal(t, brings, sel.Has("m.a"), word)
		assert.Equal(t, []string{word}, sel.Asked())
	}
	sel, err := Select(suite, nil)
	require.NoError(t, err)
	assert.True(t, sel.Has("m.b"), "nothing selected is everything")
}

// One that concludes nothing is unknown where there should have been a cluster.
func TestNothingConcludedIsNotHealth(t *testing.T) {
	l := looking(0, nothing)
	a, all := check("m.a", l), check("c.all", nil)
	a.Clusters = true
	c := concluding(func([]checks.Finding, []checks.Cluster) []checks.Finding { return nil }, all)
	of := func(findings ...checks.Finding) checks.Finding {
		suite := suiteOf(t, module(said(findings...), a), c)
		got := Judge(suite, recorded(suite, Record{Scope: scope})).Findings
		return got[len(got)-1]
	}
	assert.Equal(t, checks.Skip, of().Status)
	assert.Equal(t, checks.Unknown, of(a.Unknown(from("n1"), "x", "not seen")).Status)
}

var flag = &checks.Setting[bool]{Flag: "canary", Doc: "d"}

// What only the user can give is skipped, and looked at when it is given: by
// whoever is asked for it by name.
func TestWhatIsNotConfigured(t *testing.T) {
	l := looking(0, nothing)
	c := check("m.a", l)
	c.Wants, c.Components = flag, []platform.Component{platform.Mailstore}
	m := module(nil, c)
	m.Settings = []checks.AnySetting{flag}
	suite := suiteOf(t, m)
	with := func(on bool, component platform.Component) checks.Scope {
		s := scope
		s.Topology.Nodes = []platform.Node{{Name: "n1", Components: []platform.Component{component}}}
		s.Settings = checks.Settings{}
		if on {
			flag.Set(s.Settings, true)
		}
		return s
	}
	named := Selection{words: []string{"m"}}
	say := func(sel Selection, s checks.Scope) string {
		return Judge(suite, recorded(suite, Record{Asked: sel, Scope: s})).Findings[0].Message
	}
	assert.Equal(t, "not configured: --canary", say(Selection{}, with(false, platform.Mailstore)))
	assert.Equal(t, "no Mailstore & Provisioning on this node", say(Selection{}, with(true, platform.MTA)))
	assert.Empty(t, NotApplicable(c, named, with(true, platform.MTA), scope.Self()), "named and given: it is looked at")
	assert.NotEmpty(t, NotApplicable(c, named, with(false, platform.MTA), scope.Self()))
	key := &checks.Setting[string]{Key: "s3", Doc: "d"}
	assert.Equal(t, "not configured: s3 in the configuration (-c)", NotConfigured(key))
}

// The verdict says what it is about.
func TestVerdict(t *testing.T) {
	l := looking(0, nothing)
	a := check("m.a", l)
	n1 := from("n1")
	named := Selection{words: []string{"m"}}
	for _, tt := range []struct {
		name     string
		record   Record
		findings []checks.Finding
		want     Verdict
	}{
		{"all pass", Record{}, []checks.Finding{a.Pass(n1, "x", "p")}, Ready},
		{"a subset passes", Record{Asked: named}, []checks.Finding{a.Pass(n1, "x", "p")}, Passed},
		{"a warning is no failure", Record{}, []checks.Finding{a.Warn(n1, "x", "w")}, Ready},
		{"one fails", Record{}, []checks.Finding{a.Fail(n1, "x", "f"), a.Unknown(n1, "y", "u")}, NotReady},
		{"a subset fails", Record{Asked: named}, []checks.Finding{a.Fail(n1, "x", "f")}, Failed},
		{"one is unknown", Record{}, []checks.Finding{a.Pass(n1, "x", "p"), a.Unknown(n1, "y", "u")}, Undetermined},
		{"nothing applies", Record{}, []checks.Finding{a.Skip(n1, "", "no Kafka on this node")}, NothingChecked},
		{"nothing applies of a subset", Record{Asked: named}, nil, NothingChecked},
		{"interrupted", Record{Run: Run{Interrupted: true}}, []checks.Finding{a.Pass(n1, "x", "p")}, Undetermined},
		{"a file that could not be read", Record{Partial: true}, []checks.Finding{a.Pass(n1, "x", "p")}, Undetermined},
	} {
		tt.record.Scope = scope
		suite := suiteOf(t, module(said(tt.findings...), a))
		got := Judge(suite, recorded(suite, tt.record))
		assert.Equal(t, tt.want, got.Verdict, tt.name)
	}
}

func TestCoverage(t *testing.T) {
	l := looking(0, nothing)
	pass, skip, blind, part := check("m.pass", l), check("m.skip", l), check("m.blind", l), check("m.part", l)
	late := check("m.late", l)
	late.Phases = []checks.Phase{checks.Health}
	n1 := from("n1")
	suite := suiteOf(t, module(said(
		pass.Pass(n1, "x", "p"), skip.Skip(n1, "", "no Kafka"), blind.Unknown(n1, "", "u"),
		part.Pass(n1, "x", "p"), part.Unknown(n1, "y", "u"),
	), pass, skip, blind, part, late))
	got := Judge(suite, recorded(suite, Record{Scope: scope}))
	assert.Equal(t, Coverage{
		Asked: 5, Looked: 2, Unseen: 1,
		Skipped: map[string]int{"no Kafka": 1, "only once Carbonio is installed": 1},
	}, got.Coverage)
}
