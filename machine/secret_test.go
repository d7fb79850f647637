package machine

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/platform"
)

func TestSecret(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		require.NoError(t, os.Chmod(path, mode))
		return path
	}
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "fifo"), 0o600))
	t.Setenv("S3_SECRET", "hunter2")
	t.Setenv("S3_EMPTY", "")
	for name, c := range map[string]struct {
		ref   platform.SecretRef
		want  string
		fails string
	}{
		"variable":       {ref: platform.SecretRef{Env: "S3_SECRET"}, want: "hunter2"},
		"empty variable": {ref: platform.SecretRef{Env: "S3_EMPTY"}, fails: "S3_EMPTY is empty or not set"},
		"no variable":    {ref: platform.SecretRef{Env: "S3_NOT_THERE"}, fails: "S3_NOT_THERE is empty or not set"},
		"first line":     {ref: platform.SecretRef{File: file("lines", "hunter2\r\nhunter3\n", 0o600)}, want: "hunter2"},
		"group may read": {ref: platform.SecretRef{File: file("group", "hunter2", 0o640)}, want: "hunter2"},
		"all may read":   {ref: platform.SecretRef{File: file("world", "hunter2\n", 0o644)}, fails: "is accessible to every user of this machine: chmod o= "},
		"all may write":  {ref: platform.SecretRef{File: file("writable", "hunter2\n", 0o602)}, fails: "is accessible to every user"},
		"empty line":     {ref: platform.SecretRef{File: file("empty", "\nhunter2\n", 0o600)}, fails: "is empty"},
		"too large":      {ref: platform.SecretRef{File: file("large", strings.Repeat("hunter2", 1000), 0o600)}, fails: "larger than 4096 bytes"},
		"no file":        {ref: platform.SecretRef{File: filepath.Join(dir, "missing")}, fails: "no such file"},
		"a directory":    {ref: platform.SecretRef{File: dir}, fails: "not a regular file"},
		"a FIFO":         {ref: platform.SecretRef{File: filepath.Join(dir, "fifo")}, fails: "not a regular file"},
		"nothing":        {ref: platform.SecretRef{}, fails: "want one of env"},
	} {
		got, err := Secret(c.ref)
		require.Equal(t, c.want, got, name)
		if c.fails == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, c.fails, name)
		require.NotContains(t, err.Error(), "hunter", name)
	}
}
