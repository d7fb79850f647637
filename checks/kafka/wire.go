package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"syscall"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// maxAnswer is the largest answer that is read: some ten thousand topics.
const maxAnswer = 4 << 20

// A wire is one connection to a broker. Of franz-go it uses the messages but not
// the client, which dials, retries and waits by its own rules.
type wire struct {
	conn   net.Conn
	asked  int32          // the correlation id of the last request
	common map[int16]form // the best version on both sides, by the key of the request
}

// A form is the layout of an answer in one version of the protocol: a digit is a
// number of bytes, s a string, [] an array; S and {} are those of the flexible
// versions, and t their tags.
//
// kmsg trusts the lengths in an answer: it allocates 700 MiB for 4 MiB of them,
// and reads billions of tags, which takes minutes. So an answer is checked against
// its layout before kmsg reads it.
type form struct {
	version int16
	layout  string
}

// forms are those of the requests in use, the best version first. Kafka has them
// since 2.6, DescribeQuorum since 2.7, and its times since 3.3.
var forms = map[int16][]form{
	int16(kmsg.ApiVersions):     {{0, "2[222]"}},
	int16(kmsg.Metadata):        {{8, "4[4s4s]s4[2s1[2444[4][4][4]]4]4"}},
	int16(kmsg.DescribeConfigs): {{3, "4[2s1s[ss111[ss1]1s]]"}},
	int16(kmsg.DescribeQuorum):  {{1, "2{S{42448{4888t}{4888t}t}t}t"}, {0, "2{S{42448{48t}{48t}t}t}t"}},
}

var (
	// errStranger is of a peer that does not speak the protocol.
	errStranger = errors.New("it may require TLS")
	errGarbled  = fmt.Errorf("its response is malformed: %w", errStranger)
)

// A refusal is of a broker that speaks the protocol, but gives no usable answer.
type refusal string

func (r refusal) Error() string { return string(r) }

// negotiate agrees with the broker on versions. The caller closes the connection,
// also when the time is up.
func negotiate(conn net.Conn) (*wire, error) {
	// Every broker knows this version of this request (KIP-511).
	versions := int16(kmsg.ApiVersions)
	w := &wire{conn: conn, common: map[int16]form{versions: forms[versions][0]}}
	answer := kmsg.NewPtrApiVersionsResponse()
	if err := w.ask(kmsg.NewPtrApiVersionsRequest(), answer)(); err != nil {
		return nil, err
	}
	for _, k := range answer.ApiKeys {
		for _, f := range slices.Backward(forms[k.ApiKey]) {
			if k.MinVersion <= f.version && f.version <= k.MaxVersion {
				w.common[k.ApiKey] = f
			}
		}
	}
	return w, kerr.ErrorForCode(answer.ErrorCode)
}

// ask sends a request, and returns a function that waits for its answer. Several
// requests may be pending: they are answered, and waited for, in their order.
func (w *wire) ask(request kmsg.Request, answer kmsg.Response) (wait func() error) {
	f, ok := w.common[request.Key()]
	if !ok {
		return func() error {
			return refusal("it supports no version of " + kmsg.NameForKey(request.Key()) + " that carbonio-check knows")
		}
	}
	request.SetVersion(f.version)
	answer.SetVersion(f.version)
	w.asked++
	number := w.asked
	if _, err := w.conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("carbonio-check")).AppendRequest(nil, request, number)); err != nil {
		return func() error { return plain(err) }
	}
	return func() error {
		message, err := receive(w.conn, number)
		if err != nil {
			return plain(err)
		}
		return f.read(message, answer)
	}
}

// receive reads the answer to the request of that correlation id.
func receive(r io.Reader, number int32) ([]byte, error) {
	var size uint32
	if err := binary.Read(r, binary.BigEndian, &size); err != nil {
		return nil, err
	}
	if size < 4 || size > maxAnswer {
		return nil, fmt.Errorf("its response claims to have %d bytes: %w", size, errStranger)
	}
	message := make([]byte, size)
	if _, err := io.ReadFull(r, message); err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(message)); got != number {
		return nil, fmt.Errorf("it responds to request %d instead of %d: %w", got, number, errStranger)
	}
	return message[4:], nil
}

// plain is an error without the addresses of the connection.
func plain(err error) error {
	if op, ok := errors.AsType[*net.OpError](err); ok {
		err = op.Err
	}
	switch {
	case errors.Is(err, net.ErrClosed): // by us, when the time was up
		return context.DeadlineExceeded
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("it closes the connection without a response: %w", err)
	}
	return err
}

// read decodes an answer that fits the layout.
func (f form) read(message []byte, answer kmsg.Response) error {
	r := &kbin.Reader{Src: message}
	if answer.IsFlexible() {
		pass(r, "t") // of the header
	}
	body := r.Src
	if pass(r, f.layout); !r.Ok() || len(r.Src) > 0 {
		return errGarbled
	}
	return answer.ReadFrom(body)
}

// pass reads through a message along a layout, and returns what of the layout
// follows the bracket that ends it. A negative length means null.
func pass(r *kbin.Reader, layout string) (rest string) {
	for layout != "" {
		part := layout[0]
		layout = layout[1:]
		switch part {
		case 's':
			r.Span(max(int(r.Int16()), 0))
		case 'S':
			r.Span(max(int(r.Uvarint())-1, 0))
		case '[':
			layout = passArray(r, r.ArrayLen(), layout)
		case '{':
			layout = passArray(r, r.CompactArrayLen(), layout)
		case ']', '}':
			return layout
		case 't':
			for n := r.Uvarint(); n > 0 && r.Ok(); n-- {
				r.Uvarint() // its key
				r.Span(int(r.Uvarint()))
			}
		default:
			r.Span(int(part - '0'))
		}
	}
	return ""
}

// passArray passes n elements, and returns the layout that follows them.
func passArray(r *kbin.Reader, n int32, element string) (rest string) {
	for ; n > 0 && r.Ok(); n-- {
		pass(r, element)
	}
	return pass(&kbin.Reader{}, element) // which is empty
}
