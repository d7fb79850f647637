package machine

import (
	"fmt"
	"os"
	"path/filepath"

	"carbonio-check/checks"
)

// Supported says whether a machine can be looked at here.
const Supported = true

// Local is the machine we run on. With a root other than "/" it is the system
// there: its files can be read, but nothing in it is run.
func Local(root string) (checks.Host, error) {
	if root == "" || filepath.Clean(root) == "/" {
		return checks.Host{Files: os.DirFS("/"), Run: run, Machine: newLocal(), Network: Net{}, Secret: Secret}, nil
	}
	files, err := openChroot(root)
	if err != nil {
		return checks.Host{}, fmt.Errorf("--root: %w", err)
	}
	return checks.Host{Files: files, Run: runNothing, Machine: foreign{}, Network: Net{}, Secret: Secret}, nil
}
