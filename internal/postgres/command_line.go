package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// CommandLineSettings are the settings that a server was started with on its command line, but for
// those that name its own files: no configuration file has them.
func CommandLineSettings(ctx context.Context, conn *pgx.Conn) (map[string]string, error) {
	rows, err := conn.Query(ctx, `
		SELECT name, current_setting(name) FROM pg_settings
		WHERE source = 'command line'
			AND name NOT IN ('config_file', 'data_directory', 'external_pid_file', 'hba_file', 'ident_file')`)
	if err != nil {
		return nil, fmt.Errorf("read the settings of the command line: %w", err)
	}
	settings := map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		settings[name] = value
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the settings of the command line: %w", err)
	}
	return settings, nil
}
