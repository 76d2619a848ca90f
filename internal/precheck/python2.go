package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// python2: 15 has no PL/Python for Python 2 any more (release notes 15).
var python2 = Check{
	ID: "python2", Title: "Functions are written in Python 2",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase, Versions: Versions{Targets: 15},
	Why:    "From 15 on PostgreSQL has PL/Python for Python 3 only. The library of plpythonu and plpython2u is missing on the target.",
	Remedy: "Convert each function to Python 3 and make it anew in plpython3u, then drop the old language.",
	Find: query(`
		SELECT format('%I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)), format('language %I', l.lanname), NULL
		FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
		WHERE l.lanname IN ('plpythonu', 'plpython2u')
		UNION ALL
		SELECT quote_ident(l.lanname), 'language that no function uses',
			coalesce('DROP EXTENSION ' || quote_ident(e.extname), format('DROP LANGUAGE %I', l.lanname))
		FROM pg_language l
		LEFT JOIN pg_depend d ON d.classid = 'pg_language'::regclass AND d.objid = l.oid AND d.deptype = 'e'
		LEFT JOIN pg_extension e ON e.oid = d.refobjid
		WHERE l.lanname IN ('plpythonu', 'plpython2u') AND NOT EXISTS (SELECT FROM pg_proc p WHERE p.prolang = l.oid)
		ORDER BY 1`),
}
