package s3

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// ofRound are the checks that a round decides, in the order in which they need each other.
var ofRound = []string{region, credentials, bucket, permissions, integrity, consistency}

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

// judgeRound decides on a bucket from one vantage. Where the first request was
// refused, one finding says why, and the others wait for it.
func judgeRound(o checks.Observation, r round) []checks.Finding {
	at := o.Target.Name
	if r.Unopened != "" {
		out := []checks.Finding{o.Unknown(credentials, at, "could not be seen: %s", r.Unopened)}
		for _, id := range ofRound {
			if id != credentials {
				out = append(out, o.Skip(id, at, "the bucket was not looked at: %s", r.Unopened))
			}
		}
		return out
	}
	if len(r.Steps) == 0 {
		return o.Unseen(at, ofRound...)
	}
	first := r.Steps[0]
	if f, decided := judgeRefusal(o, first); decided {
		return f
	}
	out := accepted(o, r)
	return append(out, judgeBucket(o, r), judgePermissions(o, r), judgeIntegrity(o, r), judgeConsistency(o, r))
}

// accepted is the finding on region and keys where no request was refused for
// them: one that was carried out proves both, and nothing else does. A proxy can
// deny everything without having looked at a signature.
func accepted(o checks.Observation, r round) []checks.Finding {
	at := o.Target.Name
	if !slices.ContainsFunc(r.Steps, step.proves) {
		return []checks.Finding{
			o.Unknown(region, at, "no request was carried out: %s", r.Steps[0].Error).Needing(permissions, at),
			o.Unknown(credentials, at, "no request was carried out: %s", r.Steps[0].Error).Needing(permissions, at),
		}
	}
	return []checks.Finding{
		o.Pass(region, at, "the object storage takes what is signed for %s", regionName(o)),
		o.Pass(credentials, at, "the object storage accepts the keys"),
	}
}

// proves says that the server looked at the request itself, and so had taken
// its signature.
func (s step) proves() bool { return s.ok() || s.Code == "NoSuchKey" || s.Code == "NoSuchBucket" }

func regionName(o checks.Observation) string {
	if r := bucketOf(o.Target).Region; r != "" {
		return "region " + r
	}
	return "the region that it names itself"
}

// judgeRefusal decides where the first request was refused for a reason that
// leaves nothing else to be seen.
func judgeRefusal(o checks.Observation, first step) ([]checks.Finding, bool) {
	b, at := bucketOf(o.Target), o.Target.Name
	var cause checks.Finding
	var known []checks.Finding // what the refusal proves
	why := badKeys[first.Code]
	switch {
	case first.ok(), first.denied(), first.Throttled:
		return nil, false
	case why != "":
		cause = o.Fail(credentials, at, "the object storage refuses the keys: %s", why).Saw(first.Error).
			Wanted(fmt.Sprintf("the keys in %s and %s are accepted", b.AccessKey, b.SecretKey))
	case slices.Contains(otherRegion, first.Code) && first.Region != "":
		cause = o.Fail(region, at, "the bucket is in region %s, not in %s", first.Region, cmp.Or(b.Region, "us-east-1")).
			Saw(cmp.Or(b.Region, "no region configured")).Wanted(first.Region).
			Fix("region: " + first.Region + "     # in the configuration, and in carbonio core doCreateBucket S3 …")
	case first.Code == "NoSuchBucket":
		cause = o.Fail(bucket, at, "there is no bucket %s", b.Bucket).Saw(first.Error).
			Fix("aws --endpoint-url " + b.Endpoint + " s3 mb s3://" + b.Bucket + "     # or name the one that there is")
		known = accepted(o, round{Steps: []step{first}})
	}
	out := known
	if cause.Check != "" {
		out = append(out, cause)
	}
	for _, id := range ofRound {
		if slices.ContainsFunc(out, func(f checks.Finding) bool { return f.Check == id }) {
			continue
		}
		f := o.Unknown(id, at, "could not be seen: %s", first.Error).Needing(clock, o.Target.Address).Needing(endpoint, o.Target.Address)
		if cause.Check != "" {
			f = f.Needing(cause.Check, at)
		}
		out = append(out, f)
	}
	return out, true
}

func (r round) step(name string) (step, bool) {
	for _, s := range r.Steps {
		if s.Name == name {
			return s, true
		}
	}
	return step{}, false
}

// judgeBucket says whether the bucket takes data, and names its rules.
func judgeBucket(o checks.Observation, r round) checks.Finding {
	at := o.Target.Name
	for _, s := range r.Steps {
		if s.Full {
			return o.Fail(bucket, at, "the object storage has no room: %s", s.Error).Saw(s.Error).
				Fix("make room on the object storage, or raise the quota of the bucket")
		}
	}
	if first := r.Steps[0]; !first.ok() && !slices.ContainsFunc(r.Steps, step.ok) {
		return o.Unknown(bucket, at, "could not be seen: %s", first.Error).Needing(permissions, at)
	}
	if rules := r.surprises(); len(rules) > 0 {
		return o.Warn(bucket, at, "what will surprise Carbonio: %s", strings.Join(rules, "; ")).
			Saw(strings.Join(rules, "\n")).Wanted("no versioning, no object lock, no lifecycle rule that expires objects, no throttling").
			Fix(r.fixes(bucketOf(o.Target)))
	}
	f := o.Pass(bucket, at, "the bucket exists, and no rule of it surprises Carbonio")
	if unread := r.unread(); len(unread) > 0 {
		f = o.Pass(bucket, at, "the bucket exists; these keys may not read its %s", strings.Join(unread, ", ")).
			With("not seen", strings.Join(unread, ", "))
	}
	return f
}

// surprises are the rules of a bucket that Carbonio does not expect, and how the
// server behaved.
func (r round) surprises() []string {
	var out []string
	if r.Lock {
		out = append(out, "object lock: what is deleted stays until its retention is over")
	}
	if r.Versioning == "Enabled" || r.Versioned {
		out = append(out, "versioning: deleted mail stays as old versions, and so does its space")
	}
	if len(r.Lifecycle) > 0 {
		out = append(out, "lifecycle rules that are enabled: "+strings.Join(r.Lifecycle, ", ")+"; one that expires objects deletes mail")
	}
	if n := r.throttled(); n > 0 {
		out = append(out, fmt.Sprintf("throttling: %d of %d requests were answered with 503 SlowDown", n, len(r.Steps)))
	}
	return out
}

func (r round) throttled() int {
	n := 0
	for _, s := range r.Steps {
		if s.Throttled {
			n++
		}
	}
	return n
}

func (r round) fixes(b platform.Bucket) string {
	api := "aws --endpoint-url " + b.Endpoint + " s3api "
	var out []string
	switch {
	case r.Lock:
		out = append(out, "aws --endpoint-url "+b.Endpoint+" s3 mb s3://NAME     # object lock cannot be taken off: use a bucket without it")
	case r.Versioning == "Enabled" || r.Versioned:
		out = append(out, api+"put-bucket-versioning --bucket "+b.Bucket+" --versioning-configuration Status=Suspended")
	}
	if len(r.Lifecycle) > 0 {
		out = append(out, api+"get-bucket-lifecycle-configuration --bucket "+b.Bucket+"     # keep no rule with Expiration")
	}
	if r.throttled() > 0 {
		out = append(out, "raise the request limits of the object storage for these keys")
	}
	return strings.Join(out, "\n")
}

// unread are the properties that stay unknown. A write that got no version
// proves that there is neither versioning nor, with it, object lock.
func (r round) unread() []string {
	var out []string
	written, done := r.step(stepPut)
	for _, name := range []string{"versioning", "object lock", "lifecycle"} {
		if _, unread := r.Unread[name]; unread && (name == "lifecycle" || !done || !written.ok()) {
			out = append(out, name)
		}
	}
	return out
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

// judgePermissions looks at each request by itself. Reading and deleting what is
// not there is allowed or denied like any other: that the object is missing says
// that one may look.
func judgePermissions(o checks.Observation, r round) checks.Finding {
	at := o.Target.Name
	var outcomes, denied, unseen []string
	list := r.Steps[0]
	put, _ := r.step(stepPut)
	for _, a := range actions {
		s, taken := r.step(a.step)
		word := "allowed"
		switch {
		case !taken:
			word = "not tried"
			unseen = append(unseen, a.step)
		case s.denied() && (a.step == stepGet || a.step == stepHead) && !put.ok() && list.denied():
			// S3 hides from who may not list whether an object is missing.
			word = "not told: the object was never written"
			unseen = append(unseen, a.step)
		case s.denied():
			word = "denied: " + a.action
			denied = append(denied, a.action)
		case !s.ok() && s.Code != "NoSuchKey" && s.Status != 404:
			word = "failed: " + s.Error
			unseen = append(unseen, a.step)
		}
		outcomes = append(outcomes, a.step+": "+word)
	}
	denied = compact(denied)
	f := permissionFinding(o, r, denied, unseen)
	if len(r.Left) > 0 {
		if f.Status == checks.Pass {
			f = o.Warn(permissions, at, "what this run wrote could not be removed").Fix("carbonio-check s3bench clean").
				Needing(consistency, at)
			if r.Versioned {
				f = f.Fix("allow s3:DeleteObjectVersion on arn:aws:s3:::" + bucketOf(o.Target).Bucket + "/*, then: carbonio-check s3bench clean")
			}
		}
		f = f.With("left behind", strings.Join(r.Left, "\n"))
	}
	if f.Status == checks.Pass || f.Status == checks.Skip {
		return f
	}
	return f.Saw(strings.Join(outcomes, "\n"))
}

func permissionFinding(o checks.Observation, r round, denied, unseen []string) checks.Finding {
	at := o.Target.Name
	name := bucketOf(o.Target).Bucket
	switch {
	case len(denied) > 0:
		return o.Fail(permissions, at, "the keys may not do all that Carbonio does: denied %s", strings.Join(denied, ", ")).
			Wanted("all allowed").
			Fix("allow " + strings.Join(denied, ", ") + " on arn:aws:s3:::" + name + " and arn:aws:s3:::" + name + "/*")
	case r.Refused != "":
		return o.Skip(permissions, at, "nothing was written: %s", r.Refused)
	case len(unseen) > 0:
		return o.Unknown(permissions, at, "not seen: %s", strings.Join(unseen, ", "))
	}
	return o.Pass(permissions, at, "the keys may put, get, head, list, delete, and write in parts")
}

func compact(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// judgeIntegrity compares what was read with what was written.
func judgeIntegrity(o checks.Observation, r round) checks.Finding {
	var wrong, unseen []string
	for _, name := range []string{stepGet, stepHead, stepRange} {
		s, taken := r.step(name)
		switch {
		case s.Wrong != "":
			wrong = append(wrong, s.Wrong)
		case !taken, !s.ok():
			unseen = append(unseen, name)
		}
	}
	f := compared(o, r, integrity, wrong, unseen)
	if f.Status == checks.Pass {
		f.Message = "an object of 64 KiB came back as it was written, whole and in ranges"
	}
	return f
}

// judgeConsistency looks for what was written, and deleted, a moment ago.
func judgeConsistency(o checks.Observation, r round) checks.Finding {
	var wrong, unseen []string
	deleted, _ := r.step(stepDelete)
	for _, name := range []string{stepGet, stepHead, stepListed, stepGone, stepUnlisted} {
		s, taken := r.step(name)
		read := name == stepGet || name == stepHead
		after := name == stepGone || name == stepUnlisted
		switch {
		case !taken, after && !deleted.ok():
			unseen = append(unseen, name)
		case read && (s.Code == "NoSuchKey" || s.Status == 404):
			wrong = append(wrong, name+": what was just written is not there")
		case !read && s.Wrong != "":
			wrong = append(wrong, s.Wrong)
		case !s.ok():
			unseen = append(unseen, name)
		}
	}
	f := compared(o, r, consistency, wrong, unseen)
	if f.Status == checks.Pass {
		f.Message = "writes and deletions are seen at once"
	}
	return f
}

// compared is the finding on what was written, once it was looked for again.
func compared(o checks.Observation, r round, check string, wrong, unseen []string) checks.Finding {
	at := o.Target.Name
	put, taken := r.step(stepPut)
	switch {
	case r.Refused != "":
		return o.Skip(check, at, "nothing was written: %s", r.Refused)
	case !taken:
		return o.Unknown(check, at, "nothing was written")
	case !put.ok():
		return o.Unknown(check, at, "nothing was written: %s", put.Error)
	case len(wrong) > 0:
		wrong = compact(wrong)
		return o.Fail(check, at, "%s", strings.Join(wrong, "; ")).Saw(strings.Join(wrong, "\n")).Wanted("what was written")
	case len(unseen) > 0:
		return o.Unknown(check, at, "not seen: %s", strings.Join(unseen, ", "))
	}
	return o.Pass(check, at, "")
}
