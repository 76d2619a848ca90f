package precheck

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// A materialized view that is being refreshed holds the check up only if it has to do with text search.
func TestStemmersWaitForNoRefresh(t *testing.T) {
	t.Parallel()
	source := pgtest.Start(t, pgtest.Versions(t)[0])
	source.Exec(t, "postgres", "CREATE MATERIALIZED VIEW busy AS SELECT 1 AS one")
	connect := func(begin string) *pgx.Conn {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), source.DSN("postgres"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(t.Context()) }) //nolint:errcheck // the server ends with it
		if _, err := conn.Exec(t.Context(), begin); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	connect("BEGIN; REFRESH MATERIALIZED VIEW busy")
	tx, err := connect("SET lock_timeout = '500ms'").Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	found, err := textSearchStemmers.Find(t.Context(), &Facts{}, Session{Database: "postgres", Ident: "postgres", Tx: tx})
	if err != nil || len(found) != 0 {
		t.Errorf("found %v (%v)", found, err)
	}
}
