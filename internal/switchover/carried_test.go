package switchover

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// TestLargeObjectsComeAlong: whatever a client does to large objects, up to the last moment, is on the other
// side when it goes on there, and comes back with it. Only those that the user vouches for are left alone.
func TestLargeObjectsComeAlong(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	b := lay(t)
	b.source.Exec(t, "app", `SET ROLE app`, `SELECT lo_from_bytea(g, convert_to(repeat('x', 5000), 'UTF8')) FROM generate_series(1, 20) AS g`)
	b.source.Exec(t, "shop", `SELECT lo_create(4711)`)
	client := b.bouncer.Connect(t, "app", "app")
	config := b.config(t)
	config.Plan.Options.Accepted = []string{"large-objects:shop"}
	config.OnStep = func(step string) {
		if step == "pause" {
			_, err := client.Exec(t.Context(), `SELECT lo_unlink(1), lo_put(2, 4000, 'there'), lo_create(1001)`)
			must(t, "change large objects", err)
		}
	}
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	if !outcome.Switched {
		t.Fatalf("it did not switch: %s", outcome.Reason)
	}
	b.open(t, config)
	wantLargeObjects(t, b, "app", true)
	wantLargeObjects(t, b, "shop", false)

	_, err = client.Exec(t.Context(), `SELECT lo_unlink(3), lo_put(2, 4000, 'back!'), lo_create(1002)`)
	must(t, "change large objects on the target", err)
	back := b.backConfig(t)
	back.Plan.Options.Accepted = config.Plan.Options.Accepted
	outcome, err = Run(t.Context(), back)
	must(t, "switch back", err)
	if !outcome.Switched {
		t.Fatalf("it did not switch back: %s", outcome.Reason)
	}
	wantLargeObjects(t, b, "app", true)
	wantLargeObjects(t, b, "shop", false)
	var tail string
	must(t, "read what was written on the target", b.ours(t, b.source, "app").QueryRow(t.Context(),
		`SELECT convert_from(lo_get(2, 4000, 5), 'UTF8')`).Scan(&tail))
	if tail != "back!" {
		t.Errorf("the source has %q, want what was written on the target", tail)
	}
}

// wantLargeObjects tells whether both sides have the same.
func wantLargeObjects(t *testing.T, b *bed, database string, alike bool) {
	t.Helper()
	const query = `SELECT coalesce(string_agg(oid || md5(lo_get(oid)), ' ' ORDER BY oid), 'none') FROM pg_largeobject_metadata`
	var source, target string
	must(t, "read the source's", b.ours(t, b.source, database).QueryRow(t.Context(), query).Scan(&source))
	must(t, "read the target's", b.ours(t, b.target, database).QueryRow(t.Context(), query).Scan(&target))
	if (source == target) != alike {
		t.Errorf("database %s: alike is %t, want %t\nsource: %s\ntarget: %s", database, source == target, alike, source, target)
	}
}

// TestUnloggedTablesComeAlong: their rows, which no WAL has, are copied while nobody writes, there and back.
// Those that were accepted are left alone.
func TestUnloggedTablesComeAlong(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	b := lay(t,
		`CREATE UNLOGGED TABLE "Odd ""cache" (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "the key" text, gone int, twice int GENERATED ALWAYS AS (length("the key") * 2) STORED)`,
		`ALTER TABLE "Odd ""cache" DROP COLUMN gone`,
		`CREATE UNLOGGED TABLE child (FOREIGN KEY (id) REFERENCES "Odd ""cache") INHERITS ("Odd ""cache")`,
		`CREATE UNLOGGED TABLE empty ()`, `CREATE UNLOGGED TABLE scratch (id int)`,
		`GRANT ALL ON "Odd ""cache" TO app`)
	b.source.Exec(t, "app",
		`INSERT INTO "Odd ""cache" ("the key") SELECT E'a\tb\\' || g FROM generate_series(1, 3000) AS g`,
		`INSERT INTO child (id, "the key") OVERRIDING SYSTEM VALUE VALUES (7, NULL)`, `INSERT INTO empty DEFAULT VALUES`, `INSERT INTO scratch VALUES (1)`)
	client := b.bouncer.Connect(t, "app", "app")
	rehearsal := b.config(t)
	rehearsal.Rehearse = true
	for _, config := range []Config{rehearsal, b.config(t), b.backConfig(t)} {
		serving := b.source
		if config.Plan.Reversed {
			serving = b.target
		}
		worker := b.ours(t, serving, "app")
		config.Plan.Options.Accepted = []string{"unlogged-tables:app.public.scratch"}
		config.OnStep = func(step string) {
			if step == "pause" {
				_, err := client.Exec(t.Context(), `WITH gone AS (DELETE FROM "Odd ""cache" WHERE id % 3 = 0) INSERT INTO "Odd ""cache" ("the key") VALUES ('late')`)
				must(t, "write", err)
			}
			if step == "proof" { // everything is drained again, and the tables stay what they were copied as
				_, err := worker.Exec(t.Context(), "INSERT INTO public.entry (ref) VALUES (clock_timestamp()::text)")
				must(t, "write without a client", err)
				_, err = worker.Exec(t.Context(), `SET lock_timeout = '50ms'; INSERT INTO public."Odd ""cache" ("the key") VALUES ('too late')`)
				if !postgres.IsCode(err, "55P03") { // lock_not_available
					t.Errorf("a write to a table that was copied: %v, want it to wait", err)
				}
			}
		}
		outcome, err := Run(t.Context(), config)
		must(t, "switch over", err)
		if outcome.Rehearsed {
			_, err := client.Exec(t.Context(), `INSERT INTO "Odd ""cache" ("the key") VALUES ('after the rehearsal')`)
			must(t, "write after the rehearsal", err)
			continue
		}
		if !outcome.Switched {
			t.Fatalf("back %t: it did not switch: %s", config.Plan.Reversed, outcome.Reason)
		}
		b.open(t, config)
		for query, alike := range map[string]bool{
			`SELECT count(*) || md5(string_agg(c::text, ' ' ORDER BY id)) FROM ONLY public."Odd ""cache" AS c`: true,
			`SELECT string_agg(c::text, ' ') FROM public.child AS c`:                                           true,
			`SELECT count(*)::text FROM public.empty`:                                                          true,
			`SELECT count(*)::text FROM public.scratch`:                                                        false,
		} {
			var source, target string
			must(t, query, b.ours(t, b.source, "app").QueryRow(t.Context(), query).Scan(&source))
			must(t, query, b.ours(t, b.target, "app").QueryRow(t.Context(), query).Scan(&target))
			if (source == target) != alike {
				t.Errorf("back %t, %s: source has %s, target %s, want alike: %t", config.Plan.Reversed, query, source, target, alike)
			}
		}
	}
}

// TestUnloggedTablesMadeMeanwhile: rows that nobody would copy keep clients where the rows are. What became of unlogged
// tables since they were listed, on both sides alike as definitions are that are replayed, is refused under the freeze;
// everything is as before, and the next attempt copies them.
func TestUnloggedTablesMadeMeanwhile(t *testing.T) {
	t.Parallel()
	b := lay(t, "CREATE UNLOGGED TABLE cache (id int)", "CREATE TABLE kept (id int)")
	b.prepareWayBack(t)
	w := b.write(t)
	w.awaitMore(t, 50)
	for _, c := range []struct{ name, definition, row, undo string }{
		{"created", "CREATE UNLOGGED TABLE fresh (id int)", "INSERT INTO fresh VALUES (7)", "DROP TABLE fresh"},
		{"with a column more", "ALTER TABLE cache ADD COLUMN more int", "INSERT INTO cache VALUES (7, 8)", "ALTER TABLE cache DROP COLUMN more"},
		{"not logged any more", "ALTER TABLE kept SET UNLOGGED", "INSERT INTO kept VALUES (7)", "ALTER TABLE kept SET LOGGED"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := b.everything(t)
			outcome := b.switchMeanwhile(t, c.definition, c.row)
			if want := "unlogged tables were created or altered meanwhile; try again"; outcome.Switched || !strings.Contains(outcome.Reason, want) {
				t.Fatalf("it was to be refused for %q: %+v", want, outcome)
			}
			w.awaitMore(t, 20)
			b.wantServing(t, b.source)
			for _, side := range []*pgtest.Cluster{b.source, b.target} {
				side.Exec(t, "app", c.undo)
			}
			b.settled(t, before)
		})
	}
	outcome := b.switchMeanwhile(t, "SELECT", "INSERT INTO cache VALUES (7)")
	if !outcome.Switched {
		t.Fatalf("it did not switch: %s", outcome.Reason)
	}
	w.awaitMore(t, 20)
	w.stop(t)
	var sevens int
	must(t, "count", b.ours(t, b.target, "app").QueryRow(t.Context(), `SELECT count(*) FROM public.cache WHERE id = 7`).Scan(&sevens))
	if sevens != 2 {
		t.Errorf("%d rows on the target, want that of the last attempt and that of the one before", sevens)
	}
}

// switchMeanwhile begins a switchover; when it is prepared a definition changes on both sides, and a row is written.
func (b *bed) switchMeanwhile(t *testing.T, definition, row string) upgrade.Switchover {
	t.Helper()
	source, target := b.ours(t, b.source, "app"), b.ours(t, b.target, "app")
	config := b.config(t)
	config.OnStep = func(step string) {
		if step != "pause" {
			return
		}
		for _, conn := range []*pgx.Conn{source, target} {
			_, err := conn.Exec(t.Context(), "SET search_path = public; "+definition)
			must(t, definition, err)
		}
		_, err := source.Exec(t.Context(), row)
		must(t, row, err)
	}
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	return outcome
}
