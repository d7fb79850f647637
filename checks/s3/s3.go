// Package s3 checks the object storage that the mailstores share: that it can be
// reached, used and trusted, from each of them and by all together.
package s3

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
	"carbonio-check/s3bench"
)

// Module is the subject.
var Module = &checks.Module{
	Name:     "s3",
	Checks:   catalogue,
	Settings: []checks.AnySetting{Buckets, Benchmark, minThroughput, maxTTFB, maxDegradation},
	Judge:    judge,
}

var catalogue = []*checks.Check{
	endpoint, clock, region, credentials, bucket, permissions, integrity, consistency, shared, volumes, carbonio,
	throughput, ttfb, stability,
}

// cleaning is how long removing our objects may take once a look is over: the
// store gives up after 30 seconds, and then names what is left.
const cleaning = 31 * time.Second

var (
	// endpoints: name, TCP, TLS and the clock, without credentials.
	endpoints = &checks.Look[platform.Bucket, reachability]{Kind: "endpoint", Targets: endpointTargets, Observe: observeEndpoint}
	// rounds: everything that Carbonio does to a bucket, done once. The timeout is for
	// some twenty requests, one of them with 5 MiB: each may take a second over a slow link.
	rounds = &checks.Look[platform.Bucket, round]{
		Kind: "bucket", Timeout: 30 * time.Second, Grace: cleaning, Targets: bucketTargets, Observe: observeBucket,
	}
	// exchanges: finding the other mailstores in the bucket, and a few requests.
	exchanges = &checks.Look[peers, sharing]{
		Kind: "shared", Timeout: meetingTime + 15*time.Second, Grace: cleaning, Targets: sharedTargets, Observe: observeShared,
	}
	// installations: what the installed Carbonio says about its own buckets and volumes,
	// with a handful of commands that each start a JVM.
	installations = &checks.Look[checks.Nothing, installation]{
		Kind: "carbonio", Timeout: 2 * time.Minute, Targets: carbonioTargets, Observe: observeCarbonio,
	}
	// benchmarks: how fast the bucket is, in 18 steps of at most 10 seconds each, and the
	// deletions between them.
	benchmarks = &checks.Look[platform.Bucket, measurement]{
		Kind: "benchmark", Timeout: 10 * time.Minute, Grace: cleaning, Alone: true, Targets: benchmarkTargets, Observe: observeBenchmark,
	}
)

// Buckets are those that Carbonio uses, or will use.
var Buckets = &checks.Setting[[]platform.Bucket]{
	Key:     "s3",
	Doc:     "Each bucket that Carbonio uses, or will use. The keys themselves are never written here, only where they are: in an environment variable, or on the first line of a file. carbonio-check writes only below carbonio-check/ in the bucket, and removes what it wrote; it writes nothing to a bucket with object lock.",
	Sources: []platform.Source{platform.HAObjectStorage, platform.CoreModule},
	Check:   checkBuckets,
	Sample: `- endpoint: https://s3.example.com:9000    # scheme, name and port, nothing else
  bucket: carbonio-ha                      # it must exist
  region: eu-south-1                       # if it is left out, the object storage is asked
  path_style: true                         # endpoint/bucket/key, as MinIO wants it; false: bucket.endpoint/key
  ca_file: s3-ca.pem                       # for a CA of your own, in addition to the system's
  access_key: {env: S3_ACCESS_KEY}
  secret_key: {file: /root/s3.key}         # chmod 600`,
}

// Benchmark asks for a benchmark of each bucket.
var Benchmark = &checks.Setting[bool]{
	Flag: "benchmark",
	Doc: fmt.Sprintf("Also benchmark each bucket, after everything else: this writes up to %d MB, reads at least as much, and deletes it again.",
		s3bench.DefaultBytes/1_000_000),
}

var minThroughput = &checks.Setting[float64]{
	Key: "policy.s3_throughput_mb", Default: 100, Unit: "MB/s",
	Doc:     "The minimum read throughput of the object storage, in MB/s (10^6 bytes).",
	Sources: []platform.Source{platform.S3Benchmark},
	Within:  checks.Between(0.0, 1e6),
}

var maxTTFB = &checks.Setting[platform.Duration]{
	Key: "policy.s3_ttfb", Default: platform.Duration(50 * time.Millisecond), Unit: "duration",
	Doc:     "The average time to the first byte of an object must be below this.",
	Sources: []platform.Source{platform.S3Benchmark},
	Within:  checks.Between(platform.Duration(time.Microsecond), platform.Duration(time.Minute)),
}

var maxDegradation = &checks.Setting[float64]{
	Key: "policy.s3_stability", Default: 2, Unit: "times",
	Doc:     "How many times worse throughput or time to first byte may get with more threads: the manual requires them to be stable, but gives no number.",
	Sources: []platform.Source{platform.Policy},
	Within:  checks.Between(1.0, 1000.0),
}

// Limits are what a benchmark is judged by.
func Limits(scope checks.Scope) s3bench.Limits {
	return s3bench.Limits{
		Throughput: minThroughput.In(scope), TTFB: time.Duration(maxTTFB.In(scope)), Stability: maxDegradation.In(scope),
	}
}

var (
	installed  = []checks.Phase{checks.Health}
	mailstores = []platform.Component{platform.Mailstore}

	ofBucket    = []checks.AnyLook{rounds}
	ofCarbonio  = []checks.AnyLook{installations}
	ofBenchmark = []checks.AnyLook{benchmarks}
)

var endpoint = &checks.Check{
	ID:         "s3.endpoint",
	Title:      "The object storage is reachable, with a valid TLS certificate",
	Why:        "Every message that is opened or delivered goes through this address; a certificate that the mailstore does not trust blocks both.",
	Manual:     "getent ahosts s3.example.com\nopenssl s_client -connect s3.example.com:9000 -servername s3.example.com </dev/null | openssl x509 -noout -dates -ext subjectAltName\ncurl -sSI https://s3.example.com:9000/",
	Remedy:     "openssl s_client -connect s3.example.com:9000 </dev/null     # shows the chain, and why it is rejected\nca_file: /path/to/ca.pem     # in the configuration, for a CA of your own",
	Sources:    []platform.Source{platform.HAObjectStorage, platform.ScenarioHA.On("reachable from both mailstores"), platform.Policy.On("TLS")},
	Components: mailstores, Looks: []checks.AnyLook{endpoints}, Wants: Buckets,
}

var clock = &checks.Check{
	ID:         "s3.clock",
	Title:      "This node and the object storage agree on the time",
	Why:        "A request signed more than fifteen minutes early or late is rejected, whatever the keys: it looks like a wrong key, but is not.",
	Manual:     "curl -sSI https://s3.example.com:9000/ | grep -i ^date; date -u",
	Remedy:     "chronyc makestep     # on the side whose clock is wrong: see clock.offset\nsystemctl restart systemd-timesyncd     # if it uses that instead",
	Sources:    []platform.Source{platform.AmazonS3.On("error RequestTimeTooSkewed: 15 minutes")},
	Components: mailstores, Looks: []checks.AnyLook{endpoints, rounds}, Wants: Buckets,
}

var region = &checks.Check{
	ID:         "s3.region",
	Title:      "The bucket is in the configured region",
	Why:        "The region is part of every signature: with the wrong one every request is rejected.",
	Manual:     "aws --endpoint-url https://s3.example.com:9000 s3api get-bucket-location --bucket carbonio-ha",
	Remedy:     "region: eu-south-1     # that of the bucket: in the configuration, and in carbonio core doCreateBucket",
	Sources:    []platform.Source{platform.CoreModule.On("region is mandatory for S3")},
	Components: mailstores, Looks: ofBucket, Wants: Buckets,
}

var credentials = &checks.Check{
	ID:      "s3.credentials",
	Title:   "The object storage accepts the access key and the secret key",
	Why:     "Carbonio uses the same keys for every message.",
	Manual:  "aws --endpoint-url https://s3.example.com:9000 s3 ls s3://carbonio-ha",
	Remedy:  "issue new keys on the object storage, and store them where access_key and secret_key point",
	Sources: []platform.Source{platform.HAObjectStorage, platform.CoreModule},
	Needs:   []*checks.Check{region}, Components: mailstores, Looks: ofBucket, Wants: Buckets,
}

var bucket = &checks.Check{
	ID:      "s3.bucket",
	Title:   "The bucket exists, accepts data, and has no rules that Carbonio does not expect",
	Why:     "Carbonio does not create the bucket. Versioning keeps deleted mail and the space it takes, object lock keeps it until its retention ends, and a lifecycle rule that expires objects deletes mail behind Carbonio's back.",
	Manual:  "aws --endpoint-url https://s3.example.com:9000 s3api head-bucket --bucket carbonio-ha\naws --endpoint-url https://s3.example.com:9000 s3api get-bucket-versioning --bucket carbonio-ha\naws --endpoint-url https://s3.example.com:9000 s3api get-object-lock-configuration --bucket carbonio-ha\naws --endpoint-url https://s3.example.com:9000 s3api get-bucket-lifecycle-configuration --bucket carbonio-ha",
	Remedy:  "aws --endpoint-url https://s3.example.com:9000 s3 mb s3://carbonio-ha     # a dedicated bucket, without versioning, object lock and lifecycle rules",
	Sources: []platform.Source{platform.CoreModule.On("the bucket must exist"), platform.Policy.On("no rules")},
	Needs:   []*checks.Check{credentials, region}, Components: mailstores, Looks: ofBucket, Wants: Buckets,
}

var permissions = &checks.Check{
	ID:      "s3.permissions",
	Title:   "The keys allow everything that Carbonio does",
	Why:     "A missing permission shows only when it is needed: without DeleteObject the bucket grows forever, without AbortMultipartUpload half-written mail stays.",
	Manual:  "aws --endpoint-url https://s3.example.com:9000 s3 cp /etc/hostname s3://carbonio-ha/probe && aws --endpoint-url https://s3.example.com:9000 s3 rm s3://carbonio-ha/probe",
	Remedy:  "allow s3:PutObject, s3:GetObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket on the bucket and on bucket/*",
	Sources: []platform.Source{platform.Storages.On("the minimal actions")},
	Needs:   []*checks.Check{bucket, credentials, region}, Components: mailstores, Looks: ofBucket, Wants: Buckets,
}

// contents are the checks without which nothing can be read back or measured.
var contents = []*checks.Check{permissions, bucket, credentials, region}

var integrity = &checks.Check{
	ID:      "s3.integrity",
	Title:   "Objects are read back exactly as written, whole and in ranges",
	Why:     "A gateway or cache that alters, truncates or pads objects corrupts mail, and nobody notices until it is opened.",
	Manual:  "aws --endpoint-url https://s3.example.com:9000 s3 cp s3://carbonio-ha/probe - | sha256sum",
	Remedy:  "bypass the proxies and caches in front of the object storage, and check again; if nothing changes, ask its vendor",
	Sources: []platform.Source{platform.Policy},
	Needs:   contents, Components: mailstores, Looks: ofBucket, Wants: Buckets,
}

var consistency = &checks.Check{
	ID:      "s3.consistency",
	Title:   "Writes and deletions are visible at once",
	Why:     "Carbonio reads on one mailstore what another has just written; storage that shows it later causes errors for mail that exists.",
	Manual:  "aws --endpoint-url https://s3.example.com:9000 s3 cp /etc/hostname s3://carbonio-ha/probe && aws --endpoint-url https://s3.example.com:9000 s3 ls s3://carbonio-ha/probe",
	Remedy:  "disable caches in front of the object storage, and sites that replicate with a delay; ask its vendor for read-after-write consistency",
	Sources: []platform.Source{platform.Policy, platform.AmazonS3.On("strong read-after-write consistency")},
	Needs:   contents, Components: mailstores, Looks: ofBucket, Wants: Buckets,
}

var shared = &checks.Check{
	ID:         "s3.shared",
	Title:      "All mailstores use the same bucket, and see what the others wrote",
	Why:        "After a failover a mailstore serves from the bucket what the other one stored; if it uses another bucket, it has nothing to serve.",
	Manual:     "aws --endpoint-url https://s3.example.com:9000 s3 cp /etc/hostname s3://carbonio-ha/probe     # on one mailstore\naws --endpoint-url https://s3.example.com:9000 s3 cp s3://carbonio-ha/probe -                 # on the other",
	Remedy:     "# configure the same endpoint and bucket on every mailstore, then check all of them at the same time\nansible applicationServers -i carbonio-inventory -m shell -a 'carbonio-check observe s3 -c carbonio-check.yaml > /tmp/s3.json'\ncarbonio-check judge mbox1.json mbox2.json",
	Sources:    []platform.Source{platform.HAObjectStorage, platform.ScenarioHA.On("one centralised storage")},
	Components: mailstores, Looks: []checks.AnyLook{exchanges}, Wants: Buckets,
}

var volumes = &checks.Check{
	ID:      "s3.volumes",
	Title:   "Every primary volume is centralised, and every mailstore uses the bucket",
	Why:     "Mail on a local volume cannot be served by anybody else while its mailstore is down.",
	Manual:  "su - zextras -c 'carbonio core listBuckets all'\nsu - zextras -c 'carbonio powerstore getAllVolumes'",
	Remedy:  "# on every mailstore\nsu - zextras -c 'carbonio powerstore doCreateVolume Centralized mbox1.example.com centralized-ha'     # the mailstore that has the volume, and its name\nsu - zextras -c 'carbonio powerstore doUpdateVolume MINIO centralized-ha current_volume true'",
	Sources: []platform.Source{platform.HAObjectStorage, platform.CoreModule, platform.Storages},
	Phases:  installed, Components: mailstores, Looks: ofCarbonio,
}

var carbonio = &checks.Check{
	ID:      "s3.carbonio",
	Title:   "Carbonio itself can use each of its buckets",
	Why:     "Its own test writes, reads and deletes an object with the settings that Carbonio has, which may differ from those given to carbonio-check.",
	Manual:  "su - zextras -c 'carbonio core listBuckets all'\nsu - zextras -c 'carbonio core testS3Connection UUID'     # connection ok",
	Remedy:  "su - zextras -c 'carbonio core doUpdateBucket TYPE UUID …'     # with the correct endpoint and keys",
	Sources: []platform.Source{platform.CoreModule, platform.HAObjectStorage.On("connection ok")},
	Phases:  installed, Components: mailstores, Looks: ofCarbonio,
}

const (
	measure = "carbonio-check s3bench -c carbonio-check.yaml"
	faster  = "carbonio-check s3bench -c carbonio-check.yaml     # again, while nothing else is running\n# then look at the network to the object storage (network.path, network.mtu), at its disks, and at what else uses it"
)

var throughput = &checks.Check{
	ID:      "s3.throughput",
	Title:   "Reads from the object storage reach 100 MB/s or more",
	Why:     "Below that, the manual considers the storage fit for secondary volumes only: opening and moving mail is slow for everybody.",
	Manual:  measure,
	Remedy:  faster,
	Sources: []platform.Source{platform.S3Benchmark.On("at least 100 MB/s for primary storage")},
	Needs:   contents, Components: mailstores, Looks: ofBenchmark, Wants: Benchmark,
}

var ttfb = &checks.Check{
	ID:      "s3.ttfb",
	Title:   "The first byte arrives in less than 50 ms on average",
	Why:     "Every message that is opened waits for it.",
	Manual:  measure,
	Remedy:  faster,
	Sources: []platform.Source{platform.S3Benchmark.On("average time to first byte below 50 ms")},
	Needs:   contents, Components: mailstores, Looks: ofBenchmark, Wants: Benchmark,
}

var stability = &checks.Check{
	ID:      "s3.stability",
	Title:   "Throughput and time to first byte hold up with more threads",
	Why:     "Storage that slows down with more readers fails in the morning, when everybody arrives.",
	Manual:  measure,
	Remedy:  faster,
	Sources: []platform.Source{platform.S3Benchmark.On("stable with more threads"), platform.Policy.On("not more than twice as bad")},
	Needs:   contents, Components: mailstores, Looks: ofBenchmark, Wants: Benchmark,
}

type bucketTarget = checks.Target[platform.Bucket]

// bucketTargets are the buckets that the user named.
func bucketTargets(scope checks.Scope, _ checks.Host) ([]bucketTarget, error) {
	var out []bucketTarget
	for _, b := range Buckets.In(scope) {
		out = append(out, bucketTarget{Name: b.String(), Address: addressOf(b), Ask: b})
	}
	return out, nil
}

// endpointTargets are their endpoints, without duplicates.
func endpointTargets(scope checks.Scope, host checks.Host) ([]bucketTarget, error) {
	all, err := bucketTargets(scope, host)
	var out []bucketTarget
	for _, t := range all {
		t.Name = t.Address
		if !slices.ContainsFunc(out, func(o bucketTarget) bool { return o.Name == t.Name }) {
			out = append(out, t)
		}
	}
	return out, err
}

func benchmarkTargets(scope checks.Scope, host checks.Host) ([]bucketTarget, error) {
	if !Benchmark.In(scope) {
		return nil, nil
	}
	return bucketTargets(scope, host)
}

// peers are the mailstores that share a bucket.
type peers struct {
	Bucket platform.Bucket `json:"bucket"`
	Self   string          `json:"self"`
	Others []string        `json:"others,omitempty"`
}

func sharedTargets(scope checks.Scope, _ checks.Host) ([]checks.Target[peers], error) {
	self := scope.Self().Node
	others := slices.DeleteFunc(mailstoresOf(scope), func(name string) bool { return name == self })
	var out []checks.Target[peers]
	for _, b := range Buckets.In(scope) {
		out = append(out, checks.Target[peers]{Name: b.String(), Address: addressOf(b), Ask: peers{b, self, others}})
	}
	return out, nil
}

func mailstoresOf(scope checks.Scope) []string {
	var out []string
	for _, n := range scope.Topology.With(platform.Mailstore) {
		out = append(out, n.Name)
	}
	return out
}

// carbonioTargets is this node, where Carbonio is installed.
func carbonioTargets(scope checks.Scope, _ checks.Host) ([]checks.Target[checks.Nothing], error) {
	self := scope.Self()
	if self.Phase != checks.Health {
		return nil, nil
	}
	return []checks.Target[checks.Nothing]{{Name: self.Node, Node: self.Node}}, nil
}

// addressOf is where requests for a bucket go: to the endpoint, or to the name of
// the bucket below it.
func addressOf(b platform.Bucket) string {
	u, err := url.Parse(b.Endpoint)
	if err != nil {
		return b.Endpoint
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err != nil && host != "localhost" && !b.PathStyle {
		host = b.Bucket + "." + host
	}
	return net.JoinHostPort(host, cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443"}[u.Scheme]))
}

// checkBuckets refuses a bucket that cannot be used, and one that is listed twice.
func checkBuckets(buckets []platform.Bucket) error {
	seen := map[string]bool{}
	for i, b := range buckets {
		if err := b.Check(); err != nil {
			return fmt.Errorf("bucket %d: %w", i+1, err)
		}
		if seen[b.String()] {
			return fmt.Errorf("bucket %d: %s is listed twice", i+1, b)
		}
		seen[b.String()] = true
	}
	return nil
}
