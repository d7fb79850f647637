package checks

import "carbonio-check/platform"

// LoginSetting is the setting of a login. Without one it is its zero value.
func LoginSetting(key, doc, sample string, sources ...platform.Source) *Setting[platform.Login] {
	return &Setting[platform.Login]{Key: key, Doc: doc, Sample: sample, Sources: sources, Check: optional(platform.Login.Check)}
}

// SecretSetting is the setting of where a secret is. Without one it is its zero
// value.
func SecretSetting(key, doc, sample string, sources ...platform.Source) *Setting[platform.SecretRef] {
	return &Setting[platform.SecretRef]{Key: key, Doc: doc, Sample: sample, Sources: sources, Check: optional(platform.SecretRef.Check)}
}

// optional is a check for values that may be left out.
func optional[T comparable](check func(T) error) func(T) error {
	return func(v T) error {
		if v == *new(T) {
			return nil
		}
		return check(v)
	}
}
