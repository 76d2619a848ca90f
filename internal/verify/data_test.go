package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
)

// bed is a source and a target that hold the same.
type bed struct {
	source, target *pgtest.Cluster
}

func newPair(t *testing.T) bed {
	t.Helper()
	versions := pgtest.Versions(t)
	source, target := pgtest.Pair(t, versions[0], versions[len(versions)-1])
	b := bed{source, target}
	b.exec(t, "DROP SCHEMA public; CREATE SCHEMA public") // what it grants differs between versions
	return b
}

func newBed(t *testing.T) bed {
	t.Helper()
	b := newPair(t)
	script, err := os.ReadFile("testdata/everything.sql")
	if err != nil {
		t.Fatal(err)
	}
	b.exec(t, string(script))
	return b
}

func (b bed) exec(t *testing.T, scripts ...string) {
	t.Helper()
	b.source.Exec(t, "postgres", scripts...)
	b.target.Exec(t, "postgres", scripts...)
}

// pair opens snapshots; what a mutation does on the target is seen in its snapshot and then undone.
func (b bed) pair(t *testing.T, mutations ...string) Pair {
	t.Helper()
	pair := Pair{Database: "postgres", Source: b.source.Connect(t, "postgres"), Target: b.target.Connect(t, "postgres")}
	for _, conn := range []*pgx.Conn{pair.Source, pair.Target} {
		if _, err := conn.Exec(t.Context(), "BEGIN ISOLATION LEVEL REPEATABLE READ"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "SELECT pg_current_snapshot()"); err != nil {
			t.Fatal(err)
		}
	}
	for _, mutation := range mutations {
		if _, err := pair.Target.Exec(t.Context(), mutation); err != nil {
			t.Fatalf("%s: %v", mutation, err)
		}
	}
	return pair
}

// join connects to the bed as Options.Join asks.
func (b bed) join(t *testing.T) func(context.Context, Side, string) (*pgx.Conn, error) {
	return func(ctx context.Context, side Side, database string) (*pgx.Conn, error) {
		return pgx.Connect(ctx, []*pgtest.Cluster{b.source, b.target}[side].DSN(database))
	}
}

func compare(t *testing.T, pair Pair, o Options) Result {
	t.Helper()
	result, err := Data(t.Context(), []Pair{pair}, o)
	if err != nil {
		t.Fatal(err)
	}
	pair.Source.Close(t.Context())
	pair.Target.Close(t.Context())
	return result
}

// show is a result as a test's log has it.
func show(t *testing.T, r Result) string {
	t.Helper()
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestData(t *testing.T) {
	t.Parallel()
	b := newBed(t)
	t.Run("two sides that hold the same are identical", func(t *testing.T) { b.identical(t) })
	t.Run("every mutation is found and named", func(t *testing.T) { b.mutations(t) })
	t.Run("equal values that are printed alike are equal", func(t *testing.T) { b.alike(t) })
	t.Run("what cannot be compared is said", func(t *testing.T) { b.leftOut(t) })
	t.Run("a comparison goes on where it was", func(t *testing.T) { b.resumes(t) })
	t.Run("one that is broken off proves nothing", func(t *testing.T) { b.brokenOff(t) })
	t.Run("rows are told apart by key and column", func(t *testing.T) { b.rows(t) })
	t.Run("what keeps rows from being found is said of its side", func(t *testing.T) { b.rowsLocked(t) })
	t.Run("rows are looked for in the share of the time", func(t *testing.T) { b.rests(t) })
}

func (b bed) identical(t *testing.T) {
	for name, o := range map[string]Options{
		"one connection":    {},
		"three connections": {Join: b.join(t), Connections: 3, chunkBytes: 1 << 20},
		"half the time":     {Share: 0.5, chunkBytes: 2 << 20},
	} {
		var last Progress
		o.Progress = func(p Progress) { last = p }
		o.LeavesUnlogged = func(_ string, table postgres.ContentTable) bool { return table.Name == "unlogged" }
		result := compare(t, b.pair(t), o)
		if !result.Identical() || result.Tables < 18 || result.Rows < 20000 {
			t.Errorf("%s: not identical: %s", name, show(t, result))
		}
		if last.TablesDone != last.Tables || last.Rows != result.Rows {
			t.Errorf("%s: the last progress is %+v of %d tables, %d rows", name, last, result.Tables, result.Rows)
		}
		unlogged := NotCompared{"postgres", "public.unlogged", "it is unlogged, and was accepted not to be carried over", true}
		if !slices.Contains(result.NotCompared, unlogged) {
			t.Errorf("%s: the unlogged table is not mentioned: %s", name, show(t, result))
		}
	}
}

// mutations compares everything for each of them: the quick tests take each eighth.
func (b bed) mutations(t *testing.T) {
	for i, m := range mutations {
		if !pgtest.IsSlow() && i%8 > 0 {
			continue
		}
		pair := b.pair(t, m.sql)
		result := compare(t, pair, Options{})
		found := slices.ContainsFunc(result.Differences, func(d Difference) bool {
			return d.Kind == m.kind && d.Object == m.object && strings.Contains(d.Detail, m.detail)
		})
		if result.Identical() || !found || len(result.Differences) > max(m.differences, 1) {
			t.Errorf("%s: want %s %s: %s, have %s", m.sql, m.kind, m.object, m.detail, show(t, result))
		}
		if m.undo != "" {
			b.target.Exec(t, "postgres", m.undo)
		}
	}
}

// alike makes the same rows in other ways.
func (b bed) alike(t *testing.T) {
	for _, sql := range []string{
		"UPDATE large SET v = v WHERE id % 7 = 0",
		"DELETE FROM keyless; INSERT INTO keyless VALUES (NULL, ''), (NULL, NULL), (2, 'y'), (1, 'x'), (NULL, NULL), (1, 'x')",
		"UPDATE types SET c_float8 = '-NaN' WHERE id = 2",
		"ALTER TABLE toasted ALTER v SET STORAGE EXTENDED; UPDATE toasted SET v = v || ''; ALTER TABLE toasted ALTER v SET STORAGE EXTERNAL",
		"UPDATE types SET c_float8 = c_float8 WHERE id < 5",
	} {
		if result := compare(t, b.pair(t, sql), Options{}); !result.Identical() {
			t.Errorf("%s: it should not matter: %s", sql, show(t, result))
		}
	}
}

func (b bed) leftOut(t *testing.T) {
	// Clients go on after the snapshots were opened.
	truncated, dropped := b.pair(t), b.pair(t)
	b.target.Exec(t, "postgres", "BEGIN; CREATE TABLE kept AS TABLE large; TRUNCATE large; COMMIT")
	result := compare(t, truncated, Options{})
	expectLeftOut(t, result, "public.large", "on the target it was rewritten")
	b.target.Exec(t, "postgres", "INSERT INTO large TABLE kept; DROP TABLE kept; ALTER TABLE empty RENAME TO renamed")
	result = compare(t, dropped, Options{})
	expectLeftOut(t, result, "public.empty", "on the target it was changed after")
	b.target.Exec(t, "postgres", "ALTER TABLE renamed RENAME TO empty")

	result = compare(t, b.pair(t), Options{MaxAge: time.Nanosecond})
	expectLeftOut(t, result, "public.large", "the snapshots have reached the age")

	pair := b.pair(t)
	locker := b.target.Connect(t, "postgres")
	if _, err := locker.Exec(t.Context(), "BEGIN; LOCK TABLE types"); err != nil {
		t.Fatal(err)
	}
	defer locker.Close(t.Context())
	expectLeftOut(t, compare(t, pair, Options{}), "public.types", "on the target a client holds a lock")
}

func expectLeftOut(t *testing.T, result Result, object, reason string) {
	t.Helper()
	found := slices.ContainsFunc(result.NotCompared, func(n NotCompared) bool {
		return n.Object == object && strings.Contains(n.Reason, reason) && !n.Expected
	})
	if !found || result.Identical() || len(result.Differences) > 0 {
		t.Errorf("want %s not compared (%s) and nothing else, have %s", object, reason, show(t, result))
	}
}

func (b bed) resumes(t *testing.T) {
	pair := b.pair(t)
	ids := [2]string{}
	for side, conn := range pair.conns() {
		if err := conn.QueryRow(t.Context(), "SELECT pg_current_snapshot()::text").Scan(&ids[side]); err != nil {
			t.Fatal(err)
		}
	}
	var entries []Entry
	first, err := Data(t.Context(), []Pair{pair}, Options{Entered: func(e Entry) { entries = append(entries, e) }})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(entries)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &entries); err != nil {
		t.Fatal(err)
	}
	var again State
	for _, e := range entries {
		switch {
		case e.Catalogs != nil: // only who compares them anew does not find this
			e.Catalogs.Differences = []Difference{{Kind: "known", Database: "postgres", Object: "before"}}
		case e.Table == `"public"."large"`:
			e.Sums = &TableSums{{Rows: 1, Sum: "1"}, {Rows: 1, Sum: "1"}}
		case e.Table == `"public"."types"`:
			continue
		case e.Table == `"public"."keyless"`:
			e.Sums[Target].Sum = "torn" // then it is read again
		}
		again.Add(e)
	}
	var begins *Progress
	options := Options{State: &again, Connections: 2, Join: b.join(t), Progress: func(p Progress) {
		if begins == nil {
			begins = &p
		}
	}}
	names := [2]string{}
	for side, conn := range pair.conns() {
		if names[side], err = postgres.ExportSnapshot(t.Context(), conn); err != nil {
			t.Fatal(err)
		}
	}
	second, err := Data(t.Context(), []Pair{{Database: "postgres", Exported: names}}, options)
	if err != nil {
		t.Fatal(err)
	}
	if second.Tables != first.Tables || second.Rows != first.Rows-20000+1 || again.databases["postgres"].Tables[`"public"."types"`][Source].Rows != 20 {
		t.Errorf("what had been read was read again: %s", show(t, second))
	}
	if len(second.Differences) != len(first.Differences)+1 || second.Differences[0].Kind != "known" {
		t.Errorf("what the catalogs say was compared again: %s", show(t, second))
	}
	if begins.TablesDone != first.Tables-2 || begins.Rows == 0 || begins.BytesDone == 0 {
		t.Errorf("it began at %+v, with %d tables compared before", *begins, first.Tables-2)
	}
	b.exec(t, "SELECT txid_current()")
	if third := compare(t, b.pair(t), Options{State: &again}); third.Rows != first.Rows {
		t.Errorf("other snapshots take the sums of the former: %s", show(t, third))
	}
}

func (b bed) brokenOff(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stop := func(p Progress) {
		if p.TablesDone == 3 {
			cancel()
		}
	}
	result, err := Data(ctx, []Pair{b.pair(t)}, Options{Progress: stop, Share: 0.5})
	if !errors.Is(err, context.Canceled) || result.Identical() || len(result.NotCompared) < 10 {
		t.Errorf("cancelled: %v, %s", err, show(t, result))
	}
	pair := b.pair(t, "UPDATE large SET v = 'x' WHERE id = 1")
	kill := func(p Progress) {
		if p.TablesDone == p.Tables {
			b.source.Exec(t, "postgres", fmt.Sprintf("SELECT pg_terminate_backend(%d)", pair.Source.PgConn().PID()))
		}
	}
	result, err = Data(t.Context(), []Pair{pair}, Options{Progress: kill})
	found := slices.ContainsFunc(result.Differences, func(d Difference) bool { return d.Object == "public.large" && d.AtLeast })
	if err == nil || !found {
		t.Errorf("without a session it must still say that something differs: %v, %s", err, show(t, result))
	}
}

func (b bed) rows(t *testing.T) {
	result := compare(t, b.pair(t, `
		UPDATE composite_key SET v = NULL WHERE a = 9; DELETE FROM composite_key WHERE a = 12; INSERT INTO composite_key VALUES ('new', 5, 'n');
		INSERT INTO keyless VALUES (1, 'x'); DELETE FROM keyless WHERE a IS NULL AND b IS NULL;
		UPDATE large SET v = v || 'y' WHERE id > 5000`), Options{Values: true, MaxRows: 3})
	text := func(s string) *string { return &s }
	long := text(strings.Repeat("x", 200))
	want := map[string]Difference{
		"public.composite_key": {Total: 3, Rows: []Row{
			{Change: Extra, Key: []KeyColumn{{"a", "5"}, {"b", "new"}}, Target: []Value{{"a", text("5")}, {"b", text("new")}, {"v", text("n")}}},
			{Change: Changed, Key: []KeyColumn{{"a", "9"}, {"b", "k9"}}, Columns: []string{"v"}, Source: []Value{{"v", text("vvvvvvvvv")}}, Target: []Value{{"v", nil}}},
			{Change: Missing, Key: []KeyColumn{{"a", "12"}, {"b", "k2"}}, Source: []Value{{"a", text("12")}, {"b", text("k2")}, {"v", text("vvvvvvvvvvvv")}}},
		}},
		"public.keyless": {Total: 3},
		"public.large": {Total: 15000, Rows: []Row{
			{Change: Changed, Key: []KeyColumn{{"id", "5001"}}, Columns: []string{"v"}, Source: []Value{{"v", long}}, Target: []Value{{"v", long}}},
		}},
	}
	for _, d := range result.Differences {
		expected, known := want[d.Object]
		if !known || d.Total != expected.Total || d.AtLeast || len(d.Rows) > 3 {
			t.Errorf("unexpected: %s", show(t, Result{Differences: []Difference{d}}))
		}
		delete(want, d.Object)
		for i, row := range expected.Rows {
			if have, wanted := show1(t, d.Rows[i]), show1(t, row); have != wanted {
				t.Errorf("%s: row %d is %s, want %s", d.Object, i, have, wanted)
			}
		}
	}
	if len(want) > 0 {
		t.Errorf("not found: %v", want)
	}
}

func (b bed) rowsLocked(t *testing.T) {
	b.target.Exec(t, "postgres", "INSERT INTO keyless VALUES (77, 'more')")
	defer b.target.Exec(t, "postgres", "DELETE FROM keyless WHERE a = 77")
	locker := b.target.Connect(t, "postgres")
	defer locker.Close(t.Context())
	lock := func(p Progress) {
		if p.TablesDone < p.Tables {
			return
		}
		if _, err := locker.Exec(t.Context(), "BEGIN; LOCK TABLE keyless"); err != nil {
			t.Error(err)
		}
	}
	result := compare(t, b.pair(t), Options{Progress: lock})
	if len(result.Differences) != 1 || !strings.HasSuffix(result.Differences[0].Detail, ": on the target a client holds a lock on it") {
		t.Errorf("want keyless and the target's lock, have %s", show(t, result))
	}
}

// The share is so small that whoever rests after the first part reads no other.
func (b bed) rests(t *testing.T) {
	pair := b.pair(t)
	defer pair.Source.Close(t.Context())
	defer pair.Target.Close(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r := &run{Options: Options{Share: 1e-12, chunkBytes: 1 << 20}.withDefaults()}
	db := &database{Pair: pair}
	if err := r.prepare(ctx, db); err != nil {
		t.Fatal(err)
	}
	large := slices.IndexFunc(db.tables, func(t *table) bool { return t.name == "public.large" })
	f := finder{run: r, db: db, table: db.tables[large]}
	if parts := f.split(f.table.scans[Target].Table, db.majors[Target]); len(parts) < 2 {
		t.Fatalf("%d parts", len(parts))
	}
	var read [2]int
	err := f.onParts(ctx, func(_ context.Context, side Side, _ postgres.RowScan, _ postgres.BlockRange) error {
		if read[side]++; side == Target {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || read[Source] > 1 || read[Target] != 1 {
		t.Errorf("read %v parts: %v", read, err)
	}
}

func show1(t *testing.T, row Row) string {
	t.Helper()
	text, err := json.Marshal(row)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
