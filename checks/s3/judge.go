package s3

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

const (
	// skewFail is where S3 begins to refuse (RequestTimeTooSkewed).
	skewFail = 15 * time.Minute
	// skewWarn is a tenth of it: no healthy clock is off by that.
	skewWarn = 90 * time.Second
)

// unnamed is what to do where no bucket is known.
const unnamed = "no bucket is named: put endpoint, bucket and keys under s3: in the configuration (-c FILE)"

// Judge decides.
func (Module) Judge(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	for o, d := range checks.Of[door](seen, kindEndpoint) {
		out = append(out, judgeEndpoint(o, d), judgeClock(o, d, refusedForTime(seen, o)))
	}
	for o, r := range checks.Of[round](seen, kindBucket) {
		out = append(out, judgeRound(o, r)...)
	}
	for o, s := range checks.Of[said](seen, kindCarbonio) {
		out = append(out, judgeVolumes(scope, o, s)...)
		out = append(out, judgeCarbonio(o, s)...)
	}
	out = append(out, judgeShared(scope, seen)...)
	out = append(out, judgeBenchmarks(scope, seen)...)
	return append(out, nothingNamed(scope, seen)...)
}

// nothingNamed says of each vantage without a bucket how to name one.
func nothingNamed(scope checks.Scope, seen []checks.Observation) []checks.Finding {
	var out []checks.Finding
	for _, v := range scope.Vantages {
		if named(scope, seen, v.Node) {
			continue
		}
		o := checks.Observation{Vantage: v.Node}
		for _, id := range []string{endpoint, clock, region, credentials, bucket, permissions, integrity, consistency, shared, throughput, ttfb, stability} {
			out = append(out, o.Skip(id, "", unnamed))
		}
	}
	return out
}

// named says whether the configuration of a vantage names a bucket. That of
// others than the first is known from what they looked at alone.
func named(scope checks.Scope, seen []checks.Observation, vantage string) bool {
	if len(scope.Buckets) > 0 && scope.Self().Node == vantage {
		return true
	}
	return slices.ContainsFunc(seen, func(o checks.Observation) bool {
		return o.Vantage == vantage && o.Target.Kind != kindCarbonio
	})
}

func judgeEndpoint(o checks.Observation, d door) checks.Finding {
	at := o.Target.Name
	switch {
	case o.Error != "":
		return o.Unseen(at, endpoint)[0]
	case d.Resolve != "":
		f := o.Fail(endpoint, at, "the name of the object storage does not resolve: %s", d.Resolve)
		if d.Style != "" {
			return f.Fix("path_style: true     # in the configuration, where the bucket has no name of its own below " + d.Style)
		}
		return f.Fix("getent ahosts " + strings.TrimSuffix(at, at[strings.LastIndex(at, ":"):]))
	}
	var faults []string
	fix := ""
	for _, a := range d.Answers {
		if fault, remedy := a.fault(o, d); fault != "" {
			faults = append(faults, a.Address+": "+fault)
			fix = cmp.Or(fix, remedy)
		}
	}
	switch {
	case len(faults) == 0 && d.Plain:
		return o.Warn(endpoint, at, "the object storage is reached over plain http: mail crosses the network for all to read").
			Saw("http").Wanted("https").Fix("give the object storage a certificate, and the configuration an endpoint of https://")
	case len(faults) == 0:
		until := earliest(d.Answers)
		return o.Pass(endpoint, at, "%s over TLS, the certificate holds until %s", answering(len(d.Answers)), until.UTC().Format(time.DateOnly))
	case len(faults) < len(d.Answers):
		return o.Fail(endpoint, at, "%d of the %d addresses of the object storage cannot be used", len(faults), len(d.Answers)).
			Saw(strings.Join(faults, "\n")).Wanted("each address answers").Fix(fix)
	}
	return o.Fail(endpoint, at, "the object storage cannot be used: %s", first(d.Answers, o, d)).
		Saw(strings.Join(faults, "\n")).Fix(fix)
}

func answering(n int) string {
	if n == 1 {
		return "the object storage answers"
	}
	return fmt.Sprintf("the %d addresses of the object storage answer", n)
}

func earliest(answers []answer) time.Time {
	var until time.Time
	for _, a := range answers {
		if a.TLS != nil && (until.IsZero() || a.TLS.Until.Before(until)) {
			until = a.TLS.Until
		}
	}
	return until
}

func first(answers []answer, o checks.Observation, d door) string {
	fault, _ := answers[0].fault(o, d)
	return fault
}

// fault says why an address cannot be used, and what helps; empty when it can.
func (a answer) fault(o checks.Observation, d door) (fault, fix string) {
	switch {
	case a.Dial != "":
		return "no connection: " + a.Dial, "nc -vz " + strings.Replace(a.Address, ":", " ", 1) + "     # then open the way to it in the firewalls"
	case a.TLS != nil && a.TLS.Fault != "":
		return a.TLS.fault(o, d)
	case d.Plain && a.WantsTLS:
		return "it speaks TLS, not plain http", "endpoint: https://" + o.Target.Name + "     # in the configuration"
	case a.Status >= 500 && !a.Throttled:
		return fmt.Sprintf("it answers with HTTP %d", a.Status), "curl -sS " + bucketOf(o.Target).Endpoint + "/     # then look at the object storage, and at the proxy before it"
	case a.HTTP != "":
		return "it answers no HTTP request: " + a.HTTP, ""
	}
	return "", ""
}

func (c certificate) fault(o checks.Observation, d door) (fault, fix string) {
	host := o.Target.Name[:strings.LastIndex(o.Target.Name, ":")]
	switch c.Why {
	case "expired":
		return "its certificate expired on " + c.Until.UTC().Format(time.DateTime), "renew the certificate of the object storage (" + c.Subject + ")"
	case "early":
		return "its certificate is not valid before " + c.From.UTC().Format(time.DateTime), "compare the clocks: date -u, here and on the object storage"
	case "name":
		names := strings.Join(c.Names, ", ")
		return fmt.Sprintf("its certificate is for %s, not for %s", cmp.Or(names, c.Subject), host),
			"use a name that the certificate holds as the endpoint, or issue the certificate again with " + host
	case "authority":
		fault = "its certificate is signed by an authority that this node does not trust: " + c.Issuer
		if d.NoCA != "" {
			fault += "; " + d.NoCA
		}
		return fault, "ca_file: /path/to/ca.pem     # in the configuration; Carbonio needs the same CA in its own trust store"
	case "handshake":
		if strings.Contains(c.Fault, "first record does not look like a TLS handshake") {
			return "it speaks plain http, not TLS", "endpoint: http://" + o.Target.Name + "     # or give the object storage a certificate"
		}
		return "TLS fails: " + c.Fault, ""
	}
	return "its certificate does not hold: " + c.Fault, ""
}

// refusedForTime says whether a bucket behind this endpoint was refused for the
// time of the request, seen from the same vantage.
func refusedForTime(seen []checks.Observation, at checks.Observation) bool {
	for o, r := range checks.Of[round](seen, kindBucket) {
		if o.Vantage == at.Vantage && o.Target.Address == at.Target.Address && len(r.Steps) > 0 && r.Steps[0].Code == skewed {
			return true
		}
	}
	return false
}

const skewed = "RequestTimeTooSkewed"

func judgeClock(o checks.Observation, d door, refused bool) checks.Finding {
	at := o.Target.Name
	var worst *time.Duration
	for _, a := range d.Answers {
		if a.Skew != nil && (worst == nil || a.Skew.Abs() > worst.Abs()) {
			worst = a.Skew
		}
	}
	switch {
	case worst == nil && refused:
		return o.Fail(clock, at, "the object storage refuses requests because the clocks are more than fifteen minutes apart").
			Saw(skewed).Wanted("less than 15m0s apart")
	case worst == nil && o.Error != "":
		return o.Unseen(at, clock)[0]
	case worst == nil:
		return o.Unknown(clock, at, "the object storage did not tell its time").Needing(endpoint, at)
	case worst.Abs() >= skewFail || refused:
		return o.Fail(clock, at, "the clock of the object storage is %s: it refuses what is signed here", apart(*worst)).
			Saw(apart(*worst)).Wanted("less than 15m0s apart")
	case worst.Abs() >= skewWarn:
		return o.Warn(clock, at, "the clock of the object storage is %s; beyond 15m0s it refuses every request", apart(*worst)).
			Saw(apart(*worst)).Wanted("the same time")
	}
	return o.Pass(clock, at, "the clock of the object storage agrees with this node's")
}

// apart says where the other clock is: "1h0m0s behind this node's". The seconds
// of so large a difference are not known well.
func apart(d time.Duration) string {
	d = d.Round(10 * time.Second)
	if d < 0 {
		return d.Abs().String() + " behind this node's"
	}
	return d.String() + " ahead of this node's"
}

// judgeVolumes compares the mailstores of the platform with those whose volumes
// lie in a bucket, and the volumes of this one with what they should be.
func judgeVolumes(scope checks.Scope, o checks.Observation, s said) []checks.Finding {
	at := o.Target.Name
	switch {
	case o.Error != "" && s.Unlisted == "" && len(s.Buckets)+len(s.Primaries) == 0:
		return o.Unseen(at, volumes)
	case len(scope.Topology.With(platform.Mailstore)) < 2:
		return []checks.Finding{o.Skip(volumes, at, "the platform has one mailstore: its volumes need not be shared")}
	case s.Unlisted == "" && len(s.Buckets) == 0:
		return []checks.Finding{o.Warn(volumes, at, "Carbonio has no bucket: each mailstore keeps its mail to itself, and no other can take over").
			Saw("no bucket in carbonio core listBuckets all").Wanted("a centralised volume, where the platform is to be highly available")}
	}
	return append(judgeUses(scope, o, s), judgePrimaries(o, s))
}

// judgePrimaries looks at the primary volumes of one mailstore. The volume that
// the installation made stays after the move; only the current one takes mail.
func judgePrimaries(o checks.Observation, s said) checks.Finding {
	at := o.Target.Name
	var current, former, unsaid, good []string
	for _, v := range s.Primaries {
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
	case s.Unread != "":
		return o.Unknown(volumes, at, "the primary volumes could not be read: %s", s.Unread)
	case len(current) > 0:
		return o.Fail(volumes, at, "new mail goes to a volume that is not centralised: %s", strings.Join(current, ", ")).
			Saw(strings.Join(current, "\n")).Wanted(want)
	case len(unsaid) > 0:
		return o.Unknown(volumes, at, "getAllVolumes does not say whether these are centralised: %s", strings.Join(unsaid, ", "))
	case len(former) > 0:
		return o.Warn(volumes, at, "mail that was stored before on %s is not centralised", strings.Join(former, ", ")).
			Saw(strings.Join(former, "\n")).Wanted(want).
			Fix("su - zextras -c 'carbonio powerstore doVolumeToVolumeMove VOLUME CENTRALISED_VOLUME'     # where mail is still on it")
	}
	return o.Pass(volumes, at, "new and old mail is on centralised volumes: %s", strings.Join(good, ", "))
}

// judgeUses looks for each mailstore of the platform under "usage in powerstore
// volumes" of a bucket. A bucket without any use is another's: of a backup.
func judgeUses(scope checks.Scope, o checks.Observation, s said) []checks.Finding {
	if s.Unlisted != "" {
		return []checks.Finding{o.Unknown(volumes, "buckets", "the buckets could not be listed: %s", s.Unlisted)}
	}
	var out []checks.Finding
	for _, b := range s.Buckets {
		if len(b.Uses) == 0 {
			continue
		}
		at := b.Name + " " + b.UUID
		var missing []string
		for _, n := range scope.Topology.With(platform.Mailstore) {
			if !slices.ContainsFunc(b.Uses, func(u use) bool { return sameNode(u.Server, n.Name) }) {
				missing = append(missing, n.Name)
			}
		}
		if len(missing) > 0 {
			out = append(out, o.Fail(volumes, at, "bucket %s is not in use on %s", b.Name, strings.Join(missing, ", ")).
				Saw(usesOf(b)).Wanted("every mailstore under usage in powerstore volumes"))
			continue
		}
		out = append(out, o.Pass(volumes, at, "bucket %s is in use on every mailstore", b.Name))
	}
	if len(out) == 0 {
		return []checks.Finding{o.Fail(volumes, "buckets", "no bucket is in use for a volume").
			Saw(fmt.Sprintf("%d buckets, none with usage in powerstore volumes", len(s.Buckets)))}
	}
	return out
}

func usesOf(b known) string {
	lines := make([]string, len(b.Uses))
	for i, u := range b.Uses {
		lines[i] = "server: " + u.Server + "  volume: " + u.Volume
	}
	return strings.Join(lines, "\n")
}

// sameNode takes a short name for the node that it begins.
func sameNode(said, node string) bool {
	short, _, _ := strings.Cut(node, ".")
	return strings.EqualFold(said, node) || strings.EqualFold(said, short)
}

func judgeCarbonio(o checks.Observation, s said) []checks.Finding {
	at := o.Target.Name
	switch {
	case o.Error != "" && len(s.Buckets) == 0:
		return o.Unseen(at, carbonio)
	case s.Unlisted != "":
		return []checks.Finding{o.Unknown(carbonio, at, "the buckets could not be listed: %s", s.Unlisted)}
	case len(s.Buckets) == 0:
		return []checks.Finding{o.Skip(carbonio, at, "Carbonio has no bucket")}
	}
	var out []checks.Finding
	for _, b := range s.Buckets {
		name := b.Name + " " + b.UUID
		switch t := b.Test; {
		case t == nil:
			out = append(out, o.Unknown(carbonio, name, "not tested: more than %d buckets", maxBuckets))
		case t.Unseen != "":
			out = append(out, o.Unknown(carbonio, name, "could not be tested: %s", t.Unseen))
		case !t.OK:
			out = append(out, o.Fail(carbonio, name, "Carbonio cannot use its bucket %s (exit status %d)", b.Name, t.Exit).
				Saw(cmp.Or(t.Output, "no output")).Wanted("connection ok"))
		default:
			out = append(out, o.Pass(carbonio, name, "Carbonio writes, reads and deletes in its bucket %s", b.Name))
		}
	}
	return out
}
