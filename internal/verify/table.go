package verify

import (
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
)

// verdict is what a table's comparison came to.
type verdict int

const (
	undecided verdict = iota
	equal
	unequal // until it is found where
	decided // it is reported
)

// table is a table on both sides.
type table struct {
	name    string // to be shown
	scans   [2]postgres.RowScan
	key     []postgres.ContentColumn
	pending [2]int // parts that are not read
	sums    [2]tally
	verdict verdict
}

func (t *table) largeObjects() bool { return t.scans[Source].Table.Schema == "pg_catalog" }

func (t *table) bytes() int64 { return t.scans[Source].Table.Bytes + t.scans[Target].Table.Bytes }

// tally adds up the sums of a table's parts.
type tally struct {
	rows int64
	sum  big.Int
}

func (t *tally) add(s postgres.HashSum) error {
	sum, ok := new(big.Int).SetString(s.Sum, 10)
	if !ok {
		return fmt.Errorf("add up hashes: %q is not a whole number", s.Sum)
	}
	t.rows += s.Rows
	t.sum.Add(&t.sum, sum)
	return nil
}

func (t *tally) equals(other *tally) bool { return t.rows == other.rows && t.sum.Cmp(&other.sum) == 0 }

func (t *tally) hashSum() postgres.HashSum {
	return postgres.HashSum{Rows: t.rows, Sum: t.sum.String()}
}

// listTables finds the tables that can be compared.
func (r *run) listTables(ctx context.Context, db *database) error {
	var tables [2]map[string]postgres.ContentTable
	var types [2]postgres.ContentTypes
	err := db.brieflyOnBoth(ctx, func(ctx context.Context, side Side, conn *pgx.Conn) (err error) {
		if types[side], err = postgres.ReadContentTypes(ctx, conn); err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = onBoth(ctx, func(ctx context.Context, side Side) (err error) {
		tables[side], err = readContentTables(ctx, db.conns()[side])
		return err
	})
	if err != nil {
		return err
	}
	all := maps.Clone(tables[Source])
	maps.Copy(all, tables[Target])
	for _, ident := range slices.Sorted(maps.Keys(all)) {
		source, onSource := tables[Source][ident]
		target, onTarget := tables[Target][ident]
		switch left := (NotCompared{Database: db.Database, Object: postgres.Plain(ident)}); {
		case !onSource || !onTarget:
			left.Reason, left.Expected = "it is on one side only", all[ident].Extension != ""
			r.notCompared(left)
		case (source.Unlogged || target.Unlogged) && r.LeavesUnlogged != nil && r.LeavesUnlogged(left.Database, all[ident]):
			left.Reason, left.Expected = "it is unlogged, and was accepted not to be carried over", true
			r.notCompared(left)
		default:
			r.addTable(db, [2]postgres.ContentTable{source, target}, types)
		}
	}
	slices.SortStableFunc(db.tables, func(a, b *table) int { return int(min(max(a.bytes()-b.bytes(), -1), 1)) })
	return nil
}

// readContentTables reads the tables by name, with estimates of their sizes if a client has locked one.
func readContentTables(ctx context.Context, conn *pgx.Conn) (map[string]postgres.ContentTable, error) {
	var read []postgres.ContentTable
	var err error
	for _, exact := range []bool{true, false} {
		err = postgres.Briefly(ctx, conn, func() (err error) {
			read, err = postgres.ReadContentTables(ctx, conn, exact)
			return err
		})
		if !postgres.IsCode(err, lockNotAvailable) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	tables := make(map[string]postgres.ContentTable, len(read))
	for _, t := range read {
		tables[t.Ident()] = t
	}
	return tables, nil
}

// addTable adds a table that is on both sides, if its columns are the same.
func (r *run) addTable(db *database, sides [2]postgres.ContentTable, types [2]postgres.ContentTypes) {
	t := &table{name: postgres.Plain(sides[Source].Ident())}
	columns := [2][]postgres.ContentColumn{slices.Clone(sides[Source].Columns), slices.Clone(sides[Target].Columns)}
	for side := range columns {
		slices.SortFunc(columns[side], func(a, b postgres.ContentColumn) int { return strings.Compare(a.Name, b.Name) })
	}
	alike := func(a, b postgres.ContentColumn) bool {
		return a.Name == b.Name && postgres.Plain(a.Declaration) == postgres.Plain(b.Declaration)
	}
	if !slices.EqualFunc(columns[Source], columns[Target], alike) {
		updated := sides[Source].Extension != sides[Target].Extension
		r.notCompared(NotCompared{Database: db.Database, Object: t.name, Reason: "its columns are not the same", Expected: updated})
		return
	}
	for side := range columns {
		kept := slices.DeleteFunc(columns[side], func(c postgres.ContentColumn) bool {
			return printedDifferently(types[side], c.Type, db.majors)
		})
		t.scans[side] = postgres.RowScan{Table: sides[side], Types: types[side], Columns: kept}
	}
	for _, c := range sides[Source].Columns {
		if printedDifferently(types[Source], c.Type, db.majors) {
			r.leaveOut(db.Database, t.name+"."+c.Name, fmt.Sprintf("%s holds parts that %d and %d print differently", c.Declaration, db.majors[Source], db.majors[Target]))
		}
	}
	for _, name := range sides[Source].Key {
		i := slices.IndexFunc(t.scans[Source].Columns, func(c postgres.ContentColumn) bool { return c.Name == name })
		if i < 0 {
			t.key = nil
			break
		}
		t.key = append(t.key, t.scans[Source].Columns[i])
	}
	db.tables = append(db.tables, t)
	r.progress.Tables++
	r.progress.Bytes += t.bytes()
}

// printedDifferently tells whether the text of a type, which hashes are made of, changed from one
// side's version to the other's.
func printedDifferently(types postgres.ContentTypes, oid uint32, majors [2]int) bool {
	since := types.TextChanged(oid)
	return min(majors[Source], majors[Target]) < since && since <= max(majors[Source], majors[Target])
}

// keyOn is the key with the types of a side.
func (t *table) keyOn(side Side) []postgres.ContentColumn {
	key := make([]postgres.ContentColumn, len(t.key))
	for i, wanted := range t.key {
		at := slices.IndexFunc(t.scans[side].Columns, func(c postgres.ContentColumn) bool { return c.Name == wanted.Name })
		key[i] = t.scans[side].Columns[at]
	}
	return key
}
