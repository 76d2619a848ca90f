package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// encodings: 19 has given MULE_INTERNAL up (pg_upgrade's check.c, "Checking for unsupported encodings").
var encodings = Check{
	ID: "encodings", Title: "The target does not have the encoding of a database",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster, Versions: Versions{Targets: 19},
	Why:       "PostgreSQL 19 has no databases in MULE_INTERNAL any more.",
	Remedy:    "Dump the database and restore it in another encoding, such as UTF8, or choose an earlier target version.",
	PgUpgrade: []string{"databases_unsupported_encoding.txt"},
	Find: query(`
		SELECT quote_ident(datname), pg_encoding_to_char(encoding), NULL
		FROM pg_database
		WHERE pg_encoding_to_char(encoding) = 'MULE_INTERNAL'
		ORDER BY datname`),
}
