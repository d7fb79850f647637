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

// ofRound are the checks that a round decides, in the order of their needs.
var ofRound = []*checks.Check{region, credentials, bucket, permissions, integrity, consistency}

// badKeys are the codes by which servers reject the keys themselves.
var badKeys = map[string]string{
	"InvalidAccessKeyId":    "the access key is unknown",
	"InvalidAccessKey":      "the access key is unknown",
	"SignatureDoesNotMatch": "the secret key does not match the access key",
	"InvalidToken":          "the keys are not valid here",
	"ExpiredToken":          "the keys have expired",
	"AccountProblem":        "the account is blocked",
}

// otherRegion are the codes by which servers say that the region is wrong.
var otherRegion = []string{
	"AuthorizationHeaderMalformed", "PermanentRedirect", "TemporaryRedirect",
	"IllegalLocationConstraintException", "AuthorizationQueryParametersError", "InvalidRegion",
}

// A trial is a round of requests as one vantage made it.
type trial struct {
	checks.Sight[platform.Bucket, round]
	round
}

// judge judges a bucket. If the first request was rejected, one finding says why,
// and the others depend on it.
func (t trial) judge() []checks.Finding {
	at := t.Target.Name
	if len(t.Steps) > 0 && !t.Steps[0].admitted() {
		return t.judgeRefusal()
	}
	if len(t.Steps) > 0 {
		return append(t.judgeAccepted(), t.judgeBucket(), t.judgePermissions(),
			t.judgeCompared(integrity, "a 64 KiB object was read back exactly as written, whole and in ranges",
				func(s step) string { return s.Wrong }, stepGet, stepHead, stepRange),
			t.judgeCompared(consistency, "writes and deletions are visible at once",
				step.stale, stepGet, stepHead, stepListed, stepGone, stepUnlisted))
	}
	var out []checks.Finding
	for _, c := range ofRound {
		switch {
		case t.Unopened == "":
			out = append(out, c.Unseen(t, at))
		case c == credentials:
			out = append(out, c.Unknown(t, at, "could not be seen: %s", t.Unopened))
		default:
			out = append(out, c.Skip(t, at, "the bucket was not checked: %s", t.Unopened))
		}
	}
	return out
}

// judgeAccepted judges region and keys if no request was rejected for them: only
// one that succeeded proves both. A proxy can deny everything without checking a
// signature.
func (t trial) judgeAccepted() []checks.Finding {
	at, proof := t.Target.Name, t.Proof().Part()
	if !slices.ContainsFunc(t.Steps, step.proves) {
		refused := t.Steps[0].Error
		return []checks.Finding{
			region.Unknown(t, at, "no request succeeded: %s", refused).Needing(permissions.On(at)),
			credentials.Unknown(t, at, "no request succeeded: %s", refused).Needing(permissions.On(at)),
		}
	}
	signed := "the region that it reports"
	if name := t.Target.Ask.Region; name != "" {
		signed = "region " + name
	}
	return []checks.Finding{
		region.Pass(proof, at, "the object storage accepts requests signed for %s", signed),
		credentials.Pass(proof, at, "the object storage accepts the keys"),
	}
}

// proves says that the server processed the request, and so had accepted its
// signature.
func (s step) proves() bool { return s.ok() || s.Code == "NoSuchKey" || s.Code == "NoSuchBucket" }

// judgeRefusal judges a round in which the first request was rejected for a
// reason that leaves nothing else to see.
func (t trial) judgeRefusal() []checks.Finding {
	at, first := t.Target.Name, t.Steps[0]
	cause := t.cause(first)
	needs := []checks.Need{clock.On(t.Target.Address), endpoint.On(t.Target.Address)}
	if cause.Check != nil {
		needs = append(needs, cause.Check.On(at))
	}
	var out []checks.Finding
	if cause.Check == bucket {
		out = t.judgeAccepted()
	}
	for _, c := range ofRound[len(out):] {
		f := cause
		if c != cause.Check {
			f = c.Unknown(t, at, "could not be seen: %s", first.Error).Needing(needs...)
		}
		out = append(out, f)
	}
	return out
}

// cause is the finding that says why the first request was rejected; the zero
// value if the reason is not known.
func (t trial) cause(first step) checks.Finding {
	b, at := t.Target.Ask, t.Target.Name
	why := badKeys[first.Code]
	switch {
	case why != "":
		return credentials.Fail(t, at, "the object storage rejects the keys: %s", why).Saw(first.Error).
			Wanted(fmt.Sprintf("the keys in %s and %s are accepted", b.AccessKey, b.SecretKey)).
			Fix(checks.On(t.Vantage) + fmt.Sprintf("# put valid keys into %s and %s, then\naws --endpoint-url %s s3 ls s3://%s", b.AccessKey, b.SecretKey, b.Endpoint, b.Bucket))
	case slices.Contains(otherRegion, first.Code) && first.Region != "":
		f := region.Fail(t, at, "the bucket is in region %s, not in %s", first.Region, cmp.Or(b.Region, "us-east-1")).
			Saw(cmp.Or(b.Region, "no region configured")).Wanted(first.Region)
		if plainWord.MatchString(first.Region) { // it is the server's word
			f = f.Fix("region: " + first.Region + "     # in the configuration, and in carbonio core doCreateBucket")
		}
		return f
	case first.Code == "NoSuchBucket":
		return bucket.Fail(t, at, "the bucket %s does not exist", b.Bucket).Saw(first.Error).
			Fix("aws --endpoint-url " + b.Endpoint + " s3 mb s3://" + b.Bucket + "     # or configure the name of the existing one")
	}
	return checks.Finding{}
}

func (r round) step(name string) (step, bool) {
	for _, s := range r.Steps {
		if s.Name == name {
			return s, true
		}
	}
	return step{}, false
}

// judgeBucket says whether the bucket accepts data, and names its rules.
func (t trial) judgeBucket() checks.Finding {
	at := t.Target.Name
	if i := slices.IndexFunc(t.Steps, func(s step) bool { return s.Full }); i >= 0 {
		return bucket.Fail(t, at, "the object storage is full: %s", t.Steps[i].Error).Saw(t.Steps[i].Error).
			Fix("free space on the object storage, or raise the quota of bucket " + t.Target.Ask.Bucket).Stops()
	}
	if !slices.ContainsFunc(t.Steps, step.ok) {
		return bucket.Unknown(t, at, "could not be seen: %s", t.Steps[0].Error).Needing(permissions.On(at))
	}
	if rules, fixes := t.surprises(); len(rules) > 0 {
		return bucket.Warn(t, at, "Carbonio does not expect this: %s", strings.Join(rules, "; ")).
			Saw(strings.Join(rules, "\n")).Wanted("no versioning, no object lock, no lifecycle rule that expires objects, no throttling").
			Fix(strings.Join(fixes, "\n"))
	}
	if unread := strings.Join(t.unread(), ", "); unread != "" {
		return bucket.Pass(t, at, "the bucket exists; these keys may not read its %s", unread).With("not seen", unread)
	}
	return bucket.Pass(t, at, "the bucket exists, and has no rules that Carbonio does not expect")
}

// surprises are the rules of the bucket and the limits of the server that Carbonio
// does not expect, and what to do about each.
func (t trial) surprises() (rules, fixes []string) {
	aws, name := "aws --endpoint-url "+t.Target.Ask.Endpoint, t.Target.Ask.Bucket
	versioned := t.Versioning == "Enabled" || t.Versioned
	if t.Lock {
		rules = append(rules, "object lock: deleted mail stays until its retention ends")
		fixes = append(fixes, aws+" s3 mb s3://"+name+"-2     # object lock cannot be turned off: use a new bucket without it")
	} else if versioned {
		fixes = append(fixes, aws+" s3api put-bucket-versioning --bucket "+name+" --versioning-configuration Status=Suspended")
	}
	if versioned {
		rules = append(rules, "versioning: deleted mail stays as old versions, and keeps taking space")
	}
	if len(t.Lifecycle) > 0 {
		rules = append(rules, "enabled lifecycle rules: "+strings.Join(t.Lifecycle, ", ")+"; one that expires objects deletes mail")
		fixes = append(fixes, aws+" s3api get-bucket-lifecycle-configuration --bucket "+name+"     # remove rules with Expiration")
	}
	if n := len(cluster.Those(t.Steps, func(s step) bool { return s.Throttled })); n > 0 {
		rules = append(rules, fmt.Sprintf("throttling: %d of %d requests were answered with 503 SlowDown", n, len(t.Steps)))
		fixes = append(fixes, "raise the request limits of the object storage for these keys")
	}
	return rules, fixes
}

// unread are the properties that stay unknown. A write without a version proves
// that there is neither versioning nor, therefore, object lock.
func (r round) unread() []string {
	written, done := r.step(stepPut)
	return cluster.Those(r.Unread, func(name string) bool { return name == propertyLifecycle || !done || !written.ok() })
}

// actions are what each step needs to be allowed, as a policy names it.
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

// An audit is what a round shows of what the keys allow.
type audit struct{ outcomes, denied, unseen []string }

// audit looks at each request by itself. Reading or deleting a missing object is
// allowed or denied like any other: a server that says it is missing allows it.
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
			// Without permission to list, S3 does not say that an object is missing.
			word, seen = "not known: the object was never written", false
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

// judgePermissions judges what the keys allow, and whether everything was removed.
func (t trial) judgePermissions() checks.Finding {
	at, arn := t.Target.Name, "arn:aws:s3:::"+t.Target.Ask.Bucket
	a := t.audit()
	denied := strings.Join(a.denied, ", ")
	var f checks.Finding
	switch {
	case denied != "":
		f = permissions.Fail(t, at, "the keys do not allow everything that Carbonio does: denied: %s", denied).
			Wanted("all allowed").Fix("allow " + denied + " on " + arn + " and " + arn + "/*")
	case t.withheld() != "":
		f = permissions.Skip(t, at, "nothing was written: %s", t.withheld())
	case len(a.unseen) > 0:
		f = permissions.Unknown(t, at, "could not be tested: %s", strings.Join(a.unseen, ", "))
	case len(t.Left) > 0:
		f = permissions.Warn(t, at, "objects written by this run could not be removed").Needing(consistency.On(at)).
			Fix("carbonio-check s3bench clean -c carbonio-check.yaml")
		if t.Versioned {
			f = f.Fix(f.Remedy + "     # once s3:DeleteObjectVersion is allowed on " + arn + "/*")
		}
	default:
		return permissions.Pass(t, at, "the keys allow put, get, head, list, delete and multipart uploads")
	}
	if len(t.Left) > 0 {
		f = f.With("left behind", strings.Join(t.Left, "\n"))
	}
	if f.Status == checks.Skip {
		return f
	}
	return f.Saw(strings.Join(a.outcomes, "\n"))
}

// stale says how a step did not see what had just been done.
func (s step) stale() string {
	switch read := s.Name == stepGet || s.Name == stepHead; {
	case read && s.missing():
		return s.Name + ": the object just written is not there"
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
		return c.Unknown(t, at, "could not be tested: %s", strings.Join(unseen, ", "))
	}
	return c.Pass(t, at, "%s", good)
}
