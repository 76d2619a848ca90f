package precheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// hugePages: with huge_pages = on a server does not start without them (sysv_shmem.c, CreateAnonymousSegment), and
// source and target want theirs at the same time. The configuration is tried without, on an empty cluster.
var hugePages = Check{
	ID: "huge-pages", Title: "There are not enough huge pages for source and target together",
	Severity: upgrade.Blocker, Modes: withClone(), Scope: PerCluster,
	Why: "With huge_pages = on a server takes its shared memory from huge pages or does not start. The target gets the source's configuration, and so does the clone, " +
		"and they run beside the source: there must be as many once more.",
	Remedy: "Have the kernel reserve more (vm.nr_hugepages), or let the source do without for the time of the upgrade: with huge_pages = try, which is the default, the target starts in any case. The SQL sets that; " +
		"the source itself takes it at its next restart, and need not be restarted for the target to get it.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		if wanted := strings.ToLower(f.inFiles("huge_pages")); !slices.Contains([]string{"on", "true", "yes", "1"}, wanted) {
			return nil, nil
		}
		size := int64(0) // the kernel's default
		if f.Version.Major() >= 14 {
			var err error
			if size, err = f.Settings.Bytes("huge_page_size"); err != nil {
				return nil, err
			}
		}
		buffers, err := f.Settings.Bytes("shared_buffers")
		if err != nil {
			return nil, err
		}
		free, err := f.Host.HugePages.Get()
		if err != nil {
			return nil, fmt.Errorf("look at the host's huge pages: %w", err)
		}
		if need := buffers + buffers/10; free[size] < need {
			return []Found{{
				Object: "huge_pages = on", Note: fmt.Sprintf("%s free in huge pages, about %s needed", bytes(free[size]), bytes(need)),
				SQL: "ALTER SYSTEM SET huge_pages = 'try'",
			}}, nil
		}
		return nil, nil
	},
}

// inFiles is a setting's value in the source's files, which is what the clone and the target get: it may wait for a
// restart of the source. Where nobody could read them it is the value that the source runs with.
func (f *Facts) inFiles(name string) string {
	if tree := f.Host.Configuration.Value.Tree; tree != nil {
		if setting, ok := tree.Get(name); ok {
			return setting.Value
		}
	}
	return f.Settings.Text(name)
}
