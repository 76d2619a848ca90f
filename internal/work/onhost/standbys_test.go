package onhost

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/pgleap/pgleap/internal/pgbin"
	"github.com/pgleap/pgleap/internal/pgconf"
	"github.com/pgleap/pgleap/internal/pgtest"
	"github.com/pgleap/pgleap/internal/postgres"
	"github.com/pgleap/pgleap/internal/postmaster"
	"github.com/pgleap/pgleap/internal/run"
	"github.com/pgleap/pgleap/internal/upgrade"
	"github.com/pgleap/pgleap/internal/upgrade/step"
)

// standbySecret is a password that must be in no log.
const standbySecret = "s3cr3t-of-the-standby"

// startStandbyOf makes a standby of the source, with a slot if it has a name for one.
func (b *upgradeBed) startStandbyOf(name, slot string, settings ...string) upgrade.Cluster {
	b.Helper()
	user, err := owner(b.plan)
	b.must(err)
	as := pgbin.Caller{Runner: b.worker.runner, As: user}
	dir := filepath.Join(filepath.Dir(b.source.Pgdata), "standby-"+name)
	b.must(makeDir(dir, user))
	pgdata := filepath.Join(dir, "data")
	aside := filepath.Join(filepath.Dir(b.source.Pgdata), "aside")
	wal := ""
	if slot == "" { // the other one has its WAL elsewhere
		b.must(makeDir(filepath.Join(dir, "wal"), user))
		wal = filepath.Join(dir, "wal", "data")
	}
	b.must(pgbin.PgBasebackup{
		Bindir: b.source.Bindir, From: upgrade.Address{Host: "127.0.0.1", Port: b.source.Port}, User: "postgres", Pgdata: pgdata, WALDir: wal,
		Slot: slot, CreateSlot: slot != "", TablespaceMapping: map[string]string{aside: filepath.Join(dir, "aside")}, FastCheckpoint: true,
	}.Run(b.Context(), as, nil))
	port := pgtest.FreePort(b)
	lines := append([]string{
		"port = " + strconv.Itoa(port), "primary_slot_name = '" + slot + "'", "cluster_name = 'none of your business'",
		fmt.Sprintf("primary_conninfo = 'host=127.0.0.1 port=%d user=postgres password=%s application_name=%s'", b.source.Port, standbySecret, name),
	}, settings...)
	conf := filepath.Join(pgdata, "postgresql.conf")
	b.must(writeOwned(conf, []byte(read(conf)+strings.Join(lines, "\n")+"\n"), user, 0o600))
	b.must(writeOwned(filepath.Join(pgdata, "standby.signal"), nil, user, 0o600))
	ctl := pgbin.PgCtl{Bindir: b.source.Bindir, Pgdata: pgdata}
	b.must(ctl.Start(b.Context(), as, filepath.Join(dir, "log"), "", cloneStart))
	b.Cleanup(func() { b.stopStandby(b.source.Bindir, pgdata) })
	b.until("standby "+name+" streams", func() bool {
		return b.ask(b.plan.Source, "postgres", `SELECT count(*)::text FROM pg_stat_replication WHERE state = 'streaming' AND application_name = $1`, name)[0] == "1"
	})
	return upgrade.Cluster{Pgdata: pgdata, Port: port, Bindir: b.source.Bindir}
}

func (b *upgradeBed) stopStandby(bindir, pgdata string) {
	if err := b.worker.stopLeftover(context.WithoutCancel(b.Context()), b.plan, bindir, pgdata, pgbin.StopImmediate); err != nil {
		b.Errorf("stop %s: %v", pgdata, err)
	}
}

// twoStandbys gives the source a synchronous standby with a slot, and one without.
func (b *upgradeBed) twoStandbys() (one, two upgrade.Cluster) {
	b.Helper()
	one = b.startStandbyOf("s1", "slot_1", "work_mem = '9MB'")
	two = b.startStandbyOf("s2", "")
	b.source.Exec(b, "postgres", `ALTER SYSTEM SET synchronous_standby_names = 'FIRST 1 (s1)'`, `SELECT pg_reload_conf()`)
	b.until("s1 is synchronous", func() bool {
		return slices.Equal(b.replicas(b.plan.Source), []string{"s1 streaming sync slot_1", "s2 streaming async"})
	})
	return one, two
}

// replicas lists what streams from a cluster.
func (b *upgradeBed) replicas(cluster upgrade.Cluster) []string {
	b.Helper()
	return b.ask(cluster, "postgres", `
		SELECT concat_ws(' ', application_name, state, sync_state, (SELECT slot_name FROM pg_replication_slots WHERE active_pid = pid))
		FROM pg_stat_replication ORDER BY 1`)
}

// records are the standbys as the agent has noted them.
func (b *upgradeBed) records() standbyRecords {
	b.Helper()
	files, err := b.worker.files(b.plan)
	b.must(err)
	var records standbyRecords
	_, err = files.read(noteStandbys, &records)
	b.must(err)
	for _, r := range records.All {
		if r.Stage != standbyFound {
			b.Cleanup(func() { b.stopStandby(r.Successor.Bindir, r.Successor.Pgdata) })
		}
	}
	return records
}

func (b *upgradeBed) buildStandbys(args step.StandbysArgs) step.Done {
	b.Helper()
	args.Plan = b.plan
	done := twice(b, "BuildStandbys", func(ctx context.Context) (step.Done, error) { return b.worker.BuildStandbys(ctx, args) })
	for _, event := range done.Events {
		b.Logf("  %s: %s", event.Level, event.Text)
	}
	return done
}

// haveSuccessors wants both standbys of twoStandbys to have successors that follow the target.
func (b *upgradeBed) haveSuccessors() {
	b.Helper()
	b.until("both stream, over one connection each", func() bool {
		return slices.Equal([]string{"s1 streaming sync slot_1", "s2 streaming async"}, b.replicas(b.plan.Target))
	})
	if got := b.ask(b.plan.Target, "postgres", `SELECT slot_name || ' ' || active FROM pg_replication_slots`); !slices.Equal(got, []string{"slot_1 true"}) {
		b.Errorf("slots on the target: %q", got)
	}
	lsn := b.ask(b.plan.Target, "shop", `INSERT INTO keyless VALUES (17, 'of the new version') RETURNING pg_current_wal_insert_lsn()::text`)[0]
	for _, r := range b.records().All {
		if r.Stage != standbyStreams || r.Successor.Port == r.Cluster.Port {
			b.Errorf("standby %s: %+v", r.Name, r)
			continue
		}
		b.until(r.Name+" replays", func() bool {
			return b.ask(r.Successor, "postgres", `SELECT (pg_last_wal_replay_lsn() > '`+lsn+`')::text`)[0] == "true"
		})
		if diff := cmp.Diff(b.content(b.plan.Target), b.content(r.Successor)); diff != "" {
			b.Errorf("content of %s (-target +standby):\n%s", r.Name, diff)
		}
		major := fmt.Sprint(b.plan.Target.Version.Major())
		want := []string{"true", major, map[string]string{"s1": "9MB", "s2": "4MB"}[r.Name], "none of your business"}
		got := b.ask(r.Successor, "postgres", `
			SELECT unnest(ARRAY[pg_is_in_recovery()::text, (current_setting('server_version_num')::int / 10000)::text, current_setting('work_mem'), current_setting('cluster_name')])`)
		if diff := cmp.Diff(want, got); diff != "" {
			b.Errorf("standby %s (-want +got):\n%s", r.Name, diff)
		}
		old, err := elsewhere(r.Cluster.Pgdata)
		b.must(err)
		made, err := elsewhere(r.Successor.Pgdata)
		b.must(err)
		fits, err := b.worker.hasRoomForWAL(b.Context(), *r.Cluster, b.plan.Target)
		b.must(err)
		if made != r.WAL || (made != "") != fits || made != "" && filepath.Dir(made) != filepath.Dir(old) {
			b.Errorf("the WAL of standby %s is in %q, noted as %q; that of the old one is in %q", r.Name, made, r.WAL, old)
		}
		if _, err := os.Stat(r.Successor.Pgdata + ".pgleap"); err == nil {
			b.Errorf("the directory of its making is left beside %s", r.Successor.Pgdata)
		}
	}
	b.keepsSecret()
}

// keepsSecret looks into all that the agent keeps.
func (b *upgradeBed) keepsSecret() {
	b.Helper()
	b.must(filepath.WalkDir(b.worker.dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && strings.Contains(read(path), standbySecret) {
			b.Errorf("the standby's password is in %s", path)
		}
		return err
	}))
}

// stillFollow wants the old standbys to run as they did.
func (b *upgradeBed) stillRun(standbys ...upgrade.Cluster) {
	b.Helper()
	for _, standby := range standbys {
		if got := b.ask(standby, "shop", `SELECT pg_is_in_recovery()::text || ' ' || count(*) FROM account`); got[0] != "true 52" {
			b.Errorf("the old standby at %s: %s", standby.Pgdata, got)
		}
	}
}

// An instance with two standbys, one of them synchronous, has two of the new version after an upgrade in
// place. The old ones run on with the old data, and stop when the old cluster is retired.
func TestStandbysInPlace(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferCopy)
	one, two := b.twoStandbys()
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	if got := b.ask(b.plan.Target, "postgres", `SHOW synchronous_standby_names`)[0]; got != "" {
		t.Errorf("commits wait for standbys that are not there: %s", got)
	}
	twice(b, "FinishInPlace", func(ctx context.Context) (step.FinishResult, error) { return b.worker.FinishInPlace(ctx, b.plan) })
	done := b.buildStandbys(step.StandbysArgs{Serving: true})
	b.haveSuccessors()
	for _, event := range done.Events {
		if event.Level != upgrade.LevelInfo {
			t.Errorf("%s: %s", event.Level, event.Text)
		}
	}
	b.stillRun(one, two)
	b.retireWith(one, two)
}

// neverWaitsInVain: synchronous_standby_names with which no commit comes back, as an agent leaves it that dies
// before it knows, is taken back, and so is one whose standby is away. What a user has set stays.
func (b *upgradeBed) neverWaitsInVain() {
	b.Helper()
	files, err := b.worker.files(b.plan)
	b.must(err)
	for _, c := range []struct {
		what, names string
		begun       bool
		stopped     bool
		level       upgrade.Level
		say, after  string
	}{
		{"of a user", "FIRST 1 (s1)", false, false, upgrade.LevelInfo, "is \"FIRST 1 (s1)\" on the target", "FIRST 1 (s1)"},
		{"one standby too few", "FIRST 2 (s1, s3)", true, false, upgrade.LevelWarning, "a commit did not come back", ""},
		{"enough of them", "ANY 1 (s1, s3)", true, false, upgrade.LevelInfo, "is \"ANY 1 (s1, s3)\" again", "ANY 1 (s1, s3)"},
		{"its standby is away", "s1", true, true, upgrade.LevelWarning, "these do not stream: s1", ""},
	} {
		b.must(b.worker.writeSynchronous(b.Context(), b.plan, c.names))
		b.until("the names are in effect", func() bool { return b.ask(b.plan.Target, "postgres", `SHOW synchronous_standby_names`)[0] == c.names })
		records := b.records()
		records.SynchronousNames, records.SynchronousBegun = c.names, c.begun
		b.must(files.write(noteStandbys, records))
		if c.stopped {
			b.stopStandby(records.All[0].Successor.Bindir, records.All[0].Successor.Pgdata)
		}
		events, err := b.worker.restoreSynchronous(b.Context(), b.plan)
		b.must(err)
		if len(events) != 1 || events[0].Level != c.level || !strings.Contains(events[0].Text, c.say) {
			b.Errorf("%s: it says %+v", c.what, events)
		}
		b.until(c.what+": the target has "+c.after, func() bool { return b.ask(b.plan.Target, "postgres", `SHOW synchronous_standby_names`)[0] == c.after })
	}
	again := b.records().All[0].Successor
	b.must(b.worker.host.Start(b.Context(), again, "", standbyCatchUp))
	b.until("s1 streams again", func() bool { return len(b.replicas(b.plan.Target)) == 2 })
}

// retireWith retires the source, and wants its standbys to stop with it, and the target's to stay.
func (b *upgradeBed) retireWith(standbys ...upgrade.Cluster) {
	b.Helper()
	_, err := b.worker.RetireCluster(b.Context(), b.plan.Source)
	b.must(err)
	for _, old := range standbys {
		if _, running := b.worker.host.Running(old); running {
			b.Errorf("the old standby at %s still runs", old.Pgdata)
		}
	}
	if got := len(b.replicas(b.plan.Target)); got != len(standbys) {
		b.Errorf("%d standbys follow the target when the old cluster is retired", got)
	}
}

// childStandbys is the variable with which this program starts itself to die while it makes standbys.
const childStandbys = "PGLEAP_TEST_BUILD_STANDBYS"

// TestDieInStandbys is an agent that dies. It does nothing unless it is started by dieInStandbys.
func TestDieInStandbys(t *testing.T) {
	text := os.Getenv(childStandbys)
	if text == "" {
		t.Skip("only for a process of its own")
	}
	var d death
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		t.Fatal(err)
	}
	w := workerIn(d.Dir, filepath.Dir(d.Plan.Target.Bindir), GuardCommand{}, slog.New(slog.DiscardHandler))
	watch := &progress{beat: func(now upgrade.Progress) {
		if strings.HasPrefix(now.Text, d.Moment) && (now.Done > 0 || !strings.HasPrefix(d.Moment, "copying")) {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}}
	ctx := context.WithValue(t.Context(), progressKey{}, watch)
	done, err := w.BuildStandbys(ctx, step.StandbysArgs{Plan: d.Plan, Serving: true})
	t.Fatalf("it came to its end: %+v, %v", done, err)
}

func (b *upgradeBed) dieInStandbys(moment string) {
	b.Helper()
	program, err := os.Executable()
	b.must(err)
	text, err := json.Marshal(death{Dir: b.worker.dir, Plan: b.plan, Moment: moment})
	b.must(err)
	_, err = run.New(slog.New(slog.DiscardHandler)).Run(b.Context(), run.Command{
		Path: program, Args: []string{"-test.run=^TestDieInStandbys$"}, Env: []string{childStandbys + "=" + string(text)},
	})
	if err == nil || !strings.Contains(err.Error(), "killed") {
		b.Fatalf("the process did not die as meant: %v", err)
	}
	b.records() // what it has left is stopped at the end
}

// The agent dies in the middle of a standby's base backup, and when it starts one: the next one goes on.
func TestAgentDiesMakingStandbys(t *testing.T) {
	pgtest.Slow(t)
	b := newInPlaceBed(t, upgrade.TransferCopy)
	b.twoStandbys()
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	b.refusesForeignSlot()
	for _, moment := range []string{"copying the target to standby s1", "starting standby s1", "copying the target to standby s2"} {
		b.dieInStandbys(moment)
	}
	b.buildStandbys(step.StandbysArgs{Serving: true})
	b.haveSuccessors()
	b.neverWaitsInVain()
}

// refusesForeignSlot: a slot of the old one's name that somebody else has made on the target is not taken,
// and not removed.
func (b *upgradeBed) refusesForeignSlot() {
	b.Helper()
	b.ask(b.plan.Target, "postgres", `SELECT slot_name::text FROM pg_create_physical_replication_slot('slot_1')`)
	done, err := b.worker.BuildStandbys(b.Context(), step.StandbysArgs{Plan: b.plan, Serving: true})
	b.must(err)
	if first := done.Events[0]; first.Level != upgrade.LevelError || !strings.Contains(first.Text, "slot slot_1 already") {
		b.Errorf("with a slot of somebody else's: %+v", done.Events)
	}
	if got := b.replicas(b.plan.Target); !slices.Equal(got, []string{"s2 streaming async"}) {
		b.Errorf("what streams from the target: %v", got)
	}
	if got := b.ask(b.plan.Target, "postgres", `SELECT pg_drop_replication_slot(slot_name)::text FROM pg_replication_slots WHERE slot_name = 'slot_1'`); len(got) != 1 {
		b.Error("the slot was removed")
	}
	records := b.records()
	files, err := b.worker.files(b.plan)
	b.must(err)
	for i := range records.All {
		b.must(b.worker.discardStandby(b.Context(), b.plan, files, &records, i))
	}
}

// A clone takes the source's place, and has its standbys before clients go on, since they are to wait. When
// the switch fails after that, nothing of them is left; when it succeeds, there are as many as before.
func TestStandbysBeforeSwitchToClone(t *testing.T) {
	pgtest.Slow(t)
	b := newSwitchBed(t, func(o *upgrade.Options) { o.WaitForStandbys = true })
	one, two := b.twoStandbys()
	before := list(t, filepath.Join(filepath.Dir(b.source.Pgdata), "standby-s1"))
	b.must(os.MkdirAll(b.worker.dir, 0o700))
	b.becomesOfStandbys()
	b.toClone()
	b.dieAt("starting standby s2", 1, false)
	b.records()
	undone := b.switchTo(1)
	if undone.Switchover.Switched || !undone.Spent {
		t.Fatalf("got %+v", undone)
	}
	if after := list(t, filepath.Join(filepath.Dir(b.source.Pgdata), "standby-s1")); !slices.Equal(before, after) {
		t.Errorf("a standby of a target that is gone is left: %v", after)
	}
	b.stillRun(one, two)
	b.toClone()
	result := b.switchTo(2)
	if !result.Switchover.Switched {
		t.Fatalf("it did not switch: %s", result.Switchover.Reason)
	}
	if got := b.replicas(b.plan.Target); len(got) != 2 {
		t.Errorf("when clients go on, the target has %v", got)
	}
	b.step("FenceForGood", b.worker.FenceForGood)
	twice(b.upgradeBed, "Finish", func(ctx context.Context) (step.FinishResult, error) { return b.worker.Finish(ctx, b.plan) })
	b.buildStandbys(step.StandbysArgs{Serving: true})
	b.haveSuccessors()
	b.retireWith(one, two)
}

// A switch that is to wait for standbys does not begin while one is away that has streamed before, whether or not its
// server runs: no client waits for it. One that was away for a moment is waited for; one that was removed is not missed.
func TestSwitchMissesAStandby(t *testing.T) {
	pgtest.Slow(t)
	b := newSwitchBed(t, func(o *upgrade.Options) { o.WaitForStandbys = true })
	one := b.startStandbyOf("s1", "")
	two := b.startStandbyOf("s2", "")
	b.must(os.MkdirAll(b.worker.dir, 0o700))
	b.toClone()
	back := b.streamsNoMore(one)
	refused := b.switchTo(1)
	if want := "standby s1: it does not stream from the source now"; refused.Switchover.Switched || refused.Spent || !strings.Contains(refused.Switchover.Reason, want) {
		t.Errorf("without a walreceiver: %+v, want %q", refused, want)
	}
	b.stopStandby(two.Bindir, two.Pgdata)
	time.AfterFunc(3*time.Second, back)
	refused = b.switchTo(2)
	want := "standby s2: it has streamed from the source in this upgrade, and does not run now"
	if got := refused.Switchover.Reason; refused.Switchover.Switched || refused.Spent || !strings.Contains(got, want) || strings.Contains(got, "s1") {
		t.Errorf("without a server: %+v, want %q", refused, want)
	}
	for _, attempt := range []int{1, 2} {
		path, err := b.worker.journalPath(step.SwitchOverArgs{Plan: b.plan, Attempt: attempt})
		b.must(err)
		if text := read(path); text != "" {
			t.Errorf("attempt %d has begun: %s", attempt, text)
		}
	}
	b.must(os.Remove(filepath.Join(two.Pgdata, "standby.signal")))
	if result := b.switchTo(3); !result.Switchover.Switched {
		t.Fatalf("it did not switch: %s", result.Switchover.Reason)
	}
	b.records() // ends their successors
	b.until("the target has its standby", func() bool { return slices.Equal(b.replicas(b.plan.Target), []string{"s1 streaming async"}) })
}

// streamsNoMore ends a standby's walreceiver, until back is called.
func (b *upgradeBed) streamsNoMore(standby upgrade.Cluster) (back func()) {
	b.Helper()
	set := func(conninfo string) {
		conn, err := pgx.Connect(b.Context(), fmt.Sprintf("host=127.0.0.1 port=%d user=postgres dbname=postgres", standby.Port))
		if err == nil {
			defer conn.Close(b.Context())
			_, err = conn.Exec(b.Context(), conninfo)
		}
		if err == nil {
			_, err = conn.Exec(b.Context(), `SELECT pg_reload_conf()`)
		}
		if err != nil {
			b.Error(err)
		}
	}
	set(`ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1 user=postgres application_name=s1'`)
	b.until("it streams no more", func() bool {
		return b.ask(standby, "postgres", `SELECT count(*)::text FROM pg_stat_wal_receiver`)[0] == "0"
	})
	return func() { set(`ALTER SYSTEM RESET primary_conninfo`) }
}

// becomesOfStandbys wants the precheck to say what becomes of the standbys, and to pass.
func (b *switchBed) becomesOfStandbys() {
	b.Helper()
	report, err := b.worker.Precheck(b.Context(), step.PrecheckArgs{Number: 8, ID: "00000000-0000-0000-0000-000000000008", Plan: b.plan})
	b.must(err)
	for _, f := range report.Findings {
		if f.Check != "standbys" {
			continue
		}
		want := fmt.Sprintf("a successor is made in %s/standby-s1/data-%d while clients wait", filepath.Dir(b.source.Pgdata), b.plan.Target.Version.Major())
		if f.Severity != upgrade.Warning || !slices.Equal(f.Objects, []string{"s1", "s2"}) || !strings.Contains(f.Notes[0], want) {
			b.Errorf("finding %+v", f)
		}
		return
	}
	b.Errorf("the precheck does not tell of standbys: %+v, %v", report.Findings, report.NotChecked)
}

// Where the target runs before the switchover, so do its standbys. Given up, nothing of them is left.
func TestStandbysBeforeSwitchover(t *testing.T) {
	pgtest.Exhaustive(t)
	b := newUpgradeBed(t)
	one, two := b.twoStandbys()
	before := b.sourceState()
	beside := list(t, filepath.Dir(one.Pgdata))
	handover := b.toHandover()
	_, err := b.worker.PromoteClone(t.Context(), step.HandoverArgs{Plan: b.plan, Handover: handover})
	b.must(err)
	b.do("InitTarget", b.worker.InitTarget)
	b.do("PgUpgrade", b.worker.PgUpgrade)
	b.do("StartTarget", b.worker.StartTarget)
	_, err = b.worker.Subscribe(t.Context(), step.HandoverArgs{Plan: b.plan, Handover: handover})
	b.must(err)
	b.givenUpHalfway(func() []string { return list(t, filepath.Dir(one.Pgdata)) })
	b.buildStandbys(step.StandbysArgs{Required: true})
	b.givesUpSlot()
	b.switchesWithoutStatistics()
	b.buildStandbys(step.StandbysArgs{Required: true})
	if diff := cmp.Diff([]string{"s1 streaming async slot_1", "s2 streaming async"}, b.replicas(b.plan.Target)[:2]); diff != "" {
		t.Errorf("what streams from the target (-want +got):\n%s", diff)
	}
	b.source.Exec(t, "shop", `INSERT INTO keyless VALUES (1, 'comes by way of the target')`)
	for _, r := range b.records().All {
		b.until("the row is on "+r.Name, func() bool {
			return b.ask(r.Successor, "shop", `SELECT count(*)::text FROM keyless`)[0] == "1"
		})
	}
	if err := b.worker.commitsThere(t.Context(), b.plan.Back()); err != nil { // the old standbys still follow it
		t.Errorf("clients could not come back: %v", err)
	}
	b.step("Discard", b.worker.Discard)
	b.unchanged(before)
	if after := list(t, filepath.Dir(one.Pgdata)); !slices.Equal(beside, after) {
		t.Errorf("beside the old standby: %v, before: %v", after, beside)
	}
	b.stillRun(one, two)
}

// switchesWithoutStatistics: a table that cannot be analyzed is told of, and keeps no switch from happening; the
// others, partitioned ones among them, have their statistics then.
func (b *upgradeBed) switchesWithoutStatistics() {
	b.Helper()
	b.must(with(b.Context(), quiet(b.worker.host.Login(b.plan.Target, "shop")), func(conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(b.Context(), `
			SET test.fine = 'yes';
			CREATE FUNCTION public.fails(n int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS
				$$BEGIN IF current_setting('test.fine', true) = 'yes' THEN RETURN n; END IF; RAISE 'not today'; END$$;
			CREATE TABLE public.unruly AS SELECT 1 AS n;
			CREATE INDEX ON public.unruly (public.fails(n));
			CREATE TABLE public.parts (n int) PARTITION BY LIST (n);
			CREATE TABLE public.part PARTITION OF public.parts FOR VALUES IN (1);
			INSERT INTO public.parts VALUES (1)`).ReadAll()
		return err
	}))
	failed, err := b.worker.haveStatistics(b.Context(), b.plan)
	if err != nil || len(failed) != 1 || failed[0].Level != upgrade.LevelWarning || !strings.Contains(failed[0].Text, "unruly") || !strings.Contains(failed[0].Text, "not today") {
		b.Errorf("with a table that cannot be analyzed: %+v, %v", failed, err)
	}
	b.must(with(b.Context(), b.worker.host.Login(b.plan.Target, "shop"), func(conn *pgx.Conn) error {
		left, err := postgres.WithoutStatistics(b.Context(), conn)
		if !slices.Equal(left, []string{"public.unruly"}) {
			b.Errorf("without statistics: %v", left)
		}
		return err
	}))
}

// givesUpSlot: a standby that does not run makes the target keep WAL, up to the upgrade's cap. Then it is made
// anew.
func (b *upgradeBed) givesUpSlot() {
	b.Helper()
	one := b.records().All[0]
	b.stopStandby(one.Successor.Bindir, one.Successor.Pgdata)
	b.ask(b.plan.Target, "postgres", `SELECT pg_logical_emit_message(false, 'test', repeat('x', 100000))::text`)
	plan := b.plan
	for _, c := range []struct {
		most int64
		say  string
		left int
	}{{1 << 40, "", 1}, {150000, "for standby s1, see whether", 1}, {1000, "its slot is dropped, and it is made anew", 0}, {1000, "is made anew", 0}} {
		if plan.Options.MaxRetainedWAL = c.most; c.most == 150000 { // between the half and the whole
			kept, err := strconv.ParseInt(b.ask(b.plan.Target, "postgres",
				`SELECT (pg_current_wal_insert_lsn() - restart_lsn)::bigint::text FROM pg_replication_slots WHERE slot_name = 'slot_1'`)[0], 10, 64)
			b.must(err)
			plan.Options.MaxRetainedWAL = kept + kept/2
		}
		told, err := b.worker.capStandbySlots(b.Context(), plan)
		b.must(err)
		if !strings.Contains(told, c.say) || (told == "") != (c.say == "") {
			b.Errorf("with a cap of %d it says %q", plan.Options.MaxRetainedWAL, told)
		}
		if got := b.ask(b.plan.Target, "postgres", `SELECT slot_name::text FROM pg_replication_slots WHERE slot_name = 'slot_1'`); len(got) != c.left {
			b.Errorf("with a cap of %d the target has %v", plan.Options.MaxRetainedWAL, got)
		}
	}
}

// What was begun stays when the source is looked at again; what is new comes to it, and the rest goes.
func TestMergeStandbys(t *testing.T) {
	at := func(name, pgdata string) upgrade.Standby {
		return upgrade.Standby{Name: name, Cluster: &upgrade.Cluster{Pgdata: pgdata}}
	}
	got := mergeStandbys(
		[]standbyRecord{{Standby: at("a", "/a"), Stage: standbyStreams}, {Standby: at("b", "/b")}, {Standby: at("c", "/c"), Stage: standbyBegun}},
		[]upgrade.Standby{{Name: "a", Cluster: &upgrade.Cluster{Pgdata: "/a"}, Synchronous: true}, at("a", "/d"), {Name: "x"}},
	)
	want := []standbyRecord{
		{Standby: upgrade.Standby{Name: "a", Cluster: &upgrade.Cluster{Pgdata: "/a"}, Synchronous: true}, Stage: standbyStreams},
		{Standby: at("c", "/c"), Stage: standbyBegun},
		{Standby: at("a", "/d")},
		{Standby: upgrade.Standby{Name: "x"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestLeadsTo(t *testing.T) {
	for text, want := range map[string]bool{
		"":                               true, // a socket, port 5432
		"host=/run/postgresql":           true,
		"host=here":                      true,
		"host=here port=5432":            true,
		"host=here port=5433":            false,
		"host=there port=5432":           false,
		"host=there hostaddr=here":       true,
		"host=there,here port=5432":      true,
		"host=there,here port=5432,5433": false,
		"host=there,here port=5433,":     true,
	} {
		conninfo, err := pgconf.ParseConninfo(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := leadsTo(conninfo, 5432, func(host string) bool { return host == "" || host == "/run/postgresql" || host == "here" }); got != want {
			t.Errorf("%q: %t", text, got)
		}
	}
}

// What cannot be made is told with what to do, and commits wait for nobody who is not there.
func TestStandbysThatCannotBeMade(t *testing.T) {
	pgtest.Exhaustive(t)
	b := newInPlaceBed(t, upgrade.TransferCopy)
	b.startStandbyOf("s1", "slot_1")
	b.source.Exec(b, "postgres", `ALTER SYSTEM SET synchronous_standby_names = 's1'`, `SELECT pg_reload_conf()`)
	b.until("s1 is synchronous", func() bool { return slices.Equal(b.replicas(b.plan.Source), []string{"s1 streaming sync slot_1"}) })
	b.plan.Options.SkipStandbys = true
	b.do("PrepareInPlace", b.worker.PrepareInPlace)
	if result := b.upgradeInPlace(); !result.Switchover.Switched {
		t.Fatalf("not upgraded: %s", result.Switchover.Reason)
	}
	var said []string
	for _, event := range b.buildStandbys(step.StandbysArgs{Serving: true, Required: true}).Events {
		said = append(said, event.Text)
	}
	for _, part := range []string{
		"standby s1", "pg_basebackup --pgdata=NEW_DIRECTORY", fmt.Sprintf("port=%d user=postgres application_name=s1'", b.plan.Target.Port),
		"--slot=slot_1 --create-slot", "these do not stream: s1", "ALTER SYSTEM SET synchronous_standby_names = 's1'",
	} {
		if !strings.Contains(strings.Join(said, "\n"), part) {
			t.Errorf("it does not say %q: %q", part, said)
		}
	}
	b.ask(b.plan.Target, "shop", `INSERT INTO keyless VALUES (1, 'waits for nobody') RETURNING b`)
	if left := b.replicas(b.plan.Target); len(left) > 0 {
		t.Errorf("standbys were made: %v", left)
	}
}

func TestMatchStandbys(t *testing.T) {
	source := upgrade.Cluster{Port: 5432, Owner: "postgres"}
	local := func(pgdata, conninfo, slot string, port int) postmaster.LocalStandby {
		return postmaster.LocalStandby{
			Cluster: upgrade.Cluster{Pgdata: pgdata, Owner: "postgres"},
			Self: postgres.StandbySelf{
				InRecovery: true, Conninfo: conninfo, Slot: slot, Streams: port != 0, Port: port, Sender: "127.0.0.1", ClusterName: "15/" + pgdata,
			},
		}
	}
	elsewhere := local("a", "application_name=s1", "", 5432)
	elsewhere.Self.Sender = "192.0.2.7"
	foreign := local("theirs", "application_name=theirs", "", 5432)
	foreign.Cluster.Owner = "somebody"
	for _, c := range []struct {
		name   string
		rows   []postgres.StandbyRow
		locals []postmaster.LocalStandby
		want   []string // name, pgdata, problem
	}{
		{"none", nil, nil, nil},
		{
			"by its application_name",
			[]postgres.StandbyRow{{Name: "s1", Address: "127.0.0.1"}},
			[]postmaster.LocalStandby{local("a", "application_name=s1", "", 5432)},
			[]string{"s1 a "},
		},
		{
			"by its cluster_name, over a socket",
			[]postgres.StandbyRow{{Name: "15/a"}},
			[]postmaster.LocalStandby{local("a", "", "", 5432)},
			[]string{"15/a a "},
		},
		{
			"two of one name, apart by their slots",
			[]postgres.StandbyRow{{Name: "s", Slot: "x"}, {Name: "s", Slot: "y"}},
			[]postmaster.LocalStandby{local("a", "application_name=s", "y", 5432), local("b", "application_name=s", "x", 5432)},
			[]string{"s b ", "s a "},
		},
		{"on another host", []postgres.StandbyRow{{Name: "s1", Address: "192.0.2.7"}}, nil, []string{"s1  it is not on this host"}},
		{
			"one here and one of the same name elsewhere",
			[]postgres.StandbyRow{{Name: "s1", Address: "192.0.2.7"}, {Name: "s1"}},
			[]postmaster.LocalStandby{local("a", "application_name=s1", "", 5432)},
			[]string{"s1  it is not on this host", "s1 a "},
		},
		{
			"a standby of a standby",
			[]postgres.StandbyRow{{Name: "s1"}},
			[]postmaster.LocalStandby{local("a", "application_name=s1", "", 5432), local("b", "application_name=s2", "", 5433)},
			[]string{"s1 a ", "s2 b it streams from port 5433, not from the source itself"},
		},
		{
			"a standby of another host's, at the same port",
			[]postgres.StandbyRow{{Name: "s1"}},
			[]postmaster.LocalStandby{elsewhere},
			[]string{"s1  its data directory cannot be told on this host", "s1 a it streams from port 5432 of 192.0.2.7, not from the source itself"},
		},
		{"one that does not stream", nil, []postmaster.LocalStandby{local("a", "application_name=s1", "", 0)}, []string{"s1 a it does not stream from the source now"}},
		{"another owner's", []postgres.StandbyRow{{Name: "theirs"}}, []postmaster.LocalStandby{foreign}, []string{"theirs theirs it belongs to somebody, the source to postgres"}},
		{
			"a service",
			[]postgres.StandbyRow{{Name: "15/a"}},
			[]postmaster.LocalStandby{local("a", "service=x", "", 5432)},
			[]string{"15/a a its primary_conninfo names a service"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			for _, s := range matchStandbys(source, c.rows, c.locals, func(a string) bool { return a == "" || a == "127.0.0.1" }) {
				pgdata := ""
				if s.Cluster != nil {
					pgdata = s.Cluster.Pgdata
				}
				got = append(got, s.Name+" "+pgdata+" "+s.Problem)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
