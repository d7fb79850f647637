package platform

import "errors"

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
