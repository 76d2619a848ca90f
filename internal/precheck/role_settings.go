package precheck

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// roleSettings: pg_upgrade --check does not look at them; they fail when roles and databases are
// restored, with "unrecognized configuration parameter".
var roleSettings = Check{
	ID: "role-settings", Title: "Settings of roles and databases are unknown to the target",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerCluster,
	Why:    "Parameters are removed or lose values between major versions. A setting of a role or database that the target refuses makes pg_upgrade fail half-way.",
	Remedy: "Reset the setting. If the parameter has been renamed, set the new one on the target after the upgrade.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		settings, err := s.query(ctx, `
			SELECT
				concat_ws(', ', 'role ' || quote_ident(r.rolname), 'database ' || quote_ident(d.datname),
					CASE WHEN s.setrole = 0 AND s.setdatabase = 0 THEN 'all roles' END),
				setting,
				CASE WHEN s.setrole = 0 AND s.setdatabase <> 0 THEN format('ALTER DATABASE %I RESET %I', d.datname, split_part(setting, '=', 1))
					ELSE concat('ALTER ROLE ', coalesce(quote_ident(r.rolname), 'ALL'), ' IN DATABASE ' || quote_ident(d.datname),
						' RESET ', quote_ident(split_part(setting, '=', 1))) END
			FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS setting
			LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole
			WHERE coalesce(r.rolname, '') <> 'pgleap'
			ORDER BY 1, 2`)
		if err != nil {
			return nil, err
		}
		return f.refusedByTarget(ctx, s, settings)
	},
}

// functionSettings is the same for CREATE FUNCTION ... SET.
var functionSettings = Check{
	ID: "function-settings", Title: "Settings of functions are unknown to the target",
	Severity: upgrade.Blocker, Modes: everyMode(), Scope: PerDatabase,
	Why:    "Parameters are removed or lose values between major versions. A function with a setting that the target refuses makes pg_upgrade fail half-way.",
	Remedy: "Reset the setting of the function, after a look at what it was for.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		settings, err := s.query(ctx, `
			SELECT p.oid::regprocedure::text, setting,
				format('ALTER ROUTINE %s RESET %I', p.oid::regprocedure, split_part(setting, '=', 1))
			FROM pg_proc p CROSS JOIN unnest(p.proconfig) AS setting
			WHERE p.oid >= 16384
			ORDER BY 1, 2`)
		if err != nil {
			return nil, err
		}
		return f.refusedByTarget(ctx, s, settings)
	},
}

// refusedByTarget keeps the settings, "name=value" each, that the target does not take for a
// role: what the restore would try is tried on the scratch cluster, and rolled back.
func (f *Facts) refusedByTarget(ctx context.Context, s Session, settings []Found) ([]Found, error) {
	conn, err := f.Target()
	if err != nil {
		return nil, err
	}
	var refused []Found
	for _, setting := range settings {
		name, value, _ := strings.Cut(setting.Note, "=")
		if name == "role" || name == "session_authorization" {
			continue // the scratch cluster has no roles
		}
		reason, err := refusal(ctx, conn, name, value)
		if err != nil {
			return nil, err
		}
		if reason != "" {
			f.noteRefused(s, setting.Object, name, value, reason)
			setting.Note = name + ": " + f.withoutValue(name, reason)
			refused = append(refused, setting)
		}
	}
	return refused, nil
}

func refusal(ctx context.Context, target *pgx.Conn, name, value string) (string, error) {
	var statement string
	err := target.QueryRow(ctx, `SELECT format('ALTER ROLE %I SET %I TO %L', current_user, $1::text, $2::text)`, name, value).Scan(&statement)
	if err != nil {
		return "", fmt.Errorf("quote setting %s: %w", name, err)
	}
	return tryInTransaction(ctx, target, statement)
}
