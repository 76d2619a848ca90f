package precheck

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// memory: source and target run side by side until the source is given up. What is needed is the estimate's.
var memory = Check{
	ID: "memory", Title: "Source and target together may need more memory than there is",
	Severity: upgrade.Warning, Modes: withClone(), Scope: PerCluster,
	Why:    "The target runs beside the source with the same shared_buffers. Where memory does not suffice the system swaps, or kills.",
	Remedy: "Lower shared_buffers for the time of the upgrade, or free memory on the host.",
	Find: func(_ context.Context, f *Facts, _ Session) ([]Found, error) {
		workload, err := f.Workload.Get()
		if err != nil {
			return nil, err
		}
		available, err := f.Host.MemoryAvailable.Get()
		if err != nil {
			return nil, fmt.Errorf("measure the host's memory: %w", err)
		}
		if need := workload.LeastMemory(f.Plan.Mode); available < need {
			return []Found{{
				Object: "shared_buffers = " + bytes(workload.SharedBuffers),
				Note:   fmt.Sprintf("%s available, about %s needed", bytes(available), bytes(need)),
			}}, nil
		}
		return nil, nil
	},
}
