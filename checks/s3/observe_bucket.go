package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
	"carbonio-check/s3bench/store"
)

// The steps of a round, in their order.
const (
	stepList     = "list"
	stepPut      = "put"
	stepGet      = "get"
	stepHead     = "head"
	stepRange    = "get ranges"
	stepListed   = "list what was written"
	stepCreate   = "create multipart upload"
	stepPart     = "upload part"
	stepAbort    = "abort multipart upload"
	stepDelete   = "delete"
	stepGone     = "head what was deleted"
	stepUnlisted = "list what was deleted"
)

const (
	// stepTimeout is for a server that accepts and never responds: the round ends
	// with the step that hangs.
	stepTimeout = 8 * time.Second
	// probeSize is that of the object written: a mail with a small picture.
	probeSize = 64 << 10
	// partSize is the smallest part that S3 allows, and more than the 1 MiB that a
	// proxy in front lets through by default.
	partSize = 5 << 20
	probe    = "probe"
	upload   = "upload"
)

// A round is everything that Carbonio does to a bucket, done once.
type round struct {
	Unopened   string   `json:"unopened,omitempty"` // why the credentials or the CA could not be read
	Steps      []step   `json:"steps,omitempty"`
	Versioning string   `json:"versioning,omitempty"` // "Enabled", "Suspended"
	Versioned  bool     `json:"versioned,omitempty"`  // the object written got a version
	Lock       bool     `json:"lock,omitempty"`
	Lifecycle  []string `json:"lifecycle,omitempty"`
	Unread     []string `json:"unread,omitempty"` // properties that could not be read
	Left       []string `json:"left,omitempty"`   // objects of ours that could not be removed
}

// The properties of a bucket.
const (
	propertyVersioning = "versioning"
	propertyLock       = "object lock"
	propertyLifecycle  = "lifecycle"
)

// withheld says why nothing, or nothing more, is written: it might stay permanently.
func (r round) withheld() string {
	switch {
	case r.Lock:
		return "the bucket has object lock, and what is written may stay permanently"
	case (r.Versioning != "" || r.Versioned) && slices.Contains(r.Unread, propertyLock):
		return "the bucket is versioned, and these keys may not read whether it has object lock"
	}
	return ""
}

// A step is one request and its outcome.
type step struct {
	Name      string `json:"name"`
	Error     string `json:"error,omitempty"`
	Code      string `json:"code,omitempty"` // S3's
	Status    int    `json:"status,omitempty"`
	Region    string `json:"region,omitempty"` // the bucket's, if the server names it
	Throttled bool   `json:"throttled,omitempty"`
	Full      bool   `json:"full,omitempty"`
	Wrong     string `json:"wrong,omitempty"` // how the answer differs from what was written
}

func (s step) ok() bool { return s.Error == "" }

// denied says that a policy does not allow the action.
func (s step) denied() bool { return s.Code == "AccessDenied" || s.Code == "" && s.Status == 403 }

// admitted says, of the first request, that others may fare better.
func (s step) admitted() bool { return s.ok() || s.denied() || s.Throttled }

// missing says that the object does not exist. A HEAD has nothing but its status.
func (s step) missing() bool { return s.Code == "NoSuchKey" || s.Status == 404 }

// outcome describes an error of the store.
func outcome(name string, err error) step {
	s := step{Name: name}
	if err == nil {
		return s
	}
	s.Error = err.Error()
	if e, ok := errors.AsType[*store.Error](err); ok {
		s.Code, s.Status, s.Region, s.Throttled, s.Full = e.Code, e.Status, e.Region, e.Throttled(), e.Full()
	}
	return s
}

// A session is a round under way.
type session struct {
	round
	store *store.Store
	space *store.Namespace
	ours  error // a fault of this machine, which says nothing about the server
}

// begin prepares a session; its store is for the caller to close.
func begin(host checks.Host, b platform.Bucket) (*session, error) {
	opened, err := open(host, b)
	if err != nil {
		return nil, err
	}
	return &session{store: opened, space: opened.Namespace(store.NewRunID())}, nil
}

// A request is what a step does. wrong is how the answer differs from what had
// been written.
type request func(context.Context) (wrong string, err error)

func (s *session) do(ctx context.Context, name string, f request) step {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	wrong, err := f(ctx)
	if checks.Ours(err) {
		s.ours = err
	}
	done := outcome(name, err)
	done.Wrong = wrong
	s.Steps = append(s.Steps, done)
	return done
}

// ended is why the session saw less than there was to see.
func (s *session) ended(ctx context.Context) error { return errors.Join(ctx.Err(), s.ours) }

func observeBucket(ctx context.Context, host checks.Host, t bucketTarget) (round, error) {
	s, err := begin(host, t.Ask)
	if err != nil {
		return round{Unopened: err.Error()}, nil
	}
	defer s.store.Close()
	if s.mayWrite(ctx) {
		s.Left = s.cleaned(ctx, s.write)
	}
	return s.round, s.ended(ctx)
}

// cleaned removes what f wrote, even if f panics, and returns what is left.
func (s *session) cleaned(ctx context.Context, f func(context.Context)) (left []string) {
	defer func() { left, _ = s.space.Clean(ctx) }()
	f(ctx)
	return nil
}

// mayWrite makes the requests that only read, and says whether writing is safe.
func (s *session) mayWrite(ctx context.Context) bool {
	first := s.do(ctx, stepList, func(ctx context.Context) (string, error) { return "", s.store.Exists(ctx) })
	if !first.admitted() {
		return false
	}
	s.properties(ctx)
	return s.withheld() == "" && ctx.Err() == nil
}

// properties reads the rules of the bucket, as far as the keys allow.
func (s *session) properties(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	unread := func(name string, err error) {
		// A server that does not implement the request does not have the feature.
		if code := store.Code(err); err != nil && code != "NotImplemented" && code != "MethodNotAllowed" {
			s.Unread = append(s.Unread, name)
		}
	}
	var err error
	s.Versioning, err = s.store.Versioning(ctx)
	unread(propertyVersioning, err)
	s.Lock, err = s.store.Lock(ctx)
	unread(propertyLock, err)
	s.Lifecycle, err = s.store.Lifecycle(ctx)
	unread(propertyLifecycle, err)
}

// write makes the requests that change the bucket. Each is made whatever became
// of the others, unless it builds on one that failed or the server hangs: a key
// may be allowed one and not another, and reading a missing object also shows it.
func (s *session) write(ctx context.Context) {
	body := randomBytes(probeSize)
	var parts store.Upload
	for _, next := range []struct {
		name  string
		after string // the step that it builds on
		do    request
	}{
		{name: stepPut, do: func(ctx context.Context) (string, error) { return "", s.put(ctx, body) }},
		{name: stepGet, do: func(ctx context.Context) (string, error) { return s.read(ctx, body, 0, -1) }},
		{name: stepHead, do: func(ctx context.Context) (string, error) { return s.head(ctx, len(body)) }},
		{name: stepRange, do: func(ctx context.Context) (string, error) { return s.ranges(ctx, body) }},
		{name: stepListed, do: func(ctx context.Context) (string, error) { return s.listed(ctx, true) }},
		{name: stepCreate, do: func(ctx context.Context) (_ string, err error) {
			parts, err = s.space.CreateMultipart(ctx, upload)
			return "", err
		}},
		{stepPart, stepCreate, func(ctx context.Context) (string, error) {
			_, err := s.space.UploadPart(ctx, parts, 1, bytes.NewReader(randomBytes(partSize)), partSize)
			return "", err
		}},
		{stepAbort, stepCreate, func(ctx context.Context) (string, error) { return "", s.space.Abort(ctx, parts) }},
		{name: stepDelete, do: func(ctx context.Context) (string, error) { return "", s.space.Delete(ctx, probe) }},
		{stepGone, stepDelete, s.gone},
		{stepUnlisted, stepDelete, func(ctx context.Context) (string, error) { return s.listed(ctx, false) }},
	} {
		if before, _ := s.step(next.after); !before.ok() {
			continue
		}
		if ctx.Err() != nil || s.withheld() != "" {
			return
		}
		if last := s.do(ctx, next.name, next.do); !last.ok() && last.Status == 0 {
			return // no response: there will be none to the next one either
		}
	}
}

func (s *session) put(ctx context.Context, body []byte) error {
	info, err := s.space.Put(ctx, probe, bytes.NewReader(body), int64(len(body)))
	s.Versioned = info.VersionID != "" && info.VersionID != "null"
	return err
}

// get reads a range of an object, at most so many bytes.
func (s *session) get(ctx context.Context, key string, from, to int64, most int) ([]byte, error) {
	r, _, err := s.store.Get(ctx, key, from, to)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, int64(most)))
}

// read reads a range of the probe and compares it with what it should be.
func (s *session) read(ctx context.Context, want []byte, from, to int64) (string, error) {
	got, err := s.get(ctx, s.space.Key(probe), from, to, len(want)+1)
	if err != nil {
		return "", err
	}
	return difference(got, want), nil
}

// difference says how what was read differs from what was written.
func difference(got, want []byte) string {
	switch {
	case bytes.Equal(got, want):
		return ""
	case len(got) > len(want):
		return fmt.Sprintf("more than the %d bytes requested", len(want))
	case len(got) < len(want):
		return fmt.Sprintf("%d bytes instead of %d", len(got), len(want))
	}
	at := 0
	for got[at] == want[at] {
		at++
	}
	return fmt.Sprintf("different bytes from offset %d of %d", at, len(want))
}

func (s *session) head(ctx context.Context, size int) (string, error) {
	info, err := s.store.Head(ctx, s.space.Key(probe))
	if err == nil && info.Size != int64(size) {
		return fmt.Sprintf("HEAD reports %d bytes instead of %d", info.Size, size), nil
	}
	return "", err
}

// ranges reads the first byte, some from the middle, and the last ones.
func (s *session) ranges(ctx context.Context, body []byte) (string, error) {
	last := int64(len(body)) - 1
	for _, r := range [][2]int64{{0, 0}, {last / 3, last / 2}, {last - 9, last}} {
		wrong, err := s.read(ctx, body[r[0]:r[1]+1], r[0], r[1])
		if wrong != "" {
			wrong = fmt.Sprintf("range %d-%d: %s", r[0], r[1], wrong)
		}
		if wrong != "" || err != nil {
			return wrong, err
		}
	}
	return "", nil
}

func (s *session) listed(ctx context.Context, want bool) (string, error) {
	objects, err := s.store.List(ctx, s.space.Prefix(), 10)
	there := slices.ContainsFunc(objects, func(o store.Object) bool { return o.Key == s.space.Key(probe) })
	switch {
	case err != nil:
		return "", err
	case want && !there:
		return "the listing does not show the object just written", nil
	case !want && there:
		return "the listing still shows the deleted object", nil
	}
	return "", nil
}

func (s *session) gone(ctx context.Context) (string, error) {
	_, err := s.store.Head(ctx, s.space.Key(probe))
	switch {
	case err == nil:
		return "the deleted object is still there", nil
	case outcome(stepGone, err).missing():
		return "", nil
	}
	return "", err
}

// randomBytes cannot be compressed, and differ in every run.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}
