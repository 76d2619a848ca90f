package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// SettingsOfAllRoles is what ALTER ROLE ALL SET has set for all databases, as the text of an array; empty without any.
func SettingsOfAllRoles(ctx context.Context, conn *pgx.Conn) (settings string, err error) {
	err = conn.QueryRow(ctx, `
		SELECT coalesce((SELECT setconfig::text FROM pg_db_role_setting WHERE setrole = 0 AND setdatabase = 0), '')`).Scan(&settings)
	if err != nil {
		return "", fmt.Errorf("read the settings of all roles: %w", err)
	}
	return settings, nil
}
