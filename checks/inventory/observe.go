package inventory

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"carbonio-check/checks"
)

// secretSuffixes are the files that the playbooks generate beside the
// inventory, named by it.
var secretSuffixes = []string{"_postgrespassword", "_ldap_password", "_consulpassword", replicaSecret}

// replicaSecret is made by the Patroni playbook only.
const replicaSecret = "_postgresreplicapassword"

// A file is an inventory; without a path it was not read from a file.
type file struct {
	Path string `json:"path"`
}

// surroundings is what was seen where the inventory was read.
type surroundings struct {
	Visible bool `json:"visible"` // the inventory itself exists
	// Unseen is why that is not known.
	Unseen  checks.Unseen `json:"unseen,omitzero"`
	Secrets []secret      `json:"secrets,omitempty"`
}

// A secret is one of the files beside the inventory.
type secret struct {
	Suffix  string        `json:"suffix"`
	Present bool          `json:"present"`
	Size    int64         `json:"size,omitempty"`
	Mode    fs.FileMode   `json:"mode,omitempty"` // permissions
	Unseen  checks.Unseen `json:"unseen,omitzero"`
}

// targets is the inventory, where there is one.
func targets(scope checks.Scope, _ checks.Host) ([]checks.Target[file], error) {
	inv := scope.Topology.Inventory
	if inv == nil {
		return nil, nil
	}
	return []checks.Target[file]{{Name: inv.File, Ask: file{inv.Path}}}, nil
}

// observe looks at the secret files, but does not read them. That one cannot be
// seen says nothing about the inventory, so it is recorded as a fact.
func observe(_ context.Context, host checks.Host, t checks.Target[file]) (surroundings, error) {
	var seen surroundings
	if t.Ask.Path == "" {
		return seen, nil
	}
	var err error
	if seen.Visible, err = host.Exists(t.Ask.Path); err != nil {
		seen.Unseen = checks.Why(err)
	}
	if !seen.Visible {
		return seen, nil
	}
	for _, suffix := range secretSuffixes {
		s := secret{Suffix: suffix}
		info, err := fs.Stat(host.Files, strings.TrimPrefix(t.Ask.Path, "/")+suffix)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			s.Unseen = checks.Why(err)
		default:
			s.Present, s.Size, s.Mode = true, info.Size(), info.Mode().Perm()
		}
		seen.Secrets = append(seen.Secrets, s)
	}
	return seen, nil
}
