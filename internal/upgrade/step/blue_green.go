package step

import "github.com/pgleap/pgleap/internal/upgrade"

// WorkflowBlueGreen makes a new instance of a physical clone of the source, and switches to it unless
// only the clone is wanted. It takes SignalSwitch, SignalInterrupt and SignalCancel as ZeroDowntime does.
// Argument: BlueGreenArgs, or a plan; result: upgrade.Outcome.
const WorkflowBlueGreen = "BlueGreen"

// WorkflowReturn brings clients back from the target of a blue-green upgrade that has ended, if nothing was
// written there since, and removes the target then. It takes SignalInterrupt. Argument: ReturnArgs;
// result: upgrade.Outcome.
const WorkflowReturn = "Return"

// ReturnArgs is the plan of the upgrade, and what its switch was.
type ReturnArgs struct {
	Plan upgrade.Plan `json:"plan"`
	// Attempt is above that of every attempt of the upgrade before.
	Attempt int `json:"attempt"`
	// Switched is how clients came to the target.
	Switched upgrade.Switchover `json:"switched"`
}

// Host activities of a blue-green upgrade, beside those that it shares with the other modes. Unless
// noted, the argument is upgrade.Plan and the result is Done.
const (
	// PrepareCloning makes what a physical clone needs on the source.
	PrepareCloning = "PrepareCloning"
	// DetachClone ends the recovery of a clone that clients will not be moved to.
	DetachClone = "DetachClone" // long
	// StartUpgraded starts what pg_upgrade made of such a clone.
	StartUpgraded = "StartUpgraded"
	// FinishClone removes what the cloning needed, on both sides, and reports the target.
	FinishClone = "FinishClone" // result: FinishResult
	// FollowSource lets the clone stream and shows how far it is behind, until it is cancelled, or, when
	// asked to, until that is little, or until there is something to be told of the WAL that is kept for it.
	FollowSource = "FollowSource" // long; argument: SynchronizeArgs; result: Synchronized
	// SwitchToClone is the switch: source fenced, clone caught up, upgraded and started, endpoint moved.
	// Not switching is a result, not an error. After a crash it finishes or undoes what its journal
	// tells. Argument: SwitchOverArgs; result: CloneSwitch.
	SwitchToClone = "SwitchToClone" // long
	// ReturnToSource brings clients back to the source, unless something was written to the target since
	// they came, or might have been. Not doing so is a result, not an error. After a crash it finishes or
	// undoes what its journal tells. The plan is that of the way back. Argument: SwitchOverArgs; result:
	// upgrade.Switchover.
	ReturnToSource = "ReturnToSource" // long
)

// BlueGreenArgs is a plan, and the window that Options.SwitchInWindow waits for.
type BlueGreenArgs struct {
	upgrade.Plan
	Window *upgrade.Window `json:"window,omitempty"`
}

// CloneSwitch is what became of a switch to the clone.
type CloneSwitch struct {
	Done
	Switchover upgrade.Switchover `json:"switchover"`
	// Spent tells that the clone has been promoted in vain, and thrown away: another one is needed.
	Spent bool `json:"spent,omitempty"`
	// Late tells that the switch did not begin because NotAfter had passed.
	Late bool `json:"late,omitempty"`
}
