package precheck

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// What the check names stops the replication, and nothing else does; the remedy lets it go on.
func TestTruncateForeignKeys(t *testing.T) {
	t.Parallel()
	versions := pgtest.Versions(t)
	source, target := pgtest.Pair(t, versions[0], versions[len(versions)-1],
		pgtest.Config(map[string]string{"wal_retrieve_retry_interval": "100ms"})) // after which an apply worker is started again
	for _, c := range []*pgtest.Cluster{source, target} {
		c.Exec(t, "postgres", `
			CREATE TABLE marks (shape text PRIMARY KEY);
			CREATE TABLE whole (id int PRIMARY KEY) PARTITION BY LIST (id);
			CREATE TABLE whole_1 PARTITION OF whole FOR VALUES IN (1);
			CREATE TABLE plain (id int REFERENCES whole);
			CREATE TABLE parent (id int PRIMARY KEY);
			CREATE TABLE leaves (id int) PARTITION BY LIST (id);
			CREATE TABLE leaf PARTITION OF leaves (FOREIGN KEY (id) REFERENCES parent) FOR VALUES IN (1);

			CREATE TABLE orders (id int PRIMARY KEY);
			CREATE TABLE items (id int REFERENCES orders) PARTITION BY LIST (id);
			CREATE TABLE items_1 PARTITION OF items FOR VALUES IN (1);
			CREATE TABLE nodes (id int PRIMARY KEY, up int CONSTRAINT up REFERENCES nodes) PARTITION BY LIST (id);
			CREATE TABLE nodes_1 PARTITION OF nodes FOR VALUES IN (1);
			CREATE TABLE users (id int PRIMARY KEY);
			CREATE UNLOGGED TABLE sessions (id int REFERENCES users);`)
	}
	s := stage{source, target}
	report, err := run(t.Context(), []Check{truncateForeignKeys}, s.subject(t, upgrade.Options{}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"postgres.public.items.items_id_fkey", "postgres.public.nodes.up", "postgres.public.sessions.sessions_id_fkey"}
	if len(report.Findings) != 1 || !slices.Equal(report.Findings[0].Objects, want) || !report.Passed() {
		t.Errorf("found %v, passed: %t", report.Findings, report.Passed())
	}

	source.Exec(t, "postgres", "CREATE PUBLICATION p FOR ALL TABLES")
	target.Exec(t, "postgres", fmt.Sprintf(
		`CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=%d user=postgres dbname=postgres' PUBLICATION p WITH (copy_data = false)`, source.Port))
	truncate := func(command string) (arrived string) {
		source.Exec(t, "postgres", command, fmt.Sprintf("INSERT INTO marks VALUES ('%s')", command))
		return fmt.Sprintf("SELECT EXISTS (SELECT FROM marks WHERE shape = '%s')", command)
	}
	until(t, target, truncate("TRUNCATE whole, plain"))
	until(t, target, truncate("TRUNCATE parent CASCADE"))
	const keys = `SELECT string_agg(format('%s %s %s %s', conname, conrelid::regclass, confrelid::regclass, convalidated), ', ' ORDER BY conrelid, confrelid)
		FROM pg_constraint WHERE contype = 'f'`
	to := target.Connect(t, "postgres")
	before := value(t, to, keys)
	for _, shape := range []struct{ command, refused, table, key string }{
		{"TRUNCATE orders, items", `Table "items" references "orders".`, "items", "items_id_fkey FOREIGN KEY (id) REFERENCES orders"},
		{"TRUNCATE nodes", `Table "nodes" references "nodes_1".`, "nodes", "up FOREIGN KEY (up) REFERENCES nodes"},
		{"TRUNCATE users CASCADE", `Table "sessions" references "users".`, "sessions", "sessions_id_fkey FOREIGN KEY (id) REFERENCES users"},
	} {
		arrived := truncate(shape.command)
		until(t, target, fmt.Sprintf(`SELECT strpos(pg_read_file('%s/server.log'), '%s') > 0`, target.SocketDir, shape.refused))
		name, _, _ := strings.Cut(shape.key, " ")
		target.Exec(t, "postgres", fmt.Sprintf(`SET session_replication_role = replica; ALTER TABLE %s DROP CONSTRAINT %s`, shape.table, name))
		until(t, target, arrived)
		target.Exec(t, "postgres", fmt.Sprintf(`SET session_replication_role = replica; ALTER TABLE %s ADD CONSTRAINT %s`, shape.table, shape.key))
	}
	if after := value(t, to, keys); after != before {
		t.Errorf("keys of the target:\n%s\nbefore:\n%s", after, before)
	}
	target.Exec(t, "postgres", "DROP SUBSCRIPTION s")
}

// A key that is not enforced makes no trigger, and TRUNCATE looks at tables with triggers only: what refers to one of
// them is not among them if it has none itself, even where it is truncated too.
func TestTruncateForeignKeysNotEnforced(t *testing.T) {
	t.Parallel()
	source, target := pgtest.Pair(t, 18, 19, pgtest.Config(map[string]string{"wal_retrieve_retry_interval": "100ms"}))
	for _, c := range []*pgtest.Cluster{source, target} {
		c.Exec(t, "postgres", `
			CREATE TABLE marks (shape text PRIMARY KEY);
			CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
			CREATE TABLE orders (id int PRIMARY KEY);
			CREATE TABLE items (id int REFERENCES orders NOT ENFORCED) PARTITION BY LIST (id);
			CREATE TABLE items_1 PARTITION OF items FOR VALUES IN (1);
			CREATE UNLOGGED TABLE cache (id int REFERENCES orders NOT ENFORCED);
			CREATE TABLE nodes (id int PRIMARY KEY, up int REFERENCES nodes NOT ENFORCED) PARTITION BY LIST (id);
			CREATE TABLE nodes_1 PARTITION OF nodes FOR VALUES IN (1);

			CREATE TABLE watched (id int PRIMARY KEY);
			CREATE TRIGGER watch BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION watch();
			CREATE TABLE parts (id int REFERENCES watched NOT ENFORCED) PARTITION BY LIST (id);
			CREATE TABLE parts_1 PARTITION OF parts FOR VALUES IN (1);
			CREATE TABLE seen (id int PRIMARY KEY);
			CREATE TRIGGER watch BEFORE INSERT ON seen FOR EACH ROW EXECUTE FUNCTION watch();
			CREATE TABLE seeing (id int REFERENCES seen NOT ENFORCED);
			CREATE TRIGGER watch BEFORE INSERT ON seeing FOR EACH ROW EXECUTE FUNCTION watch();
			CREATE TABLE heard (id int PRIMARY KEY);
			CREATE TRIGGER watch BEFORE INSERT ON heard FOR EACH ROW EXECUTE FUNCTION watch();
			CREATE TABLE notes (id int REFERENCES heard NOT ENFORCED);
			CREATE TABLE trees (id int PRIMARY KEY, up int REFERENCES trees NOT ENFORCED) PARTITION BY LIST (id);
			CREATE TABLE trees_1 PARTITION OF trees FOR VALUES IN (1);
			CREATE TRIGGER watch BEFORE INSERT ON trees_1 FOR EACH ROW EXECUTE FUNCTION watch();`)
	}
	s := stage{source, target}
	report, err := run(t.Context(), []Check{truncateForeignKeys}, s.subject(t, upgrade.Options{}), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"postgres.public.notes.notes_id_fkey", "postgres.public.parts.parts_id_fkey", "postgres.public.trees.trees_up_fkey"}
	if len(report.Findings) != 1 || !slices.Equal(report.Findings[0].Objects, want) {
		t.Errorf("found %v, want %q", report.Findings, want)
	}
	source.Exec(t, "postgres", "CREATE PUBLICATION p FOR ALL TABLES")
	target.Exec(t, "postgres", fmt.Sprintf(
		`CREATE SUBSCRIPTION s CONNECTION 'host=127.0.0.1 port=%d user=postgres dbname=postgres' PUBLICATION p WITH (copy_data = false)`, source.Port))
	for _, command := range []string{"TRUNCATE orders, items", "TRUNCATE orders CASCADE", "TRUNCATE nodes CASCADE", "TRUNCATE orders", "TRUNCATE seen CASCADE"} {
		source.Exec(t, "postgres", command, fmt.Sprintf("INSERT INTO marks VALUES ('%s')", command))
		until(t, target, fmt.Sprintf("SELECT EXISTS (SELECT FROM marks WHERE shape = '%s')", command))
	}
	for _, shape := range []struct{ command, refused, undo string }{
		{"TRUNCATE heard CASCADE", `Table "notes" references "heard".`, "ALTER TABLE notes DROP CONSTRAINT notes_id_fkey"},
		{"TRUNCATE trees CASCADE", `Table "trees" references "trees_1".`, "ALTER TABLE trees DROP CONSTRAINT trees_up_fkey"},
		{"TRUNCATE watched CASCADE", `Table "parts" references "watched".`, "ALTER TABLE parts DROP CONSTRAINT parts_id_fkey"},
	} {
		source.Exec(t, "postgres", shape.command)
		until(t, target, fmt.Sprintf(`SELECT strpos(pg_read_file('%s/server.log'), '%s') > 0`, target.SocketDir, shape.refused))
		target.Exec(t, "postgres", shape.undo)
	}
	target.Exec(t, "postgres", "DROP SUBSCRIPTION s")
}

func value(t *testing.T, conn *pgx.Conn, query string) (text string) {
	t.Helper()
	if err := conn.QueryRow(t.Context(), query).Scan(&text); err != nil {
		t.Fatal(err)
	}
	return text
}
