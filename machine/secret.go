package machine

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"syscall"

	"carbonio-check/platform"
)

// maxSecret bounds a file that holds a secret, in bytes.
const maxSecret = 4 << 10

// Secret fetches a credential from the environment or from a file, of which it
// is the first line. No error holds any of it.
func Secret(ref platform.SecretRef) (string, error) {
	if err := ref.Check(); err != nil {
		return "", err
	}
	if ref.File != "" {
		return secretFile(ref.File)
	}
	if s := os.Getenv(ref.Env); s != "" {
		return s, nil
	}
	return "", fmt.Errorf("the environment variable %s is empty or not set", ref.Env)
}

func secretFile(name string) (string, error) {
	// Not blocking: opening a FIFO would wait for somebody to write to it.
	f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is not a regular file", name)
	case info.Mode().Perm()&0o007 != 0:
		return "", fmt.Errorf("%s is accessible to every user of this machine: chmod o= %s", name, name)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", err
	case len(b) > maxSecret:
		return "", fmt.Errorf("%s is larger than %d bytes, so it is not a secret", name, maxSecret)
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	if line = bytes.TrimSpace(line); len(line) == 0 {
		return "", fmt.Errorf("the first line of %s is empty", name)
	}
	return string(line), nil
}
