package onhost

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// While clients wait for statistics or standbys the target serves already. A cancel ends the waiting then, as the agent's
// death does, and nothing else: clients go on there, and what they waited for is done in the end.
func TestInPlaceClientsWaitNoLonger(t *testing.T) {
	pgtest.Slow(t)
	for _, at := range []string{"statistics", "copying the target to standby s1"} {
		for _, how := range []string{"cancel", "death"} {
			t.Run(fmt.Sprintf("%s at %s", how, at), func(t *testing.T) {
				b := newInPlaceBed(t, upgrade.TransferLink)
				b.plan.Options.Statistics, b.plan.Options.WaitForStandbys = upgrade.StatisticsBefore, true
				b.startStandbyOf("s1", "")
				bouncer := b.adoptBouncer()
				before := b.prepared()
				result := b.waitsUntil(at, how == "death")
				b.servesInPlace(result, before, bouncer)
				collected := b.collected()
				if got := b.replicas(b.plan.Target); len(got) > 0 || (collected == nil) != (at != "statistics") {
					t.Errorf("while clients waited: standbys %v, statistics: %v", got, collected)
				}
				twice(b, "FinishInPlace", func(ctx context.Context) (step.FinishResult, error) { return b.worker.FinishInPlace(ctx, b.plan) })
				b.step("AnalyzeInPlace", b.worker.AnalyzeInPlace)
				b.must(b.collected())
				b.buildStandbys(step.StandbysArgs{Serving: true})
				b.records() // ends its successor
				if got := b.replicas(b.plan.Target); !slices.Equal(got, []string{"s1 streaming async"}) {
					t.Errorf("in the end the target has %v", got)
				}
			})
		}
	}
}

// waitsUntil carries out an outage until a moment at which the target serves. Then the user cancels it, or its agent dies,
// and another one ends it.
func (b *upgradeBed) waitsUntil(moment string, dies bool) step.InPlaceResult {
	b.Helper()
	if dies {
		b.dieInPlace(inPlaceDeath{At: moment, Agent: true, Transfer: upgrade.TransferLink})
		b.recovers()
		result, err := b.worker.UpgradeInPlace(b.Context(), step.InPlaceArgs{Plan: b.plan, SettleOnly: true})
		b.must(err)
		return result
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	watch := &progress{beat: func(now upgrade.Progress) {
		if strings.HasPrefix(now.Text, moment) {
			cancel()
		}
	}}
	result, err := b.worker.UpgradeInPlace(context.WithValue(ctx, progressKey{}, watch), step.InPlaceArgs{Plan: b.plan})
	b.must(err)
	told := ""
	for _, event := range result.Events {
		told += event.Text + "\n"
	}
	if !strings.Contains(told, "clients were let go on before all was done") || strings.Contains(told, "not content") || strings.Contains(told, "context canceled") {
		b.Errorf("told: %s", told)
	}
	return result
}

// collected tells whether all statistics are there.
func (b *upgradeBed) collected() error {
	var errs []error
	for _, database := range []string{"shop", "Depot's"} {
		errs = append(errs, with(b.Context(), b.worker.host.Login(b.plan.Target, database), func(conn *pgx.Conn) error {
			return noneMissing(b.Context(), conn, database, nil)
		}))
	}
	return errors.Join(errs...)
}
