package storage

import (
	"context"
	"errors"
	"io/fs"
	"path"
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
	var ok [3]bool
	l.Root, ok[0] = holder(mounts, "/")
	l.Opt, ok[1] = holder(mounts, l.OptPath)
	l.Zextras, ok[2] = holder(mounts, follow(host, path.Join(l.OptPath, path.Base(zextrasDir))))
	if ok != [3]bool{true, true, true} {
		return layout{}, errors.New("/proc/self/mountinfo shows no mount of /")
	}
	l.Boot = observeBoot(host, l.Opt.Source)
	return l, nil
}

func inContainer(host checks.Host) bool {
	for _, mark := range []string{"run/systemd/container", ".dockerenv", "run/.containerenv"} {
		if there, err := host.Exists(mark); err == nil && there {
			return true
		}
	}
	return false
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

// noDisk reports whether fstab names a disk that udev does not know. Without udev
// (a container, an image) that is not known.
func noDisk(host checks.Host, spec string) bool {
	if there, err := host.Exists(disksBy["UUID"]); err != nil || !there {
		return false
	}
	name := strings.TrimPrefix(spec, "/")
	if key, value, ok := strings.Cut(spec, "="); ok {
		dir, known := disksBy[key]
		if !known {
			return false
		}
		name = path.Join(dir, strings.Trim(value, `"`))
	} else if !strings.HasPrefix(spec, "/dev/") {
		return false // a remote share, a directory to bind, a ZFS data set
	}
	there, err := host.Exists(name)
	return err == nil && !there
}

// uuid finds the UUID of a device: "/dev/mapper/vg-opt" is a link to "../dm-0",
// and so is the name of its UUID.
func uuid(host checks.Host, device string) string {
	device = path.Base(follow(host, device))
	names, err := fs.ReadDir(host.Files, disksBy["UUID"])
	if err != nil {
		return ""
	}
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
		if there, err := host.Exists(dir + "opt.mount"); unit == "" && err == nil && there {
			unit = "/" + dir + "opt.mount"
		}
		for _, links := range []string{"*.wants/opt.*mount", "*.requires/opt.*mount"} {
			found, _ := fs.Glob(host.Files, dir+links) // the pattern is good: no error
			enabled = enabled || len(found) > 0
		}
	}
	return unit, enabled && unit != ""
}
