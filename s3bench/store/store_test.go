package store_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/fixtures/fakes3"
	"carbonio-check/s3bench/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const runID = "00112233445566ff"

// The foreign keys lie as near to ours as keys can.
var foreign = []string{
	"mail/msg-1", "carbonio-check", "carbonio-check/readme", "carbonio-check/not-a-run/x",
	"carbonio-check/00112233445566FF/x", "carbonio-check/00112233445566ff", "carbonio-check/00112233445566ff/", "carbonio-check/00112233445566ff/UPPER",
	"carbonio-check/00112233445566ff0/x", "xcarbonio-check/00112233445566ff/x",
}

func start(t *testing.T, o fakes3.Options) (*fakes3.Server, *store.Store) {
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

// unhurt: what was there is there, and no mutation ever named it.
func unhurt(t *testing.T, server *fakes3.Server, prefix string) {
	t.Helper()
	assert.Subset(t, server.Keys(), foreign)
	for _, m := range server.Mutations() {
		assert.True(t, strings.HasPrefix(m.Key, prefix) && m.Key != prefix, "%s %q", m.Method, m.Key)
		assert.NotContains(t, foreign, m.Key)
	}
}

func TestNamespaceLeavesNothing(t *testing.T) {
	for name, o := range map[string]fakes3.Options{
		"plain":     {},
		"TLS":       {TLS: true},
		"versioned": {Versioning: true},
		"versioned, and versions cannot be listed": {Versioning: true, Deny: deny("s3:ListBucketVersions")},
		"busy":               {Throttle: func(n int) bool { return n%3 == 0 }},
		"nothing is listed":  {Deny: deny("s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads")},
		"every put is lost":  {Intercept: loses(http.MethodPut)},
		"every post is lost": {Intercept: loses(http.MethodPost)},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t, o)
			ctx := t.Context()
			n := s.Namespace(runID)
			for i := range 10 {
				_, _ = n.Put(ctx, fmt.Sprintf("a/%d", i), strings.NewReader("hello"), 5)
			}
			_, _ = n.Put(ctx, "a/1", strings.NewReader("again"), 5)
			_ = n.Delete(ctx, "a/2")
			for _, name := range []string{"left-open", "aborted", "whole"} {
				u, err := n.CreateMultipart(ctx, name)
				if err != nil {
					continue
				}
				p, err := n.UploadPart(ctx, u, 1, strings.NewReader("part"), 4)
				switch {
				case err != nil || name == "left-open":
				case name == "aborted":
					_ = n.Abort(ctx, u)
				default:
					_, _ = n.Complete(ctx, u, []store.Part{p})
				}
			}
			cancelled, cancel := context.WithCancel(ctx)
			cancel()
			left, err := n.Clean(cancelled)
			assert.NoError(t, err)
			assert.Empty(t, left)
			assert.ElementsMatch(t, foreign, server.Keys())
			assert.Len(t, server.Versions(), len(foreign))
			unhurt(t, server, n.Prefix())
			if found, err := store.Leftovers(ctx, s); err == nil {
				assert.Empty(t, found, "no open upload either")
			}
			before := len(server.Mutations())
			_, err = n.Clean(ctx)
			assert.NoError(t, err)
			assert.Len(t, server.Mutations(), before, "cleaning again changes nothing")
		})
	}
}

func TestNamespaceNamesWhatItLeaves(t *testing.T) {
	for name, o := range map[string]fakes3.Options{
		"delete denied":              {Deny: deny("s3:DeleteObject", "s3:DeleteObjectVersion")},
		"deletes accepted, not done": {StaleDelete: true},
		"version delete denied":      {Versioning: true, Deny: deny("s3:DeleteObjectVersion")},
		"object lock":                {ObjectLock: true},
	} {
		t.Run(name, func(t *testing.T) {
			server, s := start(t, o)
			n := s.Namespace(runID)
			_, err := n.Put(t.Context(), "a", strings.NewReader("hello"), 5)
			require.NoError(t, err)
			left, err := n.Clean(t.Context())
			assert.Error(t, err)
			require.NotEmpty(t, left)
			assert.Contains(t, left[0], n.Key("a"))
			unhurt(t, server, n.Prefix())
		})
	}
}

func TestNamespaceRefusesOtherNames(t *testing.T) {
	server, s := start(t, fakes3.Options{})
	for run, name := range map[string]string{
		"": "a", "..": "a", "0011": "a", "00112233445566FF": "a",
		runID: "../x",
	} {
		_, err := s.Namespace(run).Put(t.Context(), name, strings.NewReader("x"), 1)
		assert.Error(t, err, "%q %q", run, name)
	}
	n := s.Namespace(runID)
	for _, name := range []string{"", "/a", "a//b", "a/../b", ".", "a/", "a b", "A", "a\n", "é", "a/./b"} {
		_, err := n.Put(t.Context(), name, strings.NewReader("x"), 1)
		assert.Error(t, err, name)
		_, err = n.CreateMultipart(t.Context(), name)
		assert.Error(t, err, name)
	}
	assert.Error(t, n.Delete(t.Context(), "never-written"))
	assert.Empty(t, server.Mutations())
}

func TestLeftovers(t *testing.T) {
	for _, versioning := range []bool{false, true} {
		server, s := start(t, fakes3.Options{Versioning: versioning})
		n := s.Namespace("ffeeddccbbaa9988")
		for range 2 {
			_, err := n.Put(t.Context(), "a/1", strings.NewReader("x"), 1)
			require.NoError(t, err)
		}
		_, err := n.CreateMultipart(t.Context(), "open")
		require.NoError(t, err)
		found, err := store.Leftovers(t.Context(), s)
		require.NoError(t, err)
		want := 2
		if versioning {
			want = 3
		}
		require.Len(t, found, want)
		left, err := store.Remove(t.Context(), s, append(found, store.Leftover{Key: "carbonio-check/readme"}))
		assert.Error(t, err)
		assert.Equal(t, []store.Leftover{{Key: "carbonio-check/readme"}}, left)
		assert.Len(t, server.Versions(), len(foreign))
		unhurt(t, server, n.Prefix())
		found, err = store.Leftovers(t.Context(), s)
		require.NoError(t, err)
		assert.Empty(t, found)
	}
}

func TestNoErrorHoldsASecret(t *testing.T) {
	secrets := []string{fakes3.SecretKey, url.QueryEscape(fakes3.SecretKey), fakes3.AccessKey}
	for shift := range 3 {
		secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift)+fakes3.SecretKey+"yz")))
	}
	echo := strings.Join(secrets, " ")
	for name, body := range map[string]string{
		"xml":  "<Error><Code>" + fakes3.SecretKey + "</Code><Message>" + echo + "</Message><Region>" + fakes3.AccessKey + "</Region></Error>",
		"text": "you sent " + echo,
		"cut":  strings.Repeat("x", 1020) + fakes3.SecretKey,
		"none": "",
	} {
		t.Run(name, func(t *testing.T) {
			_, s := start(t, fakes3.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("X-Minio-Error-Desc", echo)
				w.Header().Set("X-Amz-Bucket-Region", fakes3.SecretKey)
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, body)
				return true
			}})
			_, err := s.Namespace(runID).Put(t.Context(), "a", strings.NewReader("x"), 1)
			errs := []error{err, s.Exists(t.Context())}
			_, _, err = s.Get(t.Context(), "a", 0, -1)
			errs = append(errs, err)
			_, err = s.Head(t.Context(), "a")
			errs = append(errs, err)
			for _, err := range errs {
				var e *store.Error
				require.ErrorAs(t, err, &e)
				said := fmt.Sprintf("%v %+v %#v", err, *e, errors.Unwrap(err))
				for _, secret := range []string{fakes3.SecretKey, url.QueryEscape(fakes3.SecretKey), fakes3.AccessKey, "ZmFrZStzMy9TZWNy", "ha2UrczMvU2VjcmV0"} {
					assert.NotContains(t, said, secret)
				}
				assert.NotRegexp(t, `fake\+|AKIDF`, said, "not a part of it either")
			}
		})
	}
}

// A listing that never ends fails, and takes no more memory than it may.
func TestAnswersAreBounded(t *testing.T) {
	_, s := start(t, fakes3.Options{Intercept: func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.WriteString(w, "<ListBucketResult>")
		for range 100 << 10 {
			if _, err := io.WriteString(w, strings.Repeat("<Contents><Key>k</Key></Contents>", 32)); err != nil {
				break
			}
		}
		return true
	}})
	_, err := s.List(t.Context(), "", 10)
	assert.ErrorContains(t, err, "8 MiB")
}

func TestGetStreamsAndRanges(t *testing.T) {
	server, s := start(t, fakes3.Options{})
	content := make([]byte, 9<<20)
	_, _ = io.ReadFull(store.NewData(1).Reset(7, int64(len(content))), content)
	server.Put("big", content)
	for _, r := range [][2]int64{{0, -1}, {0, 0}, {5, 9}, {100, -1}} {
		body, _, err := s.Get(t.Context(), "big", r[0], r[1])
		require.NoError(t, err)
		got, err := io.ReadAll(body)
		require.NoError(t, err)
		require.NoError(t, body.Close())
		end := r[1] + 1
		if r[1] < 0 {
			end = int64(len(content))
		}
		require.True(t, bytes.Equal(content[r[0]:end], got))
	}
}

func TestServerClock(t *testing.T) {
	_, s := start(t, fakes3.Options{Skew: time.Hour})
	now, err := s.Clock(t.Context())
	require.NoError(t, err)
	assert.WithinDuration(t, time.Now().Add(time.Hour), now, 10*time.Second)
	err = s.Exists(t.Context())
	var e *store.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, "RequestTimeTooSkewed", e.Code)
	assert.WithinDuration(t, now, e.Server, 10*time.Second)
}

func TestEndpointsThatAreRefused(t *testing.T) {
	for _, endpoint := range []string{"", "s3.example.com", "ftp://x", "https://", "https://user:hush@s3.example.com", "https://s3.example.com/bucket", "https://s3.example.com/?x=hush"} {
		_, err := store.Open(store.Config{Endpoint: endpoint, Bucket: "b", AccessKey: "key", SecretKey: "hush"})
		require.Error(t, err, endpoint)
		assert.NotContains(t, err.Error(), "hush")
	}
}

func TestDataIsSeekableAndUnique(t *testing.T) {
	whole := make([]byte, 100_000)
	_, err := io.ReadFull(store.NewData(3).Reset(1, 100_000), whole)
	require.NoError(t, err)
	for _, offset := range []int64{0, 1, 15, 16, 17, 4096, 99_999, 100_000} {
		d := store.NewData(3).Reset(1, 100_000)
		_, err := d.Seek(offset, io.SeekStart)
		require.NoError(t, err)
		rest, err := io.ReadAll(d)
		require.NoError(t, err)
		require.True(t, bytes.Equal(whole[offset:], rest), offset)
	}
	other, err := io.ReadAll(store.NewData(3).Reset(2, 100_000))
	require.NoError(t, err)
	assert.NotEqual(t, whole[:64], other[:64])
}

func deny(actions ...string) func(string) bool {
	return func(action string) bool {
		return slices.Contains(actions, action)
	}
}

// loses breaks the connection on the first request of a method.
func loses(method string) func(http.ResponseWriter, *http.Request) bool {
	lost := false
	return func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != method || lost {
			return false
		}
		lost = true
		panic(http.ErrAbortHandler)
	}
}
