package storage

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

var (
	spaceFree  = least("policy.space_free", "space")
	inodesFree = least("policy.inodes_free", "inodes")
)

func least(key, of string) *checks.Setting[float64] {
	return &checks.Setting[float64]{
		Key:     key,
		Default: 10,
		Doc:     "The least share of its " + of + " that a file system must have free.",
		Unit:    "per cent",
		Sources: []platform.Source{platform.Policy},
		Check:   checks.Between(0.0, 100),
	}
}

var users = &checks.Setting[int]{
	Key:     "policy.users",
	Doc:     "How many users a mailstore must hold; 0 leaves them out of its size.",
	Unit:    "users",
	Sources: []platform.Source{platform.Requirements.On("the sizing example")},
	Check:   checks.Between(0, 1_000_000_000),
}

var quota = &checks.Setting[float64]{
	Key:     "policy.quota_gb",
	Default: 5,
	Doc:     "How much mail each user may keep.",
	Unit:    "GB of 10^9 bytes",
	Sources: []platform.Source{platform.Requirements.On("the sizing example: 150 users of 5 GB")},
	Check:   checks.Between(0.0, 1e6),
}
