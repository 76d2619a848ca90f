package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ContentTable is a table with what is needed to look at its rows.
type ContentTable struct {
	OID      uint32
	Schema   string
	Name     string
	Unlogged bool
	// Filenode changes when the table is rewritten, as by TRUNCATE, which takes its rows from
	// snapshots that are older.
	Filenode uint32
	Blocks   int64 // without TOAST
	Bytes    int64 // with TOAST
	// Key are the columns of the primary key, or else of the replica identity; none if there is neither.
	Key []string
	// Extension is the one that the table belongs to, with its version.
	Extension string
	Columns   []ContentColumn
}

// ContentColumn is a column that holds a value in each row: dropped ones and virtual ones do not.
type ContentColumn struct {
	Name        string
	Type        uint32
	Declaration string // the type as SQL declares it
}

// Ident is the table's name as SQL wants it.
func (t ContentTable) Ident() string { return pgx.Identifier{t.Schema, t.Name}.Sanitize() }

const readContentTables = `
	SELECT c.oid, n.nspname, c.relname, c.relpersistence = 'u', c.relfilenode,
		{blocks}, {bytes},
		coalesce((
			SELECT array_agg(a.attname::text ORDER BY k.place)
			FROM unnest(i.indkey) WITH ORDINALITY AS k (attnum, place)
			JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
			WHERE k.place <= i.indnkeyatts), '{}'),
		coalesce((
			SELECT e.extname || ' ' || e.extversion
			FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
			WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'), '')
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN LATERAL (
		SELECT indkey, indnkeyatts
		FROM pg_index
		WHERE indrelid = c.oid AND indisvalid AND (indisprimary OR indisreplident)
		ORDER BY indisprimary DESC
		LIMIT 1
	) AS i ON true
	WHERE c.relkind = 'r' AND c.relpersistence <> 't'
		AND (n.nspname NOT IN ('pg_catalog', 'information_schema', 'pgleap') OR c.oid = 'pg_largeobject'::regclass)
	ORDER BY 7, 2, 3`

// attgenerated is 'v' since 18.
const readContentColumns = `
	SELECT a.attrelid, a.attname, a.atttypid, format_type(a.atttypid, a.atttypmod)
	FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
	WHERE c.relkind = 'r' AND (c.oid >= 16384 OR c.oid = 'pg_largeobject'::regclass)
		AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> 'v'
	ORDER BY a.attrelid, a.attnum`

// The size of a table is asked for under a lock; pg_class has a number from the last VACUUM or ANALYZE.
const (
	exactBlocks     = `coalesce(pg_relation_size(c.oid), 0) / current_setting('block_size')::int`
	exactBytes      = `coalesce(pg_table_size(c.oid), 0)`
	estimatedBlocks = `greatest(c.relpages, 0)::bigint`
	estimatedBytes  = `(greatest(c.relpages, 0)
		+ coalesce((SELECT greatest(relpages, 0) FROM pg_class WHERE oid = c.reltoastrelid), 0)) * current_setting('block_size')::bigint`
)

// ReadContentTables lists the tables of a database with their columns, and the large objects' own
// table, the smallest first. Their sizes are exact, for which a table that a client has locked is
// waited for, or estimates.
func ReadContentTables(ctx context.Context, conn *pgx.Conn, exact bool) ([]ContentTable, error) {
	sizes := strings.NewReplacer("{blocks}", estimatedBlocks, "{bytes}", estimatedBytes)
	if exact {
		sizes = strings.NewReplacer("{blocks}", exactBlocks, "{bytes}", exactBytes)
	}
	rows, err := conn.Query(ctx, sizes.Replace(readContentTables))
	if err != nil {
		return nil, fmt.Errorf("list the tables of %s: %w", conn.Config().Database, err)
	}
	tables, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (t ContentTable, err error) {
		return t, row.Scan(&t.OID, &t.Schema, &t.Name, &t.Unlogged, &t.Filenode, &t.Blocks, &t.Bytes, &t.Key, &t.Extension)
	})
	if err != nil {
		return nil, fmt.Errorf("list the tables of %s: %w", conn.Config().Database, err)
	}
	columns := map[uint32][]ContentColumn{}
	var table uint32
	var column ContentColumn
	rows, err = conn.Query(ctx, readContentColumns)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&table, &column.Name, &column.Type, &column.Declaration}, func() error {
			columns[table] = append(columns[table], column)
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("list the columns of %s: %w", conn.Config().Database, err)
	}
	for i := range tables {
		tables[i].Columns = columns[tables[i].OID]
		if tables[i].Schema == "pg_catalog" {
			tables[i].Key = []string{"loid", "pageno"} // catalogs have declared keys since 14
		}
	}
	return tables, nil
}
