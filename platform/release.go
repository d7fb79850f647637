package platform

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Release is a Carbonio release: year, month and patch, as in 25.9.2.
type Release struct{ Year, Month, Patch int }

// The releases at which the platform changed in a way that a check can see
// (the release notes).
var (
	// R25_6 drops Ubuntu 20.04 (focal) and adds 24.04 (noble) and RHEL 9.
	R25_6 = Release{25, 6, 0}
	// R25_9 replaces Kafka 3 with ZooKeeper by Kafka 4 with KRaft.
	R25_9 = Release{25, 9, 0}
	// R26_6 moves the message broker to the mesh servers and checks FQDNs.
	R26_6 = Release{26, 6, 0}
	// Newest is the newest release this tool knows.
	Newest = R26_6
)

// ParseRelease reads "26.6" or "25.9.2".
func ParseRelease(s string) (Release, error) {
	parts := strings.Split(strings.TrimSpace(s), ".")
	if len(parts) < 2 || len(parts) > 3 {
		return Release{}, fmt.Errorf("release %q: want year.month, such as %s", s, Newest)
	}
	var n [3]int
	for i, p := range parts {
		v, err := strconv.Atoi(p)
		if err != nil || v < 0 || v > 99 {
			return Release{}, fmt.Errorf("release %q: want year.month, such as %s", s, Newest)
		}
		n[i] = v
	}
	if n[1] < 1 || n[1] > 12 {
		return Release{}, fmt.Errorf("release %q: there is no month %d", s, n[1])
	}
	return Release{n[0], n[1], n[2]}, nil
}

// String gives "26.6", or "25.9.2" for a patch release.
func (r Release) String() string {
	if r.Patch == 0 {
		return fmt.Sprintf("%d.%d", r.Year, r.Month)
	}
	return fmt.Sprintf("%d.%d.%d", r.Year, r.Month, r.Patch)
}

// Compare orders releases by age.
func (r Release) Compare(o Release) int {
	return cmp.Or(cmp.Compare(r.Year, o.Year), cmp.Compare(r.Month, o.Month), cmp.Compare(r.Patch, o.Patch))
}

// Before says whether r is older than o.
func (r Release) Before(o Release) bool { return r.Compare(o) < 0 }

// IsZero says whether no release is named.
func (r Release) IsZero() bool { return r == Release{} }

// MarshalText makes a release a string in JSON and YAML.
func (r Release) MarshalText() ([]byte, error) {
	if r.IsZero() {
		return nil, nil
	}
	return []byte(r.String()), nil
}

// UnmarshalText reads what MarshalText wrote.
func (r *Release) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*r = Release{}
		return nil
	}
	v, err := ParseRelease(string(b))
	*r = v
	return err
}
