package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// WithIdentities begins a query on the tables that a publication FOR ALL TABLES publishes, with what
// there is to identify their rows when they are replicated between servers the newer of which is of the
// major version newest, in either direction. Its last part is called identities:
//
//	oid, nspname, relname
//	name       quoted, with its schema
//	identity   as pg_class.relreplident has it: d, n, f, i
//	identified whether the identity names a row as it stands
//	usable_key whether there is a primary key that can be the identity; a deferrable one cannot
//	           (relcache.c, RelationGetIndexList), nor one with a generated column: that is not published
//	candidate  a unique index that can be the identity, quoted
//	unequal    columns whose types have no equality, by which FULL cannot find a row
//	           (execReplication.c, tuples_equal; typcache.c, lookup_type_cache)
//	generated  generated columns. FULL is no identity if the primary key has one, which a subscriber asks
//	           for (relation.c, logicalrep_rel_mark_updatable), nor from 18 on if there is one at all: a
//	           publisher refuses updates and deletes (publicationcmds.c, pub_contains_invalid_column)
//	can_full   whether the table lacks an identity, and FULL would be one
//	mend       the statement that gives the table an identity, if there is one
func WithIdentities(newest int) string { return forMajor(newest, withIdentities) }

const withIdentities = `
	WITH RECURSIVE unequal_types AS (
		SELECT t.oid, t.typarray
		FROM pg_type t
		WHERE t.typtype = 'b'
			AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = t.oid)
			AND NOT EXISTS (
				SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod
				WHERE m.amname IN ('btree', 'hash') AND o.opcdefault
					AND (
						o.opcintype = t.oid
						OR EXISTS (
							SELECT FROM pg_cast c
							WHERE c.castsource = t.oid AND c.casttarget = o.opcintype
								AND c.castmethod = 'b' AND c.castcontext = 'i'
						)
					)
			)
		UNION
		SELECT * FROM (
			WITH known AS (SELECT oid, typarray FROM unequal_types)
			SELECT t.oid, t.typarray FROM known k JOIN pg_type t ON t.oid = k.typarray
			UNION ALL
			SELECT t.oid, t.typarray FROM known k JOIN pg_type t ON t.typbasetype = k.oid AND t.typtype = 'd'
			UNION ALL
			SELECT t.oid, t.typarray
			FROM known k JOIN pg_attribute a ON a.atttypid = k.oid AND a.attnum > 0 AND NOT a.attisdropped
			JOIN pg_type t ON t.typrelid = a.attrelid AND t.typtype = 'c'
		) AS grown
	), published AS (
		SELECT c.oid, n.nspname, c.relname, format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid >= 16384 AND c.relkind = 'r' AND c.relpersistence = 'p' AND n.nspname <> 'pgleap'
	), generated_keys AS (
		SELECT i.indexrelid
		FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey[0:i.indnkeyatts - 1])
		WHERE a.attgenerated <> ''
	), judged AS (
		SELECT p.*,
			EXISTS (
				SELECT FROM pg_index i
				WHERE i.indrelid = p.oid AND i.indisprimary AND i.indisvalid AND i.indimmediate
					AND i.indexrelid NOT IN (SELECT indexrelid FROM generated_keys)
			) AS usable_key,
			EXISTS (
				SELECT FROM pg_index i
				WHERE i.indrelid = p.oid AND i.indisprimary AND NOT i.indimmediate
			) AS deferrable_key,
			EXISTS (
				SELECT FROM pg_index i
				WHERE i.indrelid = p.oid AND i.indisreplident AND i.indisvalid AND i.indimmediate
					AND i.indexrelid NOT IN (SELECT indexrelid FROM generated_keys)
			) AS usable_index,
			EXISTS (
				SELECT FROM pg_index i
				WHERE i.indrelid = p.oid AND CASE p.identity WHEN 'i' THEN i.indisreplident ELSE i.indisprimary END
					AND i.indexrelid IN (SELECT indexrelid FROM generated_keys)
			) AS generated_key,
			NOT EXISTS (
				SELECT FROM pg_index i
				WHERE i.indrelid = p.oid AND i.indisprimary AND i.indexrelid IN (SELECT indexrelid FROM generated_keys)
			) AS plain_primary,
			(
				SELECT quote_ident(x.relname)
				FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
				WHERE i.indrelid = p.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
					AND i.indpred IS NULL AND i.indexprs IS NULL
					AND i.indexrelid NOT IN (SELECT indexrelid FROM generated_keys)
					AND NOT EXISTS (
						SELECT FROM unnest(i.indkey[0:i.indnkeyatts - 1]) AS k
						JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k
						WHERE NOT a.attnotnull
					)
				ORDER BY i.indnkeyatts, x.relname
				LIMIT 1
			) AS candidate,
			(
				SELECT string_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
				FROM pg_attribute a JOIN unequal_types u ON u.oid = a.atttypid
				WHERE a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
			) AS unequal,
			(
				SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)
				FROM pg_attribute a
				WHERE a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> ''
			) AS generated
		FROM published p
	), identities AS (
		SELECT k.*, NOT identified AND full_identifies AS can_full,
			CASE
				WHEN usable_key THEN 'ALTER TABLE ' || name || ' REPLICA IDENTITY DEFAULT'
				WHEN candidate IS NOT NULL THEN 'ALTER TABLE ' || name || ' REPLICA IDENTITY USING INDEX ' || candidate
				WHEN full_identifies AND identity <> 'f' THEN 'ALTER TABLE ' || name || ' REPLICA IDENTITY FULL'
			END AS mend
		FROM (
			SELECT j.*, unequal IS NULL AND {18:generated IS NULL|plain_primary} AS full_identifies,
				CASE j.identity
					WHEN 'd' THEN usable_key
					WHEN 'i' THEN usable_index
					WHEN 'f' THEN {18:generated IS NULL|plain_primary}
					ELSE false
				END AS identified
			FROM judged j
		) AS k
	)`

// FormerIdentity is a table with the replica identity that it had before it was given FULL.
type FormerIdentity struct {
	// OID finds the table where it was given FULL. 0: it is found by its name, in a copy of the cluster.
	OID      uint32 `json:"oid"`
	Schema   string `json:"schema"`
	Name     string `json:"name"`
	Identity string `json:"identity"`        // as pg_class.relreplident has it: d, n or i
	Index    string `json:"index,omitempty"` // with i, if the index was there
}

// String is the table's name, quoted.
func (f FormerIdentity) String() string { return quoteIdent(f.Schema, f.Name) }

// TablesWithoutIdentity lists the tables of a database whose updates would fail as soon as they are
// published, and to which FULL gives an identity between servers the newer of which is of the major version newest.
func TablesWithoutIdentity(ctx context.Context, conn *pgx.Conn, newest int) ([]FormerIdentity, error) {
	rows, err := conn.Query(ctx, WithIdentities(newest)+`
		SELECT t.oid, nspname, relname, identity::text, coalesce((
			SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
			WHERE i.indrelid = t.oid AND i.indisreplident AND identity = 'i'), '')
		FROM identities t
		WHERE can_full
		ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list tables without replica identity: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[FormerIdentity])
	if err != nil {
		return nil, fmt.Errorf("list tables without replica identity: %w", err)
	}
	return tables, nil
}
