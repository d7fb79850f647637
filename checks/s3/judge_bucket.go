package s3

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/checks/cluster"
	"carbonio-check/platform"
)

// ofRound are the checks that a round decides, in the order in which they need each other.
var ofRound = []*checks.Check{region, credentials, bucket, permissions, integrity, consistency}

// The codes by which servers refuse the keys themselves.
var badKeys = map[string]string{
	"InvalidAccessKeyId":    "the access key is not known",
	"InvalidAccessKey":      "the access key is not known",
	"SignatureDoesNotMatch": "the secret key is not the one of this access key",
	"InvalidToken":          "the keys are not valid here",
	"ExpiredToken":          "the keys have expired",
	"AccountProblem":        "the account is blocked",
}

// The codes by which servers say that the region is another one.
var otherRegion = []string{
	"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect",
	"IllegalLocationConstraintException", "AuthorizationQueryParametersError", "InvalidRegion",
}

// A trial is one round of requests to a bucket, as a judge has it.
type trial struct {
	checks.Sight[platform.Bucket, round]
	round
}

// judge decides on a bucket from one vantage. Where the first request was
// refused, one finding says why, and the others wait for it.
func (t trial) judge() []checks.Finding {
	at := t.Target.Name
	var out []checks.Finding
	switch {
	case t.Unopened != "":
		for _, c := range ofRound {
			f := c.Skip(t, at, "the bucket was not looked at: %s", t.Unopened)
			if c == credentials {
				f = c.Unknown(t, at, "could not be seen: %s", t.Unopened)
			}
			out = append(out, f)
		}
	case len(t.Steps) == 0:
		for _, c := range ofRound {
			out = append(out, c.Unseen(t, at))
		}
	case t.Steps[0].ok(), t.Steps[0].denied(), t.Steps[0].Throttled:
		return append(t.judgeAccepted(), t.judgeBucket(), t.judgePermissions(), t.judgeIntegrity(), t.judgeConsistency())
	default:
		return t.judgeRefusal()
	}
	return out
}

// judgeAccepted judges region and keys where no request was refused for them:
// one that was carried out proves both, and nothing else does. A proxy can deny
// everything without having looked at a signature.
func (t trial) judgeAccepted() []checks.Finding {
	at, proof := t.Target.Name, t.Proof().Part()
	if !slices.ContainsFunc(t.Steps, step.proves) {
		refused := t.Steps[0].Error
		return []checks.Finding{
			region.Unknown(t, at, "no request was carried out: %s", refused).Needing(permissions.On(at)),
			credentials.Unknown(t, at, "no request was carried out: %s", refused).Needing(permissions.On(at)),
		}
	}
	signed := "the region that it names itself"
	if name := t.Target.Ask.Region; name != "" {
		signed = "region " + name
	}
	return []checks.Finding{
		region.Pass(proof, at, "the object storage takes what is signed for %s", signed),
		credentials.Pass(proof, at, "the object storage accepts the keys"),
	}
}

// proves says that the server looked at the request itself, and so had taken
// its signature.
func (s step) proves() bool { return s.ok() || s.Code == "NoSuchKey" || s.Code == "NoSuchBucket" }

// judgeRefusal decides where the first request was refused for a reason that
// leaves nothing else to be seen.
func (t trial) judgeRefusal() []checks.Finding {
	at, first := t.Target.Name, t.Steps[0]
	cause := t.cause(first)
	var out []checks.Finding
	if cause.Check == bucket {
		out = t.judgeAccepted()
	}
	for _, c := range ofRound[len(out):] {
		f := cause
		if c != cause.Check {
			f = c.Unknown(t, at, "could not be seen: %s", first.Error).Needing(clock.On(t.Target.Address), endpoint.On(t.Target.Address))
		}
		if cause.Check != nil && c != cause.Check {
			f = f.Needing(cause.Check.On(at))
		}
		out = append(out, f)
	}
	return out
}

// cause is the finding that says why the first request was refused; the zero
// value where it names no reason that we know.
func (t trial) cause(first step) checks.Finding {
	b, at := t.Target.Ask, t.Target.Name
	why := badKeys[first.Code]
	switch {
	case why != "":
		return credentials.Fail(t, at, "the object storage refuses the keys: %s", why).Saw(first.Error).
			Wanted(fmt.Sprintf("the keys in %s and %s are accepted", b.AccessKey, b.SecretKey))
	case slices.Contains(otherRegion, first.Code) && first.Region != "":
		return region.Fail(t, at, "the bucket is in region %s, not in %s", first.Region, cmp.Or(b.Region, "us-east-1")).
			Saw(cmp.Or(b.Region, "no region configured")).Wanted(first.Region).
			Fix("region: " + first.Region + "     # in the configuration, and in carbonio core doCreateBucket S3 …")
	case first.Code == "NoSuchBucket":
		return bucket.Fail(t, at, "there is no bucket %s", b.Bucket).Saw(first.Error).
			Fix("aws --endpoint-url " + b.Endpoint + " s3 mb s3://" + b.Bucket + "     # or name the one that there is")
	}
	return checks.Finding{}
}

func (r round) step(name string) (step, bool) {
	i := slices.IndexFunc(r.Steps, func(s step) bool { return s.Name == name })
	if i < 0 {
		return step{}, false
	}
	return r.Steps[i], true
}

// judgeBucket says whether the bucket takes data, and names its rules.
func (t trial) judgeBucket() checks.Finding {
	at := t.Target.Name
	if i := slices.IndexFunc(t.Steps, func(s step) bool { return s.Full }); i >= 0 {
		return bucket.Fail(t, at, "the object storage has no room: %s", t.Steps[i].Error).Saw(t.Steps[i].Error).
			Fix("make room on the object storage, or raise the quota of the bucket").Stops()
	}
	if !slices.ContainsFunc(t.Steps, step.ok) {
		return bucket.Unknown(t, at, "could not be seen: %s", t.Steps[0].Error).Needing(permissions.On(at))
	}
	if rules, fixes := t.surprises(); len(rules) > 0 {
		return bucket.Warn(t, at, "what will surprise Carbonio: %s", strings.Join(rules, "; ")).
			Saw(strings.Join(rules, "\n")).Wanted("no versioning, no object lock, no lifecycle rule that expires objects, no throttling").
			Fix(strings.Join(fixes, "\n"))
	}
	if unread := strings.Join(t.unread(), ", "); unread != "" {
		return bucket.Pass(t, at, "the bucket exists; these keys may not read its %s", unread).With("not seen", unread)
	}
	return bucket.Pass(t, at, "the bucket exists, and no rule of it surprises Carbonio")
}

// surprises are the rules of a bucket that Carbonio does not expect, and how the
// server behaved; and what to do about each.
func (t trial) surprises() (rules, fixes []string) {
	b := t.Target.Ask
	aws := "aws --endpoint-url " + b.Endpoint
	versioned := t.Versioning == "Enabled" || t.Versioned
	if t.Lock {
		rules = append(rules, "object lock: what is deleted stays until its retention is over")
		fixes = append(fixes, aws+" s3 mb s3://NAME     # object lock cannot be taken off: use a bucket without it")
	}
	if versioned {
		rules = append(rules, "versioning: deleted mail stays as old versions, and so does its space")
	}
	if versioned && !t.Lock {
		fixes = append(fixes, aws+" s3api put-bucket-versioning --bucket "+b.Bucket+" --versioning-configuration Status=Suspended")
	}
	if len(t.Lifecycle) > 0 {
		rules = append(rules, "lifecycle rules that are enabled: "+strings.Join(t.Lifecycle, ", ")+"; one that expires objects deletes mail")
		fixes = append(fixes, aws+" s3api get-bucket-lifecycle-configuration --bucket "+b.Bucket+"     # keep no rule with Expiration")
	}
	if n := len(cluster.Those(t.Steps, func(s step) bool { return s.Throttled })); n > 0 {
		rules = append(rules, fmt.Sprintf("throttling: %d of %d requests were answered with 503 SlowDown", n, len(t.Steps)))
		fixes = append(fixes, "raise the request limits of the object storage for these keys")
	}
	return rules, fixes
}

// unread are the properties that stay unknown. A write that got no version
// proves that there is neither versioning nor, with it, object lock.
func (r round) unread() []string {
	written, done := r.step(stepPut)
	return cluster.Those(r.Unread, func(name string) bool { return name == propertyLifecycle || !done || !written.ok() })
}

// The action that each step needs, as a policy names it.
var actions = []struct{ step, action string }{
	{stepList, "s3:ListBucket"},
	{stepPut, "s3:PutObject"},
	{stepGet, "s3:GetObject"},
	{stepHead, "s3:GetObject"},
	{stepDelete, "s3:DeleteObject"},
	{stepCreate, "s3:PutObject"},
	{stepPart, "s3:PutObject"},
	{stepAbort, "s3:AbortMultipartUpload"},
}

// An audit is what a round says of what the keys may do.
type audit struct{ outcomes, denied, unseen []string }

// audit looks at each request by itself. Reading and deleting what is not there
// is allowed or denied like any other: that the object is missing says that one
// may look.
func (r round) audit() (a audit) {
	put, _ := r.step(stepPut)
	for _, required := range actions {
		s, taken := r.step(required.step)
		read := required.step == stepGet || required.step == stepHead
		word, seen := "allowed", true
		switch {
		case !taken:
			word, seen = "not tried", false
		case s.denied() && read && !put.ok() && r.Steps[0].denied():
			// S3 hides from who may not list whether an object is missing.
			word, seen = "not told: the object was never written", false
		case s.denied():
			word = "denied: " + required.action
			a.denied = append(a.denied, required.action)
		case !s.ok() && !s.missing():
			word, seen = "failed: "+s.Error, false
		}
		if !seen {
			a.unseen = append(a.unseen, required.step)
		}
		a.outcomes = append(a.outcomes, required.step+": "+word)
	}
	a.denied = compact(a.denied)
	return a
}

func compact(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// judgePermissions judges what the keys may do, and whether what was written is gone.
func (t trial) judgePermissions() checks.Finding {
	at, arn := t.Target.Name, "arn:aws:s3:::"+t.Target.Ask.Bucket
	a := t.audit()
	denied := strings.Join(a.denied, ", ")
	var f checks.Finding
	switch {
	case denied != "":
		f = permissions.Fail(t, at, "the keys may not do all that Carbonio does: denied %s", denied).
			Wanted("all allowed").Fix("allow " + denied + " on " + arn + " and " + arn + "/*")
	case t.withheld() != "":
		f = permissions.Skip(t, at, "nothing was written: %s", t.withheld())
	case len(a.unseen) > 0:
		f = permissions.Unknown(t, at, "not seen: %s", strings.Join(a.unseen, ", "))
	case len(t.Left) > 0 && t.Versioned:
		f = permissions.Warn(t, at, "what this run wrote could not be removed").Needing(consistency.On(at)).
			Fix("allow s3:DeleteObjectVersion on " + arn + "/*, then: carbonio-check s3bench clean")
	case len(t.Left) > 0:
		f = permissions.Warn(t, at, "what this run wrote could not be removed").Needing(consistency.On(at)).
			Fix("carbonio-check s3bench clean")
	default:
		return permissions.Pass(t, at, "the keys may put, get, head, list, delete, and write in parts")
	}
	if len(t.Left) > 0 {
		f = f.With("left behind", strings.Join(t.Left, "\n"))
	}
	if f.Status == checks.Skip {
		return f
	}
	return f.Saw(strings.Join(a.outcomes, "\n"))
}

// judgeIntegrity compares what was read with what was written.
func (t trial) judgeIntegrity() checks.Finding {
	return t.judgeCompared(integrity, "an object of 64 KiB came back as it was written, whole and in ranges",
		func(s step) string { return s.Wrong }, stepGet, stepHead, stepRange)
}

// judgeConsistency looks for what was written, and deleted, a moment ago.
func (t trial) judgeConsistency() checks.Finding {
	return t.judgeCompared(consistency, "writes and deletions are seen at once",
		step.stale, stepGet, stepHead, stepListed, stepGone, stepUnlisted)
}

// stale says how a step did not see what had been done just before.
func (s step) stale() string {
	switch read := s.Name == stepGet || s.Name == stepHead; {
	case read && s.missing():
		return s.Name + ": what was just written is not there"
	case read:
		return ""
	}
	return s.Wrong
}

// judgeCompared judges what was written by the steps that looked for it again.
func (t trial) judgeCompared(c *checks.Check, good string, fault func(step) string, names ...string) checks.Finding {
	at := t.Target.Name
	var wrong, unseen []string
	for _, name := range names {
		s, taken := t.step(name)
		if fault := fault(s); fault != "" {
			wrong = append(wrong, fault)
		} else if !taken || !s.ok() {
			unseen = append(unseen, name)
		}
	}
	put, taken := t.step(stepPut)
	switch {
	case t.withheld() != "":
		return c.Skip(t, at, "nothing was written: %s", t.withheld())
	case !taken:
		return c.Unknown(t, at, "nothing was written")
	case !put.ok():
		return c.Unknown(t, at, "nothing was written: %s", put.Error)
	case len(wrong) > 0:
		wrong = compact(wrong)
		return c.Fail(t, at, "%s", strings.Join(wrong, "; ")).Saw(strings.Join(wrong, "\n")).Wanted("what was written")
	case len(unseen) > 0:
		return c.Unknown(t, at, "not seen: %s", strings.Join(unseen, ", "))
	}
	return c.Pass(t, at, "%s", good)
}
