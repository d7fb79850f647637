package postgres

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
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
	got, err := Module{}.Observe(ctx, host, checks.Target{Kind: kindHAProxy})
	require.NoError(t, err)
	require.Equal(t, balancer{
		Listeners: []listener{{5432, "haproxy"}, {Port: 7000}},
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
	haproxy := func(ports ...int) []listener {
		var out []listener
		for _, p := range ports {
			out = append(out, listener{p, "haproxy"})
		}
		return out
	}
	all := haproxy(5432, 389, 7000)
	for name, c := range map[string]struct {
		listeners []listener
		old, new  string // of the statistics
		unread    string
		want      []string // of 5432, 389, 7000
	}{
		"well":               {all, "", "", "", []string{"pass leads to svc1", "pass 2 directory servers", "pass"}},
		"process not seen":   {[]listener{{Port: 5432}, {Port: 389}, {Port: 7000}}, "", "", "", []string{"pass", "pass", "pass"}},
		"not there":          {nil, "", "", "", []string{"fail nothing listens on port 5432", "fail nothing", "fail nothing"}},
		"pgpool":             {[]listener{{5432, "pgpool"}, {389, "haproxy"}, {7000, "haproxy"}}, "", "", "", []string{"fail pgpool holds port 5432", "pass", "pass"}},
		"no statistics":      {all, "", "", "no", []string{"unknown", "unknown", "unknown the statistics cannot be read"}},
		"no leader":          {all, "svc1.example.com,0,UP", "svc1.example.com,0,DOWN", "", []string{"fail no leader to lead to", "pass", "pass"}},
		"writes to both":     {all, "0,DOWN,1,L7STS", "0,UP,1,L7OK", "", []string{"fail sends writes to svc1.example.com, svc2.example.com", "pass", "pass"}},
		"not asked":          {all, "svc1.example.com,0,UP", "svc1.example.com,0,no check", "", []string{"fail does not ask Patroni", "pass", "pass"}},
		"a node unknown":     {all, "one,svc2", "one,old", "", []string{"warn does not know every database node", "pass", "pass"}},
		"none known":         {all, "region_one,svc", "region_one,pg", "", []string{"fail knows no database node", "pass", "pass"}},
		"a directory down":   {all, "ldap-2,0,UP", "ldap-2,0,DOWN", "", []string{"pass", "fail svc2.example.com is down", "pass"}},
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
			got := cluster{scope: scope}.haproxy(checks.Observation{Target: checks.Target{Name: node}}, balancer{c.listeners, backends, c.unread})
			require.Len(t, got, 3)
			for i, f := range got {
				status, says, _ := strings.Cut(c.want[i], " ")
				require.Equal(t, checks.Status(status), f.Status, f.Message)
				require.Contains(t, f.Message, says)
			}
		})
	}
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
