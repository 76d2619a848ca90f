package precheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// fingerprintCluster has a row for each thing of the cluster that the checks depend on and that
// only a person changes: what kind of thing it is, its name, and its state. pgleap's own role is not among them.
const fingerprintCluster = `
	SELECT kind, name, state FROM (
		SELECT 'source version' AS kind, '' AS name, current_setting('server_version') AS state
		UNION ALL
		SELECT 'setting', name, coalesce(current_setting(name, true), '') FROM pg_settings
		WHERE name IN (
			'block_size', 'data_checksums', 'data_directory', 'idle_replication_slot_timeout', 'local_preload_libraries',
			'max_connections', 'max_logical_replication_workers', 'max_prepared_transactions', 'max_replication_slots',
			'max_slot_wal_keep_size', 'max_wal_senders', 'max_worker_processes', 'port', 'session_preload_libraries',
			'shared_buffers', 'shared_preload_libraries', 'synchronous_standby_names', 'wal_level', 'wal_segment_size'
		)
		UNION ALL
		SELECT 'database', quote_ident(datname), format('%s %s %s %s %s %s', oid, datallowconn, datconnlimit, encoding, datcollate, datctype)
		FROM pg_database
		UNION ALL
		SELECT 'role', quote_ident(rolname), format('%s %s %s', rolsuper, rolcanlogin, rolreplication) FROM pg_roles
		WHERE rolname <> 'pgleap'
		UNION ALL
		SELECT 'role', quote_ident(rolname), 'createrole' FROM pg_roles
		WHERE rolcreaterole AND rolname <> 'pgleap'
		UNION ALL
		SELECT 'configuration', concat_ws(' in ',
				CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'of all roles' ELSE 'of role ' || quote_ident(r.rolname) END,
				CASE WHEN s.setrole = 0 THEN 'of ' ELSE '' END || 'database ' || quote_ident(d.datname)),
			s.setconfig::text
		FROM pg_db_role_setting s
		LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
		WHERE coalesce(r.rolname, '') <> 'pgleap'
		UNION ALL
		SELECT 'tablespace', quote_ident(spcname), pg_tablespace_location(oid) FROM pg_tablespace
		UNION ALL
		SELECT 'subscription', quote_ident(subname), subdbid::text FROM pg_subscription
		UNION ALL
		SELECT 'logical slot', quote_ident(slot_name), format('%s %s', database, plugin) FROM pg_replication_slots
		WHERE slot_type = 'logical' AND NOT temporary AND slot_name !~ '^pgleap_'
	) AS lines
	ORDER BY kind COLLATE "C", name COLLATE "C", state COLLATE "C"`

// fingerprintFiles has the settings of the configuration files, whether they are in force or not: the
// target gets them. Not everybody may read them.
const fingerprintFiles = `
	SELECT 'file setting', format('%s in %s', coalesce(name, ''), coalesce(sourcefile, '')), md5(coalesce(setting, '')) FROM pg_file_settings
	ORDER BY 2, seqno`

// fingerprintAccess has pg_hba.conf as a whole, without its comments and the lines for pgleap. Not everybody may read it.
const fingerprintAccess = `
	SELECT 'access', 'by pg_hba.conf', md5(coalesce(string_agg((to_jsonb(h) - 'line_number' - 'rule_number')::text, ',' ORDER BY line_number), ''))
	FROM pg_hba_file_rules h
	WHERE user_name IS DISTINCT FROM '{pgleap}'`

// fingerprintParameters has the privileges on parameters, which came with 15.
const fingerprintParameters = `
	SELECT 'privilege on parameter', quote_ident(parname), paracl::text FROM pg_parameter_acl
	ORDER BY parname COLLATE "C"`

// fingerprintDatabase does the same for a database, without temporary objects, TOAST tables (their
// names change when a table is rewritten), statistics and pgleap's own schema. Columns, indexes, triggers, rules,
// constraints, defaults and policies belong to their table: several rows with the same name are one thing. A plain
// partition, which has nothing but what it has from its parent, is left out: such are made and dropped every day.
const fingerprintDatabase = `
	WITH partitions AS (
		SELECT c.oid, i.inhparent
		FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid JOIN pg_class p ON p.oid = i.inhparent
		WHERE c.relispartition AND c.relkind = 'r' AND c.relpersistence = p.relpersistence AND c.relreplident = p.relreplident AND c.relreplident <> 'i'
			AND c.reloptions IS NULL AND c.relrowsecurity = p.relrowsecurity AND c.relforcerowsecurity = p.relforcerowsecurity
	), columns AS (
		SELECT a.attrelid, a.attname, format('%s %s %s %s %s %s', a.atttypid, a.atttypmod, a.attcollation, a.attnotnull, a.attgenerated, a.attoptions) AS state,
			regexp_replace(d.adbin::text, ':location -?[0-9]+', '', 'g') AS value -- where it stood in a statement is not inherited
		FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
		WHERE a.attnum > 0 AND NOT a.attisdropped
			AND (a.attrelid IN (SELECT oid FROM partitions) OR a.attrelid IN (SELECT inhparent FROM partitions))
	), special AS (
		SELECT p.oid
		FROM partitions p JOIN columns own ON own.attrelid = p.oid
			LEFT JOIN columns up ON up.attrelid = p.inhparent AND up.attname = own.attname
		WHERE own.state IS DISTINCT FROM up.state OR own.value IS DISTINCT FROM up.value
	), relations AS (
		SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind,
			format('%s %s %s %s %s %s', c.relkind, c.relpersistence, c.relreplident, c.reloptions, c.relrowsecurity, c.relforcerowsecurity) AS state,
			CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
				WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END AS kind,
			c.oid IN (SELECT oid FROM partitions) AND c.oid NOT IN (SELECT oid FROM special) AS plain
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_toast', 'pgleap')
	)
	SELECT kind, name, state FROM (
		SELECT kind, name, state FROM relations
		WHERE relkind NOT IN ('i', 'I') AND NOT plain
		UNION ALL
		SELECT r.kind, r.name, format('%s %s %s %s %s %s %s', a.attnum, a.attname,
			format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull, a.attgenerated, a.attoptions)
		FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
		WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind NOT IN ('i', 'I') AND NOT r.plain
		UNION ALL
		SELECT r.kind, r.name, format('default %s %s', d.adnum, md5(d.adbin::text))
		FROM relations r JOIN pg_attrdef d ON d.adrelid = r.oid
		WHERE NOT r.plain
		UNION ALL
		SELECT r.kind, r.name, format('%s %s %s %s %s %s %s %s', x.name,
			i.indisunique, i.indisprimary, i.indimmediate, i.indisvalid, i.indisreplident, i.indkey, md5(concat(i.indexprs, ' ', i.indpred)))
		FROM relations r JOIN pg_index i ON i.indrelid = r.oid JOIN relations x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indexrelid
		WHERE NOT (r.plain AND c.relispartition AND i.indisvalid)
		UNION ALL
		SELECT r.kind, r.name, format('%s %s', t.tgname, t.tgenabled)
		FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid
		WHERE NOT t.tgisinternal AND NOT (r.plain AND t.tgparentid <> 0)
		UNION ALL
		SELECT r.kind, r.name, format('rule %s %s %s', w.rulename, w.ev_enabled, md5(concat(w.ev_action, w.ev_qual)))
		FROM relations r JOIN pg_rewrite w ON w.ev_class = r.oid
		UNION ALL
		SELECT r.kind, r.name, format('constraint %s %s %s %s %s %s %s', k.conname, k.contype, k.convalidated, k.conkey, k.confrelid, k.confkey, md5(k.conbin::text))
		FROM relations r JOIN pg_constraint k ON k.conrelid = r.oid
		WHERE NOT (r.plain AND (k.conparentid <> 0 OR k.coninhcount > 0))
		UNION ALL
		SELECT r.kind, r.name, format('policy %s %s %s %s %s', p.polname, p.polcmd, p.polpermissive, p.polroles, md5(concat(p.polqual, ' ', p.polwithcheck)))
		FROM relations r JOIN pg_policy p ON p.polrelid = r.oid
		UNION ALL
		SELECT CASE t.typtype WHEN 'd' THEN 'domain' ELSE 'type' END, format('%I.%I', n.nspname, t.typname),
			format('%s %s %s %s %s', t.typtype, format_type(t.typbasetype, t.typtypmod), t.typnotnull, md5(t.typdefaultbin::text),
				(SELECT string_agg(k.conname || ' ' || md5(k.conbin::text), ',' ORDER BY k.conname) FROM pg_constraint k WHERE k.contypid = t.oid))
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
		WHERE t.oid >= 16384 AND t.typtype <> 'c' AND t.typelem = 0 AND n.nspname NOT IN ('pg_toast', 'pgleap')
		UNION ALL
		SELECT 'event trigger', quote_ident(evtname), format('%s %s %s', evtenabled, evtevent, evtfoid) FROM pg_event_trigger WHERE evtname !~ '^pgleap_'
		UNION ALL
		SELECT 'extension', quote_ident(extname), extversion FROM pg_extension
		UNION ALL
		SELECT 'language', quote_ident(lanname), format('%s %s', lanpltrusted, lanplcallfoid::regproc) FROM pg_language
		UNION ALL
		SELECT 'publication', quote_ident(p.pubname), concat(md5(to_jsonb(p)::text),
			(SELECT md5(string_agg(to_jsonb(r)::text, ',' ORDER BY r.prrelid)) FROM pg_publication_rel r WHERE r.prpubid = p.oid))
		FROM pg_publication p
		WHERE p.pubname !~ '^pgleap_'
		UNION ALL
		SELECT 'operator', o.oid::regoperator::text, o.oprcode::regprocedure::text FROM pg_operator o
		WHERE o.oid >= 16384
		UNION ALL
		SELECT 'cast', format('from %s to %s', castsource::regtype, casttarget::regtype), format('%s %s', castfunc::regprocedure, castcontext) FROM pg_cast
		WHERE oid >= 16384
		UNION ALL
		-- A body of parsed SQL is in a column that 13 does not have; prosrc is empty then.
		SELECT 'function', format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)),
			format('%s %s %s', p.proconfig, p.prolang, md5(concat(p.prosrc, ' ', p.probin, CASE WHEN p.prosrc = '' THEN to_jsonb(p) ->> 'prosqlbody' END, p.proargdefaults::text)))
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE p.oid >= 16384 AND n.nspname <> 'pgleap'
		UNION ALL
		SELECT 'function', format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)),
			format('aggregate %s', md5(concat_ws(' ', a.aggkind, a.aggnumdirectargs, a.aggtransfn::oid, a.aggfinalfn::oid, a.aggcombinefn::oid, a.aggserialfn::oid,
				a.aggdeserialfn::oid, a.aggmtransfn::oid, a.aggminvtransfn::oid, a.aggmfinalfn::oid, a.aggsortop, a.aggtranstype, a.aggmtranstype,
				quote_nullable(a.agginitval), quote_nullable(a.aggminitval))))
		FROM pg_aggregate a JOIN pg_proc p ON p.oid = a.aggfnoid JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE p.oid >= 16384 AND n.nspname <> 'pgleap'
		UNION ALL
		SELECT 'conversion', format('%I.%I', n.nspname, c.conname), format('%s %s %s %s', c.conforencoding, c.contoencoding, c.conproc::oid, c.condefault)
		FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace
		WHERE c.oid >= 16384
		UNION ALL
		SELECT 'operator class', format('%I.%I', n.nspname, c.opcname), md5((to_jsonb(c) - 'oid')::text)
		FROM pg_opclass c JOIN pg_namespace n ON n.oid = c.opcnamespace
		WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_opclass'::regclass AND objid = c.oid AND deptype = 'e')
		UNION ALL
		SELECT 'statistics', format('%I.%I', n.nspname, x.stxname), md5((to_jsonb(x) - 'oid')::text)
		FROM pg_statistic_ext x JOIN pg_namespace n ON n.oid = x.stxnamespace
		UNION ALL
		SELECT 'foreign-data wrapper', quote_ident(fdwname), md5((to_jsonb(w) - 'oid')::text) FROM pg_foreign_data_wrapper w
		UNION ALL
		SELECT 'foreign server', quote_ident(srvname), md5((to_jsonb(s) - 'oid')::text) FROM pg_foreign_server s
		UNION ALL
		SELECT 'text search dictionary', format('%I.%I', n.nspname, d.dictname), format('%s %s', d.dicttemplate, d.dictinitoption)
		FROM pg_ts_dict d JOIN pg_namespace n ON n.oid = d.dictnamespace
		WHERE d.oid >= 16384
		UNION ALL
		SELECT 'text search configuration', format('%I.%I', n.nspname, c.cfgname), concat_ws(' ', c.cfgparser,
			(SELECT string_agg(concat_ws(' ', m.maptokentype, m.mapseqno, m.mapdict), ',' ORDER BY m.maptokentype, m.mapseqno) FROM pg_ts_config_map m WHERE m.mapcfg = c.oid))
		FROM pg_ts_config c JOIN pg_namespace n ON n.oid = c.cfgnamespace
		WHERE c.oid >= 16384
		UNION ALL
		SELECT 'collation', format('%I.%I', n.nspname, c.collname), coalesce(c.collversion, '')
		FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
		WHERE c.oid >= 16384
	) AS lines
	ORDER BY kind COLLATE "C", name COLLATE "C", state COLLATE "C"`

// Fingerprint sums up what the checks saw: as long as it is the same, a report holds. Data, load,
// transactions and statistics leave it alone; a change of the schema, of roles, of settings or of
// the target's programs (which the caller tells) does not.
func Fingerprint(ctx context.Context, source postgres.Login, target ...upgrade.Part) (upgrade.Fingerprint, error) {
	source = source.With(sessionSettings())
	conn, err := postgres.Connect(ctx, source)
	if err != nil {
		return upgrade.Fingerprint{}, err
	}
	defer disconnect(ctx, conn)
	parts, err := readParts(ctx, conn, "", fingerprintCluster)
	if err != nil {
		return upgrade.Fingerprint{}, err
	}
	files, err := partsOfFiles(ctx, conn)
	if err != nil {
		return upgrade.Fingerprint{}, err
	}
	parameters, err := partsOfParameters(ctx, conn)
	if err != nil {
		return upgrade.Fingerprint{}, err
	}
	databases, err := postgres.Databases(ctx, conn)
	if err != nil {
		return upgrade.Fingerprint{}, err
	}
	ofDatabases := make([][]upgrade.Part, len(databases))
	err = inParallel(ctx, databases, func(ctx context.Context, i int, d postgres.Database) error {
		if !d.Connectable() {
			return nil
		}
		var err error
		ofDatabases[i], err = partsOf(ctx, source, d)
		return err
	})
	if err != nil {
		return upgrade.Fingerprint{}, err
	}
	looked := upgrade.Part{
		Kind: upgrade.PartLooked, Value: upgrade.HashPart(fingerprintCluster + fingerprintFiles + fingerprintAccess + fingerprintParameters + fingerprintDatabase),
	}
	return upgrade.NewFingerprint(slices.Concat([]upgrade.Part{looked}, target, parts, files, parameters, slices.Concat(ofDatabases...)))
}

func partsOfFiles(ctx context.Context, conn *pgx.Conn) ([]upgrade.Part, error) {
	var all []upgrade.Part
	for _, of := range []struct{ function, query string }{
		{"pg_show_all_file_settings()", fingerprintFiles},
		{"pg_hba_file_rules()", fingerprintAccess},
	} {
		var may bool
		if err := conn.QueryRow(ctx, `SELECT has_function_privilege($1, 'EXECUTE')`, of.function).Scan(&may); err != nil {
			return nil, fmt.Errorf("take the fingerprint of the configuration files: %w", err)
		}
		if !may {
			continue
		}
		parts, err := readParts(ctx, conn, "", of.query)
		if err != nil {
			return nil, err
		}
		all = append(all, parts...)
	}
	return all, nil
}

func partsOfParameters(ctx context.Context, conn *pgx.Conn) ([]upgrade.Part, error) {
	var since15 bool
	if err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int >= 150000`).Scan(&since15); err != nil {
		return nil, fmt.Errorf("take the fingerprint of privileges on parameters: %w", err)
	}
	if !since15 {
		return nil, nil
	}
	return readParts(ctx, conn, "", fingerprintParameters)
}

func partsOf(ctx context.Context, source postgres.Login, d postgres.Database) ([]upgrade.Part, error) {
	conn, err := postgres.Connect(ctx, source.In(d.Name))
	if err != nil {
		return nil, err
	}
	defer disconnect(ctx, conn)
	return readParts(ctx, conn, d.Ident, fingerprintDatabase)
}

// readParts makes one part of each thing, whose rows follow each other.
func readParts(ctx context.Context, conn *pgx.Conn, database, query string) ([]upgrade.Part, error) {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("take the fingerprint of %s: %w", conn.Config().Database, err)
	}
	var parts []upgrade.Part
	var kind, name, state string
	var states []string
	end := func() {
		if len(states) > 0 {
			last := &parts[len(parts)-1]
			last.Value = strings.Join(states, "\n")
			if !slices.Contains(upgrade.PlainParts(), last.Kind) {
				last.Value = upgrade.HashPart(last.Value)
			}
		}
		states = states[:0]
	}
	_, err = pgx.ForEachRow(rows, []any{&kind, &name, &state}, func() error {
		if n := len(parts); n == 0 || parts[n-1].Kind != kind || parts[n-1].Name != name {
			end()
			parts = append(parts, upgrade.Part{Kind: kind, Database: database, Name: name})
		}
		states = append(states, state)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("take the fingerprint of %s: %w", conn.Config().Database, err)
	}
	end()
	return parts, nil
}
