package onhost

import (
	"context"
	"os"
	"testing"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// An upgrade can be given up after any of its steps: the source is as it was, byte by byte, and
// nothing lies beside it. What was discarded can be begun anew.
func TestDiscardAfterEachStep(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t)
	before := b.sourceState()
	var handover step.Handover
	withHandover := func(do func(context.Context, step.HandoverArgs) (step.Done, error)) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := do(ctx, step.HandoverArgs{Plan: b.plan, Handover: handover})
			return err
		}
	}
	withPlan := func(do stepFunc) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := do(ctx, b.plan)
			return err
		}
	}
	story := []struct {
		name    string
		do      func(context.Context) error
		discard bool // after it
	}{
		{"nothing", func(context.Context) error { return nil }, true},
		{"PrepareSource", withPlan(b.worker.PrepareSource), true},
		{"BaseBackup", withPlan(b.worker.BaseBackup), true},
		{"StreamClone", withPlan(b.worker.StreamClone), false},
		{"CreateSlots", func(ctx context.Context) (err error) {
			handover, err = b.worker.CreateSlots(ctx, b.plan)
			return err
		}, true},
		{"PromoteClone", withHandover(b.worker.PromoteClone), false},
		{"InitTarget", withPlan(b.worker.InitTarget), false},
		{"PgUpgrade", withPlan(b.worker.PgUpgrade), true},
		{"StartTarget", withPlan(b.worker.StartTarget), false},
		{"Subscribe", withHandover(b.worker.Subscribe), true},
	}
	for last, until := range story {
		if !until.discard {
			continue
		}
		b.plan.Number++
		for _, s := range story[:last+1] {
			if err := s.do(t.Context()); err != nil {
				t.Fatalf("%s, on the way to %s: %v", s.name, until.name, err)
			}
		}
		twice(b, "Discard after "+until.name, func(ctx context.Context) (step.Done, error) { return b.worker.Discard(ctx, b.plan) })
		b.unchanged(before)
	}
}

// A slot that is still being made, by a session that outlived its agent, goes like the others.
func TestDiscardWhileASlotIsMade(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t)
	before := b.sourceState()
	b.do("PrepareSource", b.worker.PrepareSource)
	open := b.session(b.plan.Source, "shop")
	xid := b.begin(open)
	ended := make(chan error, 1)
	go func() {
		_, err := b.worker.CreateSlots(context.WithoutCancel(b.Context()), b.plan)
		ended <- err
	}()
	b.waitedFor(xid)
	b.do("Discard", b.worker.Discard)
	if err := <-ended; err == nil {
		t.Error("the slots were made, though they were discarded")
	}
	b.exec(open, `ROLLBACK`)
	b.unchanged(before)
}

// The source has no sockets: the clone has one of its own. The target's directory was there before,
// and the upgrade's own one was removed by hand: the source is restored nevertheless.
func TestDiscardOfWhatOthersTouched(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t, map[string]string{"unix_socket_directories": ""})
	user, err := owner(b.plan)
	b.must(err)
	b.must(makeDir(b.plan.Target.Pgdata, user))
	before := b.sourceState()
	b.do("PrepareSource", b.worker.PrepareSource)
	b.do("BaseBackup", b.worker.BaseBackup)
	b.do("StreamClone", b.worker.StreamClone)
	handover, err := b.worker.CreateSlots(t.Context(), b.plan)
	b.must(err)
	_, err = b.worker.PromoteClone(t.Context(), step.HandoverArgs{Plan: b.plan, Handover: handover})
	b.must(err)
	b.do("InitTarget", b.worker.InitTarget)
	if names := list(t, b.plan.Target.Pgdata); len(names) == 0 {
		t.Error("there is no target")
	}
	files, err := b.worker.files(b.plan)
	b.must(err)
	if files.has(noteCloneSockets) {
		t.Error("the directory of the clone's socket is left behind")
	}
	b.must(os.RemoveAll(b.plan.Workdir()))
	b.do("Discard", b.worker.Discard)
	if names := list(t, b.plan.Target.Pgdata); len(names) > 0 {
		t.Errorf("left in the target's directory: %v", names)
	}
	b.unchanged(before)
}
