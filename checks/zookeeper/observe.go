package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"carbonio-check/checks"
)

const (
	// maxAnswer is the largest answer that is read of srvr; it takes 300 bytes.
	maxAnswer = 64 << 10
	// maxDocument is the largest that is read of the AdminServer.
	maxDocument = 1 << 20

	notServing = "This ZooKeeper instance is not currently serving requests"
	notAllowed = "is not executed because it is not in the whitelist"
	registry   = "/brokers/ids/"
	leader     = "leader"
	standalone = "standalone"
)

// A server is what one server says of itself.
type server struct {
	// Contact is how the conversation ended where the server gave no state; the
	// rest is empty then.
	Contact checks.Contact `json:"contact,omitzero"`
	// Withheld: it runs, but its whitelist of commands hides its state.
	Withheld bool `json:"withheld,omitempty"`
	// Idle: it runs but serves nobody, for want of a majority.
	Idle    bool   `json:"idle,omitempty"`
	Mode    string `json:"mode,omitempty"` // "leader", "follower", "observer", "standalone"
	Zxid    uint64 `json:"zxid,omitempty"` // of its last change: epoch, then number
	HasZxid bool   `json:"has_zxid,omitempty"`
	// Brokers are the ids registered by Kafka; only the leader lists them.
	Brokers   []string `json:"brokers,omitempty"`
	NoBrokers string   `json:"no_brokers,omitempty"` // why it did not
}

// observe asks one server: for its state, by the only command that it answers
// by default, and where that is not enough its AdminServer.
func observe(ctx context.Context, host checks.Host, t checks.Target[checks.Nothing]) (server, error) {
	address, err := netip.ParseAddrPort(t.Address)
	if err != nil {
		return server{}, checks.ErrNoAddress
	}
	ctx, cancel := checks.Share(ctx, 0.9) // to say in time that it did not respond
	defer cancel()
	half, cancel := checks.Share(ctx, 0.5) // the rest is for the second source
	defer cancel()
	admin := adminServer{
		checks.NewClient(host.Network, maxDocument, 0),
		"http://" + netip.AddrPortFrom(address.Addr(), adminPort).String() + "/commands/",
	}
	defer admin.client.Close()
	// Only the leader lists the brokers. Who that is, is not known yet, and asking
	// everyone at once costs less than a second round.
	listing, enough := context.WithCancel(ctx)
	defer enough()
	var ids []string
	var unlisted error
	var asked sync.WaitGroup
	asked.Go(func() { ids, unlisted = admin.brokers(listing) })
	seen, err := state(half, host.Network, t.Address)
	if err == nil && seen.Mode == "" && !seen.Idle {
		admin.state(ctx, &seen)
	}
	leads := seen.Mode == leader || seen.Mode == standalone
	if !leads {
		enough()
	}
	asked.Wait()
	switch {
	case err != nil:
		return server{}, err
	case leads && unlisted != nil:
		seen.NoBrokers = unlisted.Error()
	case leads:
		seen.Brokers = ids
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return seen, ctx.Err()
	}
	return seen, nil
}

// state asks for srvr, or says how the attempt ended. The answer ends with the
// connection.
func state(ctx context.Context, network checks.Network, address string) (server, error) {
	conn, err := network.Dial(ctx, "tcp", address)
	if err != nil {
		c, err := checks.Dialled(ctx, err)
		return server{Contact: c}, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	var text []byte
	if _, err = io.WriteString(conn, "srvr"); err == nil {
		text, err = io.ReadAll(io.LimitReader(conn, maxAnswer))
	}
	if err != nil && len(text) == 0 { // a reset behind the answer does not matter
		c, err := checks.Spoken(ctx, err)
		return server{Contact: c}, err
	}
	return parse(string(text)), nil
}

// parse reads an answer to srvr.
func parse(text string) server {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return server{Contact: checks.Contact{State: checks.HungUp}}
	case strings.Contains(text, notServing):
		return server{Idle: true}
	case strings.Contains(text, notAllowed):
		return server{Withheld: true}
	}
	var s server
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Mode":
			s.Mode = value
		case "Zxid":
			zxid, err := strconv.ParseUint(value, 0, 64)
			s.Zxid, s.HasZxid = zxid, err == nil
		}
	}
	if s.Mode == "" {
		return server{Contact: checks.Contact{State: checks.Stranger, Words: "ZooKeeper server"}}
	}
	return s
}

// An adminServer is the HTTP side of a server (admin.serverPort).
type adminServer struct {
	client *checks.Client
	url    string
}

// state takes the state from the AdminServer; where it does not report it either,
// what the client's port said is kept.
func (a adminServer) state(ctx context.Context, s *server) {
	var monitor struct {
		State string `json:"server_state"`
		Error string `json:"error"`
	}
	switch err := a.get(ctx, "monitor", &monitor); {
	case err != nil:
	case strings.Contains(monitor.Error, notServing):
		*s = server{Idle: true}
	case monitor.State != "":
		*s = server{Mode: monitor.State}
	}
}

// brokers are the ids that Kafka registered. They are the sessions' own nodes,
// which dump lists without a session of ours, which would be a change.
func (a adminServer) brokers(ctx context.Context) ([]string, error) {
	var dump struct {
		Paths map[string][]string `json:"session_id_to_ephemeral_paths"`
		Error string              `json:"error"`
	}
	if err := a.get(ctx, "dump", &dump); err != nil {
		return nil, err
	}
	if dump.Error != "" {
		return nil, errors.New(dump.Error)
	}
	var ids []string
	for _, paths := range dump.Paths {
		for _, p := range paths {
			if id, ok := strings.CutPrefix(p, registry); ok {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// get runs a command of the AdminServer.
func (a adminServer) get(ctx context.Context, command string, into any) error {
	answer, err := a.client.Get(ctx, a.url+command, nil)
	switch {
	case err != nil:
		return err
	case answer.Status != http.StatusOK:
		return fmt.Errorf("the AdminServer responds with %d %s", answer.Status, http.StatusText(answer.Status))
	}
	return answer.JSON(into)
}
