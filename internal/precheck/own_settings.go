package precheck

import (
	"context"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// installRoleSettings are those that pg_upgrade's own sessions get and that pgleap's PGOPTIONS do not
// override (the timeouts of statements, locks and idle transactions, and read-only are overridden).
var installRoleSettings = Check{
	ID: "install-role-settings", Title: "Settings of the install role, or of all roles, would disturb pg_upgrade",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "pg_upgrade logs in as the cluster's first superuser, into every database, and so do pg_dump and pg_restore. " +
		"They get the settings of that role and of each database: one that makes them another role makes the upgrade fail, and a limit of a few seconds may end them half-way. " +
		"(Limits for statements, locks and idle transactions are overridden.)",
	Remedy: "Reset the setting for the time of the upgrade. A limit of minutes does no harm.",
	Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
		found, err := s.query(ctx, `
		SELECT concat_ws(', ', 'role ' || quote_ident(r.rolname), 'database ' || quote_ident(d.datname),
				CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'all roles' END),
			setting,
			CASE WHEN s.setrole = 0 AND s.setdatabase <> 0 THEN format('ALTER DATABASE %I RESET %I', d.datname, name)
				ELSE concat('ALTER ROLE ', coalesce(quote_ident(r.rolname), 'ALL'), ' IN DATABASE ' || quote_ident(d.datname), ' RESET ', quote_ident(name)) END
		FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting CROSS JOIN split_part(setting, '=', 1) AS name
		LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
		WHERE s.setrole IN (0, 10) AND (
			name IN ('role', 'session_authorization')
			OR name IN ('transaction_timeout', 'idle_session_timeout') AND substr(setting, strpos(setting, '=') + 1) !~ '^0[a-z]*$'
		)
		ORDER BY 1, 2`)
		for i, one := range found {
			if name, _, _ := strings.Cut(one.Note, "="); strings.HasSuffix(name, "_timeout") {
				found[i].Severity = upgrade.Warning
			}
		}
		return found, err
	},
}
