// Package endpoint is the stable address that applications connect to, as the switchover sees it.
//
// A driver (package pgbouncer is the first) knows how to hold the clients of an endpoint and how
// to send them to another cluster. The switchover uses it like this:
//
//  1. Check, long before: can it be switched at all?
//  2. Open and Prepare: everything that takes time and can be done while clients work.
//  3. Pause: clients queue, transactions in flight finish. From here to 5 every millisecond counts.
//  4. Move: clients will go to the other cluster.
//  5. Resume.
//  6. Close: settings that were changed for the pause are put back.
//
// A process that dies between 3 and 5 leaves the clients waiting. Two things help: a guard (see
// RunGuard), and Recover, which whoever comes next calls on a session of its own.
//
// Package endpointtest holds the suite that every driver must pass.
package endpoint

import (
	"context"
	"time"
)

// Driver is one endpoint of one instance.
type Driver interface {
	// Check tells whether the endpoint could be switched now, and changes nothing.
	// What stands in the way is a *NotSwitchable, with a remedy for each.
	Check(ctx context.Context) error
	// Describe tells where clients go now.
	Describe(ctx context.Context) (State, error)
	// Open makes the connections that a switchover needs, so that none is made while clients wait.
	Open(ctx context.Context) (Session, error)
	// Tidy removes what sessions of processes that have died had prepared and not used. No session may be
	// preparing anything.
	Tidy(ctx context.Context) error
}

// Session is a set of open connections to an endpoint. One goroutine uses it at a time.
type Session interface {
	// Prepare does all of a later Move that can be done beforehand. Clients notice nothing.
	Prepare(ctx context.Context, to Address) error
	// Pause holds the clients of every database of the endpoint, and returns when no transaction of
	// theirs is open on any cluster. When ctx ends before that, the pause is undone, clients
	// continue, and the error is a *Blocked that names what was open.
	// Pausing what this session has paused is no error.
	Pause(ctx context.Context) error
	// ServerPIDs are the backends in the cluster of the connections that the endpoint had when this session paused
	// it: all of them, since none is made from then on until it resumes.
	ServerPIDs() []int
	// Move sends the clients of every database of the endpoint to another cluster, and returns when
	// that is proven. It works only while the endpoint is paused, else the error is *NotPaused.
	// It is all or nothing: on any other error clients go where they went before, unless the
	// endpoint itself could not be reached any more. Moving to where they go already does nothing.
	Move(ctx context.Context, to Address) error
	// Resume lets the clients go on. Resuming what is not paused is no error, and a session may
	// resume what another one, of a process that has died, paused.
	Resume(ctx context.Context) error
	// Recover puts right what a process that has died left behind: clients go to where, nobody is
	// held, settings are those of the configuration. It looks first and may be called again.
	Recover(ctx context.Context, where Address) error
	// Close puts back the settings that were changed for the pause, unless the endpoint is still
	// paused by this session, and closes the connections. It does not resume.
	Close()
}

// State is where the clients of an endpoint go.
type State struct {
	// Driver and Version name the program, "pgbouncer" and "1.18.0".
	Driver  string
	Version string
	// Databases are those that belong to the endpoint, by name.
	Databases []Database
}

// Database is one database of an endpoint.
type Database struct {
	// Name is what clients ask for; Dbname is what it is called in the cluster.
	Name   string
	Dbname string
	// Wildcard marks the entry for all names that are not configured; its Name is "*".
	Wildcard bool
	Address  Address
	// PoolMode is transaction, session or statement.
	PoolMode string
	Paused   bool
	// ClientsActive have a connection to the cluster, ClientsWaiting wait for one.
	ClientsActive     int
	ClientsWaiting    int
	ServerConnections int
	// ServerPIDs are the backends in the cluster of those connections.
	ServerPIDs []int
	// MaxWait is how long the first of the waiting clients has been waiting.
	MaxWait time.Duration
}

// Paused tells whether every database of the endpoint is paused.
func (s State) Paused() bool {
	for _, d := range s.Databases {
		if !d.Paused {
			return false
		}
	}
	return len(s.Databases) > 0
}

// ServerPIDs are the backends of all connections of the endpoint.
func (s State) ServerPIDs() []int {
	var pids []int
	for _, d := range s.Databases {
		pids = append(pids, d.ServerPIDs...)
	}
	return pids
}

// At tells whether every database of the endpoint goes to an address.
func (s State) At(a Address) bool {
	for _, d := range s.Databases {
		if d.Address != a {
			return false
		}
	}
	return len(s.Databases) > 0
}
