package postgres

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// fixedOutput are the parameters that values and names are printed by. Identifiers are quoted all,
// for which words are reserved differs between versions (quote_identifier, src/backend/utils/adt/ruleutils.c).
var fixedOutput = map[string]string{
	"DateStyle":                       "ISO, YMD",
	"IntervalStyle":                   "iso_8601",
	"TimeZone":                        "UTC",
	"bytea_output":                    "hex",
	"extra_float_digits":              "3",
	"lc_monetary":                     "C",
	"quote_all_identifiers":           "on",
	"search_path":                     "pg_catalog",
	"standard_conforming_strings":     "on",
	"xmlbinary":                       "base64",
	"row_security":                    "off",
	"jit":                             "off", // it would compile each of thousands of short queries
	"max_parallel_workers_per_gather": "0",
	"statement_timeout":               "0",
	"lock_timeout":                    "3s",
}

// FixOutput makes the transaction of conn print values in the same way on every server.
func FixOutput(ctx context.Context, conn *pgx.Conn) error {
	names := slices.Sorted(maps.Keys(fixedOutput))
	values := make([]string, len(names))
	for i, name := range names {
		values[i] = fixedOutput[name]
	}
	_, err := conn.Exec(ctx, `
		SELECT pg_catalog.set_config(name, value, true)
		FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) AS fixed (name, value)`,
		names, values)
	if err != nil {
		return fmt.Errorf("fix the output of the session in %s: %w", conn.Config().Database, err)
	}
	return nil
}
