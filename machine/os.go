package machine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/checks/packages"
	"carbonio-check/platform"
)

// packageTimeout bounds the question which packages are installed; rpm answers
// in well under a second.
const packageTimeout = 10 * time.Second

// ReadOS reads os-release(5).
func ReadOS(host checks.Host) (checks.OS, error) {
	text, err := host.ReadFile("/etc/os-release")
	if errors.Is(err, fs.ErrNotExist) {
		text, err = host.ReadFile("/usr/lib/os-release")
	}
	if err != nil {
		return checks.OS{}, err
	}
	os := parseOS(text)
	if os.ID == "" {
		return os, errors.New("/etc/os-release does not say which distribution this is")
	}
	return os, nil
}

func parseOS(text string) checks.OS {
	var os checks.OS
	fields := map[string]*string{
		"ID": &os.ID, "VERSION_ID": &os.Version, "VERSION_CODENAME": &os.Codename,
		"ID_LIKE": &os.Like, "PRETTY_NAME": &os.Pretty,
	}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if field, ok := fields[key]; ok {
			*field = unquote(value)
		}
	}
	return os
}

// unquote takes off the quotes of a shell word; os-release escapes nothing else in practice.
func unquote(s string) string {
	if len(s) >= 2 && (s[0] == '"' || s[0] == '\'') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// versionFile says on every node with carbonio-core which release it is, in one
// line: "26.6.0" (carbonio-core's package).
const versionFile = "/opt/zextras/.version"

// Release is the release of Carbonio that is installed on the machine, and the
// file that says so. It is zero where the file is not there, as on a node without
// carbonio-core; and with an error where it cannot be read.
func Release(host checks.Host) (platform.Release, string, error) {
	text, err := host.ReadFile(versionFile)
	if errors.Is(err, fs.ErrNotExist) {
		return platform.Release{}, "", nil
	}
	if err != nil {
		return platform.Release{}, "", err
	}
	r, err := platform.ParseRelease(text)
	if err != nil {
		return platform.Release{}, "", fmt.Errorf("%s: %w", versionFile, err)
	}
	return r, versionFile, nil
}

// Installed returns which components of Carbonio the packages on the machine
// make up: none before the installation, platform.Every where packages of
// Carbonio are there but none that identifies a component.
func Installed(ctx context.Context, host checks.Host) ([]platform.Component, error) {
	ctx, cancel := context.WithTimeout(ctx, packageTimeout)
	defer cancel()
	names, err := packages.Installed(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("the installed Carbonio packages: %w", err)
	}
	return components(names), nil
}

func components(installed []string) []platform.Component {
	if !slices.ContainsFunc(installed, ofCarbonio) {
		return nil
	}
	has := func(name string) bool { return slices.Contains(installed, name) }
	var out []platform.Component
	for _, i := range platform.Components {
		c := i.Component
		held := slices.ContainsFunc(i.Packages, has)
		switch c {
		case platform.Database:
			held = hasServer(installed)
		case platform.DBConnector:
			held = !hasServer(installed) && slices.ContainsFunc(databasePackages(), has)
		}
		if held {
			out = append(out, c)
		}
	}
	if len(out) == 0 {
		return []platform.Component{platform.Every}
	}
	return out
}

func ofCarbonio(name string) bool {
	return strings.HasPrefix(name, "carbonio-") || strings.HasPrefix(name, "service-discover")
}

// hasServer: the database itself makes a node its database, before and after
// the -db packages of Carbonio move to the connectors (AIA vars; HAA).
func hasServer(installed []string) bool {
	return slices.ContainsFunc(installed, func(name string) bool {
		return name == "postgresql-16" || name == "postgresql16-server"
	})
}

func databasePackages() []string {
	i, _ := platform.Database.Info()
	return i.Packages
}
