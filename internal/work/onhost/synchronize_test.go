package onhost

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

func TestETA(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		bytes []int64 // one sample a second
		want  float64
	}{
		{"the first sample tells no rate", []int64{100 * mib}, -1},
		{"it has caught up", []int64{100 * mib, smallLag}, 0},
		{"it was never behind", []int64{0}, 0},
		{"10 MiB nearer every second", []int64{100 * mib, 90 * mib, 80 * mib}, 8},
		{"it falls behind", []int64{100 * mib, 110 * mib}, -1},
		{"it keeps its distance", []int64{100 * mib, 100 * mib}, -1},
		{"a short setback", []int64{100 * mib, 60 * mib, 70 * mib}, 70.0 / 15},
	} {
		t.Run(c.name, func(t *testing.T) {
			var samples trend
			var got float64
			for i, bytes := range c.bytes {
				got = samples.eta(time.Unix(int64(i), 0), bytes)
			}
			if got != c.want {
				t.Errorf("got %v s, want %v s", got, c.want)
			}
		})
	}
}

// The rate is that of the last half minute: what was before counts no more.
func TestETAForgets(t *testing.T) {
	var samples trend
	at := time.Unix(0, 0)
	for range 100 { // falling behind for long
		at = at.Add(time.Second)
		samples.eta(at, at.Unix()<<20)
	}
	var got float64
	for i := range trendWindow {
		at = at.Add(time.Second)
		got = samples.eta(at, int64(200-i*2)<<20)
	}
	if want := float64(200-2*(trendWindow-1)) / 2; got != want {
		t.Errorf("got %v s, want %v s", got, want)
	}
	if samples.eta(at, 100<<20); len(samples.samples) != trendWindow {
		t.Errorf("%d samples are kept", len(samples.samples))
	}
	// A clock that stands still is no reason to divide by nothing.
	var still trend
	still.eta(at, 100<<20)
	if got := still.eta(at, 50<<20); got != -1 {
		t.Errorf("with a clock that stands still: %v", got)
	}
}

func TestDescribeLag(t *testing.T) {
	for _, c := range []struct {
		lag  upgrade.Lag
		idle []string
		want string
	}{
		{upgrade.Lag{Bytes: 2048, LagSeconds: 0.04}, nil, "2 KiB and 0.0 s behind"},
		{upgrade.Lag{Bytes: 50 << 20, LagSeconds: 12, ETASeconds: 90}, nil, "51200 KiB and 12.0 s behind; caught up in about 1m30s"},
		{upgrade.Lag{Bytes: 50 << 20, LagSeconds: 12, ETASeconds: -1}, nil, "51200 KiB and 12.0 s behind; at this rate it will never catch up"},
		{upgrade.Lag{Bytes: 50 << 20, LagSeconds: 12, ETASeconds: -1}, []string{"shop"}, "51200 KiB and 12.0 s behind; the subscriptions of [shop] are not working, look at the target's log"},
	} {
		if got := describeLag(c.lag, c.idle); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

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
		err := overDisk(postgres.SlotState{RetainedWAL: c.retained}, c.free, c.total)
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
	// A step that ends well as the cap is passed has ended well.
	b.plan.Options.MaxRetainedWAL = 1
	err = withinCap(t.Context(), b.plan, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
	if err != nil {
		t.Errorf("a step that was done: %v", err)
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
