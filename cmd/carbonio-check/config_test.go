package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/s3"
	"carbonio-check/platform"
)

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "carbonio-check.yaml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func TestConfigBuckets(t *testing.T) {
	file := writeConfig(t, `
s3:
  - endpoint: https://s3.example.com:9000
    bucket: carbonio-ha
    region: eu-south-1
    path_style: true
    ca_file: ca.pem
    access_key: {env: S3_ACCESS_KEY}
    secret_key: {file: /root/s3.key}
  - endpoint: http://10.0.0.7:9000
    bucket: carbonio-backup
    access_key: {env: S3_ACCESS_KEY}
    secret_key: {file: keys/s3}
`)
	c, err := readConfig(catalogue(t), file)
	require.NoError(t, err)
	access := platform.SecretRef{Env: "S3_ACCESS_KEY"}
	require.Equal(t, []platform.Bucket{
		{
			Endpoint: "https://s3.example.com:9000", Bucket: "carbonio-ha", Region: "eu-south-1", PathStyle: true,
			CAFile: filepath.Join(filepath.Dir(file), "ca.pem"), AccessKey: access, SecretKey: platform.SecretRef{File: "/root/s3.key"},
		},
		{
			Endpoint: "http://10.0.0.7:9000", Bucket: "carbonio-backup",
			AccessKey: access, SecretKey: platform.SecretRef{File: filepath.Join(filepath.Dir(file), "keys/s3")},
		},
	}, s3.Buckets.In(checks.Scope{Settings: c}))
	require.Len(t, c, 1, "all else has its default")
}

// What is wrong is named with its place, and nothing that may be a secret is repeated.
func TestConfigErrors(t *testing.T) {
	const keys = "\n    access_key: {env: A}\n    secret_key: {env: B}\n"
	for name, c := range map[string]struct{ text, want string }{
		"unknown key": {
			"s3:\n  - endpoint: https://s3.example.com\n    bukcet: x" + keys,
			`carbonio-check.yaml:3: unknown key "bukcet": did you mean bucket?`,
		},
		"a secret instead of a reference": {
			"s3:\n  - endpoint: https://s3.example.com\n    bucket: x\n    access_key: {env: A}\n    secret_key: hunter2\n",
			"carbonio-check.yaml:5: ",
		},
		"a short secret instead of a reference": {
			"s3:\n  - endpoint: https://s3.example.com\n    bucket: x\n    access_key: [hunter2]\n    secret_key: 'hun`ter2'\n",
			"carbonio-check.yaml:4: ",
		},
		"a secret beside a reference": {
			"s3:\n  - endpoint: https://s3.example.com\n    bucket: x\n    access_key: {env: A}\n    secret_key: {value: hunter2}\n",
			`carbonio-check.yaml:5: unknown key "value"`,
		},
		"an URL instead of a bucket": {"s3:\n  - http://minio:hunter2@10.0.0.7:9000\n", "carbonio-check.yaml:2: "},
		"credentials in the endpoint": {
			"s3:\n  - endpoint: http://minio:hunter2@10.0.0.7:9000\n    bucket: x" + keys,
			"s3: bucket 1: endpoint contains credentials",
		},
		"the same bucket twice": {
			"s3:\n  - endpoint: http://10.0.0.7:9000\n    bucket: x" + keys + "  - endpoint: http://10.0.0.7:9000/\n    bucket: x" + keys,
			"s3: bucket 2: x at 10.0.0.7:9000 is listed twice",
		},
		"no keys": {"s3:\n  - endpoint: http://10.0.0.7:9000\n    bucket: x\n", "s3: bucket 1: access_key: want one of env"},
	} {
		_, err := readConfig(catalogue(t), writeConfig(t, c.text))
		require.ErrorContains(t, err, c.want, name)
		require.NotRegexp(t, "hun.?ter2", err.Error(), name)
	}
}

func TestConfigLogins(t *testing.T) {
	file := writeConfig(t, `
logins:
  postgres:
    user: carbonio_adm
    password: {file: keys/postgres}
  mesh_token: {env: CONSUL_TOKEN}
`)
	c, err := readConfig(catalogue(t), file)
	require.NoError(t, err)
	require.Equal(t, checks.Settings{
		"logins.postgres":   platform.Login{User: "carbonio_adm", Password: platform.SecretRef{File: filepath.Join(filepath.Dir(file), "keys/postgres")}},
		"logins.mesh_token": platform.SecretRef{Env: "CONSUL_TOKEN"},
	}, c)
	for text, want := range map[string]string{
		"logins: {postgres: {password: {env: A}}}":                    "logins.postgres: user is missing",
		"logins: {directory: {user: cn=x}}":                           "logins.directory: password: want one of env",
		"logins: {directory: {user: x, password: {env: A, file: b}}}": "logins.directory: password: want one of env",
		"logins: {mesh_tokne: {env: A}}":                              `unknown key "mesh_tokne" in logins: did you mean mesh_token?`,
	} {
		_, err := readConfig(catalogue(t), writeConfig(t, text))
		require.ErrorContains(t, err, want)
	}
}

// A threshold that no platform could be held against is refused, with its place.
func TestConfigBounds(t *testing.T) {
	for text, want := range map[string]string{
		"policy: {mtu: -5}":              "carbonio-check.yaml:1: policy.mtu: -5 is out of range",
		"policy: {space_free: .nan}":     "policy.space_free: NaN is out of range",
		"policy: {space_free: 250}":      "out of range",
		"policy: {ping_rtt: -1ms}":       "out of range",
		"policy: {clock_warn: 1w}":       "carbonio-check.yaml:1: ",
		"policy: {users: -3}":            "out of range",
		"policy: {s3_stability: .inf}":   "out of range",
		"policy: {mtu: big}":             "carbonio-check.yaml:1: ",
		"policy: {mtv: 1500}":            `unknown key "mtv" in policy: did you mean mtu?`,
		"policy: [1]":                    "carbonio-check.yaml:1: want keys and values in policy",
		"[]":                             "want keys and values",
		"policy: {mtu: 1400, mtu: 1500}": "carbonio-check.yaml:1: ",
	} {
		_, err := readConfig(catalogue(t), writeConfig(t, text))
		require.ErrorContains(t, err, want, text)
	}
	for _, text := range []string{"", "# nothing\n", "policy:\n", "---\n", "policy: {mtu: }\n", "s3:\n"} {
		c, err := readConfig(catalogue(t), writeConfig(t, text))
		require.NoError(t, err, "%q", text)
		require.Empty(t, c)
	}
}
