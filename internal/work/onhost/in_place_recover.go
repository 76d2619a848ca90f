package onhost

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// RecoverInPlace ends what upgrades in place a crash left in the middle. It is the first thing that an
// agent does: nobody serves until then.
func (w *Worker) RecoverInPlace(ctx context.Context) error {
	paths, err := w.outages()
	if err != nil {
		return err
	}
	errs := make([]error, len(paths))
	var all sync.WaitGroup
	for i, path := range paths {
		all.Go(func() { errs[i] = w.recoverOutage(ctx, path) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// recoverOutage tries until it has succeeded.
func (w *Worker) recoverOutage(ctx context.Context, path string) error {
	state, err := readOutage(path)
	if err != nil || state.Stage == outageNone || state.Stage.ended() {
		return err
	}
	w.log.WarnContext(ctx, "an upgrade in place was left in the middle; it is ended now", "task", state.Intent.Plan.Number, "stage", string(state.Stage))
	for {
		err := w.recoverOutageOnce(ctx, path)
		if err == nil {
			return nil
		}
		w.log.WarnContext(ctx, "an upgrade in place cannot be ended yet", "task", state.Intent.Plan.Number, "error", err)
		if sleep(ctx, time.Second) != nil {
			return err
		}
	}
}

func (w *Worker) recoverOutageOnce(ctx context.Context, path string) error {
	journal, err := openOutage(ctx, path, w.now)
	if err != nil {
		return err
	}
	defer journal.close()
	outcome, err := w.settleOutage(ctx, journal, agentDied)
	if err == nil {
		w.log.WarnContext(ctx, "an upgrade in place is ended", "task", journal.state.Intent.Plan.Number, "upgraded", outcome.Switched, "reason", outcome.Reason)
	}
	return err
}

// guardPatience is how long a guard tries to end an outage.
const guardPatience = 10 * time.Minute

// IsOutage tells whether a journal is that of an upgrade in place: then GuardInPlace watches over it.
func (w *Worker) IsOutage(path string) bool {
	return filepath.Dir(path) == filepath.Clean(w.outageDir())
}

// GuardInPlace watches over an outage until the process that started it says that it is done. When
// that process dies, it ends the outage as an agent that starts again would.
func (w *Worker) GuardInPlace(ctx context.Context, path string, parent io.Reader) error {
	// Who ends the agent may signal its whole session or group; the guard is for just that moment.
	signal.Ignore(os.Interrupt)
	standing()
	for lines := bufio.NewScanner(parent); lines.Scan(); {
		if strings.TrimSpace(lines.Text()) == "done" { // as endpoint.Guard says it
			return nil
		}
	}
	ctx, cancel := context.WithTimeout(ctx, guardPatience)
	defer cancel()
	return w.recoverOutage(ctx, path)
}
