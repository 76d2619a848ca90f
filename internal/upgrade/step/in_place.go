package step

import (
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// WorkflowInPlace upgrades the data directory of an instance where it is. Argument: InPlaceUpgradeArgs, or a
// plan; result: upgrade.Outcome.
const WorkflowInPlace = "InPlace"

// InPlaceUpgradeArgs is a plan, and the window that Options.SwitchInWindow waits for.
type InPlaceUpgradeArgs struct {
	upgrade.Plan
	Window *upgrade.Window `json:"window,omitempty"`
}

// Host activities of an in-place upgrade, in the order of the story. Unless noted, the argument is
// upgrade.Plan and the result is Done.
const (
	// PrepareInPlace makes the target, decides on the transfer and has pg_upgrade check both, while
	// the source serves.
	PrepareInPlace = "PrepareInPlace" // long
	// UpgradeInPlace is the outage: stop, pg_upgrade, start. Argument: InPlaceArgs; result:
	// InPlaceResult. Not upgrading is a result, not an error: it says why, and the source serves as
	// before. After a crash it ends what its journal tells.
	UpgradeInPlace = "UpgradeInPlace" // long
	// FinishInPlace reports the target as it is now, and removes what only the upgrade needed.
	FinishInPlace = "FinishInPlace" // result: FinishResult
	// UpdateInPlace updates the extensions of the target.
	UpdateInPlace = "UpdateInPlace"
	// AnalyzeInPlace collects the target's statistics.
	AnalyzeInPlace = "AnalyzeInPlace" // long
	// DiscardInPlace removes a target that was not started; the source serves.
	DiscardInPlace = "DiscardInPlace"
)

// InPlaceArgs asks for the outage of an upgrade, or for its end.
type InPlaceArgs struct {
	Plan upgrade.Plan `json:"plan"`
	// SettleOnly ends the outage, if it had begun, instead of beginning it.
	SettleOnly bool `json:"settleOnly,omitempty"`
	// NotAfter is when it is too late to begin; zero: never.
	NotAfter time.Time `json:"notAfter,omitzero"`
}

// InPlaceResult tells how the outage ended.
type InPlaceResult struct {
	Done
	Switchover upgrade.Switchover `json:"switchover"` // Switched: the target serves
	// Late tells that it did not begin because NotAfter had passed.
	Late bool `json:"late,omitempty"`
}
