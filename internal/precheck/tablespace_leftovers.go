package precheck

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// tablespaceLeftovers: both versions share a tablespace's location, each with a directory of its own (relpath.h,
// TABLESPACE_VERSION_DIRECTORY; pg_upgrade's check.c, check_for_new_tablespace_dir).
var tablespaceLeftovers = Check{
	ID: "tablespace-leftovers", Title: "The target's directories in the tablespaces exist already",
	Severity: upgrade.Blocker, Modes: []upgrade.Mode{upgrade.InPlace}, Scope: PerCluster,
	Why:       "The target gets a directory of its own in each tablespace. One that is there belongs to another cluster, or is what an upgrade that failed has left.",
	Remedy:    "Make sure that no cluster uses the directory (SELECT oid FROM pg_tablespace there), and remove it.",
	PgUpgrade: []string{"new cluster tablespace directory already exists"},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		const outside = `pg_tablespace CROSS JOIN LATERAL pg_tablespace_location(oid) AS location WHERE location LIKE '/%'`
		spaces, err := s.query(ctx, `SELECT spcname::text, NULL, NULL FROM `+outside)
		if err != nil || len(spaces) == 0 {
			return nil, err
		}
		target, err := f.Target()
		if err != nil {
			return nil, err
		}
		var catalog int64
		if err := target.QueryRow(ctx, `SELECT catalog_version_no FROM pg_control_system()`).Scan(&catalog); err != nil {
			return nil, fmt.Errorf("ask the target for its catalog version: %w", err)
		}
		return s.query(ctx, `
			SELECT quote_ident(spcname), location || '/' || $1, NULL
			FROM `+outside+` AND (pg_stat_file(location || '/' || $1, true)).isdir IS NOT NULL
			ORDER BY spcname`, strings.Join([]string{"PG", fmt.Sprint(f.Plan.Target.Version.Major()), fmt.Sprint(catalog)}, "_"))
	},
}
