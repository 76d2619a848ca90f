package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Parameter is what a server says of a setting, apart from its value.
type Parameter struct {
	Name    string
	Context string // who may set it, and when
	Type    string // bool, integer, real, string, enum
	Unit    string
	Default string // the built-in one, in Unit
	Min     string // of numbers, in Unit
	Max     string
	Values  []string // of enums
	// Set tells whether somebody has set it for the whole server, in a file or at its start.
	Set bool
}

// Parameters describes all settings of a server, as seen by a superuser.
func Parameters(ctx context.Context, conn *pgx.Conn) ([]Parameter, error) {
	rows, err := conn.Query(ctx, `
		SELECT name, context, vartype, coalesce(unit, ''), coalesce(boot_val, ''),
			coalesce(min_val, ''), coalesce(max_val, ''), coalesce(enumvals, '{}'),
			source IN ('configuration file', 'command line', 'environment variable')
		FROM pg_settings`)
	if err != nil {
		return nil, fmt.Errorf("read what the server says of its settings: %w", err)
	}
	parameters, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Parameter])
	if err != nil {
		return nil, fmt.Errorf("read what the server says of its settings: %w", err)
	}
	return parameters, nil
}
