package postgres_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

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

// What lacks statistics is what vacuumdb --missing-stats-only would analyze: it is asked itself, and leaves nothing to be
// found by the next one.
func TestTablesLackingStatistics(t *testing.T) {
	versions := pgtest.Versions(t)
	version := versions[len(versions)-1]
	if version < 18 {
		t.Skip("vacuumdb knows what is missing since 18")
	}
	c := pgtest.Start(t, version, pgtest.Config(map[string]string{"autovacuum": "off"}))
	conn := c.Connect(t, "postgres")
	lacking := func() []string {
		t.Helper()
		tables, err := postgres.TablesLackingStatistics(t.Context(), conn)
		must(t, "list tables", err)
		if version >= 19 { // whose vacuumdb analyzes them, too
			parents, err := postgres.PartitionedParents(t.Context(), conn)
			must(t, "list parents", err)
			tables = append(tables, parents...)
		}
		slices.Sort(tables)
		return tables
	}
	vacuumdb := func() (tables []string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), filepath.Join(c.Bindir, "vacuumdb"),
			"--echo", "--analyze-only", "--missing-stats-only", "--host=127.0.0.1", "--port="+strconv.Itoa(c.Port), "--username=postgres", "postgres")
		out, err := cmd.Output()
		must(t, "run vacuumdb", err)
		for line := range strings.Lines(string(out)) {
			if table, found := strings.CutPrefix(strings.TrimSpace(line), "ANALYZE "); found {
				tables = append(tables, strings.TrimPrefix(strings.TrimSuffix(table, ";"), "ONLY "))
			}
		}
		slices.Sort(tables)
		return tables
	}
	for _, step := range []struct{ name, change, want string }{
		{"new tables", `
			CREATE TABLE plain AS SELECT n AS id, 'x'::text AS t FROM generate_series(1, 100) n;
			CREATE TABLE unwanted AS SELECT 1 AS id; ALTER TABLE unwanted ALTER id SET STATISTICS 0;
			CREATE TABLE parent (id int, v int); CREATE TABLE child () INHERITS (parent);
			INSERT INTO parent SELECT n, n % 5 FROM generate_series(1, 100) n; INSERT INTO child SELECT n, n % 5 FROM generate_series(1, 100) n;
			CREATE TABLE measured (day int, v int) PARTITION BY RANGE (day);
			CREATE TABLE m1 PARTITION OF measured FOR VALUES FROM (1) TO (10);
			INSERT INTO measured SELECT n % 9 + 1, n FROM generate_series(1, 100) n;
			CREATE MATERIALIZED VIEW seen AS SELECT * FROM plain`, "public.plain"},
		{"nothing", `SELECT 1`, ""},
		{"a column", `ALTER TABLE plain ADD more int DEFAULT 1`, "public.plain"},
		{"a virtual column", `ALTER TABLE plain ADD twice int GENERATED ALWAYS AS (id * 2) VIRTUAL`, ""},
		{"an expression in an index", `CREATE INDEX ON plain (id, (lower(t)))`, "public.plain"},
		{"extended statistics", `CREATE STATISTICS together (dependencies) ON id, more FROM plain`, "public.plain"},
		{"extended statistics that are not wanted", `CREATE STATISTICS apart (dependencies) ON id, t FROM plain; ALTER STATISTICS apart SET STATISTICS 0`, ""},
		{"extended statistics of a parent", `CREATE STATISTICS family (dependencies) ON id, v FROM parent`, "public.parent"},
		{"a child", `CREATE TABLE alone AS SELECT n AS id FROM generate_series(1, 100) n; ANALYZE alone; CREATE TABLE late () INHERITS (alone); INSERT INTO late VALUES (1); ANALYZE late`, "public.alone"},
		{"a partitioned table's", `CREATE STATISTICS days (dependencies) ON day, v FROM measured; ANALYZE m1`, ""},
	} {
		c.Exec(t, "postgres", step.change)
		got := lacking()
		if diff := cmp.Diff(vacuumdb(), got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: lacking statistics (-vacuumdb +ours):\n%s", step.name, diff)
		}
		if step.want != "" && !slices.Contains(got, step.want) {
			t.Errorf("%s: %s is not among %v", step.name, step.want, got)
		}
	}
}
