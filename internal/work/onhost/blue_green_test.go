package onhost

import (
	"context"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// newBlueGreenBed is an upgradeBed for the other mode. The source has only what replication needs at most.
func newBlueGreenBed(t *testing.T, change func(*upgrade.Options)) *upgradeBed {
	t.Helper()
	b := newUpgradeBed(t, map[string]string{"wal_level": "replica"})
	b.plan.Mode = upgrade.BlueGreen
	b.plan.Options.SwitchoverTimeout = 10 * time.Minute // however slow the machine is
	change(&b.plan.Options)
	return b
}

// A clone is made while clients write: it is a cluster of its own that holds what was there when it left,
// whole transactions only, and the source is as it was.
func TestCloneOnly(t *testing.T) {
	pgtest.Slow(t)
	b := newBlueGreenBed(t, func(o *upgrade.Options) { o.CloneOnly = true })
	before := b.sourceState()
	clients := startLoad(b)
	b.step("PrepareCloning", b.worker.PrepareCloning)
	b.cutShort()
	b.step("BaseBackup", b.worker.BaseBackup)
	b.step("StreamClone", b.worker.StreamClone)
	entries := clients.entries.Load()
	b.step("DetachClone", b.worker.DetachClone)
	most := clients.entries.Load() + 3 // of each writer one more may be committed, and not yet acknowledged
	b.step("InitTarget", b.worker.InitTarget)
	b.step("PgUpgrade", b.worker.PgUpgrade)
	b.step("StartUpgraded", b.worker.StartUpgraded)
	b.step("UpdateExtensions", b.worker.UpdateExtensions)
	b.step("CollectStatistics", b.worker.CollectStatistics)
	finished := twice(b, "FinishClone", func(ctx context.Context) (step.FinishResult, error) { return b.worker.FinishClone(ctx, b.plan) })
	clients.end()

	if got, want := finished.Cluster.Version, b.plan.Target.Version; got != want {
		t.Errorf("version of the clone: got %s, want %s", got, want)
	}
	b.clonedWhole(entries, most)
	b.targetIsComplete()
	b.nothingOfOurs(b.plan.Target)
	after := b.sourceState()
	after["beside"] = slices.DeleteFunc(after["beside"], func(name string) bool { return strings.HasPrefix(name, "target") })
	b.sameState(before, after)
	b.do("Discard", b.worker.Discard) // too late
	if got := b.ask(finished.Cluster, "shop", `SELECT count(*)::text FROM account`); got[0] != "52" {
		t.Errorf("accounts on the clone after all: %s", got)
	}
}

// clonedWhole wants the clone to hold between so many and so many entries, and their sums.
func (b *upgradeBed) clonedWhole(least, most int64) {
	b.Helper()
	var entries int64
	b.must(b.session(b.plan.Target, "shop").QueryRow(b.Context(), `SELECT count(*) FROM ledger`).Scan(&entries))
	if entries < least || entries > most {
		b.Errorf("the clone has %d entries, want %d to %d", entries, least, most)
	}
	var stock int64
	b.must(b.session(b.plan.Target, "Depot's").QueryRow(b.Context(), `SELECT count(*) FROM stock`).Scan(&stock))
	b.booksBalance(b.plan.Target, entries, stock)
}

// nothingOfOurs looks for what the upgrade has left in a cluster.
func (b *upgradeBed) nothingOfOurs(cluster upgrade.Cluster) {
	b.Helper()
	for _, database := range b.databases {
		for _, line := range b.ask(cluster, database, everythingOf) {
			if strings.Contains(line, "pgleap") && !strings.HasPrefix(line, "setting") {
				b.Errorf("left on %s in %s: %s", cluster, database, line)
			}
		}
	}
	for _, file := range []string{cluster.HBAFile, cluster.ConfigFile} {
		if text := read(file); strings.Contains(text, "BEGIN pgleap") {
			b.Errorf("left in %s:\n%s", file, text)
		}
	}
}

// switchBed is a bed whose clients come through a PgBouncer.
type switchBed struct {
	*upgradeBed
	bouncer *pgtest.Bouncer
}

func newSwitchBed(t *testing.T, change func(*upgrade.Options)) *switchBed {
	t.Helper()
	b := &switchBed{upgradeBed: newBlueGreenBed(t, change)}
	b.source.Exec(t, "shop", `GRANT ALL ON ALL TABLES IN SCHEMA public TO app; GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app`,
		`INSERT INTO measured (day, value) SELECT date '2020-01-01' + n, n FROM generate_series(1, 3000) n`)
	b.bouncer = pgtest.PgBouncer(t, pgtest.Target{Name: "shop", Cluster: b.source})
	b.plan.Endpoint = upgrade.Endpoint{
		Driver: upgrade.PgBouncer, Console: upgrade.Address{Host: "127.0.0.1", Port: b.bouncer.Port},
		ConsoleUser: "pgbouncer", Ini: b.bouncer.IniPath, Listen: upgrade.Address{Host: "127.0.0.1", Port: b.bouncer.Port},
	}
	return b
}

// toClone goes the way to the switch.
func (b *switchBed) toClone() {
	b.Helper()
	b.step("PrepareCloning", b.worker.PrepareCloning)
	b.step("BaseBackup", b.worker.BaseBackup)
	b.follow()
}

func (b *switchBed) follow() {
	b.Helper()
	_, err := b.worker.FollowSource(b.Context(), step.SynchronizeArgs{Plan: b.plan, UntilReady: true})
	b.must(err)
}

func (b *switchBed) switchTo(attempt int) step.CloneSwitch {
	b.Helper()
	result, err := b.worker.SwitchToClone(b.Context(), step.SwitchOverArgs{Plan: b.plan, Attempt: attempt})
	b.must(err)
	for _, event := range result.Events {
		b.Logf("  %s: %s", event.Level, event.Text)
	}
	b.Logf("switched: %t, spent: %t, pause %s: %v %s", result.Switchover.Switched, result.Spent,
		result.Switchover.Pause.Round(time.Millisecond), result.Switchover.Steps, result.Switchover.Reason)
	return result
}

// bookings are clients that book through the PgBouncer until they are stopped. None may see an error.
type bookings struct {
	bed  *switchBed
	stop context.CancelFunc
	done sync.WaitGroup
	made atomic.Int64 // acknowledged
	fail atomic.Pointer[error]
}

func (b *switchBed) book() *bookings {
	b.Helper()
	ctx, stop := context.WithCancel(context.Background())
	l := &bookings{bed: b, stop: stop}
	b.Cleanup(stop)
	for number := range 4 {
		conn := b.bouncer.Connect(b, "app", "shop")
		l.done.Go(func() {
			for round := 0; sleep(ctx, 2*time.Millisecond) == nil; round++ {
				err := pgx.BeginFunc(context.Background(), conn, func(tx pgx.Tx) error {
					for _, query := range []string{
						`UPDATE account SET balance = balance + $2 WHERE id = $1`,
						`INSERT INTO ledger (account, delta) VALUES ($1, $2)`,
					} {
						if _, err := tx.Exec(context.Background(), query, 1+(number*13+round)%50, 1+round%9); err != nil {
							return err
						}
					}
					return nil
				})
				if err != nil {
					l.fail.CompareAndSwap(nil, &err)
					return
				}
				l.made.Add(1)
			}
		})
	}
	return l
}

// more waits until so many more bookings were acknowledged.
func (l *bookings) more(count int64) {
	l.bed.Helper()
	want := l.made.Load() + count
	l.bed.until("bookings through PgBouncer", func() bool { return l.made.Load() >= want || l.fail.Load() != nil })
}

// end stops them, and returns how many were acknowledged.
func (l *bookings) end() int64 {
	l.bed.Helper()
	l.stop()
	l.done.Wait()
	if problem := l.fail.Load(); problem != nil {
		l.bed.Errorf("a client failed: %v", errors.Join(*problem))
	}
	l.bed.Logf("%d bookings were acknowledged", l.made.Load())
	return l.made.Load()
}

// servedBy is the port of the cluster that clients are led to.
func (b *switchBed) servedBy() int {
	b.Helper()
	conn := b.bouncer.Connect(b, "app", "shop")
	defer conn.Close(b.Context())
	var port int
	b.must(conn.QueryRow(b.Context(), `SELECT inet_server_port()`).Scan(&port))
	return port
}

// Clients write all the time. What was acknowledged is on the target, once; they have waited, and not
// failed. The source is fenced.
func TestSwitchToClone(t *testing.T) {
	pgtest.Slow(t)
	b := newSwitchBed(t, func(*upgrade.Options) {})
	b.toClone()
	direct := b.session(b.plan.Source, "shop")
	refused := b.switchTo(1)
	if refused.Switchover.Switched || refused.Spent || !strings.Contains(refused.Switchover.Reason, "1 sessions do not come through the endpoint") {
		t.Errorf("with a session that goes around the endpoint: %+v", refused)
	}
	b.must(direct.Close(t.Context()))
	clients := b.book()
	clients.more(50)
	result := b.switchTo(2) // with the same clone
	if !result.Switchover.Switched || result.Spent {
		t.Fatalf("it did not switch: %s", result.Switchover.Reason)
	}
	clients.more(50)
	made := clients.end()
	if got := b.servedBy(); got != b.plan.Target.Port {
		t.Errorf("clients are led to port %d, want %d", got, b.plan.Target.Port)
	}
	b.booksBalance(b.plan.Target, made, 0)
	again := b.switchTo(2)
	if !again.Switchover.Switched {
		t.Errorf("asked again, it tells that it did not switch: %s", again.Switchover.Reason)
	}
	if _, err := b.worker.Discard(t.Context(), b.plan); err == nil || !strings.Contains(err.Error(), "clients write to") {
		t.Errorf("a target that clients write to was discarded: %v", err)
	}
	b.step("FenceForGood", b.worker.FenceForGood)
	b.step("UpdateExtensions", b.worker.UpdateExtensions)
	twice(b.upgradeBed, "Finish", func(ctx context.Context) (step.FinishResult, error) { return b.worker.Finish(ctx, b.plan) })
	b.targetIsComplete()
	b.nothingOfOurs(b.plan.Target)
	if _, err := pgx.Connect(t.Context(), b.source.DSN("shop")); err == nil {
		t.Error("somebody can still log in to the source")
	}
	if left, _ := filepath.Glob(filepath.Join(b.plan.Source.Pgdata, "pg_replslot", "*")); len(left) > 0 {
		t.Errorf("slots are left on the source: %v", left)
	}
	if _, err := os.Stat(b.plan.ClonePgdata()); err == nil {
		t.Error("the clone is still there")
	}
}

// sameState compares two states of the source.
func (b *upgradeBed) sameState(before, after map[string][]string) {
	b.Helper()
	for _, what := range slices.Sorted(maps.Keys(before)) {
		if diff := cmp.Diff(before[what], after[what]); diff != "" {
			b.Errorf("the source's %s (-before +after):\n%s", what, diff)
		}
	}
}

// Without an endpoint nothing could be switched, and nothing is begun.
func TestSwitchWithoutEndpoint(t *testing.T) {
	w := &Worker{dir: t.TempDir()}
	_, err := w.PrepareCloning(t.Context(), upgrade.Plan{Instance: "shop", Mode: upgrade.BlueGreen})
	if upgrade.CauseOf(err) != upgrade.CauseNoEndpoint {
		t.Errorf("got %v", err)
	}
	if left := list(t, w.dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// What the source keeps for the clone has a cap.
func TestFollowSourceWithinCap(t *testing.T) {
	pgtest.Slow(t)
	b := newBlueGreenBed(t, func(o *upgrade.Options) { o.CloneOnly = true })
	before := b.sourceState()
	b.do("PrepareCloning", b.worker.PrepareCloning)
	b.do("BaseBackup", b.worker.BaseBackup)
	b.plan.Options.MaxRetainedWAL = 1
	_, err := b.worker.FollowSource(t.Context(), step.SynchronizeArgs{Plan: b.plan})
	if _, refused := errors.AsType[*upgrade.Refused](err); !refused || !strings.Contains(err.Error(), "more than the cap of") {
		t.Errorf("got %v", err)
	}
	b.do("Discard", b.worker.Discard)
	b.unchanged(before)
}

// Well before that, it is told: once at half of the cap, and once more when it comes near.
func TestFollowSourceWarnsOfWAL(t *testing.T) {
	pgtest.Slow(t)
	b := newBlueGreenBed(t, func(o *upgrade.Options) { o.CloneOnly = true })
	before := b.sourceState()
	b.do("PrepareCloning", b.worker.PrepareCloning)
	b.do("BaseBackup", b.worker.BaseBackup)
	_, err := b.worker.FollowSource(t.Context(), step.SynchronizeArgs{Plan: b.plan, UntilReady: true})
	b.must(err)
	goOn := b.stopReceiving()
	b.plan.Options.MaxRetainedWAL = 200 << 20
	told := map[string]int(nil)
	follow := func(limit time.Duration) step.Synchronized {
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		result, err := b.worker.FollowSource(ctx, step.SynchronizeArgs{Plan: b.plan, Told: told, TellNews: true})
		if ctx.Err() == nil {
			b.must(err)
		}
		return result
	}
	for _, segments := range []int{7, 4} { // of 16 MiB each: 112, then 176
		for range segments {
			b.source.Exec(t, "postgres", "SELECT pg_logical_emit_message(false, 'x', 'x')", "SELECT pg_switch_wal()")
		}
		result := follow(20 * time.Second)
		if len(result.Events) != 1 || result.Told == nil || !strings.Contains(result.Events[0].Text, "because the clone is behind; at 200 MiB the upgrade is given up") {
			t.Fatalf("after %d segments: %+v", segments, result)
		}
		told = result.Told
		if again := follow(3 * time.Second); len(again.Events) > 0 {
			t.Errorf("told once more: %+v", again.Events)
		}
	}
	goOn()
	b.do("Discard", b.worker.Discard)
	b.unchanged(before)
}

// stopReceiving holds up the process of the clone that receives WAL.
func (b *upgradeBed) stopReceiving() (goOn func()) {
	b.Helper()
	pidfile, err := os.ReadFile(filepath.Join(b.plan.ClonePgdata(), "postmaster.pid"))
	b.must(err)
	postmaster, _, _ := strings.Cut(string(pidfile), "\n")
	children, err := exec.CommandContext(b.Context(), "pgrep", "-P", postmaster, "-f", "walreceiver").Output()
	b.must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(children)))
	b.must(err)
	b.must(syscall.Kill(pid, syscall.SIGSTOP))
	goOn = sync.OnceFunc(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	b.Cleanup(goOn)
	return goOn
}

// What only replication needs does not stand in the way: the WAL level, tables without a key.
func TestPrecheckBlueGreen(t *testing.T) {
	pgtest.Slow(t)
	b := newBlueGreenBed(t, func(o *upgrade.Options) { o.CloneOnly = true })
	b.source.Exec(t, "shop", `CREATE TABLE without_key (a int)`, `SELECT lo_create(0)`)
	b.plan.Options.SkipSchemaRehearsal = true // it has a test of its own
	report, err := b.worker.Precheck(t.Context(), step.PrecheckArgs{Number: 8, ID: "00000000-0000-0000-0000-000000000008", Plan: b.plan})
	b.must(err)
	if !report.Passed() || report.Mode != upgrade.BlueGreen {
		t.Errorf("the report does not pass: %v, not checked: %v", report.Findings, report.NotChecked)
	}
}
