package control

import (
	"errors"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// Invalid is a request that makes no sense whatever the state of things is.
type Invalid struct {
	Reason string
	Remedy string
}

// Error returns both parts as sentences.
func (e *Invalid) Error() string { return sentence(e.Reason, e.Remedy) }

// Conflict is a request that does not fit the present state of things. It may later.
type Conflict struct {
	Reason string
	Remedy string
}

// Error returns both parts as sentences.
func (e *Conflict) Error() string { return sentence(e.Reason, e.Remedy) }

// Unavailable tells that a part of pgleap does not answer. Nothing was changed.
type Unavailable struct {
	Reason string
	Remedy string
	Cause  error
}

// Error returns both parts as sentences.
func (e *Unavailable) Error() string { return sentence(e.Reason, e.Remedy) }

// Unwrap returns the cause.
func (e *Unavailable) Unwrap() error { return e.Cause }

func sentence(reason, remedy string) string {
	if remedy == "" {
		return reason
	}
	return reason + "; " + remedy
}

// conflicting makes a Conflict of the catalogue's refusal to write down what contradicts the record.
func conflicting(err error) error {
	if r, ok := errors.AsType[*upgrade.Refused](err); ok {
		return &Conflict{Reason: r.Reason, Remedy: r.Remedy}
	}
	return err
}
