package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// PartitionedParents lists the partitioned tables of a database whose own statistics, which are of all
// their partitions together, have to be collected: vacuumdb leaves them out before 19, and so does
// autovacuum. Before 18 these are all, by their roots, whose ANALYZE goes down to the rest; from 18 on, where
// pg_upgrade carries statistics over, those that lack some.
func PartitionedParents(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	if ServerMajor(conn) < 18 {
		return tablesWhere(ctx, conn, `c.relkind = 'p' AND NOT c.relispartition`)
	}
	return tablesWhere(ctx, conn, `c.relkind = 'p' AND `+lacksStatistics)
}

// TablesLackingStatistics lists the tables of a server from 18 on, but for partitioned ones, of which vacuumdb
// --missing-stats-only collects statistics: the catalogs', too.
func TablesLackingStatistics(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	return tablesWhere(ctx, conn, `c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND `+lacksStatistics)
}

// lacksStatistics tells, from 18 on, whether ANALYZE would find statistics of a table that are not there yet: of a column,
// of an expression in an index, or of what CREATE STATISTICS says; of the table itself and of it with its children, as
// far as it has both. A virtual column has none, nor has what is wanted in no detail at all (target 0).
const lacksStatistics = `EXISTS (
	SELECT
	FROM (VALUES (false), (true)) kind (inherited)
	WHERE CASE
			WHEN NOT kind.inherited THEN c.relkind <> 'p'
			ELSE c.relkind = 'p' OR EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = c.oid)
		END
		AND (
			EXISTS (
				SELECT FROM pg_attribute a
				WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
					AND a.attstattarget IS DISTINCT FROM 0 AND a.attgenerated <> 'v'
					AND NOT EXISTS (
						SELECT FROM pg_statistic s
						WHERE s.starelid = a.attrelid AND s.staattnum = a.attnum AND s.stainherit = kind.inherited
					)
			)
			OR EXISTS (
				SELECT FROM pg_statistic_ext e
				WHERE e.stxrelid = c.oid AND e.stxstattarget IS DISTINCT FROM 0
					AND NOT EXISTS (
						SELECT FROM pg_statistic_ext_data d WHERE d.stxoid = e.oid AND d.stxdinherit = kind.inherited
					)
			)
			OR NOT kind.inherited AND EXISTS (
				SELECT FROM pg_index x JOIN pg_attribute a ON a.attrelid = x.indexrelid
				WHERE x.indrelid = c.oid AND x.indkey[a.attnum - 1] = 0 AND NOT a.attisdropped
					AND a.attstattarget IS DISTINCT FROM 0
					AND NOT EXISTS (
						SELECT FROM pg_statistic s WHERE s.starelid = a.attrelid AND s.staattnum = a.attnum AND NOT s.stainherit
					)
			)
		)
)`

// AnalyzableTables lists what vacuumdb analyzes in a database: the catalogs, too, and no table of a
// session's own.
func AnalyzableTables(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	return tablesWhere(ctx, conn, `c.relkind IN ('r', 'm') AND c.relpersistence <> 't'`)
}

func tablesWhere(ctx context.Context, conn *pgx.Conn, condition string) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE `+condition+`
		ORDER BY c.oid`)
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list tables: %w", err)
	}
	return names, nil
}

// AnalyzeParent collects the statistics of a partitioned table. From 18 on its partitions, which were
// analyzed before, are left alone. The name is quoted.
func AnalyzeParent(ctx context.Context, conn *pgx.Conn, table string) error {
	if ServerMajor(conn) >= 18 {
		table = "ONLY " + table
	}
	return Analyze(ctx, conn, table)
}

// Analyze collects the statistics of a table and what it is the parent of. The name is quoted.
func Analyze(ctx context.Context, conn *pgx.Conn, table string) error {
	if _, err := conn.Exec(ctx, "ANALYZE "+table); err != nil {
		return fmt.Errorf("analyze %s in %s: %w", table, conn.Config().Database, err)
	}
	return nil
}

// WithoutStatistics lists the tables of users that hold something and have no statistics, the largest first.
// One that was analyzed and found empty needs none (reltuples is 0, and -1 before).
func WithoutStatistics(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	return withoutStatistics(ctx, conn, "rmp")
}

// TablesWithoutStatistics lists those of them that are not partitioned.
func TablesWithoutStatistics(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	return withoutStatistics(ctx, conn, "rm")
}

// ParentsWithoutStatistics lists those of them that are partitioned.
func ParentsWithoutStatistics(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	return withoutStatistics(ctx, conn, "p")
}

// withoutStatistics lists those of certain kinds, which are letters of pg_class.relkind.
func withoutStatistics(ctx context.Context, conn *pgx.Conn, kinds string) ([]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname)
		FROM pg_class c
		JOIN pg_namespace n ON n.oid = c.relnamespace
		CROSS JOIN LATERAL (
			SELECT CASE c.relkind
				WHEN 'p' THEN (SELECT coalesce(sum(pg_relation_size(p.relid)), 0) FROM pg_partition_tree(c.oid) p WHERE p.isleaf)
				ELSE pg_relation_size(c.oid)
			END AS bytes
		) size
		WHERE strpos($1, c.relkind::text) > 0 AND c.relpersistence <> 't' AND c.reltuples <> 0 AND size.bytes > 0
			AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'pgleap')
			AND EXISTS (
				SELECT FROM pg_attribute a
				WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attstattarget IS DISTINCT FROM 0
			)
			AND NOT EXISTS (SELECT FROM pg_statistic s WHERE s.starelid = c.oid AND s.stainherit = (c.relkind = 'p'))
		ORDER BY size.bytes DESC, c.oid`, kinds)
	if err != nil {
		return nil, fmt.Errorf("list tables without statistics: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list tables without statistics: %w", err)
	}
	return names, nil
}
