package precheck

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// maxAlloc is the most that a server puts into one message, or one line of COPY (memutils.h, MaxAllocSize).
const maxAlloc = 1<<30 - 1

// The tables that are looked into are those of a database with the most out of line, and of each so many blocks of its
// rows proper at most, spread over the table: a table of large values has few.
const (
	sampledTables = 10
	sampledBlocks = 300
	// compressed is how much smaller than its text a value can be: lz4 makes one byte of 255 at best, pglz three of 273,
	// and a byte of a bytea is two digits.
	compressed = 2 * 255
)

// largeValues: what is sent of a row is one message, in which each column stands as text (proto.c, logicalrep_write_tuple),
// and a bytea takes two digits for each byte. No row is read as a whole: the size of a value stands
// beside its address (varlena.c, byteaoctetlen).
func largeValues(limit int64) Check {
	return Check{
		ID: "large-values", Title: "Rows are too large to be replicated",
		Severity: upgrade.Warning, Modes: withReplication(), Scope: PerPublished, Acceptable: true,
		Why: "A row is sent as text in one message, of 1 GB at most; a bytea takes twice its size. " +
			"One that is longer can neither be replicated when it is inserted or updated, which stops the upgrade, nor be compared with the target's or dumped. " +
			"Only some blocks of those tables were looked into that have the most stored out of line: there may be others.",
		Remedy: "Divide such values into several rows, or see that nobody writes any during the upgrade, and accept the table by name; or upgrade in place or in blue-green mode, which copy files.",
		Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
			tables, err := tablesOutOfLine(ctx, s, limit/compressed)
			if err != nil {
				return nil, err
			}
			var found []Found
			for _, table := range tables {
				largest, err := table.largestRow(ctx, s)
				if err != nil {
					return nil, fmt.Errorf("look at rows of %s: %w", table.name, err)
				}
				if largest > limit {
					found = append(found, Found{Object: table.name, Note: "a row of " + bytes(largest) + " as text"})
				}
			}
			return found, nil
		},
	}
}

// outOfLine is a table that keeps values out of line.
type outOfLine struct {
	name    string
	columns []string // how long each is as text
}

// sizeOutOfLine is SQL for how large a TOAST table t is, at least. What VACUUM has counted, in relpages, is nothing where
// none has been yet, as after a load or an upgrade. The first of its files, of 1 GB at most, tells as well, and needs no
// lock; who may not look at files has the server do it, if need be.
func sizeOutOfLine(ctx context.Context, s Session) (size string, err error) {
	const counted = `t.relpages::int8 * current_setting('block_size')::int8`
	var may bool
	if err := s.Tx.QueryRow(ctx, `SELECT has_function_privilege('pg_stat_file(text, boolean)', 'EXECUTE')`).Scan(&may); err != nil {
		return "", err
	}
	if may {
		return `greatest(` + counted + `, (pg_stat_file(pg_relation_filepath(t.oid), true)).size)`, nil
	}
	return `CASE t.relpages WHEN 0 THEN pg_relation_size(t.oid) ELSE ` + counted + ` END`, nil
}

// tablesOutOfLine lists those with the most, at least so many bytes.
func tablesOutOfLine(ctx context.Context, s Session, least int64) ([]outOfLine, error) {
	size, err := sizeOutOfLine(ctx, s)
	if err != nil {
		return nil, err
	}
	rows, err := s.Tx.Query(ctx, `
		WITH largest AS (
			SELECT c.oid
			FROM pg_class c JOIN pg_class t ON t.oid = c.reltoastrelid CROSS JOIN LATERAL (SELECT `+size+` AS bytes) AS stored
			WHERE c.relkind = 'r' AND c.relpersistence = 'p' AND c.oid >= 16384
				AND c.relnamespace <> coalesce(to_regnamespace('pgleap')::oid, 0)
				AND stored.bytes >= $1
			ORDER BY stored.bytes DESC, c.oid
			LIMIT $2
		)
		SELECT format('%I.%I', n.nspname, c.relname),
			array_agg(
				CASE coalesce(nullif(y.typbasetype, 0), y.oid)
					WHEN 'bytea'::regtype THEN format('2 * octet_length(t.%I)::int8', a.attname)
					WHEN 'text'::regtype THEN format('octet_length(t.%I)::int8', a.attname)
					WHEN 'varchar'::regtype THEN format('octet_length(t.%I)::int8', a.attname)
					ELSE format('pg_column_size(t.%I)::int8', a.attname) -- as it is stored: compressed
				END ORDER BY a.attnum)
		FROM largest l JOIN pg_class c ON c.oid = l.oid JOIN pg_namespace n ON n.oid = c.relnamespace
		JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type y ON y.oid = a.atttypid
		WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attlen = -1 AND a.attstorage <> 'p' AND a.attgenerated = ''
		GROUP BY c.oid, n.nspname, c.relname
		ORDER BY 1`, least, sampledTables)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tables []outOfLine
	for rows.Next() {
		var table outOfLine
		if err := rows.Scan(&table.name, &table.columns); err != nil {
			return nil, err
		}
		tables = append(tables, table)
	}
	return tables, rows.Err()
}

// largestRow is how long the largest of the sampled rows is as text. The sample is the same at each look.
func (t outOfLine) largestRow(ctx context.Context, s Session) (int64, error) {
	var blocks int64
	err := s.Tx.QueryRow(ctx, `SELECT coalesce(pg_relation_size($1::regclass), 0) / current_setting('block_size')::int`, t.name).Scan(&blocks)
	if err != nil {
		return 0, err
	}
	percent := 100.0
	if blocks > sampledBlocks {
		percent = 100 * float64(sampledBlocks) / float64(blocks)
	}
	lengths := make([]string, len(t.columns))
	for i, column := range t.columns {
		lengths[i] = "coalesce(" + column + ", 0)"
	}
	var largest int64
	err = s.Tx.QueryRow(ctx, fmt.Sprintf(`SELECT coalesce(max(%s), 0) FROM ONLY %s AS t TABLESAMPLE SYSTEM (%g) REPEATABLE (1)`,
		strings.Join(lengths, " + "), t.name, percent)).Scan(&largest)
	return largest, err
}
