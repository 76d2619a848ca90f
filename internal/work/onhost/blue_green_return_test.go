package onhost

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// newReturnBed has switched to a clone and ended the upgrade; nobody has written since.
func newReturnBed(t *testing.T) *switchBed {
	t.Helper()
	b := newSwitchBed(t, func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter })
	b.must(os.MkdirAll(b.worker.dir, 0o700))
	b.toClone()
	if result := b.switchTo(1); !result.Switchover.Switched {
		t.Fatalf("it did not switch: %s", result.Switchover.Reason)
	}
	b.do("FenceForGood", b.worker.FenceForGood)
	b.do("UpdateExtensions", b.worker.UpdateExtensions)
	b.do("CollectStatistics", b.worker.CollectStatistics)
	_, err := b.worker.Finish(t.Context(), b.plan)
	b.must(err)
	return b
}

func (b *switchBed) goBack(attempt int) upgrade.Switchover {
	b.Helper()
	result, err := b.worker.ReturnToSource(b.Context(), step.SwitchOverArgs{Plan: b.plan.Back(), Attempt: attempt})
	b.must(err)
	b.Logf("back: %t, pause %s: %v %s", result.Switched, result.Pause.Round(time.Millisecond), result.Steps, result.Reason)
	return result
}

// through has a client ask something.
func (b *switchBed) through(queries ...string) {
	b.Helper()
	conn := b.bouncer.Connect(b, "app", "shop")
	defer conn.Close(b.Context())
	for _, query := range queries {
		_, err := conn.Exec(b.Context(), query)
		b.must(err)
	}
}

// After a switch clients read, VACUUM and ANALYZE are at work: the way back is open, and an agent that dies
// on it leaves it so. When clients are back the target is gone, and the source is as it was before.
func TestReturnToSource(t *testing.T) {
	b := newReturnBed(t)
	b.through(`SELECT count(*) FROM account`, `SELECT * FROM measured LIMIT 3`)
	super := b.session(b.plan.Target, "shop")
	for _, query := range []string{`VACUUM (ANALYZE) account`, `VACUUM FREEZE`, `ANALYZE`, `CHECKPOINT`} {
		_, err := super.Exec(t.Context(), query)
		b.must(err)
	}
	b.must(super.Close(t.Context()))
	for i, moment := range []string{"fence", "nothing written", "commit"} {
		b.dieOnReturn(moment, i+2)
		b.must(b.worker.RecoverSwitchovers(t.Context()))
		if result := b.goBack(i + 2); result.Switched {
			t.Errorf("died at %q: it went back", moment)
		}
		b.nothingOfOurs(b.plan.Target)
		if got := b.servedBy(); got != b.plan.Target.Port {
			t.Errorf("died at %q: clients are led to port %d, want %d", moment, got, b.plan.Target.Port)
		}
	}
	b.dieOnReturn("proving", 5) // before the journal begins: it is done as if for the first time
	result := b.goBack(5)
	if !result.Switched || !result.Back {
		t.Fatalf("nothing was written, and it did not go back: %s", result.Reason)
	}
	if again := b.goBack(5); !again.Switched {
		t.Errorf("asked again, it tells that it did not go back: %s", again.Reason)
	}
	if got := b.servedBy(); got != b.plan.Source.Port {
		t.Errorf("clients are led to port %d, want %d", got, b.plan.Source.Port)
	}
	b.through(`INSERT INTO ledger (account, delta) VALUES (1, 1)`)
	_, err := b.worker.FenceForGood(t.Context(), b.plan.Back())
	b.must(err)
	b.step("Discard", b.worker.Discard)
	b.nothingOfOurs(b.plan.Source)
	if _, err := os.Stat(b.plan.Target.Pgdata); err == nil {
		t.Error("the target is still there")
	}
}

// Whatever a client has written closes the way back, also where it leaves next to nothing in the WAL.
func TestReturnRefusedAfterWrites(t *testing.T) {
	pgtest.Slow(t)
	b := newReturnBed(t)
	files, err := b.worker.files(b.plan)
	b.must(err)
	var at baseline
	if found, err := files.read(noteBaseline, &at); err != nil || !found {
		t.Fatalf("no baseline: %t, %v", found, err)
	}
	super := b.session(b.plan.Target, "shop")
	for i, query := range []string{
		`UPDATE account SET balance = 1 WHERE id = 52`,
		`SELECT nextval('ledger_id_seq')`,
		`CREATE UNLOGGED TABLE volatile_things (a int)`,
		`INSERT INTO volatile_things VALUES (1)`, // leaves its commit, and nothing else
		`SELECT lo_create(0)`,
		`ALTER ROLE app PASSWORD 'another'`,
		`CREATE DATABASE another`,
		`TRUNCATE keyless`,
		`VACUUM FULL keyless`, // nothing that a client would miss, and nothing that can be told from it
	} {
		// Each is looked at alone: from a baseline right before it.
		var lsn string
		b.must(super.QueryRow(t.Context(), `SELECT pg_current_wal_insert_lsn()::text`).Scan(&lsn))
		b.must(files.write(noteBaseline, baseline{LSN: lsn, Timeline: at.Timeline}))
		_, err := super.Exec(t.Context(), query)
		b.must(err)
		b.must(super.Close(t.Context()))
		result := b.goBack(i + 2)
		if result.Switched || !strings.Contains(result.Reason, "since the switch") {
			t.Fatalf("after %s: %+v", query, result)
		}
		if got := b.servedBy(); got != b.plan.Target.Port {
			t.Errorf("clients are led to port %d, want %d", got, b.plan.Target.Port)
		}
		super = b.session(b.plan.Target, "shop")
	}
	b.nothingOfOurs(b.plan.Target)
	b.must(files.write(noteBaseline, baseline{LSN: "0/1000028", Timeline: at.Timeline}))
	b.must(super.Close(t.Context()))
	if result := b.goBack(50); result.Switched || !strings.Contains(result.Reason, "cannot be proven") {
		t.Errorf("without the WAL: %+v", result)
	}
}

// dieOnReturn lets a process of its own begin to go back, and die on it.
func (b *switchBed) dieOnReturn(moment string, attempt int) {
	b.Helper()
	b.die(death{Dir: b.worker.dir, Plan: b.plan.Back(), Attempt: attempt, Moment: moment})
}

// doReturn is what such a process does.
func doReturn(ctx context.Context, w *Worker, d death) (any, error) {
	return w.ReturnToSource(ctx, step.SwitchOverArgs{Plan: d.Plan, Attempt: d.Attempt})
}
