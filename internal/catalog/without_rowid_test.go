package catalog

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"
)

// What was used before the tables were rebuilt must not be let in afterwards.
func TestRebuildingKeepsNoncesAndCalls(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "record.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	provider, err := newProvider(db, goose.DialectSQLite3)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 7); err != nil {
		t.Fatal(err)
	}
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
}
