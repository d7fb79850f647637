package storage

import (
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

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
	var own, others []room
	for _, r := range rooms {
		if r.Target.Ask.Device == p.Opt.Device || within(r.Target.Name, optDir) {
			own = append(own, r)
		} else {
			others = append(others, r)
		}
	}
	out := []checks.Finding{p.judgeDisk("/", others, system)}
	if mail.gb > 0 {
		out = append(out, p.judgeDisk(optDir, own, mail))
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
		return size.Skip(p, where, "no sizing profile covers the components of this node")
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
