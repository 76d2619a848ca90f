package precheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// sortedIndexes lists the indexes that depend on the order of collations, whose OIDs are $1: by their
// columns, by the bounds of their ranges, or in an expression or predicate (primnodes.h: inputcollid, opcollid,
// funccollid ...). Hash indexes do not sort, but by a nondeterministic collation they hash its sort keys (hashfunc.c,
// hashtext). Each comes with REINDEX.
const sortedIndexes = `
	SELECT format('%I.%I', n.nspname, c.relname) AS name, 'index of ' || t.oid::regclass AS note,
		` + reindex + ` AS mend
	FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	JOIN pg_class t ON t.oid = i.indrelid JOIN pg_am a ON a.oid = c.relam
	WHERE c.oid >= 16384 AND c.relkind = 'i' AND c.relpersistence <> 't'
		AND (a.amname <> 'hash' OR EXISTS (SELECT FROM pg_collation o WHERE o.oid = ANY (i.indcollation) AND NOT o.collisdeterministic))
		AND (
			EXISTS (SELECT FROM unnest(i.indcollation) AS u (used) WHERE used = ANY ($1::oid[]))
			OR EXISTS (
				SELECT FROM pg_attribute k JOIN pg_range r ON k.atttypid IN (r.rngtypid, (to_jsonb(r) ->> 'rngmultitypid')::oid)
				WHERE k.attrelid = c.oid AND r.rngcollation = ANY ($1::oid[])
			)
			OR concat(i.indexprs::text, i.indpred::text) ~ concat(':[a-z]*coll[a-z]* (', array_to_string($1::oid[], '|'), ')\M')
		)`

// sortedPartitions lists the tables that are partitioned by ranges of text, or in another way by a nondeterministic
// collation, whose rows may be in the wrong partition.
const sortedPartitions = `
	SELECT format('%I.%I', n.nspname, c.relname) AS name, 'rows may belong into other partitions' AS note, NULL AS mend
	FROM pg_partitioned_table p JOIN pg_class c ON c.oid = p.partrelid JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE EXISTS (
		SELECT FROM pg_collation o
		WHERE o.oid = ANY (p.partcollation) AND o.oid = ANY ($1::oid[]) AND (p.partstrat = 'r' OR NOT o.collisdeterministic)
	)`

// collationIndexes: what the versions of both sides' libraries mean for the contents.
var collationIndexes = Check{
	ID: "collation-indexes", Title: "Indexes are sorted by rules of which the target has another version",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why: "pg_upgrade takes indexes as they are. These are sorted by a collation whose rules changed between the libraries of source and target (collation-versions): " +
		"on the target they miss rows and admit duplicates until they have been rebuilt.",
	Remedy: "Run these statements on the target, after the upgrade and before anybody writes there; then ALTER DATABASE ... REFRESH COLLATION VERSION and ALTER COLLATION ... REFRESH VERSION. " +
		"bt_index_check (amcheck) tells which indexes are really wrong. With libraries of the same version on both sides nothing has to be done.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		all, err := f.compareCollations(ctx, s)
		if err != nil {
			return nil, err
		}
		var names []string
		for _, c := range all {
			if c.refusal == "" && c.source != "" && c.target != "" && c.source != c.target {
				names = append(names, c.name)
			}
		}
		if len(names) == 0 {
			return nil, nil
		}
		var oids []uint32
		err = s.Tx.QueryRow(ctx, `
			SELECT coalesce(array_agg(c.oid), '{}') FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
			WHERE format('%I.%I', n.nspname, c.collname) = ANY ($1) OR c.collprovider = 'd' AND '' = ANY ($1)`, names).Scan(&oids)
		if err != nil || len(oids) == 0 {
			return nil, err
		}
		return s.query(ctx, sortedIndexes+` UNION ALL `+sortedPartitions+` ORDER BY 1`, oids)
	},
}

// staleCollations: the version that was recorded when a collation was made is not the one that the
// source's library has now. Databases have one recorded since 15.
var staleCollations = Check{
	ID: "stale-collations", Title: "The source sorts by other rules than its collations were made with",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerDatabase,
	Why: "The C library or ICU of the source's host changed after these collations were made, as with an update of the operating system. " +
		"Indexes that were built before may be corrupt already: they miss rows and admit duplicates. The upgrade would take them along, and the mismatch with it.",
	Remedy: "Rebuild the indexes first, see that no unique one fails for duplicates and that no row is in the wrong partition, then record the version (REFRESH). In this order.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		stale, oids, err := recordedOtherwise(ctx, f, s)
		if err != nil || len(oids) == 0 {
			return nil, err
		}
		found, err := s.query(ctx, sortedIndexes+` UNION ALL `+sortedPartitions+` ORDER BY 1`, oids)
		if err != nil {
			return nil, err
		}
		// All of the statements must be seen, those that record the version above all.
		if len(found)+len(stale) > upgrade.MaxObjects/2 {
			found = summedUp(found, s)
		}
		return append(found, stale...), nil
	},
}

// summedUp has one statement for all indexes that can be rebuilt concurrently: REINDEX DATABASE passes over the others.
func summedUp(found []Found, s Session) []Found {
	single := slices.DeleteFunc(slices.Clone(found), func(one Found) bool { return strings.HasPrefix(one.SQL, "REINDEX INDEX CONCURRENTLY ") })
	all := Found{Note: fmt.Sprintf("%d indexes", len(found)-len(single)), SQL: "REINDEX DATABASE CONCURRENTLY " + s.Ident}
	return append([]Found{all}, single...)
}

// recordedOtherwise lists the database, if its own collation is stale, and its stale collations, with
// the OIDs of all of them.
func recordedOtherwise(ctx context.Context, f *Facts, s Session) (stale []Found, oids []uint32, err error) {
	const collations = `
		SELECT c.oid, format('%I.%I', n.nspname, c.collname), format('recorded %s, actual %s', c.collversion, pg_collation_actual_version(c.oid)),
			format('ALTER COLLATION %I.%I REFRESH VERSION', n.nspname, c.collname)
		FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
		WHERE c.collencoding IN (-1, (SELECT encoding FROM pg_database WHERE datname = current_database()))
			AND c.collversion <> pg_collation_actual_version(c.oid)
			AND (
				c.oid >= 16384
				OR c.oid IN (SELECT attcollation FROM pg_attribute WHERE attrelid >= 16384 AND NOT attisdropped)
				OR c.oid IN (SELECT unnest(indcollation) FROM pg_index WHERE indexrelid >= 16384)
			)`
	const database = `
		UNION ALL
		SELECT 100, '', format('recorded %s, actual %s', datcollversion, pg_database_collation_actual_version(oid)),
			format('ALTER DATABASE %I REFRESH COLLATION VERSION', datname)
		FROM pg_database
		WHERE datname = current_database() AND datcollversion <> pg_database_collation_actual_version(oid)`
	sql := collations
	if f.Version.Major() >= 15 {
		sql += database
	}
	rows, err := s.Tx.Query(ctx, sql+` ORDER BY 2`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var oid uint32
		var one Found
		if err := rows.Scan(&oid, &one.Object, &one.Note, &one.SQL); err != nil {
			return nil, nil, err
		}
		stale, oids = append(stale, one), append(oids, oid)
	}
	return stale, oids, rows.Err()
}

// textSearchProvider: 18 lets full-text search and pg_trgm fold case by the database's own provider,
// no longer by the C library (release notes 18, Migration).
var textSearchProvider = Check{
	ID: "text-search-provider", Title: "Full-text and trigram indexes are built by other rules from 18 on",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerDatabase, Versions: Versions{Crossing: 18},
	Why: "Up to 17 full-text search and pg_trgm divide and fold text by the C library, whatever the database's locale provider; from 18 on by the database's own provider. " +
		"This database's is not the C library: what these indexes hold may differ from what queries look for on the target, which then miss rows.",
	Remedy: "Run these statements on the target, after the upgrade and before its applications search. Columns that hold tsvector are computed anew by an UPDATE.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		if f.database(s.Database).Provider == "libc" {
			return nil, nil
		}
		return s.query(ctx, `
			SELECT DISTINCT format('%I.%I', n.nspname, c.relname), 'index of ' || i.indrelid::regclass,
				`+reindex+`
			FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			CROSS JOIN unnest(i.indclass) AS class JOIN pg_opclass o ON o.oid = class
			WHERE c.oid >= 16384 AND c.relkind = 'i' AND o.opcname IN ('gin_trgm_ops', 'gist_trgm_ops', 'tsvector_ops')
				AND c.relam IN (SELECT oid FROM pg_am WHERE amname IN ('gin', 'gist'))
			ORDER BY 1`)
	},
}

// database is one of the source's, by its name.
func (f *Facts) database(name string) postgres.Database {
	for _, d := range f.Databases {
		if d.Name == name {
			return d
		}
	}
	return postgres.Database{}
}
