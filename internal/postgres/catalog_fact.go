package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CatalogFact is something that the catalogs say of an object of a database, by name.
type CatalogFact struct {
	Kind     string // "table", "sequence", ...: what pg_identify_object calls it
	Object   string
	Property string
	Value    string
}

// catalogFacts are what a Shape leaves out: owners, comments, security labels, the columns that own sequences,
// whether materialized views are populated, and the privileges of types, databases, languages and foreign servers.
// What belongs to extensions and to us is left out.
// Ownership by the bootstrap superuser is not in pg_shdepend (pinned objects, src/backend/catalog/pg_shdepend.c).
const catalogFacts = `
	WITH members AS (
		SELECT classid, objid
		FROM pg_depend
		-- A range type has a multirange type of its own since 14.
		WHERE deptype = 'e' OR deptype = 'i' AND classid IN ('pg_type'::regclass, 'pg_proc'::regclass)
	), owners AS (
		SELECT d.classid, d.objid, r.rolname AS owner
		FROM pg_shdepend d JOIN pg_roles r ON r.oid = d.refobjid
		WHERE d.refclassid = 'pg_authid'::regclass AND d.deptype = 'o' AND r.rolname <> 'pgleap'
			AND d.dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND d.classid <> 'pg_largeobject'::regclass
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = d.classid AND m.objid = d.objid)
	), comments AS (
		SELECT d.classoid, d.objoid, d.objsubid, d.description
		FROM pg_description d
		WHERE (d.objoid >= 16384 OR d.classoid = 'pg_namespace'::regclass AND d.objoid = 2200)
			AND d.classoid NOT IN ('pg_extension'::regclass, 'pg_largeobject'::regclass)
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = d.classoid AND m.objid = d.objoid)
	), labels AS (
		SELECT l.classoid, l.objoid, l.objsubid, l.provider, l.label
		FROM pg_seclabel l
		WHERE l.classoid <> 'pg_largeobject'::regclass
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = l.classoid AND m.objid = l.objoid)
	), identified AS (
		SELECT i.type, i.schema, i.name, i.identity, 'owner' AS property, owner::text AS value
		FROM owners CROSS JOIN LATERAL pg_identify_object(classid, objid, 0) AS i
		UNION ALL
		SELECT i.type, i.schema, i.name, i.identity, 'comment', description
		FROM comments CROSS JOIN LATERAL pg_identify_object(classoid, objoid, objsubid) AS i
		UNION ALL
		SELECT i.type, i.schema, i.name, i.identity, 'security label of ' || provider, label
		FROM labels CROSS JOIN LATERAL pg_identify_object(classoid, objoid, objsubid) AS i
	), named AS (
		SELECT c.oid, c.relkind, c.relispopulated, format('%I.%I', n.nspname, c.relname) AS name
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('S', 'm') AND c.relpersistence <> 't' AND n.nspname <> 'pgleap'
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
	), granted AS (
		SELECT 'type' AS kind, format('%I.%I', n.nspname, t.typname) AS object, coalesce(t.typacl, acldefault('T', t.typowner)) AS acl
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
		WHERE t.oid >= 16384 AND t.typcategory <> 'A' AND coalesce(c.relkind, 'c') = 'c' AND n.nspname <> 'pgleap'
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
		UNION ALL
		SELECT 'database', quote_ident(datname), coalesce(datacl, acldefault('d', datdba))
		FROM pg_database WHERE datname = current_database()
		UNION ALL
		SELECT 'language', quote_ident(lanname), coalesce(lanacl, acldefault('l', lanowner))
		FROM pg_language l
		WHERE oid >= 16384 AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_language'::regclass AND m.objid = l.oid)
		UNION ALL
		SELECT 'foreign-data wrapper', quote_ident(fdwname), coalesce(fdwacl, acldefault('F', fdwowner))
		FROM pg_foreign_data_wrapper w
		WHERE NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_foreign_data_wrapper'::regclass AND m.objid = w.oid)
		UNION ALL
		SELECT 'server', quote_ident(srvname), coalesce(srvacl, acldefault('S', srvowner))
		FROM pg_foreign_server
	), facts (kind, object, property, value) AS (
		-- A transform is for a type ON LANGUAGE of one until 16.
		SELECT type, replace(identity, ' on language ', ' language '), property, value
		FROM identified
		WHERE coalesce(schema, '') !~ '^"?pg_(toast_)?temp' AND '"pgleap"' <> ALL (ARRAY[coalesce(schema, ''), coalesce(name, '')])
		UNION ALL
		SELECT 'database', quote_ident(datname), 'owner', pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()
		UNION ALL
		SELECT 'database', quote_ident(datname), 'comment', shobj_description(oid, 'pg_database')
		FROM pg_database WHERE datname = current_database() AND shobj_description(oid, 'pg_database') IS NOT NULL
		UNION ALL
		SELECT 'database', quote_ident(d.datname), 'security label of ' || l.provider, l.label
		FROM pg_database d JOIN pg_shseclabel l ON l.classoid = 'pg_database'::regclass AND l.objoid = d.oid
		WHERE d.datname = current_database()
		UNION ALL
		SELECT 'sequence', s.name, 'owned by', (pg_identify_object(d.refclassid, d.refobjid, d.refobjsubid)).identity
		FROM named s JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid
		WHERE s.relkind = 'S' AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass AND d.refobjsubid > 0
		UNION ALL
		SELECT 'materialized view', name, 'is populated', relispopulated::text FROM named WHERE relkind = 'm'
		UNION ALL
		SELECT g.kind, g.object, format('privilege %s of %s by %I', x.privilege_type,
			CASE x.grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, pg_get_userbyid(x.grantor)),
			CASE WHEN x.is_grantable THEN 'with grant option' ELSE 'granted' END
		FROM granted g CROSS JOIN aclexplode(g.acl) AS x
		WHERE x.privilege_type <> 'MAINTAIN'
	)
	-- Whether format_type() quotes json is up to the version, even where all identifiers are quoted.
	SELECT kind, regexp_replace(object, '"([a-z_][a-z0-9_$]*)"', '\1', 'g') AS object, regexp_replace(property, '"([a-z_][a-z0-9_$]*)"', '\1', 'g') AS property, CASE property WHEN 'comment' THEN value ELSE regexp_replace(value, '"([a-z_][a-z0-9_$]*)"', '\1', 'g') END AS value
	FROM facts`

// largeObjectFacts are those of large objects, of which there may be millions.
const largeObjectFacts = `
	SELECT 'large object' AS kind, l.oid::text AS object, 'owner' AS property, pg_get_userbyid(l.lomowner)::text AS value
	FROM pg_largeobject_metadata l
	UNION ALL
	SELECT 'large object', l.oid::text, format('privilege %s of %s by %I', x.privilege_type,
		CASE x.grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, pg_get_userbyid(x.grantor)),
		CASE WHEN x.is_grantable THEN 'with grant option' ELSE 'granted' END
	FROM pg_largeobject_metadata l CROSS JOIN aclexplode(coalesce(l.lomacl, acldefault('L', l.lomowner))) AS x
	UNION ALL
	SELECT 'large object', d.objoid::text, 'comment', d.description
	FROM pg_description d
	WHERE d.classoid = 'pg_largeobject'::regclass
	UNION ALL
	SELECT 'large object', l.objoid::text, 'security label of ' || l.provider, l.label
	FROM pg_seclabel l
	WHERE l.classoid = 'pg_largeobject'::regclass`

// FactSet is a set of facts about the objects of a database.
type FactSet struct {
	name, query string
}

// FactSets are all sets of facts.
func FactSets() []FactSet {
	return []FactSet{{"owners, comments and privileges", catalogFacts}, {"large objects", largeObjectFacts}}
}

// Name says what the facts are about.
func (f FactSet) Name() string { return f.name }

// Sum is alike for two sets of facts that are alike, in whatever order.
func (f FactSet) Sum(ctx context.Context, conn *pgx.Conn) (string, error) {
	var sum string
	err := conn.QueryRow(ctx, `
		SELECT concat(count(*), '/', sum(hashtextextended(concat_ws(E'\x01', kind, object, property, value) COLLATE "C", 0)))
		FROM (`+f.query+`) AS fact`).Scan(&sum)
	if err != nil {
		return "", fmt.Errorf("sum up %s of %s: %w", f.name, conn.Config().Database, err)
	}
	return sum, nil
}

// Read reads all facts.
func (f FactSet) Read(ctx context.Context, conn *pgx.Conn) ([]CatalogFact, error) {
	rows, err := conn.Query(ctx, `
		SELECT coalesce(kind, ''), coalesce(object, ''), coalesce(property, ''), coalesce(value, '')
		FROM (`+f.query+`) AS fact`)
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", f.name, conn.Config().Database, err)
	}
	facts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[CatalogFact])
	if err != nil {
		return nil, fmt.Errorf("read %s of %s: %w", f.name, conn.Config().Database, err)
	}
	return facts, nil
}
