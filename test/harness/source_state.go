package harness

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// ofCluster are the things of a cluster that an upgrade could leave behind or change.
const ofCluster = `
	SELECT format('role %I: superuser %s, login %s, replication %s, limit %s, %s', rolname, rolsuper, rolcanlogin, rolreplication,
		rolconnlimit, md5(rolpassword)) AS line FROM pg_authid WHERE rolname !~ '^pg_'
	UNION ALL SELECT format('setting %s of %s and %s', setconfig, setdatabase, setrole) FROM pg_db_role_setting
	UNION ALL SELECT format('slot %I', slot_name) FROM pg_replication_slots WHERE NOT temporary
	UNION ALL SELECT format('replication origin %I', roname) FROM pg_replication_origin
	UNION ALL SELECT format('database %I: %s, %s, %s', datname, datallowconn, datconnlimit, datacl) FROM pg_database
	UNION ALL SELECT format('tablespace %I', spcname) FROM pg_tablespace
	UNION ALL SELECT format('wal sender of %s', usename) FROM pg_stat_replication
	UNION ALL SELECT format('prepared transaction %s', gid) FROM pg_prepared_xacts
	ORDER BY line`

// ofDatabase are those of a database.
const ofDatabase = `
	SELECT format('%s schema %I', current_database(), nspname) AS line FROM pg_namespace WHERE nspname !~ '^pg_(toast_)?temp'
	UNION ALL SELECT format('%s publication %I', current_database(), pubname) FROM pg_publication
	UNION ALL SELECT format('%s subscription %I', current_database(), subname)
		FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE datname = current_database()
	UNION ALL SELECT format('%s event trigger %I', current_database(), evtname) FROM pg_event_trigger
	UNION ALL SELECT format('%s relation %s: %s %s', current_database(), oid::regclass, relkind, relreplident) FROM pg_class WHERE oid >= 16384
	UNION ALL SELECT format('%s trigger %I on %s: %s', current_database(), tgname, tgrelid::regclass, tgenabled)
		FROM pg_trigger WHERE NOT tgisinternal
	UNION ALL SELECT format('%s function %s', current_database(), oid::regprocedure) FROM pg_proc WHERE oid >= 16384
	ORDER BY line`

// State describes all of a cluster that an upgrade must leave as it is, but for the data: roles,
// slots, definitions, the configuration, and what lies around the data directory.
func (c *Cluster) State(ctx context.Context) ([]string, error) {
	var lines []string
	for _, part := range []struct{ database, query string }{
		{"postgres", ofCluster}, {"postgres", ofDatabase}, {Bank, ofDatabase}, {Shop, ofDatabase},
	} {
		err := c.In(ctx, part.database, func(conn *pgx.Conn) error {
			rows, err := conn.Query(ctx, part.query)
			if err != nil {
				return err
			}
			found, err := pgx.CollectRows(rows, pgx.RowTo[string])
			lines = append(lines, found...)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("describe database %s: %w", part.database, err)
		}
	}
	for _, name := range []string{"postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"} {
		content, err := os.ReadFile(filepath.Join(c.Pgdata, name))
		if err != nil {
			return nil, err
		}
		for i, line := range strings.Split(string(content), "\n") {
			lines = append(lines, fmt.Sprintf("%s %d: %s", name, i+1, line))
		}
	}
	return append(lines, c.place.surroundings()...), nil
}

// surroundings lists what lies where the clusters and their sockets are.
func (w *Workplace) surroundings() []string {
	var found []string
	for _, pattern := range []string{"*", "*/*"} {
		paths, _ := filepath.Glob(filepath.Join(w.clusters(), pattern))
		found = append(found, paths...)
	}
	sockets, _ := os.ReadDir(w.sockets())
	for _, socket := range sockets {
		found = append(found, filepath.Join(w.sockets(), socket.Name()))
	}
	slices.Sort(found)
	return found
}
