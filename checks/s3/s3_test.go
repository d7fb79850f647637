package s3

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/fixtures/fakes3"
	"carbonio-check/platform"
	"carbonio-check/s3bench"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

const name = "s3.example.com"

// The credentials that the fake host gives out.
var (
	accessRef = platform.SecretRef{Env: "S3_ACCESS_KEY"}
	secretRef = platform.SecretRef{File: "/root/s3.key"}
)

// place is a mailstore that looks at a fake object storage.
type place struct {
	server *fakes3.Server
	scope  checks.Scope
	host   checks.Host
}

// at makes a mailstore whose s3.example.com is the server; change may plant a
// fault in its configuration.
func at(t *testing.T, server *fakes3.Server, node string, change func(*platform.Bucket), others ...string) place {
	t.Helper()
	b := platform.Bucket{
		Endpoint: strings.Split(server.URL(), ":")[0] + "://" + name + ":9000", Bucket: fakes3.Bucket,
		Region: fakes3.Region, PathStyle: true, AccessKey: accessRef, SecretKey: secretRef,
	}
	if server.CAPEM() != nil {
		b.CAFile = "/etc/s3-ca.pem"
	}
	if change != nil {
		change(&b)
	}
	var nodes []platform.Node
	for _, m := range append([]string{node}, others...) {
		nodes = append(nodes, checkstest.Node(m, "", platform.Mailstore))
	}
	p := place{server: server, scope: checkstest.Scope(nodes...)}
	p.scope.Vantages[0].Phase = checks.Preinstall
	Buckets.Set(p.scope.Settings, []platform.Bucket{b})
	p.host = checks.Host{
		Files: checkstest.Files(map[string]string{"etc/s3-ca.pem": string(server.CAPEM())}),
		Run:   checkstest.Commands(nil), Machine: checkstest.Machine{},
		Secret:  secrets(map[platform.SecretRef]string{accessRef: fakes3.AccessKey, secretRef: fakes3.SecretKey}),
		Network: network(server),
	}
	return p
}

func secrets(known map[platform.SecretRef]string) func(platform.SecretRef) (string, error) {
	return func(r platform.SecretRef) (string, error) {
		if s, ok := known[r]; ok {
			return s, nil
		}
		return "", fmt.Errorf("the environment variable %s is empty or not set", r.Env)
	}
}

// network leads every name below example.com to the server.
func network(server *fakes3.Server) checkstest.Network {
	_, address, _ := strings.Cut(server.URL(), "://")
	return checkstest.Network{
		LookupFunc: func(_ context.Context, host string) ([]netip.Addr, error) {
			if !strings.HasSuffix(host, name) {
				return nil, errors.New("no such host")
			}
			return []netip.Addr{netip.MustParseAddr("192.0.2.7")}, nil
		},
		DialFunc: func(ctx context.Context, network, to string) (net.Conn, error) {
			if !strings.HasSuffix(to, name+":9000") && to != "192.0.2.7:9000" {
				return nil, errors.New("no such host")
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		},
	}
}

func start(t *testing.T, o fakes3.Options) *fakes3.Server {
	t.Helper()
	if o.TLS && o.Names == nil {
		o.Names = []string{name, "*." + name}
	}
	s, err := fakes3.Start(o)
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func deny(actions ...string) func(string) bool {
	return func(action string) bool { return slices.Contains(actions, action) }
}

// Each fault, from the first packet to the finding.
func TestFaults(t *testing.T) {
	type fault struct {
		options fakes3.Options
		bucket  func(*platform.Bucket)
		place   func(*place)
	}
	wrong := func(r platform.SecretRef, value string) func(*place) {
		return func(p *place) {
			known := map[platform.SecretRef]string{accessRef: fakes3.AccessKey, secretRef: fakes3.SecretKey}
			known[r] = value
			p.host.Secret = secrets(known)
		}
	}
	expired := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for title, f := range map[string]fault{
		"healthy":              {options: fakes3.Options{TLS: true}},
		"healthy-virtual-host": {options: fakes3.Options{TLS: true}, bucket: func(b *platform.Bucket) { b.PathStyle = false }},
		"healthy-no-region":    {options: fakes3.Options{TLS: true, Region: "eu-south-1"}, bucket: func(b *platform.Bucket) { b.Region = "" }},
		"plain-http":           {},
		"wrong-secret":         {options: fakes3.Options{TLS: true}, place: wrong(secretRef, "not the secret")},
		"unknown-key":          {options: fakes3.Options{TLS: true}, place: wrong(accessRef, "AKIDNOBODY")},
		"no-secret":            {options: fakes3.Options{TLS: true}, place: func(p *place) { p.host.Secret = secrets(nil) }},
		"wrong-region":         {options: fakes3.Options{TLS: true, Region: "eu-south-1"}},
		"wrong-region-redirected": {
			options: fakes3.Options{TLS: true, Region: "eu-south-1", Redirect: true},
		},
		"skewed-clock":   {options: fakes3.Options{TLS: true, Skew: -time.Hour}},
		"drifting-clock": {options: fakes3.Options{TLS: true, Skew: 5 * time.Minute}},
		"unknown-bucket": {options: fakes3.Options{TLS: true}, bucket: func(b *platform.Bucket) { b.Bucket = "carbonio" }},
		"expired-certificate": {
			options: fakes3.Options{TLS: true, NotAfter: expired},
		},
		"wrong-name-certificate": {options: fakes3.Options{TLS: true, Names: []string{"minio.example.net"}}},
		"unknown-authority":      {options: fakes3.Options{TLS: true}, bucket: func(b *platform.Bucket) { b.CAFile = "" }},
		"no-ca-file":             {options: fakes3.Options{TLS: true}, bucket: func(b *platform.Bucket) { b.CAFile = "/etc/other.pem" }},
		"http-to-tls":            {bucket: func(b *platform.Bucket) { b.Endpoint = "https://" + name + ":9000" }},
		"unresolved":             {bucket: func(b *platform.Bucket) { b.Endpoint = "http://minio.example.net:9000" }},
		"unresolved-virtual-host": {
			options: fakes3.Options{TLS: true}, bucket: func(b *platform.Bucket) { b.PathStyle = false },
			place: func(p *place) {
				n := network(p.server)
				n.LookupFunc = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such host") }
				n.DialFunc = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no such host") }
				p.host.Network = n
			},
		},
		"refused": {
			options: fakes3.Options{TLS: true},
			place: func(p *place) {
				n := network(p.server)
				n.DialFunc = func(context.Context, string, string) (net.Conn, error) {
					return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
				}
				p.host.Network = n
			},
		},
		"read-only":            {options: fakes3.Options{TLS: true, Deny: deny("s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload")}},
		"delete-denied":        {options: fakes3.Options{TLS: true, Deny: deny("s3:DeleteObject")}},
		"abort-denied":         {options: fakes3.Options{TLS: true, Deny: deny("s3:AbortMultipartUpload")}},
		"list-denied":          {options: fakes3.Options{TLS: true, Deny: deny("s3:ListBucket", "s3:ListBucketVersions")}},
		"everything-denied":    {options: fakes3.Options{TLS: true, Deny: func(string) bool { return true }}},
		"least-privilege":      {options: fakes3.Options{TLS: true, Deny: deny("s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration", "s3:GetLifecycleConfiguration", "s3:GetBucketLocation", "s3:ListBucketVersions")}},
		"versioned":            {options: fakes3.Options{TLS: true, Versioning: true}},
		"versioned-unreadable": {options: fakes3.Options{TLS: true, Versioning: true, Deny: deny("s3:GetBucketVersioning", "s3:GetBucketObjectLockConfiguration")}},
		"version-delete-denied": {
			options: fakes3.Options{TLS: true, Versioning: true, Deny: deny("s3:DeleteObjectVersion")},
		},
		"object-lock":            {options: fakes3.Options{TLS: true, ObjectLock: true}},
		"object-lock-unreadable": {options: fakes3.Options{TLS: true, ObjectLock: true, Deny: deny("s3:GetBucketObjectLockConfiguration")}},
		"lifecycle":              {options: fakes3.Options{TLS: true, Lifecycle: []string{"tidy", "archive"}}},
		"throttled":              {options: fakes3.Options{TLS: true, Throttle: func(int) bool { return true }}},
		"sometimes-throttled":    {options: fakes3.Options{TLS: true, Throttle: func(n int) bool { return n%5 == 0 }}},
		"full":                   {options: fakes3.Options{TLS: true, Full: true}},
		"corrupt":                {options: fakes3.Options{TLS: true, Corrupt: true}},
		"ranges-ignored":         {options: fakes3.Options{TLS: true, IgnoreRange: true}},
		"stale-list":             {options: fakes3.Options{TLS: true, StaleList: true}},
		"stale-delete":           {options: fakes3.Options{TLS: true, StaleDelete: true}},
		"no-s3": {
			options: fakes3.Options{TLS: true, Intercept: func(w http.ResponseWriter, _ *http.Request) bool {
				http.Error(w, "<html>Bad Gateway</html>", http.StatusBadGateway)
				return true
			}},
		},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			p := at(t, start(t, f.options), "mbox1.example.com", f.bucket)
			if f.place != nil {
				f.place(&p)
			}
			looks := []checks.AnyLook{endpoints, rounds}
			findings, _ := judge(p.scope, checks.NewRecord(observe(t.Context(), t, p, looks...)))
			checkstest.Golden(t, filepath.Join("testdata", "faults", title+".golden"), settled(checkstest.Render(folded(findings))))
		})
	}
}

// folded replaces what a failure explains with the name of its root cause, and
// fills in from the catalogue, as the runner does.
func folded(findings []checks.Finding) []checks.Finding {
	cause := func(f checks.Finding) (checks.Finding, bool) {
		needs := slices.Clone(f.Needs)
		for _, c := range f.Check.Needs {
			needs = append(needs, c.On(f.Target))
		}
		for _, n := range needs {
			for _, other := range findings {
				if other.Status == checks.Fail && other.Check.On(other.Target) == n {
					return other, true
				}
			}
		}
		return f, false
	}
	out := slices.Clone(findings)
	for i, f := range out {
		root, explained := f, false
		for next, ok := cause(f); ok; next, ok = cause(next) {
			root, explained = next, true
		}
		switch {
		case explained && (f.Status == checks.Fail || f.Status == checks.Unknown):
			out[i].Status, out[i].Remedy, out[i].Message = checks.Skip, "", "blocked by "+root.Check.On(root.Target).String()
		case f.Status == checks.Fail, f.Status == checks.Warn:
			out[i].Remedy = cmp.Or(f.Remedy, f.Check.Remedy)
		}
	}
	slices.SortStableFunc(out, func(a, b checks.Finding) int {
		return cmp.Compare(slices.Index(catalogue, a.Check), slices.Index(catalogue, b.Check))
	})
	return out
}

var (
	runID    = regexp.MustCompile(`carbonio-check/[0-9a-f]{16}/`)
	until    = regexp.MustCompile(`valid until \d{4}-\d\d-\d\d`)
	uploadID = regexp.MustCompile(`u0000000\d`)
)

// settled takes out of a text what is another in every run.
func settled(text string) string {
	text = runID.ReplaceAllString(text, "carbonio-check/RUN/")
	text = uploadID.ReplaceAllString(text, "UPLOAD")
	return until.ReplaceAllString(text, "valid until DAY")
}

// A server that accepts and never answers costs one look.
func TestASilentServer(t *testing.T) {
	release := make(chan struct{})
	s := start(t, fakes3.Options{Intercept: func(http.ResponseWriter, *http.Request) bool { <-release; return true }})
	defer close(release)
	p := at(t, s, "mbox1.example.com", nil)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	findings, _ := judge(p.scope, checks.NewRecord(observe(ctx, t, p, Module.Looks()...)))
	require.NotEmpty(t, findings)
	for _, f := range findings {
		require.NotEqual(t, checks.Pass, f.Status, "%s: %s", f.Check.ID, f.Message)
	}
}

// observe makes looks, through JSON and back, each with its own deadline.
func observe(ctx context.Context, t *testing.T, p place, looks ...checks.AnyLook) []checks.Observation {
	t.Helper()
	var seen []checks.Observation
	for _, look := range looks {
		plan, err := look.Plan(p.scope, p.host)
		require.NoError(t, err)
		for _, next := range plan {
			o := checks.Observation{Subject: "s3", Kind: next.Kind, Target: next.Target, Vantage: p.scope.Self().Node, At: time.Now()}
			if o.Data, err = next.Observe(ctx, p.host); err != nil {
				why := checks.Why(err)
				o.Unseen = &why
			}
			seen = append(seen, o)
		}
	}
	return seen
}

// Whatever happens, only keys below our prefix are touched, and nothing of ours
// is left where it may be deleted.
func TestItCannotHurt(t *testing.T) {
	for title, o := range map[string]fakes3.Options{
		"healthy":   {},
		"versioned": {Versioning: true},
		"lock":      {ObjectLock: true},
		"full":      {Full: true},
		"small":     {Capacity: probeSize + 100},
		"throttled": {Throttle: func(n int) bool { return n%3 == 0 }},
		"corrupt":   {Corrupt: true},
		"no puts":   {Deny: deny("s3:PutObject")},
		"no lists":  {Deny: deny("s3:ListBucket", "s3:ListBucketVersions")},
		"failing": {Intercept: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut {
				w.WriteHeader(http.StatusInternalServerError)
			}
			return r.Method == http.MethodPut
		}},
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			s := start(t, o)
			foreign := plant(s)
			p := at(t, s, "mbox1.example.com", nil, "mbox2.example.com")
			for _, look := range Module.Looks() {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				observe(ctx, t, p, look)
				cancel()
			}
			requireUnhurt(t, s, foreign)
		})
	}
}

// plant puts objects of others into the bucket, one of them below our prefix.
func plant(s *fakes3.Server) (versions []string) {
	for _, key := range []string{"store/1/2-3.msg", "probe", "carbonio-check/notes.txt", "carbonio-check/0123456789abcdef/probe", "shared/mbox1.example.com"} {
		s.Put(key, []byte("foreign "+key))
	}
	return s.Versions()
}

func requireUnhurt(t *testing.T, s *fakes3.Server, foreign []string) {
	t.Helper()
	for _, m := range s.Mutations() {
		require.Regexp(t, `^carbonio-check/[0-9a-f]{16}/(probe|upload|shared/mbox1\.example\.com)$`, m.Key, "%+v", m)
		require.NotContains(t, m.Key, "0123456789abcdef", "%+v", m)
	}
	require.Equal(t, foreign, s.Versions(), "what the bucket holds afterwards")
	require.Empty(t, s.Uploads())
}

// An interruption at any request leaves nothing behind.
func TestAnInterruptionLeavesNothing(t *testing.T) {
	for last := range 24 {
		ctx, cancel := context.WithCancel(t.Context())
		var n atomic.Int64
		s := start(t, fakes3.Options{Versioning: last%2 == 0, Intercept: func(http.ResponseWriter, *http.Request) bool {
			if n.Add(1) == int64(last) {
				cancel()
			}
			return false
		}})
		foreign := plant(s)
		p := at(t, s, "mbox1.example.com", nil)
		observe(ctx, t, p, rounds)
		cancel()
		requireUnhurt(t, s, foreign)
	}
}

// A server may say what it was told. Nothing of it gets into what we keep.
func TestSecretsAreNotKept(t *testing.T) {
	forms := []string{
		fakes3.SecretKey, fakes3.AccessKey, url.QueryEscape(fakes3.SecretKey), url.PathEscape(fakes3.SecretKey),
		base64.StdEncoding.EncodeToString([]byte(fakes3.SecretKey)), strings.ReplaceAll(fakes3.SecretKey, "/", `\/`),
	}
	all := strings.Join(forms, " | ")
	answer := func(status int, body string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("X-Echo", all)
			w.Header().Set("Etag", all)
			w.Header().Set("X-Amz-Version-Id", fakes3.SecretKey)
			w.Header().Set("X-Amz-Bucket-Region", fakes3.SecretKey)
			w.WriteHeader(status)
			_, _ = w.Write([]byte(strings.ReplaceAll(body, "ECHO", all+" "+r.Header.Get("Authorization"))))
			return true
		}
	}
	for title, intercept := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"refusal": answer(403, "<Error><Code>ECHO</Code><Message>ECHO</Message><Region>ECHO</Region></Error>"),
		"clock":   answer(403, "<Error><Code>RequestTimeTooSkewed</Code><Message>ECHO</Message></Error>"),
		"region":  answer(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Message>ECHO</Message><Region>ECHO</Region></Error>"),
		"no xml":  answer(502, "ECHO"),
		"success": answer(200, "<X><Status>ECHO</Status><Key>ECHO</Key><Rule><ID>ECHO</ID><Status>Enabled</Status></Rule></X>"),
		"listing": answer(200, "<ListBucketResult><Contents><Key>carbonio-check/0123456789abcdef/shared/mbox2.example.com</Key><ETag>ECHO</ETag></Contents></ListBucketResult>"),
	} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			p := at(t, start(t, fakes3.Options{Intercept: intercept}), "mbox1.example.com", nil, "mbox2.example.com")
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			seen := observe(ctx, t, p, Module.Looks()...)
			kept, err := json.Marshal(seen)
			require.NoError(t, err)
			findings, _ := judge(p.scope, checks.NewRecord(seen))
			told := checkstest.Render(findings)
			for _, form := range forms {
				inJSON, err := json.Marshal(form)
				require.NoError(t, err)
				require.NotContains(t, string(kept), strings.Trim(string(inJSON), `"`))
				require.NotContains(t, told, form)
			}
		})
	}
}

// meet has mailstores look at the same time, each at its own server.
func meet(t *testing.T, servers ...*fakes3.Server) (checks.Scope, []checks.Observation) {
	t.Helper()
	names := []string{"mbox1.example.com", "mbox2.example.com", "mbox3.example.com"}[:len(servers)]
	results := make(chan []checks.Observation, len(servers))
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second) // of which they wait for three
	defer cancel()
	var scope checks.Scope
	for i, s := range servers {
		p := at(t, s, names[i], nil, slices.Delete(slices.Clone(names), i, i+1)...)
		go func() { results <- observe(ctx, t, p, exchanges) }()
		if i == 0 {
			scope = p.scope
			scope.Vantages = nil
		}
		scope.Vantages = append(scope.Vantages, p.scope.Self())
	}
	var seen []checks.Observation
	for range servers {
		seen = append(seen, <-results...)
	}
	return scope, seen
}

func sharedFinding(t *testing.T, scope checks.Scope, seen []checks.Observation) checks.Finding {
	t.Helper()
	found, _ := judge(scope, checks.NewRecord(seen))
	require.Len(t, found, 1)
	require.Equal(t, shared, found[0].Check)
	return found[0]
}

func TestMailstoresMeet(t *testing.T) {
	s := start(t, fakes3.Options{})
	scope, seen := meet(t, s, s, s)
	f := sharedFinding(t, scope, seen)
	require.Equal(t, checks.Pass, f.Status, checkstest.Render([]checks.Finding{f}))
	require.Empty(t, s.Versions(), "the notes are gone")
}

func TestMailstoresMissEachOther(t *testing.T) {
	t.Parallel()
	scope, seen := meet(t, start(t, fakes3.Options{}), start(t, fakes3.Options{}))
	f := sharedFinding(t, scope, seen)
	require.Equal(t, checks.Fail, f.Status, checkstest.Render([]checks.Finding{f}))
	require.Contains(t, f.Evidence["seen"], "neither saw the other's object")
}

func TestDifference(t *testing.T) {
	want := []byte("0123456789")
	for _, c := range []struct{ got, want string }{
		{"0123456789", ""},
		{"", "0 bytes instead of 10"},
		{"01234", "5 bytes instead of 10"},
		{"01234567890", "more than the 10 bytes requested"},
		{"0123x56789", "different bytes from offset 4 of 10"},
	} {
		require.Equal(t, c.want, difference([]byte(c.got), want))
	}
	require.False(t, bytes.Equal(randomBytes(64), randomBytes(64)))
}

func TestBuckets(t *testing.T) {
	good := platform.Bucket{Endpoint: "https://s3.example.com", Bucket: "carbonio-ha", AccessKey: accessRef, SecretKey: secretRef}
	other := good
	other.Bucket = "backup"
	for want, buckets := range map[string][]platform.Bucket{
		"":                     {good, other},
		"bucket 2: bucket is":  {good, {Endpoint: good.Endpoint, AccessKey: accessRef, SecretKey: secretRef}},
		"bucket 3: carbonio-h": {good, other, good},
	} {
		_, err := Buckets.Decode(func(into any) error { *into.(*[]platform.Bucket) = buckets; return nil })
		if want == "" {
			require.NoError(t, err)
		} else {
			require.ErrorContains(t, err, "s3: "+want)
		}
	}
	_, err := minThroughput.Decode(func(into any) error { *into.(*float64) = math.NaN(); return nil })
	require.Error(t, err)
	require.Equal(t, s3bench.Limits{Throughput: 100, TTFB: 50 * time.Millisecond, Stability: 2}, Limits(checks.Scope{}))
}

func TestTargets(t *testing.T) {
	scope := checkstest.Scope(checkstest.Node("mbox1.example.com", "", platform.Mailstore), checkstest.Node("mbox2.example.com", "", platform.Mailstore))
	names := func() (out []string) {
		for _, look := range Module.Looks() {
			plan, err := look.Plan(scope, checks.Host{})
			require.NoError(t, err)
			for _, p := range plan {
				out = append(out, p.Kind+" "+p.Target.Name+" "+p.Target.Address)
			}
		}
		return out
	}
	require.Equal(t, []string{"carbonio mbox1.example.com "}, names())
	Buckets.Set(scope.Settings, []platform.Bucket{
		{Endpoint: "https://s3.example.com", Bucket: "a", PathStyle: true},
		{Endpoint: "https://s3.example.com", Bucket: "b", PathStyle: true},
		{Endpoint: "http://s3.example.com", Bucket: "c"},
	})
	Benchmark.Set(scope.Settings, true)
	scope.Vantages[0].Phase = checks.Preinstall
	require.Equal(t, []string{
		"endpoint s3.example.com:443 s3.example.com:443", "endpoint c.s3.example.com:80 c.s3.example.com:80",
		"bucket a at s3.example.com s3.example.com:443", "bucket b at s3.example.com s3.example.com:443", "bucket c at s3.example.com c.s3.example.com:80",
		"shared a at s3.example.com s3.example.com:443", "shared b at s3.example.com s3.example.com:443", "shared c at s3.example.com c.s3.example.com:80",
		"benchmark a at s3.example.com s3.example.com:443", "benchmark b at s3.example.com s3.example.com:443", "benchmark c at s3.example.com c.s3.example.com:80",
	}, names())
	targets, err := sharedTargets(scope, checks.Host{})
	require.NoError(t, err)
	require.Equal(t, []string{"mbox2.example.com"}, targets[0].Ask.Others)
}

// dialling makes a place whose every connection is made by a function.
func dialling(t *testing.T, dial func(context.Context) (net.Conn, error)) place {
	t.Helper()
	p := at(t, start(t, fakes3.Options{TLS: true}), "mbox1.example.com", nil)
	n := network(p.server)
	n.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	p.host.Network = n
	return p
}

// What is ours is no fault of the object storage.
func TestOurOwnFaults(t *testing.T) {
	for name, c := range map[string]struct {
		dial func(context.CancelFunc) error
		code checks.Code
	}{
		"no descriptors": {func(context.CancelFunc) error { return &net.OpError{Op: "dial", Err: syscall.EMFILE} }, checks.Starved},
		"interrupted":    {func(end context.CancelFunc) error { end(); return context.Canceled }, checks.Interrupted},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p := dialling(t, func(context.Context) (net.Conn, error) { return nil, c.dial(cancel) })
			for _, look := range []checks.AnyLook{endpoints, rounds} {
				seen := observe(ctx, t, p, look)
				require.Equal(t, c.code, seen[0].Unseen.Code)
				findings, _ := judge(p.scope, checks.NewRecord(seen))
				for _, f := range findings {
					require.Equal(t, checks.Unknown, f.Status, f.Message)
				}
			}
		})
	}
}

func TestContacts(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(net.Conn)
		want  address
	}{
		"mute":    {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, address{Contact: checks.Contact{State: checks.Mute}}},
		"hung up": {func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<10)) }, address{Contact: checks.Contact{State: checks.HungUp}}},
		"another protocol": {
			func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<10)); _, _ = io.WriteString(c, "220 mail ESMTP\r\n") },
			address{Contact: checks.Contact{State: checks.Broken, Words: "tls: first record does not look like a TLS handshake"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			to := checkstest.Serve(t, c.serve)
			p := dialling(t, func(ctx context.Context) (net.Conn, error) { return (&net.Dialer{}).DialContext(ctx, "tcp", to) })
			targets, err := endpointTargets(p.scope, p.host)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			r, err := observeEndpoint(ctx, p.host, targets[0])
			require.NoError(t, err)
			c.want.Address = "192.0.2.7:9000"
			require.Equal(t, []address{c.want}, r.Addresses)
		})
	}
}

// What may stay for good is not measured.
func TestMeasurement(t *testing.T) {
	p := at(t, start(t, fakes3.Options{ObjectLock: true}), "mbox1.example.com", nil)
	Benchmark.Set(p.scope.Settings, true)
	require.JSONEq(t, `{"locked": true, "refused": "`+s3bench.ErrLocked.Error()+`"}`, string(observe(t.Context(), t, p, benchmarks)[0].Data))
	p.host.Secret = nil
	require.JSONEq(t, `{"unopened": "credentials cannot be fetched here"}`, string(observe(t.Context(), t, p, benchmarks)[0].Data))
}
