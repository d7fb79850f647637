package storage

import (
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

const (
	gb  = 1e9
	gib = 1 << 30
	// tolerance is for what a file system keeps to itself: a disk sold as 100 GB
	// shows some per cent less.
	tolerance = 0.95
	// zmcontrol's own threshold: zimbra_disk_threshold, 100 MB (CCU zmcontrol).
	leastFree = 100e6
)

// room is a file system and how full it is.
type room struct {
	checks.Observation
	checks.Usage
}

func (r room) device() string {
	if len(r.Target.Args) == 0 {
		return ""
	}
	return r.Target.Args[0]
}

// judgeMount says whether /opt is a mount, of the right kind, that comes back.
func judgeMount(o checks.Observation, l layout) checks.Finding {
	if f, bad := judgePlace(o, l); bad {
		return f.Saw(l.Opt.String()).Wanted("a local file system mounted on /opt")
	}
	comes := judgeBoot(o, l)
	if comes.Status == checks.Fail {
		return comes
	}
	if f, odd := judgeKind(o, l); odd {
		return f.Saw(l.Opt.String()).Wanted("a local file system mounted on /opt")
	}
	return comes
}

// judgePlace finds what is no mount on /opt, or none to speak of.
func judgePlace(o checks.Observation, l layout) (checks.Finding, bool) {
	m := l.Opt
	switch {
	case m.Point == optDir && m.inMemory():
		return o.Fail(optMount, optDir, "/opt is in memory (%s): it is empty after a reboot", m.Type), true
	case m.Point == optDir && m.Type == "autofs":
		return o.Warn(optMount, optDir, "/opt is an automount point with nothing mounted on it: what will be is not to be seen").
			Fix("ls /opt >/dev/null; findmnt /opt     # then check again"), true
	case m.Point == optDir:
		return checks.Finding{}, false
	case l.OptPath != optDir && m.Device == l.Root.Device:
		return o.Fail(optMount, optDir, "/opt is a symbolic link to %s, on the system's own file system", l.OptPath), true
	case l.OptPath != optDir:
		return o.Warn(optMount, optDir, "/opt is a symbolic link to %s, on the file system of %s: mount that on /opt itself", l.OptPath, m.Point), true
	case m.Device == l.Root.Device && l.Zextras.Device != l.Root.Device:
		return o.Warn(optMount, optDir, "only /opt/zextras has a file system of its own (%s): /opt is part of %s", l.Zextras.Source, m.Point), true
	}
	return o.Fail(optMount, optDir, "/opt is no mount of its own: it is part of %s (%s)", m.Point, m.Source), true
}

// judgeKind finds mounts that are not what a mailstore should stand on.
func judgeKind(o checks.Observation, l layout) (checks.Finding, bool) {
	m := l.Opt
	switch {
	case m.remote():
		return o.Warn(optMount, optDir, "/opt is on %s (%s): indexes and databases want a local disk", m.Source, m.Type), true
	case m.Type == "overlay":
		return o.Warn(optMount, optDir, "/opt is an overlay: what is written lands in another file system"), true
	case m.Device == l.Root.Device:
		return o.Warn(optMount, optDir, "/opt is a part of the system's own file system (%s): mail can fill the system", m.Source), true
	}
	return checks.Finding{}, false
}

// fstabOpt is sed's address of the line of /opt in fstab.
const fstabOpt = `\|^[^#]*[[:space:]]/opt[[:space:]]|`

// judgeBoot says whether the mount of /opt comes back after a reboot.
func judgeBoot(o checks.Observation, l layout) checks.Finding {
	b := l.Boot
	switch {
	case l.Container:
		return o.Skip(optMount, optDir, "a container gets /opt from its host, which decides whether it comes back")
	case b.Fstab != nil && b.NoDisk:
		return o.Fail(optMount, optDir, "/etc/fstab mounts /opt from %s, which is not there: the next boot waits for it in vain", b.Fstab.Spec).
			Saw(b.Fstab.Spec).Wanted(spec(l)).Fix("sed -i " + word(fstabOpt+"c "+fstabLine(l)) + " /etc/fstab")
	case b.Fstab != nil && slices.Contains(b.Fstab.Options, "noauto") && !slices.Contains(b.Fstab.Options, "x-systemd.automount"):
		return o.Fail(optMount, optDir, "/etc/fstab says noauto for /opt: it is not mounted at boot").
			Saw(strings.Join(b.Fstab.Options, ",")).Wanted("no noauto").Fix("sed -i " + word(fstabOpt+"s/noauto/auto/") + " /etc/fstab")
	case b.Fstab != nil:
		return o.Pass(optMount, optDir, "/opt is a mount of its own (%s), and in /etc/fstab", l.Opt.Source)
	case b.Enabled:
		return o.Pass(optMount, optDir, "/opt is a mount of its own (%s), mounted at boot by %s", l.Opt.Source, b.Unit)
	case l.Opt.Type == "zfs":
		return o.Pass(optMount, optDir, "/opt is a mount of its own (%s), which ZFS mounts at boot", l.Opt.Source)
	case b.FstabError != "":
		return o.Unknown(optMount, optDir, "/opt is a mount of its own, but whether it comes back could not be seen: %s", b.FstabError)
	case b.Unit != "":
		return o.Fail(optMount, optDir, "%s is not enabled: /opt is not mounted at boot", b.Unit).
			Fix("systemctl enable opt.mount")
	case l.Opt.Root != "/" && l.Opt.Type != "btrfs":
		return o.Fail(optMount, optDir, "/opt is a bind mount now, but not after a reboot: it is not in /etc/fstab").
			Saw(l.Opt.String()).Wanted("DIRECTORY /opt none bind 0 0").
			Fix("findmnt -o SOURCE /opt     # tells the DIRECTORY in brackets\nvi /etc/fstab     # add: DIRECTORY /opt none bind 0 0")
	}
	return o.Fail(optMount, optDir, "/opt is mounted now, but not after a reboot: it is not in /etc/fstab").
		Saw(l.Opt.String()).Wanted(fstabLine(l)).
		Fix("echo " + word(fstabLine(l)) + " >> /etc/fstab\nsystemctl daemon-reload && findmnt --verify")
}

// fstabLine mounts what is mounted now.
func fstabLine(l layout) string {
	m := l.Opt
	options, check := "defaults", 0
	switch {
	case m.Type == "btrfs":
		options += ",subvol=" + m.Root
	case m.remote():
		options += ",_netdev"
	case strings.HasPrefix(m.Type, "ext"):
		check = 2
	}
	return fmt.Sprintf("%s /opt %s %s 0 %d", strings.ReplaceAll(spec(l), " ", `\040`), m.Type, options, check)
}

// spec names what is mounted by its UUID where that is known: /dev/sdb1 may be
// another disk after a reboot.
func spec(l layout) string {
	if l.Boot.UUID != "" {
		return "UUID=" + l.Boot.UUID
	}
	return l.Opt.Source
}

// judgeOptions looks at what holds /opt, and /opt/zextras where that is another.
func judgeOptions(o checks.Observation, l layout) []checks.Finding {
	out := []checks.Finding{judgeOptionsOf(o, optDir, l.Opt)}
	if l.Zextras.Point != l.Opt.Point {
		out = append(out, judgeOptionsOf(o, zextrasDir, l.Zextras))
	}
	return out
}

func judgeOptionsOf(o checks.Observation, dir string, m mount) checks.Finding {
	if m.Type == "autofs" {
		return o.Unknown(optOptions, dir, "nothing is mounted on the automount point %s yet", m.Point)
	}
	var bad, flip []string
	for _, option := range []struct{ bad, good string }{{"ro", "rw"}, {"noexec", "exec"}, {"nosuid", "suid"}} {
		if m.has(option.bad) {
			bad = append(bad, option.bad)
			flip = append(flip, option.good)
		}
	}
	if len(bad) == 0 {
		return o.Pass(optOptions, dir, "%s is mounted read-write, with exec and suid", dir)
	}
	f := o.Fail(optOptions, dir, "%s is mounted %s", dir, strings.Join(bad, ", ")).
		Saw(strings.Join(m.Options, ",")).Wanted(strings.Join(flip, ",")).
		Fix(fmt.Sprintf("mount -o remount,%s %s     # now\nvi /etc/fstab     # and for good: drop %s from the line of %s",
			strings.Join(flip, ","), word(m.Point), strings.Join(bad, ","), m.Point))
	if m.has("ro") && strings.HasPrefix(m.Type, "ext") {
		f = f.With("note", "the kernel makes a file system read-only after an error: dmesg tells")
	}
	return f
}

func judgeRoom(policy platform.Policy, o checks.Observation, u checks.Usage) []checks.Finding {
	where := o.Target.Name
	switch {
	case o.Error != "":
		return o.Unseen(where, space, inodes)
	case u.Total == 0:
		return []checks.Finding{
			o.Skip(space, where, "%s has no size of its own", where),
			o.Skip(inodes, where, "%s has no size of its own", where),
		}
	}
	return []checks.Finding{judgeSpace(policy, o, u), judgeInodes(policy, o, u)}
}

func judgeSpace(policy platform.Policy, o checks.Observation, u checks.Usage) checks.Finding {
	where := o.Target.Name
	share := percent(u.Free, u.Total)
	seen := fmt.Sprintf("%s of %s free (%.0f %%)", bytes(u.Free), bytes(u.Total), share)
	fix := fmt.Sprintf("du -xh --max-depth=3 %s | sort -h | tail -20", word(where))
	switch {
	case u.Free < leastFree:
		return o.Fail(space, where, "%s is full", where).Saw(seen).Wanted(fmt.Sprintf("%g %% free", policy.SpaceFree)).Fix(fix)
	case share < policy.SpaceFree:
		return o.Warn(space, where, "%s is nearly full", where).Saw(seen).Wanted(fmt.Sprintf("%g %% free", policy.SpaceFree)).Fix(fix)
	}
	return o.Pass(space, where, "%s has %s", where, seen)
}

func judgeInodes(policy platform.Policy, o checks.Observation, u checks.Usage) checks.Finding {
	where := o.Target.Name
	if u.Inodes == 0 {
		return o.Skip(inodes, where, "the file system of %s makes inodes as it needs them", where)
	}
	share := percent(u.InodesFree, u.Inodes)
	seen := fmt.Sprintf("%d of %d inodes free (%.0f %%)", u.InodesFree, u.Inodes, share)
	fix := fmt.Sprintf("du -x --inodes --max-depth=3 %s | sort -n | tail -20", word(where))
	switch {
	case u.InodesFree == 0:
		return o.Fail(inodes, where, "%s has no inode left", where).Saw(seen).Wanted(fmt.Sprintf("%g %% free", policy.InodesFree)).Fix(fix)
	case share < policy.InodesFree:
		return o.Warn(inodes, where, "%s runs out of inodes", where).Saw(seen).Wanted(fmt.Sprintf("%g %% free", policy.InodesFree)).Fix(fix)
	}
	return o.Pass(inodes, where, "%s has %s", where, seen)
}

// judgeSize holds the disks against the profile of the node and, on a
// mailstore, against its users. Where /opt is part of the system's file system
// one disk must hold both.
func judgeSize(scope checks.Scope, o checks.Observation, l layout, rooms []room) []checks.Finding {
	node, policy := scope.Node(o.Vantage), scope.Policy
	profile := policy.ProfileFor(node, scope.Topology)
	system := demand{gb: profile.DiskGB, sum: fmt.Sprintf("%g GB for the system (profile %s)", profile.DiskGB, profile.Name)}
	var mail demand
	if node.Has(platform.Mailstore) && policy.Users > 0 {
		mail = demand{
			gb:  float64(policy.Users) * policy.Quota,
			sum: fmt.Sprintf("%d users × %g GB = %g GB of mail", policy.Users, policy.Quota, float64(policy.Users)*policy.Quota),
		}
	}
	if l.Opt.Device == l.Root.Device || !node.Has(platform.Mailstore) {
		return []checks.Finding{judgeDisk(o, "/", system.and(mail), rooms)}
	}
	var own, others []room
	for _, r := range rooms {
		if r.device() == l.Opt.Device || within(r.Target.Name, optDir) {
			own = append(own, r)
		} else {
			others = append(others, r)
		}
	}
	out := []checks.Finding{judgeDisk(o, "/", system, others)}
	if mail.gb > 0 {
		out = append(out, judgeDisk(o, optDir, mail, own))
	}
	return out
}

// A demand is how much is needed, and why.
type demand struct {
	gb  float64
	sum string
}

func (d demand) and(e demand) demand {
	switch {
	case d.gb == 0:
		return e
	case e.gb == 0:
		return d
	}
	return demand{d.gb + e.gb, fmt.Sprintf("%s + %s = %g GB", d.sum, e.sum, d.gb+e.gb)}
}

// judgeDisk adds up file systems. One that could not be seen matters only when
// the others are not enough.
func judgeDisk(o checks.Observation, where string, need demand, rooms []room) checks.Finding {
	if need.gb == 0 {
		return o.Skip(size, where, "no profile of the policy is for the components of this node")
	}
	var have uint64
	var unseen, names []string
	for _, r := range rooms {
		if r.Error != "" {
			unseen = append(unseen, r.Target.Name)
			continue
		}
		have += r.Total
		names = append(names, r.Target.Name)
	}
	slices.Sort(names)
	slices.Sort(unseen)
	switch {
	case float64(have) >= need.gb*gb*tolerance:
		return o.Pass(size, where, "%s, where %g GB are asked for", bytes(have), need.gb)
	case len(rooms) == 0:
		return o.Unknown(size, where, "the size of %s was not looked at", where)
	case len(unseen) > 0:
		return o.Unknown(size, where, "the size of %s could not be seen", strings.Join(unseen, ", "))
	}
	return o.Warn(size, where, "%s: %s, where %g GB are asked for", strings.Join(names, ", "), bytes(have), need.gb).
		Saw(bytes(have)).Wanted(fmt.Sprintf("%g GB (%.0f GiB)", need.gb, need.gb*gb/gib)).
		With("sum", need.sum)
}

func percent(part, whole uint64) float64 { return float64(part) / float64(whole) * 100 }

// bytes says a size in both units that people read: "107 GB (100 GiB)".
func bytes(n uint64) string {
	if n < gb {
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f GB (%.0f GiB)", float64(n)/gb, float64(n)/gib)
}

// word makes a shell word of what a file or the kernel named: it ends up in a
// command that somebody pastes.
func word(s string) string {
	plain := func(c rune) bool {
		return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("/._-", c)
	}
	if strings.TrimFunc(s, plain) == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
