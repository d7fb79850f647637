package dns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
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

// The C library asks the first three servers and no others; without any it asks the
// machine itself (resolv.conf(5)).
const (
	maxServers    = 3
	defaultServer = "127.0.0.1"
)

// resolvConf is what /etc/resolv.conf makes the machine do.
type resolvConf struct {
	Servers  []string `json:"servers"`            // asked, in this order
	Default  bool     `json:"default,omitempty"`  // the file lists none
	Ignored  []string `json:"ignored,omitempty"`  // listed after the third
	Bad      []string `json:"bad,omitempty"`      // nameserver lines that have no effect: "line 3: …"
	Upstream []string `json:"upstream,omitempty"` // asked by systemd-resolved behind its stub
}

// hostsLines are the nodes' IPv4 addresses in /etc/hosts, sorted, by name in lower
// case. A node that has only others has none; AAAA is not asked for either.
type hostsLines map[string][]string

func observeHosts(_ context.Context, host checks.Host, t checks.Target[[]string]) (hostsLines, error) {
	text, err := host.ReadFile(hostsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := platform.HostsMap(platform.ParseHosts(text))
	seen := hostsLines{}
	for _, name := range t.Ask {
		name = strings.ToLower(name)
		if addresses, ok := all[name]; ok {
			seen[name] = ipv4(addresses)
		}
	}
	return seen, nil
}

func ipv4(addresses []netip.Addr) []string {
	out := []string{}
	for _, a := range addresses {
		if a.Unmap().Is4() {
			out = append(out, a.Unmap().String())
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func observeConfiguration(_ context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (resolvConf, error) {
	return readResolvConf(host)
}

// readResolvConf finds the servers to ask. systemd-resolved's stub also answers from
// /etc/hosts and hides the servers behind it, so these are asked as well.
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
		if text, err := host.ReadFile(resolvedFile); err == nil {
			conf.Upstream, _ = parseResolvConf(text)
		}
	}
	return conf, nil
}

// nameserver is a line with that word, and what comes before and after it.
var nameserver = regexp.MustCompile(`^([ \t]*)nameserver(?:[ \t]+([^ \t;#]*).*)?$`)

// parseResolvConf reads the nameserver lines as the C library does: the line begins
// with the word, and an address follows (glibc resolv/res_init.c).
func parseResolvConf(text string) (servers, bad []string) {
	for i, line := range strings.Split(text, "\n") {
		m := nameserver.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		address, err := netip.ParseAddr(m[2])
		if err != nil || m[1] != "" {
			bad = append(bad, fmt.Sprintf("line %d: %s", i+1, line))
		} else if server := address.String(); !slices.Contains(servers, server) {
			servers = append(servers, server)
		}
	}
	return servers, bad
}

// stub says whether a server is systemd-resolved on this machine.
func stub(server string) bool { return server == "127.0.0.53" || server == "127.0.0.54" }
