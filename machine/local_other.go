//go:build !linux

package machine

import (
	"errors"

	"carbonio-check/checks"
)

// Supported says whether a machine can be looked at here.
const Supported = false

// Local is the machine we run on, which cannot be looked at.
func Local(string) (checks.Host, error) {
	return checks.Host{}, errors.New("only Linux machines can be looked at; inventory -i, judge, diff, list and explain work here")
}
