package catalog

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
)

const selectSystemIdentifier = `
SELECT system_identifier::text
  FROM pg_control_system()`

// SystemIdentifier tells in which cluster of PostgreSQL the record is; empty: in none, or its role may not know.
func (c *Catalog) SystemIdentifier(ctx context.Context) (string, error) {
	if c.writers == nil {
		return "", nil
	}
	var identifier string
	err := c.read.QueryRowContext(ctx, selectSystemIdentifier).Scan(&identifier)
	const insufficientPrivilege = "42501"
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok && refused.Code == insufficientPrivilege {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask for the catalogue's cluster: %w", err)
	}
	return identifier, nil
}
