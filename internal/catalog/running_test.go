package catalog_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/catalog"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// Whether a task runs is asked before it is certain that this program shall have the record.
func TestRunningLeavesTheRecordAsItIs(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, 15)
	server.Exec(t, "postgres", "CREATE SCHEMA record", "CREATE ROLE plain LOGIN")
	for name, url := range map[string]string{"SQLite": newFile(t), "PostgreSQL": inSchema(t, server, "record")} {
		t.Run(name, func(t *testing.T) {
			check := func(want int64) {
				t.Helper()
				number, running, err := catalog.Running(t.Context(), url, quiet())
				if err != nil || number != want || running != (want > 0) {
					t.Errorf("got %d, %t, %v, not %d", number, running, err, want)
				}
			}
			check(0)
			c := open(t, url)
			check(0)
			if err := c.AddInstance(t.Context(), upgrade.Instance{ID: "shop", CreatedAt: time.Now()}); err != nil {
				t.Fatal(err)
			}
			task, err := c.CreateTask(t.Context(), upgrade.Task{Kind: upgrade.TaskPrecheck, Instance: "shop", StartedAt: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			check(task.Number)
			if err := c.EndTask(t.Context(), task.Number, upgrade.Outcome{Status: upgrade.StatusFailed}, time.Now()); err != nil {
				t.Fatal(err)
			}
			check(0)
		})
	}
	t.Run("nothing is made", func(t *testing.T) {
		dir := t.TempDir()
		if _, running, err := catalog.Running(t.Context(), "sqlite://"+filepath.Join(dir, "record.db"), quiet()); running || err != nil {
			t.Errorf("got %t, %v", running, err)
		}
		if made, _ := filepath.Glob(filepath.Join(dir, "*")); len(made) > 0 {
			t.Errorf("made %v", made)
		}
		server.Exec(t, "postgres", "CREATE SCHEMA empty")
		if _, running, err := catalog.Running(t.Context(), inSchema(t, server, "empty"), quiet()); running || err != nil {
			t.Errorf("got %t, %v", running, err)
		}
		var tables int
		err := server.Connect(t, "postgres").QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname = 'empty'").Scan(&tables)
		if err != nil || tables > 0 {
			t.Errorf("made %d tables, %v", tables, err)
		}
	})
	t.Run("its cluster is known", func(t *testing.T) {
		var want string
		row := server.Connect(t, "postgres").QueryRow(t.Context(), "SELECT system_identifier::text FROM pg_control_system()")
		if err := row.Scan(&want); err != nil {
			t.Fatal(err)
		}
		server.Exec(t, "postgres", "CREATE DATABASE plain OWNER plain")
		plain := fmt.Sprintf("postgres://plain@127.0.0.1:%d/plain?sslmode=disable", server.Port)
		for name, test := range map[string]struct{ url, want string }{
			"to a role without privileges": {plain, want}, "of a file there is none": {newFile(t), ""},
		} {
			if got, err := open(t, test.url).SystemIdentifier(t.Context()); got != test.want || err != nil {
				t.Errorf("%s: got %q, %v, not %q", name, got, err, test.want)
			}
		}
		server.Exec(t, "plain", "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
		if got, err := open(t, plain).SystemIdentifier(t.Context()); got != "" || err != nil {
			t.Errorf("to a role that may not ask: got %q, %v", got, err)
		}
	})
}
