package postgres

import (
	"context"
	"fmt"
	"maps"

	"github.com/jackc/pgx/v5"
)

// Shape is what must be alike on source and target: one line for each relation, column, constraint, index, view,
// rule, trigger, function, policy, domain, enum, event trigger, column default and privilege, with what tells it
// from another, and for each of the objects that shape_object.go reads. Large objects are content. Members of
// extensions are left out, since the target's extensions are updated; so are temporary objects and our own.
// Everything is said by name, never by oid, and in words that all versions share: MAINTAIN, which 17 added, is left
// out. Lines that end with a definition may differ where nothing does: see Definition and Reconciler.
type Shape map[string]Definition

// ofUsers begins the queries of a shape: the schemas that count in it, and what does not because an extension has
// made it. What is read by several queries must mean the same in each.
const ofUsers = `
	WITH schemas AS (
		SELECT oid, nspname FROM pg_namespace
		WHERE nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast', 'pgleap')
			AND nspname !~ '^pg_(toast_)?temp_'
	), members AS (
		SELECT classid, objid FROM pg_depend WHERE deptype = 'e'
	)`

const readShape = ofUsers + `, relations AS (
		SELECT c.oid, format('%I.%I', s.nspname, c.relname) AS name, c.relkind, c.relpersistence, c.relreplident, c.relispartition,
			c.relrowsecurity, c.relforcerowsecurity, c.relowner, c.relacl
		FROM pg_class c JOIN schemas s ON s.oid = c.relnamespace
		WHERE c.relpersistence <> 't'
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_class'::regclass AND m.objid = c.oid)
	), functions AS (
		SELECT p.oid, format('%I.%I(%s)', s.nspname, p.proname, oidvectortypes(p.proargtypes)) AS name, p.prosrc, p.proowner, p.proacl,
			p.prokind, p.prolang, p.provolatile, p.proparallel, p.proisstrict, p.prosecdef, p.proleakproof, p.procost, p.prorows, p.proconfig,
			p.proargnames, p.proargmodes, p.probin, p.prosupport
		FROM pg_proc p JOIN schemas s ON s.oid = p.pronamespace
		WHERE NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = 'pg_proc'::regclass AND i.objid = p.oid AND i.deptype = 'i')
			AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
	), defaults AS (
		SELECT format('%s of %I to come%s', CASE d.defaclobjtype WHEN 'r' THEN 'tables' WHEN 'S' THEN 'sequences' WHEN 'f' THEN 'functions'
				WHEN 'T' THEN 'types' WHEN 'n' THEN 'schemas' WHEN 'L' THEN 'large objects' END,
			pg_get_userbyid(d.defaclrole), ' in schema ' || quote_ident(n.nspname)) AS name, d.defaclacl
		FROM pg_default_acl d LEFT JOIN pg_namespace n ON n.oid = d.defaclnamespace
	), granted AS (
		SELECT format('%s %s', CASE relkind WHEN 'S' THEN 'sequence' ELSE 'table' END, name) AS object,
			coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's'::"char" ELSE 'r' END, relowner)) AS acl
		FROM relations WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
		UNION ALL
		SELECT format('column %s.%I', r.name, a.attname), a.attacl
		FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
		WHERE a.attnum > 0 AND NOT a.attisdropped AND a.attacl IS NOT NULL
		UNION ALL
		SELECT format('function %s', name), coalesce(proacl, acldefault('f', proowner)) FROM functions
		UNION ALL
		SELECT format('schema %I', s.nspname), coalesce(n.nspacl, acldefault('n', n.nspowner))
		FROM schemas s JOIN pg_namespace n USING (oid)
		UNION ALL
		SELECT name, defaclacl FROM defaults
	)
	-- A sequence of an unlogged table is unlogged itself only since 15.
	SELECT format('relation %s (%s%s%s)', name, relkind, CASE WHEN relkind <> 'S' THEN relpersistence END, relreplident) FROM relations
	UNION ALL
	SELECT format('column %s.%I %s%s%s%s%s%s%s%s%s', r.name, a.attname, format_type(a.atttypid, a.atttypmod),
		-- 100 is the default of the database.
		CASE WHEN a.attcollation NOT IN (0, 100) THEN (
			SELECT format(' collate %I.%I', n.nspname, c.collname)
			FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
			WHERE c.oid = a.attcollation
		) END,
		CASE WHEN a.attnotnull THEN ' not null' END,
		-- Since 17 partitions have the identity columns of their parent, and pg_dump makes them so.
		CASE WHEN NOT r.relispartition THEN a.attidentity END, a.attgenerated,
		CASE WHEN a.attstorage <> t.typstorage THEN format(' storage %s', a.attstorage) END,
		' compression ' || nullif({14:a.attcompression|''}::text, ''),
		-- What nobody has set is NULL since 17.
		' statistics ' || nullif(a.attstattarget, -1),
		' with ' || array_to_string(a.attoptions, ', '))
	FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid JOIN pg_type t ON t.oid = a.atttypid
	WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind IN ('r', 'p', 'f', 'm', 'v', 'c')
	UNION ALL
	SELECT format('index %s: statistics %s of column %s', r.name, a.attstattarget, a.attnum)
	FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
	WHERE r.relkind IN ('i', 'I') AND a.attstattarget >= 0
	UNION ALL
	SELECT format('sequence %s as %s start %s by %s from %s to %s cache %s%s', r.name, format_type(q.seqtypid, NULL),
		q.seqstart, q.seqincrement, q.seqmin, q.seqmax, q.seqcache, CASE WHEN q.seqcycle THEN ' cycle' END)
	FROM relations r JOIN pg_sequence q ON q.seqrelid = r.oid
	UNION ALL
	-- The definitions of others have lines of their own, and those of these are their indexes. Not null is said of the column.
	SELECT format('constraint %I on %s (%s)%s%s', k.conname, r.name, k.contype,
		CASE WHEN k.condeferrable THEN ' deferrable' END, CASE WHEN k.condeferred THEN ' deferred' END)
	FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid
	WHERE k.contype NOT IN ('c', 'f', 'x', 'n')
	UNION ALL
	SELECT format('index %s: it is not valid', r.name)
	FROM relations r JOIN pg_index x ON x.indexrelid = r.oid
	WHERE r.relkind = 'i' AND NOT x.indisvalid
	UNION ALL
	SELECT format('inheritance of %s from %s', r.name, p.name)
	FROM pg_inherits i JOIN relations r ON r.oid = i.inhrelid JOIN relations p ON p.oid = i.inhparent
	WHERE r.relkind IN ('r', 'p', 'f')
	UNION ALL
	-- Those of an index are in its definition.
	SELECT format('%s %s: with %s', CASE r.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' ELSE 'table' END, r.name, option)
	FROM relations r JOIN pg_class c USING (oid) LEFT JOIN pg_class t ON t.oid = c.reltoastrelid CROSS JOIN LATERAL (
		SELECT unnest(c.reloptions)
		UNION ALL
		SELECT 'toast.' || unnest(t.reloptions)
	) AS options (option)
	WHERE r.relkind IN ('r', 'p', 'm', 'v') AND (c.reloptions IS NOT NULL OR t.reloptions IS NOT NULL)
	UNION ALL
	SELECT format('%s %s: using %I', CASE r.relkind WHEN 'm' THEN 'materialized view' ELSE 'table' END, r.name, m.amname)
	FROM relations r JOIN pg_class c USING (oid) JOIN pg_am m ON m.oid = c.relam
	WHERE r.relkind IN ('r', 'p', 'm') AND m.amname <> 'heap'
	UNION ALL
	SELECT format('rule %I on %s: enabled %s', w.rulename, r.name, w.ev_enabled)
	FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid
	WHERE w.rulename <> '_RETURN'
	UNION ALL
	-- Those of partitions come with the parent's; before 15 they were internal.
	SELECT format('trigger %I on %s: enabled %s', t.tgname, r.name, t.tgenabled)
	FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid
	WHERE NOT t.tgisinternal AND t.tgparentid = 0
	UNION ALL
	SELECT format('event trigger %I on %s%s executes %s, enabled %s', e.evtname, e.evtevent, ' ' || e.evttags::text, e.evtfoid::regprocedure, e.evtenabled)
	FROM pg_event_trigger e
	WHERE e.evtname !~ '^pgleap_'
		AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_event_trigger'::regclass AND m.objid = e.oid)
	UNION ALL
	SELECT format('function %s %s', name, md5(prosrc)) FROM functions
	UNION ALL
	SELECT format('function %s: returns %s language %s %s cost %s rows %s', f.name, pg_get_function_result(f.oid), l.lanname,
		concat_ws(' ', f.prokind, f.provolatile, f.proparallel, CASE WHEN f.proisstrict THEN 'strict' END,
			CASE WHEN f.prosecdef THEN 'security definer' END, CASE WHEN f.proleakproof THEN 'leakproof' END,
			'set ' || f.proconfig::text, 'arguments ' || f.proargnames::text, f.proargmodes, f.probin,
			CASE WHEN f.prosupport <> 0 THEN f.prosupport END),
		f.procost, f.prorows)
	FROM functions f JOIN pg_language l ON l.oid = f.prolang
	UNION ALL
	SELECT format('domain %I.%I: %s%s%s', s.nspname, t.typname, format_type(t.typbasetype, t.typtypmod),
		(SELECT format(' collate %I.%I', n.nspname, c.collname)
			FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
			WHERE c.oid = t.typcollation AND c.oid <> 100),
		CASE WHEN t.typnotnull THEN ' not null' END)
	FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace
	WHERE t.typtype = 'd'
		AND NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
	UNION ALL
	SELECT format('row security of %s%s', name, CASE WHEN relforcerowsecurity THEN ', forced' END)
	FROM relations WHERE relrowsecurity OR relforcerowsecurity
	UNION ALL
	SELECT format('policy %I on %s: %s %s to %s', p.polname, r.name,
		CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, p.polcmd,
		(SELECT string_agg(CASE role WHEN 0 THEN 'public' ELSE pg_get_userbyid(role)::text END, ',' ORDER BY pg_get_userbyid(role))
			FROM unnest(p.polroles) AS role))
	FROM relations r JOIN pg_policy p ON p.polrelid = r.oid
	UNION ALL
	SELECT format('enum %I.%I (%s)', s.nspname, t.typname, string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder))
	FROM pg_type t JOIN schemas s ON s.oid = t.typnamespace JOIN pg_enum e ON e.enumtypid = t.oid
	WHERE NOT EXISTS (SELECT FROM members m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
	GROUP BY s.nspname, t.typname
	UNION ALL
	SELECT format('privilege on %s: %s%s to %s by %I', g.object, x.privilege_type, CASE WHEN x.is_grantable THEN ' with grant option' END,
		CASE x.grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, pg_get_userbyid(x.grantor))
	FROM granted g CROSS JOIN aclexplode(g.acl) AS x
	WHERE x.privilege_type <> 'MAINTAIN'
	UNION ALL
	-- It counts that they are set, even if they grant nothing.
	SELECT format('default privileges on %s', name) FROM defaults`

// ReadShape reads the shape of a database.
func ReadShape(ctx context.Context, conn *pgx.Conn) (Shape, error) {
	rows, err := conn.Query(ctx, knownTo(conn, readShape))
	if err != nil {
		return nil, fmt.Errorf("read the shape of %s: %w", conn.Config().Database, err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read the shape of %s: %w", conn.Config().Database, err)
	}
	objects, err := readObjects(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("read the other objects of %s: %w", conn.Config().Database, err)
	}
	definitions, err := readDefinitions(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("read the definitions of %s: %w", conn.Config().Database, err)
	}
	shape := make(Shape, len(lines)+len(objects)+len(definitions))
	for _, line := range lines {
		shape[Plain(line)] = Definition{}
	}
	maps.Copy(shape, objects)
	for _, definition := range definitions {
		shape[definition.line()] = definition
	}
	return shape, nil
}

// Without returns the lines of s that other lacks, or has with something else that is not shown.
func (s Shape) Without(other Shape) []string {
	var missing []string
	for line, definition := range s {
		if same, found := other[line]; !found || same.Hidden != definition.Hidden {
			missing = append(missing, line)
		}
	}
	return missing
}

// readShapeMark sums up the row versions of the catalogs that a shape is read from. It is cheap, for clients wait
// for it, and changes with every change of the shape (and with some that are none, such as TRUNCATE). There are
// few temporary tables to leave out, and many others: asking for those takes half the time of a join with these. Of
// columns, most are the system's own (ctid, ...), which do not change.
const readShapeMark = `
	WITH temporary AS (
		SELECT oid FROM pg_class WHERE oid >= 16384 AND relpersistence = 't'
	)
	SELECT concat_ws(' ',
		(SELECT concat(count(*), '/', sum(c.xmin::text::bigint)) FROM pg_class c WHERE c.oid >= 16384 AND c.oid NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(a.xmin::text::bigint)) FROM pg_attribute a WHERE a.attrelid >= 16384 AND a.attnum > 0 AND a.attrelid NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(q.xmin::text::bigint)) FROM pg_sequence q WHERE q.seqrelid >= 16384 AND q.seqrelid NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(k.xmin::text::bigint)) FROM pg_constraint k WHERE k.conrelid >= 16384 AND k.conrelid NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(x.xmin::text::bigint)) FROM pg_index x WHERE x.indexrelid >= 16384 AND x.indexrelid NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(i.xmin::text::bigint)) FROM pg_inherits i WHERE i.inhrelid >= 16384 AND i.inhrelid NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(w.xmin::text::bigint)) FROM pg_rewrite w WHERE w.ev_class >= 16384 AND w.ev_class NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(t.xmin::text::bigint)) FROM pg_trigger t WHERE t.tgrelid >= 16384 AND t.tgrelid NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(d.xmin::text::bigint)) FROM pg_attrdef d WHERE d.adrelid >= 16384 AND d.adrelid NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(p.xmin::text::bigint)) FROM pg_policy p WHERE p.polrelid >= 16384 AND p.polrelid NOT IN (SELECT oid FROM temporary)),
		(SELECT concat(count(*), '/', sum(k.xmin::text::bigint)) FROM pg_constraint k WHERE k.contypid >= 16384),
		(SELECT concat(count(*), '/', sum(t.xmin::text::bigint)) FROM pg_type t WHERE t.typtype IN ('b', 'd', 'r') AND t.typcategory <> 'A' AND t.oid >= 16384),
		(SELECT concat(count(*), '/', sum(p.xmin::text::bigint)) FROM pg_proc p WHERE p.oid >= 16384),
		(SELECT concat(count(*), '/', sum(e.xmin::text::bigint)) FROM pg_enum e),
		(SELECT concat(count(*), '/', sum(e.xmin::text::bigint)) FROM pg_event_trigger e WHERE e.evtname !~ '^pgleap_'),
		-- A schema for temporary objects comes with the first session that needs it.
		(SELECT concat(count(*), '/', sum(n.xmin::text::bigint)) FROM pg_namespace n WHERE n.nspname !~ '^pg_(toast_)?temp_'),
		-- What else readObjects reads: in most databases there is nothing.
		(SELECT concat(count(*), '/', sum(x::text::bigint)) FROM (
			SELECT xmin FROM pg_am WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_amop WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_amproc WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_cast WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_collation WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_conversion WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_default_acl
			UNION ALL SELECT xmin FROM pg_foreign_data_wrapper
			UNION ALL SELECT xmin FROM pg_foreign_server
			UNION ALL SELECT xmin FROM pg_foreign_table
			UNION ALL SELECT xmin FROM pg_language WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_opclass WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_operator WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_opfamily WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_publication WHERE pubname !~ '^pgleap_'
			UNION ALL SELECT r.xmin FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname !~ '^pgleap_'
			{15:UNION ALL SELECT xmin FROM pg_publication_namespace|}
			UNION ALL SELECT xmin FROM pg_statistic_ext WHERE stxrelid NOT IN (SELECT oid FROM temporary)
			UNION ALL SELECT s.xmin FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = current_database() AND s.subname !~ '^pgleap_'
			UNION ALL SELECT xmin FROM pg_transform WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_ts_config WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_ts_config_map WHERE mapcfg >= 16384
			UNION ALL SELECT xmin FROM pg_ts_dict WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_ts_parser WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_ts_template WHERE oid >= 16384
			UNION ALL SELECT xmin FROM pg_user_mapping
		) AS objects (x)))`

// ReadShapeMark reads the mark of a database's shape: as long as it is the same the shape is too.
func ReadShapeMark(ctx context.Context, conn *pgx.Conn) (string, error) {
	var mark string
	if err := conn.QueryRow(ctx, knownTo(conn, readShapeMark)).Scan(&mark); err != nil {
		return "", fmt.Errorf("read the catalogs of %s: %w", conn.Config().Database, err)
	}
	return mark, nil
}

// readGlobals has a line for each role with its attributes and password's digest, each membership, each setting
// of a role or database, each database, tablespace and privilege on a database, tablespace or parameter: no event
// trigger fires for these (PostgreSQL docs, "Overview of Event Trigger Behavior"). Whether the roles of $1 may log
// in is left out.
const readGlobals = `
	SELECT format('role %I %s %s', rolname, concat_ws(',',
		CASE WHEN rolsuper THEN 'superuser' END, CASE WHEN NOT rolinherit THEN 'noinherit' END, CASE WHEN rolcreaterole THEN 'createrole' END,
		CASE WHEN rolcreatedb THEN 'createdb' END, CASE WHEN rolcanlogin AND NOT rolname = ANY ($1) THEN 'login' END,
		CASE WHEN rolreplication THEN 'replication' END, CASE WHEN rolbypassrls THEN 'bypassrls' END,
		'limit ' || rolconnlimit, rolvaliduntil), md5(rolpassword))
	FROM pg_authid
	WHERE rolname !~ '^pg_' AND rolname <> 'pgleap'
	UNION ALL
	-- Before 16 it is the member who inherits or not, and everybody may become who he is a member of.
	SELECT format('membership of %I in %I%s%s%s', m.rolname, g.rolname, CASE WHEN a.admin_option THEN ' with admin option' END,
		CASE WHEN NOT {16:a.inherit_option|m.rolinherit} THEN ' without inheritance' END, CASE WHEN NOT {16:a.set_option|true} THEN ' without set' END)
	FROM pg_auth_members a JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
	WHERE m.rolname !~ '^pg_'
	UNION ALL
	SELECT format('setting %s of database %s, role %s', setting, coalesce(d.datname, '*'), coalesce(r.rolname, '*'))
	FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting
	LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
	UNION ALL
	SELECT format('database %I of %I, limit %s%s', datname, pg_get_userbyid(datdba), datconnlimit, CASE WHEN datistemplate THEN ', template' END)
	FROM pg_database WHERE datallowconn
	UNION ALL
	SELECT format('tablespace %I%s', spcname, ' with ' || array_to_string(spcoptions, ', ')) FROM pg_tablespace
	UNION ALL
	SELECT format('privilege on %s: %s%s to %s by %I', g.object, x.privilege_type, CASE WHEN x.is_grantable THEN ' with grant option' END,
		CASE x.grantee WHEN 0 THEN 'public' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, pg_get_userbyid(x.grantor))
	FROM (
		SELECT format('database %I', datname), coalesce(datacl, acldefault('d', datdba)) FROM pg_database WHERE datallowconn
		UNION ALL
		SELECT format('tablespace %I', spcname), coalesce(spcacl, acldefault('t', spcowner)) FROM pg_tablespace
		{15:UNION ALL
		SELECT format('parameter %s', parname), paracl FROM pg_parameter_acl|}
	) AS g (object, acl) CROSS JOIN aclexplode(g.acl) AS x`

// readGlobalsMark sums up what readGlobals reads, but whether a role may log in: the fence changes that.
const readGlobalsMark = `
	SELECT concat_ws(' ',
		(SELECT md5(string_agg(concat_ws(' ', oid, rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolreplication,
			rolbypassrls, rolconnlimit, rolvaliduntil, rolpassword), ',' ORDER BY oid)) FROM pg_authid),
		(SELECT concat(count(*), '/', sum(m.xmin::text::bigint)) FROM pg_auth_members m),
		(SELECT concat(count(*), '/', sum(s.xmin::text::bigint)) FROM pg_db_role_setting s),
		(SELECT concat(count(*), '/', sum(d.xmin::text::bigint)) FROM pg_database d),
		(SELECT concat(count(*), '/', sum(t.xmin::text::bigint)) FROM pg_tablespace t){15:,
		(SELECT concat(count(*), '/', sum(p.xmin::text::bigint)) FROM pg_parameter_acl p)|})`

// ReadGlobalsMark reads the mark of the roles and databases: as long as it is the same, so are they.
func ReadGlobalsMark(ctx context.Context, conn *pgx.Conn) (string, error) {
	var mark string
	if err := conn.QueryRow(ctx, knownTo(conn, readGlobalsMark)).Scan(&mark); err != nil {
		return "", fmt.Errorf("read roles and databases: %w", err)
	}
	return mark, nil
}

// ReadGlobals reads what belongs to the cluster rather than to a database, as a Shape. Whether the
// barred roles may log in, which a fence keeps them from on one side, does not count.
func ReadGlobals(ctx context.Context, conn *pgx.Conn, barred []string) (Shape, error) {
	rows, err := conn.Query(ctx, knownTo(conn, readGlobals), append([]string{}, barred...))
	if err != nil {
		return nil, fmt.Errorf("read roles and databases: %w", err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("read roles and databases: %w", err)
	}
	shape := make(Shape, len(lines))
	for _, line := range lines {
		shape[line] = Definition{}
	}
	return shape, nil
}
