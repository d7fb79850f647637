package directory

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestMain(m *testing.M) {
	limitDecoder() // before any other decoder runs
	goleak.VerifyTestMain(m)
}

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

// judged judges what one look saw.
func judged[Ask, Seen any](t *testing.T, scope checks.Scope, look *checks.Look[Ask, Seen], target checks.Target[Ask], seen any, err error) []checks.Finding {
	t.Helper()
	findings, clusters := judge(scope, record(t, look.Kind, target, seen, err))
	checkstest.Honest(t, Module, findings, clusters)
	return findings
}

func record[Ask any](t *testing.T, kind string, target checks.Target[Ask], seen any, err error) checks.Record {
	t.Helper()
	o := checks.Observation{Subject: Module.Name, Kind: kind, Vantage: one, At: time.Now()}
	o.Target = checks.Target[json.RawMessage]{Name: target.Name, Node: target.Node, Ask: raw(t, target.Ask)}
	if seen != nil {
		o.Data = raw(t, seen)
	}
	if err != nil {
		why := checks.Why(err)
		o.Unseen = &why
	}
	return checks.NewRecord([]checks.Observation{o})
}

func raw(t *testing.T, v any) json.RawMessage {
	t.Helper()
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return text
}

// seeing is a view of members, all that the inventory has.
func seeing(t *testing.T, members ...*member) view {
	t.Helper()
	for s := range servers.In(record(t, servers.Kind, checks.Target[ask]{Name: all}, snapshot{Members: members}, nil)) {
		return viewOf(checks.Scope{Topology: platform.Topology{Inventory: &platform.Inventory{}}}, s)
	}
	return view{}
}

func TestTargets(t *testing.T) {
	l := newLab(t)
	require.Equal(t, []server{{Name: one, Address: netip.MustParseAddr("10.0.0.1")}, {Name: two, Address: netip.MustParseAddr("10.0.0.2")}}, l.target(t).Ask.Servers)
	require.True(t, l.target(t).Ask.Installed)
	tools, err := programTargets(l.scope, l.host)
	require.NoError(t, err)
	require.Equal(t, []checks.Target[checks.Nothing]{{Name: one, Node: one}}, tools)

	canaries, err := canaryTargets(l.scope, l.host)
	require.NoError(t, err)
	require.Empty(t, canaries, "it writes only when asked to")
	withCanary.Set(l.scope.Settings, true)
	canaries, err = canaryTargets(l.scope, l.host)
	require.NoError(t, err)
	require.Len(t, canaries, 1)

	l.scope.Topology.Nodes = append([]platform.Node{checkstest.Node("r.example.com", "10.0.0.3", platform.Replica)}, l.scope.Topology.Nodes...)
	l.scope.Vantages[0].Node = "mbox1.example.com"
	require.False(t, l.target(t).Ask.Installed, "no JVM is started there")
	require.True(t, l.target(t).Ask.Servers[2].Replica, "the masters come first")
	tools, err = programTargets(l.scope, l.host)
	require.NoError(t, err)
	require.Empty(t, tools)

	l.scope.Topology.Nodes = nil
	none, err := targets(l.scope, l.host)
	require.NoError(t, err)
	require.Empty(t, none)
}

func TestSettings(t *testing.T) {
	require.NoError(t, login.Check(platform.Login{}))
	require.NoError(t, login.Check(platform.Login{User: root, Password: platform.SecretRef{Env: "X"}}))
	require.Error(t, login.Check(platform.Login{User: root}))
	require.Error(t, login.Check(platform.Login{Password: platform.SecretRef{Env: "X"}}))
}

func TestWell(t *testing.T) {
	l := newLab(t)
	l.serve(t, 0, l.well(t, 0, nil))
	l.serve(t, 1, l.well(t, 1, nil))
	seen, findings := l.look(t, plenty)
	require.Empty(t, statuses(findings), checkstest.Render(findings))
	require.Equal(t, 1, seen.Rounds, "what agrees is read once")
	require.Equal(t, root, seen.Members[0].User)
	require.Equal(t, agreement{"100", "ldap://" + two + ":389/", "critical"}, seen.Members[0].Config.Agreements[0])
	require.Len(t, find(findings, csn), 2)
	require.Len(t, find(findings, tolerance), 1)
}

// What is a moment behind is read again, and has caught up.
func TestCatchesUp(t *testing.T) {
	l := newLab(t)
	ahead, behind := l.well(t, 0, nil), l.well(t, 1, nil)
	ahead.csns = func(int) []string { return []string{later, csn1} }
	behind.csns = func(asked int) []string {
		if asked < 2 {
			return []string{csn1, csn2}
		}
		return []string{csn1, later}
	}
	l.serve(t, 0, ahead)
	l.serve(t, 1, behind)
	seen, findings := l.look(t, plenty)
	require.Empty(t, statuses(findings), checkstest.Render(findings))
	require.Equal(t, 3, seen.Rounds)
}

func TestStaysBehind(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	ahead, behind := l.well(t, 0, nil), l.well(t, 1, nil)
	ahead.csns = func(int) []string { return []string{later, csn1} }
	l.serve(t, 0, ahead)
	l.serve(t, 1, behind)
	_, findings := l.look(t, plenty)
	require.Equal(t, map[string]checks.Status{"csn " + two: checks.Fail}, statuses(findings), checkstest.Render(findings))
	require.Contains(t, checkstest.Render(findings), "to "+one+": -3.100s for server ID 2")
}

// Neither shows in the changes: where nobody writes, both servers have them all.
func TestLinkDownAndEntriesLost(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	poor := l.well(t, 0, nil)
	poor.links = map[string]string{"ldap://10.0.0.2:389/": ""}
	poor.entries = "93"
	l.serve(t, 0, poor)
	l.serve(t, 1, l.well(t, 1, nil))
	_, findings := l.look(t, plenty)
	require.Equal(t, map[string]checks.Status{"monitor " + one: checks.Fail, "entries " + all: checks.Fail}, statuses(findings), checkstest.Render(findings))
}

// Without StartTLS the changes are still seen, and no password is sent.
func TestNoStartTLS(t *testing.T) {
	l := newLab(t)
	open := l.well(t, 0, nil)
	open.tls = nil
	l.serve(t, 0, open)
	l.serve(t, 1, l.well(t, 1, nil))
	seen, findings := l.look(t, plenty)
	require.Equal(t, checks.Fail, statuses(findings)["reachable "+one])
	require.Empty(t, seen.Members[0].User)
	require.Empty(t, open.bound, "nobody logged in")
	require.Len(t, seen.Members[0].Last.CSNs, 2)
}

func TestCertificates(t *testing.T) {
	now, other := time.Now(), newAuthority(t)
	for name, c := range map[string]struct {
		make func(l *lab) *fake
		want checks.Status
	}{
		"expired": {func(l *lab) *fake {
			return l.certified(t, l.ca, now.AddDate(0, -2, 0), now.AddDate(0, -1, 0), one, one)
		}, checks.Fail},
		"early":      {func(l *lab) *fake { return l.certified(t, l.ca, now.AddDate(0, 1, 0), now.AddDate(0, 2, 0), one, one) }, checks.Fail},
		"wrong name": {func(l *lab) *fake { return l.certified(t, l.ca, now.AddDate(0, -1, 0), now.AddDate(0, 1, 0), two, two) }, checks.Warn},
		"stranger": {func(l *lab) *fake {
			return l.certified(t, other, now.AddDate(0, -1, 0), now.AddDate(0, 1, 0), one, one)
		}, checks.Warn},
		"common name": {func(l *lab) *fake { return l.certified(t, l.ca, now.AddDate(0, -1, 0), now.AddDate(0, 1, 0), one) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			f := c.make(l)
			l.serve(t, 0, f)
			l.serve(t, 1, l.well(t, 1, nil))
			seen, findings := l.look(t, plenty)
			require.Equal(t, c.want, statuses(findings)["reachable "+one], checkstest.Render(findings))
			require.Equal(t, c.want == "", seen.Members[0].User == root, "the password goes to who proves who it is")
			require.Equal(t, c.want == "", len(f.bound) > 0)
		})
	}
}

func (l *lab) certified(t *testing.T, ca authorityOf, from, until time.Time, common string, names ...string) *fake {
	t.Helper()
	f := l.well(t, 0, nil)
	f.tls = ca.issue(t, from, until, common, names...)
	return f
}

// Nobody knows who signs here, so nobody is blamed; and nobody is trusted.
func TestNoAuthorityKnown(t *testing.T) {
	l := newLab(t)
	l.host.Files = checkstest.Files(nil)
	l.serve(t, 0, l.well(t, 0, nil))
	l.serve(t, 1, l.well(t, 1, nil))
	seen, findings := l.look(t, plenty)
	require.Empty(t, seen.Members[0].User)
	require.Empty(t, statuses(findings)["reachable "+one], checkstest.Render(findings))
	require.Equal(t, checks.Unknown, statuses(findings)["serverid "+one])
}

func TestLogins(t *testing.T) {
	commands := func(lines map[string]string) checks.Command { return checkstest.Commands(lines) }
	const config = "/opt/zextras/bin/zmlocalconfig -x -s ldap_master_root_password ldap_root_password"
	for name, c := range map[string]struct {
		change func(l *lab)
		user   string
		why    string
	}{
		"of the configuration": {func(l *lab) {
			login.Set(l.scope.Settings, platform.Login{User: root, Password: platform.SecretRef{Env: "X"}})
			l.host.Run = nil
			l.host.Secret = func(platform.SecretRef) (string, error) { return secret, nil }
		}, root, ""},
		"that cannot be fetched": {func(l *lab) {
			login.Set(l.scope.Settings, platform.Login{User: root, Password: platform.SecretRef{Env: "X"}})
			l.host.Secret = func(platform.SecretRef) (string, error) { return "", errors.New("X is not set") }
		}, "", "the password of cn=config: X is not set"},
		"of the master first": {func(l *lab) {
			l.host.Run = commands(map[string]string{"su - zextras -c " + config: "ldap_root_password = old\nldap_master_root_password = " + secret + "\n"})
		}, root, ""},
		"as zextras itself": {func(l *lab) {
			l.host.Machine = checkstest.Machine{User: 999}
			l.host.Run = commands(map[string]string{"id -un": "zextras\n", "sh -c " + config: "ldap_root_password = " + secret + "\n"})
		}, root, ""},
		"as somebody": {func(l *lab) {
			l.host.Machine = checkstest.Machine{User: 1000}
			l.host.Run = commands(map[string]string{"id -un": "admin\n"})
		}, "", "run carbonio-check as root"},
		"that is wrong": {func(l *lab) {
			l.host.Run = commands(map[string]string{"su - zextras -c " + config: "ldap_root_password = wr0ng\n"})
		}, "", "login as cn=config failed"},
		"of a tool that fails": {func(l *lab) {
			l.host.Run = func(context.Context, string, ...string) (string, error) {
				return "", &checks.ExitError{Name: "su", Code: 3, Stderr: "wr0ng"}
			}
		}, "", "zmlocalconfig exited with status 3"},
		"that is not there": {func(l *lab) {
			l.host.Run = commands(map[string]string{"su - zextras -c " + config: "hello\n"})
		}, "", "zmlocalconfig shows no ldap_root_password"},
		"nowhere": {func(l *lab) { l.scope.Vantages[0].Node = "mbox1.example.com" }, "", "no login is known"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			c.change(l)
			l.serve(t, 0, l.well(t, 0, nil))
			l.serve(t, 1, l.well(t, 1, nil))
			seen, findings := l.look(t, plenty)
			require.Equal(t, c.user, seen.Members[0].User, seen.Members[0].NoLogin.Words)
			require.Contains(t, seen.Members[0].NoLogin.Words, c.why)
			require.NotContains(t, seen.Members[0].NoLogin.Words, "wr0ng")
			require.Contains(t, find(findings, csn)[0], "pass", "anybody may see the changes")
		})
	}
}

// A login that takes too long leaves the time to see what anybody may.
func TestLoginHangs(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.host.Run = func(ctx context.Context, _ string, _ ...string) (string, error) {
		<-ctx.Done()
		return "", ctx.Err()
	}
	l.serve(t, 0, l.well(t, 0, nil))
	l.serve(t, 1, l.well(t, 1, nil))
	seen, findings := l.look(t, 6*time.Second)
	require.Contains(t, seen.Members[0].NoLogin.Words, "zmlocalconfig did not run")
	require.Contains(t, find(findings, csn)[0], "pass")
}

// The answers to a request for StartTLS.
const (
	agreed   = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"
	declined = "\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"
)

// Hostile servers: each costs half of the time at most, and the other is judged
// all the same.
func TestHostile(t *testing.T) {
	const timeout = 4 * time.Second
	silence := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"accepts, and says nothing":     {silence, "accepts connections but does not respond"},
		"falls silent in the handshake": {func(c net.Conn) { reply(c, agreed); silence(c) }, "accepts connections but does not respond"},
		"hangs up":                      {func(net.Conn) {}, "closes them without a response"},
		"hangs up in the handshake":     {func(c net.Conn) { reply(c, agreed) }, "closes them without a response\n  seen: TLS handshake: "},
		"claims two gigabytes":          {func(c net.Conn) { flood(c, []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 4096)) }, "does not speak LDAP correctly"},
		"never ends a string":           {func(c net.Conn) { flood(c, []byte{0x30, 0x80, 0x04, 0x83, 0x0f, 0xff, 0xff}, make([]byte, 4096)) }, "does not speak LDAP correctly"},
		"nests without end":             {func(c net.Conn) { flood(c, nil, []byte(strings.Repeat("\x30\x80", 2048))) }, "nesting depth 32 exceeds maximum 32"},
		"answers what nobody asked":     {func(c net.Conn) { flood(c, nil, strange()) }, "is for another request"},
		"speaks something else":         {func(c net.Conn) { flood(c, []byte("220 smtp.example.com ESMTP\r\n"), []byte("500 what\r\n")) }, "does not speak LDAP correctly"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			l.at["10.0.0.1:389"] = checkstest.Serve(t, c.serve)
			l.serve(t, 1, l.well(t, 1, nil))
			seen, findings := l.lookBriefly(t, timeout)
			require.Equal(t, checks.Fail, statuses(findings)["reachable "+one], checkstest.Render(findings))
			require.Contains(t, checkstest.Render(findings), c.want)
			require.NotNil(t, seen.Members[1].Last)
			require.Equal(t, checks.Fail, statuses(findings)["tolerance "+all])
		})
	}
}

// What a server sends without end is not read without end, and that is what is
// said of it, whichever request it struck.
func TestFlood(t *testing.T) {
	l := newLab(t)
	var sent atomic.Int64
	l.at["10.0.0.1:389"] = checkstest.Serve(t, func(c net.Conn) {
		reply(c, declined)
		sent.Store(int64(flood(c, nil, strange())))
	})
	l.serve(t, 1, l.well(t, 1, nil))
	_, findings := l.lookBriefly(t, plenty)
	require.Contains(t, checkstest.Render(findings), "seen: "+errFlood.Error())
	const underWay = 32 << 20 // in the buffers of both ends, at the most
	require.Eventually(t, func() bool { return sent.Load() > 0 }, 10*time.Second, time.Millisecond)
	require.Less(t, sent.Load(), int64(maxBytes+underWay))
}

// lookBriefly is a look that ends before its time is over.
func (l *lab) lookBriefly(t *testing.T, timeout time.Duration) (snapshot, []checks.Finding) {
	t.Helper()
	began := time.Now()
	seen, findings := l.look(t, timeout)
	require.Less(t, time.Since(began), timeout)
	return seen, findings
}

// strange is the answer to request 77, which nobody made, with 64 KiB of text.
func strange() []byte {
	return append([]byte{0x30, 0x83, 0x01, 0x00, 0x0e, 0x02, 0x01, 77, 0x65, 0x83, 0x01, 0x00, 0x06, 0x0a, 0x01, 0x00, 0x04, 0x82, 0xff, 0xff}, strings.Repeat("x", 0xffff)...)
}

// reply waits for a request, and answers it.
func reply(c net.Conn, with string) {
	_, _ = c.Read(make([]byte, 1024))
	_, _ = io.WriteString(c, with)
}

// Nobody who could not be asked is blamed: not who has no address, nor who was
// not reached because this machine has no descriptors left.
func TestNotAsked(t *testing.T) {
	for name, c := range map[string]struct {
		change func(l *lab)
		want   string
	}{
		"no address":     {func(l *lab) { l.scope.Topology.Nodes[0].Address = netip.Addr{} }, "has no address"},
		"no descriptors": {func(l *lab) { l.fails = &net.OpError{Op: "dial", Err: syscall.EMFILE} }, "too busy: dial: too many open files"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			c.change(l)
			l.serve(t, 1, l.well(t, 1, nil))
			seen, findings := l.look(t, plenty)
			require.NotEmpty(t, seen.Members[0].LDAP.Unseen)
			require.Contains(t, find(findings, reachable)[0], c.want)
			require.Equal(t, map[string]checks.Status{
				"reachable " + one: checks.Unknown, "tolerance " + all: checks.Unknown, "entries " + all: checks.Unknown,
				"serverid " + one: checks.Unknown, "agreements " + one: checks.Unknown, "csn " + one: checks.Unknown, "monitor " + one: checks.Unknown,
				"serverid " + two: checks.Unknown, "csn " + two: checks.Unknown,
			}, statuses(findings), checkstest.Render(findings))
		})
	}
}

// While one server is waited for in vain, the connections to the others last:
// who is behind is read again.
func TestSilentBesideOneThatCatchesUp(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.scope.Topology.Nodes = append(l.scope.Topology.Nodes, checkstest.Node("ldap3.example.com", "10.0.0.3", platform.Directory))
	ahead, behind := l.well(t, 0, nil), l.well(t, 1, nil)
	ahead.csns = func(int) []string { return []string{later, csn1} }
	behind.csns = func(asked int) []string {
		if asked == 0 {
			return []string{csn1, csn2}
		}
		return []string{csn1, later}
	}
	l.serve(t, 0, ahead)
	l.serve(t, 1, behind)
	l.at["10.0.0.3:389"] = checkstest.Serve(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	seen, findings := l.lookBriefly(t, 4*time.Second)
	require.Contains(t, seen.Members[1].Last.CSNs, later)
	require.Equal(t, checks.Unknown, statuses(findings)["csn "+two], "the third may have more")
}

// Port 636 is not used, but whoever listens there must speak TLS.
func TestLDAPS(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  string
	}{
		"nobody":   {nil, "636: refuses connections"},
		"not TLS":  {func(c net.Conn) { _, _ = io.WriteString(c, "220 hello\r\n") }, "does not speak TLS there"},
		"hangs up": {func(net.Conn) {}, "does not speak TLS there"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			l.serve(t, 0, l.well(t, 0, nil))
			l.serve(t, 1, l.well(t, 1, nil))
			if c.serve != nil {
				l.at["10.0.0.1:636"] = checkstest.Serve(t, c.serve)
			}
			_, findings := l.look(t, plenty)
			require.Contains(t, checkstest.Render(findings), c.want)
		})
	}
}

// An interrupt ends the wait for a server at once.
func TestInterruptedWhileSilent(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	l.at["10.0.0.1:389"] = checkstest.Serve(t, func(c net.Conn) {
		_, _ = c.Read(make([]byte, 1024))
		cancel()
		_, _ = io.Copy(io.Discard, c)
	})
	began := time.Now()
	_, err := observe(ctx, l.host, l.target(t))
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(began), 20*time.Second)
}

// flood sends a beginning, and then the same for ever. It counts what went off.
func flood(c net.Conn, first, again []byte) (sent int) {
	n, err := c.Write(first)
	for sent = n; err == nil; sent += n {
		n, err = c.Write(again)
	}
	return sent
}

// A server that shakes hands and then falls silent is not one that answers.
func TestMute(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	mute := l.well(t, 0, nil)
	mute.mute = true
	l.serve(t, 0, mute)
	l.serve(t, 1, l.well(t, 1, nil))
	_, findings := l.lookBriefly(t, 4*time.Second)
	require.Contains(t, find(findings, reachable)[0], "does not respond")
	require.Equal(t, checks.Unknown, statuses(findings)["csn "+one])
}

// An interrupt is no verdict.
func TestInterrupted(t *testing.T) {
	l := newLab(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := observe(ctx, l.host, l.target(t))
	require.ErrorIs(t, err, context.Canceled)
}

func (l *lab) write(t *testing.T, timeout time.Duration) []checks.Finding {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	seen, err := observeCanary(ctx, l.host, l.target(t))
	require.NoError(t, err)
	return judged(t, l.scope, canaries, l.target(t), seen, nil)
}

func TestCanary(t *testing.T) {
	l, shared := newLab(t), &shelf{entries: map[string]bool{}}
	l.serve(t, 0, l.well(t, 0, shared))
	l.serve(t, 1, l.well(t, 1, shared))
	findings := l.write(t, plenty)
	require.Empty(t, statuses(findings), checkstest.Render(findings))
	require.Len(t, find(findings, canary), 2)
	require.Empty(t, shared.entries, "nothing is left")
	require.Equal(t, 2, shared.deleted)
}

// What does not arrive is removed all the same.
func TestCanaryDoesNotArrive(t *testing.T) {
	t.Parallel()
	l, here, there := newLab(t), &shelf{entries: map[string]bool{}}, &shelf{entries: map[string]bool{}}
	l.serve(t, 0, l.well(t, 0, here))
	l.serve(t, 1, l.well(t, 1, there))
	findings := l.write(t, 5*time.Second)
	require.Equal(t, map[string]checks.Status{"canary " + one: checks.Fail, "canary " + two: checks.Fail}, statuses(findings))
	require.Empty(t, here.entries)
	require.Empty(t, there.entries)
}

// An interrupt is no verdict either, and nothing is left behind.
func TestCanaryInterrupted(t *testing.T) {
	l, here, there := newLab(t), &shelf{entries: map[string]bool{}}, &shelf{entries: map[string]bool{}}
	l.serve(t, 0, l.well(t, 0, here))
	l.serve(t, 1, l.well(t, 1, there))
	ctx, cancel := context.WithTimeout(t.Context(), canaries.Timeout)
	defer cancel()
	here.added = cancel
	seen, err := observeCanary(ctx, l.host, l.target(t))
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, here.entries)
	require.Empty(t, there.entries)
	require.Positive(t, here.deleted)
	for target, status := range statuses(judged(t, l.scope, canaries, l.target(t), seen, err)) {
		require.Equal(t, checks.Unknown, status, target)
	}
}

// What cannot be removed is the first thing to say.
func TestCanaryStays(t *testing.T) {
	l, shared := newLab(t), &shelf{entries: map[string]bool{}, stuck: true}
	l.serve(t, 0, l.well(t, 0, shared))
	l.serve(t, 1, l.well(t, 1, shared))
	findings := l.write(t, plenty)
	require.Equal(t, map[string]checks.Status{"canary " + one: checks.Fail, "canary " + two: checks.Fail}, statuses(findings))
	for dn := range shared.entries {
		require.Contains(t, checkstest.Render(findings), "-W '"+dn+"'")
	}
}

// Where the server it was written on fell silent, another one removes it.
func TestCanaryRemovedElsewhere(t *testing.T) {
	l, shared := newLab(t), &shelf{entries: map[string]bool{}}
	stubborn := l.well(t, 0, shared)
	stubborn.keeps = true
	l.serve(t, 0, stubborn)
	l.serve(t, 1, l.well(t, 1, shared))
	findings := l.write(t, plenty)
	require.Empty(t, statuses(findings), checkstest.Render(findings))
	require.Empty(t, shared.entries)
}

func TestCanaryAlone(t *testing.T) {
	l, shared := newLab(t), &shelf{entries: map[string]bool{}}
	l.scope.Topology.Nodes = l.scope.Topology.Nodes[:1]
	l.serve(t, 0, l.well(t, 0, shared))
	findings := l.write(t, plenty)
	require.Contains(t, find(findings, canary)[0], "skip "+one)
	require.Empty(t, shared.entries)
}

// Who cannot be asked does not make an entry missing.
func TestCanaryNotEverybodyAsked(t *testing.T) {
	l, shared := newLab(t), &shelf{entries: map[string]bool{}}
	l.serve(t, 0, l.well(t, 0, shared))
	findings := l.write(t, plenty)
	require.Contains(t, find(findings, canary)[0], "unknown "+one+": whether what was written on "+one+" arrived on "+two+" is unknown: the server refuses connections")
	require.Contains(t, find(findings, canary)[1], "unknown "+two+": nothing was written")
}

func TestCanaryWithoutLogin(t *testing.T) {
	l, shared := newLab(t), &shelf{entries: map[string]bool{}}
	l.host.Run = checkstest.Commands(nil)
	l.serve(t, 0, l.well(t, 0, shared))
	l.serve(t, 1, l.well(t, 1, shared))
	findings := l.write(t, plenty)
	require.Equal(t, map[string]checks.Status{"canary " + one: checks.Unknown, "canary " + two: checks.Unknown}, statuses(findings))
}

// The sample of the documentation and of the program's source.
const replchkSample = `Master: ldap://srv1.example.com:389 ServerID: 1 Code: 0 Status: In Sync CSNs:
20251015095813.150894Z#000000#001#000000
20251015095813.150894Z#000000#002#000000
Master: ldap://srv2.example.com:389 ServerID:  Code: 6 Status: 0y 0M 0w 0d 0h 0m 5s behind CSNs:
20251015095808.150894Z#000000#001#000000
Master: ldap://srv3.example.com:389 ServerID:  Code: 4 Status: Server down
Replica: ldap://ds-replica.example.com:389 Code: 0 Status: In Sync CSNs:
20240129112059.968930Z#000000#000#000000
`

func TestParseReplchk(t *testing.T) {
	require.Equal(t, []status{
		{"Master", "ldap://srv1.example.com:389", "1", 0, "In Sync", []string{"20251015095813.150894Z#000000#001#000000", "20251015095813.150894Z#000000#002#000000"}},
		{"Master", "ldap://srv2.example.com:389", "", 6, "0y 0M 0w 0d 0h 0m 5s behind", []string{"20251015095808.150894Z#000000#001#000000"}},
		{"Master", "ldap://srv3.example.com:389", "", 4, "Server down", nil},
		{"Replica", "ldap://ds-replica.example.com:389", "", 0, "In Sync", []string{"20240129112059.968930Z#000000#000#000000"}},
	}, parseReplchk(replchkSample))
}

func TestParseMMR(t *testing.T) {
	require.Equal(t, mmr{ServerID: "1", Agreements: []agreement{{"100", "ldap://srv2.example.com:389/", "critical"}}},
		parseMMR("Master Server ID: 1\nMaster replication agreement: 1\nrid: 100 URI: ldap://srv2.example.com:389/ TLS: critical\n"))
	require.Equal(t, mmr{ServerID: "1", Agreements: []agreement{{"100", "ldap://srv2.example.com:389/", ""}}},
		parseMMR("Master Server ID: 1\nMaster replication agreement: 1\nrid: 100 URI: ldap://srv2.example.com:389/ TLS: \n"))
	require.Equal(t, mmr{Error: "No Server ID found.  This does not appear to be a multi-master server."},
		parseMMR("Error: No Server ID found.  This does not appear to be a multi-master server.\n"))
}

func TestTools(t *testing.T) {
	header := func(node, id, code string) string {
		return "Master: ldap://" + node + ":389 ServerID: " + id + " Code: " + code + " Status: x CSNs:\n"
	}
	const agrees = "Master Server ID: 1\nMaster replication agreement: 1\nrid: 100 URI: ldap://" + two + ":389/ TLS: critical\n"
	well := header(one, "1", "0") + csn1 + "\n" + csn2 + "\n" + header(two, "2", "0") + csn1 + "\n" + csn2 + "\n"
	for name, c := range map[string]struct {
		replchk, mmr string
		want         map[string]checks.Status
	}{
		"well":                {well, agrees, map[string]checks.Status{}},
		"only another order":  {header(one, "1", "6") + csn1 + "\n" + csn2 + "\n" + header(two, "2", "6") + csn2 + "\n" + csn1 + "\n", agrees, map[string]checks.Status{}},
		"out of sync":         {header(one, "1", "6") + csn1 + "\n" + later + "\n" + header(two, "2", "6") + csn1 + "\n" + csn2 + "\n", agrees, map[string]checks.Status{"tools zmreplchk": checks.Fail}},
		"down":                {header(one, "1", "0") + csn1 + "\n" + header(two, "", "4"), agrees, map[string]checks.Status{"tools zmreplchk": checks.Fail}},
		"one in the settings": {"", agrees, map[string]checks.Status{"tools zmreplchk": checks.Fail}},
		"no server ID":        {header(one, "0", "0") + csn1 + "\n" + header(two, "2", "0") + csn1 + "\n", agrees, map[string]checks.Status{"tools zmreplchk": checks.Fail}},
		"not multi-master":    {well, "Error: No Server ID found.  This does not appear to be a multi-master server.\n", map[string]checks.Status{"tools zmldapmmrtool": checks.Fail}},
		"no agreement":        {well, "Master Server ID: 1\nError: No sync replication entries found\n", map[string]checks.Status{"tools zmldapmmrtool": checks.Fail}},
		"another's agreement": {well, strings.ReplaceAll(agrees, two, "old.example.com"), map[string]checks.Status{"tools zmldapmmrtool": checks.Fail}},
		"not a word":          {well, "", map[string]checks.Status{"tools zmldapmmrtool": checks.Unknown}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			seen := outputs{Replchk: output[[]status]{Said: parseReplchk(c.replchk)}, MMRTool: output[mmr]{Said: parseMMR(c.mmr)}}
			findings := judged(t, l.scope, programs, checks.Target[checks.Nothing]{Name: one}, seen, nil)
			require.Equal(t, c.want, statuses(findings), checkstest.Render(findings))
		})
	}
}

func TestToolsRun(t *testing.T) {
	l := newLab(t)
	l.host.Run = func(_ context.Context, _ string, args ...string) (string, error) {
		if strings.HasSuffix(args[len(args)-1], replchk) {
			return "", &checks.ExitError{Name: "su", Code: 255, Stderr: "Unable to bind to master (ldap://srv1:389): Please set ldap_master_root_password"}
		}
		return "", &checks.ExitError{Name: "su", Code: 127, Stderr: "not found"}
	}
	look := func() map[string]checks.Status {
		var target checks.Target[checks.Nothing]
		seen, err := observePrograms(t.Context(), l.host, target)
		require.NoError(t, err)
		return statuses(judged(t, l.scope, programs, target, seen, nil))
	}
	require.Equal(t, map[string]checks.Status{"tools zmreplchk": checks.Fail, "tools zmldapmmrtool": checks.Unknown}, look())

	l.host.Run = func(context.Context, string, ...string) (string, error) {
		return "", &checks.ExitError{Name: "su", Code: 1, Stderr: "su: user zextras does not exist"}
	}
	require.Equal(t, map[string]checks.Status{"tools zmreplchk": checks.Unknown, "tools zmldapmmrtool": checks.Unknown}, look())

	l.host.Run = func(context.Context, string, ...string) (string, error) { return "", syscall.EMFILE }
	require.Equal(t, map[string]checks.Status{"tools zmreplchk": checks.Unknown, "tools zmldapmmrtool": checks.Unknown}, look())
}

func TestVector(t *testing.T) {
	two := snapshot{Members: []*member{{}, {}}}
	v := two.vector([]string{later, csn1, csn2, "20261122004857.148561Z#000000#000#000000", "nonsense", "20261122004857.1Z#0#1#0"})
	require.Equal(t, vector{"001": csn1, "002": later}, v, "the later of two, without 000 and nonsense")
	one := snapshot{Members: []*member{{}, {server: server{Replica: true}}}}
	require.Len(t, one.vector([]string{"20261122004857.148561Z#000000#000#000000"}), 1)
}

// member3 is one of three as a judge sees it.
func member3(node string, csns ...string) *member {
	return &member{
		server: server{Name: node}, LDAP: port{Contact: checks.Contact{State: checks.Open}}, User: root,
		First: &reading{CSNs: csns}, Last: &reading{CSNs: csns},
	}
}

func TestJudgeCSN(t *testing.T) {
	const old, none = "20261122004850.000000Z#000000#002#000000", "20261122004850.000000Z#000000#000#000000"
	for name, c := range map[string]struct {
		members []*member
		want    []string
	}{
		"joined without an ID": {
			[]*member{member3("a", csn1, csn2), member3("b", csn2, csn1), member3("c", csn1)},
			[]string{"pass a", "pass b", "fail c: c lacks changes that others have; to a: has nothing of server ID 2\nto b: has nothing of server ID 2"},
		},
		"older": {
			[]*member{member3("a", csn1, csn2), member3("b", csn2, csn1), member3("c", old, csn1)},
			[]string{"pass a", "pass b", "fail c: c lacks changes that others have; to a: -7.205s for server ID 2\nto b: -7.205s for server ID 2"},
		},
		"parted": {
			[]*member{member3("a", csn1, old), member3("b", csn2, "20261122004840.000000Z#000000#001#000000")},
			[]string{
				"fail a: a and b have diverged: each lacks changes of the other; to b: +17.149s for server ID 1, -7.205s for server ID 2",
				"fail b: b and a have diverged: each lacks changes of the other; to a: -17.149s for server ID 1, +7.205s for server ID 2",
			},
		},
		"an ID that nobody wrote under": {[]*member{member3("a", csn1), member3("b", csn1)}, []string{"pass a", "pass b"}},
		"only its own": {
			[]*member{member3("a", csn1), member3("b", csn1, csn2)},
			[]string{"warn a: a has no changes of server ID 2: b made them when it was set up, or they were never replicated; ", "pass b"},
		},
		"nothing since the IDs": {[]*member{member3("a", none), member3("b", none)}, []string{"pass a", "pass b"}},
		"remains of before":     {[]*member{member3("a", none, csn1), member3("b", csn1)}, []string{"pass a", "pass b"}},
		"not replicated": {
			[]*member{member3("a", csn1, csn2), member3("b")},
			[]string{"pass a", "fail b: b does not replicate: it has no contextCSN; "},
		},
		"nonsense":    {[]*member{member3("a", csn1, "20991232004850.000000Z#000000#00g#000000", "\x1b[2J"), member3("b", csn1)}, []string{"pass a", "pass b"}},
		"one and all": {[]*member{member3("a", csn1)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			findings, _ := seeing(t, c.members...).judge()
			for _, f := range findings {
				if f.Check != csn || f.Status == checks.Skip {
					continue
				}
				line := string(f.Status) + " " + f.Target
				if f.Status != checks.Pass {
					line += ": " + f.Message + "; " + f.Evidence["lag"]
				}
				got = append(got, line)
			}
			require.Equal(t, c.want, got)
		})
	}
}

// A link that is down explains a lag only behind who is at its other end.
func TestLagNeeds(t *testing.T) {
	a, b, c := member3("a", csn1, csn2), member3("b", csn1, csn2), member3("c", csn1)
	needs := func(l ...link) []checks.Need {
		c.Last.Links = l
		v := seeing(t, a, b, c, down("d", false))
		return v.judgeCSN(v.Members[2], v.goal()).Needs
	}
	monitor := monitor.On("c")
	require.Contains(t, needs(link{Provider: "ldap://a:389/"}), monitor)
	require.NotContains(t, needs(link{Provider: "ldap://d:389/"}), monitor)
	require.NotContains(t, needs(link{Provider: "ldap://a:389/", Connected: true}), monitor)
}

func TestJudgeAgreements(t *testing.T) {
	to := func(hosts ...string) []agreement {
		var out []agreement
		for i, h := range hosts {
			out = append(out, agreement{RID: strconv.Itoa(100 + i), Provider: "ldap://" + h + ":389/"})
		}
		return out
	}
	for name, c := range map[string]struct {
		config config
		want   string
		remedy string
	}{
		"all":            {config{Agreements: to("b", "c"), Multi: true}, "pass", ""},
		"one missing":    {config{Agreements: to("b"), Multi: true}, "fail a does not replicate from c", "-r 101 -m ldap://c:389/"},
		"with itself":    {config{Agreements: to("b", "c", "a"), Multi: true}, "warn a replicates from servers that are not other masters of this platform: ldap://a:389/", ""},
		"with a replica": {config{Agreements: to("b", "r"), Multi: true}, "fail a does not replicate from c", "-r 102"},
		"two missing":    {config{Multi: true}, "fail a does not replicate from b, c", "-r 100 -m ldap://b:389/'\nsu - zextras -c '/opt/zextras/libexec/zmldapenable-mmr -r 101 -m ldap://c:389/"},
		"twice":          {config{Agreements: append(to("b"), to("c")...), Multi: true}, "fail a has two agreements with rid 100", ""},
		"read only":      {config{Agreements: to("b", "c")}, "fail a accepts no changes: it replicates, but olcMirrorMode is not set", ""},
	} {
		t.Run(name, func(t *testing.T) {
			m := member3("a")
			m.Config = &c.config
			v := seeing(t, m, member3("b"), member3("c"), &member{server: server{Name: "r", Replica: true}})
			f := v.judgeAgreements(v.Members[0])
			require.True(t, strings.HasPrefix(string(f.Status)+" "+f.Message, c.want), f.Message)
			require.Contains(t, f.Remedy, c.remedy)
		})
	}
}

// No remedy gives an ID that another master has or is given.
func TestServerIDRemedy(t *testing.T) {
	with := func(node string, ids ...string) *member {
		m := member3(node)
		m.Config = &config{ServerIDs: ids}
		return m
	}
	for name, c := range map[string]struct {
		members []*member
		want    []string
	}{
		"the same":      {[]*member{with("a", "1"), with("b", "1"), with("c", "2")}, []string{"# on b olcServerID: 5", "# on b olcServerID: 5", ""}},
		"all the same":  {[]*member{with("a", "3"), with("b", "3"), with("c", "3")}, []string{"# on b olcServerID: 2", "# on b olcServerID: 2", "# on c olcServerID: 6"}},
		"none":          {[]*member{with("a"), with("b"), with("c", "1")}, []string{"# on a olcServerID: 4", "# on b olcServerID: 2", ""}},
		"one hidden":    {[]*member{with("a", "1"), with("b", "1"), member3("c")}, []string{"# on b # make sure first that c does not have ID 2 olcServerID: 2", "# on b # make sure first that c does not have ID 2 olcServerID: 2", ""}},
		"one of others": {[]*member{with("a", "1"), with("b", "2", "3"), with("c", "3")}, []string{"", "# on b olcServerID: 5", "# on c olcServerID: 6"}},
	} {
		t.Run(name, func(t *testing.T) {
			v := seeing(t, c.members...)
			for i, m := range v.Members {
				var got []string
				for line := range strings.Lines(v.judgeServerID(m).Remedy) {
					if !strings.HasPrefix(line, "# then") && strings.HasPrefix(line, "# ") || strings.HasPrefix(line, "olcServerID: ") {
						got = append(got, strings.TrimSpace(line))
					}
				}
				require.Equal(t, c.want[i], strings.Join(got, " "))
			}
		})
	}
}

func up(node string, replica bool) *member {
	m := member3(node)
	m.Replica = replica
	return m
}

func down(node string, replica bool) *member {
	return &member{server: server{Name: node, Replica: replica}, LDAP: port{Contact: checks.Contact{State: checks.Silent}}}
}

func unasked(node string, replica bool) *member {
	return &member{server: server{Name: node, Replica: replica}, LDAP: port{Unseen: checks.Unseen{Code: checks.Starved}}}
}

func TestTolerance(t *testing.T) {
	cluster := func(service string, members, able, unseen []string) checks.Cluster {
		return checks.Cluster{
			Check: tolerance, Vantage: one, Service: service, Needs: 1,
			Members: members, Able: append([]string{}, able...), Unseen: append([]string{}, unseen...),
		}
	}
	list := strings.Fields
	for name, c := range map[string]struct {
		members []*member
		status  checks.Status
		stopped bool
		want    []checks.Cluster
	}{
		"two":        {[]*member{up("a", false), up("b", false)}, checks.Pass, false, []checks.Cluster{cluster("directory", list("a b"), list("a b"), nil)}},
		"one of two": {[]*member{up("a", false), down("b", false)}, checks.Fail, false, []checks.Cluster{cluster("directory", list("a b"), list("a"), nil)}},
		"none":       {[]*member{down("a", false), down("b", false)}, checks.Fail, true, []checks.Cluster{cluster("directory", list("a b"), nil, nil)}},
		"only the replica": {
			[]*member{down("a", false), up("b", true)},
			checks.Fail, true,
			[]checks.Cluster{cluster("directory", list("a b"), list("b"), nil), cluster("directory writes", list("a"), nil, nil)},
		},
		"one master left": {
			[]*member{up("a", false), down("b", false), up("c", true)},
			checks.Fail, false,
			[]checks.Cluster{cluster("directory", list("a b c"), list("a c"), nil), cluster("directory writes", list("a b"), list("a"), nil)},
		},
		"the only master": {
			[]*member{up("a", false), up("b", true)},
			checks.Pass, false,
			[]checks.Cluster{cluster("directory", list("a b"), list("a b"), nil), cluster("directory writes", list("a"), list("a"), nil)},
		},
		"alone":           {[]*member{up("a", false)}, checks.Skip, false, []checks.Cluster{cluster("directory", list("a"), list("a"), nil)}},
		"one not asked":   {[]*member{up("a", false), unasked("b", false)}, checks.Unknown, false, []checks.Cluster{cluster("directory", list("a b"), list("a"), list("b"))}},
		"nobody asked":    {[]*member{unasked("a", false), unasked("b", false)}, checks.Unknown, false, []checks.Cluster{cluster("directory", list("a b"), nil, list("a b"))}},
		"enough all same": {[]*member{up("a", false), up("b", false), unasked("c", false)}, checks.Pass, false, []checks.Cluster{cluster("directory", list("a b c"), list("a b"), list("c"))}},
		"a master not asked": {
			[]*member{unasked("a", false), up("b", true), up("c", true)},
			checks.Unknown, false,
			[]checks.Cluster{cluster("directory", list("a b c"), list("b c"), list("a")), cluster("directory writes", list("a"), nil, list("a"))},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f, clusters := seeing(t, c.members...).judgeTolerance()
			require.Equal(t, c.status, f.Status, f.Message)
			require.Equal(t, c.stopped, f.Stopped)
			require.Equal(t, c.want, clusters)
		})
	}
}

// What another vantage sees at work has not stopped.
func TestStopped(t *testing.T) {
	for name, c := range map[string]struct {
		here, there []*member
		stopped     bool
	}{
		"nobody sees any":           {[]*member{down("a", false), down("b", false)}, []*member{down("a", false), down("b", false)}, true},
		"another sees one":          {[]*member{down("a", false), down("b", false)}, []*member{down("a", false), up("b", false)}, false},
		"another did not see":       {[]*member{down("a", false), down("b", false)}, []*member{unasked("a", false), unasked("b", false)}, true},
		"another sees a master":     {[]*member{down("a", false), up("b", true)}, []*member{up("a", false), down("b", true)}, false},
		"another sees the replica":  {[]*member{down("a", false), up("b", true)}, []*member{down("a", false), up("b", true)}, true},
		"nobody but the other does": {[]*member{down("a", false), down("b", true)}, []*member{down("a", false), up("b", true)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []checks.Observation
			for vantage, members := range map[string][]*member{one: c.here, two: c.there} {
				seen = append(seen, checks.Observation{Kind: servers.Kind, Vantage: vantage, Data: raw(t, snapshot{Members: members})})
			}
			findings, _ := judge(newLab(t).scope, checks.NewRecord(seen))
			i := slices.IndexFunc(findings, func(f checks.Finding) bool { return f.Check == tolerance && f.Vantage == one })
			require.Equal(t, checks.Fail, findings[i].Status)
			require.Equal(t, c.stopped, findings[i].Stopped, findings[i].Message)
		})
	}
}

// Without an inventory what was seen of several servers counts all the same: only
// that there is no other one is unknown, and with it what their loss stops.
func TestSeveralWithoutInventory(t *testing.T) {
	unsure := []string{"one_left", "stopped_only_from_here"}
	for _, c := range checkstest.Cases(t, Module, "testdata") {
		if c.Scope.Topology.Inventory == nil {
			continue
		}
		known, _ := judge(c.Scope, checks.NewRecord(c.Seen))
		want := statuses(known)
		if slices.Contains(unsure, c.Name) {
			want["tolerance "+all] = checks.Unknown
		}
		c.Scope.Topology.Inventory = nil
		findings, clusters := judge(c.Scope, checks.NewRecord(c.Seen))
		require.Equal(t, want, statuses(findings), c.Name)
		require.Empty(t, clusters, c.Name)
		require.NotContains(t, checkstest.Render(findings), "STOPPED", c.Name)
	}
}

// A server that nobody lists may work, be the master, or be who is replicated from.
func TestUnlisted(t *testing.T) {
	from := func(m *member, host string) *member {
		m.Config = &config{Agreements: []agreement{{RID: "100", Provider: "ldap://" + host + ":389/"}}, Multi: true}
		return m
	}
	for name, c := range map[string]struct {
		members []*member
		judge   func(view) checks.Finding
		want    checks.Status
	}{
		"two at work":             {[]*member{up("a", false), up("b", false)}, tolerates, checks.Pass},
		"one of two":              {[]*member{up("a", false), down("b", false)}, tolerates, checks.Unknown},
		"none of two":             {[]*member{down("a", false), down("b", false)}, tolerates, checks.Unknown},
		"the only known master":   {[]*member{up("a", false), up("b", true)}, tolerates, checks.Unknown},
		"its server ID":           {[]*member{up("a", false), up("b", true)}, func(v view) checks.Finding { return v.judgeServerID(v.Members[0]) }, checks.Unknown},
		"its agreements":          {[]*member{up("a", false), up("b", true)}, agrees(0), checks.Unknown},
		"a replica of it":         {[]*member{up("a", false), from(up("b", true), "a")}, agrees(1), checks.Pass},
		"a replica of another":    {[]*member{up("a", false), from(up("b", true), "c")}, agrees(1), checks.Unknown},
		"with another as well":    {[]*member{from(up("a", false), "c"), from(up("b", true), "a")}, agrees(0), checks.Unknown},
		"not with a known one":    {[]*member{from(up("a", false), "c"), up("b", false)}, agrees(0), checks.Fail},
		"a replica of nobody":     {[]*member{up("a", false), {server: server{Name: "b", Replica: true}, Config: &config{}}}, agrees(1), checks.Fail},
		"a replica that is alone": {[]*member{up("a", true)}, tolerates, checks.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			v := seeing(t, c.members...)
			v.inventory = false
			f := c.judge(v)
			require.Equal(t, c.want, f.Status, f.Message)
			require.False(t, f.Stopped)
		})
	}
}

func tolerates(v view) checks.Finding {
	f, _ := v.judgeTolerance()
	return f
}

func agrees(i int) func(view) checks.Finding {
	return func(v view) checks.Finding { return v.judgeAgreements(v.Members[i]) }
}

// A look that saw nothing hands its cluster up all the same, with nobody seen.
func TestNothingSeen(t *testing.T) {
	l := newLab(t)
	findings, clusters := judge(l.scope, record(t, servers.Kind, l.target(t), nil, context.DeadlineExceeded))
	checkstest.Honest(t, Module, findings, clusters)
	for _, f := range findings {
		require.Equal(t, checks.Unknown, f.Status, f.Message)
	}
	require.Len(t, clusters, 1)
	require.Equal(t, []string{one, two}, clusters[0].Unseen)
	require.Empty(t, clusters[0].Able)
}

func TestIDs(t *testing.T) {
	m := &member{server: server{Name: one, Address: netip.MustParseAddr("10.0.0.1")}}
	for _, c := range []struct{ values, want []string }{
		{[]string{"1"}, []string{"001"}},
		{[]string{"0x10"}, []string{"010"}},
		{[]string{"1 ldap://" + one + ":389/", "2 ldap://" + two + ":389/"}, []string{"001"}},
		{[]string{"2 ldap://10.0.0.1"}, []string{"002"}},
		{[]string{"4096", "x", ""}, nil},
	} {
		m.Config = &config{ServerIDs: c.values}
		require.Equal(t, c.want, m.ids(), c.values)
	}
}

func TestHostOf(t *testing.T) {
	for url, want := range map[string]string{
		"ldap://srv1.example.com:389/": "srv1.example.com", "ldaps://srv1": "srv1", "ldap://[fd00::1]:389": "fd00::1",
		"ldap://a:389 ldap://b:389": "a", "nonsense": "", "": "", "ldap://[": "",
	} {
		require.Equal(t, want, hostOf(url), url)
	}
}

// Whatever the password is, no word of it is taken for anything else.
func FuzzAgreement(f *testing.F) {
	f.Add("hunter2")
	f.Add("a rid=7 provider=b starttls=no")
	f.Fuzz(func(t *testing.T, password string) {
		value := `{0}rid=100 provider=ldap://srv2:389/ credentials="` + strings.ReplaceAll(password, `"`, "") + `" starttls=critical`
		require.Equal(t, agreement{"100", "ldap://srv2:389/", "critical"}, parseAgreement(value))
	})
}

func FuzzReplchk(f *testing.F) {
	f.Add(replchkSample)
	f.Fuzz(func(t *testing.T, s string) {
		require.LessOrEqual(t, len(parseReplchk(s)), maxValues)
		parseMMR(s)
	})
}

// Whatever an observations file says, a judge judges.
func FuzzJudge(f *testing.F) {
	f.Add([]byte(`{"members":[null,{"node":"a"},{"node":"b","last":{"csns":["x"]},"config":{}}],"rounds":1}`))
	f.Add([]byte(`{"members":[{"node":"a","ldap":{"contact":{"state":"silent"}}}]}`))
	f.Add([]byte(`{"members":[{"node":"a","ldap":{"contact":{"state":"open"}},"last":{"csns":["` + csn1 + `"]}},{"node":"b","ldap":{"contact":{"state":"open"}},"first":{}}]}`))
	f.Add([]byte(`[{"node":"a","arrivals":[{"node":"b"},{"node":"c","unasked":{"code":"x"}}]}]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if !json.Valid(data) {
			return
		}
		var seen []checks.Observation
		for _, kind := range []string{servers.Kind, programs.Kind, canaries.Kind} {
			seen = append(seen, checks.Observation{Subject: Module.Name, Kind: kind, Vantage: one, Data: data})
		}
		scope := checkstest.Scope(checkstest.Node(one, "10.0.0.1", platform.Directory), checkstest.Node(two, "", platform.Directory))
		findings, clusters := judge(scope, checks.NewRecord(seen))
		checkstest.Honest(t, Module, findings, clusters)
	})
}
