package platform

import (
	"net/netip"
	"slices"
	"strings"
)

const (
	maxName  = 253 // octets of a host name (RFC 1035 §2.3.4, RFC 1123 §2.1)
	maxLabel = 63
	bom      = "\ufeff"
)

// ValidFQDN says whether name is a fully qualified host name as the playbooks
// want it: two labels at least, letters, digits and inner hyphens, and no
// address (the installer's inventory_values_checks).
func ValidFQDN(name string) bool {
	labels := strings.Split(name, ".")
	if _, err := netip.ParseAddr(name); err == nil || len(labels) < 2 || len(name) > maxName {
		return false
	}
	last := labels[len(labels)-1]
	return each(labels, validLabel) && strings.Trim(last, "0123456789") != ""
}

func validLabel(label string) bool {
	return label != "" && len(label) <= maxLabel &&
		label[0] != '-' && label[len(label)-1] != '-' &&
		strings.Trim(label, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") == ""
}

func each[T any](all []T, holds func(T) bool) bool {
	return !slices.ContainsFunc(all, func(v T) bool { return !holds(v) })
}
