package checkstest

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks/storage"
)

// What is recorded is read as what was seen, and nothing else.
func TestRecord(t *testing.T) {
	file := `{"node":"mbox1","scope":{"topology":{"nodes":[{"name":"mbox1","components":["applicationServers"]}]},"release":"26.6","vantages":[{"node":"mbox1","phase":"health","os":{"id":"ubuntu","version":"24.04","codename":"noble"}}]}}
{"subject":"clock","kind":"zone","target":{"name":"mbox1"},"vantage":"mbox1","at":"2026-11-27T15:04:13Z","took":1,"data":{}}
{"subject":"storage","kind":"filesystem","target":{"name":"/","node":"mbox1","ask":{"device":"254:0"}},"vantage":"mbox1","at":"2026-11-27T15:04:13Z","took":1,"data":{"total":9,"free":8,"inodes":7,"inodes_free":6}}
{"subject":"storage","kind":"layout","target":{"name":"mbox1","node":"mbox1"},"vantage":"mbox1","at":"2026-11-27T15:04:13Z","took":1,"unseen":{"code":"denied"}}
{"observations":3}
`
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("full.json", []byte(file), 0o600))
	record(t, storage.Module, "full.json")
	c := ReadCase(t, storage.Module, "full")
	require.Equal(t, "mbox1", c.Scope.Self().Node)
	var lines strings.Builder
	for _, o := range c.Seen {
		require.Equal(t, "storage", o.Subject)
		lines.WriteString(o.Kind + " " + o.Target.Name + " " + string(o.Target.Ask) + "\n")
	}
	require.Equal(t, "filesystem / {\n    \"device\": \"254:0\"\n  }\nlayout mbox1 \n", lines.String())
}
