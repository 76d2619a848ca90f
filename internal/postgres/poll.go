package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// SQLSTATEs that are asked for (PostgreSQL documentation, appendix A).
const (
	codeObjectInUse     = "55006"
	codeUndefinedObject = "42704"
)

// IsCode tells whether err is PostgreSQL's, with that SQLSTATE.
func IsCode(err error, code string) bool {
	pgErr, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pgErr.Code == code
}

// pollInterval is for waits in which no client waits.
const pollInterval = 50 * time.Millisecond

// poll asks until done, an error, or the end of ctx.
func poll(ctx context.Context, what string, done func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		ok, err := done()
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}
