package catalog

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"testing"
)

// The levels of PRAGMA synchronous: a commit waits for the disk, or not.
const (
	waitsNot = 1 // normal
	waits    = 2 // full
)

func TestWhoComesAfterALooseChangeWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	failure := errors.New("as planned")
	insert := func(ctx context.Context, tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, upsertSetting, "kept", "yes")
		return err
	}
	for _, test := range []struct {
		name  string
		f     func(ctx context.Context, cancel func(), tx *sql.Tx) error
		fails bool
	}{
		{"what succeeds", func(ctx context.Context, _ func(), tx *sql.Tx) error {
			return insert(ctx, tx)
		}, false},
		{"what fails", func(ctx context.Context, _ func(), tx *sql.Tx) error {
			return errors.Join(insert(ctx, tx), failure)
		}, true},
		{"a statement that fails", func(ctx context.Context, _ func(), tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, "INSERT INTO nowhere VALUES (1)")
			return errors.Join(insert(ctx, tx), err)
		}, true},
		{"a cancel meanwhile", func(ctx context.Context, cancel func(), tx *sql.Tx) error {
			err := insert(ctx, tx)
			cancel()
			for range 1000 { // database/sql may undo a transaction by itself then, when it gets to it
				if _, undone := tx.ExecContext(context.Background(), "SELECT 1"); undone != nil {
					break
				}
			}
			return errors.Join(err, ctx.Err())
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := openFile(t)
			for range 500 { // a cancel is noticed sooner or later
				ctx, cancel := context.WithCancel(t.Context())
				err := c.changeLoosely(ctx, func(tx *sql.Tx) error {
					checkSynchronous(t, tx, waitsNot)
					return test.f(ctx, cancel, tx)
				})
				cancel()
				if (err != nil) != test.fails {
					t.Errorf("got error %v", err)
				}
				checkSynchronous(t, c.write, waits)
				if _, err := c.Setting(t.Context(), "kept"); (err != nil) != test.fails {
					t.Errorf("what was written: %v", err)
				}
			}
		})
	}
}

func TestALooseChangeThatIsNotBegunChangesNothing(t *testing.T) {
	t.Parallel()
	c := openFile(t)
	for range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		go cancel() // before, while or after commits are loosened
		_ = c.changeLoosely(ctx, func(*sql.Tx) error { return nil })
		checkSynchronous(t, c.write, waits)
	}
}

func checkSynchronous(t *testing.T, db asker, want int) {
	t.Helper()
	var got int
	if err := db.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&got); err != nil || got != want {
		t.Errorf("synchronous is %d (%v), want %d", got, err, want)
	}
}

func openFile(t *testing.T) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "record.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}
