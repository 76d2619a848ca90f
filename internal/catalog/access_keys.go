package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// AccessKey is what signs requests to the vendors' APIs. Its secret is sealed: the record alone
// does not open the door.
type AccessKey struct {
	ID          string
	Account     string
	Description string
	Secret      string // sealed
	Policy      string // a policy document, JSON
	Disabled    bool
	CreatedAt   time.Time
	RotatedAt   *time.Time // when it got its present secret, unless with its creation
	LastUsedAt  *time.Time
}

const accessKeyColumns = `id, account, description, secret, policy, disabled, created_at, rotated_at, last_used_at`

const insertAccessKey = `
INSERT INTO access_key (` + accessKeyColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, NULL, NULL)`

// AddAccessKey records a new access key.
func (c *Catalog) AddAccessKey(ctx context.Context, k AccessKey) error {
	_, err := c.write.ExecContext(ctx, insertAccessKey, k.ID, legible(k.Account), legible(k.Description),
		k.Secret, k.Policy, flag(k.Disabled), instant{&k.CreatedAt})
	if err != nil {
		return fmt.Errorf("add access key %s: %w", k.ID, err)
	}
	return nil
}

const selectAccessKey = `
SELECT ` + accessKeyColumns + `
  FROM access_key
 WHERE id = $1`

// AccessKey returns an access key, or upgrade.NotFound.
func (c *Catalog) AccessKey(ctx context.Context, id string) (AccessKey, error) {
	k, err := scanAccessKey(c.read.QueryRowContext(ctx, selectAccessKey, legible(id)))
	return found(k, err, "access key", id)
}

const selectAccessKeys = `
  SELECT ` + accessKeyColumns + `
    FROM access_key
ORDER BY created_at, id`

// AccessKeys returns all access keys, the oldest first.
func (c *Catalog) AccessKeys(ctx context.Context) ([]AccessKey, error) {
	keys, err := collect(ctx, c.read, scanAccessKey, selectAccessKeys)
	if err != nil {
		return nil, fmt.Errorf("read access keys: %w", err)
	}
	return keys, nil
}

const (
	disableAccessKey = `
UPDATE access_key
   SET disabled = $2
 WHERE id = $1`

	rotateAccessKey = `
UPDATE access_key
   SET secret = $2, rotated_at = $3
 WHERE id = $1`
)

// DisableAccessKey closes the door to a key, or opens it again.
func (c *Catalog) DisableAccessKey(ctx context.Context, id string, disabled bool) error {
	return c.changeAccessKey(ctx, "disable", id, disableAccessKey, flag(disabled))
}

// RotateAccessKey gives a key another secret. The former one is void.
func (c *Catalog) RotateAccessKey(ctx context.Context, id, secret string, at time.Time) error {
	return c.changeAccessKey(ctx, "rotate", id, rotateAccessKey, secret, instant{&at})
}

func (c *Catalog) changeAccessKey(ctx context.Context, doing, id, query string, values ...any) error {
	n, err := changed(c.write.ExecContext(ctx, query, append([]any{legible(id)}, values...)...))
	if err == nil && n == 0 {
		err = &upgrade.NotFound{Kind: "access key", Name: id}
	}
	if err != nil {
		return fmt.Errorf("%s access key %s: %w", doing, id, err)
	}
	return nil
}

func scanAccessKey(r row) (AccessKey, error) {
	var k AccessKey
	var disabled int64
	var rotated, used sql.Null[int64]
	err := r.Scan(&k.ID, &k.Account, &k.Description, &k.Secret, &k.Policy, &disabled, instant{&k.CreatedAt}, &rotated, &used)
	k.Disabled, k.RotatedAt, k.LastUsedAt = disabled != 0, moment(rotated), moment(used)
	return k, err
}
