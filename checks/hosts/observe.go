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
	// MachineUnseen is why the machine's name or addresses are not known.
	MachineUnseen *checks.Unseen `json:"machine_unseen,omitempty"`
}

// observe reads the file, and the machine's own name and addresses.
func observe(_ context.Context, host checks.Host, t checks.Target[checks.Nothing]) (file, error) {
	text, err := host.ReadFile(t.Name)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return file{}, err
	}
	name, nameErr := host.Machine.Hostname()
	interfaces, err := host.Machine.Interfaces()
	seen := file{Text: text, Missing: missing, Hostname: name, Addresses: addresses(interfaces)}
	if err == nil {
		err = nameErr
	}
	if err != nil {
		why := checks.Why(err)
		seen.MachineUnseen = &why
	}
	return seen, nil
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
