package store_test

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/require"

	"carbonio-check/s3bench/store"
)

const benchSize = 1 << 20

// null answers everything at once, and keeps nothing: what is measured is the
// client.
func null(b *testing.B, secure bool) *httptest.Server {
	content := make([]byte, benchSize)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Last-Modified", "Sat, 21 Nov 2026 10:00:00 GMT")
		if r.Method == http.MethodGet {
			w.Header().Set("Content-Length", fmt.Sprint(len(content)))
			_, _ = w.Write(content)
		}
	}))
	if secure {
		s.StartTLS()
	} else {
		s.Start()
	}
	b.Cleanup(s.Close)
	return s
}

// Ours against the library's own Core, on a server that costs nothing.
func BenchmarkSeam(b *testing.B) {
	for _, secure := range []bool{false, true} {
		server := null(b, secure)
		name := map[bool]string{false: "http", true: "https"}[secure]
		core, err := minio.NewCore(server.Listener.Addr().String(), &minio.Options{
			Creds: credentials.NewStaticV4("AKIDFAKES3", "fake+s3/Secret=Key", ""), Region: "us-east-1", Secure: secure, BucketLookup: minio.BucketLookupPath,
			Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		})
		require.NoError(b, err)
		s, err := store.Open(store.Config{
			Endpoint: server.URL, Bucket: "bucket", Region: "us-east-1", PathStyle: true, AccessKey: "AKIDFAKES3", SecretKey: "fake+s3/Secret=Key",
			CAPEM: certificate(server),
		})
		require.NoError(b, err)
		n := s.Namespace(runID)
		run := func(what string, do func(data *store.Data, buffer []byte, i int) error) {
			b.Run(name+"/"+what, func(b *testing.B) {
				b.SetBytes(benchSize)
				b.SetParallelism(4) // times the processors: 8 threads on two
				before := cpu(b)
				b.RunParallel(func(pb *testing.PB) {
					data, buffer := store.NewData(1), make([]byte, 256<<10)
					for i := 0; pb.Next(); i++ {
						if err := do(data, buffer, i); err != nil {
							b.Error(err)
							return
						}
					}
				})
				// Client and server together; the server's share is the same for both.
				b.ReportMetric(float64(cpu(b)-before)/1e6/float64(b.N), "cpu-ms/op")
			})
		}
		run("put/core", func(d *store.Data, _ []byte, i int) error {
			_, err := core.PutObject(b.Context(), "bucket", "key", d.Reset(uint64(i), benchSize), benchSize, "", "", minio.PutObjectOptions{DisableContentSha256: true})
			return err
		})
		run("put/ours", func(d *store.Data, _ []byte, i int) error {
			_, err := n.Put(b.Context(), "key", d.Reset(uint64(i), benchSize), benchSize)
			return err
		})
		run("get/core", func(_ *store.Data, buffer []byte, _ int) error {
			body, _, _, err := core.GetObject(b.Context(), "bucket", "key", minio.GetObjectOptions{})
			if err == nil {
				_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, buffer)
				body.Close()
			}
			return err
		})
		run("get/ours", func(_ *store.Data, buffer []byte, _ int) error {
			body, _, err := s.Get(b.Context(), n.Key("key"), 0, -1)
			if err == nil {
				_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, body, buffer)
				body.Close()
			}
			return err
		})
	}
}

// cpu is the time that this process has used.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}

func certificate(server *httptest.Server) []byte {
	if server.Certificate() == nil {
		return nil
	}
	var b strings.Builder
	_ = pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	return []byte(b.String())
}

func BenchmarkData(b *testing.B) {
	d, p := store.NewData(1), make([]byte, 256<<10)
	b.SetBytes(int64(len(p)))
	for i := 0; b.Loop(); i++ {
		_, _ = d.Reset(uint64(i), int64(len(p))).Read(p)
	}
}
