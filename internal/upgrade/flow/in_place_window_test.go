package flow

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// What can be prepared is prepared at once. The outage waits for the window, or for the user, and before it
// all is prepared anew; in an open window nothing waits.
func TestInPlaceInWindow(t *testing.T) {
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	window := &upgrade.Window{Start: 22 * 60, End: 2 * 60} // past midnight
	waited := []string{
		step.Precheck, step.SaveReport, step.PrepareInPlace,
		step.DiscardInPlace, step.Precheck, step.SaveReport, step.PrepareInPlace, step.UpgradeInPlace,
	}
	for name, test := range map[string]struct {
		begins time.Time
		window *upgrade.Window
		said   string // once it waits
		since  time.Time
		calls  []string
		status upgrade.Status
	}{
		"closed":      {at(1, 12, 0), window, "", at(1, 22, 0), append(waited, afterOutage...), upgrade.StatusSucceeded},
		"open":        {at(1, 1, 30), window, "", at(1, 1, 30), append(append([]string{}, untilOutage...), afterOutage...), upgrade.StatusSucceeded},
		"not awaited": {at(1, 12, 0), window, step.SignalSwitch, at(1, 12, 0), append(waited, afterOutage...), upgrade.StatusSucceeded},
		"given up":    {at(1, 12, 0), window, step.SignalCancel, at(1, 12, 0), append(append([]string{}, untilOutage[:3]...), afterFailure...), upgrade.StatusCancelled},
		"none":        {at(1, 12, 0), nil, "", at(1, 12, 0), append(append([]string{}, untilOutage[:3]...), afterFailure...), upgrade.StatusFailed},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInPlaceWorld(t)
			w.env.SetStartTime(test.begins)
			w.does[step.UpgradeInPlace] = outageEnds(served)
			w.entered = func(phase upgrade.Phase) {
				if phase == upgrade.PhaseWaiting && test.said != "" {
					w.signal(test.said)
				}
			}
			plan := testPlan
			plan.Mode, plan.Options.SwitchInWindow = upgrade.InPlace, true
			w.env.ExecuteWorkflow(InPlace, step.InPlaceUpgradeArgs{Plan: plan, Window: test.window})
			var outcome upgrade.Outcome
			if err := w.env.GetWorkflowResult(&outcome); err != nil || outcome.Status != test.status {
				t.Fatalf("%+v, %v, want %s", outcome, err, test.status)
			}
			if diff := cmp.Diff(test.calls, w.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if ended := w.env.Now().UTC(); ended.Before(test.since) || ended.After(test.since.Add(time.Hour)) {
				t.Errorf("it ended at %s, want %s", ended, test.since)
			}
		})
	}
}
