package onhost

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// discardOrSay is Discard. If the source does not run it says what that waits for: a refusal would end the
// upgrade and leave its slots in the source, which would fill the source's disk from its next start on.
func (w *Worker) discardOrSay(ctx context.Context, plan upgrade.Plan) (step.Done, error) {
	done, err := w.Discard(ctx, plan)
	if _, refused := errors.AsType[*upgrade.Refused](err); err == nil || refused || plan.Mode == upgrade.InPlace || ctx.Err() != nil {
		return done, err
	}
	if _, running := w.host.Running(plan.Source); running {
		return done, err
	}
	return done, fmt.Errorf("the source does not run: start it in %s, and this goes on by itself; "+
		"what the upgrade has made there, slots above all, can be removed only while it runs (%w)", plan.Source.Pgdata, err)
}
