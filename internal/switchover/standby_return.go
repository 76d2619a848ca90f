package switchover

import (
	"context"

	"github.com/pgleap/pgleap/internal/upgrade"
)

// RunReturn brings clients back from what was made of a standby to the source that they have left. Neither
// side follows the other: prove has to find that nothing was written since, in what is on disk of the
// fenced side up to where it stands still. The plan is the one of the way back. Otherwise it is as Run.
func RunReturn(ctx context.Context, c Config, prove func(context.Context, Standstill) error) (upgrade.Switchover, error) {
	return RunStandby(ctx, c, Standby{Steps: []StandbyStep{{Name: "nothing written", Do: prove}}})
}
