package onhost

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// newReturnBed has switched to a clone and ended the upgrade; nobody has written since.
func newReturnBed(t *testing.T) *switchBed {
	t.Helper()
	b := newSwitchBed(t, func(o *upgrade.Options) { o.Statistics = upgrade.StatisticsAfter })
	b.must(os.MkdirAll(b.worker.dir, 0o700))
	b.source.Exec(b, "template1", `CREATE EXTENSION hstore VERSION '1.4'`) // its update is ours, and no client's
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

// kept wants a cluster that is asked to retire to be left alone.
func (b *switchBed) kept(cluster upgrade.Cluster, when string) {
	b.Helper()
	_, err := b.worker.RetireCluster(b.Context(), cluster)
	if _, running := b.worker.host.Running(cluster); upgrade.CauseOf(err) != upgrade.CauseServing || !running {
		b.Errorf("retired (%s): %v, running %t", when, err, running)
	}
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
	pgtest.Slow(t)
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
		b.kept(b.plan.Source, moment)
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
	b.kept(b.plan.Source, "clients are back")
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
	const forged = `ALTER ROLE app CONNECTION LIMIT 70; COMMIT` // looks like pgleap's own, but for what both sides say
	super := b.session(b.plan.Target, "shop")
	for i, query := range []string{
		`UPDATE account SET balance = 1 WHERE id = 52`,
		`SELECT nextval('ledger_id_seq')`,
		`CREATE UNLOGGED TABLE volatile_things (a int)`,
		`INSERT INTO volatile_things VALUES (1)`, // leaves its commit, and nothing else
		`TRUNCATE volatile_things`,
		`BEGIN; INSERT INTO volatile_things VALUES (2); ANALYZE account; COMMIT`, // its commit is explained
		`BEGIN; TRUNCATE volatile_things; COMMIT`,
		`SELECT lo_create(0)`,
		`BEGIN; SELECT pg_logical_emit_message(true, 'pgleap', 'roles'); UPDATE account SET balance = 2 WHERE id = 52; COMMIT`,
		`BEGIN; SELECT pg_logical_emit_message(true, 'pgleap', 'roles'); CREATE TABLE forged (a int); COMMIT`,
		`BEGIN; SELECT pg_logical_emit_message(true, 'pgleap', 'roles'); ` + forged,
		`ALTER ROLE app PASSWORD 'another'`,
		`CREATE ROLE reader LOGIN`,
		`ALTER ROLE reader NOLOGIN`, // as a fence does
		`ALTER ROLE reader SET work_mem = '8MB'`,
		`COMMENT ON DATABASE shop IS 'ours'`,
		`ALTER DATABASE shop CONNECTION LIMIT 70`,
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
		want := "something was written on the target since the switch"
		if strings.HasSuffix(query, forged) {
			want = "roles, or comments on roles or databases, were changed"
		}
		if result.Switched || !strings.Contains(result.Reason, want) {
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

// What is in the way at either side is told, once, and nothing hangs: a source whose synchronous standbys
// have left it, a target whose have, and one that is down.
func TestReturnInTheWay(t *testing.T) {
	pgtest.Slow(t)
	b := newReturnBed(t)
	synchronous := func(at postgres.Login, names string) {
		t.Helper()
		b.must(with(t.Context(), alone(at), func(conn *pgx.Conn) error {
			for _, query := range []string{`ALTER SYSTEM SET synchronous_standby_names = ` + quoteLiteral(names), `SELECT pg_reload_conf()`} {
				if _, err := conn.Exec(t.Context(), query); err != nil {
					return err
				}
			}
			b.until("the server goes by "+names, func() bool {
				var now string
				b.must(conn.QueryRow(t.Context(), `SHOW synchronous_standby_names`).Scan(&now))
				return now == names
			})
			return nil
		}))
	}
	refused := func(attempt int, want string) upgrade.Switchover {
		t.Helper()
		result := b.goBack(attempt)
		if result.Switched || !strings.Contains(result.Reason, want) {
			t.Fatalf("want %q: %+v", want, result)
		}
		return result
	}
	synchronous(login(b.plan, b.plan.Source), "FIRST 2 (gone, lost)")
	refused(2, "would wait")
	b.nothingOfOurs(b.plan.Target)
	synchronous(login(b.plan, b.plan.Source), "")

	synchronous(b.worker.host.Login(b.plan.Target, "postgres"), "gone")
	super := b.session(b.plan.Target, "shop")
	_, err := super.Exec(t.Context(), `SET synchronous_commit = local; CREATE TABLE written (a int)`)
	b.must(err)
	b.must(super.Close(t.Context()))
	refused(3, "since the switch")
	b.nothingOfOurs(b.plan.Target)

	b.must(b.worker.host.Stop(t.Context(), b.plan.Target, pgbin.StopFast, targetStart))
	if result := refused(4, "does not run"); len(result.Told) != 1 || !strings.Contains(result.Told[0], "DROP ROLE") {
		t.Errorf("told: %v", result.Told)
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
