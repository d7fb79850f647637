// Package machine is the real checks.Host: the machine this program runs on. A
// machine can be looked at where it runs Linux, as every Carbonio node does;
// elsewhere, as on an administrator's own, there are its files.
package machine

import (
	"context"
	"errors"
	"os"

	"carbonio-check/checks"
)

// Files is a host with nothing but its files.
func Files(root string) (checks.Host, error) {
	if root == "" {
		root = "/"
	}
	return checks.Host{Files: os.DirFS(root), Run: runNothing, Machine: foreign{}, Secret: Secret}, nil
}

// errForeign answers every question that only a running system can: the root
// holds another one, and the facts of this machine are not its facts.
var errForeign = errors.New("not run: --root reads another system")

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
