package store

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A body is read up to its length and no further, and not at all once its
// request is over: what comes next in the reader is another object's.
func TestContentEndsWithItsRequest(t *testing.T) {
	objects := strings.NewReader("firstsecond")
	first := &content{ReadCloser: io.NopCloser(objects), left: 5}
	read, err := io.ReadAll(first)
	require.NoError(t, err)
	require.Equal(t, "first", string(read))

	second := &content{ReadCloser: io.NopCloser(objects), left: 6}
	_, err = second.Read(make([]byte, 2))
	require.NoError(t, err)
	second.end()
	_, err = second.Read(make([]byte, 2))
	require.Equal(t, io.EOF, err)
	require.Equal(t, 4, objects.Len())
}
