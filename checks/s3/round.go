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
	// Unread are the properties that could not be read, and why.
	Unread  map[string]step `json:"unread,omitempty"`
	Refused string          `json:"refused,omitempty"` // why nothing, or no more, was written
	Left    []string        `json:"left,omitempty"`    // of ours, that could not be removed
	Payload string          `json:"payload,omitempty"` // how the bodies were protected
}

// A step is one request and its outcome.
type step struct {
	Name      string        `json:"name"`
	Error     string        `json:"error,omitempty"`
	Code      string        `json:"code,omitempty"` // S3's
	Status    int           `json:"status,omitempty"`
	Region    string        `json:"region,omitempty"` // the bucket's, where the server corrects us
	Throttled bool          `json:"throttled,omitempty"`
	Full      bool          `json:"full,omitempty"`
	Wrong     string        `json:"wrong,omitempty"` // it answered, and not with what was written
	Took      time.Duration `json:"took,omitempty"`
}

func (s step) ok() bool { return s.Error == "" }

// denied says that a policy does not allow the action.
func (s step) denied() bool {
	return s.Code == "AccessDenied" || s.Code == "" && s.Status == 403
}

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

// A walk is a round under way.
type walk struct {
	round
	store *store.Store
	room  *store.Namespace
}

// do takes one step. wrong is what was not as it had been written.
func (w *walk) do(ctx context.Context, name string, f func(context.Context) (wrong string, err error)) step {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	began := time.Now()
	wrong, err := f(ctx)
	s := outcome(name, err)
	s.Wrong, s.Took = wrong, time.Since(began)
	w.Steps = append(w.Steps, s)
	return s
}

func observeBucket(ctx context.Context, host checks.Host, b platform.Bucket) (any, error) {
	s, err := open(host, b)
	if err != nil {
		return round{Unopened: err.Error()}, nil
	}
	defer s.Close()
	w := &walk{store: s, room: s.Namespace(store.NewRunID())}
	if w.enter(ctx) {
		w.cleaned(ctx, &w.Left, w.write)
	}
	w.Payload = s.Payload()
	return w.round, ctx.Err()
}

// cleaned removes what f wrote, whatever becomes of f, and notes what is left.
func (w *walk) cleaned(ctx context.Context, left *[]string, f func(context.Context)) {
	defer func() { *left, _ = w.room.Clean(ctx) }()
	f(ctx)
}

// enter reads without writing, and says whether something may be written.
func (w *walk) enter(ctx context.Context) bool {
	first := w.do(ctx, stepList, func(ctx context.Context) (string, error) { return "", w.store.Exists(ctx) })
	if !first.ok() && !first.denied() && !first.Throttled {
		return false
	}
	w.properties(ctx)
	_, lockUnread := w.Unread["object lock"]
	switch {
	case w.Lock:
		w.Refused = "the bucket has object lock: what is written may stay for good"
	case lockUnread && w.Versioning != "":
		w.Refused = "the bucket is versioned, and whether it has object lock could not be read"
	}
	return w.Refused == "" && ctx.Err() == nil
}

// properties reads the rules of the bucket, as far as the keys may.
func (w *walk) properties(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	w.Unread = map[string]step{}
	unread := func(name string, err error) {
		// A server that does not know the question has not the thing.
		if code := store.Code(err); err != nil && code != "NotImplemented" && code != "MethodNotAllowed" {
			w.Unread[name] = outcome(name, err)
		}
	}
	var err error
	w.Versioning, err = w.store.Versioning(ctx)
	unread("versioning", err)
	w.Lock, err = w.store.Lock(ctx)
	unread("object lock", err)
	w.Lifecycle, err = w.store.Lifecycle(ctx)
	unread("lifecycle", err)
}

// write does what changes the bucket. Each step is taken whatever became of
// those before it, unless the server hangs: a key may be allowed one and not
// another, and reading what is not there tells too.
func (w *walk) write(ctx context.Context) {
	body := randomBytes(probeSize)
	steps := []func(context.Context) step{
		func(ctx context.Context) step { return w.put(ctx, body) },
		func(ctx context.Context) step {
			return w.do(ctx, stepGet, func(ctx context.Context) (string, error) { return w.read(ctx, body, 0, -1) })
		},
		func(ctx context.Context) step { return w.head(ctx, len(body)) },
		func(ctx context.Context) step { return w.ranges(ctx, body) },
		func(ctx context.Context) step { return w.listed(ctx, stepListed, true) },
		w.multipart,
		func(ctx context.Context) step {
			return w.do(ctx, stepDelete, func(ctx context.Context) (string, error) { return "", w.room.Delete(ctx, probe) })
		},
		w.gone,
		func(ctx context.Context) step { return w.listed(ctx, stepUnlisted, false) },
	}
	for _, take := range steps {
		if ctx.Err() != nil || w.Refused != "" {
			return
		}
		if s := take(ctx); !s.ok() && s.Status == 0 {
			return // no answer: there will be none to the next one either
		}
	}
}

func (w *walk) put(ctx context.Context, body []byte) step {
	return w.do(ctx, stepPut, func(ctx context.Context) (string, error) {
		info, err := w.room.Put(ctx, probe, bytes.NewReader(body), int64(len(body)))
		w.Versioned = info.VersionID != "" && info.VersionID != "null"
		if _, unread := w.Unread["object lock"]; unread && w.Versioned {
			w.Refused = "the bucket turned out to be versioned, and whether it has object lock could not be read"
		}
		return "", err
	})
}

// read reads a range of the probe and compares it with what it should be.
func (w *walk) read(ctx context.Context, want []byte, from, to int64) (string, error) {
	r, _, err := w.store.Get(ctx, w.room.Key(probe), from, to)
	if err != nil {
		return "", err
	}
	defer r.Close()
	got, err := io.ReadAll(io.LimitReader(r, int64(len(want))+1))
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

func (w *walk) head(ctx context.Context, size int) step {
	return w.do(ctx, stepHead, func(ctx context.Context) (string, error) {
		info, err := w.store.Head(ctx, w.room.Key(probe))
		if err == nil && info.Size != int64(size) {
			return fmt.Sprintf("HEAD says %d bytes instead of %d", info.Size, size), nil
		}
		return "", err
	})
}

// ranges reads the first byte, some from the middle, and the last ones.
func (w *walk) ranges(ctx context.Context, body []byte) step {
	last := int64(len(body)) - 1
	return w.do(ctx, stepRange, func(ctx context.Context) (string, error) {
		for _, r := range [][2]int64{{0, 0}, {last / 3, last / 2}, {last - 9, last}} {
			wrong, err := w.read(ctx, body[r[0]:r[1]+1], r[0], r[1])
			if wrong != "" {
				wrong = fmt.Sprintf("range %d-%d: %s", r[0], r[1], wrong)
			}
			if wrong != "" || err != nil {
				return wrong, err
			}
		}
		return "", nil
	})
}

// listed looks for the probe in a listing.
func (w *walk) listed(ctx context.Context, name string, want bool) step {
	return w.do(ctx, name, func(ctx context.Context) (string, error) {
		objects, err := w.store.List(ctx, w.room.Prefix(), 10)
		if err != nil {
			return "", err
		}
		there := slices.ContainsFunc(objects, func(o store.Object) bool { return o.Key == w.room.Key(probe) })
		switch {
		case want && !there:
			return "the listing does not show what was written", nil
		case !want && there:
			return "the listing still shows what was deleted", nil
		}
		return "", nil
	})
}

// multipart begins an upload in parts, sends one, and gives it up.
func (w *walk) multipart(ctx context.Context) step {
	var u store.Upload
	created := w.do(ctx, stepCreate, func(ctx context.Context) (_ string, err error) {
		u, err = w.room.CreateMultipart(ctx, upload)
		return "", err
	})
	if !created.ok() {
		return created
	}
	part := w.do(ctx, stepPart, func(ctx context.Context) (string, error) {
		_, err := w.room.UploadPart(ctx, u, 1, bytes.NewReader(randomBytes(partSize)), partSize)
		return "", err
	})
	if !part.ok() && part.Status == 0 {
		return part
	}
	return w.do(ctx, stepAbort, func(ctx context.Context) (string, error) { return "", w.room.Abort(ctx, u) })
}

// gone looks for the probe once it was deleted.
func (w *walk) gone(ctx context.Context) step {
	return w.do(ctx, stepGone, func(ctx context.Context) (string, error) {
		_, err := w.store.Head(ctx, w.room.Key(probe))
		if err == nil {
			return "what was deleted is still there", nil
		}
		if missing(err) {
			return "", nil
		}
		return "", err
	})
}

// missing says that an object is not there. A HEAD has no words but its status.
func missing(err error) bool {
	e, ok := errors.AsType[*store.Error](err)
	return ok && (e.Code == "NoSuchKey" || e.Status == 404)
}

// randomBytes cannot be compressed, and are others in every run.
func randomBytes(n int) []byte {
	var seed [32]byte
	copy(seed[:], store.NewRunID()+store.NewRunID())
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(seed).Read(b) // never fails
	return b
}
