package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// OpenFiles are how many files a process of a server may have open: its soft limit.
type OpenFiles struct {
	Source int64 // of the source's postmaster
	Target int64 // of a server that is started as the target will be
}

// openFiles: who starts a server hands its limits down. A server asks at its start how many files it can open, and
// makes do with fewer than max_files_per_process (fd.c, set_max_safe_fds); then it closes and opens them all the time.
var openFiles = Check{
	ID: "open-files", Title: "The target may open fewer files than the source",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "The target is started by pgleap's agent, whose limit of open files it gets. With fewer than max_files_per_process a server closes and opens its tables' files all the time, " +
		"and what an extension opens beside them fails.",
	Remedy: "Raise the limit of the agent to the source's, as with LimitNOFILE in a drop-in of its unit (systemctl edit pgleap) or ulimit -n where it is started by hand, and start the agent anew.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		if f.Plan.Target.Manager == upgrade.ManagerSystemd {
			return nil, nil // its unit starts it, and has limits of its own
		}
		limit, err := f.Host.OpenFiles.Get()
		if err != nil {
			return nil, fmt.Errorf("look at the limits of open files: %w", err)
		}
		wanted, err := f.Settings.Int("max_files_per_process")
		if err != nil {
			return nil, err
		}
		if limit.Target >= min(limit.Source, wanted) {
			return nil, nil
		}
		return []Found{{
			Object: "limit of open files",
			Note:   fmt.Sprintf("%d for the target, %d for the source, whose max_files_per_process is %d", limit.Target, limit.Source, wanted),
		}}, nil
	},
}
