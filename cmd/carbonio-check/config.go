package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"carbonio-check/platform"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// config is the configuration file.
type config struct {
	Policy platform.Policy   `yaml:"policy"`
	S3     []platform.Bucket `yaml:"s3"`
	Logins platform.Logins   `yaml:"logins"`
}

// readConfig reads a configuration file over the defaults. An unknown key is an
// error that names its line.
func readConfig(file string) (config, error) {
	c := config{Policy: platform.DefaultPolicy()}
	if file == "" {
		return c, nil
	}
	b, err := readRegular(file, maxConfig)
	if err != nil {
		return c, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c, configError(file, err)
	}
	return c, errors.Join(c.checkBuckets(file), c.checkLogins(file))
}

// checkBuckets refuses buckets that cannot be used.
func (c *config) checkBuckets(file string) error {
	seen := map[string]bool{}
	for i := range c.S3 {
		b := &c.S3[i]
		if err := b.Check(); err != nil {
			return fmt.Errorf("%s: s3, bucket %d: %w", file, i+1, err)
		}
		if seen[b.String()] {
			return fmt.Errorf("%s: s3, bucket %d: %s stands twice", file, i+1, b)
		}
		seen[b.String()] = true
		if err := absolute(file, &b.CAFile, &b.AccessKey.File, &b.SecretKey.File); err != nil {
			return err
		}
	}
	return nil
}

// checkLogins refuses a login of which half is missing.
func (c *config) checkLogins(file string) error {
	l := &c.Logins
	for name, login := range map[string]*platform.Login{"postgres": &l.Postgres, "directory": &l.Directory} {
		if *login == (platform.Login{}) {
			continue
		}
		if login.User == "" {
			return fmt.Errorf("%s: logins, %s: user is missing", file, name)
		}
		if err := login.Password.Check(); err != nil {
			return fmt.Errorf("%s: logins, %s, password: %w", file, name, err)
		}
	}
	if l.Mesh != (platform.SecretRef{}) {
		if err := l.Mesh.Check(); err != nil {
			return fmt.Errorf("%s: logins, mesh_token: %w", file, err)
		}
	}
	return absolute(file, &l.Postgres.Password.File, &l.Directory.Password.File, &l.Mesh.File)
}

// absolute makes paths that a file names mean what they say from where it stands.
func absolute(file string, paths ...*string) error {
	for _, path := range paths {
		if *path == "" || filepath.IsAbs(*path) {
			continue
		}
		full, err := filepath.Abs(filepath.Join(filepath.Dir(file), *path))
		if err != nil {
			return err
		}
		*path = full
	}
	return nil
}

var (
	yamlLine     = regexp.MustCompile(`line (\d+)`)
	unknownField = regexp.MustCompile(`line (\d+).*?field (\S+) not found`)
	yamlValue    = regexp.MustCompile("`[^`]*`")
)

// configError words the first of the library's errors as file:line: what. It
// repeats no value of the file: one may be a secret that stands in the wrong place.
func configError(file string, err error) error {
	text := err.Error()
	if m := unknownField.FindStringSubmatch(text); m != nil {
		hint := ""
		if n := platform.Nearest(m[2], configKeys(reflect.TypeFor[config]())); n != "" {
			hint = fmt.Sprintf(": did you mean %s?", n)
		}
		return fmt.Errorf("%s:%s: unknown key %q%s", file, m[1], m[2], hint)
	}
	text = yamlValue.ReplaceAllString(text, "a value")
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "\n", " ")), " ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: %s", file, m[1], text)
	}
	return fmt.Errorf("%s: %s", file, text)
}

// configKeys are all keys that a configuration may hold, at any depth.
func configKeys(t reflect.Type) []string {
	switch t.Kind() {
	case reflect.Slice, reflect.Pointer:
		return configKeys(t.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	var keys []string
	for f := range t.Fields() {
		if key, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); key != "" {
			keys = append(append(keys, key), configKeys(f.Type)...)
		}
	}
	return keys
}

// readRegular reads a regular file of at most limit bytes: a FIFO or a device
// named by mistake must not hang the run.
func readRegular(file string, limit int64) ([]byte, error) {
	info, err := os.Stat(file)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", file)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s: larger than %d bytes", file, limit)
	}
	return os.ReadFile(file)
}
