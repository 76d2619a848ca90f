package precheck

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// hugePages: with huge_pages = on a server does not start without them (sysv_shmem.c, CreateAnonymousSegment). Where it
// is made of a clone the target wants its own beside the source's; in place it gets those that the source has by now, and may
// want more, since versions differ. The configuration is tried without, on an empty cluster.
var hugePages = Check{
	ID: "huge-pages", Title: "There are not enough huge pages for the target",
	Severity: upgrade.Blocker, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "With huge_pages = on a server takes its shared memory from huge pages or does not start. The target gets the source's configuration, and so does the clone, " +
		"and they run beside the source: there must be as many once more. In place the target has those that the source leaves; newer versions take more shared memory with the same settings, " +
		"and where exactly as many pages are reserved as the source needs, the target does not start in the outage.",
	Remedy: "Have the kernel reserve more (vm.nr_hugepages), or let the source do without for the time of the upgrade: with huge_pages = try, which is the default, the target starts in any case. The SQL sets that; " +
		"the source itself takes it at its next restart, and need not be restarted for the target to get it.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		if !InsistsOnHugePages(f.inFiles("huge_pages")) {
			return nil, nil
		}
		size := int64(0) // the kernel's default
		if f.Version.Major() >= 14 {
			var err error
			if size, err = f.Settings.Bytes("huge_page_size"); err != nil {
				return nil, err
			}
		}
		free, err := f.Host.HugePages.Get()
		if err != nil {
			return nil, fmt.Errorf("look at the host's huge pages: %w", err)
		}
		held, err := f.Host.HugePagesHeld.Get()
		if err != nil && f.Plan.Mode == upgrade.InPlace { // else a guess will do
			return nil, fmt.Errorf("look at the source's huge pages: %w", err)
		}
		need, err := f.hugePagesNeeded(held)
		if err != nil {
			return nil, err
		}
		left, note := free[size], bytes(free[size])+" free in huge pages"
		if f.Plan.Mode == upgrade.InPlace {
			left, note = left+held, fmt.Sprintf("%s, %s that the source has", note, bytes(held))
		}
		if left >= need {
			return nil, nil
		}
		return []Found{{
			Object: "huge_pages = on", Note: fmt.Sprintf("%s, about %s needed", note, bytes(need)), SQL: "ALTER SYSTEM SET huge_pages = 'try'",
		}}, nil
	},
}

// hugePagesNeeded is what the target wants, as its programs tell, or a guess where they do not; and what the clone wants,
// which is another server of the source's version.
func (f *Facts) hugePagesNeeded(held int64) (int64, error) {
	buffers, err := f.Settings.Bytes("shared_buffers")
	if err != nil {
		return 0, err
	}
	guess := buffers + buffers/10
	need := f.Host.Configuration.Value.SharedMemory
	if need == 0 {
		need = guess
	}
	switch {
	case f.Plan.Mode == upgrade.InPlace:
		return need, nil
	case held == 0: // the source does without by now
		return max(need, guess), nil
	}
	return max(need, held), nil
}

// InsistsOnHugePages tells whether a value of huge_pages keeps a server from starting without them. Like other settings
// of its kind it takes words for true and false (guc_tables.c, huge_pages_options).
func InsistsOnHugePages(value string) bool {
	return slices.Contains([]string{"on", "true", "yes", "1"}, strings.ToLower(value))
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
