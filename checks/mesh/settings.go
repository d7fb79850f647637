package mesh

import (
	"carbonio-check/checks"
	"carbonio-check/platform"
)

var meshToken = &checks.Setting[platform.SecretRef]{
	Key:     "logins.mesh_token",
	Doc:     "Where the administration token of the mesh is: a file or an environment variable. Mesh servers hold the token, and there root needs no setting.",
	Sources: []platform.Source{platform.Troubleshooting.On("mesh")},
	Sample:  "{file: /root/mesh.token}",
	Check: func(ref platform.SecretRef) error {
		if ref == (platform.SecretRef{}) {
			return nil
		}
		return ref.Check()
	},
}
