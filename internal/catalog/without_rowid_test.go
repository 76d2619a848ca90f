package catalog

import (
	"database/sql"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
)

// beforeRebuilding is a record as it was until then.
func beforeRebuilding(t *testing.T, log *slog.Logger) (*sql.DB, *goose.Provider) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	provider, err := newProvider(db, goose.DialectSQLite3, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
	return db, provider
}

// Calls that are too many to be kept are not copied first.
func TestRebuildingLeavesOldCallsBehind(t *testing.T) {
	t.Parallel()
	db, _ := beforeRebuilding(t, slog.New(slog.DiscardHandler))
	err := changeIn(t.Context(), db, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(t.Context(), `
			INSERT INTO api_call VALUES (1, 'r', '', '', '', ''), (3, 'r', '', '', '', ''), (2, 'r', '', '', '', '')`); err != nil {
			return err
		}
		return rebuilding(" WITHOUT ROWID", "nonce", 2, slog.New(slog.DiscardHandler))(t.Context(), tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	left, err := collect(t.Context(), db, func(r row) (at int64, err error) { return at, r.Scan(&at) }, `
		SELECT at
		  FROM api_call
	  ORDER BY at`)
	if diff := cmp.Diff([]int64{2, 3}, left); diff != "" || err != nil {
		t.Errorf("calls (-want +got): %s, %v", diff, err)
	}
}

// What was used before the tables were rebuilt must not be let in afterwards.
func TestRebuildingKeepsNoncesAndCalls(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	db, provider := beforeRebuilding(t, slog.New(slog.NewTextHandler(&log, nil)))
	n := Nonce{AccessKey: "a", Nonce: "f0e1", ExpiresAt: time.UnixMicro(1_772_366_400_000_000)}
	if _, err := db.ExecContext(t.Context(), `
		INSERT INTO used_nonce VALUES ('a', 'f0e1', 1772366400000000);
		INSERT INTO api_call VALUES (2, 'r', 'who', 'what', 'object', 'result')`); err != nil {
		t.Fatal(err)
	}
	found := func() (nonce, request string) {
		t.Helper()
		if err := db.QueryRowContext(t.Context(), `
			SELECT nonce, request_id
			  FROM used_nonce, api_call`).Scan(&nonce, &request); err != nil {
			t.Fatal(err)
		}
		return nonce, request
	}
	for _, step := range []struct {
		version int64
		nonce   string
	}{{8, n.inTime()}, {7, n.Nonce}, {8, n.inTime()}} {
		migrateTo := provider.UpTo
		if step.version == 7 {
			migrateTo = provider.DownTo
		}
		if _, err := migrateTo(t.Context(), step.version); err != nil {
			t.Fatal(err)
		}
		nonce, request := found()
		if diff := cmp.Diff([]string{step.nonce, "r"}, []string{nonce, request}); diff != "" {
			t.Errorf("at version %d (-want +got):\n%s", step.version, diff)
		}
	}
	if told := strings.Count(log.String(), "rebuilding the record of calls"); told != 3 || !strings.Contains(log.String(), "calls=1\n") {
		t.Errorf("told %d times of 3 that it takes a while:\n%s", told, &log)
	}
}
