package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// identityTables has a table of each kind that can and cannot be given FULL, each with (id, v).
const identityTables = `
	CREATE TABLE good (id int PRIMARY KEY, v int);
	CREATE TABLE none (id int, v int);
	CREATE TABLE nothing (id int PRIMARY KEY, v int);
	ALTER TABLE nothing REPLICA IDENTITY NOTHING;
	CREATE TABLE deferred (id int PRIMARY KEY DEFERRABLE, v int);
	CREATE TABLE dropped (id int NOT NULL, v int);
	CREATE UNIQUE INDEX dropped_id ON dropped (id);
	ALTER TABLE dropped REPLICA IDENTITY USING INDEX dropped_id;
	DROP INDEX dropped_id;
	CREATE TABLE invalid (id int NOT NULL, v int);
	CREATE UNIQUE INDEX "Invalid id" ON invalid (id);
	ALTER TABLE invalid REPLICA IDENTITY USING INDEX "Invalid id";
	UPDATE pg_index SET indisvalid = false WHERE indexrelid = '"Invalid id"'::regclass;
	CREATE TABLE parent (id int, v int) PARTITION BY LIST (id);
	CREATE TABLE "Part 1" PARTITION OF parent FOR VALUES IN (1, 2);
	CREATE TABLE documents (id int, v json);
	CREATE TABLE computed (id int, v int, twice int GENERATED ALWAYS AS (v * 2) STORED);
	CREATE TABLE by_computed (id int, v int, twice int GENERATED ALWAYS AS (id * 2) STORED PRIMARY KEY);
	CREATE UNLOGGED TABLE cache (id int, v int);`

// identitiesNow is what ALTER TABLE ... REPLICA IDENTITY has left in the catalogs.
const identitiesNow = `
	SELECT format('%s %s %s', c.oid::regclass, c.relreplident,
		(SELECT string_agg(i.indexrelid::regclass::text, ',') FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident))
	FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
	WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'
	ORDER BY c.oid::regclass::text COLLATE "C"`

func lines(t *testing.T, conn *pgx.Conn, query string) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), query)
	must(t, "ask", err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(t, "ask", err)
	return all
}

// Tables without an identity get FULL, their updates and deletes are replicated, and then they have
// what they had, to the letter.
func TestFullIdentity(t *testing.T) {
	t.Parallel()
	versions := pgtest.Versions(t)
	source, target := pgtest.Pair(t, versions[0], versions[len(versions)-1])
	for _, c := range []*pgtest.Cluster{source, target} {
		c.Exec(t, "postgres", identityTables)
	}
	from, to := source.Connect(t, "postgres"), target.Connect(t, "postgres")
	before := lines(t, from, identitiesNow)
	newest := versions[len(versions)-1]
	given, err := postgres.TablesWithoutIdentity(t.Context(), from, newest)
	must(t, "list tables", err)
	var names []string
	for _, table := range given {
		names = append(names, table.String())
		twice(t, "give identity", func() error { return postgres.GiveFullIdentity(t.Context(), from, table) })
		table.OID = 0
		must(t, "give identity", postgres.GiveFullIdentity(t.Context(), to, table))
	}
	want := []string{`"public"."Part 1"`, `"public"."deferred"`, `"public"."dropped"`, `"public"."invalid"`, `"public"."none"`, `"public"."nothing"`}
	tables := []string{"good", "none", "nothing", "deferred", "dropped", "invalid", "parent"}
	if newest < 18 { // a later server refuses updates of tables with FULL and generated columns
		want = append(want, `"public"."computed"`)
		tables = append(tables, "computed")
	}
	slices.Sort(want)
	if slices.Sort(names); !slices.Equal(names, want) {
		t.Errorf("tables: %v", names)
	}
	if left, err := postgres.TablesWithoutIdentity(t.Context(), from, newest); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}

	source.Exec(t, "postgres", "CREATE PUBLICATION p FOR ALL TABLES")
	target.Exec(t, "postgres", fmt.Sprintf(`
		CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=%d user=postgres dbname=postgres' PUBLICATION p WITH (copy_data = false)`, source.Port))
	for _, table := range tables {
		source.Exec(t, "postgres",
			"INSERT INTO "+table+" VALUES (1, 1), (2, NULL)", "UPDATE "+table+" SET v = 3 WHERE id = 1", "DELETE FROM "+table+" WHERE id = 2")
	}
	for _, table := range tables {
		until(t, "the changes of "+table, func() bool {
			return slices.Equal(lines(t, to, "SELECT concat(id, ' ', v) FROM "+table), []string{"1 3"})
		})
	}

	if newest >= 18 { // as clients of the target would find it, which publishes for the way back
		target.Exec(t, "postgres", "ALTER TABLE computed REPLICA IDENTITY FULL", "CREATE PUBLICATION back FOR ALL TABLES")
		for _, table := range []string{"computed", "by_computed"} {
			if _, err := to.Exec(t.Context(), "UPDATE "+table+" SET v = 4"); err == nil || !strings.Contains(err.Error(), table) {
				t.Errorf("update of %s: %v", table, err)
			}
		}
		target.Exec(t, "postgres", "DROP PUBLICATION back", "ALTER TABLE computed REPLICA IDENTITY DEFAULT")
	}

	target.Exec(t, "postgres", "DROP SUBSCRIPTION s")
	source.Exec(t, "postgres", "DROP PUBLICATION p")
	for _, table := range given {
		twice(t, "restore", func() error { return postgres.RestoreIdentity(t.Context(), from, table) })
		table.OID = 0
		twice(t, "restore", func() error { return postgres.RestoreIdentity(t.Context(), to, table) })
	}
	for _, conn := range []*pgx.Conn{from, to} {
		if diff := cmp.Diff(before, lines(t, conn, identitiesNow)); diff != "" {
			t.Errorf("identities (-before +after):\n%s", diff)
		}
	}
	// What the catalogs were set to is what PostgreSQL itself goes by.
	source.Exec(t, "postgres", "REINDEX INDEX \"Invalid id\"", "CREATE PUBLICATION p FOR TABLE invalid", "UPDATE invalid SET v = 4")
}

// What happens to tables between the note and the end of the upgrade is respected.
func TestFullIdentityOfTablesThatChange(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	c.Exec(t, "postgres", `
		CREATE TABLE gone (id int); CREATE TABLE renamed (id int); CREATE TABLE "made anew" (id int);
		CREATE TABLE keyed (id int); CREATE TABLE late (id int NOT NULL)`)
	conn := c.Connect(t, "postgres")
	tables, err := postgres.TablesWithoutIdentity(t.Context(), conn, c.Major)
	must(t, "list tables", err)
	c.Exec(t, "postgres", `DROP TABLE gone`)
	for _, table := range tables {
		if table.Name != "late" { // as if the agent had died before it
			must(t, "give identity", postgres.GiveFullIdentity(t.Context(), conn, table))
		}
	}
	c.Exec(t, "postgres", `
		ALTER TABLE renamed RENAME TO "New name";
		DROP TABLE "made anew"; CREATE TABLE "made anew" (id int); ALTER TABLE "made anew" REPLICA IDENTITY FULL;
		ALTER TABLE keyed ADD PRIMARY KEY (id), REPLICA IDENTITY NOTHING;
		ALTER TABLE late ADD UNIQUE (id), REPLICA IDENTITY USING INDEX late_id_key`)
	for _, table := range tables {
		must(t, "restore", postgres.RestoreIdentity(t.Context(), conn, table))
	}
	want := []string{`"New name" d `, `"made anew" f `, `keyed n `, `late i late_id_key`}
	if diff := cmp.Diff(want, lines(t, conn, identitiesNow)); diff != "" {
		t.Errorf("identities (-want +got):\n%s", diff)
	}
}

// A table that a client works with is waited for without keeping others from it.
func TestFullIdentityOfABusyTable(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	c.Exec(t, "postgres", `CREATE TABLE busy (id int)`)
	holder, conn := c.Connect(t, "postgres"), c.Connect(t, "postgres")
	tables, err := postgres.TablesWithoutIdentity(t.Context(), conn, c.Major)
	must(t, "list tables", err)
	_, err = holder.Exec(t.Context(), `BEGIN; INSERT INTO busy VALUES (1)`)
	must(t, "hold", err)

	ctx, cancel := context.WithCancel(t.Context())
	given := make(chan error, 1)
	go func() { given <- postgres.GiveFullIdentity(ctx, conn, tables[0]) }()
	watcher := c.Connect(t, "postgres")
	until(t, "an attempt", func() bool {
		return len(lines(t, watcher, `SELECT pid::text FROM pg_locks WHERE relation = 'busy'::regclass AND NOT granted`)) > 0
	})
	c.Exec(t, "postgres", `INSERT INTO busy VALUES (2)`) // the holder is still there
	cancel()
	if err := <-given; !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}

	conn = c.Connect(t, "postgres")
	go func() { given <- postgres.GiveFullIdentity(t.Context(), conn, tables[0]) }()
	until(t, "an attempt", func() bool {
		return len(lines(t, watcher, `SELECT pid::text FROM pg_locks WHERE relation = 'busy'::regclass AND NOT granted`)) > 0
	})
	_, err = holder.Exec(t.Context(), `COMMIT`)
	must(t, "let go", err)
	must(t, "give identity", <-given)
	if got := lines(t, watcher, identitiesNow); !slices.Equal(got, []string{"busy f "}) {
		t.Errorf("identities: %v", got)
	}
}

// until polls until a condition holds.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for tick := time.NewTicker(2 * time.Millisecond); !holds(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
