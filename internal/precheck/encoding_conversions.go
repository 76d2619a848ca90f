package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// encodingConversions: their functions take another argument and return a number since 14
// (pg_upgrade's check.c, check_for_user_defined_encoding_conversions).
var encodingConversions = Check{
	ID: "encoding-conversions", Title: "There are encoding conversions of your own",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerDatabase, Versions: Versions{Crossing: 14},
	Why:       "The functions of a conversion have other parameters in PostgreSQL 14 and later: the target refuses the conversion.",
	Remedy:    "Drop it. If it is still needed, make it anew on the target, of a function for the new parameters.",
	PgUpgrade: []string{"encoding_conversions.txt"},
	Find: query(`
		SELECT format('%I.%I', n.nspname, c.conname),
			pg_encoding_to_char(c.conforencoding) || ' to ' || pg_encoding_to_char(c.contoencoding),
			format('DROP CONVERSION %I.%I', n.nspname, c.conname)
		FROM pg_conversion c JOIN pg_namespace n ON n.oid = c.connamespace
		WHERE c.oid >= 16384
		ORDER BY 1`),
}
