package upgrade

import (
	"fmt"
	"time"
)

// Outcome is how an upgrade ended.
type Outcome struct {
	Status     Status      `json:"status"`
	Reason     string      `json:"reason,omitempty"` // why it failed or was cancelled: a sentence
	Switchover *Switchover `json:"switchover,omitempty"`
}

// Switchover is what one switchover did.
type Switchover struct {
	Switched bool `json:"switched"` // false: clients are where they were
	// Back tells that it was a switchback: clients went from the target to the source.
	Back bool `json:"back,omitempty"`
	// Rehearsed tells that all went well up to the commit point, where a rehearsal ends.
	Rehearsed bool `json:"rehearsed,omitempty"`
	// Reason tells why it did not switch.
	Reason string `json:"reason,omitempty"`
	// Steps are the parts of the critical section with their durations, in order.
	Steps []StepDuration `json:"steps"`
	// Pause is the time from the first PAUSE to the last RESUME.
	Pause     time.Duration `json:"pause"`
	StartedAt time.Time     `json:"startedAt"` // clients began to wait
	EndedAt   time.Time     `json:"endedAt"`   // clients went on
	// Tries are those before that gave way to the clients, who had waited long enough, in order.
	Tries      []Try  `json:"tries,omitempty"`
	SourceLSN  string `json:"sourceLSN"`  // the source's insert LSN when it stood still
	TargetPort int    `json:"targetPort"` // where clients are now, when Switched
	// TargetLSN is where the target stood then: what clients write there comes after it, and the way
	// back begins with it. Empty: none was prepared.
	TargetLSN string `json:"targetLSN,omitempty"`
	// Told are sentences on what went wrong beside it, and changed nothing.
	Told []string `json:"told,omitempty"`
	// Consumers are the logical slots of others, and where each changes over.
	Consumers []ConsumerSlot `json:"consumers,omitempty"`
}

// OnTarget tells whether clients are on the target now: they went there, or did not get back.
func (s Switchover) OnTarget() bool { return s.Switched != s.Back }

// Try is a try to switch over that was undone because clients had waited long enough.
type Try struct {
	StartedAt time.Time `json:"startedAt"` // clients began to wait
	EndedAt   time.Time `json:"endedAt"`   // clients went on
	Reason    string    `json:"reason"`    // what they waited for
	// Steps are the parts of the critical section with their durations, in order, the undoing among them.
	Steps []StepDuration `json:"steps,omitempty"`
}

// String tells how long clients waited, and for what.
func (t Try) String() string {
	return fmt.Sprintf("clients waited %s, then went on where they were; the switchover was tried again: %s",
		t.EndedAt.Sub(t.StartedAt).Round(100*time.Microsecond), t.Reason)
}

// StepDuration is a step of the switchover and the time it took.
type StepDuration struct {
	Step     string        `json:"step"`
	Duration time.Duration `json:"duration"`
}
