package s3bench_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/fixtures/fakes3"
	"carbonio-check/s3bench"
	"carbonio-check/s3bench/store"
	"carbonio-check/terminal"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// foreign keys lie beside ours, some of them as near as a key can.
var foreign = []string{
	"mail/msg-1", "carbonio-check/readme", "carbonio-check/not-a-run/1", "carbonio-check/00112233445566FF/1",
	"carbonio-check/ffeeddccbbaa9988/65536/1", // of another run, perhaps of one under way
	"65536/1", "probe",
}

func start(t testing.TB, o fakes3.Options) (*fakes3.Server, *store.Store) {
	t.Helper()
	server, err := fakes3.Start(o)
	require.NoError(t, err)
	for _, key := range foreign {
		server.Put(key, []byte("foreign"))
	}
	s, err := store.Open(store.Config{
		Endpoint: server.URL(), Bucket: fakes3.Bucket, Region: fakes3.Region, PathStyle: true,
		CAPEM: server.CAPEM(), AccessKey: fakes3.AccessKey, SecretKey: fakes3.SecretKey,
	})
	require.NoError(t, err)
	t.Cleanup(func() { s.Close(); server.Close() })
	return server, s
}

// unhurt: every request that would change something stayed below the run's own
// prefix, and all foreign keys are there. It returns what else is.
func unhurt(t *testing.T, server *fakes3.Server, run string) (left []string) {
	t.Helper()
	prefix := "carbonio-check/" + run + "/"
	for _, m := range server.Mutations() {
		require.True(t, strings.HasPrefix(m.Key, prefix) && m.Key != prefix, "%s %q", m.Method, m.Key)
	}
	keys := server.Keys()
	require.Subset(t, keys, foreign)
	return slices.DeleteFunc(keys, func(k string) bool { return slices.Contains(foreign, k) })
}

// small is a run of a second or so.
func small(workload string) s3bench.Config {
	c := s3bench.Config{Workload: workload, Threads: []int{1, 3}, Duration: 300 * time.Millisecond, Objects: 80, Bytes: 64 << 20, Seed: 1}
	if workload == s3bench.Ladder {
		c.Sizes = []int64{1000, 64 << 10}
	}
	return c
}

func TestCannotHurt(t *testing.T) {
	for name, c := range map[string]struct {
		server   fakes3.Options
		workload string
		cancel   int  // after so many requests
		refused  bool // the run does not begin
		left     bool // some of it must stay, and be named
		stopped  string
	}{
		"ladder":                            {},
		"ladder over TLS":                   {server: fakes3.Options{TLS: true}},
		"mail":                              {workload: s3bench.Mail},
		"multipart":                         {workload: s3bench.Multipart},
		"list":                              {workload: s3bench.List},
		"versioned":                         {server: fakes3.Options{Versioning: true}},
		"mail, versioned":                   {workload: s3bench.Mail, server: fakes3.Options{Versioning: true}},
		"interrupted early":                 {cancel: 3},
		"interrupted":                       {cancel: 60},
		"interrupted, versioned":            {cancel: 60, server: fakes3.Options{Versioning: true}},
		"mail, interrupted":                 {workload: s3bench.Mail, cancel: 100},
		"multipart, interrupted":            {workload: s3bench.Multipart, cancel: 12},
		"put denied halfway":                {server: fakes3.Options{Deny: after(50, "s3:PutObject")}},
		"every put denied":                  {refused: true, server: fakes3.Options{Deny: only("s3:PutObject")}},
		"delete denied":                     {refused: true, left: true, server: fakes3.Options{Deny: only("s3:DeleteObject")}},
		"deletes not done":                  {refused: true, left: true, server: fakes3.Options{StaleDelete: true}},
		"object lock":                       {refused: true, server: fakes3.Options{ObjectLock: true}},
		"object lock that cannot be read":   {refused: true, left: true, server: fakes3.Options{ObjectLock: true, Deny: only("s3:GetBucketObjectLockConfiguration")}},
		"full":                              {stopped: "the bucket is full", server: fakes3.Options{Capacity: 1 << 20}},
		"full from the beginning":           {refused: true, server: fakes3.Options{Full: true}},
		"throttle storm":                    {server: fakes3.Options{Throttle: func(n int) bool { return n%5 == 0 }}},
		"listings denied":                   {refused: true, server: fakes3.Options{Deny: only("s3:ListBucket")}},
		"versions cannot be listed":         {server: fakes3.Options{Deny: only("s3:ListBucketVersions")}},
		"versioned, versions are not shown": {server: fakes3.Options{Versioning: true, Deny: only("s3:ListBucketVersions")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var requests atomic.Int64
			c.server.Intercept = func(http.ResponseWriter, *http.Request) bool {
				if requests.Add(1) == int64(c.cancel) {
					cancel()
				}
				return false
			}
			server, s := start(t, c.server)
			r, err := s3bench.Run(ctx, s, small(c.workload), nil)
			left := unhurt(t, server, r.ID)
			if c.refused {
				require.Error(t, err)
				assert.LessOrEqual(t, len(left), 1, "the probe at most")
				assert.Equal(t, c.left, len(left) > 0)
				for _, key := range left {
					assert.Contains(t, err.Error(), key)
				}
				return
			}
			if c.cancel > 0 && err != nil {
				assert.ErrorIs(t, err, context.Canceled)
			} else {
				require.NoError(t, err)
			}
			assert.Empty(t, left)
			assert.Empty(t, r.Left)
			assert.Len(t, server.Versions(), len(foreign), "versions and delete markers too")
			assert.Equal(t, c.stopped, r.Stopped)
			assert.Equal(t, c.cancel > 0, ctx.Err() != nil)
			if c.cancel == 0 {
				assert.NotEmpty(t, r.Steps)
			}
		})
	}
}

// Deleting is denied once the run has begun: it ends, and names all that it left.
func TestLeftoversAreNamed(t *testing.T) {
	server, s := start(t, fakes3.Options{Deny: after(1, "s3:DeleteObject")})
	r, err := s3bench.Run(t.Context(), s, s3bench.Config{Sizes: []int64{1000}, Threads: []int{2}, Duration: 200 * time.Millisecond, Objects: 50}, nil)
	require.NoError(t, err)
	left := unhurt(t, server, r.ID)
	assert.NotEmpty(t, left)
	assert.ElementsMatch(t, left, r.Left)
}

func TestThrottlingAndErrorsAreShown(t *testing.T) {
	for name, o := range map[string]fakes3.Options{
		"throttled": {Throttle: func(n int) bool { return n > 10 && n%5 == 0 }},
		"denied": {Deny: func() func(string) bool {
			n := atomic.Int64{}
			return func(a string) bool { return a == "s3:GetObject" && n.Add(1)%5 == 0 }
		}()},
		"broken off": {Intercept: shorten("65536")},
		"too small":  {Intercept: shorten("100")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, s := start(t, o)
			r, err := s3bench.Run(t.Context(), s, small(s3bench.Ladder), nil)
			require.NoError(t, err)
			assert.Empty(t, unhurt(t, server, r.ID))
			var throttled, failed int64
			for _, step := range r.Steps {
				throttled += step.Throttled
				failed += step.Errors
				assert.Equal(t, step.Errors > 0, len(step.Samples) > 0)
			}
			assert.Equal(t, name == "throttled", throttled > 0)
			assert.Equal(t, name != "throttled", failed > 0)
			var b bytes.Buffer
			require.NoError(t, s3bench.TTY(&b, r, terminal.Terminal{Width: 80}))
			assert.Regexp(t, `throttled|failed`, b.String())
		})
	}
}

// shorten gives 100 bytes of every fourth object that is read.
func shorten(length string) func(http.ResponseWriter, *http.Request) bool {
	var n atomic.Int64
	return func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "65536/") || n.Add(1)%4 != 0 {
			return false
		}
		w.Header().Set("Content-Length", length)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		_, _ = w.Write(make([]byte, 100))
		if length != "100" {
			panic(http.ErrAbortHandler)
		}
		return true
	}
}

func TestBytesAreNeverExceeded(t *testing.T) {
	for _, workload := range s3bench.Workloads {
		t.Run(workload, func(t *testing.T) {
			var sent atomic.Int64
			_, s := start(t, fakes3.Options{Intercept: func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPut {
					sent.Add(r.ContentLength)
				}
				return false
			}})
			c := small(workload)
			c.Bytes = 40 << 20
			r, err := s3bench.Run(t.Context(), s, c, nil)
			require.NoError(t, err)
			assert.LessOrEqual(t, sent.Load(), c.Bytes)
			assert.Equal(t, sent.Load(), r.Written)
		})
	}
}

// A server that gives back all it got, in every way, finds no echo.
func TestNoSecretIsShown(t *testing.T) {
	echo := strings.Join([]string{
		fakes3.SecretKey, url.QueryEscape(fakes3.SecretKey), fakes3.AccessKey,
		base64.StdEncoding.EncodeToString([]byte(fakes3.AccessKey + ":" + fakes3.SecretKey)),
	}, " ")
	for name, from := range map[string]int64{"from the beginning": 0, "in the middle": 30} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			server, s := start(t, fakes3.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
				if n.Add(1) <= from || r.Method == http.MethodDelete || r.URL.Query().Has("versions") {
					return false
				}
				w.Header().Set("X-Amz-Request-Id", echo)
				w.Header().Set("Server", echo)
				w.Header().Set("X-Minio-Error-Desc", echo)
				w.WriteHeader(http.StatusBadRequest)
				_, _ = io.WriteString(w, "<Error><Code>Bad"+fakes3.SecretKey+"</Code><Message>"+echo+"\x1b[31m</Message></Error>")
				return true
			}})
			r, err := s3bench.Run(t.Context(), s, small(s3bench.Ladder), nil)
			unhurt(t, server, r.ID)
			said := bytes.NewBufferString(errorText(err))
			r.JudgeBy(s3bench.Limits{Throughput: 100, TTFB: 50 * time.Millisecond, Stability: 2})
			require.NoError(t, s3bench.JSON(said, r))
			require.NoError(t, s3bench.CSV(said, r))
			require.NoError(t, s3bench.HTML(said, r))
			require.NoError(t, s3bench.TTY(said, r, terminal.Terminal{Width: 80}))
			assert.Contains(t, said.String(), "[redacted]", "the server was quoted")
			for _, secret := range []string{"fake+s3", "fake%2Bs3", "fake&#43;s3", "Secret=Key", "Secret%3DKey", "AKIDFAKES3", "ZmFrZStzMy", "QUtJREZBS0VT", "\x1b"} {
				assert.NotContains(t, said.String(), secret)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// A server that dies in the middle ends nothing but the requests.
func TestServerDies(t *testing.T) {
	server, s := start(t, fakes3.Options{})
	time.AfterFunc(300*time.Millisecond, func() { server.Close() })
	c := small(s3bench.Ladder)
	c.Objects = 1000
	started := time.Now()
	r, err := s3bench.Run(t.Context(), s, c, nil)
	assert.Less(t, time.Since(started), time.Minute)
	if err == nil {
		assert.NotEmpty(t, r.Left, "nobody is there to delete anything")
		assert.NotEmpty(t, r.Stopped, r.Steps)
	}
}

// Streaming: 64 threads of 8 MiB take a small part of the 512 MiB they move.
func TestMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("moves gigabytes")
	}
	s, stop := sink(t)
	defer stop()
	// What is in use: under the race detector a pool drops what it is given, and
	// garbage says nothing of us.
	heap := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	var most uint64
	var mu sync.Mutex
	watch := func(s3bench.Update) {
		mu.Lock()
		defer mu.Unlock()
		metrics.Read(heap)
		most = max(most, heap[0].Value.Uint64())
	}
	_, err := s3bench.Run(t.Context(), s, s3bench.Config{
		Sizes: []int64{8 << 20}, Threads: []int{64}, Duration: time.Second, Bytes: 4 << 30, Seed: 1,
	}, watch)
	require.NoError(t, err)
	require.NotZero(t, most)
	t.Logf("the heap held %d MiB at most, the server's included", most>>20)
	assert.Less(t, most, uint64(100<<20))
}

// sink is a server that keeps nothing: the fake one's memory would be measured.
func sink(t testing.TB) (*store.Store, func()) {
	t.Helper()
	server := newSink()
	s, err := store.Open(store.Config{Endpoint: server.URL, Bucket: "bucket", Region: "us-east-1", PathStyle: true, AccessKey: "AKIDFAKES3", SecretKey: fakes3.SecretKey})
	require.NoError(t, err)
	return s, func() { s.Close(); server.Close() }
}

func TestConfig(t *testing.T) {
	require.NoError(t, s3bench.Config{}.WithDefaults().Check())
	for name, c := range map[string]s3bench.Config{
		"workload": {Workload: "other"}, "no thread": {Threads: []int{0}}, "too many": {Threads: []int{100_000}},
		"no size": {Sizes: []int64{0}}, "huge": {Sizes: []int64{1 << 40}}, "time": {Duration: -1}, "objects": {Objects: -1}, "bytes": {Bytes: -1},
		"mail has its own sizes": {Workload: s3bench.Mail, Sizes: []int64{1}},
	} {
		assert.Error(t, c.WithDefaults().Check(), name)
	}
	assert.Equal(t, []int{2, 4}, s3bench.Config{Threads: []int{4, 2, 4}}.WithDefaults().Threads)
}

func TestObjectLockWhenAllowed(t *testing.T) {
	server, s := start(t, fakes3.Options{ObjectLock: true})
	c := small(s3bench.Ladder)
	c.AllowObjectLock = true
	r, err := s3bench.Run(t.Context(), s, c, nil)
	unhurt(t, server, r.ID)
	if !errors.Is(err, s3bench.ErrLocked) && err == nil {
		assert.NotEmpty(t, r.Left)
	}
	assert.NotErrorIs(t, err, s3bench.ErrLocked)
}

// after denies an action once it was done n times.
func after(n int64, action string) func(string) bool {
	var done atomic.Int64
	return func(a string) bool { return a == action && done.Add(1) > n }
}

func only(action string) func(string) bool {
	return func(a string) bool { return a == action }
}
