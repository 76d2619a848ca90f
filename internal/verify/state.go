package verify

import "github.com/pgleap/pgleap/internal/postgres"

// State is what has been compared to its end, in which snapshots.
type State struct {
	databases map[string]*databaseState
}

// databaseState is the state of a database.
type databaseState struct {
	Snapshots [2]string // by pg_current_snapshot()
	Catalogs  *Catalogs // nil until they are compared
	Tables    map[string]TableSums
}

// Entry is one thing that was compared to its end: all that the catalogs of a database say, or a table.
// It is written as JSON.
type Entry struct {
	Database  string     `json:"database"`
	Snapshots [2]string  `json:"snapshots"` // by pg_current_snapshot()
	Catalogs  *Catalogs  `json:"catalogs,omitempty"`
	Table     string     `json:"table,omitempty"`
	Sums      *TableSums `json:"sums,omitempty"`
}

// Catalogs is what the comparison of all but the rows came to.
type Catalogs struct {
	Differences []Difference  `json:"differences,omitempty"`
	NotCompared []NotCompared `json:"notCompared,omitempty"`
}

// TableSums are the sums of a table on each side.
type TableSums [2]postgres.HashSum

// Add takes in an entry. What a database held in other snapshots is forgotten with it.
func (s *State) Add(e Entry) {
	state := s.of(e.Database, e.Snapshots)
	if e.Catalogs != nil {
		state.Catalogs = e.Catalogs
	}
	if e.Sums != nil {
		state.Tables[e.Table] = *e.Sums
	}
}

// of returns the state of a database in two snapshots; that of others is forgotten.
func (s *State) of(database string, snapshots [2]string) *databaseState {
	state := s.databases[database]
	if state == nil || state.Snapshots != snapshots {
		state = &databaseState{Snapshots: snapshots, Tables: map[string]TableSums{}}
	}
	if s.databases == nil {
		s.databases = map[string]*databaseState{}
	}
	s.databases[database] = state
	return state
}

// enter adds an entry to the state.
func (r *run) enter(db *database, e Entry) {
	e.Database, e.Snapshots = db.Database, db.state.Snapshots
	r.State.Add(e)
	r.Entered(e)
}
