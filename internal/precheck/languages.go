package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// languages: pg_dump writes CREATE LANGUAGE with its handler only if it writes the handler, too, which it does
// not of what lies in pg_catalog (pg_dump.c, dumpProcLang). Without one the statement means an extension of
// that name.
var languages = Check{
	ID: "languages", Title: "The target cannot restore a procedural language",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase,
	Why:    "The language was made by hand upon a handler that belongs to an extension. pg_upgrade restores it without the handler, which fails; its check does not see that.",
	Remedy: "Drop the language, and make its functions anew in the extension's own; or give it a handler of your own in a schema of your own.",
	Find: query(`
		SELECT quote_ident(l.lanname), format('handler %s', l.lanplcallfoid::regproc), NULL
		FROM pg_language l JOIN pg_proc h ON h.oid = l.lanplcallfoid
		WHERE l.oid >= 16384 AND h.pronamespace = 'pg_catalog'::regnamespace
			AND NOT EXISTS (
				SELECT FROM pg_depend d
				WHERE d.classid = 'pg_language'::regclass AND d.objid = l.oid AND d.deptype = 'e'
			)
		ORDER BY 1`),
}
