package s3

import (
	"fmt"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
	"carbonio-check/s3bench"
)

// Buckets are those that Carbonio uses, or will use.
var Buckets = &checks.Setting[[]platform.Bucket]{
	Key:     "s3",
	Doc:     "Each bucket that Carbonio uses, or will use. The keys themselves are never written here, only where they are: in an environment variable, or on the first line of a file. carbonio-check writes only below carbonio-check/ in the bucket, and removes it again; with object lock it writes nothing.",
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
	Doc: fmt.Sprintf("Also benchmark each bucket, after everything else: this writes up to %d MB, reads as much or more, and deletes it again.",
		s3bench.DefaultBytes/1_000_000),
}

var minThroughput = &checks.Setting[float64]{
	Key: "policy.s3_throughput_mb", Default: 100, Unit: "MB/s",
	Doc:     "The least throughput of object storage when it is read, in MB/s (10^6 bytes).",
	Sources: []platform.Source{platform.S3Benchmark},
	Check:   checks.Between(0.0, 1e6),
}

var maxTTFB = &checks.Setting[platform.Duration]{
	Key: "policy.s3_ttfb", Default: platform.Duration(50 * time.Millisecond), Unit: "duration",
	Doc:     "The average time to the first byte of an object must be below this.",
	Sources: []platform.Source{platform.S3Benchmark},
	Check:   checks.Between(platform.Duration(time.Microsecond), platform.Duration(time.Minute)),
}

var maxDegradation = &checks.Setting[float64]{
	Key: "policy.s3_stability", Default: 2, Unit: "times",
	Doc:     "How many times worse throughput or time to first byte may get with more threads: the manual wants them stable, but gives no number.",
	Sources: []platform.Source{platform.Policy},
	Check:   checks.Between(1.0, 1000.0),
}

// Limits are what a benchmark is judged by.
func Limits(scope checks.Scope) s3bench.Limits {
	return s3bench.Limits{
		Throughput: minThroughput.In(scope), TTFB: time.Duration(maxTTFB.In(scope)), Stability: maxDegradation.In(scope),
	}
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
