package aliyun

import (
	"github.com/pgleap/pgleap/internal/control"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// The vendor's words for the state of an instance.
const (
	statusRunning       = "Running"
	statusCreating      = "Creating"
	statusMigrating     = "TRANSING"
	statusSynchronizing = "TransingToOthers"
	statusSwitching     = "SWITCHING"
)

// instanceStatus tells what is being done with an instance. A precheck touches nothing.
func instanceStatus(s control.InstanceState) string {
	if s.Upgrade == nil {
		return statusRunning
	}
	switch s.Upgrade.Phase {
	case upgrade.PhaseSynchronizing, upgrade.PhaseRehearsal:
		return statusSynchronizing
	case upgrade.PhaseSwitchover, upgrade.PhaseSwitchback, upgrade.PhaseFinishing:
		return statusSwitching
	}
	return statusMigrating
}
