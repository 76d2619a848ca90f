package upgrade

import "errors"

// Cause tells apart why something cannot be done, for whoever must say it in another vocabulary.
// People read the reason.
type Cause string

// The causes.
const (
	CauseNone            Cause = ""
	CauseMode            Cause = "mode"             // the mode is unknown
	CauseModeUnavailable Cause = "mode-unavailable" // the mode is known, and not built yet
	CauseTarget          Cause = "target"           // the target version is not newer, or not installed
	CauseOption          Cause = "option"           // an option is out of its range
	CauseNoReport        Cause = "no-report"        // no report that passed is valid
	CauseStandbys        Cause = "standbys"         // standbys stand in the way that nobody has accepted
	CauseStorage         Cause = "storage"          // the last precheck found too little disk space, and nothing else in the way
	CauseRunning         Cause = "running"          // a task is running
	CausePhase           Cause = "phase"            // the task is in another phase, or there is none
	CauseNoEndpoint      Cause = "no-endpoint"      // nothing could move the clients
	CauseDown            Cause = "down"             // the cluster does not run, or takes no connections
	CauseSuperuser       Cause = "superuser"        // the role that pgleap connects as is missing or weak
	CauseNotPostgres     Cause = "not-postgres"     // it is no primary of PostgreSQL that pgleap knows
	CauseSQL             Cause = "sql"              // a statement failed or took too long
	CausePlace           Cause = "place"            // the target's directory or port is taken, or too small
	CauseServing         Cause = "serving"          // applications use it
	CauseRetired         Cause = "retired"          // it was retired before
	CauseAgent           Cause = "agent"            // the host's agent does not answer
	CauseFailed          Cause = "failed"           // the host's agent could not do what was asked, and did not say why not
	CauseEngine          Cause = "engine"           // the engine does not answer
	CauseCatalogue       Cause = "catalogue"        // the record cannot be read or written
)

// CauseOf returns the cause that an error, or one that it wraps, gives.
func CauseOf(err error) Cause {
	if caused, ok := errors.AsType[interface {
		error
		Why() Cause
	}](err); ok {
		return caused.Why()
	}
	return CauseNone
}

// Refused is an error that no retry can mend: the user must act. Its text says how.
type Refused struct {
	Reason string // what happened, to which object
	Remedy string // what to do next
	Cause  Cause  `json:",omitempty"`
}

// Error returns both parts as sentences.
func (e *Refused) Error() string {
	if e.Remedy == "" {
		return e.Reason
	}
	return e.Reason + "; " + e.Remedy
}

// Why returns the cause.
func (e *Refused) Why() Cause { return e.Cause }

// NonRetryable marks the error for whoever would try again.
func (e *Refused) NonRetryable() bool { return true }

// NotFound is returned for what does not exist.
type NotFound struct {
	Kind string // "instance", "task", "report", "access key"
	Name string
}

// Error names what was looked for.
func (e *NotFound) Error() string { return e.Kind + " " + e.Name + " does not exist" }
