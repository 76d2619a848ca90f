package postgres_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// What holds something needs statistics: partitioned tables their own. What is empty needs none.
func TestStatistics(t *testing.T) {
	for _, version := range pgtest.Versions(t) {
		if version < 14 { // no target is
			continue
		}
		c := pgtest.Start(t, version, pgtest.Config(map[string]string{"autovacuum": "off"}))
		c.Exec(t, "postgres", `
			CREATE TABLE big AS SELECT n AS id, 'some text'::text AS t FROM generate_series(1, 2000) n;
			CREATE TABLE "Small one" AS SELECT 1 AS id;
			CREATE TABLE empty (id int);
			CREATE TABLE deleted AS SELECT 1 AS id; DELETE FROM deleted;
			CREATE TABLE nothing_wanted AS SELECT 1 AS id; ALTER TABLE nothing_wanted ALTER id SET STATISTICS 0;
			CREATE TABLE measured (day int, v int) PARTITION BY RANGE (day);
			CREATE TABLE m1 PARTITION OF measured FOR VALUES FROM (1) TO (10) PARTITION BY RANGE (v);
			CREATE TABLE m11 PARTITION OF m1 FOR VALUES FROM (1) TO (10);
			INSERT INTO measured SELECT n % 9 + 1, n % 9 + 1 FROM generate_series(1, 1000) n`)
		conn := c.Connect(t, "postgres")
		lacking := func(step string, want ...string) {
			t.Helper()
			got, err := postgres.WithoutStatistics(t.Context(), conn)
			if len(want) == 0 {
				want = []string{}
			}
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%d, %s: without statistics (-want +got):\n%s %v", version, step, diff, err)
			}
		}
		lacking("new", "public.big", "public.measured", "public.m1", "public.m11", `public."Small one"`, "public.deleted")
		for _, table := range []string{"public.big", `public."Small one"`, "public.deleted", "public.m11"} {
			must(t, "analyze", postgres.Analyze(t.Context(), conn, table))
		}
		lacking("tables", "public.measured", "public.m1")
		parents, err := postgres.PartitionedParents(t.Context(), conn)
		must(t, "list parents", err)
		for _, table := range parents {
			must(t, "analyze", postgres.AnalyzeParent(t.Context(), conn, table))
		}
		lacking("parents")
		parents, err = postgres.PartitionedParents(t.Context(), conn)
		must(t, "list parents", err)
		if version >= 18 && len(parents) > 0 || version < 18 && len(parents) != 1 {
			t.Errorf("%d: to be analyzed again: %v", version, parents)
		}
		c.Exec(t, "postgres", `CREATE STATISTICS together (dependencies) ON day, v FROM measured`)
		parents, err = postgres.PartitionedParents(t.Context(), conn)
		must(t, "list parents", err)
		if diff := cmp.Diff([]string{"public.measured"}, parents); diff != "" {
			t.Errorf("%d: with extended statistics (-want +got):\n%s", version, diff)
		}
	}
}
