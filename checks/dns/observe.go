package dns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

const (
	hostsFile    = "/etc/hosts"
	resolvFile   = "/etc/resolv.conf"
	resolvedFile = "/run/systemd/resolve/resolv.conf" // systemd-resolved(8)
)

// The C library asks the first three servers and no other; without any it asks
// the machine itself (resolv.conf(5)).
const (
	maxServers    = 3
	defaultServer = "127.0.0.1"
)

// resolvConf is what /etc/resolv.conf makes the machine do.
type resolvConf struct {
	Servers  []string `json:"servers"`            // asked, in this order
	Default  bool     `json:"default,omitempty"`  // the file names none
	Ignored  []string `json:"ignored,omitempty"`  // named beyond the third
	Bad      []string `json:"bad,omitempty"`      // lines meant to name a server that name none: "line 3: …"
	Upstream []string `json:"upstream,omitempty"` // asked by systemd-resolved behind its stub
}

// names are those of the nodes.
type names struct {
	Names []string `json:"names"`
}

// hostsLines are what /etc/hosts says of the nodes.
type hostsLines struct {
	Nodes map[string][]netip.Addr `json:"nodes"` // by name in lower case
}

// observeHosts reads what /etc/hosts says of the nodes.
func observeHosts(_ context.Context, host checks.Host, t checks.Target[names]) (hostsLines, error) {
	text, err := host.ReadFile(hostsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return hostsLines{}, err
	}
	all := platform.HostsMap(platform.ParseHosts(text))
	seen := hostsLines{Nodes: map[string][]netip.Addr{}}
	for _, name := range t.Ask.Names {
		name = strings.ToLower(name)
		if addresses, ok := all[name]; ok {
			seen.Nodes[name] = addresses
		}
	}
	return seen, nil
}

func observeConfiguration(_ context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (resolvConf, error) {
	return readResolvConf(host)
}

// readResolvConf finds the servers to ask. systemd-resolved's stub answers from
// /etc/hosts too and hides who is behind it, so those are asked as well.
func readResolvConf(host checks.Host) (resolvConf, error) {
	text, err := host.ReadFile(resolvFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return resolvConf{}, err
	}
	servers, bad := parseResolvConf(text)
	conf := resolvConf{Servers: servers, Bad: bad}
	if len(servers) > maxServers {
		conf.Servers, conf.Ignored = servers[:maxServers], servers[maxServers:]
	}
	if len(servers) == 0 {
		conf.Servers, conf.Default = []string{defaultServer}, true
	}
	if slices.ContainsFunc(conf.Servers, stub) {
		text, err := host.ReadFile(resolvedFile)
		if err == nil {
			conf.Upstream, _ = parseResolvConf(text)
		}
	}
	return conf, nil
}

// parseResolvConf reads the nameserver lines as the C library does: the word
// begins the line, and what follows is an address (glibc resolv/res_init.c).
func parseResolvConf(text string) (servers, bad []string) {
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSuffix(line, "\n")
		fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
		if len(fields) == 0 || fields[0] != "nameserver" {
			continue
		}
		value := append(fields, "")[1]
		if i := strings.IndexAny(value, ";#"); i >= 0 {
			value = value[:i]
		}
		address, err := netip.ParseAddr(value)
		if err != nil || !strings.HasPrefix(line, "nameserver") {
			bad = append(bad, fmt.Sprintf("line %d: %s", n, line))
			continue
		}
		if server := address.String(); !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	return servers, bad
}

// stub says whether a server is systemd-resolved on this machine.
func stub(server string) bool { return server == "127.0.0.53" || server == "127.0.0.54" }
