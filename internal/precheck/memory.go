package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// memory: with a clone source and target run side by side until the source is given up; pg_dump and pg_restore hold all
// that a database has defined, and before 17 each of its large objects by itself. What is needed is the estimate's.
var memory = Check{
	ID: "memory", Title: "The upgrade may need more memory than there is",
	Severity: upgrade.Warning, Modes: withPgUpgrade(), Scope: PerCluster,
	Why: "With a clone the target runs beside the source with the same shared_buffers. In every mode pg_dump and pg_restore hold the definitions of a whole database in memory, " +
		"and its large objects, above all where the target is older than 17. Where memory does not suffice the system swaps, or kills.",
	Remedy: "Free memory on the host, or lower shared_buffers for the time of the upgrade. Large objects that nobody refers to any more can be removed (vacuumlo).",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		workload, err := f.Workload.Get()
		if err != nil {
			return nil, err
		}
		available, err := f.Host.MemoryAvailable.Get()
		if err != nil {
			return nil, fmt.Errorf("measure the host's memory: %w", err)
		}
		if need := workload.LeastMemory(f.Plan.Mode, f.Plan.Target.Version.Major()); available < need {
			object := "shared_buffers = " + bytes(workload.SharedBuffers)
			if f.Plan.Mode == upgrade.InPlace { // source and target do not run at the same time
				object = fmt.Sprintf("%d relations, %d large objects", workload.Relations, workload.LargeObjects)
			}
			return []Found{{
				Object: object,
				Note:   fmt.Sprintf("%s available, about %s needed", bytes(available), bytes(need)),
			}}, nil
		}
		return nil, nil
	},
}
