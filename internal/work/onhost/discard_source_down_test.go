package onhost

import (
	"errors"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
)

// An upgrade that is given up while its source is down waits for it, and says so.
func TestDiscardSaysThatItWaitsForTheSource(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t)
	before := b.sourceState()
	b.do("PrepareSource", b.worker.PrepareSource)
	b.source.Stop(t)
	_, err := b.worker.discardOrSay(t.Context(), b.plan)
	if _, refused := errors.AsType[*upgrade.Refused](err); err == nil || refused || !strings.Contains(err.Error(), "start it in "+b.plan.Source.Pgdata) {
		t.Fatalf("without the source: %v", err)
	}
	b.source.Restart(t)
	b.do("Discard", b.worker.discardOrSay)
	b.unchanged(before)
}
