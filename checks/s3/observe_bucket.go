package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"carbonio-check/checks"
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
	// stepTimeout is for a server that accepts and never answers: the round ends
	// with the step that it left hanging.
	stepTimeout = 8 * time.Second
	// probeSize is of the object that is written: a mail with a small picture.
	probeSize = 64 << 10
	// partSize is the least part of S3, and more than the 1 MiB that a proxy in
	// front lets through by default.
	partSize = 5 << 20
	probe    = "probe"
	upload   = "upload"
)

// A round is everything that Carbonio does to a bucket, done once.
type round struct {
	Unopened   string   `json:"unopened,omitempty"` // why there are no credentials or no CA to begin with
	Steps      []step   `json:"steps,omitempty"`
	Versioning string   `json:"versioning,omitempty"` // "Enabled", "Suspended"
	Versioned  bool     `json:"versioned,omitempty"`  // what was written got a version
	Lock       bool     `json:"lock,omitempty"`
	Lifecycle  []string `json:"lifecycle,omitempty"`
	Unread     []string `json:"unread,omitempty"` // properties that could not be
	Left       []string `json:"left,omitempty"`   // of ours, that could not be removed
}

// The properties of a bucket.
const (
	propertyVersioning = "versioning"
	propertyLock       = "object lock"
	propertyLifecycle  = "lifecycle"
)

// withheld says why nothing, or no more, is written: it might stay for good.
func (r round) withheld() string {
	switch {
	case r.Lock:
		return "the bucket has object lock: what is written may stay for good"
	case (r.Versioning != "" || r.Versioned) && slices.Contains(r.Unread, propertyLock):
		return "the bucket is versioned, and whether it has object lock could not be read"
	}
	return ""
}

// A step is one request and its outcome.
type step struct {
	Name      string `json:"name"`
	Error     string `json:"error,omitempty"`
	Code      string `json:"code,omitempty"` // S3's
	Status    int    `json:"status,omitempty"`
	Region    string `json:"region,omitempty"` // the bucket's, where the server corrects us
	Throttled bool   `json:"throttled,omitempty"`
	Full      bool   `json:"full,omitempty"`
	Wrong     string `json:"wrong,omitempty"` // it answered, and not with what was written
}

func (s step) ok() bool { return s.Error == "" }

// denied says that a policy does not allow the action.
func (s step) denied() bool {
	return s.Code == "AccessDenied" || s.Code == "" && s.Status == 403
}

// missing says that the object is not there. A HEAD has no words but its status.
func (s step) missing() bool { return s.Code == "NoSuchKey" || s.Status == 404 }

// outcome words an error of the store.
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
	ours  error // our own machine's want, which says nothing of the server
}

func newSession(s *store.Store) session {
	return session{store: s, space: s.Namespace(store.NewRunID())}
}

// A request is what a step does. wrong is what was not as it had been written.
type request func(context.Context) (wrong string, err error)

// do takes one step.
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
	opened, err := open(host, t.Ask)
	if err != nil {
		return round{Unopened: err.Error()}, nil
	}
	defer opened.Close()
	s := newSession(opened)
	if s.mayWrite(ctx) {
		s.Left = s.cleaned(ctx, s.write)
	}
	return s.round, s.ended(ctx)
}

// cleaned removes what f wrote, whatever becomes of f, and says what is left.
func (s *session) cleaned(ctx context.Context, f func(context.Context)) (left []string) {
	defer func() { left, _ = s.space.Clean(ctx) }()
	f(ctx)
	return nil
}

// mayWrite reads without writing, and says whether something may be written.
func (s *session) mayWrite(ctx context.Context) bool {
	first := s.do(ctx, stepList, func(ctx context.Context) (string, error) { return "", s.store.Exists(ctx) })
	if !first.ok() && !first.denied() && !first.Throttled {
		return false
	}
	s.properties(ctx)
	return s.withheld() == "" && ctx.Err() == nil
}

// properties reads the rules of the bucket, as far as the keys may.
func (s *session) properties(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	unread := func(name string, err error) {
		// A server that does not know the question has not the thing.
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

// write does what changes the bucket. Each step is taken whatever became of
// those before it, unless the server hangs: a key may be allowed one and not
// another, and reading what is not there tells too.
func (s *session) write(ctx context.Context) {
	body := randomBytes(probeSize)
	one := func(name string, f request) func(context.Context) step {
		return func(ctx context.Context) step { return s.do(ctx, name, f) }
	}
	for _, take := range []func(context.Context) step{
		one(stepPut, func(ctx context.Context) (string, error) {
			info, err := s.space.Put(ctx, probe, bytes.NewReader(body), probeSize)
			s.Versioned = info.VersionID != "" && info.VersionID != "null"
			return "", err
		}),
		one(stepGet, func(ctx context.Context) (string, error) { return s.read(ctx, body, 0, -1) }),
		one(stepHead, func(ctx context.Context) (string, error) { return s.head(ctx, len(body)) }),
		one(stepRange, func(ctx context.Context) (string, error) { return s.ranges(ctx, body) }),
		one(stepListed, func(ctx context.Context) (string, error) { return s.listed(ctx, true) }),
		s.multipart,
		one(stepDelete, func(ctx context.Context) (string, error) { return "", s.space.Delete(ctx, probe) }),
		one(stepGone, s.gone),
		one(stepUnlisted, func(ctx context.Context) (string, error) { return s.listed(ctx, false) }),
	} {
		if ctx.Err() != nil || s.withheld() != "" {
			return
		}
		// Without an answer there will be none to the next one either; and what was
		// not deleted is not gone.
		if last := take(ctx); !last.ok() && (last.Status == 0 || last.Name == stepDelete) {
			return
		}
	}
}

// get reads a range of an object, up to so many bytes.
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

// difference says how what was read is not what was written.
func difference(got, want []byte) string {
	switch {
	case bytes.Equal(got, want):
		return ""
	case len(got) > len(want):
		return fmt.Sprintf("more than the %d bytes that were asked for", len(want))
	case len(got) < len(want):
		return fmt.Sprintf("%d bytes instead of %d", len(got), len(want))
	}
	at := 0
	for got[at] == want[at] {
		at++
	}
	return fmt.Sprintf("other bytes, from offset %d of %d", at, len(want))
}

func (s *session) head(ctx context.Context, size int) (string, error) {
	info, err := s.store.Head(ctx, s.space.Key(probe))
	if err == nil && info.Size != int64(size) {
		return fmt.Sprintf("HEAD says %d bytes instead of %d", info.Size, size), nil
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

// listed looks for the probe in a listing.
func (s *session) listed(ctx context.Context, want bool) (string, error) {
	objects, err := s.store.List(ctx, s.space.Prefix(), 10)
	there := slices.ContainsFunc(objects, func(o store.Object) bool { return o.Key == s.space.Key(probe) })
	switch {
	case err != nil:
		return "", err
	case want && !there:
		return "the listing does not show what was written", nil
	case !want && there:
		return "the listing still shows what was deleted", nil
	}
	return "", nil
}

// multipart begins an upload in parts, sends one, and gives it up.
func (s *session) multipart(ctx context.Context) step {
	var u store.Upload
	last := s.do(ctx, stepCreate, func(ctx context.Context) (_ string, err error) {
		u, err = s.space.CreateMultipart(ctx, upload)
		return "", err
	})
	if !last.ok() {
		return last
	}
	last = s.do(ctx, stepPart, func(ctx context.Context) (string, error) {
		_, err := s.space.UploadPart(ctx, u, 1, bytes.NewReader(randomBytes(partSize)), partSize)
		return "", err
	})
	if !last.ok() && last.Status == 0 {
		return last
	}
	return s.do(ctx, stepAbort, func(ctx context.Context) (string, error) { return "", s.space.Abort(ctx, u) })
}

// gone looks for the probe once it was deleted.
func (s *session) gone(ctx context.Context) (string, error) {
	_, err := s.store.Head(ctx, s.space.Key(probe))
	switch {
	case err == nil:
		return "what was deleted is still there", nil
	case outcome(stepGone, err).missing():
		return "", nil
	}
	return "", err
}

// randomBytes cannot be compressed, and are others in every run.
func randomBytes(n int) []byte {
	var seed [32]byte
	copy(seed[:], store.NewRunID()+store.NewRunID())
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}
