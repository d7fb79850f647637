package mesh

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// A credential says where the administration token came from, never what it is.
type credential struct {
	From string `json:"from,omitempty"`
	// Unseen is why there is none.
	Unseen checks.Unseen `json:"unseen,omitzero"`
	// Elsewhere: this node is not one that holds it, and none was configured.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

const (
	credentials = "/etc/zextras/service-discover/cluster-credentials.tar.gpg"
	passphrase  = "/var/lib/service-discover/password" //nolint:gosec // where it is
	secretFile  = "consul-acl-secret.json"
	maxSecret   = 64 << 10
)

// findToken takes the token that the configuration names, or else the one that a
// mesh server keeps.
func findToken(ctx context.Context, host checks.Host, a ask) (secret string, from credential) {
	var err error
	switch {
	case a.Token != platform.SecretRef{} && host.Secret != nil:
		from.From = a.Token.String()
		secret, err = host.Secret(a.Token)
	case !a.Server:
		return "", credential{Elsewhere: true}
	default:
		from.From = credentials
		secret, err = decrypt(ctx, host)
	}
	if err != nil {
		return "", credential{Unseen: checks.Why(err)}
	}
	return secret, from
}

// decrypt opens the credentials that the setup left on each mesh server. The
// manual's line pipes the passphrase; gpg can also read it from its file, so
// that it is in no command line and in no memory of ours. These options keep gpg
// from writing anything: no keyring, no home, no agent of its own.
func decrypt(ctx context.Context, host checks.Host) (string, error) {
	if host.Machine.UID() != 0 {
		return "", fmt.Errorf("%w: %s is for root to read", fs.ErrPermission, passphrase)
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
