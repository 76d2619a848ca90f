package catalog

import (
	"context"
	"database/sql"
	"errors"
)

// The counters.
const (
	taskCounter  = "task"
	auditCounter = "audit"
)

// maxNumber is the greatest number that the vendors' APIs can express (a signed 32-bit integer).
const maxNumber = 1<<31 - 1

const nextOfCounter = `
UPDATE counter
   SET last = last + 1
 WHERE name = $1 AND last < $2
RETURNING last`

var errUsedUp = errors.New("all numbers are used up")

// next takes a number. Whoever takes the following one waits until tx has ended, so that numbers
// appear in order and without gaps.
func next(ctx context.Context, tx *sql.Tx, counter string, greatest int64) (int64, error) {
	var number int64
	err := tx.QueryRowContext(ctx, nextOfCounter, counter, greatest).Scan(&number)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, errUsedUp
	}
	return number, err
}
