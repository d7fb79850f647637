package platform

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseHosts(t *testing.T) {
	text := "\ufeff# a comment\r\n" +
		"127.0.0.1\tlocalhost # loopback\r\n" +
		"\n" +
		"core.example.com 10.176.134.101 core\n" +
		"  172.16.0.10 srv1.example.com srv1\n" +
		"10.0.0.300 srv2.example.com\n" +
		"010.0.0.3 srv3.example.com\n" +
		"10.0.0.4\n" +
		"10.0.0.5 10.0.0.6 srv5.example.com\n" +
		"10.0.0.7\u00a0srv7.example.com\n" +
		"fe80::1%eth0 srv8.example.com my_host\n" +
		"10.0.0.9 srv9.example.com.\n" +
		"alone\n"
	addr := netip.MustParseAddr
	require.Equal(t, []HostsLine{
		{2, "127.0.0.1\tlocalhost # loopback", addr("127.0.0.1"), []string{"localhost"}, ""},
		{4, "core.example.com 10.176.134.101 core", addr("10.176.134.101"), []string{"core.example.com", "core"}, HostsReversed},
		{5, "  172.16.0.10 srv1.example.com srv1", addr("172.16.0.10"), []string{"srv1.example.com", "srv1"}, ""},
		{6, "10.0.0.300 srv2.example.com", netip.Addr{}, []string{"10.0.0.300", "srv2.example.com"}, HostsNotAddress},
		{7, "010.0.0.3 srv3.example.com", netip.Addr{}, []string{"010.0.0.3", "srv3.example.com"}, HostsNotAddress},
		{8, "10.0.0.4", addr("10.0.0.4"), []string{}, HostsNoName},
		{9, "10.0.0.5 10.0.0.6 srv5.example.com", addr("10.0.0.5"), []string{"10.0.0.6", "srv5.example.com"}, HostsBadName},
		{10, "10.0.0.7\u00a0srv7.example.com", netip.Addr{}, []string{"10.0.0.7\u00a0srv7.example.com"}, HostsNotAddress},
		{11, "fe80::1%eth0 srv8.example.com my_host", addr("fe80::1%eth0"), []string{"srv8.example.com", "my_host"}, ""},
		{12, "10.0.0.9 srv9.example.com.", addr("10.0.0.9"), []string{"srv9.example.com."}, HostsBadName},
		{13, "alone", netip.Addr{}, []string{"alone"}, HostsNotAddress},
	}, ParseHosts(text))
}

func TestHostsMap(t *testing.T) {
	got := HostsMap(ParseHosts("10.0.0.1 A.example.com a\n10.0.0.2 a.EXAMPLE.com\n10.0.0.1 a\nb.example.com 10.0.0.3\n"))
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	require.Equal(t, map[string][]netip.Addr{"a.example.com": {a, b}, "a": {a}}, got)
}

func TestValidFQDN(t *testing.T) {
	for _, good := range []string{"a.b", "mbox1.example.com", "A-1.EXAMPLE.com", "xn--bcher-kva.example", strings.Repeat("a", 63) + ".com"} {
		require.True(t, ValidFQDN(good), good)
	}
	for _, bad := range []string{"", "a", "10.0.0.1", "::1", "a..b", ".a.b", "a.b.", "-a.b", "a-.b", "a_b.c", "a b.c", "é.example.com", "a.123", strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 127) + "com"} {
		require.False(t, ValidFQDN(bad), bad)
	}
}

func FuzzParseHosts(f *testing.F) {
	f.Add("127.0.0.1 localhost\ncore.example.com 10.0.0.1\n10.0.0.1\n# c\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, l := range ParseHosts(text) {
			require.NotEmpty(t, strings.TrimSpace(l.Raw))
			require.True(t, l.Read() == (l.Address.IsValid() && len(l.Names) > 0 && l.Problem != HostsReversed), "%+v", l)
		}
		HostsMap(ParseHosts(text))
	})
}
