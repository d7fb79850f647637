package storage

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"carbonio-check/checks"
)

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

// inMemory reports whether nothing on it survives a reboot.
func (m mount) inMemory() bool { return m.Type == "tmpfs" || m.Type == "ramfs" }

// remote reports whether another machine, or a user program, serves the file
// system.
func (m mount) remote() bool {
	switch m.Type {
	case "nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "glusterfs", "ocfs2", "gfs2", "lustre", "afs":
		return true
	}
	return strings.HasPrefix(m.Type, "fuse")
}

// fixed reports whether free space means nothing: memory, images that are always
// full, and automount points with nothing mounted.
func (m mount) fixed() bool {
	switch m.Type {
	case "squashfs", "iso9660", "erofs", "autofs":
		return true
	}
	return m.inMemory()
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

// within reports whether a path is the directory or below it.
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
