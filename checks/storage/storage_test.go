package storage

import (
	"context"
	"io/fs"
	"math"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

// ubuntu is what Ubuntu 24.04 with a disk for /opt shows, shortened.
const ubuntu = `24 30 0:22 / /proc rw,nosuid,nodev,noexec,relatime shared:12 - proc proc rw
30 1 252:2 / / rw,relatime shared:1 - ext4 /dev/vda2 rw,errors=remount-ro
33 30 0:26 / /run rw,nosuid,nodev,noexec,relatime shared:5 - tmpfs tmpfs rw,size=401564k,mode=755
90 30 7:1 / /snap/core22/1748 ro,nodev,relatime shared:46 - squashfs /dev/loop1 ro,errors=continue
137 30 252:17 / /opt rw,noatime shared:70 - ext4 /dev/vdb1 rw
138 137 0:50 / /opt/zextras/tmp rw shared:71 - tmpfs tmpfs rw
139 137 252:33 / /opt/zextras/store rw shared:72 - xfs /dev/vdc rw,attr2
141 137 252:17 /spool /opt/zextras/spool rw shared:72 - ext4 /dev/vdb1 rw
140 30 252:49 /queue /var/lib/queue rw,relatime shared:73 - ext4 /dev/vdd rw
`

func TestParseMounts(t *testing.T) {
	got := parseMounts("137 69 8:17 /my\\040mail /opt\\011\\134x ro,noatime shared:7 master:2 - fuse.sshfs a\\040b rw,ro,user_id=0\n" +
		"no mount at all\n1 2 3 - 4\n1 1 0:1 / / rw - tmpfs tmpfs\n")
	require.Equal(t, []mount{
		{Device: "8:17", Root: "/my mail", Point: "/opt\t\\x", Type: "fuse.sshfs", Source: "a b", Options: []string{"ro", "noatime", "user_id=0"}},
		{Device: "0:1", Root: "/", Point: "/", Type: "tmpfs", Source: "tmpfs", Options: []string{"rw"}},
	}, got)
}

func TestHolder(t *testing.T) {
	mounts := parseMounts(ubuntu + "141 137 252:65 / /opt rw - ext4 /dev/vde rw\n")
	for path, want := range map[string]string{
		"/":                    "/dev/vda2",
		"/opt":                 "/dev/vde", // mounted over /dev/vdb1
		"/opt/zextras":         "/dev/vde",
		"/opt/zextras/store/0": "/dev/vdc",
		"/optional":            "/dev/vda2",
	} {
		m, ok := holder(mounts, path)
		require.True(t, ok)
		require.Equal(t, want, m.Source, path)
	}
	_, ok := holder(nil, "/")
	require.False(t, ok)
}

func FuzzMounts(f *testing.F) {
	f.Add(ubuntu)
	f.Add("UUID=a\\040 /opt ext4\n \\777 - \\ - \\0")
	f.Fuzz(func(t *testing.T, text string) {
		for _, m := range parseMounts(text) {
			require.NotEmpty(t, m.Type)
		}
		if e := fstabEntry(text, optDir); e != nil {
			require.Contains(t, text, e.Type)
		}
		holder(parseMounts(text), "/opt")
	})
}

func scopeOf(c ...platform.Component) checks.Scope {
	return checkstest.Scope(checkstest.Node("a.example.com", "", c...), checkstest.Node("b.example.com", ""))
}

func TestTargets(t *testing.T) {
	host := checks.Host{Files: checkstest.Files(map[string]string{"proc/self/mountinfo": ubuntu})}
	names := func(c platform.Component) string {
		targets, err := filesystemTargets(scopeOf(c), host)
		require.NoError(t, err)
		var out []string
		for _, target := range targets {
			require.Equal(t, "a.example.com", target.Node)
			out = append(out, target.Name)
		}
		return strings.Join(out, " ")
	}
	require.Equal(t, "/ /opt /opt/zextras/store", names(platform.Mailstore))
	require.Equal(t, "/ /opt /var/lib/queue /opt/zextras/store", names(platform.Kafka))

	_, err := filesystemTargets(scopeOf(platform.Kafka), checks.Host{Files: checkstest.Files(nil)})
	require.ErrorIs(t, err, fs.ErrNotExist)

	here, err := layoutTargets(scopeOf(), host)
	require.NoError(t, err)
	require.Equal(t, []checks.Target[checks.Nothing]{{Name: "a.example.com", Node: "a.example.com"}}, here)
}

func link(to string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
}

// disks are what udev makes of /dev/vdb1 and of the logical volume vg/opt.
func disks(files map[string]string) fstest.MapFS {
	out := checkstest.Files(files)
	out["dev/vdb1"] = &fstest.MapFile{}
	out["dev/dm-0"] = &fstest.MapFile{}
	out["dev/mapper/vg-opt"] = link("../dm-0")
	out["dev/disk/by-uuid/0c6d"] = link("../../vdb1")
	out["dev/disk/by-uuid/77aa"] = link("../../dm-0")
	return out
}

func TestObserveLayout(t *testing.T) {
	const fstab = "# <file system> <mount point>\n#UUID=old /opt ext4 defaults 0 2\nUUID=0c6d /opt/ ext4 defaults,nofail 0 2\n"
	const lvm = "30 1 252:2 / / rw - ext4 /dev/vda2 rw\n31 30 253:0 / /opt rw - xfs /dev/mapper/vg-opt rw\n"
	for name, test := range map[string]struct {
		files map[string]string
		links map[string]string
		want  func(t *testing.T, l layout)
	}{
		"fstab by UUID": {map[string]string{"proc/self/mountinfo": ubuntu, "etc/fstab": fstab}, nil, func(t *testing.T, l layout) {
			require.Equal(t, "/dev/vdb1", l.Opt.Source)
			require.Equal(t, "/opt", l.Zextras.Point)
			require.Equal(t, boot{Fstab: &entry{Spec: "UUID=0c6d", Type: "ext4", Options: []string{"defaults", "nofail"}}, UUID: "0c6d"}, l.Boot)
		}},
		"fstab by a UUID that is gone": {map[string]string{"proc/self/mountinfo": ubuntu, "etc/fstab": "UUID=\"dead\" /opt ext4\n"}, nil, func(t *testing.T, l layout) {
			require.True(t, l.Boot.NoDisk)
		}},
		"fstab by a device that is gone": {map[string]string{"proc/self/mountinfo": ubuntu, "etc/fstab": "/dev/vdz1 /opt ext4\n"}, nil, func(t *testing.T, l layout) {
			require.True(t, l.Boot.NoDisk)
		}},
		"fstab by a share": {map[string]string{"proc/self/mountinfo": ubuntu, "etc/fstab": "nas:/opt /opt nfs\n"}, nil, func(t *testing.T, l layout) {
			require.False(t, l.Boot.NoDisk)
		}},
		"logical volume": {map[string]string{"proc/self/mountinfo": lvm, "etc/fstab": "/dev/mapper/vg-opt /opt xfs defaults 0 0"}, nil, func(t *testing.T, l layout) {
			require.Equal(t, "77aa", l.Boot.UUID)
			require.False(t, l.Boot.NoDisk)
		}},
		"no fstab": {map[string]string{"proc/self/mountinfo": ubuntu}, nil, func(t *testing.T, l layout) {
			require.Equal(t, boot{UUID: "0c6d"}, l.Boot)
		}},
		"systemd unit": {
			map[string]string{"proc/self/mountinfo": ubuntu, "etc/systemd/system/opt.mount": "[Mount]\n"},
			map[string]string{"etc/systemd/system/local-fs.target.wants/opt.mount": "/etc/systemd/system/opt.mount"},
			func(t *testing.T, l layout) {
				require.Equal(t, "/etc/systemd/system/opt.mount", l.Boot.Unit)
				require.True(t, l.Boot.Enabled)
			},
		},
		"systemd unit that nothing wants": {map[string]string{"proc/self/mountinfo": ubuntu, "etc/systemd/system/opt.mount": "[Mount]\n"}, nil, func(t *testing.T, l layout) {
			require.NotEmpty(t, l.Boot.Unit)
			require.False(t, l.Boot.Enabled)
		}},
		"symbolic link": {map[string]string{"proc/self/mountinfo": ubuntu}, map[string]string{"opt": "var/lib/queue/opt"}, func(t *testing.T, l layout) {
			require.Equal(t, "/var/lib/queue/opt", l.OptPath)
			require.Equal(t, "/dev/vdd", l.Opt.Source)
			require.Equal(t, "/dev/vdd", l.Zextras.Source)
		}},
		"symbolic link to itself": {map[string]string{"proc/self/mountinfo": ubuntu}, map[string]string{"opt": "/opt"}, func(t *testing.T, l layout) {
			require.Equal(t, "/opt", l.OptPath)
		}},
		"container": {map[string]string{"proc/self/mountinfo": ubuntu, "run/systemd/container": "lxc"}, nil, func(t *testing.T, l layout) {
			require.True(t, l.Container)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			files := disks(test.files)
			for at, to := range test.links {
				files[at] = link(to)
			}
			l, err := observeLayout(t.Context(), checks.Host{Files: files}, checks.Target[checks.Nothing]{})
			require.NoError(t, err)
			test.want(t, l)
		})
	}
}

func TestObserveLayoutUnseen(t *testing.T) {
	for _, text := range []string{"", "garbage\n", "137 30 252:17 / /opt rw - ext4 /dev/vdb1 rw\n"} {
		host := checks.Host{Files: checkstest.Files(map[string]string{"proc/self/mountinfo": text})}
		_, err := observeLayout(t.Context(), host, checks.Target[checks.Nothing]{})
		require.ErrorContains(t, err, "no mount of /")
	}
}

// A stale mount costs its own look, and ends with it.
func TestObserveStaleMount(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := observeFilesystem(ctx, checks.Host{Machine: stale{}}, checks.Target[disk]{Name: "/opt"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

type stale struct{ checkstest.Machine }

func (stale) Usage(ctx context.Context, _ string) (checks.Usage, error) {
	<-ctx.Done()
	return checks.Usage{}, ctx.Err()
}

// The whole way, on a healthy mailstore.
func TestLookAndJudge(t *testing.T) {
	scope := scopeOf(platform.Mailstore)
	users.Set(scope.Settings, 150)
	room := checks.Usage{Total: 900 * gb, Free: 800 * gb, Inodes: 100, InodesFree: 99}
	for _, f := range checkstest.Findings(t, Module, scope, checks.Host{
		Files:   disks(map[string]string{"proc/self/mountinfo": ubuntu, "etc/fstab": "UUID=0c6d /opt ext4 defaults 0 2\n"}),
		Machine: checkstest.Machine{Usages: map[string]checks.Usage{"/": room, "/opt": room, "/opt/zextras/store": room}},
	}) {
		require.Equal(t, checks.Pass, f.Status, checkstest.Render([]checks.Finding{f}))
	}
}

// A list of profiles that is given replaces the built-in one.
func TestProfiles(t *testing.T) {
	scope := scopeOf(platform.Mailstore)
	checks.Profiles.Set(scope.Settings, []platform.Profile{{Name: "large", Components: []platform.Component{platform.Mailstore}, DiskGB: 500}})
	room := checks.Usage{Total: 100 * gb, Free: 90 * gb}
	for _, f := range checkstest.Findings(t, Module, scope, checks.Host{
		Files:   disks(map[string]string{"proc/self/mountinfo": ubuntu}),
		Machine: checkstest.Machine{Usages: map[string]checks.Usage{"/": room, "/opt": room, "/opt/zextras/store": room}},
	}) {
		if f.Check == size {
			require.Equal(t, checks.Warn, f.Status)
			require.Contains(t, f.Evidence["sum"], "500 GB for the system (profile large)")
		}
	}
}

func TestSettings(t *testing.T) {
	for setting, values := range map[checks.AnySetting]struct{ good, bad []string }{
		spaceFree:  {[]string{"0", "12.5", "100"}, []string{"-1", "101"}},
		inodesFree: {[]string{"0", "100"}, []string{"-0.1"}},
		users:      {[]string{"0", "150"}, []string{"-1"}},
		quota:      {[]string{"0", "0.5"}, []string{"-5"}},
	} {
		for _, v := range values.good {
			_, err := setting.Decode(checkstest.Strict([]byte(v)))
			require.NoError(t, err, setting.About().Key)
		}
		for _, v := range values.bad {
			_, err := setting.Decode(checkstest.Strict([]byte(v)))
			require.ErrorContains(t, err, "out of range", setting.About().Key)
		}
	}
	_, err := spaceFree.Decode(func(into any) error { *into.(*float64) = math.NaN(); return nil })
	require.Error(t, err)
}

func TestWord(t *testing.T) {
	require.Equal(t, "/opt/zextras", word("/opt/zextras"))
	require.Equal(t, `'/opt/it'\''s; reboot'`, word("/opt/it's; reboot"))
	require.Equal(t, "''", word(""))
}
