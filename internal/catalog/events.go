package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// NumberedEvent is an event and its place in the log of its task: 1, 2, 3, without gaps.
type NumberedEvent struct {
	Seq int64 `json:"seq"`
	upgrade.Event
}

const (
	selectLastEvent = `
SELECT coalesce(max(seq), 0)
  FROM event
 WHERE task = $1`

	selectBatch = `
SELECT count(*)
  FROM event
 WHERE task = $1 AND batch = $2`

	insertEvent = `
INSERT INTO event (task, seq, batch, at, level, phase, message)
VALUES ($1, $2, $3, $4, $5, $6, $7)`
)

// AppendEvents adds a batch of events to the log of a task. The key is unique within the task:
// a batch that has been written already is left as it is. They appear in the log in the order in
// which batches are committed, so whoever follows the log misses none.
func (c *Catalog) AppendEvents(ctx context.Context, number int64, key string, events []upgrade.Event) error {
	if len(events) == 0 {
		return nil
	}
	if key == "" {
		return inTask(errors.New("the batch has no key"), "append events to", number)
	}
	err := c.change(ctx, func(tx *sql.Tx) error {
		if _, err := lockTask(ctx, tx, number); err != nil {
			return err
		}
		var written int64
		if err := tx.QueryRowContext(ctx, selectBatch, number, key).Scan(&written); err != nil || written > 0 {
			return err
		}
		return insertEvents(ctx, tx, number, key, events)
	})
	return inTask(err, "append events to", number)
}

func insertEvents(ctx context.Context, tx *sql.Tx, number int64, key string, events []upgrade.Event) error {
	var seq int64
	if err := tx.QueryRowContext(ctx, selectLastEvent, number).Scan(&seq); err != nil {
		return err
	}
	var lines strings.Builder
	for _, e := range events {
		seq++
		lines.WriteString(logLine(e.At, e.Text))
		_, err := tx.ExecContext(ctx, insertEvent, number, seq, key, instant{&e.At}, e.Level, e.Phase, legible(e.Text))
		if err != nil {
			return err
		}
	}
	return appendLog(ctx, tx, number, lines.String())
}

const updateLog = `
UPDATE task
   SET log = log || $2
 WHERE number = $1`

// appendLog adds lines to the log of a task as people read it.
func appendLog(ctx context.Context, tx *sql.Tx, number int64, lines string) error {
	if _, err := tx.ExecContext(ctx, updateLog, number, lines); err != nil {
		return err
	}
	return touch(ctx, tx, number)
}

const selectEvents = `
  SELECT seq, at, level, phase, message
    FROM event
   WHERE task = $1 AND seq > $2
ORDER BY seq
   LIMIT $3`

// Events returns the events of a task that come after a place in its log, at most so many
// (0: all). A task that does not exist has none.
func (c *Catalog) Events(ctx context.Context, number, afterSeq int64, atMost int) ([]NumberedEvent, error) {
	events, err := collect(ctx, c.read, scanEvent, selectEvents, number, afterSeq, limit(atMost))
	if err != nil {
		return nil, fmt.Errorf("read events of task %d: %w", number, err)
	}
	return events, nil
}

func scanEvent(r row) (NumberedEvent, error) {
	var e NumberedEvent
	err := r.Scan(&e.Seq, instant{&e.At}, &e.Level, &e.Phase, &e.Text)
	return e, err
}
