package upgrade

// Refused is an error that no retry can mend: the user must act. Its text says how.
type Refused struct {
	Reason string // what happened, to which object
	Remedy string // what to do next
}

// Error returns both parts as sentences.
func (e *Refused) Error() string {
	if e.Remedy == "" {
		return e.Reason
	}
	return e.Reason + "; " + e.Remedy
}

// NonRetryable marks the error for whoever would try again.
func (e *Refused) NonRetryable() bool { return true }

// NotFound is returned for what does not exist.
type NotFound struct {
	Kind string // "instance", "task", "report"
	Name string
}

// Error names what was looked for.
func (e *NotFound) Error() string { return e.Kind + " " + e.Name + " does not exist" }
