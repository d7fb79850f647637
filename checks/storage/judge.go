package storage

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
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
		out = append(out, p.judgeMount())
		out = append(out, p.judgeOptions()...)
		out = append(out, p.judgeSize(scope, rooms[s.Vantage])...)
	}
	for i, f := range out {
		out[i] = onNode(f)
	}
	return out, nil
}

// onNode names the node above what is to be done there.
func onNode(f checks.Finding) checks.Finding {
	if (f.Status == checks.Warn || f.Status == checks.Fail) && plainWord.MatchString(f.Vantage) {
		f = f.Fix("# on " + f.Vantage + "\n" + cmp.Or(f.Remedy, f.Check.Remedy))
	}
	return f
}

// judgeMount judges whether /opt is a mount of the right kind that comes back.
func (p place) judgeMount() checks.Finding {
	f, odd := p.judgePoint()
	if !odd {
		f = p.judgeBoot()
		if f.Status == checks.Fail {
			return f
		}
		if kind := p.kind(); kind != "" {
			f, odd = optMount.Warn(p, optDir, "%s", kind), true
		}
	}
	if odd {
		f = f.Saw(p.Opt.String()).Wanted("a local file system mounted on /opt")
	}
	return f
}

// judgePoint finds what is not a mount on /opt.
func (p place) judgePoint() (f checks.Finding, odd bool) {
	m, onSystem := p.Opt, p.Opt.Device == p.Root.Device
	switch {
	case m.Point == optDir && m.inMemory():
		return optMount.Fail(p, optDir, "/opt is in memory (%s): it is empty after a reboot", m.Type), true
	case m.Point == optDir && m.Type == "autofs":
		return optMount.Warn(p, optDir, "/opt is an automount point with nothing mounted yet: its file system could not be seen").
			Fix("ls /opt >/dev/null; findmnt /opt     # then check again"), true
	case m.Point == optDir:
		return checks.Finding{}, false
	case p.OptPath != optDir && onSystem:
		return optMount.Fail(p, optDir, "/opt is a symbolic link to %s, on the system's own file system", p.OptPath), true
	case p.OptPath != optDir:
		return optMount.Warn(p, optDir, "/opt is a symbolic link to %s, on the file system of %s: mount that on /opt itself", p.OptPath, m.Point), true
	case onSystem && p.Zextras.Device != p.Root.Device:
		return optMount.Warn(p, optDir, "only /opt/zextras is a separate mount (%s): /opt is part of %s", p.Zextras.Source, m.Point), true
	}
	return optMount.Fail(p, optDir, "/opt is not a separate mount: it is part of %s (%s)", m.Point, m.Source), true
}

// kind is what makes a mount unsuitable for a mailstore.
func (p place) kind() string {
	m := p.Opt
	switch {
	case m.remote():
		return fmt.Sprintf("/opt is on %s (%s): indexes and databases need a local disk", m.Source, m.Type)
	case m.Type == "overlay":
		return "/opt is an overlay: what is written ends up in another file system"
	case m.Device == p.Root.Device:
		return fmt.Sprintf("/opt is part of the system's own file system (%s): mail can fill the system", m.Source)
	}
	return ""
}

// fstabOpt is sed's address of the line of /opt in fstab.
const fstabOpt = `\|^[^#]*[[:space:]]/opt[[:space:]]|`

// judgeBoot judges whether the mount of /opt comes back after a reboot.
func (p place) judgeBoot() checks.Finding {
	b, source := p.Boot, p.Opt.Source
	switch {
	case p.Container:
		return optMount.Skip(p, optDir, "the host of a container mounts /opt, and decides whether it comes back")
	case b.Fstab != nil && b.NoDisk:
		return optMount.Fail(p, optDir, "/etc/fstab mounts /opt from %s, which does not exist: the next boot waits for it in vain", b.Fstab.Spec).
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
		return optMount.Unknown(p, optDir, "/opt is a separate mount, but whether it comes back could not be seen: %s", b.FstabUnseen)
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

// judgeOptions judges the mount of /opt, and of /opt/zextras if that is another.
func (p place) judgeOptions() []checks.Finding {
	out := []checks.Finding{p.judgeOptionsOf(optDir, p.Opt)}
	if p.Zextras.Point != p.Opt.Point {
		out = append(out, p.judgeOptionsOf(zextrasDir, p.Zextras))
	}
	return out
}

func (p place) judgeOptionsOf(dir string, m mount) checks.Finding {
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

var plainWord = regexp.MustCompile(`^[A-Za-z0-9/._-]+$`)

// word quotes what a file or the kernel named, for a command that somebody
// pastes.
func word(s string) string {
	if plainWord.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
