package s3bench_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"
)

// newSink serves a bucket that is always empty and gives any object that is
// asked for: its key begins with its size.
func newSink() *httptest.Server {
	zeros := make([]byte, 64<<10)
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 32<<10))
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
		q := r.URL.Query()
		switch {
		case r.Method == http.MethodDelete:
			w.WriteHeader(http.StatusNoContent)
		case r.Method != http.MethodGet:
		case q.Has("versions"):
			_, _ = io.WriteString(w, "<ListVersionsResult></ListVersionsResult>")
		case q.Has("list-type"):
			_, _ = io.WriteString(w, "<ListBucketResult></ListBucketResult>")
		case len(parts) == 5 || len(parts) == 4:
			size, _ := strconv.Atoi(parts[3])
			w.Header().Set("Content-Length", fmt.Sprint(size))
			for ; size > 0; size -= len(zeros) {
				if _, err := w.Write(zeros[:min(size, len(zeros))]); err != nil {
					return
				}
			}
		default:
			w.WriteHeader(http.StatusNotImplemented)
		}
	}))
}
