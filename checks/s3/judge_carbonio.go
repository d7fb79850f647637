package s3

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

type installationSight = checks.Sight[checks.Nothing, installation]

// judgeVolumes compares the mailstores of the platform with those whose volumes
// lie in a bucket, and the volumes of this one with what they should be.
func judgeVolumes(scope checks.Scope, s installationSight) []checks.Finding {
	at := s.Target.Name
	in, got := s.Got()
	switch {
	case !got:
		return []checks.Finding{volumes.Unseen(s, at)}
	case len(scope.Topology.With(platform.Mailstore)) < 2:
		return []checks.Finding{volumes.Skip(s, at, "the platform has one mailstore: its volumes need not be shared")}
	case in.Unlisted == "" && len(in.Buckets) == 0:
		return []checks.Finding{volumes.Warn(s, at, "Carbonio has no bucket: each mailstore keeps its mail to itself, and no other can take over").
			Saw("no bucket in carbonio core listBuckets all").Wanted("a centralised volume, where the platform is to be highly available")}
	}
	return append(judgeUses(scope, s, in), judgePrimaries(s, in))
}

// judgePrimaries looks at the primary volumes of one mailstore. The volume that
// the installation made stays after the move; only the current one takes mail.
func judgePrimaries(s installationSight, in installation) checks.Finding {
	at := s.Target.Name
	var current, former, unsaid, good []string
	for _, v := range in.Primaries {
		switch {
		case v.Centralized == nil:
			unsaid = append(unsaid, v.Name)
		case *v.Centralized:
			good = append(good, v.Name)
		case v.Current != nil && !*v.Current:
			former = append(former, v.Name)
		default:
			current = append(current, v.Name)
		}
	}
	want := "centralized true for every primary volume"
	switch {
	case in.Unread != "":
		return volumes.Unknown(s, at, "the primary volumes could not be read: %s", in.Unread)
	case len(current) > 0:
		return volumes.Fail(s, at, "new mail goes to a volume that is not centralised: %s", strings.Join(current, ", ")).
			Saw(strings.Join(current, "\n")).Wanted(want)
	case len(unsaid) > 0:
		return volumes.Unknown(s, at, "getAllVolumes does not say whether these are centralised: %s", strings.Join(unsaid, ", "))
	case len(former) > 0:
		return volumes.Warn(s, at, "mail that was stored before on %s is not centralised", strings.Join(former, ", ")).
			Saw(strings.Join(former, "\n")).Wanted(want).
			Fix("su - zextras -c 'carbonio powerstore doVolumeToVolumeMove VOLUME CENTRALISED_VOLUME'     # where mail is still on it")
	}
	return volumes.Pass(s, at, "new and old mail is on centralised volumes: %s", strings.Join(good, ", "))
}

// judgeUses looks for each mailstore of the platform under "usage in powerstore
// volumes" of a bucket. A bucket without any use is another's: of a backup.
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
		var missing, uses []string
		for _, n := range scope.Topology.With(platform.Mailstore) {
			if !slices.ContainsFunc(b.Uses, func(u use) bool { return sameNode(u.Server, n.Name) }) {
				missing = append(missing, n.Name)
			}
		}
		for _, u := range b.Uses {
			uses = append(uses, "server: "+u.Server+"  volume: "+u.Volume)
		}
		if len(missing) > 0 {
			out = append(out, volumes.Fail(s, at, "bucket %s is not in use on %s", b.Name, strings.Join(missing, ", ")).
				Saw(strings.Join(uses, "\n")).Wanted("every mailstore under usage in powerstore volumes"))
			continue
		}
		out = append(out, volumes.Pass(s.Proof().Part(), at, "bucket %s is in use on every mailstore", b.Name))
	}
	if len(out) == 0 {
		return []checks.Finding{volumes.Fail(s, "buckets", "no bucket is in use for a volume").
			Saw(fmt.Sprintf("%d buckets, none with usage in powerstore volumes", len(in.Buckets)))}
	}
	return out
}

// sameNode takes a short name for the node that it begins.
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
			out = append(out, carbonio.Unknown(s, name, "not tested: more than %d buckets", maxBuckets))
		case t.Unseen != "":
			out = append(out, carbonio.Unknown(s, name, "could not be tested: %s", t.Unseen))
		case !t.OK:
			out = append(out, carbonio.Fail(s, name, "Carbonio cannot use its bucket %s (exit status %d)", b.Name, t.Exit).
				Saw(cmp.Or(t.Output, "no output")).Wanted("connection ok"))
		default: // each test is whole by itself
			out = append(out, carbonio.Pass(s.Proof().Part(), name, "Carbonio writes, reads and deletes in its bucket %s", b.Name))
		}
	}
	return out
}
