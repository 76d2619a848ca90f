package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// Materialized views come after those that they read, even if they are older.
func TestMaterializedViewsInOrder(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	conn := c.Connect(t, "postgres")
	if views, err := postgres.MaterializedViews(t.Context(), conn); err != nil || len(views) > 0 {
		t.Errorf("there are none, and yet: %v, %v", views, err)
	}
	c.Exec(t, "postgres", `
		CREATE SCHEMA "S x";
		CREATE TABLE t (id int);
		CREATE VIEW plain AS SELECT 0::bigint AS n;
		CREATE MATERIALIZED VIEW last AS SELECT n FROM plain;
		CREATE MATERIALIZED VIEW "S x"."Middle" AS SELECT count(*) AS n FROM t;
		CREATE MATERIALIZED VIEW first AS SELECT count(*) AS n FROM t WITH NO DATA;
		CREATE VIEW between AS SELECT sum(n)::bigint AS n FROM "S x"."Middle";
		CREATE OR REPLACE VIEW plain AS SELECT n FROM between;
		CREATE VIEW round1 AS SELECT 1 AS n; CREATE VIEW round2 AS SELECT n FROM round1;
		CREATE OR REPLACE VIEW round1 AS SELECT n FROM round2`)
	views, err := postgres.MaterializedViews(t.Context(), conn)
	must(t, "list", err)
	want := []postgres.MaterializedView{{Name: `"S x"."Middle"`, Populated: true}, {Name: "public.last", Populated: true}, {Name: "public.first"}}
	if diff := cmp.Diff(want, views); diff != "" {
		t.Errorf("views (-want +got):\n%s", diff)
	}
}

// A refresh finds what the view's owner would find, fires nobody's triggers, and its failure changes
// nothing.
func TestRefreshMaterializedView(t *testing.T) {
	t.Parallel()
	for _, major := range pgtest.Versions(t) {
		t.Run(fmt.Sprint(major), func(t *testing.T) { testRefresh(t, pgtest.Start(t, major)) })
	}
}

func testRefresh(t *testing.T, c *pgtest.Cluster) {
	c.Exec(t, "postgres", `
		CREATE ROLE owner; CREATE SCHEMA shop AUTHORIZATION owner;
		ALTER ROLE owner SET search_path = shop;
		SET ROLE owner; SET search_path = shop;
		CREATE TABLE sale (amount int);
		CREATE FUNCTION total() RETURNS bigint STABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT sum(amount) FROM sale); END';
		CREATE MATERIALIZED VIEW shares AS SELECT 12 / amount AS share FROM sale;
		CREATE MATERIALIZED VIEW by_function AS SELECT shop.total() AS total WITH NO DATA;
		INSERT INTO sale VALUES (1), (2);
		RESET ROLE;
		CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'fired'; END$$;
		CREATE EVENT TRIGGER refuse ON ddl_command_start EXECUTE FUNCTION refuse()`)
	quiet := postgres.Login{
		Address: login(c).Address, Database: "postgres", User: c.Superuser,
		Settings: map[string]string{"session_replication_role": "replica"},
	}
	conn, err := postgres.Connect(t.Context(), quiet)
	must(t, "connect", err)
	defer conn.Close(t.Context())
	const shares = `SELECT share::text FROM shop.shares ORDER BY share`

	twice(t, "refresh", func() error { return postgres.RefreshMaterializedView(t.Context(), conn, "shop.shares", true) })
	if diff := cmp.Diff([]string{"12", "6"}, lines(t, conn, shares)); diff != "" {
		t.Errorf("refreshed (-want +got):\n%s", diff)
	}
	if c.Major < 17 { // from 17 on only the function's own search_path counts (matview.c, RefreshMatViewByOid)
		must(t, "refresh by function", postgres.RefreshMaterializedView(t.Context(), conn, "shop.by_function", true))
	}
	c.Exec(t, "postgres", `INSERT INTO shop.sale VALUES (0)`)
	err = postgres.RefreshMaterializedView(t.Context(), conn, "shop.shares", true)
	if err == nil || !strings.Contains(err.Error(), "shop.shares in postgres: ERROR: division by zero") {
		t.Errorf("a refresh that fails: %v", err)
	}
	if diff := cmp.Diff([]string{"12", "6"}, lines(t, conn, shares)); diff != "" {
		t.Errorf("after a refresh that failed (-want +got):\n%s", diff)
	}
	must(t, "empty", postgres.RefreshMaterializedView(t.Context(), conn, "shop.shares", false))
	if _, err := conn.Exec(t.Context(), shares); err == nil || !strings.Contains(err.Error(), "has not been populated") {
		t.Errorf("read of what was emptied: %v", err)
	}
}

// A refresh that is cancelled ends on the server too.
func TestRefreshIsCancelled(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	c.Exec(t, "postgres", `CREATE MATERIALIZED VIEW slow AS SELECT pg_sleep(3600)::text AS slept WITH NO DATA`)
	conn, watcher := c.Connect(t, "postgres"), c.Connect(t, "postgres")
	const running = `SELECT pid::text FROM pg_stat_activity WHERE query LIKE 'REFRESH%' AND state = 'active'`
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- postgres.RefreshMaterializedView(ctx, conn, "public.slow", true) }()
	until(t, "the refresh to begin", func() bool { return len(lines(t, watcher, running)) > 0 })
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	until(t, "the refresh to end", func() bool { return len(lines(t, watcher, running)) == 0 })
}
