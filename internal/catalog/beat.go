package catalog

import (
	"context"
	"database/sql"
	"errors"
)

// writer is a row of the table.
type writer struct {
	id    string
	beats int64
	alone int // 1: it is, or was when it was seen last
}

func scanWriter(r row) (w writer, err error) { return w, r.Scan(&w.id, &w.beats, &w.alone) }

const (
	lockOwnWriter = `
SELECT id
  FROM writer
 WHERE id = $1
   FOR UPDATE`

	// What is selected is as it was before.
	beatAndSelectWriters = `
WITH
    beaten AS (
        UPDATE writer
           SET beats = beats + 1
         WHERE id = $1
    )
SELECT id, beats, alone
  FROM writer`

	updateWriterAlone = `
UPDATE writer
   SET alone = $2
 WHERE id = $1`
)

// beat tells the others that this process is there, and claims to be alone if there are none.
func (w *writers) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beatTimeout)
	defer cancel()
	id, former, asked := w.id.Load(), w.claim.lease.Load(), w.claim.now()
	// What one who is alone has written of itself need not be written again, so nothing is lost with it.
	db := w.db
	steady := former.holds(asked)
	if steady {
		db = w.loose
	}
	var alone, said bool
	err := w.locked(ctx, db, func(tx *sql.Tx) (err error) {
		if alone, said, err = w.look(ctx, tx, *id); err != nil {
			return err
		}
		if alone && !steady {
			err = awaitOwnChanges(ctx, tx, *id)
		}
		if err == nil && alone && !said {
			_, err = tx.ExecContext(ctx, updateWriterAlone, *id, 1)
		}
		return err
	})
	switch {
	case errors.Is(err, errGone):
		return w.rejoin(ctx, id)
	case err != nil:
		return err
	case alone:
		w.claim.extend(former, asked.Add(claimFor), func() {
			w.begin()
			w.log.InfoContext(ctx, "nobody else writes the catalogue: requests are answered from memory")
		})
	case said:
		return w.share(ctx, *id)
	}
	return nil
}

// awaitOwnChanges returns when no change of this process is under way: one whose end it was not told, because the
// connection was lost, may be.
func awaitOwnChanges(ctx context.Context, tx *sql.Tx, id string) error {
	_, err := tx.ExecContext(ctx, lockOwnWriter, id)
	return err
}

// look tells whether there are no others, after it has deleted those that have not beaten for long, and what our row
// has said of that so far. Changes of theirs that are under way end first.
func (w *writers) look(ctx context.Context, tx *sql.Tx, id string) (alone, said bool, err error) {
	all, err := collect(ctx, tx, scanWriter, beatAndSelectWriters, id)
	if err != nil {
		return false, false, err
	}
	alone = true
	found, seen := false, map[string]sighting{}
	for _, other := range all {
		if other.id == id {
			found, said = true, other.alone == 1
			continue
		}
		s, known := w.sightings[other.id]
		if s.missed++; !known || s.beats != other.beats {
			s = sighting{beats: other.beats}
		}
		if s.missed < missedBeats {
			seen[other.id] = s
			alone = false
			continue
		}
		if _, err := tx.ExecContext(ctx, deleteWriter, other.id); err != nil {
			return false, false, err
		}
		w.log.WarnContext(ctx, "another server with this catalogue has not been seen for long and is taken for gone", "writer", other.id)
	}
	if !found {
		return false, false, errGone
	}
	w.sightings = seen
	return alone, said, nil
}

// share lets others write, when what only this process knew has been written.
func (w *writers) share(ctx context.Context, id string) error {
	w.claim.giveUp()
	if !w.writeUnwritten() {
		return nil // they wait until the claim must be over
	}
	w.log.InfoContext(ctx, "another server writes the catalogue, too: it is asked in every request")
	_, err := w.db.ExecContext(ctx, updateWriterAlone, id, 0)
	return err
}

func (w *writers) writeUnwritten() bool {
	w.sharing.Lock()
	before := w.before
	w.sharing.Unlock()
	written := true
	for _, f := range before {
		written = f() && written
	}
	return written
}
