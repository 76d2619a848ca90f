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
	) AS lines
	ORDER BY kind COLLATE "C", name COLLATE "C", state COLLATE "C"`

// fingerprintFiles has the settings of the configuration files, whether they are in force or not: the
// target gets them. Not everybody may read them.
const fingerprintFiles = `
	SELECT 'file setting', format('%s in %s', coalesce(name, ''), coalesce(sourcefile, '')), md5(coalesce(setting, '')) FROM pg_file_settings
	ORDER BY 2, seqno`

// fingerprintDatabase does the same for a database, without temporary objects, TOAST tables (their
// names change when a table is rewritten), statistics and pgleap's own schema. Columns, indexes and triggers
// belong to their table: several rows with the same name are one thing.
const fingerprintDatabase = `
	WITH relations AS (
		SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind, c.relpersistence, c.relreplident,
			CASE c.relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence'
				WHEN 'f' THEN 'foreign table' WHEN 'c' THEN 'type' ELSE 'table' END AS kind
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_toast', 'pgleap')
	)
	SELECT kind, name, state FROM (
		SELECT kind, name, format('%s %s %s', relkind, relpersistence, relreplident) AS state FROM relations
		WHERE relkind NOT IN ('i', 'I')
		UNION ALL
		SELECT r.kind, r.name, format('%s %s %s %s %s %s', a.attnum, a.attname,
			format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull, a.attgenerated)
		FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
		WHERE a.attnum > 0 AND NOT a.attisdropped AND r.relkind NOT IN ('i', 'I')
		UNION ALL
		SELECT r.kind, r.name, format('%s %s %s %s %s %s %s', x.name,
			i.indisunique, i.indisprimary, i.indimmediate, i.indisvalid, i.indisreplident, i.indkey)
		FROM relations r JOIN pg_index i ON i.indrelid = r.oid JOIN relations x ON x.oid = i.indexrelid
		UNION ALL
		SELECT r.kind, r.name, format('%s %s', t.tgname, t.tgenabled)
		FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid
		WHERE NOT t.tgisinternal
		UNION ALL
		SELECT 'event trigger', quote_ident(evtname), evtenabled::text FROM pg_event_trigger WHERE evtname !~ '^pgleap_'
		UNION ALL
		SELECT 'extension', quote_ident(extname), extversion FROM pg_extension
		UNION ALL
		SELECT 'function', format('%I.%I(%s)', n.nspname, p.proname, oidvectortypes(p.proargtypes)), coalesce(p.proconfig::text, '')
		FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE p.oid >= 16384 AND n.nspname <> 'pgleap'
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
	return upgrade.NewFingerprint(slices.Concat(target, parts, files, slices.Concat(ofDatabases...)))
}

func partsOfFiles(ctx context.Context, conn *pgx.Conn) ([]upgrade.Part, error) {
	var may bool
	if err := conn.QueryRow(ctx, `SELECT has_function_privilege('pg_show_all_file_settings()', 'EXECUTE')`).Scan(&may); err != nil {
		return nil, fmt.Errorf("take the fingerprint of the configuration files: %w", err)
	}
	if !may {
		return nil, nil
	}
	return readParts(ctx, conn, "", fingerprintFiles)
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
