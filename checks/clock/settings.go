package clock

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

var ntpServers = &checks.Setting[[]string]{
	Key: "policy.ntp_servers", Default: []string{"ntp.ubuntu.com"},
	Doc:     "The time servers that are asked when the machine's own configuration names none: a name or an address, with :port where it is not 123.",
	Sources: []platform.Source{platform.Policy},
	Check: func(names []string) error {
		for _, name := range names {
			if _, err := parseServer(name); err != nil {
				return err
			}
		}
		return nil
	},
}

var clockWarn = &checks.Setting[platform.Duration]{
	Key: "policy.clock_warn", Default: platform.Duration(500 * time.Millisecond), Unit: "a duration, such as 500ms",
	Doc:     "How far a node's clock may be off, and from the others', before we warn; time servers that are no farther apart agree.",
	Sources: []platform.Source{platform.Policy},
	Check:   checks.Between(platform.Duration(time.Millisecond), platform.Duration(time.Hour)),
}

var clockFail = &checks.Setting[platform.Duration]{
	Key: "policy.clock_fail", Default: platform.Duration(5 * time.Second), Unit: "a duration, such as 5s",
	Doc:     "How far a node's clock may be off, and from the others', before the check fails. Kerberos stops at five minutes.",
	Sources: []platform.Source{platform.Policy},
	Check:   checks.Between(platform.Duration(time.Millisecond), platform.Duration(24*time.Hour)),
}

// parseServer reads "ntp.example.com" or "ntp.example.com:1123".
func parseServer(s string) (server, error) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = s, strconv.Itoa(ntpPort)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" || strings.ContainsAny(host, " \t/[]") {
		return server{}, fmt.Errorf("%q: want a name or an address, and perhaps a port", s)
	}
	return server{host, int(n)}, nil
}
