package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
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
	// streams bounds the TCP connections open at once to one server.
	streams = 4
	// udpSize is what a packet carries without fragments (DNS flag day 2020).
	udpSize = 1232
	// maxQuestions are asked of a server in one look; ids are 65,536.
	maxQuestions = 10000
	// maxFollow questions follow from one answer.
	maxFollow = 8
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

	// Why there is no reply: the name cannot be asked for, what came back cannot
	// be read, or how the attempt ended, over TCP where the packet was truncated.
	// None of these: it was broken off.
	Invalid    bool           `json:"invalid,omitempty"`
	Unreadable bool           `json:"unreadable,omitempty"`
	Contact    checks.Contact `json:"contact,omitzero"`
}

// A lookup is what one server answered.
type lookup struct {
	Waited  time.Duration `json:"waited"`
	Answers []answer      `json:"answers"`
}

func observeLookup(ctx context.Context, host checks.Host, t checks.Target[[]question]) (lookup, error) {
	if len(t.Ask) > maxQuestions {
		return lookup{}, fmt.Errorf("%d questions are more than the %d asked of one server", len(t.Ask), maxQuestions)
	}
	start := time.Now()
	answers, err := ask(ctx, host.Network, t.Address, t.Ask, follow)
	return lookup{time.Since(start), answers}, err
}

// follow gives the questions that an answer raises: the addresses of mail
// exchangers, and the names of public addresses.
func follow(a answer) []question {
	var out []question
	for _, v := range a.Values[:min(maxFollow, len(a.Values))] {
		switch a.Type {
		case "MX":
			_, exchanger, _ := strings.Cut(v, " ")
			if !isAddress(exchanger) && exchanger != "." {
				out = append(out, question{"A", exchanger})
			}
		case "A":
			if isPublic(parse(v)) {
				out = append(out, question{"PTR", v})
			}
		}
	}
	return out
}

// A query is a question on its way.
type query struct {
	answer
	wire  dns.Question
	id    uint16
	plain bool // without EDNS
	sent  time.Time
	err   error // of ours: it says nothing of the server
}

// An exchange asks one server many things side by side over one socket; it lives
// as long as one call of ask. Its state belongs to the goroutine that runs it; a
// query that goes over to TCP leaves waiting first, and is its own goroutine's
// from then on.
type exchange struct {
	ctx     context.Context
	network checks.Network
	server  string
	follow  func(answer) []question

	conn    net.Conn
	queries []*query          // in the order of asking
	asked   map[question]bool // the same, to ask nothing twice
	waiting map[uint16]*query // sent and not answered, by id
	streams chan struct{}     // a place for each TCP connection
	tcp     sync.WaitGroup
}

// ask puts the questions to a server and, as soon as an answer is there, those
// that follow from it. It ends soon before the context, and gives an answer to
// every question, in the order of asking; one without a reply says why, unless
// the error does.
func ask(ctx context.Context, network checks.Network, server string, questions []question, follow func(answer) []question) ([]answer, error) {
	ctx, cancel := checks.Share(ctx, 0.95)
	defer cancel()
	x := &exchange{
		ctx: ctx, network: network, server: server, follow: follow,
		asked: map[question]bool{}, waiting: map[uint16]*query{}, streams: make(chan struct{}, streams),
	}
	for _, q := range questions {
		x.add(q)
	}
	contact, err := checks.Dialled(ctx, x.run())
	if contact.State == checks.Open { // but not for all
		contact.State = checks.Silent
	}
	x.tcp.Wait()
	answers := make([]answer, len(x.queries))
	for i, q := range x.queries {
		if x.open(q) && !q.Unreadable {
			q.Contact = contact
		}
		if err == nil {
			err = q.err
		}
		answers[i] = q.answer
	}
	return answers, err
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
	end, _ := x.ctx.Deadline()
	err = x.round(time.Now().Add(time.Until(end) / 3))
	if err == nil && len(x.waiting) == 0 {
		return nil
	}
	for _, q := range x.queries {
		q.plain = q.plain || x.open(q)
	}
	return x.round(end)
}

// dial opens a connection that ends with the context at the latest.
func (x *exchange) dial(network string) (conn net.Conn, hangUp func(), err error) {
	conn, err = x.network.Dial(x.ctx, network, x.server)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(x.ctx, func() { conn.Close() })
	return conn, func() { stop(); conn.Close() }, nil
}

// add takes a question in, unless it was asked before.
func (x *exchange) add(q question) *query {
	if x.asked[q] {
		return nil
	}
	x.asked[q] = true
	wire, ok := wireQuestion(q)
	out := &query{answer: answer{question: q, Invalid: !ok}, wire: wire}
	x.queries = append(x.queries, out)
	return out
}

// wireQuestion is a question as a packet holds it, and whether one can.
func wireQuestion(q question) (dns.Question, bool) {
	name := dns.Fqdn(q.Name)
	if q.Type == "PTR" {
		var err error
		if name, err = dns.ReverseAddr(q.Name); err != nil {
			return dns.Question{}, false
		}
	}
	m := &dns.Msg{Question: []dns.Question{{Name: name, Qtype: dns.StringToType[q.Type], Qclass: dns.ClassINET}}}
	packet, err := m.Pack()
	if err != nil || m.Unpack(packet) != nil { // the name as replies will spell it
		return dns.Question{}, false
	}
	return m.Question[0], true
}

// open says whether a query waits for its answer, or to be sent. Once it went
// over to TCP its answer is not looked at.
func (x *exchange) open(q *query) bool {
	if q.sent.IsZero() {
		return !q.Invalid
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
	for q.sent.IsZero() {
		q.id = uint16(rand.Uint32())
		if x.waiting[q.id] == nil {
			q.sent, x.waiting[q.id] = time.Now(), q
		}
	}
	packet, err := q.message().Pack()
	if err != nil {
		return err
	}
	_, err = x.conn.Write(packet)
	return err
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
		q.Unreadable = true // until a better one comes
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
		if q := x.add(further); q != nil && !q.Invalid {
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
	conn, hangUp, err := x.dial("tcp")
	if err != nil {
		q.Contact, q.err = checks.Dialled(x.ctx, err)
		return
	}
	defer hangUp()
	stream := &dns.Conn{Conn: conn}
	if err := stream.WriteMsg(q.message()); err != nil {
		q.Contact, q.err = checks.Spoken(x.ctx, err)
		return
	}
	switch m, err := stream.ReadMsg(); {
	case m == nil:
		q.Contact, q.err = checks.Spoken(x.ctx, err)
	case err != nil || !q.answeredBy(m):
		q.Unreadable = true
	default:
		q.TCP = true
		q.take(m)
	}
}

// take reads the answer to q out of m: the records of the type asked for that
// the name, or the end of its chain of aliases, holds.
func (q *query) take(m *dns.Msg) {
	q.Took = time.Since(q.sent)
	q.Unreadable = false
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
