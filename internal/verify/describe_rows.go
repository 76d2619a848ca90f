package verify

import (
	"context"
	"fmt"

	"github.com/pgleap/pgleap/internal/postgres"
)

// describe reads how rows differ: the columns, and their values if they are asked for.
func (f finder) describe(ctx context.Context, rows []differing) ([]Row, error) {
	var hashes, values [2]map[string][]*string // by place
	err := onBoth(ctx, func(ctx context.Context, side Side) (err error) {
		var places []string
		for _, row := range rows {
			if row.sides[side] != nil {
				places = append(places, row.sides[side].Place)
			}
		}
		if len(places) == 0 {
			return nil
		}
		scan, conn := f.table.scans[side], f.db.conns()[side]
		if scan.Timeout, err = f.timeout(); err != nil {
			return err
		}
		if hashes[side], err = scan.ColumnHashes(ctx, conn, places); err != nil || !f.Values {
			return err
		}
		values[side], err = scan.Values(ctx, conn, places)
		return err
	})
	if err != nil {
		return nil, err
	}
	described := make([]Row, len(rows))
	for i, row := range rows {
		described[i] = f.describeRow(row, hashes, values)
	}
	return described, nil
}

func (f finder) describeRow(row differing, hashes, values [2]map[string][]*string) Row {
	described := Row{Change: row.change}
	for i, text := range row.any().Key {
		described.Key = append(described.Key, KeyColumn{f.table.key[i].Name, text})
	}
	if len(f.table.key) == 0 {
		described.Hash = fmt.Sprintf("%016x", uint64(row.any().Hash))
	}
	columns := f.table.scans[Source].Columns
	if row.change == Changed {
		columns = nil
		source, target := hashes[Source][row.sides[Source].Place], hashes[Target][row.sides[Target].Place]
		for i, column := range f.table.scans[Source].Columns {
			if i < len(source) && i < len(target) && *source[i] != *target[i] {
				columns = append(columns, column)
				described.Columns = append(described.Columns, column.Name)
			}
		}
	}
	if f.Values {
		described.Source = f.valuesOf(row.sides[Source], values[Source], columns)
		described.Target = f.valuesOf(row.sides[Target], values[Target], columns)
	}
	return described
}

// valuesOf picks the values of some columns from those of a row.
func (f finder) valuesOf(row *postgres.HashedRow, read map[string][]*string, columns []postgres.ContentColumn) []Value {
	if row == nil {
		return nil
	}
	values, picked := read[row.Place], []Value(nil)
	for i, column := range f.table.scans[Source].Columns {
		for _, wanted := range columns {
			if wanted.Name == column.Name && i < len(values) {
				picked = append(picked, Value{column.Name, values[i]})
			}
		}
	}
	return picked
}
