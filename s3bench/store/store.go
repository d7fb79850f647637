// Package store is the seam over the S3 library: what the rest of the program
// knows of object storage is here. Reading may go anywhere in the bucket;
// writing and deleting only go through a Namespace.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Config says where a bucket is and how to be let in.
type Config struct {
	Endpoint  string // "https://s3.example.com:9000"
	Bucket    string
	Region    string // empty: the server is asked
	PathStyle bool   // endpoint/bucket/key, not bucket.endpoint/key
	CAPEM     []byte // trusted besides the system's authorities
	AccessKey string
	SecretKey string
	// Dial connects; nil is net.Dialer's. Proxies are never used: Carbonio's
	// mailbox does not use one either.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Retries is how often a failed request is sent again. Checks and
	// measurements want 0: what a retry hides is what they are there to show.
	Retries int
}

// Store is a bucket.
type Store struct {
	core      minio.Core
	bucket    string
	endpoint  *url.URL
	region    string
	transport *transport
	signed    atomic.Bool // payloads are signed, see Payload
}

// An Object is one entry of a listing.
type Object struct {
	Key          string
	VersionID    string // empty where versions were not asked for
	Size         int64
	ETag         string
	Modified     time.Time
	DeleteMarker bool
}

// Info is what a server says of one object.
type Info struct {
	Size      int64
	ETag      string
	VersionID string
	Modified  time.Time
	Server    time.Time // the server's clock when it answered, zero when it did not say
	Answered  time.Time // our clock when the answer's header came
}

// Open prepares a bucket for use. It does not touch the network.
func Open(c Config) (*Store, error) {
	endpoint, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	if c.Bucket == "" {
		return nil, errors.New("the bucket has no name")
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		return nil, errors.New("the access key or the secret key is empty")
	}
	t, err := newTransport(c)
	if err != nil {
		return nil, err
	}
	core, err := minio.NewCore(endpoint.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(c.AccessKey, c.SecretKey, ""),
		Secure:       endpoint.Scheme == "https",
		Transport:    t,
		Region:       c.Region,
		BucketLookup: lookup(endpoint, c.PathStyle),
		MaxRetries:   c.Retries + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %s", endpoint, t.secrets.scrub(err.Error()))
	}
	return &Store{core: *core, bucket: c.Bucket, endpoint: endpoint, region: c.Region, transport: t}, nil
}

// parseEndpoint refuses what is no bare URL. The text is not repeated: it may
// hold credentials.
func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, errors.New("the endpoint is not a URL such as https://s3.example.com:9000")
	case u.User != nil:
		return nil, errors.New("the endpoint contains credentials: give them by reference")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the endpoint has a path: give the bucket separately")
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// lookup obeys PathStyle, but a host without a name can have no bucket before it.
func lookup(endpoint *url.URL, pathStyle bool) minio.BucketLookupType {
	_, err := netip.ParseAddr(endpoint.Hostname())
	if pathStyle || err == nil || endpoint.Hostname() == "localhost" {
		return minio.BucketLookupPath
	}
	return minio.BucketLookupDNS
}

// Close closes the connections that wait for more to do.
func (s *Store) Close() { s.transport.base.CloseIdleConnections() }

// Scrub makes a server's word fit to be shown: without our credentials, however
// they are written in it, without what a terminal would obey, and not too long.
func (s *Store) Scrub(text string) string { return printable(s.transport.secrets.scrub(text)) }

// Endpoint is the endpoint as it was given.
func (s *Store) Endpoint() string { return s.endpoint.String() }

// Bucket is the bucket's name.
func (s *Store) Bucket() string { return s.bucket }

// Payload says how the bodies that we write are protected: "unsigned over TLS",
// "unsigned over plain HTTP", or, where a server refuses that, "signed in chunks".
func (s *Store) Payload() string {
	switch {
	case s.endpoint.Scheme == "https":
		return "unsigned over TLS"
	case s.signed.Load():
		return "signed in chunks"
	}
	return "unsigned over plain HTTP"
}

// Exists says why the bucket cannot be listed. It asks for a listing of one key
// and not for HEAD, which takes the same permission but answers without a reason.
func (s *Store) Exists(ctx context.Context) error {
	_, err := s.List(ctx, Root, 1)
	return err
}

// Clock is the server's clock: any response contains it, and none needs credentials.
func (s *Store) Clock(ctx context.Context) (time.Time, error) {
	ctx, trip := withTrip(ctx, false)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.endpoint.String()+"/", nil)
	if err != nil {
		return time.Time{}, s.fail("clock", trip, err)
	}
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return time.Time{}, s.fail("clock", trip, err)
	}
	resp.Body.Close()
	if trip.server.IsZero() {
		return time.Time{}, &Error{Op: "clock", Status: resp.StatusCode, Message: "the response has no Date header"}
	}
	return trip.server, nil
}

// Versioning is "Enabled", "Suspended" or empty.
func (s *Store) Versioning(ctx context.Context) (string, error) {
	ctx, trip := withTrip(ctx, false)
	v, err := s.core.GetBucketVersioning(ctx, s.bucket)
	return v.Status, s.fail("versioning", trip, err)
}

// Lock says whether the bucket has object lock: what is written may then stay
// permanently.
func (s *Store) Lock(ctx context.Context) (bool, error) {
	ctx, trip := withTrip(ctx, false)
	enabled, _, _, _, err := s.core.GetObjectLockConfig(ctx, s.bucket)
	if err = s.fail("object lock", trip, err); Code(err) == "ObjectLockConfigurationNotFoundError" {
		return false, nil
	}
	return enabled == "Enabled", err
}

// Lifecycle names the rules that are enabled.
func (s *Store) Lifecycle(ctx context.Context) ([]string, error) {
	ctx, trip := withTrip(ctx, false)
	config, err := s.core.GetBucketLifecycle(ctx, s.bucket)
	if err = s.fail("lifecycle", trip, err); Code(err) == "NoSuchLifecycleConfiguration" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rules []string
	for _, r := range config.Rules {
		if r.Status == "Enabled" {
			rules = append(rules, s.Scrub(r.ID))
		}
	}
	return rules, nil
}

// List lists the objects below a prefix, at most max of them.
func (s *Store) List(ctx context.Context, prefix string, max int) ([]Object, error) {
	return s.list(ctx, "list", max, minio.ListObjectsOptions{Prefix: prefix})
}

// ListVersions lists the versions and delete markers below a prefix, at most max.
func (s *Store) ListVersions(ctx context.Context, prefix string, max int) ([]Object, error) {
	return s.list(ctx, "list versions", max, minio.ListObjectsOptions{Prefix: prefix, WithVersions: true})
}

// pageSize is the most that S3 lists in one answer.
const pageSize = 1000

func (s *Store) list(ctx context.Context, op string, max int, opts minio.ListObjectsOptions) ([]Object, error) {
	opts.Recursive, opts.MaxKeys = true, min(max, pageSize)
	ctx, trip := withTrip(ctx, false)
	var out []Object
	for o := range s.core.ListObjectsIter(ctx, s.bucket, opts) {
		if o.Err != nil {
			return out, s.fail(op, trip, o.Err)
		}
		if len(out) == max {
			break
		}
		out = append(out, Object{
			Key: o.Key, VersionID: o.VersionID, Size: o.Size, ETag: o.ETag,
			Modified: o.LastModified, DeleteMarker: o.IsDeleteMarker,
		})
	}
	return out, s.fail(op, trip, ctx.Err())
}

// Get reads an object from byte from to byte to, both included; 0, -1 is all of
// it. The body streams, and must be closed.
func (s *Store) Get(ctx context.Context, key string, from, to int64) (io.ReadCloser, Info, error) {
	var opts minio.GetObjectOptions
	if from > 0 || to >= 0 {
		end := ""
		if to >= 0 {
			end = strconv.FormatInt(to, 10)
		}
		opts.Set("Range", fmt.Sprintf("bytes=%d-%s", from, end))
	}
	ctx, trip := withTrip(ctx, true)
	body, o, _, err := s.core.GetObject(ctx, s.bucket, key, opts)
	if err != nil {
		return nil, Info{}, s.fail("get", trip, err)
	}
	return &reader{body, s, trip}, trip.info(o.Size, o.ETag, o.VersionID, o.LastModified), nil
}

// reader makes the errors of a body our own.
type reader struct {
	io.ReadCloser
	store *Store
	trip  *trip
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = r.store.fail("get", r.trip, err)
	}
	return n, err
}

// Head asks for an object without its content.
func (s *Store) Head(ctx context.Context, key string) (Info, error) {
	ctx, trip := withTrip(ctx, false)
	o, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return Info{}, s.fail("head", trip, err)
	}
	return trip.info(o.Size, o.ETag, o.VersionID, o.LastModified), nil
}
