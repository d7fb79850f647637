package storage

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

const (
	gb  = 1e9
	gib = 1 << 30
	// tolerance is for what a file system keeps to itself: a disk sold as 100 GB
	// shows a few per cent less.
	tolerance = 0.95
	// leastFree is the threshold of Carbonio's own zmcontrol.
	leastFree = 100e6
)

// A room is a file system and how full it is.
type room = checks.Sight[disk, checks.Usage]

// A place is what is mounted at and around /opt of a node.
type place struct {
	checks.Sight[checks.Nothing, layout]
	layout
}

// judge decides.
func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	rooms := map[string][]room{}
	for r := range filesystems.In(seen) {
		rooms[r.Vantage] = append(rooms[r.Vantage], r)
		out = append(out, judgeRoom(scope, r)...)
	}
	for s := range layouts.In(seen) {
		l, got := s.Got()
		if !got {
			out = append(out, optMount.Unseen(s, optDir), optOptions.Unseen(s, optDir), size.Unseen(s, "/"))
			continue
		}
		p := place{s, l}
		out = append(out, p.judgeMount(), p.judgeOptions(optDir, l.Opt))
		if l.Zextras.Point != l.Opt.Point {
			out = append(out, p.judgeOptions(zextrasDir, l.Zextras))
		}
		out = append(out, p.judgeSize(scope, rooms[s.Vantage])...)
	}
	for i, f := range out {
		if f.Status == checks.Warn || f.Status == checks.Fail {
			out[i] = f.Fix(checks.On(f.Vantage) + cmp.Or(f.Remedy, f.Check.Remedy))
		}
	}
	return out, nil
}

// judgeMount judges whether /opt is a mount of the right kind that comes back.
func (p place) judgeMount() checks.Finding {
	var f checks.Finding
	boot := p.judgeBoot()
	switch m, onSystem := p.Opt, p.Opt.Device == p.Root.Device; {
	case m.Point != optDir:
		f = p.judgeWithoutMount(onSystem)
	case m.inMemory():
		f = optMount.Fail(p, optDir, "/opt is in memory (%s): it is empty after a reboot", m.Type)
	case m.Type == "autofs":
		f = optMount.Warn(p, optDir, "/opt is an automount point with nothing mounted yet: its file system could not be seen").
			Fix("ls /opt >/dev/null; findmnt /opt     # then check again")
	case boot.Status == checks.Fail:
		return boot
	case m.remote():
		f = optMount.Warn(p, optDir, "/opt is on %s (%s): indexes and databases need a local disk", m.Source, m.Type)
	case m.Type == "overlay":
		f = optMount.Warn(p, optDir, "/opt is an overlay: what is written ends up in another file system")
	case onSystem:
		f = optMount.Warn(p, optDir, "/opt is part of the system's own file system (%s): mail can fill the system", m.Source)
	default:
		return boot
	}
	return f.Saw(p.Opt.String()).Wanted("a local file system mounted on /opt")
}

func (p place) judgeWithoutMount(onSystem bool) checks.Finding {
	m := p.Opt
	switch {
	case p.OptPath != optDir && onSystem:
		return optMount.Fail(p, optDir, "/opt is a symbolic link to %s, on the system's own file system", p.OptPath)
	case p.OptPath != optDir:
		return optMount.Warn(p, optDir, "/opt is a symbolic link to %s, on the file system of %s: mount that on /opt itself", p.OptPath, m.Point)
	case onSystem && p.Zextras.Device != p.Root.Device:
		return optMount.Warn(p, optDir, "only /opt/zextras is a separate mount (%s): /opt is part of %s", p.Zextras.Source, m.Point)
	}
	return optMount.Fail(p, optDir, "/opt is not a separate mount: it is part of %s (%s)", m.Point, m.Source)
}

// fstabOpt is sed's address of the line of /opt in fstab.
const fstabOpt = `\|^[^#]*[[:space:]]/opt[[:space:]]|`

// judgeBoot judges whether the mount of /opt comes back after a reboot.
func (p place) judgeBoot() checks.Finding {
	b, source := p.Boot, p.Opt.Source
	switch {
	case p.Container:
		return optMount.Skip(p, optDir, "in a container, the host decides whether /opt is mounted again after a reboot")
	case b.Fstab != nil && b.NoDisk:
		return optMount.Fail(p, optDir, "/etc/fstab mounts /opt from %s, which does not exist: the next boot will wait for it until it times out", b.Fstab.Spec).
			Saw(b.Fstab.Spec).Wanted(p.spec()).Fix("sed -i " + word(fstabOpt+"c "+p.fstabLine()) + " /etc/fstab")
	case b.Fstab != nil && slices.Contains(b.Fstab.Options, "noauto") && !slices.Contains(b.Fstab.Options, "x-systemd.automount"):
		return optMount.Fail(p, optDir, "/etc/fstab has noauto for /opt: it is not mounted at boot").
			Saw(strings.Join(b.Fstab.Options, ",")).Wanted("no noauto").Fix("sed -i " + word(fstabOpt+"s/noauto/auto/") + " /etc/fstab")
	case b.Fstab != nil:
		return optMount.Pass(p, optDir, "/opt is a separate mount (%s), listed in /etc/fstab", source)
	case b.Enabled:
		return optMount.Pass(p, optDir, "/opt is a separate mount (%s), mounted at boot by %s", source, b.Unit)
	case p.Opt.Type == "zfs":
		return optMount.Pass(p, optDir, "/opt is a separate mount (%s), mounted at boot by ZFS", source)
	case b.FstabUnseen != checks.Unseen{}:
		return optMount.Unknown(p, optDir, "/opt is a separate mount, but whether it is mounted at boot could not be seen: %s", b.FstabUnseen)
	case b.Unit != "":
		return optMount.Fail(p, optDir, "%s is not enabled: /opt is not mounted at boot", b.Unit).Fix("systemctl enable opt.mount")
	case p.Opt.Root != "/" && p.Opt.Type != "btrfs":
		return optMount.Fail(p, optDir, "/opt is a bind mount now, but not after a reboot: it is not in /etc/fstab").
			Saw(p.Opt.String()).Wanted("DIRECTORY /opt none bind 0 0").
			Fix("findmnt -o SOURCE /opt     # shows the DIRECTORY in brackets\nvi /etc/fstab     # add: DIRECTORY /opt none bind 0 0")
	}
	return optMount.Fail(p, optDir, "/opt is mounted now, but not after a reboot: it is not in /etc/fstab").
		Saw(p.Opt.String()).Wanted(p.fstabLine()).
		Fix("echo " + word(p.fstabLine()) + " >> /etc/fstab\nsystemctl daemon-reload && findmnt --verify")
}

// fstabLine mounts what is mounted now.
func (p place) fstabLine() string {
	options, check := "defaults", 0
	switch m := p.Opt; {
	case m.Type == "btrfs":
		options += ",subvol=" + m.Root
	case m.remote():
		options += ",_netdev"
	case strings.HasPrefix(m.Type, "ext"):
		check = 2
	}
	return fmt.Sprintf("%s /opt %s %s 0 %d", strings.ReplaceAll(p.spec(), " ", `\040`), p.Opt.Type, options, check)
}

// spec names what is mounted by its UUID when that is known: /dev/sdb1 may be
// another disk after a reboot.
func (p place) spec() string {
	if p.Boot.UUID != "" {
		return "UUID=" + p.Boot.UUID
	}
	return p.Opt.Source
}

func (p place) judgeOptions(dir string, m mount) checks.Finding {
	var bad, good []string
	for _, option := range []struct{ bad, good string }{{"ro", "rw"}, {"noexec", "exec"}, {"nosuid", "suid"}} {
		if slices.Contains(m.Options, option.bad) {
			bad, good = append(bad, option.bad), append(good, option.good)
		}
	}
	switch {
	case m.Type == "autofs":
		return optOptions.Unknown(p, dir, "nothing is mounted on the automount point %s yet", m.Point)
	case len(bad) == 0:
		return optOptions.Pass(p, dir, "%s is mounted read-write, with exec and suid", dir)
	}
	f := optOptions.Fail(p, dir, "%s is mounted %s", dir, strings.Join(bad, ", ")).
		Saw(strings.Join(m.Options, ",")).Wanted(strings.Join(good, ",")).
		Fix(fmt.Sprintf("mount -o remount,%s %s     # now\nvi /etc/fstab     # and permanently: remove %s from its line",
			strings.Join(good, ","), word(m.Point), strings.Join(bad, ",")))
	if bad[0] == "ro" && strings.HasPrefix(m.Type, "ext") {
		f = f.With("note", "the kernel makes a file system read-only after an error: see dmesg")
	}
	return f
}

// judgeRoom judges what is free of a file system.
func judgeRoom(scope checks.Scope, r room) []checks.Finding {
	const sizeless = "%s has no size of its own"
	where := r.Target.Name
	u, got := r.Got()
	switch {
	case !got:
		return []checks.Finding{space.Unseen(r, where), inodes.Unseen(r, where)}
	case u.Total == 0:
		return []checks.Finding{space.Skip(r, where, sizeless, where), inodes.Skip(r, where, sizeless, where)}
	}
	out := []checks.Finding{judgeFree(r, stock{
		space, "space", percent(u.Free, u.Total), spaceFree.In(scope), u.Free < leastFree,
		fmt.Sprintf("%s of %s free", amount(u.Free), amount(u.Total)), "du -xh --max-depth=3 %s | sort -h | tail -20",
	})}
	if u.Inodes == 0 {
		return append(out, inodes.Skip(r, where, "the file system of %s creates inodes as it needs them", where))
	}
	return append(out, judgeFree(r, stock{
		inodes, "inodes", percent(u.InodesFree, u.Inodes), inodesFree.In(scope), u.InodesFree == 0,
		fmt.Sprintf("%d of %d inodes free", u.InodesFree, u.Inodes), "du -x --inodes --max-depth=3 %s | sort -n | tail -20",
	}))
}

// A stock is something that a file system may run out of.
type stock struct {
	check       *checks.Check
	name        string
	free, least float64 // per cent
	out         bool
	seen, du    string
}

func judgeFree(r room, s stock) checks.Finding {
	where := r.Target.Name
	seen := fmt.Sprintf("%s (%.0f %%)", s.seen, s.free)
	var f checks.Finding
	switch {
	case s.out:
		f = s.check.Fail(r, where, "%s is out of %s", where, s.name)
	case s.free < s.least:
		f = s.check.Warn(r, where, "%s is running out of %s", where, s.name)
	default:
		return s.check.Pass(r, where, "%s has %s", where, seen)
	}
	return f.Saw(seen).Wanted(fmt.Sprintf("%g %% free", s.least)).Fix(fmt.Sprintf(s.du, word(where)))
}

// A demand is how much is needed, in GB, and why.
type demand struct {
	gb  float64
	why string
}

// judgeSize compares the disks with the profile of the node and, on a mailstore,
// with its users. Where /opt is part of the system's file system, one disk must
// hold both.
func (p place) judgeSize(scope checks.Scope, rooms []room) []checks.Finding {
	node := scope.Node(p.Vantage)
	profile := platform.ProfileFor(checks.Profiles.In(scope), node, scope.Topology)
	system := demand{profile.DiskGB, fmt.Sprintf("%g GB for the system (profile %s)", profile.DiskGB, profile.Name)}
	var mail demand
	if n, each := users.In(scope), quota.In(scope); node.Has(platform.Mailstore) && n > 0 {
		total := float64(n) * each
		mail = demand{total, fmt.Sprintf("%d users × %g GB = %g GB of mail", n, each, total)}
	}
	if p.Opt.Device == p.Root.Device || !node.Has(platform.Mailstore) {
		return []checks.Finding{p.judgeDisk("/", rooms, system, mail)}
	}
	own := func(r room) bool { return r.Target.Ask.Device == p.Opt.Device || within(r.Target.Name, optDir) }
	out := []checks.Finding{p.judgeDisk("/", slices.DeleteFunc(slices.Clone(rooms), own), system)}
	if mail.gb > 0 {
		out = append(out, p.judgeDisk(optDir, cluster.Those(rooms, own), mail))
	}
	return out
}

// judgeDisk adds up file systems. One that could not be seen matters only when
// the others are not enough.
func (p place) judgeDisk(where string, rooms []room, demands ...demand) checks.Finding {
	var need float64
	var whys []string
	for _, d := range demands {
		if d.gb > 0 {
			need, whys = need+d.gb, append(whys, d.why)
		}
	}
	sum := strings.Join(whys, " + ")
	if len(whys) > 1 {
		sum += fmt.Sprintf(" = %g GB", need)
	}
	var have uint64
	var seen []room
	var names, unseen []string
	for _, r := range rooms {
		if u, got := r.Got(); got {
			have, seen, names = have+u.Total, append(seen, r), append(names, r.Target.Name)
		} else {
			unseen = append(unseen, r.Target.Name)
		}
	}
	slices.Sort(names)
	slices.Sort(unseen)
	switch {
	case need == 0:
		return size.Skip(p, where, "policy.profiles has no size for the components of this node")
	case float64(have) >= need*gb*tolerance:
		return size.Pass(checks.Together(seen...), where, "%s, where %g GB are required", amount(have), need)
	case len(rooms) == 0:
		return size.Unknown(p, where, "the size of %s was not looked at", where)
	case len(unseen) > 0:
		return size.Unknown(p, where, "the size of %s could not be seen", strings.Join(unseen, ", "))
	}
	return size.Warn(checks.Together(seen...), where, "%s: %s, where %g GB are required", strings.Join(names, ", "), amount(have), need).
		Saw(amount(have)).Wanted(fmt.Sprintf("%g GB (%.0f GiB)", need, need*gb/gib)).With("sum", sum)
}

func percent(part, whole uint64) float64 { return float64(part) / float64(whole) * 100 }

// amount gives a size in both units that people read: "107 GB (100 GiB)".
func amount(n uint64) string {
	if n < gb {
		return fmt.Sprintf("%.0f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.0f GB (%.0f GiB)", float64(n)/gb, float64(n)/gib)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9/._-]+$`)

// word quotes what a file or the kernel named, for a command that somebody
// pastes.
func word(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
