package dns

import (
	"time"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

var resolverTime = &checks.Setting[platform.Duration]{
	Key:     "policy.resolver_time",
	Default: platform.Duration(200 * time.Millisecond),
	Doc:     "The longest median response time of a resolver that raises no warning.",
	Unit:    "a duration, such as 500ms",
	Sources: []platform.Source{platform.Policy},
	Check:   checks.Between(platform.Duration(time.Millisecond), platform.Duration(time.Minute)),
}
