package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"carbonio-check/checks"
)

const (
	// burst questions are sent at once: fewer packets than the smallest usual
	// receive buffer holds, ours or the server's.
	burst = 128
	// breath is how long a burst is waited for before the next one goes out: a
	// resolver in the same network has answered by then.
	breath = 20 * time.Millisecond
	// lookTime bounds an exchange whose context has no deadline.
	lookTime = 5 * time.Second
	// streams bounds the TCP connections open at once to one server.
	streams = 4
	// udpSize is what a packet carries without fragments (DNS flag day 2020).
	udpSize = 1232
	// maxValues are kept of an answer, of the thousands that it may hold.
	maxValues = 64
	// maxAliases are followed, more than resolvers do themselves (BIND: 11).
	maxAliases = 16
)

// A question is a record type and a name: "MX example.com". The name of a PTR
// question is the address that is looked up.
type question struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

// An answer is a question and what came back.
type answer struct {
	question
	Rcode  string   `json:"rcode,omitempty"`  // "NOERROR", "NXDOMAIN", …; empty when no reply came
	Values []string `json:"values,omitempty"` // sorted: addresses, names, "10 mail.example.com", texts
	More   int      `json:"more,omitempty"`   // how many values were left out
	// Aliases are the names that a chain of CNAME records led through.
	Aliases   []string      `json:"aliases,omitempty"`
	Took      time.Duration `json:"took,omitempty"`
	Truncated bool          `json:"truncated,omitempty"` // the packet could not hold it
	TCP       bool          `json:"tcp,omitempty"`       // so it came over TCP
	Error     string        `json:"error,omitempty"`     // why there is no reply: "timeout", "connection refused", …
}

// A query is a question on its way.
type query struct {
	answer
	wire  dns.Question
	id    uint16
	plain bool // without EDNS
	sent  time.Time
}

// An exchange asks one server many things side by side over one socket; it lives
// as long as one call of ask. Its state belongs to the goroutine that runs it; a
// query that goes over to TCP leaves waiting first, and is its own goroutine's
// from then on.
type exchange struct {
	ctx     context.Context
	network checks.Network
	server  string
	end     time.Time // when answers are no longer waited for
	follow  func(answer) []question

	conn    net.Conn
	queries []*query          // in the order of asking
	asked   map[question]bool // the same, to ask nothing twice
	waiting map[uint16]*query // sent and not answered, by id
	streams chan struct{}     // a place for each TCP connection
	tcp     sync.WaitGroup
}

// ask puts the questions to a server and, as soon as an answer is there, those
// that follow from it. Every question has its answer, in the order of asking;
// one that got none says why. It ends with the context, or soon before.
func ask(ctx context.Context, network checks.Network, server string, questions []question, follow func(answer) []question) []answer {
	x := &exchange{
		ctx: ctx, network: network, server: server, end: end(ctx), follow: follow,
		asked: map[question]bool{}, waiting: map[uint16]*query{}, streams: make(chan struct{}, streams),
	}
	for _, q := range questions {
		x.add(q)
	}
	err := x.run()
	x.tcp.Wait()
	answers := make([]answer, len(x.queries))
	for i, q := range x.queries {
		if q.Rcode == "" && q.Error == "" {
			q.Error = reason(err)
		}
		answers[i] = q.answer
	}
	return answers
}

// end leaves a twentieth of the time to hand over what was seen.
func end(ctx context.Context) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		return time.Now().Add(lookTime)
	}
	return deadline.Add(-time.Until(deadline) / 20)
}

// run asks everything twice where need be: what has no answer after a third of
// the time is asked again without EDNS, because some firewalls drop it.
func (x *exchange) run() error {
	conn, hangUp, err := x.dial("udp")
	if err != nil {
		return err
	}
	defer hangUp()
	x.conn = conn
	err = x.round(time.Now().Add(time.Until(x.end) / 3))
	if err == nil && len(x.waiting) == 0 {
		return nil
	}
	for _, q := range x.queries {
		q.plain = q.plain || x.open(q)
	}
	return x.round(x.end)
}

// dial opens a connection that ends with the context at the latest.
func (x *exchange) dial(network string) (conn net.Conn, hangUp func(), err error) {
	conn, err = x.network.Dial(x.ctx, network, x.server)
	if err != nil {
		return nil, nil, err
	}
	if err := conn.SetDeadline(x.end); err != nil {
		conn.Close()
		return nil, nil, err
	}
	stop := context.AfterFunc(x.ctx, func() { conn.Close() })
	return conn, func() { stop(); conn.Close() }, nil
}

// add takes a question in, unless it was asked before. A name that no packet
// can hold is answered at once.
func (x *exchange) add(q question) *query {
	if x.asked[q] {
		return nil
	}
	x.asked[q] = true
	wire, err := wireQuestion(q)
	out := &query{answer: answer{question: q}, wire: wire}
	if err != nil {
		out.Error = err.Error()
	}
	x.queries = append(x.queries, out)
	return out
}

func wireQuestion(q question) (dns.Question, error) {
	name := dns.Fqdn(q.Name)
	if q.Type == "PTR" {
		arpa, err := dns.ReverseAddr(q.Name)
		if err != nil {
			return dns.Question{}, fmt.Errorf("%q is not an address", q.Name)
		}
		name = arpa
	}
	m := &dns.Msg{Question: []dns.Question{{Name: name, Qtype: dns.StringToType[q.Type], Qclass: dns.ClassINET}}}
	packet, err := m.Pack()
	if err == nil {
		err = m.Unpack(packet) // the name as replies will spell it
	}
	if err != nil {
		return dns.Question{}, fmt.Errorf("%q cannot be asked for: it is not a domain name", q.Name)
	}
	return m.Question[0], nil
}

// open says whether a query waits for its answer, or to be sent. Once it went
// over to TCP its answer is not looked at.
func (x *exchange) open(q *query) bool {
	if q.sent.IsZero() {
		return q.Error == ""
	}
	return x.waiting[q.id] == q
}

// round sends every open query and takes answers until there is none left to
// wait for, or the time is over.
func (x *exchange) round(until time.Time) error {
	batch := 0
	for _, q := range slices.Clone(x.queries) {
		if !x.open(q) {
			continue
		}
		if batch++; batch > burst {
			batch = 1
			if err := x.receive(time.Now().Add(breath)); err != nil {
				return err
			}
		}
		if err := x.send(q); err != nil {
			return err
		}
	}
	return x.receive(until)
}

func (x *exchange) send(q *query) error {
	if q.sent.IsZero() {
		q.id = x.freeID()
		q.sent = time.Now()
		x.waiting[q.id] = q
	}
	packet, err := q.message().Pack()
	if err != nil {
		return err
	}
	_, err = x.conn.Write(packet)
	return err
}

func (x *exchange) freeID() uint16 {
	for {
		id := uint16(rand.Uint32())
		if _, taken := x.waiting[id]; !taken {
			return id
		}
	}
}

func (q *query) message() *dns.Msg {
	m := &dns.Msg{
		MsgHdr:   dns.MsgHdr{Id: q.id, RecursionDesired: true},
		Question: []dns.Question{q.wire},
	}
	if !q.plain {
		m.SetEdns0(udpSize, false)
	}
	return m
}

// receive takes answers until none is waited for, or the time is over. An error
// is the socket's: nobody listens, no route, the context has ended.
func (x *exchange) receive(until time.Time) error {
	if err := x.conn.SetReadDeadline(until); err != nil {
		return err
	}
	buffer := make([]byte, dns.MaxMsgSize)
	for len(x.waiting) > 0 {
		n, err := x.conn.Read(buffer)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := x.accept(buffer[:n]); err != nil {
			return err
		}
	}
	return nil
}

// accept takes one packet. What answers none of our questions is left alone: a
// forger runs ahead of the answer.
func (x *exchange) accept(packet []byte) error {
	if len(packet) < 2 {
		return nil
	}
	q, ok := x.waiting[binary.BigEndian.Uint16(packet)]
	if !ok {
		return nil
	}
	m := new(dns.Msg)
	if err := m.Unpack(packet); err != nil && !m.Truncated {
		q.Error = "the reply is unreadable" // until a better one comes
		return nil
	}
	if !q.answeredBy(m) {
		return nil
	}
	if !q.plain && slices.Contains([]int{dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeBadVers}, m.Rcode) {
		q.plain = true // a server from before EDNS
		return x.send(q)
	}
	delete(x.waiting, q.id)
	if m.Truncated {
		q.Truncated = true
		x.tcp.Go(func() { x.askTCP(q) })
		return nil
	}
	q.take(m)
	return x.pursue(q.answer)
}

// pursue asks what follows from an answer.
func (x *exchange) pursue(a answer) error {
	for _, further := range x.follow(a) {
		if q := x.add(further); q != nil && q.Error == "" {
			if err := x.send(q); err != nil {
				return err
			}
		}
	}
	return nil
}

// answeredBy says whether m is an answer to q. A server may leave the question
// out of an error.
func (q *query) answeredBy(m *dns.Msg) bool {
	if !m.Response || m.Id != q.id {
		return false
	}
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	asked := m.Question[0]
	return len(m.Question) == 1 && asked.Qtype == q.wire.Qtype && asked.Qclass == q.wire.Qclass &&
		strings.EqualFold(asked.Name, q.wire.Name)
}

// askTCP asks again for an answer that a packet could not hold.
func (x *exchange) askTCP(q *query) {
	x.streams <- struct{}{}
	defer func() { <-x.streams }()
	m, err := x.overTCP(q.message())
	switch {
	case err != nil:
		q.Error = "truncated, and over TCP: " + reason(err)
	case !q.answeredBy(m):
		q.Error = "truncated, and over TCP: the answer to another question"
	default:
		q.TCP = true
		q.take(m)
	}
}

func (x *exchange) overTCP(m *dns.Msg) (*dns.Msg, error) {
	conn, hangUp, err := x.dial("tcp")
	if err != nil {
		return nil, err
	}
	defer hangUp()
	stream := &dns.Conn{Conn: conn}
	if err := stream.WriteMsg(m); err != nil {
		return nil, err
	}
	return stream.ReadMsg()
}

// take reads the answer to q out of m: the records of the type asked for that
// the name, or the end of its chain of aliases, holds.
func (q *query) take(m *dns.Msg) {
	q.Took = time.Since(q.sent)
	q.Error = ""
	q.Rcode = dns.RcodeToString[m.Rcode]
	if q.Rcode == "" {
		q.Rcode = fmt.Sprintf("RCODE%d", m.Rcode)
	}
	name, values := q.wire.Name, map[string]bool{}
	for len(q.Aliases) < maxAliases {
		alias := ""
		for _, rr := range m.Answer {
			if rr == nil || !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			if cname, ok := rr.(*dns.CNAME); ok {
				alias = cname.Target
			} else if v := value(rr); v != "" && rr.Header().Rrtype == q.wire.Qtype {
				values[v] = true
			}
		}
		if alias == "" || len(values) > 0 {
			break
		}
		looped := slices.Contains(q.Aliases, unrooted(alias))
		q.Aliases = append(q.Aliases, unrooted(alias))
		if name = alias; looped {
			break
		}
	}
	q.Values = slices.Sorted(maps.Keys(values))
	q.More = max(0, len(q.Values)-maxValues)
	q.Values = q.Values[:len(q.Values)-q.More]
}

// value is what a record says, empty for one that says nothing.
func value(rr dns.RR) string {
	switch rr := rr.(type) {
	case *dns.A:
		if address, ok := netip.AddrFromSlice(rr.A); ok {
			return address.Unmap().String()
		}
	case *dns.PTR:
		return unrooted(rr.Ptr)
	case *dns.MX:
		if rr.Mx != "" {
			return fmt.Sprintf("%d %s", rr.Preference, unrooted(rr.Mx))
		}
	case *dns.TXT:
		return strings.Join(rr.Txt, "")
	}
	return ""
}

// unrooted takes the dot off the end of a name, but not off the root.
func unrooted(name string) string {
	if name == "." {
		return name
	}
	return strings.TrimSuffix(name, ".")
}

// reason says in a few words why there was no answer.
func reason(err error) string {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case err == nil, errors.Is(err, net.ErrClosed), errors.As(err, &timeout) && timeout.Timeout(),
		errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &errno):
		return errno.Error()
	case errors.Is(err, io.EOF):
		return "the server hung up"
	}
	return err.Error()
}
