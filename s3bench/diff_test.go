package s3bench

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDiff(t *testing.T) {
	asJSON := func(r Result) []byte {
		var b bytes.Buffer
		require.NoError(t, JSON(&b, r))
		return b.Bytes()
	}
	older, slower := lan(), lan()
	slower.Node = "mbox2.example.com"
	for i := range slower.Steps {
		s := &slower.Steps[i]
		s.Rate, s.Median, s.Low, s.High = s.Rate/4, s.Median/4, s.Low/4, s.High/4
	}
	var b bytes.Buffer
	worse, err := Diff(&b, [2]string{"old", "new"}, asJSON(older), asJSON(slower))
	require.NoError(t, err)
	require.True(t, worse)
	require.Contains(t, b.String(), "note: not the same")
	require.Contains(t, b.String(), "worse\n")
	require.Contains(t, b.String(), "verdict: ")
	b.Reset()
	worse, err = Diff(&b, [2]string{"old", "new"}, asJSON(slower), asJSON(older))
	require.NoError(t, err)
	require.False(t, worse, "better is not worse")
	require.Contains(t, b.String(), "better\n")
	more := lan()
	more.Steps = append(more.Steps, more.Steps[0])
	more.Steps[len(more.Steps)-1].Threads = 99
	b.Reset()
	_, err = Diff(&b, [2]string{"old", "new"}, asJSON(older), asJSON(more))
	require.NoError(t, err)
	require.Contains(t, b.String(), "only in new")
	for _, texts := range [][2][]byte{{[]byte("x"), asJSON(older)}, {asJSON(older), []byte("x")}} {
		_, err = Diff(&b, [2]string{"old", "new"}, texts[0], texts[1])
		require.Error(t, err)
	}
}
