package hosts

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"net/netip"

	"carbonio-check/checks"
)

// A file is /etc/hosts, and what it must fit.
type file struct {
	Text      string       `json:"text"`
	Missing   bool         `json:"missing,omitempty"`
	Hostname  string       `json:"hostname,omitempty"`  // the kernel's
	Addresses []netip.Addr `json:"addresses,omitempty"` // of the machine's interfaces except loopback
	// MachineUnseen is why the host name or the addresses could not be seen.
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
	seen := file{Text: text, Missing: missing, Hostname: name}
	for _, i := range interfaces {
		for _, p := range i.Addresses {
			if !i.Loopback {
				seen.Addresses = append(seen.Addresses, p.Addr().Unmap())
			}
		}
	}
	if err = cmp.Or(err, nameErr); err != nil {
		why := checks.Why(err)
		seen.MachineUnseen = &why
	}
	return seen, nil
}
