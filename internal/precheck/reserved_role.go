package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// reservedRole: pgleap's own role is a superuser without members, and has a comment that says whose it is
// (postgres/role.go). A comment alone anybody can write who may create roles.
var reservedRole = Check{
	ID: "reserved-role", Title: "There is a role named " + upgrade.Role + " that is not pgleap's",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why:    "For the time of an upgrade pgleap makes a role of this name, with a password of its own, and drops it afterwards.",
	Remedy: "Rename the role. A role with an md5 password loses it thereby.",
	Find: query(`
		SELECT rolname, NULL, format('ALTER ROLE %I RENAME TO %I', rolname, rolname || '_of_ours')
		FROM pg_roles r
		WHERE rolname = 'pgleap' AND (
			NOT rolsuper OR coalesce(shobj_description(oid, 'pg_authid'), '') NOT LIKE 'pgleap:%'
			OR EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = r.oid))`),
}
