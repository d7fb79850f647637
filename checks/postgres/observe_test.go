package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

const (
	leaderStatus = `{"state": "running", "role": "primary", "server_version": 160004, "xlog": {"location": 67108864}, "timeline": 3,
 "replication": [{"application_name": "svc2.example.com", "state": "streaming"}], "dcs_last_seen": 1795298746,
 "database_system_identifier": "77", "patroni": {"version": "4.0.4", "scope": "carbonio-psql-cluster", "name": "svc1.example.com"}}`
	clusterView = `{"members": [{"name": "svc1.example.com", "role": "leader", "state": "running", "api_url": "http://127.0.0.1:8008/patroni", "host": "10.0.0.1", "port": 5432, "timeline": 3},
 {"name": "svc2.example.com", "role": "replica", "state": "streaming", "timeline": 3, "lag": 0}], "scope": "carbonio-psql-cluster"}`
	history = `[[1, 100, "no recovery target specified", "2026-11-21T22:06:20.643260+00:00", "svc2.example.com"], [2, 200, "no recovery target specified"]]`
)

// patroni serves the three answers; an empty one is a 503.
func patroni(t *testing.T, answers map[string]string) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if answers[r.URL.Path] == "" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, answers[r.URL.Path])
	}))
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func look(t *testing.T, ctx context.Context, address string) (answer, error) {
	t.Helper()
	data, err := Module{}.Observe(ctx, checks.Host{Network: checkstest.Network{}},
		checks.Target{Kind: kindMember, Name: "svc1.example.com", Node: "svc1.example.com", Address: address})
	if data == nil {
		return answer{}, err
	}
	raw, failed := json.Marshal(data)
	require.NoError(t, failed)
	var a answer
	require.NoError(t, json.Unmarshal(raw, &a))
	return a, err
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestObserveMember(t *testing.T) {
	a, err := look(t, within(t, 5*time.Second), patroni(t, map[string]string{"/patroni": leaderStatus, "/cluster": clusterView, "/history": history}))
	require.NoError(t, err)
	require.Equal(t, "primary", a.Status.Role)
	require.True(t, a.Status.leads())
	require.Equal(t, []sender{{"svc2.example.com", "streaming"}}, a.Status.Replication)
	require.Len(t, a.Cluster.Members, 2)
	require.False(t, a.Date.IsZero())
	require.Equal(t, []failover{
		{1, time.Date(2026, 11, 21, 22, 6, 20, 643260000, time.UTC), "svc2.example.com"}, {timeline: 2},
	}, utc(failovers(a.History)))
}

func utc(all []failover) []failover {
	for i := range all {
		if !all[i].at.IsZero() {
			all[i].at = all[i].at.UTC()
		}
	}
	return all
}

// The dialects of Patroni 2, 3 and 4.
func TestRoles(t *testing.T) {
	for role, leads := range map[string]bool{
		"master": true, "primary": true, "standby_leader": true, "replica": false, "sync_standby": false, "quorum_standby": false,
	} {
		require.Equal(t, leads, status{State: "running", Role: role}.leads(), role)
		require.False(t, status{State: "stopped", Role: role}.leads(), role)
	}
	var v view
	require.NoError(t, json.Unmarshal([]byte(`{"members": [{"lag": "unknown"}, {"lag": -7}, {"lag": 1e308}, {"lag": 21832320}, {"lag": null}, {}]}`), &v))
	require.Equal(t, []entry{{Lag: -1}, {Lag: -1}, {Lag: -1}, {Lag: 21832320}, {Lag: -1}, {}}, v.Members)
}

func TestObserveBadly(t *testing.T) {
	good := map[string]string{"/patroni": leaderStatus, "/cluster": clusterView, "/history": history}
	with := func(path, body string) map[string]string {
		out := map[string]string{}
		for p, b := range good {
			out[p] = b
		}
		out[path] = body
		return out
	}
	for name, c := range map[string]struct {
		answers map[string]string
		want    string
	}{
		"10 MiB":               {with("/cluster", `{"members": [`+strings.Repeat(`{"name": "x"},`, 10<<20/14)+`{}]}`), "/cluster: answer larger than 1048576 bytes"},
		"no JSON":              {with("/patroni", "<html>"), "/patroni: not an answer of Patroni"},
		"another's JSON":       {with("/patroni", `{"status": "ok"}`), "/patroni: not an answer of Patroni"},
		"null":                 {with("/patroni", "null"), "/patroni: not an answer of Patroni"},
		"timeline of 1e308":    {with("/patroni", `{"state": "running", "role": "replica", "timeline": 1e308}`), "/patroni: not an answer of Patroni"},
		"members no list":      {with("/cluster", `{"members": "svc1"}`), "/cluster: not an answer of Patroni"},
		"history of no events": {with("/history", `{"a": 1}`), "/history: not an answer of Patroni"},
		"store lost":           {with("/cluster", ""), "/cluster: HTTP status 503"},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := look(t, within(t, 5*time.Second), patroni(t, c.answers))
			require.EqualError(t, err, c.want)
			require.Empty(t, a.Silent)
		})
	}
}

// A redirect is not followed, and neither is api_url.
func TestFollowsNobody(t *testing.T) {
	var followed atomic.Bool
	trap := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Store(true) }))
	defer trap.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cluster" {
			_, _ = io.WriteString(w, strings.ReplaceAll(clusterView, "http://127.0.0.1:8008", trap.URL))
			return
		}
		http.Redirect(w, r, trap.URL, http.StatusFound)
	}))
	defer s.Close()
	a, err := look(t, within(t, 5*time.Second), s.Listener.Addr().String())
	require.ErrorContains(t, err, "/patroni: HTTP status 302")
	require.NotNil(t, a.Cluster)
	require.False(t, followed.Load())
}

func TestSilence(t *testing.T) {
	hanging, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer hanging.Close()
	a, err := look(t, within(t, 200*time.Millisecond), hanging.Addr().String())
	require.NoError(t, err)
	require.Equal(t, "the connection is accepted, and nothing comes back", a.Silent)

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	a, err = look(t, within(t, 5*time.Second), closed.Addr().String())
	require.NoError(t, err)
	require.Equal(t, "connection refused", a.Silent)

	_, err = look(t, within(t, time.Second), "")
	require.ErrorIs(t, err, checks.ErrNoAddress)

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	a, err = look(t, canceled, hanging.Addr().String())
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, a.Silent)
}

func TestSilenceOfTheWay(t *testing.T) {
	router := netip.MustParseAddr("10.0.0.254")
	for _, c := range []struct {
		err  error
		want string
	}{
		{&dialError{context.DeadlineExceeded}, "no answer to the connection"},
		{&dialError{&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}}, "no route to host"},
		{&dialError{&checks.RejectedError{By: router, Reason: "port unreachable", Err: syscall.ECONNREFUSED}}, "port unreachable, says 10.0.0.254"},
		{&dialError{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}}, "connection refused"},
		{&dialError{errors.New("too many open files")}, ""}, // ours, and no word on the node
	} {
		require.Equal(t, c.want, silence(t.Context(), c.err))
	}
}

// What a member says of itself is not lost when the store hangs.
func TestStoreHangs(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/patroni" {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, leaderStatus)
	}))
	defer s.Close()
	ctx := within(t, time.Second)
	a, err := look(t, ctx, s.Listener.Addr().String())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, ctx.Err(), "it was not in time to be taken")
	require.NotNil(t, a.Status)
	require.Nil(t, a.Cluster)
}

// Patroni whose PostgreSQL hangs tells the cluster, and not how it is itself.
func TestStatusHangs(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/patroni" {
			<-r.Context().Done()
			return
		}
		_, _ = io.WriteString(w, map[string]string{"/cluster": clusterView, "/history": history}[r.URL.Path])
	}))
	defer s.Close()
	a, err := look(t, within(t, 300*time.Millisecond), s.Listener.Addr().String())
	require.NoError(t, err)
	require.Equal(t, "the connection is accepted, and nothing comes back", a.Silent)
	require.NotNil(t, a.Cluster)
}

// A replica that seems behind is asked again; one that keeps up is not.
func TestAskedAgain(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/patroni" {
			_, _ = io.WriteString(w, "[]")
			return
		}
		replayed := 2<<20 - 1 + asked.Add(1)
		fmt.Fprintf(w, `{"state": "running", "role": "replica", "xlog": {"received_location": %d, "replayed_location": %d}}`, 4<<20, replayed)
	}))
	defer s.Close()
	a, _ := look(t, within(t, 5*time.Second), s.Listener.Addr().String())
	require.EqualValues(t, 2<<20, a.Status.XLog.Replayed)
	require.EqualValues(t, 2<<20+1, a.Later.XLog.Replayed)
	require.EqualValues(t, 2, asked.Load())
}

// A leader that does not stream to a replica yet is asked again.
func TestReplicaJoins(t *testing.T) {
	var asked atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/cluster":
			_, _ = io.WriteString(w, `{"members": [{"name": "svc1", "role": "leader", "state": "running"}, {"name": "svc2", "role": "replica", "state": "running"}]}`)
		case r.URL.Path == "/history":
			_, _ = io.WriteString(w, "[]")
		case asked.Add(1) == 1:
			_, _ = io.WriteString(w, `{"state": "running", "role": "master", "xlog": {"location": 1}}`)
		default:
			_, _ = io.WriteString(w, `{"state": "running", "role": "master", "xlog": {"location": 1}, "replication": [{"application_name": "svc2", "state": "streaming"}]}`)
		}
	}))
	defer s.Close()
	a, err := look(t, within(t, 5*time.Second), s.Listener.Addr().String())
	require.NoError(t, err)
	require.Empty(t, a.Status.Replication)
	require.NotNil(t, a.Later)
	require.Equal(t, "svc2", a.Later.Replication[0].Name)
	require.EqualValues(t, 2, asked.Load())
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
	got, err := Module{}.Observe(t.Context(), host, checks.Target{Kind: kindService})
	require.NoError(t, err)
	require.Equal(t, []unit{
		{"patroni.service", "loaded", "enabled", "active", "running"},
		{"postgresql.service", "loaded", "disabled", "inactive", "dead"},
		{"postgresql-16.service", "not-found", "", "inactive", "dead"},
	}, got)
	_, err = Module{}.Observe(t.Context(), checks.Host{Run: checkstest.Commands(nil)}, checks.Target{Kind: kindService})
	require.Error(t, err)
}

func TestService(t *testing.T) {
	o := checks.Observation{Target: checks.Target{Kind: kindService, Name: "svc1.example.com"}}
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
		"no Patroni":           {parseUnits(showUbuntu)[1:], checks.Fail, "there is no patroni.service"},
	} {
		f := service(o, c.units)
		require.Equal(t, c.want, f.Status, name)
		require.Contains(t, f.Message, c.says, name)
	}
	o.Error = "systemctl: file does not exist"
	require.Equal(t, checks.Unknown, service(o, nil).Status)
}
