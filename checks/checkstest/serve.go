package checkstest

import (
	"net"
	"net/netip"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// Serve accepts connections on a port of loopback until the test ends, hands
// each to handle in its own goroutine, and closes it then. It returns the
// address.
func Serve(t *testing.T, handle func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var lock sync.Mutex
	open := map[net.Conn]bool{}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			lock.Lock()
			open[c] = true
			lock.Unlock()
			all.Go(func() {
				handle(c)
				c.Close()
				lock.Lock()
				delete(open, c)
				lock.Unlock()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		lock.Lock()
		for c := range open {
			c.Close()
		}
		lock.Unlock()
		all.Wait()
	})
	return l.Addr().String()
}

// Node is a node of a platform; an empty address is none.
func Node(name, address string, components ...platform.Component) platform.Node {
	n := platform.Node{Name: name, Components: components}
	if address != "" {
		n.Address = netip.MustParseAddr(address)
	}
	return n
}

// Scope is that of a node of the newest release on which Carbonio is installed,
// the first of the nodes.
func Scope(nodes ...platform.Node) checks.Scope {
	return checks.Scope{
		Topology: platform.Topology{Nodes: nodes},
		Release:  platform.Newest,
		Vantages: []checks.Vantage{{
			Node: nodes[0].Name, Phase: checks.Health, Release: platform.Newest,
			OS: checks.OS{ID: "ubuntu", Version: "24.04", Codename: "noble"},
		}},
		Settings: checks.Settings{},
	}
}
