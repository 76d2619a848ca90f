package precheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// removedColumns: pg_upgrade --check does not look into views; the restore of the database fails
// with "column does not exist".
var removedColumns = Check{
	ID: "removed-columns", Title: "Objects use columns of system views and catalogs that the target does not have",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase,
	Why: "Columns of system views and catalogs are renamed and removed between major versions. What refers to one cannot be made on the target: " +
		"the restore of its database stops there, during the downtime.",
	Remedy: "Keep its definition (pg_get_viewdef, pg_dump --schema-only), take it away before the upgrade, and make it on the target as the target wants it. " +
		"The SQL drops the object, a materialized view with its rows: keep the definition first. " +
		"What belongs to an extension goes when the extension is updated.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		removed, err := f.removedColumns(ctx, s)
		if err != nil || len(removed) == 0 {
			return nil, err
		}
		relations, columns := make([]uint32, len(removed)), make([]int16, len(removed))
		oids := make([]string, len(removed))
		for i, r := range removed {
			relations[i], columns[i], oids[i] = r.relation, r.number, fmt.Sprint(r.relation)
		}
		slices.Sort(oids)
		mention := strings.Join(slices.Compact(oids), "|")
		return s.nameUses(ctx, usesOfColumns(f.Version.Major(), mention), relations, columns)
	},
}

// usesOfColumns finds system views in pg_depend. The catalogs are pinned, so they are not there; but
// a query's node tree has the columns that it reads of each, as bits that begin with the lowest
// system column (parse_relation.c, markRTEForSelectPriv; sysattr.h, FirstLowInvalidHeapAttributeNumber).
func usesOfColumns(source upgrade.Major, relations string) string {
	return fmt.Sprintf(`
	WITH removed AS (
		SELECT r.relation, r.attnum, format('%%s.%%I', r.relation::regclass, a.attname) AS what
		FROM unnest($1::oid[], $2::int2[]) AS r (relation, attnum) JOIN pg_attribute a ON a.attrelid = r.relation AND a.attnum = r.attnum
	), trees AS (%s
	)
	SELECT d.classid::oid, d.objid, r.what
	FROM pg_depend d JOIN removed r ON d.refclassid = 'pg_class'::regclass AND d.refobjid = r.relation AND d.refobjsubid = r.attnum
	WHERE d.objid >= 16384
	UNION ALL
	SELECT t.classid::oid, t.objid, r.what
	FROM trees t CROSS JOIN regexp_matches(t.tree, ':relid (%s) [^{}]*?:selectedCols \(b([0-9 ]*)\)', 'g') AS m (found)
	JOIN removed r ON r.relation::text = m.found[1] AND (r.attnum + 7)::text = ANY (string_to_array(trim(m.found[2]), ' '))`, expressions(source), relations)
}

// systemColumn is a column of one of the server's own relations.
type systemColumn struct {
	relation uint32
	number   int16
	name     string // schema.relation.column
}

// removedColumns lists the columns of the source's system relations that the target does not have.
// They have the same numbers in each database, all of which are copies of what initdb made.
func (f *Facts) removedColumns(ctx context.Context, s Session) ([]systemColumn, error) {
	if f.lackedColumns != nil {
		return f.lackedColumns, nil
	}
	const list = `
		SELECT c.oid, a.attnum, concat_ws('.', n.nspname, c.relname, a.attname)
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid < 16384 AND c.relkind IN ('r', 'v') AND n.nspname IN ('pg_catalog', 'information_schema')
			AND a.attnum > 0 AND NOT a.attisdropped`
	rows, err := s.Tx.Query(ctx, list)
	if err != nil {
		return nil, err
	}
	columns, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c systemColumn, err error) {
		err = row.Scan(&c.relation, &c.number, &c.name)
		return c, err
	})
	if err != nil {
		return nil, err
	}
	gone, err := f.gone(ctx, "columns", list)
	if err != nil {
		return nil, err
	}
	f.lackedColumns = slices.DeleteFunc(columns, func(c systemColumn) bool { return !gone(c.name) })
	return f.lackedColumns, nil
}

// gone tells whether the target lacks what a query lists in its third column; without a scratch
// cluster, what is known to have been removed.
func (f *Facts) gone(ctx context.Context, kind, list string) (func(name string) bool, error) {
	if f.targetErr != nil {
		return func(name string) bool { return knownRemoved(f.Version, f.Plan.Target.Version, name) }, nil
	}
	if f.offered[kind] == nil {
		rows, err := f.target.Query(ctx, list)
		if err != nil {
			return nil, fmt.Errorf("list the target's %s: %w", kind, err)
		}
		names := map[string]bool{}
		var (
			first, second any
			name          string
		)
		if _, err := pgx.ForEachRow(rows, []any{&first, &second, &name}, func() error {
			names[name] = true
			return nil
		}); err != nil {
			return nil, fmt.Errorf("list the target's %s: %w", kind, err)
		}
		f.offered[kind] = names
	}
	return func(name string) bool { return !f.offered[kind][name] }, nil
}
