package checks

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

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
