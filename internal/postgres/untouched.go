package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CatalogFiles are the files of catalogs in one database, their indexes and TOAST tables included.
type CatalogFiles struct {
	Database   uint32 // its oid
	Statistics []uint32
	// Classes is pg_class, whose rows ANALYZE and VACUUM change in place.
	Classes []uint32
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
			coalesce(array_agg(node) FILTER (WHERE kind = 'databases'), '{}')
		FROM files`).Scan(&f.Database, &f.Statistics, &f.Classes, &f.Databases)
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
