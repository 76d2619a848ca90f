package precheck

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// writers are libraries whose background workers write to tables by themselves.
func writers() []string {
	return []string{
		"bdr", "citus", "pg_cron", "pg_partman_bgw", "pg_squeeze", "pg_task", "pglogical", "powa", "timescaledb",
	}
}

// backgroundExtensions: a background worker is no client, so neither the pooler nor the fence stops it.
var backgroundExtensions = Check{
	ID: "background-extensions", Title: "Extensions write by themselves",
	Severity: upgrade.Warning, Modes: withClone(), Scope: PerCluster,
	Why: "The background workers of these extensions write without a client. On source and target at the same time " +
		"they would do their work twice, and what they write on the source after the fence cannot come over. " +
		"The source goes on running, fenced: what its schedulers write there collides with what comes from the target, and ends the way back.",
	Remedy: "Pause their jobs for the time of the upgrade (such as cron.job, or timescaledb.bgw_job_scheduling), schema changes of partition maintenance above all. " +
		"Whether they are paused pgleap does not see: the warning stays as long as the library is in shared_preload_libraries.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		var found []Found
		for _, library := range libraryNames(f.Settings.Text("shared_preload_libraries")) {
			if name := path.Base(library); slices.Contains(writers(), name) {
				found = append(found, Found{Object: name})
			}
		}
		return found, nil
	},
}

// libraryNames splits a list of libraries as SplitDirectoriesString does (varlena.c), without
// their directory $libdir and the ending.
func libraryNames(list string) []string {
	var names []string
	for name := range strings.SplitSeq(list, ",") {
		name = strings.Trim(strings.TrimSpace(name), `"`)
		name = strings.TrimSuffix(strings.TrimPrefix(name, "$libdir/"), ".so")
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}
