package precheck

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
)

// fingerprintCluster has a line for each thing of the cluster that the checks depend on and that
// only a person changes. pgleap's own role is not among them.
const fingerprintCluster = `
	SELECT line FROM (
		SELECT 'version ' || current_setting('server_version_num') AS line
		UNION ALL
		SELECT 'setting ' || name || ' ' || coalesce(setting, '') FROM pg_settings
		WHERE name IN (
			'block_size', 'data_checksums', 'data_directory', 'idle_replication_slot_timeout', 'local_preload_libraries',
			'max_replication_slots', 'max_slot_wal_keep_size', 'max_wal_senders', 'port', 'session_preload_libraries',
			'shared_buffers', 'shared_preload_libraries', 'synchronous_standby_names', 'wal_level', 'wal_segment_size'
		)
		UNION ALL
		SELECT format('database %s %s %s %s %s %s %s', oid, datname, datallowconn, datconnlimit, encoding, datcollate, datctype)
		FROM pg_database
		UNION ALL
		SELECT format('role %s %s %s %s', rolname, rolsuper, rolcanlogin, rolreplication) FROM pg_roles
		WHERE rolname <> 'pgleap'
		UNION ALL
		SELECT format('setting of %s %s %s', s.setdatabase, s.setrole, s.setconfig) FROM pg_db_role_setting s
		UNION ALL
		SELECT format('tablespace %s %s', spcname, pg_tablespace_location(oid)) FROM pg_tablespace
		UNION ALL
		SELECT format('subscription %s %s', subdbid, subname) FROM pg_subscription
	) AS lines
	ORDER BY line COLLATE "C"`

// fingerprintFiles has the settings of the configuration files, whether they are in force or not: the
// target gets them. Not everybody may read them.
const fingerprintFiles = `
	SELECT format('file setting %s %s %s', sourcefile, name, md5(setting)) FROM pg_file_settings
	ORDER BY seqno`

// fingerprintDatabase does the same for a database, without temporary objects, TOAST tables (their
// names change when a table is rewritten), statistics and pgleap's own schema.
const fingerprintDatabase = `
	WITH relations AS (
		SELECT c.oid, format('%I.%I', n.nspname, c.relname) AS name, c.relkind, c.relpersistence, c.relreplident
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid >= 16384 AND c.relpersistence <> 't' AND n.nspname NOT IN ('pg_toast', 'pgleap')
	)
	SELECT line FROM (
		SELECT format('relation %s %s %s %s', name, relkind, relpersistence, relreplident) AS line FROM relations
		UNION ALL
		SELECT format('column %s %s %s %s %s %s %s', r.name, a.attnum, a.attname,
			format_type(a.atttypid, a.atttypmod), a.attcollation, a.attnotnull, a.attgenerated)
		FROM relations r JOIN pg_attribute a ON a.attrelid = r.oid
		WHERE a.attnum > 0 AND NOT a.attisdropped
		UNION ALL
		SELECT format('index %s %s %s %s %s %s', r.name, i.indisunique, i.indisprimary, i.indimmediate, i.indisvalid, i.indisreplident)
		FROM relations r JOIN pg_index i ON i.indexrelid = r.oid
		UNION ALL
		SELECT format('trigger %s %s %s', r.name, t.tgname, t.tgenabled)
		FROM relations r JOIN pg_trigger t ON t.tgrelid = r.oid
		WHERE NOT t.tgisinternal
		UNION ALL
		SELECT format('event trigger %s %s', evtname, evtenabled) FROM pg_event_trigger WHERE evtname !~ '^pgleap_'
		UNION ALL
		SELECT format('extension %s %s', extname, extversion) FROM pg_extension
		UNION ALL
		SELECT format('function %s.%s(%s) %s', pronamespace, proname, proargtypes, proconfig) FROM pg_proc
		WHERE oid >= 16384 AND pronamespace NOT IN (SELECT oid FROM pg_namespace WHERE nspname = 'pgleap')
		UNION ALL
		SELECT format('collation %s %s', collname, collversion) FROM pg_collation WHERE oid >= 16384
	) AS lines
	ORDER BY line COLLATE "C"`

// Fingerprint sums up what the checks saw: as long as it is the same, a report holds. Data, load,
// transactions and statistics leave it alone; a change of the schema, of roles, of settings or of
// the target's programs (which the caller tells) does not.
func Fingerprint(ctx context.Context, source postgres.Login, target ...string) (string, error) {
	sum := sha256.New()
	for _, word := range target {
		fmt.Fprintf(sum, "target %q\n", word)
	}
	conn, err := postgres.Connect(ctx, source)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it
	if err := addLines(ctx, sum, conn, fingerprintCluster); err != nil {
		return "", err
	}
	if err := addFiles(ctx, sum, conn); err != nil {
		return "", err
	}
	databases, err := postgres.Databases(ctx, conn)
	if err != nil {
		return "", err
	}
	for _, database := range databases {
		if !database.Connectable() {
			continue
		}
		if err := addDatabase(ctx, sum, source.In(database.Name)); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

func addFiles(ctx context.Context, sum hash.Hash, conn *pgx.Conn) error {
	var may bool
	if err := conn.QueryRow(ctx, `SELECT has_function_privilege('pg_show_all_file_settings()', 'EXECUTE')`).Scan(&may); err != nil {
		return fmt.Errorf("take the fingerprint of the configuration files: %w", err)
	}
	if !may {
		return nil
	}
	return addLines(ctx, sum, conn, fingerprintFiles)
}

func addDatabase(ctx context.Context, sum hash.Hash, login postgres.Login) error {
	conn, err := postgres.Connect(ctx, login)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing depends on it
	fmt.Fprintf(sum, "in database %q\n", login.Database)
	return addLines(ctx, sum, conn, fingerprintDatabase)
}

// addLines streams the lines into the sum: a schema may have a million of them.
func addLines(ctx context.Context, sum hash.Hash, conn *pgx.Conn, query string) error {
	rows, err := conn.Query(ctx, query)
	if err != nil {
		return fmt.Errorf("take the fingerprint of %s: %w", conn.Config().Database, err)
	}
	var line string
	_, err = pgx.ForEachRow(rows, []any{&line}, func() error {
		fmt.Fprintln(sum, line)
		return nil
	})
	if err != nil {
		return fmt.Errorf("take the fingerprint of %s: %w", conn.Config().Database, err)
	}
	return nil
}
