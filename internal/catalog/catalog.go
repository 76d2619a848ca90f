package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"

	"github.com/pressly/goose/v3"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Catalog is the record. It can be used by many goroutines at once.
type Catalog struct {
	write *sql.DB
	read  *sql.DB // the same as write on PostgreSQL
	loose looseness
}

// Open opens the record and brings its schema up to date. url is sqlite:///path/file.db, whose file
// is made if there is none, or postgres://user@host/database. A record written by a newer pgleap
// is refused.
func Open(ctx context.Context, url string, log *slog.Logger) (*Catalog, error) {
	c, dialect, err := connect(url)
	if err != nil {
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	if err := migrate(ctx, c.write, dialect, log); err != nil {
		return nil, errors.Join(fmt.Errorf("open catalogue: %w", err), c.Close())
	}
	return c, nil
}

// Close waits for what is being done, and closes the record.
func (c *Catalog) Close() error {
	if c.read == c.write {
		return c.write.Close()
	}
	// The writer goes last: SQLite's last connection moves the write-ahead log into the file.
	return errors.Join(c.read.Close(), c.write.Close())
}

func connect(url string) (*Catalog, goose.Dialect, error) {
	location, err := parseURL(url)
	if err != nil {
		return nil, "", err
	}
	if location.postgres != nil {
		db := openPostgres(location.postgres)
		return &Catalog{write: db, read: db, loose: postgresLoose}, goose.DialectPostgres, nil
	}
	write, read, err := openSQLite(location.file)
	if err != nil {
		return nil, "", err
	}
	return &Catalog{write: write, read: read, loose: sqliteLoose}, goose.DialectSQLite3, nil
}

// change runs f in one transaction, which is undone if f fails.
func (c *Catalog) change(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := c.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() // after a commit there is nothing to undo, else f's error counts
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// looseness are the statements that let a commit not wait for the disk, and let it again. Of
// SQLite's they stand outside of the transaction (pragma synchronous), of PostgreSQL's in it.
type looseness struct{ before, within, after string }

// The engines' words.
const (
	sqliteNormal    = "PRAGMA synchronous = normal"
	sqliteFull      = "PRAGMA synchronous = full"
	postgresNoFlush = "SET LOCAL synchronous_commit TO off"
)

var (
	sqliteLoose   = looseness{before: sqliteNormal, after: sqliteFull}
	postgresLoose = looseness{within: postgresNoFlush}
)

// changeLoosely is change for what may be lost in a power failure, but not in a crash of ours.
func (c *Catalog) changeLoosely(ctx context.Context, f func(tx *sql.Tx) error) error {
	conn, err := c.write.Conn(ctx)
	if err != nil {
		return fmt.Errorf("take connection: %w", err)
	}
	defer conn.Close() //nolint:errcheck // it goes back to the pool
	defer c.tighten(context.WithoutCancel(ctx), conn)
	if c.loose.before != "" {
		if _, err := conn.ExecContext(ctx, c.loose.before); err != nil {
			return fmt.Errorf("loosen commits: %w", err)
		}
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin transaction: %w", err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to undo, else f's error counts
	if c.loose.within != "" {
		if _, err := tx.ExecContext(ctx, c.loose.within); err != nil {
			return fmt.Errorf("loosen commit: %w", err)
		}
	}
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("commit transaction: %w", err)
	}
	return nil
}

// tighten lets commits wait for the disk again, whatever has happened: those who come next rely on
// it. A connection that cannot be told so is closed, such as one whose transaction database/sql is
// just undoing because of a cancel.
func (c *Catalog) tighten(ctx context.Context, conn *sql.Conn) {
	if c.loose.after == "" {
		return
	}
	if _, err := conn.ExecContext(ctx, c.loose.after); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // what makes the pool close it
	}
}

// asker is what queries need: *sql.DB and *sql.Tx have it.
type asker interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// collect returns what scan makes of each row of a query. It is never nil.
func collect[T any](ctx context.Context, db asker, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []T{}
	for rows.Next() {
		value, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, value)
	}
	return all, rows.Err()
}

// row is the present row of a query: *sql.Row and *sql.Rows have it.
type row interface {
	Scan(into ...any) error
}

// changed is the number of rows that a statement changed.
func changed(result sql.Result, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// found turns the absence of a row into upgrade.NotFound.
func found[T any](value T, err error, kind, name string) (T, error) {
	if err == nil {
		return value, nil
	}
	var none T
	if errors.Is(err, sql.ErrNoRows) {
		return none, &upgrade.NotFound{Kind: kind, Name: name}
	}
	return none, fmt.Errorf("read %s %s: %w", kind, name, err)
}
