package precheck

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// installUser: pg_upgrade works as the role that initdb made, whose oid is the same in each cluster (pg_authid.dat,
// BOOTSTRAP_SUPERUSERID; pg_upgrade's check.c, check_is_install_user).
var installUser = Check{
	ID: "install-user", Title: "pg_upgrade cannot work as the role that initdb made",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why:    "Only this role has the same oid in source and target, so pg_upgrade connects as it and as no other. It must be a superuser and be allowed to log in.",
	Remedy: "Let the role log in as a superuser. If the instance was registered with another superuser, register it with this one.",
	PgUpgrade: []string{
		"is not the install user", "could not determine the number of users",
	},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		return s.query(ctx, `
			SELECT quote_ident(rolname),
				CASE WHEN NOT rolsuper THEN 'is no superuser' WHEN NOT rolcanlogin THEN 'cannot log in'
					ELSE format('is the role that initdb made, not %I', $1::text) END,
				CASE WHEN NOT (rolsuper AND rolcanlogin) THEN format('ALTER ROLE %I SUPERUSER LOGIN', rolname) END
			FROM pg_roles
			WHERE oid = 10 AND (NOT rolsuper OR NOT rolcanlogin OR $1 NOT IN ('', rolname))`, f.Plan.Source.Superuser)
	},
}
