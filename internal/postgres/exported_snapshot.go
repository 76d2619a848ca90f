package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// ExportSnapshot gives the snapshot of conn's transaction a name by which other sessions of the same
// database can see what it sees, as long as that transaction lasts.
func ExportSnapshot(ctx context.Context, conn *pgx.Conn) (string, error) {
	var name string
	if err := conn.QueryRow(ctx, `SELECT pg_catalog.pg_export_snapshot()`).Scan(&name); err != nil {
		return "", fmt.Errorf("export the snapshot of %s: %w", conn.Config().Database, err)
	}
	return name, nil
}

// BoundSnapshot lets the server itself end the session of conn, and its transaction with it, when nothing was said in it
// for a time: it must not hold up VACUUM for ever, whatever becomes of who holds it.
func BoundSnapshot(ctx context.Context, conn *pgx.Conn, atMost time.Duration) error {
	_, err := conn.Exec(ctx, `SELECT pg_catalog.set_config('idle_in_transaction_session_timeout', $1, true)`, fmt.Sprint(atMost.Milliseconds()))
	if err != nil {
		return fmt.Errorf("bound the snapshot of %s: %w", conn.Config().Database, err)
	}
	return nil
}

// ErrNoSnapshot is why a snapshot cannot be joined whose transaction has ended.
var ErrNoSnapshot = errors.New("the transaction that exported the snapshot has ended")

// JoinSnapshot starts a read-only transaction that sees what the one that exported the snapshot sees.
func JoinSnapshot(ctx context.Context, conn *pgx.Conn, name string) error {
	err := execAll(ctx, conn, []string{
		"BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
		"SET TRANSACTION SNAPSHOT " + quoteLiteral(name),
	})
	// 55000: its transaction has ended, and left its file; 42704 and, before 18, 22023: there is no file.
	for _, code := range []string{"55000", "42704", "22023"} {
		if IsCode(err, code) {
			err = fmt.Errorf("%w: %w", ErrNoSnapshot, err)
			break
		}
	}
	if err != nil {
		return fmt.Errorf("join the snapshot %s of %s: %w", name, conn.Config().Database, err)
	}
	return nil
}
