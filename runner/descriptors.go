package runner

import "syscall"

const (
	// reserved descriptors are for the program itself: its files, its reports.
	reserved = 16
	// perLook is how many descriptors a look takes at once, as a rule.
	perLook = 4
)

// Affordable is how many looks may run at once with the descriptors that this
// process may open: what cannot be opened would be seen by nobody.
func Affordable(parallel int) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > 1<<20 {
		return parallel
	}
	return within(parallel, int(limit.Cur))
}

func within(parallel, descriptors int) int {
	return max(1, min(parallel, (descriptors-reserved)/perLook))
}
