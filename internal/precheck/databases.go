package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// databases: pg_upgrade must be able to connect to all databases but template0
// (check.c, check_proper_datallowconn); nor can their contents be checked or replicated.
var databases = Check{
	ID: "databases", Title: "Databases do not allow connections",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "pg_upgrade copies the contents of every database, for which it connects to it. template0 alone must not allow connections.",
	Remedy: "Allow connections, or drop what is not needed. An invalid database is what an interrupted DROP DATABASE left behind: it can only be dropped.",
	PgUpgrade: []string{
		"databases_with_datallowconn_false.txt", "databases_cannot_connect_to.txt", "template0 must not allow connections",
	},
	Find: query(`
		SELECT quote_ident(datname),
			CASE WHEN datconnlimit = -2 THEN 'invalid'
				WHEN datallowconn THEN 'allows connections'
				ELSE 'does not allow connections' END,
			CASE WHEN datconnlimit = -2 THEN format('DROP DATABASE %I', datname)
				ELSE format('ALTER DATABASE %I ALLOW_CONNECTIONS %s', datname, CASE WHEN datallowconn THEN 'false' ELSE 'true' END) END
		FROM pg_database
		WHERE datconnlimit = -2 OR datallowconn = (datname = 'template0')
		ORDER BY datname`),
}
