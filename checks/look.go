package checks

import (
	"context"
	"errors"
	"time"
)

// ErrNoAddress is the error of a look at a node that nobody knows an address of.
var ErrNoAddress = errors.New("no address is known: neither the inventory, /etc/hosts nor DNS names one")

// patience is for a context without a deadline.
const patience = 5 * time.Second

// Share is a context that ends with a part of the time that is left: 0.9 of it,
// for a look that wants to say in time who kept silent.
func Share(ctx context.Context, part float64) (context.Context, context.CancelFunc) {
	left := patience
	if deadline, ok := ctx.Deadline(); ok {
		left = time.Until(deadline)
	}
	return context.WithTimeout(ctx, time.Duration(float64(left)*part))
}
