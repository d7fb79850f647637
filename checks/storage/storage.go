// Package storage checks the file systems: where /opt is, how it is mounted, and
// how much is free.
package storage

import (
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "storage",
	Checks:   catalogue,
	Settings: []checks.AnySetting{spaceFree, inodesFree, checks.Profiles, users, quota},
	Judge:    judge,
}

var (
	spaceFree  = least("policy.space_free", "space")
	inodesFree = least("policy.inodes_free", "inodes")
)

func least(key, of string) *checks.Setting[float64] {
	return &checks.Setting[float64]{
		Key:     key,
		Default: 10,
		Doc:     "The minimum share of its " + of + " that a file system must have free.",
		Unit:    "per cent",
		Sources: []platform.Source{platform.Policy},
		Within:  checks.Between(0.0, 100),
	}
}

var users = &checks.Setting[int]{
	Key:     "policy.users",
	Doc:     "How many users a mailstore must have room for; 0 leaves mail out of the calculation.",
	Unit:    "users",
	Sources: []platform.Source{platform.Requirements.On("the sizing example")},
	Within:  checks.Between(0, 1_000_000_000),
}

var quota = &checks.Setting[float64]{
	Key:     "policy.quota_gb",
	Default: 5,
	Doc:     "How much mail each user may keep.",
	Unit:    "GB of 10^9 bytes",
	Sources: []platform.Source{platform.Requirements.On("the sizing example: 150 users of 5 GB")},
	Within:  checks.Between(0.0, 1e6),
}

var catalogue = []*checks.Check{optMount, optOptions, space, inodes, size}

var (
	layouts     = &checks.Look[checks.Nothing, layout]{Kind: "layout", Targets: layoutTargets, Observe: observeLayout}
	filesystems = &checks.Look[disk, checks.Usage]{Kind: "filesystem", Targets: filesystemTargets, Observe: observeFilesystem}
)

var optMount = &checks.Check{
	ID:     "storage.opt-mount",
	Title:  "/opt of a mailstore is a separate mount, now and after a reboot",
	Why:    "Mail is stored below /opt. On the system's disk it can fill the system; if the mount is missing after a reboot, the node starts without its mail.",
	Manual: "df -h /opt\nfindmnt -T /opt\ngrep /opt /etc/fstab",
	Remedy: "lsblk -f                                   # find the disk for the mail, here /dev/sdX1\n" +
		"mkfs.ext4 /dev/sdX1                        # only if it is empty\n" +
		"echo \"UUID=$(blkid -s UUID -o value /dev/sdX1) /opt ext4 defaults 0 2\" >> /etc/fstab\n" +
		"systemctl daemon-reload && mount /opt      # before anything is installed below /opt",
	Sources:    []platform.Source{platform.ScenarioHA.On("primary storage mounted on /opt"), platform.Redundant.On("primary storage mounted on /opt")},
	Components: []platform.Component{platform.Mailstore}, Looks: []checks.AnyLook{layouts},
}

var optOptions = &checks.Check{
	ID:      "storage.opt-options",
	Title:   "/opt is mounted read-write, with exec and suid",
	Why:     "Every program of Carbonio runs from /opt/zextras: noexec stops all of them, nosuid disables the file capabilities that let nginx and slapd open ports below 1024, and nothing can be installed on a read-only /opt.",
	Manual:  "findmnt -n -o OPTIONS -T /opt",
	Remedy:  "mount -o remount,rw,exec,suid /opt         # now\nvi /etc/fstab                              # and permanently: remove ro, noexec and nosuid",
	Sources: []platform.Source{platform.CarbonioCore.On("postinst, setcap"), platform.CoreUtils.On("postinst, setcap")},
	Looks:   []checks.AnyLook{layouts},
}

var space = &checks.Check{
	ID:      "storage.space",
	Title:   "The file systems have free space",
	Why:     "A full file system stops mail delivery, databases and the mesh at once; zmcontrol itself warns below 100 MB.",
	Manual:  "df -h / /opt /var",
	Remedy:  "du -xh --max-depth=3 / | sort -h | tail -20     # find what fills it",
	Sources: []platform.Source{platform.Policy.On("space_free"), platform.CoreUtils.On("zmcontrol, zimbra_disk_threshold (100 MB)")},
	Looks:   []checks.AnyLook{filesystems},
}

var inodes = &checks.Check{
	ID:      "storage.inodes",
	Title:   "The file systems have inodes left",
	Why:     "Every message is a file: without inodes nothing can be delivered, however much space df shows.",
	Manual:  "df -i / /opt /var",
	Remedy:  "du -x --inodes --max-depth=3 / | sort -n | tail -20     # find what uses them",
	Sources: []platform.Source{platform.Policy.On("inodes_free")},
	Looks:   []checks.AnyLook{filesystems},
}

var size = &checks.Check{
	ID:      "storage.size",
	Title:   "The disks are as large as the components and users of the node need",
	Why:     "Mail storage is users × quota, on top of what the system needs. The manual's example: 150 users × 5 GB = 750 GB, plus 30 GB for the system, is 780 GB. Sizes are in GB of 10^9 bytes; 5 % less still passes, because a file system keeps some space to itself.",
	Manual:  "df -H / /opt /var     # -H counts in GB, -h in GiB",
	Remedy:  "lsblk     # find the disk to enlarge; or agree on its size with Zextras, and set profiles, users and quota_gb in the configuration",
	Sources: []platform.Source{platform.Policy.On("profiles, users, quota_gb"), platform.Requirements.On("the sizing example")},
	Looks:   []checks.AnyLook{layouts, filesystems},
}

const (
	optDir     = "/opt"
	zextrasDir = "/opt/zextras"
	// maxFilesystems bounds the targets of a node.
	maxFilesystems = 32
)

// A disk is where a file system is stored.
type disk struct {
	Device string `json:"device"` // "8:17"
}

func layoutTargets(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	self := scope.Self().Node
	return []checks.Target[checks.Nothing]{{Name: self, Node: self}}, nil
}

// watched are the paths of a node whose file systems matter.
func watched(node platform.Node) []string {
	paths := []string{"/", optDir, zextrasDir, "/var"}
	if node.Has(platform.Kafka, platform.ZooKeeper) {
		paths = append(paths, "/var/lib/queue") // data of both
	}
	if node.Has(platform.Database) {
		paths = append(paths, "/var/lib/postgresql", "/var/lib/pgsql") // Ubuntu, RHEL
	}
	return paths
}

// filesystemTargets are the file systems that hold a watched path, and those below
// /opt, each once, however often it is mounted. Each is a separate target, so
// that a mount whose server is gone affects no other verdict.
func filesystemTargets(scope checks.Scope, host checks.Host) ([]checks.Target[disk], error) {
	mounts, err := readMounts(host)
	if err != nil {
		return nil, fmt.Errorf("the mounts cannot be read: %w", err)
	}
	node := scope.Node(scope.Self().Node)
	var out []checks.Target[disk]
	add := func(m mount) {
		known := slices.ContainsFunc(out, func(t checks.Target[disk]) bool { return t.Ask.Device == m.Device || t.Name == m.Point })
		if !known && !m.fixed() && len(out) < maxFilesystems {
			out = append(out, checks.Target[disk]{Name: m.Point, Node: node.Name, Ask: disk{m.Device}})
		}
	}
	for _, p := range watched(node) {
		if m, ok := holder(mounts, follow(host, p)); ok {
			add(m)
		}
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.Point, optDir+"/") {
			add(m)
		}
	}
	return out, nil
}
