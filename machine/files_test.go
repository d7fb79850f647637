package machine

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// Where no machine can be looked at there are its files, and nothing else.
func TestFilesAlone(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "inventory"), []byte("[kafka]\n"), 0o600))
	h, err := Files(root)
	require.NoError(t, err)
	text, err := h.ReadFile("inventory")
	require.NoError(t, err)
	require.Equal(t, "[kafka]\n", text)
	_, err = h.Run(t.Context(), "true")
	require.ErrorIs(t, err, errForeign)
	require.Equal(t, os.Getuid(), h.Machine.UID())
	_, err = h.Machine.Hostname()
	require.ErrorIs(t, err, errForeign)
	h, err = Files("")
	require.NoError(t, err)
	_, err = h.ReadFile("/etc/passwd")
	require.NoError(t, err, "without a root it is the machine's own")
}
