// Package s3 looks at the object storage that the mailstores share: whether it
// can be reached, used and trusted, from each of them and by all together.
package s3

import (
	"cmp"
	"encoding/json"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Module is the subject "s3".
type Module struct{}

// The kinds of look.
const (
	kindEndpoint  = "endpoint"  // name, TCP, TLS and the clock, without credentials
	kindBucket    = "bucket"    // one round of everything that Carbonio does to a bucket
	kindShared    = "shared"    // meeting the other mailstores in the bucket
	kindCarbonio  = "carbonio"  // what the installed Carbonio says of its own buckets and volumes
	kindBenchmark = "benchmark" // how fast it is
)

const (
	endpoint    = "s3.endpoint"
	clock       = "s3.clock"
	credentials = "s3.credentials"
	region      = "s3.region"
	bucket      = "s3.bucket"
	permissions = "s3.permissions"
	integrity   = "s3.integrity"
	consistency = "s3.consistency"
	shared      = "s3.shared"
	volumes     = "s3.volumes"
	carbonio    = "s3.carbonio"
)

const (
	// bucketTimeout is for some twenty requests, one of them with 5 MiB: each
	// may take a second over a long line.
	bucketTimeout = 30 * time.Second
	// sharedTimeout is the wait for the other mailstores, and a few requests.
	sharedTimeout = meetingTime + 15*time.Second
	// carbonioTimeout is for a handful of commands that each start a JVM.
	carbonioTimeout = 2 * time.Minute
	// cleaning is what removing our objects may take once a look is over: the
	// store gives it 30 seconds, and then names what is left.
	cleaning = 31 * time.Second
)

// Name is the subject.
func (Module) Name() string { return "s3" }

// Checks is the catalogue.
func (Module) Checks() []checks.Check {
	mailstore := []platform.Component{platform.Mailstore}
	installed := []checks.Phase{checks.Health}
	all := []checks.Check{
		{
			ID:     endpoint,
			Title:  "The object storage answers, over TLS that holds",
			Why:    "Every message that is opened or delivered goes through this address; a certificate that the mailstore does not trust stops both.",
			Manual: "getent ahosts s3.example.com\nopenssl s_client -connect s3.example.com:9000 -servername s3.example.com </dev/null | openssl x509 -noout -dates -ext subjectAltName\ncurl -sSI https://s3.example.com:9000/",
			Remedy: "openssl s_client -connect s3.example.com:9000 </dev/null     # shows the chain and why it is refused\nca_file: /path/to/ca.pem     # for a CA of your own, in the configuration",
			Source: "HA25-s3; SEED-HA: reachable from both mailstores; policy: TLS",
			Looks:  []string{kindEndpoint},
		},
		{
			ID:     clock,
			Title:  "This node and the object storage agree on the time",
			Why:    "A request signed more than fifteen minutes early or late is refused, whatever the credentials; it looks like a wrong key and is none.",
			Manual: "curl -sSI https://s3.example.com:9000/ | grep -i ^date; date -u",
			Remedy: "chronyc makestep                          # on the side whose clock is wrong: see clock.offset\nsystemctl restart systemd-timesyncd",
			Source: "AWS S3 error RequestTimeTooSkewed: 15 minutes",
			Looks:  []string{kindEndpoint, kindBucket},
		},
		{
			ID:     region,
			Title:  "The bucket is in the region that is configured",
			Why:    "The region is part of every signature: with another one each request is refused.",
			Manual: "aws --endpoint-url https://s3.example.com:9000 s3api get-bucket-location --bucket carbonio-ha",
			Remedy: "region: NAME     # in the configuration, and in carbonio core doCreateBucket S3 … NAME",
			Source: "CORE: region is mandatory for S3",
			Looks:  []string{kindBucket},
		},
		{
			ID:     credentials,
			Title:  "The object storage accepts the access key and the secret key",
			Why:    "Carbonio uses the same keys for every message.",
			Manual: "aws --endpoint-url https://s3.example.com:9000 s3 ls s3://carbonio-ha",
			Remedy: "issue the keys again on the object storage, and put them where access_key and secret_key point",
			Source: "HA25-s3; CORE",
			Needs:  []string{region},
			Looks:  []string{kindBucket},
		},
		{
			ID:     bucket,
			Title:  "The bucket exists, takes data, and has no rule that would surprise Carbonio",
			Why:    "Carbonio does not create the bucket. Versions keep deleted mail and its space, object lock keeps it for good, and a lifecycle rule that expires objects deletes mail behind Carbonio's back.",
			Manual: "aws --endpoint-url URL s3api head-bucket --bucket carbonio-ha\naws --endpoint-url URL s3api get-bucket-versioning --bucket carbonio-ha\naws --endpoint-url URL s3api get-object-lock-configuration --bucket carbonio-ha\naws --endpoint-url URL s3api get-bucket-lifecycle-configuration --bucket carbonio-ha",
			Remedy: "aws --endpoint-url URL s3 mb s3://carbonio-ha     # a bucket of its own, without versioning, lock and lifecycle rules",
			Source: "CORE: the bucket must exist; policy: no rules",
			Needs:  []string{credentials, region},
			Looks:  []string{kindBucket},
		},
		{
			ID:     permissions,
			Title:  "The keys may do all that Carbonio does",
			Why:    "A missing action shows only when it is needed: without DeleteObject the bucket grows for ever, without AbortMultipartUpload half-written mail stays.",
			Manual: "aws --endpoint-url URL s3 cp /etc/hostname s3://carbonio-ha/probe && aws --endpoint-url URL s3 rm s3://carbonio-ha/probe",
			Remedy: "allow s3:PutObject, s3:GetObject, s3:DeleteObject, s3:AbortMultipartUpload and s3:ListBucket on the bucket and on bucket/*",
			Source: "STOR: the minimal actions",
			Needs:  []string{bucket, credentials, region},
			Looks:  []string{kindBucket},
		},
		{
			ID:     integrity,
			Title:  "What is read is what was written, whole and in ranges",
			Why:    "A gateway or cache that changes, cuts or pads an object corrupts mail, and nobody notices until it is opened.",
			Manual: "aws --endpoint-url URL s3 cp s3://carbonio-ha/probe - | sha256sum",
			Remedy: "take proxies and caches out of the way, and write again; then ask the vendor of the object storage",
			Source: "policy",
			Needs:  []string{permissions, bucket, credentials, region},
			Looks:  []string{kindBucket},
		},
		{
			ID:     consistency,
			Title:  "A write is seen at once, and a deletion too",
			Why:    "Carbonio reads on one mailstore what another has just written; storage that shows it later gives errors for mail that is there.",
			Manual: "aws --endpoint-url URL s3 cp /etc/hostname s3://carbonio-ha/probe && aws --endpoint-url URL s3 ls s3://carbonio-ha/probe",
			Remedy: "turn off caches before the object storage, and replicated sites with delay; ask its vendor for read-after-write consistency",
			Source: "policy; S3 itself is strongly consistent",
			Needs:  []string{permissions, bucket, credentials, region},
			Looks:  []string{kindBucket},
		},
		{
			ID:     shared,
			Title:  "All mailstores see the same bucket, and what another of them wrote",
			Why:    "After a fail-over a mailstore serves from the bucket what the other one stored; from a bucket of its own it serves nothing.",
			Manual: "aws --endpoint-url URL s3 cp /etc/hostname s3://carbonio-ha/probe     # on one mailstore\naws --endpoint-url URL s3 cp s3://carbonio-ha/probe -                 # on the other",
			Remedy: "give every mailstore the same endpoint and bucket, then look on all of them at the same time:\nansible applicationServers -i carbonio-inventory -m shell -a 'carbonio-check observe s3 -c carbonio-check.yaml > /tmp/s3.json'\ncarbonio-check judge mbox1.json mbox2.json",
			Source: "HA25-s3; SEED-HA: one centralised storage",
			Looks:  []string{kindShared},
		},
		{
			ID:     volumes,
			Title:  "Every primary volume is centralised, and the bucket is in use on every mailstore",
			Why:    "Mail on a local volume is lost to the platform when its mailstore is.",
			Manual: "su - zextras -c 'carbonio core listBuckets all'\nsu - zextras -c 'carbonio powerstore getAllVolumes'",
			Remedy: "su - zextras -c 'carbonio powerstore doCreateVolume Centralized SERVER VOLUME'\nsu - zextras -c 'carbonio powerstore doUpdateVolume MINIO VOLUME current_volume true'     # on every mailstore",
			Source: "HA25-s3; CORE; STOR",
			Phases: installed,
			Looks:  []string{kindCarbonio},
		},
		{
			ID:     carbonio,
			Title:  "Carbonio itself can use each of its buckets",
			Why:    "It writes, reads and deletes an object with the settings that Carbonio has, which need not be those that you gave here.",
			Manual: "su - zextras -c 'carbonio core listBuckets all'\nsu - zextras -c 'carbonio core testS3Connection UUID'     # connection ok",
			Remedy: "su - zextras -c 'carbonio core doUpdateBucket TYPE UUID …'     # with the right endpoint and keys",
			Source: "CORE; HA25-s3: connection ok",
			Phases: installed,
			Looks:  []string{kindCarbonio},
		},
	}
	all = append(all, benchmarkChecks()...)
	for i := range all {
		all[i].Components = mailstore
	}
	return all
}

// Targets are each endpoint and bucket of the configuration, and Carbonio itself
// where it is installed.
func (Module) Targets(scope checks.Scope, _ checks.Host) ([]checks.Target, error) {
	self := scope.Self()
	var out []checks.Target
	for _, b := range scope.Buckets {
		args, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		t := checks.Target{Name: b.String(), Address: address(b), Args: []string{string(args)}}
		at := t
		at.Kind, at.Name = kindEndpoint, address(b)
		if !slices.ContainsFunc(out, func(o checks.Target) bool { return o.Kind == at.Kind && o.Name == at.Name }) {
			out = append(out, at)
		}
		t.Kind, t.Timeout, t.Grace = kindBucket, bucketTimeout, cleaning
		out = append(out, t)
		t.Kind, t.Timeout = kindShared, sharedTimeout
		t.Args = append([]string{string(args), self.Node}, peers(scope, self.Node)...)
		out = append(out, t)
		if scope.Benchmark {
			t.Kind, t.Timeout, t.Alone = kindBenchmark, benchmarkTimeout, true
			t.Args = t.Args[:1]
			out = append(out, t)
		}
	}
	if self.Phase == checks.Health {
		out = append(out, checks.Target{Kind: kindCarbonio, Name: self.Node, Node: self.Node, Timeout: carbonioTimeout})
	}
	return out, nil
}

// peers are the other mailstores of the platform.
func peers(scope checks.Scope, self string) []string {
	var names []string
	for _, n := range scope.Topology.With(platform.Mailstore) {
		if n.Name != self {
			names = append(names, n.Name)
		}
	}
	return names
}

// bucketOf is the bucket that a target is about.
func bucketOf(t checks.Target) (b platform.Bucket) {
	if len(t.Args) > 0 {
		_ = json.Unmarshal([]byte(t.Args[0]), &b) // Targets wrote it
	}
	return b
}

// address is where requests for a bucket go: to the endpoint, or to a name below
// it that begins with the bucket's.
func address(b platform.Bucket) string {
	u, err := url.Parse(b.Endpoint)
	if err != nil {
		return b.Endpoint
	}
	host := u.Hostname()
	if _, err := netip.ParseAddr(host); err != nil && host != "localhost" && !b.PathStyle {
		host = b.Bucket + "." + host
	}
	port := map[string]string{"http": "80", "https": "443"}[u.Scheme]
	return net.JoinHostPort(host, cmp.Or(u.Port(), port))
}

func plain(b platform.Bucket) bool { return strings.HasPrefix(b.Endpoint, "http:") }
