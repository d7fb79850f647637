package platform

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// A Bucket is object storage that Carbonio will use, or uses. It holds no
// secret: the keys are references.
type Bucket struct {
	Endpoint  string    `yaml:"endpoint" json:"endpoint"` // "https://s3.example.com:9000"
	Bucket    string    `yaml:"bucket" json:"bucket"`
	Region    string    `yaml:"region" json:"region,omitempty"`
	PathStyle bool      `yaml:"path_style" json:"path_style,omitempty"` // endpoint/bucket/key, not bucket.endpoint/key
	CAFile    string    `yaml:"ca_file" json:"ca_file,omitempty"`       // PEM; besides the system's
	AccessKey SecretRef `yaml:"access_key" json:"access_key"`
	SecretKey SecretRef `yaml:"secret_key" json:"secret_key"`
}

// String is what a person calls the bucket: "carbonio-ha at s3.example.com:9000".
func (b Bucket) String() string {
	_, host, _ := strings.Cut(b.Endpoint, "://")
	return b.Bucket + " at " + strings.TrimSuffix(host, "/")
}

// Check refuses a bucket that cannot be used. The error never repeats the
// endpoint, where credentials may have been put by mistake.
func (b Bucket) Check() error {
	u, err := url.Parse(b.Endpoint)
	switch {
	case b.Endpoint == "":
		return errors.New("endpoint is missing: want a URL such as https://s3.example.com:9000")
	case strings.Contains(b.Endpoint, "@"):
		return errors.New("endpoint contains credentials: remove them, and refer to them with access_key and secret_key")
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("endpoint is not a URL such as https://s3.example.com:9000")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("endpoint has more than scheme, host and port: the name of the bucket belongs in bucket")
	case b.Bucket == "":
		return errors.New("bucket is missing: want the name of an existing bucket")
	case strings.ContainsAny(b.Bucket, "/ \t\r\n?#"):
		return fmt.Errorf("bucket %q: not a bucket name", b.Bucket)
	}
	if err := b.AccessKey.Check(); err != nil {
		return fmt.Errorf("access_key: %w", err)
	}
	if err := b.SecretKey.Check(); err != nil {
		return fmt.Errorf("secret_key: %w", err)
	}
	return nil
}

// A SecretRef says where a secret is, never what it is.
type SecretRef struct {
	Env  string `yaml:"env" json:"env,omitempty"`   // name of an environment variable
	File string `yaml:"file" json:"file,omitempty"` // its first line
}

// String names the reference: "$S3_SECRET", "/root/s3.key".
func (r SecretRef) String() string {
	if r.Env != "" {
		return "$" + r.Env
	}
	return r.File
}

// Check refuses a reference that names nothing, or two things.
func (r SecretRef) Check() error {
	if (r.Env == "") == (r.File == "") {
		return errors.New("want one of env (the name of a variable) and file (a path)")
	}
	return nil
}
