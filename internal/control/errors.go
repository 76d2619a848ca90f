package control

import (
	"errors"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Invalid is a request that makes no sense whatever the state of things is.
type Invalid struct {
	Reason string
	Remedy string
	Cause  upgrade.Cause
}

// Error returns both parts as sentences.
func (e *Invalid) Error() string { return sentence(e.Reason, e.Remedy) }

// Why returns the cause.
func (e *Invalid) Why() upgrade.Cause { return e.Cause }

// Conflict is a request that does not fit the present state of things. It may later.
type Conflict struct {
	Reason string
	Remedy string
	Cause  upgrade.Cause
}

// Error returns both parts as sentences.
func (e *Conflict) Error() string { return sentence(e.Reason, e.Remedy) }

// Why returns the cause.
func (e *Conflict) Why() upgrade.Cause { return e.Cause }

// Unavailable tells that a part of pgleap does not answer. What was to be written down may have been, if only the
// answer was lost.
type Unavailable struct {
	Reason string
	Remedy string
	Cause  upgrade.Cause
	Err    error
}

// Error returns both parts as sentences.
func (e *Unavailable) Error() string { return sentence(e.Reason, e.Remedy) }

// Unwrap returns the error that tells more.
func (e *Unavailable) Unwrap() error { return e.Err }

// Why returns the cause.
func (e *Unavailable) Why() upgrade.Cause { return e.Cause }

func sentence(reason, remedy string) string {
	if remedy == "" {
		return reason
	}
	return reason + "; " + remedy
}

// ofRecord marks an error of the catalogue, other than its saying no, as one.
func ofRecord(err error) error {
	if err == nil {
		return nil
	}
	_, none := errors.AsType[*upgrade.NotFound](err)
	_, refused := errors.AsType[*upgrade.Refused](err)
	_, conflict := errors.AsType[*Conflict](err)
	if none || refused || conflict {
		return err
	}
	return &Unavailable{
		Reason: "the record cannot be read or written", Remedy: "see the server's log",
		Cause: upgrade.CauseCatalogue, Err: err,
	}
}

// noEngine marks an error of the engine as one.
func noEngine(err error) error {
	return &Unavailable{
		Reason: "the engine does not answer", Remedy: "see the server's log, then try again",
		Cause: upgrade.CauseEngine, Err: err,
	}
}

// conflicting makes a Conflict of the catalogue's refusal to write down what contradicts the record.
func conflicting(err error) error {
	if r, ok := errors.AsType[*upgrade.Refused](err); ok {
		return &Conflict{Reason: r.Reason, Remedy: r.Remedy, Cause: r.Cause}
	}
	return err
}
