package zookeeper

import (
	"carbonio-check/checks"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "Zookeeper version: 3.8.0-${mvngit.commit.id}, built on 2024-12-29 17:54 UTC\nZxid: 0x100000000\nMode: leader\n",
		notServing, "srvr " + notAllowed + ".", "Mode:", "Mode: follower\nZxid: -1\nZxid: 0xffffffffffffffffff",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s := parse(text)
		said := 0
		for _, something := range []bool{s.Contact != (checks.Contact{}), s.Withheld, s.Idle, s.Mode != ""} {
			if something {
				said++
			}
		}
		require.Equal(t, 1, said, "one verdict on every answer: %+v", s)
	})
}
