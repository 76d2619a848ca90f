package catalog

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/pgleap/pgleap/internal/upgrade"
)

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the schema up to date. Servers that start at the same moment on one PostgreSQL
// database take turns; an SQLite file has one server only.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, log *slog.Logger) error {
	provider, err := newProvider(db, dialect, log)
	if err != nil {
		return fmt.Errorf("prepare migrations: %w", err)
	}
	applied, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate schema: %w", withoutPartial(err))
	}
	for _, m := range applied {
		log.InfoContext(ctx, "migrated catalogue", "version", m.Source.Version, "duration", m.Duration)
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read version of schema: %w", err)
	}
	if current > known {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("it was written by a newer pgleap: its schema has version %d, this pgleap knows %d", current, known),
			Remedy: "start the newer pgleap",
		}
	}
	return nil
}

func newProvider(db *sql.DB, dialect goose.Dialect, log *slog.Logger) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	options := []goose.ProviderOption{goose.WithTableName("catalog_version"), goose.WithDisableGlobalRegistry(true), goose.WithGoMigrations(backfill(), withoutRowid(dialect, log))}
	if dialect == goose.DialectPostgres {
		const everySecond, forAMinute = 1, 60
		turns, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(everySecond, forAMinute))
		if err != nil {
			return nil, err
		}
		options = append(options, goose.WithSessionLocker(turns))
	}
	return goose.NewProvider(dialect, db, dir, options...)
}

// withoutPartial leaves out what went well before the error: it is in the database.
func withoutPartial(err error) error {
	if partial, ok := errors.AsType[*goose.PartialError](err); ok {
		return fmt.Errorf("version %d: %w", partial.Failed.Source.Version, partial.Err)
	}
	return err
}
