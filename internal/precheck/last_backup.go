package precheck

import (
	"context"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// backupAge is how old a backup may be: careful people take one a day.
const backupAge = 48 * time.Hour

// lastBackup goes by the history file that the end of a base backup leaves in pg_wal where WAL is archived, until the
// next one (xlog.c, do_pg_backup_stop and CleanupBackupHistory). It is written at the backup's end.
var lastBackup = Check{
	ID: "last-backup", Title: "The source knows of no recent backup",
	Severity: upgrade.Info, SeverityIn: map[upgrade.Mode]upgrade.Severity{upgrade.InPlace: upgrade.Warning},
	Modes: withPgUpgrade(), Scope: PerCluster, Acceptable: true,
	Why: "An upgrade in place works on the only copy of the data: once clients have written to the target there is no way back to the source but a restore. " +
		"Where WAL is archived, a base backup of the primary leaves a history file in pg_wal, whatever took it (pg_basebackup, pgBackRest, Barman, WAL-G): that of the last one is looked at. " +
		"Backups of a standby, snapshots of disks and dumps leave no trace in the source.",
	Remedy: "Take a backup before the upgrade, with the tool that you have or with pg_basebackup, and see that it can be restored. If there is one that the source does not know of, accept this by name.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		const object = "base backup"
		if mode := f.Settings.Text("archive_mode"); mode == "off" {
			if f.Plan.Mode != upgrade.InPlace {
				return nil, nil
			}
			return []Found{{Object: object, Note: "WAL is not archived, so the source does not remember any", Severity: upgrade.Info}}, nil
		}
		return s.query(ctx, `
			WITH last AS (
				SELECT max(modification) AS ended
				FROM pg_ls_waldir()
				WHERE CASE WHEN name ~ '^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$' -- nothing else is to be read
					THEN pg_read_file('pg_wal/' || name, 0, 10000, true) !~ '\nLABEL: pgleap upgrade ' END
			)
			SELECT $1::text, CASE
				WHEN ended IS NULL THEN 'none is known'
				ELSE format('the last one that is known ended at %s', to_char(ended AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')) END, NULL
			FROM last
			WHERE ended IS NULL OR ended < now() - $2::interval`, object, backupAge)
	},
}
