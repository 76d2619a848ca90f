package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// writers is the part that this process takes among those that write a PostgreSQL record. Each has a row in a
// table and proves in every change that it is still there. Who is alone says so in its row and claims it for a
// moment, again and again. Who comes later waits until nobody says so, or until that moment must be over. No
// clock is compared with another one's: each waits by its own.
type writers struct {
	db, loose *sql.DB
	claim     *claim
	begin     func() // forgets what was remembered of an earlier time
	log       *slog.Logger

	id      atomic.Pointer[string] // of our row; it is ours when we may write
	joining sync.Mutex
	left    bool

	// Of the one that beats.
	sightings map[string]sighting
	stop      context.CancelFunc
	stopped   chan struct{}

	sharing sync.Mutex
	before  []func() bool
}

// sighting is what is known of another writer's life: it was seen at a beat, and so often since.
type sighting struct{ beats, missed int64 }

const (
	// beatEvery is how often each writer tells that it is there.
	beatEvery = time.Second
	// claimFor is how long a writer takes itself for the only one, from before it asked.
	claimFor = 2 * time.Second
	// respectFor is how long others leave it that. In what it is more, noted nonces can still be written.
	respectFor = 3 * time.Second
	// missedBeats are those after which a writer is taken for gone. If it is not, it has to join again.
	missedBeats = 60
	// askEvery is how often one who waits looks whether it may go on.
	askEvery = 20 * time.Millisecond
	// beatTimeout bounds one beat, leaveTimeout what is done at the end.
	beatTimeout, leaveTimeout = 5 * time.Second, 5 * time.Second
)

// errGone tells that a writer's row is not there: others have taken it for gone.
var errGone = errors.New("this server was taken for gone by another one with the same catalogue")

// BeforeOthersWrite has f called when this process is not the only one that writes the record any more, before others
// write. f returns true when everything is in the record that this process alone knew.
func (c *Catalog) BeforeOthersWrite(f func() bool) {
	if c.writers == nil {
		return
	}
	c.writers.sharing.Lock()
	defer c.writers.sharing.Unlock()
	c.writers.before = append(c.writers.before, f)
}

// start joins and beats until leave.
func (w *writers) start(ctx context.Context) error {
	if err := w.join(ctx, nil); err != nil {
		return fmt.Errorf("join those who write it: %w", err)
	}
	beating, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.stop, w.stopped = stop, make(chan struct{})
	go w.beatAll(beating)
	return nil
}

func (w *writers) beatAll(ctx context.Context) {
	defer close(w.stopped)
	ticker := time.NewTicker(beatEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := w.beat(ctx); err != nil && ctx.Err() == nil {
				w.log.DebugContext(ctx, "not known who else writes the catalogue", "error", err)
			}
		}
	}
}

const (
	lockWriters = `
LOCK TABLE writer IN SHARE ROW EXCLUSIVE MODE`

	insertWriter = `
INSERT INTO writer (id, host, pid, since, beats, alone)
VALUES ($1, $2, $3, $4, 0, 0)`

	selectOthersAlone = `
SELECT count(*)
  FROM writer
 WHERE alone = 1 AND id <> $1`

	deleteWriter = `
DELETE FROM writer
 WHERE id = $1`
)

// locked runs f while nobody joins and nobody else beats.
func (w *writers) locked(ctx context.Context, db *sql.DB, f func(tx *sql.Tx) error) error {
	return changeIn(ctx, db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, lockWriters); err != nil {
			return err
		}
		return f(tx)
	})
}

// join makes a row, unless that has been done since the former one was lost, and returns when this process
// may write: when nobody else claims to be alone.
func (w *writers) join(ctx context.Context, lost *string) error {
	w.joining.Lock()
	defer w.joining.Unlock()
	if w.left {
		return errors.New("the catalogue is closed")
	}
	if w.id.Load() != lost {
		return nil
	}
	host, _ := os.Hostname() // for people who look at the table
	id := newUUID()
	err := w.locked(ctx, w.db, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, insertWriter, id, legible(host), os.Getpid(), time.Now().UnixMicro())
		return err
	})
	if err == nil {
		err = w.awaitOthers(ctx, id)
	}
	if err != nil {
		w.forget(ctx, id)
		return err
	}
	if w.id.Store(&id); lost != nil {
		w.log.WarnContext(ctx, "joined those who write the catalogue again", "reason", errGone)
	}
	return nil
}

// awaitOthers returns when nobody else claims to be alone. Who is gone says so for ever: since our row is there
// nobody can claim it anew, so it must be over after a while.
func (w *writers) awaitOthers(ctx context.Context, id string) error {
	until := w.claim.now().Add(respectFor)
	for {
		var alone int
		if err := w.db.QueryRowContext(ctx, selectOthersAlone, id).Scan(&alone); err != nil {
			return err
		}
		if alone == 0 || !w.claim.now().Before(until) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(askEvery):
		}
	}
}

// forget deletes a row of ours. If it stays, others take it for gone after a while.
func (w *writers) forget(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTimeout)
	defer cancel()
	if _, err := w.db.ExecContext(ctx, deleteWriter, id); err != nil {
		w.log.DebugContext(ctx, "others do not learn that this server is gone, and wait", "error", err)
	}
}

// leave tells the others that this process writes no more.
func (w *writers) leave() {
	if w.stop == nil {
		return // it has never come
	}
	w.stop()
	<-w.stopped
	w.claim.giveUp()
	w.writeUnwritten()
	w.joining.Lock()
	defer w.joining.Unlock()
	w.left = true
	w.forget(context.Background(), *w.id.Load())
}

const selectOwnWriter = `
SELECT id
  FROM writer
 WHERE id = $1
   FOR KEY SHARE`

// prove makes sure that nobody takes this process for gone before tx has ended.
func prove(ctx context.Context, tx *sql.Tx, id string) error {
	err := tx.QueryRowContext(ctx, selectOwnWriter, id).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return errGone
	}
	return err
}

// proven runs f, which writes something and proves in the same transaction that the row with the id is there. If it
// is not, it is run once more when this process has joined again. What is written without it, some single statements,
// is nothing that anybody remembers.
func (w *writers) proven(ctx context.Context, f func(id string) error) error {
	if w == nil {
		return f("")
	}
	for range 2 {
		id := w.id.Load()
		if err := f(*id); !errors.Is(err, errGone) {
			return err
		}
		if err := w.rejoin(ctx, id); err != nil {
			return err
		}
	}
	return &upgrade.Refused{Reason: errGone.Error(), Remedy: "repeat it when the machine has less to do"}
}

func (w *writers) rejoin(ctx context.Context, lost *string) error {
	w.claim.giveUp()
	if err := w.join(ctx, lost); err != nil {
		return fmt.Errorf("%w, and joining again failed: %w", errGone, err)
	}
	return nil
}
