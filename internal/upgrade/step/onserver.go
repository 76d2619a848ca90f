package step

import "github.com/pgleap/pgleap/internal/upgrade"

// Activities on the server: they write the record. All are idempotent by task number and,
// for events, by the key of the batch.
const (
	// IsTaskOver tells whether a task has ended, or is not known any more. Argument: its number; result: bool.
	IsTaskOver = "IsTaskOver"
	// Record writes down where a task stands. Argument: RecordArgs.
	Record = "Record"
	// SaveReport stores a report. Argument: upgrade.Report.
	SaveReport = "SaveReport"
	// EndTask writes how a task ended. Argument: EndTaskArgs.
	EndTask = "EndTask"
	// AmendTask writes that a task whose workflow was lost, and which has ended as failed for that, was
	// finished nevertheless. Argument: EndTaskArgs.
	AmendTask = "AmendTask"
	// MoveInstance says which cluster an instance is made of now. Argument: MoveInstanceArgs.
	MoveInstance = "MoveInstance"
	// RegisterClone records a clone as an instance of its own. Argument: RegisterCloneArgs; result: Done.
	RegisterClone = "RegisterClone"
	// RecordFindings records what an upgrade has left to be mended. Argument: RecordFindingsArgs.
	RecordFindings = "RecordFindings"
	// RetireFormer records that the former cluster of an upgrade was stopped for good. Argument: the
	// upgrade's number.
	RetireFormer = "RetireFormer"
)

// RegisterCloneArgs is the cluster that upgrade Number has made of a clone of an instance.
type RegisterCloneArgs struct {
	Number   int64           `json:"number"`
	Instance string          `json:"instance"`
	Cluster  upgrade.Cluster `json:"cluster"`
}

// RecordFindingsArgs names the instance and what is open of it now.
type RecordFindingsArgs struct {
	Number   int64                 `json:"number"`
	Instance string                `json:"instance"`
	Findings []upgrade.OpenFinding `json:"findings"`
}

// RecordArgs is a batch of what happened.
type RecordArgs struct {
	Number     int64               `json:"number"`
	Key        string              `json:"key"` // unique within the task: a batch written twice counts once
	Phase      upgrade.Phase       `json:"phase,omitempty"`
	Events     []upgrade.Event     `json:"events,omitempty"`
	Switchover *upgrade.Switchover `json:"switchover,omitempty"`
	// Rehearsal and Verification replace what the task has of them.
	Rehearsal    *upgrade.Rehearsal    `json:"rehearsal,omitempty"`
	Verification *upgrade.Verification `json:"verification,omitempty"`
}

// EndTaskArgs is the end of a task.
type EndTaskArgs struct {
	Number  int64           `json:"number"`
	Outcome upgrade.Outcome `json:"outcome"`
}

// MoveInstanceArgs names the instance and what it is made of now.
type MoveInstanceArgs struct {
	Instance string           `json:"instance"`
	Cluster  upgrade.Cluster  `json:"cluster"`
	Endpoint upgrade.Endpoint `json:"endpoint"`
	// Former is what the instance was made of before upgrade Number; nil: that is recorded already.
	Number int64            `json:"number,omitempty"`
	Former *upgrade.Cluster `json:"former,omitempty"`
	// Returned tells that clients are back at what the instance was made of before upgrade Number.
	Returned bool `json:"returned,omitempty"`
}
