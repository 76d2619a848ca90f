package precheck

import (
	"context"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// backupAge is how old a backup may be: careful people take one a day.
const backupAge = 48 * time.Hour

// lastBackup goes by the history file that the end of a base backup leaves in pg_wal where WAL is archived, until the
// next one (xlog.c, do_pg_backup_stop and CleanupBackupHistory). It is written at the backup's end, by a primary only. That
// there is none proves nothing; that the last one is old means something where nobody else could be backed up.
var lastBackup = Check{
	ID: "last-backup", Title: "The source knows of no recent backup",
	Severity: upgrade.Info, SeverityIn: map[upgrade.Mode]upgrade.Severity{upgrade.InPlace: upgrade.Warning},
	Modes: withPgUpgrade(), Scope: PerCluster, Acceptable: true,
	Why: "An upgrade in place works on the only copy of the data: once clients have written to the target there is no way back to the source but a restore. " +
		"Where WAL is archived, a base backup of the primary leaves a history file in pg_wal, whatever took it (pg_basebackup, pgBackRest, Barman, WAL-G): that of the last one is looked at. " +
		"Backups of a standby, or of what was the primary before, snapshots of disks and dumps leave no trace in the source: then this is for your information only.",
	Remedy: "Take a backup before the upgrade, with the tool that you have or with pg_basebackup, and see that it can be restored. If there is one that the source does not know of, accept this by name.",
	Find: func(ctx context.Context, f *Facts, s Session) ([]Found, error) {
		found := Found{Object: "base backup", Severity: upgrade.Info}
		if mode := f.Settings.Text("archive_mode"); mode == "off" {
			if f.Plan.Mode != upgrade.InPlace {
				return nil, nil
			}
			found.Note = "WAL is not archived, so the source does not remember any"
			return []Found{found}, nil
		}
		ended, recent, err := lastBackupEnded(ctx, s)
		if err != nil || recent {
			return nil, err
		}
		if ended == nil {
			found.Note = "none is known"
			return []Found{found}, nil
		}
		found.Note = "the last one that is known ended at " + ended.UTC().Format("2006-01-02 15:04 UTC")
		streamed, err := isStreamed(ctx, s)
		if streamed {
			found.Note += "; later ones may be of a standby"
		} else {
			found.Severity = "" // the check's own
		}
		return []Found{found}, err
	},
}

// lastBackupEnded is when the last base backup ended that is known and not pgleap's, and whether that was of late.
func lastBackupEnded(ctx context.Context, s Session) (ended *time.Time, recent bool, err error) {
	err = s.Tx.QueryRow(ctx, `
		SELECT max(modification), coalesce(max(modification) >= now() - $1::interval, false)
		FROM pg_ls_waldir()
		WHERE CASE WHEN name ~ '^[0-9A-F]{24}\.[0-9A-F]{8}\.backup$' -- nothing else is to be read
			THEN pg_read_file('pg_wal/' || name, 0, 10000, true) !~ '\nLABEL: pgleap upgrade ' END`, backupAge).Scan(&ended, &recent)
	return ended, recent, err
}

// isStreamed tells whether somebody follows the source, or has a place kept for it, other than by logical replication.
func isStreamed(ctx context.Context, s Session) (streamed bool, err error) {
	err = s.Tx.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_type = 'physical' AND NOT temporary AND slot_name NOT LIKE 'pgleap%')
			OR EXISTS (
				SELECT FROM pg_stat_replication AS r
				WHERE application_name NOT LIKE 'pgleap%'
					AND NOT EXISTS (SELECT FROM pg_replication_slots AS l WHERE l.slot_type = 'logical' AND l.active_pid = r.pid)
			)`).Scan(&streamed)
	return streamed, err
}
