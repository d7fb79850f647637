package storage

import (
	"cmp"
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

type (
	// A room is a file system and how full it is.
	room = checks.Sight[disk, checks.Usage]
	plan = checks.Sight[checks.Nothing, layout]
)

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	rooms := map[string][]room{}
	for _, r := range sorted(filesystems, seen) {
		rooms[r.Vantage] = append(rooms[r.Vantage], r)
		out = append(out, judgeRoom(scope, r)...)
	}
	for _, p := range sorted(layouts, seen) {
		l, got := p.Got()
		if !got {
			out = append(out, optMount.Unseen(p, optDir), optOptions.Unseen(p, optDir), size.Unseen(p, "/"))
			continue
		}
		out = append(out, judgeMount(p, l))
		out = append(out, judgeOptions(p, l)...)
		out = append(out, judgeSize(scope, p, l, rooms[p.Vantage])...)
	}
	return out, nil
}

// sorted is what came of a look, by vantage and target.
func sorted[Ask, Seen any](look *checks.Look[Ask, Seen], seen checks.Record) []checks.Sight[Ask, Seen] {
	return slices.SortedStableFunc(look.In(seen), func(a, b checks.Sight[Ask, Seen]) int {
		return cmp.Or(cmp.Compare(a.Vantage, b.Vantage), cmp.Compare(a.Target.Name, b.Target.Name))
	})
}

// judgeMount says whether /opt is a mount, of the right kind, that comes back.
func judgeMount(p plan, l layout) checks.Finding {
	if f, bad := judgePlace(p, l); bad {
		return f.Saw(l.Opt.String()).Wanted("a local file system mounted on /opt")
	}
	comes := judgeBoot(p, l)
	if comes.Status == checks.Fail {
		return comes
	}
	if f, odd := judgeKind(p, l); odd {
		return f.Saw(l.Opt.String()).Wanted("a local file system mounted on /opt")
	}
	return comes
}

// judgePlace finds what is no mount on /opt, or none to speak of.
func judgePlace(p plan, l layout) (checks.Finding, bool) {
	m := l.Opt
	switch {
	case m.Point == optDir && m.inMemory():
		return optMount.Fail(p, optDir, "/opt is in memory (%s): it is empty after a reboot", m.Type), true
	case m.Point == optDir && m.Type == "autofs":
		return optMount.Warn(p, optDir, "/opt is an automount point with nothing mounted on it: what will be is not to be seen").
			Fix("ls /opt >/dev/null; findmnt /opt     # then check again"), true
	case m.Point == optDir:
		return checks.Finding{}, false
	case l.OptPath != optDir && m.Device == l.Root.Device:
		return optMount.Fail(p, optDir, "/opt is a symbolic link to %s, on the system's own file system", l.OptPath), true
	case l.OptPath != optDir:
		return optMount.Warn(p, optDir, "/opt is a symbolic link to %s, on the file system of %s: mount that on /opt itself", l.OptPath, m.Point), true
	case m.Device == l.Root.Device && l.Zextras.Device != l.Root.Device:
		return optMount.Warn(p, optDir, "only /opt/zextras has a file system of its own (%s): /opt is part of %s", l.Zextras.Source, m.Point), true
	}
	return optMount.Fail(p, optDir, "/opt is no mount of its own: it is part of %s (%s)", m.Point, m.Source), true
}

// judgeKind finds mounts that are not what a mailstore should stand on.
func judgeKind(p plan, l layout) (checks.Finding, bool) {
	m := l.Opt
	switch {
	case m.remote():
		return optMount.Warn(p, optDir, "/opt is on %s (%s): indexes and databases want a local disk", m.Source, m.Type), true
	case m.Type == "overlay":
		return optMount.Warn(p, optDir, "/opt is an overlay: what is written lands in another file system"), true
	case m.Device == l.Root.Device:
		return optMount.Warn(p, optDir, "/opt is a part of the system's own file system (%s): mail can fill the system", m.Source), true
	}
	return checks.Finding{}, false
}

// fstabOpt is sed's address of the line of /opt in fstab.
const fstabOpt = `\|^[^#]*[[:space:]]/opt[[:space:]]|`

// judgeBoot says whether the mount of /opt comes back after a reboot.
func judgeBoot(p plan, l layout) checks.Finding {
	b := l.Boot
	switch {
	case l.Container:
		return optMount.Skip(p, optDir, "a container gets /opt from its host, which decides whether it comes back")
	case b.Fstab != nil && b.NoDisk:
		return optMount.Fail(p, optDir, "/etc/fstab mounts /opt from %s, which is not there: the next boot waits for it in vain", b.Fstab.Spec).
			Saw(b.Fstab.Spec).Wanted(spec(l)).Fix("sed -i " + word(fstabOpt+"c "+fstabLine(l)) + " /etc/fstab")
	case b.Fstab != nil && slices.Contains(b.Fstab.Options, "noauto") && !slices.Contains(b.Fstab.Options, "x-systemd.automount"):
		return optMount.Fail(p, optDir, "/etc/fstab says noauto for /opt: it is not mounted at boot").
			Saw(strings.Join(b.Fstab.Options, ",")).Wanted("no noauto").Fix("sed -i " + word(fstabOpt+"s/noauto/auto/") + " /etc/fstab")
	case b.Fstab != nil:
		return optMount.Pass(p, optDir, "/opt is a mount of its own (%s), and in /etc/fstab", l.Opt.Source)
	case b.Enabled:
		return optMount.Pass(p, optDir, "/opt is a mount of its own (%s), mounted at boot by %s", l.Opt.Source, b.Unit)
	case l.Opt.Type == "zfs":
		return optMount.Pass(p, optDir, "/opt is a mount of its own (%s), which ZFS mounts at boot", l.Opt.Source)
	case b.FstabUnseen != checks.Unseen{}:
		return optMount.Unknown(p, optDir, "/opt is a mount of its own, but whether it comes back could not be seen: %s", b.FstabUnseen)
	case b.Unit != "":
		return optMount.Fail(p, optDir, "%s is not enabled: /opt is not mounted at boot", b.Unit).
			Fix("systemctl enable opt.mount")
	case l.Opt.Root != "/" && l.Opt.Type != "btrfs":
		return optMount.Fail(p, optDir, "/opt is a bind mount now, but not after a reboot: it is not in /etc/fstab").
			Saw(l.Opt.String()).Wanted("DIRECTORY /opt none bind 0 0").
			Fix("findmnt -o SOURCE /opt     # tells the DIRECTORY in brackets\nvi /etc/fstab     # add: DIRECTORY /opt none bind 0 0")
	}
	return optMount.Fail(p, optDir, "/opt is mounted now, but not after a reboot: it is not in /etc/fstab").
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
func judgeOptions(p plan, l layout) []checks.Finding {
	out := []checks.Finding{judgeOptionsOf(p, optDir, l.Opt)}
	if l.Zextras.Point != l.Opt.Point {
		out = append(out, judgeOptionsOf(p, zextrasDir, l.Zextras))
	}
	return out
}

func judgeOptionsOf(p plan, dir string, m mount) checks.Finding {
	if m.Type == "autofs" {
		return optOptions.Unknown(p, dir, "nothing is mounted on the automount point %s yet", m.Point)
	}
	var bad, flip []string
	for _, option := range []struct{ bad, good string }{{"ro", "rw"}, {"noexec", "exec"}, {"nosuid", "suid"}} {
		if m.has(option.bad) {
			bad = append(bad, option.bad)
			flip = append(flip, option.good)
		}
	}
	if len(bad) == 0 {
		return optOptions.Pass(p, dir, "%s is mounted read-write, with exec and suid", dir)
	}
	f := optOptions.Fail(p, dir, "%s is mounted %s", dir, strings.Join(bad, ", ")).
		Saw(strings.Join(m.Options, ",")).Wanted(strings.Join(flip, ",")).
		Fix(fmt.Sprintf("mount -o remount,%s %s     # now\nvi /etc/fstab     # and for good: drop %s from the line of %s",
			strings.Join(flip, ","), word(m.Point), strings.Join(bad, ","), m.Point))
	if m.has("ro") && strings.HasPrefix(m.Type, "ext") {
		f = f.With("note", "the kernel makes a file system read-only after an error: dmesg tells")
	}
	return f
}

// judgeRoom judges what is free of a file system.
func judgeRoom(scope checks.Scope, r room) []checks.Finding {
	where := r.Target.Name
	u, got := r.Got()
	switch {
	case !got:
		return []checks.Finding{space.Unseen(r, where), inodes.Unseen(r, where)}
	case u.Total == 0:
		return []checks.Finding{
			space.Skip(r, where, "%s has no size of its own", where),
			inodes.Skip(r, where, "%s has no size of its own", where),
		}
	}
	return []checks.Finding{judgeSpace(scope, r, u), judgeInodes(scope, r, u)}
}

func judgeSpace(scope checks.Scope, r room, u checks.Usage) checks.Finding {
	where, least, share := r.Target.Name, spaceFree.In(scope), percent(u.Free, u.Total)
	seen := fmt.Sprintf("%s of %s free (%.0f %%)", bytes(u.Free), bytes(u.Total), share)
	var f checks.Finding
	switch {
	case u.Free < leastFree:
		f = space.Fail(r, where, "%s is full", where)
	case share < least:
		f = space.Warn(r, where, "%s is nearly full", where)
	default:
		return space.Pass(r, where, "%s has %s", where, seen)
	}
	return f.Saw(seen).Wanted(fmt.Sprintf("%g %% free", least)).
		Fix(fmt.Sprintf("du -xh --max-depth=3 %s | sort -h | tail -20", word(where)))
}

func judgeInodes(scope checks.Scope, r room, u checks.Usage) checks.Finding {
	where, least := r.Target.Name, inodesFree.In(scope)
	if u.Inodes == 0 {
		return inodes.Skip(r, where, "the file system of %s makes inodes as it needs them", where)
	}
	share := percent(u.InodesFree, u.Inodes)
	seen := fmt.Sprintf("%d of %d inodes free (%.0f %%)", u.InodesFree, u.Inodes, share)
	var f checks.Finding
	switch {
	case u.InodesFree == 0:
		f = inodes.Fail(r, where, "%s has no inode left", where)
	case share < least:
		f = inodes.Warn(r, where, "%s runs out of inodes", where)
	default:
		return inodes.Pass(r, where, "%s has %s", where, seen)
	}
	return f.Saw(seen).Wanted(fmt.Sprintf("%g %% free", least)).
		Fix(fmt.Sprintf("du -x --inodes --max-depth=3 %s | sort -n | tail -20", word(where)))
}

// judgeSize holds the disks against the profile of the node and, on a
// mailstore, against its users. Where /opt is part of the system's file system
// one disk must hold both.
func judgeSize(scope checks.Scope, p plan, l layout, rooms []room) []checks.Finding {
	node := scope.Node(p.Vantage)
	profile := platform.ProfileFor(checks.Profiles.In(scope), node, scope.Topology)
	system := demand{profile.DiskGB, fmt.Sprintf("%g GB for the system (profile %s)", profile.DiskGB, profile.Name)}
	var mail demand
	if n, each := users.In(scope), quota.In(scope); node.Has(platform.Mailstore) && n > 0 {
		sum := float64(n) * each
		mail = demand{sum, fmt.Sprintf("%d users × %g GB = %g GB of mail", n, each, sum)}
	}
	if l.Opt.Device == l.Root.Device || !node.Has(platform.Mailstore) {
		return []checks.Finding{judgeDisk(p, "/", system.and(mail), rooms)}
	}
	var own, others []room
	for _, r := range rooms {
		if r.Target.Ask.Device == l.Opt.Device || within(r.Target.Name, optDir) {
			own = append(own, r)
		} else {
			others = append(others, r)
		}
	}
	out := []checks.Finding{judgeDisk(p, "/", system, others)}
	if mail.gb > 0 {
		out = append(out, judgeDisk(p, optDir, mail, own))
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
func judgeDisk(p plan, where string, need demand, rooms []room) checks.Finding {
	if need.gb == 0 {
		return size.Skip(p, where, "no profile of the policy is for the components of this node")
	}
	var have uint64
	var seen []room
	var names, unseen []string
	for _, r := range rooms { // by name
		u, got := r.Got()
		if !got {
			unseen = append(unseen, r.Target.Name)
			continue
		}
		have += u.Total
		seen, names = append(seen, r), append(names, r.Target.Name)
	}
	switch {
	case float64(have) >= need.gb*gb*tolerance:
		return size.Pass(checks.Together(seen...), where, "%s, where %g GB are asked for", bytes(have), need.gb)
	case len(rooms) == 0:
		return size.Unknown(p, where, "the size of %s was not looked at", where)
	case len(unseen) > 0:
		return size.Unknown(p, where, "the size of %s could not be seen", strings.Join(unseen, ", "))
	}
	return size.Warn(checks.Together(seen...), where, "%s: %s, where %g GB are asked for", strings.Join(names, ", "), bytes(have), need.gb).
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
