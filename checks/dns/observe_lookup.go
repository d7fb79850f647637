package dns

import (
	"cmp"
	"context"
	"errors"
	"fmt"
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
	burst        = 128                   // questions sent at once: fewer packets than the smallest usual receive buffer holds
	pause        = 20 * time.Millisecond // between bursts: a resolver in the same network has responded by then
	maxStreams   = 4                     // TCP connections open at once to one server
	udpSize      = 1232                  // fits into a packet without fragmentation (DNS flag day 2020)
	maxQuestions = 10000                 // to one server; there are 65,536 ids
	maxFollow    = 8                     // questions that follow from one answer
	maxValues    = 64                    // kept of an answer, which may hold thousands
	maxAliases   = 16                    // more than resolvers follow themselves (BIND: 11)
)

// A question is a record type and a name: "MX example.com". The name of a PTR
// question is the address.
type question struct {
	Type string `json:"type"`
	Name string `json:"name"`
}

// An answer is a question and what came back.
type answer struct {
	question
	Rcode     string        `json:"rcode,omitempty"`   // "NOERROR", "NXDOMAIN", …; empty without a reply
	Values    []string      `json:"values,omitempty"`  // sorted: addresses, names, "10 mail.example.com", texts
	More      int           `json:"more,omitempty"`    // how many values were left out
	Aliases   []string      `json:"aliases,omitempty"` // the names in a chain of CNAME records
	Took      time.Duration `json:"took,omitempty"`
	Truncated bool          `json:"truncated,omitempty"` // it did not fit into a packet, and was asked for over TCP

	// Why there is no reply. When neither is set, the look was broken off.
	Invalid bool           `json:"invalid,omitempty"` // the name cannot be asked for
	Contact checks.Contact `json:"contact,omitzero"`  // over TCP when the reply was truncated
}

// A lookup is what one server answered.
type lookup struct {
	Waited  time.Duration `json:"waited"`
	Answers []answer      `json:"answers"`
}

func observeLookup(ctx context.Context, host checks.Host, t checks.Target[[]question]) (lookup, error) {
	if len(t.Ask) > maxQuestions {
		return lookup{}, fmt.Errorf("%d queries are more than the %d that one server is sent", len(t.Ask), maxQuestions)
	}
	start := time.Now()
	answers, err := ask(ctx, host.Network, t.Address, t.Ask, follow)
	return lookup{time.Since(start), answers}, err
}

// first are the values that further questions are asked about.
func (a answer) first() []string { return a.Values[:min(maxFollow, len(a.Values))] }

// follow returns the questions that an answer raises: the addresses of mail
// exchangers, and the names of public addresses.
func follow(a answer) []question {
	var out []question
	for _, v := range a.first() {
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

// unreadable is how an attempt ended when what came back was no DNS reply.
var unreadable = checks.Contact{State: checks.Stranger, Words: "DNS server"}

// A query is a question that is being asked.
type query struct {
	answer
	wire  dns.Question
	id    uint16
	plain bool // without EDNS
	sent  time.Time
	err   error // our own: it says nothing about the server
}

// An exchange asks one server many questions concurrently over one socket; it
// lives as long as one call of ask. Its state belongs to the goroutine that runs
// it. A query that is repeated over TCP is removed from waiting first, and then
// belongs to its own goroutine.
type exchange struct {
	ctx     context.Context
	network checks.Network
	server  string
	follow  func(answer) []question

	conn    net.Conn
	queries []*query          // in the order of asking
	asked   map[question]bool // the same, so that nothing is asked twice
	waiting map[uint16]*query // not answered, by id
	streams chan struct{}     // limits the TCP connections
	tcp     sync.WaitGroup
}

// ask asks a server the questions and, as soon as one is answered, those that
// follow from it. It ends shortly before the context does, and returns an answer
// for every question, in the order of asking: without a reply it says why, unless
// the error does.
func ask(ctx context.Context, network checks.Network, server string, questions []question, follow func(answer) []question) ([]answer, error) {
	ctx, cancel := checks.Share(ctx, 0.95)
	defer cancel()
	x := &exchange{
		ctx: ctx, network: network, server: server, follow: follow,
		asked: map[question]bool{}, waiting: map[uint16]*query{}, streams: make(chan struct{}, maxStreams),
	}
	for _, q := range questions {
		x.add(q)
	}
	contact, err := checks.Dialled(ctx, x.run())
	if contact.State == checks.Open { // and yet some got no reply
		contact.State = checks.Silent
	}
	x.tcp.Wait()
	for _, q := range x.waiting {
		if q.Contact.State != checks.Stranger {
			q.Contact = contact
		}
	}
	answers := make([]answer, len(x.queries))
	for i, q := range x.queries {
		answers[i], err = q.answer, cmp.Or(err, q.err)
	}
	return answers, err
}

// run asks everything twice if necessary: what has no answer after a third of the
// time is asked again without EDNS, because some firewalls drop it.
func (x *exchange) run() (err error) {
	if x.conn, err = x.network.Dial(x.ctx, "udp", x.server); err != nil {
		return err
	}
	defer x.conn.Close()
	defer context.AfterFunc(x.ctx, func() { x.conn.Close() })()
	end, _ := x.ctx.Deadline()
	_ = x.round(time.Now().Add(time.Until(end) / 3)) // what stays wrong is seen again
	for _, q := range x.waiting {
		q.plain = true
	}
	return x.round(end)
}

// add adds a question; nil when it was asked before, or cannot be asked.
func (x *exchange) add(q question) *query {
	if x.asked[q] {
		return nil
	}
	x.asked[q] = true
	wire, ok := wireQuestion(q)
	out := &query{answer: answer{question: q, Invalid: !ok}, wire: wire}
	x.queries = append(x.queries, out)
	if !ok {
		return nil
	}
	for taken := true; taken; _, taken = x.waiting[out.id] {
		out.id = uint16(rand.Uint32())
	}
	x.waiting[out.id] = out
	return out
}

// wireQuestion is a question as a packet holds it; false when none can hold it.
func wireQuestion(q question) (dns.Question, bool) {
	name := dns.Fqdn(q.Name)
	if q.Type == "PTR" {
		var err error
		if name, err = dns.ReverseAddr(q.Name); err != nil {
			return dns.Question{}, false
		}
	}
	m := new(dns.Msg).SetQuestion(name, dns.StringToType[q.Type])
	packet, err := m.Pack()
	if err != nil || m.Unpack(packet) != nil { // spells the name as replies will
		return dns.Question{}, false
	}
	return m.Question[0], true
}

// round sends every query that waits and receives answers until all are answered,
// or the time is over.
func (x *exchange) round(until time.Time) error {
	sent := 0
	for _, q := range slices.Clone(x.queries) {
		if x.waiting[q.id] != q {
			continue
		}
		if sent++; sent%burst == 0 {
			if err := x.receive(time.Now().Add(pause)); err != nil {
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
		q.sent = time.Now()
	}
	packet, err := q.message().Pack()
	if err != nil {
		return err
	}
	_, err = x.conn.Write(packet)
	return err
}

func (q *query) message() *dns.Msg {
	m := new(dns.Msg).SetQuestion(q.wire.Name, q.wire.Qtype)
	m.Id = q.id
	if !q.plain {
		m.SetEdns0(udpSize, false)
	}
	return m
}

// receive receives answers until all are answered, or the time is over. An error
// is the socket's: nothing listens, no route, the context has ended.
func (x *exchange) receive(until time.Time) error {
	_ = x.conn.SetReadDeadline(until) // where it fails, so does the read
	buffer := make([]byte, dns.MaxMsgSize)
	for len(x.waiting) > 0 {
		n, err := x.conn.Read(buffer)
		if err == nil {
			err = x.accept(buffer[:n])
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return err
		}
	}
	return nil
}

// accept handles one packet. One that answers none of our questions is ignored:
// a forged reply may arrive before the real one.
func (x *exchange) accept(packet []byte) error {
	m := new(dns.Msg)
	err := m.Unpack(packet)
	q := x.waiting[m.Id]
	switch {
	case q == nil:
		return nil
	case err != nil && !m.Truncated:
		q.Contact = unreadable // unless a better one follows
		return nil
	case !q.answeredBy(m):
		return nil
	case !q.plain && slices.Contains([]int{dns.RcodeFormatError, dns.RcodeNotImplemented, dns.RcodeBadVers}, m.Rcode):
		q.plain = true // a server that does not know EDNS
		return x.send(q)
	}
	delete(x.waiting, q.id)
	if m.Truncated {
		q.Truncated = true
		x.tcp.Go(func() { x.askTCP(q) })
		return nil
	}
	q.take(m)
	for _, further := range x.follow(q.answer) {
		if next := x.add(further); next != nil {
			if err := x.send(next); err != nil {
				return err
			}
		}
	}
	return nil
}

// answeredBy says whether m answers q. A server may omit the question from an
// error.
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

// askTCP asks again for an answer that did not fit into a packet.
func (x *exchange) askTCP(q *query) {
	x.streams <- struct{}{}
	defer func() { <-x.streams }()
	conn, err := x.network.Dial(x.ctx, "tcp", x.server)
	if err != nil {
		q.Contact, q.err = checks.Dialled(x.ctx, err)
		return
	}
	defer conn.Close()
	defer context.AfterFunc(x.ctx, func() { conn.Close() })()
	stream := &dns.Conn{Conn: conn}
	var m *dns.Msg
	if err = stream.WriteMsg(q.message()); err == nil {
		m, err = stream.ReadMsg()
	}
	switch {
	case m == nil:
		q.Contact, q.err = checks.Spoken(x.ctx, err)
	case err != nil || !q.answeredBy(m):
		q.Contact = unreadable
	default:
		q.take(m)
	}
}

// take reads the answer to q from m: the records of the requested type of the
// name, or of the end of its chain of aliases.
func (q *query) take(m *dns.Msg) {
	q.Took = time.Since(q.sent)
	q.Contact = checks.Contact{}
	q.Rcode = cmp.Or(dns.RcodeToString[m.Rcode], fmt.Sprintf("RCODE%d", m.Rcode))
	name := q.wire.Name
	for len(q.Aliases) < maxAliases {
		alias := ""
		for _, rr := range m.Answer {
			if rr == nil || !strings.EqualFold(rr.Header().Name, name) {
				continue
			}
			if cname, ok := rr.(*dns.CNAME); ok {
				alias = cname.Target
			} else if v := value(rr); v != "" && rr.Header().Rrtype == q.wire.Qtype {
				q.Values = append(q.Values, v)
			}
		}
		if alias == "" || len(q.Values) > 0 {
			break
		}
		looped := slices.Contains(q.Aliases, unrooted(alias))
		q.Aliases = append(q.Aliases, unrooted(alias))
		if name = alias; looped {
			break
		}
	}
	slices.Sort(q.Values)
	q.Values = slices.Compact(q.Values)
	q.More = max(0, len(q.Values)-maxValues)
	q.Values = q.Values[:len(q.Values)-q.More]
}

// value is the content of a record; empty for other types.
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

// unrooted removes the dot at the end of a name, but not from the root.
func unrooted(name string) string { return cmp.Or(strings.TrimSuffix(name, "."), ".") }
