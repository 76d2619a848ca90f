package harness

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Outcome is what a client knows about a transaction.
type Outcome string

// The outcomes. A transaction whose connection broke in COMMIT may or may not have happened: only the
// database can tell, and both answers are right.
const (
	Acknowledged Outcome = "acknowledged"
	RolledBack   Outcome = "rolled back"
	Unknown      Outcome = "unknown"
)

// Record is what the clients know, outside of the databases: what became of each transaction, by the
// reference that its client chose. It is in memory for the proof and in a file for people.
type Record struct {
	mu       sync.Mutex
	file     *os.File
	outcomes map[Kind]map[string]Outcome
}

// NewRecord begins a record in a file that must not exist yet.
func NewRecord(path string) (*Record, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("begin the record of acknowledged transactions: %w", err)
	}
	return &Record{file: file, outcomes: map[Kind]map[string]Outcome{}}, nil
}

// Note adds what became of a transaction.
func (r *Record) Note(kind Kind, ref string, outcome Outcome) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.outcomes[kind] == nil {
		r.outcomes[kind] = map[string]Outcome{}
	}
	r.outcomes[kind][ref] = outcome
	_, err := fmt.Fprintf(r.file, "%s %s %s %s\n", time.Now().UTC().Format(time.RFC3339Nano), kind, ref, outcome)
	return err
}

// Of returns the outcomes of the transactions of a kind.
func (r *Record) Of(kind Kind) map[string]Outcome {
	r.mu.Lock()
	defer r.mu.Unlock()
	copied := make(map[string]Outcome, len(r.outcomes[kind]))
	for ref, outcome := range r.outcomes[kind] {
		copied[ref] = outcome
	}
	return copied
}

// Close ends the record.
func (r *Record) Close() error { return r.file.Close() }

// outcomeOf tells what a client knows after an error, or nil, from COMMIT. A server that says ERROR
// has rolled back. One that says FATAL may have committed before it was told to terminate
// (postgres.c, ProcessInterrupts, runs after CommitTransaction as well).
func outcomeOf(err error) Outcome {
	if err == nil {
		return Acknowledged
	}
	if errors.Is(err, pgx.ErrTxCommitRollback) {
		return RolledBack
	}
	if failed, ok := errors.AsType[*pgconn.PgError](err); ok && failed.SeverityUnlocalized == "ERROR" {
		return RolledBack
	}
	return Unknown
}
