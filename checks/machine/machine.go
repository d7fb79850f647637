// Package machine is the real checks.Host: the machine this program runs on.
package machine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"carbonio-check/checks"
)

// errForeign answers every question that only a running system can: the root
// holds another one, and the facts of this machine are not its facts.
var errForeign = errors.New("not run: --root reads another system")

// Local is the machine we run on. With a root other than "/" it is the system
// that lies there: its files can be read, and nothing of it runs.
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

func runNothing(context.Context, string, ...string) (string, error) { return "", errForeign }

// foreign is the checks.Machine of a system that does not run.
type foreign struct{}

func (foreign) Hostname() (string, error)              { return "", errForeign }
func (foreign) Architecture() string                   { return "" }
func (foreign) UID() int                               { return os.Getuid() } // it is we who read the files
func (foreign) CPUs(context.Context) (int, error)      { return 0, errForeign }
func (foreign) Memory(context.Context) (uint64, error) { return 0, errForeign }
func (foreign) Clock() (checks.Clock, error)           { return checks.Clock{}, errForeign }

func (foreign) Usage(context.Context, string) (checks.Usage, error) {
	return checks.Usage{}, errForeign
}

func (foreign) Listeners(context.Context) ([]checks.Listener, error) { return nil, errForeign }
func (foreign) Processes(context.Context) ([]checks.Process, error)  { return nil, errForeign }
func (foreign) Interfaces() ([]checks.Interface, error)              { return nil, errForeign }
