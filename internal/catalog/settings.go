package catalog

import (
	"context"
	"fmt"
)

const selectSetting = `
SELECT value
  FROM setting
 WHERE name = $1`

// Setting returns the value of a setting, or upgrade.NotFound.
func (c *Catalog) Setting(ctx context.Context, name string) (string, error) {
	var value string
	err := c.read.QueryRowContext(ctx, selectSetting, name).Scan(&value)
	return found(value, err, "setting", name)
}

const upsertSetting = `
INSERT INTO setting (name, value)
VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET value = excluded.value`

// SetSetting gives a setting a value.
func (c *Catalog) SetSetting(ctx context.Context, name, value string) error {
	if _, err := c.write.ExecContext(ctx, upsertSetting, name, value); err != nil {
		return fmt.Errorf("set setting %q: %w", name, err)
	}
	return nil
}
