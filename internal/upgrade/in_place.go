package upgrade

import "slices"

// PhasePrepareTarget is when the target is made while the source still serves: all that can fail
// without an outage fails here. PhaseUpgrade is the outage itself.
const PhasePrepareTarget Phase = "preparing target"

// PhaseWaiting is when all is prepared, and the outage waits for the maintenance window.
const PhaseWaiting Phase = "waiting for the window"

// InPlacePhases lists the phases of an in-place upgrade in order.
func InPlacePhases() []Phase {
	return []Phase{PhasePrecheck, PhasePrepareTarget, PhaseUpgrade, PhaseFinishing}
}

// AcceptSwap is the entry of Options.Accepted by which the user takes upon himself that there is no
// way back from TransferSwap.
const AcceptSwap = "transfer:swap"

// Accepts tells whether the user has taken something upon himself.
func (o Options) Accepts(what string) bool { return slices.Contains(o.Accepted, what) }

// RefuseUnacceptedSwap is the refusal of a swap that the user has not confirmed.
func (o Options) RefuseUnacceptedSwap() error {
	if o.Transfer != TransferSwap || o.Accepts(AcceptSwap) {
		return nil
	}
	return &Refused{
		Reason: "with transfer swap the source's files become the target's: as soon as pg_upgrade has begun to move them, nothing but a backup brings the source back",
		Remedy: "choose link or clone, or accept that by --accept " + AcceptSwap,
		Cause:  CauseOption,
	}
}
