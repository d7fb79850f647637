package s3

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
	"carbonio-check/s3bench"
)

const (
	// skewFail is from where on S3 rejects requests (RequestTimeTooSkewed).
	skewFail = 15 * time.Minute
	// skewWarn is a tenth of that: no healthy clock is so far off.
	skewWarn = 90 * time.Second

	skewed = "RequestTimeTooSkewed"
)

func judge(scope checks.Scope, seen checks.Record) ([]checks.Finding, []checks.Cluster) {
	var out []checks.Finding
	for s := range endpoints.In(seen) {
		r, _ := s.Got()
		e := reached{s, r}
		out = append(out, e.judgeEndpoint(), e.judgeClock(seen))
	}
	for s := range rounds.In(seen) {
		r, _ := s.Got()
		out = append(out, trial{s, r}.judge()...)
	}
	for s := range installations.In(seen) {
		out = append(out, judgeVolumes(scope, s)...)
		out = append(out, judgeCarbonio(s)...)
	}
	out = append(out, judgeShared(scope, seen)...)
	for s := range benchmarks.In(seen) {
		out = append(out, judgeMeasurement(Limits(scope), s)...)
	}
	return out, nil
}

// reached is an endpoint as one vantage sees it.
type reached struct {
	checks.Sight[platform.Bucket, reachability]
	reachability
}

// host is the name of the endpoint, without the port.
func (r reached) host() string {
	host, _, _ := net.SplitHostPort(r.Target.Name)
	return host
}

func (r reached) judgeEndpoint() checks.Finding {
	at := r.Target.Name
	if _, got := r.Got(); !got {
		return endpoint.Unseen(r, at)
	}
	if r.Unresolved != "" {
		f := endpoint.Fail(r, at, "the name of the object storage does not resolve: %s", r.Unresolved)
		if _, base, _ := strings.Cut(r.Target.Ask.Endpoint, "://"); !strings.HasPrefix(base, r.host()) {
			return f.Fix("path_style: true     # in the configuration, if the bucket has no host name of its own below " + base)
		}
		return f.Fix(checks.On(r.Vantage) + "getent ahosts " + r.host())
	}
	var faults []string
	var first, fix string
	unseen := len(r.Addresses) == 0
	for _, a := range r.Addresses {
		unseen = unseen || a.Contact == checks.Contact{}
		if fault, remedy := r.fault(a); fault != "" {
			faults = append(faults, a.Address+": "+fault)
			first, fix = cmp.Or(first, fault), cmp.Or(fix, remedy)
		}
	}
	switch {
	case len(faults) > 0 && len(faults) == len(r.Addresses):
		return endpoint.Fail(r, at, "the object storage cannot be used: %s", first).
			Saw(strings.Join(faults, "\n")).Fix(fix)
	case len(faults) > 0:
		return endpoint.Fail(r, at, "%d of the %d addresses of the object storage cannot be used", len(faults), len(r.Addresses)).
			Saw(strings.Join(faults, "\n")).Wanted("every address responds").Fix(fix)
	case unseen:
		return endpoint.Unknown(r, at, "could not be seen: %s", cmp.Or(r.Unseen().String(), "not every address was tried"))
	case plain(r.Target.Ask):
		return endpoint.Warn(r, at, "the object storage is used over plain HTTP: mail crosses the network unencrypted").
			Saw("http").Wanted("https").Fix("endpoint: https://" + at + "     # in the configuration, once the object storage has a certificate")
	case len(r.Addresses) == 1:
		return endpoint.Pass(r, at, "the object storage responds over TLS; its certificate is valid until %s", r.until())
	}
	return endpoint.Pass(r, at, "the %d addresses of the object storage respond over TLS; the certificate is valid until %s", len(r.Addresses), r.until())
}

// until is the day on which the first certificate expires.
func (r reached) until() string {
	var until time.Time
	for _, a := range r.Addresses {
		if c := a.Certificate; c != nil && (until.IsZero() || c.Until.Before(until)) {
			until = c.Until
		}
	}
	return until.UTC().Format(time.DateOnly)
}

// fault says why an address cannot be used, and what helps; empty if it can, and
// if that was not seen.
func (r reached) fault(a address) (fault, fix string) {
	if a.Certificate != nil {
		if fault, fix := r.untrusted(*a.Certificate); fault != "" {
			return fault, fix
		}
	}
	switch c := a.Contact; {
	case a.OtherScheme && plain(r.Target.Ask):
		return "it speaks TLS, not plain HTTP", "endpoint: https://" + r.Target.Name + "     # in the configuration"
	case a.OtherScheme:
		return "it speaks plain HTTP, not TLS", "endpoint: http://" + r.Target.Name + "     # in the configuration, or give the object storage a certificate"
	case a.Status >= 500 && !a.Throttled:
		return fmt.Sprintf("it responds with HTTP %d", a.Status), checks.On(r.Vantage) + "curl -sS " + r.Target.Ask.Endpoint + "/     # then check the object storage, and the proxy in front of it"
	case c == checks.Contact{}, c.State == checks.Open:
		return "", ""
	case c.State == checks.Refused, !c.Reached():
		host, port, _ := net.SplitHostPort(a.Address)
		return "it " + c.String(), checks.On(r.Vantage) + "nc -vz " + host + " " + port + "     # then allow it in the firewalls in between"
	}
	return "it " + a.Contact.String(), ""
}

// untrusted says what is wrong with a certificate, and what helps.
func (r reached) untrusted(c checks.Certificate) (fault, fix string) {
	fault = "its certificate " + c.Words(r.At, r.host())
	switch c.Fault(r.At) {
	case checks.Expired:
		fix = "renew the certificate of the object storage"
	case checks.NotYetValid:
		fix = checks.On(r.Vantage) + "date -u     # and on the object storage: compare the clocks"
	case checks.OtherName:
		fault += ", only for " + cmp.Or(strings.Join(c.Names, ", "), c.Subject)
		fix = "use a name from the certificate as the endpoint, or issue a certificate for " + r.host()
	case checks.UntrustedCA:
		fault += "; it was issued by " + c.Issuer
		if r.NoCA != "" {
			fault += "; " + r.NoCA
		}
		fix = "ca_file: /path/to/ca.pem     # in the configuration; Carbonio needs the same CA in its own trust store"
	case "":
		return "", ""
	}
	return fault, fix
}

// refused says whether a request from the same vantage was rejected for its time,
// and what proves it.
func (r reached) refused(seen checks.Record) (checks.Proof, bool) {
	for s := range rounds.In(seen) {
		tried, _ := s.Got()
		if s.Vantage == r.Vantage && s.Target.Address == r.Target.Address && len(tried.Steps) > 0 && tried.Steps[0].Code == skewed {
			return checks.Together(r.Proof(), s.Proof()), true
		}
	}
	return r.Proof(), false
}

func (r reached) judgeClock(seen checks.Record) checks.Finding {
	at := r.Target.Name
	proof, refused := r.refused(seen)
	var worst *time.Duration
	for _, a := range r.Addresses {
		if a.Skew != nil && (worst == nil || a.Skew.Abs() > worst.Abs()) {
			worst = a.Skew
		}
	}
	_, got := r.Got()
	switch {
	case worst == nil && refused:
		return clock.Fail(proof, at, "the object storage rejects requests because the clocks are more than 15 minutes apart").
			Saw(skewed).Wanted("less than 15 minutes apart")
	case !got:
		return clock.Unseen(r, at)
	case worst == nil:
		return clock.Unknown(r, at, "the object storage did not report its time").Needing(endpoint.On(at))
	case worst.Abs() >= skewFail || refused:
		return clock.Fail(proof, at, "the clock of the object storage is %s: it rejects requests signed here", offset(*worst)).
			Saw(offset(*worst)).Wanted("less than 15 minutes apart")
	case worst.Abs() >= skewWarn:
		return clock.Warn(r, at, "the clock of the object storage is %s; at 15 minutes it rejects every request", offset(*worst)).
			Saw(offset(*worst)).Wanted("the same time")
	}
	return clock.Pass(r, at, "the clock of the object storage agrees with this node's")
}

// offset describes the other clock: "1h0m0s behind this node's". So large an
// offset is not known to the second.
func offset(d time.Duration) string {
	d = d.Round(10 * time.Second)
	if d < 0 {
		return d.Abs().String() + " behind this node's"
	}
	return d.String() + " ahead of this node's"
}

// judgeMeasurement judges a benchmark by each criterion of s3bench.
func judgeMeasurement(limits s3bench.Limits, s checks.Sight[platform.Bucket, measurement]) []checks.Finding {
	at := s.Target.Name
	m, _ := s.Got()
	var verdicts []s3bench.Verdict
	if m.Result != nil && len(m.Result.Config.Sizes) > 0 {
		verdicts = s3bench.Judge(*m.Result, limits)
	}
	var out []checks.Finding
	for _, c := range []*checks.Check{throughput, ttfb, stability} {
		switch i := slices.IndexFunc(verdicts, func(v s3bench.Verdict) bool { return "s3."+v.Name == c.ID }); {
		case m.Unopened != "":
			out = append(out, c.Skip(s, at, "the bucket was not checked: %s", m.Unopened))
		case m.Locked:
			out = append(out, c.Skip(s, at, "%s", m.Refused))
		case m.Refused != "":
			out = append(out, c.Unknown(s, at, "could not be measured: %s", m.Refused).Needing(clock.On(s.Target.Address), endpoint.On(s.Target.Address)))
		case m.Result == nil:
			out = append(out, c.Unseen(s, at))
		case i < 0:
			out = append(out, c.Unknown(s, at, "not measured"))
		default:
			out = append(out, judgeVerdict(c, s, *m.Result, verdicts[i]))
		}
	}
	return out
}

func judgeVerdict(c *checks.Check, s checks.Sight[platform.Bucket, measurement], r s3bench.Result, v s3bench.Verdict) checks.Finding {
	var f checks.Finding
	switch at := s.Target.Name; {
	case v.Verdict == s3bench.OK:
		f = c.Pass(s, at, "%s", v.Message).Saw(v.Seen).Wanted(v.Want)
	case v.Verdict == s3bench.Below:
		f = c.Fail(s, at, "%s", v.Message).Saw(v.Seen).Wanted(v.Want)
	case r.Stopped != "":
		f = c.Unknown(s, at, "%s: the measurement ended early: %s", v.Message, r.Stopped)
	default:
		f = c.Unknown(s, at, "%s", v.Message)
	}
	var throttled int64
	for _, step := range r.Steps {
		throttled += step.Throttled
	}
	if throttled > 0 {
		f = f.With("throttled", fmt.Sprintf("%d requests were answered with 503 SlowDown", throttled))
	}
	if len(r.Left) > 0 {
		f = f.With("left behind", strings.Join(r.Left, "\n"))
	}
	return f
}
