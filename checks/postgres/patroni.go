package postgres

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"carbonio-check/checks"
)

const (
	maxBody = 1 << 20 // of an answer; Patroni's and HAProxy's are a few kilobytes
	maxHead = 1 << 16 // of its header
	// maxFailovers of a history are kept: Patroni keeps 1000 by itself.
	maxFailovers = 20
	// settle is what a replica that seems to be behind gets before it is asked
	// again: standing still and hurrying look the same at once.
	settle = time.Second
	// maxLag is Patroni's maximum_lag_on_failover (HAA patroni.config.yaml).
	maxLag = 1 << 20
)

// An answer is all that Patroni of one node said.
type answer struct {
	// Silent is why no status came back, where that is the node's doing. Patroni
	// takes its status from PostgreSQL: when that hangs, the rest may still come.
	Silent string `json:"silent,omitempty"`

	Status  *status `json:"status,omitempty"`  // of itself: GET /patroni
	Later   *status `json:"later,omitempty"`   // asked again, where it seemed behind
	Cluster *view   `json:"cluster,omitempty"` // of all members: GET /cluster
	History [][]any `json:"history,omitempty"` // [timeline, LSN, reason, time, new leader], oldest first: GET /history
	// Date is the time by the member's own clock, when it gave its status.
	Date time.Time `json:"date,omitzero"`
}

// A status is a member's word on itself. Patroni 2 and 3 call the leader
// "master", 4 "primary" (PAT rest_api).
type status struct {
	State            string   `json:"state"`
	Role             string   `json:"role"`
	ServerVersion    int      `json:"server_version,omitempty"` // 160004
	Timeline         int      `json:"timeline,omitempty"`
	XLog             xlog     `json:"xlog"`
	Replication      []sender `json:"replication,omitempty"`
	ReplicationState string   `json:"replication_state,omitempty"` // not before Patroni 3.1
	Unlocked         bool     `json:"cluster_unlocked,omitempty"`
	Failsafe         bool     `json:"failsafe_mode_is_active,omitempty"`
	Pause            bool     `json:"pause,omitempty"`
	DCSLastSeen      int64    `json:"dcs_last_seen,omitempty"` // seconds since 1970
	System           string   `json:"database_system_identifier,omitempty"`
	Patroni          struct {
		Version string `json:"version"`
		Scope   string `json:"scope"`
		Name    string `json:"name,omitempty"` // not in every version
	} `json:"patroni"`
}

// running is the state of a PostgreSQL that takes connections.
const running = "running"

// leads says whether the member leads, by its own word.
func (s status) leads() bool {
	return s.State == running && slices.Contains([]string{"primary", "master", "standby_leader"}, s.Role)
}

// xlog holds positions in bytes: one for a leader, two for a replica.
type xlog struct {
	Location int64 `json:"location,omitempty"`
	Received int64 `json:"received_location,omitempty"`
	Replayed int64 `json:"replayed_location,omitempty"`
	Paused   bool  `json:"paused,omitempty"`
}

// A sender is a replica that a server streams to, by its Patroni name: behind
// HAProxy or on loopback its address says nothing.
type sender struct {
	Name  string `json:"application_name"`
	State string `json:"state"`
}

// A view is what a member reads of the cluster in the store.
type view struct {
	Members []entry `json:"members"`
	Pause   bool    `json:"pause,omitempty"`
}

// An entry is a member of a view. Its api_url is left out: Carbonio has every
// member advertise loopback there (HAA), and nothing must follow it.
type entry struct {
	Name  string `json:"name"`
	Role  string `json:"role"` // "leader", "replica", "sync_standby", "standby_leader", …
	State string `json:"state"`
	Host  string `json:"host,omitempty"`
	Lag   lag    `json:"lag,omitempty"`
}

func (e entry) leads() bool {
	return e.Role == "leader" || e.Role == "standby_leader"
}

// A lag is a number of bytes, as of the last round of the members.
type lag int64

// unknownLag is the lag of a member that is not running: the word "unknown".
const unknownLag lag = -1

// UnmarshalJSON takes anything: what is not a number of bytes is unknown.
func (l *lag) UnmarshalJSON(b []byte) error {
	n, err := strconv.ParseInt(string(b), 10, 64)
	if *l = lag(n); err != nil || n < 0 {
		*l = unknownLag
	}
	return nil
}

// observeMember asks Patroni of one node for everything at once: its server
// closes each connection anyway, and a store that hangs must not hide what the
// member says of itself.
func observeMember(ctx context.Context, host checks.Host, t checks.Target) (any, error) {
	if t.Address == "" {
		return nil, checks.ErrNoAddress
	}
	ctx, cancel := checks.Share(ctx, 0.9)
	defer cancel()
	client := newClient(host.Network)
	var a answer
	var wg sync.WaitGroup
	var errs [3]error
	ask := func(i int, path string, into any) {
		wg.Go(func() { errs[i] = client.json(ctx, "http://"+t.Address+path, into) })
	}
	wg.Go(func() { a.Status, a.Date, errs[0] = client.status(ctx, t.Address) })
	ask(1, "/cluster", &a.Cluster)
	ask(2, "/history", &a.History)
	wg.Wait()
	a.History = a.History[max(0, len(a.History)-maxFailovers):]
	if a.behind(t) {
		a.Later = client.again(ctx, t.Address)
	}
	if a.Status == nil {
		a.Silent = silence(ctx, errs[0])
	}
	if a.Silent != "" {
		return a, nil
	}
	return a, cmp.Or(errs[0], errs[1], errs[2])
}

// behind says whether a replica looks as if it did not keep up, by its own word
// or by what the cluster knows of it; or whether a leader does not stream to a
// replica that runs, as for the seconds in which it joins.
func (a answer) behind(t checks.Target) bool {
	s := a.Status
	switch {
	case s == nil || s.State != running:
		return false
	case s.leads():
		return a.Cluster != nil && slices.ContainsFunc(a.Cluster.Members, func(e entry) bool {
			return !e.leads() && (e.State == running || e.State == streaming) && !s.streamsTo(e.Name)
		})
	case s.XLog.Received-s.XLog.Replayed > maxLag:
		return true
	}
	e, ok := a.entry(t)
	return ok && e.Lag > maxLag
}

// streamsTo says whether a replica of that name gets what the member writes.
func (s status) streamsTo(name string) bool {
	return slices.ContainsFunc(s.Replication, func(r sender) bool { return same(r.Name, application(name)) })
}

// entry finds the node in a view: by its name, which HAA takes from the
// inventory, or by its address.
func (a answer) entry(t checks.Target) (entry, bool) {
	if a.Cluster == nil {
		return entry{}, false
	}
	host, _, _ := net.SplitHostPort(t.Address) // without one there is none to compare
	for _, is := range []func(entry) bool{
		func(e entry) bool { return same(e.Name, t.Node) },
		func(e entry) bool { return host != "" && e.Host == host },
	} {
		if i := slices.IndexFunc(a.Cluster.Members, is); i >= 0 {
			return a.Cluster.Members[i], true
		}
	}
	return entry{}, false
}

// name is what Patroni calls the node.
func (a answer) name(t checks.Target) string {
	if a.Status != nil && a.Status.Patroni.Name != "" {
		return a.Status.Patroni.Name
	}
	e, _ := a.entry(t)
	return cmp.Or(e.Name, t.Node)
}

// silence is the node's own reason for not having said how it is; empty when the
// reason is another, such as an answer that is not Patroni's.
func silence(ctx context.Context, err error) string {
	var icmp *checks.RejectedError
	var dial *dialError
	late := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return ""
	case errors.As(err, &icmp):
		return icmp.Reason + ", says " + icmp.By.String()
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no route to host"
	case late && errors.As(err, &dial):
		return "no answer to the connection"
	case late:
		return "the connection is accepted, and nothing comes back"
	}
	return ""
}

// again asks a member for its status once more; nil when there is no time.
func (c client) again(ctx context.Context, address string) *status {
	select {
	case <-time.After(settle):
	case <-ctx.Done():
		return nil
	}
	later, _, err := c.status(ctx, address)
	if err != nil {
		return nil // it was seen once, and says so
	}
	return later
}

// A client asks HTTP servers that nobody vouches for.
type client struct{ http.Client }

// A dialError is one that came before the connection stood.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// newClient makes a client that trusts nothing an answer says: it follows no
// redirect, keeps no connection and no proxy, and reads no more than it must.
func newClient(network checks.Network) client {
	return client{http.Client{
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, protocol, address string) (net.Conn, error) {
				conn, err := network.Dial(ctx, protocol, address)
				if err != nil {
					return nil, &dialError{err}
				}
				return conn, nil
			},
			DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHead,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// status asks a member for its own status, and takes its clock from the header.
func (c client) status(ctx context.Context, address string) (*status, time.Time, error) {
	body, head, err := c.get(ctx, "http://"+address+"/patroni")
	if err != nil {
		return nil, time.Time{}, err
	}
	var s *status
	if err := json.Unmarshal(body, &s); err != nil || s == nil || s.State == "" || s.Role == "" {
		return nil, time.Time{}, errors.New("/patroni: not an answer of Patroni")
	}
	date, err := http.ParseTime(head.Get("Date"))
	if err != nil {
		date = time.Time{} // then nobody can say how old dcs_last_seen is
	}
	return s, date, nil
}

func (c client) json(ctx context.Context, url string, into any) error {
	body, _, err := c.get(ctx, url)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s: not an answer of Patroni", pathOf(url))
	}
	return nil
}

// get reads the body of an answer with status 200.
func (c client) get(ctx context.Context, url string) ([]byte, http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", pathOf(url), errors.Unwrap(err)) // without the method and the address
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s: HTTP status %d", pathOf(url), resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", pathOf(url), err)
	}
	if len(body) > maxBody {
		return nil, nil, fmt.Errorf("%s: answer larger than %d bytes", pathOf(url), maxBody)
	}
	return body, resp.Header, nil
}

// pathOf cuts what a message need not repeat: the address is that of the target.
func pathOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	return rest[strings.IndexByte(rest, '/'):]
}
