package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"

	"github.com/pressly/goose/v3"
)

// withoutRowid is migration 8: on SQLite the tables that every request writes become their own primary key's index
// (https://www.sqlite.org/withoutrowid.html), where a row is otherwise written to the table and to the index. Nonces
// get the form of inTime. On PostgreSQL nothing changes.
func withoutRowid(dialect goose.Dialect, log *slog.Logger) *goose.Migration {
	const inTime, alone = "printf('%016x %s', expires_at, nonce)", "substr(nonce, 18)"
	up, down := rebuilding(" WITHOUT ROWID", inTime, MaxCalls, log), rebuilding("", alone, MaxCalls, log)
	if dialect == goose.DialectPostgres {
		up, down = nil, nil
	}
	return goose.NewGoMigration(8, &goose.GoFunc{RunTx: up}, &goose.GoFunc{RunTx: down})
}

const countCalls = `
SELECT count(*)
  FROM api_call`

// rebuilding makes the tables anew as SQLite's of a kind, with nonces of those that were there, and the last calls, so
// many. It says so before: a server that starts is not there until it is done, three seconds for a million calls on two
// cores, and somebody may take it for hung.
func rebuilding(kind, nonce string, keep int, log *slog.Logger) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		var calls int
		if err := tx.QueryRowContext(ctx, countCalls).Scan(&calls); err != nil {
			return fmt.Errorf("count the calls: %w", err)
		}
		if calls > 0 {
			log.InfoContext(ctx, "rebuilding the record of calls, once: up to a minute for millions of them", "calls", calls)
		}
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(rebuildTables, kind, nonce, keep)); err != nil {
			return fmt.Errorf("rebuild the tables of calls: %w", err)
		}
		return nil
	}
}

// rebuildTables lets one of two nonces go that differ in their times only, where these are no part of them.
const rebuildTables = `
ALTER TABLE used_nonce RENAME TO former_nonce;
DROP INDEX nonce_by_expiry;

CREATE TABLE used_nonce (
    access_key TEXT   NOT NULL,
    nonce      TEXT   NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (access_key, nonce)
)%[1]s;

INSERT OR IGNORE INTO used_nonce (access_key, nonce, expires_at)
  SELECT access_key, %[2]s, expires_at
    FROM former_nonce
ORDER BY access_key, expires_at;

DROP TABLE former_nonce;
CREATE INDEX nonce_by_expiry ON used_nonce (expires_at);

ALTER TABLE api_call RENAME TO former_call;

CREATE TABLE api_call (
    at         BIGINT NOT NULL,
    request_id TEXT   NOT NULL,
    who        TEXT   NOT NULL,
    what       TEXT   NOT NULL,
    object     TEXT   NOT NULL,
    result     TEXT   NOT NULL,
    PRIMARY KEY (at, request_id)
)%[1]s;

INSERT INTO api_call (at, request_id, who, what, object, result)
  SELECT at, request_id, who, what, object, result
    FROM former_call
   WHERE at > coalesce((SELECT at FROM former_call ORDER BY at DESC LIMIT 1 OFFSET %[3]d), -1)
ORDER BY at, request_id;

DROP TABLE former_call;`
