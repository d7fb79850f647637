package packages

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
)

const status = `Package: zlib1g
Status: install ok installed
Architecture: amd64
Description: compression library
 Package: not-a-package
 Status: install ok installed

Package: postfix
Status: deinstall ok config-files
Priority: optional

Status: install ok installed

Package: nginx-core
Architecture: amd64
Status: hold ok half-configured

Package: bash
Status: install ok installed
`

func TestDpkg(t *testing.T) {
	host := checks.Host{Files: checkstest.Files(map[string]string{dpkgStatus: status})}
	got, err := Installed(t.Context(), host)
	require.NoError(t, err)
	require.Equal(t, []string{"bash", "nginx-core", "zlib1g"}, got)
}

func TestDpkgUnreadable(t *testing.T) {
	_, err := Installed(t.Context(), checks.Host{Files: fstest.MapFS{dpkgStatus: {Mode: fs.ModeNamedPipe}}})
	require.ErrorContains(t, err, "not a regular file")
	host := checks.Host{Files: checkstest.Files(map[string]string{dpkgStatus: strings.Repeat("x", 2<<20)})}
	_, err = Installed(t.Context(), host)
	require.ErrorContains(t, err, "token too long")
}

func TestRPM(t *testing.T) {
	host := checks.Host{
		Files: checkstest.Files(nil),
		Run:   checkstest.Commands(map[string]string{`rpm -qa --qf %{NAME}\n`: "kernel\nkernel\nbash\n"}),
	}
	got, err := Installed(t.Context(), host)
	require.NoError(t, err)
	require.Equal(t, []string{"bash", "kernel"}, got)

	host.Run = checkstest.Commands(nil)
	_, err = Installed(t.Context(), host)
	require.True(t, errors.Is(err, fs.ErrNotExist), "neither dpkg nor rpm: %v", err)
}

func FuzzReadStatus(f *testing.F) {
	f.Add(status)
	f.Add("Package: \nStatus: a b c\r\n\n: \nPackage")
	f.Fuzz(func(t *testing.T, text string) {
		names, _ := readStatus(strings.NewReader(text))
		for _, n := range names {
			require.NotEmpty(t, n)
			require.Contains(t, text, "Package: "+n)
		}
	})
}
