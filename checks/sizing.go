package checks

import (
	"fmt"

	"carbonio-check/platform"
)

// Profiles is the setting of the least machine for a node, which system and
// storage judge by.
var Profiles = &Setting[[]platform.Profile]{
	Key:     "policy.profiles",
	Default: platform.Profiles,
	Doc:     "The minimum size of a node with any of these components (Ansible groups); without components, of a single server. A list given here replaces the built-in one.",
	Sources: []platform.Source{platform.SingleServer.On("2024-2025"), platform.MultiServer.On("2023-11"), platform.Requirements},
	Sample:  "- {name: mailstore, components: [applicationServers], cpus: 8, memory_gb: 32, disk_gb: 50}",
	Check: func(profiles []platform.Profile) error {
		for _, p := range profiles {
			if p.CPUs < 0 || !(p.MemoryGB >= 0 && p.MemoryGB <= 1e6) || !(p.DiskGB >= 0 && p.DiskGB <= 1e9) {
				return fmt.Errorf("profile %q: sizes cannot be negative", p.Name)
			}
		}
		return nil
	},
}
