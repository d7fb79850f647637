package directory

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"carbonio-check/checks"
)

const (
	// caFolder holds every authority that Carbonio trusts, its own among them (CCU zmcertmgr).
	caFolder = "opt/zextras/conf/ca"
	// maxCAs bounds how many files of it are read.
	maxCAs = 64
	// root is who reads cn=config, cn=monitor and all entries (CCU replchk.pl).
	root = "cn=config"
)

// trusted are the authorities of the system and of Carbonio, and how many files
// of the latter there were to read.
func trusted(host checks.Host) (roots *x509.CertPool, ours int) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if host.Files == nil {
		return roots, 0
	}
	files, _ := fs.Glob(host.Files, caFolder+"/*") // the pattern is sound
	for _, file := range files[:min(len(files), maxCAs)] {
		if text, err := host.ReadFile(file); err == nil && roots.AppendCertsFromPEM([]byte(text)) {
			ours++
		}
	}
	return roots, ours
}

// A login is whom to log in as. It never leaves the process.
type login struct{ user, password string }

var errNoLogin = errors.New("no login is known: give one with logins, directory in the configuration, or run on a directory server as root")

// loginOf fetches the login when it is first asked for: the configuration's,
// else on a directory server that of cn=config.
func loginOf(ctx context.Context, host checks.Host, p plan) func() (login, error) {
	return sync.OnceValues(func() (login, error) {
		switch {
		case p.Login.User != "" && host.Secret != nil:
			password, err := host.Secret(p.Login.Password)
			if err != nil {
				return login{}, fmt.Errorf("the password of %s: %w", p.Login.User, err)
			}
			return login{p.Login.User, password}, nil
		case p.Installed && host.Run != nil:
			return localLogin(ctx, host)
		}
		return login{}, errNoLogin
	})
}

// localLogin asks Carbonio's local configuration, as zmreplchk does. Where that
// takes long it leaves the time to read what anybody may.
func localLogin(ctx context.Context, host checks.Host) (login, error) {
	ctx, cancel := context.WithTimeout(ctx, remaining(ctx)*2/3)
	defer cancel()
	run, err := host.Zextras(ctx)
	if err != nil {
		return login{}, err
	}
	text, err := run(ctx, "/opt/zextras/bin/zmlocalconfig -x -s ldap_master_root_password ldap_root_password")
	for _, key := range []string{"ldap_master_root_password", "ldap_root_password"} {
		for line := range strings.Lines(text) {
			name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), " = ")
			if ok && name == key && value != "" {
				return login{root, value}, nil
			}
		}
	}
	// Nothing of the output may show, and of the error only what it is.
	var exit *checks.ExitError
	switch {
	case errors.As(err, &exit):
		return login{}, fmt.Errorf("zmlocalconfig exited with status %d", exit.Code)
	case err != nil:
		return login{}, fmt.Errorf("zmlocalconfig did not run: %w", err)
	}
	return login{}, errors.New("zmlocalconfig names no ldap_root_password")
}
