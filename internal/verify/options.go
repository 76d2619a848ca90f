package verify

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
)

// Side is one of the two that are compared.
type Side int

// The sides.
const (
	Source Side = iota
	Target
)

// String names the side.
func (s Side) String() string { return [...]string{"source", "target"}[s] }

// Options say how Data goes about it. The zero value compares everything at full speed over the
// pairs' own connections.
type Options struct {
	// Join opens another connection, for more to be read at a time, and for definitions to be printed again.
	// Its transactions are Data's, which closes it. Without it there is one connection a side, whose
	// transaction must then be one that may write.
	Join func(ctx context.Context, side Side, database string) (*pgx.Conn, error)
	// Connections is the number of connections a side, 1 if it is 0.
	Connections int
	// Share is the part of the time that each connection works: clients are served by the source during
	// a rehearsal and by the target after a switchover. 0 means 1.
	Share float64
	// MaxAge is how old the snapshots may become, since they keep VACUUM from removing what was deleted:
	// then the rest is not compared. 0 means DefaultMaxAge.
	MaxAge time.Duration
	// LeavesUnlogged tells which unlogged tables are not compared; all are, if it is nil.
	LeavesUnlogged func(database string, table postgres.ContentTable) bool
	// Opened is when the snapshots were opened; now, if it is zero.
	Opened time.Time
	// MaxRows is the number of rows that are reported for each table, DefaultMaxRows if it is 0.
	MaxRows int
	// Values asks for the values of the rows that differ, not just their keys.
	Values bool
	// Progress is called from time to time, never by two at once. State stands still meanwhile.
	Progress func(Progress)
	// State takes in what has been compared. A comparison in the same snapshots that is given the state
	// of one that was broken off goes on where that one was.
	State *State
	// Entered is told everything that is added to the state, never by two at once: whoever adds the same to
	// an empty one has it again.
	Entered func(Entry)

	chunkBytes int64 // read by one query
}

// What the zero Options stand for.
const (
	DefaultMaxAge  = time.Hour
	DefaultMaxRows = 100
	// About a second's work: what a cancellation waits for, and how long a client's DDL does.
	defaultChunkBytes = 64 << 20
)

func (o Options) withDefaults() Options {
	o.Connections = max(o.Connections, 1)
	if o.Join == nil {
		o.Connections = 1
	}
	if o.Share <= 0 || o.Share > 1 {
		o.Share = 1
	}
	if o.MaxAge <= 0 {
		o.MaxAge = DefaultMaxAge
	}
	if o.Opened.IsZero() {
		o.Opened = time.Now()
	}
	if o.MaxRows <= 0 {
		o.MaxRows = DefaultMaxRows
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	if o.State == nil {
		o.State = &State{}
	}
	if o.Entered == nil {
		o.Entered = func(Entry) {}
	}
	if o.chunkBytes <= 0 {
		o.chunkBytes = defaultChunkBytes
	}
	return o
}
