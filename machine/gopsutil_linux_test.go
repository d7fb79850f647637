package machine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
)

// holdSockets makes the test binary its own neighbour: TestHoldSockets holds them.
const holdSockets = "CARBONIO_CHECK_TEST_HOLD_SOCKETS"

// TestHoldSockets prints the ports of a listener, a bound and a connected UDP
// socket, and keeps them until its input ends.
func TestHoldSockets(t *testing.T) {
	if os.Getenv(holdSockets) == "" {
		t.Skip("the other half of TestListeners")
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	connected, err := net.Dial("udp", udp.LocalAddr().String())
	require.NoError(t, err)
	for _, a := range []net.Addr{tcp.Addr(), udp.LocalAddr(), connected.LocalAddr()} {
		fmt.Print(netip.MustParseAddrPort(a.String()).Port(), " ")
	}
	fmt.Println()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func TestListeners(t *testing.T) {
	cmd := exec.Command(os.Args[0], "-test.run=^TestHoldSockets$")
	cmd.Env = append(os.Environ(), holdSockets+"=1")
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { stdin.Close(); require.NoError(t, cmd.Wait()) })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	var tcp, udp, connected int
	_, err = fmt.Sscan(line, &tcp, &udp, &connected)
	require.NoError(t, err)

	mine, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer mine.Close()

	got, err := newLocal().Listeners(t.Context())
	require.NoError(t, err)
	loopback := netip.MustParseAddr("127.0.0.1")
	name := processName(int32(cmd.Process.Pid))
	require.NotEmpty(t, name)
	require.Contains(t, got, checks.Listener{Protocol: "tcp", Address: loopback, Port: tcp, PID: cmd.Process.Pid, Process: name})
	require.Contains(t, got, checks.Listener{Protocol: "udp", Address: loopback, Port: udp, PID: cmd.Process.Pid, Process: name})
	for _, l := range got {
		require.False(t, l.Protocol == "udp" && l.Port == connected && l.PID == cmd.Process.Pid, "a connected socket waits for nobody: %v", l)
		require.NotEqual(t, os.Getpid(), l.PID, "our own socket: %v", l)
	}
}

func TestFactsOfThisMachine(t *testing.T) {
	m := newLocal()
	cpus, err := m.CPUs(t.Context())
	require.NoError(t, err)
	require.Positive(t, cpus)
	memory, err := m.Memory(t.Context())
	require.NoError(t, err)
	require.Greater(t, memory, uint64(64<<20))
	processes, err := m.Processes(t.Context())
	require.NoError(t, err)
	require.Contains(t, processes, checks.Process{PID: os.Getpid(), Name: processName(int32(os.Getpid()))})
	interfaces, err := m.Interfaces()
	require.NoError(t, err)
	for _, i := range interfaces {
		require.NotEmpty(t, i.Name)
		require.Positive(t, i.MTU)
	}
	require.NotEmpty(t, m.Architecture())
	require.NotContains(t, []string{"x86_64", "aarch64"}, m.Architecture())
	name, err := m.Hostname()
	require.NoError(t, err)
	require.NotEmpty(t, name)
	if _, err = m.Clock(); err != nil {
		t.Skipf("the kernel does not tell of its clock here: %v", err)
	}
}

func TestUsage(t *testing.T) {
	m := newLocal()
	u, err := m.Usage(t.Context(), t.TempDir())
	require.NoError(t, err)
	require.Positive(t, u.Total)
	require.LessOrEqual(t, u.Free, u.Total)
	require.Empty(t, m.statfs, "the place is given back")

	_, err = m.Usage(t.Context(), "/no/such/path")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestUsageWaitsForNoDeadMount(t *testing.T) {
	m := newLocal()
	for range maxStuck {
		m.statfs <- struct{}{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := m.Usage(ctx, "/")
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "8 others hang")
}

func TestCountCPUs(t *testing.T) {
	n, err := countCPUs("cpu  1 2 3\ncpu0 1 2\ncpu11 3 4\nintr 5 cpu1\nctxt 9\n")
	require.NoError(t, err)
	require.Equal(t, 2, n)
	_, err = countCPUs(strings.Repeat("cpu\n", 3))
	require.Error(t, err)
}
