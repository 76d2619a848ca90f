package onhost

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

func TestOverCap(t *testing.T) {
	plan := upgrade.Plan{Options: upgrade.Options{MaxRetainedWAL: 100 << 20}}
	for _, c := range []struct {
		name  string
		slots postgres.SlotState
		want  string // empty: it goes on
	}{
		{"little", postgres.SlotState{RetainedWAL: 1 << 20}, ""},
		{"just as much as it may", postgres.SlotState{RetainedWAL: 100 << 20}, ""},
		{"too much", postgres.SlotState{RetainedWAL: 101 << 20}, "101 MiB of WAL for the upgrade, more than the cap of 100 MiB"},
		{"a slot that was lost", postgres.SlotState{Lost: []string{"pgleap_5"}}, "slots [pgleap_5] are lost"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := overCap(plan, c.slots)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if refused, ok := errors.AsType[*upgrade.Refused](err); err != nil && (!ok || refused.Remedy == "") {
				t.Errorf("it does not tell what to do: %v", err)
			}
		})
	}
}

func TestOverDisk(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name                  string
		retained, free, total int64
		full                  bool
	}{
		{"room enough", 10 * gib, 50 * gib, 100 * gib, false},
		{"5 % of a large disk", 10 * gib, 5*gib - 1, 100 * gib, true},
		{"just 5 %", 10 * gib, 5 * gib, 100 * gib, false},
		{"1 GiB of a small disk", gib, gib - 1, 10 * gib, true},
		{"full, but not of ours", ourShare, 0, 100 * gib, false},
	} {
		err := overDisk(upgrade.Plan{}, postgres.SlotState{RetainedWAL: c.retained}, c.free, c.total)
		if refused, ok := errors.AsType[*upgrade.Refused](err); ok != c.full || ok && refused.Remedy == "" {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A long step ends by itself when the source keeps too much WAL for it.
func TestWithinCap(t *testing.T) {
	b := newUpgradeBed(t)
	b.do("PrepareSource", b.worker.PrepareSource)
	b.must(with(t.Context(), login(b.plan, b.plan.Source), func(conn *pgx.Conn) error {
		return postgres.EnsurePhysicalSlot(t.Context(), conn, upgrade.BaseBackupSlot)
	}))
	b.source.Exec(t, "shop", `INSERT INTO keyless SELECT i, 'WAL' FROM generate_series(1, 1000) i`)
	untilEnded := func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}
	b.plan.Options.MaxRetainedWAL = 1
	err := withinCap(t.Context(), b.plan, untilEnded)
	if refused, ok := errors.AsType[*upgrade.Refused](err); !ok || !strings.Contains(refused.Reason, "more than the cap") {
		t.Errorf("beyond the cap: %v", err)
	}
	// It is seen while the databases, here those of a target that is not there, cannot be opened.
	f := &follower{plan: b.plan}
	defer f.close()
	_, err = f.sample(t.Context())
	if _, ok := errors.AsType[*upgrade.Refused](err); !ok {
		t.Errorf("beyond the cap without a target: %v", err)
	}
	b.plan.Options.MaxRetainedWAL = 1 << 40
	if err := withinCap(t.Context(), b.plan, func(context.Context) error { return nil }); err != nil {
		t.Errorf("within the cap: %v", err)
	}
	b.tellsWhenTheLagCannotBeMeasured()
	// A step that ends well as the cap is passed has ended well.
	b.plan.Options.MaxRetainedWAL = 1
	err = withinCap(t.Context(), b.plan, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
	if err != nil {
		t.Errorf("a step that was done: %v", err)
	}
	b.plan.Options.MaxRetainedWAL = 1 << 40
	b.consumersHoldTheReturn()
}

// tellsWhenTheLagCannotBeMeasured follows a source whose target is not there. What was measured before is not shown
// any more, and the user is told once.
func (b *upgradeBed) tellsWhenTheLagCannotBeMeasured() {
	b.Helper()
	var shown []upgrade.Progress
	p := &progress{last: upgrade.Progress{Lag: &upgrade.Lag{}}, beat: func(now upgrade.Progress) { shown = append(shown, now) }}
	ctx, cancel := context.WithCancel(context.WithValue(b.Context(), progressKey{}, p))
	defer cancel()
	result, err := b.worker.Synchronize(ctx, step.SynchronizeArgs{Plan: b.plan, Told: map[string]int{"lake": 1}})
	b.must(err)
	if len(result.Events) != 1 || result.Events[0].Level != upgrade.LevelWarning || !strings.Contains(result.Events[0].Text, "the lag cannot be measured") {
		b.Errorf("without a target: %+v", result.Events)
	}
	if len(shown) != samplesUntilTold || shown[0].Lag != nil || !strings.HasPrefix(shown[0].Text, "the lag cannot be measured") {
		b.Errorf("without a target it shows %+v", shown)
	}
	p.beat = func(upgrade.Progress) { // told is told
		if shown = append(shown, upgrade.Progress{}); len(shown) > 2*samplesUntilTold {
			cancel()
		}
	}
	again, err := b.worker.Synchronize(ctx, step.SynchronizeArgs{Plan: b.plan, Told: result.Told})
	if !errors.Is(err, context.Canceled) || again.Told != nil || result.Told["lake"] != 1 {
		b.Errorf("told %v, followed again: %+v, %v", result.Told, again, err)
	}
}

func TestAfter(t *testing.T) {
	at := func(lsn string) []step.Slot {
		return []step.Slot{{Name: "pgleap_1", LSN: "0/100"}, {Name: "pgleap_2", LSN: lsn}}
	}
	for lsn, fits := range map[string]bool{"0/1FF": true, "0/200": true, "0/201": false, "1/0": false, "0/0": false, "": false} {
		if err := after(0x200, at(lsn)); (err == nil) != fits {
			t.Errorf("a slot at %q, X at 0/200: %v", lsn, err)
		}
	}
}

func TestBeganBefore(t *testing.T) {
	const x = 0x5000028
	for _, c := range []struct {
		name, history, want, refused string
	}{
		{"just before X", "1\t0/5000028\tbefore LSN 0/5000028\n", "before LSN 0/5000028 (hand-over LSN 0/5000028)", ""},
		{"before the first record after X", "1\t0/5000060\tbefore LSN 0/5000060\n", "before LSN 0/5000060 (hand-over LSN 0/5000028)", ""},
		{"as 19 writes it", "1\t0/05000028\tbefore LSN 0/05000028\n", "before LSN 0/5000028 (hand-over LSN 0/5000028)", ""},
		{"a source that has been promoted before", "1\t0/3000000\tno recovery target specified\n\n2\t0/5000028\tbefore LSN 0/5000028\n", "before LSN 0/5000028 (hand-over LSN 0/5000028)", ""},
		{"without a newline at its end", "1\t0/5000028\tbefore LSN 0/5000028", "before LSN 0/5000028 (hand-over LSN 0/5000028)", ""},
		{"too early", "1\t0/5000000\tbefore LSN 0/5000000\n", "", "earlier than the hand-over LSN"},
		{"after X, inclusive", "1\t0/5000028\tafter LSN 0/5000028\n", "", "does not end before an LSN"},
		{"promoted by hand", "1\t0/5000028\tno recovery target specified\n", "", "does not end before an LSN"},
		{"the right line is an old one", "1\t0/5000028\tbefore LSN 0/5000028\n2\t0/6000000\tno recovery target specified\n", "", "does not end before an LSN"},
		{"a comment", "# before LSN 0/5000028\n", "", "does not end before an LSN"},
		{"empty", "", "", "does not end before an LSN"},
		{"no LSN", "1\t0/5000028\tbefore LSN 5000028\n", "", "does not end before an LSN"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := beganBefore([]byte(c.history), x)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("got %q, %v", got, err)
				}
				return
			}
			if err != nil || got != c.want {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

// Whatever a history file holds, it is read or refused.
func FuzzBeganBefore(f *testing.F) {
	f.Add([]byte("1\t0/5000028\tbefore LSN 0/5000028\n"))
	f.Add([]byte("1\tFFFFFFFF/FFFFFFFF\tbefore LSN FFFFFFFF/FFFFFFFFF\n"))
	f.Fuzz(func(t *testing.T, history []byte) {
		const x = 0x5000028
		proof, err := beganBefore(history, x)
		if err == nil && !strings.HasSuffix(proof, "(hand-over LSN 0/5000028)") {
			t.Errorf("proof: %q", proof)
		}
	})
}
