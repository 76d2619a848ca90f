package verify

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// generators make SQL constants of some types; the same number makes the same constant.
var generators = []struct {
	sqlType string
	value   func(n int) string
}{
	{"int2", func(n int) string { return fmt.Sprint(n%60000 - 30000) }},
	{"int4", func(n int) string { return fmt.Sprint(n*7919 - 1<<20) }},
	{"int8", func(n int) string { return fmt.Sprint(int64(n) << 33) }},
	{"float8", func(n int) string { return fmt.Sprintf("%d / 3.0::float8", n) }},
	{"numeric", func(n int) string { return fmt.Sprintf("%d.%0*d", n/4, 1+n%4, 0) }},
	{"text", func(n int) string { return fmt.Sprintf("'%s%d'", strings.Repeat(" ", n%3), n/3) }},
	{"bool", func(n int) string { return fmt.Sprint(n%2 == 0) }},
	{"bytea", func(n int) string { return fmt.Sprintf(`'\x%06x'`, n) }},
	{"int4[]", func(n int) string { return fmt.Sprintf("'[%d:%d]={%d}'", n%3, n%3, n) }},
	{"jsonb", func(n int) string { return fmt.Sprintf(`'{"a": %d.%0*d}'`, n/4, 1+n%4, 0) }},
	{"timestamptz", func(n int) string { return fmt.Sprintf("'2024-01-01'::timestamptz + %d * interval '1 us'", n) }},
	{"uuid", func(n int) string { return fmt.Sprintf("'00000000-0000-0000-0000-%012x'", n) }},
}

// randomTable is a table of random columns and rows, each row a list of constants.
type randomTable struct {
	create  string
	columns []int // generators
	rows    [][]string
	keyed   bool
}

const rowSize = 200 // constants of a column are made of numbers below this

func newRandomTable(random *rand.Rand) randomTable {
	table := randomTable{keyed: random.IntN(2) == 0}
	declared := []string{"id int"}
	if table.keyed {
		declared[0] += " PRIMARY KEY"
	}
	for i := range 1 + random.IntN(6) {
		table.columns = append(table.columns, random.IntN(len(generators)))
		declared = append(declared, fmt.Sprintf("c%d %s", i, generators[table.columns[i]].sqlType))
	}
	table.create = "CREATE TABLE random (" + strings.Join(declared, ", ") + ")"
	for id := range random.IntN(300) {
		row := []string{fmt.Sprint(id)}
		if !table.keyed {
			row[0] = fmt.Sprint(id % 5)
		}
		for _, column := range table.columns {
			row = append(row, randomValue(random, column))
		}
		table.rows = append(table.rows, row)
	}
	return table
}

func randomValue(random *rand.Rand, column int) string {
	if random.IntN(8) == 0 {
		return "NULL"
	}
	return generators[column].value(random.IntN(rowSize))
}

// load makes the table, with its rows in another order and some that are deleted again.
func (r randomTable) load(random *rand.Rand) string {
	rows := slices.Clone(r.rows)
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	script := "DROP TABLE IF EXISTS random; " + r.create + ";"
	for i, row := range rows {
		if i%10 == 0 {
			script += "INSERT INTO random (id) VALUES (-1); DELETE FROM random WHERE id = -1;"
		}
		script += "INSERT INTO random VALUES (" + strings.Join(row, ", ") + ");"
	}
	return script
}

// mutate is one random mutation that does change something.
func (r randomTable) mutate(random *rand.Rand) string {
	fresh := func(column int) string { return generators[column].value(rowSize + random.IntN(rowSize)) }
	switch kind := random.IntN(4); {
	case len(r.rows) == 0 || kind == 0:
		return "INSERT INTO random (id) VALUES (1000)"
	case kind == 1:
		return "DELETE FROM random WHERE ctid = (SELECT ctid FROM random ORDER BY random() LIMIT 1)"
	default:
		i := random.IntN(len(r.columns))
		if generators[r.columns[i]].sqlType == "bool" {
			return fmt.Sprintf("UPDATE random SET c%d = CASE WHEN c%d THEN NULL ELSE true END WHERE ctid = (SELECT ctid FROM random LIMIT 1)", i, i)
		}
		return fmt.Sprintf("UPDATE random SET c%d = %s WHERE ctid = (SELECT ctid FROM random ORDER BY random() LIMIT 1)", i, fresh(r.columns[i]))
	}
}

// TestRandomTables: the same rows in another order are the same, and one mutation is seen.
func TestRandomTables(t *testing.T) {
	t.Parallel()
	b := newPair(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a test's choice
	for range 20 {
		table := newRandomTable(random)
		b.source.Exec(t, "postgres", table.load(random))
		b.target.Exec(t, "postgres", table.load(random))
		if result := compare(t, b.pair(t), Options{chunkBytes: 8192}); !result.Identical() {
			t.Fatalf("seed %d: %s: another order makes a difference: %s", seed, table.create, show(t, result))
		}
		mutation := table.mutate(random)
		if result := compare(t, b.pair(t, mutation), Options{chunkBytes: 8192}); result.Identical() || len(result.Differences) != 1 || len(result.Differences[0].Rows) == 0 {
			t.Fatalf("seed %d: %s: %s is not seen: %s", seed, table.create, mutation, show(t, result))
		}
	}
}
