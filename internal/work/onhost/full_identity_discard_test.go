package onhost

import "testing"

// An upgrade that is given up leaves every table with the identity that it had.
func TestFullIdentityIsDiscarded(t *testing.T) {
	b := newUpgradeBed(t)
	b.source.Exec(t, "shop", keylessSchema)
	b.plan.Options.FullIdentity = true
	before := b.sourceState()
	b.step("PrepareSource", b.worker.PrepareSource)
	b.wantIdentities(b.plan.Source, "audit f ", "coded f ", "keyless f ", "visit f ")
	b.step("Discard", b.worker.Discard)
	b.unchanged(before)
}
