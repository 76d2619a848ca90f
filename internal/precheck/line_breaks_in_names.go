package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// lineBreaksInNames: 19 makes no such names any more, since programs read lists by the line (pg_upgrade's check.c,
// check_old_cluster_global_names).
var lineBreaksInNames = Check{
	ID: "line-breaks-in-names", Title: "Names of databases, roles or tablespaces have line breaks in them",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster, Versions: Versions{Crossing: 19},
	Why:       "PostgreSQL 19 and later allow neither a newline nor a carriage return in these names.",
	Remedy:    "Rename them. A database must be without sessions to be renamed; a role with an md5 password loses it thereby.",
	PgUpgrade: []string{"db_role_tablespace_invalid_names.txt"},
	Find: query(`
		WITH named AS (
			SELECT datname AS name, 'database' AS kind FROM pg_database
			UNION ALL SELECT rolname, 'role' FROM pg_roles
			UNION ALL SELECT spcname, 'tablespace' FROM pg_tablespace
		)
		SELECT quote_ident(name), kind, format('ALTER %s %I RENAME TO %I', upper(kind), name, translate(name, E'\n\r', '__'))
		FROM named
		WHERE name ~ '[\n\r]'
		ORDER BY kind, name`),
}
