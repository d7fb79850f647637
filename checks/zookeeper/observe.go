package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

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
)

// A server is what one server says of itself.
type server struct {
	// Down is why it said nothing; the rest is empty then. Silent: not even a
	// connection or its refusal came back, as from behind a firewall.
	Down   string `json:"down,omitempty"`
	Silent bool   `json:"silent,omitempty"`
	// Mute is why it says no more than that it lives.
	Mute string `json:"mute,omitempty"`
	// Idle: it runs and serves nobody, for want of a majority.
	Idle    bool   `json:"idle,omitempty"`
	Version string `json:"version,omitempty"`
	Mode    string `json:"mode,omitempty"` // "leader", "follower", "observer", "standalone"
	Zxid    uint64 `json:"zxid,omitempty"` // of its last change: epoch, then number
	HasZxid bool   `json:"has_zxid,omitempty"`
	// Brokers are the ids registered by Kafka; only the leader tells.
	Brokers   []string `json:"brokers,omitempty"`
	NoBrokers string   `json:"no_brokers,omitempty"` // why it did not
}

const (
	leader     = "leader"
	standalone = "standalone"
)

// Observe asks one server: for its state, by the only command that it answers
// by default, and where that is not enough its AdminServer.
func (Module) Observe(ctx context.Context, host checks.Host, t checks.Target) (any, error) {
	address, err := netip.ParseAddrPort(t.Address)
	if err != nil {
		return nil, checks.ErrNoAddress
	}
	ctx, cancel := checks.Share(ctx, 0.9) // to say in time who kept silent
	defer cancel()
	half, cancel := checks.Share(ctx, 0.5) // the rest is for the second source
	defer cancel()
	admin := adminServer{host.Network, netip.AddrPortFrom(address.Addr(), adminPort).String()}
	registered := admin.brokersSoon(ctx) // of the leader; who that is, is not known yet
	seen, err := state(half, host.Network, t.Address)
	if err == nil && seen.Mode == "" && !seen.Idle {
		admin.state(ctx, &seen)
	}
	leads := seen.Mode == leader || seen.Mode == standalone
	ids, unseen := registered(leads)
	switch {
	case err != nil:
		return nil, err
	case leads && unseen != nil:
		seen.NoBrokers = unseen.Error()
	case leads:
		seen.Brokers = ids
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return seen, ctx.Err()
	}
	return seen, nil
}

// state asks for srvr, or words why there is no answer. An error that is ours,
// such as an interrupt, says nothing of the server and is returned.
func state(ctx context.Context, network checks.Network, address string) (server, error) {
	conn, err := network.Dial(ctx, "tcp", address)
	if err == nil {
		defer conn.Close()
		text, err := ask(ctx, conn)
		switch {
		case err == nil:
			return parse(text), nil
		case errors.Is(ctx.Err(), context.Canceled):
			return server{}, ctx.Err()
		case ctx.Err() != nil:
			return server{Down: "it accepts the connection, and then keeps silent"}, nil
		}
		return server{Down: err.Error()}, nil
	}
	var icmp *checks.RejectedError
	var timeout net.Error
	switch {
	case errors.As(err, &icmp):
		return server{Down: fmt.Sprintf("%s, says %s", icmp.Reason, icmp.By), Silent: true}, nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return server{Down: "nothing listens on its port"}, nil
	case errors.Is(ctx.Err(), context.Canceled):
		return server{}, ctx.Err()
	case ctx.Err() != nil, errors.As(err, &timeout) && timeout.Timeout():
		return server{Down: "no answer from its port", Silent: true}, nil
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return server{Down: "no way leads to it", Silent: true}, nil
	}
	return server{}, err
}

// ask sends srvr and returns the answer, which ends with the connection.
func ask(ctx context.Context, conn net.Conn) (string, error) {
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if _, err := io.WriteString(conn, "srvr"); err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(conn, maxAnswer))
	if len(text) > 0 { // a reset behind the answer does not matter
		return string(text), nil
	}
	return "", err
}

// parse reads an answer to srvr.
func parse(text string) server {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return server{Down: "it closes the connection without an answer"}
	case strings.Contains(text, notServing):
		return server{Idle: true}
	case strings.Contains(text, notAllowed):
		return server{Mute: "srvr is not in its whitelist (4lw.commands.whitelist)"}
	}
	var s server
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch key {
		case "Zookeeper version":
			s.Version = value
		case "Mode":
			s.Mode = value
		case "Zxid":
			zxid, err := strconv.ParseUint(value, 0, 64)
			s.Zxid, s.HasZxid = zxid, err == nil
		}
	}
	if s.Mode == "" {
		return server{Down: "what answers is no ZooKeeper"}
	}
	return s
}

// An adminServer is the HTTP side of a server (admin.serverPort).
type adminServer struct {
	network checks.Network
	address string
}

// state takes the state from the AdminServer; where it does not tell either,
// what the client's port said stands.
func (a adminServer) state(ctx context.Context, s *server) {
	var told struct {
		Version string `json:"version"`
		State   string `json:"server_state"`
		Error   string `json:"error"`
	}
	switch err := a.get(ctx, "monitor", &told); {
	case err != nil:
	case strings.Contains(told.Error, notServing):
		*s = server{Idle: true}
	case told.State != "":
		*s = server{Mode: told.State, Version: told.Version}
	}
}

// brokersSoon begins to ask for the brokers; what it returns waits for the
// answer, or gives it up.
func (a adminServer) brokersSoon(ctx context.Context) (wait func(wanted bool) ([]string, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var ids []string
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		ids, err = a.brokers(ctx)
	}()
	return func(wanted bool) ([]string, error) {
		if !wanted {
			cancel()
		}
		<-done
		cancel()
		return ids, err
	}
}

// brokers are the ids that Kafka registered. They are the sessions' own nodes,
// which dump lists without a session of ours, which would be a change.
func (a adminServer) brokers(ctx context.Context) ([]string, error) {
	var told struct {
		Paths map[string][]string `json:"session_id_to_ephemeral_paths"`
		Error string              `json:"error"`
	}
	if err := a.get(ctx, "dump", &told); err != nil {
		return nil, err
	}
	if told.Error != "" {
		return nil, errors.New(told.Error)
	}
	ids := []string{}
	for _, paths := range told.Paths {
		for _, p := range paths {
			if strings.HasPrefix(p, registry) {
				ids = append(ids, path.Base(p))
			}
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// get runs a command of the AdminServer.
func (a adminServer) get(ctx context.Context, command string, into any) error {
	transport := &http.Transport{
		DialContext:            a.network.Dial,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxAnswer,
	}
	client := http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+a.address+"/commands/"+command, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument))
	switch {
	case err != nil:
		return err
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("the AdminServer answers %s", response.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the AdminServer does not answer %s in JSON: %w", command, err)
	}
	return nil
}
