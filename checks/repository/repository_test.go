package repository

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

const (
	line   = "deb [arch=amd64 signed-by=/usr/share/keyrings/zextras.gpg] https://repo.zextras.io/release/ubuntu noble main\n"
	binary = "\x99\x02\x0d\x04the rest of a key in its binary form \x52\xfd\x40\x24\x3e\x58\x4a\x21 and more"
)

func scope(os checks.OS) checks.Scope {
	return checks.Scope{
		Release:  platform.R26_6,
		Vantages: []checks.Vantage{{Node: "db1.example.com", Phase: checks.Preinstall, Release: platform.R26_6, OS: os}},
	}
}

var noble = checks.OS{ID: "ubuntu", Version: "24.04", Codename: "noble"}

func TestObserve(t *testing.T) {
	files := checkstest.Files(map[string]string{
		"etc/apt/sources.list":                       "deb http://archive.ubuntu.com/ubuntu noble main\n",
		"etc/apt/sources.list.d/zextras.list":        line,
		"etc/apt/sources.list.d/zextras.list.save":   line,
		"etc/apt/sources.list.d/ubuntu.sources":      "Types: deb\nURIs: http://archive.ubuntu.com/ubuntu\n",
		"etc/apt/sources.list.d/mirror.list":         "deb https://user:secret@repo.zextras.io/rc/ubuntu noble main\n",
		"etc/yum.repos.d/zextras.repo":               "[z]\nbaseurl=https://me@h/zextras?key=secret\nusername=secret\npassword = secret\nproxy_password=secret\n",
		"etc/dnf/modules.d/postgresql.module":        "[postgresql]\nstate=disabled\n",
		"usr/share/keyrings/zextras.gpg":             binary,
		"etc/apt/trusted.gpg.d/ubuntu-keyring-1.gpg": "\x99 another",
	})
	files["usr/share/keyrings"] = &fstest.MapFile{Mode: fs.ModeDir | 0o700}
	files["etc/apt/sources.list.d/carbonio.list"] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
	seen := checkstest.Observe(t, Module, scope(noble), checks.Host{Files: files, Machine: checkstest.Machine{User: 1000}})
	require.Len(t, seen, 1)
	require.Nil(t, seen[0].Unseen)
	require.NotContains(t, string(seen[0].Data), "secret")

	var s sources
	require.NoError(t, json.Unmarshal(seen[0].Data, &s))
	var paths []string
	for _, f := range s.Files {
		paths = append(paths, f.Path)
	}
	require.Equal(t, []string{
		"/etc/apt/sources.list.d/carbonio.list", "/etc/apt/sources.list.d/mirror.list",
		"/etc/apt/sources.list.d/zextras.list", "/etc/yum.repos.d/zextras.repo",
	}, paths, "files that do not concern us stay where they are")
	require.Contains(t, s.Files[0].Unseen.Words, "not a regular file")
	require.Equal(t, []string{"/etc/apt/sources.list.d/zextras.list.save"}, s.Ignored)
	require.Equal(t, "[postgresql]\nstate=disabled\n", s.Module)
	require.Equal(t, 1000, s.UID)

	require.Equal(t, "/etc/apt/trusted.gpg.d/ubuntu-keyring-1.gpg", s.Keys[0].Path, "mirror.list names no key")
	require.Equal(t, keyFile{Path: "/etc/apt/trusted.gpg", Missing: true}, s.Keys[1])
	require.Equal(t, keyFile{
		Path: "/usr/share/keyrings/zextras.gpg", Mode: 0o644, Closed: "/usr/share/keyrings",
		Size: int64(len(binary)), Head: []byte(binary)[:headSize], Zextras: true,
	}, s.Keys[2])
}

func TestObserveBounds(t *testing.T) {
	files := fstest.MapFS{}
	for i := range maxFiles + 1 {
		files[fmt.Sprintf("etc/apt/sources.list.d/%d.list", i)] = &fstest.MapFile{Data: []byte("deb x")}
	}
	seen := checkstest.Observe(t, Module, scope(noble), checks.Host{Files: files, Machine: checkstest.Machine{}})
	require.Contains(t, seen[0].Unseen.Words, "more than 200 files")
	for _, f := range find(noble, seen...) {
		require.Equal(t, checks.Unknown, f.Status, "%+v", f)
	}

	// What was read beside them counts; that there is no more does not.
	files["etc/apt/sources.list"] = &fstest.MapFile{Data: []byte("deb https://apt.postgresql.org/pub/repos/apt noble-pgdg main\n")}
	seen = checkstest.Observe(t, Module, scope(noble), checks.Host{Files: files, Machine: checkstest.Machine{}})
	require.Nil(t, seen[0].Unseen)
	for _, f := range find(noble, seen...) {
		switch f.Check {
		case file:
			require.Equal(t, checks.Unknown, f.Status)
			require.Contains(t, f.Message, "more than 200 files")
		case pgdg:
			require.Equal(t, checks.Pass, f.Status)
		}
	}
}

// An armoured key holds the ID in base64 only.
func TestKeyIDInArmour(t *testing.T) {
	const armoured = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: x\n\nmQINBHJlc3Qgb2YgYSBrZXkgUv1AJD5YSiEgYW5k\nIG1vcmU=\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n"
	files := checkstest.Files(map[string]string{"etc/apt/keyrings/zextras.asc": armoured})
	require.True(t, readKey(checks.Host{Files: files}, "/etc/apt/keyrings/zextras.asc").Zextras)
	require.NotPanics(t, func() { dearmor(armour + "no blank line") })
}

// What is wrong with a key depends on the package manager and on the file's name.
func TestKeyFaults(t *testing.T) {
	armoured := []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----")
	for want, k := range map[string]keyFile{
		"":                              {Path: "/k/a.gpg", Mode: 0o644, Size: 9, Head: []byte(binary)},
		"the key is not a regular file": {Path: "/k/b.gpg", Mode: fs.ModeDir | 0o755},
		"apt reads keys only from files named .gpg or .asc":                     {Path: "/k/c.key", Mode: 0o644, Size: 9, Head: armoured},
		"the key is binary, but apt accepts only armoured keys in an .asc file": {Path: "/k/d.asc", Mode: 0o644, Size: 9, Head: []byte(binary)},
		"apt's own user _apt cannot read the key":                               {Path: "/k/it's.asc", Mode: 0o600, Size: 9},
	} {
		bad := k.fault(true)
		require.Equal(t, want, bad.message)
		require.Empty(t, bad.fix, "no name that is not plain ends up in a command")
	}
	require.Empty(t, keyFile{Path: "/k/c.key", Mode: 0o600, Size: 9, Head: armoured}.fault(false), "dnf reads it as root, whatever its name")
}

func TestParseList(t *testing.T) {
	for content, want := range map[string]entry{
		"deb https://repo.zextras.io/release/ubuntu noble main": {
			URIs: []string{"https://repo.zextras.io/release/ubuntu"}, Suites: []string{"noble"}, Components: []string{"main"},
		},
		"deb\t[ signed-by=/k.gpg  arch=amd64,arm64 ] https://h/x/ noble main contrib # why": {
			URIs: []string{"https://h/x/"}, Suites: []string{"noble"}, Components: []string{"main", "contrib"},
			Keys: []string{"/k.gpg"}, Arches: []string{"amd64", "arm64"},
		},
		"deb[trusted=yes]https://h/ ./":      {URIs: []string{"https://h/"}, Suites: []string{"./"}, Unsigned: true},
		"deb-src https://h/ noble main":      {URIs: []string{"https://h/"}, Suites: []string{"noble"}, Components: []string{"main"}, Source: true},
		"deb [signed-by=] https://h/ a main": {URIs: []string{"https://h/"}, Suites: []string{"a"}, Components: []string{"main"}},
		"deb [arch=amd64 https://h/ a main":  {Problem: "the options are missing their closing bracket"},
		"dev https://h/ noble main":          {Problem: "the line does not begin with deb or deb-src"},
		"deb https://h/":                     {Problem: "the line needs a URL, a suite and components"},
		"deb":                                {Problem: "the line needs a URL, a suite and components"},
		"deb noble https://h/ main":          {URIs: []string{"noble"}, Suites: []string{"https://h/"}, Components: []string{"main"}, Problem: "noble is not a URL"},
		"deb https://h/ noble":               {URIs: []string{"https://h/"}, Suites: []string{"noble"}, Problem: "there is no component after the suite: main is missing"},
	} {
		got := parse("/x.list", "\n# comment\n"+content+"\r\n")
		require.Len(t, got, 1, content)
		require.Equal(t, 3, got[0].Line)
		got[0].File, got[0].Raw, got[0].Line = "", "", 0
		if len(got[0].Components) == 0 {
			got[0].Components = nil
		}
		require.Equal(t, want, got[0], content)
	}
}

func TestParseSources(t *testing.T) {
	got := parse("/x.sources", `# Carbonio
Types: deb
URIs: https://repo.zextras.io/release/ubuntu
Suites: noble
Components: main
Architectures: amd64
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mQINBGc=
 -----END PGP PUBLIC KEY BLOCK-----

Enabled: no
Types: deb deb-src
URIs: https://h/
Suites: a b
Components: main
Signed-By: /k.gpg

Types: deb
nonsense
`)
	require.Len(t, got, 3)
	require.Equal(t, "/x.sources:2", got[0].String())
	require.Equal(t, []string{embedded}, got[0].Keys)
	require.Equal(t, []string{"amd64"}, got[0].Arches)
	require.Empty(t, got[0].Problem)
	require.True(t, got[1].Disabled)
	require.False(t, got[1].Source)
	require.Equal(t, []string{"a", "b"}, got[1].Suites)
	require.Equal(t, "line 21 is not of the form Name: value", got[2].Problem)
}

func TestParseRepo(t *testing.T) {
	got := parse("/x.repo", "# x\n[zextras]\nname=zextras\nbaseurl = https://a/rhel8,\n  https://b/rhel8\nenabled=1\n#repo_gpgcheck=1\ngpgcheck=0\n"+
		"[off]\nbaseurl=https://c\nenabled=0\nrepo_gpgcheck=1\ngpgkey=file:///k https://k\n[bad\nbaseurl=x\n[empty]\nname=x\n[odd]\nbaseurl\n")
	require.Len(t, got, 5)
	require.Equal(t, []string{"https://a/rhel8", "https://b/rhel8"}, got[0].URIs)
	require.True(t, got[0].Unsigned)
	require.False(t, got[0].Disabled)
	require.True(t, got[1].Disabled)
	require.False(t, got[1].Unsigned)
	require.Equal(t, []string{"file:///k", "https://k"}, got[1].Keys)
	require.Equal(t, "the section is missing its closing bracket", got[2].Problem)
	require.Equal(t, "there is no baseurl", got[3].Problem)
	require.Equal(t, "line 19 is not of the form key=value", got[4].Problem)
	require.Equal(t, "the file does not begin with a [section]", parse("/x.repo", "baseurl=x\n[a]\n")[0].Problem)
}

func TestChannel(t *testing.T) {
	for url, want := range map[string]string{
		"https://repo.zextras.io/release/ubuntu":         release,
		"https://repo.zextras.io/rc/rhel9":               rc,
		"https://repo.zextras.io/devel/ubuntu":           "devel",
		"https://mirror.example.com/zextras/rc/ubuntu":   rc,
		"https://mirror.example.com/carbonio/ubuntu":     "",
		"https://repo.zextras.io":                        "",
		"http://[::1/release":                            "",
		"https://repo.zextras.io.example.com/any/ubuntu": "",
	} {
		require.Equal(t, want, entry{URIs: []string{url}}.channel(), url)
	}
}

func TestFindingsAreUnique(t *testing.T) {
	text := strings.Repeat(line, 3) + "deb https://repo.zextras.io/rc/ubuntu jammy main\nnonsense\n"
	unique(t, find(noble, seen(t, source{Path: "/etc/apt/sources.list.d/zextras.list", Text: text})))
}

func FuzzJudge(f *testing.F) {
	f.Add(line, uint8(0))
	f.Add("Types: deb\nURIs: https://repo.zextras.io/rc/ubuntu\nSuites: noble\n x\nComponents: main\n", uint8(1))
	f.Add("[zextras]\nbaseurl=https://repo.zextras.io/release/rhel$releasever\n gpgkey=file:///k'$(reboot)\n", uint8(2))
	f.Add("deb [signed-by=/k;reboot.gpg] https://repo.zextras.io/rc/ubuntu jam'$(reboot)my main", uint8(0))
	f.Fuzz(func(t *testing.T, text string, kind uint8) {
		path, os := []string{"/a/zextras.list", "/a/zextras.sources", "/a/zextras.repo"}[kind%3], noble
		if kind%3 == 2 {
			os = checks.OS{ID: "rhel", Version: "9.4"}
		}
		findings := find(os, seen(t, source{Path: path, Text: text}))
		unique(t, findings)
		checkstest.Honest(t, Module, findings, nil)
		for _, found := range findings {
			require.NotContains(t, found.Remedy, "$(")
			require.NotContains(t, found.Remedy, ";")
		}
	})
}

// seen is a look that saw one file, and the keys that it names.
func seen(t *testing.T, f source) checks.Observation {
	t.Helper()
	s := sources{Files: []source{f}}
	s.Keys = readKeys(checks.Host{Files: fstest.MapFS{}}, s.Files)
	data, err := json.Marshal(s)
	require.NoError(t, err)
	return checks.Observation{Kind: configuration.Kind, Vantage: "db1.example.com", Data: data}
}

// find judges what was seen on a system.
func find(os checks.OS, seen ...checks.Observation) []checks.Finding {
	findings, _ := judge(scope(os), checks.NewRecord(seen))
	return findings
}

func unique(t *testing.T, findings []checks.Finding) {
	t.Helper()
	twice := map[string]bool{}
	for _, f := range findings {
		key := f.Check.ID + " " + f.Target + " " + f.Vantage
		require.False(t, twice[key], key)
		twice[key] = true
	}
}
