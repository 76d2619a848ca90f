package catalog

import (
	"context"
	"database/sql"

	"github.com/pgleap/pgleap/internal/upgrade"
)

const (
	selectClone = `
SELECT clone
  FROM task
 WHERE number = $1`

	updateClone = `
UPDATE task
   SET clone = $2
 WHERE number = $1`
)

// AddClone records the instance that an upgrade has made beside its own, once.
func (c *Catalog) AddClone(ctx context.Context, number int64, in upgrade.Instance) error {
	if in.UUID == "" {
		in.UUID = newUUID()
	}
	err := c.change(ctx, func(tx *sql.Tx) error {
		if _, err := lockTask(ctx, tx, number); err != nil {
			return err
		}
		var known string
		if err := tx.QueryRowContext(ctx, selectClone, number).Scan(&known); err != nil || known != "" {
			return err
		}
		if err := addInstance(ctx, tx, in); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, updateClone, number, in.ID); err != nil {
			return err
		}
		return touch(ctx, tx, number)
	})
	return inTask(err, "add the clone of", number)
}
