package postgres

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

// statistics are those of HAProxy 2.6, cut to some of their columns.
const statistics = `# pxname,svname,scur,status,weight,check_status,check_code,last_chk,addr
stats,FRONTEND,1,OPEN,,,,,
stats,BACKEND,0,UP,0,,,,
ldap_service_front,FRONTEND,0,OPEN,,,,,
ldap_service_back,ldap-1,0,UP,1,L7OK,0,,
ldap_service_back,ldap-2,0,UP,1,L7OK,0,,
ldap_service_back,BACKEND,0,UP,1,,,,
region_one,FRONTEND,0,OPEN,,,,,
region_one,svc1.example.com,0,UP,1,L7OK,200,"OK, with a comma",
region_one,svc2.example.com,0,DOWN,1,L7STS,503,,
region_one,BACKEND,0,UP,1,,,,
`

func TestObserveHAProxy(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/;csv" {
			_, _ = io.WriteString(w, statistics)
		}
	}))
	defer s.Close()
	any4 := netip.MustParseAddr("0.0.0.0")
	host := checks.Host{
		Machine: checkstest.Machine{Sockets: []checks.Listener{
			{Protocol: "tcp", Address: any4, Port: 5432, Process: "haproxy"},
			{Protocol: "tcp", Address: any4, Port: 5432, Process: "haproxy"}, // another thread's
			{Protocol: "udp", Address: any4, Port: 389},
			{Protocol: "tcp", Address: netip.MustParseAddr("10.0.0.7"), Port: 389, Process: "slapd"}, // not on localhost
			{Protocol: "tcp", Address: any4, Port: 22, Process: "sshd"},
			{Protocol: "tcp", Address: any4, Port: 7000},
		}},
		Network: checkstest.Network{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			require.Equal(t, "127.0.0.1:7000", address)
			return (&net.Dialer{}).DialContext(ctx, network, s.Listener.Addr().String())
		}},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	got, err := observeHAProxy(ctx, host, target{})
	require.NoError(t, err)
	require.Equal(t, balancer{
		Ports: map[int]string{5432: "haproxy", 7000: ""},
		Backends: []backend{
			{"ldap_service_back", "ldap-1", "", "UP", "L7OK"},
			{"ldap_service_back", "ldap-2", "", "UP", "L7OK"},
			{"region_one", "svc1.example.com", "", "UP", "L7OK"},
			{"region_one", "svc2.example.com", "", "DOWN", "L7STS"},
		},
	}, got)
}

func TestJudgeHAProxy(t *testing.T) {
	const node = "mbox1.example.com"
	held := func(process string) map[int]string {
		return map[int]string{5432: process, 389: process, 7000: process}
	}
	all := held("haproxy")
	for name, c := range map[string]struct {
		ports    map[int]string
		old, new string // of the statistics
		unread   string
		want     []string // of 5432, 389, 7000
	}{
		"well":               {all, "", "", "", []string{"pass HAProxy forwards only to svc1", "pass 2 directory servers", "pass"}},
		"process not seen":   {held(""), "", "", "", []string{"pass", "pass", "pass"}},
		"not there":          {nil, "", "", "", []string{"fail nothing listens on port 5432", "fail nothing", "fail nothing"}},
		"pgpool":             {map[int]string{5432: "pgpool", 389: "haproxy", 7000: "haproxy"}, "", "", "", []string{"fail port 5432 of mbox1.example.com is taken by pgpool", "pass", "pass"}},
		"no statistics":      {all, "", "", "no", []string{"unknown", "unknown", "unknown the statistics cannot be read"}},
		"no leader":          {all, "svc1.example.com,0,UP", "svc1.example.com,0,DOWN", "", []string{"fail HAProxy has no leader to forward to", "pass", "pass"}},
		"writes to both":     {all, "0,DOWN,1,L7STS", "0,UP,1,L7OK", "", []string{"fail sends writes to svc1.example.com, svc2.example.com", "pass", "pass"}},
		"not asked":          {all, "svc1.example.com,0,UP", "svc1.example.com,0,no check", "", []string{"fail does not ask Patroni", "pass", "pass"}},
		"a node unknown":     {all, "one,svc2", "one,old", "", []string{"warn does not know every database node", "pass", "pass"}},
		"none known":         {all, "region_one,svc", "region_one,pg", "", []string{"fail knows no database node", "pass", "pass"}},
		"a directory down":   {all, "ldap-2,0,UP", "ldap-2,0,DOWN", "", []string{"pass", "fail HAProxy considers svc2.example.com down", "pass"}},
		"a directory missed": {all, "ldap-2", "other", "", []string{"pass", "warn does not know every directory server", "pass"}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.ReplaceAll(statistics, c.old, c.new)
			if c.old == "" {
				text = statistics
			}
			if name == "none known" {
				text = strings.ReplaceAll(text, "pg1.example.com", "pg1")
			}
			backends, err := parseStats([]byte(text))
			require.NoError(t, err)
			scope := scopeOf(node, true)
			seen := seenOf(t, node, "haproxy", node, balancer{c.ports, backends, c.unread})
			got, _ := judge(scope, seen)
			require.Len(t, got, 3)
			for i, f := range got {
				status, says, _ := strings.Cut(c.want[i], " ")
				require.Equal(t, checks.Status(status), f.Status, f.Message)
				require.Contains(t, f.Message, says)
			}
			if name == "a directory down" {
				require.Equal(t, []checks.Need{checks.PortOf("svc2.example.com", portDirectory, "tcp"), checks.PingOf("svc2.example.com")}, got[1].Needs)
			}
		})
	}
}

// TestHAProxyInterrupted: of a look that was broken off before the statistics came,
// nothing is said of where HAProxy forwards to.
func TestHAProxyInterrupted(t *testing.T) {
	const node = "mbox1.example.com"
	ctx, cancel := context.WithCancel(t.Context())
	host := checks.Host{
		Machine: checkstest.Machine{Sockets: []checks.Listener{
			{Protocol: "tcp", Address: localhost[0], Port: 389, Process: "haproxy"},
			{Protocol: "tcp", Address: localhost[0], Port: 7000, Process: "haproxy"},
		}},
		Network: checkstest.Network{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			cancel()
			return nil, context.Canceled
		}},
	}
	seen, err := observeHAProxy(ctx, host, target{})
	require.ErrorIs(t, err, context.Canceled)
	raw, err := json.Marshal(seen)
	require.NoError(t, err)
	got, _ := judge(scopeOf(node, true), checks.NewRecord([]checks.Observation{{
		Subject: Module.Name, Kind: "haproxy", Vantage: node, Data: raw, Unseen: &checks.Unseen{Code: checks.Interrupted},
		Target: checks.Target[json.RawMessage]{Name: node, Node: node},
	}}))
	said := map[string]string{}
	for _, f := range got {
		said[f.Target] = string(f.Status) + " " + f.Message
	}
	const unseen = "unknown could not be seen: the run was interrupted"
	require.Equal(t, map[string]string{
		node + ":5432": "fail nothing listens on port 5432 of " + node, // which was seen
		node + ":389":  unseen,
		node + ":7000": unseen,
	}, said)
}

func FuzzParseStats(f *testing.F) {
	f.Add([]byte(statistics))
	f.Add([]byte("# pxname,svname,status\n\"\n"))
	f.Add([]byte("<html>"))
	f.Fuzz(func(t *testing.T, text []byte) {
		backends, err := parseStats(text)
		require.True(t, err == nil || backends == nil)
	})
}

const showUbuntu = `Id=patroni.service
LoadState=loaded
ActiveState=active
SubState=running
UnitFileState=enabled

Id=postgresql.service
LoadState=loaded
ActiveState=inactive
SubState=dead
UnitFileState=disabled

Id=postgresql-16.service
LoadState=not-found
ActiveState=inactive
SubState=dead
UnitFileState=
`

func TestObserveUnits(t *testing.T) {
	host := checks.Host{Run: func(context.Context, string, ...string) (string, error) { return showUbuntu, nil }}
	got, err := observeUnits(t.Context(), host, target{})
	require.NoError(t, err)
	require.Equal(t, []unit{
		{"patroni.service", "loaded", "enabled", "active", "running"},
		{"postgresql.service", "loaded", "disabled", "inactive", "dead"},
		{"postgresql-16.service", "not-found", "", "inactive", "dead"},
	}, got)
	_, err = observeUnits(t.Context(), checks.Host{Run: checkstest.Commands(nil)}, target{})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = observeUnits(t.Context(), checks.Host{Run: func(context.Context, string, ...string) (string, error) { return "", nil }}, target{})
	require.EqualError(t, err, "systemctl show lists no unit")
}

func TestService(t *testing.T) {
	const node = "svc1.example.com"
	change := func(old, new string) []unit { return parseUnits(strings.Replace(showUbuntu, old, new, 1)) }
	instance := parseUnits(showUbuntu + "\nId=postgresql@16-main.service\nLoadState=loaded\nActiveState=active\nSubState=running\nUnitFileState=enabled-runtime\n")
	for name, c := range map[string]struct {
		units []unit
		want  checks.Status
		says  string
	}{
		"well":                 {parseUnits(showUbuntu), checks.Pass, ""},
		"enabled":              {change("UnitFileState=disabled", "UnitFileState=enabled"), checks.Fail, "postgresql.service"},
		"active without doing": {change("inactive\nSubState=dead\nUnitFileState=disabled", "active\nSubState=exited\nUnitFileState=disabled"), checks.Pass, ""},
		"instance runs":        {instance, checks.Fail, "postgresql@16-main.service"},
		"Patroni at boot":      {change("UnitFileState=enabled", "UnitFileState=disabled"), checks.Fail, "does not start at boot"},
		"Patroni stopped":      {change("ActiveState=active", "ActiveState=failed"), checks.Fail, "patroni.service is failed"},
		"no Patroni":           {parseUnits(showUbuntu)[1:], checks.Fail, "patroni.service is not installed"},
	} {
		f := only(t, services.In(seenOf(t, node, "service", node, c.units)), judgeService)
		require.Equal(t, c.want, f.Status, name)
		require.Contains(t, f.Message, c.says, name)
	}
	unseen := checks.NewRecord([]checks.Observation{{Kind: "service", Unseen: &checks.Unseen{Code: checks.Failed}}})
	require.Equal(t, checks.Unknown, only(t, services.In(unseen), judgeService).Status)
}

// only judges the one sight of a record.
func only[S, F any](t *testing.T, sights iter.Seq[S], judge func(S) F) F {
	t.Helper()
	all := slices.Collect(sights)
	require.Len(t, all, 1)
	return judge(all[0])
}
