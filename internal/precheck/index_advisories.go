package precheck

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// indexAdvisory is what the release notes of a minor release ask to be rebuilt.
type indexAdvisory struct {
	fixed   map[upgrade.Major]int // the first minor release without the fault
	what    string
	applies func(index indexTraits) bool
}

// indexTraits are what advisories tell indexes by.
type indexTraits struct {
	Name      string
	Remedy    string
	Access    string
	Opclasses []string
	Types     []string // of the columns
	OddCtype  bool     // it sorts text by LC_COLLATE of a database whose LC_CTYPE is C
}

// opclassesOfBtreeGist are those of the extension.
var opclassesOfBtreeGist = regexp.MustCompile(`^gist_(?:int[248]|float[48]|numeric|cash|oid|bool|enum|uuid|timestamptz?|timetz?|date|interval|` +
	`text|bpchar|bytea|v?bit|inet|cidr|macaddr8?)_ops$`)

// indexAdvisories are those of which an index outlives the fault: release notes, "Migration to
// Version ..." of each minor release.
func indexAdvisories() []indexAdvisory {
	access := func(name string) func(indexTraits) bool {
		return func(i indexTraits) bool { return i.Access == name }
	}
	opclass := func(part string) func(indexTraits) bool {
		return func(i indexTraits) bool {
			return slices.ContainsFunc(i.Opclasses, func(name string) bool { return strings.Contains(name, part) })
		}
	}
	both := func(a, b func(indexTraits) bool) func(indexTraits) bool {
		return func(i indexTraits) bool { return a(i) && b(i) }
	}
	btreeGist := func(i indexTraits) bool { return slices.ContainsFunc(i.Opclasses, opclassesOfBtreeGist.MatchString) }
	interval := func(i indexTraits) bool { return slices.Contains(i.Types, "interval") }
	return []indexAdvisory{
		{map[upgrade.Major]int{13: 12, 14: 9, 15: 4}, "BRIN indexes may miss NULLs", access("brin")},
		{map[upgrade.Major]int{13: 13, 14: 10, 15: 5, 16: 1}, "GiST indexes may miss entries", access("gist")},
		{map[upgrade.Major]int{13: 13, 14: 10, 15: 5, 16: 1}, "B-tree indexes of intervals may be deduplicated wrongly", both(access("btree"), interval)},
		{map[upgrade.Major]int{13: 14, 14: 11, 15: 6, 16: 2}, "GIN indexes may be damaged by concurrent inserts", access("gin")},
		{map[upgrade.Major]int{13: 7, 14: 3}, "GiST indexes of ltree may miss rows", both(access("gist"), opclass("ltree"))},
		{map[upgrade.Major]int{14: 18, 15: 13, 16: 9, 17: 5}, "BRIN bloom indexes may miss rows", both(access("brin"), opclass("_bloom_ops"))},
		{map[upgrade.Major]int{14: 19, 15: 14, 16: 10, 17: 6}, "BRIN indexes with numeric_minmax_multi_ops may miss rows", opclass("numeric_minmax_multi_ops")},
		{map[upgrade.Major]int{14: 21, 15: 16, 16: 12, 17: 8, 18: 2}, "indexes of ltree may be wrong for letters beyond ASCII", opclass("ltree")},
		{map[upgrade.Major]int{17: 11, 18: 6}, "indexes of ltree may be wrong", opclass("ltree")},
		{map[upgrade.Major]int{17: 11, 18: 6}, "indexes of btree_gist may be wrong", btreeGist},
		{map[upgrade.Major]int{17: 1}, "indexes of text are sorted wrongly where LC_CTYPE is C and LC_COLLATE is not", func(i indexTraits) bool { return i.OddCtype }},
	}
}

// asks tells whether an advisory concerns an index of a server.
func (a indexAdvisory) asks(source upgrade.VersionNum, index indexTraits) bool {
	minor, known := a.fixed[source.Major()]
	return known && source < upgrade.VersionNum(source.Major())*10000+upgrade.VersionNum(minor) && a.applies(index)
}

// indexesToRebuild: a minor release mends the code, not the index that the faulty code wrote.
var indexesToRebuild = Check{
	ID: "index-advisories", Title: "Indexes may be damaged by faults of the source's minor release",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why: "Later minor releases of the source's version mend faults in how such indexes are written, and ask that they be rebuilt. " +
		"pg_upgrade takes the indexes along as they are, with the damage.",
	Remedy: "Best, install the latest minor release on the source, then run these statements there. If there is none, run them on the target after the upgrade. " +
		"Indexes that were never rebuilt since an older minor release may have faults that are not listed here.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		rows, err := s.Tx.Query(ctx, `
			SELECT format('%I.%I', n.nspname, c.relname) AS name,
				`+reindex+`,
				a.amname::text,
				(SELECT array_agg(o.opcname::text) FROM unnest(i.indclass) AS class JOIN pg_opclass o ON o.oid = class),
				(SELECT array_agg(format_type(t.atttypid, NULL)) FROM pg_attribute t WHERE t.attrelid = c.oid),
				d.odd AND 100 = ANY (i.indcollation)
			FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am a ON a.oid = c.relam
			CROSS JOIN LATERAL (
				SELECT datctype IN ('C', 'POSIX') AND datcollate NOT IN ('C', 'POSIX') AND coalesce(to_jsonb(pg_database) ->> 'datlocprovider', 'c') = 'c' AS odd
				FROM pg_database WHERE datname = current_database()
			) AS d
			WHERE c.oid >= 16384 AND c.relkind = 'i' AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_toast', 'pgleap')
				AND (
					a.amname <> 'btree' OR d.odd
					OR EXISTS (SELECT FROM pg_attribute t WHERE t.attrelid = c.oid AND t.atttypid = 'interval'::regtype)
					OR EXISTS (SELECT FROM unnest(i.indclass) AS class JOIN pg_opclass o ON o.oid = class WHERE o.opcname ~ 'ltree')
				)
			ORDER BY 1`)
		if err != nil {
			return nil, err
		}
		indexes, err := pgx.CollectRows(rows, pgx.RowToStructByPos[indexTraits])
		if err != nil {
			return nil, err
		}
		damaged, err := s.query(ctx, damagedCounts)
		if err != nil {
			return nil, err
		}
		found := append(advised(f.Version, indexes), damaged...)
		return append(found, builtConcurrently(f.Version)...), nil
	},
}

// builtConcurrently is what nobody can tell of an index: whether it was built so while the fault was there.
func builtConcurrently(source upgrade.VersionNum) (found []Found) {
	for _, fault := range []struct {
		fixed        map[upgrade.Major]int
		object, note string
	}{
		{toastFixed(), "pg_toast", "indexes of TOAST tables may be damaged if REINDEX CONCURRENTLY was run on them before %s: rebuild those with REINDEX TABLE of their tables"},
		{concurrentlyFixed(), "indexes built CONCURRENTLY", "those that were built before %s may lack rows that were changed meanwhile: rebuild them, or all with REINDEX DATABASE CONCURRENTLY; " +
			"bt_index_check(index, heapallindexed => true) of the extension amcheck tells of a B-tree"},
	} {
		major := source.Major()
		if fixed, known := fault.fixed[major]; known && source < upgrade.VersionNum(major)*10000+upgrade.VersionNum(fixed) {
			found = append(found, Found{Object: fault.object, Note: fmt.Sprintf(fault.note, fmt.Sprintf("%d.%d", major, fixed))})
		}
	}
	return found
}

// concurrentlyFixed has the first minor releases whose CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY miss no row
// (release notes 13.5, 14.1 and 14.4).
func concurrentlyFixed() map[upgrade.Major]int { return map[upgrade.Major]int{13: 5, 14: 4} }

// toastFixed has the first minor releases that rebuild the index of a TOAST table concurrently without harm.
func toastFixed() map[upgrade.Major]int { return map[upgrade.Major]int{13: 6, 14: 2} }

// damagedCounts finds what a parallel build of a GIN index before 18.6 could leave behind: a number of rows which is
// none, and which plans and autovacuum go by.
const damagedCounts = `
	SELECT format('%I.%I', n.nspname, c.relname), 'its number of rows, reltuples, is ' || c.reltuples, format('ANALYZE %I.%I', n.nspname, c.relname)
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't' AND c.reltuples IN ('NaN', 'Infinity')
	ORDER BY 1`

// advised keeps the indexes that an advisory of a later minor release is about.
func advised(source upgrade.VersionNum, indexes []indexTraits) []Found {
	var found []Found
	for _, index := range indexes {
		var notes []string
		for _, advisory := range indexAdvisories() {
			if advisory.asks(source, index) {
				notes = append(notes, fmt.Sprintf("%s before %d.%d", advisory.what, source.Major(), advisory.fixed[source.Major()]))
			}
		}
		if len(notes) > 0 {
			found = append(found, Found{Object: index.Name, Note: strings.Join(notes, "; "), SQL: index.Remedy})
		}
	}
	return found
}
