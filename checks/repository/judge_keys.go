package repository

import (
	"bytes"
	"cmp"
	"fmt"
	"path"
	"slices"

	"carbonio-check/checks"
)

// judgeKeys judges each key once, and each Carbonio entry that names none.
func (v view) judgeKeys() []checks.Finding {
	var out []checks.Finding
	done := map[string]bool{"": true}
	for _, e := range slices.Concat(v.carbonio, v.postgres) {
		if len(e.Keys) == 0 && e.ofCarbonio() || e.Unsigned && v.apt {
			out = append(out, v.noKey(e))
			continue
		}
		for _, name := range e.Keys {
			if p := keyPath(name); !done[p] {
				done[p] = true
				out = append(out, v.judgeKey(p, e))
			}
		}
	}
	switch {
	case len(v.carbonio) == 0:
		out = append(out, v.none(key))
	case len(out) == 0:
		out = append(out, key.Pass(v, v.carbonio[0].String(), "the entry contains its key, or says where to get it"))
	}
	return out
}

// noKey judges an entry that names no key: right for dnf, which the playbook
// itself tells not to look, and for apt with the key in the
// keyring of the whole system, as on focal.
func (v view) noKey(e entry) checks.Finding {
	switch {
	case e.Unsigned && v.apt:
		return key.Warn(v, e.String(), "trusted=yes: apt installs packages without checking who signed them").Wanted("signed-by=/usr/share/keyrings/zextras.gpg")
	case e.Unsigned:
		return key.Pass(v, e.String(), "dnf does not need a key, as in the playbook's own file")
	case !v.apt:
		return key.Warn(v, e.String(), "dnf is configured to check signatures, but has no key for it").
			Wanted("gpgkey=" + zextrasKeyDNF).Fix("dnf config-manager --save --setopt=zextras.gpgkey=" + zextrasKeyDNF)
	}
	for _, k := range v.Keys {
		if k.Zextras && (path.Dir(k.Path) == trustedDir || k.Path == trustedFile) {
			return key.Pass(v, e.String(), "the key is in the system-wide keyring, %s", k.Path)
		}
	}
	return key.Warn(v, e.String(), "the entry names no key, and the system-wide keyring does not contain that of Zextras").
		Saw("no signed-by").Wanted("signed-by=/usr/share/keyrings/zextras.gpg")
}

func (v view) judgeKey(p string, e entry) checks.Finding {
	i := slices.IndexFunc(v.Keys, func(k keyFile) bool { return k.Path == p })
	if i < 0 {
		return key.Unknown(v, p, "the key of %s was not examined", e)
	}
	k := v.Keys[i]
	if bad := k.fault(v.apt); bad.message != "" {
		return key.Fail(v, p, "%s", bad.message).Saw(bad.saw).Wanted(bad.want).
			With("for", e.String()).Fix(cmp.Or(bad.fix, fetch(p, e)))
	}
	if k.Unseen.Code != "" {
		return key.Unknown(v, p, "the key could not be read: %s", k.Unseen)
	}
	if e.mentions("repo.zextras.io") && !k.Zextras {
		return key.Warn(v, p, "the key is not the one that the manual names").
			Wanted("key 52FD40243E584A21").With("for", e.String()).Fix(fetch(p, e))
	}
	return key.Pass(v, p, "the key exists, is readable and has the right format")
}

// A fault is what is wrong with a key; the zero value is none.
type fault struct{ message, saw, want, fix string }

// fault judges a key as the package manager takes it. apt reads it as its own
// user _apt, and goes by the name of the file: binary keys from .gpg, armoured
// ones from .asc, nothing from other names (apt-key's is_supported_keyring).
func (k keyFile) fault(apt bool) fault {
	ext := path.Ext(k.Path)
	begins := fmt.Sprintf("begins with %q", k.Head[:min(len(k.Head), 16)])
	binary := len(k.Head) > 0 && slices.Contains([]byte{0x98, 0x99, 0xc6}, k.Head[0])
	armoured := bytes.HasPrefix(bytes.TrimSpace(k.Head), []byte("-----BEGIN PGP"))
	switch {
	case k.Missing:
		return fault{"the key does not exist", "no such file", k.Path, ""}
	case apt && k.Closed != "":
		return fault{"apt's own user _apt cannot enter the directory of the key", k.Closed + " is closed to other users", "mode 0755", chmod("755", k.Closed)}
	case k.Mode == 0: // not even seen
		return fault{}
	case !k.Mode.IsRegular():
		return fault{"the key is not a regular file", k.Mode.Type().String(), "a regular file", ""}
	case apt && k.Mode.Perm()&0o004 == 0:
		return fault{"apt's own user _apt cannot read the key", fmt.Sprintf("mode %04o", k.Mode.Perm()), "mode 0644", chmod("644", k.Path)}
	case k.Size == 0:
		return fault{"the key is empty: its download failed", "0 bytes", "an OpenPGP key", ""}
	case k.Unseen.Code != "":
		return fault{}
	case len(k.Head) > 12 && string(k.Head[8:12]) == "KBXf":
		return fault{"the key is in GnuPG's keybox format, which no package manager accepts", begins, "the output of gpg --export", ""}
	case !armoured && !binary:
		return fault{"the file is not an OpenPGP key", begins, "an OpenPGP public key", ""}
	case apt && ext != ".gpg" && ext != ".asc":
		return fault{"apt reads keys only from files named .gpg or .asc", k.Path, "a name that ends in .gpg", ""}
	case apt && ext == ".gpg" && armoured:
		return fault{"the key is armoured, but apt accepts only binary keys in a .gpg file", begins, "the output of gpg --dearmor", ""}
	case apt && ext == ".asc" && binary:
		return fault{"the key is binary, but apt accepts only armoured keys in an .asc file", begins, "-----BEGIN PGP PUBLIC KEY BLOCK-----", ""}
	}
	return fault{}
}

// fetch is how to download the key again, in the format that its name calls for;
// empty if that is not known.
func fetch(p string, e entry) string {
	url := zextrasKey
	if e.ofPostgres() {
		url = postgresKey
	}
	switch dnf := path.Ext(e.File) == ".repo"; {
	case dnf && e.ofPostgres():
		return "dnf -y reinstall pgdg-redhat-repo"
	case !plain(p):
		return ""
	case dnf:
		return "wget " + zextrasKeyDNF + " -O " + p
	case path.Ext(p) == ".asc":
		return fmt.Sprintf("wget \"%s\" -O %s\nchmod 644 %[2]s", url, p)
	case path.Ext(p) == ".gpg":
		return fmt.Sprintf("wget -O- \"%s\" | gpg --dearmor > %s\nchmod 644 %[2]s", url, p)
	}
	return ""
}

// chmod is empty if the path is not safe to paste.
func chmod(mode, p string) string {
	if !plain(p) {
		return ""
	}
	return "chmod " + mode + " " + p
}
