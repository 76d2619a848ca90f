package precheck

import (
	"context"
	"regexp"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// synchronousStandbys: "*" matches every walsender, logical ones too (syncrep.c,
// SyncRepGetStandbyPriority).
var synchronousStandbys = Check{
	ID: "synchronous-standbys", Title: "Commits on the source could wait for the upgrade",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why: "With this synchronous_standby_names the clone, or the target that follows the source, counts as a synchronous standby: " +
		"the applications' commits would wait for it.",
	Remedy: "Name the synchronous standbys one by one instead of *, and reload the configuration: SELECT pg_reload_conf().",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		names := f.Settings.Text("synchronous_standby_names")
		if matchesEveryStandby(names) {
			return []Found{{Object: "synchronous_standby_names = " + names}}, nil
		}
		return nil, nil
	},
}

var anyStandby = regexp.MustCompile(`(?i)(^|[(,\s])("?\*"?|"?pgleap[a-z0-9_]*"?)($|[),\s])`)

// matchesEveryStandby tells whether a list of synchronous standbys has "*" or one of pgleap's own.
func matchesEveryStandby(names string) bool { return anyStandby.MatchString(names) }
