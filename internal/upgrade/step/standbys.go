package step

import "github.com/pgleap/pgleap/internal/upgrade"

// BuildStandbys makes successors of the source's standbys that stream from the running target. Argument:
// StandbysArgs; result: Done. What cannot be made is told.
const BuildStandbys = "BuildStandbys" // long

// StandbysArgs says what is expected of the target's standbys.
type StandbysArgs struct {
	Plan upgrade.Plan `json:"plan"`
	// Serving tells that clients are at the target: what was known of the source's standbys counts, and
	// synchronous replication is restored.
	Serving bool `json:"serving,omitempty"`
	// Required makes a standby that cannot be made an error.
	Required bool `json:"required,omitempty"`
}

// Phase is that of an upgrade while the step runs.
func (a StandbysArgs) Phase() upgrade.Phase {
	if a.Serving {
		return upgrade.PhaseFinishing
	}
	return upgrade.PhaseSubscribe
}
