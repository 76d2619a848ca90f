package flow

import (
	"slices"
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

// The outage begins within the window, or in the next one: not when preparing it has taken until after the end, nor when
// its agent was away until then. Whoever asks for it waits for nothing.
func TestInPlaceOutlastsTheWindow(t *testing.T) {
	at := func(day, hour, minute int) time.Time { return time.Date(2026, 3, day, hour, minute, 0, 0, time.UTC) }
	window := &upgrade.Window{Start: 22 * 60, End: 2 * 60} // past midnight
	anew := []string{step.DiscardInPlace, step.Precheck, step.SaveReport, step.PrepareInPlace}
	begins := untilOutage[:3:3]
	late := func(int) (any, error) { return step.InPlaceResult{Late: true}, nil }
	for name, test := range map[string]struct {
		slow  map[int]time.Duration // how long each preparation takes, from 1 on
		late  int                   // attempts at the outage that come too late
		asked bool
		calls [][]string
		begun time.Time
		end   time.Time // what the last attempt was told
	}{
		"prepared in time":    {nil, 0, false, [][]string{begins, anew, {step.UpgradeInPlace}, afterOutage}, at(1, 22, 0), at(2, 2, 0)},
		"prepared too late":   {map[int]time.Duration{2: 5 * time.Hour}, 0, false, [][]string{begins, anew, anew, anew, {step.UpgradeInPlace}, afterOutage}, at(2, 22, 0), at(3, 2, 0)},
		"always slow":         {map[int]time.Duration{1: time.Hour, 2: 7 * time.Hour, 3: 7 * time.Hour}, 0, false, [][]string{begins, anew, anew, {step.UpgradeInPlace}, afterOutage}, at(2, 22, 0), at(3, 2, 0)},
		"slow as foreseen":    {map[int]time.Duration{1: 5 * time.Hour, 2: 5 * time.Hour}, 0, false, [][]string{begins, anew, {step.UpgradeInPlace}, afterOutage}, at(1, 22, 0), at(2, 2, 0)},
		"quicker than before": {map[int]time.Duration{1: 5 * time.Hour, 2: time.Minute, 3: time.Minute}, 0, false, [][]string{begins, anew, anew, {step.UpgradeInPlace}, afterOutage}, at(1, 22, 0), at(2, 2, 0)},
		"late, but asked":     {map[int]time.Duration{2: 5 * time.Hour}, 0, true, [][]string{begins, anew, {step.UpgradeInPlace}, afterOutage}, at(1, 17, 0), time.Time{}},
		"the agent was away":  {nil, 1, false, [][]string{begins, anew, {step.UpgradeInPlace}, anew, {step.UpgradeInPlace}, afterOutage}, at(2, 22, 0), at(3, 2, 0)},
		"away in two windows": {nil, 2, false, [][]string{begins, anew, {step.UpgradeInPlace}, anew, {step.UpgradeInPlace}, anew, {step.UpgradeInPlace}, afterOutage}, at(3, 22, 0), at(4, 2, 0)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newInPlaceWorld(t)
			w.env.SetStartTime(at(1, 12, 0))
			var begun time.Time
			w.does[step.UpgradeInPlace] = func(n int) (any, error) {
				begun = w.env.Now().UTC()
				if n <= test.late {
					return late(n)
				}
				return outageEnds(served)(n)
			}
			w.takes = map[string]map[int]time.Duration{step.PrepareInPlace: test.slow}
			if test.asked {
				w.entered = func(phase upgrade.Phase) {
					if phase == upgrade.PhaseWaiting {
						w.signal(step.SignalSwitch)
					}
				}
			}
			plan := testPlan
			plan.Mode, plan.Options.SwitchInWindow = upgrade.InPlace, true
			w.env.ExecuteWorkflow(InPlace, step.InPlaceUpgradeArgs{Plan: plan, Window: window})
			var outcome upgrade.Outcome
			if err := w.env.GetWorkflowResult(&outcome); err != nil || outcome.Status != upgrade.StatusSucceeded {
				t.Fatalf("%+v, %v", outcome, err)
			}
			if diff := cmp.Diff(slices.Concat(test.calls...), w.calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
			if !begun.Equal(test.begun) {
				t.Errorf("the outage began at %s, want %s", begun, test.begun)
			}
			if end := w.notAfter[len(w.notAfter)-1]; !end.Equal(test.end) {
				t.Errorf("it was to begin until %s, want %s", end, test.end)
			}
		})
	}
}
