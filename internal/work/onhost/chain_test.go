package onhost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/switchover"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// The whole story but for the switchover, each step called twice, while clients write to the source:
// what they were told is written is on the target, once.
func TestChain(t *testing.T) {
	pgtest.Slow(t)
	b := newUpgradeBed(t)
	b.source.Exec(b, "shop", partlyForeign)
	clients := startLoad(b)
	b.step("PrepareSource", b.worker.PrepareSource)
	b.step("BaseBackup", b.worker.BaseBackup)
	b.step("StreamClone", b.worker.StreamClone)
	handover, spanning := b.handOver()
	twice(b, "PromoteClone", func(ctx context.Context) (step.Done, error) {
		return b.worker.PromoteClone(ctx, step.HandoverArgs{Plan: b.plan, Handover: handover})
	})
	b.must(spanning.commitLong())
	b.source.Exec(b, "shop", "INSERT INTO archived VALUES (1, 'here')")
	b.step("InitTarget", b.worker.InitTarget)
	b.step("PgUpgrade", b.worker.PgUpgrade)
	if _, err := os.Stat(outputDir(b.plan)); !os.IsNotExist(err) {
		t.Errorf("pg_upgrade's output is left in the target: %v", err)
	}
	b.syncedOnce()
	b.must(spanning.commitPrepared())
	b.step("StartTarget", b.worker.StartTarget)
	twice(b, "Subscribe", func(ctx context.Context) (step.Done, error) {
		return b.worker.Subscribe(ctx, step.HandoverArgs{Plan: b.plan, Handover: handover})
	})
	b.crashTarget()
	b.step("UpdateExtensions", b.worker.UpdateExtensions)
	b.step("CollectStatistics", b.worker.CollectStatistics)
	b.step("PrepareWayBack", b.worker.PrepareWayBack)
	entries, stock := clients.end()
	b.caughtUp()
	b.warnsOfWhatIsKept()
	b.booksBalance(b.plan.Source, entries+spanningEntries, stock)
	b.booksBalance(b.plan.Target, entries+spanningEntries, stock)
	b.keepsLittle()
	b.sameRows()
	b.targetIsComplete()
	b.partlyForeignIsThere()
	b.wayBack()
	b.finish()
}

// partlyForeign is a table of which one partition is a file, which source and target read.
const partlyForeign = `
	CREATE EXTENSION file_fdw;
	CREATE SERVER files FOREIGN DATA WRAPPER file_fdw;
	CREATE TABLE archived (id int NOT NULL, note text) PARTITION BY RANGE (id);
	CREATE TABLE archived_here PARTITION OF archived (PRIMARY KEY (id)) FOR VALUES FROM (0) TO (10);
	CREATE FOREIGN TABLE archived_there PARTITION OF archived FOR VALUES FROM (10) TO (20)
		SERVER files OPTIONS (program 'echo 11,there', format 'csv')`

// wayBack lets the source follow the target, as after a switchover.
func (b *upgradeBed) wayBack() {
	b.Helper()
	var intent switchover.Intent
	intent.Plan = b.plan
	var at string
	b.must(inEachDatabase(b.Context(), quiet(login(b.plan, b.plan.Target)), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		intent.Databases = append(intent.Databases, db.Name)
		lsn, err := postgres.FlushLSN(b.Context(), conn)
		at = lsn.String()
		return errors.Join(err, postgres.DisableSubscriptions(b.Context(), conn, upgrade.Subscription))
	}))
	path, err := b.worker.journalPath(step.SwitchOverArgs{Plan: b.plan, Attempt: 1})
	b.must(err)
	journal := switchover.OpenJournal(path, time.Now)
	outcome := upgrade.Switchover{Switched: true, TargetLSN: at, Consumers: b.consumersInTheWay()}
	b.must(journal.Begin(b.Context(), intent))
	b.must(journal.Commit(outcome))
	b.must(journal.Done(outcome))
	done := twice(b, "OpenWayBack", func(ctx context.Context) (step.Done, error) {
		return b.worker.OpenWayBack(ctx, step.OpenWayBackArgs{Plan: b.plan, Attempt: 1})
	})
	b.consumersAreToldOf(done.Events)
	b.Logf("%s", done.Events[len(done.Events)-1].Text)
	for _, table := range []string{"keyless VALUES (7, 'seven')", "measured (day, value) VALUES ('2026-01-01', 4)", "archived VALUES (2, 'here')", "ledger (id, account, delta, tags) VALUES (-1, 51, 0, 'a=>1')"} {
		b.exec(b.session(b.plan.Target, "shop"), "INSERT INTO "+table)
	}
	back := b.plan.Back()
	_, err = b.worker.proveWayBack(b.Context(), back)
	b.must(err)
	b.sameRows()
	// Commits there would wait for a standby that is gone.
	b.source.Exec(b, "postgres", `ALTER SYSTEM SET synchronous_standby_names = 'gone'`, `SELECT pg_reload_conf()`)
	b.until("the source wants a standby", func() bool { return b.ask(b.plan.Source, "postgres", `SHOW synchronous_standby_names`)[0] == "gone" })
	refused, err := b.worker.SwitchOver(b.Context(), step.SwitchOverArgs{Plan: back, Attempt: 2})
	b.must(err)
	if refused.Switched || !strings.Contains(refused.Reason, "would wait") {
		b.Errorf("back to a source whose commits wait: %+v", refused)
	}
	b.source.Exec(b, "postgres", `SET synchronous_commit = local`, `ALTER SYSTEM RESET synchronous_standby_names`, `SELECT pg_reload_conf()`)
	b.until("the source wants none", func() bool { return b.ask(b.plan.Source, "postgres", `SHOW synchronous_standby_names`)[0] == "" })
	b.consumersAreTriedAgain()
}

// crashTarget ends the target while it applies. What it had not flushed, since the subscription does
// not wait for that, is sent again.
func (b *upgradeBed) crashTarget() {
	b.Helper()
	b.must(b.worker.host.Stop(b.Context(), b.plan.Target, pgbin.StopImmediate, targetStart))
	b.do("StartTarget after a crash", b.worker.StartTarget)
}

// spanning are transactions that were open when the hand-over was decided.
type spanning struct {
	commitLong     func() error
	commitPrepared func() error
}

// spanningEntries is what they add to the ledger.
const spanningEntries = 2

// handOver decides on the hand-over with transactions under way that begin before it and end after
// it. A slot waits for what was running when its building began, and once more for what was
// running at the end of that (snapbuild.c, SnapBuildFindSnapshot), so it is the third generation
// that spans its consistent point.
func (b *upgradeBed) handOver() (step.Handover, spanning) {
	b.Helper()
	// The slots of the other databases are there already, as if an attempt had been cut short.
	for _, database := range []string{"Depot's", "postgres"} {
		b.exec(b.session(b.plan.Source, database), `
			SELECT pg_create_logical_replication_slot('pgleap_' || oid, 'pgoutput') FROM pg_database WHERE datname = current_database()`)
	}
	first, second := b.session(b.plan.Source, "shop"), b.session(b.plan.Source, "shop")
	long, prepared := b.session(b.plan.Source, "shop"), b.session(b.plan.Source, "shop")
	firstXID, secondXID := b.begin(first), ""
	type decided struct {
		handover step.Handover
		err      error
	}
	result := make(chan decided, 1)
	go func() {
		handover, err := b.worker.CreateSlots(b.Context(), b.plan)
		result <- decided{handover, err}
	}()
	b.waitedFor(firstXID)
	secondXID = b.begin(second)
	b.exec(first, `COMMIT`)
	b.waitedFor(secondXID)
	b.begin(long)
	b.must(bookIn(b.Context(), long, 51, 5, 0))
	b.begin(prepared)
	b.must(bookIn(b.Context(), prepared, 52, 6, 0))
	b.exec(prepared, `PREPARE TRANSACTION 'spanning'`)
	b.exec(second, `COMMIT`)
	made := <-result
	b.must(made.err)
	b.Logf("%s", made.handover.Events[0].Text)
	again, err := b.worker.CreateSlots(b.Context(), b.plan)
	b.must(err)
	if diff := cmp.Diff(made.handover, again); diff != "" {
		b.Errorf("the second call decided otherwise (-first +second):\n%s", diff)
	}
	return again, spanning{
		commitLong:     func() error { _, err := long.Exec(b.Context(), `COMMIT`); return err },
		commitPrepared: func() error { _, err := prepared.Exec(b.Context(), `COMMIT PREPARED 'spanning'`); return err },
	}
}

func (b *upgradeBed) exec(conn *pgx.Conn, query string) {
	b.Helper()
	_, err := conn.Exec(b.Context(), query)
	b.must(err)
}

// begin opens a transaction and returns its xid.
func (b *upgradeBed) begin(conn *pgx.Conn) string {
	b.Helper()
	b.exec(conn, `BEGIN`)
	var xid string
	b.must(conn.QueryRow(b.Context(), `SELECT pg_current_xact_id()::text`).Scan(&xid))
	return xid
}

// waitedFor returns when somebody waits for the end of a transaction.
func (b *upgradeBed) waitedFor(xid string) {
	b.Helper()
	b.until("a slot that waits for transaction "+xid, func() bool {
		return len(b.ask(b.plan.Source, "postgres", `
			SELECT pid::text FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted AND transactionid::text = $1`, xid)) > 0
	})
}

// caughtUp lets the target catch up with a source on which nobody writes any more.
func (b *upgradeBed) caughtUp() {
	b.Helper()
	_, err := b.worker.Synchronize(b.Context(), step.SynchronizeArgs{Plan: b.plan, UntilReady: true})
	b.must(err)
	// A marker that has arrived proves that all before it has.
	b.must(inEachDatabase(b.Context(), login(b.plan, b.plan.Source), func(conn *pgx.Conn, db postgres.ReplicatedDatabase) error {
		number, err := postgres.AdvanceMarker(b.Context(), conn)
		b.until("the last marker of "+db.Name, func() bool {
			return b.ask(b.plan.Target, db.Name, `SELECT number::text FROM pgleap.marker`)[0] == strconv.FormatInt(number, 10)
		})
		return err
	}))
}

// targetIsComplete looks at what else the target must have.
func (b *upgradeBed) targetIsComplete() {
	b.Helper()
	for _, c := range []struct{ name, query, want string }{
		{"the extension is updated", `SELECT (extversion <> '1.4')::text FROM pg_extension WHERE extname = 'hstore'`, "true"},
		{"the source's prepared transaction is not", `SELECT count(*)::text FROM pg_prepared_xacts`, "0"},
		{"a partitioned table has statistics", `SELECT (count(*) > 0)::text FROM pg_stats WHERE tablename = 'measured'`, "true"},
		{"tables lie in the tablespace", `SELECT count(*)::text FROM pg_class c JOIN pg_tablespace s ON s.oid = c.reltablespace WHERE spcname = 'aside' AND relkind = 'r'`, "2"},
		{"the tablespace has its own place", `SELECT starts_with(pg_tablespace_location(oid), '` + tablespacesDir(b.plan) + `/')::text FROM pg_tablespace WHERE spcname = 'aside'`, "true"},
	} {
		if got := b.ask(b.plan.Target, "shop", c.query)[0]; got != c.want {
			b.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if _, err := os.Stat(b.plan.ClonePgdata()); !errors.Is(err, fs.ErrNotExist) {
		b.Errorf("the clone is still there: %v", err)
	}
	parts, err := filepath.Glob(filepath.Join(tablespacesDir(b.plan), "*", "*"))
	b.must(err)
	for _, part := range parts {
		if !strings.HasPrefix(filepath.Base(part), fmt.Sprintf("PG_%d_", b.plan.Target.Version.Major())) {
			b.Errorf("of the clone's tablespaces there is %s still", part)
		}
	}
	if len(parts) != 1 {
		b.Errorf("the target's tablespaces hold %v", parts)
	}
}

// cutShort leaves what a base backup that was killed leaves of a tablespace.
func (b *upgradeBed) cutShort() {
	b.Helper()
	files, err := b.worker.files(b.plan)
	b.must(err)
	user, err := owner(b.plan)
	b.must(err)
	b.must(makeTablespacesDir(b.plan, files, user))
	dir := tablespacesDir(b.plan)
	for _, name := range []string{
		b.ask(b.plan.Source, "postgres", `SELECT oid::text FROM pg_tablespace WHERE spcname = 'aside'`)[0],
		fmt.Sprintf("PG_%d_1", b.plan.Source.Version.Major()), "1",
	} {
		dir = filepath.Join(dir, name)
		b.must(makeDir(dir, user))
	}
}

// partlyForeignIsThere wants the rows of both kinds of partitions.
func (b *upgradeBed) partlyForeignIsThere() {
	b.Helper()
	if got := b.ask(b.plan.Target, "shop", `SELECT string_agg(note, ' ') FROM archived`)[0]; got != "here there" {
		b.Errorf("a table of which one partition is a file holds %q", got)
	}
	if got := b.ask(b.plan.Target, "shop", `SELECT (count(*) > 0)::text FROM pg_stats WHERE tablename = 'archived'`)[0]; got != "true" {
		b.Error("a table that is partly a file has no statistics")
	}
}

// finish removes what the replication needed, and looks whether anything is left.
func (b *upgradeBed) finish() {
	b.Helper()
	twice(b, "CloseWayBack", func(ctx context.Context) (step.Done, error) { return b.worker.CloseWayBack(ctx, b.plan) })
	if kept := b.ask(b.plan.Target, "postgres", `SELECT slot_name::text FROM pg_replication_slots WHERE slot_name ~ '^pgleap' AND slot_name !~ '^pgleap_cdc'`); len(kept) > 0 {
		b.Errorf("a way back that is closed keeps %v", kept)
	}
	b.consumersHoldTheEnd()
	result := twice(b, "Finish", func(ctx context.Context) (step.FinishResult, error) { return b.worker.Finish(ctx, b.plan) })
	if got, want := result.Cluster.Version, b.plan.Target.Version; got != want {
		b.Errorf("version of the finished cluster: got %s, want %s", got, want)
	}
	for _, database := range b.databases {
		for _, line := range b.ask(b.plan.Target, database, everythingOf) {
			if strings.Contains(line, "pgleap") && !strings.HasPrefix(line, "setting") {
				b.Errorf("left on the target in %s: %s", database, line)
			}
		}
		for _, line := range b.ask(b.plan.Source, database, everythingOf) {
			kind, _, _ := strings.Cut(line, " ")
			if strings.Contains(line, "pgleap") && !slices.Contains([]string{"role", "comment", "setting"}, kind) {
				b.Errorf("left on the source in %s: %s", database, line)
			}
		}
	}
	if hba := read(b.plan.Target.HBAFile); strings.Contains(hba, "pgleap") {
		b.Errorf("left in the target's pg_hba.conf:\n%s", hba)
	}
}
