package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// publicSchema: 15 takes CREATE on public from PUBLIC in new databases only (release notes 15).
var publicSchema = Check{
	ID: "public-schema", Title: "Everybody may create objects in schema public",
	Severity: upgrade.Info, Modes: everyMode(), Scope: PerDatabase,
	Why: "In a database that is made by version 15 or later only its owner may create objects in schema public. An upgrade keeps the rights as they are, " +
		"so everybody still may, and could plant functions that others run (CVE-2018-1058).",
	Remedy: "Take the right away, now or after the upgrade, if no application needs it; give it to the roles that do.",
	Find: query(`
		SELECT NULL, NULL, 'REVOKE CREATE ON SCHEMA public FROM PUBLIC'
		FROM pg_namespace CROSS JOIN aclexplode(nspacl)
		WHERE nspname = 'public' AND grantee = 0 AND privilege_type = 'CREATE'`),
}
