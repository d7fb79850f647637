package checks

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// What could not be written to a file, or told from another target, is not planned.
func TestTargetsAreBoundedAndUnique(t *testing.T) {
	a, b := Target[string]{Name: "a", Address: "1"}, Target[string]{Name: "a", Address: "2"}
	long := strings.Repeat("x", mostAsk)
	for why, targets := range map[string][]Target[string]{
		"": {a, b},
		"port a: a defect in carbonio-check, please report it: the target is listed twice": {a, b, a},
		"port a: what is asked takes 1048578 bytes, more than 1048576":                     {{Name: "a", Ask: long}},
		"port " + long[:mostWords] + "…: the name is longer than 4096 bytes":               {{Name: long}},
	} {
		l := Look[string, int]{Kind: "port", Targets: func(Scope, Host) ([]Target[string], error) { return targets, nil }}
		planned, err := l.Plan(Scope{}, Host{})
		if why == "" {
			require.NoError(t, err)
			require.Len(t, planned, 2)
			continue
		}
		require.EqualError(t, err, why)
	}
}

// A server may say a lot; what it says is cut between two characters.
func TestAReasonIsShort(t *testing.T) {
	why := Why(errors.New("x" + strings.Repeat("é", mostWords)))
	require.LessOrEqual(t, len(why.Words), mostWords+len("…"))
	require.True(t, utf8.ValidString(why.Words))
	require.True(t, strings.HasSuffix(why.Words, "é…"))
}

func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := func(ctx context.Context) time.Duration {
			part, cancel := Share(ctx, 0.5)
			defer cancel()
			deadline, ok := part.Deadline()
			require.True(t, ok)
			return time.Until(deadline)
		}
		whole, cancel := context.WithTimeout(t.Context(), 8*time.Second)
		defer cancel()
		require.Equal(t, 4*time.Second, left(whole))
		time.Sleep(6 * time.Second) // of the test's own clock
		require.Equal(t, time.Second, left(whole))
		require.Equal(t, patience/2, left(t.Context()), "where there is no deadline")
	})
}
