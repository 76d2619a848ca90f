package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// archiver: a server that stops waits until the archiver has tried what is left
// (pgarch.c, pgarch_ArchiverCopyLoop), and WAL that is not archived is not removed. One that works, but has more than
// backlog files before it, keeps the server from stopping for as long as it takes.
func archiver(backlog int) Check {
	return Check{
		ID: "archiver", Title: "The source's WAL archiver fails, or is far behind",
		Severity: upgrade.Warning, SeverityIn: map[upgrade.Mode]upgrade.Severity{upgrade.InPlace: upgrade.Blocker},
		Modes: withPgUpgrade(), Scope: PerCluster, Acceptable: true,
		Why: "Where the last attempt to archive failed, the WAL piles up on the source, which makes its clone larger; the archive ends before the upgrade begins, " +
			"so a restore of the old version gets no further than that; and the server, when it is stopped for an upgrade in place, tries once more first. " +
			"Where many files wait to be archived, it archives all of them before it is down, while nobody can work.",
		Remedy: "Mend archive_command or archive_library and see that pg_stat_archiver.last_archived_time moves, or turn archiving off. Let an archiver that is behind catch up.",
		Find: func(ctx context.Context, _ *Facts, s Session) ([]Found, error) {
			found, err := s.query(ctx, `
				SELECT 'archiver', format('%s failed at %s, %s attempts in all', last_failed_wal, last_failed_time, failed_count), NULL
				FROM pg_stat_archiver
				WHERE current_setting('archive_mode') <> 'off' AND last_failed_time > coalesce(last_archived_time, '-infinity')`)
			if err != nil {
				return nil, err
			}
			var waiting int
			err = s.Tx.QueryRow(ctx, `
				SELECT count(*)::int FROM pg_ls_archive_statusdir()
				WHERE current_setting('archive_mode') <> 'off' AND name LIKE '%.ready'`).Scan(&waiting)
			if waiting > backlog {
				found = append(found, Found{Object: "files to be archived", Note: fmt.Sprintf("%d wait", waiting), Severity: upgrade.Warning})
			}
			return found, err
		},
	}
}
