package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"carbonio-check/checks"
)

const (
	maxOutput    = 1 << 20 // of standard output; what we ask for is a few kilobytes
	maxLastWords = 300     // of standard error, for a message
	// pipeGrace is how long a program's children may hold its output once it has
	// ended itself, or was killed.
	pipeGrace = 500 * time.Millisecond
)

// sbin is searched after PATH: an ordinary user's and cron's lack it, and
// getenforce, dmidecode or subscription-manager are there.
var sbin = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

// run is the checks.Command of this machine. The program gets an environment
// that says the same on every machine and holds none of our secrets, no input,
// and its own session: it can neither ask on the terminal nor outlive the
// context with its children.
func run(ctx context.Context, name string, args ...string) (string, error) {
	path := append(filepath.SplitList(os.Getenv("PATH")), sbin...)
	program, err := find(name, path)
	if err != nil {
		return "", err
	}
	out, words := &head{limit: maxOutput}, &tail{limit: 8 * maxLastWords}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Args[0] = name
	cmd.Dir = "/"
	cmd.Env = []string{"LC_ALL=C", "HOME=/", "PATH=" + strings.Join(path, string(filepath.ListSeparator))}
	cmd.Stdout, cmd.Stderr = out, words
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = pipeGrace
	err = cmd.Run()
	return string(out.data), verdict(ctx, name, err, out.full, words.last())
}

// verdict says how a program ended, as checks.Command promises.
func verdict(ctx context.Context, name string, err error, full bool, words string) error {
	var exit *exec.ExitError
	switch {
	case full:
		return fmt.Errorf("%s: output larger than %d bytes", name, maxOutput)
	case err == nil, errors.Is(err, exec.ErrWaitDelay):
		return nil // itself it ended well; a child of it still holds the output
	case ctx.Err() != nil:
		return fmt.Errorf("%s did not finish in time: %w", name, ctx.Err())
	case errors.As(err, &exit) && exit.Exited():
		return &checks.ExitError{Name: name, Code: exit.ExitCode(), Stderr: words}
	}
	return fmt.Errorf("%s: %w", name, err)
}

// find looks the program up in the absolute directories of path.
func find(name string, path []string) (string, error) {
	if strings.Contains(name, "/") {
		return exec.LookPath(name)
	}
	for _, dir := range path {
		if !filepath.IsAbs(dir) {
			continue // the current directory is nobody's to trust
		}
		if program, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, fs.ErrNotExist)
}

// head keeps the first bytes of an output, and ends what writes more.
type head struct {
	data  []byte
	limit int
	full  bool
}

var errFull = errors.New("output too large")

func (h *head) Write(p []byte) (int, error) {
	room := h.limit - len(h.data)
	if len(p) > room {
		h.data, h.full = append(h.data, p[:room]...), true
		return room, errFull
	}
	h.data = append(h.data, p...)
	return len(p), nil
}

// tail keeps the last bytes of an output.
type tail struct {
	data  []byte
	limit int
}

func (t *tail) Write(p []byte) (int, error) {
	t.data = append(t.data, p...)
	if over := len(t.data) - t.limit; over > 0 {
		t.data = slices.Delete(t.data, 0, over)
	}
	return len(p), nil
}

// last is the last line that says something.
func (t *tail) last() string {
	text := bytes.TrimSpace(t.data)
	line := bytes.TrimSpace(text[bytes.LastIndexByte(text, '\n')+1:])
	return strings.ToValidUTF8(string(line[:min(len(line), maxLastWords)]), "")
}
