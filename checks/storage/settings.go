package storage

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

var spaceFree = &checks.Setting[float64]{
	Key:     "policy.space_free",
	Default: 10,
	Doc:     "The least free share of a file system's space.",
	Unit:    "per cent",
	Sources: []platform.Source{platform.Policy},
	Check:   checks.Between(0.0, 100),
}

var inodesFree = &checks.Setting[float64]{
	Key:     "policy.inodes_free",
	Default: 10,
	Doc:     "The least free share of a file system's inodes.",
	Unit:    "per cent",
	Sources: []platform.Source{platform.Policy},
	Check:   checks.Between(0.0, 100),
}

var users = &checks.Setting[int]{
	Key:     "policy.users",
	Doc:     "How many users' mail a mailstore must hold; with 0 its size is not judged by users.",
	Unit:    "users",
	Sources: []platform.Source{platform.Requirements.On("the sizing example")},
	Check:   checks.Between(0, 1_000_000_000),
}

var quota = &checks.Setting[float64]{
	Key:     "policy.quota_gb",
	Default: 5,
	Doc:     "How much mail one user may keep.",
	Unit:    "GB of 10^9 bytes",
	Sources: []platform.Source{platform.Requirements.On("the sizing example: 150 users of 5 GB")},
	Check:   checks.Between(0.0, 1e6),
}
