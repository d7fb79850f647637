package s3

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"carbonio-check/checks"
)

type installationSight = checks.Sight[checks.Nothing, installation]

// judgeVolumes checks that every mailstore of the platform has volumes in the
// buckets, and that the volumes of this one are centralised.
func judgeVolumes(scope checks.Scope, s installationSight) []checks.Finding {
	at := s.Target.Name
	in, got := s.Got()
	switch {
	case !got:
		return []checks.Finding{volumes.Unseen(s, at)}
	case len(mailstoresOf(scope)) < 2:
		return []checks.Finding{volumes.Skip(s, at, "the platform has a single mailstore: its volumes need not be shared")}
	case in.Unlisted == "" && len(in.Buckets) == 0:
		return []checks.Finding{volumes.Warn(s, at, "Carbonio has no bucket: every mailstore keeps its mail on local volumes, and no other can take over").
			Saw("no bucket in carbonio core listBuckets all").Wanted("a centralised volume, if the platform is to be highly available")}
	}
	return append(judgeUses(scope, s, in), judgePrimaries(s, in))
}

// judgePrimaries judges the primary volumes of one mailstore. The volume created
// by the installation stays after a move; only the current one takes new mail.
func judgePrimaries(s installationSight, in installation) checks.Finding {
	at := s.Target.Name
	var current, former, unsaid, good, moves []string
	var central volume
	for _, v := range in.Primaries {
		switch {
		case v.Centralized == nil:
			unsaid = append(unsaid, v.Name)
		case *v.Centralized:
			good = append(good, v.Name)
			central = v
		case v.Current != nil && !*v.Current:
			former = append(former, v.Name)
		default:
			current = append(current, v.Name)
		}
	}
	for _, name := range former {
		moves = append(moves, zextras(at, "powerstore", "doVolumeToVolumeMove", name, central.Name))
	}
	const want = "centralized true for every primary volume"
	switch {
	case in.Unread != "":
		return volumes.Unknown(s, at, "the primary volumes could not be read: %s", in.Unread)
	case len(current) > 0:
		return volumes.Fail(s, at, "new mail goes to a volume that is not centralised: %s", strings.Join(current, ", ")).
			Saw(strings.Join(current, "\n")).Wanted(want).
			Fix(zextras(at, "powerstore", "doUpdateVolume", strings.ToUpper(central.Store), central.Name, "current_volume", "true"))
	case len(unsaid) > 0:
		return volumes.Unknown(s, at, "getAllVolumes does not say whether these are centralised: %s", strings.Join(unsaid, ", "))
	case len(former) > 0:
		return volumes.Warn(s, at, "older mail on %s is not centralised", strings.Join(former, ", ")).
			Saw(strings.Join(former, "\n")).Wanted(want).Fix(strings.Join(moves, "\n"))
	}
	return volumes.Pass(s, at, "new and old mail is on centralised volumes: %s", strings.Join(good, ", "))
}

// plainWord is text of Carbonio that may be used in a command unquoted.
var plainWord = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// zextras is a command of Carbonio to run on a node; empty if a word of it is
// unknown, or not plain.
func zextras(node string, words ...string) string {
	if slices.ContainsFunc(words, func(w string) bool { return !plainWord.MatchString(w) }) {
		return ""
	}
	return checks.On(node) + "su - zextras -c 'carbonio " + strings.Join(words, " ") + "'"
}

// judgeUses looks for every mailstore of the platform under "usage in powerstore
// volumes" of a bucket. A bucket without volumes is for something else: a backup.
func judgeUses(scope checks.Scope, s installationSight, in installation) []checks.Finding {
	if in.Unlisted != "" {
		return []checks.Finding{volumes.Unknown(s, "buckets", "the buckets could not be listed: %s", in.Unlisted)}
	}
	var out []checks.Finding
	for _, b := range in.Buckets {
		if len(b.Uses) == 0 {
			continue
		}
		at := b.Name + " " + b.UUID
		var missing, uses, fixes []string
		for _, name := range mailstoresOf(scope) {
			if !slices.ContainsFunc(b.Uses, func(u use) bool { return sameNode(u.Server, name) }) {
				missing = append(missing, name)
				fixes = append(fixes, zextras(name, "powerstore", "doCreateVolume", "Centralized", b.Uses[0].Server, b.Uses[0].Volume))
			}
		}
		for _, u := range b.Uses {
			uses = append(uses, "server: "+u.Server+"  volume: "+u.Volume)
		}
		f := volumes.Pass(s.Proof().Part(), at, "bucket %s is used by every mailstore", b.Name)
		if len(missing) > 0 {
			f = volumes.Fail(s, at, "bucket %s is not used by %s", b.Name, strings.Join(missing, ", ")).
				Saw(strings.Join(uses, "\n")).Wanted("every mailstore under usage in powerstore volumes").Fix(strings.Join(fixes, "\n"))
		}
		out = append(out, f)
	}
	if len(out) == 0 {
		return []checks.Finding{volumes.Fail(s, "buckets", "no bucket is used by a volume").
			Saw(fmt.Sprintf("%d buckets, none with usage in powerstore volumes", len(in.Buckets)))}
	}
	return out
}

// sameNode also matches the short name of a node.
func sameNode(said, node string) bool {
	short, _, _ := strings.Cut(node, ".")
	return strings.EqualFold(said, node) || strings.EqualFold(said, short)
}

func judgeCarbonio(s installationSight) []checks.Finding {
	at := s.Target.Name
	in, got := s.Got()
	switch {
	case !got:
		return []checks.Finding{carbonio.Unseen(s, at)}
	case in.Unlisted != "":
		return []checks.Finding{carbonio.Unknown(s, at, "the buckets could not be listed: %s", in.Unlisted)}
	case len(in.Buckets) == 0:
		return []checks.Finding{carbonio.Skip(s, at, "Carbonio has no bucket")}
	}
	var out []checks.Finding
	for _, b := range in.Buckets {
		name := b.Name + " " + b.UUID
		switch t := b.Test; {
		case t == nil:
			out = append(out, carbonio.Unknown(s, name, "not tested: there are more than %d buckets", maxBuckets))
		case t.Unseen != "":
			out = append(out, carbonio.Unknown(s, name, "could not be tested: %s", t.Unseen))
		case !t.OK:
			out = append(out, carbonio.Fail(s, name, "Carbonio cannot use its bucket %s (exit status %d)", b.Name, t.Exit).
				Saw(cmp.Or(t.Output, "no output")).Wanted("connection ok").
				Fix(zextras(s.Vantage, "core", "testS3Connection", b.UUID)+"     # once carbonio core doUpdateBucket has the correct endpoint and keys"))
		default: // each test is complete by itself
			out = append(out, carbonio.Pass(s.Proof().Part(), name, "Carbonio can write, read and delete in its bucket %s", b.Name))
		}
	}
	return out
}
