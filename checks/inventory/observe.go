package inventory

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"carbonio-check/checks"
)

// secretSuffixes are the files that the playbooks generate beside the
// inventory, named by it (AIA, HAA).
var secretSuffixes = []string{"_postgrespassword", "_ldap_password", "_consulpassword", replicaSecret}

// replicaSecret is made by the Patroni playbook only.
const replicaSecret = "_postgresreplicapassword"

// surroundings is what stands where the inventory was read.
type surroundings struct {
	Visible bool         `json:"visible"` // the inventory itself is there
	Secrets []secretFile `json:"secrets,omitempty"`
}

type secretFile struct {
	Suffix  string      `json:"suffix"`
	Present bool        `json:"present"`
	Size    int64       `json:"size,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"` // permissions
	Error   string      `json:"error,omitempty"`
}

// Observe looks at the secret files, not into them.
func (Module) Observe(_ context.Context, host checks.Host, target checks.Target) (any, error) {
	var seen surroundings
	if target.Address == "" {
		return seen, nil
	}
	visible, err := host.Exists(target.Address)
	if err != nil || !visible {
		return seen, err
	}
	seen.Visible = true
	for _, suffix := range secretSuffixes {
		seen.Secrets = append(seen.Secrets, stat(host.Files, target.Address, suffix))
	}
	return seen, nil
}

func stat(files fs.FS, inventory, suffix string) secretFile {
	f := secretFile{Suffix: suffix}
	info, err := fs.Stat(files, strings.TrimPrefix(inventory, "/")+suffix)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		f.Error = err.Error()
	default:
		f.Present, f.Size, f.Mode = true, info.Size(), info.Mode().Perm()
	}
	return f
}
