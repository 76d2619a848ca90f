package endpoint

import (
	"fmt"
	"strings"
	"time"
)

// Blocked says that a pause did not complete in its time, and what was open. Clients continue.
type Blocked struct {
	Databases    []string
	Waited       time.Duration
	Transactions []Transaction
	// Err is the end of the context.
	Err error
}

// Transaction is what kept a pause from completing: a client's open transaction.
type Transaction struct {
	Database string
	User     string
	// Client is where it comes from: address and port, or "unix".
	Client      string
	Application string
	// ServerPID is its backend in the cluster, for pg_terminate_backend. 0 if unknown.
	ServerPID int
	// Since is when it sent its last request. Zero if unknown.
	Since time.Time
}

// Error names the transactions, and what can be done.
func (e *Blocked) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pause of %s did not complete within %s", strings.Join(e.Databases, ", "), e.Waited.Round(time.Millisecond))
	if len(e.Transactions) == 0 {
		b.WriteString("; nothing was open any more when it was looked at. Clients continue; try again")
		return b.String()
	}
	fmt.Fprintf(&b, ": %d open: ", len(e.Transactions))
	const shown = 5
	for i, t := range e.Transactions {
		if i == shown {
			fmt.Fprintf(&b, "; and %d more", len(e.Transactions)-shown)
			break
		}
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(t.String())
	}
	b.WriteString(". Clients continue; let these transactions end or terminate their backends, then try again")
	return b.String()
}

// Unwrap gives the end of the context.
func (e *Blocked) Unwrap() error { return e.Err }

// String describes a transaction in one phrase.
func (t Transaction) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "user %s in database %s", t.User, t.Database)
	if t.Client != "" {
		b.WriteString(", client " + t.Client)
	}
	if t.Application != "" {
		fmt.Fprintf(&b, ", application %q", t.Application)
	}
	if t.ServerPID != 0 {
		fmt.Fprintf(&b, ", backend pid %d", t.ServerPID)
	}
	if !t.Since.IsZero() {
		b.WriteString(", last request at " + t.Since.Format("15:04:05"))
	}
	return b.String()
}

// NotSwitchable lists what keeps an endpoint from being switched.
type NotSwitchable struct {
	Problems []Problem
}

// Problem is one thing in the way, and what to do about it.
type Problem struct {
	Text   string
	Remedy string
}

// Error joins all problems and remedies.
func (e *NotSwitchable) Error() string {
	var said []string
	for _, p := range e.Problems {
		said = append(said, p.Text+": "+p.Remedy)
	}
	return strings.Join(said, "; ")
}

// Unreachable says that the endpoint does not answer.
type Unreachable struct {
	// Endpoint names it and its address, as in "PgBouncer's console at 127.0.0.1:6432".
	Endpoint string
	Remedy   string
	Err      error
}

// Error tells what to do.
func (e *Unreachable) Error() string {
	return fmt.Sprintf("%s cannot be reached: %v: %s", e.Endpoint, e.Err, e.Remedy)
}

// Unwrap gives the cause.
func (e *Unreachable) Unwrap() error { return e.Err }

// NotPaused says that a move was asked for while clients were not held.
type NotPaused struct {
	Databases []string
}

// Error names the databases.
func (e *NotPaused) Error() string {
	return fmt.Sprintf("%s not paused: nothing was moved; pause first", strings.Join(e.Databases, ", "))
}
