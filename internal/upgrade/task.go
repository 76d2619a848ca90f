package upgrade

import "time"

// TaskKind tells prechecks from upgrades.
type TaskKind string

// The kinds of tasks. They share one sequence of numbers.
const (
	TaskPrecheck TaskKind = "precheck"
	TaskUpgrade  TaskKind = "upgrade"
)

// Task is a precheck or an upgrade, running or ended.
type Task struct {
	Number     int64       `json:"number"` // 1 to 2^31-1
	ID         string      `json:"id"`     // UUID
	Kind       TaskKind    `json:"kind"`
	Instance   string      `json:"instance"`
	Mode       Mode        `json:"mode"`
	Source     VersionNum  `json:"source"`
	Target     Major       `json:"target"`
	Status     Status      `json:"status"`
	Phase      Phase       `json:"phase"`
	Reason     string      `json:"reason,omitempty"` // of a failure or a cancel
	Progress   *Progress   `json:"progress,omitempty"`
	Switchover *Switchover `json:"switchover,omitempty"` // the last one
	// Rehearsal is the last one. Verification is that of the switchover.
	Rehearsal    *Rehearsal    `json:"rehearsal,omitempty"`
	Verification *Verification `json:"verification,omitempty"`
	Plan         *Plan         `json:"plan,omitempty"`       // of an upgrade
	Comparison   *Comparison   `json:"comparison,omitempty"` // of the estimate with the truth
	StartedAt    time.Time     `json:"startedAt"`
	EndedAt      *time.Time    `json:"endedAt,omitempty"`
	Phases       []PhaseSpan   `json:"phases,omitempty"` // every phase entered so far
	RequestedBy  string        `json:"requestedBy,omitempty"`
	// Server is the pgleap server whose engine carries it out; empty: it was not noted yet.
	Server string `json:"server,omitempty"`
}

// PhaseSpan is when a phase was entered and left.
type PhaseSpan struct {
	Phase     Phase      `json:"phase"`
	StartedAt time.Time  `json:"startedAt"`
	EndedAt   *time.Time `json:"endedAt,omitempty"`
}

// AwaitsFinish tells whether clients are on the target, and only the way back, which is kept open, keeps
// the upgrade from having ended.
func (t Task) AwaitsFinish() bool {
	return t.Mode == ZeroDowntime && !t.Status.Ended() && t.OnTarget() && t.Plan != nil && !t.Plan.Options.SkipSwitchback
}

// OnTarget tells whether clients are on the target.
func (t Task) OnTarget() bool { return t.Switchover != nil && t.Switchover.OnTarget() }
