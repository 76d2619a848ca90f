package precheck

import "github.com/pgleap/pgleap/internal/upgrade"

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
		SELECT concat(s.name, CASE WHEN shown THEN ' = ' || current_setting(s.name) END),
			coalesce(concat_ws(': ', f.place, CASE WHEN shown THEN f.setting END), 'its line is gone from the files'), NULL
		FROM pg_settings s LEFT JOIN last f ON f.name = lower(s.name)
			CROSS JOIN LATERAL (SELECT s.category <> 'Customized Options') AS c (shown) -- an extension's may be a secret
		WHERE s.context = 'postmaster' AND s.source <> 'command line' AND (s.pending_restart OR f.error = 'setting could not be applied')
		ORDER BY s.name`),
}
