package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

// Root is above everything that we ever write into a bucket.
const Root = "carbonio-check/"

const (
	// cleanTime bounds the cleaning, which runs also when the run was interrupted.
	cleanTime = 30 * time.Second
	// cleaners delete at once.
	cleaners = 16
	// A busy server is asked again, after a pause that grows; one that is away is
	// asked so many times.
	cleanPause = 300 * time.Millisecond
	lastPause  = 2 * time.Second
	awayTries  = 5
	// landing is how long a request that changes the bucket may go on when its
	// context ends.
	landing = 2 * time.Second
	// maxListed bounds the listings that look for what is left.
	maxListed = 200_000
)

var (
	runForm  = regexp.MustCompile(`^[0-9a-f]{16}$`)
	nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*([./][a-z0-9][a-z0-9_-]*)*$`)
)

// NewRunID is a random name for a namespace.
func NewRunID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// A Namespace is the only way to write into a bucket, and the rule that makes it
// safe: every key is below carbonio-check/<run ID>/, is noted before it is
// sent, and nothing is ever deleted that was not noted.
type Namespace struct {
	store  *Store
	run    string
	prefix string

	mu      sync.Mutex
	objects map[string]*object // by key
}

// An object is what may be under a key that we sent.
type object struct {
	versions []string // to be deleted as versions; delete markers are among them
	plain    bool     // it exists without a version
	unsure   bool     // a request failed: it may exist, in whatever version
	uploads  []string // open ones
	lost     bool     // an upload may be open whose ID was never told
}

// Namespace is a room of our own in the bucket. The run ID is NewRunID's; with
// another nothing can be written.
func (s *Store) Namespace(runID string) *Namespace {
	return &Namespace{store: s, run: runID, prefix: Root + runID + "/", objects: map[string]*object{}}
}

// Prefix is what every key begins with.
func (n *Namespace) Prefix() string { return n.prefix }

// Key is the key of a name, for reading.
func (n *Namespace) Key(name string) string { return n.prefix + name }

// land is a context for a request that changes the bucket: a server may carry out
// what was given up half-way, and do it after everything was cleaned. So what is
// under way may land, for a while; what has not begun does not begin.
func land(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() != nil {
		return ctx, func() {}
	}
	on, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if pause(on, landing) {
			cancel()
		}
	})
	return on, func() { stop(); cancel() }
}

// note opens the books on a name, before anything is sent.
func (n *Namespace) note(name string, change func(*object)) (string, error) {
	if !runForm.MatchString(n.run) {
		return "", fmt.Errorf("run ID %q: want 16 hexadecimal digits", n.run)
	}
	if !nameForm.MatchString(name) {
		return "", fmt.Errorf("object name %q: want lower-case letters, digits and single separators", name)
	}
	key := n.prefix + name
	n.update(key, change)
	return key, nil
}

func (n *Namespace) update(key string, change func(*object)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	o := n.objects[key]
	if o == nil {
		o = &object{}
		n.objects[key] = o
	}
	change(o)
}

// written notes what became of an object that was sent.
func (o *object) written(version string) {
	o.unsure = false
	if version == "" {
		o.plain = true
	} else if !slices.Contains(o.versions, version) {
		o.versions = append(o.versions, version)
	}
}

// Put writes an object. A body that is an io.Seeker can be sent again where the
// server refuses it unsigned.
func (n *Namespace) Put(ctx context.Context, name string, body io.Reader, size int64) (Info, error) {
	// Whatever came before under this key, as a version it stays on the books.
	key, err := n.note(name, func(o *object) { o.unsure = true })
	if err != nil {
		return Info{}, err
	}
	ctx, cancel := land(ctx)
	defer cancel()
	ctx, trip := withTrip(ctx, false)
	var u minio.UploadInfo
	err = n.store.unsignedFirst(body, func(unsigned bool) error {
		u, err = n.store.core.PutObject(ctx, n.store.bucket, key, body, size, "", "",
			minio.PutObjectOptions{ContentType: contentType, DisableContentSha256: unsigned})
		return n.store.fail("put", trip, err)
	})
	if err != nil {
		if refused(err) {
			n.update(key, func(o *object) { o.unsure = false })
		}
		return Info{}, err
	}
	n.update(key, func(o *object) { o.written(u.VersionID) })
	return trip.info(size, u.ETag, u.VersionID, time.Time{}), nil
}

// refused: the server said no, so that nothing was written. Should it have lied,
// Clean's listing finds what it wrote.
func refused(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Status >= 400 && e.Status < 500 || e.Throttled() || e.Full())
}

const contentType = "application/octet-stream"

// refusesUnsigned are the codes by which servers refuse an unsigned payload over
// plain HTTP; S3 itself takes it.
var refusesUnsigned = []string{"XAmzContentSHA256Mismatch", "ContentSHA256Mismatch", "InvalidRequest", "NotImplemented", "MissingSecurityHeader"}

// unsignedFirst sends a body without hashing it: over TLS nobody can change it
// on the way, and elsewhere the hash would cost more than all the rest. The
// first server that refuses it gets every body signed from then on.
func (s *Store) unsignedFirst(body io.Reader, send func(unsigned bool) error) error {
	unsigned := !s.signed.Load()
	err := send(unsigned)
	seeker, ok := body.(io.Seeker)
	if !unsigned || !ok || s.endpoint.Scheme == "https" || !slices.Contains(refusesUnsigned, Code(err)) {
		return err
	}
	if _, serr := seeker.Seek(0, io.SeekStart); serr != nil {
		return err
	}
	if err = send(false); err == nil {
		s.signed.Store(true)
	}
	return err
}

// Delete deletes an object that this namespace wrote. In a versioned bucket its
// versions stay, and the delete marker joins them, until Clean.
func (n *Namespace) Delete(ctx context.Context, name string) error {
	key := n.prefix + name
	n.mu.Lock()
	known := n.objects[key] != nil
	n.mu.Unlock()
	if !known {
		return fmt.Errorf("%s: not written by this run", key)
	}
	return n.remove(ctx, key, "")
}

// remove deletes a key, or one version of it, and keeps the books.
func (n *Namespace) remove(ctx context.Context, key, version string) error {
	ctx, cancel := land(ctx)
	defer cancel()
	ctx, trip := withTrip(ctx, false)
	err := n.store.core.RemoveObject(ctx, n.store.bucket, key, minio.RemoveObjectOptions{VersionID: version})
	err = n.store.fail("delete", trip, err)
	if c := Code(err); c == "NoSuchKey" || c == "NoSuchVersion" {
		err = nil
	}
	n.update(key, func(o *object) {
		switch {
		case err != nil:
		case version != "":
			o.versions = slices.DeleteFunc(o.versions, func(v string) bool { return v == version })
		case trip.version != "":
			o.plain = false
			o.written(trip.version) // the marker
		default:
			o.plain, o.unsure = false, false
		}
	})
	return err
}

// An Upload is a multipart upload under way.
type Upload struct {
	Name string
	ID   string
	key  string
}

// A Part is one that the server has.
type Part struct {
	Number int
	ETag   string
}

// CreateMultipart begins an upload in parts.
func (n *Namespace) CreateMultipart(ctx context.Context, name string) (Upload, error) {
	key, err := n.note(name, func(o *object) { o.lost = true })
	if err != nil {
		return Upload{}, err
	}
	ctx, cancel := land(ctx)
	defer cancel()
	ctx, trip := withTrip(ctx, false)
	id, err := n.store.core.NewMultipartUpload(ctx, n.store.bucket, key, minio.PutObjectOptions{ContentType: contentType})
	if err == nil && id == "" {
		err = errors.New("the server returned no ID for the upload")
	}
	if err != nil {
		return Upload{}, n.store.fail("create multipart", trip, err)
	}
	n.update(key, func(o *object) { o.lost, o.uploads = false, append(o.uploads, id) })
	return Upload{Name: name, ID: id, key: key}, nil
}

// UploadPart writes one part; they are counted from 1, and all but the last are
// of at least 5 MiB.
func (n *Namespace) UploadPart(ctx context.Context, u Upload, number int, body io.Reader, size int64) (Part, error) {
	ctx, cancel := land(ctx)
	defer cancel()
	ctx, trip := withTrip(ctx, false)
	var p minio.ObjectPart
	err := n.store.unsignedFirst(body, func(unsigned bool) error {
		var err error
		p, err = n.store.core.PutObjectPart(ctx, n.store.bucket, u.key, u.ID, number, body, size,
			minio.PutObjectPartOptions{DisableContentSha256: unsigned})
		return n.store.fail("upload part", trip, err)
	})
	return Part{Number: number, ETag: p.ETag}, err
}

// Complete makes an object of the parts.
func (n *Namespace) Complete(ctx context.Context, u Upload, parts []Part) (Info, error) {
	n.update(u.key, func(o *object) { o.unsure = true })
	all := make([]minio.CompletePart, len(parts))
	for i, p := range parts {
		all[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.ETag}
	}
	ctx, cancel := land(ctx)
	defer cancel()
	ctx, trip := withTrip(ctx, false)
	i, err := n.store.core.CompleteMultipartUpload(ctx, n.store.bucket, u.key, u.ID, all, minio.PutObjectOptions{})
	if err != nil {
		return Info{}, n.store.fail("complete multipart", trip, err)
	}
	n.update(u.key, func(o *object) {
		o.written(i.VersionID)
		o.uploads = without(o.uploads, u.ID)
	})
	return trip.info(i.Size, i.ETag, i.VersionID, time.Time{}), nil
}

// Abort gives an upload up, and its parts.
func (n *Namespace) Abort(ctx context.Context, u Upload) error { return n.abort(ctx, u.key, u.ID) }

func (n *Namespace) abort(ctx context.Context, key, id string) error {
	err := n.store.abort(ctx, key, id)
	if err == nil {
		n.update(key, func(o *object) { o.uploads = without(o.uploads, id) })
	}
	return err
}

func (s *Store) abort(ctx context.Context, key, id string) error {
	ctx, trip := withTrip(ctx, false)
	err := s.fail("abort multipart", trip, s.core.AbortMultipartUpload(ctx, s.bucket, key, id))
	if Code(err) == "NoSuchUpload" {
		return nil
	}
	return err
}

func without(all []string, one string) []string {
	return slices.DeleteFunc(all, func(s string) bool { return s == one })
}

// Clean deletes what this namespace wrote, and only that: versions as versions,
// delete markers too, and open uploads are given up. It has its own 30 seconds,
// whatever became of ctx, and may be called again. What it had to leave is named.
func (n *Namespace) Clean(ctx context.Context) (left []string, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTime)
	defer cancel()
	for try := 0; ; try++ {
		err = n.sweep(ctx)
		// Also when all went well: not every server does what it says.
		n.reconcile(ctx)
		if left = n.left(); len(left) == 0 {
			n.forget()
			return nil, nil
		}
		if try > 0 && !worthAnother(err, try) || !pause(ctx, min(time.Duration(try)*cleanPause, lastPause)) {
			return left, cmp.Or(err, errors.New("the server reported them as deleted, but still lists them"))
		}
	}
}

// forget closes the books: all that was on them is gone.
func (n *Namespace) forget() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.objects)
}

// worthAnother: the server is busy, for which there is time, or it is away, for
// which there is less; it did not say no.
func worthAnother(err error, try int) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && (e.Throttled() || try < awayTries && (e.Status == 0 || e.Status >= 500))
}

func pause(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// sweep deletes what is there, or may be. The error is the first of them.
func (n *Namespace) sweep(ctx context.Context) error {
	var g errgroup.Group
	g.SetLimit(cleaners)
	var away atomic.Bool // nobody is there: the other requests need not be made
	for _, step := range n.steps() {
		g.Go(func() error {
			if away.Load() {
				return nil
			}
			err := step(ctx)
			if e, ok := errors.AsType[*Error](err); ok && e.Status == 0 {
				away.Store(true)
			}
			return err
		})
	}
	return g.Wait()
}

// steps are the requests that a sweep takes.
func (n *Namespace) steps() []func(context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var steps []func(context.Context) error
	for key, o := range n.objects {
		for _, id := range o.uploads {
			steps = append(steps, func(ctx context.Context) error { return n.abort(ctx, key, id) })
		}
		for _, v := range o.versions {
			steps = append(steps, func(ctx context.Context) error { return n.remove(ctx, key, v) })
		}
		if o.plain || o.unsure {
			steps = append(steps, func(ctx context.Context) error { return n.removeWhole(ctx, key) })
		}
	}
	return steps
}

// removeWhole deletes a key and, should that have left a delete marker because
// the bucket is versioned after all, the marker.
func (n *Namespace) removeWhole(ctx context.Context, key string) error {
	if err := n.remove(ctx, key, ""); err != nil {
		return err
	}
	n.mu.Lock()
	var versions []string
	if o := n.objects[key]; o != nil {
		versions = slices.Clone(o.versions)
	}
	n.mu.Unlock()
	for _, v := range versions {
		if err := n.remove(ctx, key, v); err != nil {
			return err
		}
	}
	return nil
}

// reconcile asks the server which of our keys are there. Where it does
// not say, each is taken to be. What it lists and is not on the books stays: it
// is not ours, even below our prefix.
func (n *Namespace) reconcile(ctx context.Context) {
	there := map[string][]string{} // versions by key
	listed, versions, err := n.store.versionsOrObjects(ctx, n.prefix)
	for _, o := range listed {
		there[o.Key] = append(there[o.Key], o.VersionID)
	}
	open := map[string][]string{} // uploads by key, where the server lists them
	for _, key := range n.lost() {
		// By the whole key: MinIO lists uploads by no shorter prefix.
		if uploads, err := n.store.uploads(ctx, key); err == nil {
			open[key] = []string{}
			for _, u := range uploads {
				open[u.Key] = append(open[u.Key], u.UploadID)
			}
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for key, o := range n.objects {
		o.reconcile(there[key], versions, err == nil)
		if ids, told := open[key]; told {
			o.lost, o.uploads = false, ids
		}
	}
}

// reconcile takes the server's word for what is under a key: all versions of it,
// or only whether there is an object.
func (o *object) reconcile(there []string, versions, told bool) {
	switch {
	case !told:
		o.plain = o.plain || o.unsure
		return
	case versions:
		o.versions = nil
	}
	o.plain, o.unsure = false, false
	for _, v := range there {
		o.written(v)
	}
}

// lost are the keys under which an upload may be open that we have no ID of.
func (n *Namespace) lost() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var keys []string
	for key, o := range n.objects {
		if o.lost {
			keys = append(keys, key)
		}
	}
	return keys
}

// left names what is still on the books.
func (n *Namespace) left() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for key, o := range n.objects {
		for _, v := range o.versions {
			out = append(out, fmt.Sprintf("%s (version %s)", key, n.store.Scrub(v)))
		}
		if o.plain || o.unsure {
			out = append(out, key)
		}
		for _, id := range o.uploads {
			out = append(out, fmt.Sprintf("%s (open upload %s)", key, n.store.Scrub(id)))
		}
		if o.lost {
			out = append(out, key+" (perhaps an open upload)")
		}
	}
	slices.Sort(out)
	return out
}

// A Leftover is an object, a version or an open upload that a run left behind.
type Leftover struct {
	Run       string
	Key       string
	VersionID string
	UploadID  string
	Size      int64
	Modified  time.Time
}

// leftoverRun is the run that made a key, if a Namespace can have made it.
func leftoverRun(key string) (string, bool) {
	rest, ok := strings.CutPrefix(key, Root)
	run, name, cut := strings.Cut(rest, "/")
	return run, ok && cut && runForm.MatchString(run) && nameForm.MatchString(name)
}

// Leftovers lists what earlier runs left: all below carbonio-check/ whose key
// has exactly the form that we give it. Other keys are not ours.
func Leftovers(ctx context.Context, s *Store) ([]Leftover, error) {
	var out []Leftover
	there, _, err := s.versionsOrObjects(ctx, Root)
	for _, o := range there {
		if run, ok := leftoverRun(o.Key); ok {
			out = append(out, Leftover{Run: run, Key: o.Key, VersionID: o.VersionID, Size: o.Size, Modified: o.Modified})
		}
	}
	if err != nil {
		return out, err
	}
	uploads, err := s.uploads(ctx, Root)
	for _, u := range uploads {
		if run, ok := leftoverRun(u.Key); ok {
			out = append(out, Leftover{Run: run, Key: u.Key, UploadID: u.UploadID, Modified: u.Initiated})
		}
	}
	if c := Code(err); c == "NotImplemented" || c == "AccessDenied" {
		err = nil // what cannot be listed cannot be removed either
	}
	return out, err
}

// Remove deletes leftovers. What has not our form is refused, not deleted.
func Remove(ctx context.Context, s *Store, leftovers []Leftover) (left []Leftover, err error) {
	var mu sync.Mutex
	var g errgroup.Group
	g.SetLimit(cleaners)
	for _, l := range leftovers {
		g.Go(func() error {
			err := s.removeLeftover(ctx, l)
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				left = append(left, l)
			}
			return err
		})
	}
	err = g.Wait()
	slices.SortFunc(left, func(a, b Leftover) int { return strings.Compare(a.Key, b.Key) })
	return left, err
}

func (s *Store) removeLeftover(ctx context.Context, l Leftover) error {
	if _, ok := leftoverRun(l.Key); !ok {
		return fmt.Errorf("%s: not a key that carbonio-check writes", l.Key)
	}
	if l.UploadID != "" {
		return s.abort(ctx, l.Key, l.UploadID)
	}
	n := &Namespace{store: s, objects: map[string]*object{l.Key: {plain: true}}}
	if l.VersionID != "" {
		return n.remove(ctx, l.Key, l.VersionID)
	}
	return n.removeWhole(ctx, l.Key)
}

// versionsOrObjects lists versions or, for who may not list those, objects.
func (s *Store) versionsOrObjects(ctx context.Context, prefix string) (all []Object, versions bool, err error) {
	all, err = s.ListVersions(ctx, prefix, maxListed)
	if err != nil {
		if objects, err := s.List(ctx, prefix, maxListed); err == nil {
			return objects, false, nil
		}
		return nil, false, err
	}
	// In a bucket that never was versioned every version is called null, and not
	// every server knows it by that name.
	if !slices.ContainsFunc(all, func(o Object) bool { return o.DeleteMarker || o.VersionID != "null" }) {
		for i := range all {
			all[i].VersionID = ""
		}
	}
	return all, true, nil
}

type upload struct {
	Key, UploadID string
	Initiated     time.Time
}

// uploads lists the open uploads below a prefix.
func (s *Store) uploads(ctx context.Context, prefix string) ([]upload, error) {
	ctx, trip := withTrip(ctx, false)
	var out []upload
	key, id := "", ""
	for len(out) < maxListed {
		page, err := s.core.ListMultipartUploads(ctx, s.bucket, prefix, key, id, "", pageSize)
		if err != nil {
			return out, s.fail("list uploads", trip, err)
		}
		for _, u := range page.Uploads {
			out = append(out, upload{u.Key, u.UploadID, u.Initiated})
		}
		if !page.IsTruncated || page.NextKeyMarker == key && page.NextUploadIDMarker == id {
			break
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
	return out, nil
}
