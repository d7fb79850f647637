package mesh

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// A token says where the administration token came from, never what it is.
type token struct {
	From string `json:"from,omitempty"`
	// Error is why there is none.
	Error string `json:"error,omitempty"`
	// Elsewhere: this node is not one that holds it, and none was configured.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

// argServer as the second argument of a target says that the node is a mesh server.
const argServer = "server"

const (
	credentials = "/etc/zextras/service-discover/cluster-credentials.tar.gpg"
	passphrase  = "/var/lib/service-discover/password" //nolint:gosec // where it is
	secretFile  = "consul-acl-secret.json"
	maxSecret   = 64 << 10
)

// findToken takes the token that the configuration names, or else the one that a
// mesh server keeps.
func findToken(ctx context.Context, host checks.Host, args []string) (string, token) {
	var ref platform.SecretRef
	if len(args) > 0 {
		_ = json.Unmarshal([]byte(args[0]), &ref) // Targets wrote it
	}
	var secret, from string
	var err error
	switch {
	case ref != platform.SecretRef{} && host.Secret != nil:
		from = ref.String()
		secret, err = host.Secret(ref)
	case len(args) < 2:
		return "", token{Elsewhere: true}
	default:
		from = credentials
		secret, err = decrypt(ctx, host)
	}
	if err != nil {
		return "", token{Error: err.Error()}
	}
	return secret, token{From: from}
}

// decrypt opens the credentials that the setup left on each mesh server (SD).
// The manual's line pipes the passphrase; gpg can also read it from its file, so
// that it is in no command line and in no memory of ours. These options keep gpg
// from writing anything: no keyring, no home, no agent of its own.
func decrypt(ctx context.Context, host checks.Host) (string, error) {
	if host.Machine.UID() != 0 {
		return "", fmt.Errorf("%s is for root to read", passphrase)
	}
	for _, name := range []string{passphrase, credentials} {
		if there, err := host.Exists(name); err != nil {
			return "", err
		} else if !there {
			return "", fmt.Errorf("%s is not there", name)
		}
	}
	archive, err := host.Run(ctx, "gpg", "--batch", "--quiet", "--no-options", "--no-keyring", "--no-autostart", "--no-random-seed-file",
		"--pinentry-mode", "loopback", "--passphrase-file", passphrase, "--decrypt", credentials)
	if err != nil {
		return "", err
	}
	return secretID(strings.NewReader(archive))
}

// secretID finds the token in the archive. No error holds any of it.
func secretID(archive io.Reader) (string, error) {
	for files := tar.NewReader(archive); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s is not in %s", secretFile, credentials)
		}
		if err != nil {
			return "", fmt.Errorf("%s holds no archive", credentials)
		}
		if strings.TrimPrefix(h.Name, "./") != secretFile {
			continue
		}
		var acl struct{ SecretID string }
		err = json.NewDecoder(io.LimitReader(files, maxSecret)).Decode(&acl)
		if err != nil || acl.SecretID == "" || strings.ContainsFunc(acl.SecretID, notUUID) {
			return "", fmt.Errorf("%s in %s holds no SecretID", secretFile, credentials)
		}
		return acl.SecretID, nil
	}
}

// notUUID keeps out of a header what could end it.
func notUUID(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF-", r) }
