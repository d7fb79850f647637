package clock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/fixtures/fakentp"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCatalogue(t *testing.T) { checkstest.Catalogue(t, Module) }

func TestJudge(t *testing.T) { checkstest.Judge(t, Module) }

func TestConfigured(t *testing.T) {
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing": {nil, ``},
		"ubuntu chrony": {map[string]string{
			"etc/chrony/chrony.conf":                       "confdir /etc/chrony/conf.d\n! server no.example.com\npool ntp.ubuntu.com        iburst maxsources 4\nsourcedir /run/chrony-dhcp\nsourcedir /etc/chrony/sources.d\n",
			"etc/chrony/conf.d/local.conf":                 "Server 10.0.0.1 port 1123 iburst\n",
			"etc/chrony/sources.d/office.sources":          "peer 10.0.0.2\n",
			"etc/chrony/sources.d/office.sources.dpkg-old": "server old.example.com\n",
			"run/chrony-dhcp/eth0.sources":                 "server 10.0.0.254 iburst\n",
			"etc/systemd/timesyncd.conf":                   "[Time]\nNTP=left.over.example.com\n",
		}, `/etc/chrony/conf.d/local.conf: 10.0.0.1:1123 ntp.ubuntu.com 10.0.0.254 10.0.0.2`},
		"rhel chrony": {map[string]string{
			"etc/chrony.conf": "# comment\npool 2.rhel.pool.ntp.org iburst\nrefclock PHC /dev/ptp0 poll 2\ninclude /etc/chrony.d/*.conf\n",
			"etc/chrony.d/a":  "server not.included.example.com\n",
		}, `/etc/chrony.conf: 2.rhel.pool.ntp.org refclock=PHC /dev/ptp0`},
		"chrony including itself": {map[string]string{"etc/chrony.conf": "include /etc/chrony.conf\nserver a.example.com\nserver a.example.com\n"}, `/etc/chrony.conf: a.example.com`},
		"ntpd": {map[string]string{
			"etc/ntpsec/ntp.conf": "server -4 ntp1.example.com iburst # near\npool 0.ubuntu.pool.ntp.org\nserver 127.127.1.0\nserver 127.127.20.0\nserver\n",
		}, `/etc/ntpsec/ntp.conf: ntp1.example.com 0.ubuntu.pool.ntp.org refclock=127.127.20.0`},
		"ubuntu timesyncd as packaged": {map[string]string{
			"etc/systemd/timesyncd.conf": "[Time]\n#NTP=\n#FallbackNTP=ntp.ubuntu.com\n",
		}, `/etc/systemd/timesyncd.conf: ntp.ubuntu.com`},
		"timesyncd with a drop-in that starts anew": {map[string]string{
			"etc/systemd/timesyncd.conf":               "[Time]\nNTP=a.example.com b.example.com\nFallbackNTP=c.example.com\n",
			"etc/systemd/timesyncd.conf.d/office.conf": "[Time]\nNTP=\nNTP=10.0.0.1\n",
		}, `/etc/systemd/timesyncd.conf.d/office.conf: 10.0.0.1`},
		"timesyncd by DHCP": {map[string]string{
			"etc/systemd/timesyncd.conf": "[Time]\n#FallbackNTP=ntp.ubuntu.com\n",
			"run/systemd/netif/state":    "OPER_STATE=routable\nNTP=10.0.0.254\n",
		}, `/run/systemd/netif/state: 10.0.0.254`},
		"more servers than anyone has": {map[string]string{
			"etc/chrony.conf": "server a\n" + strings.Repeat("server a\n", 100) + many("server s%d\n", 100),
		}, `/etc/chrony.conf: a` + many(" s%d", maxServers-1)},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, show(configured(checks.Host{Files: checkstest.Files(test.files)})))
		})
	}
}

func many(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func show(c configuration) string {
	if c.File == "" {
		return ""
	}
	out := c.File + ":"
	for _, s := range c.Servers {
		out += " " + s.String()
	}
	for _, r := range c.Refclocks {
		out += " refclock=" + r
	}
	return out
}

func FuzzConfigured(f *testing.F) {
	f.Add("server a.example.com port 99999\ninclude [\nconfdir /\n")
	f.Add("[Time]\nNTP=\"a b\"\nFallbackNTP\n=")
	f.Add("server -4\nserver 127.127.\npool\x00\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, file := range []string{"etc/chrony.conf", "etc/ntp.conf", "etc/systemd/timesyncd.conf"} {
			c := configured(checks.Host{Files: checkstest.Files(map[string]string{file: text})})
			require.LessOrEqual(t, len(c.Servers), maxServers)
			for _, s := range c.Servers {
				require.NotEmpty(t, s.Name)
			}
		}
	})
}

func TestTargets(t *testing.T) {
	scope := checkstest.Scope(checkstest.Node("core.example.com", ""))
	own, err := self(scope, checks.Host{})
	require.NoError(t, err)
	require.Equal(t, []target{{Name: "core.example.com", Node: "core.example.com"}}, own)
	names := func(files map[string]string) string {
		all, err := targets(scope, checks.Host{Files: checkstest.Files(files)})
		require.NoError(t, err)
		var out []string
		for _, target := range all {
			out = append(out, target.Name+"="+target.Address)
		}
		return strings.Join(out, " ")
	}
	require.Equal(t, "ntp.ubuntu.com=ntp.ubuntu.com:123", names(nil))
	require.Equal(t, "::1=[::1]:123", names(map[string]string{"etc/chrony.conf": "server ::1\n"}))
	require.Empty(t, names(map[string]string{"etc/chrony.conf": "refclock PPS /dev/pps0\n"}), "nothing to ask where the machine has a clock of its own")
	ntpServers.Set(scope.Settings, []string{"127.0.0.1:1123", "ntp.example.com"})
	require.Equal(t, "127.0.0.1:1123=127.0.0.1:1123 ntp.example.com=ntp.example.com:123", names(nil))
}

func TestSettings(t *testing.T) {
	for _, value := range []string{`["ntp.example.com", "10.0.0.1:1123", "::1", "[::1]:1123"]`, `[]`} {
		_, err := ntpServers.Decode(checkstest.Strict([]byte(value)))
		require.NoError(t, err, value)
	}
	for _, value := range []string{`["ntp.example.com:0"]`, `["ntp.example.com:http"]`, `[""]`, `[":123"]`, `["ntp 1"]`, `["[::1]"]`} {
		_, err := ntpServers.Decode(checkstest.Strict([]byte(value)))
		require.ErrorContains(t, err, "want a name or an address", value)
	}
	for _, value := range []string{`"0s"`, `"-5s"`, `"200h"`} {
		_, err := clockWarn.Decode(checkstest.Strict([]byte(value)))
		require.ErrorContains(t, err, "out of range", value)
		_, err = clockFail.Decode(checkstest.Strict([]byte(value)))
		require.ErrorContains(t, err, "out of range", value)
	}
}

type target = checks.Target[checks.Nothing]

const timedatectlLine = "timedatectl show -p NTPSynchronized -p NTP -p Timezone -p LocalRTC"

func TestObserveMachine(t *testing.T) {
	files := checkstest.Files(map[string]string{
		"etc/adjtime":     "0.000000 1741788390 0.000000\n1741788390\nLOCAL\n",
		"etc/chrony.conf": "server 10.0.0.1\n",
	})
	files["etc/localtime"] = &fstest.MapFile{Data: []byte("/usr/share/zoneinfo/Europe/Rome"), Mode: fs.ModeSymlink | 0o777}
	host := checks.Host{
		Files: files,
		Run:   checkstest.Commands(map[string]string{timedatectlLine: "Timezone=Europe/Rome\nLocalRTC=yes\nNTP=yes\nNTPSynchronized=no\nCanNTP=yes\n"}),
		Machine: checkstest.Machine{
			ClockState: checks.Clock{Synchronized: true, MaxError: time.Millisecond},
			Programs:   []checks.Process{{PID: 1, Name: "systemd"}, {PID: 7, Name: "chronyd"}, {PID: 8, Name: "chronyd"}, {PID: 9, Name: "systemd-timesyn"}, {PID: 10, Name: "sshd"}},
		},
	}
	m, err := observeMachine(t.Context(), host, target{})
	require.NoError(t, err)
	require.Equal(t, machine{
		Kernel:       &checks.Clock{Synchronized: true, MaxError: time.Millisecond},
		Timedatectl:  map[string]string{"Timezone": "Europe/Rome", "LocalRTC": "yes", "NTP": "yes", "NTPSynchronized": "no"},
		Services:     []string{"chronyd", "systemd-timesyncd"},
		AllProcesses: true,
		Zone:         "Europe/Rome",
		RTC:          "LOCAL",
		Sources:      configuration{File: "/etc/chrony.conf", Servers: []server{{"10.0.0.1", 123}}},
		Unread:       map[string]checks.Unseen{},
	}, m)
}

func TestObserveBareContainer(t *testing.T) {
	host := checks.Host{
		Files:   checkstest.Files(map[string]string{".dockerenv": "", "etc/localtime": "TZif2", "etc/timezone": "Etc/UTC\n"}),
		Run:     checkstest.Commands(nil),
		Machine: checkstest.Machine{Err: errors.New("operation not permitted")},
	}
	m, err := observeMachine(t.Context(), host, target{})
	require.NoError(t, err)
	require.Equal(t, "docker", m.Container)
	require.Equal(t, "Etc/UTC", m.Zone)
	require.Equal(t, "UTC", m.RTC, "without /etc/adjtime")
	require.Nil(t, m.Kernel)
	require.Equal(t, checks.Unseen{Code: checks.Failed, Words: "operation not permitted"}, m.Unread["kernel"])
	require.Contains(t, m.Unread["timedatectl"].Words, "file does not exist")
}

// A bus that hangs costs timedatectl's word, not the look.
func TestObserveMachineWithAHangingBus(t *testing.T) {
	host := checks.Host{
		Files: checkstest.Files(nil),
		Run: func(ctx context.Context, name string, _ ...string) (string, error) {
			if name == "timedatectl" {
				<-ctx.Done()
			}
			return "", context.Cause(ctx)
		},
		Machine: checkstest.Machine{ClockState: checks.Clock{Synchronized: true}},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	m, err := observeMachine(ctx, host, target{})
	require.NoError(t, err)
	require.NoError(t, ctx.Err(), "nothing left of the look's time")
	require.True(t, m.Kernel.Synchronized)
	require.Equal(t, checks.TimedOut, m.Unread["timedatectl"].Code)
}

// slack is what a busy machine may add to a measured offset.
const slack = 500 * time.Millisecond

// ask1 looks at one server.
func ask1(t testing.TB, ctx context.Context, network checks.Network, address string) (answer, error) {
	a, err := observeServer(ctx, checks.Host{Network: network}, target{Name: "ntp", Address: address})
	_, bad := json.Marshal(a)
	require.NoError(t, bad)
	return a, err
}

func start(t testing.TB, o fakentp.Options) string {
	s, err := fakentp.Start(o)
	require.NoError(t, err)
	t.Cleanup(func() { s.Close() })
	return s.Addr()
}

func TestObserveServer(t *testing.T) {
	for name, test := range map[string]struct {
		options fakentp.Options
		want    func(t *testing.T, a answer)
	}{
		"right": {fakentp.Options{}, func(t *testing.T, a answer) {
			require.Equal(t, samples, a.Answered)
			require.Empty(t, a.Best.Refused)
			require.Equal(t, 2, a.Best.Stratum)
			require.Less(t, a.Best.Offset.Abs(), slack)
		}},
		"an hour ahead": {fakentp.Options{Offset: time.Hour}, func(t *testing.T, a answer) {
			require.InDelta(t, time.Hour, a.Best.Offset, float64(slack))
		}},
		"a day behind": {fakentp.Options{Offset: -24 * time.Hour}, func(t *testing.T, a answer) {
			require.InDelta(t, -24*time.Hour, a.Best.Offset, float64(slack))
		}},
		"after 2036": {fakentp.Options{Offset: 15 * 365 * 24 * time.Hour}, func(t *testing.T, a answer) {
			require.InDelta(t, 15*365*24*time.Hour, a.Best.Offset, float64(slack))
		}},
		"far away": {fakentp.Options{Delay: 30 * time.Millisecond}, func(t *testing.T, a answer) {
			require.GreaterOrEqual(t, a.Best.Delay, 29*time.Millisecond)
			require.Less(t, a.Best.Offset.Abs(), slack)
		}},
		"not synchronised": {fakentp.Options{Stratum: 16}, func(t *testing.T, a answer) {
			require.Equal(t, 16, a.Best.Stratum)
			require.NotEmpty(t, a.Best.Refused)
		}},
		"leap indicator 3": {fakentp.Options{Leap: 3}, func(t *testing.T, a answer) {
			require.Equal(t, 3, a.Best.Leap)
			require.NotEmpty(t, a.Best.Refused)
		}},
		"kiss of death": {fakentp.Options{Kiss: "DENY"}, func(t *testing.T, a answer) {
			require.Equal(t, "DENY", a.Best.Kiss)
			require.NotEmpty(t, a.Best.Refused)
		}},
		"garbage": {fakentp.Options{Garbage: true}, func(t *testing.T, a answer) {
			require.Nil(t, a.Best)
			require.Equal(t, checks.Stranger, a.Contact.State)
			require.Contains(t, a.Contact.Words, "invalid mode")
		}},
		"forged": {fakentp.Options{Forged: true}, func(t *testing.T, a answer) {
			require.Nil(t, a.Best)
			require.Equal(t, checks.Stranger, a.Contact.State)
			require.Contains(t, a.Contact.Words, "didn't match")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := ask1(t, t.Context(), checkstest.Network{}, start(t, test.options))
			require.NoError(t, err)
			test.want(t, a)
		})
	}
}

// Silence is what was seen, and leaves the look a little time to say so.
func TestObserveServerSilent(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	a, err := ask1(t, ctx, checkstest.Network{}, start(t, fakentp.Options{Silent: true}))
	require.NoError(t, err)
	require.NoError(t, ctx.Err())
	require.Equal(t, answer{Contact: checks.Contact{State: checks.Silent}}, a)
}

func TestObserveServerNobodyListens(t *testing.T) {
	s, err := fakentp.Start(fakentp.Options{})
	require.NoError(t, err)
	s.Close()
	a, err := ask1(t, t.Context(), checkstest.Network{}, s.Addr())
	require.NoError(t, err)
	require.Equal(t, checks.Contact{State: checks.Refused}, a.Contact)
}

// An interrupted run saw nothing: that is an error, not a dead server.
func TestObserveServerInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := ask1(t, ctx, checkstest.Network{}, start(t, fakentp.Options{Silent: true}))
	require.ErrorIs(t, err, context.Canceled)
}

// A server that limits its rate answers the first request only: nobody waits
// for the others until the deadline.
func TestObserveServerThatLimitsItsRate(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	before := time.Now()
	a, err := ask1(t, ctx, checkstest.Network{}, start(t, fakentp.Options{Limit: 1}))
	require.NoError(t, err)
	require.Equal(t, 1, a.Answered)
	require.Empty(t, a.Best.Refused)
	require.Less(t, time.Since(before), 10*time.Second)
}

func TestObserveServerByName(t *testing.T) {
	_, port, _ := strings.Cut(start(t, fakentp.Options{}), ":")
	dead := netip.MustParseAddr("127.0.0.2")
	network := checkstest.Network{LookupFunc: func(_ context.Context, name string) ([]netip.Addr, error) {
		switch name {
		case "ntp.example.com":
			return []netip.Addr{dead, netip.MustParseAddr("127.0.0.1")}, nil
		case "empty.example.com":
			return nil, nil
		}
		return nil, fmt.Errorf("lookup %s: no such host", name)
	}}
	a, err := ask1(t, t.Context(), network, "ntp.example.com:"+port)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:"+port, a.Best.Address, "one of the two addresses is enough")
	require.Equal(t, samples/2, a.Answered)

	a, err = ask1(t, t.Context(), network, "gone.example.com:"+port)
	require.NoError(t, err)
	require.Equal(t, answer{Unresolved: "lookup gone.example.com: no such host"}, a)

	a, err = ask1(t, t.Context(), network, "empty.example.com:"+port)
	require.NoError(t, err)
	require.Equal(t, answer{Unresolved: "it has no address"}, a)
}

// What is our own trouble says nothing of the server.
func TestObserveServerOurFault(t *testing.T) {
	for name, cause := range map[string]error{
		"no descriptors": syscall.EMFILE, "a local firewall": syscall.EPERM,
	} {
		t.Run(name, func(t *testing.T) {
			network := checkstest.Network{DialFunc: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Net: "udp", Err: os.NewSyscallError("socket", func() syscall.Errno {
					var target syscall.Errno
					_ = errors.As(cause, &target)
					return target
				}())}
			}}
			a, err := ask1(t, t.Context(), network, "10.0.0.1:123")
			require.ErrorIs(t, err, cause)
			require.Zero(t, a)
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := ask1(t, ctx, checkstest.Network{LookupFunc: func(ctx context.Context, _ string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}, "ntp.example.com:123")
	require.ErrorIs(t, err, context.DeadlineExceeded, "a resolver that is silent")
}

func TestBetter(t *testing.T) {
	slow, quick := reply{Delay: 40 * time.Millisecond}, reply{Delay: 9 * time.Millisecond}
	refused := reply{Delay: time.Millisecond, Refused: "kiss of death received"}
	for _, test := range []struct {
		a, b reply
		want bool
	}{{quick, slow, true}, {slow, quick, false}, {slow, refused, true}, {refused, slow, false}} {
		require.Equal(t, test.want, better(test.a, test.b), "%v %v", test.a, test.b)
	}
}

// The whole way: a server that says this clock is wrong.
func TestLookAndJudge(t *testing.T) {
	address := start(t, fakentp.Options{Offset: 90 * time.Second})
	scope := checkstest.Scope(checkstest.Node("core.example.com", ""))
	_, port, _ := strings.Cut(address, ":")
	found := checkstest.Findings(t, Module, scope, checks.Host{
		Files:   checkstest.Files(map[string]string{"etc/chrony.conf": "server 127.0.0.1 port " + port + "\n"}),
		Run:     checkstest.Commands(nil),
		Network: checkstest.Network{},
		Machine: checkstest.Machine{ClockState: checks.Clock{Synchronized: true}, Programs: []checks.Process{{PID: 1, Name: "init"}, {PID: 9, Name: "chronyd"}}},
	})
	verdicts := map[string]checks.Status{}
	for _, f := range found {
		verdicts[f.Check.ID+" "+f.Target] = f.Status
	}
	require.Equal(t, map[string]checks.Status{
		"clock.service core.example.com":      checks.Pass,
		"clock.sources core.example.com":      checks.Pass,
		"clock.synchronized core.example.com": checks.Pass,
		"clock.rtc core.example.com":          checks.Pass,
		"clock.timezone core.example.com":     checks.Pass,
		"clock.offset core.example.com":       checks.Fail,
	}, verdicts)
}

// Four samples of a server 20 ms away cost one round trip.
func BenchmarkOffset(b *testing.B) {
	address := start(b, fakentp.Options{Delay: 20 * time.Millisecond})
	for b.Loop() {
		a, err := ask1(b, b.Context(), checkstest.Network{}, address)
		if err != nil || a.Answered != samples {
			b.Fatal(a, err)
		}
	}
}
