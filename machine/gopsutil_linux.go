package machine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v3/disk"
	"github.com/shirou/gopsutil/v3/mem"
	psnet "github.com/shirou/gopsutil/v3/net"
	"golang.org/x/sys/unix"

	"carbonio-check/checks"
)

// maxStuck is how many calls of statfs may hang on dead mounts at once; a
// thread sits in each until the mount answers.
const maxStuck = 8

// local is the checks.Machine we run on.
type local struct {
	statfs chan struct{} // a place for each call that has not returned
}

func newLocal() local { return local{make(chan struct{}, maxStuck)} }

func (local) Hostname() (string, error) { return os.Hostname() }
func (local) UID() int                  { return os.Getuid() }

// Architecture is the kernel's, in Go's words.
func (local) Architecture() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	switch m := unix.ByteSliceToString(u.Machine[:]); m {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	default:
		return m
	}
}

// CPUs counts those that are online. gopsutil/cpu would bring two more modules
// for this number.
func (local) CPUs(context.Context) (int, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	return countCPUs(string(stat))
}

// countCPUs counts the lines cpu0, cpu1, … of proc_stat(5).
func countCPUs(stat string) (int, error) {
	n := 0
	for line := range strings.Lines(stat) {
		number, isCPU := strings.CutPrefix(line, "cpu")
		if isCPU && number != "" && number[0] >= '0' && number[0] <= '9' {
			n++
		}
	}
	if n == 0 {
		return 0, errors.New("/proc/stat lists no CPU")
	}
	return n, nil
}

func (local) Memory(ctx context.Context) (uint64, error) {
	m, err := mem.VirtualMemoryWithContext(ctx)
	if err != nil {
		return 0, err
	}
	return m.Total, nil
}

// Usage asks statfs, which no signal ends on a mount whose server is gone: when
// the context ends first, the call is left behind.
func (l local) Usage(ctx context.Context, path string) (checks.Usage, error) {
	select {
	case l.statfs <- struct{}{}:
	case <-ctx.Done():
		return checks.Usage{}, fmt.Errorf("statfs %s: %d others hang: %w", path, maxStuck, ctx.Err())
	}
	type answer struct {
		stat *disk.UsageStat
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		stat, err := disk.UsageWithContext(ctx, path)
		<-l.statfs
		answers <- answer{stat, err}
	}()
	select {
	case <-ctx.Done():
		return checks.Usage{}, fmt.Errorf("statfs %s does not return (a dead mount?): %w", path, ctx.Err())
	case a := <-answers:
		if a.err != nil {
			return checks.Usage{}, fmt.Errorf("statfs %s: %w", path, a.err)
		}
		return checks.Usage{Total: a.stat.Total, Free: a.stat.Free, Inodes: a.stat.InodesTotal, InodesFree: a.stat.InodesFree}, nil
	}
}

// Listeners leaves out our own sockets: those of the other checks that run now.
func (local) Listeners(ctx context.Context) ([]checks.Listener, error) {
	sockets, err := psnet.ConnectionsWithoutUidsWithContext(ctx, "inet")
	if err != nil {
		return nil, err
	}
	var out []checks.Listener
	for _, s := range sockets {
		l := checks.Listener{Protocol: "tcp", Port: int(s.Laddr.Port), PID: int(s.Pid)}
		if s.Type == unix.SOCK_DGRAM {
			l.Protocol = "udp"
		}
		waits := s.Status == "LISTEN" || l.Protocol == "udp" && s.Raddr.Port == 0
		if !waits || l.PID == os.Getpid() {
			continue
		}
		if l.Address, err = netip.ParseAddr(s.Laddr.IP); err != nil {
			return out, err
		}
		if l.PID != 0 {
			l.Process = processName(s.Pid)
		}
		out = append(out, l)
	}
	return out, nil
}

func (local) Processes(ctx context.Context) ([]checks.Process, error) {
	pids, err := psnet.PidsWithContext(ctx)
	if err != nil {
		return nil, err
	}
	var out []checks.Process
	for _, pid := range pids {
		if name := processName(pid); name != "" {
			out = append(out, checks.Process{PID: int(pid), Name: name})
		}
	}
	return out, nil
}

// processName is the first 15 bytes of a process's name, as the kernel keeps
// it; empty when the process has ended since.
func processName(pid int32) string {
	name, err := os.ReadFile("/proc/" + strconv.Itoa(int(pid)) + "/comm")
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(name), "\n")
}

func (local) Interfaces() ([]checks.Interface, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	var out []checks.Interface
	for _, i := range interfaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addresses, err := i.Addrs()
		if err != nil {
			return out, fmt.Errorf("%s: %w", i.Name, err)
		}
		up := checks.Interface{Name: i.Name, Loopback: i.Flags&net.FlagLoopback != 0, MTU: i.MTU}
		for _, a := range addresses {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				up.Addresses = append(up.Addresses, p)
			}
		}
		out = append(out, up)
	}
	return out, nil
}

// Clock asks the kernel, and sets nothing: adjtimex with no modes only reads.
func (local) Clock() (checks.Clock, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return checks.Clock{}, fmt.Errorf("adjtimex: %w", err)
	}
	return checks.Clock{
		Synchronized: state != unix.TIME_ERROR && t.Status&unix.STA_UNSYNC == 0,
		MaxError:     time.Duration(t.Maxerror) * time.Microsecond,
	}, nil
}
