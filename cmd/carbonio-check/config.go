package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
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
	Policy platform.Policy `yaml:"policy"`
}

// readPolicy reads the policy of a configuration file over the default one. An
// unknown key is an error that names its line.
func readPolicy(file string) (platform.Policy, error) {
	c := config{Policy: platform.DefaultPolicy()}
	if file == "" {
		return c.Policy, nil
	}
	b, err := readRegular(file, maxConfig)
	if err != nil {
		return c.Policy, err
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	dec.KnownFields(true)
	if err := dec.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return c.Policy, configError(file, err)
	}
	return c.Policy, nil
}

var (
	yamlLine     = regexp.MustCompile(`line (\d+)`)
	unknownField = regexp.MustCompile(`line (\d+).*?field (\S+) not found`)
)

// configError words the first of the library's errors as file:line: what.
func configError(file string, err error) error {
	text := err.Error()
	if m := unknownField.FindStringSubmatch(text); m != nil {
		hint := ""
		if n := platform.Nearest(m[2], configKeys(reflect.TypeFor[config]())); n != "" {
			hint = fmt.Sprintf(": did you mean %s?", n)
		}
		return fmt.Errorf("%s:%s: unknown key %q%s", file, m[1], m[2], hint)
	}
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
