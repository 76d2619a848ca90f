package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// ExtensionUpdate is an extension whose installed version is behind what the server offers.
type ExtensionUpdate struct {
	Name string
	From string
	To   string
}

// ExtensionUpdates lists what ALTER EXTENSION ... UPDATE would change in a database: each after those that it requires,
// by the longest way to it. Two that came to require each other do so without an end, which is cut.
func ExtensionUpdates(ctx context.Context, conn *pgx.Conn) ([]ExtensionUpdate, error) {
	rows, err := conn.Query(ctx, `
		WITH RECURSIVE needed AS (
			SELECT oid AS extension, 0 AS depth FROM pg_extension
			UNION
			SELECT d.objid, n.depth + 1
			FROM needed n
			JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = n.extension
				AND d.classid = 'pg_extension'::regclass
			WHERE n.depth < (SELECT count(*) FROM pg_extension)
		)
		SELECT e.extname, e.extversion, a.default_version
		FROM pg_extension e JOIN pg_available_extensions a ON a.name = e.extname
		WHERE e.extversion <> a.default_version
		ORDER BY (SELECT max(n.depth) FROM needed n WHERE n.extension = e.oid), e.oid`)
	if err != nil {
		return nil, fmt.Errorf("list extension updates: %w", err)
	}
	updates, err := pgx.CollectRows(rows, pgx.RowToStructByPos[ExtensionUpdate])
	if err != nil {
		return nil, fmt.Errorf("list extension updates: %w", err)
	}
	return updates, nil
}

// UpdateExtension brings an extension to the server's default version, in a transaction of its own. note
// is told its id before it can have an effect.
func UpdateExtension(ctx context.Context, conn *pgx.Conn, name string, note func(xid uint64) error) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		var xid uint64
		if err := tx.QueryRow(ctx, "SELECT pg_current_xact_id()::text::bigint").Scan(&xid); err != nil {
			return err
		}
		if err := note(xid); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "ALTER EXTENSION "+quoteIdent(name)+" UPDATE")
		return err
	})
	switch {
	case err != nil && conn.IsClosed() && ctx.Err() == nil:
		return fmt.Errorf("update extension %s in %s: the server's process ended while its script ran, see the server's log before it is tried again: %w",
			name, conn.Config().Database, err)
	case err != nil:
		return fmt.Errorf("update extension %s in %s: %w", name, conn.Config().Database, err)
	}
	return nil
}
