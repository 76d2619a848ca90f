package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Backend is a server process as pg_stat_activity shows it.
type Backend struct {
	PID         int
	Type        string // backend_type
	User        string
	Database    string
	Application string
	Client      string // address, or "local"
	State       string
	// TransactionAge is 0 outside a transaction.
	TransactionAge time.Duration
}

// String names the backend in messages.
func (b Backend) String() string {
	if b.User == "" {
		return fmt.Sprintf("pid %d (%s, database %s)", b.PID, b.Type, b.Database)
	}
	return fmt.Sprintf("pid %d (user %s, database %s, application %q, from %s)", b.PID, b.User, b.Database, b.Application, b.Client)
}

const readBackends = `
	SELECT
		pid, coalesce(backend_type, ''), coalesce(usename, ''), coalesce(datname, ''), coalesce(application_name, ''),
		coalesce(host(client_addr), 'local'), coalesce(state, ''),
		coalesce(extract(epoch FROM clock_timestamp() - xact_start), 0)::float8
	FROM pg_stat_activity
	WHERE pid <> pg_backend_pid()`

// Backends lists the server processes but for our own session.
func Backends(ctx context.Context, conn *pgx.Conn) ([]Backend, error) {
	return queryBackends(ctx, conn, readBackends)
}

func queryBackends(ctx context.Context, conn *pgx.Conn, query string) ([]Backend, error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list backends: %w", err)
	}
	backends, err := pgx.CollectRows(rows, scanBackend)
	if err != nil {
		return nil, fmt.Errorf("list backends: %w", err)
	}
	return backends, nil
}

func scanBackend(row pgx.CollectableRow) (Backend, error) {
	var b Backend
	var seconds float64
	err := row.Scan(&b.PID, &b.Type, &b.User, &b.Database, &b.Application, &b.Client, &b.State, &seconds)
	b.TransactionAge = time.Duration(seconds * float64(time.Second))
	return b, err
}

// readWriting lists the backends that have a transaction with an xid, but for our own session: all that
// have written, or will with what they have begun. A background worker counts as any other.
const readWriting = readBackends + ` AND backend_xid IS NOT NULL`

// EndAutovacuum terminates the workers of autovacuum. Those that the launcher starts later run.
func EndAutovacuum(ctx context.Context, conn *pgx.Conn) error {
	const terminate = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'autovacuum worker'`
	if _, err := conn.Exec(ctx, terminate); err != nil {
		return fmt.Errorf("end autovacuum: %w", err)
	}
	return nil
}

// EndSessions terminates the other sessions of our own role that have an application_name, and returns
// when none is left. What such a session was sent before its client died is then done or will never be.
func EndSessions(ctx context.Context, conn *pgx.Conn, application string) error {
	const terminate = `
		SELECT count(pg_terminate_backend(pid))
		FROM pg_stat_activity
		WHERE usename = $1 AND application_name = $2 AND pid <> pg_backend_pid()`
	return poll(ctx, "end the sessions of "+application, func() (bool, error) {
		var left int
		err := conn.QueryRow(ctx, terminate, upgrade.Role, application).Scan(&left)
		return left == 0, err
	})
}

const countPrepared = `SELECT count(*)::int FROM pg_prepared_xacts`

// PreparedTransactions counts the prepared transactions of the cluster.
func PreparedTransactions(ctx context.Context, conn *pgx.Conn) (int, error) {
	var count int
	if err := conn.QueryRow(ctx, countPrepared).Scan(&count); err != nil {
		return 0, fmt.Errorf("count prepared transactions: %w", err)
	}
	return count, nil
}

// RollbackPrepared rolls back the prepared transactions of the database of conn. It is for a
// promoted clone alone: the source still has them, and logical replication brings them when
// they are committed there.
func RollbackPrepared(ctx context.Context, conn *pgx.Conn) (int, error) {
	rows, err := conn.Query(ctx, `SELECT gid FROM pg_prepared_xacts WHERE database = current_database()`)
	if err != nil {
		return 0, fmt.Errorf("list prepared transactions: %w", err)
	}
	gids, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return 0, fmt.Errorf("list prepared transactions: %w", err)
	}
	for _, gid := range gids {
		if _, err := conn.Exec(ctx, "ROLLBACK PREPARED "+quoteLiteral(gid)); err != nil {
			return 0, fmt.Errorf("roll back prepared transaction %s: %w", gid, err)
		}
	}
	return len(gids), nil
}
