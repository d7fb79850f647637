package postgres

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// A unit is one of systemd; Load is "not-found" where it does not exist.
type unit struct {
	Name   string `json:"name"`
	Load   string `json:"load"`
	File   string `json:"file,omitempty"` // "enabled", "disabled", "masked", …
	Active string `json:"active"`
	Sub    string `json:"sub"` // "running", "exited", "dead", …
}

const unitPatroni = "patroni.service"

// observeUnits asks for Patroni and for everything that would start PostgreSQL
// beside it: the unit of Ubuntu, its instances, and the unit of RHEL.
func observeUnits(ctx context.Context, host checks.Host, _ target) ([]unit, error) {
	out, err := host.Run(ctx, "systemctl", "show", "--property=Id,LoadState,UnitFileState,ActiveState,SubState",
		unitPatroni, "postgresql.service", "postgresql-16.service", "postgresql@*.service")
	units := parseUnits(out)
	if err == nil && len(units) == 0 {
		err = errors.New("systemctl show lists no unit")
	}
	return units, err
}

// parseUnits reads blocks of NAME=value, with an empty line between them.
func parseUnits(show string) []unit {
	var out []unit
	for block := range strings.SplitSeq(show, "\n\n") {
		of := map[string]string{}
		for line := range strings.Lines(block) {
			key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			of[key] = value
		}
		if of["Id"] != "" {
			out = append(out, unit{of["Id"], of["LoadState"], of["UnitFileState"], of["ActiveState"], of["SubState"]})
		}
	}
	return out
}

// A balancer is HAProxy on this node: what listens on its ports, and the servers in
// its statistics.
type balancer struct {
	Ports    map[int]string `json:"ports"` // the process that listens on each; empty where we may not know
	Backends []backend      `json:"backends,omitempty"`
	Unread   string         `json:"unread,omitempty"` // why there are no statistics
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

func observeHAProxy(ctx context.Context, host checks.Host, _ target) (balancer, error) {
	sockets, err := host.Machine.Listeners(ctx)
	if err != nil {
		return balancer{}, err
	}
	b := balancer{Ports: map[int]string{}}
	for _, s := range sockets {
		ours := s.Protocol == "tcp" && slices.Contains([]int{portPostgres, portDirectory, portStats}, s.Port)
		// Carbonio connects to localhost; other addresses may belong to others.
		local := s.Address.IsUnspecified() || slices.Contains(localhost, s.Address.Unmap())
		if _, known := b.Ports[s.Port]; ours && local && !known {
			b.Ports[s.Port] = s.Process
		}
	}
	if _, listens := b.Ports[portStats]; !listens {
		return b, nil
	}
	ctx, cancel := checks.Share(ctx, 0.9)
	defer cancel()
	c := newClient(host.Network, at("127.0.0.1", portStats))
	defer c.Close()
	a, err := c.get(ctx, "/;csv")
	if err == nil {
		b.Backends, err = parseStats(a.Body)
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return b, ctx.Err()
	}
	if err != nil {
		b.Unread = err.Error()
	}
	return b, nil
}

// parseStats reads the servers from HAProxy's statistics: a header with the names of
// the columns, and a line for each frontend, backend and server.
func parseStats(text []byte) ([]backend, error) {
	r := csv.NewReader(bytes.NewReader(bytes.TrimLeft(text, "# ")))
	r.FieldsPerRecord, r.LazyQuotes = -1, true
	rows, err := r.ReadAll()
	for _, name := range []string{"pxname", "svname", "status"} {
		if err != nil || len(rows) == 0 || !slices.Contains(rows[0], name) {
			return nil, errors.New("they are not in HAProxy's format")
		}
	}
	out := []backend{}
	for _, row := range rows[1:] {
		of := map[string]string{}
		for i, name := range rows[0][:min(len(rows[0]), len(row))] {
			of[name] = row[i]
		}
		if name := of["svname"]; name != "FRONTEND" && name != "BACKEND" {
			out = append(out, backend{of["pxname"], name, of["addr"], of["status"], of["check_status"]})
		}
	}
	return out, nil
}
