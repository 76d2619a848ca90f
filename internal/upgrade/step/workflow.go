package step

import (
	"strconv"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// The workflows, by the names they are registered under.
const (
	WorkflowZeroDowntime = "ZeroDowntime" // argument: upgrade.Plan; result: upgrade.Outcome
	WorkflowPrecheck     = "Precheck"     // argument: PrecheckArgs; result: upgrade.Report
	WorkflowCleanup      = "Cleanup"      // arguments: upgrade.Plan of an upgrade whose own workflow was lost, whether it was ever about to go back, and Lost
	WorkflowAsk          = "Ask"          // argument: Question; result: that of the activity
)

// The signals that a running ZeroDowntime workflow takes. SignalSwitch, SignalRehearse and SignalBack
// have a SwitchRequest for a payload, SignalFinish a FinishRequest, which may be missing; the others
// ignore theirs.
const (
	SignalSwitch    = "switch"    // start the switchover, when synchronizing
	SignalRehearse  = "rehearse"  // rehearse it, when synchronizing
	SignalInterrupt = "interrupt" // abort this switchover, back to synchronizing
	SignalCancel    = "cancel"    // abandon the upgrade, when clients are at the source
	SignalBack      = "back"      // bring clients back to the source, when it follows the target
	SignalFinish    = "finish"    // give up the way back, and end the upgrade
)

// Lost says of an upgrade whose own workflow is gone what its end is to tell.
type Lost struct {
	// Reason is why it did not end by itself, as a sentence.
	Reason string `json:"reason"`
	// Reopened tells that it had ended with clients at the target, and was to lead them back.
	Reopened bool `json:"reopened,omitempty"`
}

// FinishRequest is the payload of SignalFinish, which may be missing.
type FinishRequest struct {
	// Retire stops the source for good.
	Retire bool `json:"retire,omitempty"`
}

// SwitchRequest is what the user wants of one switchover.
type SwitchRequest struct {
	// Timeout replaces Options.SwitchoverTimeout; 0: as planned.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// UpgradeWorkflowID is the id of the workflow of an upgrade.
func UpgradeWorkflowID(number int64) string { return "upgrade-" + strconv.FormatInt(number, 10) }

// PrecheckWorkflowID is the id of the workflow of a precheck.
func PrecheckWorkflowID(number int64) string { return "precheck-" + strconv.FormatInt(number, 10) }

// CleanupWorkflowID is the id of the workflow that undoes a lost upgrade.
func CleanupWorkflowID(number int64) string { return "cleanup-" + strconv.FormatInt(number, 10) }

// Question has one host activity carried out and its result returned, with a deadline of seconds:
// it serves what a user waits for, such as discovery.
type Question struct {
	Host     string `json:"host"`
	Activity string `json:"activity"` // one of the short host activities below
	Argument any    `json:"argument"`
}

// PrecheckArgs says what to check. Plan is complete but for what only a passed report decides.
type PrecheckArgs struct {
	Number int64        `json:"number"` // of the precheck's task
	ID     string       `json:"id"`
	Plan   upgrade.Plan `json:"plan"`
}
