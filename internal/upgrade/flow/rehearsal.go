package flow

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// verification is one under way: it reads snapshots, while the upgrade goes on.
type verification struct {
	done       workflow.Future // of upgrade.Verification
	cancel     workflow.CancelFunc
	switchover bool // the snapshots are those of a switchover, not of a rehearsal
}

// verify lets the snapshots that an attempt has kept be compared.
func (t *task) verify(ctx workflow.Context, plan upgrade.Plan, attempt int) *verification {
	ctx, cancel := workflow.WithCancel(ctx)
	return &verification{
		done: workflow.ExecuteActivity(t.hostOptions(ctx, step.Verify), step.Verify,
			step.VerifyArgs{Plan: plan, Attempt: attempt}),
		cancel: cancel,
	}
}

// result waits for the end of a verification. What went wrong is part of it.
func (v *verification) result(ctx workflow.Context) upgrade.Verification {
	var result upgrade.Verification
	if err := v.done.Get(ctx, &result); err != nil {
		result.Problem = sentence(err)
	}
	return result
}

// endComparing makes an end of a verification, if one is under way: something else has been decided, and
// its sessions would be in the way.
func (t *task) endComparing(ctx workflow.Context) {
	if t.comparing == nil {
		return
	}
	t.comparing.cancel()
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	var v upgrade.Verification
	if t.comparing.done.Get(disconnected, &v) != nil {
		v = upgrade.Verification{Problem: "it was ended because something else was asked for"}
	}
	t.takeIn(ctx, v) // it may have found something before it was ended
}

// rehearse carries out a switchover up to the commit point, and has the snapshots compared that it
// took. The comparison goes on by itself.
func (t *task) rehearse(ctx workflow.Context, args step.SwitchOverArgs) (upgrade.Switchover, error) {
	args.Rehearse, args.Keep = true, true
	result, err := t.attempt(ctx, upgrade.PhaseRehearsal, args)
	if err != nil || result.Switched { // an earlier attempt had, which nobody knew
		return result, err
	}
	var found *upgrade.Verification
	if t.rehearsal != nil {
		found = t.rehearsal.Difference()
	}
	t.rehearsal = &upgrade.Rehearsal{Outcome: result, Earlier: found}
	rehearsed := rehearsalEvent(workflow.Now(ctx).UTC(), result, args.Plan.Options.SwitchoverTimeout)
	t.recordRehearsal(ctx, append(triesOf(result, upgrade.PhaseRehearsal), rehearsed)...)
	if result.Rehearsed {
		t.comparing = t.verify(ctx, args.Plan, args.Attempt)
	}
	return result, nil
}

// triesOf are the events of the tries that gave way to the clients.
func triesOf(result upgrade.Switchover, phase upgrade.Phase) (events []upgrade.Event) {
	for _, try := range result.Tries {
		events = append(events, upgrade.Event{At: try.EndedAt.UTC(), Level: upgrade.LevelInfo, Phase: phase, Text: try.String()})
	}
	return events
}

func rehearsalEvent(at time.Time, result upgrade.Switchover, limit time.Duration) upgrade.Event {
	event := upgrade.Event{At: at, Level: upgrade.LevelInfo, Phase: upgrade.PhaseRehearsal}
	what, where := "switchover", "source"
	if result.Back {
		what, where = "switchback", "target"
	}
	if !result.Rehearsed {
		event.Level, event.Text = upgrade.LevelWarning, fmt.Sprintf("the rehearsal failed, clients go on at the %s: %s", where, result.Reason)
		return event
	}
	event.Text = fmt.Sprintf("rehearsed: clients paused for %s of the %s that a %s may take (switchoverTimeout); both sides are being compared",
		result.Pause.Round(100*time.Microsecond), limit, what)
	return event
}

// compared takes in what a verification came to. An automatic leg whose rehearsal did not pass waits
// for the user.
func (t *task) compared(ctx workflow.Context, l *leg) {
	rehearsed := !t.comparing.switchover
	t.takeIn(ctx, t.comparing.result(ctx))
	if rehearsed && l.automatic && !t.rehearsal.Passed() {
		l.automatic = false
		t.waitForUser(ctx, t.rehearsal.Unproven())
	}
}

func (t *task) takeIn(ctx workflow.Context, v upgrade.Verification) {
	switchover := t.comparing.switchover
	t.comparing = nil
	if switchover {
		t.recordVerification(ctx, v)
		return
	}
	t.rehearsal.Verification = &v
	event := verificationEvent(workflow.Now(ctx).UTC(), v)
	event.Phase = t.current
	t.recordRehearsal(ctx, event)
}

func verificationEvent(at time.Time, v upgrade.Verification) upgrade.Event {
	event := upgrade.Event{At: at, Level: upgrade.LevelInfo, Phase: upgrade.PhaseSynchronizing, Text: v.String()}
	if !v.Identical {
		event.Level = upgrade.LevelWarning
	}
	if v.Total > 0 {
		event.Level = upgrade.LevelError
	}
	return event
}

func (t *task) recordRehearsal(ctx workflow.Context, events ...upgrade.Event) {
	t.write(ctx, step.RecordArgs{Rehearsal: t.rehearsal, Events: events})
}

// verifySwitchover lets the snapshots of the switchover be compared, while clients go on.
func (t *task) verifySwitchover(ctx workflow.Context, plan upgrade.Plan) *verification {
	if !t.rehearses {
		return nil
	}
	v := t.verify(ctx, plan, t.attempts)
	v.switchover = true
	return v
}

func (t *task) recordVerification(ctx workflow.Context, v upgrade.Verification) {
	event := verificationEvent(workflow.Now(ctx).UTC(), v)
	event.Phase = t.current
	t.write(ctx, step.RecordArgs{Verification: &v, Events: []upgrade.Event{event}})
}
