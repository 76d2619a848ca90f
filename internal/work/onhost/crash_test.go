package onhost

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

func (b *upgradeBed) do(name string, do stepFunc) {
	b.Helper()
	if _, err := do(b.Context(), b.plan); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
}

// toHandover goes the way to the hand-over.
func (b *upgradeBed) toHandover() step.Handover {
	b.Helper()
	b.do("PrepareSource", b.worker.PrepareSource)
	b.do("BaseBackup", b.worker.BaseBackup)
	b.do("StreamClone", b.worker.StreamClone)
	handover, err := b.worker.CreateSlots(b.Context(), b.plan)
	b.must(err)
	return handover
}

// An agent that is killed while a slot waits leaves a session behind that goes on making it. Until it
// is made the slot has no position: a hand-over that did not wait for it would lose transactions.
func TestCreateSlotsAfterCrash(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t)
	b.do("PrepareSource", b.worker.PrepareSource)
	open, leftover := b.session(b.plan.Source, "shop"), b.session(b.plan.Source, "shop")
	xid := b.begin(open)
	left := make(chan error, 1)
	go func() {
		_, err := leftover.Exec(context.Background(), `
			SELECT pg_create_logical_replication_slot('pgleap_' || oid, 'pgoutput') FROM pg_database WHERE datname = current_database()`)
		left <- err
	}()
	b.waitedFor(xid)
	other := b.session(b.plan.Source, "shop")
	decided := make(chan error, 1)
	var lsn postgres.LSN
	go func() {
		conn, err := postgres.Connect(b.Context(), login(b.plan, b.plan.Source).In("shop"))
		if err == nil {
			defer conn.Close(context.Background()) //nolint:errcheck // nothing is lost with it
			lsn, err = postgres.EnsureLogicalSlot(b.Context(), conn, b.slotOf("shop"))
		}
		decided <- err
	}()
	b.until("the second attempt has looked", func() bool {
		var looked bool
		b.must(other.QueryRow(b.Context(), `
			SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = 'pgleap' AND query LIKE '%confirmed_flush_lsn%' AND state = 'idle')`).Scan(&looked))
		return looked
	})
	b.exec(open, `COMMIT`)
	b.must(<-left)
	b.must(<-decided)
	if lsn == 0 {
		t.Error("the slot has no position, and yet it was taken")
	}
}

func (b *upgradeBed) slotOf(database string) string {
	b.Helper()
	return b.ask(b.plan.Source, database, `SELECT 'pgleap_' || oid FROM pg_database WHERE datname = current_database()`)[0]
}

// The clone is stopped after its promotion has removed standby.signal and begun a timeline, and
// before its checkpoint. It has WAL beyond the hand-over LSN, which it must not replay.
func TestPromotionCutShort(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t)
	handover := b.toHandover()
	b.source.Exec(b, "shop", `INSERT INTO keyless VALUES (1, 'after the hand-over')`)
	b.recoverWithoutPromotion(handover)
	wal := b.ask(b.plan.Source, "postgres", `SELECT pg_walfile_name(pg_current_wal_flush_lsn())`)[0]
	clone := filepath.Join(b.plan.ClonePgdata(), "pg_wal")
	user, err := owner(b.plan)
	b.must(err)
	b.must(writeOwned(filepath.Join(clone, wal), []byte(read(filepath.Join(b.plan.Source.Pgdata, "pg_wal", wal))), user, 0o600))
	history := fmt.Sprintf("1\t%s\tbefore LSN %s\n", handover.LSN, handover.LSN)
	b.must(writeOwned(filepath.Join(clone, "00000002.history"), []byte(history), user, 0o600))
	b.must(os.Remove(standbySignal(b.plan)))

	_, err = b.worker.PromoteClone(b.Context(), step.HandoverArgs{Plan: b.plan, Handover: handover})
	b.must(err)
	b.must(b.worker.startClone(b.Context(), b.plan, nil))
	conn, err := postgres.Connect(b.Context(), b.worker.cloneLogin(b.plan).In("shop"))
	b.must(err)
	defer conn.Close(context.Background()) //nolint:errcheck // only read
	var rows int
	b.must(conn.QueryRow(b.Context(), `SELECT count(*) FROM public.keyless`).Scan(&rows))
	if rows != 0 {
		t.Error("the clone holds what the slots deliver, too")
	}
}

// recoverWithoutPromotion lets the clone recover to the hand-over LSN and end there.
func (b *upgradeBed) recoverWithoutPromotion(handover step.Handover) {
	b.Helper()
	err := b.worker.startClone(b.Context(), b.plan, map[string]string{
		"recovery_target_lsn": handover.LSN, "recovery_target_inclusive": "off", "recovery_target_action": "shutdown",
	})
	if err != nil && !strings.Contains(read(cloneLog(b.plan)), "recovery stopping before") {
		b.Fatal(err)
	}
	b.until("the clone has ended", func() bool {
		_, running := b.worker.host.Running(b.worker.cloneCluster(b.plan))
		return !running
	})
}

// pg_upgrade is ended while it restores the schema, while it links files, and at its end. It is done once
// more, and the target holds everything.
func TestPgUpgradeAfterCrash(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t)
	b.source.Exec(b, "shop", `INSERT INTO ledger (account, delta, tags) SELECT 51, 1, 'a=>1' FROM generate_series(1, 100)`,
		`UPDATE account SET balance = 100 WHERE id = 51`)
	handover := b.toHandover()
	args := step.HandoverArgs{Plan: b.plan, Handover: handover}
	_, err := b.worker.PromoteClone(b.Context(), args)
	b.must(err)
	b.do("InitTarget", b.worker.InitTarget)
	// It came with the clone: the source is of an earlier upgrade that was undone by a copy.
	user, err := owner(b.plan)
	b.must(err)
	b.must(writeOwned(controlFile(b.plan.ClonePgdata())+".old", []byte("stale"), user, 0o600))
	for _, moment := range []string{pgbin.PhaseRestoring, pgbin.PhaseTransfer, pgbin.PhaseEnding} {
		err := b.endAt(moment, b.worker.PgUpgrade)
		if err == nil {
			t.Errorf("pg_upgrade ended before %q was seen", moment)
		}
		t.Logf("ended at %q: %v", moment, err)
	}
	b.do("PgUpgrade", b.worker.PgUpgrade)
	b.do("StartTarget", b.worker.StartTarget)
	_, err = b.worker.Subscribe(b.Context(), args)
	b.must(err)
	b.caughtUp()
	b.source.Restart(b) // a source that was away is waited for
	b.source.Exec(b, "shop", `INSERT INTO keyless VALUES (1, 'after its restart')`)
	b.caughtUp()
	b.booksBalance(b.plan.Target, 100, 0)
	b.sameRows()
}

// endAt carries out a step and ends it when its progress says so.
func (b *upgradeBed) endAt(moment string, do stepFunc) error {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	watch := &progress{beat: func(now upgrade.Progress) {
		if strings.Contains(now.Text, moment) {
			cancel()
		}
	}}
	_, err := do(context.WithValue(ctx, progressKey{}, watch), b.plan)
	return err
}
