package dns

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/fixtures/fakedns"
)

func serve(t testing.TB, zone fakedns.Zone) string {
	t.Helper()
	server, err := fakedns.Start(zone)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return server.Addr()
}

var silent = checks.Contact{State: checks.Silent}

func none(answer) []question { return nil }

// ample is time that only a test that fails takes.
const ample = 10 * time.Second

// askOne asks for one name within a time that a healthy server never needs.
func askOne(t *testing.T, server string, within time.Duration, recordType, name string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	start := time.Now()
	answers, err := ask(ctx, checkstest.Network{}, server, []question{{recordType, name}}, none)
	require.NoError(t, err)
	require.Less(t, time.Since(start), within+ample, "ask outlived its context")
	require.Len(t, answers, 1)
	return answers[0]
}

func TestAsk(t *testing.T) {
	const short = 300 * time.Millisecond
	many := make([]string, 3000)
	for i := range many {
		many[i] = fmt.Sprintf("A 10.1.%d.%d", i/250, i%250)
	}
	chain := map[string][]string{}
	for i := range 1000 {
		chain[fmt.Sprintf("c%d.example.com", i)] = []string{fmt.Sprintf("CNAME c%d.example.com.", i+1)}
	}
	server := serve(t, fakedns.Zone{
		"good.example.com":             {Records: []string{"A 10.0.0.2", "A 10.0.0.1", "AAAA 2001:db8::1"}},
		"gone.example.com":             {Rcode: dns.RcodeNameError},
		"empty.example.com":            {},
		"servfail.example.com":         {Rcode: dns.RcodeServerFailure},
		"refused.example.com":          {Rcode: dns.RcodeRefused},
		"silent.example.com":           {Silent: true},
		"late.example.com":             {Records: []string{"A 10.0.0.1"}, Delay: 20 * time.Millisecond},
		"lost.example.com":             {Records: []string{"A 10.0.0.1"}, Lose: 1},
		"forged.example.com":           {Records: []string{"A 10.0.0.1"}, Forged: true},
		"onlyforged.example.com":       {Forged: true, Silent: true},
		"garbage.example.com":          {Garbage: true},
		"truncated.example.com":        {Records: []string{"A 10.0.0.1"}, Truncate: true},
		"notcp.example.com":            {Records: []string{"A 10.0.0.1"}, Truncate: true, NoTCP: true},
		"noedns.example.com":           {Records: []string{"A 10.0.0.1"}, NoEDNS: true},
		"dropsedns.example.com":        {Records: []string{"A 10.0.0.1"}, LoseEDNS: true},
		"many.example.com":             {Records: many},
		"alias.example.com":            {Records: []string{"CNAME good.example.com."}},
		"loop.example.com":             {Records: []string{"CNAME pool.example.com."}},
		"pool.example.com":             {Records: []string{"CNAME loop.example.com."}},
		"text.example.com":             {Records: []string{`TXT "v=spf1 " "-all"`, `TXT "a\027[31mb\"c"`}},
		"mx.example.com":               {Records: []string{"MX 10 Mail.example.com.", "MX 0 ."}},
		fakedns.Reverse("10.0.0.7"):    {Records: []string{"PTR mbox1.example.com."}},
		fakedns.Reverse("2001:db8::7"): {Records: []string{"CNAME alias7.example.com."}},
		"alias7.example.com":           {Records: []string{"PTR mbox1.example.com."}},
	})
	for name, c := range map[string]struct {
		within time.Duration
		q      question
		want   answer
	}{
		"good":         {ample, question{"A", "good.example.com"}, answer{Rcode: "NOERROR", Values: []string{"10.0.0.1", "10.0.0.2"}}},
		"case":         {ample, question{"A", "GOOD.example.com"}, answer{Rcode: "NOERROR", Values: []string{"10.0.0.1", "10.0.0.2"}}},
		"NXDOMAIN":     {ample, question{"A", "gone.example.com"}, answer{Rcode: "NXDOMAIN"}},
		"empty":        {ample, question{"A", "empty.example.com"}, answer{Rcode: "NOERROR"}},
		"other type":   {ample, question{"MX", "good.example.com"}, answer{Rcode: "NOERROR"}},
		"SERVFAIL":     {ample, question{"A", "servfail.example.com"}, answer{Rcode: "SERVFAIL"}},
		"REFUSED":      {ample, question{"A", "refused.example.com"}, answer{Rcode: "REFUSED"}},
		"silence":      {short, question{"A", "silent.example.com"}, answer{Contact: silent}},
		"delay":        {ample, question{"A", "late.example.com"}, answer{Rcode: "NOERROR", Values: []string{"10.0.0.1"}}},
		"loss":         {3 * time.Second, question{"A", "lost.example.com"}, answer{Rcode: "NOERROR", Values: []string{"10.0.0.1"}}},
		"forged":       {ample, question{"A", "forged.example.com"}, answer{Rcode: "NOERROR", Values: []string{"10.0.0.1"}}},
		"only forged":  {short, question{"A", "onlyforged.example.com"}, answer{Contact: silent}},
		"garbage":      {short, question{"A", "garbage.example.com"}, answer{Contact: unreadable}},
		"truncated":    {ample, question{"A", "truncated.example.com"}, answer{Rcode: "NOERROR", Values: []string{"10.0.0.1"}, Truncated: true}},
		"no TCP":       {ample, question{"A", "notcp.example.com"}, answer{Truncated: true, Contact: checks.Contact{State: checks.HungUp}}},
		"no EDNS":      {ample, question{"A", "noedns.example.com"}, answer{Rcode: "NOERROR", Values: []string{"10.0.0.1"}}},
		"EDNS lost":    {3 * time.Second, question{"A", "dropsedns.example.com"}, answer{Rcode: "NOERROR", Values: []string{"10.0.0.1"}}},
		"alias":        {ample, question{"A", "alias.example.com"}, answer{Rcode: "NOERROR", Values: []string{"10.0.0.1", "10.0.0.2"}, Aliases: []string{"good.example.com"}}},
		"alias loop":   {ample, question{"A", "loop.example.com"}, answer{Rcode: "NOERROR", Aliases: []string{"pool.example.com", "loop.example.com", "pool.example.com"}}},
		"texts":        {ample, question{"TXT", "text.example.com"}, answer{Rcode: "NOERROR", Values: []string{`a\027[31mb\"c`, "v=spf1 -all"}}},
		"exchangers":   {ample, question{"MX", "mx.example.com"}, answer{Rcode: "NOERROR", Values: []string{"0 .", "10 Mail.example.com"}}},
		"reverse":      {ample, question{"PTR", "10.0.0.7"}, answer{Rcode: "NOERROR", Values: []string{"mbox1.example.com"}}},
		"reverse v6":   {ample, question{"PTR", "2001:db8::7"}, answer{Rcode: "NOERROR", Values: []string{"mbox1.example.com"}, Aliases: []string{"alias7.example.com"}}},
		"no name":      {ample, question{"A", "a..example.com"}, answer{Invalid: true}},
		"a long label": {ample, question{"A", strings.Repeat("x", 64) + ".com"}, answer{Invalid: true}},
		"strange name": {ample, question{"A", "$(reboot) -x\x1b\n\x00.example.com"}, answer{Rcode: "NXDOMAIN"}},
		"no address":   {ample, question{"PTR", "mbox1"}, answer{Invalid: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := askOne(t, server, c.within, c.q.Type, c.q.Name)
			require.Equal(t, got.Rcode != "", got.Took > 0, "an answer has its time")
			got.Took, c.want.question = 0, c.q
			require.Equal(t, c.want, got)
		})
	}
	t.Run("thousands of records", func(t *testing.T) {
		got := askOne(t, server, ample, "A", "many.example.com")
		require.True(t, got.Truncated)
		require.Len(t, got.Values, maxValues)
		require.Equal(t, len(many)-maxValues, got.More)
	})
	t.Run("a chain of a thousand aliases", func(t *testing.T) {
		got := askOne(t, serve(t, fakedns.Records(chain)), ample, "A", "c0.example.com")
		require.Equal(t, "NOERROR", got.Rcode)
		require.Len(t, got.Aliases, maxAliases)
	})
}

// A port where nobody listens is told from silence, and at once.
func TestAskRefused(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := conn.LocalAddr().String()
	conn.Close()
	got := askOne(t, closed, time.Minute, "A", "mbox1.example.com")
	require.Equal(t, checks.Contact{State: checks.Refused}, got.Contact)
	require.Equal(t, "the server refuses connections: nothing listens on the port", got.text())
}

// A truncated answer whose server has no TCP says both.
func TestAskTruncatedRefused(t *testing.T) {
	server := serve(t, fakedns.Zone{"*": {Truncate: true}})
	network := checkstest.Network{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
		if network == "tcp" {
			address = "127.0.0.1:1"
		}
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	answers, err := ask(t.Context(), network, server, []question{{"A", "a.example.com"}}, none)
	require.NoError(t, err)
	require.Equal(t, "the reply is truncated, and over TCP: the server refuses connections: nothing listens on the port", answers[0].text())
}

// One silent name holds up neither the others nor what follows from them; and a
// cancelled look ends at once.
func TestAskFollowsAndEnds(t *testing.T) {
	server := serve(t, fakedns.Zone{
		"silent.example.com": {Silent: true},
		"example.com":        {Records: []string{"MX 10 mail.example.com."}},
		"mail.example.com":   {Records: []string{"A 203.0.113.124"}},
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	then := func(a answer) []question {
		if a.Type == "PTR" {
			cancel()
		}
		return follow(a)
	}
	start := time.Now()
	answers, err := ask(ctx, checkstest.Network{}, server, []question{{"A", "silent.example.com"}, {"MX", "example.com"}}, then)
	require.ErrorIs(t, err, context.Canceled)
	require.Less(t, time.Since(start), 5*time.Second/2)
	var got []string
	for _, a := range answers {
		got = append(got, a.Type+" "+a.Name+": "+a.text())
	}
	require.Equal(t, []string{
		"A silent.example.com: not waited for",
		"MX example.com: 10 mail.example.com",
		"A mail.example.com: 203.0.113.124",
		"PTR 203.0.113.124: NXDOMAIN",
	}, got)
}

// More questions than fit into a burst, or into a receive buffer, all get theirs.
func TestAskThousands(t *testing.T) {
	server := serve(t, fakedns.Zone{"*": {Records: []string{"A 10.0.0.1"}}})
	var questions []question
	for i := range 2000 {
		questions = append(questions, question{"A", fmt.Sprintf("n%d.example.com", i)})
	}
	answers, err := ask(t.Context(), checkstest.Network{}, server, questions, none)
	require.NoError(t, err)
	for _, a := range answers {
		require.Equal(t, []string{"10.0.0.1"}, a.Values, a.text())
	}
}

// FuzzReply reads anything as the reply to a question.
func FuzzReply(f *testing.F) {
	wire, _ := wireQuestion(question{"A", "a.example.com"})
	reply := new(dns.Msg)
	reply.Question = []dns.Question{wire}
	reply.Response = true
	for _, record := range []string{"A 10.0.0.1", "CNAME a.example.com.", "MX 10 mail.example.com.", `TXT "v=spf1"`, "PTR x.example.com."} {
		rr, err := dns.NewRR("a.example.com. 60 IN " + record)
		require.NoError(f, err)
		reply.Answer = append(reply.Answer, rr)
		packet, err := reply.Pack()
		require.NoError(f, err)
		f.Add(packet)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, recordType := range []string{"A", "MX", "TXT", "CNAME"} {
			q := &query{wire: dns.Question{Name: "a.example.com.", Qtype: dns.StringToType[recordType], Qclass: dns.ClassINET}}
			q.Type = recordType
			m := new(dns.Msg)
			if err := m.Unpack(packet); err != nil {
				continue
			}
			q.id = m.Id
			if !q.answeredBy(m) {
				continue
			}
			q.take(m)
			require.NotEmpty(t, q.Rcode)
			require.LessOrEqual(t, len(q.Values), maxValues)
			require.LessOrEqual(t, len(q.Aliases), maxAliases)
			follow(q.answer)
		}
	})
}

func FuzzResolvConf(f *testing.F) {
	f.Add("nameserver 10.0.0.53\n\tnameserver ::1\nnameserver fe80::1%eth0 # x\nnameserver\r\n")
	f.Fuzz(func(t *testing.T, text string) {
		servers, bad := parseResolvConf(text)
		require.LessOrEqual(t, len(servers)+len(bad), strings.Count(text, "nameserver"))
		for _, s := range servers {
			require.True(t, isAddress(s), s)
		}
	})
}

func FuzzMailRecords(f *testing.F) {
	f.Add("v=spf1 +a:x/24//64 ip4:10.0.0.1 ?all redirect=", "v=DMARC1; p=none;;=")
	f.Fuzz(func(_ *testing.T, spf, dmarc string) {
		if spfRecord.version.MatchString(spf) {
			spfProblem(spf)
		}
		dmarcProblem(dmarc)
	})
}

func TestParseResolvConf(t *testing.T) {
	servers, bad := parseResolvConf("; nameserver 10.0.0.1\n#nameserver 10.0.0.2\nnameserver 10.0.0.3;x\nnameserver\t10.0.0.4 # y\n" +
		"nameserver ns.example.com\n nameserver 10.0.0.5\nnameserver 10.0.0.6\r\nnameserver fe80::1%eth0\nnameserver 10.0.0.3\nnameservers 10.0.0.7\nnameserver")
	require.Equal(t, []string{"10.0.0.3", "10.0.0.4", "fe80::1%eth0"}, servers)
	require.Equal(t, []string{"line 5: nameserver ns.example.com", "line 6:  nameserver 10.0.0.5", "line 7: nameserver 10.0.0.6\r", "line 11: nameserver"}, bad)
}

func TestSPFProblem(t *testing.T) {
	for record, want := range map[string]string{
		"v=spf1":         "",
		"v=spf1 mx -all": "",
		"v=spf1 ip4:203.0.113.124 include:_spf.example.net -all":                "",
		"v=spf1 a:mail.example.com/24 ip6:2001:db8::/32 ~all exp=x.y.z op=auth": "",
		"v=spf1 redirect=_spf.example.com":                                      "",
		"v=spf1 all":                                                            "allows anyone",
		"v=spf1 +all":                                                           "allows anyone",
		"v=spf1 ip4:203.0.113.0/33 -all":                                        "invalid term: ip4:203.0.113.0/33",
		"v=spf1 ip4:2001:db8::1 -all":                                           "invalid term: ip4:2001:db8::1",
		"v=spf1 include: -all":                                                  "invalid term: include:",
		"v=spf1 include=x.y -all":                                               "invalid term: include=x.y",
		"v=spf1 ipv4:203.0.113.1 -all":                                          "invalid term: ipv4:203.0.113.1",
		"v=spf1 mx --all":                                                       "invalid term: --all",
		"v=spf1 " + strings.Repeat("a ", 11):                                    "needs 11 lookups",
	} {
		got := spfProblem(record)
		require.Equal(t, want == "", got == "", "%s: %s", record, got)
		require.Contains(t, got, want, record)
	}
}

// BenchmarkDNS56 asks 56 questions of a server 20 ms away.
func BenchmarkDNS56(b *testing.B) {
	server := serve(b, fakedns.Zone{"*": {Records: []string{"A 10.0.0.1"}, Delay: 20 * time.Millisecond}})
	var questions []question
	for i := range 56 {
		questions = append(questions, question{"A", fmt.Sprintf("n%d.example.com", i)})
	}
	for b.Loop() {
		answers, err := ask(b.Context(), checkstest.Network{}, server, questions, none)
		require.NoError(b, err)
		for _, a := range answers {
			if len(a.Values) != 1 {
				b.Fatal(a)
			}
		}
	}
}

// What is our own fault, or a question too many, says nothing of the server.
func TestAskWithoutDescriptors(t *testing.T) {
	for _, protocol := range []string{"udp", "tcp"} {
		server := serve(t, fakedns.Zone{"*": {Records: []string{"A 10.0.0.1"}, Truncate: true}})
		network := checkstest.Network{DialFunc: func(ctx context.Context, network, address string) (net.Conn, error) {
			if network == protocol {
				return nil, syscall.EMFILE
			}
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}
		answers, err := ask(t.Context(), network, server, []question{{"A", "a.example.com"}}, none)
		require.ErrorIs(t, err, syscall.EMFILE, protocol)
		require.Zero(t, answers[0].Contact, protocol)
	}
	_, err := observeLookup(t.Context(), checks.Host{}, checks.Target[[]question]{Ask: make([]question, maxQuestions+1)})
	require.ErrorContains(t, err, "10001 queries")
}
