// Package storage looks at the file systems: where /opt really lives, how it is
// mounted, and how much room there is.
package storage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject "storage".
type Module struct{}

// The kinds of look.
const (
	kindLayout     = "layout"     // what is mounted where, now and after a reboot
	kindFilesystem = "filesystem" // how full one file system is
)

const (
	optMount   = "storage.opt-mount"
	optOptions = "storage.opt-options"
	space      = "storage.space"
	inodes     = "storage.inodes"
	size       = "storage.size"
)

// Name is the subject.
func (Module) Name() string { return "storage" }

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	return []checks.Check{
		{
			ID:     optMount,
			Title:  "/opt of a mailstore is a mount of its own, now and after a reboot",
			Why:    "Mail lives below /opt. On the system's disk it fills the system; on a mount that does not come back after a reboot the node starts without its mail.",
			Manual: "df -h /opt\nfindmnt -T /opt\ngrep /opt /etc/fstab",
			Remedy: "lsblk -f                                   # find the disk for the mail, here /dev/sdX1\n" +
				"mkfs.ext4 /dev/sdX1                        # only if it is empty\n" +
				"echo \"UUID=$(blkid -s UUID -o value /dev/sdX1) /opt ext4 defaults 0 2\" >> /etc/fstab\n" +
				"systemctl daemon-reload && mount /opt      # before anything is installed below /opt",
			Source:     "SEED-HA, RUR26: mailstore primary storage must be mounted on /opt/",
			Components: []platform.Component{platform.Mailstore},
			Looks:      []string{kindLayout},
		},
		{
			ID:     optOptions,
			Title:  "/opt is mounted read-write, with exec and suid",
			Why:    "Every program of Carbonio runs from /opt/zextras: noexec stops all of them, nosuid takes the file capabilities by which nginx and slapd open ports below 1024, and on a read-only /opt nothing installs.",
			Manual: "findmnt -n -o OPTIONS -T /opt",
			Remedy: "mount -o remount,rw,exec,suid /opt         # now\nvi /etc/fstab                              # and for good: drop ro, noexec and nosuid",
			Source: "CC, CCU postinst (setcap)",
			Looks:  []string{kindLayout},
		},
		{
			ID:     space,
			Title:  "The file systems have room",
			Why:    "A full file system stops mail delivery, databases and the mesh at once; Carbonio's own control warns below 100 MB.",
			Manual: "df -h / /opt /var",
			Remedy: "du -xh --max-depth=3 / | sort -h | tail -20     # find what fills it",
			Source: "policy space_free; CCU zmcontrol zimbra_disk_threshold (100 MB)",
			Looks:  []string{kindFilesystem},
		},
		{
			ID:     inodes,
			Title:  "The file systems have inodes left",
			Why:    "Every message is a file: without inodes nothing more is delivered, however much space df shows.",
			Manual: "df -i / /opt /var",
			Remedy: "du -x --inodes --max-depth=3 / | sort -n | tail -20     # find what takes them",
			Source: "policy inodes_free",
			Looks:  []string{kindFilesystem},
		},
		{
			ID:     size,
			Title:  "The disks are as large as the node's components and users need",
			Why:    "The mail storage is users × quota, beside what the system takes. The manual's example: 150 users × 5 GB = 750 GB, and 30 GB for the system, is 780 GB. Sizes are in GB of 10^9 bytes; 5 % less still passes, for what a file system keeps to itself.",
			Manual: "df -H / /opt /var     # -H counts in GB, -h in GiB",
			Remedy: "enlarge the disk, or agree on the size with Zextras and set profiles, users and quota_gb in the configuration",
			Source: "policy profiles, users, quota_gb; REQ26 (sizing example)",
			Looks:  []string{kindLayout, kindFilesystem},
		},
	}
}

// watched are the paths whose file systems matter, on nodes that hold any of
// the components.
var watched = []struct {
	path       string
	components []platform.Component
}{
	{"/", []platform.Component{platform.Every}},
	{optDir, []platform.Component{platform.Every}},
	{zextrasDir, []platform.Component{platform.Every}},
	{"/var", []platform.Component{platform.Every}},
	{"/var/lib/queue", []platform.Component{platform.Kafka, platform.ZooKeeper}}, // HAA: data of both
	{"/var/lib/postgresql", []platform.Component{platform.Database}},             // Ubuntu
	{"/var/lib/pgsql", []platform.Component{platform.Database}},                  // RHEL
}

const (
	optDir     = "/opt"
	zextrasDir = "/opt/zextras"
	// maxFilesystems bounds the looks below /opt.
	maxFilesystems = 32
)

// Targets are the layout, and each file system that matters: one target each,
// so that a mount whose server is gone costs only its own verdict.
func (Module) Targets(scope checks.Scope, host checks.Host) ([]checks.Target, error) {
	mounts, err := readMounts(host)
	if err != nil {
		return nil, fmt.Errorf("what is mounted cannot be told: %w", err)
	}
	node := scope.Node(scope.Self().Node)
	out := []checks.Target{{Kind: kindLayout, Name: node.Name, Node: node.Name}}
	for _, m := range filesystems(host, mounts, node) {
		out = append(out, checks.Target{Kind: kindFilesystem, Name: m.Point, Args: []string{m.Device}})
	}
	return out, nil
}

// filesystems are those that hold a watched path, and those below /opt; each
// once, however often it is mounted.
func filesystems(host checks.Host, mounts []mount, node platform.Node) []mount {
	var out []mount
	add := func(m mount) {
		known := slices.ContainsFunc(out, func(k mount) bool { return k.Device == m.Device || k.Point == m.Point })
		if !known && !m.fixed() && len(out) < maxFilesystems {
			out = append(out, m)
		}
	}
	for _, w := range watched {
		if m, ok := holder(mounts, follow(host, w.path)); ok && node.Has(w.components...) {
			add(m)
		}
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.Point, optDir+"/") {
			add(m)
		}
	}
	return out
}

// Judge decides.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	seen = slices.SortedStableFunc(slices.Values(seen), func(a, b checks.Observation) int {
		return cmp.Or(cmp.Compare(a.Vantage, b.Vantage), cmp.Compare(a.Target.Name, b.Target.Name))
	})
	var out []checks.Finding
	rooms := map[string][]room{}
	for o, u := range checks.Of[checks.Usage](seen, kindFilesystem) {
		rooms[o.Vantage] = append(rooms[o.Vantage], room{o, u})
		out = append(out, judgeRoom(scope.Policy, o, u)...)
	}
	for o, l := range checks.Of[layout](seen, kindLayout) {
		if o.Error != "" {
			out = append(append(out, o.Unseen(optDir, optMount, optOptions)...), o.Unseen("/", size)...)
			continue
		}
		out = append(out, judgeMount(o, l))
		out = append(out, judgeOptions(o, l)...)
		out = append(out, judgeSize(scope, o, l, rooms[o.Vantage])...)
	}
	return out
}
