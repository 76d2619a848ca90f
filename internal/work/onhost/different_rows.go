package onhost

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pgleap/pgleap/internal/verify"
)

// rowsShown is how many of the rows that differ are told.
const rowsShown = 5

// rowsOf tells of the first rows that differ, for people.
func rowsOf(rows []verify.Row) string {
	var told []string
	for _, row := range rows[:min(len(rows), rowsShown)] {
		told = append(told, row.Change+" "+keyOf(row)+columnsOf(row))
	}
	if len(rows) > rowsShown {
		told = append(told, "...")
	}
	return strings.Join(told, "; ")
}

func keyOf(row verify.Row) string {
	if len(row.Key) == 0 {
		return row.Hash
	}
	var columns []string
	for _, column := range row.Key {
		columns = append(columns, column.Column+"="+column.Text)
	}
	return strings.Join(columns, ", ")
}

// columnsOf names the columns in which a row differs. Values, those of the whole row where it is on one side only, are
// told if they were asked for.
func columnsOf(row verify.Row) string {
	columns := row.Columns
	switch {
	case len(row.Source) > 0 && len(row.Target) > 0:
		columns = nil
		for i := range min(len(row.Source), len(row.Target)) {
			columns = append(columns, fmt.Sprintf("%s (%s, on the target %s)", row.Source[i].Column, quoted(row.Source[i]), quoted(row.Target[i])))
		}
	case len(row.Source)+len(row.Target) > 0:
		for _, value := range append(row.Source, row.Target...) {
			columns = append(columns, fmt.Sprintf("%s (%s)", value.Column, quoted(value)))
		}
	}
	if len(columns) == 0 {
		return ""
	}
	return " in " + strings.Join(columns, ", ")
}

func quoted(v verify.Value) string {
	if v.Text == nil {
		return "NULL"
	}
	return strconv.Quote(*v.Text)
}
