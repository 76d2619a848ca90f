package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// CatalogFiles are the files of catalogs in one database, their indexes and TOAST tables included.
type CatalogFiles struct {
	Database   uint32 // its oid
	Statistics []uint32
	// Classes is pg_class, whose rows ANALYZE and VACUUM change in place.
	Classes []uint32
	// Roles are the catalogs of roles and of comments on shared objects. They are shared among databases.
	Roles []uint32
	// Databases is pg_database, of which the same is true. It is shared among databases.
	Databases []uint32
}

// ReadCatalogFiles reads those of the database of conn.
func ReadCatalogFiles(ctx context.Context, conn *pgx.Conn) (CatalogFiles, error) {
	var f CatalogFiles
	err := conn.QueryRow(ctx, `
		WITH named (kind, oid) AS (
			SELECT v.kind, c.oid
			FROM (VALUES
				('statistics', 'pg_statistic'), ('statistics', 'pg_statistic_ext_data'),
				('classes', 'pg_class'),
				('roles', 'pg_authid'), ('roles', 'pg_shdescription'),
				('databases', 'pg_database')
			) v (kind, name)
			JOIN pg_class c ON c.relname = v.name AND c.relnamespace = 'pg_catalog'::regnamespace
		), tables (kind, oid) AS (
			SELECT kind, oid FROM named
			UNION ALL
			SELECT n.kind, c.reltoastrelid FROM named n JOIN pg_class c ON c.oid = n.oid WHERE c.reltoastrelid <> 0
		), files (kind, node) AS (
			SELECT kind, pg_relation_filenode(oid) FROM tables
			UNION ALL
			SELECT t.kind, pg_relation_filenode(i.indexrelid) FROM tables t JOIN pg_index i ON i.indrelid = t.oid
		)
		SELECT
			(SELECT oid FROM pg_database WHERE datname = current_database()),
			coalesce(array_agg(node) FILTER (WHERE kind = 'statistics'), '{}'),
			coalesce(array_agg(node) FILTER (WHERE kind = 'classes'), '{}'),
			coalesce(array_agg(node) FILTER (WHERE kind = 'roles'), '{}'),
			coalesce(array_agg(node) FILTER (WHERE kind = 'databases'), '{}')
		FROM files`).Scan(&f.Database, &f.Statistics, &f.Classes, &f.Roles, &f.Databases)
	if err != nil {
		return f, fmt.Errorf("find the files of catalogs in %s: %w", conn.Config().Database, err)
	}
	return f, nil
}

// ConnectableDatabases lists all databases that sessions may be in, templates included.
func ConnectableDatabases(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `SELECT datname FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY datname`)
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list databases: %w", err)
	}
	return names, nil
}

// RoleFacts tells what is known of roles, their right to log in and pgleap's own role left out, and of the
// comments on shared objects: a line each, without secrets. Clusters of different versions can be compared by it.
func RoleFacts(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT concat_ws(' ', 'role', quote_ident(rolname), rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolreplication,
			rolbypassrls, rolconnlimit, coalesce(md5(rolpassword), 'none'), extract(epoch FROM rolvaliduntil)::float8)
		FROM pg_authid WHERE rolname <> $1 AND rolname !~ '^pg_'
		UNION ALL
		SELECT concat_ws(' ', 'comment', classoid::regclass, quote_literal(description))
		FROM pg_shdescription
		WHERE NOT (classoid = 'pg_authid'::regclass AND objoid IN (SELECT oid FROM pg_authid WHERE rolname = $1))`, upgrade.Role)
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read roles: %w", err)
	}
	slices.Sort(lines)
	return lines, nil
}
