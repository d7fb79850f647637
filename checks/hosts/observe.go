package hosts

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"

	"carbonio-check/checks"
)

// A file is /etc/hosts and what it has to fit.
type file struct {
	Text      string       `json:"text"`
	Missing   bool         `json:"missing,omitempty"`
	Hostname  string       `json:"hostname,omitempty"`  // the kernel's
	Addresses []netip.Addr `json:"addresses,omitempty"` // of the machine's interfaces but loopback
}

// Observe reads the file, and the machine's own name and addresses.
func (Module) Observe(_ context.Context, host checks.Host, target checks.Target) (any, error) {
	text, err := host.ReadFile(target.Name)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return nil, err
	}
	name, nameErr := host.Machine.Hostname()
	interfaces, err := host.Machine.Interfaces()
	return file{
		Text: text, Missing: missing, Hostname: name, Addresses: addresses(interfaces),
	}, errors.Join(nameErr, err)
}

func addresses(interfaces []checks.Interface) []netip.Addr {
	var out []netip.Addr
	for _, i := range interfaces {
		if i.Loopback {
			continue
		}
		for _, p := range i.Addresses {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}
