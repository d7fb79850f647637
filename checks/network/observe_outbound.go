package network

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"path"
	"regexp"
	"strings"

	"carbonio-check/checks"
)

// A service is the result of connecting to a service outside.
type service struct {
	checks.Contact
	Unresolved string `json:"unresolved,omitempty"` // why its name has no address
	Proxy      string `json:"proxy,omitempty"`      // that this node is configured with, if the service is unreachable
}

func observeService(ctx context.Context, host checks.Host, t checks.Target[checks.Nothing]) (service, error) {
	name, _, err := net.SplitHostPort(t.Name)
	if err != nil {
		return service{}, err
	}
	_, err = host.Network.Lookup(ctx, name)
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return service{}, ctx.Err()
	case err != nil && checks.Ours(err):
		return service{}, err
	case err != nil:
		return service{Unresolved: err.Error(), Proxy: proxy(host)}, nil
	}
	contact, err := probe(ctx, host.Network, tcp, t.Name)
	if err != nil || contact.State == checks.Open {
		return service{Contact: contact}, err
	}
	return service{Contact: contact, Proxy: proxy(host)}, nil
}

// proxySetting is a line that sets a proxy: of the environment, apt or dnf.
var proxySetting = regexp.MustCompile(`(?im)^[\t ]*(?:(?:export[\t ]+)?https?_proxy[\t ]*=|(?:Acquire::)?https?::Proxy[\t ]|proxy[\t ]*=)[\t ]*["']?([^"'\s;]+)`)

// proxy gives the first proxy that the node's files set, and the file, without
// the password that it may hold. A file that cannot be read sets none.
func proxy(host checks.Host) string {
	files := []string{"etc/environment", "etc/apt/apt.conf", "etc/dnf/dnf.conf", "etc/yum.conf"}
	more, _ := fs.Glob(host.Files, "etc/apt/apt.conf.d/*") // the pattern is sound
	for _, file := range append(files, more...) {
		text, err := host.ReadFile(file)
		if err != nil {
			continue
		}
		for _, m := range proxySetting.FindAllStringSubmatch(text, -1) {
			if strings.EqualFold(m[1], "DIRECT") || m[1] == "_none_" {
				continue
			}
			return fmt.Sprintf("%s (%s)", withoutUser(m[1]), path.Join("/", file))
		}
	}
	return ""
}

func withoutUser(proxy string) string {
	if u, err := url.Parse(proxy); err == nil && u.Host != "" {
		return u.Host
	}
	return proxy[strings.LastIndexByte(proxy, '@')+1:]
}
