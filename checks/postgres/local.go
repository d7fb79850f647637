package postgres

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
)

// Observe looks at one target.
func (Module) Observe(ctx context.Context, host checks.Host, t checks.Target) (any, error) {
	switch t.Kind {
	case kindMember:
		return observeMember(ctx, host, t)
	case kindSQL:
		return observeSQL(ctx, host, t)
	case kindService:
		return observeUnits(ctx, host)
	case kindHAProxy:
		return observeHAProxy(ctx, host)
	}
	return nil, fmt.Errorf("unknown kind of target %q", t.Kind)
}

// A unit is what systemd says of one; Load is "not-found" where there is none.
type unit struct {
	Name   string `json:"name"`
	Load   string `json:"load"`
	File   string `json:"file,omitempty"` // "enabled", "disabled", "masked", …
	Active string `json:"active"`
	Sub    string `json:"sub"` // "running", "exited", "dead", …
}

const unitPatroni = "patroni.service"

// observeUnits asks for Patroni and for all that would start PostgreSQL beside
// it: the unit of Ubuntu, which starts instances, those, and the unit of RHEL.
func observeUnits(ctx context.Context, host checks.Host) (any, error) {
	out, err := host.Run(ctx, "systemctl", "show", "--property=Id,LoadState,UnitFileState,ActiveState,SubState",
		unitPatroni, "postgresql.service", "postgresql-16.service", "postgresql@*.service")
	units := parseUnits(out)
	if err == nil && len(units) == 0 {
		err = errors.New("systemctl show says nothing")
	}
	return units, err
}

// parseUnits reads blocks of NAME=value, with an empty line between them.
func parseUnits(show string) []unit {
	var out []unit
	for block := range strings.SplitSeq(show, "\n\n") {
		var u unit
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch key {
			case "Id":
				u.Name = value
			case "LoadState":
				u.Load = value
			case "UnitFileState":
				u.File = value
			case "ActiveState":
				u.Active = value
			case "SubState":
				u.Sub = value
			}
		}
		if u.Name != "" {
			out = append(out, u)
		}
	}
	return out
}

// A balancer is HAProxy of this node: who listens on its ports, and what its
// statistics say of the servers behind it.
type balancer struct {
	Listeners []listener `json:"listeners"`
	Backends  []backend  `json:"backends,omitempty"`
	Unread    string     `json:"unread,omitempty"` // why there are no statistics
}

// A listener holds one of the ports that HAProxy should hold.
type listener struct {
	Port    int    `json:"port"`
	Process string `json:"process,omitempty"` // empty: not ours to see
}

// A backend is a server that HAProxy sends connections to.
type backend struct {
	Proxy   string `json:"proxy"` // "region_one", "ldap_service_back"
	Name    string `json:"name"`
	Address string `json:"address,omitempty"`
	Status  string `json:"status"` // "UP", "DOWN", "UP 1/2", "no check", "MAINT"
	Check   string `json:"check,omitempty"`
}

var localhost = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()}

func observeHAProxy(ctx context.Context, host checks.Host) (any, error) {
	sockets, err := host.Machine.Listeners(ctx)
	if err != nil {
		return nil, err
	}
	b := balancer{Listeners: []listener{}}
	for _, s := range sockets {
		l := listener{s.Port, s.Process}
		ours := s.Protocol == "tcp" && slices.Contains([]int{portPostgres, portDirectory, portStats}, s.Port)
		// Carbonio connects to localhost; another address may be another's.
		local := s.Address.IsUnspecified() || slices.Contains(localhost, s.Address.Unmap())
		if ours && local && !slices.Contains(b.Listeners, l) {
			b.Listeners = append(b.Listeners, l)
		}
	}
	if b.listens(portStats) == nil {
		return b, nil
	}
	ctx, cancel := checks.Share(ctx, 0.9)
	defer cancel()
	client := newClient(host.Network)
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(portStats)) + "/;csv"
	body, _, err := client.get(ctx, url)
	if err == nil {
		b.Backends, err = parseStats(body)
	}
	if err != nil {
		b.Unread = err.Error()
	}
	return b, nil
}

// listens finds who holds a port; nil when nobody does.
func (b balancer) listens(port int) *listener {
	i := slices.IndexFunc(b.Listeners, func(l listener) bool { return l.Port == port })
	if i < 0 {
		return nil
	}
	return &b.Listeners[i]
}

// parseStats reads the servers from HAProxy's statistics: a header that names
// the columns, and a line for each front, each back and each server.
func parseStats(text []byte) ([]backend, error) {
	head, rest, _ := bytes.Cut(text, []byte("\n"))
	columns := map[string]int{}
	for i, name := range strings.Split(strings.TrimLeft(strings.TrimSpace(string(head)), "# "), ",") {
		columns[name] = i
	}
	for _, name := range []string{"pxname", "svname", "status"} {
		if _, ok := columns[name]; !ok {
			return nil, errors.New("not the statistics of HAProxy")
		}
	}
	r := csv.NewReader(bytes.NewReader(rest))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	rows, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("not the statistics of HAProxy: %w", err)
	}
	out := []backend{}
	for _, row := range rows {
		value := func(name string) string {
			if i, ok := columns[name]; ok && i < len(row) {
				return row[i]
			}
			return ""
		}
		b := backend{value("pxname"), value("svname"), value("addr"), value("status"), value("check_status")}
		if b.Name != "FRONTEND" && b.Name != "BACKEND" {
			out = append(out, b)
		}
	}
	return out, nil
}
