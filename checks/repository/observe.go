package repository

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// sources are the files of apt or dnf that concern Carbonio and PostgreSQL.
type sources struct {
	UID   int      `json:"uid"` // the user who looked
	Files []source `json:"files,omitempty"`
	// Unlisted is why there may be more of them.
	Unlisted checks.Unseen `json:"unlisted,omitzero"`
	Ignored  []string      `json:"ignored,omitempty"` // named after Carbonio, but not read by the package manager
	Keys     []keyFile     `json:"keys,omitempty"`
	// Module is the text of dnf's state of the postgresql module; empty without one.
	Module string `json:"module,omitempty"`
}

// A source is one file. Passwords in it are left out.
type source struct {
	Path   string        `json:"path"`
	Text   string        `json:"text,omitempty"`
	Unseen checks.Unseen `json:"unseen,omitzero"` // why it was not read
}

// A keyFile is a file that an entry names as its key, or one of apt's own keyring.
type keyFile struct {
	Path    string      `json:"path"`
	Missing bool        `json:"missing,omitempty"`
	Mode    fs.FileMode `json:"mode,omitempty"`
	// Closed is the first directory on the path that other users may not enter.
	Closed  string        `json:"closed,omitempty"`
	Size    int64         `json:"size"`
	Head    []byte        `json:"head,omitempty"`    // the first bytes
	Zextras bool          `json:"zextras,omitempty"` // it contains the ID of Zextras' key
	Unseen  checks.Unseen `json:"unseen,omitzero"`   // why it was not read
}

const (
	aptFile     = "/etc/apt/sources.list"
	aptDir      = "/etc/apt/sources.list.d"
	trustedDir  = "/etc/apt/trusted.gpg.d"
	trustedFile = "/etc/apt/trusted.gpg"
	dnfDir      = "/etc/yum.repos.d"
	moduleFile  = "/etc/dnf/modules.d/postgresql.module"

	maxFiles = 200 // of a directory; a real one holds a dozen
	maxKeys  = 100
	headSize = 40 // bytes of a key that show its format
)

// observe reads the configuration of whichever package manager there is. That not
// everything could be listed is a fact beside what was read.
func observe(_ context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (sources, error) {
	s := sources{UID: host.Machine.UID()}
	paths := []string{aptFile}
	var errs []error
	for _, dir := range []string{aptDir, dnfDir} {
		names, err := list(host, dir)
		errs = append(errs, err)
		paths = append(paths, names...)
	}
	for _, p := range paths {
		switch f, concerns := read(host, p); {
		case concerns && taken(p):
			s.Files = append(s.Files, f)
		case named(p, "zextras", "carbonio"):
			s.Ignored = append(s.Ignored, p)
		}
	}
	s.Keys = readKeys(host, s.Files)
	var err error
	if s.Module, err = host.ReadFile(moduleFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		if len(s.Files) == 0 {
			return sources{}, err
		}
		s.Unlisted = checks.Why(err)
	}
	return s, nil
}

// list names the files of a directory in order; none if it does not exist.
func list(host checks.Host, dir string) ([]string, error) {
	entries, err := fs.ReadDir(host.Files, dir[1:])
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = nil
	case len(entries) > maxFiles:
		entries, err = entries[:maxFiles], fmt.Errorf("%s holds more than %d files", dir, maxFiles)
	}
	var out []string
	for _, e := range entries {
		out = append(out, path.Join(dir, e.Name()))
	}
	return out, err
}

// taken says whether the package manager reads a file of this name at all:
// sources.list(5), dnf.conf(5).
func taken(p string) bool {
	return slices.Contains([]string{".list", ".sources", ".repo"}, path.Ext(p)) && aptName.MatchString(path.Base(p))
}

var aptName = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// read also says whether the file concerns us: by its name, by its content, or
// because we may not read its content.
func read(host checks.Host, p string) (f source, concerns bool) {
	text, err := host.ReadFile(p)
	f = source{Path: p}
	ours := named(p, "zextras", "carbonio", "pgdg")
	if err != nil {
		f.Unseen = checks.Why(err)
		return f, f.Unseen.Code == checks.Denied || ours
	}
	f.Text = withoutSecrets(text)
	return f, ours || mention.MatchString(text)
}

var (
	mention  = regexp.MustCompile(`(?i)zextras|postgresql\.org|-pgdg`)
	userinfo = regexp.MustCompile(`://[^/\s@]*@`)
	query    = regexp.MustCompile(`(://[^\s?]+\?)\S+`)
	password = regexp.MustCompile(`(?im)^([ \t]*(?:proxy_)?(?:username|password)[ \t]*=).*$`)
)

// withoutSecrets leaves out what a customer's own repository may ask for: a
// user and a password in the URL, or beside it.
func withoutSecrets(text string) string {
	text = userinfo.ReplaceAllString(text, "://***@")
	text = query.ReplaceAllString(text, "$1***")
	return password.ReplaceAllString(text, "$1***")
}

// readKeys looks at every key that an entry names, and at apt's own keyring where
// an entry of Carbonio names none.
func readKeys(host checks.Host, files []source) []keyFile {
	var out []keyFile
	add := func(p string) {
		if p != "" && len(out) < maxKeys && !slices.ContainsFunc(out, func(k keyFile) bool { return k.Path == p }) {
			out = append(out, readKey(host, p))
		}
	}
	trusted, _ := list(host, trustedDir) // what cannot be listed cannot be read either
	trusted = append(trusted[:min(len(trusted), maxKeys/2)], trustedFile)
	for _, f := range files {
		for _, e := range parse(f.Path, f.Text) {
			for _, k := range e.Keys {
				add(keyPath(k))
			}
			if len(e.Keys) == 0 && e.ofCarbonio() {
				for _, p := range trusted {
					add(p)
				}
			}
		}
	}
	return out
}

// keyPath is the file that signed-by or gpgkey names; empty for a fingerprint,
// a URL, a key in the file itself, and a path that only dnf can fill in.
func keyPath(k string) string {
	k = strings.TrimPrefix(k, "file://")
	if !strings.HasPrefix(k, "/") || strings.Contains(k, "$") {
		return ""
	}
	return path.Clean(k)
}

func readKey(host checks.Host, p string) keyFile {
	k := keyFile{Path: p, Closed: closed(host, p)}
	info, err := fs.Stat(host.Files, p[1:])
	if errors.Is(err, fs.ErrNotExist) {
		k.Missing = true
		return k
	}
	var text string
	if err == nil {
		k.Mode, k.Size = info.Mode(), info.Size()
		text, err = host.ReadFile(p)
	}
	if err != nil {
		k.Unseen = checks.Why(err)
		return k
	}
	k.Head = []byte(text[:min(len(text), headSize)])
	k.Zextras = bytes.Contains(dearmor(text), zextrasID)
	return k
}

// closed is the first directory on the path of a file that other users may not enter.
func closed(host checks.Host, p string) string {
	for i, r := range p {
		if r != '/' || i == 0 {
			continue
		}
		info, err := fs.Stat(host.Files, p[1:i])
		if err == nil && info.IsDir() && info.Mode().Perm()&0o001 == 0 {
			return p[:i]
		}
	}
	return ""
}

// zextrasID is the ID of Zextras' key. The key's signature
// on itself holds it, in any encoding but the armour (RFC 9580 §5.2.3.12).
var zextrasID = []byte{0x52, 0xfd, 0x40, 0x24, 0x3e, 0x58, 0x4a, 0x21}

// dearmor decodes the blocks of an armoured key; any other text is as it is.
func dearmor(text string) []byte {
	if !strings.Contains(text, armour) {
		return []byte(text)
	}
	var out []byte
	for _, block := range strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), armour)[1:] {
		_, body, _ := strings.Cut(block, "\n\n") // after the headers
		body, _, _ = strings.Cut(body, "\n=")    // before the checksum
		body, _, _ = strings.Cut(body, "\n-")
		b, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(body, "\n", ""))
		if err == nil {
			out = append(out, b...)
		}
	}
	return out
}

const armour = "-----BEGIN PGP PUBLIC KEY BLOCK-----"
