package dns

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"
	"time"

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

const (
	maxFollow    = 8     // questions that follow from one answer
	maxQuestions = 10000 // a server is asked in one look; ids are 65,536
)

// resolvConf is what /etc/resolv.conf makes the machine do.
type resolvConf struct {
	Servers  []string `json:"servers"`            // asked, in this order
	Default  bool     `json:"default,omitempty"`  // the file names none
	Ignored  []string `json:"ignored,omitempty"`  // named beyond the third
	Bad      []string `json:"bad,omitempty"`      // lines meant to name a server that name none: "line 3: …"
	Upstream []string `json:"upstream,omitempty"` // asked by systemd-resolved behind its stub
}

// A lookup is what one server answered.
type lookup struct {
	Waited  time.Duration `json:"waited"`
	Answers []answer      `json:"answers"`
}

// A hostsView is what /etc/hosts says of the nodes.
type hostsView struct {
	Nodes map[string][]netip.Addr `json:"nodes"` // by name in lower case
}

// Observe looks at one target.
func (Module) Observe(ctx context.Context, host checks.Host, target checks.Target) (any, error) {
	switch target.Kind {
	case configurationKind:
		return readResolvConf(host)
	case hostsKind:
		return readHosts(host, target.Args)
	case resolverKind:
		return lookUp(ctx, host.Network, target)
	}
	return nil, fmt.Errorf("dns has no target of kind %q", target.Kind)
}

func lookUp(ctx context.Context, network checks.Network, target checks.Target) (any, error) {
	if len(target.Args) > maxQuestions {
		return nil, fmt.Errorf("%d questions are more than the %d asked of one server", len(target.Args), maxQuestions)
	}
	var questions []question
	for _, arg := range target.Args {
		recordType, name, _ := strings.Cut(arg, " ")
		questions = append(questions, question{recordType, name})
	}
	start := time.Now()
	answers := ask(ctx, network, target.Address, questions, follow)
	seen := lookup{Waited: time.Since(start), Answers: answers}
	if errors.Is(ctx.Err(), context.Canceled) {
		return seen, ctx.Err() // what is missing then says nothing of the server
	}
	return seen, nil
}

// follow gives the questions that an answer raises: the addresses of mail
// exchangers, and the names of public addresses.
func follow(a answer) []question {
	var out []question
	for _, v := range a.Values[:min(maxFollow, len(a.Values))] {
		switch a.Type {
		case "MX":
			_, exchanger, _ := strings.Cut(v, " ")
			if !isAddress(exchanger) && exchanger != "." {
				out = append(out, question{"A", exchanger})
			}
		case "A":
			if address, err := netip.ParseAddr(v); err == nil && public(address) {
				out = append(out, question{"PTR", v})
			}
		}
	}
	return out
}

func readHosts(host checks.Host, nodes []string) (any, error) {
	text, err := host.ReadFile(hostsFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	all := platform.HostsMap(platform.ParseHosts(text))
	view := hostsView{Nodes: map[string][]netip.Addr{}}
	for _, name := range nodes {
		name = strings.ToLower(name)
		if addresses, ok := all[name]; ok {
			view.Nodes[name] = addresses
		}
	}
	return view, nil
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
