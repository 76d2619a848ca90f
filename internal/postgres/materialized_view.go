package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// MaterializedView is a materialized view and whether it holds rows that can be read.
type MaterializedView struct {
	Name      string // quoted and schema-qualified
	Populated bool
}

// MaterializedViews lists the materialized views of a database, each after those that it reads, be it
// through views. What a function reads, nobody can tell: otherwise the order is that of their making.
func MaterializedViews(ctx context.Context, conn *pgx.Conn) ([]MaterializedView, error) {
	rows, err := conn.Query(ctx, `
		SELECT c.oid, quote_ident(n.nspname) || '.' || quote_ident(c.relname), c.relkind = 'm', c.relispopulated,
			ARRAY (
				SELECT DISTINCT d.refobjid
				FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
				JOIN pg_class seen ON seen.oid = d.refobjid
				WHERE r.ev_class = c.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid AND seen.relkind IN ('m', 'v')
				ORDER BY d.refobjid
			)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('m', 'v') AND c.oid >= 16384
			AND EXISTS (SELECT FROM pg_class WHERE relkind = 'm')
		ORDER BY c.oid`)
	if err != nil {
		return nil, fmt.Errorf("list materialized views: %w", err)
	}
	views, err := pgx.CollectRows(rows, pgx.RowToStructByPos[view])
	if err != nil {
		return nil, fmt.Errorf("list materialized views: %w", err)
	}
	return inOrder(views), nil
}

// view is a view, materialized or not, and the views that it reads.
type view struct {
	OID          uint32
	Name         string
	Materialized bool
	Populated    bool
	Reads        []uint32
}

// inOrder puts materialized views after those that they read. Plain views can be made to read each other
// in a circle; the circle is cut somewhere, since such a view cannot be read anyway.
func inOrder(views []view) []MaterializedView {
	byOID := make(map[uint32]view, len(views))
	for _, v := range views {
		byOID[v.OID] = v
	}
	var ordered []MaterializedView
	visited := make(map[uint32]bool, len(views))
	var visit func(v view)
	visit = func(v view) {
		if visited[v.OID] {
			return
		}
		visited[v.OID] = true
		for _, oid := range v.Reads {
			if seen, ok := byOID[oid]; ok {
				visit(seen)
			}
		}
		if v.Materialized {
			ordered = append(ordered, MaterializedView{Name: v.Name, Populated: v.Populated})
		}
	}
	for _, v := range views {
		visit(v)
	}
	return ordered
}

// refreshSettings are those of a refresh. Event triggers can be switched off since 17. Before 17 the
// functions of a view find their tables by the search_path of who refreshes it: they get that of the
// view's owner. The statement itself names everything in full.
const refreshSettings = `
	SELECT set_config(name, 'off', true) FROM pg_settings WHERE name = 'event_triggers'
	UNION ALL
	SELECT set_config('search_path', coalesce((
		SELECT substr(setting, length('search_path=') + 1)
		FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting
		WHERE setting LIKE 'search_path=%'
			AND s.setrole IN (0, c.relowner)
			AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
		ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC
		LIMIT 1), '"$user", public'), true)
	FROM pg_class c WHERE c.oid = $1::text::regclass`

// RefreshMaterializedView fills a materialized view anew, or empties it so that it cannot be read.
// Its name is quoted and schema-qualified.
func RefreshMaterializedView(ctx context.Context, conn *pgx.Conn, name string, populate bool) error {
	statement := "REFRESH MATERIALIZED VIEW " + name
	if !populate {
		statement += " WITH NO DATA"
	}
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, refreshSettings, name); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, statement)
		return err
	})
	if err != nil {
		return fmt.Errorf("refresh materialized view %s in %s: %w", name, conn.Config().Database, err)
	}
	return nil
}
