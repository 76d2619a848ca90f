package precheck

import (
	"github.com/pgleap/pgleap/internal/upgrade"
)

// pendingRestart: the target is made of the source's files, and starts with what they say.
var pendingRestart = Check{
	ID: "pending-restart", Title: "Values wait for a restart of the source, and take effect with the upgrade",
	Severity: upgrade.Warning, Modes: everyMode(), Scope: PerCluster,
	Why: "The target takes over what stands in the source's configuration files. The source has never run with these values: " +
		"whether memory, ports and clients are right for them shows when the target serves.",
	Remedy: "Restart the source at a quiet time, or take the value back.",
	Find: query(`
		WITH last AS (
			SELECT DISTINCT ON (lower(name)) lower(name) AS name, setting, error, format('%s, line %s', sourcefile, sourceline) AS place
			FROM pg_file_settings
			WHERE name IS NOT NULL
			ORDER BY lower(name), seqno DESC
		)
		SELECT concat(s.name, ' = ', current_setting(s.name)), coalesce(f.place || ': ' || f.setting, 'its line is gone from the files'), NULL
		FROM pg_settings s LEFT JOIN last f ON f.name = lower(s.name)
		WHERE s.context = 'postmaster' AND (s.pending_restart OR f.error = 'setting could not be applied')
		ORDER BY s.name`),
}
