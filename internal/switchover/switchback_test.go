package switchover

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pgleap/pgleap/internal/pgtest"
)

// TestRoundTrips: clients write through the endpoint all the time, while they are brought to the target
// and back again and again. None sees an error, every entry that was acknowledged is there once, and
// at each end of each trip both sides hold the same.
func TestRoundTrips(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	trips := 2
	if pgtest.IsSlow() {
		trips = 10
	}
	b := lay(t)
	w := b.write(t)
	var pauses []time.Duration
	for trip := range trips {
		for _, config := range []Config{b.config(t), b.backConfig(t)} {
			w.awaitMore(t, 50)
			var kept Snapshots
			config.Keep = func(s Snapshots) { kept = s }
			outcome, err := Run(t.Context(), config)
			must(t, "switch over", err)
			if !outcome.Switched || outcome.Back != config.Plan.Reversed || outcome.TargetLSN == "" {
				t.Fatalf("trip %d, back %t, did not switch: %+v", trip, config.Plan.Reversed, outcome)
			}
			b.open(t, config)
			wantAlike(t, kept)
			kept.Close()
			pauses = append(pauses, outcome.Pause)
			if b.wasLeft = config.Plan.Reversed; b.wasLeft {
				b.wantServing(t, b.source)
			} else {
				b.wantServing(t, b.target)
			}
		}
	}
	w.stop(t)
	b.synchronize(t)
	for _, database := range databases {
		w.wantOnce(t, b.ours(t, b.source, database), database)
		w.wantOnce(t, b.ours(t, b.target, database), database)
	}
	slices.Sort(pauses)
	t.Logf("%d pauses: median %s, longest %s", len(pauses), pauses[len(pauses)/2], pauses[len(pauses)-1])
}

// The way back is opened once, by the switchover that led away, and by no other.
func TestWayBackIsOpenedOnlyByTheLast(t *testing.T) {
	pgtest.Slow(t)
	t.Parallel()
	b := lay(t)
	w := b.write(t)
	w.awaitMore(t, 20)
	there := b.config(t)
	b.mustSwitch(t, there)
	b.open(t, there)
	b.open(t, there)
	w.awaitMore(t, 20)
	b.mustSwitch(t, b.backConfig(t))
	w.awaitMore(t, 20)
	// Somebody who was held up opens what has been gone meanwhile.
	err := OpenWayBack(t.Context(), there, func() (bool, error) { return false, nil })
	must(t, "open late", err)
	w.stop(t)
	for _, database := range databases {
		w.wantOnce(t, b.ours(t, b.source, database), database)
		var following []string
		err := b.ours(t, b.source, database).QueryRow(t.Context(),
			`SELECT coalesce(array_agg(subname::text), '{}') FROM pg_subscription WHERE subenabled`).Scan(&following)
		must(t, "look at subscriptions", err)
		if diff := cmp.Diff([]string{}, following); diff != "" {
			t.Errorf("what the source follows (-want +got):\n%s", diff)
		}
	}
}

func (b *bed) mustSwitch(t *testing.T, config Config) {
	t.Helper()
	outcome, err := Run(t.Context(), config)
	must(t, "switch over", err)
	if !outcome.Switched {
		t.Fatalf("it did not switch: %s", outcome.Reason)
	}
}
