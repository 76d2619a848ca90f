package pgbin

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// PgCtlcluster starts and stops a cluster of postgresql-common; Bindir is where pg_ctlcluster is.
// It hands the request to systemd where that runs, so no options are passed through.
type PgCtlcluster struct {
	Bindir   string
	ConfRoot string // empty: /etc/postgresql
	Major    upgrade.Major
	Name     string
}

// nothingToDo is pg_ctlcluster's exit code for starting what runs and stopping what is down.
const nothingToDo = 2

// Start starts the cluster and waits for it. One that runs already is fine.
func (c PgCtlcluster) Start(ctx context.Context, as Caller) error {
	return c.do(ctx, as, "start")
}

// Stop stops the cluster and waits for it. One that is down already is fine.
func (c PgCtlcluster) Stop(ctx context.Context, as Caller, mode StopMode) error {
	return c.do(ctx, as, "stop", "--mode", string(mode))
}

// Reload has the cluster read its configuration files again.
func (c PgCtlcluster) Reload(ctx context.Context, as Caller) error {
	return c.do(ctx, as, "reload")
}

func (c PgCtlcluster) do(ctx context.Context, as Caller, action string, options ...string) error {
	args := append(options, strconv.Itoa(int(c.Major)), c.Name, action)
	command := as.call(c.Bindir, "pg_ctlcluster", args...)
	command.Env = confRoot(c.ConfRoot)
	_, err := as.Runner.Run(ctx, command)
	if failed, ok := errors.AsType[*run.Error](err); ok && failed.ExitCode == nothingToDo {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s cluster %d %s: %w", action, c.Major, c.Name, err)
	}
	return nil
}
