package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"carbonio-check/checks"
)

const (
	// maxBody bounds an answer, in bytes; Patroni's and HAProxy's are a few kilobytes.
	maxBody = 1 << 20
	// maxFailovers bounds the history that is kept; Patroni keeps 1000.
	maxFailovers = 20
	// settle is how long a replica that seems to be behind gets before it is asked
	// again: one look cannot show whether it makes progress.
	settle = time.Second
	// maxLag is Patroni's maximum_lag_on_failover (patroni.config.yaml).
	maxLag = 1 << 20
)

// An answer is all that Patroni on one node reports.
type answer struct {
	// Contact is how the attempt to get the status ended where it failed. The status
	// comes from PostgreSQL: when that hangs, the rest may still arrive.
	Contact checks.Contact `json:"contact,omitzero"`
	Status  *status        `json:"status,omitempty"`  // of itself: GET /patroni
	Later   *status        `json:"later,omitempty"`   // the same again, where it seemed behind
	Cluster *topology      `json:"cluster,omitempty"` // of all members: GET /cluster
	History [][]any        `json:"history,omitempty"` // [timeline, LSN, reason, time, new leader], oldest first: GET /history
	// Date is the time by the member's own clock when it reported its status.
	Date time.Time `json:"date,omitzero"`
	// ClusterUnseen and HistoryUnseen are why a member that reported its status did
	// not report the rest.
	ClusterUnseen *checks.Unseen `json:"cluster_unseen,omitempty"`
	HistoryUnseen *checks.Unseen `json:"history_unseen,omitempty"`
}

// A status is what a member reports of itself. Patroni 2 and 3 call the leader
// "master", 4 "primary".
type status struct {
	State         string   `json:"state"`
	Role          string   `json:"role"`
	ServerVersion int      `json:"server_version,omitempty"` // 160004
	Timeline      int      `json:"timeline,omitempty"`
	XLog          xlog     `json:"xlog"`
	Replication   []sender `json:"replication,omitempty"`
	Unlocked      bool     `json:"cluster_unlocked,omitempty"`
	Failsafe      bool     `json:"failsafe_mode_is_active,omitempty"`
	Pause         bool     `json:"pause,omitempty"`
	DCSLastSeen   int64    `json:"dcs_last_seen,omitempty"` // seconds since 1970
	System        string   `json:"database_system_identifier,omitempty"`
	Patroni       struct {
		Version string `json:"version"`
		Scope   string `json:"scope"`
		Name    string `json:"name,omitempty"` // not in every version
	} `json:"patroni"`
}

// The states of a PostgreSQL that accepts connections; streaming is also that of a
// replica's connection to the leader.
const (
	running   = "running"
	streaming = "streaming"
)

// standbyLeader is the role of the leader of a cluster that only follows another.
const standbyLeader = "standby_leader"

// leads says whether the member leads, according to itself.
func (s status) leads() bool {
	return s.State == running && slices.Contains([]string{"primary", "master", standbyLeader}, s.Role)
}

// streamsTo says whether a replica of that name receives what the member writes.
func (s status) streamsTo(name string) bool {
	return slices.ContainsFunc(s.Replication, func(r sender) bool { return strings.EqualFold(r.Name, application(name)) })
}

// application is the name of a replica as PostgreSQL shows it: cut to the length
// of its identifiers.
func application(name string) string { return name[:min(len(name), 63)] }

// xlog holds positions in bytes: one for a leader, two for a replica.
type xlog struct {
	Location int64 `json:"location,omitempty"`
	Received int64 `json:"received_location,omitempty"`
	Replayed int64 `json:"replayed_location,omitempty"`
	Paused   bool  `json:"paused,omitempty"`
}

// A sender is a replica that a server streams to, by its name in Patroni.
type sender struct {
	Name  string `json:"application_name"`
	State string `json:"state"`
}

// A topology is the cluster as a member finds it in the store.
type topology struct {
	Members []entry `json:"members"`
	Pause   bool    `json:"pause,omitempty"`
}

// An entry is a member of a topology. Its api_url is omitted: with Carbonio it is
// always loopback, and nothing must follow it.
type entry struct {
	Name  string `json:"name"`
	Role  string `json:"role"` // "leader", "replica", "sync_standby", "standby_leader", …
	State string `json:"state"`
	Host  string `json:"host,omitempty"`
	Lag   lag    `json:"lag,omitempty"`
	// Tags are of any type: Patroni takes what YAML makes of them.
	Tags map[string]any `json:"tags,omitempty"`
}

func (e entry) leads() bool { return e.Role == "leader" || e.Role == standbyLeader }

// eligible says whether a replica may be promoted: it is close behind, and no tag
// excludes it.
func (e entry) eligible() bool {
	excluded := func(tag string) bool { return e.Tags[tag] != nil && e.Tags[tag] != false }
	return e.Lag >= 0 && e.Lag <= maxLag && !excluded("nofailover") && !excluded("nosync") && e.Tags["failover_priority"] != float64(0)
}

// leader is the name of the member that holds the leader lock; empty without one.
func (t topology) leader() string {
	if i := slices.IndexFunc(t.Members, entry.leads); i >= 0 {
		return t.Members[i].Name
	}
	return ""
}

func (t topology) names() []string {
	names := make([]string, len(t.Members))
	for i, e := range t.Members {
		names[i] = e.Name
	}
	slices.Sort(names)
	return names
}

// A lag is a number of bytes, as last measured by the members.
type lag int64

// unknownLag is the lag of a member that is not running: the word "unknown".
const unknownLag lag = -1

// UnmarshalJSON accepts anything: what is not a number of bytes is unknown.
func (l *lag) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if *l = lag(n); err != nil || n < 0 {
		*l = unknownLag
	}
	return nil
}

// observeMember asks Patroni on one node for everything at once: a store that hangs
// must not hide what the member reports of itself.
func observeMember(ctx context.Context, host checks.Host, t target) (answer, error) {
	if t.Address == "" {
		return answer{}, checks.ErrNoAddress
	}
	ctx, cancel := checks.Share(ctx, 0.9)
	defer cancel()
	c, rest := newClient(host.Network, t.Address), newClient(host.Network, t.Address)
	defer c.Close()
	defer rest.Close()
	var a answer
	var all sync.WaitGroup
	var err, clusterErr, historyErr error
	all.Go(func() {
		if a.Status, a.Date, err = c.status(ctx); err != nil {
			a.Contact, err = c.ended(ctx, err)
		}
	})
	all.Go(func() { a.Cluster, _, clusterErr = fetch[*topology](ctx, rest, "/cluster") })
	all.Go(func() { a.History, _, historyErr = fetch[[][]any](ctx, rest, "/history") })
	all.Wait()
	a.History = a.History[max(0, len(a.History)-maxFailovers):]
	if a.Status == nil {
		return a, err
	}
	a.ClusterUnseen, a.HistoryUnseen = reason(clusterErr), reason(historyErr)
	if a.behind(t) {
		a.Later = c.again(ctx)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return a, ctx.Err()
	}
	return a, nil
}

func reason(err error) *checks.Unseen {
	if err == nil {
		return nil
	}
	why := checks.Why(err)
	return &why
}

// behind says whether a replica seems not to keep up, according to itself or to the
// cluster; or whether a leader does not stream to a replica that runs, as is so for
// some seconds when it joins.
func (a answer) behind(t target) bool {
	s := a.Status
	switch {
	case s.State != running:
		return false
	case s.leads():
		return a.Cluster != nil && slices.ContainsFunc(a.Cluster.Members, func(e entry) bool {
			return !e.leads() && (e.State == running || e.State == streaming) && !s.streamsTo(e.Name)
		})
	case s.XLog.Received-s.XLog.Replayed > maxLag:
		return true
	}
	return a.entry(t).Lag > maxLag
}

// entry is the node in the topology, found by its name, which the playbooks take
// from the inventory, or else by its address; empty when it is not there.
func (a answer) entry(t target) entry {
	if a.Cluster == nil {
		return entry{}
	}
	host, _, _ := net.SplitHostPort(t.Address) // empty without an address
	i := slices.IndexFunc(a.Cluster.Members, func(e entry) bool { return strings.EqualFold(e.Name, t.Node) })
	if i < 0 && host != "" {
		i = slices.IndexFunc(a.Cluster.Members, func(e entry) bool { return e.Host == host })
	}
	if i < 0 {
		return entry{}
	}
	return a.Cluster.Members[i]
}

// A client asks an HTTP server, and knows how far its connections came: the error of
// a request alone does not show it.
type client struct {
	*checks.Client
	*dialer
	base string
}

// A dialer notes whether a connection was accepted, and whether anything was received.
type dialer struct {
	checks.Network
	accepted, received atomic.Bool
}

func (d *dialer) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	c, err := d.Network.Dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.accepted.Store(true)
	return &conn{c, d}, nil
}

type conn struct {
	net.Conn
	by *dialer
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.by.received.Store(true)
	}
	return n, err
}

func newClient(network checks.Network, address string) client {
	d := &dialer{Network: network}
	return client{checks.NewClient(d, maxBody, 0), d, "http://" + address}
}

// ended is how the only request of a client ended that failed. Where there was a
// response, only of no use, the error stays.
func (c client) ended(ctx context.Context, failed error) (checks.Contact, error) {
	if !c.accepted.Load() {
		return checks.Dialled(ctx, failed)
	}
	contact, err := checks.Spoken(ctx, failed)
	switch {
	case contact.State != checks.Broken:
		return contact, err
	case !c.received.Load(): // net/http has errors of its own for this
		return checks.Contact{State: checks.HungUp}, nil
	}
	return checks.Contact{}, failed
}

func (c client) get(ctx context.Context, path string) (checks.Answer, error) {
	a, err := c.Get(ctx, c.base+path, nil)
	if err == nil && a.Status != http.StatusOK {
		err = fmt.Errorf("HTTP status %d", a.Status)
	}
	return a, err
}

// fetch wants JSON. Its error names the path; the address is the target's.
func fetch[T any](ctx context.Context, c client, path string) (T, http.Header, error) {
	var v T
	a, err := c.get(ctx, path)
	switch {
	case err == nil && strings.TrimSpace(string(a.Body)) == "null": // which would be read without an error
		err = checks.ErrNotJSON
	case err == nil:
		err = a.JSON(&v)
	}
	if err != nil {
		return *new(T), nil, fmt.Errorf("%s: %w", path, err)
	}
	return v, a.Header, nil
}

func (c client) status(ctx context.Context) (*status, time.Time, error) {
	s, header, err := fetch[*status](ctx, c, "/patroni")
	if err != nil {
		return nil, time.Time{}, err
	}
	if s.State == "" || s.Role == "" {
		return nil, time.Time{}, errors.New("/patroni: the response is not from Patroni")
	}
	date, _ := http.ParseTime(header.Get("Date")) // without it, how old dcs_last_seen is stays unknown
	return s, date, nil
}

// again asks a member for its status once more; nil when there is no time, or no
// response: its first status counts.
func (c client) again(ctx context.Context) *status {
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return nil
	}
	later, _, _ := c.status(ctx)
	return later
}
