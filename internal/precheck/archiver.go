package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

// archiver: a server that stops waits until the archiver has tried what is left
// (pgarch.c, pgarch_ArchiverCopyLoop), and WAL that is not archived is not removed.
var archiver = Check{
	ID: "archiver", Title: "The source's WAL archiver fails",
	Severity: upgrade.Warning, SeverityIn: map[upgrade.Mode]upgrade.Severity{upgrade.InPlace: upgrade.Blocker},
	Modes: withPgUpgrade(), Scope: PerCluster, Acceptable: true,
	Why: "The last attempt to archive failed. The WAL piles up on the source, which makes its clone larger; the archive ends before the upgrade begins, " +
		"so a restore of the old version gets no further than that; and the server, when it is stopped for an upgrade in place, tries once more first.",
	Remedy: "Mend archive_command or archive_library and see that pg_stat_archiver.last_archived_time moves, or turn archiving off.",
	Find: query(`
		SELECT 'archiver', format('%s failed at %s, %s attempts in all', last_failed_wal, last_failed_time, failed_count), NULL
		FROM pg_stat_archiver
		WHERE current_setting('archive_mode') <> 'off' AND last_failed_time > coalesce(last_archived_time, '-infinity')`),
}
