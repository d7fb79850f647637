// Package packages lists which packages a machine has installed.
package packages

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"carbonio-check/checks"
)

// dpkgStatus is dpkg's list: some megabytes on a real server.
const dpkgStatus = "var/lib/dpkg/status"

const (
	maxStatus = 64 << 20
	maxLine   = 1 << 20
)

// Installed lists the names of the packages that dpkg, else rpm, holds, sorted.
// A removed package with only its configuration left is not among them.
func Installed(ctx context.Context, host checks.Host) ([]string, error) {
	names, err := fromDpkg(host.Files)
	if errors.Is(err, fs.ErrNotExist) {
		names, err = fromRPM(ctx, host.Run)
	}
	if err != nil {
		return nil, fmt.Errorf("installed packages: %w", err)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

func fromRPM(ctx context.Context, run checks.Command) ([]string, error) {
	out, err := run(ctx, "rpm", "-qa", "--qf", `%{NAME}\n`)
	if err != nil {
		return nil, err
	}
	return strings.Fields(out), nil
}

func fromDpkg(files fs.FS) ([]string, error) {
	info, err := fs.Stat(files, dpkgStatus)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("/%s is not a regular file", dpkgStatus)
	}
	if info.Size() > maxStatus {
		return nil, fmt.Errorf("/%s is larger than %d bytes", dpkgStatus, maxStatus)
	}
	f, err := files.Open(dpkgStatus)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readStatus(io.LimitReader(f, maxStatus))
}

// readStatus reads the paragraphs of deb-control(5): of each the lines
// "Package: NAME" and, after it, "Status: WANT FLAG STATE" (dpkg-query(1)).
func readStatus(r io.Reader) ([]string, error) {
	var names []string
	var name string
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 64<<10), maxLine)
	for lines.Scan() { // of a megabyte, at each start: nothing is copied that is not kept
		key, value, _ := bytes.Cut(lines.Bytes(), []byte(": "))
		switch string(key) {
		case "":
			name = ""
		case "Package":
			name = string(value)
		case "Status":
			if name != "" && present(string(value)) {
				names = append(names, name)
			}
		}
	}
	return names, lines.Err()
}

// present says whether the files of the package are there, configured or not.
func present(status string) bool {
	f := strings.Fields(status)
	return len(f) == 3 && f[2] != "not-installed" && f[2] != "config-files"
}
