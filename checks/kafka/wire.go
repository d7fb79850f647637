package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxAnswer is the largest answer that is read: some ten thousand topics.
const maxAnswer = 4 << 20

// A wire is one connection to a broker, and the seam to franz-go, of which it
// takes the messages but not the client: that one dials, retries and waits as it
// sees fit.
type wire struct {
	conn    net.Conn
	asked   int32              // the number of the last request
	offered map[int16]versions // by the key of the request
}

// versions are the first and the last that a broker speaks.
type versions struct{ first, last int16 }

// A form is what an answer looks like in one version of the protocol: a digit is
// as many bytes, s a string, [] an array; S and {} are those of the flexible
// versions, and t their tags.
//
// kmsg believes what an answer announces: an array of as many elements as bytes
// are left, 4 MiB become 700; and tags without end, which take minutes. So an
// answer is gone through before kmsg reads it.
type form struct {
	version int16
	layout  string
}

// forms are what is asked for, the best version first. Kafka speaks these since
// 2.6, and DescribeQuorum since 2.7; it tells times since 3.3.
var forms = map[int16][]form{
	int16(kmsg.ApiVersions):     {{0, "2[222]"}},
	int16(kmsg.Metadata):        {{8, "4[4s4s]s4[2s1[2444[4][4][4]]4]4"}},
	int16(kmsg.DescribeConfigs): {{3, "4[2s1s[ss111[ss1]1s]]"}},
	int16(kmsg.DescribeQuorum):  {{1, "2{S{42448{4888t}{4888t}t}t}t"}, {0, "2{S{42448{48t}{48t}t}t}t"}},
}

var (
	errHungUp  = errors.New("it closes the connection without an answer")
	errGarbled = errors.New("its answer is garbled: it may be no broker")
)

// over agrees with the broker on the versions to speak. Whoever made the
// connection closes it, also when the time is up.
func over(conn net.Conn) (*wire, error) {
	// Every broker speaks this version of this request (KIP-511).
	w := &wire{conn: conn, offered: map[int16]versions{int16(kmsg.ApiVersions): {}}}
	answer := kmsg.NewPtrApiVersionsResponse()
	if err := w.ask(kmsg.NewPtrApiVersionsRequest(), answer)(); err != nil {
		return nil, err
	}
	for _, k := range answer.ApiKeys {
		w.offered[k.ApiKey] = versions{k.MinVersion, k.MaxVersion}
	}
	return w, kerr.ErrorForCode(answer.ErrorCode)
}

// ask sends a request, and returns what waits for its answer. Several requests
// may be on their way: they are answered, and waited for, in their order.
func (w *wire) ask(request kmsg.Request, answer kmsg.Response) (wait func() error) {
	f, err := w.common(request.Key())
	if err == nil {
		request.SetVersion(f.version)
		answer.SetVersion(f.version)
		w.asked++
		_, err = w.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("carbonio-check")).AppendRequest(nil, request, w.asked))
	}
	if err != nil {
		return func() error { return plain(err) }
	}
	number := w.asked
	return func() error {
		message, err := receive(w.conn, number)
		if err != nil {
			return plain(err)
		}
		return f.read(message, answer)
	}
}

// common is the best form that the broker speaks as well.
func (w *wire) common(key int16) (form, error) {
	offered, ok := w.offered[key]
	for _, f := range forms[key] {
		if ok && offered.first <= f.version && f.version <= offered.last {
			return f, nil
		}
	}
	return form{}, fmt.Errorf("it does not know %s in a version known here", kmsg.NameForKey(key))
}

// receive reads the answer to the request of that number.
func receive(r io.Reader, number int32) ([]byte, error) {
	var size uint32
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	if size < 4 || size > maxAnswer {
		return nil, fmt.Errorf("it announces an answer of %d bytes: it may want TLS, or be no broker", size)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(message)); got != number {
		return nil, fmt.Errorf("it answers request %d, and was asked %d: it may be no broker", got, number)
	}
	return message[4:], nil
}

// plain is an error without the addresses of the connection.
func plain(err error) error {
	var op *net.OpError
	switch {
	case errors.Is(err, net.ErrClosed): // by us, when the time was up
		return context.DeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return errHungUp
	case errors.As(err, &op):
		return op.Err
	}
	return err
}

// read takes an answer that looks as it should.
func (f form) read(message []byte, answer kmsg.Response) error {
	c := cursor{left: message}
	if answer.IsFlexible() {
		c.pass("t") // of the header
	}
	body := c.left
	if c.pass(f.layout); c.short || len(c.left) > 0 {
		return errGarbled
	}
	return answer.ReadFrom(body)
}

// A cursor goes through a message, until it is too short.
type cursor struct {
	left  []byte
	short bool
}

func (c *cursor) pass(layout string) {
	for layout != "" && !c.short {
		part := layout[0]
		layout = layout[1:]
		switch part {
		case 's':
			c.skip(c.number(2))
		case 'S':
			c.skip(c.varint() - 1)
		case '[':
			layout = c.passArray(c.number(4), layout)
		case '{':
			layout = c.passArray(c.varint()-1, layout)
		case 't':
			for n := c.varint(); n > 0 && !c.short; n-- {
				c.varint() // its key
				c.skip(c.varint())
			}
		default:
			c.skip(int(part - '0'))
		}
	}
}

// passArray passes n elements, and returns what of the layout follows them.
func (c *cursor) passArray(n int, layout string) string {
	depth := 1
	end := strings.IndexFunc(layout, func(r rune) bool {
		switch r {
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		}
		return depth == 0
	})
	for ; n > 0 && !c.short; n-- {
		c.pass(layout[:end])
	}
	return layout[end+1:]
}

// skip skips n bytes; none where a length below zero says null.
func (c *cursor) skip(n int) {
	n = max(n, 0)
	if c.short = c.short || n > len(c.left); !c.short {
		c.left = c.left[n:]
	}
}

// number is one of so many bytes.
func (c *cursor) number(size int) int {
	b := c.left
	switch c.skip(size); {
	case c.short:
		return 0
	case size == 2:
		return int(int16(binary.BigEndian.Uint16(b)))
	}
	return int(int32(binary.BigEndian.Uint32(b)))
}

func (c *cursor) varint() int {
	n, size := binary.Uvarint(c.left)
	if size <= 0 || n > math.MaxInt32 {
		c.short = true
		return 0
	}
	c.skip(size)
	return int(n)
}
