package path

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// A struct sock_extended_err as the kernel writes it: errno, origin, type,
// code, pad, info, data; then the sockaddr_in of the router. Little endian.
var tooBig = []byte{
	90, 0, 0, 0, unix.SO_EE_ORIGIN_ICMP, 3, 4, 0, 0x78, 0x05, 0, 0, 0, 0, 0, 0,
	2, 0, 0, 0, 10, 76, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0,
}

func FuzzParse(f *testing.F) {
	f.Add(tooBig)
	f.Add(tooBig[:16])
	f.Add(tooBig[:3])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var a Answer
		a.parse(b)
		require.NotEmpty(t, a.Reason())
		if a.MTU != 0 {
			require.Equal(t, byte(fragNeeded), a.Code)
		}
	})
}

func TestParse(t *testing.T) {
	var a Answer
	a.parse(tooBig)
	require.Equal(t, Answer{From: netip.MustParseAddr("10.76.2.1"), Type: 3, Code: 4, MTU: 1400}, a)
	a = Answer{}
	a.parse(tooBig[:20])
	require.Equal(t, Answer{Type: 3, Code: 4, MTU: 1400}, a, "without the router's address")
	a = Answer{}
	a.parse(tooBig[:15])
	require.Zero(t, a)
}
