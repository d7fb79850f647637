package postgres

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"

	"carbonio-check/checks"
	"carbonio-check/platform"
)

// A server is what PostgreSQL on one node reports itself.
type server struct {
	// Contact is how the attempt to connect ended where it failed; the rest is
	// empty then.
	Contact   checks.Contact `json:"contact,omitzero"`
	Version   int            `json:"version,omitempty"` // 160004
	Recovery  bool           `json:"recovery,omitempty"`
	Databases []database     `json:"databases,omitempty"`
}

type database struct {
	Name  string `json:"name"`
	Owner string `json:"owner"`
}

// question is everything that is asked, in one round trip.
const question = `SELECT current_setting('server_version_num'), pg_is_in_recovery();
SELECT datname, pg_get_userbyid(datdba) FROM pg_database WHERE NOT datistemplate ORDER BY datname`

const (
	// everywhere is a database that every server has.
	everywhere = "postgres"
	// methods are the ways to log in that do not reveal the password to whoever
	// listens: all but "password", which sends it in the clear.
	methods = "none,md5,scram-sha-256"
	// maxMessage bounds a single message of the server, in bytes.
	maxMessage = 1 << 16
)

func observeLogin(ctx context.Context, host checks.Host, t checks.Target[platform.Login]) (server, error) {
	if t.Address == "" {
		return server{}, checks.ErrNoAddress
	}
	password, err := host.Secret(t.Ask.Password)
	if err != nil {
		return server{}, fmt.Errorf("password: %w", err)
	}
	ctx, cancel := checks.Share(ctx, 0.9)
	defer cancel()
	network := &dialer{Network: host.Network}
	conf, err := configure(ctx, network, t.Address, t.Ask.User, password)
	if err != nil {
		return server{}, err
	}
	conn, err := connect(ctx, conf, network)
	switch {
	case err != nil && !network.accepted.Load():
		contact, err := checks.Dialled(ctx, err)
		return server{Contact: contact}, err
	case err != nil:
		return server{}, err
	}
	defer func() { cancel(); <-conn.CleanupDone() }() // after an error it would take long
	defer conn.Close(ctx)
	results, err := conn.Exec(ctx, question).ReadAll()
	if err != nil {
		return server{}, cmp.Or(ctx.Err(), err)
	}
	return read(results)
}

// connect encrypts where the server can.
func connect(ctx context.Context, conf *pgconn.Config, network *dialer) (*pgconn.PgConn, error) {
	conn, err := pgconn.ConnectConfig(ctx, conf)
	var said *pgconn.PgError
	if err != nil && !errors.As(err, &said) && network.accepted.Load() && ctx.Err() == nil {
		conf.TLSConfig = nil
		conn, err = pgconn.ConnectConfig(ctx, conf)
	}
	switch {
	case err == nil:
		return conn, nil
	case errors.As(err, &said):
		return nil, said
	case network.accepted.Load() && ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, errors.Unwrap(err) // without the user's name
}

// configure makes a configuration that depends on nothing but its arguments: not on
// the environment, nor on files of the user.
func configure(ctx context.Context, network checks.Network, address, user, password string) (*pgconn.Config, error) {
	server, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	conf, err := pgconn.ParseConfig("host=localhost user=x password=x dbname=x sslmode=disable connect_timeout=0 target_session_attrs=any")
	if err != nil {
		return nil, errors.New("the PG… variables of the environment cannot be used")
	}
	conf.Host, conf.Port = server.Addr().String(), server.Port()
	conf.User, conf.Password, conf.Database = user, password, everywhere
	// As libpq does by default; Carbonio's server has no certificate to verify.
	conf.TLSConfig, conf.Fallbacks = &tls.Config{InsecureSkipVerify: true}, nil //nolint:gosec // see above
	conf.RuntimeParams = map[string]string{"application_name": "carbonio-check"}
	conf.RequireAuth = methods
	conf.MaxProtocolMessageBodyLen = maxMessage
	conf.LookupFunc = func(_ context.Context, host string) ([]string, error) { return []string{host}, nil }
	conf.DialFunc = func(_ context.Context, protocol, address string) (net.Conn, error) {
		conn, err := network.Dial(ctx, protocol, address)
		if err != nil {
			return nil, err
		}
		return &bounded{conn, maxBody, context.AfterFunc(ctx, func() { conn.Close() })}, nil
	}
	return conf, nil
}

// A bounded connection ends with its context, and after maxBody bytes: pgconn keeps
// every row, and may continue in the background after an error.
type bounded struct {
	net.Conn
	left int
	stop func() bool
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("the response is larger than %d bytes", maxBody)
	}
	n, err := b.Conn.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func (b *bounded) Close() error {
	b.stop()
	return b.Conn.Close()
}

// read decodes the results, and assumes nothing of their shape.
func read(results []*pgconn.Result) (server, error) {
	unexpected := errors.New("the results are not those of the query")
	if len(results) != 2 || len(results[0].Rows) != 1 || len(results[0].Rows[0]) != 2 {
		return server{}, unexpected
	}
	number, err := strconv.Atoi(string(results[0].Rows[0][0]))
	if err != nil || number <= 0 {
		return server{}, unexpected
	}
	s := server{Version: number, Recovery: string(results[0].Rows[0][1]) == "t"}
	for _, row := range results[1].Rows {
		if len(row) != 2 {
			return server{}, unexpected
		}
		s.Databases = append(s.Databases, database{string(row[0]), string(row[1])})
	}
	return s, nil
}
