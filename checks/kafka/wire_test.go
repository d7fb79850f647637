package kafka

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// answers is what each request is answered with.
var answers = map[int16]func() kmsg.Response{
	int16(kmsg.ApiVersions):     func() kmsg.Response { return kmsg.NewPtrApiVersionsResponse() },
	int16(kmsg.Metadata):        func() kmsg.Response { return kmsg.NewPtrMetadataResponse() },
	int16(kmsg.DescribeConfigs): func() kmsg.Response { return kmsg.NewPtrDescribeConfigsResponse() },
	int16(kmsg.DescribeQuorum):  func() kmsg.Response { return kmsg.NewPtrDescribeQuorumResponse() },
}

// example is a message with something in every field.
func example(f form, key int16) (kmsg.Response, []byte) {
	answer := answers[key]()
	fill(reflect.ValueOf(answer).Elem())
	answer.SetVersion(f.version)
	if answer.IsFlexible() {
		return answer, answer.AppendTo([]byte{1, 9, 2, 'h', 'i'}) // a tag in the header
	}
	return answer, answer.AppendTo(nil)
}

func fill(v reflect.Value) {
	if tags, ok := reflect.TypeAssert[*kmsg.Tags](v.Addr()); ok {
		tags.Set(200, []byte("tag"))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for _, field := range v.Fields() {
			fill(field)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i))
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.String:
		v.SetString("text")
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(0x70)
	}
}

// each runs a test for every form of an answer.
func each(t *testing.T, run func(*testing.T, int16, form)) {
	t.Helper()
	for key, all := range forms {
		for _, f := range all {
			t.Run(fmt.Sprintf("%s %d", kmsg.NameForKey(key), f.version), func(t *testing.T) { run(t, key, f) })
		}
	}
}

// The forms are those of the protocol: what kmsg writes passes, to the byte.
func TestForms(t *testing.T) {
	each(t, func(t *testing.T, key int16, f form) {
		want, message := example(f, key)
		got := answers[key]()
		got.SetVersion(f.version)
		require.NoError(t, f.read(message, got))
		require.Equal(t, want.AppendTo(nil), got.AppendTo(nil))
		for n := range message {
			require.ErrorIs(t, f.read(message[:n], got), errGarbled)
		}
		require.ErrorIs(t, f.read(append(message, 0), got), errGarbled)

		empty := answers[key]() // no elements, no texts
		empty.SetVersion(f.version)
		message = empty.AppendTo(nil)
		if empty.IsFlexible() {
			message = append([]byte{0}, message...)
		}
		require.NoError(t, f.read(message, got))
	})
}

// allocated is how much room something took.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// What an answer announces takes no room, and no time, before it is there.
func TestHollowAnswers(t *testing.T) {
	message := bytes.Repeat([]byte{0, 0x3f, 0xf0, 0}, maxAnswer/4)        // arrays of four million
	endless := bytes.Repeat([]byte{0xff, 0xff, 0xff, 0xff, 0x07, 1}, 100) // tags as well
	each(t, func(t *testing.T, key int16, f form) {
		answer := answers[key]()
		answer.SetVersion(f.version)
		require.Less(t, allocated(func() {
			for shift := range 8 { // one of them hits each field
				require.ErrorIs(t, f.read(message[shift:], answer), errGarbled)
			}
			whole := answer.AppendTo(nil)
			for n := range whole {
				require.Error(t, f.read(append(whole[:n:n], endless...), answer))
			}
		}), uint64(1<<20))
	})
}

func TestReceive(t *testing.T) {
	message := func(size uint32, number int32, text string) *bytes.Buffer {
		return bytes.NewBufferString(string(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, size), uint32(number))) + text)
	}
	got, err := receive(message(8, 7, "text and more"), 7)
	require.NoError(t, err)
	require.Equal(t, "text", string(got))
	for name, c := range map[string]struct {
		from *bytes.Buffer
		want string
	}{
		"nothing":       {&bytes.Buffer{}, "EOF"},
		"short":         {message(9, 7, "text"), "unexpected EOF"},
		"no number":     {message(3, 7, "text"), "claims to have 3 bytes"},
		"another":       {message(8, 6, "text"), "responds to request 6 instead of 7"},
		"too large":     {message(maxAnswer+1, 7, "text"), "claims to have 4194305 bytes"},
		"2 GiB":         {message(1<<31-1, 7, "text"), "claims to have 2147483647 bytes"},
		"less than nil": {message(1<<32-1, 7, "text"), "claims to have 4294967295 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			require.Less(t, allocated(func() {
				_, err := receive(c.from, 7)
				require.ErrorContains(t, err, c.want)
			}), uint64(1<<20))
		})
	}
}

// The port of our end would make every report another.
func TestPlain(t *testing.T) {
	err := &net.OpError{Op: "read", Net: "tcp", Source: &net.TCPAddr{Port: 40123}, Err: os.NewSyscallError("read", syscall.ETIMEDOUT)}
	require.EqualError(t, plain(fmt.Errorf("wrapped: %w", err)), "read: connection timed out")
	for _, closed := range []syscall.Errno{syscall.EPIPE, syscall.ECONNRESET} {
		err := plain(&net.OpError{Op: "write", Addr: &net.TCPAddr{Port: 40123}, Err: os.NewSyscallError("write", closed)})
		require.ErrorIs(t, err, closed)
		require.ErrorContains(t, err, "it closes the connection without a response: write: ")
	}
	require.Equal(t, context.DeadlineExceeded, plain(&net.OpError{Op: "read", Err: net.ErrClosed}))
}

// Whatever comes is read to its end, and no further.
func FuzzRead(f *testing.F) {
	var all []struct {
		form
		key int16
	}
	for _, key := range []kmsg.Key{kmsg.ApiVersions, kmsg.Metadata, kmsg.DescribeConfigs, kmsg.DescribeQuorum} {
		for _, known := range forms[int16(key)] {
			_, message := example(known, int16(key))
			f.Add(len(all), message)
			f.Add(len(all), bytes.Repeat([]byte{0xff}, 100))
			all = append(all, struct {
				form
				key int16
			}{known, int16(key)})
		}
	}
	f.Fuzz(func(t *testing.T, i int, message []byte) {
		one := all[uint(i)%uint(len(all))]
		answer := answers[one.key]()
		answer.SetVersion(one.version)
		if one.read(message, answer) != nil {
			return
		}
		again := answers[one.key]()
		again.SetVersion(one.version)
		written := answer.AppendTo(nil)
		if answer.IsFlexible() {
			written = append([]byte{0}, written...)
		}
		require.NoError(t, one.read(written, again))
		require.Equal(t, answer, again)
	})
}
