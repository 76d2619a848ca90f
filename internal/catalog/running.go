package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"
)

// Running returns the number of a task that runs, if there is one, in the record at url. It leaves the record as
// it is: whoever finds it fit for this program only later has not migrated it for nothing, and the program that
// wrote it can go on. A record that is not there yet has no tasks.
func Running(ctx context.Context, url string, log *slog.Logger) (number int64, running bool, err error) {
	location, err := parseURL(url)
	if err != nil {
		return 0, false, fmt.Errorf("look for running tasks: %w", err)
	}
	if location.postgres == nil {
		if _, err := os.Stat(location.file); errors.Is(err, fs.ErrNotExist) {
			return 0, false, nil
		}
	}
	c, _, err := connect(url, log, time.Now)
	if err != nil {
		return 0, false, fmt.Errorf("look for running tasks: %w", err)
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	number, err = c.anyRunning(ctx)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look for running tasks: %w", err)
	}
	return number, true, nil
}

const (
	tableInSQLite   = `SELECT count(*) FROM sqlite_master WHERE name = 'task'`
	tableInPostgres = `SELECT count(to_regclass('task'))`

	// It must be true of every version of the schema.
	selectAnyRunning = `
  SELECT number
    FROM task
   WHERE status = 'running'
ORDER BY number DESC
   LIMIT 1`
)

// anyRunning returns sql.ErrNoRows if nothing runs.
func (c *Catalog) anyRunning(ctx context.Context) (number int64, err error) {
	table := tableInPostgres
	if c.rowByRow {
		table = tableInSQLite
	}
	var tables int
	if err := c.read.QueryRowContext(ctx, table).Scan(&tables); err != nil {
		return 0, err
	}
	if tables == 0 {
		return 0, sql.ErrNoRows
	}
	err = c.read.QueryRowContext(ctx, selectAnyRunning).Scan(&number)
	return number, err
}
