package mesh

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

var meshToken = &checks.Setting[platform.SecretRef]{
	Key:     "logins.mesh_token",
	Doc:     "Where the mesh's administration token is: a file or an environment variable. It is needed on nodes that are no mesh servers, and wherever carbonio-check does not run as root.",
	Sources: []platform.Source{platform.Troubleshooting.On("mesh")},
	Sample:  "{file: /root/mesh.token}",
	Check: func(ref platform.SecretRef) error {
		if ref == (platform.SecretRef{}) {
			return nil
		}
		return ref.Check()
	},
}
