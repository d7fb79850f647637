package mesh

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/machine"
	"carbonio-check/platform"
)

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

// How much the mesh can lose, for those who add up: by vantage.
func TestClusters(t *testing.T) {
	svc := []string{"svc1.example.com", "svc2.example.com", "svc3.example.com"}
	mail := []string{"mail.example.com"}
	mesh := func(able, unseen []string, needs int) checks.Cluster {
		return checks.Cluster{Check: tolerance, Service: "mesh", Members: svc, Able: able, Unseen: unseen, Needs: needs}
	}
	for file, want := range map[string][]checks.Cluster{
		"healthy":       {mesh(svc, nil, 2), mesh(svc, nil, 2)},
		"server-dead":   {mesh(svc[:2], nil, 2)},
		"no-leader":     {mesh(nil, nil, 2)}, // two are alive, and of no use
		"one-vote":      {mesh(svc[:1], nil, 1)},
		"single-server": {{Check: tolerance, Service: "mesh", Members: mail, Able: mail, Needs: 1}},
		"agent-refuses": {mesh(nil, svc, 2)},
		"agent-silent":  {mesh(nil, svc, 2)},
		"tokens":        {mesh(svc, nil, 2), mesh(svc, nil, 2), mesh(nil, svc, 2)}, // the last one hides its members
		"no-inventory": {{
			Check: tolerance, Service: "mesh", Needs: 3, // of four peers
			Members: []string{"server-svc1-example-com", "server-svc2-example-com", "server-svc3-example-com"},
			Able:    []string{"server-svc1-example-com", "server-svc2-example-com", "server-svc3-example-com"},
		}},
	} {
		c := checkstest.ReadCase(t, Module, file)
		_, got := judge(c.Scope, checks.NewRecord(c.Seen))
		for i := range got {
			assert.Contains(t, c.Scope.Vantages, c.Scope.Vantage(got[i].Vantage), file)
			for _, list := range []*[]string{&got[i].Members, &got[i].Able, &got[i].Unseen} {
				if len(*list) == 0 {
					*list = nil
				}
			}
			got[i].Vantage = ""
		}
		assert.ElementsMatch(t, want, got, file)
	}
}

// Who is cut off sees no leader, and does not say that the mesh has stopped for
// those who see one.
func TestCutOff(t *testing.T) {
	c := checkstest.ReadCase(t, Module, "quorum-lost")
	stopped := func() (n int) {
		findings, _ := judge(c.Scope, checks.NewRecord(c.Seen))
		for _, f := range findings {
			if f.Stopped {
				n++
			}
		}
		return n
	}
	require.Equal(t, 4, stopped(), "leader and tolerance of two nodes")
	for _, o := range checkstest.ReadCase(t, Module, "healthy").Seen {
		if o.Kind == agents.Kind && o.Vantage != c.Seen[0].Vantage {
			c.Seen = append(c.Seen[:1:1], o)
		}
	}
	require.Len(t, c.Seen, 2)
	require.Zero(t, stopped())
}

// Without an inventory and without the members that the agent lists, which servers
// there are is unknown, and so is how many the mesh needs.
func TestClusterOfNobody(t *testing.T) {
	for _, name := range []string{"agent-silent", "tokens"} {
		c := checkstest.ReadCase(t, Module, name)
		c.Scope.Topology.Inventory = nil
		c.Scope.Topology.Nodes = c.Scope.Topology.Nodes[:1]
		c.Seen = slices.DeleteFunc(c.Seen, func(o checks.Observation) bool { return name == "tokens" && o.Vantage != "svc3.example.com" })
		_, got := judge(c.Scope, checks.NewRecord(c.Seen))
		require.Empty(t, got, name)
	}
}

func TestSetting(t *testing.T) {
	for text, wrong := range map[string]string{`{}`: "", `{"file": "/root/mesh.token"}`: "", `{"env": "A", "file": "/b"}`: "want one of"} {
		_, err := meshToken.Decode(checkstest.Strict([]byte(text)))
		if wrong == "" {
			require.NoError(t, err, text)
		} else {
			require.ErrorContains(t, err, wrong)
		}
	}
}

// A name that is not a plain word, as the network may give one, is in no command.
func TestOddNames(t *testing.T) {
	require.Empty(t, on([]server{"svc1.example.com", "$(reboot)"}))
	require.NotContains(t, forceLeave("$(reboot)"), "reboot")
	require.Empty(t, unit("carbonio-$(reboot)"))
}

const secret = "11111111-2222-3333-4444-555555555555"

// A consul is an agent that answers with what it holds: a body, with status 200
// unless it begins with another one. With guarded set, only who shows the token
// sees it all.
type consul struct {
	bodies  map[string]string
	guarded map[string]bool
	first   map[string]string // what is answered instead the first time
	asked   chan string       // paths, and those with a token again with "+token"
}

func (c *consul) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	shown := r.Header.Get("X-Consul-Token")
	asked := r.URL.Path
	if shown != "" {
		asked += " +token"
	}
	c.asked <- asked
	body, ok := c.bodies[r.URL.Path]
	if once := c.first[r.URL.Path]; once != "" {
		delete(c.first, r.URL.Path) // asked before anything else is
		body = once
	}
	switch {
	case !ok:
		http.NotFound(w, r)
	case c.guarded[r.URL.Path] && shown != secret:
		w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
		_, _ = io.WriteString(w, "[]")
	default:
		var status int
		if _, err := fmt.Sscanf(body, "%d ", &status); err == nil {
			w.Header().Set("Location", "http://169.254.169.254/latest/meta-data") // to be ignored
			w.WriteHeader(status)
			_, body, _ = strings.Cut(body, " ")
		}
		_, _ = io.WriteString(w, body)
	}
}

// What a healthy mesh of three servers and an agent answers.
var healthy = map[string]string{
	"/v1/status/leader": `"172.16.0.12:8300"`,
	"/v1/status/peers":  `["172.16.0.11:8300","172.16.0.12:8300","172.16.0.13:8300"]`,
	"/v1/agent/members": `[{"Name":"server-svc1-example-com","Addr":"172.16.0.11","Port":8301,"Tags":{"role":"consul","build":"1.13.9:","id":"f2"},"Status":1},
		{"Name":"agent-mbox1-example-com","Addr":"172.16.0.21","Port":8301,"Tags":{"role":"node","build":"1.13.9:"},"Status":4}]`,
	"/v1/health/state/any": `[{"Node":"server-svc1-example-com","CheckID":"serfHealth","Name":"Serf Health Status","Status":"passing","Output":"Agent alive and reachable"},
		{"Node":"agent-mbox1-example-com","CheckID":"service:carbonio-mailbox","Name":"tcp","Status":"critical","Output":"dial tcp 127.0.0.1:8080: connect: connection refused\nmore","ServiceName":"carbonio-mailbox"}]`,
	"/v1/operator/autopilot/health": `429 {"Healthy":false,"FailureTolerance":0,"Servers":[{"Name":"server-svc1-example-com","Address":"172.16.0.11:8300","SerfStatus":"alive","Version":"1.13.9","Leader":false,"LastContact":"262.089µs","Voter":true,"Healthy":true}]}`,
}

// with is the healthy mesh with some answers exchanged.
func with(changes map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range []map[string]string{healthy, changes} {
		maps.Copy(out, m)
	}
	return out
}

// observe looks at the agent and gives what was asked of it.
func observe(t *testing.T, c *consul, ref platform.SecretRef) (report, []string) {
	t.Helper()
	c.asked = make(chan string, 100)
	server := httptest.NewServer(c)
	defer server.Close()
	a, err := look(t, t.Context(), server.Listener.Addr().String(), ref)
	require.NoError(t, err)
	close(c.asked)
	var asked []string
	for path := range c.asked {
		asked = append(asked, path)
	}
	return a, asked
}

func look(t *testing.T, ctx context.Context, listener string, ref platform.SecretRef) (report, error) {
	t.Helper()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	host := checks.Host{
		Network: checkstest.Network{DialFunc: func(ctx context.Context, network, to string) (net.Conn, error) {
			require.Equal(t, address, to, "nobody else is to be asked")
			return (&net.Dialer{}).DialContext(ctx, network, listener)
		}},
		Secret: func(platform.SecretRef) (string, error) { return secret, nil },
	}
	scope := checkstest.Scope(checkstest.Node("mbox1.example.com", ""))
	meshToken.Set(scope.Settings, ref)
	targets, err := agentTargets(scope, host)
	require.NoError(t, err)
	return observeAgent(ctx, host, targets[0])
}

var configured = platform.SecretRef{Env: "MESH_TOKEN"}

func TestObserve(t *testing.T) {
	a, asked := observe(t, &consul{bodies: healthy}, configured)
	require.Equal(t, report{
		Leader: answer[string]{Value: "172.16.0.12:8300"},
		Peers:  answer[[]string]{Value: []string{"172.16.0.11:8300", "172.16.0.12:8300", "172.16.0.13:8300"}},
		Members: answer[[]member]{Value: []member{
			{"server-svc1-example-com", "172.16.0.11", alive, tags{"consul"}},
			{"agent-mbox1-example-com", "172.16.0.21", failed, tags{"node"}},
		}},
		Services: answer[serviceHealth]{Value: serviceHealth{
			Count: 2,
			Bad: []healthCheck{{
				"agent-mbox1-example-com", "service:carbonio-mailbox", "tcp", "critical",
				"dial tcp 127.0.0.1:8080: connect: connection refused", "carbonio-mailbox",
			}},
			Runs: map[string][]string{"carbonio-mailbox": {"agent-mbox1-example-com"}},
		}},
		Autopilot: answer[*autopilotHealth]{Value: &autopilotHealth{
			Servers: []raftServer{{"172.16.0.11:8300", true, true}},
		}},
		Token: credential{From: "$MESH_TOKEN"},
	}, a)
	require.ElementsMatch(t, []string{
		"/v1/status/leader", "/v1/status/peers", "/v1/agent/members", "/v1/health/state/any",
		"/v1/operator/autopilot/health +token",
	}, asked, "the token is shown only where it is needed, and nothing is asked twice")
}

// Without a token an agent still tells what its own may see.
func TestObserveWithoutToken(t *testing.T) {
	a, asked := observe(t, &consul{bodies: healthy}, platform.SecretRef{})
	require.True(t, a.Token.Elsewhere)
	require.Nil(t, a.Autopilot.Value)
	require.Len(t, a.Members.Value, 2)
	require.NotContains(t, asked, "/v1/operator/autopilot/health")
}

// An agent that hides what its own token may not see has not said that there is
// nothing: it is asked with the token, and without one nothing is known.
func TestObserveHidden(t *testing.T) {
	c := &consul{bodies: healthy, guarded: map[string]bool{"/v1/agent/members": true, "/v1/health/state/any": true}}
	a, asked := observe(t, c, configured)
	require.Len(t, a.Members.Value, 2)
	require.Equal(t, 2, a.Services.Value.Count)
	require.Contains(t, asked, "/v1/agent/members +token")

	a, _ = observe(t, c, platform.SecretRef{})
	require.Equal(t, why(errHidden), a.Members.Unseen)
	require.Equal(t, why(errHidden), a.Services.Unseen)

	// Before 1.13 an agent did not say that it hides.
	a, _ = observe(t, &consul{bodies: with(map[string]string{"/v1/agent/members": "[]", "/v1/health/state/any": "[]"})}, platform.SecretRef{})
	require.Equal(t, why(errHidden), a.Members.Unseen)
	require.Equal(t, why(errHidden), a.Services.Unseen)
}

// Without a leader the questions that take seconds to fail are not asked.
func TestObserveNoLeader(t *testing.T) {
	for said, want := range map[string]answer[string]{
		`""`:                          {},
		`500 No known Consul servers`: {Unseen: checks.Unseen{Code: noServer, Words: "HTTP 500: No known Consul servers"}},
	} {
		a, asked := observe(t, &consul{bodies: with(map[string]string{"/v1/status/leader": said})}, configured)
		require.Equal(t, want, a.Leader)
		require.Len(t, a.Members.Value, 2)
		slices.Sort(asked)
		require.Equal(t, []string{"/v1/agent/members", "/v1/status/leader", "/v1/status/peers"}, slices.Compact(asked))
	}
}

// An agent whose server has just died says so once, and asks another one next.
func TestObserveServerDied(t *testing.T) {
	const died = "500 rpc error getting client: failed to get conn: dial tcp 127.0.0.64:0->127.0.0.62:8300: connect: connection refused"
	a, _ := observe(t, &consul{bodies: healthy, first: map[string]string{"/v1/status/leader": died}}, configured)
	require.Equal(t, healthy["/v1/status/leader"], strconv.Quote(a.Leader.Value))

	a, asked := observe(t, &consul{bodies: with(map[string]string{"/v1/status/leader": died})}, configured)
	require.Equal(t, noServer, a.Leader.Unseen.Code)
	require.Contains(t, a.Leader.Unseen.Words, "failed to get conn")
	require.NotContains(t, asked, "/v1/health/state/any")
}

func TestObserveRefusals(t *testing.T) {
	a, _ := observe(t, &consul{bodies: with(map[string]string{
		"/v1/operator/autopilot/health": "403 ACL not found, said " + secret + "\nsecond line",
		"/v1/status/peers":              "302 elsewhere",
		"/v1/agent/members":             "<html>",
		"/v1/health/state/any":          "500 No cluster leader",
	})}, configured)
	require.Equal(t, checks.Unseen{Code: forbidden, Words: "HTTP 403: ACL not found, said [redacted]"}, a.Autopilot.Unseen)
	require.Equal(t, checks.Unseen{Code: checks.Failed, Words: "HTTP 302: elsewhere"}, a.Peers.Unseen)
	require.Equal(t, checks.Unseen{
		Code:  checks.Failed,
		Words: "/v1/agent/members?segment=_all: not an answer from Consul: it is not the expected JSON",
	}, a.Members.Unseen)
	require.Equal(t, checks.Unseen{Code: noLeader, Words: "HTTP 500: No cluster leader"}, a.Services.Unseen)

	a, _ = observe(t, &consul{bodies: with(map[string]string{"/v1/operator/autopilot/health": "403 Permission denied"})}, configured)
	require.Equal(t, forbidden, a.Autopilot.Unseen.Code)
}

// Who reflects the token does not bring it into what is kept.
func TestObserveReflected(t *testing.T) {
	a, _ := observe(t, &consul{
		bodies:  with(map[string]string{"/v1/agent/members": `[{"Name":"agent-` + secret + `","Status":1}]`}),
		guarded: map[string]bool{"/v1/agent/members": true},
	}, configured)
	require.Equal(t, "agent-[redacted]", a.Members.Value[0].Name)
}

// A few megabytes of nothing are not turned into gigabytes of it.
func TestObserveMany(t *testing.T) {
	a, _ := observe(t, &consul{bodies: with(map[string]string{"/v1/agent/members": "[" + strings.Repeat("{},", 1<<20) + "{}]"})}, configured)
	require.Contains(t, a.Members.Unseen.Words, "more than 200000 values")
}

func TestObserveNobody(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	a, err := look(t, t.Context(), l.Addr().String(), configured)
	require.NoError(t, err)
	require.Equal(t, report{Contact: checks.Contact{State: checks.Refused}}, a)
}

// Who accepts and says nothing, or never ends, costs the deadline and no memory.
func TestObserveHostile(t *testing.T) {
	for name, c := range map[string]struct {
		say  string // before it says more of the same
		more string
		want string
	}{
		"silent":         {"", "", "deadline"},
		"endless body":   {"HTTP/1.1 200 OK\r\n\r\n\"", strings.Repeat("a", 64<<10), "larger than"},
		"endless header": {"HTTP/1.1 200 OK\r\n", "X: " + strings.Repeat("a", 1<<10) + "\r\n", "header"},
		"not HTTP":       {"SSH-2.0-OpenSSH\r\n\r\n", "", "malformed"},
		"half a header":  {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n\"1", "", "ends early"},
	} {
		t.Run(name, func(t *testing.T) {
			listener := checkstest.Serve(t, func(conn net.Conn) {
				_, err := http.ReadRequest(bufio.NewReader(conn))
				if err == nil {
					_, err = io.WriteString(conn, c.say)
				}
				for err == nil && c.more != "" {
					_, err = io.WriteString(conn, c.more)
				}
				if c.more == "" {
					_, _ = io.Copy(io.Discard, conn) // until it is hung up
				}
			})
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			if c.more != "" {
				ctx = t.Context()
			}
			_, err := look(t, ctx, listener, configured)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// The token of a mesh server: found with gpg, in files as the setup leaves them,
// without anything being written.
func TestTokenOfServer(t *testing.T) {
	if _, err := exec.LookPath("gpg"); err != nil {
		t.Skip("gpg is not installed")
	}
	local, err := machine.Local("/")
	require.NoError(t, err)
	here, err := filepath.Abs("testdata/cluster-credentials.tar.gpg")
	require.NoError(t, err)
	key := filepath.Join(t.TempDir(), "password")
	host := checks.Host{
		Machine: checkstest.Machine{},
		Files:   checkstest.Files(map[string]string{passphrase[1:]: "x", credentials[1:]: "x"}),
		Run: func(ctx context.Context, name string, args ...string) (string, error) {
			for i, a := range args {
				args[i] = strings.NewReplacer(passphrase, key, credentials, here).Replace(a)
			}
			require.NotContains(t, args, "secretpass", "no secret in a command line")
			return local.Run(ctx, name, args...)
		},
	}
	require.NoError(t, os.WriteFile(key, []byte("secretpass"), 0o600))
	got, said := findToken(t.Context(), host, ask{Server: true})
	require.Equal(t, credential{From: credentials}, said)
	require.Equal(t, secret, got)

	require.NoError(t, os.WriteFile(key, []byte("wrong"), 0o600))
	got, said = findToken(t.Context(), host, ask{Server: true})
	require.Empty(t, got)
	require.Contains(t, said.Unseen.Words, "gpg exited with status 2")
}

func TestFindToken(t *testing.T) {
	server := ask{Server: true}
	none := func(words string) credential {
		return credential{Unseen: checks.Unseen{Code: checks.Failed, Words: words}}
	}
	there := map[string]string{passphrase[1:]: "x", credentials[1:]: "x"}
	archive := func(name, content string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		require.NoError(t, w.WriteHeader(&tar.Header{Name: name, Size: int64(len(content)), Mode: 0o600}))
		_, err := io.WriteString(w, content)
		require.NoError(t, errors.Join(err, w.Close()))
		return b.String()
	}
	for name, c := range map[string]struct {
		host checks.Host
		ask  ask
		want credential
	}{
		"an agent":            {checks.Host{}, ask{}, credential{Elsewhere: true}},
		"not root":            {checks.Host{Machine: checkstest.Machine{User: 1000}}, server, credential{Unseen: checks.Unseen{Code: checks.Denied, Words: "permission denied: only root can read " + passphrase}}},
		"no file":             {checks.Host{Files: checkstest.Files(nil)}, server, none(passphrase + " does not exist")},
		"no gpg":              {checks.Host{Files: checkstest.Files(there), Run: checkstest.Commands(nil)}, server, none("gpg: file does not exist")},
		"not an archive":      {gives(there, "nonsense"), server, none(credentials + " is not an archive")},
		"another archive":     {gives(there, archive("other.json", "{}")), server, none(secretFile + " is not in " + credentials)},
		"no secret":           {gives(there, archive(secretFile, "{}")), server, none(secretFile + " in " + credentials + " holds no SecretID")},
		"a header of its own": {gives(there, archive(secretFile, `{"SecretID":"a\r\nHost: b"}`)), server, none(secretFile + " in " + credentials + " holds no SecretID")},
		"as it should be":     {gives(there, archive("./"+secretFile, `{"SecretID":"`+secret+`"}`)), server, credential{From: credentials}},
		"configured, unset":   {checks.Host{Secret: func(platform.SecretRef) (string, error) { return "", errors.New("not set") }}, ask{Token: platform.SecretRef{Env: "X"}, Server: true}, none("not set")},
		"configured first":    {checks.Host{Secret: func(platform.SecretRef) (string, error) { return secret, nil }}, ask{Token: platform.SecretRef{File: "/root/t"}, Server: true}, credential{From: "/root/t"}},
	} {
		if c.host.Machine == nil {
			c.host.Machine = checkstest.Machine{}
		}
		got, said := findToken(t.Context(), c.host, c.ask)
		assert.Equal(t, c.want, said, name)
		assert.Equal(t, c.want.From != "", got == secret, name)
	}
}

// gives is a host whose gpg prints this.
func gives(files map[string]string, printed string) checks.Host {
	return checks.Host{
		Files: checkstest.Files(files),
		Run:   func(context.Context, string, ...string) (string, error) { return printed, nil },
	}
}

func TestObserveNode(t *testing.T) {
	journal := "journalctl -u service-discover --since -1h -n 3000 -o cat -q --no-pager"
	ldap := `su - zextras -c TERM=xterm-256color; PATH=/opt/zextras/bin:$PATH; export TERM PATH; carbonio prov -l gs "$(zmhostname)" zimbraServiceEnabled`
	host := checks.Host{
		Machine: checkstest.Machine{},
		Files: checkstest.Files(map[string]string{
			"etc/zextras/pending-setups.d/carbonio-files.sh":        "",
			"etc/zextras/pending-setups.d/carbonio-tasks.sh.rpmnew": "",
			"etc/zextras/pending-setups.d/done/carbonio-mta.sh":     "",
		}),
		Run: checkstest.Commands(map[string]string{
			journal: "2026-11-22T00:10:00.000Z [INFO]  agent.server.serf.lan: serf: EventMemberFailed: agent-mbox1-example-com 172.16.0.21\n" +
				"2026-11-22T00:10:00.000Z [INFO]  agent.server.serf.wan: serf: EventMemberFailed: server-svc2-example-com.dc1 172.16.0.12\n" +
				"2026-11-22T00:20:00.000Z [INFO]  agent.client.serf.lan: serf: EventMemberFailed: agent-mbox1-example-com 172.16.0.21\n",
			ldap: "# name svc1.example.com\nzimbraServiceEnabled: stats\nzimbraServiceEnabled: service-discover\n\n",
		}),
	}
	scope := checkstest.Scope(checkstest.Node("svc1.example.com", ""))
	lost, err := seen(t, journals, scope, host)
	require.NoError(t, err)
	require.Equal(t, losses{"agent-mbox1-example-com": 2}, lost)
	got, err := seen(t, directory, scope, host)
	require.NoError(t, err)
	require.Equal(t, []string{"stats", "service-discover"}, got)
	got, err = seen(t, setups, scope, host)
	require.NoError(t, err)
	require.Equal(t, []string{"carbonio-files.sh"}, got)

	host.Machine, host.Files = checkstest.Machine{User: 1000}, checkstest.Files(nil)
	_, err = seen(t, journals, scope, host)
	require.ErrorIs(t, err, fs.ErrPermission)
	_, err = seen(t, directory, scope, host)
	require.ErrorContains(t, err, "run as zextras")
	got, err = seen(t, setups, scope, host)
	require.NoError(t, err)
	require.Empty(t, got, "no folder, nothing that waits")
}

// seen is what a look sees of the one thing that it looks at.
func seen[T any](t *testing.T, look *checks.Look[checks.Nothing, T], scope checks.Scope, host checks.Host) (T, error) {
	t.Helper()
	targets, err := look.Targets(scope, host)
	require.NoError(t, err)
	require.Len(t, targets, 1)
	require.Equal(t, "svc1.example.com", targets[0].Node)
	return look.Observe(t.Context(), host, targets[0])
}

func FuzzSecretID(f *testing.F) {
	f.Add([]byte("consul-acl-secret.json"))
	f.Fuzz(func(t *testing.T, archive []byte) {
		s, err := secretID(bytes.NewReader(archive))
		require.Equal(t, err != nil, s == "")
	})
}

func FuzzParseServer(f *testing.F) {
	f.Add("# name svc1.example.com\nzimbraServiceEnabled: service-discover\n")
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parseServer(text) })
}
