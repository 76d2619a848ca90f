package catalog

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"
)

// The levels of PRAGMA synchronous: a commit waits for the disk, or not.
const (
	waitsNot = 1 // normal
	waits    = 2 // full
)

// What may be lost in a power failure has sessions of its own, so that nothing else ever uses one.
func TestOnlyLooseChangesDoNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	c := openFile(t)
	for _, test := range []struct {
		name   string
		change func(context.Context, func(*sql.Tx) error) error
		want   int
	}{{"change", c.change, waits}, {"changeLoosely", c.changeLoosely, waitsNot}} {
		err := test.change(t.Context(), func(tx *sql.Tx) error {
			var got int
			if err := tx.QueryRowContext(t.Context(), "PRAGMA synchronous").Scan(&got); err != nil {
				return err
			}
			if got != test.want {
				t.Errorf("%s: synchronous is %d, want %d", test.name, got, test.want)
			}
			return nil
		})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// openFile opens an empty record in an SQLite file.
func openFile(t *testing.T) *Catalog {
	t.Helper()
	c, err := Open(t.Context(), "sqlite://"+filepath.Join(t.TempDir(), "record.db"), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}
