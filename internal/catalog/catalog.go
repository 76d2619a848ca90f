package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Catalog is the record. It can be used by many goroutines at once.
type Catalog struct {
	write *sql.DB
	read  *sql.DB // the same as write on PostgreSQL
	// loose is for changes that do not wait for the disk.
	loose *sql.DB
	// statements are those of prepared, by their text.
	statements sync.Map
	// writers is this process among those that write the record; nil where there is only one.
	writers *writers
	claim   claim
	// revisions remembers those of instances, while nobody else writes.
	revisions revisions
	// readers reads them from a PostgreSQL database.
	readers readers
	// rowByRow tells that a statement for one row, prepared, is faster than one for many: where the
	// database is in this process.
	rowByRow bool
}

// Open opens the record and brings its schema up to date. url is sqlite:///path/file.db, whose file
// is made if there is none, or postgres://user@host/database. A record written by a newer pgleap
// is refused. If another process has the database open, it takes a few seconds at most until that one
// has written what it alone knows.
func Open(ctx context.Context, url string, log *slog.Logger) (*Catalog, error) {
	return openAt(ctx, url, log, time.Now)
}

func openAt(ctx context.Context, url string, log *slog.Logger, now func() time.Time) (*Catalog, error) {
	c, dialect, err := connect(url, log, now)
	if err != nil {
		return nil, fmt.Errorf("open catalogue: %w", err)
	}
	err = migrate(ctx, c.write, dialect, log)
	if err == nil && c.writers != nil {
		err = c.writers.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open catalogue: %w", err), c.Close())
	}
	return c, nil
}

// Close waits for what is being done, and closes the record.
func (c *Catalog) Close() error {
	if c.writers != nil {
		c.writers.leave()
	}
	var errs []error
	c.statements.Range(func(_, statement any) bool {
		errs = append(errs, statement.(*sql.Stmt).Close())
		return true
	})
	errs = append(errs, c.loose.Close())
	if c.read != c.write {
		errs = append(errs, c.read.Close())
	}
	// The writer goes last: SQLite's last connection moves the write-ahead log into the file.
	return errors.Join(append(errs, c.write.Close())...)
}

func connect(url string, log *slog.Logger, now func() time.Time) (*Catalog, goose.Dialect, error) {
	location, err := parseURL(url)
	if err != nil {
		return nil, "", err
	}
	if location.postgres != nil {
		db, loose := openPostgres(location.postgres)
		c := &Catalog{write: db, read: db, loose: loose}
		c.claim.now, c.revisions.claim = now, &c.claim
		c.writers = &writers{db: db, loose: loose, claim: &c.claim, begin: func() { c.revisions.changing()() }, log: log}
		return c, goose.DialectPostgres, nil
	}
	write, read, loose, err := openSQLite(location.file)
	if err != nil {
		return nil, "", err
	}
	c := &Catalog{write: write, read: read, loose: loose, rowByRow: true}
	c.claim.always, c.revisions.claim = true, &c.claim
	return c, goose.DialectSQLite3, nil
}

// change runs f in one transaction, which is undone if f fails.
func (c *Catalog) change(ctx context.Context, f func(tx *sql.Tx) error) error {
	defer c.revisions.changing()()
	return c.changeProven(ctx, c.write, f)
}

// changeProven does it as one of those that write the record.
func (c *Catalog) changeProven(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	if c.writers == nil {
		return changeIn(ctx, db, f)
	}
	return c.writers.proven(ctx, func(id string) error {
		committing := false
		err := changeIn(ctx, db, func(tx *sql.Tx) error {
			if err := prove(ctx, tx, id); err != nil {
				return err
			}
			err := f(tx)
			committing = err == nil
			return err
		})
		if err != nil && committing {
			c.claim.giveUp() // it may be committed yet, and nobody will say when
		}
		return err
	})
}

func changeIn(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
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

// changeLoosely is change for what may be lost in a power failure, but not in a crash of ours.
func (c *Catalog) changeLoosely(ctx context.Context, f func(tx *sql.Tx) error) error {
	return c.changeProven(ctx, c.loose, f)
}

// prepared returns a statement that is compiled once a connection: it is asked for in every request.
// The number of texts must be bounded. On PostgreSQL pgx does the same by itself.
func (c *Catalog) prepared(ctx context.Context, db *sql.DB, query string) (*sql.Stmt, error) {
	if known, ok := c.statements.Load(query); ok {
		return known.(*sql.Stmt), nil
	}
	statement, err := db.PrepareContext(ctx, query)
	if err != nil {
		return nil, err
	}
	if known, ok := c.statements.LoadOrStore(query, statement); ok {
		return known.(*sql.Stmt), statement.Close() // somebody was faster
	}
	return statement, nil
}

// asker is what queries need: *sql.DB and *sql.Tx have it.
type asker interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// collect returns what scan makes of each row of a query. It is never nil.
func collect[T any](ctx context.Context, db asker, scan func(row) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	return collectRows(rows, err, scan)
}

// collectFrom is collect of a prepared statement.
func collectFrom[T any](ctx context.Context, statement *sql.Stmt, scan func(row) (T, error), args ...any) ([]T, error) {
	rows, err := statement.QueryContext(ctx, args...)
	return collectRows(rows, err, scan)
}

func collectRows[T any](rows *sql.Rows, err error, scan func(row) (T, error)) ([]T, error) {
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
