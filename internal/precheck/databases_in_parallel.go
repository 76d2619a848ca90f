package precheck

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// databasesAtOnce bounds how many databases are looked into at a time, each over one session: a cluster may have
// hundreds of databases and few connections to spare.
const databasesAtOnce = 2

// inParallel does something for each of a list, a few at a time. The first error ends it, and is returned when
// all have come to their end.
func inParallel[T any](ctx context.Context, list []T, do func(ctx context.Context, i int, item T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(databasesAtOnce, len(list)) {
		workers.Go(func() {
			for i := range next {
				if err := do(ctx, i, list[i]); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range list {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// disconnect ends a session. When ctx has ended, pgx asks the server to cancel what runs, in the background:
// it is waited for, so that nothing of ours runs on when the precheck has ended.
func disconnect(ctx context.Context, conn *pgx.Conn) {
	_ = conn.Close(context.WithoutCancel(ctx)) // nothing depends on it
	select {
	case <-conn.PgConn().CleanupDone():
	case <-time.After(disconnectTimeout):
	}
}

const disconnectTimeout = 10 * time.Second
