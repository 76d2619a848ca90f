package main

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/catalog"
)

// seed fills a new catalogue: past pgleap, which would take hours, but into the schema that it made.
func seed(ctx context.Context, address string, f fixture, log *slog.Logger) error {
	if err := create(ctx, address, log); err != nil {
		return err
	}
	if file, found := strings.CutPrefix(address, "sqlite://"); found {
		return seedSQLite(ctx, file, f)
	}
	return seedPostgres(ctx, address, f)
}

// create makes the schema.
func create(ctx context.Context, address string, log *slog.Logger) error {
	c, err := catalog.Open(ctx, address, log)
	if err != nil {
		return err
	}
	return c.Close()
}

// rows are those of a table: those of instances or those of tasks.
type rows struct {
	table, columns string
	count          int
	row            func(n int) ([]any, error)
}

func (f fixture) tables() []rows {
	return []rows{
		{"instance", instanceColumns, instances, instanceRow},
		{"task", taskColumns, f.tasks, func(n int) ([]any, error) { return taskRow(f, n+1) }},
	}
}

const setCounter = "UPDATE counter SET last = %d WHERE name = 'task'"

func openSQLite(file string, pragmas ...string) (*sql.DB, error) {
	source := url.URL{Scheme: "file", Path: file, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return sql.Open("sqlite", source.String())
}

// seedSQLite writes without a journal: whoever interrupts it starts anew.
func seedSQLite(ctx context.Context, file string, f fixture) (err error) {
	db, err := openSQLite(file, "journal_mode(off)", "synchronous(off)", "locking_mode(exclusive)", "cache_size(-1000000)")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	db.SetMaxOpenConns(1)
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for _, table := range f.tables() {
		if err := insertRows(ctx, tx, table); err != nil {
			return fmt.Errorf("fill table %s: %w", table.table, err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf(setCounter, f.tasks)); err != nil {
		return err
	}
	return tx.Commit()
}

// insertRows writes many rows with each statement.
func insertRows(ctx context.Context, tx *sql.Tx, t rows) error {
	const atOnce = 20
	var insert *sql.Stmt
	for from := 0; from < t.count; from += atOnce {
		n := min(atOnce, t.count-from)
		if insert == nil || n < atOnce {
			statement, err := tx.PrepareContext(ctx, t.insert(n))
			if err != nil {
				return err
			}
			defer statement.Close() //nolint:errcheck // it ends with the transaction
			insert = statement
		}
		var values []any
		for i := range n {
			row, err := t.row(from + i)
			if err != nil {
				return err
			}
			values = append(values, row...)
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return err
		}
	}
	return nil
}

// insert is the statement for so many rows.
func (t rows) insert(n int) string {
	row := "(?" + strings.Repeat(", ?", strings.Count(t.columns, ",")) + ")"
	return "INSERT INTO " + t.table + " (" + t.columns + ") VALUES " + row + strings.Repeat(", "+row, n-1)
}

// names are the columns one by one.
func (t rows) names() []string {
	names := strings.Split(t.columns, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

func seedPostgres(ctx context.Context, address string, f fixture) error {
	conn, err := pgx.Connect(ctx, address)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for _, t := range f.tables() {
		n := 0
		source := pgx.CopyFromFunc(func() ([]any, error) {
			if n == t.count {
				return nil, nil
			}
			n++
			return t.row(n - 1)
		})
		if _, err := conn.CopyFrom(ctx, pgx.Identifier{t.table}, t.names(), source); err != nil {
			return fmt.Errorf("fill table %s: %w", t.table, err)
		}
	}
	if _, err := conn.Exec(ctx, fmt.Sprintf(setCounter, f.tasks)); err != nil {
		return err
	}
	// Autovacuum would do it in its time.
	for _, statement := range []string{"VACUUM (ANALYZE) instance", "VACUUM (ANALYZE) task"} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// cleared removes what an earlier run left of calls and keys, so that all runs begin alike.
func cleared(ctx context.Context, file string) (err error) {
	db, err := openSQLite(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	for _, table := range []string{"used_nonce", "api_call", "access_key", "audit", "client_token"} {
		if _, err := db.ExecContext(ctx, "DELETE FROM "+table); err != nil {
			return err
		}
	}
	return nil
}

// seededSQLite returns the URL of a catalogue in a directory, which it makes unless an earlier run did.
func seededSQLite(ctx context.Context, dir string, f fixture, log *slog.Logger) (string, error) {
	fresh := filepath.Join(dir, "fresh.db")
	if err := errors.Join(removeSQLite(fresh), create(ctx, "sqlite://"+fresh, log)); err != nil {
		return "", err
	}
	version, err := schemaVersion(ctx, fresh)
	if err != nil {
		return "", err
	}
	file := filepath.Join(dir, fmt.Sprintf("catalog-%d-%s.db", f.tasks, version))
	if _, err := os.Stat(file); err == nil {
		return "sqlite://" + file, errors.Join(removeSQLite(fresh), cleared(ctx, file))
	}
	if err := seed(ctx, "sqlite://"+fresh, f, log); err != nil {
		return "", err
	}
	return "sqlite://" + file, os.Rename(fresh, file)
}

func removeSQLite(file string) error {
	var failed error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(file + suffix); !errors.Is(err, fs.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	return failed
}

// schemaVersion tells schemas apart, so that a catalogue that was kept is of the schema that pgleap has now.
func schemaVersion(ctx context.Context, file string) (version string, err error) {
	db, err := openSQLite(file)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var schema string
	err = db.QueryRowContext(ctx, "SELECT group_concat(sql, ';') FROM (SELECT sql FROM sqlite_master ORDER BY name)").Scan(&schema)
	sum := sha256.Sum256([]byte(schema))
	return hex.EncodeToString(sum[:4]), err
}
