package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
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
	"carbonio-check/platform"
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
	data, err := observeMember(ctx, checks.Host{Network: checkstest.Network{}},
		target{Name: "svc1.example.com", Node: "svc1.example.com", Address: address})
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
	var v topology
	require.NoError(t, json.Unmarshal([]byte(`{"members": [{"lag": "unknown"}, {"lag": -7}, {"lag": 1e308}, {"lag": 21832320}, {"lag": null}, {}]}`), &v))
	require.Equal(t, []entry{{Lag: -1}, {Lag: -1}, {Lag: -1}, {Lag: 21832320}, {Lag: -1}, {}}, v.Members)
}

// What is no answer of Patroni's is why nothing, or a part, was seen, and no
// silence of the node.
func TestObserveBadly(t *testing.T) {
	good := map[string]string{"/patroni": leaderStatus, "/cluster": clusterView, "/history": history}
	with := func(path, body string) map[string]string {
		out := maps.Clone(good)
		out[path] = body
		return out
	}
	const notJSON = "it is not the expected JSON"
	for name, c := range map[string]struct {
		answers                  map[string]string
		status, cluster, history string // why they were not seen
	}{
		"10 MiB":               {with("/cluster", `{"members": [`+strings.Repeat(`{"name": "x"},`, 10<<20/14)+`{}]}`), "", "/cluster: the response is larger than 1048576 bytes", ""},
		"10 MiB of status":     {with("/patroni", `{"replication": [`+strings.Repeat(`{"state": "x"},`, 10<<20/15)+`{}]}`), "/patroni: the response is larger than 1048576 bytes", "", ""},
		"300,000 members":      {with("/cluster", `{"members": [`+strings.Repeat(`{},`, 300_000)+`{}]}`), "", "/cluster: the response holds more than 200000 values", ""},
		"no JSON":              {with("/patroni", "<html>"), "/patroni: " + notJSON, "", ""},
		"another's JSON":       {with("/patroni", `{"status": "ok"}`), "/patroni: the response is not from Patroni", "", ""},
		"null":                 {with("/patroni", "null"), "/patroni: " + notJSON, "", ""},
		"timeline of 1e308":    {with("/patroni", `{"state": "running", "role": "replica", "timeline": 1e308}`), "/patroni: " + notJSON, "", ""},
		"members no list":      {with("/cluster", `{"members": "svc1"}`), "", "/cluster: " + notJSON, ""},
		"cluster null":         {with("/cluster", "null"), "", "/cluster: " + notJSON, ""},
		"history of no events": {with("/history", `{"a": 1}`), "", "", "/history: " + notJSON},
		"store lost":           {with("/cluster", ""), "", "/cluster: HTTP status 503", ""},
		"no Patroni":           {map[string]string{}, "/patroni: HTTP status 503", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := look(t, within(t, 5*time.Second), patroni(t, c.answers))
			require.Empty(t, a.Contact)
			if c.status != "" {
				require.EqualError(t, err, c.status)
				require.Nil(t, a.Status)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.cluster == "", a.Cluster != nil)
			for want, got := range map[string]*checks.Unseen{"cluster " + c.cluster: a.ClusterUnseen, "history " + c.history: a.HistoryUnseen} {
				_, want, _ = strings.Cut(want, " ")
				if want == "" {
					require.Nil(t, got)
					continue
				}
				require.Equal(t, &checks.Unseen{Code: checks.Failed, Words: want}, got)
			}
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
	listening, err := net.Listen("tcp", "127.0.0.1:0") // nobody takes what it accepts
	require.NoError(t, err)
	defer listening.Close()
	hanging := listening.Addr().String()
	a, err := look(t, within(t, 200*time.Millisecond), hanging)
	require.NoError(t, err)
	require.Equal(t, answer{Contact: checks.Contact{State: checks.Mute}}, a)

	closed, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed.Close()
	a, err = look(t, within(t, 5*time.Second), closed.Addr().String())
	require.NoError(t, err)
	require.Equal(t, answer{Contact: checks.Contact{State: checks.Refused}}, a)

	a, err = look(t, within(t, 5*time.Second), checkstest.Serve(t, func(net.Conn) {}))
	require.NoError(t, err)
	require.Equal(t, answer{Contact: checks.Contact{State: checks.HungUp}}, a)

	a, err = look(t, within(t, 5*time.Second), checkstest.Serve(t, func(c net.Conn) { _, _ = io.WriteString(c, "220 smtp.example.com\r\n") }))
	require.ErrorContains(t, err, "/patroni: ")
	require.Empty(t, a)

	_, err = look(t, within(t, time.Second), "")
	require.ErrorIs(t, err, checks.ErrNoAddress)

	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	a, err = look(t, canceled, hanging)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, a)
}

// net/http has an error of its own, which it does not export, where a server closes
// the connection before the request is written.
func TestHungUpEarly(t *testing.T) {
	early := errors.New("http: server closed idle connection")
	c := newClient(checkstest.Network{}, "10.0.0.1:8008")
	c.accepted.Store(true)
	contact, err := c.ended(t.Context(), early)
	require.NoError(t, err)
	require.Equal(t, checks.Contact{State: checks.HungUp}, contact)
	c.received.Store(true) // then it is not the server that keeps silent
	contact, err = c.ended(t.Context(), early)
	require.Equal(t, early, err)
	require.Empty(t, contact)
}

func TestSilenceOfTheWay(t *testing.T) {
	router := netip.MustParseAddr("10.0.0.254")
	for _, c := range []struct {
		dial func(context.Context) error
		want checks.Contact
	}{
		{func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, checks.Contact{State: checks.Silent}},
		{func(context.Context) error { return &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH} }, checks.Contact{State: checks.Unreachable, Words: "no route to host"}},
		{func(context.Context) error {
			return &checks.RejectedError{By: router, Reason: "port unreachable", Err: syscall.ECONNREFUSED}
		}, checks.Contact{State: checks.Rejected, By: router, Words: "port unreachable"}},
		{func(context.Context) error { return &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED} }, checks.Contact{State: checks.Refused}},
		{func(context.Context) error { return &net.OpError{Op: "dial", Err: syscall.EMFILE} }, checks.Contact{}}, // ours, and no word on the node
		{func(context.Context) error { return errors.New("a proxy of sorts") }, checks.Contact{}},
	} {
		host := checks.Host{
			Network: checkstest.Network{DialFunc: func(ctx context.Context, _, _ string) (net.Conn, error) { return nil, c.dial(ctx) }},
			Secret:  func(platform.SecretRef) (string, error) { return "hunter2", nil },
		}
		a, err := observeMember(within(t, 200*time.Millisecond), host, target{Address: "10.0.0.1:8008"})
		require.Equal(t, answer{Contact: c.want}, a)
		require.Equal(t, c.want == checks.Contact{}, err != nil, "%v", err)
		s, err := observeLogin(within(t, 200*time.Millisecond), host, checks.Target[platform.Login]{Address: "10.0.0.1:5432"})
		require.Equal(t, server{Contact: c.want}, s)
		require.Equal(t, c.want == checks.Contact{}, err != nil, "%v", err)
	}
}

// An interrupt says nothing of the node, but what was seen before it is kept.
func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/patroni" {
			_, _ = io.WriteString(w, leaderStatus)
			return
		}
		time.AfterFunc(100*time.Millisecond, cancel)
		<-r.Context().Done()
	}))
	defer s.Close()
	a, err := look(t, ctx, s.Listener.Addr().String())
	require.ErrorIs(t, err, context.Canceled)
	require.NotNil(t, a.Status)
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
	ctx := promised{within(t, time.Minute), time.Now().Add(time.Second)}
	a, err := look(t, ctx, s.Listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, ctx.Err(), "it waited for its deadline to end it")
	require.NotNil(t, a.Status)
	require.Nil(t, a.Cluster)
	require.Equal(t, &checks.Unseen{Code: checks.TimedOut}, a.ClusterUnseen)
	require.Equal(t, &checks.Unseen{Code: checks.TimedOut}, a.HistoryUnseen)
}

// A promised context says when it will end, and lasts longer: what a look does in
// time it does by itself, however busy the machine is.
type promised struct {
	context.Context
	at time.Time
}

func (p promised) Deadline() (time.Time, bool) { return p.at, true }

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
	a, err := look(t, promised{within(t, time.Minute), time.Now().Add(time.Second)}, s.Listener.Addr().String())
	require.NoError(t, err)
	require.Equal(t, checks.Contact{State: checks.Mute}, a.Contact)
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
