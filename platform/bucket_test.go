package platform

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBucketCheck(t *testing.T) {
	good := Bucket{
		Endpoint: "https://s3.example.com:9000", Bucket: "carbonio-ha",
		AccessKey: SecretRef{Env: "S3_ACCESS_KEY"}, SecretKey: SecretRef{File: "/root/s3.key"},
	}
	require.NoError(t, good.Check())
	require.Equal(t, "carbonio-ha at s3.example.com:9000", good.String())
	for name, c := range map[string]struct {
		change func(*Bucket)
		want   string
	}{
		"no endpoint":    {func(b *Bucket) { b.Endpoint = "" }, "endpoint is missing"},
		"no scheme":      {func(b *Bucket) { b.Endpoint = "s3.example.com:9000" }, "endpoint is not a URL"},
		"other scheme":   {func(b *Bucket) { b.Endpoint = "file:///etc/passwd" }, "endpoint is not a URL"},
		"no host":        {func(b *Bucket) { b.Endpoint = "http://:9000" }, "endpoint is not a URL"},
		"bucket in path": {func(b *Bucket) { b.Endpoint += "/carbonio-ha" }, "endpoint has more"},
		"query":          {func(b *Bucket) { b.Endpoint += "?x=hunter2" }, "endpoint has more"},
		"credentials":    {func(b *Bucket) { b.Endpoint = "http://minio:hunter2@10.0.0.7:9000" }, "endpoint contains credentials"},
		"broken, with credentials": {
			func(b *Bucket) { b.Endpoint = "http://minio:hunter2%zz@10.0.0.7:bad" }, "endpoint contains credentials",
		},
		"broken":         {func(b *Bucket) { b.Endpoint = "http://10.0.0.7:hunter2" }, "endpoint is not a URL"},
		"no bucket":      {func(b *Bucket) { b.Bucket = "" }, "bucket is missing"},
		"bucket and key": {func(b *Bucket) { b.Bucket = "a/b" }, "not a bucket name"},
		"no access key":  {func(b *Bucket) { b.AccessKey = SecretRef{} }, "access_key: want one of env"},
		"both":           {func(b *Bucket) { b.SecretKey.Env = "X" }, "secret_key: want one of env"},
	} {
		b := good
		c.change(&b)
		err := b.Check()
		require.ErrorContains(t, err, c.want, name)
		require.NotContains(t, err.Error(), "hunter2", name)
	}
}
