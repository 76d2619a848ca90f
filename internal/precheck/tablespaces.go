package precheck

import (
	"context"
	"path/filepath"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// tablespaces: the target gets its own directory for each. One that lies in the data directory is
// copied twice by pg_basebackup. In-place ones have no location that could be mapped, and
// pg_upgrade refuses them before 19 (tablespace.c, get_tablespace_paths).
var tablespaces = Check{
	ID: "tablespaces", Title: "The source has tablespaces",
	Severity: upgrade.Info, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "On the same host the target's tablespaces cannot be where the source's are: they are put beside the target's data directory, on its file system. " +
		"Inside a data directory they confuse its backup and its removal, which rules an upgrade in place out; in-place tablespaces (allow_in_place_tablespaces), meant for tests, are refused.",
	Remedy:    "Make sure that the target's file system suits them. Move tables out of a tablespace inside the data directory (ALTER TABLE ... SET TABLESPACE) and drop it.",
	PgUpgrade: []string{`tablespace directory "`, `tablespace path "`, "same system catalog version"},
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		found, err := s.query(ctx, `
			SELECT quote_ident(spcname), location,
				CASE WHEN location LIKE '/%' AND (pg_stat_file(location, true)).isdir IS NOT TRUE THEN 'missing' END
			FROM pg_tablespace CROSS JOIN LATERAL pg_tablespace_location(oid) AS location
			WHERE spcname NOT IN ('pg_default', 'pg_global')
			ORDER BY spcname`)
		for i, location := range found {
			found[i].SQL = ""
			switch {
			case location.SQL == "missing":
				found[i].Note, found[i].Severity = location.Note+" is not a directory", upgrade.Blocker
			case !filepath.IsAbs(location.Note):
				found[i].Note, found[i].Severity = "in place", upgrade.Blocker
			case strings.HasPrefix(location.Note, f.Settings.Text("data_directory")+"/"):
				found[i].Severity = upgrade.Warning
				if f.Plan.Mode == upgrade.InPlace { // pg_upgrade leaves them where they are, and the source's directory is to be removed some day
					found[i].Severity = upgrade.Blocker
				}
			}
		}
		return found, err
	},
}
