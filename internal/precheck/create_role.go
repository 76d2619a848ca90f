package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// createRole: up to 15 CREATEROLE is power over all roles but superusers; from 16 on over those whose ADMIN OPTION its
// bearer has, which he gets with the roles that he makes from then on (release notes 16, Migration; user.c).
var createRole = Check{
	ID: "create-role", Title: "Roles that manage others lose their power over those that are there",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerCluster, Versions: Versions{Crossing: 16}, Acceptable: true,
	Why: "Up to version 15 a role with CREATEROLE changes, drops and grants every role that is no superuser. From 16 on it takes the ADMIN OPTION of that role, " +
		"which nobody has got for making it before the upgrade. Programs that manage users, such as Vault or the scripts of a deployment, are refused then: " +
		"they can neither set a password, nor drop a user, nor grant one of your roles to a new user. " +
		"Besides, such a role gives CREATEDB, REPLICATION and BYPASSRLS to others only where it has them itself.",
	Remedy: "Find out which roles it manages and grants, and give it their option on the target, before its program works there: " +
		"GRANT ROLE TO MANAGER WITH ADMIN OPTION, INHERIT FALSE, SET FALSE. On the source, GRANT ROLE TO MANAGER WITH ADMIN OPTION does it too, and makes it a member. " +
		"Where CREATEROLE is not needed any more, take it away. Accept by name who manages nothing that is there.",
	Find: query(`
		SELECT quote_ident(manager.rolname), concat('without the option of ', lacked.names[1], ', ' || lacked.names[2], ', ' || lacked.names[3],
			' and ' || nullif(greatest(cardinality(lacked.names) - 3, 0), 0) || ' others'), NULL
		FROM pg_roles AS manager
		CROSS JOIN LATERAL (
			SELECT array_agg(quote_ident(r.rolname) ORDER BY r.rolname) AS names
			FROM pg_roles AS r
			WHERE NOT r.rolsuper AND r.oid >= 16384 AND r.oid <> manager.oid AND r.rolname <> 'pgleap'
				AND NOT pg_has_role(manager.oid, r.oid, 'MEMBER WITH ADMIN OPTION')
		) AS lacked
		WHERE manager.rolcreaterole AND NOT manager.rolsuper AND manager.oid >= 16384 AND lacked.names IS NOT NULL
		ORDER BY 1`),
}
