package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// maxConfig bounds a configuration file, in bytes.
const maxConfig = 1 << 20

// readConfig reads what the user set: each part of the file is a setting of some
// subject. An unknown key is an error that names its line.
func readConfig(suite checks.Suite, file string) (checks.Settings, error) {
	settings := checks.Settings{}
	if file == "" {
		return settings, nil
	}
	b, err := readRegular(file, maxConfig)
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := yaml.Unmarshal(b, &document); err != nil {
		return nil, configError(file, err, nil)
	}
	c := config{file: file, settings: map[string]checks.AnySetting{}, read: settings}
	for _, s := range suite.Settings() {
		if key := s.About().Key; key != "" {
			c.settings[key] = s
		}
	}
	for _, root := range document.Content {
		if err := c.mapping("", root); err != nil {
			return nil, err
		}
	}
	return settings, nil
}

// config is a configuration file being read.
type config struct {
	file     string
	settings map[string]checks.AnySetting // by key
	read     checks.Settings
}

// mapping reads the entries of the mapping at a key.
func (c config) mapping(at string, node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		if node.ShortTag() == "!!null" {
			return nil
		}
		return fmt.Errorf("%s:%d: want keys and values%s", c.file, node.Line, in(at))
	}
	given := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		full := strings.TrimPrefix(at+"."+key.Value, ".")
		setting := c.settings[full]
		switch {
		case given[full]:
			return fmt.Errorf("%s:%d: the key %q is given twice%s", c.file, key.Line, key.Value, in(at))
		case setting != nil && value.ShortTag() == "!!null": // a key without a value has its default
		case setting != nil:
			if err := c.value(setting, value); err != nil {
				return err
			}
		case slices.ContainsFunc(c.keys(), func(k string) bool { return strings.HasPrefix(k, full+".") }):
			if err := c.mapping(full, value); err != nil {
				return err
			}
		default:
			return c.unknown(at, key)
		}
		given[full] = true
	}
	return nil
}

func in(key string) string {
	if key == "" {
		return ""
	}
	return " in " + key
}

func (c config) keys() []string {
	out := make([]string, 0, len(c.settings))
	for k := range c.settings {
		out = append(out, k)
	}
	return out
}

// unknown is the error for a key that nobody knows.
func (c config) unknown(at string, key *yaml.Node) error {
	var words []string
	for _, k := range c.keys() {
		words = append(words, strings.Split(k, ".")...)
	}
	return fmt.Errorf("%s:%d: unknown key %q%s%s", c.file, key.Line, key.Value, in(at), nearest(key.Value, words))
}

func nearest(word string, known []string) string {
	if n := platform.Nearest(word, known); n != "" {
		return fmt.Sprintf(": did you mean %s?", n)
	}
	return ""
}

// value reads the value of a setting.
func (c config) value(s checks.AnySetting, node *yaml.Node) error {
	var read error
	v, err := s.Decode(func(into any) error {
		read = node.Load(into, yaml.WithKnownFields())
		return read
	})
	switch {
	case read != nil:
		return configError(c.file, read, s.About().Default)
	case err != nil:
		return fmt.Errorf("%s:%d: %w", c.file, node.Line, err)
	}
	c.read[s.Name()], err = fromFolder(filepath.Dir(c.file), v)
	return err
}

// fromFolder makes the paths of a value relative to the folder of the
// configuration.
func fromFolder(folder string, v any) (any, error) {
	var err error
	absolute := func(paths ...*string) {
		for _, path := range paths {
			if *path == "" || filepath.IsAbs(*path) || err != nil {
				continue
			}
			*path, err = filepath.Abs(filepath.Join(folder, *path))
		}
	}
	switch v := v.(type) {
	case []platform.Bucket:
		for i := range v {
			absolute(&v[i].CAFile, &v[i].AccessKey.File, &v[i].SecretKey.File)
		}
		return v, err
	case platform.Login:
		absolute(&v.Password.File)
		return v, err
	case platform.SecretRef:
		absolute(&v.File)
		return v, err
	}
	return v, nil
}

var (
	yamlLine     = regexp.MustCompile(`line (\d+)`)
	unknownField = regexp.MustCompile(`line (\d+).*?field (\S+) not found`)
	yamlValue    = regexp.MustCompile("`[^`]*`")
)

// configError words the first of the library's errors as file:line: what. It
// repeats no value of the file: one may be a secret in the wrong
// place. like is a value of the type that was to be read.
func configError(file string, err error, like any) error {
	text := err.Error()
	if m := unknownField.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: unknown key %q%s", file, m[1], m[2], nearest(m[2], fields(like)))
	}
	text = yamlValue.ReplaceAllString(text, "a value")
	text = strings.Join(strings.Fields(text), " ")
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		return fmt.Errorf("%s:%s: %s", file, m[1], text)
	}
	return fmt.Errorf("%s: %s", file, text)
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

// fields are the keys that a value of this type may hold, at any depth.
func fields(like any) []string {
	var keys []string
	var walk func(t reflect.Type)
	walk = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Slice, reflect.Pointer:
			walk(t.Elem())
		case reflect.Struct:
			for f := range t.Fields() {
				if key, _, _ := strings.Cut(f.Tag.Get("yaml"), ","); key != "" {
					keys = append(keys, key)
					walk(f.Type)
				}
			}
		}
	}
	if like != nil {
		walk(reflect.TypeOf(like))
	}
	return keys
}
