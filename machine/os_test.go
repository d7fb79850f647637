package machine

import (
	"io/fs"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestReadOS(t *testing.T) {
	noble := checks.OS{ID: "ubuntu", Version: "24.04", Codename: "noble", Like: "debian", Pretty: "Ubuntu 24.04.1 LTS"}
	text := "PRETTY_NAME=\"Ubuntu 24.04.1 LTS\"\nNAME=\"Ubuntu\"\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\r\nID=ubuntu\nID_LIKE='debian'\n"
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		got, err := ReadOS(checks.Host{Files: checkstest.Files(map[string]string{name: text})})
		require.NoError(t, err)
		require.Equal(t, noble, got)
	}
	_, err := ReadOS(checks.Host{Files: checkstest.Files(nil)})
	require.ErrorIs(t, err, fs.ErrNotExist)
	_, err = ReadOS(checks.Host{Files: checkstest.Files(map[string]string{"etc/os-release": "NAME=x\n=\n\"\nID="})})
	require.ErrorContains(t, err, "does not say which distribution")
}

func TestReadOSOfThisMachine(t *testing.T) {
	host, err := Local("/")
	require.NoError(t, err)
	os, err := ReadOS(host)
	require.NoError(t, err)
	require.NotEmpty(t, os.ID)
}

func TestComponents(t *testing.T) {
	for name, test := range map[string]struct {
		installed []string
		want      []platform.Component
	}{
		"before the installation": {[]string{"postgresql-16", "python3", "postfix"}, nil},
		"a mailstore with its database connector": {
			[]string{"carbonio-appserver", "carbonio-files-db", "carbonio-mailbox-db", "service-discover-agent"},
			[]platform.Component{platform.DBConnector, platform.Mailstore},
		},
		"a database with the -db packages": {
			[]string{"carbonio-files-db", "postgresql-16", "service-discover-agent"},
			[]platform.Component{platform.Database},
		},
		"a database under Patroni, its connectors moved away": {
			[]string{"patroni", "postgresql16-server", "service-discover-agent"},
			[]platform.Component{platform.Database},
		},
		"a node of Kafka alone": {[]string{"service-discover-agent"}, []platform.Component{platform.Every}},
		"core": {
			[]string{"carbonio-directory-server", "carbonio-message-broker", "service-discover-server"},
			[]platform.Component{platform.Directory, platform.Mesh},
		},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, test.want, components(test.installed)) })
	}
}

func TestInstalled(t *testing.T) {
	host := checks.Host{
		Files: checkstest.Files(nil),
		Run:   checkstest.Commands(map[string]string{`rpm -qa --qf %{NAME}\n`: "carbonio-mta\nbash\n"}),
	}
	got, err := Installed(t.Context(), host)
	require.NoError(t, err)
	require.Equal(t, []platform.Component{platform.MTA}, got)

	host.Run = checkstest.Commands(nil)
	_, err = Installed(t.Context(), host)
	require.ErrorContains(t, err, "the installed Carbonio packages")
}

func TestRelease(t *testing.T) {
	of := func(files map[string]string) (platform.Release, string, error) {
		return Release(checks.Host{Files: checkstest.Files(files)})
	}
	const file = "opt/zextras/.version"
	r, from, err := of(map[string]string{file: "25.3.1\n"})
	require.NoError(t, err)
	require.Equal(t, platform.Release{Year: 25, Month: 3, Patch: 1}, r)
	require.Equal(t, "/"+file, from)
	for _, text := range []string{"", "soon", "26.13.0"} {
		r, from, err = of(map[string]string{file: text})
		require.ErrorContains(t, err, "/"+file)
		require.True(t, r.IsZero(), text)
		require.Empty(t, from)
	}
	r, from, err = of(nil)
	require.NoError(t, err, "a node without carbonio-core has none")
	require.True(t, r.IsZero())
	require.Empty(t, from)
}
