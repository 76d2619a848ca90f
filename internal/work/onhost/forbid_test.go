package onhost

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// An attempt that is ended before it has begun never begins, though its activity, which the engine has given up,
// may still be preparing it: the target may be removed in the next moment.
func TestAnEndedAttemptNeverBegins(t *testing.T) {
	plan := upgrade.Plan{Number: 7, Instance: "shop", Endpoint: upgrade.Endpoint{Driver: upgrade.PgBouncer}}
	args := step.SwitchOverArgs{Plan: plan, Attempt: 1, SettleOnly: true}
	ended := upgrade.Switchover{Reason: "interrupted before it began"}
	for name, end := range map[string]func(context.Context, *Worker) (upgrade.Switchover, error){
		"by its own settlement": func(ctx context.Context, w *Worker) (upgrade.Switchover, error) { return w.SwitchOver(ctx, args) },
		"with a clone": func(ctx context.Context, w *Worker) (upgrade.Switchover, error) {
			result, err := w.SwitchToClone(ctx, args)
			return result.Switchover, err
		},
		"back from a clone": func(ctx context.Context, w *Worker) (upgrade.Switchover, error) {
			result, err := w.returnOnce(ctx, args)
			result.Back = false
			return result, err
		},
		"with the upgrade": func(ctx context.Context, w *Worker) (upgrade.Switchover, error) {
			_, err := w.endSwitchovers(ctx, plan)
			return ended, err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := workerIn(t.TempDir(), t.TempDir(), GuardCommand{}, slog.New(slog.DiscardHandler))
			path, err := w.journalPath(args)
			if err != nil {
				t.Fatal(err)
			}
			prepared := switchover.OpenJournal(path, time.Now)
			if err := prepared.Announce(); err != nil { // as SwitchOver does, before it gets ready
				t.Fatal(err)
			}
			for range 2 {
				if outcome, err := end(t.Context(), w); err != nil || outcome.Reason != ended.Reason || outcome.Switched {
					t.Fatalf("ended: %+v, %v", outcome, err)
				}
			}
			err = prepared.Begin(t.Context(), switchover.Intent{Plan: plan})
			if wrong, ok := errors.AsType[*switchover.WrongStage](err); !ok || wrong.Stage != switchover.StageUndone {
				t.Errorf("it begins: %v", err)
			}
			if last, err := w.settleAll(t.Context(), plan); err != nil || last.Stage != switchover.StageNone {
				t.Errorf("the upgrade stands at %+v, %v", last, err)
			}
		})
	}
}
