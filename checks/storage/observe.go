package storage

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
)

// layout is what is mounted at and around /opt, now and after a reboot.
type layout struct {
	Root    mount  `json:"root"`
	OptPath string `json:"opt_path"` // another than /opt when that is a symbolic link
	Opt     mount  `json:"opt"`      // what holds it
	Zextras mount  `json:"zextras"`  // what holds /opt/zextras
	Boot    boot   `json:"boot"`
	// Container: its host mounts the file systems.
	Container bool `json:"container,omitempty"`
}

// boot is what brings the mount of /opt back after a reboot.
type boot struct {
	Fstab       *entry        `json:"fstab,omitempty"`
	FstabUnseen checks.Unseen `json:"fstab_unseen,omitzero"`
	NoDisk      bool          `json:"no_disk,omitempty"` // fstab names a disk that does not exist
	Unit        string        `json:"unit,omitempty"`    // a systemd mount unit
	Enabled     bool          `json:"enabled,omitempty"` // at boot
	UUID        string        `json:"uuid,omitempty"`    // of what is mounted now
}

func observeFilesystem(ctx context.Context, host checks.Host, t checks.Target[disk]) (checks.Usage, error) {
	return host.Machine.Usage(ctx, t.Name)
}

func observeLayout(_ context.Context, host checks.Host, _ checks.Target[checks.Nothing]) (layout, error) {
	mounts, err := readMounts(host)
	if err != nil {
		return layout{}, err
	}
	l := layout{OptPath: follow(host, optDir), Container: inContainer(host)}
	var ok bool
	if l.Root, ok = holder(mounts, "/"); !ok {
		return layout{}, errors.New("/proc/self/mountinfo shows no mount of /")
	}
	l.Opt, _ = holder(mounts, l.OptPath) // the root mount holds every path
	l.Zextras, _ = holder(mounts, follow(host, path.Join(l.OptPath, path.Base(zextrasDir))))
	l.Boot = observeBoot(host, l.Opt.Source)
	return l, nil
}

func inContainer(host checks.Host) bool {
	return slices.ContainsFunc([]string{"run/systemd/container", ".dockerenv", "run/.containerenv"}, func(mark string) bool {
		there, _ := host.Exists(mark)
		return there
	})
}

func observeBoot(host checks.Host, device string) boot {
	var b boot
	text, err := host.ReadFile("etc/fstab")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.FstabUnseen = checks.Why(err)
	}
	if b.Fstab = fstabEntry(text, optDir); b.Fstab != nil {
		b.NoDisk = noDisk(host, b.Fstab.Spec)
	}
	b.Unit, b.Enabled = mountUnit(host)
	b.UUID = uuid(host, device)
	return b
}

// disksBy are the directories in which udev lists the disks by what fstab may name
// instead of a device.
var disksBy = map[string]string{
	"UUID":     "dev/disk/by-uuid",
	"LABEL":    "dev/disk/by-label",
	"PARTUUID": "dev/disk/by-partuuid",
}

// noDisk says whether fstab names a disk that udev does not know. Without udev
// (a container, an image) that is not known.
func noDisk(host checks.Host, spec string) bool {
	if there, _ := host.Exists(disksBy["UUID"]); !there {
		return false
	}
	if key, value, _ := strings.Cut(spec, "="); disksBy[key] != "" {
		spec = path.Join("/", disksBy[key], strings.Trim(value, `"`))
	}
	there, err := host.Exists(spec)
	disk := strings.HasPrefix(spec, "/dev/") // not a remote share, a directory to bind, a ZFS data set
	return disk && err == nil && !there
}

// uuid finds the UUID of a device: "/dev/mapper/vg-opt" is a link to "../dm-0",
// and so is the name of its UUID.
func uuid(host checks.Host, device string) string {
	device = path.Base(follow(host, device))
	names, _ := fs.ReadDir(host.Files, disksBy["UUID"]) // none without udev
	for _, n := range names {
		if path.Base(follow(host, "/"+path.Join(disksBy["UUID"], n.Name()))) == device {
			return n.Name()
		}
	}
	return ""
}

// mountUnit finds the systemd unit that mounts /opt, and whether a link enables it
// or its automount at boot.
func mountUnit(host checks.Host) (unit string, enabled bool) {
	for _, dir := range []string{"etc/systemd/system/", "usr/lib/systemd/system/"} {
		if there, _ := host.Exists(dir + "opt.mount"); unit == "" && there {
			unit = "/" + dir + "opt.mount"
		}
		for _, links := range []string{"*.wants/opt.*mount", "*.requires/opt.*mount"} {
			found, _ := fs.Glob(host.Files, dir+links) // the pattern is good: no error
			enabled = enabled || len(found) > 0
		}
	}
	return unit, enabled && unit != ""
}

// A mount is a line of /proc/self/mountinfo.
type mount struct {
	Device  string   `json:"device"` // "8:17", the same for every mount of one file system
	Root    string   `json:"root"`   // the directory of the file system that is mounted; a bind mount's is not "/"
	Point   string   `json:"point"`
	Type    string   `json:"type"`
	Source  string   `json:"source"`
	Options []string `json:"options"` // of the mount, then of the file system
}

// String is what mount(8) prints.
func (m mount) String() string {
	return m.Source + " on " + m.Point + " type " + m.Type + " (" + strings.Join(m.Options, ",") + ")"
}

func (m mount) inMemory() bool { return m.Type == "tmpfs" || m.Type == "ramfs" }

// remote says whether another machine, or a user program, serves the file system.
func (m mount) remote() bool {
	network := []string{"nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "ocfs2", "gfs2", "lustre", "afs"}
	return slices.Contains(network, m.Type) || strings.HasPrefix(m.Type, "fuse")
}

// fixed says whether free space means nothing: memory, images that are always
// full, and automount points with nothing mounted.
func (m mount) fixed() bool {
	return m.inMemory() || slices.Contains([]string{"squashfs", "iso9660", "erofs", "autofs"}, m.Type)
}

func readMounts(host checks.Host) ([]mount, error) {
	text, err := host.ReadFile("proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return parseMounts(text), nil
}

// parseMounts reads proc_pid_mountinfo(5):
//
//	137 69 8:17 / /opt rw,noatime shared:7 - ext4 /dev/sdb1 rw,errors=remount-ro
func parseMounts(text string) []mount {
	var out []mount
	for line := range strings.Lines(text) {
		// Neither half can hold " - ": a space inside a name is written \040.
		left, right, ok := strings.Cut(line, " - ")
		f, g := strings.Fields(left), strings.Fields(right)
		if !ok || len(f) < 6 || len(g) < 2 {
			continue
		}
		options := strings.Split(f[5], ",")
		if len(g) > 2 {
			options = append(options, strings.Split(g[2], ",")...)
		}
		out = append(out, mount{
			Device: f[2], Root: unescape(f[3]), Point: unescape(f[4]),
			Type: g[0], Source: unescape(g[1]), Options: distinct(options),
		})
	}
	return out
}

// distinct drops duplicates, and "rw" beside "ro": either the mount or the file
// system makes it read-only.
func distinct(options []string) []string {
	readOnly := slices.Contains(options, "ro")
	var out []string
	for _, o := range options {
		if !slices.Contains(out, o) && (o != "rw" || !readOnly) {
			out = append(out, o)
		}
	}
	return out
}

var escaped = regexp.MustCompile(`\\[0-3][0-7]{2}`)

// unescape turns \040 into a space, as mountinfo and fstab write it.
func unescape(s string) string {
	return escaped.ReplaceAllStringFunc(s, func(code string) string {
		b, _ := strconv.ParseUint(code[1:], 8, 8) // it matched
		return string([]byte{byte(b)})
	})
}

// holder is the mount that holds a path: the deepest, and the last of those
// mounted over each other.
func holder(mounts []mount, name string) (mount, bool) {
	var best mount
	for _, m := range mounts {
		if within(name, m.Point) && len(m.Point) >= len(best.Point) {
			best = m
		}
	}
	return best, best.Point != ""
}

// within says whether a path is the directory or below it.
func within(name, dir string) bool {
	return name == dir || strings.HasPrefix(name, strings.TrimSuffix(dir, "/")+"/")
}

// follow resolves symbolic links.
func follow(host checks.Host, name string) string {
	for range 8 {
		target, err := fs.ReadLink(host.Files, strings.TrimPrefix(name, "/"))
		if err != nil {
			return name
		}
		if !path.IsAbs(target) {
			target = path.Join(path.Dir(name), target)
		}
		name = path.Clean(target)
	}
	return name
}

// An entry is a line of fstab(5).
type entry struct {
	Spec    string   `json:"spec"` // "UUID=…", "/dev/sdb1", "nas:/mail"
	Type    string   `json:"type"`
	Options []string `json:"options"`
}

// fstabEntry finds the line that mounts at point: the last one ends up on top.
func fstabEntry(text, point string) *entry {
	var out *entry
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 3 || strings.HasPrefix(f[0], "#") || path.Clean(unescape(f[1])) != point {
			continue
		}
		out = &entry{Spec: unescape(f[0]), Type: f[2]}
		if len(f) > 3 {
			out.Options = strings.Split(f[3], ",")
		}
	}
	return out
}
