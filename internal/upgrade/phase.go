package upgrade

import "time"

// Phase is a part of an upgrade, as users see it.
type Phase string

// The phases of a zero-downtime upgrade, in order. doc.go tells what each does.
const (
	PhasePrecheck      Phase = "precheck"
	PhasePrepare       Phase = "preparing source"
	PhaseBaseBackup    Phase = "base backup"
	PhaseHandover      Phase = "hand-over"
	PhaseUpgrade       Phase = "pg_upgrade"
	PhaseSubscribe     Phase = "subscribing"
	PhaseSynchronizing Phase = "synchronizing"
	PhaseRehearsal     Phase = "rehearsal" // any number of times, between two times of synchronizing
	PhaseSwitchover    Phase = "switchover"
	PhaseFollowing     Phase = "following"  // clients are on the target, the source follows it
	PhaseSwitchback    Phase = "switchback" // and they go back
	PhaseFinishing     Phase = "finishing"
	PhaseCleanup       Phase = "cleaning up" // after a failure or a cancel
)

// Phases lists the phases of a zero-downtime upgrade in order.
func Phases() []Phase {
	return []Phase{
		PhasePrecheck, PhasePrepare, PhaseBaseBackup, PhaseHandover, PhaseUpgrade,
		PhaseSubscribe, PhaseSynchronizing, PhaseSwitchover, PhaseFollowing, PhaseFinishing,
	}
}

// Status is the state of a task.
type Status string

// A task is running until it has ended in one of the other ways. While the way back is open it runs.
const (
	StatusRunning   Status = "running"
	StatusSucceeded Status = "succeeded"
	StatusFailed    Status = "failed"
	StatusCancelled Status = "cancelled"
)

// Ended tells whether the status is final.
func (s Status) Ended() bool { return s != StatusRunning }

// Progress is where a running step stands. It is shown, never relied upon.
type Progress struct {
	Phase Phase     `json:"phase"`
	Step  string    `json:"step"`           // what is being done, such as "pg_basebackup"
	Done  int64     `json:"done,omitempty"` // of Total, in Unit
	Total int64     `json:"total,omitempty"`
	Unit  string    `json:"unit,omitempty"` // "bytes", "objects", "databases"
	Text  string    `json:"text,omitempty"` // one line for people
	Lag   *Lag      `json:"lag,omitempty"`
	At    time.Time `json:"at"`
}

// Lag is how far the target is behind the source.
type Lag struct {
	Bytes int64 `json:"bytes"` // between the source's insert LSN and what the target has applied and flushed
	// LagSeconds is the age of the newest marker that the target has applied.
	LagSeconds float64 `json:"lagSeconds"`
	// RetainedWAL is the number of bytes of WAL that the source keeps for the slots.
	RetainedWAL int64 `json:"retainedWAL"`
	// ETASeconds is the time until the target has caught up at the present rates:
	// 0 when it has, -1 when it never will.
	ETASeconds float64 `json:"etaSeconds"`
	// WALRate and ApplyRate are in bytes of WAL per second: what the source writes, and what the target gets
	// through. Where tables are shared among groups it is the slowest group that counts.
	WALRate   float64 `json:"walRate,omitempty"`
	ApplyRate float64 `json:"applyRate,omitempty"`
}

// Event is a line of a task's log.
type Event struct {
	At    time.Time `json:"at"`
	Level Level     `json:"level"`
	Phase Phase     `json:"phase"`
	Text  string    `json:"text"` // a sentence
}

// Level is how much an event matters.
type Level string

// Warnings are what a DBA should look at some time; errors what stopped something.
const (
	LevelInfo    Level = "info"
	LevelWarning Level = "warning"
	LevelError   Level = "error"
)
