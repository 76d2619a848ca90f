package switchover

import (
	"context"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/verify"
)

// TestRehearsals: clients write all the time. Each rehearsal holds them for a moment, and they go on
// at the source without an error; the snapshots that it leaves show both sides alike, though the
// source has gone on. Then, with snapshots of a rehearsal still open, it switches.
func TestRehearsals(t *testing.T) {
	t.Parallel()
	b := lay(t)
	w := b.write(t)
	w.awaitMore(t, 100)
	var last Snapshots
	for round := range 3 {
		var kept Snapshots
		config := b.config(t)
		config.Rehearse, config.Keep = true, func(s Snapshots) { kept = s }
		outcome, err := Run(t.Context(), config)
		must(t, "rehearse", err)
		if outcome.Switched || !outcome.Rehearsed || outcome.Reason != "" || outcome.Pause <= 0 {
			t.Fatalf("rehearsal %d: %+v", round, outcome)
		}
		t.Logf("pause %s: %v", outcome.Pause, outcome.Steps)
		b.wantStage(t, config.Journal, StageUndone)
		b.wantServing(t, b.source)
		w.awaitMore(t, 100)
		wantAlike(t, kept)
		if kept.TakenAt.Before(outcome.StartedAt) || kept.TakenAt.After(outcome.EndedAt) {
			t.Errorf("snapshots of %s, pause from %s to %s", kept.TakenAt, outcome.StartedAt, outcome.EndedAt)
		}
		last.Close()
		last = kept
	}
	defer last.Close()
	outcome, err := Run(t.Context(), b.config(t))
	must(t, "switch over", err)
	if !outcome.Switched || outcome.Rehearsed {
		t.Fatalf("it did not switch: %+v", outcome)
	}
	w.awaitMore(t, 100)
	w.stop(t)
	wantAlike(t, last)
	for _, database := range databases {
		w.wantOnce(t, b.ours(t, b.target, database), database)
	}
}

// A rehearsal that cannot stand still tells why, and leaves nothing behind.
func TestRehearsalThatFails(t *testing.T) {
	t.Parallel()
	b := lay(t)
	config := b.config(t)
	config.Rehearse, config.Keep = true, func(s Snapshots) {
		t.Error("it kept snapshots")
		s.Close()
	}
	b.source.Exec(t, "app", "CREATE TABLE surprise (id int PRIMARY KEY)")
	outcome, err := Run(t.Context(), config)
	must(t, "rehearse", err)
	if outcome.Rehearsed || outcome.Switched || outcome.Reason == "" {
		t.Errorf("got %+v", outcome)
	}
	b.wantServing(t, b.source)
}

// wantAlike compares both sides in snapshots of theirs.
func wantAlike(t *testing.T, s Snapshots) {
	t.Helper()
	join := func(ctx context.Context, side verify.Side, database string) (*pgx.Conn, error) {
		pair := s.Pairs[slices.IndexFunc(s.Pairs, func(p verify.Pair) bool { return p.Database == database })]
		return pgx.ConnectConfig(ctx, []*pgx.Conn{pair.Source, pair.Target}[side].Config())
	}
	got, err := verify.Data(t.Context(), s.Pairs, verify.Options{Opened: s.TakenAt, Join: join})
	must(t, "compare", err)
	if !got.Identical() || got.Tables < len(databases) {
		t.Errorf("in the snapshots: %+v", got)
	}
}
