package machine

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

// tree makes a root with links of every kind, and a secret beside it.
func tree(t *testing.T) chroot {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	write := func(name, content string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(content), 0o644))
	}
	write(filepath.Join(dir, "secret"), "outside")
	write(filepath.Join(root, "usr/share/zoneinfo/Etc/UTC"), "utc")
	write(filepath.Join(root, "usr/lib/os-release"), "ID=ubuntu")
	for name, target := range map[string]string{
		"etc/localtime":  "/usr/share/zoneinfo/Etc/UTC",
		"etc/os-release": "../usr/lib/os-release",
		"etc/up":         "../../../../../secret",
		"etc/top":        "../../../../..",
		"etc/outside":    filepath.Join(dir, "secret"),
		"etc/a":          "b",
		"etc/b":          "/etc/a",
		"etc/chain":      "/zone/Etc/UTC",
		"zone":           "/usr/share/zoneinfo/",
		"etc/dangling":   "/nowhere",
	} {
		require.NoError(t, os.MkdirAll(filepath.Join(root, "etc"), 0o755))
		require.NoError(t, os.Symlink(target, filepath.Join(root, name)))
	}
	c, err := openChroot(root)
	require.NoError(t, err)
	return c
}

func TestChrootResolvesLinksInside(t *testing.T) {
	c := tree(t)
	for name, want := range map[string]string{
		"etc/localtime":           "utc",
		"etc/os-release":          "ID=ubuntu",
		"etc/chain":               "utc",
		"zone/Etc/UTC":            "utc",
		"etc/top/etc/localtime":   "utc",
		"etc/top/zone/../Etc/UTC": "",
	} {
		got, err := fs.ReadFile(c, name)
		if want == "" {
			require.ErrorIs(t, err, fs.ErrInvalid, name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, want, string(got), name)
	}
}

func TestChrootNeverLeaves(t *testing.T) {
	c := tree(t)
	for _, name := range []string{"etc/up", "etc/outside", "etc/dangling"} {
		_, err := fs.Stat(c, name)
		require.ErrorIs(t, err, fs.ErrNotExist, name)
		require.ErrorContains(t, err, "stat "+name)
	}
	_, err := c.Open("etc/a")
	require.ErrorIs(t, err, syscall.ELOOP)
	entries, err := c.ReadDir("etc/top")
	require.NoError(t, err)
	require.Len(t, entries, 3, "the top of the root, not what lies above")
}

func TestChrootSeesTheLinkItself(t *testing.T) {
	c := tree(t)
	target, err := c.ReadLink("etc/localtime")
	require.NoError(t, err)
	require.Equal(t, "/usr/share/zoneinfo/Etc/UTC", target)
	info, err := c.Lstat("etc/dangling")
	require.NoError(t, err)
	require.Equal(t, fs.ModeSymlink, info.Mode().Type())
	info, err = c.Stat("zone")
	require.NoError(t, err)
	require.True(t, info.IsDir())
}

func TestChrootIsAFileSystem(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.CopyFS(root, fstest.MapFS{"etc/hosts": {Data: []byte("127.0.0.1 localhost")}, "opt/x/y": {}}))
	c, err := openChroot(root)
	require.NoError(t, err)
	require.NoError(t, fstest.TestFS(c, "etc/hosts", "opt/x/y"))
}

func TestForeignRootTellsNothingOfThisMachine(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.CopyFS(root, fstest.MapFS{"etc/hostname": {Data: []byte("mbox1.example.com")}}))
	host, err := Local(root)
	require.NoError(t, err)
	text, err := host.ReadFile("/etc/hostname")
	require.NoError(t, err)
	require.Equal(t, "mbox1.example.com", text)

	var errs []error
	see := func(err error) { errs = append(errs, err) }
	_, err = host.Run(t.Context(), "true")
	see(err)
	_, err = host.Machine.Hostname()
	see(err)
	_, err = host.Machine.CPUs(t.Context())
	see(err)
	_, err = host.Machine.Memory(t.Context())
	see(err)
	_, err = host.Machine.Usage(t.Context(), "/")
	see(err)
	_, err = host.Machine.Listeners(t.Context())
	see(err)
	_, err = host.Machine.Processes(t.Context())
	see(err)
	_, err = host.Machine.Interfaces()
	see(err)
	_, err = host.Machine.Clock()
	see(err)
	for i, err := range errs {
		require.EqualError(t, err, "not run: --root reads another system", "answer %d", i)
	}
	require.Empty(t, host.Machine.Architecture())
}

func TestLocalRoots(t *testing.T) {
	for _, root := range []string{"", "/", "//", "/usr/.."} {
		host, err := Local(root)
		require.NoError(t, err)
		require.IsType(t, local{}, host.Machine, root)
		require.Implements(t, (*fs.StatFS)(nil), host.Files)
		require.Implements(t, (*fs.ReadDirFS)(nil), host.Files)
		require.Implements(t, (*fs.ReadLinkFS)(nil), host.Files)
	}
	_, err := Local(filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "--root")
}

var (
	_ checks.Machine = local{}
	_ fs.StatFS      = chroot{}
	_ fs.ReadDirFS   = chroot{}
	_ fs.ReadLinkFS  = chroot{}
)
