package control

import (
	"fmt"
	"slices"

	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// Verb is what can be said of a switchover.
type Verb string

// The verbs.
const (
	VerbSwitch    Verb = "switch"    // start it
	VerbRehearse  Verb = "rehearse"  // carry it out up to the move, and resume on the source
	VerbInterrupt Verb = "interrupt" // abort this attempt, back to synchronizing
	VerbCancel    Verb = "cancel"    // abandon the upgrade
	VerbBack      Verb = "back"      // bring clients back to the source, after a switchover; without replication only while nothing was written
	VerbFinish    Verb = "finish"    // give up the way back, and end the upgrade
)

// signals are the workflow's words for the verbs.
var signals = map[Verb]string{
	VerbSwitch: step.SignalSwitch, VerbRehearse: step.SignalRehearse, VerbInterrupt: step.SignalInterrupt, VerbCancel: step.SignalCancel,
	VerbBack: step.SignalBack, VerbFinish: step.SignalFinish,
}

// allowed tells whether the verb fits the phase that the upgrade is in. It spares the user a
// verb without effect; the workflow decides itself, for the phase may change at any time.
func (v Verb) allowed(task upgrade.Task) error {
	u := toldTo{task}
	switch {
	case task.Kind != upgrade.TaskUpgrade:
		return u.refuse("is a precheck: it has no switchover", "")
	case task.Status.Ended():
		return u.refuse(fmt.Sprintf("is not running: it has ended (%s)", task.Status), "")
	case v == VerbBack && task.Mode == upgrade.BlueGreen:
		return u.notBackYet()
	case (v == VerbBack || v == VerbFinish || v == VerbRehearse) && task.Mode != upgrade.ZeroDowntime:
		return u.refuse(fmt.Sprintf("is of mode %s, in which neither side follows the other: what clients wrote on the target would be lost with it", task.Mode),
			"see the documentation of that mode for what can be undone")
	case task.Phase == upgrade.PhaseFinishing:
		return u.refuse("has switched, and is being finished: applications are on the target", "")
	}
	switch v {
	case VerbSwitch:
		return u.toSwitch()
	case VerbRehearse:
		return u.toRehearse()
	case VerbBack, VerbFinish:
		return u.toEndTheWayBack()
	case VerbInterrupt:
		return u.toInterrupt()
	case VerbCancel:
		return u.toCancel()
	}
	return nil
}

// toldTo is a running upgrade that a verb is said to.
type toldTo struct{ upgrade.Task }

func (u toldTo) refuse(why, remedy string) error {
	return &Conflict{Reason: fmt.Sprintf("task %d %s", u.Number, why), Remedy: remedy, Cause: upgrade.CausePhase}
}

// await refuses until the upgrade is in another phase.
func (u toldTo) await(phase upgrade.Phase) error {
	return u.refuse(fmt.Sprintf("is in phase %q", u.Phase), fmt.Sprintf("wait until it is %q", phase))
}

func (u toldTo) toSwitch() error {
	switch {
	case u.OnTarget():
		return u.onTargetAlready()
	case u.Phase == upgrade.PhaseWaiting:
		return nil
	case u.Phase != upgrade.PhaseSynchronizing:
		return u.await(upgrade.PhaseSynchronizing)
	case u.Rehearsal != nil && u.Rehearsal.Difference() != nil:
		return u.refuse("must not switch: a rehearsal found that source and target differ, and none has found them identical since: "+u.Rehearsal.Difference().String(),
			fmt.Sprintf("see `pgleap task show %d`, then rehearse again, or cancel the upgrade", u.Number))
	}
	return nil
}

func (u toldTo) toRehearse() error {
	if u.Phase != upgrade.PhaseSynchronizing && u.Phase != upgrade.PhaseFollowing {
		return u.await(upgrade.PhaseSynchronizing)
	}
	return nil
}

// toEndTheWayBack: by going it, or by giving it up.
func (u toldTo) toEndTheWayBack() error {
	switch {
	case !u.OnTarget():
		return u.refuse("has not switched over: applications are on the source", "")
	case u.Phase != upgrade.PhaseFollowing:
		return u.await(upgrade.PhaseFollowing)
	}
	return nil
}

// notBackYet: an upgrade that nobody follows has its way back when it has ended.
func (u toldTo) notBackYet() error {
	if !u.OnTarget() {
		return u.refuse("has not switched over: applications are on the source", "")
	}
	return u.refuse(fmt.Sprintf("is in phase %q", u.Phase),
		"say it again when the upgrade has ended; clients can go back until something is written on the target")
}

func (u toldTo) toInterrupt() error {
	if !slices.Contains([]upgrade.Phase{upgrade.PhaseSwitchover, upgrade.PhaseSwitchback, upgrade.PhaseRehearsal}, u.Phase) {
		return u.refuse(fmt.Sprintf("is in phase %q: there is no switchover to interrupt", u.Phase), "")
	}
	return nil
}

func (u toldTo) toCancel() error {
	switch {
	case u.OnTarget():
		return u.onTargetAlready()
	case u.Phase == upgrade.PhaseCleanup:
		return u.refuse("is being cleaned up already", "")
	}
	return nil
}

func (u toldTo) onTargetAlready() error {
	return u.refuse("has switched already: applications are on the target",
		fmt.Sprintf("go back with `pgleap switchover %s back`, or give the way back up with `pgleap finish %s`", u.Instance, u.Instance))
}
