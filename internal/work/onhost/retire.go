package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// retireTimeout is shorter than what whoever asks waits for an answer. Only pgleap's fence has let
// anybody in since the switchover, so there is nothing to wait for.
const retireTimeout = 25 * time.Second

// RetireCluster stops a former cluster. Its data directory stays as it is. One that is down, or
// whose directory is gone, is retired already.
func (w *Worker) RetireCluster(ctx context.Context, c upgrade.Cluster) (step.Done, error) {
	if _, err := os.Stat(filepath.Join(c.Pgdata, "PG_VERSION")); errors.Is(err, fs.ErrNotExist) {
		return w.info(ctx, fmt.Sprintf("the data directory %s is gone already", c.Pgdata)), nil
	}
	if _, running := w.host.Running(c); !running {
		return w.info(ctx, fmt.Sprintf("%s does not run; its data are in %s as they were", c, c.Pgdata)), nil
	}
	if err := w.isStill(ctx, c); err != nil {
		return step.Done{}, err
	}
	if err := w.host.Stop(ctx, c, pgbin.StopFast, retireTimeout); err != nil {
		return step.Done{}, fmt.Errorf("retire %s: %w", c, err)
	}
	return w.info(ctx, fmt.Sprintf("%s is stopped for good; its data are in %s as they were", c, c.Pgdata)), nil
}

// isStill refuses a data directory that another cluster has moved into meanwhile.
func (w *Worker) isStill(ctx context.Context, c upgrade.Cluster) error {
	user, err := run.LookupUser(c.Owner)
	if err != nil {
		return &upgrade.Refused{Reason: err.Error()}
	}
	control, err := pgbin.PgControldata(ctx, pgbin.Caller{Runner: w.runner, As: user}, c.Bindir, c.Pgdata)
	if err != nil {
		return fmt.Errorf("retire %s: %w", c, err)
	}
	if now := control.SystemIdentifier; now != c.SystemIdentifier {
		return &upgrade.Refused{
			Reason: fmt.Sprintf("the data directory %s holds another cluster now: its system identifier is %s, not %s", c.Pgdata, now, c.SystemIdentifier),
			Remedy: "see what uses it; pgleap leaves it alone",
			Cause:  upgrade.CauseServing,
		}
	}
	return nil
}
