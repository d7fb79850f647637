package postgres

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"carbonio-check/checks"
	"carbonio-check/checks/checkstest"
	"carbonio-check/platform"
)

// A script answers one connection that has got through the start-up.
type script func(b *pgproto3.Backend, conn net.Conn)

// serve is a PostgreSQL without encryption that follows the script.
func serve(t *testing.T, play script) string {
	t.Helper()
	return checkstest.Serve(t, func(conn net.Conn) { answerOne(conn, play) })
}

func answerOne(conn net.Conn, play script) {
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	b := pgproto3.NewBackend(conn, conn)
	first, err := b.ReceiveStartupMessage()
	if _, ssl := first.(*pgproto3.SSLRequest); ssl {
		_, _ = conn.Write([]byte("N"))
		return
	}
	if _, start := first.(*pgproto3.StartupMessage); err != nil || !start {
		return
	}
	play(b, conn)
}

func logIn(t *testing.T, timeout time.Duration, address string) (server, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	host := checks.Host{Network: checkstest.Network{}, Secret: func(platform.SecretRef) (string, error) { return "hunter2", nil }}
	return observeLogin(ctx, host, checks.Target[platform.Login]{
		Name: "svc1.example.com", Address: address,
		Ask: platform.Login{User: "carbonio_adm", Password: platform.SecretRef{Env: "PASSWORD"}},
	})
}

// rows answers the two questions.
func rows(b *pgproto3.Backend) {
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = b.Flush()
	if _, err := b.Receive(); err != nil {
		return
	}
	row := func(values ...string) {
		d := &pgproto3.DataRow{}
		for _, v := range values {
			d.Values = append(d.Values, []byte(v))
		}
		b.Send(d)
	}
	columns := &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("a")}, {Name: []byte("b")}}}
	b.Send(columns)
	row("160004", "f")
	b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")})
	b.Send(columns)
	row("core", "core")
	row("ha", "carbonio_adm")
	b.Send(&pgproto3.CommandComplete{CommandTag: []byte("SELECT 2")})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	_ = b.Flush()
	_, _ = b.Receive() // Terminate
}

func TestObserveSQL(t *testing.T) {
	got, err := logIn(t, 5*time.Second, serve(t, func(b *pgproto3.Backend, _ net.Conn) { rows(b) }))
	require.NoError(t, err)
	require.Equal(t, server{Version: 160004, Databases: []database{{"core", "core"}, {"ha", "carbonio_adm"}}}, got)
}

func TestObserveSQLBadly(t *testing.T) {
	for name, c := range map[string]struct {
		play script
		want string
	}{
		"cleartext password": {func(b *pgproto3.Backend, conn net.Conn) {
			b.Send(&pgproto3.AuthenticationCleartextPassword{})
			_ = b.Flush()
			got := make([]byte, 100)
			n, _ := conn.Read(got)
			if strings.Contains(string(got[:n]), "hunter2") {
				panic("the password was handed to whoever listens")
			}
		}, "require_auth"},
		"wrong password": {func(b *pgproto3.Backend, _ net.Conn) {
			b.Send(&pgproto3.ErrorResponse{Severity: "FATAL", Code: "28P01", Message: "password authentication failed\x1b[2J"})
			_ = b.Flush()
		}, "password authentication failed"},
		"message of 1 GiB": {func(_ *pgproto3.Backend, conn net.Conn) { _, _ = conn.Write([]byte{'R', 0x40, 0, 0, 0, 0}) }, "expected at most 65536"},
		"no PostgreSQL": {func(_ *pgproto3.Backend, conn net.Conn) {
			_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		}, ""},
		"rows without end": {func(b *pgproto3.Backend, _ net.Conn) {
			b.Send(&pgproto3.AuthenticationOk{})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			b.Send(&pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{{Name: []byte("a")}}})
			for b.Flush() == nil {
				b.Send(&pgproto3.DataRow{Values: [][]byte{make([]byte, 10000)}})
			}
		}, "the response is larger than 1048576 bytes"},
		"silence": {func(_ *pgproto3.Backend, conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) }, "deadline"},
		"silence after the question": {func(b *pgproto3.Backend, conn net.Conn) {
			b.Send(&pgproto3.AuthenticationOk{})
			b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
			_ = b.Flush()
			_, _ = b.Receive()
			_, _ = conn.Read(make([]byte, 1))
		}, "deadline"},
	} {
		t.Run(name, func(t *testing.T) {
			timeout := 5 * time.Second
			if c.want == "deadline" {
				timeout = 300 * time.Millisecond
			}
			begin := time.Now()
			_, err := logIn(t, timeout, serve(t, c.play))
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "hunter2")
			require.Less(t, time.Since(begin), 2*time.Second)
		})
	}
}
