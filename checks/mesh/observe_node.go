package mesh

import (
	"archive/tar"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// losses count how often each member failed within the last hour.
type losses map[string]int

// maxLines bounds how much of the log is read.
const maxLines = "3000"

var memberFailed = regexp.MustCompile(`serf\.lan: serf: EventMemberFailed: (\S+)`)

func observeJournal(ctx context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (losses, error) {
	if host.Machine.UID() != 0 {
		return nil, fmt.Errorf("%w: only root can read the log of service-discover", fs.ErrPermission)
	}
	text, err := host.Run(ctx, "journalctl", "-u", "service-discover", "--since", "-1h", "-n", maxLines, "-o", "cat", "-q", "--no-pager")
	if err != nil {
		return nil, err
	}
	lost := losses{}
	for _, m := range memberFailed.FindAllStringSubmatch(text, -1) {
		lost[m[1]]++
	}
	return lost, nil
}

func observeDirectory(ctx context.Context, host checks.Host, _ checks.Target[checks.Nothing]) ([]string, error) {
	const line = `TERM=xterm-256color; PATH=/opt/zextras/bin:$PATH; export TERM PATH; carbonio prov -l gs "$(zmhostname)" zimbraServiceEnabled`
	run, err := host.Zextras(ctx)
	if err != nil {
		return nil, err
	}
	text, err := run(ctx, line)
	if err != nil {
		return nil, err
	}
	return parseServer(text)
}

var enabledService = regexp.MustCompile(`(?mi)^zimbraServiceEnabled:[ \t]*(\S+)`)

// parseServer reads "# name HOST" and the "zimbraServiceEnabled: NAME" lines of
// carbonio prov gs.
func parseServer(text string) ([]string, error) {
	if !strings.Contains("\n"+text, "\n# name ") {
		return nil, errors.New("carbonio prov gs printed no server")
	}
	enabled := []string{}
	for _, m := range enabledService.FindAllStringSubmatch(text, -1) {
		enabled = append(enabled, m[1])
	}
	return enabled, nil
}

func observeSetups(_ context.Context, host checks.Host, t checks.Target[checks.Nothing]) ([]string, error) {
	waiting := []string{}
	entries, err := fs.ReadDir(host.Files, strings.TrimPrefix(t.Name, "/"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if e.Type().IsRegular() && path.Ext(e.Name()) == ".sh" {
			waiting = append(waiting, e.Name())
		}
	}
	return waiting, nil
}

// A credential says where the administration token was found, never what it is.
type credential struct {
	From string `json:"from,omitempty"`
	// Unseen is why there is none.
	Unseen checks.Unseen `json:"unseen,omitzero"`
	// Elsewhere: the node is no mesh server, and the configuration names no token.
	Elsewhere bool `json:"elsewhere,omitempty"`
}

const (
	credentials = "/etc/zextras/service-discover/cluster-credentials.tar.gpg"
	passphrase  = "/var/lib/service-discover/password" //nolint:gosec // where it is
	secretFile  = "consul-acl-secret.json"
	maxSecret   = 64 << 10
	uuidDigits  = "0123456789abcdefABCDEF-" // none of which could end a header
)

// findToken takes the token named in the configuration, or else the one that a
// mesh server holds.
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

// decrypt opens the credentials that the setup leaves on each mesh server. gpg
// reads the passphrase from its file, so it is never on a command line or in our
// memory. The options keep gpg from writing anything.
func decrypt(ctx context.Context, host checks.Host) (string, error) {
	if host.Machine.UID() != 0 {
		return "", fmt.Errorf("%w: only root can read %s", fs.ErrPermission, passphrase)
	}
	for _, name := range []string{passphrase, credentials} {
		if there, err := host.Exists(name); err != nil || !there {
			return "", cmp.Or(err, fmt.Errorf("%s does not exist", name))
		}
	}
	archive, err := host.Run(ctx, "gpg", "--batch", "--quiet", "--no-options", "--no-keyring", "--no-autostart", "--no-random-seed-file",
		"--pinentry-mode", "loopback", "--passphrase-file", passphrase, "--decrypt", credentials)
	if err != nil {
		return "", err
	}
	return secretID(strings.NewReader(archive))
}

// secretID finds the token in the archive. No error contains any part of it.
func secretID(archive io.Reader) (string, error) {
	for files := tar.NewReader(archive); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return "", fmt.Errorf("%s is not in %s", secretFile, credentials)
		}
		if err != nil {
			return "", fmt.Errorf("%s is not an archive", credentials)
		}
		if strings.TrimPrefix(h.Name, "./") != secretFile {
			continue
		}
		var acl struct{ SecretID string }
		err = json.NewDecoder(io.LimitReader(files, maxSecret)).Decode(&acl)
		if err != nil || acl.SecretID == "" || strings.Trim(acl.SecretID, uuidDigits) != "" {
			return "", fmt.Errorf("%s in %s holds no SecretID", secretFile, credentials)
		}
		return acl.SecretID, nil
	}
}
