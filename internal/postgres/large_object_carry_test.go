package postgres_test

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// Whatever happens to large objects of the source is seen by who asks for what was done since, and is there
// on the target when they were carried.
func TestCarryLargeObjects(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	versions := pgtest.Versions(t)
	source, target := pgtest.Pair(t, versions[0], versions[len(versions)-1])
	for _, c := range []*pgtest.Cluster{source, target} {
		c.Exec(t, "postgres", `CREATE ROLE "Odd, ""role"""`, `CREATE ROLE clerk`)
	}
	from, to := source.Connect(t, "postgres"), target.Connect(t, "postgres")
	source.Exec(t, "postgres", `SELECT lo_from_bytea(1000 + g, convert_to(repeat(md5(g::text), 200), 'UTF8')) FROM generate_series(1, 1200) AS g`)
	carryUnlike(t, from, to, 1200)
	carryUnlike(t, from, to, 0)

	for _, change := range []struct {
		name, sql string
		changed   []uint32 // by their row versions
		gone      []uint32 // by the keys
	}{
		{"created, empty", `SELECT lo_create(1)`, []uint32{1}, []uint32{1}},
		{"a page in the middle is written", `SELECT lo_put(1001, 3000, '\xdeadbeef')`, []uint32{1001}, nil},
		{"a hole is left", `SELECT lo_put(1, 20000, '\x01')`, []uint32{1}, nil},
		{"truncated at a page", `SELECT lo_truncate(lo_open(1002, 131072), 2048)`, []uint32{1002}, nil},
		{"truncated to nothing", `SELECT lo_truncate(lo_open(1003, 131072), 0)`, []uint32{1003}, nil},
		{"truncated in a hole", `SELECT lo_truncate(lo_open(1, 131072), 10000)`, []uint32{1}, nil},
		{"given away", `ALTER LARGE OBJECT 1004 OWNER TO "Odd, ""role"""`, []uint32{1004}, nil},
		{"granted", `GRANT SELECT ON LARGE OBJECT 1004 TO clerk WITH GRANT OPTION`, []uint32{1004}, nil},
		{"granted by another", `SET ROLE clerk; GRANT SELECT ON LARGE OBJECT 1004 TO PUBLIC; RESET ROLE`, []uint32{1004}, nil},
		{"revoked from its owner", `REVOKE UPDATE ON LARGE OBJECT 1005 FROM CURRENT_USER`, []uint32{1005}, nil},
		{"commented on", `COMMENT ON LARGE OBJECT 1006 IS 'it''s \ odd'`, []uint32{1006}, []uint32{1006}},
		{"the comment is gone", `COMMENT ON LARGE OBJECT 1006 IS NULL`, nil, []uint32{1006}},
		{"removed", `SELECT lo_unlink(1007)`, nil, []uint32{1007}},
		{"one removed, another made", `SELECT lo_unlink(1008), lo_create(2)`, []uint32{2}, []uint32{2, 1008}},
	} {
		t.Run(change.name, func(t *testing.T) {
			since, err := postgres.OldestRunning(t.Context(), from)
			must(t, "look at the time", err)
			source.Exec(t, "postgres", "BEGIN; "+change.sql+"; COMMIT")
			look, err := postgres.ReadDatabaseState(t.Context(), from, nil, 1, since)
			must(t, "look at what was changed", err)
			state := look.LargeObjects
			if !slices.Equal(state.Changed, change.changed) {
				t.Errorf("changed are %v, want %v", state.Changed, change.changed)
			}
			gone, err := postgres.UnlikeLargeObjectKeys(t.Context(), from, to)
			must(t, "compare keys", err)
			keys, err := postgres.LargeObjectKeys(t.Context(), to)
			must(t, "read keys", err)
			if !slices.Equal(gone, change.gone) || (keys == state.Keys) != (len(gone) == 0) {
				t.Errorf("keys of %v differ, want %v; their sums are %q and %q", gone, change.gone, state.Keys, keys)
			}
			must(t, "carry", postgres.CarryLargeObjects(t.Context(), from, to, append(state.Changed, gone...)))
			carryUnlike(t, from, to, 0)
			if a, b := largeObjects(t, from), largeObjects(t, to); a != b {
				t.Errorf("source and target differ:\n%s\n%s", a, b)
			}
		})
	}
}

// TestUnlikeLargeObjects: what differs is found among many that do not, by oids that no int4 can hold too, and on
// either side's end.
func TestUnlikeLargeObjects(t *testing.T) {
	t.Parallel()
	c := pgtest.Start(t, pgtest.Versions(t)[0])
	c.CreateDatabase(t, "other")
	for _, database := range []string{"postgres", "other"} {
		c.Exec(t, database, `SELECT lo_from_bytea((1000000::bigint * g)::oid, convert_to(g::text, 'UTF8')) FROM generate_series(1, 4200) AS g`)
	}
	one, other := c.Connect(t, "postgres"), c.Connect(t, "other")
	for _, change := range []struct {
		database, sql string
		unlike, keys  []uint32
	}{
		{"postgres", `SELECT 1`, nil, nil},
		{"postgres", `SELECT lo_unlink(1000000)`, []uint32{1000000}, []uint32{1000000}},
		{"other", `SELECT lo_put('3000000000', 0, 'x')`, []uint32{1000000, 3000000000}, []uint32{1000000}},
		{"other", `SELECT lo_unlink('4200000000'), lo_create('1500000001')`, []uint32{1000000, 1500000001, 3000000000, 4200000000}, []uint32{1000000, 1500000001, 4200000000}},
	} {
		c.Exec(t, change.database, change.sql)
		unlike, err := postgres.UnlikeLargeObjects(t.Context(), one, other)
		must(t, "compare", err)
		keys, err := postgres.UnlikeLargeObjectKeys(t.Context(), one, other)
		must(t, "compare keys", err)
		if !slices.Equal(unlike, change.unlike) || !slices.Equal(keys, change.keys) {
			t.Errorf("%s: got %v and %v, want %v and %v", change.sql, unlike, keys, change.unlike, change.keys)
		}
	}
	c.Exec(t, "other", `SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid < 4000000000`)
	unlike, err := postgres.UnlikeLargeObjects(t.Context(), one, other)
	must(t, "compare", err)
	const want = 3998 + 1 // the first is gone on both sides, the last was gone before
	if len(unlike) != want || !slices.IsSorted(unlike) {
		t.Errorf("%d differ, want all that one side has not", len(unlike))
	}
}

// carryUnlike carries what differs, and wants it to be so many.
func carryUnlike(t *testing.T, from, to *pgx.Conn, want int) {
	t.Helper()
	unlike, err := postgres.UnlikeLargeObjects(t.Context(), from, to)
	must(t, "compare", err)
	if len(unlike) != want {
		t.Errorf("%d large objects differ, want %d", len(unlike), want)
	}
	must(t, "carry", postgres.CarryLargeObjects(t.Context(), from, to, unlike))
}

// largeObjects tells all of them, page by page.
func largeObjects(t *testing.T, conn *pgx.Conn) (all string) {
	t.Helper()
	err := conn.QueryRow(context.WithoutCancel(t.Context()), `
		SELECT string_agg(concat_ws(' ', m.oid, pg_get_userbyid(m.lomowner), m.lomacl, obj_description(m.oid, 'pg_largeobject'), p.pages), E'\n' ORDER BY m.oid)
		FROM pg_largeobject_metadata m
		LEFT JOIN (SELECT loid, md5(string_agg(pageno || encode(data, 'hex'), ',' ORDER BY pageno)) AS pages FROM pg_largeobject GROUP BY loid) AS p ON p.loid = m.oid`).Scan(&all)
	must(t, "read large objects", err)
	return all
}
